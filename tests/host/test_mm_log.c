/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: dirty logs, with cores that write whenever and however they can. */
// sources: tests/host/mm_core.c tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c
// sources: mm/tdp_fault.c mm/tdp_zap.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c
// sources: mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_core.h"
#include "mm_fixture.h"

/*
 * The pages that are written to, and what is known of each. Time goes on with each write and each
 * report. Beyond the first, a write that began before a report began is to be in it; one that
 * happens meanwhile in it or in a later one.
 */
#define HOT 12

static struct page_model {
	uint64_t gfn;
	uint64_t unreported; /* when the first write was that no report has told of; 0: none */
	uint64_t written;    /* the last write; 0: none */
	uint64_t reported;   /* when the last report of it began */
} hot[HOT];

static unsigned hot_count;
static uint64_t now;
static uint64_t base, npages; /* of the logged slot */
static uint64_t seed;

static unsigned draw(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

/* Cores leave the guest, with their lists of pages whose flag they have set. */
static void hand_over(void)
{
	for (; core_pml_count; core_pml_count--)
		if (tdp.log_mode == TDP_LOG_PML)
			tdp_mark_dirty(&tdp, GFN(core_pml[core_pml_count - 1]));
}

/* One core writes to the page, if it can without a fault. */
static bool may_write(const struct page_model *p)
{
	if (machine.held)
		return false;
	if (core_pml_count == CORE_PML)
		hand_over();
	return core_write(p->gfn, draw(64));
}

static void wrote(struct page_model *p)
{
	p->written = ++now;
	if (!p->unreported)
		p->unreported = now;
}

/* What the other cores do at any moment: write, if they can without a fault. */
static void write_some(void)
{
	for (unsigned i = 0; i < hot_count; i++)
		if (draw(3) == 0 && may_write(&hot[i]))
			wrote(&hot[i]);
}

static void write_all(void)
{
	for (unsigned i = 0; i < hot_count; i++)
		if (may_write(&hot[i]))
			wrote(&hot[i]);
}

/* A core writes, and faults as often as it takes. */
static void guest_writes(struct page_model *p)
{
	struct tdp_fault f;

	for (unsigned tries = 0; !may_write(p); tries++) {
		assert_true(tries < 3);
		assert_int_equal(fault(p->gfn, ACCESS_RW, &f), TDP_FIXED);
		machine_walk();
	}
	wrote(p);
}

static void hypervisor_writes(struct page_model *p)
{
	uint64_t left;
	hpa_t hpa;

	mm_read_begin();
	assert_int_equal(tdp_translate(&tdp, GPA(p->gfn << PAGE_SHIFT), ACCESS_W, &hpa, &left), OK);
	wrote(p);
	tdp_mark_dirty(&tdp, GFN(p->gfn));
	mm_read_end();
}

static void hot_page(uint64_t gfn)
{
	assert_true(hot_count < HOT);
	hot[hot_count++] = (struct page_model){ .gfn = gfn };
}

static struct page_model *find_hot(uint64_t gfn)
{
	for (unsigned i = 0; i < hot_count; i++)
		if (hot[i].gfn == gfn)
			return &hot[i];
	return NULL;
}

/* Compare one report with what was written. */
static void check_report(const uint64_t *bitmap, uint64_t start, uint64_t end, uint64_t began,
			 uint64_t count)
{
	uint64_t first = start & ~63ull, found = 0;

	for (uint64_t gfn = first; gfn < ((end + 63) & ~63ull); gfn++) {
		struct page_model *p = find_hot(gfn);

		if (!(bitmap[(gfn - first) / 64] >> (gfn - first) % 64 & 1)) {
			if (gfn >= start && gfn < end && p && p->unreported &&
			    p->unreported < began)
				fail_msg("gfn %#llx was written to and is not reported",
					 (unsigned long long)gfn);
			continue;
		}
		assert_true(gfn >= start && gfn < end);
		found++;
		if (!p || p->written <= p->reported)
			fail_msg("gfn %#llx is reported and was not written to",
				 (unsigned long long)gfn);
		if (p) {
			p->reported = began;
			p->unreported = 0;
		}
	}
	assert_int_equal(found, count);
}

static void report(uint64_t start, uint64_t n)
{
	uint64_t words = (start + n - 1) / 64 - start / 64 + 1, began = ++now, count;
	uint64_t *bitmap = malloc(words * sizeof(*bitmap)), flushes = machine.flushes;

	assert_non_null(bitmap);
	memset(bitmap, 0xff, words * sizeof(*bitmap));
	machine_walk();
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(start), n, bitmap, &count), OK);
	assert_true(machine.flushes - flushes <= 1);
	check_report(bitmap, start, start + n, began, count);
	free(bitmap);
	machine_check();
}

