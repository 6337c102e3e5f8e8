/* SPDX-License-Identifier: BSD-2-Clause */
// sources: tests/host/mm_host.c mm/page_alloc.c mm/slot.c mm/spte.c mm/spte_ept.c mm/spte_npt.c
// sources: mm/tdp_table.c mm/tdp_mmu.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/tdp_table.h"
#include "mm_host.h"

/*
 * The second-level MMU, one suite over all formats. Whatever a test does, the walkers of mm_host.c
 * look on.
 */
#define BIG_PAGES  (SIZE_2M >> PAGE_SHIFT)
#define POOL_PAGES 4096u

struct variant {
	const char *name;
	bool amd;
	uint8_t max_level;
	struct ept_caps ept;
	struct npt_caps npt;
};

static const struct variant variants[] = {
	{ "ept-1g", false, 3,
	  .ept = { .maxphyaddr = 46,
		   .exec_only = true,
		   .walk_4 = true,
		   .wb = true,
		   .page_2m = true,
		   .page_1g = true,
		   .ad = true } },
	{ "ept-2m", false, 2,
	  .ept = { .maxphyaddr = 39, .walk_4 = true, .wb = true, .page_2m = true } },
	{ "ept-4k", false, 1, .ept = { .maxphyaddr = 52, .walk_4 = true, .wb = true, .ad = true } },
	{ "npt-1g", true, 3, .npt = { .maxphyaddr = 48, .page_1g = true, .nx = true } },
	{ "npt-2m", true, 2, .npt = { .maxphyaddr = 43, .nx = true } },
};

static const struct variant *v;
static struct spte_format format;
static struct page_budget budget;
static struct tdp tdp;
static uint64_t gib; /* pages */

static struct slot ram(uint64_t base, uint64_t npages, uint64_t pfn)
{
	return (struct slot){ .base = GFN(base),
			      .npages = npages,
			      .pfn = PFN(pfn),
			      .access = ACCESS_RWX,
			      .type = MEM_WB,
			      .kind = SLOT_RAM,
			      .name = "ram" };
}

static int setup(void **state)
{
	v = *state;
	/* Where there is nothing but 4 KiB pages, a small "GiB" shows the same in less time. */
	gib = v->max_level > 1 ? SIZE_1G >> PAGE_SHIFT : 16 * BIG_PAGES;
	test_pool(POOL_PAGES);
	assert_int_equal(
		v->amd ? spte_format_npt(&format, &v->npt) : spte_format_ept(&format, &v->ept), OK);
	assert_int_equal(page_budget_init(&budget, "guest", page_pool_unreserved()), OK);
	assert_int_equal(tdp_init(&tdp, &format, &budget, &machine), OK);
	machine_start(&tdp, v->amd, format.maxphyaddr, v->ept.exec_only);
	return 0;
}

/* Nothing may be left over, whatever the test did. */
static int teardown(void **state unused)
{
	fail_after = -1;
	if (tdp.lock.next != tdp.lock.owner || machine.reading) {
		/* The test failed half-way through a change: setup() starts from scratch. */
		machine_stop();
		return 0;
	}
	machine_check();
	machine_stop();
	tdp_destroy(&tdp);
	assert_int_equal(budget.used, 0);
	page_budget_exit(&budget);
	return 0;
}

static void begin(struct slot_txn *txn, unsigned room)
{
	assert_int_equal(tdp_begin(&tdp, txn, room), OK);
}

static enum status try_commit(struct slot_txn *txn)
{
	enum status status;

	machine_walk();
	machine.next = txn->draft;
	status = tdp_commit(&tdp, txn);
	machine.next = NULL;
	machine_check();
	return status;
}

static void commit(struct slot_txn *txn)
{
	assert_int_equal(try_commit(txn), OK);
}

static void create(struct slot s)
{
	struct slot_txn txn;

	begin(&txn, 1);
	assert_int_equal(slot_create(&txn, &s), OK);
	commit(&txn);
}

static void delete (uint64_t base)
{
	struct slot_txn txn;

	begin(&txn, 0);
	assert_int_equal(slot_delete(&txn, GFN(base)), OK);
	commit(&txn);
}

static enum tdp_result fault(uint64_t gfn, unsigned access, struct tdp_fault *f)
{
	*f = (struct tdp_fault){ .gpa = GPA(gfn << PAGE_SHIFT | 0x123), .access = (uint8_t)access };
	return tdp_fault(&tdp, f);
}

static void expect_mapped(uint64_t gfn, uint64_t pfn, unsigned level)
{
	struct translation tr;

	assert_true(machine_translate(gfn, &tr));
	assert_int_equal(tr.pfn, pfn);
	assert_int_equal(tr.level, level < v->max_level ? level : v->max_level);
}

