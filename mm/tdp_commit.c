/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_table.h"
#include "panic.h"

/*
 * Transactions. In each view, the lowest table that covers all that changes stays where it is; for
 * those of its entries that change, new ones are prepared on the side, with new tables below them
 * that share every unchanged subtree with the old ones. That is all that may fail, and nobody can
 * see it. The commit then exchanges these entries, at most 512 and mostly one, while the cores are
 * held.
 */

/* What of one table is to be exchanged. */
struct stage {
	uint64_t *table; /* live; NULL: nothing in this view */
	unsigned level;
	uint64_t base;   /* the first frame that the table covers */
	uint64_t *image; /* a private copy, with the new entries */
	/* Which entries: a bit each. The others may be newer than the copy: hardware sets flags. */
	uint64_t changed[SPTE_PER_TABLE / 64];
};

struct build {
	struct tdp_view *view;
	const struct slot_set *old, *new;
	struct tdp_list fresh;         /* tables made for the new layout */
	struct tdp_list tables, trees; /* of the old layout that the new one does not use */
	struct stage stage;
};

static enum status rebuild(struct build *b, uint64_t *table, unsigned level, uint64_t base);

/* The fragment of a leaf; at 4 KiB it has the right again that nx_huge takes from large ones. */
static uint64_t fragment(const struct build *b, uint64_t leaf, unsigned level, unsigned i,
			 bool executable)
{
	uint64_t part = spte_fragment(b->view->format, leaf, level, i);

	return executable ? spte_add_access(b->view->format, part, ACCESS_X) : part;
}

/* Start a table with what the entry translated so far: a copy, the fragments of a leaf, or nothing. */
static void seed(struct build *b, uint64_t *table, unsigned level, uint64_t entry, uint64_t base)
{
	const struct spte_format *f = b->view->format;
	const uint64_t *old;
	unsigned handler;

	if (!spte_present(f, entry)) {
		for (unsigned i = 0; spte_is_mmio(f, entry, &handler) && i < SPTE_PER_TABLE; i++)
			table[i] = entry;
		return;
	}
	if (spte_is_leaf(f, entry, level + 1)) {
		const struct slot *s = slot_find(b->old, GFN(base));
		bool executable = b->view->id == TDP_CPU && level == 1 && s && s->access & ACCESS_X;

		for (unsigned i = 0; i < SPTE_PER_TABLE; i++)
			table[i] = fragment(b, entry, level + 1, i, executable);
		return;
	}
	old = tdp_child(b->view, entry);
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++)
		table[i] = tdp_read_entry(&old[i]);
}

/* Replace *entry, of a table that nothing links, by what the new layout asks for. */
static enum status rebuild_entry(struct build *b, uint64_t *entry, unsigned level, uint64_t base)
{
	struct tdp_view *w = b->view;
	uint64_t value = SPTE_EMPTY, old = *entry;
	uint64_t *table;
	enum status status;

	if (tdp_shape(w, b->new, base, level, &value) != TDP_SHAPE_TABLE) {
		if (spte_is_table(w->format, old, level))
			tdp_list_add(&b->trees, tdp_child(w, old));
		*entry = value;
		return OK;
	}
	ASSERT(level > 1); /* a slot covers a page or it does not: this ends the recursion */
	table = tdp_table_alloc(w->tdp, level - 1);
	if (!table)
		return ERR_NOMEM;
	tdp_list_add(&b->fresh, table);
	seed(b, table, level - 1, old, base);
	if (spte_is_table(w->format, old, level))
		tdp_list_add(&b->tables, tdp_child(w, old));
	status = rebuild(b, table, level - 1, base);
	*entry = tdp_link_value(w, table, entry);
	return status;
}

/*
 * Rebuild those entries of a private table whose span has changed. Recursion: at most twice for
 * each level.
 */
static enum status rebuild(struct build *b, uint64_t *table, unsigned level, uint64_t base)
{
	uint64_t span = spte_span(level), end = base + span * SPTE_PER_TABLE, at = base;
	struct gfn_range r = slot_diff(b->old, b->new, at, end);

	while (r.start < r.end) {
		for (at = ALIGN_DOWN(r.start, span); at < r.end; at += span) {
			enum status status =
				rebuild_entry(b, &table[spte_index(at, level)], level, at);

			if (status)
				return status;
		}
		r = slot_diff(b->old, b->new, at, end);
	}
	return OK;
}

/* All that the two layouts translate differently, as one range. */
static struct gfn_range diff_hull(const struct slot_set *old, const struct slot_set *new,
				  uint64_t limit)
{
	struct gfn_range r = slot_diff(old, new, 0, limit), hull = r;

	while (r.start < r.end) {
		hull.end = r.end;
		r = slot_diff(old, new, r.end, limit);
	}
	return hull;
}