static void report_all(void)
{
	report(base, npages);
}

static void set_flags(uint64_t at, unsigned flags)
{
	struct slot_txn txn;

	begin(&txn, 0);
	assert_int_equal(slot_set_flags(&txn, GFN(at), flags), OK);
	commit(&txn);
}

static void start_log(void)
{
	set_flags(base, SLOT_LOG);
	for (unsigned i = 0; i < hot_count; i++)
		hot[i].unreported = hot[i].written = hot[i].reported = 0;
}

static void stop_log(void)
{
	machine.run = NULL;
	set_flags(base, 0);
	hot_count = 0;
}

/* Run a test in each mode that the format has, with a slot that large pages fill. */
static void in_each_mode(void (*body)(void))
{
	if (v->iommu || !(format.rights & ACCESS_X))
		return; /* no core's format */
	for (enum tdp_log_mode mode = TDP_LOG_WP; mode <= TDP_LOG_PML; mode++) {
		enum status status = tdp_set_log_mode(&tdp, mode);

		assert_int_equal(status, mode == TDP_LOG_WP || format.dirty ? OK : ERR_UNSUPPORTED);
		if (status)
			break;
		core_pml_count = 0;
		machine.leave = hand_over;
		base = npages = gib;
		seed = now = 1;
		hot_count = 0;
		create(ram(base, npages, 4 * gib));
		body();
		delete (base);
		machine.run = NULL;
	}
	machine.leave = NULL;
}

static void choose_pages(void)
{
	hot_page(base);
	hot_page(base + 1);
	hot_page(base + 63);
	hot_page(base + 64);
	hot_page(base + 511);
	hot_page(base + 512);
	hot_page(base + 2 * BIG_PAGES + 77);
	hot_page(base + npages / 2);
	hot_page(base + npages - 1);
}

static void known_pages(void)
{
	uint64_t count;

	choose_pages();
	start_log();
	assert_true(tdp_logging(&tdp));
	report_all();
	for (unsigned i = 0; i < hot_count; i++)
		guest_writes(&hot[i]);
	report_all();
	report_all();
	guest_writes(&hot[3]);
	guest_writes(&hot[3]);
	hypervisor_writes(&hot[5]);
	/* A part of the slot says nothing about the rest. */
	report(base + 70, 100);
	report(base + 64, 1);
	report(base + 65, npages - 65);
	for (unsigned i = 0; i < hot_count; i++)
		guest_writes(&hot[i]);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(base), npages, NULL, &count), OK);
	assert_int_equal(count, hot_count);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(base), npages, NULL, &count), OK);
	assert_int_equal(count, 0);
	stop_log();
	assert_false(tdp_logging(&tdp));
}

static void test_known_pages(void **state unused)
{
	in_each_mode(known_pages);
}

