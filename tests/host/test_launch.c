/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/elf.c boot/pagetable.c boot/civil_time.c
/* The pure parts of the last step: the image's ELF file, the temporary page tables, the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/civil_time.h"
#include "boot/elf.h"
#include "boot/pagetable.h"
#include "layout.h"

struct packed file {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
	struct packed {
		uint32_t type, flags;
		uint64_t offset, vaddr, paddr, filesz, memsz, align;
	} ph[3];
	uint8_t text[100], data[50];
};

static struct file elf;
static struct elf_image image;

static void good(void)
{
	memset(&elf, 0, sizeof(elf));
	memcpy(elf.ident,
	       "\x7f"
	       "ELF\x02\x01\x01",
	       7);
	elf.type = 2;
	elf.machine = 62;
	elf.entry = HV_BASE + 16;
	elf.phoff = offsetof(struct file, ph);
	elf.phentsize = 56;
	elf.phnum = 3;
	elf.ph[0].type = 1;
	elf.ph[0].flags = 5;
	elf.ph[0].offset = offsetof(struct file, text);
	elf.ph[0].vaddr = HV_BASE;
	elf.ph[0].filesz = elf.ph[0].memsz = sizeof(elf.text);
	elf.ph[1].type = 0x6474e551; /* PT_GNU_STACK: no matter */
	elf.ph[2].type = 1;
	elf.ph[2].flags = 6;
	elf.ph[2].offset = offsetof(struct file, data);
	elf.ph[2].vaddr = HV_BASE + 0x3000;
	elf.ph[2].filesz = sizeof(elf.data);
	elf.ph[2].memsz = 5000;
	memset(elf.text, 0xcc, sizeof(elf.text));
	memset(elf.data, 0xdd, sizeof(elf.data));
}

static void test_elf_load(void **state)
{
	static uint8_t to[0x5000 + 1];
	uint32_t i;

	(void)state;
	good();
	assert_int_equal(elf_parse(&elf, sizeof(elf), &image), OK);
	assert_int_equal(image.count, 2);
	assert_int_equal(image.image_size, 0x5000);
	assert_true(image.segments[0].execute && !image.segments[0].write);
	assert_true(image.segments[1].write && !image.segments[1].execute);
	memset(to, 0x55, sizeof(to));
	elf_load(&image, to);
	for (i = 0; i < 0x5000; i++)
		assert_int_equal(to[i], i < 100 ? 0xcc : i >= 0x3000 && i < 0x3000 + 50 ? 0xdd : 0);
	assert_int_equal(to[0x5000], 0x55);
}

static void test_elf_refuses(void **state)
{
	uint64_t size;

	(void)state;
	good();
	for (size = 0; size < sizeof(elf); size++)
		assert_int_equal(elf_parse(&elf, size, &image), ERR_INVALID);
#define REFUSED(change)                                                              \
	do {                                                                         \
		good();                                                              \
		change;                                                              \
		assert_int_equal(elf_parse(&elf, sizeof(elf), &image), ERR_INVALID); \
	} while (0)
	REFUSED(elf.ident[4] = 1);
	REFUSED(elf.machine = 3);
	REFUSED(elf.type = 3);
	REFUSED(elf.entry = 0);
	REFUSED(elf.entry = HV_BASE + 0x5000);
	REFUSED(elf.phoff = ~0ull);
	REFUSED(elf.phnum = 0xffff);
	REFUSED(elf.ph[0].vaddr = 0);
	REFUSED(elf.ph[0].vaddr += 8);
	REFUSED(elf.ph[2].vaddr = HV_BASE); /* overlaps the first */
	REFUSED(elf.ph[2].filesz = 6000);
	REFUSED(elf.ph[2].memsz = ~0ull);
	REFUSED(elf.ph[2].offset = ~0ull);
	REFUSED(elf.phnum = 0);
}

