/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second-level MMU, write by write. After each store to a live entry, all guest frames are
 * looked up by cores and by devices, from the root and through whatever they remember, and what they
 * find must be the old layout or the new one. Where the code makes no promise about the order of its
 * stores, other orders are tried as well: backwards, and shuffled.
 */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c
// sources: mm/tdp_fault.c mm/tdp_zap.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
// libs: -Wl,--wrap=mm_entry_xchg -Wl,--wrap=mm_hold -Wl,--wrap=mm_flush
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

enum order {
	AS_WRITTEN,
	BACKWARDS,
	SHUFFLED,
	SHUFFLED_AGAIN,
	ORDERS,
};

/* A store that the code has made and memory has not seen yet. */
struct store {
	void *host;
	enum tdp_view_id view;
	uint64_t *entry, value;
};

static struct {
	enum order order;
	bool collecting; /* stores up to the next flush may come in any order */
	struct store store[2 * SPTE_PER_TABLE];
	unsigned count;
	struct gfn_range gap;    /* what the cores may miss */
	bool widest;             /* the cores may remember rights that nx_huge is about to take */
	uint64_t sum[TDP_VIEWS]; /* of all live entries after the last exchange; 0: none yet */
	uint64_t rng, checks;
	struct slot_set *before; /* a copy: the layout before a transaction */
} history;

uint64_t __real_mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value);
uint64_t __wrap_mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value);
void __real_mm_hold(void *host);
void __wrap_mm_hold(void *host);
void __real_mm_flush(void *host, unsigned views, const struct gfn_range *r, unsigned count);
void __wrap_mm_flush(void *host, unsigned views, const struct gfn_range *r, unsigned count);

/* Is it what the layout before says, or the one after? */
static bool old_or_new(enum tdp_view_id view, uint64_t gfn, const struct translation *tr)
{
	const struct slot_set *set[] = { history.before, tdp_slots(&tdp), machine.next };

	for (unsigned i = 0; i < ARRAY_SIZE(set); i++)
		if (set[i] && machine_matches(view, slot_find(set[i], GFN(gfn)), gfn, tr))
			return true;
	return false;
}

static bool in_all(enum tdp_view_id view, uint64_t gfn)
{
	const struct slot_set *set[] = { history.before, tdp_slots(&tdp), machine.next };

	for (unsigned i = 0; i < ARRAY_SIZE(set); i++)
		if (set[i] && !machine_maps(view, slot_find(set[i], GFN(gfn))))
			return false;
	return true;
}

/* The next frame where any of the layouts changes. */
static uint64_t next_border(uint64_t gfn, uint64_t end)
{
	const struct slot_set *set[] = { history.before, tdp_slots(&tdp), machine.next };

	for (unsigned i = 0; i < ARRAY_SIZE(set); i++) {
		const struct slot *s = set[i] ? slot_next(set[i], GFN(gfn)) : NULL;

		if (s)
			end = min_u64(end, s->base.v > gfn ? s->base.v : slot_end(s));
	}
	return end;
}

/* Every frame, from the root. */
static void check_frames(enum tdp_view_id view)
{
	struct translation tr;

	for (uint64_t gfn = 0; gfn < reach;) {
		bool mapped = machine_translate_in(view, gfn, &tr);
		bool gap = view == TDP_CPU && gfn >= history.gap.start && gfn < history.gap.end;

		if (mapped ? !old_or_new(view, gfn, &tr) : in_all(view, gfn) && !gap)
			fail_msg("view %u, gfn %#llx: %s", view, (unsigned long long)gfn,
				 mapped ? "neither old nor new" : "gap");
		gfn = next_border(gfn, tr.end);
		if (gfn < history.gap.start)
			gfn = min_u64(gfn, history.gap.start);
		history.checks++;
	}
}

static struct translation translation_of(enum tdp_view_id view, const struct cached *c)
{
	const struct spte_format *f = view == TDP_CPU ? &format : &iommu_format;
	struct spte_info info = spte_decode(f, c->value, c->level);

	return (struct translation){ .pfn = info.hpa.v >> PAGE_SHIFT,
				     .level = c->level,
				     .access = machine_rights(view, info.access),
				     .type = info.type };
}

