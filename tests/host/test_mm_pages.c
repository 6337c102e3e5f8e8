/* SPDX-License-Identifier: BSD-2-Clause */
// sources: tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/spte.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_host.h"

/* The page pool: budgets, runs, and what it catches. */
#define POOL 256u

static struct page_budget a, b;

static int setup(void **state unused)
{
	test_pool(POOL);
	assert_int_equal(page_budget_init(&a, "a", 100), OK);
	assert_int_equal(page_budget_init(&b, "b", 50), OK);
	return 0;
}

static bool all_zero(const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

static void test_zeroed_and_reused(void **state unused)
{
	uint8_t *p = page_alloc(&a, 1), *q = page_alloc(&a, 3);

	assert_non_null(p);
	assert_non_null(q);
	assert_true(IS_ALIGNED((uintptr_t)p | (uintptr_t)q, PAGE_SIZE));
	assert_true(all_zero(p, PAGE_SIZE) && all_zero(q, 3 * PAGE_SIZE));
	assert_true(q + 3 * PAGE_SIZE <= p || p + PAGE_SIZE <= q);
	memset(p, 1, PAGE_SIZE);
	memset(q, 1, 3 * PAGE_SIZE);
	assert_int_equal(a.used, 4);
	page_free(p);
	page_free(q);
	page_free(NULL);
	assert_int_equal(a.used, 0);
	assert_int_equal(a.peak, 4);
	/* Whatever was freed is free again: far more than the pool has. */
	for (unsigned i = 0; i < POOL; i++) {
		p = page_alloc(&a, 100);
		assert_true(all_zero(p, 100 * PAGE_SIZE));
		page_free(p);
	}
}

static void test_addresses(void **state unused)
{
	uint8_t *p = page_alloc(&a, 2);
	hpa_t hpa = virt_to_hpa(p + 5);

	assert_int_equal(hpa.v & 0xfff, 5);
	assert_true(page_pool_has(hpa));
	assert_ptr_equal(hpa_to_virt(hpa), p + 5);
	assert_ptr_equal(page_to_virt(virt_to_page(p + 5)), p);
	assert_ptr_equal(virt_to_page(p)->owner, &a);
	assert_int_equal(virt_to_page(p)->count, 2);
	assert_false(page_pool_has(HPA(TEST_POOL_HPA - 1)));
	assert_true(page_pool_has(HPA(TEST_POOL_HPA)));
	assert_true(page_pool_has(HPA(TEST_POOL_HPA + POOL * PAGE_SIZE - 1)));
	assert_false(page_pool_has(HPA(TEST_POOL_HPA + POOL * PAGE_SIZE)));
	page_free(p);
	expect_panic(virt_to_page(p - (uint64_t)POOL * PAGE_SIZE));
	expect_panic(virt_to_page(p + (uint64_t)POOL * PAGE_SIZE));
}

/* A budget is a promise: what one owner takes never lacks the other. */
static void test_budgets(void **state unused)
{
	void *first = NULL, *last = NULL;
	struct page_budget c;

	assert_int_equal(page_budget_init(&c, "c", page_pool_unreserved() + 1), ERR_NOMEM);
	assert_null(page_alloc(&c, 1));
	for (int i = 0; i < 100; i++) {
		last = page_alloc(&a, 1);
		assert_non_null(last);
		first = first ? first : last;
	}
	assert_null(page_alloc(&a, 1));
	assert_int_equal(a.refused, 1);
	for (int i = 0; i < 50; i++)
		assert_non_null(page_alloc(&b, 1));
	assert_null(page_alloc(&b, 1));
	page_free(last);
	assert_null(page_alloc(&a, 2));
	assert_non_null(page_alloc(&a, 1));
	(void)first;
}

static void test_budget_ends(void **state unused)
{
	uint64_t left = page_pool_unreserved();
	struct page_budget c;

	assert_int_equal(page_budget_init(&c, "c", left), OK);
	assert_int_equal(page_pool_unreserved(), 0);
	page_budget_exit(&c);
	assert_int_equal(page_pool_unreserved(), left);
	assert_non_null(page_alloc(&a, 1));
	expect_panic(page_budget_exit(&a));
}

/* Single pages come from one end and runs from the other, and freed pages join again. */
static void test_runs(void **state unused)
{
	void *single[40], *run;

	for (int i = 0; i < 40; i++)
		single[i] = page_alloc(&a, 1);
	run = page_alloc(&a, 60);
	assert_non_null(run);
	for (int i = 0; i < 40; i += 2)
		page_free(single[i]);
	/* 20 pages are left in the budget, in a row beside the run. */
	assert_non_null(page_alloc(&a, 20));
	page_free(run);
	assert_non_null(page_alloc(&a, 60));
}

static void test_no_run(void **state unused)
{
	static void *p[POOL];
	struct page_budget all;
	unsigned n = 0;

	page_budget_exit(&a);
	page_budget_exit(&b);
	assert_int_equal(page_budget_init(&all, "all", page_pool_unreserved()), OK);
	while ((p[n] = page_alloc(&all, 1)))
		n++;
	for (unsigned i = 0; i < n; i += 2)
		page_free(p[i]);
	/* Half of the pool is free, but no two pages in a row. */
	assert_null(page_alloc(&all, 2));
	page_free(p[1]);
	p[0] = page_alloc(&all, 3);
	assert_ptr_equal(p[0], (uint8_t *)p[1] - PAGE_SIZE);
}

static void test_misuse(void **state unused)
{
	uint8_t *p = page_alloc(&a, 2);

	expect_panic(page_free(p + 1));
	test_pool(POOL);
	assert_int_equal(page_budget_init(&a, "a", 10), OK);
	p = page_alloc(&a, 2);
	page_free(p);
	expect_panic(page_free(p));
}

static void test_bad_pools(void **state unused)
{
	void *virt = (void *)PAGE_SIZE; /* never touched: all of these are refused */

	assert_int_equal(page_pool_init(HPA(1), SIZE_2M, virt, 0), ERR_INVALID);
	assert_int_equal(page_pool_init(HPA(0), 0, virt, 0), ERR_INVALID);
	assert_int_equal(page_pool_init(HPA(0), SIZE_2M + 1, virt, 0), ERR_INVALID);
	assert_int_equal(page_pool_init(HPA(0), SIZE_2M, virt, SIZE_2M + PAGE_SIZE), ERR_INVALID);
	assert_int_equal(page_pool_init(HPA(0), SIZE_2M, virt, 100), ERR_INVALID);
	assert_int_equal(page_pool_init(HPA(~0ull << 12), SIZE_2M, virt, 0), ERR_INVALID);
	assert_int_equal(page_pool_init(HPA(0), SIZE_2M, virt, SIZE_2M), ERR_NOMEM);
	assert_int_equal(page_pool_init(HPA(0), 1ull << 44, virt, 0), ERR_INVALID);
}

/* What the loader put at the start of the pool stays there. */
static void test_used_part(void **state unused)
{
	static uint8_t memory[16 * 4096] aligned(4096);
	struct page_budget c;
	unsigned n = 0;

	memset(memory, 0x5a, sizeof(memory));
	assert_int_equal(page_pool_init(HPA(0x1000), sizeof(memory), memory, 3 * PAGE_SIZE), OK);
	assert_int_equal(page_pool_unreserved(), 12); /* 3 used, 1 of descriptors */
	assert_int_equal(page_budget_init(&c, "c", 12), OK);
	while (page_alloc(&c, 1))
		n++;
	assert_int_equal(n, 12);
	for (unsigned i = 0; i < 3 * PAGE_SIZE; i++)
		assert_int_equal(memory[i], 0x5a);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup(test_zeroed_and_reused, setup),
		cmocka_unit_test_setup(test_addresses, setup),
		cmocka_unit_test_setup(test_budgets, setup),
		cmocka_unit_test_setup(test_budget_ends, setup),
		cmocka_unit_test_setup(test_runs, setup),
		cmocka_unit_test_setup(test_no_run, setup),
		cmocka_unit_test_setup(test_misuse, setup),
		cmocka_unit_test_setup(test_bad_pools, setup),
		cmocka_unit_test_setup(test_used_part, setup),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
