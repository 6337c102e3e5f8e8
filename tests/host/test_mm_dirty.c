/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second-level MMU: dirty logs against cores that write at every moment they can, through
 * whatever their TLBs and stale tables still permit. MM_SEED=n, MM_STEPS=n.
 */
// sources: tests/host/mm_core.c tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c
// sources: mm/slot.c mm/spte.c mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c
// sources: mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c mm/tdp_resize.c mm/tdp_nx.c
// sources: mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_core.h"
#include "mm_fixture.h"

/* The logged slot: from the middle of one 2 MiB region over three more into another. */
#define BASE  (4 * BIG_PAGES + 100)
#define PAGES (4 * BIG_PAGES)

static enum tdp_log_mode mode;
static uint64_t pages; /* of the slot: PAGES, or so few that they are in one table */
static bool logged;    /* the slot has a log, at least when the next transaction is over */
static bool reporting; /* a report is under way */
static uint64_t rng;

/* Of each page: the next report must name it, may name it, and it was written to meanwhile. */
static bool must[PAGES], may[PAGES], during[PAGES];

static unsigned rnd(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)((rng >> 11) % n);
}

/* Few pages, so that they meet again; from each region. */
static uint64_t some_page(void)
{
	return (rnd(4) * BIG_PAGES + rnd(3) * 200 + rnd(2)) % pages;
}

static void written(uint64_t page)
{
	if (reporting)
		during[page] = true;
	else
		must[page] = true;
}

/* In the guest, at any moment. */
static void write_somewhere(void)
{
	for (unsigned n = rnd(4); n; n--) {
		uint64_t page = some_page();

		if (core_write(BASE + page, rnd(64)))
			written(page);
	}
}

static void leave(void)
{
	for (unsigned i = 0; mode == TDP_LOG_PML && i < core_pml_count; i++)
		tdp_mark_dirty(&tdp, GFN(core_pml[i]));
	core_pml_count = 0;
}

/* A write with the fault that it takes. */
static void write_page(void)
{
	uint64_t page = some_page();
	struct tdp_fault f;

	if (core_pml_count == CORE_PML)
		leave();
	if (!core_write(BASE + page, rnd(64))) {
		enum tdp_result r = fault(BASE + page, ACCESS_W, &f);

		assert_true(r == TDP_FIXED || r == TDP_SPURIOUS);
		assert_true(core_write(BASE + page, rnd(64)));
	}
	written(page);
}

static void check_page(uint64_t page, bool reported)
{
	if (must[page] && !reported)
		fail_msg("page %llu was written to and is not reported", (unsigned long long)page);
	if (reported && !must[page] && !may[page] && !during[page])
		fail_msg("page %llu is reported, for nothing", (unsigned long long)page);
	/* What came during the report is in this one, perhaps in the next one again. */
	may[page] = reported && during[page];
	must[page] = !reported && during[page];
	during[page] = false;
}

static void report(void)
{
	uint64_t start = rnd(3) ? 0 : rnd((unsigned)pages);
	uint64_t end = rnd(3) ? pages : start + rnd(700) + 1;
	uint64_t bitmap[PAGES / 64 + 2], count, sum = 0;
	uint64_t first = ALIGN_DOWN(BASE + start, 64);

	end = min_u64(end, pages);
	reporting = true;
	assert_int_equal(tdp_dirty_get_clear(&tdp, GFN(BASE + start), end - start, bitmap, &count),
			 OK);
	reporting = false;
	for (uint64_t page = 0; page < pages; page++) {
		uint64_t n = BASE + page - first;

		if (page >= start && page < end) {
			bool reported = bitmap[n / 64] >> n % 64 & 1;

			sum += reported;
			check_page(page, reported);
		} else {
			must[page] |= during[page];
			during[page] = false;
		}
	}
	assert_int_equal(count, sum);
}

/* Nothing written before the log begins must be in it, but it may. */
static void set_log(bool on)
{
	struct slot_txn txn;

	begin(&txn, 0);
	assert_int_equal(slot_set_flags(&txn, GFN(BASE), on ? SLOT_LOG : 0), OK);
	commit(&txn);
	if (on != logged)
		for (uint64_t page = 0; page < pages; page++) {
			may[page] |= must[page];
			must[page] = false;
		}
	logged = on;
}

/* Changes beside the slot, in tables that it shares. */
static void change_neighbour(void)
{
	const struct slot *s = slot_find(tdp_slots(&tdp), GFN(4 * BIG_PAGES + 3));

	if (s)
		delete (4 * BIG_PAGES + 3);
	else
		create(ram(4 * BIG_PAGES + 3, 5, 77 * BIG_PAGES + 3));
}

