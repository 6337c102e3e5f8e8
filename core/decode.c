/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/decode.h"

#include <string.h>

#include "core/vcpu.h"

/* SDM vol. 2, 2.1 to 2.2 and appendix A; APM vol. 3, chapter 1. */

/* An opcode's description: the kind in the low bits, then what follows the opcode. */
#define KIND_MASK 0x001f
#define M         0x0020 /* ModRM */
#define B         0x0040 /* byte operand; otherwise the operand size */
#define I8        0x0080 /* 8-bit immediate */
#define IZ        0x0100 /* immediate of operand size, at most 32 bits */
#define TR        0x0200 /* the register is the destination */
#define MOFFS     0x0400 /* an address of address size instead of ModRM, with AL or rAX */
#define RR        0x0800 /* ModRM names two registers, whatever its mod field says */
#define GRP       0x1000 /* ModRM's reg field selects the instruction */
#define IO        0x2000 /* port access: size 1 or operand size, at most 32 bits */

#define ALU_ROW(op)                                                   \
	[(op)*8 + 0] = INSN_ALU | M | B, [(op)*8 + 1] = INSN_ALU | M, \
		  [(op)*8 + 2] = INSN_ALU | M | B | TR, [(op)*8 + 3] = INSN_ALU | M | TR

static const uint16_t map1[256] = {
	ALU_ROW(ALU_ADD),
	ALU_ROW(ALU_OR),
	ALU_ROW(ALU_ADC),
	ALU_ROW(ALU_SBB),
	ALU_ROW(ALU_AND),
	ALU_ROW(ALU_SUB),
	ALU_ROW(ALU_XOR),
	ALU_ROW(ALU_CMP),
	[0x63] = INSN_LOAD | M,      /* MOVSXD; ARPL outside 64-bit mode */
	[0x6c] = INSN_ONLY | B | IO, /* INS, OUTS */
	[0x6d] = INSN_ONLY | IO,
	[0x6e] = INSN_ONLY | B | IO,
	[0x6f] = INSN_ONLY | IO,
	[0x80] = INSN_ALU | M | B | I8 | GRP,
	[0x81] = INSN_ALU | M | IZ | GRP,
	[0x83] = INSN_ALU | M | I8 | GRP,
	[0x84] = INSN_TEST | M | B,
	[0x85] = INSN_TEST | M,
	[0x86] = INSN_XCHG | M | B,
	[0x87] = INSN_XCHG | M,
	[0x88] = INSN_STORE | M | B,
	[0x89] = INSN_STORE | M,
	[0x8a] = INSN_LOAD | M | B,
	[0x8b] = INSN_LOAD | M,
	[0x90] = INSN_ONLY, /* PAUSE, NOP */
	[0x9c] = INSN_ONLY, /* PUSHF */
	[0x9d] = INSN_ONLY, /* POPF */
	[0xa0] = INSN_LOAD | MOFFS | B,
	[0xa1] = INSN_LOAD | MOFFS,
	[0xa2] = INSN_STORE | MOFFS | B,
	[0xa3] = INSN_STORE | MOFFS,
	[0xa4] = INSN_MOVS | B,
	[0xa5] = INSN_MOVS,
	[0xaa] = INSN_STOS | B,
	[0xab] = INSN_STOS,
	[0xac] = INSN_LODS | B,
	[0xad] = INSN_LODS,
	[0xc6] = INSN_STORE | M | B | I8 | GRP,
	[0xc7] = INSN_STORE | M | IZ | GRP,
	[0xcc] = INSN_ONLY,               /* INT3 */
	[0xcd] = INSN_ONLY | I8,          /* INT n */
	[0xcf] = INSN_ONLY,               /* IRET */
	[0xe4] = INSN_ONLY | B | I8 | IO, /* IN, OUT */
	[0xe5] = INSN_ONLY | I8 | IO,
	[0xe6] = INSN_ONLY | B | I8 | IO,
	[0xe7] = INSN_ONLY | I8 | IO,
	[0xec] = INSN_ONLY | B | IO,
	[0xed] = INSN_ONLY | IO,
	[0xee] = INSN_ONLY | B | IO,
	[0xef] = INSN_ONLY | IO,
	[0xf1] = INSN_ONLY, /* INT1 */
	[0xf4] = INSN_ONLY, /* HLT */
	[0xf6] = INSN_TEST | M | B | GRP,
	[0xf7] = INSN_TEST | M | GRP,
	[0xfe] = INSN_UNARY | M | B | GRP,
	[0xff] = INSN_UNARY | M | GRP,
};

