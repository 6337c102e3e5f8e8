/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: the places where one more, or one less, would go unnoticed elsewhere. */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c
// sources: mm/tdp_fault.c mm/tdp_zap.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c
// sources: mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

/* A draft takes as many slots as it has room for, and not one more. */
static void test_room_is_used_up(void **state unused)
{
	struct slot_txn txn;
	uint32_t room;

	begin(&txn, 1);
	room = txn.draft->capacity;
	for (uint32_t i = 0; i < room; i++) {
		struct slot s = ram(i * 2, 1, i);

		assert_int_equal(slot_create(&txn, &s), OK);
	}
	assert_int_equal(txn.draft->count, room);
	expect_refused(&txn,
		       slot_create(&txn, &(struct slot){ .base = GFN(room * 2),
							 .npages = 1,
							 .access = ACCESS_R }),
		       ERR_NOMEM);
}

static void test_rights_of_kinds(void **state unused)
{
	static const uint8_t allowed[] = {
		[SLOT_RAM] = ACCESS_RWX,
		[SLOT_ROM] = ACCESS_RX,
		[SLOT_DEVICE] = ACCESS_RW,
		[SLOT_SHARED] = ACCESS_RWX,
	};

	for (unsigned kind = SLOT_RAM; kind <= SLOT_SHARED; kind++) {
		for (unsigned access = 1; access < 8; access++) {
			struct slot s = ram(1, 1, 1);
			struct slot_txn txn;

			s.kind = (uint8_t)kind;
			s.access = (uint8_t)access;
			begin(&txn, 1);
			assert_int_equal(slot_create(&txn, &s),
					 access & ~allowed[kind] ? ERR_INVALID : OK);
			tdp_abort(&tdp, &txn);
		}
	}
}

/* A name ends, whatever was in it. */
static void test_name_ends(void **state unused)
{
	struct slot s = ram(1, 1, 1);

	memset(s.name, 'x', sizeof(s.name));
	create(s);
	assert_int_equal(strnlen(slot_find(tdp_slots(&tdp), GFN(1))->name, SLOT_NAME_LEN),
			 SLOT_NAME_LEN - 1);
}

/* What only a change in place may do, and what none may. */
static void test_illegal_changes(void **state unused)
{
	uint64_t leaf = spte_make_leaf(&format, PFN(512), 1, ACCESS_RW, MEM_WB), entry;
	struct tdp_view *w = &tdp.view[TDP_CPU];
	uint64_t other = spte_make_leaf(&format, PFN(513), 1, ACCESS_RW, MEM_WB);

	machine.tdp = NULL;
	entry = leaf;
	expect_panic(tdp_set_entry(w, &entry, 1, SPTE_EMPTY, TDP_THAW));
	entry = SPTE_EMPTY;
	expect_panic(tdp_set_entry(w, &entry, 1, SPTE_EMPTY, TDP_THAW));
	entry = leaf;
	expect_panic(tdp_set_entry(w, &entry, 1, other, TDP_WIDEN));
	entry = leaf;
	expect_panic(tdp_set_entry(w, &entry, 1, other, TDP_NARROW));
	entry = SPTE_EMPTY;
	expect_panic(tdp_set_entry(w, &entry, 1, leaf, TDP_WIDEN));
	entry = leaf;
	expect_panic(tdp_set_entry(w, &entry, 1, other, TDP_SPLIT));
	entry = leaf;
	expect_panic(tdp_set_entry(w, &entry, 1, other, TDP_COLLAPSE));
	entry = SPTE_FROZEN;
	expect_panic(tdp_set_entry(w, &entry, 1, SPTE_FROZEN, TDP_THAW));
	entry = leaf;
	expect_panic(tdp_set_entry(w, &entry, 1, leaf, (enum tdp_change)99));
	machine.tdp = &tdp;
}

/* A split and a merge are of the same memory; the first entry says which. */
static void test_illegal_sizes(void **state unused)
{
	struct tdp_view *w = &tdp.view[TDP_CPU];
	const uint64_t large = v->walk.max_level > 1
				       ? spte_make_leaf(&format, PFN(1024), 2, ACCESS_RW, MEM_WB)
				       : 0;
	uint64_t *table = tdp_table_alloc(&tdp, 1), entry;

	if (v->walk.max_level > 1) {
		machine.tdp = NULL;
		table[0] = spte_make_leaf(&format, PFN(512), 1, ACCESS_RW, MEM_WB);
		entry = large;
		expect_panic(
			tdp_set_entry(w, &entry, 2, tdp_link_value(w, table, &entry), TDP_SPLIT));
		entry = tdp_link_value(w, table, &entry);
		expect_panic(tdp_set_entry(w, &entry, 2, large, TDP_COLLAPSE));
		table[0] = spte_make_leaf(&format, PFN(1024), 1, ACCESS_RW, MEM_WB);
		entry = tdp_link_value(w, table, &entry);
		tdp_set_entry(w, &entry, 2, large, TDP_COLLAPSE);
		assert_int_equal(entry, large);
		machine.tdp = &tdp;
	}
	tdp_table_free(&tdp, table);
}

/* From the largest page down to the smallest at once. */
static void test_split_all_the_way(void **state unused)
{
	create(ram(gib, gib, 4 * gib));
	for (unsigned to = 0; to <= 3; to++) {
		assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(gib + 1000), to), OK);
		assert_int_equal(level_of(gib + 1000), to < 2 ? 1 : min_u64(to, largest));
		assert_int_equal(level_of(2 * gib - 1), to < 3 ? min_u64(2, largest) : largest);
		machine_check();
		tdp_collapse(&tdp, GFN(0), reach);
		machine_check();
	}
}

