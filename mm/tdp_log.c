/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/mm_host.h"
#include "mm/tdp_table.h"
#include "panic.h"

/*
 * Dirty logs. What is known to be written is in three places: a bitmap for each logged slot; in
 * TDP_LOG_D and TDP_LOG_PML the dirty flags of 4 KiB leaves; and in TDP_LOG_PML the lists that cores
 * keep while they are in the guest, which only say where flags are set. Large leaves of a logged slot
 * are never writable: the first write splits them.
 *
 * In TDP_LOG_WP a leaf is writable only if its bit is set, so the bit is set first. To take the bit
 * and the right away is one step for those who fault, by `lock`. To report comes after the flush:
 * until then cores go on writing with what their TLBs hold.
 */

/* A page of a bitmap is for 32768 frames from a multiple of that; so words are for multiples of 64. */
#define CHUNK_SHIFT 15
#define CHUNK_WORDS 512u
#define LOG_ROOTS   256u
#define DIR_SHIFT   9

struct tdp_log {
	uint64_t base, npages; /* the slot's: its name */
	unsigned depth;        /* of the directories above the bitmap's pages */
	void *root[LOG_ROOTS]; /* pages of the bitmap or, with directories, the topmost of these */
};

/* Immutable, as the slot set that it belongs to. The logs themselves live on in the next set. */
struct tdp_log_set {
	uint32_t count;
	struct tdp_log *log[]; /* by base */
};

static uint64_t log_end(const struct tdp_log *log)
{
	return log->base + log->npages;
}

/* The first log that ends behind the frame, or NULL. */
static struct tdp_log *next_log(const struct tdp_log_set *set, uint64_t gfn)
{
	uint32_t lo = 0, hi = set ? set->count : 0;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (log_end(set->log[mid]) <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return set && lo < set->count ? set->log[lo] : NULL;
}

static struct tdp_log *find_log(const struct tdp_log_set *set, uint64_t gfn)
{
	struct tdp_log *log = next_log(set, gfn);

	return log && log->base <= gfn ? log : NULL;
}

static uint64_t chunk_of(const struct tdp_log *log, uint64_t gfn)
{
	return (gfn >> CHUNK_SHIFT) - (log->base >> CHUNK_SHIFT);
}

/* Where the pointer to a chunk, or to the directory `depth` levels above it, is kept. */
static void **place_of(struct tdp_log *log, uint64_t chunk, unsigned depth)
{
	void **place = &log->root[chunk >> (log->depth * DIR_SHIFT)];

	for (unsigned d = log->depth; d > depth; d--) {
		void **dir = *place;

		place = &dir[chunk >> ((d - 1) * DIR_SHIFT) & (CHUNK_WORDS - 1)];
	}
	return place;
}

/* The word of the bitmap for the frames around this one. */
static uint64_t *word_of(struct tdp_log *log, uint64_t gfn)
{
	uint64_t *chunk = *place_of(log, chunk_of(log, gfn), 0);

	return &chunk[gfn / 64 % CHUNK_WORDS];
}

/* The bits of the word around `gfn` that are for frames in [start, end). */
static uint64_t mask_of(uint64_t gfn, uint64_t start, uint64_t end)
{
	uint64_t first = ALIGN_DOWN(gfn, 64), mask = ~0ull;

	if (start > first)
		mask &= ~0ull << (start - first);
	if (end < first + 64)
		mask &= ~0ull >> (first + 64 - end);
	return mask;
}

/* A locked instruction even if the bits are set: it orders the write before it. */
static void set_bits(struct tdp_log *log, uint64_t gfn, uint64_t bits)
{
	__atomic_fetch_or(word_of(log, gfn), bits, __ATOMIC_SEQ_CST);
}

static void set_range(struct tdp_log *log, uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at < end; at = ALIGN_DOWN(at, 64) + 64)
		set_bits(log, at, mask_of(at, start, end));
}

static void mark(const struct tdp_log_set *logs, uint64_t gfn)
{
	struct tdp_log *log = find_log(logs, gfn);

	if (log)
		set_bits(log, gfn, BIT(gfn % 64));
}

void tdp_mark_dirty(const struct tdp *t, gfn_t gfn)
{
	const struct tdp_log_set *logs = __atomic_load_n(&t->logs, __ATOMIC_ACQUIRE);

	if (logs)
		mark(logs, gfn.v);
}

static void free_pages(void *page, unsigned depth)
{
	void **dir = page;

	if (!page)
		return;
	for (unsigned i = 0; depth && i < CHUNK_WORDS; i++)
		free_pages(dir[i], depth - 1);
	mm_free(page);
}

static void free_log(struct tdp_log *log)
{
	for (unsigned i = 0; i < LOG_ROOTS; i++)
		free_pages(log->root[i], log->depth);
	mm_free(log);
}