/* The lowest table that covers the range and that the new layout keeps a table. */
static void find_stage(struct build *b, struct gfn_range hull)
{
	struct tdp_view *w = b->view;
	struct stage *s = &b->stage;
	uint64_t unused_leaf;

	s->table = w->root;
	s->level = w->format->levels;
	s->base = 0;
	while (spte_index(hull.start, s->level) == spte_index(hull.end - 1, s->level)) {
		uint64_t base = ALIGN_DOWN(hull.start, spte_span(s->level));
		uint64_t entry = tdp_read_entry(&s->table[spte_index(hull.start, s->level)]);

		if (!spte_is_table(w->format, entry, s->level) ||
		    tdp_shape(w, b->new, base, s->level, &unused_leaf) != TDP_SHAPE_TABLE)
			break;
		s->table = tdp_child(w, entry);
		s->level--;
		s->base = base;
	}
}

/* Undo prepare(): nobody has seen any of it. */
static void discard(struct build *b)
{
	struct tdp *t = b->view->tdp;
	uint64_t *table;

	while ((table = tdp_list_pop(&b->fresh)))
		tdp_table_free(t, table);
	mm_free(b->stage.image);
	b->stage = (struct stage){ 0 };
	b->tables = b->trees = (struct tdp_list){ NULL };
}

/* The first entry to exchange from this one on, or the number of entries. */
static unsigned next_change(const struct stage *s, unsigned i)
{
	while (i < SPTE_PER_TABLE) {
		uint64_t rest = s->changed[i / 64] >> (i % 64);

		if (rest)
			return i + (unsigned)__builtin_ctzll(rest);
		i = (i | 63) + 1;
	}
	return SPTE_PER_TABLE;
}

/* Find the entries to exchange now, so that the cores need not be held for it. */
static void mark_changes(struct build *b)
{
	struct stage *s = &b->stage;
	uint64_t span = spte_span(s->level), end = s->base + span * SPTE_PER_TABLE;
	struct gfn_range r = slot_diff(b->old, b->new, s->base, end);

	while (r.start < r.end) {
		uint64_t at = ALIGN_DOWN(r.start, span);

		for (; at < r.end; at += span) {
			unsigned i = spte_index(at, s->level);

			s->changed[i / 64] |= BIT(i % 64);
		}
		r = slot_diff(b->old, b->new, at, end);
	}
}

/* Everything that may fail, for one view. On error nothing is left of it. */
static enum status prepare(struct build *b)
{
	struct stage *s = &b->stage;
	struct gfn_range hull;
	enum status status;

	if (!b->view->root)
		return OK;
	hull = diff_hull(b->old, b->new, tdp_limit(b->view));
	if (hull.start == hull.end)
		return OK;
	find_stage(b, hull);
	s->image = mm_alloc(b->view->tdp->budget, 1);
	if (!s->image) {
		s->table = NULL;
		return ERR_NOMEM;
	}
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++)
		s->image[i] = tdp_read_entry(&s->table[i]);
	status = rebuild(b, s->image, s->level, s->base);
	if (status)
		discard(b);
	else
		mark_changes(b);
	return status;
}

static enum status prepare_all(struct build b[TDP_VIEWS])
{
	enum status status = prepare(&b[TDP_CPU]);

	if (!status) {
		status = prepare(&b[TDP_DMA]);
		if (status)
			discard(&b[TDP_CPU]);
	}
	return status;
}

/* Put a view's new entries in place. */
static void exchange(struct build *b, struct tdp_gather *g)
{
	const struct stage *s = &b->stage;
	uint64_t span = spte_span(s->level);

	for (unsigned i = next_change(s, 0); i < SPTE_PER_TABLE; i = next_change(s, i + 1)) {
		uint64_t at = s->base + i * span, old;

		if (s->image[i] == tdp_read_entry(&s->table[i]))
			continue;
		old = tdp_set_entry(b->view, &s->table[i], s->level, s->image[i], TDP_COMMIT);
		if (g->logs)
			tdp_log_entry(b->view, g->logs, at, s->level, old);
		tdp_gather_range(g, b->view->id, at, at + span);
	}
}

/*
 * The commit point. The flush comes before the release, so that no core runs with a part of the
 * old layout from its TLB and a part of the new one from the tables.
 */
static void publish(struct tdp *t, struct build b[TDP_VIEWS], struct slot_set *set,
		    struct tdp_log_set *logs, struct tdp_gather *g)
{
	bool tables = b[TDP_CPU].stage.table || b[TDP_DMA].stage.table;

	if (tables)
		mm_hold(t->host);
	for (unsigned i = 0; i < TDP_VIEWS; i++)
		if (b[i].stage.table)
			exchange(&b[i], g);
	/* The logs first: who sees a slot that has one must find it. */
	__atomic_store_n(&t->logs, logs, __ATOMIC_RELEASE);
	__atomic_store_n(&t->slots, set, __ATOMIC_RELEASE);
	tdp_gather_flush(t, g);
	if (tables)
		mm_release(t->host);
	t->stats.commits++;
}

