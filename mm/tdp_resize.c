/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_table.h"

/*
 * Splitting a large leaf and merging a table, in place, while cores and devices use it. Before and
 * after, and for whoever still has the other one in its TLB, each page is translated to the same
 * frame, so nobody can tell; but for the rights of nx_huge, which a merge takes back.
 */

enum status tdp_split_leaf(struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf, unsigned more)
{
	const struct spte_format *f = w->format;
	uint64_t value = more ? spte_add_access(f, leaf->value, more) : leaf->value;
	unsigned level = leaf->level;
	uint64_t *table = tdp_table_alloc(w->tdp, level - 1);

	if (!table)
		return ERR_NOMEM;
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++)
		table[i] = spte_fragment(f, value, level, i);
	tdp_set_entry(w, leaf->entry, level, tdp_link_value(w, table, leaf->entry), TDP_SPLIT);
	w->tdp->stats.splits++;
	leaf->entry = &table[spte_index(gfn, level - 1)];
	leaf->value = tdp_read_entry(leaf->entry);
	leaf->level = level - 1;
	return OK;
}

static enum status split(struct tdp_view *w, uint64_t gfn, unsigned level)
{
	enum status status = OK;
	struct tdp_leaf leaf;

	if (!w->root || !tdp_find_leaf(w, gfn, &leaf))
		return ERR_NOT_FOUND;
	while (!status && leaf.level > max_u64(level, 1))
		status = tdp_split_leaf(w, gfn, &leaf, 0);
	return status;
}

enum status tdp_split(struct tdp *t, enum tdp_view_id view, gfn_t gfn, unsigned level)
{
	enum status status;

	spin_lock(&t->lock);
	status = split(&t->view[view], gfn.v, level);
	spin_unlock(&t->lock);
	return status;
}

/* Nothing but leaves and empty entries. */
static bool is_flat(const struct tdp_view *w, const uint64_t *table, unsigned level)
{
	for (unsigned i = 0; level > 1 && i < SPTE_PER_TABLE; i++)
		if (spte_is_table(w->format, tdp_read_entry(&table[i]), level))
			return false;
	return true;
}

static bool may_collapse(const struct tdp *t, uint64_t base, const struct tdp_gather *g)
{
	const struct slot *s = slot_find(t->slots, GFN(base));

	return g->logs || !s || !(s->flags & SLOT_LOG);
}

bool tdp_collapse_table(struct tdp_view *w, struct page *page, struct tdp_gather *g)
{
	unsigned level = tdp_table_level(page) + 1;
	uint64_t *table = page_to_virt(page);
	uint64_t base, leaf;

	if (!page->parent || !tdp_table_base(w, page, &base) ||
	    tdp_shape(w, w->tdp->slots, base, level, &leaf) != TDP_SHAPE_LEAF ||
	    !is_flat(w, table, level - 1) || !may_collapse(w->tdp, base, g))
		return false;
	tdp_set_entry(w, page->parent, level, leaf, TDP_COLLAPSE);
	tdp_gather_range(g, w->id, base, base + spte_span(level));
	tdp_list_add(&g->tables[w->id], table);
	w->tdp->stats.collapses++;
	return true;
}

/* The table for the span of `level` around the frame; false if that is mapped by a larger leaf. */
static bool find_table(const struct tdp_view *w, uint64_t gfn, unsigned level, uint64_t **table)
{
	*table = w->root;
	for (unsigned l = w->format->levels; l >= level; l--) {
		uint64_t value = tdp_read_entry(&(*table)[spte_index(gfn, l)]);

		*table = NULL;
		if (!spte_is_table(w->format, value, l))
			return l == level;
		*table = tdp_child(w, value);
	}
	return true;
}

void tdp_collapse_at(struct tdp_view *w, uint64_t gfn, struct tdp_gather *g)
{
	uint64_t *table;

	for (unsigned level = 2; level <= w->format->max_level; level++) {
		if (!find_table(w, gfn, level, &table))
			return;
		if (table && !tdp_collapse_table(w, virt_to_page(table), g))
			return;
	}
}

static uint64_t collapse_view(struct tdp_view *w, struct gfn_range r, struct tdp_log_set *logs)
{
	uint64_t step = spte_span(2), freed = 0, end = min_u64(r.end, tdp_limit(w));
	struct tdp *t = w->tdp;

	/* A 2 MiB region at a time, so that no fault waits for more than that. */
	for (uint64_t at = ALIGN_DOWN(r.start, step); at < end;) {
		const struct slot *s = slot_next(t->slots, GFN(at));
		struct tdp_gather g = { .logs = logs };

		if (!s)
			break;
		at = max_u64(at, ALIGN_DOWN(s->base.v, step));
		if (at >= end)
			break;
		spin_lock(&t->lock);
		tdp_collapse_at(w, at, &g);
		if (g.count)
			tdp_gather_flush(t, &g);
		spin_unlock(&t->lock);
		freed += tdp_gather_free(t, &g);
		at += step;
	}
	return freed;
}

/* With the logs, that of logged slots as well. Under layout_lock. */
static uint64_t collapse(struct tdp *t, struct gfn_range r, struct tdp_log_set *logs)
{
	uint64_t freed = 0;

	for (unsigned i = 0; i < TDP_VIEWS; i++)
		if (t->view[i].root)
			freed += collapse_view(&t->view[i], r, logs);
	return freed;
}

uint64_t tdp_collapse(struct tdp *t, gfn_t start, uint64_t npages)
{
	uint64_t freed;

	if (start.v >= BIT(SLOT_GFN_BITS))
		return 0;
	npages = min_u64(npages, BIT(SLOT_GFN_BITS) - start.v);
	spin_lock(&t->layout_lock);
	freed = collapse(t, (struct gfn_range){ start.v, start.v + npages }, NULL);
	spin_unlock(&t->layout_lock);
	return freed;
}

uint64_t tdp_reclaim(struct tdp *t)
{
	return collapse(t, ALL_GFNS, t->logs);
}
