/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: slots and transactions, one suite over all formats. */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

/* The largest pages that alignment and CPU allow, and not larger. */
static void test_largest_pages(void **state unused)
{
	struct tdp_census census;

	/* From 3 pages below 2 GiB to 5 pages above 4 GiB: two 1 GiB pages, and the rest small. */
	create(ram(2 * gib - 3, 2 * gib + 8, 6 * gib - 3));
	expect_mapped(2 * gib - 1, 6 * gib - 1, 1);
	expect_mapped(2 * gib, 6 * gib, 3);
	expect_mapped(4 * gib - 1, 8 * gib - 1, 3);
	expect_mapped(4 * gib + 4, 8 * gib + 4, 1);
	expect_unmapped(2 * gib - 4);
	expect_unmapped(4 * gib + 5);
	if (largest == 3) {
		tdp_census(&tdp, TDP_CPU, &census);
		assert_int_equal(census.leaves[3], 2);
		assert_int_equal(census.leaves[2], 0);
		assert_int_equal(census.leaves[1], 8);
		if (!v->iommu)
			assert_int_equal(cpu_tables(), tdp_stats(&tdp).tables);
	}
	/* Frames that are aligned only to 2 MiB forbid 1 GiB pages. */
	create(ram(8 * gib, 2 * BIG_PAGES, 9 * gib + BIG_PAGES));
	expect_mapped(8 * gib + BIG_PAGES + 7, 9 * gib + 2 * BIG_PAGES + 7, 2);
	/* An odd frame forbids all but 4 KiB. */
	create(ram(9 * gib, BIG_PAGES, 10 * gib + 1));
	expect_mapped(9 * gib + 5, 10 * gib + 6, 1);
}

/* A neighbour with other rights, and one whose frames don't continue, end a large page. */
static void test_slots_never_share_a_leaf(void **state unused)
{
	struct slot rom = ram(BIG_PAGES / 2, BIG_PAGES / 2, 512 + BIG_PAGES / 2);
	struct slot_txn txn;

	rom.kind = SLOT_ROM;
	rom.access = ACCESS_RX;
	begin(&txn, 3);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(0),
							   .npages = BIG_PAGES / 2,
							   .pfn = PFN(512),
							   .access = ACCESS_RWX }),
			 OK);
	assert_int_equal(slot_create(&txn, &rom), OK);
	commit(&txn);
	expect_mapped(0, 512, 1);
	expect_mapped(BIG_PAGES - 1, 512 + BIG_PAGES - 1, 1);
}

/* One page goes out of the middle of a 1 GiB page: its neighbours keep their frames throughout. */
static void test_hole_in_a_large_page(void **state unused)
{
	struct slot_txn txn;
	uint64_t tables, writes;

	create(ram(0, gib, 4 * gib));
	tables = tdp_stats(&tdp).tables;
	begin(&txn, 2);
	assert_int_equal(slot_resize(&txn, GFN(0), 1000), OK);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(1001),
							   .npages = gib - 1001,
							   .pfn = PFN(4 * gib + 1001),
							   .access = ACCESS_RWX }),
			 OK);
	writes = machine.writes;
	commit(&txn);
	assert_int_equal(machine.writes - writes, 1);
	expect_unmapped(1000);
	expect_mapped(999, 4 * gib + 999, 1);
	expect_mapped(1001, 4 * gib + 1001, 1);
	expect_mapped(0, 4 * gib, 2);
	/* Put it back: the large page returns, in one step, and the tables are gone. */
	begin(&txn, 0);
	assert_int_equal(slot_delete(&txn, GFN(1001)), OK);
	assert_int_equal(slot_resize(&txn, GFN(0), gib), OK);
	writes = machine.writes;
	commit(&txn);
	assert_int_equal(machine.writes - writes, 1);
	expect_mapped(1000, 4 * gib + 1000, 3);
	assert_int_equal(tdp_stats(&tdp).tables, tables);
}

