/* SPDX-License-Identifier: BSD-2-Clause */
// sources: mm/page_alloc.c
// options: -eva-slevel 20000
/*
 * A pool of PAGES pages: any sequence of STEPS allocations and frees from two budgets, lists of pages,
 * and malformed pools.
 */
#include "mm/page_alloc.h"

#define PAGES 6
#define STEPS 3

static uint8_t arena[PAGES * PAGE_SIZE] aligned(4096);
static struct page_budget a, b;

int main(void)
{
	void *got[STEPS] = { NULL };
	uint64_t before;

	if (page_pool_init(HPA(0x10000000), sizeof(arena), arena, 0) != OK)
		return 1;
	if (page_budget_init(&a, "a", 3) != OK || page_budget_init(&b, "b", PAGES - 4) != OK)
		return 1;
	before = page_pool.free;
	for (unsigned i = 0; i < STEPS; i++) {
		struct page_budget *budget = any_bool() ? &a : &b;
		unsigned count = (unsigned)any_between(1, 2);
		bool back = any_bool();

		//@ split budget;
		//@ split count;
		//@ split back;
		got[i] = page_alloc(budget, count);
		if (got[i] && back) {
			page_free(got[i]);
			got[i] = NULL;
		}
	}
	for (unsigned i = 0; i < STEPS; i++)
		page_free(got[i]);
	//@ check all_back: page_pool.free == before;
	page_budget_exit(&a);
	page_budget_exit(&b);
	Frama_C_show_each_end();
	return 0;
}
