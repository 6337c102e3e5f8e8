// SPDX-License-Identifier: BSD-2-Clause
// sources: core/emulate.c core/decode.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/emulate.h"
#include "x86/asm.h"
#include "core/vcpu.h"
#include "x86/regs.h"

/*
 * The CPU that runs the tests is the oracle: each instruction is executed natively on one copy of
 * registers and memory, and by decoder and emulator on another.
 */
#define FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static uint8_t *code;
static uint64_t random_state = 88172645463325252ull;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Values at which carries and signs change are more interesting than the rest. */
static uint64_t operand(void)
{
	static const uint64_t edges[] = { 0,          1,      0x7f,       0x80,       0xff,
					  0x7fff,     0x8000, 0xffff,     0x7fffffff, 0x80000000,
					  0xffffffff, ~0ull,  1ull << 63, ~0ull >> 1 };
	uint64_t r = random64();

	return r & 1 ? edges[(r >> 1) % ARRAY_SIZE(edges)] : random64();
}

static void run_native(uint64_t *gpr, uint64_t *rflags)
{
	uint64_t flags = *rflags;

	/* The red zone is not ours to push into. */
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "push %[flags]\n\t"
			 "popfq\n\t"
			 "call *%[code]\n\t"
			 "pushfq\n\t"
			 "pop %[flags]\n\t"
			 "lea 128(%%rsp), %%rsp"
			 : "+a"(gpr[GPR_RAX]), "+c"(gpr[GPR_RCX]), "+d"(gpr[GPR_RDX]),
			   "+b"(gpr[GPR_RBX]), [flags] "+r"(flags)
			 : "D"(gpr[GPR_RDI]), [code] "r"(code)
			 : "memory", "cc");
	*rflags = flags;
}

struct form {
	uint8_t opcode[3];
	uint8_t length;
	int8_t group;      /* value of ModRM's reg field, -1: a register */
	uint8_t immediate; /* 0, 1 or 4: an operand-size one of at most 4 bytes */
	bool byte;
};

static const struct form forms[] = {
	{ { 0x84 }, 1, -1, 0, true },
	{ { 0x85 }, 1, -1, 0, false },
	{ { 0x86 }, 1, -1, 0, true },
	{ { 0x87 }, 1, -1, 0, false },
	{ { 0x88 }, 1, -1, 0, true },
	{ { 0x89 }, 1, -1, 0, false },
	{ { 0x8a }, 1, -1, 0, true },
	{ { 0x8b }, 1, -1, 0, false },
	{ { 0x63 }, 1, -1, 0, false },
	{ { 0xc6 }, 1, 0, 1, true },
	{ { 0xc7 }, 1, 0, 4, false },
	{ { 0xf6 }, 1, 0, 1, true },
	{ { 0xf7 }, 1, 0, 4, false },
	{ { 0xf6 }, 1, 2, 0, true },
	{ { 0xf7 }, 1, 2, 0, false },
	{ { 0xf6 }, 1, 3, 0, true },
	{ { 0xf7 }, 1, 3, 0, false },
	{ { 0xfe }, 1, 0, 0, true },
	{ { 0xff }, 1, 0, 0, false },
	{ { 0xfe }, 1, 1, 0, true },
	{ { 0xff }, 1, 1, 0, false },
	{ { 0x0f, 0xa3 }, 2, -1, 0, false },
	{ { 0x0f, 0xab }, 2, -1, 0, false },
	{ { 0x0f, 0xb3 }, 2, -1, 0, false },
	{ { 0x0f, 0xbb }, 2, -1, 0, false },
	{ { 0x0f, 0xba }, 2, 4, 1, false },
	{ { 0x0f, 0xba }, 2, 5, 1, false },
	{ { 0x0f, 0xba }, 2, 6, 1, false },
	{ { 0x0f, 0xba }, 2, 7, 1, false },
	{ { 0x0f, 0xb0 }, 2, -1, 0, true },
	{ { 0x0f, 0xb1 }, 2, -1, 0, false },
	{ { 0x0f, 0xb6 }, 2, -1, 0, false },
	{ { 0x0f, 0xb7 }, 2, -1, 0, false },
	{ { 0x0f, 0xbe }, 2, -1, 0, false },
	{ { 0x0f, 0xbf }, 2, -1, 0, false },
	{ { 0x0f, 0xc0 }, 2, -1, 0, true },
	{ { 0x0f, 0xc1 }, 2, -1, 0, false },
	{ { 0x0f, 0xc3 }, 2, -1, 0, false },
	{ { 0x0f, 0x38, 0xf0 }, 3, -1, 0, false },
	{ { 0x0f, 0x38, 0xf1 }, 3, -1, 0, false },
};