static const uint16_t map2[256] = {
	[0x00] = INSN_ONLY | M, /* SLDT, STR, LLDT, LTR */
	[0x01] = INSN_ONLY | M, /* SGDT … INVLPG, and VMMCALL, XSETBV, … in register form */
	[0x06] = INSN_ONLY,     /* CLTS */
	[0x08] = INSN_ONLY,     /* INVD */
	[0x09] = INSN_ONLY,     /* WBINVD, WBNOINVD */
	[0x20] = INSN_ONLY | M | RR, /* MOV from and to control and debug registers */
	[0x21] = INSN_ONLY | M | RR,
	[0x22] = INSN_ONLY | M | RR,
	[0x23] = INSN_ONLY | M | RR,
	[0x30] = INSN_ONLY, /* WRMSR, RDTSC, RDMSR, RDPMC */
	[0x31] = INSN_ONLY,
	[0x32] = INSN_ONLY,
	[0x33] = INSN_ONLY,
	[0xa2] = INSN_ONLY, /* CPUID */
	[0xa3] = INSN_BIT | M,
	[0xaa] = INSN_ONLY, /* RSM */
	[0xab] = INSN_BIT | M,
	[0xb0] = INSN_CMPXCHG | M | B,
	[0xb1] = INSN_CMPXCHG | M,
	[0xb3] = INSN_BIT | M,
	[0xb6] = INSN_LOAD | M,
	[0xb7] = INSN_LOAD | M,
	[0xba] = INSN_BIT | M | I8 | GRP,
	[0xbb] = INSN_BIT | M,
	[0xbe] = INSN_LOAD | M,
	[0xbf] = INSN_LOAD | M,
	[0xc0] = INSN_XADD | M | B,
	[0xc1] = INSN_XADD | M,
	[0xc3] = INSN_STORE | M, /* MOVNTI */
};

/* The only ones of the 0F 38 map; the others are vector instructions. */
static uint16_t map3(uint8_t opcode)
{
	switch (opcode) {
	case 0x82: /* INVPCID */
		return INSN_ONLY | M;
	case 0xf0: /* MOVBE */
		return INSN_LOAD | M;
	case 0xf1:
		return INSN_STORE | M;
	}
	return INSN_NONE;
}

struct cursor {
	const uint8_t *bytes;
	size_t available;
	uint8_t at;
	enum status status; /* sticky: the first reason why bytes could not be had */
};

static uint8_t next8(struct cursor *c)
{
	if (c->status != OK)
		return 0;
	if (c->at >= INSN_MAX) {
		c->status = ERR_INVALID;
		return 0;
	}
	if (c->at >= c->available) {
		c->status = ERR_FAULT;
		return 0;
	}
	return c->bytes[c->at++];
}

static uint64_t next_bytes(struct cursor *c, unsigned count)
{
	uint64_t value = 0;
	unsigned i;

	for (i = 0; i < count; i++)
		value |= (uint64_t)next8(c) << (8 * i);
	return value;
}

static int64_t next_signed(struct cursor *c, unsigned count)
{
	unsigned shift = 64 - 8 * count;

	return (int64_t)(next_bytes(c, count) << shift) >> shift;
}

struct prefixes {
	bool opsize, adsize;
	uint8_t segment; /* SEG_COUNT: none */
	uint8_t rex;     /* 0: none */
};

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

/* False: `byte` is no legacy prefix. */
static bool legacy_prefix(uint8_t byte, enum insn_mode mode, struct prefixes *p, struct insn *out)
{
	switch (byte) {
	case 0x66:
		p->opsize = true;
		return true;
	case 0x67:
		p->adsize = true;
		return true;
	case 0xf0:
		out->lock = true;
		return true;
	case 0xf2:
		out->repne = true;
		out->rep = false;
		return true;
	case 0xf3:
		out->rep = true;
		out->repne = false;
		return true;
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e: /* ES, CS, SS, DS; without effect in 64-bit mode */
		if (mode != INSN_64)
			p->segment = SEG_ES + ((byte >> 3) & 3);
		return true;
	case 0x64:
	case 0x65:
		p->segment = SEG_FS + (byte & 1);
		return true;
	}
	return false;
}

