/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second-level MMU against what went wrong in KVM's between 2013 and 2024: each test names the
 * failure. The tests look for the failure itself, not for its cause there.
 */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c
// sources: mm/tdp_fault.c mm/tdp_mmio.c mm/tdp_zap.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c
// sources: mm/tdp_walk.c
// libs: -Wl,--wrap=mm_entry_xchg -Wl,--wrap=mm_alloc
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

/* What another core does at each store to a live entry, and at each allocation without the lock. */
static void (*at_store)(void), (*at_alloc)(void);

uint64_t __real_mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value);
uint64_t __wrap_mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value);
void *__real_mm_alloc(struct page_budget *b, unsigned pages);
void *__wrap_mm_alloc(struct page_budget *b, unsigned pages);

uint64_t __wrap_mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value)
{
	uint64_t old = __real_mm_entry_xchg(host, view, entry, value);

	if (at_store && machine.tdp)
		at_store();
	return old;
}

void *__wrap_mm_alloc(struct page_budget *b, unsigned pages)
{
	void (*run)(void) = at_alloc;

	/* Not again in the allocations of what runs here. */
	at_alloc = NULL;
	if (run && machine.tdp && tdp.lock.next == tdp.lock.owner)
		run();
	at_alloc = run;
	return __real_mm_alloc(b, pages);
}

static void expect_range(uint64_t start, uint64_t end, uint64_t pfn, bool mapped)
{
	struct translation tr;

	for (uint64_t gfn = start; gfn < end; gfn++) {
		assert_int_equal(machine_translate(gfn, &tr), mapped);
		if (mapped)
			assert_int_equal(tr.pfn, pfn + (gfn - start));
	}
}

/*
 * 2019: precise zaps were given up, one suspicion being that frame numbers were compared without
 * alignment. A slot that begins and ends anywhere, between neighbours that share its tables: its
 * pages go, all of them, and no others, whatever sizes they are mapped with.
 */
static void test_unaligned_zap(void **state unused)
{
	static const uint64_t sizes[] = { 1, 2, 511, 512, 513, 1023, 1500 };
	uint64_t base = gib - 700;

	machine.gaps = true;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t mid = base + 333 + i, end = mid + sizes[i];

		create(ram(base, mid - base, 4 * gib + base));
		create(ram(mid, end - mid, 4 * gib + mid));
		create(ram(end, 600, 4 * gib + end));
		assert_int_equal(tdp_zap_slot(&tdp, GFN(mid)), OK);
		machine_check();
		expect_range(base, mid, 4 * gib + base, true);
		expect_range(mid, end, 0, false);
		expect_range(end, end + 600, 4 * gib + end, true);
		delete (mid);
		expect_range(mid, end, 0, false);
		if (v->iommu)
			machine_check();
		delete (base);
		delete (end);
		assert_int_equal(cpu_tables(), 1);
	}
}

static bool code_runs;
static uint64_t code_gfn;

static void fetch(void)
{
	struct translation tr;

	assert_true(machine_translate(code_gfn, &tr));
	assert_int_equal(tr.access & ACCESS_X, machine_rights(TDP_CPU, ACCESS_X));
	code_runs = true;
}

static void fetch_by_fault(void)
{
	struct tdp_fault f;
	enum tdp_result r = fault(code_gfn, ACCESS_X, &f);

	/* Spurious, or mapped again: never MMIO, never an error. */
	assert_true(r == TDP_SPURIOUS || r == TDP_FIXED);
	fetch();
}

/*
 * 2022: to change a slot, user space deletes it and creates it anew; a core that fetches code from
 * it in between finds no memory there, and dies of an internal error. Here a core fetches from a
 * slot before and after every single step of its replacement, growth, and split in two.
 */
static void test_fetch_in_the_gap(void **state unused)
{
	struct slot code = ram(gib + 3, 1000, 4 * gib + 3);
	struct slot_txn txn;

	create(ram(gib - 40, 43, 4 * gib - 40));
	create(code);
	code_gfn = gib + 500;
	at_store = fetch;
	at_alloc = fetch_by_fault;
	for (unsigned i = 0; i < 24; i++) {
		code_runs = false;
		begin(&txn, 2);
		code.pfn.v ^= (i & 1 ? 1ull << 18 : 512) * (i % 3);
		code.access = i & 2 ? ACCESS_RX : ACCESS_RWX;
		code.type = (uint8_t)(i / 4 % MEM_TYPES);
		code.npages = 1000 + i * 30;
		assert_int_equal(slot_replace(&txn, &code), OK);
		if (i % 4 == 3) {
			struct slot rest = ram(gib + 3 + 600, 40, 5 * gib);

			code.npages = 600;
			assert_int_equal(slot_replace(&txn, &code), OK);
			assert_int_equal(slot_create(&txn, &rest), OK);
		}
		commit(&txn);
		assert_true(code_runs);
		if (i % 4 == 3)
			delete (gib + 3 + 600);
	}
	at_store = at_alloc = NULL;
}

