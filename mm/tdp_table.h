/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_TDP_TABLE_H
#define LAMINA_MM_TDP_TABLE_H

#include "mm/tdp_mmu.h"

/*
 * Inside mm/: table pages, and the one function that changes live entries. All of it wants the
 * lock of the guest's tables held.
 */

/* What a layout asks of the entry that spans [base, base + spte_span(level)). */
enum tdp_shape {
	TDP_SHAPE_EMPTY, /* no slot in the span */
	TDP_SHAPE_LEAF,  /* one slot fills it, aligned to it */
	TDP_SHAPE_TABLE, /* anything else */
};

/* The shape and, for TDP_SHAPE_LEAF, the entry itself. */
enum tdp_shape tdp_shape(const struct tdp *t, const struct slot_set *set, uint64_t base,
			 unsigned level, uint64_t *leaf);

/* Why a live entry changes; tdp_set_entry() knows what each may do. */
enum tdp_change {
	TDP_FILL,   /* EMPTY to LEAF or TABLE: needs no flush */
	TDP_FREEZE, /* anything but FROZEN to FROZEN: the caller flushes, then ... */
	TDP_THAW,   /* ... FROZEN to EMPTY */
	TDP_COMMIT, /* anything but FROZEN to anything but FROZEN, while the cores are held */
};

/* Every store to an entry that hardware can reach. Returns what was there. */
uint64_t tdp_set_entry(struct tdp *t, uint64_t *entry, unsigned level, uint64_t value,
		       enum tdp_change change);

/* Read an entry that hardware, or a core without the lock, may be changing. */
static inline uint64_t tdp_read_entry(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

static inline uint64_t *tdp_child(const struct tdp *t, uint64_t entry)
{
	return hpa_to_virt(spte_hpa(t->format, entry));
}

/* An empty table that nothing links, or NULL. */
uint64_t *tdp_table_alloc(struct tdp *t);

/* Free a table page alone, or a table of `level` with all tables below it. */
void tdp_table_free(struct tdp *t, uint64_t *table);
void tdp_tree_free(struct tdp *t, uint64_t *table, unsigned level);

/*
 * Tables on a list, linked through their page descriptors, because hardware may still read the
 * tables themselves. TDP_TREE says that the tables below belong to the member.
 */
struct tdp_list {
	struct page *first;
};

#define TDP_TREE 0x100u /* in page.tag, beside the level */

void tdp_list_add(struct tdp_list *list, uint64_t *table, uint32_t tag);

/* Free the members, after the flush that makes them unreachable. */
void tdp_list_free(struct tdp *t, struct tdp_list *list);

#endif