/* Returns the first byte that is no prefix. A REX counts only right before the opcode. */
static uint8_t read_prefixes(struct cursor *c, enum insn_mode mode, struct prefixes *p,
			     struct insn *out)
{
	uint8_t byte;

	p->segment = SEG_COUNT;
	for (;;) {
		byte = next8(c);
		if (c->status != OK)
			return 0;
		if (legacy_prefix(byte, mode, p, out))
			p->rex = 0;
		else if (mode == INSN_64 && (byte & 0xf0) == 0x40)
			p->rex = byte;
		else
			return byte;
	}
}

static uint8_t operand_size(enum insn_mode mode, const struct prefixes *p)
{
	if (p->rex & REX_W)
		return 8;
	return (mode == INSN_16) == p->opsize ? 4 : 2;
}

static uint8_t address_size(enum insn_mode mode, const struct prefixes *p)
{
	if (mode == INSN_64)
		return p->adsize ? 4 : 8;
	return (mode == INSN_16) == p->adsize ? 4 : 2;
}

/* SDM vol. 2, table 2-1. */
static void memory16(struct cursor *c, uint8_t modrm, struct insn *out)
{
	static const uint8_t base[] = { GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP,
					GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX };
	static const uint8_t index[] = { GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI };
	uint8_t mod = modrm >> 6, rm = modrm & 7;

	if (mod == 0 && rm == 6) {
		out->disp = next_signed(c, 2);
		return;
	}
	out->base = base[rm];
	if (rm < 4)
		out->index = index[rm];
	if (mod)
		out->disp = next_signed(c, mod);
}

/* SDM vol. 2, tables 2-2 and 2-3. */
static void memory32(struct cursor *c, uint8_t modrm, enum insn_mode mode, uint8_t rex,
		     struct insn *out)
{
	uint8_t mod = modrm >> 6, base = modrm & 7;

	if (base == 4) {
		uint8_t sib = next8(c);
		uint8_t index = ((sib >> 3) & 7) | (rex & REX_X ? 8 : 0);

		base = sib & 7;
		if (index != GPR_RSP) {
			out->index = index;
			out->scale = 1 << (sib >> 6);
		}
		if (mod == 0 && base == 5) {
			out->disp = next_signed(c, 4);
			return;
		}
	} else if (mod == 0 && base == 5) {
		out->rip_relative = mode == INSN_64;
		out->disp = next_signed(c, 4);
		return;
	}
	out->base = base | (rex & REX_B ? 8 : 0);
	if (mod)
		out->disp = next_signed(c, mod == 1 ? 1 : 4);
}

static uint8_t default_segment(const struct insn *i)
{
	return i->base == GPR_RSP || i->base == GPR_RBP ? SEG_SS : SEG_DS;
}

/* AH to BH exist only without REX. */
static void set_register(struct insn *out, uint8_t field, uint8_t rex, bool byte)
{
	out->reg = field | (rex & REX_R ? 8 : 0);
	if (byte && !rex && field >= 4) {
		out->reg = field - 4;
		out->high_byte = true;
	}
}

/* Opcodes that share one number: the reg field decides. False: not one of ours. */
static bool select_in_group(struct insn *out, uint8_t field, uint16_t *flags)
{
	out->op = field;
	switch (out->map << 8 | out->opcode) {
	case 0x1f6:
	case 0x1f7:
		if (field < 2) { /* TEST */
			*flags |= *flags & B ? I8 : IZ;
			return true;
		}
		out->kind = INSN_UNARY;
		out->op = field == 2 ? UNARY_NOT : UNARY_NEG;
		return field < 4;
	case 0x1fe:
	case 0x1ff:
		return field < 2; /* INC, DEC */
	case 0x1c6:
	case 0x1c7:
		return field == 0;
	case 0x2ba:
		out->op = field & 3;
		return field >= 4;
	}
	return true;
}

/* Operands of another size than the operand size; for loads, how to fill the rest. */
static void set_special_size(struct insn *out)
{
	switch (out->map << 8 | out->opcode) {
	case 0x163:
		out->size = out->size == 2 ? 2 : 4;
		out->sign_extend = true;
		break;
	case 0x2b6:
		out->size = 1;
		break;
	case 0x2b7:
		out->size = 2;
		break;
	case 0x2be:
		out->size = 1;
		out->sign_extend = true;
		break;
	case 0x2bf:
		out->size = 2;
		out->sign_extend = true;
		break;
	case 0x2c3: /* MOVNTI has no 16-bit form */
		out->size = out->size == 8 ? 8 : 4;
		break;
	}
}

