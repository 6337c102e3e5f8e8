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

/* What a slot, or its absence, says about a fault. TDP_FIXED: the access is legal. */
static enum tdp_result judge(const struct slot *s, struct tdp_fault *fault)
{
	if (!s || s->kind == SLOT_EMULATED)
		return TDP_MMIO;
	if ((s->access & fault->access) == fault->access)
		return TDP_FIXED;
	if (fault->access & ACCESS_W && !(s->access & ACCESS_W))
		return TDP_MMIO;
	fault->error = ERR_DENIED;
	return TDP_ERROR;
}

/* What a fault is about: valid as long as the slots have that version. */
struct place {
	uint64_t gfn;
	const struct slot *slot;
	uint64_t version;
};

/*
 * What the slots say about a fault, without the lock: faults on emulated devices, the only ones of
 * the steady state, end here. TDP_FIXED: look at the tables.
 */
static enum tdp_result classify(struct tdp *t, struct tdp_fault *fault, struct place *p)
{
	const struct slot_set *set;
	enum tdp_result result;

	p->gfn = gpa_to_gfn(fault->gpa).v;
	mm_read_begin();
	set = tdp_slots(t);
	p->version = set->version;
	p->slot = slot_find(set, GFN(p->gfn));
	result = judge(p->slot, fault);
	fault->has_slot = p->slot;
	if (p->slot && result != TDP_FIXED)
		fault->slot = *p->slot;
	mm_read_end();
	return result;
}

/* Where a walk ends: the first entry that points to no table. False: beyond what tables translate. */
static bool find_end(const struct tdp_view *w, uint64_t gfn, struct tdp_leaf *end)
{
	const struct spte_format *f = w->format;
	unsigned shift = SPTE_LEVEL_SHIFT * f->levels, level = f->levels;
	uint64_t *table = w->root;

	if (unlikely(gfn >= tdp_limit(w)))
		return false;
	/* As in last_entry(): this is in the path of each fault. */
	for (;; level--) {
		shift -= SPTE_LEVEL_SHIFT;
		end->entry = &table[gfn >> shift & (SPTE_PER_TABLE - 1)];
		end->value = tdp_read_entry(end->entry);
		if (!spte_present(f, end->value) || !shift ||
		    (end->value & f->size_mask) == f->large)
			break;
		table = tdp_child(w, end->value);
	}
	end->level = level;
	return true;
}

bool tdp_find_leaf(const struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf)
{
	return find_end(w, gfn, leaf) && spte_is_leaf(w->format, leaf->value, leaf->level);
}

/*
 * Most faults find an empty entry that a leaf of their slot fills, with all of its rights. False: it
 * takes more.
 */
static bool map_at_once(struct tdp_view *w, const struct place *p, const struct tdp_leaf *end)
{
	const struct spte_format *f = w->format;
	uint64_t base = ALIGN_DOWN(p->gfn, spte_span(end->level)), value;

	if (end->value != SPTE_EMPTY ||
	    tdp_slot_shape(w, p->slot, base, end->level, &value) != TDP_SHAPE_LEAF ||
	    (value & f->access_mask) != f->access[p->slot->access & f->rights])
		return false;
	tdp_set_entry(w, end->entry, end->level, value, TDP_FILL);
	return true;
}

/* With the lock held, and the slot set of the decision still the current one. */
static enum status map_fault(struct tdp *t, struct tdp_fault *fault, const struct place *p,
			     enum tdp_result *result)
{
	struct tdp_view *w = &t->view[TDP_CPU];
	struct tdp_leaf leaf = { 0 };
	unsigned missing;
	enum status s;

	*result = TDP_FIXED;
	if (find_end(w, p->gfn, &leaf) && likely(map_at_once(w, p, &leaf)))
		return OK;
	if (!spte_is_leaf(w->format, leaf.value, leaf.level)) {
		s = tdp_fill(w, (struct gfn_range){ p->gfn, p->gfn + 1 });
		if (s)
			return s;
		if (!tdp_find_leaf(w, p->gfn, &leaf))
			panic("no leaf for gfn %#llx after a fill", (unsigned long long)p->gfn);
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
		s = tdp_log_grant(w, p->gfn, &leaf);
	if (!s && missing & ACCESS_X)
		s = tdp_nx_grant(w, p->gfn, &leaf);
	return s;
}

/* Once. TDP_ERROR if the budget has no page for what it takes. */
static enum tdp_result try_map(struct tdp *t, struct tdp_fault *fault, const struct place *p)
{
	enum tdp_result result = TDP_RETRY;

	spin_lock(&t->lock);
	if (t->slots->version == p->version) {
		fault->error = map_fault(t, fault, p, &result);
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

static enum tdp_result resolve(struct tdp *t, struct tdp_fault *fault, const struct place *p)
{
	enum tdp_result result = try_map(t, fault, p);

	if (result != TDP_ERROR)
		return result;
	/*
	 * Make some pages, and try again. Whoever is changing the layout just now may be about to
	 * free some: then the guest tries again, because no fault waits for layout_lock.
	 */
	if (!spin_trylock(&t->layout_lock))
		return TDP_RETRY;
	tdp_reclaim(t);
	result = try_map(t, fault, p);
	spin_unlock(&t->layout_lock);
	return result;
}

/*
 * A fault on an emulated device whose MMIO entry a zap has taken away, or that never had one: the
 * next access finds it, if there is a page for it.
 */
static void refill(struct tdp *t, const struct place *p)
{
	struct tdp_view *w = &t->view[TDP_CPU];
	enum status unused_status;

	if (!w->format->mmio)
		return;
	spin_lock(&t->lock);
	if (t->slots->version == p->version)
		unused_status = tdp_fill(w, (struct gfn_range){ p->gfn, p->gfn + 1 });
	(void)unused_status;
	spin_unlock(&t->lock);
}

enum tdp_result tdp_fault(struct tdp *t, struct tdp_fault *fault)
{
	enum tdp_result result;
	struct place p;

	fault->error = OK;
	result = classify(t, fault, &p);
	if (result == TDP_FIXED)
		result = resolve(t, fault, &p);
	else if (fault->has_slot && fault->slot.kind == SLOT_EMULATED)
		refill(t, &p);
	if (result == TDP_MMIO)
		tdp_count(&t->stats.mmio);
	else if (result == TDP_RETRY)
		tdp_count(&t->stats.retry);
	else if (result == TDP_ERROR)
		tdp_count(&t->stats.error);
	return result;
}
