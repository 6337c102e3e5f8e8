/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: changes of page size in place, executable pages, back-pointers. */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mm_fixture.h"

static struct tdp_view *view;

/* A slot that large pages fill: their level. */
static unsigned large_slot(void)
{
	view = &tdp.view[TDP_CPU];
	create(ram(gib, gib, 4 * gib));
	return largest;
}

/* Switch nx_huge on; it begins with a zap. False where no page is executable anyway. */
static bool nx_huge(void)
{
	if (!(format.rights & ACCESS_X))
		return false;
	tdp_set_nx_huge(&tdp, true);
	machine_check();
	assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
	return true;
}

/* Each page of the slot is translated as ever, with at least these rights. */
static void expect_all_mapped(unsigned access)
{
	struct translation tr;

	for (uint64_t gfn = gib; gfn < 2 * gib; gfn = tr.end) {
		assert_true(machine_translate(gfn, &tr));
		assert_int_equal(tr.pfn, gfn + 3 * gib);
		assert_int_equal(tr.access & access, machine_rights(TDP_CPU, access));
	}
}

static void test_split_in_place(void **state unused)
{
	unsigned top = large_slot();
	uint64_t flushes = machine.flushes;

	for (unsigned level = top; level > 0; level--) {
		assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(gib + 5), level), OK);
		assert_int_equal(level_of(gib + 5), level);
		expect_all_mapped(ACCESS_RWX);
		machine_check();
	}
	/* Equal translations need no flush, and the neighbours keep their size. */
	assert_int_equal(machine.flushes, flushes);
	assert_int_equal(level_of(2 * gib - 1), top > 2 ? 2 : top);
	assert_int_equal(tdp_stats(&tdp).splits, top - 1);
	assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(gib - 1), 1), ERR_NOT_FOUND);
	assert_int_equal(tdp_split(&tdp, TDP_DMA, GFN(gib), 1), v->iommu ? OK : ERR_NOT_FOUND);
	machine_check();
	assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(BIT(40)), 1), ERR_NOT_FOUND);
}

static void test_split_without_memory(void **state unused)
{
	unsigned top = large_slot();

	fail_after = 0;
	assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(gib), 1), top > 1 ? ERR_NOMEM : OK);
	fail_after = -1;
	expect_all_mapped(ACCESS_RWX);
}

static void test_collapse_in_place(void **state unused)
{
	unsigned top = large_slot();
	uint64_t tables = tdp_stats(&tdp).tables, freed;

	assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(gib + 5), 1), OK);
	assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(2 * gib - 1), 1), OK);
	machine_check();
	freed = tdp_collapse(&tdp, GFN(0), BIT(36));
	assert_int_equal(freed, tdp_stats(&tdp).collapses);
	assert_int_equal(level_of(gib + 5), top);
	assert_int_equal(tdp_stats(&tdp).tables, tables);
	expect_all_mapped(ACCESS_RWX);
	machine_check();
	assert_int_equal(tdp_collapse(&tdp, GFN(0), BIT(36)), 0);
	assert_int_equal(tdp_collapse(&tdp, GFN(BIT(36)), 1), 0);
}

/* What the slots do not allow to be one page is left alone. */
static void test_collapse_respects_slots(void **state unused)
{
	struct slot_txn txn;

	large_slot();
	begin(&txn, 1);
	assert_int_equal(slot_resize(&txn, GFN(gib), gib - 1), OK);
	commit(&txn);
	assert_int_equal(tdp_collapse(&tdp, GFN(0), BIT(36)), 0);
	assert_int_equal(level_of(2 * gib - 2), 1);
	expect_unmapped(2 * gib - 1);
}

/* Two slots become one that continues: the table between them becomes a large page again. */
static void test_merged_slots(void **state unused)
{
	unsigned top = largest;
	struct slot_txn txn;

	create(ram(gib, gib / 2 + 3, 4 * gib));
	create(ram(gib + gib / 2 + 3, gib / 2 - 3, 4 * gib + gib / 2 + 3));
	assert_int_equal(level_of(gib + gib / 2), 1);
	begin(&txn, 0);
	assert_int_equal(slot_delete(&txn, GFN(gib + gib / 2 + 3)), OK);
	assert_int_equal(slot_resize(&txn, GFN(gib), gib), OK);
	commit(&txn);
	assert_int_equal(level_of(gib + gib / 2), top);
	expect_all_mapped(ACCESS_RWX);
}