/*
 * 2020 and 2021: a zap that gives way to others in between forgot that a flush was pending, as the
 * result of a later part overwrote that of an earlier one. Work that is done in pieces, or has more
 * ranges than fit into one flush: at its end nobody may hold anything of any part. (That nothing is
 * freed before its flush, mm_free() checks.)
 */
static void test_flush_lost_on_yield(void **state unused)
{
	uint64_t step = 3 * BIG_PAGES;
	struct slot_txn txn;

	for (unsigned round = 0; round < 3; round++) {
		begin(&txn, 24);
		for (uint64_t i = 0; i < 24; i++) {
			struct slot s =
				ram(i * step, 2 * BIG_PAGES, (i * 4 + round % 2) * 2 * BIG_PAGES);

			/* Every other slot changes, so that what changes is in many pieces. */
			if (!round)
				assert_int_equal(slot_create(&txn, &s), OK);
			else if (i % 2)
				assert_int_equal(slot_replace(&txn, &s), OK);
		}
		commit(&txn);
	}
	/* Splits in all of them, merged again in pieces that each let go of the lock. */
	for (uint64_t i = 0; i < 24; i++)
		assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(i * step + i), 1), OK);
	machine_check();
	tdp_collapse(&tdp, GFN(0), BIT(36));
	machine_check();
	machine.gaps = true;
	for (uint64_t i = 0; i < 24; i += 3)
		assert_int_equal(tdp_zap_slot(&tdp, GFN(i * step)), OK);
	machine_check();
	tdp_zap_all(&tdp);
	machine_check();
}

/*
 * 2013: the generation number in MMIO entries, one more for each change of slots, grew into the bit
 * that said "present". What has no translation must look so after any number of transactions, to the
 * walkers as to us, and what has one keeps it.
 */
static void test_many_generations(void **state unused)
{
	struct slot s = ram(9, 2, 90), device = { .base = GFN(6), .npages = 2 };
	struct slot_txn txn;
	struct tdp_fault f;
	struct tdp_walk w;
	unsigned handler;

	if (v->iommu)
		return;
	device.kind = SLOT_EMULATED;
	device.handler = 1023;
	create(ram(0, 3, 300));
	create(s);
	create(device);
	for (unsigned i = 0; i < 5200; i++) {
		s.pfn.v ^= 4;
		assert_int_equal(tdp_begin(&tdp, &txn, 0), OK);
		assert_int_equal(slot_replace(&txn, &s), OK);
		machine.next = txn.draft;
		assert_int_equal(tdp_commit(&tdp, &txn), OK);
		machine.next = NULL;
	}
	assert_true(tdp_slots(&tdp)->version > 5200);
	machine_check();
	for (uint64_t gfn = 3; gfn < 9; gfn++) {
		tdp_lookup(&tdp, TDP_CPU, GPA(gfn << PAGE_SHIFT), &w);
		assert_false(w.mapped);
		assert_false(spte_present(&format, w.step[w.steps - 1].entry));
		expect_unmapped(gfn);
		assert_int_equal(fault(gfn, ACCESS_R, &f), TDP_MMIO);
		assert_int_equal(fault(gfn, ACCESS_W, &f), TDP_MMIO);
		assert_int_equal(f.has_slot, gfn == 6 || gfn == 7);
		if (!f.has_slot || !format.mmio)
			continue;
		assert_int_equal(tdp_mmio(&tdp, f.gpa, &handler), TDP_MMIO);
		assert_int_equal(handler, 1023);
	}
	expect_range(0, 3, 300, true);
	expect_range(9, 11, s.pfn.v, true);
}

static uint64_t next_page;

/* Each time in another region, so that each fault makes a table. */
static void fault_elsewhere(void)
{
	long fail = fail_after;
	struct tdp_fault f;

	if (next_page >= 12 * BIG_PAGES)
		return;
	fail_after = -1;
	assert_int_equal(fault(next_page, ACCESS_R, &f), TDP_FIXED);
	fail_after = fail;
	next_page += BIG_PAGES / 2;
}

static void expect_faulted_in(uint64_t end)
{
	for (uint64_t gfn = 0; gfn < end; gfn += BIG_PAGES / 2)
		expect_mapped(gfn, gfn + 5, 1);
}

/*
 * What follows from doing the long work without the lock that faults take: cores that fault all the
 * time while a transaction copies the tables that they fault in. Nothing of theirs may get lost, and
 * the transaction must come to an end, by doing without such faults if need be.
 */