/* Write the instruction with operand (%rdi); returns its length. */
static size_t assemble(const struct form *f, unsigned prefix, unsigned reg)
{
	size_t n = 0, i;
	bool wide = prefix == 3;

	if (prefix == 1)
		code[n++] = 0x66;
	if (prefix == 2)
		code[n++] = 0x40;
	if (wide)
		code[n++] = 0x48;
	for (i = 0; i < f->length; i++)
		code[n++] = f->opcode[i];
	code[n++] = (uint8_t)((f->group >= 0 ? (unsigned)f->group : reg) << 3 | 7);
	for (i = 0; i < (f->immediate == 4 && prefix == 1 ? 2 : f->immediate); i++)
		code[n++] = (uint8_t)random64();
	code[n] = 0xc3; /* ret */
	return n;
}

static void report(const char *what, size_t length)
{
	size_t i;

	print_error("%s differs:", what);
	for (i = 0; i < length; i++)
		print_error(" %02x", code[i]);
	print_error("\n");
	fail();
}

/* Flags that the instruction defines; AND, OR, XOR and TEST leave AF undefined. */
static uint64_t defined_flags(const struct insn *i)
{
	if (i->kind == INSN_BIT)
		return RFLAGS_CF;
	if (i->kind == INSN_TEST)
		return FLAGS & ~RFLAGS_AF;
	if (i->kind == INSN_ALU && (i->op == ALU_AND || i->op == ALU_OR || i->op == ALU_XOR))
		return FLAGS & ~RFLAGS_AF;
	return FLAGS;
}

#define WORDS 64

static void compare(size_t length)
{
	static uint64_t memory[WORDS], before[WORDS];
	uint64_t gpr[GPR_COUNT] = { 0 }, native[GPR_COUNT];
	uint64_t rflags, native_flags, value = 0, where;
	struct insn insn;
	unsigned i;

	assert_int_equal(insn_decode(code, length, INSN_64, &insn), OK);
	assert_int_equal(insn.length, length);
	assert_true(insn.has_mem);
	for (i = 0; i < 4; i++)
		gpr[i] = operand();
	for (i = 0; i < WORDS; i++)
		memory[i] = operand();
	if (insn.kind == INSN_BIT && !insn.has_imm) /* stay within the array */
		gpr[insn.reg] = random64() & 1 ? -(random64() % 1000) : random64() % 1000;
	if (insn.kind == INSN_CMPXCHG && (random64() & 1))
		gpr[GPR_RAX] = memory[WORDS / 2];
	gpr[GPR_RDI] = (uint64_t)&memory[WORDS / 2];
	rflags = (random64() & FLAGS) | RFLAGS_RESERVED;
	memcpy(native, gpr, sizeof(gpr));
	memcpy(before, memory, sizeof(memory));
	native_flags = rflags;

	where = emulate_address(&insn, gpr, 0) - (uint64_t)memory;
	assert_true(where + insn.size <= sizeof(memory));
	if (emulate_reads(&insn))
		memcpy(&value, (uint8_t *)before + where, insn.size);
	if (emulate(&insn, gpr, &rflags, &value))
		memcpy((uint8_t *)before + where, &value, insn.size);

	run_native(native, &native_flags);
	if (memcmp(before, memory, sizeof(memory)))
		report("memory", length);
	if (memcmp(gpr, native, sizeof(gpr)))
		report("a register", length);
	if ((rflags ^ native_flags) & defined_flags(&insn))
		report("a flag", length);
}