/* An empty log, or NULL. Single pages: contiguous ones have to be searched for. */
static struct tdp_log *make_log(struct tdp *t, const struct slot *s)
{
	struct tdp_log *log = mm_alloc(t->budget, 1);
	uint64_t chunks;

	if (!log)
		return NULL;
	log->base = s->base.v;
	log->npages = s->npages;
	chunks = chunk_of(log, slot_end(s) - 1) + 1;
	while (chunks > (uint64_t)LOG_ROOTS << (log->depth * DIR_SHIFT))
		log->depth++;
	for (uint64_t chunk = 0; chunk < chunks; chunk++) {
		for (unsigned d = log->depth + 1; d-- > 0;) {
			void **place = place_of(log, chunk, d);

			if (!*place)
				*place = mm_alloc(t->budget, 1);
			if (!*place) {
				free_log(log);
				return NULL;
			}
		}
	}
	return log;
}

/* The log that a slot had already, or NULL. */
static struct tdp_log *same_log(const struct tdp_log_set *set, uint64_t base, uint64_t npages)
{
	struct tdp_log *log = find_log(set, base);

	return log && log->base == base && log->npages == npages ? log : NULL;
}

/* Free a set and those of its logs that `kept` does not have. */
static void free_set(struct tdp_log_set *set, const struct tdp_log_set *kept)
{
	for (uint32_t i = 0; set && i < set->count; i++) {
		struct tdp_log *log = set->log[i];

		if (same_log(kept, log->base, log->npages) != log)
			free_log(log);
	}
	mm_free(set);
}

void tdp_logs_discard(struct tdp *t, struct tdp_log_set *logs)
{
	free_set(logs, logs == t->logs ? NULL : t->logs);
}

static uint32_t count_logged(const struct slot_set *slots)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < slots->count; i++)
		count += slots->slot[i].flags & SLOT_LOG ? 1 : 0;
	return count;
}

enum status tdp_logs_prepare(struct tdp *t, const struct slot_set *draft, struct tdp_log_set **logs)
{
	uint32_t count = count_logged(draft);
	struct tdp_log_set *set;
	uint64_t bytes = sizeof(*set) + count * sizeof(struct tdp_log *);

	*logs = NULL;
	if (!count)
		return OK;
	set = mm_alloc(t->budget, (unsigned)(ALIGN_UP(bytes, PAGE_SIZE) >> PAGE_SHIFT));
	if (!set)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < draft->count; i++) {
		const struct slot *s = &draft->slot[i];
		struct tdp_log *log;

		if (!(s->flags & SLOT_LOG))
			continue;
		log = same_log(t->logs, s->base.v, s->npages);
		if (!log)
			log = make_log(t, s);
		if (!log) {
			tdp_logs_discard(t, set);
			return ERR_NOMEM;
		}
		set->log[set->count++] = log;
	}
	*logs = set;
	return OK;
}

/* What of a logged slot has other backing than before counts as written. */
static void mark_new_backing(struct tdp_log *log, const struct slot_set *now,
			     const struct slot_set *before)
{
	const struct slot *s = slot_find(now, GFN(log->base));
	uint64_t end = log_end(log), next;

	for (uint64_t at = log->base; at < end; at = next) {
		const struct slot *was = slot_next(before, GFN(at));

		next = was ? min_u64(end, was->base.v > at ? was->base.v : slot_end(was)) : end;
		if (!was || was->base.v > at || slot_pfn(was, GFN(at)).v != slot_pfn(s, GFN(at)).v)
			set_range(log, at, next);
	}
}

/* A log that begins in the place of others has their bits. */
static void inherit(struct tdp_log *log, const struct tdp_log_set *old)
{
	for (uint64_t at = log->base; at < log_end(log); at = ALIGN_DOWN(at, 64) + 64) {
		struct tdp_log *was = next_log(old, at);
		uint64_t word = ALIGN_DOWN(at, 64) + 64;

		while (was && was->base < word && was->base < log_end(log)) {
			uint64_t mask = mask_of(at, max_u64(was->base, log->base),
						min_u64(log_end(was), log_end(log)));

			set_bits(log, at, *word_of(was, max_u64(at, was->base)) & mask);
			was = log_end(was) < word ? next_log(old, log_end(was)) : NULL;
		}
	}
}

void tdp_logs_settle(struct tdp *t, const struct slot_set *old_slots, struct tdp_log_set *old)
{
	for (uint32_t i = 0; t->logs && i < t->logs->count; i++) {
		struct tdp_log *log = t->logs->log[i];

		if (same_log(old, log->base, log->npages) != log)
			inherit(log, old);
		mark_new_backing(log, t->slots, old_slots);
	}
	free_set(old, t->logs);
}