static void large_pages(void)
{
	struct translation tr;

	start_log();
	for (uint64_t gfn = base; gfn < base + npages; gfn = tr.end) {
		assert_true(machine_translate(gfn, &tr));
		assert_int_equal(tr.level, largest);
		if (tr.level > 1)
			assert_int_equal(tr.access, machine_rights(TDP_CPU, ACCESS_RX));
	}
	hot_page(base + 5);
	guest_writes(&hot[0]);
	expect_mapped(base + 5, 4 * gib + 5, 1);
	/* The neighbours in the region: only where each write leaves a flag. */
	assert_true(machine_translate(base + 6, &tr));
	assert_int_equal(!!(tr.access & ACCESS_W), tdp.log_mode != TDP_LOG_WP);
	stop_log();
	for (uint64_t gfn = base; gfn < base + npages; gfn = tr.end) {
		assert_true(machine_translate(gfn, &tr));
		assert_int_equal(tr.level, largest);
		assert_int_equal(tr.access, machine_rights(TDP_CPU, ACCESS_RWX));
	}
}

static void test_large_pages(void **state unused)
{
	in_each_mode(large_pages);
}

/* A change of the flag is a change of that slot alone, by one store for each large page. */
static void only_its_entries(void)
{
	struct translation tr;
	uint64_t writes;

	if (largest == 1)
		return;
	create(ram(3 * gib, gib, 9 * gib));
	assert_int_equal(tdp_split(&tdp, TDP_CPU, GFN(3 * gib), 1), OK);
	writes = machine.writes;
	start_log();
	assert_true(machine.writes - writes <= npages / spte_span(largest));
	assert_true(machine_translate(3 * gib, &tr));
	assert_int_equal(tr.level, 1);
	assert_int_equal(tr.access, machine_rights(TDP_CPU, ACCESS_RWX));
	stop_log();
	delete (3 * gib);
}

static void test_only_its_entries(void **state unused)
{
	in_each_mode(only_its_entries);
}

/* Cores that write at every moment: before and after each store, flush and hold. */
static void storm(void)
{
	choose_pages();
	start_log();
	for (unsigned round = 0; round < 40; round++) {
		struct page_model *p = &hot[draw(hot_count)];

		machine.run = write_some;
		switch (draw(8)) {
		case 0:
			hypervisor_writes(p);
			break;
		case 1:
			report_all();
			break;
		case 2:
			report(p->gfn, 1);
			break;
		case 3:
			assert_int_equal(tdp_zap_slot(&tdp, GFN(base)), OK);
			break;
		default:
			guest_writes(p);
		}
		machine.run = NULL;
	}
	report_all();
	report_all();
	stop_log();
}

static void test_storm(void **state unused)
{
	in_each_mode(storm);
}

/* All at the same moment, so that each flag that is there to be lost is. */
static void everything_at_once(void)
{
	choose_pages();
	start_log();
	for (unsigned i = 0; i < hot_count; i++)
		guest_writes(&hot[i]);
	report_all();
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = round % 2; i < hot_count; i += 2)
			guest_writes(&hot[i]);
		machine.run = write_all;
		report_all();
		machine.run = NULL;
	}
	report_all();
	stop_log();
}

static void test_everything_at_once(void **state unused)
{
	in_each_mode(everything_at_once);
}

/* A transaction copies the tables of a slot next door; cores go on writing to the old ones. */
static void copied_tables(void)
{
	uint64_t small = base + npages;

	npages -= 5;
	delete (base);
	create(ram(base, npages, 4 * gib));
	hot_page(small - 6);
	hot_page(small - 7);
	hot_page(small - 500);
	hot_page(base);
	start_log();
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < hot_count; i++)
			guest_writes(&hot[i]);
		report_all();
		machine.run = write_some;
		create(ram(small - 2, 4, 9 * gib));
		machine.run = NULL;
		report_all();
		report_all();
		machine.run = write_all;
		delete (small - 2);
		machine.run = NULL;
		report_all();
	}
	stop_log();
}

static void test_copied_tables(void **state unused)
{
	in_each_mode(copied_tables);
}

