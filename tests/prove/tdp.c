/* SPDX-License-Identifier: BSD-2-Clause */
// sources: mm/tdp_*.c mm/slot.c mm/spte*.c
// small: 6
// options: -eva-precision 0 -eva-slevel 100000 -eva-ilevel 64 -eva-plevel 20000 -eva-min-loop-unroll 70
/*
 * The second-level tables from tdp_init() to tdp_destroy(): each public function in a sequence that
 * makes, moves, splits, merges and zaps slots for cores and devices. Tables have 64 entries here,
 * because Eva looks at each one by itself, and the arguments are a list. What is arbitrary is what the guest
 * chooses (which access faults) and what hardware does (accessed and dirty flags).
 */
#include <string.h>

#include "mm/mm_host.h"
#include "mm/tdp_mmu.h"

#ifndef PAGES
#define PAGES 40
#endif
#define POOL 0x10000000ull
#define E    SPTE_PER_TABLE /* pages of a large page */

struct page_pool page_pool;

static uint64_t arena[PAGES * PAGE_SIZE / 8] aligned(4096);
static struct page pages[PAGES];
static struct page_budget budget;
static int allocations_left;

/* The pool's allocator has a driver of its own; this one takes the first free pages. */
struct page *virt_to_page(const void *p)
{
	uint64_t offset = (uint64_t)((const uint8_t *)p - (const uint8_t *)arena);

	ASSERT(offset >> PAGE_SHIFT < PAGES);
	return &pages[offset >> PAGE_SHIFT];
}

void *page_to_virt(const struct page *page)
{
	return (uint8_t *)arena + ((uint64_t)(page - pages) << PAGE_SHIFT);
}

void *mm_alloc(struct page_budget *b, unsigned count)
{
	unsigned run = 0;

	if (allocations_left == 0)
		return NULL;
	allocations_left--;
	//@ loop unroll 64;
	for (unsigned i = 0; i < PAGES; i++) {
		run = pages[i].owner ? 0 : run + 1;
		if (run == count) {
			unsigned first = i + 1 - count;

			memset(&arena[first * (PAGE_SIZE / 8)], 0, count * PAGE_SIZE);
			for (unsigned j = 0; j < count; j++)
				pages[first + j] = (struct page){ .owner = b };
			pages[first].count = count;
			return &arena[first * (PAGE_SIZE / 8)];
		}
	}
	return NULL;
}

void mm_free(void *p)
{
	struct page *page;

	if (!p)
		return;
	page = virt_to_page(p);
	ASSERT(page->owner && page->count && page_to_virt(page) == p);
	for (unsigned n = page->count; n > 0; n--)
		page[n - 1] = (struct page){ 0 };
}

uint64_t mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value)
{
	uint64_t old = *entry;

	(void)host;
	(void)view;
	*entry = value;
	return old;
}

void mm_table_ready(void *host, const uint64_t *table)
{
	(void)host;
	ASSERT(virt_to_page(table)->owner);
}

static int held;

void mm_hold(void *host)
{
	(void)host;
	held++;
}

void mm_release(void *host)
{
	(void)host;
	ASSERT(held > 0);
	held--;
}

void mm_flush(void *host, unsigned views, const struct gfn_range *ranges, unsigned count)
{
	(void)host;
	(void)views;
	for (unsigned i = 0; i < count; i++)
		ASSERT(ranges[i].start <= ranges[i].end);
}

static bool reading;

void mm_read_begin(void)
{
	ASSERT(!reading);
	reading = true;
}

void mm_read_end(void)
{
	ASSERT(reading);
	reading = false;
}

static struct slot slot(uint64_t base, uint64_t npages, uint64_t pfn, unsigned access,
			unsigned kind)
{
	return (struct slot){ .base = GFN(base),
			      .npages = npages,
			      .pfn = PFN(pfn),
			      .access = (uint8_t)access,
			      .kind = (uint8_t)kind,
			      .type = kind == SLOT_DEVICE ? MEM_UC : MEM_WB };
}

static enum status lay_out(struct tdp *t)
{
	struct slot ram = slot(0, 2 * E + 20, 16 * E, ACCESS_RWX, SLOT_RAM);
	struct slot rom = slot(3 * E + 6, 2, 131, ACCESS_RX, SLOT_ROM);
	struct slot bar = slot(3 * E + 8, 3, 200, ACCESS_RW, SLOT_DEVICE);
	struct slot_txn txn;
	enum status s = tdp_begin(t, &txn, 3);