/* What the tables say of combinations with the mode and prefixes. False: another instruction. */
static bool legal(const struct insn *i, enum insn_mode mode, const struct prefixes *p)
{
	if (i->map == 1 && i->opcode == 0x63)
		return mode == INSN_64;
	/* F2 0F 38 F0 is CRC32, and prefixes make other instructions of 0F C3. */
	if (i->map == 3 && i->opcode >= 0xf0)
		return !i->rep && !i->repne;
	if (i->map == 2 && i->opcode == 0xc3)
		return !i->rep && !i->repne && !p->opsize;
	return true;
}

static void read_opcode(struct cursor *c, uint8_t byte, struct insn *out, uint16_t *flags)
{
	out->map = 1;
	out->opcode = byte;
	if (byte != 0x0f) {
		*flags = map1[byte];
		return;
	}
	out->map = 2;
	out->opcode = next8(c);
	*flags = map2[out->opcode];
	if (out->opcode == 0x38) {
		out->map = 3;
		out->opcode = next8(c);
		*flags = map3(out->opcode);
	}
}

/* False: the opcode is one of a group, and that one is not ours. */
static bool read_modrm(struct cursor *c, enum insn_mode mode, const struct prefixes *p,
		       struct insn *out, uint16_t *flags)
{
	uint8_t modrm = next8(c);
	uint8_t field = (modrm >> 3) & 7;

	if (*flags & GRP) {
		if (!select_in_group(out, field, flags))
			return false;
	} else {
		set_register(out, field, p->rex, *flags & B);
	}
	if (modrm >> 6 == 3 || (*flags & RR))
		return true;
	out->has_mem = true;
	if (out->address_size == 2)
		memory16(c, modrm, out);
	else
		memory32(c, modrm, mode, p->rex, out);
	out->segment = default_segment(out);
	return true;
}

static void read_immediate(struct cursor *c, struct insn *out, uint16_t flags)
{
	if (flags & MOFFS) {
		out->has_mem = true;
		out->reg = GPR_RAX;
		out->disp = (int64_t)next_bytes(c, out->address_size);
	}
	if (flags & (I8 | IZ)) {
		out->has_imm = true;
		out->imm = (uint64_t)next_signed(c, flags & I8 ? 1 : out->size == 2 ? 2 : 4);
	}
}

static void set_sizes(struct insn *out, enum insn_mode mode, const struct prefixes *p,
		      uint16_t flags)
{
	out->address_size = address_size(mode, p);
	out->size = flags & B ? 1 : operand_size(mode, p);
	if ((flags & IO) && out->size == 8)
		out->size = 4;
	out->reg_size = out->size;
	out->swap = out->map == 3;
	if (out->kind == INSN_ALU && !(flags & GRP))
		out->op = out->opcode >> 3;
	if (out->kind == INSN_BIT && !(flags & GRP))
		out->op = (out->opcode >> 3) & 3;
	out->to_reg = flags & TR;
	if (out->kind >= INSN_MOVS && out->kind <= INSN_LODS)
		out->reg = GPR_RAX;
	set_special_size(out);
}

enum status insn_decode(const uint8_t *bytes, size_t available, enum insn_mode mode,
			struct insn *out)
{
	struct cursor c = { bytes, available, 0, OK };
	struct prefixes p = { 0 };
	uint16_t flags;
	uint8_t byte;

	memset(out, 0, sizeof(*out));
	out->reg = out->base = out->index = INSN_NO_REG;
	out->scale = 1;
	out->segment = SEG_DS;
	byte = read_prefixes(&c, mode, &p, out);
	read_opcode(&c, byte, out, &flags);
	if (c.status != OK)
		return c.status;
	out->kind = flags & KIND_MASK;
	if (out->kind == INSN_NONE || !legal(out, mode, &p))
		return ERR_UNSUPPORTED;
	set_sizes(out, mode, &p, flags);
	if ((flags & M) && !read_modrm(&c, mode, &p, out, &flags))
		return c.status != OK ? c.status : ERR_UNSUPPORTED;
	read_immediate(&c, out, flags);
	if (p.segment != SEG_COUNT)
		out->segment = p.segment;
	out->plain = out->has_mem && out->kind != INSN_ONLY && out->address_size == 8 &&
		     out->segment < SEG_FS;
	out->length = c.at;
	return c.status;
}
