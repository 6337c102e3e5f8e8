/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_table.h"

/*
 * iTLB multihit (CVE-2018-12207): on the processors concerned, a guest that changes the size of a
 * page it executes from can stop the machine. So no large leaf is executable; a fetch splits the
 * leaf in place, and the one page becomes executable. Later the region is merged again.
 */

enum status tdp_nx_grant(struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf)
{
	struct tdp *t = w->tdp;
	enum status s;

	while (leaf->level > 1) {
		struct page *page;

		s = tdp_split_leaf(w, gfn, leaf, 0);
		if (s)
			return s;
		page = virt_to_page(leaf->entry);
		page->tag |= TDP_TAG_NX_SPLIT;
		page_list_append(&t->nx_list, page);
		t->stats.nx_splits++;
	}
	tdp_set_entry(w, leaf->entry, 1, spte_add_access(w->format, leaf->value, ACCESS_X),
		      TDP_WIDEN);
	return OK;
}

/*
 * Has any executable page of the region been accessed since the last look? Entries are born
 * accessed, so the answer to the first look is yes; without flags from hardware only that one's.
 */
static bool still_needed(struct tdp_view *w, struct page *page, struct tdp_gather *g)
{
	uint64_t *table = page_to_virt(page), base;
	unsigned level = tdp_table_level(page);
	bool needed = !(page->tag & TDP_TAG_NX_SEEN);

	page->tag |= TDP_TAG_NX_SEEN;
	if (!w->format->accessed || level > 1 || !tdp_table_base(w, page, &base))
		return needed;
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++) {
		uint64_t value = tdp_read_entry(&table[i]);

		if (!spte_present(w->format, value) || !(value & w->format->accessed) ||
		    !spte_executable(w->format, value))
			continue;
		tdp_narrow(w, &table[i], level, value, value & ~w->format->accessed);
		tdp_gather_range(g, w->id, base + i, base + i + 1);
		needed = true;
	}
	return needed;
}

/* The region, and what is above it if that is all that one leaf can say now, whoever split it. */
static void merge(struct tdp_view *w, struct page *page, struct tdp_gather *g)
{
	uint64_t base;

	if (tdp_table_base(w, page, &base) && tdp_collapse_table(w, page, g))
		tdp_collapse_at(w, base, g);
}

/* Under layout_lock. */
static unsigned recover(struct tdp *t, unsigned max)
{
	struct tdp_view *w = &t->view[TDP_CPU];
	struct tdp_gather g = { 0 };
	uint64_t before;
	unsigned merged;

	spin_lock(&t->lock);
	before = t->stats.collapses;
	for (unsigned n = min_u64(max, t->nx_list.count); n > 0; n--) {
		struct page *page = page_list_first(&t->nx_list);

		/* To the end of the list; if it is merged, freeing it takes it off. */
		page_list_remove(&t->nx_list, page);
		page_list_append(&t->nx_list, page);
		if (!still_needed(w, page, &g))
			merge(w, page, &g);
	}
	if (g.count)
		tdp_gather_flush(t, &g);
	merged = (unsigned)(t->stats.collapses - before);
	t->stats.nx_recovered += merged;
	spin_unlock(&t->lock);
	tdp_gather_free(t, &g);
	return merged;
}

unsigned tdp_nx_recover(struct tdp *t, unsigned max)
{
	unsigned merged;

	spin_lock(&t->layout_lock);
	merged = recover(t, max);
	spin_unlock(&t->layout_lock);
	return merged;
}

unsigned tdp_nx_try_recover(struct tdp *t, unsigned max)
{
	unsigned merged = 0;

	if (spin_trylock(&t->layout_lock)) {
		merged = recover(t, max);
		spin_unlock(&t->layout_lock);
	}
	return merged;
}

void tdp_set_nx_huge(struct tdp *t, bool on)
{
	bool change;

	spin_lock(&t->layout_lock);
	spin_lock(&t->lock);
	change = t->nx_huge != on;
	t->nx_huge = on;
	spin_unlock(&t->lock);
	/* Without slots nothing is mapped. */
	if (change && t->slots->count)
		tdp_zap_range(t, ALL_GFNS);
	spin_unlock(&t->layout_lock);
}
