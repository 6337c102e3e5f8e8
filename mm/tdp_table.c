/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/tdp_table.h"
#include "mm/mm_host.h"
#include "panic.h"

enum tdp_shape tdp_shape(const struct tdp *t, const struct slot_set *set, uint64_t base,
			 unsigned level, uint64_t *leaf)
{
	const struct slot *s = slot_next(set, GFN(base));
	uint64_t span = spte_span(level);
	pfn_t pfn;

	if (!s || s->base.v >= base + span)
		return TDP_SHAPE_EMPTY;
	if (level > t->format->max_level || s->base.v > base || slot_end(s) < base + span)
		return TDP_SHAPE_TABLE;
	pfn = slot_pfn(s, GFN(base));
	if (!IS_ALIGNED(pfn.v, span))
		return TDP_SHAPE_TABLE;
	*leaf = spte_make_leaf(t->format, pfn, level, s->access, (enum mem_type)s->type);
	return TDP_SHAPE_LEAF;
}

/*
 * The legal transitions. A leaf's frame changes in a commit only: there all cores are held and
 * flushed before they go on, so that none of them can use both frames.
 */
static bool legal(enum spte_state from, enum spte_state to, enum tdp_change change)
{
	switch (change) {
	case TDP_FILL:
		return from == SPTE_STATE_EMPTY &&
		       (to == SPTE_STATE_LEAF || to == SPTE_STATE_TABLE);
	case TDP_FREEZE:
		return from != SPTE_STATE_FROZEN && to == SPTE_STATE_FROZEN;
	case TDP_THAW:
		return from == SPTE_STATE_FROZEN && to == SPTE_STATE_EMPTY;
	case TDP_COMMIT:
		return from != SPTE_STATE_FROZEN && to != SPTE_STATE_FROZEN;
	}
	return false;
}

uint64_t tdp_set_entry(struct tdp *t, uint64_t *entry, unsigned level, uint64_t value,
		       enum tdp_change change)
{
	uint64_t old = mm_entry_xchg(t->host, entry, value);

	if (!legal(spte_state(t->format, old, level), spte_state(t->format, value, level), change))
		panic("%s entry %p of level %u: change %d from %#llx to %#llx", t->format->name,
		      (void *)entry, level, change, (unsigned long long)old,
		      (unsigned long long)value);
	return old;
}

uint64_t *tdp_table_alloc(struct tdp *t)
{
	uint64_t *table = mm_alloc(t->budget, 1);

	if (table)
		t->stats.tables++;
	return table;
}

void tdp_table_free(struct tdp *t, uint64_t *table)
{
	t->stats.tables--;
	mm_free(table);
}

/* Recursion: at most one call for each level. */
void tdp_tree_free(struct tdp *t, uint64_t *table, unsigned level)
{
	for (unsigned i = 0; level > 1 && i < SPTE_PER_TABLE; i++)
		if (spte_is_table(t->format, table[i], level))
			tdp_tree_free(t, tdp_child(t, table[i]), level - 1);
	tdp_table_free(t, table);
}

void tdp_list_add(struct tdp_list *list, uint64_t *table, uint32_t tag)
{
	struct page *page = virt_to_page(table);

	page->link = list->first;
	page->tag = tag;
	list->first = page;
}

void tdp_list_free(struct tdp *t, struct tdp_list *list)
{
	while (list->first) {
		struct page *page = list->first;

		list->first = page->link;
		if (page->tag & TDP_TREE)
			tdp_tree_free(t, page_to_virt(page), page->tag & ~TDP_TREE);
		else
			tdp_table_free(t, page_to_virt(page));
	}
}
