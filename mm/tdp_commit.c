/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_mmu.h"
#include "mm/tdp_table.h"
#include "panic.h"

/*
 * Transactions. The lowest table that covers all that changes stays where it is; for those of its
 * entries that change, new ones are prepared on the side, with new tables below them that share
 * every unchanged subtree with the old ones. That is all that may fail, and nobody can see it. The
 * commit then exchanges these entries, at most 512 and mostly one, while the cores are held.
 */
struct build {
	struct tdp *t;
	const struct slot_set *old, *new;
	struct tdp_list fresh; /* tables made for the new layout */
	struct tdp_list dead;  /* tables of the old layout that the new one does not use */
};

/* What of one table is to be exchanged. */
struct stage {
	uint64_t *table; /* live */
	unsigned level;
	uint64_t base;   /* the first frame that the table covers */
	uint64_t *image; /* a private copy, with the new entries */
	struct gfn_range touched;
};

static enum status rebuild(struct build *b, uint64_t *table, unsigned level, uint64_t base,
			   struct gfn_range *touched);

/* Start a table with what the entry translated so far: a copy, the fragments of a leaf, or nothing. */
static void seed(struct build *b, uint64_t *table, unsigned level, uint64_t entry)
{
	const struct spte_format *f = b->t->format;
	const uint64_t *old;

	if (!spte_present(f, entry))
		return;
	if (spte_is_leaf(f, entry, level + 1)) {
		for (unsigned i = 0; i < SPTE_PER_TABLE; i++)
			table[i] = spte_fragment(f, entry, level + 1, i);
		return;
	}
	old = tdp_child(b->t, entry);
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++)
		table[i] = tdp_read_entry(&old[i]);
}

/* Replace *entry, of a table that nothing links, by what the new layout asks for. */
static enum status rebuild_entry(struct build *b, uint64_t *entry, unsigned level, uint64_t base)
{
	const struct spte_format *f = b->t->format;
	struct gfn_range touched;
	uint64_t value = SPTE_EMPTY, old = *entry;
	uint64_t *table;

	if (tdp_shape(b->t, b->new, base, level, &value) != TDP_SHAPE_TABLE) {
		if (spte_is_table(f, old, level))
			tdp_list_add(&b->dead, tdp_child(b->t, old), (level - 1) | TDP_TREE);
		*entry = value;
		return OK;
	}
	ASSERT(level > 1); /* a slot covers a page or it does not: this ends the recursion */
	table = tdp_table_alloc(b->t);
	if (!table)
		return ERR_NOMEM;
	tdp_list_add(&b->fresh, table, level - 1);
	seed(b, table, level - 1, old);
	if (spte_is_table(f, old, level))
		tdp_list_add(&b->dead, tdp_child(b->t, old), level - 1);
	*entry = spte_make_table(f, virt_to_hpa(table), level);
	return rebuild(b, table, level - 1, base, &touched);
}

/*
 * Rebuild those entries of a private table whose span has changed. `touched` becomes the frames
 * that they span. Recursion: at most twice for each level.
 */
static enum status rebuild(struct build *b, uint64_t *table, unsigned level, uint64_t base,
			   struct gfn_range *touched)
{
	uint64_t span = spte_span(level), end = base + span * SPTE_PER_TABLE, at = base;
	struct gfn_range r = slot_diff(b->old, b->new, at, end);

	*touched = (struct gfn_range){ ALIGN_DOWN(r.start, span), ALIGN_UP(r.end, span) };
	while (r.start < r.end) {
		for (at = ALIGN_DOWN(r.start, span); at < r.end; at += span) {
			enum status status =
				rebuild_entry(b, &table[spte_index(at, level)], level, at);

			if (status)
				return status;
		}
		touched->end = at;
		r = slot_diff(b->old, b->new, at, end);
	}
	return OK;
}

/* All that the two layouts translate differently, as one range. */
static struct gfn_range diff_hull(const struct slot_set *old, const struct slot_set *new)
{
	struct gfn_range r = slot_diff(old, new, 0, BIT(SLOT_GFN_BITS)), hull = r;

	while (r.start < r.end) {
		hull.end = r.end;
		r = slot_diff(old, new, r.end, BIT(SLOT_GFN_BITS));
	}
	return hull;
}

/* The lowest table that covers the range and that the new layout keeps a table. */
static void find_stage(const struct build *b, struct gfn_range hull, struct stage *s)
{
	uint64_t unused_leaf;

	s->table = b->t->root;
	s->level = b->t->format->levels;
	s->base = 0;
	while (spte_index(hull.start, s->level) == spte_index(hull.end - 1, s->level)) {
		uint64_t base = ALIGN_DOWN(hull.start, spte_span(s->level));
		uint64_t entry = tdp_read_entry(&s->table[spte_index(hull.start, s->level)]);

		if (!spte_is_table(b->t->format, entry, s->level) ||
		    tdp_shape(b->t, b->new, base, s->level, &unused_leaf) != TDP_SHAPE_TABLE)
			break;
		s->table = tdp_child(b->t, entry);
		s->level--;
		s->base = base;
	}
}

