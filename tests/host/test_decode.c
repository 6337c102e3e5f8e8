// SPDX-License-Identifier: BSD-2-Clause
// sources: core/decode.c
// libs: -lZydis
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>

#include "core/decode.h"
#include "core/vcpu.h"

/*
 * Two ways of testing: a few instructions written out by hand, and millions of random ones that are
 * compared with what the Zydis library makes of them. DECODE_RUNS multiplies the second.
 */

static struct insn must_decode(enum insn_mode mode, const char *hex)
{
	uint8_t bytes[32];
	size_t n = 0;
	struct insn i;

	while (*hex) {
		bytes[n++] = (uint8_t)strtoul((char[]){ hex[0], hex[1], 0 }, NULL, 16);
		hex += hex[2] ? 3 : 2;
	}
	assert_int_equal(insn_decode(bytes, n, mode, &i), OK);
	assert_int_equal(i.length, n);
	return i;
}

static void test_forms(void **state)
{
	struct insn i;

	(void)state;
	i = must_decode(INSN_64, "89 b8 80 00 00 00"); /* mov %edi, 0x80(%rax) */
	assert_int_equal(i.kind, INSN_STORE);
	assert_int_equal(i.size, 4);
	assert_int_equal(i.reg, GPR_RDI);
	assert_int_equal(i.base, GPR_RAX);
	assert_int_equal(i.disp, 0x80);
	i = must_decode(INSN_64, "89 34 25 00 b3 5f ff"); /* mov %esi, 0xffffffffff5fb300 */
	assert_int_equal(i.base, INSN_NO_REG);
	assert_true(i.disp == (int64_t)0xffffffffff5fb300);
	i = must_decode(INSN_64, "c7 04 25 b0 b0 5f ff 00 00 00 00"); /* movl $0, … */
	assert_true(i.has_imm && i.imm == 0 && i.size == 4);
	i = must_decode(INSN_64, "48 c7 00 fe ff ff ff");
	assert_true(i.size == 8 && i.imm == (uint64_t)-2);
	i = must_decode(INSN_64, "0f b6 03"); /* movzbl (%rbx), %eax */
	assert_true(i.kind == INSN_LOAD && i.size == 1 && i.reg_size == 4 && !i.sign_extend);
	i = must_decode(INSN_64, "88 27"); /* mov %ah, (%rdi) */
	assert_true(i.high_byte && i.reg == GPR_RAX);
	i = must_decode(INSN_64, "40 88 27"); /* mov %spl, (%rdi) */
	assert_true(!i.high_byte && i.reg == GPR_RSP);
	i = must_decode(INSN_64, "f3 48 a5");
	assert_true(i.kind == INSN_MOVS && i.rep && i.size == 8);
	i = must_decode(INSN_16, "67 66 89 04 24"); /* mov %eax, (%esp) from 16-bit code */
	assert_true(i.address_size == 4 && i.size == 4 && i.segment == SEG_SS);
	i = must_decode(INSN_16, "26 89 46 fe"); /* mov %ax, %es:-2(%bp) */
	assert_true(i.base == GPR_RBP && i.disp == -2 && i.segment == SEG_ES && i.size == 2);
	i = must_decode(INSN_64, "65 48 8b 05 10 00 00 00"); /* mov %gs:0x10(%rip), %rax */
	assert_true(i.rip_relative && i.segment == SEG_GS);
	i = must_decode(INSN_64, "a1 88 77 66 55 44 33 22 11");
	assert_true(i.disp == 0x1122334455667788 && i.reg == GPR_RAX && i.size == 4);
	i = must_decode(INSN_64, "f0 0f ba 28 05"); /* lock bts $5, (%rax) */
	assert_true(i.kind == INSN_BIT && i.op == BIT_SET && i.lock && i.imm == 5);
}

