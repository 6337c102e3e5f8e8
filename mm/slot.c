/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/slot.h"
#include "mm/mm_host.h"
#include "mm/spte.h"
#include "panic.h"

/* The position of the first slot that ends behind the frame, or the number of slots. */
static uint32_t index_next(const struct slot_set *set, gfn_t gfn)
{
	uint32_t lo = 0, hi = set->count;

	/* All slots before `lo` end at or below the frame, all from `hi` on end above it. */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (slot_end(&set->slot[mid]) <= gfn.v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct slot *slot_next(const struct slot_set *set, gfn_t gfn)
{
	uint32_t i = index_next(set, gfn);

	return i < set->count ? &set->slot[i] : NULL;
}

const struct slot *slot_find(const struct slot_set *set, gfn_t gfn)
{
	const struct slot *s = slot_next(set, gfn);

	return s && s->base.v <= gfn.v ? s : NULL;
}

/* A stretch in which a set translates uniformly: one slot's, or a gap's. */
struct run {
	const struct slot *slot; /* NULL: gap */
	uint64_t end;
};

/* The run at a frame. *next is the first slot that ends behind an earlier frame, and moves on. */
static struct run run_at(const struct slot_set *set, uint32_t *next, uint64_t gfn)
{
	const struct slot *s;

	while (*next < set->count && slot_end(&set->slot[*next]) <= gfn)
		++*next;
	if (*next == set->count)
		return (struct run){ NULL, BIT(SLOT_GFN_BITS) };
	s = &set->slot[*next];
	if (s->base.v > gfn)
		return (struct run){ NULL, s->base.v };
	return (struct run){ s, slot_end(s) };
}

/*
 * Do both translate this frame, and the frames after it, to the same, for cores and for devices?
 * Devices don't see other devices' registers; else kind and name don't count.
 */
static bool same_translation(const struct slot *a, const struct slot *b, uint64_t gfn)
{
	if (!a || !b)
		return a == b;
	if (a->kind == SLOT_EMULATED || b->kind == SLOT_EMULATED)
		return a->kind == b->kind && a->handler == b->handler;
	return slot_pfn(a, GFN(gfn)).v == slot_pfn(b, GFN(gfn)).v && a->access == b->access &&
	       a->type == b->type && !((a->flags ^ b->flags) & SLOT_LOG) &&
	       (a->kind == SLOT_DEVICE) == (b->kind == SLOT_DEVICE);
}

struct gfn_range slot_diff(const struct slot_set *a, const struct slot_set *b, uint64_t from,
			   uint64_t to)
{
	uint32_t next_a = index_next(a, GFN(from)), next_b = index_next(b, GFN(from));
	struct gfn_range r = { from, from };
	bool differs = false;

	while (r.end < to) {
		struct run ra = run_at(a, &next_a, r.end), rb = run_at(b, &next_b, r.end);
		uint64_t end = min_u64(to, min_u64(ra.end, rb.end));

		if (!same_translation(ra.slot, rb.slot, r.end)) {
			differs = true;
		} else {
			if (differs)
				break;
			r.start = end;
		}
		r.end = end;
	}
	return r;
}

struct slot_set *slot_set_copy(struct page_budget *budget, const struct slot_set *from,
			       unsigned room)
{
	uint32_t count = from ? from->count : 0;
	uint64_t bytes = sizeof(struct slot_set) + (count + room) * sizeof(struct slot);
	unsigned npages = (unsigned)(ALIGN_UP(bytes, PAGE_SIZE) >> PAGE_SHIFT);
	struct slot_set *set = mm_alloc(budget, npages);

	if (!set)
		return NULL;
	set->version = from ? from->version : 0;
	set->count = count;
	set->capacity = (uint32_t)((npages * PAGE_SIZE - sizeof(*set)) / sizeof(struct slot));
	if (set->capacity > SLOT_MAX)
		set->capacity = SLOT_MAX;
	for (uint32_t i = 0; i < count; i++)
		set->slot[i] = from->slot[i];
	return set;
}

enum status slot_refuse(struct slot_txn *txn, enum status error, const char *reason,
			const struct slot *culprit)
{
	txn->error = error;
	txn->reason = reason;
	if (culprit)
		txn->culprit = *culprit;
	return error;
}

/* What a slot's kind allows. */
static enum status check_kind(struct slot_txn *txn, const struct slot *s)
{
	if (s->type >= MEM_TYPES || s->kind > SLOT_EMULATED)
		return slot_refuse(txn, ERR_INVALID, "unknown kind or memory type", s);
	if (s->flags & ~SLOT_LOG)
		return slot_refuse(txn, ERR_INVALID, "unknown flags", s);
	if (s->flags & SLOT_LOG && s->kind != SLOT_RAM && s->kind != SLOT_SHARED)
		return slot_refuse(txn, ERR_INVALID, "a dirty log of what is no memory", s);
	if (s->kind == SLOT_EMULATED) {
		if (s->access || s->pfn.v)
			return slot_refuse(txn, ERR_INVALID, "an emulated device with memory", s);
		if (s->handler >= SPTE_MMIO_HANDLERS)
			return slot_refuse(txn, ERR_INVALID, "unknown handler", s);
		return OK;
	}
	if (s->handler)
		return slot_refuse(txn, ERR_INVALID, "a handler of what is not emulated", s);
	if (!s->access || s->access & ~ACCESS_RWX)
		return slot_refuse(txn, ERR_INVALID, "no or unknown access rights", s);
	if (s->kind == SLOT_ROM && s->access & ACCESS_W)
		return slot_refuse(txn, ERR_INVALID, "writable ROM", s);
	if (s->kind == SLOT_DEVICE && s->access & ACCESS_X)
		return slot_refuse(txn, ERR_INVALID, "executable device memory", s);
	return OK;
}

static enum status check_slot(struct slot_txn *txn, const struct slot *s)
{
	uint64_t limit = BIT(SLOT_GFN_BITS);

	if (!s->npages)
		return slot_refuse(txn, ERR_INVALID, "slot without pages", s);
	if (s->base.v >= limit || s->npages > limit - s->base.v)
		return slot_refuse(txn, ERR_RANGE, "beyond the guest-physical space", s);
	if (s->pfn.v >= BIT(40) || s->npages > BIT(40) - s->pfn.v)
		return slot_refuse(txn, ERR_RANGE, "beyond the host-physical space", s);
	return check_kind(txn, s);
}

/* The position of the slot with this first frame, or `count`. */
static uint32_t position(const struct slot_set *set, gfn_t base)
{
	const struct slot *s = slot_find(set, base);

	return s && s->base.v == base.v ? (uint32_t)(s - set->slot) : set->count;
}

static void remove_at(struct slot_set *set, uint32_t i)
{
	set->count--;
	for (; i < set->count; i++)
		set->slot[i] = set->slot[i + 1];
}

static void put(struct slot_set *set, uint32_t at, const struct slot *s)
{
	set->slot[at] = *s;
	set->slot[at].name[SLOT_NAME_LEN - 1] = '\0';
}

/* Insert a slot that check_slot() accepts. */
static enum status insert(struct slot_txn *txn, const struct slot *s)
{
	struct slot_set *set = txn->draft;
	uint32_t at = index_next(set, s->base);

	if (at < set->count && set->slot[at].base.v < slot_end(s))
		return slot_refuse(txn, ERR_OVERLAP, "overlaps with a slot", s);
	if (set->count == set->capacity)
		return slot_refuse(txn, ERR_NOMEM, "more slots than room was made for", s);
	for (uint32_t i = set->count; i > at; i--)
		set->slot[i] = set->slot[i - 1];
	put(set, at, s);
	set->count++;
	return OK;
}

enum status slot_create(struct slot_txn *txn, const struct slot *s)
{
	if (txn->error || check_slot(txn, s))
		return txn->error;
	return insert(txn, s);
}

/* Does `s`, in the place of the slot there, lie between its neighbours? */
static bool fits(const struct slot_set *set, uint32_t at, const struct slot *s)
{
	return (!at || slot_end(&set->slot[at - 1]) <= s->base.v) &&
	       (at + 1 == set->count || slot_end(s) <= set->slot[at + 1].base.v);
}

/* Take the slot at this place out of the draft and put `s` in. */
static enum status exchange(struct slot_txn *txn, uint32_t at, const struct slot *s)
{
	if (check_slot(txn, s))
		return txn->error;
	/* Most keep their place; those behind them need not be copied then. */
	if (fits(txn->draft, at, s)) {
		put(txn->draft, at, s);
		return OK;
	}
	remove_at(txn->draft, at);
	return insert(txn, s);
}

/* The position of a slot that an edit names; refuses the transaction if there is none. */
static enum status named(struct slot_txn *txn, gfn_t base, uint32_t *at)
{
	if (txn->error)
		return txn->error;
	*at = position(txn->draft, base);
	if (*at == txn->draft->count)
		return slot_refuse(txn, ERR_NOT_FOUND, "no slot begins there",
				   &(struct slot){ .base = base });
	return OK;
}

enum status slot_delete(struct slot_txn *txn, gfn_t base)
{
	uint32_t at;

	if (named(txn, base, &at))
		return txn->error;
	remove_at(txn->draft, at);
	return OK;
}

enum status slot_move(struct slot_txn *txn, gfn_t from, gfn_t to)
{
	struct slot s;
	uint32_t at;

	if (named(txn, from, &at))
		return txn->error;
	s = txn->draft->slot[at];
	s.base = to;
	return exchange(txn, at, &s);
}

enum status slot_resize(struct slot_txn *txn, gfn_t base, uint64_t npages)
{
	struct slot s;
	uint32_t at;

	if (named(txn, base, &at))
		return txn->error;
	s = txn->draft->slot[at];
	s.npages = npages;
	return exchange(txn, at, &s);
}

enum status slot_set_flags(struct slot_txn *txn, gfn_t base, unsigned flags)
{
	struct slot s;
	uint32_t at;

	if (named(txn, base, &at))
		return txn->error;
	s = txn->draft->slot[at];
	s.flags = (uint8_t)min_u64(flags, UINT8_MAX);
	return exchange(txn, at, &s);
}

enum status slot_replace(struct slot_txn *txn, const struct slot *s)
{
	uint32_t at;

	if (named(txn, s->base, &at))
		return txn->error;
	return exchange(txn, at, s);
}
