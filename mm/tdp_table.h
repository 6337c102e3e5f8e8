/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_TDP_TABLE_H
#define LAMINA_MM_TDP_TABLE_H

#include "mm/tdp_mmu.h"

/*
 * Inside mm/: table pages, and the one function that changes live entries. A live table is one that
 * hardware reaches from a root; a fresh one is linked by nothing yet.
 */

/* All frames that a guest can have, and those that a view's table can translate. */
#define ALL_GFNS ((struct gfn_range){ 0, BIT(SLOT_GFN_BITS) })

static inline uint64_t tdp_limit(const struct tdp_view *w)
{
	return min_u64(BIT(SLOT_GFN_BITS), BIT(w->format->gpa_bits - PAGE_SHIFT));
}

/* Does the view map the slot at all? */
bool tdp_visible(const struct tdp_view *w, const struct slot *s);

/* What a layout asks of the entry that spans [base, base + spte_span(level)). */
enum tdp_shape {
	TDP_SHAPE_EMPTY, /* no slot in the span */
	TDP_SHAPE_LEAF,  /* one slot fills it, aligned to it */
	TDP_SHAPE_MMIO,  /* one emulated device fills it, and the view can say so */
	TDP_SHAPE_TABLE, /* anything else */
};

/*
 * The shape and, for TDP_SHAPE_LEAF and TDP_SHAPE_MMIO, the entry itself. A function of the slots, the frame, and what
 * the guest's configuration says for all of it: nothing that a guest can change.
 */
enum tdp_shape tdp_shape(const struct tdp_view *w, const struct slot_set *set, uint64_t base,
			 unsigned level, uint64_t *leaf);

/* The same of a span of which the first slot that the view maps is known. */
enum tdp_shape tdp_slot_shape(const struct tdp_view *w, const struct slot *s, uint64_t base,
			      unsigned level, uint64_t *leaf);

/* Why a live entry changes; tdp_set_entry() knows what each may do. */
enum tdp_change {
	TDP_FILL,     /* EMPTY to LEAF, TABLE or MMIO: needs no flush */
	TDP_SPLIT,    /* LEAF to a TABLE of equal translations: needs no flush */
	TDP_COLLAPSE, /* TABLE to the LEAF that it adds up to: flush before the table is freed */
	TDP_WIDEN,    /* LEAF to the same with more rights: needs no flush */
	TDP_NARROW, /* LEAF to the same with fewer rights or flags: flush before it is relied on */
	TDP_FREEZE, /* anything but FROZEN to FROZEN: the caller flushes, then ... */
	TDP_THAW,   /* ... FROZEN to EMPTY */
	TDP_COMMIT, /* anything but FROZEN to anything but FROZEN, while the cores are held */
};

/*
 * Every store to an entry that hardware can reach, under `lock`. Returns what was there. Accessed
 * and dirty flags that hardware set in the meantime survive a change of rights.
 */
uint64_t tdp_set_entry(struct tdp_view *w, uint64_t *entry, unsigned level, uint64_t value,
		       enum tdp_change change);

/*
 * TDP_NARROW, from `seen`, what the caller has read, to `value`: flags that hardware has set since
 * survive. Returns all bits that were there: those that `value` was to clear, too.
 */
uint64_t tdp_narrow(struct tdp_view *w, uint64_t *entry, unsigned level, uint64_t seen,
		    uint64_t value);

