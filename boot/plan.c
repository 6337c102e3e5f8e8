/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/plan.h"
#include "budget.h"

#define SIZE_4G   (1ull << 32)
#define MAX_SPANS 64 /* free ranges looked at; a map with more gives its largest */

/*
 * Beside the budgets, in pages: boot_info and the temporary page tables, and some to spare, so that
 * free memory in pieces never refuses what a budget has promised.
 */
#define POOL_BOOT_PAGES  64
#define POOL_SPARE_PAGES 512

#define PAGES_PER_DESCRIPTOR 102 /* a descriptor of the pool's allocator has at most 40 bytes */

/* A guest's tables cost less than this part of its memory; with devices it has twice as many. */
#define GUEST_TABLE_SHARE   256
#define DEVICES_TABLE_SHARE 128

struct span {
	uint64_t base, end;
};

struct spans {
	uint32_t count;
	struct span s[MAX_SPANS];
};

static uint64_t span_size(const struct span *s)
{
	return s->end - s->base;
}

/* Add a span; if there is no place for it, the smallest goes. */
static void add_span(struct spans *l, uint64_t base, uint64_t end)
{
	uint32_t i, smallest = 0;

	if (base >= end)
		return;
	if (l->count < MAX_SPANS) {
		l->s[l->count++] = (struct span){ base, end };
		return;
	}
	for (i = 1; i < MAX_SPANS; i++) {
		if (span_size(&l->s[i]) < span_size(&l->s[smallest]))
			smallest = i;
	}
	if (end - base > span_size(&l->s[smallest]))
		l->s[smallest] = (struct span){ base, end };
}

static void collect(struct spans *l, const struct boot_region *regions, uint32_t count)
{
	uint32_t i;

	l->count = 0;
	for (i = 0; i < count; i++) {
		const struct boot_region *r = &regions[i];

		if (r->type == REGION_USABLE)
			add_span(l, ALIGN_UP(max_u64(r->base.v, PLAN_FLOOR), SIZE_2M),
				 ALIGN_DOWN(r->base.v + r->size, SIZE_2M));
	}
}

/* The smallest span above or below 4 GiB that has room for an aligned block; -1 if none. */
static int best_span(const struct spans *l, uint64_t size, uint64_t align, bool high)
{
	int best = -1;
	uint32_t i;

	for (i = 0; i < l->count; i++) {
		const struct span *s = &l->s[i];
		uint64_t base = ALIGN_UP(s->base, align);

		if ((s->base >= SIZE_4G) != high || base >= s->end || s->end - base < size)
			continue;
		if (best < 0 || span_size(s) < span_size(&l->s[best]))
			best = (int)i;
	}
	return best;
}

static bool take(struct spans *l, struct plan_request *r, uint64_t align)
{
	struct span old;
	int i = best_span(l, r->size, align, true);

	if (i < 0)
		i = best_span(l, r->size, align, false);
	if (i < 0)
		return false;
	old = l->s[i];
	r->base = ALIGN_UP(old.base, align);
	l->s[i] = l->s[--l->count];
	add_span(l, old.base, r->base);
	add_span(l, r->base + r->size, old.end);
	return true;
}

static bool place_one(struct spans *l, struct plan_request *r, uint64_t largest_align)
{
	if (r->size >= largest_align && take(l, r, largest_align))
		return true;
	return take(l, r, SIZE_2M);
}

/* Indices of the requests, the largest first: it has the fewest places to go. */
static void sort_by_size(const struct plan_request *requests, uint32_t n, uint32_t *order)
{
	uint32_t i, j;

	for (i = 0; i < n; i++) {
		for (j = i; j && requests[order[j - 1]].size < requests[i].size; j--)
			order[j] = order[j - 1];
		order[j] = i;
	}
}

bool plan_place(const struct boot_region *regions, uint32_t count, struct plan_request *requests,
		uint32_t n)
{
	static const uint64_t aligns[] = { SIZE_1G, SIZE_2M };
	uint32_t order[PLAN_REQUESTS], i;
	struct spans l;
	size_t a;

	if (n > PLAN_REQUESTS)
		return false;
	sort_by_size(requests, n, order);
	/* Alignment to 1 GiB costs room between the ranges; give it up before giving up a guest. */
	for (a = 0; a < ARRAY_SIZE(aligns); a++) {
		collect(&l, regions, count);
		for (i = 0; i < n; i++) {
			struct plan_request *r = &requests[order[i]];

			if (r->size && !place_one(&l, r, aligns[a]))
				break;
		}
		if (i == n)
			return true;
	}
	return false;
}

uint64_t plan_largest(const struct boot_region *regions, uint32_t count)
{
	uint64_t largest = 0;
	struct spans l;
	uint32_t i;

	collect(&l, regions, count);
	for (i = 0; i < l.count; i++)
		largest = max_u64(largest, span_size(&l.s[i]));
	return largest;
}

uint64_t plan_total(const struct boot_region *regions, uint32_t count)
{
	uint64_t total = 0;
	struct spans l;
	uint32_t i;

	collect(&l, regions, count);
	for (i = 0; i < l.count; i++)
		total += span_size(&l.s[i]);
	return total;
}

static uint64_t pool_bytes(uint64_t pages)
{
	pages += POOL_BOOT_PAGES;
	pages += pages / (PAGES_PER_DESCRIPTOR - 1) + 1;
	return ALIGN_UP(pages * PAGE_SIZE, SIZE_2M);
}

uint64_t plan_pool_needed(const struct config *c, uint32_t cores)
{
	uint64_t pages = hypervisor_budget_pages(cores, config_devices(c));
	uint32_t i;

	for (i = 0; i < c->guest_count; i++) {
		if (c->guests[i].valid)
			pages += guest_budget_pages(c->guests[i].memory, c->guests[i].tables,
						    c->guests[i].device_count,
						    c->guests[i].core_count);
	}
	return pool_bytes(pages);
}

uint64_t plan_pool_size(const struct config *c, uint32_t cores)
{
	uint64_t needed = plan_pool_needed(c, cores);

	return c->memory ? max_u64(c->memory, needed) : needed + POOL_SPARE_PAGES * PAGE_SIZE;
}

uint64_t plan_guest_room(uint64_t total, const struct config *c, uint32_t cores)
{
	uint64_t pages = hypervisor_budget_pages(cores, config_devices(c));
	uint64_t share = config_devices(c) ? DEVICES_TABLE_SHARE : GUEST_TABLE_SHARE;
	uint64_t pool, left;
	uint32_t i;

	for (i = 0; i < c->guest_count; i++)
		pages += guest_budget_pages(0, c->guests[i].tables, c->guests[i].device_count, 0);
	/* Who gets which core is not known yet, but none has two guests. */
	pages += cores * GUEST_VCPU_PAGES;
	pool = pool_bytes(pages) + POOL_SPARE_PAGES * PAGE_SIZE + SIZE_2M;
	pool = max_u64(pool, c->memory);
	left = total > pool ? total - pool : 0;
	return ALIGN_DOWN(left - left / share, SIZE_2M);
}