static bool has_movbe(void)
{
	return cpuid(1, 0).ecx & BIT(22); /* no feature name in clang 14 */
}

static void test_against_cpu(void **state)
{
	const char *env = getenv("EMULATE_RUNS");
	unsigned runs = 40 * (env ? (unsigned)strtoul(env, NULL, 0) : 1), n, prefix, reg;
	struct form alu = { { 0 }, 1, -1, 0, false };
	size_t i;

	(void)state;
	for (n = 0; n < runs; n++) {
		for (prefix = 0; prefix < 4; prefix++) {
			for (i = 0; i < ARRAY_SIZE(forms); i++) {
				const struct form *f = &forms[i];
				/* AH to BH are registers 4 to 7, without REX only. */
				unsigned regs = f->byte && prefix < 2 ? 8 : 4;

				if (f->opcode[0] == 0x0f && f->opcode[1] == 0xc3 && prefix == 1)
					continue;
				if (f->length == 3 && !has_movbe())
					continue;
				for (reg = 0; reg < regs; reg++)
					compare(assemble(f, prefix, reg));
			}
			for (i = 0; i < 0x40; i++) {
				if ((i & 7) > 3)
					continue;
				alu.opcode[0] = (uint8_t)i;
				alu.byte = !(i & 1);
				for (reg = 0; reg < 4; reg++)
					compare(assemble(&alu, prefix, reg));
			}
			for (i = 0; i < 8; i++) {
				struct form group = { { 0x80 }, 1, (int8_t)i, 1, true };

				compare(assemble(&group, prefix, 0));
				group = (struct form){ { 0x81 }, 1, (int8_t)i, 4, false };
				compare(assemble(&group, prefix, 0));
				group = (struct form){ { 0x83 }, 1, (int8_t)i, 1, false };
				compare(assemble(&group, prefix, 0));
			}
		}
	}
}

static void test_registers(void **state)
{
	uint64_t gpr[GPR_COUNT] = { 0x1122334455667788 };

	(void)state;
	assert_true(emulate_reg_read(gpr, GPR_RAX, true, 1) == 0x77);
	emulate_reg_write(gpr, GPR_RAX, true, 1, 0xab);
	assert_true(gpr[0] == 0x112233445566ab88);
	emulate_reg_write(gpr, GPR_RAX, false, 2, 0x12345);
	assert_true(gpr[0] == 0x1122334455662345);
	emulate_reg_write(gpr, GPR_RAX, false, 4, 0xfffffffff);
	assert_true(gpr[0] == 0xffffffff);
	emulate_reg_write(gpr, GPR_RAX, false, 8, ~0ull);
	assert_true(gpr[0] == ~0ull);
}

static void test_addresses(void **state)
{
	uint64_t gpr[GPR_COUNT] = { 0 };
	struct insn i = { .base = GPR_RAX,
			  .index = GPR_RCX,
			  .scale = 8,
			  .disp = -16,
			  .address_size = 8,
			  .size = 4 };

	(void)state;
	gpr[GPR_RAX] = 0x1000;
	gpr[GPR_RCX] = 2;
	assert_true(emulate_address(&i, gpr, 0) == 0x1000);
	i.address_size = 4;
	gpr[GPR_RAX] = 0xfffffffffffffff8;
	assert_true(emulate_address(&i, gpr, 0) == 0xfffffff8);
	i.address_size = 2;
	assert_true(emulate_address(&i, gpr, 0) == 0xfff8);
	i = (struct insn){ .base = INSN_NO_REG,
			   .index = INSN_NO_REG,
			   .rip_relative = true,
			   .disp = 8,
			   .address_size = 8,
			   .size = 4 };
	assert_true(emulate_address(&i, gpr, 0x400000) == 0x400008);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_against_cpu),
	};

	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (code == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
