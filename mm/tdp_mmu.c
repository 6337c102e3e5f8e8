/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/tdp_mmu.h"
#include "mm/mm_host.h"
#include "mm/tdp_table.h"
#include "panic.h"

#define ALL_GFNS ((struct gfn_range){ 0, BIT(SLOT_GFN_BITS) })

enum status tdp_init(struct tdp *t, const struct spte_format *f, struct page_budget *budget,
		     void *host)
{
	*t = (struct tdp){ .format = f, .budget = budget, .host = host };
	t->slots = slot_set_copy(budget, NULL, 0);
	if (!t->slots)
		return ERR_NOMEM;
	t->root = tdp_table_alloc(t);
	if (!t->root) {
		mm_free(t->slots);
		t->slots = NULL;
		return ERR_NOMEM;
	}
	return OK;
}

void tdp_destroy(struct tdp *t)
{
	tdp_zap_all(t);
	tdp_tree_free(t, t->root, t->format->levels);
	mm_free(t->slots);
	*t = (struct tdp){ 0 };
}

uint64_t tdp_root(const struct tdp *t)
{
	return virt_to_hpa(t->root).v | t->format->root;
}

const struct slot_set *tdp_slots(const struct tdp *t)
{
	return __atomic_load_n(&t->slots, __ATOMIC_ACQUIRE);
}

enum status tdp_translate(const struct tdp *t, gpa_t gpa, unsigned access, hpa_t *hpa,
			  uint64_t *left)
{
	const struct slot *s = slot_find(tdp_slots(t), gpa_to_gfn(gpa));
	uint64_t offset;

	/* A device's registers are no memory: a read of the wrong width may have any effect. */
	if (!s || s->kind == SLOT_DEVICE || (s->access & access) != access)
		return ERR_FAULT;
	offset = gpa.v - gfn_to_gpa(s->base).v;
	*hpa = HPA(pfn_to_hpa(s->pfn).v + offset);
	*left = (s->npages << PAGE_SHIFT) - offset;
	return OK;
}

static enum status fill(struct tdp *t, uint64_t *table, unsigned level, bool live, uint64_t base,
			struct gfn_range r);

/*
 * The entry for an empty span, by the current slots. A new table is complete, as far as the range
 * asks, before anything points to it.
 */
static enum status fill_entry(struct tdp *t, unsigned level, uint64_t base, struct gfn_range r,
			      uint64_t *entry)
{
	enum status status;
	uint64_t *table;

	*entry = SPTE_EMPTY;
	if (tdp_shape(t, t->slots, base, level, entry) != TDP_SHAPE_TABLE)
		return OK;
	table = tdp_table_alloc(t);
	if (!table)
		return ERR_NOMEM;
	status = fill(t, table, level - 1, false, base, r);
	if (status) {
		tdp_tree_free(t, table, level - 1);
		return status;
	}
	*entry = spte_make_table(t->format, virt_to_hpa(table), level);
	return OK;
}

/*
 * Map what the slots cover in the range and the table, whose first frame is `base`, does not map.
 * Recursion: at most twice for each level.
 */
static enum status fill(struct tdp *t, uint64_t *table, unsigned level, bool live, uint64_t base,
			struct gfn_range r)
{
	enum status status = OK;
	uint64_t span, end;

	ASSERT(level > 0); /* a slot covers a page or it does not: this ends the recursion */
	span = spte_span(level);
	end = min_u64(r.end, base + span * SPTE_PER_TABLE);
	for (uint64_t at = ALIGN_DOWN(max_u64(r.start, base), span); !status && at < end;
	     at += span) {
		uint64_t *entry = &table[spte_index(at, level)];
		uint64_t value = tdp_read_entry(entry);

		if (spte_is_table(t->format, value, level)) {
			status = fill(t, tdp_child(t, value), level - 1, true, at, r);
		} else if (!spte_present(t->format, value)) {
			status = fill_entry(t, level, at, r, &value);
			if (status || value == SPTE_EMPTY)
				continue;
			if (live)
				tdp_set_entry(t, entry, level, value, TDP_FILL);
			else
				*entry = value;
		}
	}
	return status;
}

enum status tdp_populate(struct tdp *t, gfn_t start, uint64_t npages)
{
	enum status status;

	if (start.v >= BIT(SLOT_GFN_BITS) || npages > BIT(SLOT_GFN_BITS) - start.v)
		return ERR_RANGE;
	spin_lock(&t->lock);
	status = fill(t, t->root, t->format->levels, true, 0,
		      (struct gfn_range){ start.v, start.v + npages });
	spin_unlock(&t->lock);
	return status;
}

/*
 * Freeze what is mapped in the range, or thaw it. The range never cuts a leaf: it is one slot, or
 * everything, and a leaf belongs to one slot. Tables that lie in it whole go to the list, to be
 * freed after the flush. Recursion: at most one call for each level.
 */
