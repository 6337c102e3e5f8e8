/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_table.h"
#include "panic.h"

/*
 * Taking translations away: freeze, flush, thaw, and only then free. Only from the cores' table:
 * devices cannot fault them in again.
 */

/*
 * Freeze what is mapped in the range, or thaw it. The range never cuts a leaf: it is one slot, the
 * span of one entry, or everything, and a leaf belongs to one slot. Tables that lie in it whole are
 * gathered. Recursion: at most one call for each level.
 */
static void zap(struct tdp_view *w, uint64_t *table, uint64_t base, struct gfn_range r,
		enum tdp_change change, struct tdp_gather *g)
{
	unsigned level = tdp_table_level(virt_to_page(table));
	uint64_t span = spte_span(level);
	uint64_t end = min_u64(r.end, base + span * SPTE_PER_TABLE);

	for (uint64_t at = ALIGN_DOWN(max_u64(r.start, base), span); at < end; at += span) {
		uint64_t *entry = &table[spte_index(at, level)];
		uint64_t value = tdp_read_entry(entry);
		bool whole = at >= r.start && at + span <= r.end;

		if (value == SPTE_EMPTY)
			continue;
		if (!whole && spte_is_table(w->format, value, level)) {
			zap(w, tdp_child(w, value), at, r, change, g);
			continue;
		}
		ASSERT(whole);
		if (change == TDP_THAW) {
			tdp_set_entry(w, entry, level, SPTE_EMPTY, TDP_THAW);
			continue;
		}
		value = tdp_set_entry(w, entry, level, SPTE_FROZEN, TDP_FREEZE);
		if (spte_is_table(w->format, value, level))
			tdp_list_add(&g->trees[w->id], tdp_child(w, value));
		else if (g->logs)
			tdp_log_entry(w, g->logs, at, level, value);
	}
}

void tdp_zap_range(struct tdp *t, struct gfn_range r)
{
	struct tdp_view *w = &t->view[TDP_CPU];
	struct tdp_gather g = { .logs = t->logs };

	tdp_gather_range(&g, TDP_CPU, r.start, r.end);
	spin_lock(&t->lock);
	zap(w, w->root, 0, r, TDP_FREEZE, &g);
	tdp_gather_flush(t, &g);
	zap(w, w->root, 0, r, TDP_THAW, &g);
	t->stats.zaps++;
	spin_unlock(&t->lock);
	tdp_gather_free(t, &g);
}

enum status tdp_zap_slot(struct tdp *t, gfn_t base)
{
	enum status status = ERR_NOT_FOUND;
	const struct slot *s;

	spin_lock(&t->layout_lock);
	s = slot_find(t->slots, base);
	if (s && s->base.v == base.v) {
		tdp_zap_range(t, (struct gfn_range){ s->base.v, slot_end(s) });
		status = OK;
	}
	spin_unlock(&t->layout_lock);
	return status;
}

void tdp_zap_all(struct tdp *t)
{
	spin_lock(&t->layout_lock);
	tdp_zap_range(t, ALL_GFNS);
	spin_unlock(&t->layout_lock);
}

/* Zap what one entry of a live table points to. Under both locks; the caller frees. */
static void zap_entry(struct tdp_view *w, struct page *page, uint64_t base, struct tdp_gather *g)
{
	unsigned level = tdp_table_level(page) + 1;
	uint64_t *entry = page->parent;

	tdp_gather_range(g, w->id, base, base + spte_span(level));
	tdp_set_entry(w, entry, level, SPTE_FROZEN, TDP_FREEZE);
	tdp_list_add(&g->trees[w->id], page_to_virt(page));
	tdp_gather_flush(w->tdp, g);
	tdp_set_entry(w, entry, level, SPTE_EMPTY, TDP_THAW);
	w->tdp->stats.zaps++;
}

enum status tdp_zap_table(struct tdp *t, hpa_t table)
{
	struct tdp_view *w = &t->view[TDP_CPU];
	enum status status = ERR_NOT_FOUND;
	struct tdp_gather g;
	struct page *page;
	uint64_t base;

	if (!page_pool_has(table))
		return ERR_NOT_FOUND;
	spin_lock(&t->layout_lock);
	spin_lock(&t->lock);
	/*
	 * Whoever frees a table of this guest has one of the locks, so if it is one now it stays one.
	 * Being linked, up to the root, is the proof.
	 */
	g = (struct tdp_gather){ .logs = t->logs };
	page = virt_to_page(hpa_to_virt(table));
	if (page->owner == t->budget && page->parent && tdp_table_level(page) &&
	    tdp_table_base(w, page, &base)) {
		zap_entry(w, page, base, &g);
		status = OK;
	}
	spin_unlock(&t->lock);
	tdp_gather_free(t, &g);
	spin_unlock(&t->layout_lock);
	return status;
}

void tdp_set_zap_all(struct tdp *t, bool on)
{
	spin_lock(&t->layout_lock);
	t->zap_all = on;
	spin_unlock(&t->layout_lock);
}