static void test_nx_splits_for_a_fetch(void **state unused)
{
	unsigned top = large_slot();
	struct tdp_fault f;

	if (!nx_huge())
		return;
	assert_int_equal(fault(gib + 7, ACCESS_R, &f), TDP_SPURIOUS);
	if (top == 1) {
		assert_int_equal(access_of(gib + 7), ACCESS_RWX);
		return;
	}
	assert_int_equal(level_of(gib + 7), top);
	assert_int_equal(access_of(gib + 7), ACCESS_RW);
	assert_int_equal(fault(gib + 7, ACCESS_RX, &f), TDP_FIXED);
	assert_int_equal(fault(gib + 7, ACCESS_RX, &f), TDP_SPURIOUS);
	assert_int_equal(level_of(gib + 7), 1);
	assert_int_equal(access_of(gib + 7), ACCESS_RWX);
	assert_int_equal(access_of(gib + 6), ACCESS_RW);
	assert_int_equal(access_of(gib + 8), ACCESS_RW);
	assert_int_equal(tdp_stats(&tdp).nx_splits, top - 1);
	expect_all_mapped(ACCESS_RW);
	machine_check();
	/* The next page of the region only needs its own right. */
	assert_int_equal(fault(gib + 8, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(tdp_stats(&tdp).nx_splits, top - 1);
	machine_check();
	tdp_set_nx_huge(&tdp, false);
	assert_int_equal(fault(gib + 7, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(level_of(gib + 7), top);
}

/* Hardware notes that the page was accessed. */
static void access_page(uint64_t gfn)
{
	struct tdp_leaf leaf;

	assert_true(tdp_find_leaf(view, gfn, &leaf));
	*leaf.entry |= format.accessed;
}

static void test_nx_recovery(void **state unused)
{
	unsigned top = large_slot();
	uint64_t tables = tdp_stats(&tdp).tables, faults;
	struct tdp_fault f;

	if (top == 1 || !nx_huge())
		return;
	assert_int_equal(fault(gib + 7, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(fault(gib + BIG_PAGES, ACCESS_X, &f), TDP_FIXED);
	faults = tdp_stats(&tdp).fixed;
	assert_int_equal(tdp.nx_list.count, top);
	if (format.accessed) {
		/* Both were accessed when they were made; one of them is again. */
		assert_int_equal(tdp_nx_recover(&tdp, 100), 0);
		machine_check();
		access_page(gib + 9); /* data, which is not what keeps a region split */
		access_page(gib + BIG_PAGES);
		assert_int_equal(tdp_nx_recover(&tdp, 100), 1);
		machine_check();
		assert_int_equal(level_of(gib + 7), 2);
		assert_int_equal(access_of(gib + 7), ACCESS_RW);
		assert_int_equal(level_of(gib + BIG_PAGES), 1);
		assert_int_equal(access_of(gib + BIG_PAGES), ACCESS_RWX);
	} else {
		/* Nobody knows: each region stays until the second look. */
		assert_int_equal(tdp_nx_recover(&tdp, 1), 0);
		assert_int_equal(tdp.nx_list.count, top);
		assert_int_equal(tdp_nx_recover(&tdp, top - 1), 0);
		assert_int_equal(access_of(gib + 7), ACCESS_RWX);
	}
	while (tdp.nx_list.count)
		tdp_nx_recover(&tdp, 1);
	assert_int_equal(tdp_nx_recover(&tdp, 1), 0);
	machine_check();
	assert_int_equal(level_of(gib + 7), top);
	assert_int_equal(tdp_stats(&tdp).tables, tables);
	assert_int_equal(tdp_stats(&tdp).nx_recovered, top);
	expect_all_mapped(ACCESS_RW);
	/* All of that without a single fault. */
	assert_int_equal(tdp_stats(&tdp).fixed, faults);
}

/* A core writes to a page at the very moment when the page becomes executable. */
static void test_grant_keeps_flags(void **state unused)
{
	struct tdp_leaf leaf;
	struct tdp_fault f;

	if (large_slot() == 1 || !nx_huge())
		return;
	assert_int_equal(fault(gib + 7, ACCESS_X, &f), TDP_FIXED);
	assert_true(tdp_find_leaf(view, gib + 8, &leaf));
	*leaf.entry &= ~(format.accessed | format.dirty);
	machine.busy = true;
	assert_int_equal(fault(gib + 8, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(access_of(gib + 8), ACCESS_RWX);
	assert_int_equal(*leaf.entry & (format.accessed | format.dirty),
			 format.accessed | format.dirty);
}

/* At an exit nobody waits for a change of the layout. */
static void test_nx_recovery_does_not_wait(void **state unused)
{
	struct tdp_fault f;

	if (large_slot() == 1 || !nx_huge())
		return;
	assert_int_equal(fault(gib + 7, ACCESS_X, &f), TDP_FIXED);
	tdp_nx_recover(&tdp, 100);
	spin_lock(&tdp.layout_lock);
	assert_int_equal(tdp_nx_try_recover(&tdp, 100), 0);
	spin_unlock(&tdp.layout_lock);
	assert_int_equal(access_of(gib + 7), ACCESS_RWX);
	assert_int_not_equal(tdp_nx_try_recover(&tdp, 100), 0);
	assert_int_equal(access_of(gib + 7), ACCESS_RW);
	/* Free to be tried again. */
	spin_lock(&tdp.layout_lock);
	spin_unlock(&tdp.layout_lock);
}

/* Switched on before there is anything to lose: nothing is zapped. Nor if it is on already. */
static void test_nx_switch_zaps_only_if_it_must(void **state unused)
{
	uint64_t zaps = tdp_stats(&tdp).zaps;

	tdp_set_nx_huge(&tdp, true);
	assert_int_equal(tdp_stats(&tdp).zaps, zaps);
	large_slot();
	tdp_set_nx_huge(&tdp, true);
	assert_int_equal(tdp_stats(&tdp).zaps, zaps);
	tdp_set_nx_huge(&tdp, false);
	assert_int_equal(tdp_stats(&tdp).zaps, zaps + 1);
	machine_check();
}

/* A change of layout next to code takes no right away at 4 KiB. */
static void test_nx_and_transactions(void **state unused)
{
	struct tdp_fault f;

	if (large_slot() == 1 || !nx_huge())
		return;
	assert_int_equal(fault(gib + 7, ACCESS_X, &f), TDP_FIXED);
	create(ram(3 * gib, 5, 0));
	delete (3 * gib);
	assert_int_equal(access_of(gib + 7), ACCESS_RWX);
	delete (gib);
	assert_int_equal(tdp.nx_list.count, 0);
}

static void test_exhausted_budget_merges_first(void **state unused)
{
	unsigned top = large_slot();
	struct tdp_fault f;
	uint64_t limit;

	if (top == 1 || !nx_huge())
		return;
	assert_int_equal(fault(gib, ACCESS_X, &f), TDP_FIXED);
	limit = budget.limit;
	budget.limit = budget.used;
	/* The second region takes the pages of the first, whose data stay mapped. */
	assert_int_equal(fault(2 * gib - 1, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(access_of(2 * gib - 1), ACCESS_RWX);
	expect_all_mapped(ACCESS_RW);
	machine_check();
	/* Nothing to merge: an error of this guest. */
	tdp_zap_all(&tdp);
	budget.limit = budget.used;
	assert_int_equal(fault(gib, ACCESS_X, &f), TDP_ERROR);
	assert_int_equal(f.error, ERR_NOMEM);
	/* Somebody is changing the layout: no fault waits for that. */
	spin_lock(&tdp.layout_lock);
	assert_int_equal(fault(gib, ACCESS_X, &f), TDP_RETRY);
	spin_unlock(&tdp.layout_lock);
	budget.limit = limit;
}

static void split_many(void)
{
	struct tdp_fault f;

	for (uint64_t gfn = gib; gfn < gib + min_u64(gib, 40 * BIG_PAGES); gfn += BIG_PAGES)
		assert_int_equal(fault(gfn, ACCESS_X, &f), TDP_FIXED);
}

/* A transaction, too, gets the pages that merging frees: for its draft, its logs and its tables. */
static void test_transaction_merges_first(void **state unused)
{
	struct slot s = ram(3 * gib, 1, 3);
	uint64_t limit = budget.limit;
	struct slot_txn txn;

	if (large_slot() == 1)
		return;
	nx_huge();
	split_many();
	budget.limit = budget.used;
	assert_int_equal(tdp_begin(&tdp, &txn, 1), OK);
	budget.limit = limit;
	split_many();
	budget.limit = budget.used;
	assert_int_equal(slot_create(&txn, &s), OK);
	assert_int_equal(try_commit(&txn), OK);
	budget.limit = limit;
	expect_all_mapped(ACCESS_RW);
}

/* A region that two slots shared when it was split is one page again when one slot has it all. */
static void test_nx_recovery_of_merged_slots(void **state unused)
{
	struct slot_txn txn;
	struct tdp_fault f;

	view = &tdp.view[TDP_CPU];
	if (format.max_level == 1 || spte_span(format.max_level) > gib)
		return;
	tdp_set_nx_huge(&tdp, true);
	create(ram(gib, gib / 2, 4 * gib));
	create(ram(gib + gib / 2, gib / 2, 4 * gib + gib / 2));
	assert_int_equal(fault(gib + 5, ACCESS_X, &f), TDP_FIXED);
	begin(&txn, 0);
	assert_int_equal(slot_delete(&txn, GFN(gib + gib / 2)), OK);
	assert_int_equal(slot_resize(&txn, GFN(gib), gib), OK);
	commit(&txn);
	while (tdp.nx_list.count)
		tdp_nx_recover(&tdp, 100);
	machine_check();
	assert_int_equal(level_of(gib + 5), format.max_level);
}

/* Of what a transaction cuts out of a large page, the small pages are executable, the large not. */
static void test_nx_cut(void **state unused)
{
	struct slot_txn txn;

	if (!(format.rights & ACCESS_X) || large_slot() == 1)
		return;
	nx_huge();
	begin(&txn, 0);
	assert_int_equal(slot_resize(&txn, GFN(gib), gib - 1), OK);
	commit(&txn);
	assert_int_equal(level_of(2 * gib - 2), 1);
	assert_int_equal(access_of(2 * gib - 2), ACCESS_RWX);
	assert_int_equal(level_of(gib), 2);
	assert_int_equal(access_of(gib), ACCESS_RW);
}

/* The table above a region was on the list as well, and went with the region a moment before. */
static void test_nx_recovery_of_both_levels(void **state unused)
{
	unsigned top = large_slot();
	struct tdp_fault f;

	if (top < 3)
		return;
	nx_huge();
	assert_int_equal(fault(gib + 7, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(tdp.nx_list.count, 2);
	assert_int_equal(tdp_nx_recover(&tdp, 2), 0); /* both have been made just now */
	assert_int_equal(tdp_nx_recover(&tdp, 1), 0); /* the upper one has a table, and goes last */
	assert_int_equal(tdp_nx_recover(&tdp, 2), 2);
	machine_check();
	assert_int_equal(tdp.nx_list.count, 0);
	assert_int_equal(level_of(gib + 7), top);
}

/* Many merged borders cost few flushes. */
static void test_merged_borders_share_flushes(void **state unused)
{
	uint64_t before;
	struct slot_txn txn;

	if (format.max_level == 1)
		return;
	begin(&txn, 64);
	for (uint64_t i = 0; i < 64; i++) {
		uint64_t at = i * BIG_PAGES + (i ? 1 : 0), pages = BIG_PAGES + (i ? 0 : 1);
		struct slot s = ram(at, pages, 64 * BIG_PAGES + at);

		assert_int_equal(slot_create(&txn, &s), OK);
	}
	commit(&txn);
	before = tdp_stats(&tdp).flushes;
	begin(&txn, 0);
	for (uint64_t i = 1; i < 64; i++)
		assert_int_equal(slot_delete(&txn, GFN(i * BIG_PAGES + 1)), OK);
	assert_int_equal(slot_resize(&txn, GFN(0), 64 * BIG_PAGES + 1), OK);
	commit(&txn);
	assert_in_range(tdp_stats(&tdp).flushes - before, 1, 9);
	expect_mapped(BIG_PAGES, 65 * BIG_PAGES, 2);
	expect_mapped(62 * BIG_PAGES, 126 * BIG_PAGES, 2);
}

static void test_zap_all(void **state unused)
{
	struct tdp_fault f;

	machine.gaps = true;
	create(ram(3, 4, 9));
	tdp_set_zap_all(&tdp, true);
	create(ram(30, 4, 90));
	expect_unmapped(3);
	assert_int_equal(fault(3, ACCESS_R, &f), TDP_FIXED);
}

static void test_zap_by_back_pointer(void **state unused)
{
	struct tdp_walk w;
	hpa_t table;

	create(ram(gib, 8 * BIG_PAGES, 4 * gib + 1)); /* unaligned: 4 KiB pages */
	tdp_lookup(&tdp, TDP_CPU, GPA((gib + 3 * BIG_PAGES) << PAGE_SHIFT), &w);
	table = w.step[w.steps - 1].table;
	assert_int_equal(w.level, 1);
	assert_int_equal(tdp_zap_table(&tdp, table), OK);
	machine_check();
	for (uint64_t i = 0; i < BIG_PAGES; i++)
		expect_unmapped(gib + 3 * BIG_PAGES + i);
	expect_mapped(gib + 3 * BIG_PAGES - 1, 4 * gib + 3 * BIG_PAGES, 1);
	expect_mapped(gib + 4 * BIG_PAGES, 4 * gib + 1 + 4 * BIG_PAGES, 1);
	/* It is free now, or not a table, or not even in the pool, or a root. */
	assert_int_equal(tdp_zap_table(&tdp, table), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&tdp, virt_to_hpa(tdp_slots(&tdp))), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&tdp, HPA(0)), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&tdp, w.step[0].table), ERR_NOT_FOUND);
}

/* Back-pointers follow when a transaction copies the tables above. */
static void test_back_pointers_after_commits(void **state unused)
{
	struct tdp_walk w;
	struct slot near, far;
	struct slot_txn txn;
	uint64_t end = gib + 8 * BIG_PAGES;

	create(ram(gib, end - gib, 4 * gib + 1));
	create(ram(0, 5, 0));
	create(ram(end, 5, 9));
	delete (0);
	delete (end);
	/* Too far apart for one table of tables: that is copied, and shares what is below it. */
	near = ram(end, 5, 9);
	far = ram(3 * gib, 5, 20);
	begin(&txn, 2);
	assert_int_equal(slot_create(&txn, &near), OK);
	assert_int_equal(slot_create(&txn, &far), OK);
	commit(&txn);
	for (uint64_t gfn = gib; gfn < end; gfn += BIG_PAGES) {
		tdp_lookup(&tdp, TDP_CPU, GPA(gfn << PAGE_SHIFT), &w);
		for (unsigned i = 1; i < w.steps; i++) {
			uint64_t base, span = spte_span(w.step[i].level + 1);
			const struct page *page = virt_to_page(hpa_to_virt(w.step[i].table));

			assert_true(tdp_table_base(&tdp.view[TDP_CPU], page, &base));
			assert_int_equal(base, gfn & ~(span - 1));
		}
	}
}

static const struct mm_test tests[] = {
	TEST(test_split_in_place),
	TEST(test_split_without_memory),
	TEST(test_collapse_in_place),
	TEST(test_collapse_respects_slots),
	TEST(test_merged_slots),
	TEST(test_nx_splits_for_a_fetch),
	TEST(test_nx_recovery),
	TEST(test_grant_keeps_flags),
	TEST(test_nx_recovery_does_not_wait),
	TEST(test_nx_switch_zaps_only_if_it_must),
	TEST(test_nx_and_transactions),
	TEST(test_exhausted_budget_merges_first),
	TEST(test_transaction_merges_first),
	TEST(test_nx_recovery_of_merged_slots),
	TEST(test_nx_cut),
	TEST(test_nx_recovery_of_both_levels),
	TEST(test_merged_borders_share_flushes),
	TEST(test_zap_all),
	TEST(test_zap_by_back_pointer),
	TEST(test_back_pointers_after_commits),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
