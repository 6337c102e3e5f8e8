/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/memmap.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/memmap.h"

#define STRIDE 48 /* real firmware's entries are larger than the structure */
#define WB     BIT(3)

static struct boot_region regions[BOOT_INFO_REGIONS];
static struct region_list list;

static struct {
	struct efi_memory m;
	uint64_t future;
} map[64];

static uint32_t entries;

static void reset(uint32_t max)
{
	memset(regions, 0xa5, sizeof(regions));
	list = (struct region_list){ regions, 0, max, 0, false };
	entries = 0;
}

static void entry(uint32_t type, uint64_t base, uint64_t pages, uint64_t attributes)
{
	map[entries++].m = (struct efi_memory){ type, 0, base, 0, pages, attributes };
}

static void convert(enum memmap_when when)
{
	region_add_efi(&list, map, entries * STRIDE, STRIDE, when);
}

static void expect_region(uint32_t i, uint64_t base, uint64_t end, enum region_type type)
{
	assert_true(i < list.count);
	assert_int_equal(regions[i].base.v, base);
	assert_int_equal(regions[i].base.v + regions[i].size, end);
	assert_int_equal(regions[i].type, type);
}

static void test_types(void **state)
{
	static const enum region_type after[] = {
		REGION_RESERVED, REGION_USABLE,  REGION_USABLE, REGION_USABLE,   REGION_USABLE,
		REGION_RUNTIME,  REGION_RUNTIME, REGION_USABLE, REGION_BAD,      REGION_ACPI,
		REGION_ACPI,     REGION_MMIO,    REGION_MMIO,   REGION_RESERVED, REGION_BAD,
		REGION_RESERVED, /* a type that no specification knows yet */
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(after); i++) {
		reset(BOOT_INFO_REGIONS);
		entry(i, 0x100000, 1, WB);
		convert(MEMMAP_AFTER_EXIT);
		assert_int_equal(list.count, 1);
		expect_region(0, 0x100000, 0x101000, after[i]);
		reset(BOOT_INFO_REGIONS);
		convert(MEMMAP_BEFORE_EXIT);
		assert_int_equal(list.count, 0);
	}
	for (i = 1; i <= 4; i++) {
		reset(BOOT_INFO_REGIONS);
		entry(i, 0x100000, 1, WB);
		convert(MEMMAP_BEFORE_EXIT);
		expect_region(0, 0x100000, 0x101000, REGION_RESERVED);
	}
	reset(BOOT_INFO_REGIONS);
	entry(0x80000001, 0x100000, 1, WB); /* an operating system loader's own type */
	convert(MEMMAP_AFTER_EXIT);
	expect_region(0, 0x100000, 0x101000, REGION_RESERVED);
}

static void test_attributes(void **state)
{
	(void)state;
	reset(BOOT_INFO_REGIONS);
	entry(7, 0x1000, 1, 0);            /* cannot be cached */
	entry(7, 0x3000, 1, WB | BIT(18)); /* specific purpose */
	entry(7, 0x5000, 1, WB | BIT(63)); /* runtime services use it */
	entry(7, 0x7000, 1, WB | BIT(12)); /* write protected */
	entry(7, 0x9000, 1, WB | 7);       /* the usual */
	convert(MEMMAP_AFTER_EXIT);
	expect_region(0, 0x1000, 0x2000, REGION_RESERVED);
	expect_region(1, 0x3000, 0x4000, REGION_RESERVED);
	expect_region(2, 0x5000, 0x6000, REGION_RUNTIME);
	expect_region(3, 0x7000, 0x8000, REGION_RESERVED);
	expect_region(4, 0x9000, 0xa000, REGION_USABLE);
}

static void test_merges_and_sorts(void **state)
{
	(void)state;
	reset(BOOT_INFO_REGIONS);
	entry(7, 0x5000, 1, WB);
	entry(7, 0x1000, 2, WB);
	entry(3, 0x3000, 2, WB);
	entry(0, 0x8000, 1, WB);
	convert(MEMMAP_AFTER_EXIT);
	assert_int_equal(list.count, 2);
	expect_region(0, 0x1000, 0x6000, REGION_USABLE);
	expect_region(1, 0x8000, 0x9000, REGION_RESERVED);
}

