/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_table.h"

/*
 * MMIO entries name who emulates an access, so that nobody has to look for it. They are a function
 * of the slots like leaves, and change by the same commits. So one that is found is the current one,
 * and needs no generation that could wrap.
 */

/*
 * What a walk ends in, as it is at this moment. In a read section, or under a lock. This is in the
 * path of each access to a device, hence a loop over shifts.
 */
static uint64_t last_entry(const struct tdp_view *w, uint64_t gfn)
{
	const struct spte_format *f = w->format;
	unsigned shift = SPTE_LEVEL_SHIFT * f->levels;
	const uint64_t *table = w->root;

	if (gfn >> shift)
		return SPTE_EMPTY;
	for (;;) {
		uint64_t value;

		shift -= SPTE_LEVEL_SHIFT;
		value = tdp_read_entry(&table[gfn >> shift & (SPTE_PER_TABLE - 1)]);
		if (!spte_present(f, value) || !shift || (value & f->size_mask) == f->large)
			return value;
		table = tdp_child(w, value);
	}
}

/* Could this module have made the entry? */
static bool well_formed(const struct spte_format *f, uint64_t e, unsigned level)
{
	struct spte_info info = spte_decode(f, e, level);
	uint64_t flags = f->accessed | f->dirty, made;

	switch (info.state) {
	case SPTE_STATE_EMPTY:
		return e == SPTE_EMPTY;
	case SPTE_STATE_TABLE:
		made = spte_make_table(f, info.hpa, level);
		return !((e ^ made) & ~flags) && page_pool_has(info.hpa);
	case SPTE_STATE_LEAF:
		made = spte_make_leaf(f, hpa_to_pfn(info.hpa), level, info.access, info.type);
		return !((e ^ made) & ~flags) && spte_access_legal(f, info.access);
	default:
		return true;
	}
}

/* Are all entries of a walk as they should be? Then hardware has seen one that is gone. */
static enum tdp_result check_walk(struct tdp *t, uint64_t gfn)
{
	const struct tdp_view *w = &t->view[TDP_CPU];
	enum tdp_result result = TDP_RETRY;
	const uint64_t *table = w->root;

	spin_lock(&t->lock);
	for (unsigned level = w->format->levels; table; level--) {
		uint64_t value = tdp_read_entry(&table[spte_index(gfn, level)]);

		table = NULL;
		if (!well_formed(w->format, value, level))
			result = TDP_ERROR;
		else if (spte_is_table(w->format, value, level))
			table = tdp_child(w, value);
	}
	spin_unlock(&t->lock);
	return result;
}

enum tdp_result tdp_mmio(struct tdp *t, gpa_t gpa, unsigned *handler)
{
	const struct tdp_view *w = &t->view[TDP_CPU];
	uint64_t value;

	/* Whoever unlinks a table flushes before it is freed, and the flush waits for this section. */
	mm_read_begin();
	value = last_entry(w, gpa_to_gfn(gpa).v);
	mm_read_end();
	if (spte_is_mmio(w->format, value, handler)) {
		tdp_count(&t->stats.mmio_entries);
		return TDP_MMIO;
	}
	return check_walk(t, gpa_to_gfn(gpa).v);
}