/* What takes tables away takes no news of writes away. */
static void zaps(void)
{
	struct tdp_walk w;

	choose_pages();
	start_log();
	for (unsigned round = 0; round < 12; round++) {
		for (unsigned i = 0; i < hot_count; i++)
			guest_writes(&hot[i]);
		if (round % 2)
			report_all();
		machine.run = round % 2 ? write_some : write_all;
		if (round % 3 == 0) {
			assert_int_equal(tdp_zap_slot(&tdp, GFN(base)), OK);
		} else if (round % 3 == 1) {
			tdp_zap_all(&tdp);
		} else {
			tdp_lookup(&tdp, TDP_CPU, GPA((base + 1) << PAGE_SHIFT), &w);
			assert_int_equal(tdp_zap_table(&tdp, w.step[w.steps - 1].table), OK);
		}
		machine.run = NULL;
		report_all();
	}
	machine.gaps = true;
	tdp_set_zap_all(&tdp, true);
	for (unsigned i = 0; i < hot_count; i++)
		guest_writes(&hot[i]);
	machine.run = write_all;
	create(ram(5 * gib, 1, 3));
	delete (5 * gib);
	machine.run = NULL;
	report_all();
	tdp_set_zap_all(&tdp, false);
	stop_log();
	machine.gaps = false;
}

static void test_zaps(void **state unused)
{
	in_each_mode(zaps);
}

/* The same where a slot is a part of one table. */
static void small_slot(void)
{
	struct slot s = ram(base + 3, 20, 4 * gib + 1);
	struct slot_txn txn;

	delete (base);
	create(s);
	base += 3;
	npages = 20;
	hot_page(base);
	hot_page(base + 7);
	hot_page(base + 19);
	start_log();
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < hot_count; i++)
			guest_writes(&hot[i]);
		if (round % 2)
			report_all();
		machine.run = write_some;
		if (round < 3) {
			assert_int_equal(tdp_zap_slot(&tdp, GFN(base)), OK);
		} else {
			/* Other rights, the same frames. */
			s.access ^= ACCESS_X;
			s.flags = SLOT_LOG;
			begin(&txn, 0);
			assert_int_equal(slot_replace(&txn, &s), OK);
			commit(&txn);
		}
		machine.run = NULL;
		report_all();
	}
	stop_log();
}

static void test_small_slot(void **state unused)
{
	in_each_mode(small_slot);
}

/* A guest without memory for tables gives up those of its log, not the log. */
static void merges(void)
{
	uint64_t limit = budget.limit;
	struct translation tr;

	if (largest == 1)
		return;
	choose_pages();
	start_log();
	guest_writes(&hot[0]);
	tdp_collapse(&tdp, GFN(0), BIT(36));
	assert_true(machine_translate(base, &tr));
	assert_int_equal(tr.level, 1);
	budget.limit = budget.used;
	machine.run = write_all;
	guest_writes(&hot[7]);
	machine.run = NULL;
	assert_true(machine_translate(base, &tr));
	assert_true(tr.level > 1);
	budget.limit = limit;
	report_all();
	stop_log();
}

static void test_merges(void **state unused)
{
	in_each_mode(merges);
}

/* Which of these pages are reported? One bit for each page of a small slot. */
static uint64_t report_bits(uint64_t start, uint64_t n)
{
	uint64_t bitmap[2], count;

	assert_true(start % 64 == 0 && n <= 64);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(start), n, bitmap, &count), OK);
	machine_check();
	return bitmap[0];
}

static void mark_page(uint64_t gfn)
{
	mm_read_begin();
	tdp_mark_dirty(&tdp, GFN(gfn));
	mm_read_end();
}

static struct slot logged(uint64_t at, uint64_t n, uint64_t pfn)
{
	struct slot s = ram(at, n, pfn);

	s.flags = SLOT_LOG;
	return s;
}