static void test_lengths(void **state)
{
	static const char *const exits[] = {
		"0f a2",    "0f 30",    "0f 32",          "0f 31",
		"0f 33",    "0f 01 d9", "0f 01 c1",       "0f 01 d1",
		"f4",       "0f 08",    "0f 09",          "f3 0f 09",
		"0f 06",    "e4 60",    "66 ed",          "ee",
		"6c",       "f3 66 6f", "0f 20 c0",       "44 0f 22 c0",
		"0f 23 f8", "0f 01 f9", "0f 01 38",       "66 0f 38 82 08",
		"2e 0f a2", "48 0f a2", "66 66 0f 01 d9", "0f 01 c8",
		"0f 01 c9", "f3 90",    "48 cf",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(exits); i++)
		assert_int_equal(must_decode(INSN_64, exits[i]).kind, INSN_ONLY);
}

static void test_refused(void **state)
{
	static const uint8_t long_one[] = { 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
					    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90 };
	static const uint8_t vex[] = { 0xc5, 0xf8, 0x29, 0x00 };
	static const uint8_t mov[] = { 0x89, 0x84, 0x24, 0x00, 0x10, 0x00, 0x00 };
	struct insn out;
	size_t i;

	(void)state;
	assert_int_equal(insn_decode(long_one, sizeof(long_one), INSN_64, &out), ERR_INVALID);
	assert_int_equal(insn_decode(vex, sizeof(vex), INSN_64, &out), ERR_UNSUPPORTED);
	for (i = 0; i < sizeof(mov); i++)
		assert_int_equal(insn_decode(mov, i, INSN_64, &out), ERR_FAULT);
	assert_int_equal(insn_decode(mov, i, INSN_64, &out), OK);
}

/* ------------------------------------------------------------------ against Zydis */

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Instructions of which the decoder must know all legacy encodings. */
static const ZydisMnemonic always[] = {
	ZYDIS_MNEMONIC_MOVZX,   ZYDIS_MNEMONIC_MOVSX,   ZYDIS_MNEMONIC_MOVSXD,
	ZYDIS_MNEMONIC_MOVNTI,  ZYDIS_MNEMONIC_MOVSB,   ZYDIS_MNEMONIC_MOVSW,
	ZYDIS_MNEMONIC_MOVSD,   ZYDIS_MNEMONIC_MOVSQ,   ZYDIS_MNEMONIC_STOSB,
	ZYDIS_MNEMONIC_STOSW,   ZYDIS_MNEMONIC_STOSD,   ZYDIS_MNEMONIC_STOSQ,
	ZYDIS_MNEMONIC_LODSB,   ZYDIS_MNEMONIC_LODSW,   ZYDIS_MNEMONIC_LODSD,
	ZYDIS_MNEMONIC_LODSQ,   ZYDIS_MNEMONIC_BT,      ZYDIS_MNEMONIC_BTS,
	ZYDIS_MNEMONIC_BTR,     ZYDIS_MNEMONIC_BTC,     ZYDIS_MNEMONIC_NOT,
	ZYDIS_MNEMONIC_NEG,     ZYDIS_MNEMONIC_CMPXCHG, ZYDIS_MNEMONIC_XADD,
	ZYDIS_MNEMONIC_CPUID,   ZYDIS_MNEMONIC_RDMSR,   ZYDIS_MNEMONIC_WRMSR,
	ZYDIS_MNEMONIC_RDTSC,   ZYDIS_MNEMONIC_HLT,     ZYDIS_MNEMONIC_INVD,
	ZYDIS_MNEMONIC_WBINVD,  ZYDIS_MNEMONIC_CLTS,    ZYDIS_MNEMONIC_VMCALL,
	ZYDIS_MNEMONIC_VMMCALL, ZYDIS_MNEMONIC_XSETBV,  ZYDIS_MNEMONIC_IN,
	ZYDIS_MNEMONIC_OUT,     ZYDIS_MNEMONIC_INSB,    ZYDIS_MNEMONIC_INSW,
	ZYDIS_MNEMONIC_INSD,    ZYDIS_MNEMONIC_OUTSB,   ZYDIS_MNEMONIC_OUTSW,
	ZYDIS_MNEMONIC_OUTSD,   ZYDIS_MNEMONIC_INVLPG,  ZYDIS_MNEMONIC_MOVBE,
};