/* A slot that begins and ends at odd frames takes exactly its own frames with it. */
static void test_delete_is_exact(void **state unused)
{
	struct slot_txn txn;
	uint64_t used = budget.used, tables = tdp_stats(&tdp).tables;

	begin(&txn, 3);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(0),
							   .npages = 333,
							   .pfn = PFN(7),
							   .access = ACCESS_RW }),
			 OK);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(333),
							   .npages = 1111,
							   .pfn = PFN(77777),
							   .access = ACCESS_RWX }),
			 OK);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(1444),
							   .npages = 3,
							   .pfn = PFN(99),
							   .access = ACCESS_R }),
			 OK);
	commit(&txn);
	machine.flushed_pages = 0;
	delete (333);
	expect_mapped(332, 339, 1);
	expect_mapped(1444, 99, 1);
	for (uint64_t gfn = 333; gfn < 1444; gfn++)
		expect_unmapped(gfn);
	delete (0);
	delete (1444);
	assert_int_equal(tdp_stats(&tdp).tables, tables);
	assert_int_equal(budget.used, used);
}

/* The cost of deleting one page does not depend on what else is mapped. */
static void test_delete_is_local(void **state unused)
{
	uint64_t before, one, writes;

	create(ram(gib, 1, 5));
	create(ram(8 * gib, 1, 6));
	before = allocations;
	writes = machine.writes;
	machine.flushed_pages = 0;
	delete (8 * gib);
	one = allocations - before;
	assert_int_equal(machine.writes - writes, 1);
	create(ram(2 * gib, 4 * BIG_PAGES, 3 * gib + 1));
	create(ram(8 * gib, 1, 6));
	before = allocations;
	writes = machine.writes;
	delete (8 * gib);
	assert_int_equal(allocations - before, one);
	assert_int_equal(machine.writes - writes, 1);
}

/* Replace a slot that code runs from: no instant without a translation (check_between looks on). */
static void test_replace_under_execution(void **state unused)
{
	struct slot s = ram(gib + 100, 2000, 5 * gib + 100);
	struct slot_txn txn;

	create(ram(gib - 700, 800, 5 * gib - 700));
	create(s);
	for (int i = 0; i < 8; i++) {
		s.pfn.v ^= 1ull << 20 | (i & 1);
		s.npages = 1500 + 100 * i;
		s.access = i & 2 ? ACCESS_RWX : ACCESS_RX;
		begin(&txn, 0);
		assert_int_equal(slot_replace(&txn, &s), OK);
		commit(&txn);
		expect_mapped(gib + 100, s.pfn.v, 1);
	}
}

/* Nothing changes but the rights, or nothing but the memory type: that is a change, too. */
static void test_rights_and_type_alone(void **state unused)
{
	static const uint8_t rights[] = { ACCESS_R, ACCESS_RX, ACCESS_RWX, ACCESS_RW };
	struct slot s = ram(BIG_PAGES - 5, BIG_PAGES + 10, 9 * BIG_PAGES - 5);
	struct translation tr;
	struct slot_txn txn;

	create(s);
	for (unsigned i = 0; i < ARRAY_SIZE(rights) * MEM_TYPES; i++) {
		if (i & 1)
			s.access = rights[i / 2 % ARRAY_SIZE(rights)];
		else
			s.type = (uint8_t)((s.type + 1) % MEM_TYPES);
		begin(&txn, 0);
		assert_int_equal(slot_replace(&txn, &s), OK);
		commit(&txn);
		for (uint64_t gfn = s.base.v; gfn < slot_end(&s); gfn++) {
			assert_true(machine_translate(gfn, &tr));
			assert_true(machine_matches(TDP_CPU, &s, gfn, &tr));
		}
	}
}