/* Pages with other backing count as written; others keep their state. */
static void other_backing(void)
{
	uint64_t at = 4 * gib;
	struct slot s = logged(at, 8, 100);
	struct slot_txn txn;

	create(s);
	assert_int_equal(report_bits(at, 8), 0xff); /* there was nothing before */
	assert_int_equal(report_bits(at, 8), 0);
	mark_page(at + 3);
	begin(&txn, 0);
	assert_int_equal(slot_resize(&txn, GFN(at), 12), OK);
	commit(&txn);
	assert_int_equal(report_bits(at, 12), 0xf08);
	mark_page(at + 2);
	mark_page(at + 10);
	begin(&txn, 0);
	assert_int_equal(slot_resize(&txn, GFN(at), 4), OK);
	commit(&txn);
	assert_int_equal(report_bits(at, 4), 4);
	mark_page(at + 1);
	s.npages = 4;
	s.access = ACCESS_RW;
	begin(&txn, 0);
	assert_int_equal(slot_replace(&txn, &s), OK);
	commit(&txn);
	assert_int_equal(report_bits(at, 4), 2);
	s.pfn.v = 200;
	begin(&txn, 0);
	assert_int_equal(slot_replace(&txn, &s), OK);
	commit(&txn);
	assert_int_equal(report_bits(at, 4), 0xf);
	begin(&txn, 0);
	assert_int_equal(slot_move(&txn, GFN(at), GFN(at + 128)), OK);
	commit(&txn);
	assert_int_equal(report_bits(at + 128, 4), 0xf);
	/* Two logs become one, and one becomes two; what is not logged in between is lost. */
	create(logged(at + 132, 4, 204));
	assert_int_equal(report_bits(at + 128, 4), 0);
	mark_page(at + 129);
	mark_page(at + 133);
	begin(&txn, 0);
	assert_int_equal(slot_delete(&txn, GFN(at + 132)), OK);
	assert_int_equal(slot_resize(&txn, GFN(at + 128), 8), OK);
	commit(&txn);
	assert_int_equal(report_bits(at + 128, 8), 0xf2);
	delete (at + 128);
}

static void test_other_backing(void **state unused)
{
	in_each_mode(other_backing);
}

/* The guest's flags in tables that a transaction replaces go where the frames stay. */
static void flags_move_on(void)
{
	struct slot_txn txn;

	choose_pages();
	start_log();
	for (unsigned i = 0; i < hot_count; i++)
		guest_writes(&hot[i]);
	hot_count--; /* the last page of the slot goes */
	machine.run = write_all;
	npages -= 1;
	begin(&txn, 0);
	assert_int_equal(slot_resize(&txn, GFN(base), npages), OK);
	commit(&txn);
	machine.run = NULL;
	report_all();
	report_all();
	stop_log();
}

static void test_flags_move_on(void **state unused)
{
	in_each_mode(flags_move_on);
}

static void and_executable_pages(void)
{
	struct tdp_fault f;

	tdp_set_nx_huge(&tdp, true);
	choose_pages();
	start_log();
	for (unsigned i = 0; i < hot_count; i++) {
		assert_int_not_equal(fault(hot[i].gfn, ACCESS_RX, &f), TDP_ERROR);
		guest_writes(&hot[i]);
	}
	report_all();
	for (unsigned round = 0; round < 4; round++) {
		machine.run = round % 2 ? write_some : write_all;
		tdp_nx_recover(&tdp, 100);
		machine.run = NULL;
		report_all();
	}
	stop_log();
	tdp_set_nx_huge(&tdp, false);
}

static void test_and_executable_pages(void **state unused)
{
	in_each_mode(and_executable_pages);
}

static void refused(struct slot s, enum status expected)
{
	struct slot_txn txn;
	enum status status;

	begin(&txn, 1);
	status = slot_create(&txn, &s);
	if (!status)
		status = try_commit(&txn);
	assert_int_equal(status, expected);
	assert_non_null(txn.reason);
	tdp_abort(&tdp, &txn);
}

