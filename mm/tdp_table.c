/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/tdp_table.h"
#include "mm/mm_host.h"
#include "panic.h"

/*
 * Devices translate memory, not other devices' registers; and nothing of what can only be executed,
 * because their formats have no such right. Emulated devices leave a trace only in formats that have
 * MMIO entries.
 */
bool tdp_visible(const struct tdp_view *w, const struct slot *s)
{
	if (s->access & w->format->rights)
		return w->id == TDP_CPU || s->kind != SLOT_DEVICE;
	return s->kind == SLOT_EMULATED && w->id == TDP_CPU && w->format->mmio;
}

static bool is_logged(const struct tdp_view *w, const struct slot *s)
{
	return w->id == TDP_CPU && s->flags & SLOT_LOG;
}

/* What a leaf of this level may permit before anybody has asked for more. */
static unsigned leaf_access(const struct tdp_view *w, const struct slot *s, unsigned level)
{
	unsigned access = s->access;

	if (is_logged(w, s) && (level > 1 || w->tdp->log_mode == TDP_LOG_WP))
		access &= ~ACCESS_W;
	if (w->id == TDP_CPU && level > 1 && w->tdp->nx_huge)
		access &= ~ACCESS_X;
	return access;
}

/* In line, because it is done for each leaf of whatever is mapped. */
static forceinline enum tdp_shape slot_shape(const struct tdp_view *w, const struct slot *s,
					     uint64_t base, unsigned level, uint64_t *leaf)
{
	uint64_t span = spte_span(level);
	unsigned access;
	pfn_t pfn;

	if (s->base.v > base || slot_end(s) < base + span)
		return TDP_SHAPE_TABLE;
	pfn = slot_pfn(s, GFN(base));
	access = leaf_access(w, s, level);
	if (level > w->format->max_level || !IS_ALIGNED(pfn.v, span) || !access) {
		if (s->kind != SLOT_EMULATED)
			return TDP_SHAPE_TABLE;
		/* At any level: hardware looks at the bits of every entry that it walks through. */
		*leaf = spte_make_mmio(w->format, s->handler);
		return TDP_SHAPE_MMIO;
	}
	*leaf = spte_make_leaf(w->format, pfn, level, access, (enum mem_type)s->type);
	if (is_logged(w, s) && w->tdp->log_mode != TDP_LOG_WP)
		*leaf &= ~w->format->dirty;
	return TDP_SHAPE_LEAF;
}

enum tdp_shape tdp_shape(const struct tdp_view *w, const struct slot_set *set, uint64_t base,
			 unsigned level, uint64_t *leaf)
{
	const struct slot *s = slot_next(set, GFN(base)), *end = set->slot + set->count;

	while (s && s < end && !tdp_visible(w, s))
		s++;
	if (!s || s == end || s->base.v >= base + spte_span(level))
		return TDP_SHAPE_EMPTY;
	return slot_shape(w, s, base, level, leaf);
}

enum tdp_shape tdp_slot_shape(const struct tdp_view *w, const struct slot *s, uint64_t base,
			      unsigned level, uint64_t *leaf)
{
	return slot_shape(w, s, base, level, leaf);
}

static bool same_frame(const struct tdp_view *w, uint64_t a, uint64_t b)
{
	return spte_hpa(w->format, a).v == spte_hpa(w->format, b).v;
}

/* A table whose first entry translates to the leaf's frame; the others were made with it. */
static bool splits(const struct tdp_view *w, uint64_t leaf, uint64_t table)
{
	uint64_t first = tdp_read_entry(tdp_child(w, table));

	return !spte_present(w->format, first) || same_frame(w, leaf, first);
}

/*
 * The legal transitions. A leaf's frame changes in a commit only: there all cores are held and
 * flushed before they go on, so that none of them can use both frames.
 */
static bool legal(const struct tdp_view *w, uint64_t old, uint64_t value, unsigned level,
		  enum tdp_change change)
{
	enum spte_state from = spte_state(w->format, old, level);
	enum spte_state to = spte_state(w->format, value, level);

	switch (change) {
	case TDP_FILL:
		return from == SPTE_STATE_EMPTY && to != SPTE_STATE_EMPTY &&
		       to != SPTE_STATE_FROZEN;
	case TDP_SPLIT:
		return from == SPTE_STATE_LEAF && to == SPTE_STATE_TABLE && splits(w, old, value);
	case TDP_COLLAPSE:
		return from == SPTE_STATE_TABLE && to == SPTE_STATE_LEAF && splits(w, value, old);
	case TDP_WIDEN:
	case TDP_NARROW:
		return from == SPTE_STATE_LEAF && to == SPTE_STATE_LEAF &&
		       same_frame(w, old, value);
	case TDP_FREEZE:
		return from != SPTE_STATE_FROZEN && to == SPTE_STATE_FROZEN;
	case TDP_THAW:
		return from == SPTE_STATE_FROZEN && to == SPTE_STATE_EMPTY;
	case TDP_COMMIT:
		return from != SPTE_STATE_FROZEN && to != SPTE_STATE_FROZEN;
	}
	return false;
}

uint64_t tdp_set_entry(struct tdp_view *w, uint64_t *entry, unsigned level, uint64_t value,
		       enum tdp_change change)
{
	void *host = w->tdp->host;
	uint64_t flags = w->format->accessed | w->format->dirty;
	uint64_t old = mm_entry_xchg(host, w->id, entry, value);
	bool common = change == TDP_FILL && old == SPTE_EMPTY && spte_present(w->format, value);

