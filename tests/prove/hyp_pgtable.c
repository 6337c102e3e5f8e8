/* SPDX-License-Identifier: BSD-2-Clause */
// sources: mm/hyp_pgtable.c
// options: -eva-precision 0 -eva-slevel 100000 -eva-ilevel 64 -eva-plevel 8000 -eva-min-loop-unroll 8
/*
 * The hypervisor's page table: a sequence of all functions, with and without 1 GiB pages, with
 * each allocation failing in turn. Rights, types and contents of windows are arbitrary; so are the
 * arguments of calls that are refused. Addresses are those of a list, because for an arbitrary one
 * Eva no longer knows which table it reads.
 */
#include <string.h>

#include "mm/hyp_pgtable.h"
#include "mm/mm_host.h"

#define PAGES 10
#define POOL  0x10000000ull
#define AREA  0xffffa00000000000ull

struct page_pool page_pool;

static uint64_t arena[PAGES * PAGE_SIZE / 8] aligned(4096);
static unsigned used, limit;
static struct page_budget budget;

/* The allocator has a driver of its own. */
void *mm_alloc(struct page_budget *b, unsigned pages)
{
	(void)b;
	if (used + pages > limit)
		return NULL;
	used += pages;
	return (uint8_t *)arena + (used - pages) * PAGE_SIZE;
}

void mm_hyp_invalidate(uint64_t va, uint64_t size)
{
	(void)va;
	(void)size;
}

static void refused(struct hyp_pgtable *pt)
{
	struct hyp_mapping m;
	enum status s;

	s = hyp_map(pt, any_u64() | 1, HPA(any_u64()), any_u64(), (unsigned)any_u64(),
		    (enum mem_type)any_between(0, 3));
	//@ check unaligned: s == ERR_INVALID;
	s = hyp_map(pt, BIT(47) - PAGE_SIZE, HPA(0), 2 * PAGE_SIZE, ACCESS_R, MEM_WB);
	//@ check across_hole: s == ERR_INVALID;
	s = hyp_map(pt, 0, HPA(BIT(52) - PAGE_SIZE), 2 * PAGE_SIZE, ACCESS_R, MEM_WB);
	//@ check beyond_memory: s == ERR_INVALID;
	s = hyp_map(pt, 0, HPA(0), PAGE_SIZE, ACCESS_RWX, MEM_WB);
	//@ check writable_code: s == ERR_DENIED;
	s = hyp_lookup(pt, any_between(BIT(47), (~0ull << 47) - 1), &m);
	//@ check not_canonical: s == ERR_FAULT;
	s = hyp_unmap(pt, any_u64() | 1, any_u64());
	//@ check unmap_unaligned: s == ERR_INVALID;
	(void)s;
}

static const uint64_t addresses[] = { 0xffffffff80000000ull, 0xffffffff80200000ull,
				      0xffffb00000000000ull, AREA + PAGE_SIZE,
				      AREA + SIZE_2M,        0 };

static void use(struct hyp_pgtable *pt)
{
	struct hyp_mapping m;
	struct hyp_window w;
	enum status s;
	void *va;

	s = hyp_map(pt, addresses[0], HPA(0x200000), SIZE_2M, ACCESS_RX, MEM_WB);
	s = hyp_map(pt, addresses[1], HPA(0x7fff000), 2 * PAGE_SIZE,
		    any_bool() ? ACCESS_RW : ACCESS_R, (enum mem_type)any_between(0, 2));
	s = hyp_map(pt, addresses[1] - PAGE_SIZE, HPA(0), 2 * PAGE_SIZE, ACCESS_R, MEM_UC);
	//@ check overlap: s != OK;
	s = hyp_map(pt, 0xffff900000000000ull, HPA(SIZE_1G), SIZE_1G + SIZE_2M, ACCESS_RW, MEM_WB);
	s = hyp_map_area(pt, HPA(0xfee00123), 0x1000, ACCESS_RW, MEM_UC, &va);
	s = hyp_map_area(pt, HPA(0xc0000000), SIZE_2M + PAGE_SIZE, ACCESS_RW, MEM_WC, &va);
	s = hyp_map_area(pt, HPA(any_u64()), BIT(53), ACCESS_R, MEM_UC, &va);
	//@ check area_invalid: s == ERR_INVALID;
	if (hyp_window_init(pt, &w, addresses[2]) == OK) {
		(void)hyp_window_show(&w, HPA(any_between(0, BIT(52) - 1)),
				      any_bool() ? ACCESS_RW : 1, (enum mem_type)any_between(0, 2));
		hyp_window_hide(&w);
	}
	//@ loop unroll 6;
	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++)
		s = hyp_lookup(pt, addresses[i], &m);
	s = hyp_unmap(pt, addresses[0] + PAGE_SIZE, PAGE_SIZE);
	s = hyp_unmap(pt, addresses[0], SIZE_2M + 2 * PAGE_SIZE);
	s = hyp_lookup(pt, addresses[0], &m);
	//@ check gone: s == ERR_FAULT;
	(void)hyp_pgtable_root(pt);
	(void)s;
}

static void with(bool page_1g, unsigned pages)
{
	struct hyp_pgtable pt;

	memset(arena, 0, sizeof(arena));
	used = 0;
	limit = pages;
	if (hyp_pgtable_init(&pt, &budget, page_1g, AREA, SIZE_1G) != OK)
		return;
	refused(&pt);
	use(&pt);
}

int main(void)
{
	page_pool =
		(struct page_pool){ .base = HPA(POOL), .virt = (uint8_t *)arena, .pages = PAGES };
	//@ loop unroll 20;
	for (unsigned pages = 0; pages <= PAGES; pages++)
		with(true, pages);
	with(false, PAGES);
	Frama_C_show_each_end();
	return 0;
}
