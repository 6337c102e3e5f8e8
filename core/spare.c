/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/spare.h"

#include <string.h>

#include "panic.h"

/* Sorted by address, disjoint. */
static struct {
	uint64_t start, end; /* frames */
	struct spare_block *blocks;
	uint32_t count;
} spare;

void spare_init(hpa_t base, uint64_t size, struct spare_block *blocks)
{
	spare.start = base.v >> PAGE_SHIFT;
	spare.end = spare.start + (size >> PAGE_SHIFT);
	spare.blocks = blocks;
	spare.count = 0;
}

/* The frames before block `i`, or behind the last one, that nobody has. */
static struct gfn_range gap(uint32_t i)
{
	const struct spare_block *b = spare.blocks;

	return (struct gfn_range){ i ? b[i - 1].pfn + b[i - 1].npages : spare.start,
				   i < spare.count ? b[i].pfn : spare.end };
}

static uint64_t best_align(uint64_t npages)
{
	if (npages >= SIZE_1G >> PAGE_SHIFT)
		return SIZE_1G >> PAGE_SHIFT;
	return npages >= SIZE_2M >> PAGE_SHIFT ? SIZE_2M >> PAGE_SHIFT : 1;
}

/* The smallest gap with room; *at becomes the first frame. Returns its index, or a large number. */
static uint32_t find_gap(uint64_t npages, uint64_t align, uint64_t *at)
{
	uint32_t best = UINT32_MAX;
	uint64_t best_size = UINT64_MAX;

	for (uint32_t i = 0; i <= spare.count; i++) {
		struct gfn_range g = gap(i);
		uint64_t start = ALIGN_UP(g.start, align);

		if (start > g.end || g.end - start < npages || g.end - g.start >= best_size)
			continue;
		best = i;
		best_size = g.end - g.start;
		/* Small blocks from the end, so that they do not spoil the start of large pages. */
		*at = align == 1 ? g.end - npages : start;
	}
	return best;
}

enum status spare_alloc(uint64_t npages, const char *name, uint64_t *pfn)
{
	uint32_t i = UINT32_MAX;

	if (!npages || spare.count == SPARE_BLOCKS || !spare.blocks)
		return ERR_NOMEM;
	for (uint64_t align = best_align(npages); i == UINT32_MAX && align; align >>= 9)
		i = find_gap(npages, align, pfn);
	if (i == UINT32_MAX)
		return ERR_NOMEM;
	memmove(&spare.blocks[i + 1], &spare.blocks[i],
		(spare.count - i) * sizeof(struct spare_block));
	spare.blocks[i] = (struct spare_block){ .pfn = *pfn, .npages = npages };
	strncpy(spare.blocks[i].name, name ? name : "", SLOT_NAME_LEN - 1);
	spare.count++;
	return OK;
}

struct spare_block *spare_find(uint64_t pfn)
{
	for (uint32_t i = 0; i < spare.count; i++) {
		if (pfn - spare.blocks[i].pfn < spare.blocks[i].npages)
			return &spare.blocks[i];
	}
	return NULL;
}

struct spare_block *spare_find_region(const char *name)
{
	for (uint32_t i = 0; i < spare.count; i++) {
		if (spare.blocks[i].name[0] && !strcmp(spare.blocks[i].name, name))
			return &spare.blocks[i];
	}
	return NULL;
}

static struct spare_block *named(uint64_t pfn)
{
	struct spare_block *b = spare_find(pfn);

	ASSERT(b && b->pfn == pfn);
	return b;
}

enum status spare_resize(uint64_t pfn, uint64_t npages)
{
	struct spare_block *b = named(pfn);
	struct gfn_range behind = gap((uint32_t)(b - spare.blocks) + 1);

	if (!npages || npages > behind.end - pfn)
		return ERR_NOMEM;
	b->npages = npages;
	return OK;
}

void spare_free(uint64_t pfn)
{
	struct spare_block *b = named(pfn);

	ASSERT(b->users == 0);
	spare.count--;
	memmove(b, b + 1, (spare.count - (uint32_t)(b - spare.blocks)) * sizeof(*b));
}

const struct spare_block *spare_block(uint32_t i)
{
	return i < spare.count ? &spare.blocks[i] : NULL;
}

struct spare_usage spare_usage(void)
{
	struct spare_usage u = { .base = HPA(spare.start << PAGE_SHIFT),
				 .total = (spare.end - spare.start) << PAGE_SHIFT };

	for (uint32_t i = 0; i <= spare.count; i++) {
		struct gfn_range g = gap(i);
		uint64_t bytes = (g.end - g.start) << PAGE_SHIFT;

		u.free += bytes;
		u.largest = max_u64(u.largest, bytes);
	}
	return u;
}
