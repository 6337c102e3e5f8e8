/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/emulate.h"

#include "core/vcpu.h"
#include "x86/regs.h"

#define ARITHMETIC_FLAGS \
	((uint64_t)(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF))

static uint64_t mask_of(uint8_t size)
{
	return ~0ull >> (64 - 8 * size);
}

static bool sign_of(uint64_t value, uint8_t size)
{
	return value >> (8 * size - 1) & 1;
}

uint64_t emulate_reg_read(const uint64_t *gpr, uint8_t reg, bool high, uint8_t size)
{
	if (high)
		return gpr[reg] >> 8 & 0xff;
	return gpr[reg] & mask_of(size);
}

void emulate_reg_write(uint64_t *gpr, uint8_t reg, bool high, uint8_t size, uint64_t value)
{
	uint64_t mask = size == 4 ? ~0ull : mask_of(size);

	value &= mask_of(size);
	if (high) {
		mask <<= 8;
		value <<= 8;
	}
	gpr[reg] = (gpr[reg] & ~mask) | value;
}

bool emulate_writes(const struct insn *i)
{
	switch ((enum insn_kind)i->kind) {
	case INSN_LOAD:
	case INSN_TEST:
		return false;
	case INSN_ALU:
		return i->op != ALU_CMP && !i->to_reg;
	case INSN_BIT:
		return i->op != BIT_TEST;
	default:
		return true;
	}
}

static int64_t sign_extend(uint64_t value, uint8_t size)
{
	unsigned shift = 64 - 8 * size;

	return (int64_t)(value << shift) >> shift;
}

uint64_t emulate_address(const struct insn *i, const uint64_t *gpr, uint64_t next_rip)
{
	uint64_t address = (uint64_t)i->disp;

	if (i->rip_relative)
		address += next_rip;
	if (i->base != INSN_NO_REG)
		address += gpr[i->base];
	if (i->index != INSN_NO_REG)
		address += gpr[i->index] * i->scale;
	/* A bit number in a register reaches beyond the operand, in both directions. */
	if (i->kind == INSN_BIT && !i->has_imm) {
		int64_t bit = sign_extend(emulate_reg_read(gpr, i->reg, false, i->size), i->size);

		address += (uint64_t)(bit >> (i->size == 8 ? 6 : i->size == 4 ? 5 : 4)) * i->size;
	}
	return i->address_size == 8 ? address : address & mask_of(i->address_size);
}

/* SF, ZF and PF of a result. */
static uint64_t result_flags(uint64_t result, uint8_t size)
{
	uint64_t flags = 0;

	if (sign_of(result, size))
		flags |= RFLAGS_SF;
	if (!(result & mask_of(size)))
		flags |= RFLAGS_ZF;
	if (!(__builtin_popcount(result & 0xff) & 1))
		flags |= RFLAGS_PF;
	return flags;
}

/* a + b + carry; flags as ADD and ADC set them. */
static uint64_t add(uint64_t a, uint64_t b, bool carry, uint8_t size, uint64_t *flags)
{
	uint64_t mask = mask_of(size), r = (a + b + carry) & mask;

	*flags = result_flags(r, size);
	if (carry ? r <= (a & mask) : r < (a & mask))
		*flags |= RFLAGS_CF;
	if (sign_of((a ^ r) & (b ^ r), size))
		*flags |= RFLAGS_OF;
	*flags |= (a ^ b ^ r) & RFLAGS_AF;
	return r;
}

/* a - b - borrow; flags as SUB, SBB and CMP set them. */
static uint64_t subtract(uint64_t a, uint64_t b, bool borrow, uint8_t size, uint64_t *flags)
{
	uint64_t mask = mask_of(size), r = (a - b - borrow) & mask;

	*flags = result_flags(r, size);
	if (borrow ? (a & mask) <= (b & mask) : (a & mask) < (b & mask))
		*flags |= RFLAGS_CF;
	if (sign_of((a ^ b) & (a ^ r), size))
		*flags |= RFLAGS_OF;
	*flags |= (a ^ b ^ r) & RFLAGS_AF;
	return r;
}

/* AF is undefined after logic; the CPUs clear it. */
static uint64_t logic(uint64_t r, uint8_t size, uint64_t *flags)
{
	*flags = result_flags(r, size);
	return r & mask_of(size);
}

static uint64_t alu(uint8_t op, uint64_t a, uint64_t b, bool carry, uint8_t size, uint64_t *flags)
{
	switch ((enum insn_alu)op) {
	case ALU_ADD:
		return add(a, b, false, size, flags);
	case ALU_OR:
		return logic(a | b, size, flags);
	case ALU_ADC:
		return add(a, b, carry, size, flags);
	case ALU_SBB:
		return subtract(a, b, carry, size, flags);
	case ALU_AND:
		return logic(a & b, size, flags);
	case ALU_XOR:
		return logic(a ^ b, size, flags);
	case ALU_SUB:
	case ALU_CMP:
		break;
	}
	return subtract(a, b, false, size, flags);
}

static void set_flags(uint64_t *rflags, uint64_t which, uint64_t flags)
{
	*rflags = (*rflags & ~which) | (flags & which);
}