/* The slot keeps its frames and its log, and its leaves are made anew. */
static void change_rights(void)
{
	struct slot s = *slot_find(tdp_slots(&tdp), GFN(BASE));
	struct slot_txn txn;

	s.access ^= ACCESS_X;
	begin(&txn, 0);
	assert_int_equal(slot_replace(&txn, &s), OK);
	commit(&txn);
}

/* Executable pages are what a merge of NX regions looks at. */
static void fetch(void)
{
	struct tdp_fault f;
	enum tdp_result r = fault(BASE + some_page(), ACCESS_X, &f);

	assert_true(r == TDP_FIXED || r == TDP_SPURIOUS || f.error == ERR_DENIED);
}

static void step(void)
{
	switch (rnd(17)) {
	case 0:
	case 1:
	case 2:
		if (logged)
			report();
		break;
	case 3:
		set_log(rnd(3));
		break;
	case 4:
		change_neighbour();
		break;
	case 5:
		machine.gaps = true;
		assert_int_equal(tdp_zap_slot(&tdp, GFN(BASE)), OK);
		break;
	case 6:
		tdp_collapse(&tdp, GFN(BASE), pages);
		break;
	case 7:
		assert_true(tdp_split(&tdp, TDP_CPU, GFN(BASE + some_page()), 1) != ERR_NOMEM);
		break;
	case 8:
		assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
		break;
	case 9:
		if (!rnd(3)) {
			machine.gaps = true;
			tdp_set_nx_huge(&tdp, rnd(2));
		}
		tdp_nx_recover(&tdp, 2);
		break;
	case 10:
		change_rights();
		break;
	case 11:
	case 12:
		fetch();
		break;
	default:
		write_page();
	}
	machine_check();
}

static unsigned from_environment(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

static void run_mode(enum tdp_log_mode m, uint64_t npages)
{
	unsigned steps = from_environment("MM_STEPS", 100);
	enum status status;

	if (v->iommu || !(format.rights & ACCESS_X))
		return;
	mode = m;
	pages = npages;
	status = tdp_set_log_mode(&tdp, mode);
	if (mode != TDP_LOG_WP && !format.dirty) {
		assert_int_equal(status, ERR_UNSUPPORTED);
		return;
	}
	assert_int_equal(status, OK);
	rng = 0x9e3779b97f4a7c15 * from_environment("MM_SEED", 1);
	logged = false;
	memset(must, 0, sizeof(must));
	memset(may, 0, sizeof(may));
	core_pml_count = 0;
	create(ram(BASE, pages, 20 * BIG_PAGES + BASE));
	machine.run = write_somewhere;
	machine.leave = leave;
	while (steps--)
		step();
	if (logged)
		report();
	machine.run = machine.leave = NULL;
	set_log(false);
}

static void test_write_protection(void **state unused)
{
	run_mode(TDP_LOG_WP, PAGES);
}

static void test_dirty_flags(void **state unused)
{
	run_mode(TDP_LOG_D, PAGES);
}

static void test_page_modification_logging(void **state unused)
{
	run_mode(TDP_LOG_PML, PAGES);
}

static void test_slot_in_one_table(void **state unused)
{
	run_mode(format.dirty ? TDP_LOG_D : TDP_LOG_WP, 300);
}

static void write_first_page(void)
{
	assert_true(core_write(4 * BIG_PAGES, 0));
}

/*
 * A core writes to an executable page just when the page's accessed flag is cleared, which is to say
 * whether its region can be merged: the page is dirty all the same.
 */
static void test_nx_recovery_keeps_dirty(void **state unused)
{
	struct slot s = ram(4 * BIG_PAGES, BIG_PAGES, 8 * BIG_PAGES);
	uint64_t bitmap[BIG_PAGES / 64], count;
	struct tdp_fault f;

	if (v->iommu || largest == 1 || !(format.rights & ACCESS_X) || !format.dirty)
		return;
	tdp_set_nx_huge(&tdp, true);
	s.flags = SLOT_LOG;
	create(s);
	/* It is new, all of it. */
	assert_int_equal(tdp_dirty_get_clear(&tdp, s.base, BIG_PAGES, NULL, &count), OK);
	assert_int_equal(count, BIG_PAGES);
	assert_int_equal(fault(s.base.v, ACCESS_X, &f), TDP_FIXED);
	assert_int_equal(fault(s.base.v, ACCESS_W, &f), TDP_FIXED);
	machine.run = write_first_page;
	tdp_nx_recover(&tdp, 1);
	machine.run = NULL;
	assert_int_equal(tdp_dirty_get_clear(&tdp, s.base, BIG_PAGES, bitmap, &count), OK);
	assert_int_equal(count, 1);
	assert_int_equal(bitmap[0], 1);
}

static const struct mm_test tests[] = {
	TEST(test_write_protection),          TEST(test_dirty_flags),
	TEST(test_page_modification_logging), TEST(test_slot_in_one_table),
	TEST(test_nx_recovery_keeps_dirty),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