/* The same three overlapping entries in every order give the same regions. */
static void test_overlaps(void **state)
{
	static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					      { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	uint32_t o, i;

	(void)state;
	for (o = 0; o < 6; o++) {
		reset(BOOT_INFO_REGIONS);
		for (i = 0; i < 3; i++) {
			if (orders[o][i] == 0)
				entry(7, 0x1000, 15, WB);
			else if (orders[o][i] == 1)
				entry(0, 0x4000, 4, WB);
			else
				entry(9, 0x6000, 4, WB);
		}
		convert(MEMMAP_AFTER_EXIT);
		assert_int_equal(list.count, 4);
		expect_region(0, 0x1000, 0x4000, REGION_USABLE);
		expect_region(1, 0x4000, 0x8000, REGION_RESERVED);
		expect_region(2, 0x8000, 0xa000, REGION_ACPI);
		expect_region(3, 0xa000, 0x10000, REGION_USABLE);
	}
}

static void test_garbage(void **state)
{
	(void)state;
	reset(BOOT_INFO_REGIONS);
	entry(7, 0x1000, 0, WB);     /* empty */
	entry(7, 1ull << 52, 1, WB); /* no such address */
	entry(7, 0x2000, ~0ull, WB); /* its end overflows */
	entry(0, 0x10800, 1, WB);    /* not aligned: reserved grows */
	entry(7, ~0ull << 12, 5, WB);
	convert(MEMMAP_AFTER_EXIT);
	assert_int_equal(list.count, 3);
	expect_region(0, 0x2000, 0x10000, REGION_USABLE);
	expect_region(1, 0x10000, 0x12000, REGION_RESERVED);
	expect_region(2, 0x12000, 1ull << 52, REGION_USABLE);
	reset(BOOT_INFO_REGIONS);
	entry(7, 0x1800, 2, WB); /* not aligned: usable shrinks */
	entry(7, 0x8800, 1, WB);
	convert(MEMMAP_AFTER_EXIT);
	assert_int_equal(list.count, 1);
	expect_region(0, 0x2000, 0x3000, REGION_USABLE);
	reset(BOOT_INFO_REGIONS);
	entry(7, 0x1000, 1, WB);
	region_add_efi(&list, map, STRIDE, 8, MEMMAP_AFTER_EXIT); /* a stride below the structure */
	region_add_efi(&list, map, STRIDE - 1, STRIDE, MEMMAP_AFTER_EXIT);
	assert_int_equal(list.count, 0);
}

/* Lamina's own ranges stand whatever the firmware says about them, and keep their owner. */
static void test_own_ranges(void **state)
{
	(void)state;
	reset(BOOT_INFO_REGIONS);
	region_add(&list, 0x200000, 0x200000, REGION_GUEST, 0);
	region_add(&list, 0x400000, 0x200000, REGION_GUEST, 1);
	region_add(&list, 0x100000, 0x1000, REGION_HV, -1);
	entry(2, 0x100000, 0x600, WB);
	entry(0, 0x3ff000, 2, WB);
	convert(MEMMAP_AFTER_EXIT);
	assert_int_equal(list.count, 5);
	expect_region(0, 0x100000, 0x101000, REGION_HV);
	expect_region(1, 0x101000, 0x200000, REGION_USABLE);
	expect_region(2, 0x200000, 0x400000, REGION_GUEST);
	assert_int_equal(regions[2].guest, 0);
	expect_region(3, 0x400000, 0x600000, REGION_GUEST);
	assert_int_equal(regions[3].guest, 1);
	expect_region(4, 0x600000, 0x700000, REGION_USABLE);
}

/* Against an array with one cell per page, with lists too small as well. */
#define PAGES 64
static void random_round(uint32_t max)
{
	static const uint8_t ranks[] = {
		[REGION_USABLE] = 1, [REGION_ACPI] = 2,     [REGION_RUNTIME] = 3,
		[REGION_MMIO] = 4,   [REGION_RESERVED] = 5, [REGION_BAD] = 6,
	};
	static const enum region_type types[] = { REGION_USABLE, REGION_ACPI,     REGION_RUNTIME,
						  REGION_MMIO,   REGION_RESERVED, REGION_BAD };
	uint8_t model[PAGES] = { 0 }, got[PAGES] = { 0 };
	uint32_t i, n = 1 + (uint32_t)random() % 20;
	uint64_t p, end;

	reset(max);
	while (n--) {
		enum region_type type = types[random() % 6];

		p = (uint64_t)random() % PAGES;
		end = p + 1 + (uint64_t)random() % (PAGES - p);
		region_add(&list, p * PAGE_SIZE, (end - p) * PAGE_SIZE, type, -1);
		for (; p < end; p++)
			model[p] = model[p] > ranks[type] ? model[p] : ranks[type];
	}
	for (i = 0; i < list.count; i++) {
		const struct boot_region *r = &regions[i];

		assert_true(r->size &&
			    (!i || regions[i - 1].base.v + regions[i - 1].size <= r->base.v));
		assert_true(!i || regions[i - 1].type != r->type ||
			    regions[i - 1].base.v + regions[i - 1].size < r->base.v);
		for (p = r->base.v / PAGE_SIZE; p < (r->base.v + r->size) / PAGE_SIZE; p++)
			got[p] = ranks[r->type];
	}
	for (p = 0; p < PAGES; p++) {
		if (!list.lost)
			assert_int_equal(got[p], model[p]);
		else if (got[p] == 1) /* a full list may forget memory, but never make it usable */
			assert_int_equal(model[p], 1);
	}
}

static void test_random(void **state)
{
	int i, full = 0;

	(void)state;
	srandom(1);
	for (i = 0; i < 50000; i++) {
		random_round(i % 2 ? BOOT_INFO_REGIONS : 1 + (uint32_t)random() % 6);
		full += list.lost != 0;
	}
	assert_in_range(full, 5000, 25000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_merges_and_sorts),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_own_ranges),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