static void zap(struct tdp *t, uint64_t *table, unsigned level, uint64_t base, struct gfn_range r,
		enum tdp_change change, struct tdp_list *dead)
{
	uint64_t span = spte_span(level);
	uint64_t end = min_u64(r.end, base + span * SPTE_PER_TABLE);

	for (uint64_t at = ALIGN_DOWN(max_u64(r.start, base), span); at < end; at += span) {
		uint64_t *entry = &table[spte_index(at, level)];
		uint64_t value = tdp_read_entry(entry);
		bool whole = at >= r.start && at + span <= r.end;

		if (value == SPTE_EMPTY)
			continue;
		if (!whole && spte_is_table(t->format, value, level)) {
			zap(t, tdp_child(t, value), level - 1, at, r, change, dead);
			continue;
		}
		ASSERT(whole);
		if (change == TDP_THAW) {
			tdp_set_entry(t, entry, level, SPTE_EMPTY, TDP_THAW);
			continue;
		}
		value = tdp_set_entry(t, entry, level, SPTE_FROZEN, TDP_FREEZE);
		if (spte_is_table(t->format, value, level))
			tdp_list_add(dead, tdp_child(t, value), (level - 1) | TDP_TREE);
	}
}

/* Zap, flush, and only then let go of the tables. With the lock held. */
static void zap_range(struct tdp *t, struct gfn_range r)
{
	struct tdp_list dead = { NULL };

	zap(t, t->root, t->format->levels, 0, r, TDP_FREEZE, &dead);
	mm_flush(t->host, GFN(r.start), r.end - r.start);
	t->stats.flushes++;
	zap(t, t->root, t->format->levels, 0, r, TDP_THAW, &dead);
	tdp_list_free(t, &dead);
	t->stats.zaps++;
}

enum status tdp_zap_slot(struct tdp *t, gfn_t base)
{
	enum status status = ERR_NOT_FOUND;
	const struct slot *s;

	spin_lock(&t->lock);
	s = slot_find(t->slots, base);
	if (s && s->base.v == base.v) {
		zap_range(t, (struct gfn_range){ s->base.v, slot_end(s) });
		status = OK;
	}
	spin_unlock(&t->lock);
	return status;
}

void tdp_zap_all(struct tdp *t)
{
	spin_lock(&t->lock);
	zap_range(t, ALL_GFNS);
	spin_unlock(&t->lock);
}

/* Counters that several cores may bump without the lock; a lost count does no harm. */
static void count(uint64_t *counter)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
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

	if (!fault->has_slot)
		return TDP_MMIO;
	if ((fault->slot.access & fault->access) == fault->access)
		return TDP_FIXED;
	if (fault->access & ACCESS_W && !(fault->slot.access & ACCESS_W))
		return TDP_MMIO;
	fault->error = ERR_DENIED;
	return TDP_ERROR;
}

/* The leaf that maps a frame, or 0. */
static uint64_t find_leaf(const struct tdp *t, uint64_t gfn, unsigned *level)
{
	const uint64_t *table = t->root;

	for (unsigned l = t->format->levels;; l--) {
		uint64_t entry = tdp_read_entry(&table[spte_index(gfn, l)]);

		if (spte_is_leaf(t->format, entry, l)) {
			*level = l;
			return entry;
		}
		if (!spte_is_table(t->format, entry, l))
			return 0;
		table = tdp_child(t, entry);
	}
}

/* With the lock held, and the slot set of the decision still the current one. */
static enum tdp_result map_fault(struct tdp *t, struct tdp_fault *fault)
{
	uint64_t gfn = gpa_to_gfn(fault->gpa).v;
	unsigned level;

	/*
	 * A leaf is all that its slot permits, so the access that faulted was legal when the TLB
	 * was asked: the entry in the TLB was older than the leaf.
	 */
	if (find_leaf(t, gfn, &level)) {
		t->stats.spurious++;
		return TDP_SPURIOUS;
	}
	fault->error =
		fill(t, t->root, t->format->levels, true, 0, (struct gfn_range){ gfn, gfn + 1 });
	if (fault->error)
		return TDP_ERROR;
	t->stats.fixed++;
	return TDP_FIXED;
}

enum tdp_result tdp_fault(struct tdp *t, struct tdp_fault *fault)
{
	enum tdp_result result;
	uint64_t version;

	fault->error = OK;
	result = classify(t, fault, &version);
	if (result == TDP_FIXED) {
		spin_lock(&t->lock);
		result = t->slots->version == version ? map_fault(t, fault) : TDP_RETRY;
		spin_unlock(&t->lock);
	}
	if (result == TDP_MMIO)
		count(&t->stats.mmio);
	else if (result == TDP_RETRY)
		count(&t->stats.retry);
	else if (result == TDP_ERROR)
		count(&t->stats.error);
	return result;
}