void tdp_log_entry(const struct tdp_view *w, const struct tdp_log_set *logs, uint64_t gfn,
		   unsigned level, uint64_t value)
{
	/* Of larger leaves the flag says nothing: those of logged slots cannot be written to. */
	if (w->id == TDP_CPU && w->tdp->log_mode != TDP_LOG_WP && level == 1 &&
	    spte_present(w->format, value) && value & w->format->dirty)
		mark(logs, gfn);
}

/* Recursion: at most one call for each level. */
static void log_table(const struct tdp_view *w, const struct tdp_log_set *logs,
		      const uint64_t *table, uint64_t base, bool below)
{
	unsigned level = tdp_table_level(virt_to_page(table));
	uint64_t span = spte_span(level);
	const struct tdp_log *log = next_log(logs, base);

	if (!log || log->base >= base + span * SPTE_PER_TABLE)
		return;
	for (unsigned i = 0; i < SPTE_PER_TABLE; i++) {
		uint64_t value = tdp_read_entry(&table[i]);

		if (!spte_is_table(w->format, value, level))
			tdp_log_entry(w, logs, base + i * span, level, value);
		else if (below)
			log_table(w, logs, tdp_child(w, value), base + i * span, true);
	}
}

/* Where a table was: those above it are there yet, linked or not. */
static uint64_t former_base(const struct page *page)
{
	uint64_t base = 0;

	while (page->parent) {
		const struct page *up = virt_to_page(page->parent);
		const uint64_t *table = page_to_virt(up);

		base += (uint64_t)(page->parent - table) * spte_span(tdp_table_level(up));
		page = up;
	}
	return base;
}

void tdp_log_tables(struct tdp *t, const struct tdp_gather *g)
{
	const struct tdp_view *w = &t->view[TDP_CPU];
	const struct page *page;

	if (t->log_mode == TDP_LOG_WP)
		return;
	for (page = g->tables[TDP_CPU].first; page; page = page->link)
		log_table(w, g->logs, page_to_virt(page), former_base(page), false);
	for (page = g->trees[TDP_CPU].first; page; page = page->link)
		log_table(w, g->logs, page_to_virt(page), former_base(page), true);
}

enum status tdp_log_grant(struct tdp_view *w, uint64_t gfn, struct tdp_leaf *leaf)
{
	struct tdp *t = w->tdp;
	bool protect = t->log_mode == TDP_LOG_WP;
	enum status s;

	ASSERT(find_log(t->logs, gfn));
	while (leaf->level > 1) {
		/* With dirty flags, the whole region of 4 KiB pages may be written to at once. */
		s = tdp_split_leaf(w, gfn, leaf, leaf->level == 2 && !protect ? ACCESS_W : 0);
		if (s)
			return s;
	}
	if (protect)
		mark(t->logs, gfn);
	if (!(spte_decode(w->format, leaf->value, 1).access & ACCESS_W))
		tdp_set_entry(w, leaf->entry, 1, spte_add_access(w->format, leaf->value, ACCESS_W),
			      TDP_WIDEN);
	leaf->value = tdp_read_entry(leaf->entry);
	t->stats.log_grants++;
	return OK;
}

/* A report under way. */
struct report {
	struct tdp_view *view;
	struct tdp_log *log;
	struct gfn_range range;
	uint64_t *bitmap; /* or NULL */
	uint64_t count;
	struct tdp_gather gather;
};

/* The live table of 4 KiB pages around the frame, or NULL. */
static uint64_t *small_pages(const struct tdp_view *w, uint64_t gfn)
{
	uint64_t *table = w->root;

	for (unsigned level = w->format->levels; level > 1; level--) {
		uint64_t value = tdp_read_entry(&table[spte_index(gfn, level)]);

		if (!spte_is_table(w->format, value, level))
			return NULL;
		table = tdp_child(w, value);
	}
	return table;
}

/*
 * Begin anew for one page: the next write to it will be noticed, after a flush. Returns whether its
 * flag says that there was one.
 */
static bool rearm(struct report *r, uint64_t *entry, uint64_t gfn)
{
	struct tdp_view *w = r->view;
	const struct spte_format *f = w->format;
	uint64_t value = tdp_read_entry(entry), all;

	if (!spte_present(f, value))
		return false;
	if (w->tdp->log_mode == TDP_LOG_WP) {
		if (!(spte_decode(f, value, 1).access & ACCESS_W))
			return false;
		tdp_narrow(w, entry, 1, value, spte_drop_access(f, value, ACCESS_W));
		tdp_gather_range(&r->gather, w->id, gfn, gfn + 1);
		return false;
	}
	if (!(value & f->dirty))
		return false;
	all = tdp_narrow(w, entry, 1, value, value & ~f->dirty);
	tdp_gather_range(&r->gather, w->id, gfn, gfn + 1);
	return all & f->dirty;
}