	if (unlikely(!common) && !legal(w, old, value, level, change))
		panic("%s entry %p of level %u: change %d from %#llx to %#llx", w->format->name,
		      (void *)entry, level, change, (unsigned long long)old,
		      (unsigned long long)value);
	if (change == TDP_WIDEN) {
		/* Hardware sets a flag once, and not again while the translation is cached. */
		while (old & flags & ~value) {
			value |= old & flags;
			old = mm_entry_xchg(host, w->id, entry, value);
		}
	}
	/* What a transaction has copied aside may be out of date now. */
	if (change == TDP_FILL || change == TDP_SPLIT)
		__atomic_store_n(&w->tdp->changes, w->tdp->changes + 1, __ATOMIC_RELEASE);
	return old;
}

uint64_t tdp_narrow(struct tdp_view *w, uint64_t *entry, unsigned level, uint64_t seen,
		    uint64_t value)
{
	uint64_t since = (w->format->accessed | w->format->dirty) & ~seen;
	uint64_t old = tdp_set_entry(w, entry, level, value, TDP_NARROW);
	uint64_t all = old;

	while (old & since & ~value) {
		value |= old & since;
		old = tdp_set_entry(w, entry, level, value, TDP_NARROW);
		all |= old;
	}
	return all;
}

uint64_t *tdp_table_alloc(struct tdp *t, unsigned level)
{
	uint64_t *table = mm_alloc(t->budget, 1);

	if (!table)
		return NULL;
	virt_to_page(table)->tag = level;
	__atomic_fetch_add(&t->stats.tables, 1, __ATOMIC_RELAXED);
	return table;
}

void tdp_table_free(struct tdp *t, uint64_t *table)
{
	struct page *page = virt_to_page(table);

	if (page->tag & TDP_TAG_NX_SPLIT) {
		spin_lock(&t->lock);
		page_list_remove(&t->nx_list, page);
		spin_unlock(&t->lock);
	}
	__atomic_fetch_sub(&t->stats.tables, 1, __ATOMIC_RELAXED);
	mm_free(table);
}

/* Recursion: at most one call for each level. */
void tdp_tree_free(struct tdp_view *w, uint64_t *table)
{
	unsigned level = tdp_table_level(virt_to_page(table));

	for (unsigned i = 0; level > 1 && i < SPTE_PER_TABLE; i++)
		if (spte_is_table(w->format, table[i], level))
			tdp_tree_free(w, tdp_child(w, table[i]));
	tdp_table_free(w->tdp, table);
}

uint64_t tdp_link_value(struct tdp_view *w, uint64_t *table, uint64_t *entry)
{
	struct page *page = virt_to_page(table);

	page->parent = entry;
	if (w->id == TDP_DMA)
		mm_table_ready(w->tdp->host, table);
	return spte_make_table(w->format, virt_to_hpa(table), tdp_table_level(page) + 1);
}

bool tdp_table_base(const struct tdp_view *w, const struct page *page, uint64_t *base)
{
	*base = 0;
	while (page->parent) {
		unsigned level = tdp_table_level(page) + 1;
		uint64_t value = tdp_read_entry(page->parent);
		struct page *up = virt_to_page(page->parent);
		uint64_t *table = page_to_virt(page);

		if (!spte_is_table(w->format, value, level) || tdp_child(w, value) != table ||
		    tdp_table_level(up) != level)
			return false;
		*base += (uint64_t)(page->parent - (uint64_t *)page_to_virt(up)) * spte_span(level);
		page = up;
	}
	return page_to_virt(page) == w->root;
}

void tdp_list_add(struct tdp_list *list, uint64_t *table)
{
	struct page *page = virt_to_page(table);

	page->link = list->first;
	list->first = page;
}

uint64_t *tdp_list_pop(struct tdp_list *list)
{
	struct page *page = list->first;

	if (!page)
		return NULL;
	list->first = page->link;
	page->link = NULL;
	return page_to_virt(page);
}

void tdp_gather_range(struct tdp_gather *g, enum tdp_view_id view, uint64_t start, uint64_t end)
{
	struct gfn_range *last = g->count ? &g->range[g->count - 1] : NULL;

	g->views |= (unsigned)BIT(view);
	if (!last || (g->count < TDP_GATHER_RANGES && (start > last->end || end < last->start))) {
		g->range[g->count++] = (struct gfn_range){ start, end };
		return;
	}
	last->start = min_u64(last->start, start);
	last->end = max_u64(last->end, end);
}

void tdp_gather_flush(struct tdp *t, struct tdp_gather *g)
{
	mm_flush(t->host, g->views, g->range, g->count);
	t->stats.flushes++;
}

uint64_t tdp_gather_free(struct tdp *t, struct tdp_gather *g)
{
	uint64_t before = __atomic_load_n(&t->stats.tables, __ATOMIC_RELAXED);
	uint64_t *table;

	if (g->logs)
		tdp_log_tables(t, g);
	for (unsigned i = 0; i < TDP_VIEWS; i++) {
		while ((table = tdp_list_pop(&g->tables[i])))
			tdp_table_free(t, table);
		while ((table = tdp_list_pop(&g->trees[i])))
			tdp_tree_free(&t->view[i], table);
	}
	return before - __atomic_load_n(&t->stats.tables, __ATOMIC_RELAXED);
}