/* Everything that may fail. On error nothing is left of it. */
static enum status prepare(struct build *b, struct stage *s)
{
	struct gfn_range hull = diff_hull(b->old, b->new);
	enum status status;

	*s = (struct stage){ .touched = hull };
	if (hull.start == hull.end)
		return OK;
	find_stage(b, hull, s);
	s->image = mm_alloc(b->t->budget, 1);
	if (!s->image)
		return ERR_NOMEM;
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++)
		s->image[i] = tdp_read_entry(&s->table[i]);
	status = rebuild(b, s->image, s->level, s->base, &s->touched);
	if (status) {
		tdp_list_free(b->t, &b->fresh);
		mm_free(s->image);
	}
	return status;
}

/*
 * The commit point. The flush comes before the release, so that no core runs with a part of the
 * old layout from its TLB and a part of the new one from the tables.
 */
static void publish(struct build *b, const struct stage *s, struct slot_set *set)
{
	struct tdp *t = b->t;
	uint64_t span = spte_span(s->level ? s->level : 1);

	mm_hold(t->host);
	for (uint64_t at = s->touched.start; at < s->touched.end; at += span) {
		unsigned i = spte_index(at, s->level);

		if (s->image[i] != tdp_read_entry(&s->table[i]))
			tdp_set_entry(t, &s->table[i], s->level, s->image[i], TDP_COMMIT);
	}
	__atomic_store_n(&t->slots, set, __ATOMIC_RELEASE);
	mm_flush(t->host, GFN(s->touched.start), s->touched.end - s->touched.start);
	mm_release(t->host);
	t->stats.flushes++;
	t->stats.commits++;
}

/* Can the format and the host express all slots of the draft? */
static enum status check_draft(const struct tdp *t, struct slot_txn *txn)
{
	uint64_t frames = BIT(t->format->maxphyaddr - PAGE_SHIFT);

	if (txn->error)
		return txn->error;
	if (txn->base_version != t->slots->version)
		return slot_refuse(txn, ERR_BUSY, "the layout changed since the transaction began",
				   NULL);
	for (uint32_t i = 0; i < txn->draft->count; i++) {
		const struct slot *s = &txn->draft->slot[i];

		if (!spte_access_legal(t->format, s->access))
			return slot_refuse(txn, ERR_UNSUPPORTED,
					   "rights that this CPU cannot express", s);
		if (s->pfn.v >= frames || s->npages > frames - s->pfn.v)
			return slot_refuse(txn, ERR_RANGE, "beyond this CPU's physical addresses",
					   s);
	}
	return OK;
}

static enum status commit_locked(struct tdp *t, struct slot_txn *txn)
{
	struct build b = { .t = t, .old = t->slots, .new = txn->draft };
	struct slot_set *old_set = t->slots;
	struct stage stage;

	if (check_draft(t, txn))
		return txn->error;
	if (prepare(&b, &stage))
		return slot_refuse(txn, ERR_NOMEM, "the guest's budget has no page for a table",
				   NULL);
	txn->draft->version = old_set->version + 1;
	publish(&b, &stage, txn->draft);
	txn->draft = NULL;
	tdp_list_free(t, &b.dead);
	mm_free(stage.image);
	mm_free(old_set);
	return OK;
}

enum status tdp_begin(struct tdp *t, struct slot_txn *txn, unsigned room)
{
	*txn = (struct slot_txn){ 0 };
	spin_lock(&t->lock);
	txn->base_version = t->slots->version;
	if (room > SLOT_MAX - t->slots->count)
		slot_refuse(txn, ERR_RANGE, "too many slots", NULL);
	else if (!(txn->draft = slot_set_copy(t->budget, t->slots, room)))
		slot_refuse(txn, ERR_NOMEM, "the guest's budget has no page for the slots", NULL);
	if (txn->error)
		t->stats.refused++;
	spin_unlock(&t->lock);
	return txn->error;
}

void tdp_abort(struct tdp *t unused, struct slot_txn *txn)
{
	mm_free(txn->draft);
	txn->draft = NULL;
}

enum status tdp_commit(struct tdp *t, struct slot_txn *txn)
{
	enum status status;

	spin_lock(&t->lock);
	status = commit_locked(t, txn);
	if (status)
		t->stats.refused++;
	spin_unlock(&t->lock);
	if (status)
		tdp_abort(t, txn);
	return status;
}
