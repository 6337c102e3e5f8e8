/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_EMULATE_H
#define LAMINA_CORE_EMULATE_H

#include "core/decode.h"
#include "types.h"

/* What decoded instructions do to registers, flags and one memory operand. Pure. */

/* A register operand of `size` bytes, zero-extended; `high`: AH, CH, DH or BH. */
uint64_t emulate_reg_read(const uint64_t *gpr, uint8_t reg, bool high, uint8_t size);

/* Write it as the CPU does: 4 bytes clear the upper half, 1 and 2 leave the rest. */
void emulate_reg_write(uint64_t *gpr, uint8_t reg, bool high, uint8_t size, uint64_t value);

/* Whether the instruction needs the memory operand's old value. Not for string instructions. */
static inline bool emulate_reads(const struct insn *i)
{
	return i->kind != INSN_STORE;
}

/* Whether it can write to it. Likewise. */
bool emulate_writes(const struct insn *i);

/* The offset of the memory operand in its segment, before truncation to address_size. */
uint64_t emulate_address(const struct insn *i, const uint64_t *gpr, uint64_t next_rip);

/* An INSN_LOAD of that value. */
void emulate_load(const struct insn *i, uint64_t *gpr, uint64_t value);

/* What an INSN_STORE writes. */
uint64_t emulate_store(const struct insn *i, const uint64_t *gpr);

/*
 * Execute. *mem is the memory operand's value (if it is read) and, when true is returned, what has
 * to be written there. Not for string instructions and INSN_ONLY.
 */
bool emulate(const struct insn *i, uint64_t *gpr, uint64_t *rflags, uint64_t *mem);

#endif