static void expect_unmapped(uint64_t gfn)
{
	struct translation tr;

	assert_false(machine_translate(gfn, &tr));
}

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
	if (v->max_level == 3) {
		tdp_census(&tdp, &census);
		assert_int_equal(census.leaves[3], 2);
		assert_int_equal(census.leaves[2], 0);
		assert_int_equal(census.leaves[1], 8);
		assert_int_equal(census.tables[1] + census.tables[2] + census.tables[3] +
					 census.tables[4],
				 tdp_stats(&tdp).tables);
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
			assert_int_equal(tr.access, s.access);
			assert_int_equal(tr.type, s.type);
		}
	}
}

/* Several slots at once, over more than one top-level entry: still one hold and one layout. */
static void test_one_commit_point(void **state unused)
{
	uint64_t far = 3ull << 27, holds; /* 1.5 TiB */
	struct slot_txn txn;

	create(ram(0, BIG_PAGES, BIG_PAGES));
	create(ram(far, 700, 4 * BIG_PAGES));
	holds = machine.holds;
	begin(&txn, 1);
	assert_int_equal(slot_move(&txn, GFN(0), GFN(far + 700)), OK);
	assert_int_equal(slot_move(&txn, GFN(far), GFN(50)), OK);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(1ull << 35),
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
	expect_mapped((1ull << 35) + 8, 11, 1);
}

