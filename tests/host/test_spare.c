/* SPDX-License-Identifier: BSD-2-Clause */
// sources: core/spare.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/spare.h"
#include "panic.h"

#define BASE  (1ull << 32)
#define FIRST (BASE >> PAGE_SHIFT)
#define PAGES 16384u /* 64 MiB */

static struct spare_block blocks[SPARE_BLOCKS];

noreturn void panic(const char *fmt, ...)
{
	(void)fmt;
	abort();
}

static uint64_t take(uint64_t npages, const char *name)
{
	uint64_t pfn = 0;

	assert_int_equal(spare_alloc(npages, name, &pfn), OK);
	return pfn;
}

static int setup(void **state)
{
	(void)state;
	spare_init(HPA(BASE), (uint64_t)PAGES << PAGE_SHIFT, blocks);
	return 0;
}

static void test_none(void **state)
{
	uint64_t pfn;

	(void)state;
	spare_init(HPA(0), 0, NULL);
	assert_int_equal(spare_alloc(1, NULL, &pfn), ERR_NOMEM);
	assert_null(spare_find(0));
	assert_null(spare_block(0));
	assert_int_equal(spare_usage().total, 0);
}

static void test_large_ones_are_aligned_and_small_ones_out_of_the_way(void **state)
{
	(void)state;
	assert_int_equal(take(1, NULL), FIRST + PAGES - 1);
	assert_int_equal(take(512, NULL), FIRST);
	assert_int_equal(take(515, NULL), FIRST + 512);
	assert_int_equal(take(512, NULL), FIRST + 1536);
	/* The rest up to the next 2 MiB is the smallest place for it. */
	assert_int_equal(take(509, NULL), FIRST + 1027);
	assert_int_equal(spare_usage().free, (uint64_t)(PAGES - 1 - 2048) << PAGE_SHIFT);
}

static void test_alignment_is_given_up_before_the_request(void **state)
{
	(void)state;
	take(PAGES - 519, NULL);
	assert_int_equal(take(513, NULL), FIRST + PAGES - 513);
}

static void test_resize(void **state)
{
	uint64_t a = take(1024, NULL), b;

	(void)state;
	assert_int_equal(spare_resize(a, 600), OK);
	b = take(400, NULL);
	assert_int_equal(b, a + PAGES - 400);
	assert_int_equal(spare_resize(a, 2000), OK);
	assert_int_equal(spare_resize(a, PAGES - 399), ERR_NOMEM);
	assert_int_equal(spare_resize(a, 0), ERR_NOMEM);
	assert_int_equal(spare_find(a)->npages, 2000);
	assert_int_equal(spare_resize(a, PAGES - 400), OK);
	assert_int_equal(spare_usage().free, 0);
	spare_free(b);
	assert_int_equal(spare_usage().largest, 400 * PAGE_SIZE);
}

static void test_names(void **state)
{
	uint64_t a = take(4, "a"), b = take(4, NULL);

	(void)state;
	assert_int_equal(spare_find_region("a")->pfn, a);
	assert_null(spare_find_region(""));
	assert_null(spare_find_region("b"));
	assert_int_equal(spare_find(b + 3)->pfn, b);
	assert_null(spare_find(b - 1));
	assert_int_equal(spare_block(0)->pfn, b);
	assert_int_equal(spare_block(1)->pfn, a);
}

/* Whatever is taken, resized and given back: blocks are disjoint and inside, nothing is lost. */
static void test_random(void **state)
{
	uint64_t mine[64], count = 0, pfn;

	(void)state;
	srandom(3);
	for (int step = 0; step < 100000; step++) {
		uint64_t n = 1 + (uint64_t)random() % 2000, used = 0, end = FIRST;

		if (count < 64 && random() % 2) {
			if (spare_alloc(n, NULL, &pfn) == OK)
				mine[count++] = pfn;
		} else if (count && random() % 2) {
			uint64_t i = (uint64_t)random() % count;

			spare_free(mine[i]);
			mine[i] = mine[--count];
		} else if (count) {
			(void)!spare_resize(mine[(uint64_t)random() % count], n);
		}
		for (uint32_t i = 0; i < count; i++) {
			const struct spare_block *b = spare_block(i);

			assert_true(b->pfn >= end);
			end = b->pfn + b->npages;
			used += b->npages;
		}
		assert_null(spare_block((uint32_t)count));
		assert_true(end <= FIRST + PAGES);
		assert_int_equal(spare_usage().free, (PAGES - used) << PAGE_SHIFT);
	}
}

static void test_full_table(void **state)
{
	uint64_t pfn;

	(void)state;
	for (unsigned i = 0; i < SPARE_BLOCKS; i++)
		take(1, NULL);
	assert_int_equal(spare_alloc(1, NULL, &pfn), ERR_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_none, setup),
		cmocka_unit_test_setup(test_large_ones_are_aligned_and_small_ones_out_of_the_way,
				       setup),
		cmocka_unit_test_setup(test_alignment_is_given_up_before_the_request, setup),
		cmocka_unit_test_setup(test_resize, setup),
		cmocka_unit_test_setup(test_names, setup),
		cmocka_unit_test_setup(test_random, setup),
		cmocka_unit_test_setup(test_full_table, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
