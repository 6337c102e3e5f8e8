// SPDX-License-Identifier: BSD-2-Clause
// sources: tests/host/vcpu_fixture.c core/walk.c core/decode.c mm/slot.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vcpu_fixture.h"
#include "x86/regs.h"

static void put64(uint64_t gpa, uint64_t value)
{
	memcpy(memory + gpa, &value, 8);
}

static uint64_t get64(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, memory + gpa, 8);
	return value;
}

static void put32(uint64_t gpa, uint32_t value)
{
	memcpy(memory + gpa, &value, 4);
}

#define P  1ull
#define W  2ull
#define U  4ull
#define A  0x20ull
#define D  0x40ull
#define PS 0x80ull
#define NX BIT(63)

/* Tables of the 4-level mode: at 0x1000, 0x2000, 0x3000 and 0x4000; pages from 0x10000. */
#define GLA 0xffff812345678000ull /* any canonical address with index bits in all levels */

static uint64_t at(uint64_t table, unsigned level, uint64_t gla)
{
	return table + ((gla >> (12 + 9 * (level - 1))) & 511) * 8;
}

static void map4(uint64_t gla, uint64_t leaf)
{
	put64(at(0x1000, 4, gla), 0x2000 | P | W | U);
	put64(at(0x2000, 3, gla), 0x3000 | P | W | U);
	put64(at(0x3000, 2, gla), 0x4000 | P | W | U);
	put64(at(0x4000, 1, gla), leaf);
}

static int setup(void **state)
{
	(void)state;
	vcpu_fixture_setup();
	sregs.cr0 = CR0_PE | CR0_WP | CR0_PG;
	sregs.cr4 = CR4_PAE;
	sregs.cr3 = 0x1000;
	sregs.efer = EFER_LME | EFER_LMA | EFER_NXE;
	sregs.seg[SEG_CS] = (struct segment){ 0x10, 0xa09b, 0xffffffff, 0 };
	sregs.seg[SEG_DS] = (struct segment){ 0x18, 0xc093, 0xffffffff, 0 };
	sregs.seg[SEG_SS] = sregs.seg[SEG_DS];
	return 0;
}

static enum status walk(uint64_t gla, unsigned access, uint64_t *gpa, uint32_t *error)
{
	gpa_t out = GPA(0);
	struct vcpu_paging p = paging_now();
	enum status s = walk_gla(&vcpu, &p, gla, access, &out, error);

	*gpa = out.v;
	return s;
}

static void expect_gpa(uint64_t gla, unsigned access, uint64_t expected)
{
	uint32_t error = 0;
	uint64_t gpa;

	assert_int_equal(walk(gla, access, &gpa, &error), OK);
	assert_true(gpa == expected);
}

static void expect_fault(uint64_t gla, unsigned access, uint32_t expected)
{
	uint32_t error = 0;
	uint64_t gpa;

	assert_int_equal(walk(gla, access, &gpa, &error), ERR_FAULT);
	assert_int_equal(error, expected);
}

static void test_four_levels(void **state)
{
	(void)state;
	map4(GLA, 0x12000 | P | W);
	expect_gpa(GLA + 0x123, 0, 0x12123);
	/* Accessed everywhere, dirty only by a write. */
	assert_true(get64(at(0x1000, 4, GLA)) & A);
	assert_true(get64(at(0x2000, 3, GLA)) & A);
	assert_true(get64(at(0x3000, 2, GLA)) & A);
	assert_true((get64(at(0x4000, 1, GLA)) & (A | D)) == A);
	expect_gpa(GLA + 0x123, WALK_WRITE, 0x12123);
	assert_true((get64(at(0x4000, 1, GLA)) & (A | D)) == (A | D));
	assert_false(get64(at(0x3000, 2, GLA)) & D);
	expect_fault(GLA + 0x1000, 0, 0);
	expect_fault(GLA + 0x1000, WALK_WRITE, PF_W);
	expect_fault(GLA + 0x1000, WALK_FETCH, PF_I);
}