/* Nothing but X comes with a fetch: not the right to write. */
static void test_grant_is_narrow(void **state unused)
{
	struct slot s = ram(gib, gib, 4 * gib);
	struct tdp_fault f;

	if (!(format.rights & ACCESS_X) || v->walk.max_level == 1)
		return;
	s.access = ACCESS_RX;
	tdp_set_nx_huge(&tdp, true);
	create(s);
	assert_int_equal(fault(gib + 1, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(access_of(gib + 1), ACCESS_RX);
	assert_int_equal(access_of(gib + 2), ACCESS_R);
	assert_int_equal(fault(gib + 2, ACCESS_W, &f), TDP_MMIO);
	machine_check();
}

/* Recovery looks at no more regions than it may, and takes X from the last page of each. */
static void test_recovery_budget(void **state unused)
{
	struct tdp_fault f;
	uint64_t pages;

	if (!(format.rights & ACCESS_X) || v->walk.max_level == 1)
		return;
	tdp_set_nx_huge(&tdp, true);
	create(ram(4 * BIG_PAGES, 4 * BIG_PAGES, 16 * BIG_PAGES));
	for (uint64_t i = 4; i < 8; i++)
		assert_int_equal(fault((i + 1) * BIG_PAGES - 1, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(tdp.nx_list.count, 4);
	pages = machine.flushed_pages;
	assert_int_equal(tdp_nx_recover(&tdp, 4), 0);
	/* Flags that are cleared are to be set again, so the TLBs must ask the tables again. */
	if (format.accessed)
		assert_true(machine.flushed_pages - pages >= 4);
	machine_check();
	for (unsigned left = 4; left-- > 0;) {
		assert_int_equal(tdp_nx_recover(&tdp, 1), 1);
		machine_check();
		assert_int_equal(tdp.nx_list.count, left);
	}
	for (uint64_t i = 4; i < 8; i++)
		assert_int_equal(access_of((i + 1) * BIG_PAGES - 1), ACCESS_RW);
}

static void test_populate_without_memory(void **state unused)
{
	machine.gaps = true;
	create(ram(5, 5, 5));
	tdp_zap_all(&tdp);
	for (long n = 0; n < (long)format.levels - 1; n++) {
		fail_after = n;
		assert_int_equal(tdp_populate(&tdp, GFN(0), 100), ERR_NOMEM);
		machine_check();
	}
	fail_after = -1;
	assert_int_equal(tdp_populate(&tdp, GFN(0), 5), OK);
	expect_unmapped(5);
	assert_int_equal(tdp_populate(&tdp, GFN(0), 6), OK);
	expect_mapped(5, 5, 1);
	expect_unmapped(6);
	assert_int_equal(tdp_populate(&tdp, GFN(9), 1), OK);
	expect_mapped(9, 9, 1);
	expect_unmapped(8);
}

/* Another guest's table is none of ours, however well it is linked. */
static void test_zap_of_a_foreign_table(void **state unused)
{
	struct page_budget budget2;
	struct slot_txn txn;
	struct slot s = ram(5, 5, 5);
	struct tdp guest;
	struct tdp_walk w;

	create(ram(5, 5, 5));
	page_pool.unreserved += 20;
	assert_int_equal(page_budget_init(&budget2, "other", 20), OK);
	machine.tdp = NULL;
	assert_int_equal(tdp_init(&guest, &format, &budget2, &machine), OK);
	assert_int_equal(tdp_begin(&guest, &txn, 1), OK);
	assert_int_equal(slot_create(&txn, &s), OK);
	assert_int_equal(tdp_commit(&guest, &txn), OK);
	tdp_lookup(&guest, TDP_CPU, GPA(5 << PAGE_SHIFT), &w);
	machine.tdp = &tdp;
	assert_int_equal(w.steps, format.levels);
	for (unsigned i = 0; i < w.steps; i++)
		assert_int_equal(tdp_zap_table(&tdp, w.step[i].table), ERR_NOT_FOUND);
	machine.tdp = NULL;
	tdp_destroy(&guest);
	machine.tdp = &tdp;
	page_budget_exit(&budget2);
	page_pool.unreserved -= 20;
}

static uint64_t *neighbour;

/* Once: a core uses a page whose entry was just copied, and is not to change. */
static void access_neighbour(void)
{
	*neighbour |= format.accessed;
	machine.written = NULL;
}

/* A commit writes to no entry but those whose translation it changes: hardware may, meanwhile. */
static void test_commit_leaves_neighbours_alone(void **state unused)
{
	struct slot moved = ram(10, 5, 26);
	struct tdp_leaf leaf;
	struct slot_txn txn;

	create(ram(10, 5, 10));
	create(ram(100, 5, 100));
	assert_true(tdp_find_leaf(&tdp.view[TDP_CPU], 100, &leaf));
	*leaf.entry &= ~format.accessed;
	neighbour = leaf.entry;
	begin(&txn, 0);
	assert_int_equal(slot_replace(&txn, &moved), OK);
	machine.written = access_neighbour;
	commit(&txn);
	assert_null(machine.written);
	assert_int_equal(*neighbour & format.accessed, format.accessed);
}

static const struct mm_test tests[] = {
	TEST(test_room_is_used_up),
	TEST(test_rights_of_kinds),
	TEST(test_name_ends),
	TEST(test_illegal_changes),
	TEST(test_illegal_sizes),
	TEST(test_split_all_the_way),
	TEST(test_grant_is_narrow),
	TEST(test_recovery_budget),
	TEST(test_populate_without_memory),
	TEST(test_zap_of_a_foreign_table),
	TEST(test_commit_leaves_neighbours_alone),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