static void expect_refused(struct slot_txn *txn, enum status status, enum status expected)
{
	uint64_t writes = machine.writes;

	assert_int_equal(status, expected);
	assert_int_equal(txn->error, expected);
	assert_non_null(txn->reason);
	/* The transaction is dead, whatever comes next. */
	assert_int_equal(slot_delete(txn, GFN(0)), expected);
	assert_int_equal(try_commit(txn), expected);
	assert_null(txn->draft);
	assert_int_equal(machine.writes, writes);
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
	s.npages = 1;
	s.access = ACCESS_W;
	begin(&txn, 1);
	assert_int_equal(slot_create(&txn, &s), OK);
	expect_refused(&txn, tdp_commit(&tdp, &txn), ERR_UNSUPPORTED);
	s.access = ACCESS_X;
	begin(&txn, 1);
	assert_int_equal(slot_create(&txn, &s), OK);
	assert_int_equal(try_commit(&txn), v->ept.exec_only ? OK : ERR_UNSUPPORTED);
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
	assert_int_equal(tdp_stats(&tdp).tables, 1);
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

static void test_faults(void **state unused)
{
	struct slot rom = ram(0, 16, 100), dev = ram(32, 1, 0xfee00);
	struct tdp_fault f;

	rom.kind = SLOT_ROM;
	rom.access = ACCESS_RX;
	dev.kind = SLOT_DEVICE;
	dev.access = ACCESS_R;
	dev.type = MEM_UC;
	create(rom);
	create(dev);
	create(ram(64, 64, 1000));

	/* Everything is mapped at once: a legal access can fault only by a stale TLB. */
	assert_int_equal(fault(3, ACCESS_R, &f), TDP_SPURIOUS);
	assert_int_equal(fault(127, ACCESS_W | ACCESS_R, &f), TDP_SPURIOUS);
	/* No slot. */
	assert_int_equal(fault(16, ACCESS_R, &f), TDP_MMIO);
	assert_false(f.has_slot);
	assert_int_equal(fault(BIT(39), ACCESS_W, &f), TDP_MMIO);
	assert_false(f.has_slot);
	/* A write to what can only be read is emulated, a fetch from it is not. */
	assert_int_equal(fault(15, ACCESS_W, &f), TDP_MMIO);
	assert_true(f.has_slot);
	assert_int_equal(f.slot.kind, SLOT_ROM);
	assert_int_equal(fault(32, ACCESS_R | ACCESS_W, &f), TDP_MMIO);
	assert_int_equal(f.slot.pfn.v, 0xfee00);
	assert_int_equal(fault(32, ACCESS_X, &f), TDP_ERROR);
	assert_int_equal(f.error, ERR_DENIED);

	/* After a zap, the first access maps again what its slot covers there. */
	machine.gaps = true;
	assert_int_equal(tdp_zap_slot(&tdp, GFN(65)), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_slot(&tdp, GFN(64)), OK);
	expect_unmapped(64);
	expect_mapped(15, 115, 1);
	expect_mapped(32, 0xfee00, 1);
	assert_int_equal(fault(70, ACCESS_X, &f), TDP_FIXED);
	expect_mapped(70, 1006, 1);
	expect_unmapped(71);
	assert_int_equal(tdp_populate(&tdp, GFN(71), 2), OK);
	expect_mapped(72, 1008, 1);
	expect_unmapped(73);
	tdp_zap_all(&tdp);
	expect_unmapped(0);
	assert_int_equal(tdp_stats(&tdp).tables, 1);
	assert_int_equal(fault(70, ACCESS_R, &f), TDP_FIXED);
	assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
	expect_mapped(0, 100, 1);
	expect_mapped(127, 1063, 1);
	assert_int_equal(tdp_populate(&tdp, GFN(1), BIT(36)), ERR_RANGE);
	assert_int_equal(tdp_stats(&tdp).error, 1);
	assert_int_equal(tdp_stats(&tdp).mmio, 4);
	assert_int_equal(tdp_stats(&tdp).spurious, 2);
	assert_int_equal(tdp_stats(&tdp).fixed, 2);
}

static void delete_meanwhile(void)
{
	delete (64);
}

/* The slot that a fault was looked up in is deleted before the fault takes the lock. */
static void test_fault_loses_race(void **state unused)
{
	struct tdp_fault f;

	machine.gaps = true;
	create(ram(64, 64, 1000));
	assert_int_equal(tdp_zap_slot(&tdp, GFN(64)), OK);
	machine.meanwhile = delete_meanwhile;
	assert_int_equal(fault(70, ACCESS_R, &f), TDP_RETRY);
	expect_unmapped(70);
	assert_int_equal(fault(70, ACCESS_R, &f), TDP_MMIO);
	assert_int_equal(tdp_stats(&tdp).retry, 1);
}

/* A fault maps with the largest page, too, and leaves alone what is there. */
static void test_fault_uses_large_pages(void **state unused)
{
	struct tdp_fault f;

	machine.gaps = true;
	create(ram(0, 2 * gib, 2 * gib));
	assert_int_equal(tdp_zap_slot(&tdp, GFN(0)), OK);
	assert_int_equal(fault(gib + 5, ACCESS_W, &f), TDP_FIXED);
	expect_mapped(gib + 5, 3 * gib + 5, 3);
	expect_unmapped(gib - 1);
	assert_int_equal(fault(gib + 5, ACCESS_W, &f), TDP_SPURIOUS);
	assert_int_equal(fault(4, ACCESS_W, &f), TDP_FIXED);
	expect_mapped(4, 2 * gib + 4, 3);
}

/* The budget is exhausted: the fault says so, and nothing half-built stays. */
static void test_fault_without_memory(void **state unused)
{
	struct tdp_fault f;

	machine.gaps = true;
	create(ram(5, 5, 5));
	tdp_zap_all(&tdp);
	for (long n = 0; n < 3; n++) {
		fail_after = n;
		assert_int_equal(fault(7, ACCESS_R, &f), TDP_ERROR);
		assert_int_equal(f.error, ERR_NOMEM);
		assert_int_equal(tdp_stats(&tdp).tables, 1);
	}
	fail_after = 3;
	assert_int_equal(fault(7, ACCESS_R, &f), TDP_FIXED);
	fail_after = -1;
}

static void test_translate_and_lookup(void **state unused)
{
	struct slot s = ram(1000, 600, 2000), device = ram(4000, 1, 5000);
	struct tdp_walk w;
	uint64_t left;
	hpa_t hpa;

	s.access = device.access = ACCESS_R;
	s.type = MEM_UC;
	s.kind = SLOT_SHARED;
	create(s);
	device.kind = SLOT_DEVICE;
	create(device);
	mm_read_begin();
	assert_int_equal(tdp_translate(&tdp, GPA(1001ull << 12 | 5), ACCESS_R, &hpa, &left), OK);
	assert_int_equal(hpa.v, 2001ull << 12 | 5);
	assert_int_equal(left, (599ull << 12) - 5);
	assert_int_equal(tdp_translate(&tdp, GPA(1001ull << 12), ACCESS_W, &hpa, &left), ERR_FAULT);
	assert_int_equal(tdp_translate(&tdp, GPA(1600ull << 12), ACCESS_R, &hpa, &left), ERR_FAULT);
	assert_int_equal(tdp_translate(&tdp, GPA(UINT64_MAX), ACCESS_R, &hpa, &left), ERR_FAULT);
	assert_int_equal(tdp_translate(&tdp, GPA(4000ull << 12), ACCESS_R, &hpa, &left), ERR_FAULT);
	mm_read_end();

	tdp_lookup(&tdp, GPA(1001ull << 12 | 5), &w);
	assert_true(w.mapped);
	assert_int_equal(w.steps, 4);
	assert_int_equal(w.hpa.v, 2001ull << 12 | 5);
	assert_int_equal(w.level, 1);
	assert_int_equal(w.access, ACCESS_R);
	assert_int_equal(w.type, MEM_UC);
	assert_int_equal(w.step[0].table.v, tdp_root(&tdp) & PAGE_MASK);
	assert_int_equal(w.step[3].info.state, SPTE_STATE_LEAF);
	tdp_lookup(&tdp, GPA(2ull << 40), &w);
	assert_false(w.mapped);
	assert_int_equal(w.steps, 1);
	tdp_lookup(&tdp, GPA(UINT64_MAX), &w);
	assert_int_equal(w.steps, 0);
}

/* EPTP as the SDM wants it (25.6.11), nCR3 a bare address; neither ever changes. */
static void test_root(void **state unused)
{
	uint64_t root = tdp_root(&tdp);

	assert_int_equal(root & 0xfff, v->amd ? 0 : v->ept.ad ? 0x5e : 0x1e);
	create(ram(BIT(27), 2000, 1));
	delete (BIT(27));
	assert_int_equal(tdp_root(&tdp), root);
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
	struct tdp *t = &tdp;
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

/*
 * Each allocation of a transaction fails once. Nothing may have changed: no entry written, no page
 * kept, no slot different. Then it succeeds.
 */
static void with_failures(void (*edit)(struct slot_txn *txn))
{
	uint64_t used = budget.used, tables = tdp_stats(&tdp).tables, writes = machine.writes;
	uint64_t version = tdp_slots(&tdp)->version;
	enum status status = ERR_NOMEM;
	struct slot_txn txn;
	long n = 0;

	for (; status; n++) {
		assert_in_range(n, 0, 200);
		begin(&txn, 2);
		edit(&txn);
		assert_int_equal(txn.error, OK);
		fail_after = n;
		status = try_commit(&txn);
		fail_after = -1;
		if (!status)
			break;
		assert_int_equal(status, ERR_NOMEM);
		assert_non_null(txn.reason);
		assert_int_equal(budget.used, used);
		assert_int_equal(tdp_stats(&tdp).tables, tables);
		assert_int_equal(machine.writes, writes);
		assert_int_equal(tdp_slots(&tdp)->version, version);
	}
	assert_true(n > 0);
	assert_int_equal(tdp_stats(&tdp).refused, n);
	fail_after = 0;
	assert_int_equal(tdp_begin(&tdp, &txn, 0), ERR_NOMEM);
	fail_after = -1;
}

static void edit_everything(struct slot_txn *txn)
{
	struct slot s = ram(gib + 3, 2 * BIG_PAGES, 77);

	assert_int_equal(slot_resize(txn, GFN(0), gib - 5), OK);
	assert_int_equal(slot_create(txn, &s), OK);
	assert_int_equal(slot_move(txn, GFN(4 * gib), GFN(BIT(35))), OK);
}

static void test_no_memory(void **state unused)
{
	create(ram(0, gib, 4 * gib));
	create(ram(4 * gib, 100, 100));
	with_failures(edit_everything);
	expect_mapped(gib - 6, 5 * gib - 6, 1);
	expect_unmapped(gib - 5);
	expect_mapped(BIT(35), 100, 1);
}

static void test_init_without_memory(void **state unused)
{
	struct tdp t;
	uint64_t used = budget.used;

	for (long n = 0; n < 2; n++) {
		fail_after = n;
		assert_int_equal(tdp_init(&t, &format, &budget, &machine), ERR_NOMEM);
		assert_int_equal(budget.used, used);
	}
	fail_after = -1;
}

/* The budget, not the pool, is what a guest can exhaust. */
static void test_budget_is_the_limit(void **state unused)
{
	struct slot s = ram(0, 64 * BIG_PAGES, 1); /* 64 tables, since no frame is aligned */
	struct slot_txn txn;

	budget.limit = budget.used + 30;
	begin(&txn, 1);
	assert_int_equal(slot_create(&txn, &s), OK);
	expect_refused(&txn, try_commit(&txn), ERR_NOMEM);
	assert_true(budget.refused > 0);
	budget.limit = page_pool.pages;
	create(s);
}

/* Every leaf and table that the format can make, read back by itself and by the walkers' rules. */
static void test_entries(void **state unused)
{
	uint64_t table = spte_make_table(&format, HPA(0x7654321000));
	unsigned legal = 0;

	for (unsigned level = 1; level <= format.max_level; level++) {
		for (unsigned access = 0; access < 9; access++) {
			for (unsigned type = 0; type < MEM_TYPES; type++) {
				uint64_t pfn = 5 * spte_span(level), e;
				struct spte_info info;

				if (!spte_access_legal(&format, access))
					continue;
				legal |= 1u << access;
				e = spte_make_leaf(&format, PFN(pfn), level, access, type);
				info = spte_decode(&format, e, level);
				assert_int_equal(info.state, SPTE_STATE_LEAF);
				assert_int_equal(info.access, access);
				assert_int_equal(info.type, type);
				assert_int_equal(info.hpa.v, pfn << PAGE_SHIFT);
				assert_true(spte_is_leaf(&format, e, level));
				assert_false(spte_is_table(&format, e, level));
			}
		}
	}
	assert_int_equal(legal,
			 1u << 1 | 1u << 3 | 1u << 5 | 1u << 7 | (v->ept.exec_only ? 1u << 4 : 0));
	for (unsigned level = 2; level <= 4; level++) {
		struct spte_info info = spte_decode(&format, table, level);

		assert_int_equal(info.state, SPTE_STATE_TABLE);
		assert_int_equal(info.access, ACCESS_RWX);
		assert_int_equal(info.hpa.v, 0x7654321000);
		assert_int_equal(spte_decode(&format, SPTE_EMPTY, level).state, SPTE_STATE_EMPTY);
		assert_int_equal(spte_decode(&format, SPTE_FROZEN, level).state, SPTE_STATE_FROZEN);
	}
	assert_false(spte_present(SPTE_EMPTY) || spte_present(SPTE_FROZEN));
}

/* The fragments of a leaf are together exactly the leaf. */
static void test_fragments(void **state unused)
{
	for (unsigned level = 2; level <= format.max_level; level++) {
		uint64_t pfn = 3 * spte_span(level);
		uint64_t leaf = spte_make_leaf(&format, PFN(pfn), level, ACCESS_RX, MEM_WC);

		for (unsigned i = 0; i < SPTE_PER_TABLE; i++) {
			uint64_t part = pfn + i * spte_span(level - 1);

			assert_int_equal(
				spte_fragment(&format, leaf, level, i),
				spte_make_leaf(&format, PFN(part), level - 1, ACCESS_RX, MEM_WC));
		}
	}
}

static void test_unsupported(void **state unused)
{
	struct ept_caps good = variants[0].ept, ept;
	struct npt_caps npt = { .maxphyaddr = 48, .nx = true };
	struct spte_format f;

#define REFUSE_EPT(change)                                                    \
	do {                                                                  \
		ept = good;                                                   \
		change;                                                       \
		assert_int_equal(spte_format_ept(&f, &ept), ERR_UNSUPPORTED); \
	} while (0)
	REFUSE_EPT(ept.walk_4 = false);
	REFUSE_EPT(ept.wb = false);
	REFUSE_EPT(ept.maxphyaddr = 53);
	REFUSE_EPT(ept.maxphyaddr = 12);
#undef REFUSE_EPT
	ept = good;
	ept.page_2m = false;
	assert_int_equal(spte_format_ept(&f, &ept), OK);
	assert_int_equal(f.max_level, 1);
	npt.nx = false;
	assert_int_equal(spte_format_npt(&f, &npt), ERR_UNSUPPORTED);
	npt.nx = true;
	npt.maxphyaddr = 0;
	assert_int_equal(spte_format_npt(&f, &npt), ERR_UNSUPPORTED);
}

#define TEST(name)          \
	{                   \
#name, name \
	}

static const struct {
	const char *name;
	void (*run)(void **state);
} tests[] = {
	TEST(test_entries),
	TEST(test_fragments),
	TEST(test_unsupported),
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
	TEST(test_refused_by_format),
	TEST(test_lost_race),
	TEST(test_many_slots),
	TEST(test_room),
	TEST(test_rename),
	TEST(test_faults),
	TEST(test_fault_loses_race),
	TEST(test_fault_uses_large_pages),
	TEST(test_fault_without_memory),
	TEST(test_translate_and_lookup),
	TEST(test_illegal_changes),
	TEST(test_no_memory),
	TEST(test_init_without_memory),
	TEST(test_budget_is_the_limit),
};

int main(void)
{
	struct CMUnitTest all[ARRAY_SIZE(tests) * ARRAY_SIZE(variants)];
	static char names[ARRAY_SIZE(all)][64];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(tests); j++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", variants[i].name,
				 tests[j].name);
			all[n] = (struct CMUnitTest){ names[n], tests[j].run, setup, teardown,
						      (void *)&variants[i] };
		}
	}
	return cmocka_run_group_tests(all, NULL, NULL);
}
