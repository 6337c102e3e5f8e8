/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_table.h"
#include "panic.h"

/* From slots to entries: filling what is empty, and faults. */

static enum status fill(struct tdp_view *w, uint64_t *table, bool live, uint64_t base,
			struct gfn_range r);

/*
 * The entry for an empty span, by the current slots. A new table is complete, as far as the range
 * asks, before anything points to it.
 */
static enum status fill_entry(struct tdp_view *w, uint64_t *entry, unsigned level, uint64_t base,
			      struct gfn_range r, uint64_t *value)
{
	enum status status;
	uint64_t *table;

	*value = SPTE_EMPTY;
	if (tdp_shape(w, w->tdp->slots, base, level, value) != TDP_SHAPE_TABLE)
		return OK;
	ASSERT(level > 1); /* a slot covers a page or it does not: this ends the recursion */
	table = tdp_table_alloc(w->tdp, level - 1);
	if (!table)
		return ERR_NOMEM;
	status = fill(w, table, false, base, r);
	if (status) {
		tdp_tree_free(w, table);
		return status;
	}
	*value = tdp_link_value(w, table, entry);
	return OK;
}

/*
 * Map what the slots cover in the range and the table, whose first frame is `base`, does not map.
 * Recursion: at most twice for each level.
 */
static enum status fill(struct tdp_view *w, uint64_t *table, bool live, uint64_t base,
			struct gfn_range r)
{
	unsigned level = tdp_table_level(virt_to_page(table));
	uint64_t span = spte_span(level), end = min_u64(r.end, base + span * SPTE_PER_TABLE);
	enum status status = OK;

	for (uint64_t at = ALIGN_DOWN(max_u64(r.start, base), span); !status && at < end;
	     at += span) {
		uint64_t *entry = &table[spte_index(at, level)];
		uint64_t value = tdp_read_entry(entry);

		if (spte_is_table(w->format, value, level)) {
			status = fill(w, tdp_child(w, value), live, at, r);
		} else if (value == SPTE_EMPTY) {
			status = fill_entry(w, entry, level, at, r, &value);
			if (status || value == SPTE_EMPTY)
				continue;
			if (live)
				tdp_set_entry(w, entry, level, value, TDP_FILL);
			else
				*entry = value;
		}
	}
	return status;
}

enum status tdp_fill(struct tdp_view *w, struct gfn_range r)
{
	r.end = min_u64(r.end, tdp_limit(w));
	return fill(w, w->root, w->tdp->view[w->id].root == w->root, 0, r);
}

/* In pieces, so that a fault on another core waits for one of them at most. */
#define POPULATE_PIECE BIT(13) /* 32 MiB: 16 tables */

enum status tdp_populate(struct tdp *t, gfn_t start, uint64_t npages)
{
	uint64_t end = start.v + npages;
	enum status status = OK;

	if (start.v >= BIT(SLOT_GFN_BITS) || npages > BIT(SLOT_GFN_BITS) - start.v)
		return ERR_RANGE;
	for (uint64_t at = start.v; !status && at < end;) {
		const struct slot *s;
		struct gfn_range r;

		spin_lock(&t->lock);
		s = slot_next(t->slots, GFN(at));
		r.start = s ? max_u64(at, s->base.v) : end;
		r.end = min_u64(end, ALIGN_DOWN(r.start, POPULATE_PIECE) + POPULATE_PIECE);
		if (r.start < r.end)
			status = tdp_fill(&t->view[TDP_CPU], r);
		spin_unlock(&t->lock);
		at = max_u64(r.start, r.end);
	}
	return status;
}

/*
 * What the slots say about a fault, without the lock: faults on emulated devices, the only ones of
 * the steady state, end here. TDP_FIXED: the access is legal, look at the tables.
 */
static enum tdp_result classify(struct tdp *t, struct tdp_fault *fault, uint64_t *version)
{
	const struct slot_set *set;
	const struct slot *s;

	mm_read_begin();
	set = tdp_slots(t);
	*version = set->version;
	s = slot_find(set, gpa_to_gfn(fault->gpa));
	fault->has_slot = s;
	if (s)
		fault->slot = *s;
	mm_read_end();

	if (!fault->has_slot || fault->slot.kind == SLOT_EMULATED)
		return TDP_MMIO;
	if ((fault->slot.access & fault->access) == fault->access)
		return TDP_FIXED;
	if (fault->access & ACCESS_W && !(fault->slot.access & ACCESS_W))
		return TDP_MMIO;
	fault->error = ERR_DENIED;
	return TDP_ERROR;
}

