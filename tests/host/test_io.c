// SPDX-License-Identifier: BSD-2-Clause
// sources: core/io.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"

static struct io_map m;
static const struct io_ops ops;

static int setup(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	return 0;
}

static void test_find(void **state)
{
	(void)state;
	assert_int_equal(io_add_ports(&m, 0x3f8, 8, "b", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&m, 0x60, 1, "a", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&m, 0xfffe, 2, "c", &ops, NULL), OK);
	assert_null(io_find_port(&m, 0x5f, 1));
	assert_string_equal(io_find_port(&m, 0x60, 1)->name, "a");
	assert_null(io_find_port(&m, 0x61, 1));
	assert_string_equal(io_find_port(&m, 0x3f8, 4)->name, "b");
	assert_string_equal(io_find_port(&m, 0x3ff, 1)->name, "b");
	assert_string_equal(io_find_port(&m, 0xffff, 1)->name, "c");
	/* Accesses that stick out of a region belong to nobody. */
	assert_null(io_find_port(&m, 0x3ff, 2));
	assert_null(io_find_port(&m, 0x3f7, 2));
	assert_null(io_find_port(&m, 0x60, 2));
	assert_null(io_find_port(&m, 0xffff, 2));
}

/* Who answered last is asked first, but only for what it has. */
static void test_last(void **state)
{
	(void)state;
	assert_int_equal(io_add_ports(&m, 0x100, 8, "a", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&m, 0x200, 8, "b", &ops, NULL), OK);
	assert_string_equal(io_find_port(&m, 0x203, 1)->name, "b");
	assert_string_equal(io_find_port(&m, 0x204, 4)->name, "b");
	assert_null(io_find_port(&m, 0x205, 4));
	assert_null(io_find_port(&m, 0x1ff, 1));
	assert_null(io_find_port(&m, 0x208, 1));
	assert_string_equal(io_find_port(&m, 0x100, 2)->name, "a");
	assert_string_equal(io_find_port(&m, 0x207, 1)->name, "b");
	io_remove_ports(&m, 0x200);
	assert_null(io_find_port(&m, 0x207, 1));
	assert_string_equal(io_find_port(&m, 0x107, 1)->name, "a");
}

static void test_overlap(void **state)
{
	(void)state;
	assert_int_equal(io_add_ports(&m, 0x100, 0x10, "", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&m, 0x10f, 1, "", &ops, NULL), ERR_OVERLAP);
	assert_int_equal(io_add_ports(&m, 0xf8, 9, "", &ops, NULL), ERR_OVERLAP);
	assert_int_equal(io_add_ports(&m, 0x100, 0x10, "", &ops, NULL), ERR_OVERLAP);
	assert_int_equal(io_add_ports(&m, 0xf8, 8, "", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&m, 0x110, 1, "", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&m, 0xffff, 2, "", &ops, NULL), ERR_RANGE);
	assert_int_equal(io_add_ports(&m, 0x20, 0, "", &ops, NULL), ERR_RANGE);
	assert_int_equal(io_add_mmio(&m, GPA(~0xfffull), 0x1000, "", &ops, NULL), ERR_RANGE);
	assert_int_equal(m.port_count, 3);
}

static void test_full(void **state)
{
	uint16_t i;

	(void)state;
	for (i = 0; i < IO_MAP_REGIONS; i++)
		assert_int_equal(io_add_ports(&m, 2 * i, 1, "", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&m, 2 * i, 1, "", &ops, NULL), ERR_NOMEM);
}

/* Any order of insertion, every address, against a plain array. */
static void test_random(void **state)
{
	static int owner[0x400];
	unsigned round, n, a;

	(void)state;
	srand(5);
	for (round = 0; round < 200; round++) {
		memset(&m, 0, sizeof(m));
		memset(owner, 0, sizeof(owner));
		for (n = 1; n <= IO_MAP_REGIONS; n++) {
			uint64_t base = (uint64_t)rand() % 0x3c0;
			uint32_t size = 1 + (uint32_t)rand() % 0x20;
			bool free_range = true;
			enum status s;

			for (a = 0; a < size; a++)
				free_range &= !owner[base + a];
			s = io_add_mmio(&m, GPA(base), size, "", &ops, (void *)(uintptr_t)n);
			assert_int_equal(s, free_range ? OK : ERR_OVERLAP);
			for (a = 0; free_range && a < size; a++)
				owner[base + a] = (int)n;
		}
		for (a = 0; a < 0x400; a++) {
			const struct io_region *r = io_find_mmio(&m, GPA(a), 1);

			assert_int_equal(r ? (int)(uintptr_t)r->dev : 0, owner[a]);
		}
	}
}

static void test_unowned(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < IO_UNOWNED + 5; i++)
		io_count_unowned(&m, i, i & 1);
	for (i = 0; i < 3; i++)
		io_count_unowned(&m, 7, true);
	io_count_unowned(&m, 7, false);
	assert_int_equal(m.unowned[7].count, 4);
	assert_true(m.unowned[7].mmio);
	assert_int_equal(m.unowned_other, 6);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_find), TEST(test_last),   TEST(test_overlap),
		TEST(test_full), TEST(test_random), TEST(test_unowned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