static bool ours(const ZydisDecodedInstruction *z)
{
	size_t i;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
		       ((z->opcode >= 0x88 && z->opcode <= 0x8b) || z->opcode >= 0xc6 ||
			(z->opcode >= 0xa0 && z->opcode <= 0xa3));
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_CMP:
		return z->opcode >= 0x80 ? z->opcode != 0x82 : (z->opcode & 7) < 4;
	case ZYDIS_MNEMONIC_TEST: /* F6 /1 and F7 /1 are aliases */
		return z->opcode == 0x84 || z->opcode == 0x85 || z->opcode >= 0xf6;
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
		return z->opcode >= 0xfe;
	case ZYDIS_MNEMONIC_XCHG:
		return z->opcode == 0x86 || z->opcode == 0x87;
	default:
		break;
	}
	/* MOVSD is also the name of an SSE instruction. */
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    (z->opcode_map == ZYDIS_OPCODE_MAP_0F && z->opcode >= 0x10 && z->opcode < 0x20))
		return false;
	for (i = 0; i < ARRAY_SIZE(always); i++)
		if (always[i] == z->mnemonic)
			return true;
	return false;
}

static uint8_t gpr_of(ZydisRegister r)
{
	ZyanI8 id;

	if (r == ZYDIS_REGISTER_NONE || r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return INSN_NO_REG;
	id = ZydisRegisterGetId(r);
	/* AH to BH follow BL in Zydis' numbering of byte registers. */
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (uint8_t)(r - ZYDIS_REGISTER_AH);
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return (uint8_t)(r - ZYDIS_REGISTER_AL);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (uint8_t)(r - ZYDIS_REGISTER_SPL + 4);
	return (uint8_t)id;
}

static uint8_t segment_of(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES:
		return SEG_ES;
	case ZYDIS_REGISTER_CS:
		return SEG_CS;
	case ZYDIS_REGISTER_SS:
		return SEG_SS;
	case ZYDIS_REGISTER_FS:
		return SEG_FS;
	case ZYDIS_REGISTER_GS:
		return SEG_GS;
	default:
		return SEG_DS;
	}
}

/* Which bytes it was, when something differs. */
static uint8_t current[16];
static unsigned current_mode;