static void test_large_pages(void **state)
{
	(void)state;
	map4(GLA, 0);
	put64(at(0x3000, 2, GLA), 0x40000000 | P | W | PS);
	expect_gpa(GLA | 0x1fffff, 0, 0x401fffff);
	put64(at(0x3000, 2, GLA), 0x40002000 | P | W | PS);
	expect_fault(GLA, 0, PF_P | PF_RSVD);
	put64(at(0x2000, 3, GLA), 0x80000000 | P | PS);
	expect_gpa(GLA, 0, 0x80000000 + (GLA & 0x3fffffff));
	put64(at(0x1000, 4, GLA), 0x2000 | P | W | PS);
	expect_fault(GLA, 0, PF_P | PF_RSVD);
}

static void test_reserved_bits(void **state)
{
	(void)state;
	map4(GLA, 0x12000 | P | BIT(40));
	expect_fault(GLA, 0, PF_P | PF_RSVD);
	map4(GLA, 0x12000 | P | BIT(52)); /* for software */
	expect_gpa(GLA, 0, 0x12000);
	map4(GLA, 0x12000 | P | NX);
	expect_gpa(GLA, 0, 0x12000);
	sregs.efer &= ~(uint64_t)EFER_NXE;
	expect_fault(GLA, 0, PF_P | PF_RSVD);
}

static void test_user_and_supervisor(void **state)
{
	(void)state;
	map4(GLA, 0x12000 | P | W);
	sregs.cpl = 3;
	expect_fault(GLA, 0, PF_P | PF_U);
	map4(GLA, 0x12000 | P | W | U);
	expect_gpa(GLA, WALK_WRITE, 0x12000);
	/* One level without U is enough. */
	put64(at(0x3000, 2, GLA), 0x4000 | P | W);
	expect_fault(GLA, WALK_WRITE, PF_P | PF_U | PF_W);
	map4(GLA, 0x12000 | P | U);
	expect_fault(GLA, WALK_WRITE, PF_P | PF_U | PF_W);
	sregs.cpl = 0;
	expect_fault(GLA, WALK_WRITE, PF_P | PF_W);
	sregs.cr0 &= ~(uint64_t)CR0_WP;
	expect_gpa(GLA, WALK_WRITE, 0x12000);
}

static void test_execute(void **state)
{
	(void)state;
	map4(GLA, 0x12000 | P | U | NX);
	expect_fault(GLA, WALK_FETCH, PF_P | PF_I);
	map4(GLA, 0x12000 | P | U);
	expect_gpa(GLA, WALK_FETCH, 0x12000);
	sregs.cr4 |= CR4_SMEP;
	expect_fault(GLA, WALK_FETCH, PF_P | PF_I);
	sregs.cpl = 3;
	expect_gpa(GLA, WALK_FETCH, 0x12000);
}

static void test_smap(void **state)
{
	(void)state;
	map4(GLA, 0x12000 | P | W | U);
	sregs.cr4 |= CR4_SMAP;
	expect_fault(GLA, 0, PF_P);
	expect_fault(GLA, WALK_WRITE, PF_P | PF_W);
	vcpu.rflags |= RFLAGS_AC;
	expect_gpa(GLA, 0, 0x12000);
	vcpu.rflags &= ~(uint64_t)RFLAGS_AC;
	sregs.cpl = 3;
	expect_gpa(GLA, 0, 0x12000);
}

static void test_five_levels(void **state)
{
	(void)state;
	map4(GLA, 0x12000 | P);
	sregs.cr4 |= CR4_LA57;
	sregs.cr3 = 0x5000;
	put64(at(0x5000, 5, GLA), 0x1000 | P | W);
	expect_gpa(GLA, 0, 0x12000);
	assert_true(get64(at(0x5000, 5, GLA)) & A);
}

