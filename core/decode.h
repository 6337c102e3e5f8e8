/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_DECODE_H
#define LAMINA_CORE_DECODE_H

#include "types.h"

/*
 * Decoder for the instructions that the hypervisor has to carry out for a guest: accesses to
 * device memory, and the length of those that exit by themselves. Pure and table driven. Everything
 * else (VEX, EVEX, x87, SSE, control transfers) is ERR_UNSUPPORTED.
 */
#define INSN_MAX 15

enum insn_mode {
	INSN_16,
	INSN_32,
	INSN_64
};

enum insn_kind {
	INSN_NONE,
	INSN_ONLY,  /* length, prefixes and, if there is one, the memory operand are all we need */
	INSN_LOAD,  /* register <- memory: MOV, MOVZX, MOVSX, MOVSXD, MOVBE */
	INSN_STORE, /* memory <- register or immediate: MOV, MOVNTI, MOVBE */
	INSN_MOVS,
	INSN_STOS,
	INSN_LODS,
	INSN_ALU,  /* op: ADD OR ADC SBB AND SUB XOR CMP */
	INSN_TEST, /* memory with register or immediate */
	INSN_XCHG,
	INSN_BIT,   /* op: BT BTS BTR BTC */
	INSN_UNARY, /* op: enum insn_unary */
	INSN_CMPXCHG,
	INSN_XADD,
};

enum insn_alu {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP
};
enum insn_bit {
	BIT_TEST,
	BIT_SET,
	BIT_RESET,
	BIT_COMPLEMENT
};
enum insn_unary {
	UNARY_INC,
	UNARY_DEC,
	UNARY_NOT,
	UNARY_NEG
};

#define INSN_NO_REG 0xff

struct insn {
	uint8_t length; /* bytes, prefixes included */
	uint8_t kind;   /* enum insn_kind */
	uint8_t op;
	uint8_t map; /* 1: one-byte opcodes, 2: 0F, 3: 0F 38 */
	uint8_t opcode;
	uint8_t size;         /* of the memory operand, or of the port access: 1, 2, 4, 8 bytes */
	uint8_t reg_size;     /* of the register operand of a LOAD: it may be wider than `size` */
	uint8_t address_size; /* 2, 4, 8 bytes */
	uint8_t segment;      /* enum segment_index: the override or the default */
	bool to_reg;          /* ALU: the register is the destination */
	bool sign_extend;
	bool swap; /* MOVBE */
	bool has_imm;
	bool lock, rep, repne;
	uint8_t reg;    /* register operand, 0-15; INSN_NO_REG: none */
	bool high_byte; /* AH, CH, DH, BH: `reg` is the register that holds it */
	bool has_mem;   /* the operand is memory, not a second register */
	bool rip_relative;
	uint8_t base, index; /* INSN_NO_REG: none */
	uint8_t scale;       /* 1, 2, 4, 8 */
	bool plain; /* one memory operand at a 64-bit address without FS or GS, no string */
	int64_t disp;
	uint64_t imm; /* sign-extended to 64 bits */
};

/* Decoding is a function of bytes and mode: what was decoded once need not be again. */
struct insn_memo {
	uint64_t word[2]; /* INSN_MAX bytes, then the mode plus 1; 0 at the end: nothing */
	struct insn insn;
};

/*
 * OK; ERR_FAULT: the instruction goes on behind `available` bytes; ERR_UNSUPPORTED: not one of
 * ours; ERR_INVALID: longer than 15 bytes.
 */
enum status must_check insn_decode(const uint8_t *bytes, size_t available, enum insn_mode mode,
				   struct insn *out);

#endif