/* Walk like the CPU does: the leaf entry of an address, 0 if it is not mapped. */
static uint64_t walk(const struct pagetable *t, uint64_t va, uint64_t *leaf_size)
{
	const uint64_t *table = t->root;
	unsigned int shift;

	for (shift = 39;; shift -= 9) {
		uint64_t e = table[va >> shift & 511];

		*leaf_size = 1ull << shift;
		if (!(e & 1))
			return 0;
		if (shift == 12 || (e & PT_LARGE))
			return e;
		assert_int_equal(e & ~BITS(51, 12), 3);
		table = (const uint64_t *)(e & BITS(51, 12));
	}
}

static void test_page_tables(void **state)
{
	static uint8_t aligned(4096) memory[16 * 4096];
	struct pagetable t;
	uint64_t size;

	(void)state;
	memset(memory, 0xa5, sizeof(memory));
	pagetable_init(&t, (uint64_t)memory, sizeof(memory));
	pagetable_map(&t, 0x7fff000, 0x7fff000, 0x2000, 0);
	pagetable_map(&t, HV_BASE, 0x123000, 0x3000, PT_WRITE | PT_NO_EXEC);
	pagetable_map(&t, POOL_BASE, 0x40000000, 3 * SIZE_2M, PT_WRITE | PT_LARGE | PT_NO_EXEC);
	assert_false(t.full);
	assert_int_equal(walk(&t, 0x7fff000, &size), 0x7fff001);
	assert_int_equal(walk(&t, 0x8000000, &size), 0x8000001);
	assert_int_equal(walk(&t, 0x7ffe000, &size), 0);
	assert_int_equal(walk(&t, HV_BASE + 0x2000, &size), 0x125003 | BIT(63));
	assert_int_equal(size, 4096);
	assert_int_equal(walk(&t, HV_BASE + 0x3000, &size), 0);
	assert_int_equal(walk(&t, POOL_BASE + 2 * SIZE_2M, &size), 0x40400083 | BIT(63));
	assert_int_equal(size, SIZE_2M);
	assert_int_equal(walk(&t, POOL_BASE + 3 * SIZE_2M, &size), 0);
	pagetable_init(&t, (uint64_t)memory, 3 * 4096);
	pagetable_map(&t, HV_BASE, 0, 4096, 0);
	assert_true(t.full);
}

static int64_t epoch(int year, int month, int day, int hour, int minute, int second, int zone)
{
	return civil_to_epoch(&(struct civil_time){ year, month, day, hour, minute, second, zone });
}

static void test_clock(void **state)
{
	(void)state;
	assert_int_equal(epoch(1970, 1, 1, 0, 0, 1, 0), 1);
	assert_int_equal(epoch(2000, 2, 29, 12, 0, 0, 0), 951825600);
	assert_int_equal(epoch(2024, 3, 1, 0, 0, 0, 0), 1709251200);
	assert_int_equal(epoch(2025, 1, 1, 0, 0, 0, 0), 1735689600);
	assert_int_equal(epoch(2038, 1, 19, 3, 14, 8, 0), 1ll << 31);
	assert_int_equal(epoch(2100, 3, 1, 0, 0, 0, 0), 4107542400);
	/* 01:00 in Berlin's winter is 00:00 UTC; the firmware calls that zone -60. */
	assert_int_equal(epoch(2025, 1, 1, 1, 0, 0, -60), 1735689600);
	assert_int_equal(epoch(1969, 12, 31, 23, 0, 0, 0), 0);
	assert_int_equal(epoch(1970, 1, 1, 0, 0, 0, -60), 0);
	assert_int_equal(epoch(2023, 2, 29, 0, 0, 0, 0), 0);
	assert_int_equal(epoch(2100, 2, 29, 0, 0, 0, 0), 0);
	assert_int_equal(epoch(2023, 13, 1, 0, 0, 0, 0), 0);
	assert_int_equal(epoch(2023, 0, 1, 0, 0, 0, 0), 0);
	assert_int_equal(epoch(2023, 1, 1, 24, 0, 0, 0), 0);
	assert_int_equal(epoch(2023, 1, 1, 0, 0, 0, 2047), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elf_load),
		cmocka_unit_test(test_elf_refuses),
		cmocka_unit_test(test_page_tables),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
