/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: faults, look-ups, and every allocation made to fail. */
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
	assert_int_equal(cpu_tables(), 1);
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
	uint64_t limit = budget.limit;
	struct tdp_fault f;

	machine.gaps = true;
	create(ram(5, 5, 5));
	tdp_zap_all(&tdp);
	for (unsigned n = 0; n < format.levels - 1u; n++) {
		budget.limit = budget.used + n;
		assert_int_equal(fault(7, ACCESS_R, &f), TDP_ERROR);
		assert_int_equal(f.error, ERR_NOMEM);
		assert_int_equal(cpu_tables(), 1);
	}
	budget.limit = budget.used + format.levels - 1;
	assert_int_equal(fault(7, ACCESS_R, &f), TDP_FIXED);
	budget.limit = limit;
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

	tdp_lookup(&tdp, TDP_CPU, GPA(1001ull << 12 | 5), &w);
	assert_true(w.mapped);
	assert_int_equal(w.steps, format.levels);
	assert_int_equal(w.hpa.v, 2001ull << 12 | 5);
	assert_int_equal(w.level, 1);
	assert_int_equal(w.access, ACCESS_R);
	assert_int_equal(w.type, format.type_mask ? MEM_UC : MEM_WB);
	assert_int_equal(w.step[0].table.v, tdp_root(&tdp, TDP_CPU) & PAGE_MASK);
	assert_int_equal(w.step[w.steps - 1].info.state, SPTE_STATE_LEAF);
	tdp_lookup(&tdp, TDP_CPU, GPA(BIT(format.gpa_bits) - 1), &w);
	assert_false(w.mapped);
	assert_int_equal(w.steps, 1);
	tdp_lookup(&tdp, TDP_CPU, GPA(1ull << format.gpa_bits | 1001ull << 12), &w);
	assert_false(w.mapped);
	tdp_lookup(&tdp, TDP_CPU, GPA(UINT64_MAX), &w);
	assert_int_equal(w.steps, 0);
}

/*
 * Each allocation of a transaction fails once. Nothing may have changed: no entry written, no page
 * kept, no slot different. Then it succeeds.
 */
static void with_failures(void (*edit)(struct slot_txn *txn))
{
	uint64_t used = budget.used, tables = tdp_stats(&tdp).tables,
		 writes = machine.writes + machine.dma_writes;
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
		assert_int_equal(machine.writes + machine.dma_writes, writes);
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
	assert_int_equal(slot_move(txn, GFN(4 * gib), GFN(reach / 2)), OK);
}

static void test_no_memory(void **state unused)
{
	create(ram(0, gib, 4 * gib));
	create(ram(4 * gib, 100, 100));
	with_failures(edit_everything);
	expect_mapped(gib - 6, 5 * gib - 6, 1);
	expect_unmapped(gib - 5);
	expect_mapped(reach / 2, 100, 1);
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

static const struct mm_test tests[] = {
	TEST(test_faults),
	TEST(test_fault_loses_race),
	TEST(test_fault_uses_large_pages),
	TEST(test_fault_without_memory),
	TEST(test_translate_and_lookup),
	TEST(test_no_memory),
	TEST(test_init_without_memory),
	TEST(test_budget_is_the_limit),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