/* Several slots at once, over more than one reach-level entry: still one hold and one layout. */
static void test_one_commit_point(void **state unused)
{
	uint64_t far = 3 * (reach >> 9), holds; /* behind three entries of the root */
	struct slot_txn txn;

	create(ram(0, BIG_PAGES, BIG_PAGES));
	create(ram(far, 700, 4 * BIG_PAGES));
	holds = machine.holds;
	begin(&txn, 1);
	assert_int_equal(slot_move(&txn, GFN(0), GFN(far + 700)), OK);
	assert_int_equal(slot_move(&txn, GFN(far), GFN(50)), OK);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(reach / 2),
							   .npages = 9,
							   .pfn = PFN(3),
							   .access = ACCESS_R }),
			 OK);
	commit(&txn);
	assert_int_equal(machine.holds - holds, 1);
	expect_unmapped(0);
	expect_unmapped(far);
	expect_mapped(50, 4 * BIG_PAGES, 1);
	expect_mapped(far + 700, BIG_PAGES, 1);
	expect_mapped(reach / 2 + 8, 11, 1);
}

static void test_refused_edits(void **state unused)
{
	struct slot_txn txn;
	struct slot s;

#define REFUSE(expected, change)                                       \
	do {                                                           \
		s = ram(10, 10, 1000);                                 \
		change;                                                \
		begin(&txn, 4);                                        \
		expect_refused(&txn, slot_create(&txn, &s), expected); \
		assert_int_equal(txn.culprit.base.v, s.base.v);        \
	} while (0)

	create(ram(100, 50, 500));
	REFUSE(ERR_INVALID, s.npages = 0);
	REFUSE(ERR_INVALID, s.access = 0);
	REFUSE(ERR_INVALID, s.access = 8);
	REFUSE(ERR_INVALID, s.type = MEM_TYPES);
	REFUSE(ERR_INVALID, s.kind = 17);
	REFUSE(ERR_INVALID, s.kind = SLOT_ROM);
	REFUSE(ERR_INVALID, s.kind = SLOT_DEVICE);
	REFUSE(ERR_RANGE, s.base.v = BIT(36));
	REFUSE(ERR_RANGE, s.npages = BIT(36) - 9);
	REFUSE(ERR_RANGE, s.npages = UINT64_MAX);
	REFUSE(ERR_RANGE, s.pfn.v = UINT64_MAX);
	REFUSE(ERR_RANGE, s.pfn.v = BIT(40) - 9);
	REFUSE(ERR_OVERLAP, s.npages = 91);
	REFUSE(ERR_OVERLAP, s.base.v = 149);
	REFUSE(ERR_OVERLAP, s.base.v = 120; s.npages = 2);
	REFUSE(ERR_OVERLAP, s.base.v = 50; s.npages = 500);
#undef REFUSE
	begin(&txn, 0);
	expect_refused(&txn, slot_delete(&txn, GFN(101)), ERR_NOT_FOUND);
	begin(&txn, 0);
	expect_refused(&txn, slot_move(&txn, GFN(99), GFN(0)), ERR_NOT_FOUND);
	begin(&txn, 0);
	expect_refused(&txn, slot_resize(&txn, GFN(100), 0), ERR_INVALID);
	begin(&txn, 0);
	expect_refused(&txn, slot_move(&txn, GFN(100), GFN(BIT(36) - 49)), ERR_RANGE);
	s = ram(160, 1, 1);
	begin(&txn, 0);
	expect_refused(&txn, slot_replace(&txn, &s), ERR_NOT_FOUND);
	/* The slot at 100 is where it was. */
	expect_mapped(149, 549, 1);
}