/* Counters that several cores may bump without the lock; a lost count does no harm. */
static inline void tdp_count(uint64_t *counter)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* Read an entry that hardware, or another core, may be changing. */
static inline uint64_t tdp_read_entry(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

static inline uint64_t *tdp_child(const struct tdp_view *w, uint64_t entry)
{
	return hpa_to_virt(spte_hpa(w->format, entry));
}

/* What a table page's descriptor says in `tag`. */
#define TDP_TAG_LEVEL    0x7u  /* mask; never 0 for a table */
#define TDP_TAG_NX_SPLIT 0x10u /* on nx_list */
#define TDP_TAG_NX_SEEN  0x20u /* since tdp_nx_recover() has looked at it */

static inline unsigned tdp_table_level(const struct page *page)
{
	return page->tag & TDP_TAG_LEVEL;
}

/* An empty, fresh table for entries of `level`, or NULL. Any locks. */
uint64_t *tdp_table_alloc(struct tdp *t, unsigned level);

/* Free one fresh or unlinked table, or it with all below it. Not with `lock` held, unless fresh. */
void tdp_table_free(struct tdp *t, uint64_t *table);
void tdp_tree_free(struct tdp_view *w, uint64_t *table);

/* The entry for a complete, fresh table, which from here on knows who points to it. */
uint64_t tdp_link_value(struct tdp_view *w, uint64_t *table, uint64_t *entry);

/*
 * Tables on a list, linked through their page descriptors, because hardware may still read the
 * tables themselves. Under layout_lock.
 */
struct tdp_list {
	struct page *first;
};

void tdp_list_add(struct tdp_list *list, uint64_t *table);
uint64_t *tdp_list_pop(struct tdp_list *list);

/*
 * What an operation took away, gathered for one flush at its end: ranges, and the tables that may be
 * freed after it. Ranges beyond the last place widen the last one. One gather is for one view, or
 * for ranges that concern both.
 */
#define TDP_GATHER_RANGES 8

struct tdp_gather {
	/*
	 * Logs that get the dirty flags of the tables when they are freed. NULL: there are none in
	 * them that matter.
	 */
	struct tdp_log_set *logs;
	unsigned views;
	unsigned count;
	struct gfn_range range[TDP_GATHER_RANGES];
	struct tdp_list tables[TDP_VIEWS]; /* alone */
	struct tdp_list trees[TDP_VIEWS];  /* with all below them */
};

void tdp_gather_range(struct tdp_gather *g, enum tdp_view_id view, uint64_t start, uint64_t end);
/* Under `lock`. */
void tdp_gather_flush(struct tdp *t, struct tdp_gather *g);
/* After the flush; without `lock`, under layout_lock. Returns the number of tables freed. */
uint64_t tdp_gather_free(struct tdp *t, struct tdp_gather *g);

/*
 * Map what the slots cover in the range and the view does not map. Under `lock`, or where nothing
 * reaches the view yet. ERR_NOMEM leaves a part mapped.
 */
enum status tdp_fill(struct tdp_view *w, struct gfn_range r) must_check;

/* Where a frame is mapped. */
struct tdp_leaf {
	uint64_t *entry;
	uint64_t value;
	unsigned level;
};

/* Under one of the locks. False if there is no leaf. */
bool tdp_find_leaf(const struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf);

/*
 * Split one leaf by one level, in place, and step down to the fragment for the frame. The fragments
 * have `more` rights besides the leaf's. `lock`.
 */
enum status tdp_split_leaf(struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf,
			   unsigned more) must_check;

/*
 * Where a live table is: its first frame, found by climbing its back-pointers. False if it is not
 * linked into the view. Under layout_lock.
 */
bool tdp_table_base(const struct tdp_view *w, const struct page *page, uint64_t *base);

/*
 * Merge a live table into one leaf, if the slots allow it and nothing hangs below. Of a logged slot
 * only if the gather has its log, because pages are written to at the price of a fault each then.
 * Under both locks; the caller flushes and frees what is gathered.
 */
bool tdp_collapse_table(struct tdp_view *w, struct page *page, struct tdp_gather *g);

/* Merge what can be merged around the frame, level by level. Under both locks. */
void tdp_collapse_at(struct tdp_view *w, uint64_t gfn, struct tdp_gather *g);

/* Take away what the cores' table maps in the range. Under layout_lock alone. */
void tdp_zap_range(struct tdp *t, struct gfn_range r);

/* Make a mapped page executable that is not because of nx_huge. Under `lock`. */
enum status tdp_nx_grant(struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf) must_check;

/* Make a page of a logged slot writable, and note that it is written to. Under `lock`. */
enum status tdp_log_grant(struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf) must_check;

/*
 * Logs in a transaction, all under layout_lock. The draft's: those that the current layout has as
 * well, and new ones; ERR_NOMEM. Free them again. After the commit, the flush and the harvest of
 * what was replaced, when t->slots and t->logs are the new ones: settle what changed hands, and free
 * the old set.
 */
enum status tdp_logs_prepare(struct tdp *t, const struct slot_set *draft,
			     struct tdp_log_set **logs) must_check;
void tdp_logs_discard(struct tdp *t, struct tdp_log_set *logs);
void tdp_logs_settle(struct tdp *t, const struct slot_set *old_slots, struct tdp_log_set *old);

/* What an entry of a table that is no longer used says about writes, to a log of the frame. */
void tdp_log_entry(const struct tdp_view *w, const struct tdp_log_set *logs, uint64_t gfn,
		   unsigned level, uint64_t value);

/* The same for the tables of a gather, after its flush. */
void tdp_log_tables(struct tdp *t, const struct tdp_gather *g);

/*
 * The guest's budget is exhausted: merge whatever can be merged. Returns the number of
 * tables freed. Under layout_lock alone.
 */
uint64_t tdp_reclaim(struct tdp *t);

#endif