static void test_pae(void **state)
{
	uint64_t gla = 0xc0801234;

	(void)state;
	sregs.efer = 0;
	sregs.cr3 = 0x1020; /* 32-byte aligned */
	put64(0x1020 + 3 * 8, 0x3000 | P);
	put64(at(0x3000, 2, gla), 0x4000 | P | W | U);
	put64(at(0x4000, 1, gla), 0x12000 | P | W | U);
	expect_gpa(gla, WALK_WRITE, 0x12234);
	/* A PDPTE has no accessed bit. */
	assert_true(get64(0x1020 + 3 * 8) == (0x3000 | P));
	put64(at(0x3000, 2, gla), 0x40000000 | P | W | PS);
	expect_gpa(gla, 0, 0x40001234);
	put64(0x1020 + 3 * 8, 0);
	expect_fault(gla, 0, 0);
}

static void test_two_levels(void **state)
{
	uint64_t gla = 0xc0401234;

	(void)state;
	sregs.efer = 0;
	sregs.cr4 = CR4_PSE;
	sregs.cr3 = 0x1fff; /* flags are ignored */
	put32(0x1000 + (gla >> 22) * 4, 0x2000 | P | W | U);
	put32(0x2000 + ((gla >> 12) & 1023) * 4, 0x12000 | P | W);
	expect_gpa(gla, WALK_WRITE, 0x12234);
	assert_int_equal(memory[0x1000 + (gla >> 22) * 4] & 0x60, A);
	expect_fault(gla + 0x1000, WALK_FETCH, 0); /* no NX: no fetch bit in the error code */
	put32(0x1000 + (gla >> 22) * 4, 0x00c00000 | P | W | PS | 5 << 13);
	expect_gpa(gla, 0, 0x500c01234);
	put32(0x1000 + (gla >> 22) * 4, 0x00c00000 | P | PS | BIT(21));
	expect_fault(gla, 0, PF_P | PF_RSVD);
	/* Without PSE the bit means nothing. */
	sregs.cr4 = 0;
	put32(0x1000 + (gla >> 22) * 4, 0x2000 | P | W | PS);
	expect_gpa(gla, 0, 0x12234);
}

static void test_no_paging(void **state)
{
	(void)state;
	sregs.cr0 = CR0_PE;
	sregs.efer = 0;
	expect_gpa(0x12345, WALK_WRITE, 0x12345);
	expect_gpa(0x100012345, 0, 0x12345);
}

static void test_tables_outside_memory(void **state)
{
	uint32_t error;
	uint64_t gpa;

	(void)state;
	sregs.cr3 = 0x7f000000;
	assert_int_equal(walk(GLA, 0, &gpa, &error), ERR_NOT_FOUND);
}

static enum status linear(uint8_t seg, uint64_t offset, size_t size, unsigned access, uint64_t *gla)
{
	struct vcpu_paging p = paging_now();

	return walk_segment(&vcpu, &p, seg, offset, size, access, gla, &done.vector);
}

static void test_segments_64(void **state)
{
	uint64_t gla;

	(void)state;
	sregs.seg[SEG_DS].base = 0x1000; /* ignored */
	sregs.seg[SEG_GS].base = 0xffff888000000000;
	assert_int_equal(linear(SEG_DS, 0x10, 8, 0, &gla), OK);
	assert_true(gla == 0x10);
	assert_int_equal(linear(SEG_GS, 0x10, 8, 0, &gla), OK);
	assert_true(gla == 0xffff888000000010);
	assert_int_equal(linear(SEG_DS, 0x800000000000, 8, 0, &gla), ERR_FAULT);
	assert_int_equal(done.vector, VEC_GP);
	assert_int_equal(linear(SEG_SS, 0x7ffffffffffc, 8, 0, &gla), ERR_FAULT);
	assert_int_equal(done.vector, VEC_SS);
	sregs.cr4 |= CR4_LA57;
	assert_int_equal(linear(SEG_DS, 0x800000000000, 8, 0, &gla), OK);
}