static void test_refused(void **state unused)
{
	struct slot s = logged(gib, 8, 100);
	uint64_t count;

	s.flags = 2;
	refused(s, ERR_INVALID);
	s.flags = SLOT_LOG;
	s.kind = SLOT_ROM;
	s.access = ACCESS_RX;
	refused(s, ERR_INVALID);
	s.kind = SLOT_DEVICE;
	s.access = ACCESS_RW;
	refused(s, ERR_INVALID);
	s.kind = SLOT_RAM;
	if (v->iommu) {
		refused(s, ERR_UNSUPPORTED);
		return;
	}
	s.access = ACCESS_W;
	refused(s, ERR_UNSUPPORTED);
	s.access = ACCESS_RW;
	create(s);
	assert_int_equal(attach_iommu(&iommus[0]), ERR_UNSUPPORTED);
	assert_int_equal(tdp_set_log_mode(&tdp, TDP_LOG_WP), ERR_BUSY);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(gib), 0, NULL, &count), ERR_INVALID);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(gib), 9, NULL, &count), ERR_NOT_FOUND);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(gib - 1), 1, NULL, &count), ERR_NOT_FOUND);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(gib + 8), 1, NULL, &count), ERR_NOT_FOUND);
	create(ram(3 * gib, 1, 0));
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(3 * gib), 1, NULL, &count), ERR_NOT_FOUND);
	mark_page(3 * gib); /* nobody keeps a log of it */
}

/* Without memory for the bitmap, or for a table, nothing has changed. */
static void test_without_memory(void **state unused)
{
	uint64_t used, at = 2 * gib + 3;
	enum status status = ERR_NOMEM;
	struct slot_txn txn;

	if (v->iommu)
		return;
	create(logged(gib, 700, gib));
	create(ram(at, 700, 4 * gib));
	mark_page(gib + 1);
	used = budget.used;
	for (long n = 0; status; n++) {
		uint64_t version = tdp_slots(&tdp)->version;

		begin(&txn, 0);
		assert_int_equal(slot_set_flags(&txn, GFN(at), SLOT_LOG), OK);
		fail_after = n;
		status = try_commit(&txn);
		fail_after = -1;
		if (!status)
			break;
		assert_int_equal(status, ERR_NOMEM);
		assert_non_null(txn.reason);
		assert_int_equal(tdp_slots(&tdp)->version, version);
		assert_int_equal(budget.used, used);
	}
	assert_int_equal(report_bits(gib, 64) & 2, 2);
}

/* Bitmaps whose pages take a directory. */
static void test_wide_slot(void **state unused)
{
	uint64_t wide = 40 * (SIZE_1G >> PAGE_SHIFT), at = 64 * (SIZE_1G >> PAGE_SHIFT), count;

	if (v->iommu || largest < 2 || at + wide > reach)
		return;
	create(ram(at, wide, at));
	set_flags(at, SLOT_LOG);
	mark_page(at);
	mark_page(at + wide - 1);
	mark_page(at + wide / 2);
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(at), wide, NULL, &count), OK);
	assert_int_equal(count, 3);
	set_flags(at, 0);
}

/* Many logs next to each other, so that words of one are not those of another. */
static void test_many_logs(void **state unused)
{
	struct slot_txn txn;
	uint64_t count;

	if (v->iommu)
		return;
	begin(&txn, 300);
	for (uint64_t i = 0; i < 300; i++) {
		struct slot s = logged(gib + 3 * i, i % 2 ? 2 : 3, 100 + 3 * i);

		assert_int_equal(slot_create(&txn, &s), OK);
	}
	commit(&txn);
	for (uint64_t i = 0; i < 300; i++)
		assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(gib + 3 * i), 2, NULL, &count), OK);
	mark_page(gib + 3 * 17 + 1);
	for (uint64_t i = 0; i < 300; i++) {
		assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(gib + 3 * i), 2, NULL, &count), OK);
		assert_int_equal(count, i == 17);
	}
}

static const struct mm_test tests[] = {
	TEST(test_known_pages),   TEST(test_large_pages),        TEST(test_only_its_entries),
	TEST(test_storm),         TEST(test_everything_at_once), TEST(test_copied_tables),
	TEST(test_zaps),          TEST(test_small_slot),         TEST(test_merges),
	TEST(test_other_backing), TEST(test_flags_move_on),      TEST(test_and_executable_pages),
	TEST(test_refused),       TEST(test_without_memory),     TEST(test_wide_slot),
	TEST(test_many_logs),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