/* A table that a copy links knows now where the copy does. */
static void adopt_child(const struct tdp_view *w, uint64_t *entry, unsigned level)
{
	uint64_t value = tdp_read_entry(entry);

	if (spte_is_table(w->format, value, level))
		virt_to_page(tdp_child(w, value))->parent = entry;
}

/* After the commit, and without `lock`: back-pointers of linked tables belong to who has layout_lock. */
static void adopt(struct build *b)
{
	const struct stage *s = &b->stage;
	uint64_t *table;

	if (!s->table)
		return;
	for (unsigned i = next_change(s, 0); i < SPTE_PER_TABLE; i = next_change(s, i + 1))
		adopt_child(b->view, &s->table[i], s->level);
	while ((table = tdp_list_pop(&b->fresh))) {
		unsigned level = tdp_table_level(virt_to_page(table));

		for (unsigned i = 0; level > 1 && i < SPTE_PER_TABLE; i++)
			adopt_child(b->view, &table[i], level);
	}
	mm_free(s->image);
}

/* Is anything left, and possible, without the right to write? */
static bool protectable(const struct spte_format *f, const struct slot *s)
{
	unsigned access = s->access & ~ACCESS_W;

	return access & f->rights && spte_access_legal(f, access);
}

/* Can the format and the host express all slots of the draft? */
static enum status check_view(const struct tdp_view *w, struct slot_txn *txn)
{
	uint64_t frames, limit;

	if (!w->root)
		return OK;
	frames = BIT(w->format->maxphyaddr - PAGE_SHIFT);
	limit = tdp_limit(w);
	for (uint32_t i = 0; i < txn->draft->count; i++) {
		const struct slot *s = &txn->draft->slot[i];

		if (slot_end(s) > limit && (w->id == TDP_CPU || tdp_visible(w, s)))
			return slot_refuse(txn, ERR_RANGE, "beyond what the table can translate",
					   s);
		if (s->kind == SLOT_EMULATED || !tdp_visible(w, s))
			continue;
		if (w->id == TDP_DMA && s->flags & SLOT_LOG)
			return slot_refuse(txn, ERR_UNSUPPORTED,
					   "a dirty log cannot see what the guest's devices write",
					   s);
		if (w->id == TDP_CPU && !spte_access_legal(w->format, s->access))
			return slot_refuse(txn, ERR_UNSUPPORTED,
					   "rights that this CPU cannot express", s);
		if (w->id == TDP_CPU && s->flags & SLOT_LOG && !protectable(w->format, s))
			return slot_refuse(txn, ERR_UNSUPPORTED,
					   "rights that cannot be write-protected", s);
		if (s->pfn.v >= frames || s->npages > frames - s->pfn.v)
			return slot_refuse(txn, ERR_RANGE, "beyond the host's physical addresses",
					   s);
	}
	return OK;
}

static enum status check_draft(const struct tdp *t, struct slot_txn *txn)
{
	if (txn->error)
		return txn->error;
	if (txn->base_version != t->slots->version)
		return slot_refuse(txn, ERR_BUSY, "the layout changed since the transaction began",
				   NULL);
	if (check_view(&t->view[TDP_CPU], txn))
		return txn->error;
	return check_view(&t->view[TDP_DMA], txn);
}

/* Attempts to prepare without `lock`. A guest that faults all the time waits for itself then. */
#define PREPARE_TRIES 3

/*
 * Prepare while the cores go on faulting. If one of them changed a table meanwhile, a copy may lack
 * that change: once more. On success `lock` is held, and what was prepared is up to date.
 */
static enum status prepare_and_lock(struct tdp *t, struct build b[TDP_VIEWS])
{
	enum status status;

	for (unsigned tries = 0;; tries++) {
		bool locked = tries == PREPARE_TRIES;
		uint64_t changes;

		if (locked)
			spin_lock(&t->lock);
		changes = __atomic_load_n(&t->changes, __ATOMIC_ACQUIRE);
		status = prepare_all(b);
		if (!status && !locked)
			spin_lock(&t->lock);
		if (!status && t->changes == changes)
			return OK;
		if (!status || locked)
			spin_unlock(&t->lock);
		if (status)
			return status;
		t->stats.prepared_again++;
		discard(&b[TDP_CPU]);
		discard(&b[TDP_DMA]);
	}
}

static void merge_at(struct tdp *t, uint64_t border, struct tdp_gather *g)
{
	for (unsigned v = 0; v < TDP_VIEWS; v++)
		if (t->view[v].root && border < tdp_limit(&t->view[v]))
			tdp_collapse_at(&t->view[v], border, g);
}

