/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/tdp_mmu.h"
#include "mm/tdp_table.h"

/* Looking at the tables without changing them: for the monitor, dumps and tests. */

static void finish_walk(struct tdp_walk *w, const struct spte_info *leaf, gpa_t gpa, unsigned level)
{
	w->mapped = true;
	w->level = level;
	w->type = leaf->type;
	w->hpa = HPA(leaf->hpa.v | (gpa.v & ((spte_span(level) << PAGE_SHIFT) - 1)));
}

static void walk(const struct tdp_view *view, gpa_t gpa, struct tdp_walk *w)
{
	const uint64_t *table = view->root;

	w->access = ACCESS_RWX;
	for (unsigned level = view->format->levels; level > 0; level--) {
		struct tdp_step *s = &w->step[w->steps++];

		s->level = level;
		s->index = spte_index(gpa_to_gfn(gpa).v, level);
		s->table = virt_to_hpa(table);
		s->entry = tdp_read_entry(&table[s->index]);
		s->info = spte_decode(view->format, s->entry, level);
		w->access &= s->info.access;
		if (s->info.state == SPTE_STATE_LEAF)
			finish_walk(w, &s->info, gpa, level);
		if (s->info.state != SPTE_STATE_TABLE)
			break;
		table = hpa_to_virt(s->info.hpa);
	}
	if (!w->mapped)
		w->access = 0;
}

void tdp_lookup(struct tdp *t, enum tdp_view_id view, gpa_t gpa, struct tdp_walk *w)
{
	*w = (struct tdp_walk){ 0 };
	spin_lock(&t->lock);
	if (t->view[view].root && gpa_to_gfn(gpa).v < tdp_limit(&t->view[view]))
		walk(&t->view[view], gpa, w);
	spin_unlock(&t->lock);
}

/* Recursion: at most one call for each level. */
static void count_tree(const struct tdp_view *w, const uint64_t *table, unsigned level,
		       struct tdp_census *c)
{
	c->tables[level]++;
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++) {
		uint64_t entry = tdp_read_entry(&table[i]);

		if (spte_is_leaf(w->format, entry, level))
			c->leaves[level]++;
		else if (spte_is_table(w->format, entry, level))
			count_tree(w, tdp_child(w, entry), level - 1, c);
	}
}

void tdp_census(struct tdp *t, enum tdp_view_id view, struct tdp_census *c)
{
	*c = (struct tdp_census){ 0 };
	spin_lock(&t->layout_lock);
	if (t->view[view].root)
		count_tree(&t->view[view], t->view[view].root, t->view[view].format->levels, c);
	spin_unlock(&t->layout_lock);
}

struct tdp_stats tdp_stats(struct tdp *t)
{
	struct tdp_stats stats;

	spin_lock(&t->lock);
	stats = t->stats;
	spin_unlock(&t->lock);
	return stats;
}