#define CHECK(cond)                              \
	do {                                     \
		if (!(cond))                     \
			report(#cond, __LINE__); \
	} while (0)

static void report(const char *what, int line)
{
	unsigned n;

	print_error("line %d: %s\nmode %u:", line, what, current_mode);
	for (n = 0; n < 15; n++)
		print_error(" %02x", current[n]);
	print_error("\n");
	fail();
}

static void compare_memory(const struct insn *i, const ZydisDecodedOperand *m, enum insn_mode mode)
{
	CHECK(i->has_mem);
	/* 66 63: SDM says r/m16, the library follows AMD's r/m32; the result is the same. */
	if (i->kind != INSN_ONLY && !(i->opcode == 0x63 && i->size == 2))
		CHECK((i->size * 8) == (m->size));
	/* Zydis 4.0.0 takes mod 0, base 5 with REX.B and 32-bit addresses for R13D: SDM says disp32. */
	if (mode == INSN_64 && i->address_size == 4 && i->base == INSN_NO_REG &&
	    m->mem.base == ZYDIS_REGISTER_R13D)
		return;
	CHECK((i->base) == (gpr_of(m->mem.base)));
	CHECK((i->index) == (gpr_of(m->mem.index)));
	CHECK((i->rip_relative) ==
	      (m->mem.base == ZYDIS_REGISTER_RIP || m->mem.base == ZYDIS_REGISTER_EIP));
	if (i->index != INSN_NO_REG && m->mem.scale)
		CHECK((i->scale) == (m->mem.scale));
	if (m->mem.disp.has_displacement) {
		uint64_t mask = i->address_size == 8 ? ~0ull : BIT(8 * i->address_size) - 1;

		CHECK(((uint64_t)i->disp & mask) == ((uint64_t)m->mem.disp.value & mask));
	} else {
		CHECK(i->disp == 0);
	}
	/* In 64-bit mode ES, CS, SS and DS are all flat; only FS and GS matter. */
	if (mode != INSN_64 || i->segment >= SEG_FS || m->mem.segment == ZYDIS_REGISTER_FS ||
	    m->mem.segment == ZYDIS_REGISTER_GS)
		CHECK((i->segment) == (segment_of(m->mem.segment)));
}

static void compare(const struct insn *i, const ZydisDecodedInstruction *z,
		    const ZydisDecodedOperand *op, enum insn_mode mode)
{
	unsigned n;

	CHECK((i->length) == (z->length));
	if (i->kind == INSN_ONLY)
		return;
	CHECK((i->address_size * 8) == (z->address_width));
	for (n = 0; n < z->operand_count_visible; n++) {
		if (op[n].type == ZYDIS_OPERAND_TYPE_MEMORY && i->kind != INSN_MOVS &&
		    i->kind != INSN_STOS && i->kind != INSN_LODS)
			compare_memory(i, &op[n], mode);
		if (op[n].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			CHECK(i->has_imm);
			if (op[n].imm.is_signed)
				CHECK((int64_t)i->imm == op[n].imm.value.s);
			else
				CHECK((uint8_t)i->imm == (uint8_t)op[n].imm.value.u);
		}
		/* With a memory operand there is one register, and we must have found it. */
		if (op[n].type == ZYDIS_OPERAND_TYPE_REGISTER && i->has_mem) {
			CHECK((i->reg) == (gpr_of(op[n].reg.value)));
			CHECK((i->high_byte) == (op[n].reg.value >= ZYDIS_REGISTER_AH &&
						 op[n].reg.value <= ZYDIS_REGISTER_BH));
			if (i->kind == INSN_LOAD)
				CHECK((i->reg_size * 8) == (op[n].size));
		}
	}
	if (i->kind == INSN_MOVS || i->kind == INSN_LODS) {
		for (n = 0; n < z->operand_count; n++)
			if (op[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    gpr_of(op[n].mem.base) == GPR_RSI &&
			    (mode != INSN_64 || i->segment >= SEG_FS))
				CHECK((i->segment) == (segment_of(op[n].mem.segment)));
		CHECK((i->size * 8) == (z->operand_width == 8 ? 8 : z->operand_width));
	}
}

/* Random bytes, biased towards prefixes and two-byte opcodes. */
static void random_bytes(uint8_t bytes[16])
{
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e,
					    0x26, 0x64, 0x65, 0x48, 0x41, 0x44, 0x4f, 0x40 };
	uint64_t a = random64(), b = random64(), r = random64();
	unsigned at = 0;

	memcpy(bytes, &a, 8);
	memcpy(bytes + 8, &b, 8);
	while ((r & 3) == 0 && at < 12) {
		bytes[at++] = prefixes[(r >> 2) & 15];
		r >>= 6;
	}
	if ((r & 7) == 1)
		bytes[at++] = 0x0f;
	if ((r & 0x3f) == 9)
		bytes[at++] = 0x38;
}

static void test_against_zydis(void **state)
{
	static const ZydisMachineMode machine[] = { ZYDIS_MACHINE_MODE_LEGACY_16,
						    ZYDIS_MACHINE_MODE_LEGACY_32,
						    ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth width[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
						 ZYDIS_STACK_WIDTH_64 };
	const char *env = getenv("DECODE_RUNS");
	unsigned long runs = 1000000 * (env ? strtoul(env, NULL, 0) : 1), n, accepted = 0;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	ZydisDecoder decoder[3];
	unsigned mode;

	(void)state;
	for (mode = 0; mode < 3; mode++)
		ZydisDecoderInit(&decoder[mode], machine[mode], width[mode]);
	for (n = 0; n < runs; n++) {
		uint8_t bytes[16];
		struct insn i;
		enum status s;
		bool valid;

		mode = n % 3;
		random_bytes(bytes);
		memcpy(current, bytes, 16);
		current_mode = mode;
		s = insn_decode(bytes, 15, (enum insn_mode)mode, &i);
		valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder[mode], bytes, 15, &z, op));
		if (valid && (s == OK || ours(&z))) {
			CHECK(s == OK);
			compare(&i, &z, op, (enum insn_mode)mode);
			accepted++;
		}
	}
	assert_true(accepted > runs / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_against_zydis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