static void test_segments_32(void **state)
{
	uint64_t gla;

	(void)state;
	sregs.efer = 0;
	sregs.seg[SEG_CS] = (struct segment){ 8, 0xc09b, 0xffffffff, 0 };
	sregs.seg[SEG_DS] = (struct segment){ 16, 0x4093, 0xfff, 0x10000 };
	assert_int_equal(linear(SEG_DS, 0xffc, 4, WALK_WRITE, &gla), OK);
	assert_true(gla == 0x10ffc);
	assert_int_equal(linear(SEG_DS, 0xffd, 4, 0, &gla), ERR_FAULT);
	sregs.seg[SEG_DS].access = 0x4091; /* read-only */
	assert_int_equal(linear(SEG_DS, 0, 4, 0, &gla), OK);
	assert_int_equal(linear(SEG_DS, 0, 4, WALK_WRITE, &gla), ERR_FAULT);
	sregs.seg[SEG_DS].access = 0x4097; /* expand-down */
	assert_int_equal(linear(SEG_DS, 0xfff, 1, 0, &gla), ERR_FAULT);
	assert_int_equal(linear(SEG_DS, 0x1000, 4, 0, &gla), OK);
	assert_int_equal(linear(SEG_DS, 0xfffffffe, 4, 0, &gla), ERR_FAULT);
	sregs.seg[SEG_DS].access = 0x4013; /* not present */
	assert_int_equal(linear(SEG_DS, 0x1000, 4, 0, &gla), ERR_FAULT);
	assert_int_equal(linear(SEG_CS, 0x1000, 4, WALK_WRITE, &gla), ERR_FAULT);
	assert_int_equal(linear(SEG_CS, 0x1000, 4, 0, &gla), OK);
	/* The base wraps at 4 GiB. */
	sregs.seg[SEG_DS] = (struct segment){ 16, 0xc093, 0xffffffff, 0xfffff000 };
	assert_int_equal(linear(SEG_DS, 0x1800, 4, 0, &gla), OK);
	assert_true(gla == 0x800);
}

static void test_real_mode(void **state)
{
	uint64_t gla;

	(void)state;
	sregs.cr0 = 0;
	sregs.efer = 0;
	sregs.seg[SEG_CS] = (struct segment){ 0xf000, 0x93, 0xffff, 0xf0000 };
	sregs.seg[SEG_DS] = (struct segment){ 0x1234, 0x93, 0xffff, 0x12340 };
	assert_int_equal(vcpu_mode(&(struct vcpu_paging){ .cs_access = 0x93 }), INSN_16);
	assert_int_equal(linear(SEG_DS, 0x10, 2, WALK_WRITE, &gla), OK);
	assert_true(gla == 0x12350);
	assert_int_equal(linear(SEG_CS, 0xffff, 1, WALK_WRITE, &gla), OK);
	assert_int_equal(linear(SEG_DS, 0xffff, 2, 0, &gla), ERR_FAULT);
}

static void test_copy(void **state)
{
	uint64_t value = 0x1122334455667788, back = 0;

	(void)state;
	map4(GLA, 0x12000 | P | W);
	put64(at(0x4000, 1, GLA + 0x1000), 0x20000 | P | W);
	/* Across a page. */
	assert_int_equal(vcpu_write_linear(&vcpu, GLA + 0xffd, &value, 8), OK);
	assert_int_equal(memory[0x12ffd], 0x88);
	assert_int_equal(memory[0x20000], 0x55);
	assert_int_equal(vcpu_read_linear(&vcpu, GLA + 0xffd, &back, 8, false), OK);
	assert_true(back == value);
	/* The second page faults: nothing is written. */
	put64(at(0x4000, 1, GLA + 0x1000), 0);
	memory[0x12ffd] = 0;
	assert_int_equal(vcpu_write_linear(&vcpu, GLA + 0xffd, &value, 8), ERR_FAULT);
	assert_int_equal(memory[0x12ffd], 0);
	assert_int_equal(done.page_faults, 1);
	assert_true(done.gla == GLA + 0x1000);
	assert_int_equal(done.error, PF_W);
	/* Both fault: the first one is reported. */
	put64(at(0x4000, 1, GLA), 0);
	assert_int_equal(vcpu_write_linear(&vcpu, GLA + 0xffd, &value, 8), ERR_FAULT);
	assert_true(done.gla == GLA + 0xffd);
	/* Mapped to where there is no memory. */
	map4(GLA, 0x40000000 | P | W);
	assert_int_equal(vcpu_read_linear(&vcpu, GLA, &back, 8, false), ERR_FAULT);
	assert_int_equal(done.deaths, 1);
}