bool tdp_find_leaf(const struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf)
{
	uint64_t *table = w->root;

	if (gfn >= tdp_limit(w))
		return false;
	for (unsigned level = w->format->levels;; level--) {
		uint64_t *entry = &table[spte_index(gfn, level)];
		uint64_t value = tdp_read_entry(entry);

		if (spte_is_leaf(w->format, value, level)) {
			*leaf = (struct tdp_leaf){ entry, value, level };
			return true;
		}
		if (!spte_is_table(w->format, value, level))
			return false;
		table = tdp_child(w, value);
	}
}

/* With the lock held, and the slot set of the decision still the current one. */
static enum status map_fault(struct tdp *t, struct tdp_fault *fault, enum tdp_result *result)
{
	struct tdp_view *w = &t->view[TDP_CPU];
	uint64_t gfn = gpa_to_gfn(fault->gpa).v;
	struct tdp_leaf leaf;
	unsigned missing;
	enum status s;

	*result = TDP_FIXED;
	if (!tdp_find_leaf(w, gfn, &leaf)) {
		s = tdp_fill(w, (struct gfn_range){ gfn, gfn + 1 });
		if (s)
			return s;
		if (!tdp_find_leaf(w, gfn, &leaf))
			panic("no leaf for gfn %#llx after a fill", (unsigned long long)gfn);
	} else {
		*result = TDP_SPURIOUS;
	}
	missing = fault->access & ~spte_decode(w->format, leaf.value, leaf.level).access;
	/*
	 * If the leaf permits what faulted, then the TLB's entry was older than the leaf. Otherwise
	 * it lacks what a dirty log or nx_huge has taken from it, and only that.
	 */
	if (!missing)
		return OK;
	ASSERT(!(missing & ~(ACCESS_W | ACCESS_X)));
	*result = TDP_FIXED;
	s = OK;
	if (missing & ACCESS_W)
		s = tdp_log_grant(w, gfn, &leaf);
	if (!s && missing & ACCESS_X)
		s = tdp_nx_grant(w, gfn, &leaf);
	return s;
}

/* Once. TDP_ERROR if the budget has no page for what it takes. */
static enum tdp_result try_map(struct tdp *t, struct tdp_fault *fault, uint64_t version)
{
	enum tdp_result result = TDP_RETRY;

	spin_lock(&t->lock);
	if (t->slots->version == version) {
		fault->error = map_fault(t, fault, &result);
		if (fault->error)
			result = TDP_ERROR;
		else if (result == TDP_FIXED)
			t->stats.fixed++;
		else
			t->stats.spurious++;
	}
	spin_unlock(&t->lock);
	return result;
}

static enum tdp_result resolve(struct tdp *t, struct tdp_fault *fault, uint64_t version)
{
	enum tdp_result result = try_map(t, fault, version);

	if (result != TDP_ERROR)
		return result;
	/*
	 * Make some pages, and try again. Whoever is changing the layout just now may be about to
	 * free some: then the guest tries again, because no fault waits for layout_lock.
	 */
	if (!spin_trylock(&t->layout_lock))
		return TDP_RETRY;
	tdp_reclaim(t);
	result = try_map(t, fault, version);
	spin_unlock(&t->layout_lock);
	return result;
}

/*
 * A fault on an emulated device whose MMIO entry a zap has taken away, or that never had one: the
 * next access finds it, if there is a page for it.
 */
static void refill(struct tdp *t, const struct tdp_fault *fault, uint64_t version)
{
	struct tdp_view *w = &t->view[TDP_CPU];
	uint64_t gfn = gpa_to_gfn(fault->gpa).v;
	enum status unused_status;

	if (!w->format->mmio)
		return;
	spin_lock(&t->lock);
	if (t->slots->version == version)
		unused_status = tdp_fill(w, (struct gfn_range){ gfn, gfn + 1 });
	(void)unused_status;
	spin_unlock(&t->lock);
}

enum tdp_result tdp_fault(struct tdp *t, struct tdp_fault *fault)
{
	enum tdp_result result;
	uint64_t version;

	fault->error = OK;
	result = classify(t, fault, &version);
	if (result == TDP_FIXED)
		result = resolve(t, fault, version);
	else if (fault->has_slot && fault->slot.kind == SLOT_EMULATED)
		refill(t, fault, version);
	if (result == TDP_MMIO)
		tdp_count(&t->stats.mmio);
	else if (result == TDP_RETRY)
		tdp_count(&t->stats.retry);
	else if (result == TDP_ERROR)
		tdp_count(&t->stats.error);
	return result;
}