static void test_faults_overtake(void **state unused)
{
	struct slot b = ram(20 * BIG_PAGES, 9, 7), c = ram(2 * gib, 9, 7);
	enum status status = ERR_NOMEM;
	uint64_t again;
	struct slot_txn txn;

	machine.gaps = true;
	create(ram(0, 12 * BIG_PAGES, 5));
	create(b);
	create(c);
	for (long n = 0; status; n++) {
		assert_int_equal(tdp_zap_slot(&tdp, GFN(0)), OK);
		next_page = 0;
		again = tdp_stats(&tdp).prepared_again;
		begin(&txn, 0);
		b.pfn.v += 16;
		c.pfn.v += 16;
		assert_int_equal(slot_replace(&txn, &b), OK);
		assert_int_equal(slot_replace(&txn, &c), OK);
		fail_after = n;
		at_alloc = fault_elsewhere;
		status = try_commit(&txn);
		at_alloc = NULL;
		fail_after = -1;
		expect_faulted_in(next_page);
		expect_range(b.base.v, b.base.v + 9, b.pfn.v - (status ? 16 : 0), true);
		if (status) {
			assert_int_equal(status, ERR_NOMEM);
			b.pfn.v -= 16;
			c.pfn.v -= 16;
		}
	}
	/* Three times in vain, then with the faults kept waiting. */
	assert_int_equal(tdp_stats(&tdp).prepared_again - again, 3);
	expect_range(c.base.v, c.base.v + 9, c.pfn.v, true);
}

/* Each time in another region, so that each fetch splits a leaf. */
static void fetch_elsewhere(void)
{
	struct tdp_fault f;

	if (next_page >= 12 * BIG_PAGES)
		return;
	assert_int_equal(fault(next_page, ACCESS_X, &f), TDP_FIXED);
	next_page += BIG_PAGES;
}

/* The same with fetches that split what is being copied: no table gets lost, and no right. */
static void test_splits_overtake(void **state unused)
{
	struct slot b = ram(20 * BIG_PAGES, 9, 7), c = ram(2 * gib, 9, 7);
	struct translation tr;
	struct slot_txn txn;

	if (format.max_level == 1 || !(format.rights & ACCESS_X))
		return;
	tdp_set_nx_huge(&tdp, true);
	create(ram(0, 12 * BIG_PAGES, 12 * BIG_PAGES));
	create(b);
	create(c);
	next_page = 0;
	begin(&txn, 0);
	b.pfn.v += 16;
	c.pfn.v += 16;
	assert_int_equal(slot_replace(&txn, &b), OK);
	assert_int_equal(slot_replace(&txn, &c), OK);
	at_alloc = fetch_elsewhere;
	assert_int_equal(try_commit(&txn), OK);
	at_alloc = NULL;
	assert_true(next_page > 0);
	for (uint64_t gfn = 0; gfn < next_page; gfn += BIG_PAGES) {
		assert_true(machine_translate(gfn, &tr));
		assert_int_equal(tr.level, 1);
		assert_int_equal(tr.access, ACCESS_RWX);
	}
}

static hpa_t table_of(uint64_t gfn, unsigned level)
{
	struct tdp_walk w;

	tdp_lookup(&tdp, TDP_CPU, GPA(gfn << PAGE_SHIFT), &w);
	for (unsigned i = 0; i < w.steps; i++)
		if (w.step[i].level == level)
			return w.step[i].table;
	fail_msg("no table of level %u", level);
	return HPA(0);
}

/*
 * 2021 and 2022: a table was zapped by its back-pointer after the root above it had been freed, or
 * after the table itself had. Whatever an address was once, it is a table of this guest, linked from
 * its root, or nothing happens.
 */