/* Borders of old slots, in order, and the first new slot that ends behind the last one. */
struct borders {
	const struct slot_set *old;
	uint32_t next; /* twice the index, plus one for a slot's end */
	const struct slot *now, *end;
};

/* The next border that lies inside of a new slot; false if there is none. */
static bool next_border(struct borders *b, uint64_t *border)
{
	while (b->next < 2 * b->old->count) {
		const struct slot *s = &b->old->slot[b->next / 2];

		*border = b->next++ % 2 ? slot_end(s) : s->base.v;
		while (b->now < b->end && slot_end(b->now) <= *border)
			b->now++;
		if (b->now < b->end && b->now->base.v < *border)
			return true;
	}
	return false;
}

/* What is merged before a flush: few tables, since `lock` is held. */
#define MERGE_PIECE 16

/*
 * Where two slots have become one, or one has grown, a table may be all that one leaf can say. Such
 * places are borders of old slots inside of new ones.
 */
static void merge_borders(struct tdp *t, const struct slot_set *old)
{
	struct borders b = { old, 0, t->slots->slot, t->slots->slot + t->slots->count };
	bool more = true;
	uint64_t border;

	while (more) {
		struct tdp_gather g = { 0 };

		spin_lock(&t->lock);
		for (unsigned n = 0; n < MERGE_PIECE && (more = next_border(&b, &border)); n++)
			merge_at(t, border, &g);
		if (g.count)
			tdp_gather_flush(t, &g);
		spin_unlock(&t->lock);
		tdp_gather_free(t, &g);
	}
}

/* The logs of the draft's slots, with the pages that merging can free if there are no others. */
static enum status prepare_logs(struct tdp *t, const struct slot_set *draft,
				struct tdp_log_set **logs)
{
	enum status status = tdp_logs_prepare(t, draft, logs);

	return status && tdp_reclaim(t) ? tdp_logs_prepare(t, draft, logs) : status;
}

/* Under layout_lock. */
static enum status commit(struct tdp *t, struct slot_txn *txn)
{
	struct slot_set *old = t->slots;
	struct build b[TDP_VIEWS];
	struct tdp_gather g = { .logs = t->logs };
	struct tdp_log_set *logs;
	enum status status;

	for (unsigned i = 0; i < TDP_VIEWS; i++)
		b[i] = (struct build){ .view = &t->view[i], .old = old, .new = txn->draft };
	if (check_draft(t, txn))
		return txn->error;
	if (prepare_logs(t, txn->draft, &logs))
		return slot_refuse(txn, ERR_NOMEM, "the guest's budget has no page for a dirty log",
				   NULL);
	status = prepare_and_lock(t, b);
	/* What the guest has had split, it can spare. */
	if (status && tdp_reclaim(t))
		status = prepare_and_lock(t, b);
	if (status) {
		tdp_logs_discard(t, logs);
		return slot_refuse(txn, ERR_NOMEM, "the guest's budget has no page for a table",
				   NULL);
	}
	txn->draft->version = old->version + 1;
	publish(t, b, txn->draft, logs, &g);
	spin_unlock(&t->lock);
	txn->draft = NULL;
	for (unsigned i = 0; i < TDP_VIEWS; i++) {
		adopt(&b[i]);
		g.tables[i] = b[i].tables;
		g.trees[i] = b[i].trees;
	}
	tdp_gather_free(t, &g);
	tdp_logs_settle(t, old, g.logs);
	if (t->zap_all && g.count)
		tdp_zap_range(t, ALL_GFNS);
	merge_borders(t, old);
	mm_free(old);
	return OK;
}

static void count_refused(struct tdp *t)
{
	spin_lock(&t->lock);
	t->stats.refused++;
	spin_unlock(&t->lock);
}

enum status tdp_begin(struct tdp *t, struct slot_txn *txn, unsigned room)
{
	*txn = (struct slot_txn){ 0 };
	spin_lock(&t->layout_lock);
	txn->base_version = t->slots->version;
	if (room > SLOT_MAX - t->slots->count)
		slot_refuse(txn, ERR_RANGE, "too many slots", NULL);
	else if (!(txn->draft = slot_set_copy(t->budget, t->slots, room)) &&
		 !(tdp_reclaim(t) && (txn->draft = slot_set_copy(t->budget, t->slots, room))))
		slot_refuse(txn, ERR_NOMEM, "the guest's budget has no page for the slots", NULL);
	spin_unlock(&t->layout_lock);
	if (txn->error)
		count_refused(t);
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

	spin_lock(&t->layout_lock);
	status = commit(t, txn);
	spin_unlock(&t->layout_lock);
	if (status) {
		count_refused(t);
		tdp_abort(t, txn);
	}
	return status;
}