static uint64_t swap_bytes(uint64_t value, uint8_t size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

void emulate_load(const struct insn *i, uint64_t *gpr, uint64_t value)
{
	if (i->swap)
		value = swap_bytes(value, i->size);
	else if (i->sign_extend)
		value = (uint64_t)sign_extend(value, i->size);
	emulate_reg_write(gpr, i->reg, i->high_byte, i->reg_size, value);
}

static bool do_alu(const struct insn *i, uint64_t *gpr, uint64_t *rflags, uint64_t src,
		   uint64_t *mem)
{
	uint64_t flags, r;

	if (i->to_reg)
		r = alu(i->op, src, *mem, *rflags & RFLAGS_CF, i->size, &flags);
	else
		r = alu(i->op, *mem, src, *rflags & RFLAGS_CF, i->size, &flags);
	set_flags(rflags, ARITHMETIC_FLAGS, flags);
	if (i->op == ALU_CMP)
		return false;
	if (i->to_reg) {
		emulate_reg_write(gpr, i->reg, i->high_byte, i->size, r);
		return false;
	}
	*mem = r;
	return true;
}

static bool do_bit(const struct insn *i, uint64_t *rflags, uint64_t src, uint64_t *mem)
{
	uint64_t bit = BIT(src & (8 * i->size - 1));

	set_flags(rflags, RFLAGS_CF, *mem & bit ? RFLAGS_CF : 0);
	switch ((enum insn_bit)i->op) {
	case BIT_TEST:
		return false;
	case BIT_SET:
		*mem |= bit;
		break;
	case BIT_RESET:
		*mem &= ~bit;
		break;
	case BIT_COMPLEMENT:
		*mem ^= bit;
		break;
	}
	return true;
}

static bool do_unary(const struct insn *i, uint64_t *rflags, uint64_t *mem)
{
	uint64_t flags = 0, which = ARITHMETIC_FLAGS;

	switch ((enum insn_unary)i->op) {
	case UNARY_INC:
		*mem = add(*mem, 1, false, i->size, &flags);
		which &= ~(uint64_t)RFLAGS_CF;
		break;
	case UNARY_DEC:
		*mem = subtract(*mem, 1, false, i->size, &flags);
		which &= ~(uint64_t)RFLAGS_CF;
		break;
	case UNARY_NOT:
		*mem = ~*mem;
		which = 0;
		break;
	case UNARY_NEG:
		*mem = subtract(0, *mem, false, i->size, &flags);
		break;
	}
	set_flags(rflags, which, flags);
	return true;
}

/* The memory operand is written in either case (SDM vol. 2, CMPXCHG). */
static bool do_cmpxchg(const struct insn *i, uint64_t *gpr, uint64_t *rflags, uint64_t src,
		       uint64_t *mem)
{
	uint64_t flags;

	(void)subtract(emulate_reg_read(gpr, GPR_RAX, false, i->size), *mem, false, i->size,
		       &flags);
	set_flags(rflags, ARITHMETIC_FLAGS, flags);
	if (flags & RFLAGS_ZF)
		*mem = src;
	else
		emulate_reg_write(gpr, GPR_RAX, false, i->size, *mem);
	return true;
}

static bool do_xadd(const struct insn *i, uint64_t *gpr, uint64_t *rflags, uint64_t src,
		    uint64_t *mem)
{
	uint64_t flags, old = *mem;

	*mem = add(old, src, false, i->size, &flags);
	set_flags(rflags, ARITHMETIC_FLAGS, flags);
	emulate_reg_write(gpr, i->reg, i->high_byte, i->size, old);
	return true;
}

static uint64_t source(const struct insn *i, const uint64_t *gpr)
{
	if (i->reg == INSN_NO_REG || i->has_imm)
		return i->imm;
	return emulate_reg_read(gpr, i->reg, i->high_byte, i->size);
}

uint64_t emulate_store(const struct insn *i, const uint64_t *gpr)
{
	uint64_t value = source(i, gpr);

	return i->swap ? swap_bytes(value, i->size) : value;
}

bool emulate(const struct insn *i, uint64_t *gpr, uint64_t *rflags, uint64_t *mem)
{
	uint64_t src = source(i, gpr), flags;

	switch ((enum insn_kind)i->kind) {
	case INSN_LOAD:
		emulate_load(i, gpr, *mem);
		return false;
	case INSN_STORE:
		*mem = emulate_store(i, gpr);
		return true;
	case INSN_ALU:
		return do_alu(i, gpr, rflags, src, mem);
	case INSN_TEST:
		(void)logic(*mem & src, i->size, &flags);
		set_flags(rflags, ARITHMETIC_FLAGS, flags);
		return false;
	case INSN_XCHG:
		emulate_reg_write(gpr, i->reg, i->high_byte, i->size, *mem);
		*mem = src;
		return true;
	case INSN_BIT:
		return do_bit(i, rflags, src, mem);
	case INSN_UNARY:
		return do_unary(i, rflags, mem);
	case INSN_CMPXCHG:
		return do_cmpxchg(i, gpr, rflags, src, mem);
	case INSN_XADD:
		return do_xadd(i, gpr, rflags, src, mem);
	default:
		return false;
	}
}