static void test_zap_of_what_was_freed(void **state unused)
{
	struct page_budget other = { 0 };
	hpa_t level1, level2, foreign;
	struct spte_format other_format = format;
	struct slot_txn txn;
	struct slot s = ram(5, 5, 5);
	struct tdp guest;

	machine.gaps = true;
	create(ram(gib + 1, 100, 1));
	level1 = table_of(gib + 1, 1);
	level2 = table_of(gib + 1, 2);
	delete (gib + 1);
	/* Freed, and nobody's. */
	assert_int_equal(tdp_zap_table(&tdp, level1), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&tdp, level2), ERR_NOT_FOUND);
	/* Freed, and used again, for slots and for tables elsewhere: what is there is another table. */
	begin(&txn, 100);
	for (uint64_t i = 0; i < 100; i++) {
		s.base.v = i * 1000;
		assert_int_equal(slot_create(&txn, &s), OK);
	}
	assert_int_equal(tdp_zap_table(&tdp, virt_to_hpa(txn.draft)), ERR_NOT_FOUND);
	commit(&txn);
	for (unsigned i = 0; i < 2; i++) {
		enum status status = tdp_zap_table(&tdp, i ? level1 : level2);

		assert_true(status == OK || status == ERR_NOT_FOUND);
		machine_check();
	}
	assert_int_equal(tdp_populate(&tdp, GFN(0), reach), OK);
	for (uint64_t i = 0; i < 100; i++)
		expect_range(i * 1000, i * 1000 + 5, 5, true);
	/* The root is not below anything, and no page outside of the pool is a table. */
	assert_int_equal(tdp_zap_table(&tdp, HPA(tdp_root(&tdp, TDP_CPU) & PAGE_MASK)),
			 ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&tdp, HPA(TEST_POOL_HPA - PAGE_SIZE)), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&tdp, HPA(UINT64_MAX)), ERR_NOT_FOUND);
	/* A table of the guest's, but of its devices' view, or an entry's address in the middle. */
	level1 = table_of(5, 1);
	/* The tables of another guest, while it lives and when it does not. */
	page_budget_exit(&other);
	budget.limit -= 20;
	page_pool.unreserved += 20;
	assert_int_equal(page_budget_init(&other, "other", 20), OK);
	assert_int_equal(tdp_init(&guest, &other_format, &other, &machine), OK);
	foreign = HPA(tdp_root(&guest, TDP_CPU) & PAGE_MASK);
	assert_int_equal(tdp_zap_table(&tdp, foreign), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&guest, level1), ERR_NOT_FOUND);
	mm_free(guest.view[TDP_CPU].root);
	mm_free(guest.slots);
	page_budget_exit(&other);
	budget.limit += 20;
	page_pool.unreserved -= 20;
	assert_int_equal(tdp_zap_table(&tdp, foreign), ERR_NOT_FOUND);
	assert_int_equal(tdp_zap_table(&tdp, level1), OK);
	machine_check();
	expect_unmapped(5);
}

/* The devices' tables are not the cores': no zap reaches them, before and after the root is freed. */
static void test_zap_under_a_freed_root(void **state unused)
{
	struct tdp_walk w;

	if (!v->iommu)
		return;
	create(ram(5, 50, 5));
	tdp_lookup(&tdp, TDP_DMA, GPA(5 << PAGE_SHIFT), &w);
	for (unsigned i = 0; i < w.steps; i++)
		assert_int_equal(tdp_zap_table(&tdp, w.step[i].table), ERR_NOT_FOUND);
	detach_iommu();
	for (unsigned i = 0; i < w.steps; i++)
		assert_int_equal(tdp_zap_table(&tdp, w.step[i].table), ERR_NOT_FOUND);
	assert_int_equal(attach_iommu(v->iommu), OK);
	expect_range(5, 55, 5, true);
}

/*
 * 2024: the memory type of a leaf came from what the guest had last set (CR0.CD, its MTRRs), or from
 * whether a device was assigned, at the time of the fault. A leaf made later had another type than
 * its neighbours, and only because everything was zapped so often did nobody notice. Here it comes
 * from the slot, whenever the leaf is made and whatever happens in between.
 */
static void test_stale_memory_type(void **state unused)
{
	struct slot s = ram(BIG_PAGES - 3, 2 * BIG_PAGES, 7 * BIG_PAGES - 3);
	uint64_t gfns[] = { BIG_PAGES - 3, BIG_PAGES, 2 * BIG_PAGES, 3 * BIG_PAGES - 4 };
	struct slot_txn txn;
	struct tdp_fault f;
	struct translation tr;

	if (!format.type_mask)
		return;
	machine.gaps = true;
	create(s);
	for (unsigned i = 0; i < 4 * MEM_TYPES; i++) {
		s.type = (uint8_t)(i % MEM_TYPES);
		begin(&txn, 0);
		assert_int_equal(slot_replace(&txn, &s), OK);
		commit(&txn); /* and nobody has the old type in a TLB: machine_check() */
		for (unsigned j = 0; j < ARRAY_SIZE(gfns); j++) {
			/* A device comes or goes between two leaves of the slot. */
			if (v->iommu && j == 1)
				detach_iommu();
			if (v->iommu && j == 3)
				assert_int_equal(attach_iommu(v->iommu), OK);
			if (i & 1)
				assert_int_equal(tdp_zap_table(&tdp, table_of(gfns[j], 2)), OK);
			assert_int_equal(fault(gfns[j], ACCESS_W, &f),
					 i & 1 ? TDP_FIXED : TDP_SPURIOUS);
			assert_true(machine_translate(gfns[j], &tr));
			assert_int_equal(tr.type, s.type);
		}
		machine_check();
	}
}

static const struct mm_test tests[] = {
	TEST(test_unaligned_zap),         TEST(test_fetch_in_the_gap),
	TEST(test_flush_lost_on_yield),   TEST(test_many_generations),
	TEST(test_faults_overtake),       TEST(test_splits_overtake),
	TEST(test_zap_of_what_was_freed), TEST(test_zap_under_a_freed_root),
	TEST(test_stale_memory_type),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