/* Everything that a walker remembers, or reaches through what it remembers. */
static void check_remembered(enum tdp_view_id view)
{
	const struct cache *c = &machine.walker[view].leaves;

	for (size_t i = 0; i < c->size; i++) {
		struct translation tr;

		if (!c->entry[i].level)
			continue;
		tr = translation_of(view, &c->entry[i]);
		if (!old_or_new(view, c->entry[i].base, &tr))
			fail_msg("view %u remembers of gfn %#llx what never was", view,
				 (unsigned long long)c->entry[i].base);
		history.checks++;
	}
}

static uint64_t sum_of(const struct tdp_view *w, const uint64_t *table)
{
	unsigned level = tdp_table_level(virt_to_page(table));
	uint64_t sum = 0;

	for (unsigned i = 0; i < SPTE_PER_TABLE; i++) {
		sum = (sum ^ table[i]) * 0x9e3779b97f4a7c15 + i;
		if (spte_is_table(w->format, table[i], level))
			sum += sum_of(w, tdp_child(w, table[i]));
	}
	return sum;
}

/* What is live changes by exchanges only, and in nothing but the entry of each. */
static void check_stores(void)
{
	for (unsigned view = 0; view < TDP_VIEWS; view++)
		if (history.sum[view] && machine.walker[view].root)
			assert_int_equal(sum_of(&tdp.view[view], tdp.view[view].root),
					 history.sum[view]);
}

static void remember_stores(void)
{
	for (unsigned view = 0; view < TDP_VIEWS; view++)
		history.sum[view] = machine.walker[view].root
					    ? sum_of(&tdp.view[view], tdp.view[view].root)
					    : 0;
}

static void check_everything(void)
{
	machine_walk();
	for (enum tdp_view_id view = 0; view < TDP_VIEWS; view++) {
		if (!machine.walker[view].root)
			continue;
		check_frames(view);
		if (!history.widest)
			check_remembered(view);
	}
}

/*
 * While cores run, a translation goes by way of FROZEN, and comes only where nothing is; it changes
 * into other pieces of the same, and never to another frame.
 */
static void check_transition(const struct store *s)
{
	const struct spte_format *f = s->view == TDP_CPU ? &format : &iommu_format;
	unsigned level = tdp_table_level(virt_to_page(s->entry));
	enum spte_state from = spte_state(f, *s->entry, level), to = spte_state(f, s->value, level);

	if (from == SPTE_STATE_FROZEN)
		assert_int_equal(to, SPTE_STATE_EMPTY);
	if (machine.held)
		return;
	if (from == SPTE_STATE_LEAF || from == SPTE_STATE_TABLE)
		assert_true(to != SPTE_STATE_EMPTY && to != SPTE_STATE_MMIO);
	if (from == SPTE_STATE_LEAF && to == SPTE_STATE_LEAF)
		assert_int_equal(spte_hpa(f, *s->entry).v, spte_hpa(f, s->value).v);
}

static uint64_t exchange(const struct store *s)
{
	uint64_t old;

	check_stores();
	check_transition(s);
	old = __real_mm_entry_xchg(s->host, s->view, s->entry, s->value);
	check_everything();
	remember_stores();
	return old;
}

uint64_t __wrap_mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value)
{
	struct store s = { host, view, entry, value };

	if (!machine.tdp)
		return __real_mm_entry_xchg(host, view, entry, value);
	if (!history.collecting)
		return exchange(&s);
	assert_in_range(history.count, 0, ARRAY_SIZE(history.store) - 1);
	history.store[history.count++] = s;
	return *entry;
}

static void put_in_order(void)
{
	struct store *s = history.store;

	for (unsigned i = 0; history.order != AS_WRITTEN && i + 1 < history.count; i++) {
		unsigned left = history.count - i, pick = left - 1;
		struct store t = s[i];

		if (history.order >= SHUFFLED) {
			history.rng = history.rng * 6364136223846793005 + 1442695040888963407;
			pick = (unsigned)((history.rng >> 33) % left);
		} else if (i >= history.count / 2) {
			break;
		} else {
			pick = history.count - 1 - 2 * i;
		}
		s[i] = s[i + pick];
		s[i + pick] = t;
	}
}

static void let_through(void)
{
	history.collecting = false;
	put_in_order();
	for (unsigned i = 0; i < history.count; i++)
		exchange(&history.store[i]);
	history.count = 0;
}

/* Between the hold of a commit and its flush, the order of the stores is nobody's business. */
void __wrap_mm_hold(void *host)
{
	__real_mm_hold(host);
	history.collecting = true;
}