static void note(struct report *r, uint64_t gfn, uint64_t bits)
{
	if (r->bitmap)
		r->bitmap[gfn / 64 - r->range.start / 64] |= bits;
	for (; bits; bits &= bits - 1)
		r->count++;
}

/*
 * Which of 64 entries have their dirty flag set? Most have not: this is what a report's time goes into,
 * so eight are looked at together. That they are leaves is for rearm() to see.
 */
static uint64_t flagged(const struct spte_format *f, const uint64_t *entry)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < 64; i += 8) {
		uint64_t any = 0;

		for (unsigned j = i; j < i + 8; j++)
			any |= tdp_read_entry(&entry[j]);
		for (unsigned j = i; any & f->dirty && j < i + 8; j++)
			if (tdp_read_entry(&entry[j]) & f->dirty)
				bits |= BIT(j);
	}
	return bits;
}

/* One word. What its bits do not name needs a look only if nobody else says where flags are set. */
static void collect_word(struct report *r, uint64_t gfn, uint64_t *table, uint64_t mask)
{
	uint64_t bits = __atomic_fetch_and(word_of(r->log, gfn), ~mask, __ATOMIC_SEQ_CST) & mask;
	uint64_t first = ALIGN_DOWN(gfn, 64), look = bits;

	if (table && r->view->tdp->log_mode == TDP_LOG_D)
		look = flagged(r->view->format, &table[spte_index(first, 1)]) & mask;
	for (; table && look; look &= look - 1) {
		uint64_t at = first + (unsigned)__builtin_ctzll(look);

		if (rearm(r, &table[spte_index(at, 1)], at))
			bits |= BIT(at % 64);
	}
	note(r, gfn, bits);
}

/* The part of the range in one table of 4 KiB pages. Faults wait for this much at most. */
static void collect_region(struct report *r, uint64_t start, uint64_t end)
{
	struct tdp *t = r->view->tdp;
	bool any = t->log_mode == TDP_LOG_D;
	uint64_t *table, at;

	for (at = start; !any && at < end; at = ALIGN_DOWN(at, 64) + 64)
		any = __atomic_load_n(word_of(r->log, at), __ATOMIC_ACQUIRE);
	if (!any)
		return;
	spin_lock(&t->lock);
	table = small_pages(r->view, start);
	for (at = start; at < end; at = ALIGN_DOWN(at, 64) + 64)
		collect_word(r, at, table, mask_of(at, start, end));
	spin_unlock(&t->lock);
}

/* Under layout_lock. */
static void collect(struct report *r)
{
	struct tdp *t = r->view->tdp;
	uint64_t words = (r->range.end - 1) / 64 - r->range.start / 64 + 1, next;

	for (uint64_t i = 0; r->bitmap && i < words; i++)
		r->bitmap[i] = 0;
	/* Cores hand over their lists on the way out. */
	if (t->log_mode == TDP_LOG_PML) {
		mm_hold(t->host);
		mm_release(t->host);
	}
	for (uint64_t at = r->range.start; at < r->range.end; at = next) {
		next = min_u64(r->range.end, ALIGN_DOWN(at, SPTE_PER_TABLE) + SPTE_PER_TABLE);
		collect_region(r, at, next);
	}
	spin_lock(&t->lock);
	if (r->gather.count)
		tdp_gather_flush(t, &r->gather);
	t->stats.harvests++;
	t->stats.dirty += r->count;
	spin_unlock(&t->lock);
}

enum status tdp_dirty_get_clear(struct tdp *t, gfn_t start, uint64_t npages, uint64_t *bitmap,
				uint64_t *count)
{
	struct report r = { .view = &t->view[TDP_CPU], .bitmap = bitmap };
	enum status status = ERR_NOT_FOUND;

	*count = 0;
	if (!npages)
		return ERR_INVALID;
	spin_lock(&t->layout_lock);
	r.log = find_log(t->logs, start.v);
	if (r.log && npages <= log_end(r.log) - start.v) {
		r.range = (struct gfn_range){ start.v, start.v + npages };
		collect(&r);
		*count = r.count;
		status = OK;
	}
	spin_unlock(&t->layout_lock);
	return status;
}

enum status tdp_set_log_mode(struct tdp *t, enum tdp_log_mode mode)
{
	enum status status = OK;

	spin_lock(&t->layout_lock);
	spin_lock(&t->lock);
	if (mode != TDP_LOG_WP && !t->view[TDP_CPU].format->dirty)
		status = ERR_UNSUPPORTED;
	else if (t->logs)
		status = ERR_BUSY;
	else
		t->log_mode = mode;
	spin_unlock(&t->lock);
	spin_unlock(&t->layout_lock);
	return status;
}