/* A slot between two others, moved and resized up to them and one frame too far. */
static void test_neighbours(void **state unused)
{
	struct slot_txn txn;

	create(ram(100, 50, 500));
	create(ram(200, 50, 700));
	create(ram(300, 50, 900));
	begin(&txn, 0);
	expect_refused(&txn, slot_move(&txn, GFN(200), GFN(149)), ERR_OVERLAP);
	begin(&txn, 0);
	expect_refused(&txn, slot_move(&txn, GFN(200), GFN(251)), ERR_OVERLAP);
	begin(&txn, 0);
	expect_refused(&txn, slot_resize(&txn, GFN(200), 101), ERR_OVERLAP);
	begin(&txn, 0);
	assert_int_equal(slot_move(&txn, GFN(200), GFN(150)), OK);
	assert_int_equal(slot_resize(&txn, GFN(150), 150), OK);
	commit(&txn);
	expect_mapped(149, 549, 1);
	expect_mapped(150, 700, 1);
	expect_mapped(299, 849, 1);
	expect_mapped(300, 900, 1);
	/* Past both of them, in either direction. */
	begin(&txn, 0);
	assert_int_equal(slot_move(&txn, GFN(150), GFN(350)), OK);
	assert_int_equal(slot_move(&txn, GFN(300), GFN(0)), OK);
	commit(&txn);
	expect_mapped(0, 900, 1);
	expect_mapped(350, 700, 1);
	expect_unmapped(150);
}

/* What only the format can refuse. */
static void test_refused_by_format(void **state unused)
{
	struct slot s = ram(0, 1, BIT(format.maxphyaddr - PAGE_SHIFT) - 1);
	struct slot_txn txn;

	create(s);
	s.base.v = 1;
	s.npages = 2;
	if (format.maxphyaddr < 52) {
		begin(&txn, 1);
		assert_int_equal(slot_create(&txn, &s), OK);
		expect_refused(&txn, tdp_commit(&tdp, &txn), ERR_RANGE);
	}
	/* Nor what the table has no place for. */
	if (reach < BIT(36)) {
		s.base.v = reach - 1;
		s.pfn.v = 7;
		begin(&txn, 1);
		assert_int_equal(slot_create(&txn, &s), OK);
		expect_refused(&txn, tdp_commit(&tdp, &txn), ERR_RANGE);
	}
	s.base.v = reach - 2;
	s.pfn.v = 7;
	for (s.access = 1; s.access < 8; s.access++) {
		bool legal = v->legal & 1 << s.access;

		begin(&txn, 1);
		assert_int_equal(slot_create(&txn, &s), OK);
		assert_int_equal(try_commit(&txn), legal ? OK : ERR_UNSUPPORTED);
		if (legal)
			delete (reach - 2);
	}
}

/* Two drafts of the same version: the second to come is refused and changes nothing. */
static void test_lost_race(void **state unused)
{
	struct slot_txn a, b;
	struct slot s = ram(5, 5, 5), r = ram(50, 5, 50);

	begin(&a, 1);
	begin(&b, 1);
	assert_int_equal(slot_create(&a, &s), OK);
	assert_int_equal(slot_create(&b, &r), OK);
	commit(&a);
	expect_refused(&b, tdp_commit(&tdp, &b), ERR_BUSY);
	expect_mapped(5, 5, 1);
	expect_unmapped(50);
	begin(&a, 0);
	tdp_abort(&tdp, &a);
	assert_int_equal(tdp_stats(&tdp).commits, 1);
	assert_int_equal(tdp_stats(&tdp).refused, 2); /* expect_refused() tries twice */
}

static void test_many_slots(void **state unused)
{
	struct slot_txn txn;

	begin(&txn, SLOT_MAX);
	/* From both ends towards the middle. */
	for (uint64_t i = 0; i < SLOT_MAX; i++) {
		uint64_t n = i & 1 ? SLOT_MAX - 1 - i / 2 : i / 2;
		struct slot s = ram(n * 3 * 1000, 2, n * 7);

		assert_int_equal(slot_create(&txn, &s), OK);
	}
	commit(&txn);
	for (uint64_t n = 0; n < SLOT_MAX; n++) {
		expect_mapped(n * 3000 + 1, n * 7 + 1, 1);
		expect_unmapped(n * 3000 + 2);
	}
	assert_int_equal(tdp_begin(&tdp, &txn, 1), ERR_RANGE);
	begin(&txn, 0);
	for (uint64_t n = 0; n < SLOT_MAX; n++)
		assert_int_equal(slot_delete(&txn, GFN(n * 3000)), OK);
	commit(&txn);
	assert_int_equal(cpu_tables(), 1);
}