/* An instruction at the end of a page: the next page is only touched if it is needed. */
static void test_fetch(void **state)
{
	struct vcpu_paging p = paging_now();
	struct fetched f;

	(void)state;
	map4(GLA, 0x12000 | P);
	memory[0x12ffe] = 0x0f; /* CPUID */
	memory[0x12fff] = 0xa2;
	vcpu.rip = GLA + 0xffe;
	assert_int_equal(vcpu_instruction_length(&vcpu), 2);
	assert_int_equal(done.page_faults, 0);
	memory[0x12ffe] = 0x66;
	memory[0x12fff] = 0x0f;
	assert_int_equal(vcpu_instruction_length(&vcpu), 0);
	assert_int_equal(done.page_faults, 1);
	assert_true(done.gla == GLA + 0x1000);
	assert_int_equal(done.error, PF_I);
	put64(at(0x4000, 1, GLA + 0x1000), 0x20000 | P);
	memory[0x20000] = 0xa2;
	assert_int_equal(vcpu_instruction_length(&vcpu), 3);
	memory[0x20000] = 0xff;
	assert_int_equal(walk_fetch(&vcpu, &p, &f), ERR_UNSUPPORTED);
	assert_int_equal(f.count, INSN_MAX);
}

/* What lies in one page and can be fetched; nothing else, and without a fault. */
static void test_fetch_bytes(void **state)
{
	uint8_t bytes[4] = { 0 };

	(void)state;
	map4(GLA, 0x12000 | P);
	memory[0x12ffe] = 0x0f;
	memory[0x12fff] = 0xa2;
	vcpu.rip = GLA + 0xffe;
	assert_true(vcpu_fetch_bytes(&vcpu, bytes, 2));
	assert_memory_equal(bytes, "\x0f\xa2\0", 4);
	assert_true(get64(at(0x4000, 1, GLA)) & A);
	put64(at(0x4000, 1, GLA + 0x1000), 0x13000 | P);
	assert_false(vcpu_fetch_bytes(&vcpu, bytes, 3));
	map4(GLA, 0x12000 | P | NX);
	assert_false(vcpu_fetch_bytes(&vcpu, bytes, 2));
	map4(GLA, 0x40000000 | P);
	assert_false(vcpu_fetch_bytes(&vcpu, bytes, 2));
	sregs.cr3 = 0x7f000000;
	assert_false(vcpu_fetch_bytes(&vcpu, bytes, 2));
	/* Outside of 64-bit mode the code segment has a base, and the sum 32 bits. */
	sregs.efer = sregs.cr0 = 0;
	sregs.seg[SEG_CS] = (struct segment){ 0xf000, 0x93, 0xffff, 0xfffff000 };
	vcpu.rip = 0x12ffe + 0x1000;
	assert_true(vcpu_fetch_bytes(&vcpu, bytes, 2));
	assert_memory_equal(bytes, "\x0f\xa2\0", 4);
	assert_int_equal(done.page_faults + done.exceptions + done.deaths, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_four_levels),
		TEST(test_large_pages),
		TEST(test_reserved_bits),
		TEST(test_user_and_supervisor),
		TEST(test_execute),
		TEST(test_smap),
		TEST(test_five_levels),
		TEST(test_pae),
		TEST(test_two_levels),
		TEST(test_no_paging),
		TEST(test_tables_outside_memory),
		TEST(test_segments_64),
		TEST(test_segments_32),
		TEST(test_real_mode),
		TEST(test_copy),
		TEST(test_fetch),
		TEST(test_fetch_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