	if (s)
		return s;
	s = slot_create(&txn, &ram);
	s = slot_create(&txn, &rom);
	s = slot_create(&txn, &bar);
	return tdp_commit(t, &txn);
}

static enum status rearrange(struct tdp *t)
{
	struct slot_txn txn, loser;
	enum status s = tdp_begin(t, &txn, 0);

	if (s)
		return s;
	s = slot_resize(&txn, GFN(0), E + 18);
	s = slot_move(&txn, GFN(3 * E + 6), GFN(4 * E));
	s = slot_delete(&txn, GFN(3 * E + 8));
	if (tdp_begin(t, &loser, 0))
		return tdp_commit(t, &txn);
	s = slot_delete(&loser, GFN(0));
	s = tdp_commit(t, &txn);
	if (s) {
		tdp_abort(t, &loser);
		return s;
	}
	s = tdp_commit(t, &loser);
	//@ check loser: s != OK;
	return OK;
}

static void fault(struct tdp *t, uint64_t gfn, unsigned access)
{
	struct tdp_fault f = { .gpa = gfn_to_gpa(GFN(gfn)), .access = (uint8_t)access };

	(void)tdp_fault(t, &f);
}

static void look(struct tdp *t)
{
	struct tdp_census census;
	struct tdp_walk walk;
	uint64_t left;
	hpa_t hpa;

	tdp_lookup(t, TDP_CPU, GPA(5 << PAGE_SHIFT), &walk);
	tdp_lookup(t, TDP_CPU, GPA(any_between(BIT(48), UINT64_MAX)), &walk);
	tdp_lookup(t, TDP_DMA, GPA((4 * E + 1) << PAGE_SHIFT), &walk);
	tdp_census(t, TDP_CPU, &census);
	mm_read_begin();
	(void)tdp_translate(t, GPA(any_u64()), (unsigned)any_between(0, 7), &hpa, &left);
	mm_read_end();
	(void)tdp_stats(t);
	(void)tdp_root(t, TDP_CPU);
}

static void use(struct tdp *t, const struct spte_format *dma)
{
	enum status s = tdp_attach_dma(t, dma);
	struct tdp_walk walk;

	s = lay_out(t);
	look(t);
	s = tdp_split(t, TDP_CPU, GFN(5), 1);
	tdp_lookup(t, TDP_CPU, GPA(5 << PAGE_SHIFT), &walk);
	if (walk.mapped)
		s = tdp_zap_table(t, walk.step[walk.steps - 1].table);
	fault(t, 5, ACCESS_W);
	fault(t, 3 * E + 6, ACCESS_W);
	fault(t, 3 * E, ACCESS_R);
	s = rearrange(t);
	s = tdp_zap_slot(t, GFN(0));
	fault(t, 1, ACCESS_R);
	s = tdp_populate(t, GFN(0), 8 * E);
	tdp_set_nx_huge(t, true);
	fault(t, 2, ACCESS_X);
	fault(t, 2, ACCESS_X);
	(void)tdp_nx_recover(t, 4);
	(void)tdp_nx_recover(t, 4);
	(void)tdp_collapse(t, GFN(0), 8 * E);
	tdp_set_nx_huge(t, false);
	tdp_set_zap_all(t, true);
	s = lay_out(t);
	look(t);
	tdp_zap_all(t);
	(void)s;
}

static void with(const struct spte_format *cpu, const struct spte_format *dma, int allocations)
{
	struct tdp t;

	memset(pages, 0, sizeof(pages));
	allocations_left = allocations;
	if (tdp_init(&t, cpu, &budget, NULL) == OK) {
		use(&t, dma);
		tdp_destroy(&t);
	}
	//@ check released: held == 0 && reading == 0;
	//@ loop unroll 64;
	for (unsigned i = 0; i < PAGES; i++) {
		bool is_free = !pages[i].owner;

		//@ check all_freed: is_free;
	}
}

int main(void)
{
	struct ept_caps ept = { 46, true, true, true, true, true, true };
	struct vtd_caps vtd = { 46, 48, false, true, true, true, true };
	struct spte_format cpu, dma;

	page_pool = (struct page_pool){
		.base = HPA(POOL), .virt = (uint8_t *)arena, .pages = PAGES, .page = pages
	};
	if (spte_format_ept(&cpu, &ept) != OK || spte_format_vtd(&dma, &vtd) != OK)
		return 1;
	with(&cpu, &dma, 1000);
	//@ loop unroll 16;
	for (int allocations = 0; allocations < 24; allocations += 3)
		with(&cpu, &dma, allocations);
	Frama_C_show_each_end();
	return 0;
}
