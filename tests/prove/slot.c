/* SPDX-License-Identifier: BSD-2-Clause */
// sources: mm/slot.c
/*
 * Look-ups and comparisons in sets of up to CAPACITY slots with any fields, and any edit of such a
 * set with any arguments. The slots' fields come from nowhere: no order among them is assumed.
 */
#include "mm/mm_host.h"
#include "mm/slot.h"

#define CAPACITY 4

#define SET_BYTES (sizeof(struct slot_set) + CAPACITY * sizeof(struct slot))

/* Two, so that the end of one is not the beginning of the other. */
static uint64_t memory[(SET_BYTES + 7) / 8], other_memory[(SET_BYTES + 7) / 8];

static uint64_t pages[2 * PAGE_SIZE / sizeof(uint64_t)];

/* The allocator has a driver of its own. */
void *mm_alloc(struct page_budget *budget, unsigned count)
{
	(void)budget;
	if (count > 2 || any_bool())
		return NULL;
	return pages;
}

static struct slot any_slot(void)
{
	struct slot s = { .base = GFN(any_u64()),
			  .npages = any_u64(),
			  .pfn = PFN(any_u64()),
			  .access = (uint8_t)any_between(0, 255),
			  .type = (uint8_t)any_between(0, 255),
			  .kind = (uint8_t)any_between(0, 255),
			  .flags = (uint8_t)any_between(0, 255) };

	return s;
}

static struct slot_set *any_set(void *at, uint32_t count)
{
	struct slot_set *set = at;

	set->version = any_u64();
	set->capacity = CAPACITY;
	set->count = count;
	for (unsigned i = 0; i < CAPACITY; i++)
		set->slot[i] = any_slot();
	return set;
}

static void look_up(const struct slot_set *set)
{
	const struct slot *s = slot_find(set, GFN(any_u64()));

	if (s)
		(void)slot_pfn(s, GFN(any_u64()));
	s = slot_next(set, GFN(any_u64()));
	if (s)
		(void)slot_end(s);
}

static void edit(struct slot_txn *txn)
{
	struct slot s = any_slot();
	enum status status = OK;

	switch (any_between(0, 5)) {
	case 0:
		status = slot_create(txn, &s);
		break;
	case 1:
		status = slot_delete(txn, s.base);
		break;
	case 2:
		status = slot_move(txn, s.base, GFN(any_u64()));
		break;
	case 3:
		status = slot_resize(txn, s.base, any_u64());
		break;
	case 4:
		status = slot_set_flags(txn, s.base, (unsigned)any_u64());
		break;
	case 5:
		status = slot_replace(txn, &s);
		break;
	}
	//@ check count: txn->draft->count <= txn->draft->capacity;
	(void)status;
}

static void with_counts(uint32_t count, uint32_t other_count)
{
	struct slot_set *one = any_set(memory, count), *two = any_set(other_memory, other_count);
	struct slot_set *copy;
	struct slot_txn txn = { .draft = one };
	struct gfn_range r;

	look_up(one);
	r = slot_diff(one, two, any_between(0, BIT(SLOT_GFN_BITS)),
		      any_between(0, BIT(SLOT_GFN_BITS)));
	(void)r;
	copy = slot_set_copy(NULL, two, count);
	if (copy) {
		//@ check room: copy->count + count <= copy->capacity;
		look_up(copy);
	}
	/* What comes out is again one of the sets that this driver begins with. */
	edit(&txn);
}

int main(void)
{
	struct slot_set *empty = slot_set_copy(NULL, NULL, 0);

	if (empty)
		look_up(empty);
	//@ loop unroll 8;
	for (uint32_t count = 0; count <= CAPACITY; count++)
		//@ loop unroll 8;
		for (uint32_t other = 0; other <= CAPACITY; other += 2)
			with_counts(count, other);
	Frama_C_show_each_end();
	return 0;
}