void __wrap_mm_flush(void *host, unsigned views, const struct gfn_range *r, unsigned count)
{
	let_through();
	__real_mm_flush(host, views, r, count);
}

static void forget_before(void)
{
	check_stores();
	free(history.before);
	history.before = NULL;
}

static void watch(enum order order)
{
	free(history.before);
	memset(&history, 0, sizeof(history));
	history.order = order;
	history.rng = order;
}

/* A commit with the layout before it kept in mind to its end. */
static void watched_commit(struct slot_txn *txn)
{
	const struct slot_set *set = tdp_slots(&tdp);
	size_t size = sizeof(*set) + set->count * sizeof(struct slot);

	forget_before();
	history.before = malloc(size);
	assert_non_null(history.before);
	memcpy(history.before, set, size);
	commit(txn);
	forget_before();
	machine_check();
}

/*
 * Two layouts of large and small pages, aligned and not, next to each other and apart, in both of
 * which much is the same: going from one to the other is all kinds of changes at once.
 */
static void edit_there(struct slot_txn *txn)
{
	struct slot rom = ram(2 * BIG_PAGES + 7, 20, 9), far = ram(gib - 5, 300, 77);

	rom.kind = SLOT_ROM;
	rom.access = ACCESS_RX;
	far.type = MEM_UC;
	assert_int_equal(slot_move(txn, GFN(3 * BIG_PAGES), GFN(5 * BIG_PAGES)), OK);
	assert_int_equal(slot_resize(txn, GFN(0), BIG_PAGES + 1), OK);
	assert_int_equal(slot_delete(txn, GFN(2 * BIG_PAGES)), OK);
	assert_int_equal(slot_create(txn, &rom), OK);
	assert_int_equal(slot_replace(txn, &far), OK);
}

static void edit_back(struct slot_txn *txn)
{
	struct slot far = ram(gib - 5, 300, 4 * gib - 5), mid = ram(2 * BIG_PAGES, 30, 4096);

	assert_int_equal(slot_move(txn, GFN(5 * BIG_PAGES), GFN(3 * BIG_PAGES)), OK);
	assert_int_equal(slot_resize(txn, GFN(0), 2 * BIG_PAGES), OK);
	assert_int_equal(slot_delete(txn, GFN(2 * BIG_PAGES + 7)), OK);
	assert_int_equal(slot_create(txn, &mid), OK);
	assert_int_equal(slot_replace(txn, &far), OK);
}

static void start(void)
{
	struct slot slots[] = {
		ram(0, 2 * BIG_PAGES, 8 * BIG_PAGES),           ram(2 * BIG_PAGES, 30, 4096),
		ram(3 * BIG_PAGES, BIG_PAGES, 16 * BIG_PAGES),  ram(gib - 5, 300, 4 * gib - 5),
		ram(2 * BIG_PAGES - 1 + gib, 3, 2 * BIG_PAGES),
	};
	struct slot_txn txn;

	slots[4].kind = SLOT_DEVICE;
	slots[4].access = ACCESS_RW;
	slots[4].type = MEM_UC;
	watch(AS_WRITTEN);
	begin(&txn, ARRAY_SIZE(slots));
	for (unsigned i = 0; i < ARRAY_SIZE(slots); i++)
		assert_int_equal(slot_create(&txn, &slots[i]), OK);
	watched_commit(&txn);
}

static void there_and_back(void)
{
	struct slot_txn txn;

	begin(&txn, 4);
	edit_there(&txn);
	watched_commit(&txn);
	begin(&txn, 4);
	edit_back(&txn);
	watched_commit(&txn);
}

static void test_transactions(void **state unused)
{
	start();
	for (enum order order = 0; order < ORDERS; order++) {
		watch(order);
		there_and_back();
		assert_true(history.checks > 1000);
	}
	forget_before();
}

/* Many entries of one table at once: the hold with the most stores. */
static void test_wide_transaction(void **state unused)
{
	uint64_t step = v->walk.max_level > 1 ? BIG_PAGES : 2;
	struct slot_txn txn;

	for (enum order order = 0; order < ORDERS; order++) {
		watch(order);
		begin(&txn, 40);
		for (uint64_t i = 0; i < 40; i++) {
			struct slot s = ram(i * step, step, (80 + 2 * i + order) * step);

			assert_int_equal(order ? slot_replace(&txn, &s) : slot_create(&txn, &s),
					 OK);
		}
		watched_commit(&txn);
	}
	forget_before();
}