static void test_room(void **state unused)
{
	struct slot_txn txn;
	unsigned n = 0;

	begin(&txn, 1);
	/* A draft has room up to the end of its pages, at least for what was asked. */
	for (; n < SLOT_MAX + 1; n++) {
		struct slot s = ram(n * 10, 1, n);

		if (slot_create(&txn, &s))
			break;
	}
	assert_in_range(n, 1, SLOT_MAX);
	expect_refused(&txn, txn.error, ERR_NOMEM);
}

/* EPTP as the SDM wants it (25.6.11), nCR3 a bare address; neither ever changes. */
static void test_root(void **state unused)
{
	uint64_t root = tdp_root(&tdp, TDP_CPU);

	assert_int_equal(root & 0xfff, v->walk.format != WALK_EPT ? 0 : v->ept.ad ? 0x5e : 0x1e);
	create(ram(reach >> 9, 2000, 1));
	delete (reach >> 9);
	assert_int_equal(tdp_root(&tdp, TDP_CPU), root);
}

/* A change of names only: a new version, and nobody is disturbed. */
static void test_rename(void **state unused)
{
	struct slot s = ram(0, 4, 4);
	struct slot_txn txn;
	uint64_t writes;

	create(s);
	writes = machine.writes;
	strcpy(s.name, &"a name that is long enough to be cut"[20]);
	begin(&txn, 0);
	assert_int_equal(slot_replace(&txn, &s), OK);
	commit(&txn);
	assert_int_equal(machine.writes, writes);
	assert_int_equal(tdp_slots(&tdp)->version, 2);
	assert_string_equal(slot_find(tdp_slots(&tdp), GFN(3))->name, s.name);
}

/* What the one function that changes live entries refuses. */
static void test_illegal_changes(void **state unused)
{
	uint64_t leaf = spte_make_leaf(&format, PFN(1), 1, ACCESS_RWX, MEM_WB);
	uint64_t other = spte_make_leaf(&format, PFN(2), 1, ACCESS_RWX, MEM_WB);
	struct tdp_view *t = &tdp.view[TDP_CPU];
	uint64_t entry;

	machine.tdp = NULL;
	entry = leaf;
	expect_panic(tdp_set_entry(t, &entry, 1, other, TDP_FILL));
	expect_panic(tdp_set_entry(t, &entry, 1, leaf, TDP_THAW));
	entry = SPTE_FROZEN;
	expect_panic(tdp_set_entry(t, &entry, 1, leaf, TDP_FILL));
	entry = SPTE_FROZEN;
	expect_panic(tdp_set_entry(t, &entry, 1, leaf, TDP_COMMIT));
	entry = SPTE_FROZEN;
	expect_panic(tdp_set_entry(t, &entry, 1, SPTE_FROZEN, TDP_FREEZE));
	entry = leaf;
	expect_panic(tdp_set_entry(t, &entry, 1, SPTE_FROZEN, TDP_COMMIT));
	entry = leaf;
	expect_panic(tdp_set_entry(t, &entry, 1, SPTE_EMPTY, TDP_FREEZE));
	entry = SPTE_EMPTY;
	expect_panic(tdp_set_entry(t, &entry, 1, SPTE_EMPTY, TDP_FILL));
	machine.tdp = &tdp;
}

static const struct mm_test tests[] = {
	TEST(test_root),
	TEST(test_largest_pages),
	TEST(test_slots_never_share_a_leaf),
	TEST(test_hole_in_a_large_page),
	TEST(test_delete_is_exact),
	TEST(test_delete_is_local),
	TEST(test_replace_under_execution),
	TEST(test_rights_and_type_alone),
	TEST(test_one_commit_point),
	TEST(test_refused_edits),
	TEST(test_neighbours),
	TEST(test_refused_by_format),
	TEST(test_lost_race),
	TEST(test_many_slots),
	TEST(test_room),
	TEST(test_rename),
	TEST(test_illegal_changes),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