static void test_zap_everything_else(void **state unused)
{
	start();
	tdp_set_zap_all(&tdp, true);
	machine.gaps = true;
	watch(SHUFFLED);
	history.gap = (struct gfn_range){ 0, BIT(36) };
	there_and_back();
	forget_before();
	tdp_set_zap_all(&tdp, false);
}

static void test_split_and_collapse(void **state unused)
{
	uint64_t gfns[] = { 3, BIG_PAGES + 511, 3 * BIG_PAGES, gib + 5 };

	start();
	for (unsigned level = v->walk.max_level; level > 0; level--) {
		for (unsigned i = 0; i < ARRAY_SIZE(gfns); i++) {
			assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(gfns[i]), level), OK);
			if (v->iommu)
				assert_int_equal(tdp_split(&tdp, TDP_DMA, GFN(gfns[i]), level), OK);
		}
	}
	there_and_back();
	tdp_collapse(&tdp, GFN(0), BIT(36));
	machine_check();
	there_and_back();
	forget_before();
}

/* What the zapped slot translated goes; nothing else does, not for one store. */
static void test_zaps(void **state unused)
{
	static const struct gfn_range slots[] = { { 0, 2 * BIG_PAGES },
						  { 2 * BIG_PAGES, 2 * BIG_PAGES + 30 } };
	struct tdp_fault f;

	start();
	machine.gaps = true;
	for (unsigned i = 0; i < ARRAY_SIZE(slots); i++) {
		history.gap = slots[i];
		assert_int_equal(tdp_zap_slot(&tdp, GFN(slots[i].start)), OK);
		for (uint64_t gfn = slots[i].start; gfn < slots[i].end; gfn += 5)
			assert_in_range(fault(gfn, ACCESS_R, &f), TDP_FIXED, TDP_SPURIOUS);
		assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
		machine_check();
	}
	history.gap = (struct gfn_range){ 0, BIT(36) };
	tdp_zap_all(&tdp);
	assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
	history.gap = (struct gfn_range){ 0, 0 };
	machine.gaps = false;
	there_and_back();
	forget_before();
}

static void test_zap_by_back_pointer(void **state unused)
{
	struct tdp_walk walk;

	start();
	machine.gaps = true;
	for (unsigned level = 1; level < format.levels; level++) {
		uint64_t gfn = 2 * BIG_PAGES + 3, span = spte_span(level + 1);
		unsigned step = format.levels - level;

		tdp_lookup(&tdp, TDP_CPU, GPA(gfn << PAGE_SHIFT), &walk);
		assert_in_range(step, 1, walk.steps - 1);
		history.gap =
			(struct gfn_range){ ALIGN_DOWN(gfn, span), ALIGN_DOWN(gfn, span) + span };
		assert_int_equal(tdp_zap_table(&tdp, walk.step[step].table), OK);
		machine_check();
		assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
	}
	forget_before();
}

static void test_nx_pages(void **state unused)
{
	uint64_t gfns[] = { 0, BIG_PAGES - 1, BIG_PAGES + 77, 3 * BIG_PAGES + 1, gib + 100 };
	struct tdp_fault f;

	if (!(format.rights & ACCESS_X))
		return;
	start();
	machine.gaps = true;
	watch(AS_WRITTEN);
	history.gap = (struct gfn_range){ 0, BIT(36) };
	history.widest = true;
	tdp_set_nx_huge(&tdp, true);
	history.widest = false;
	assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
	machine.gaps = false;
	history.gap = (struct gfn_range){ 0, 0 };
	for (unsigned i = 0; i < ARRAY_SIZE(gfns); i++)
		assert_in_range(fault(gfns[i], ACCESS_X, &f), TDP_FIXED, TDP_SPURIOUS);
	there_and_back();
	for (unsigned i = 0; i < 4; i++)
		tdp_nx_recover(&tdp, 8);
	machine_check();
	there_and_back();
	forget_before();
}

static const struct mm_test tests[] = {
	TEST(test_transactions),
	TEST(test_wide_transaction),
	TEST(test_zap_everything_else),
	TEST(test_split_and_collapse),
	TEST(test_zaps),
	TEST(test_zap_by_back_pointer),
	TEST(test_nx_pages),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
