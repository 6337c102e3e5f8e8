/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

const struct variant variants[MM_VARIANTS] = {
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

const struct variant *v;
struct spte_format format;
struct page_budget budget;
struct tdp tdp;
uint64_t gib; /* pages */

struct slot ram(uint64_t base, uint64_t npages, uint64_t pfn)
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

void begin(struct slot_txn *txn, unsigned room)
{
	assert_int_equal(tdp_begin(&tdp, txn, room), OK);
}

enum status try_commit(struct slot_txn *txn)
{
	enum status status;

	machine_walk();
	machine.next = txn->draft;
	status = tdp_commit(&tdp, txn);
	machine.next = NULL;
	machine_check();
	return status;
}

void commit(struct slot_txn *txn)
{
	assert_int_equal(try_commit(txn), OK);
}

void create(struct slot s)
{
	struct slot_txn txn;

	begin(&txn, 1);
	assert_int_equal(slot_create(&txn, &s), OK);
	commit(&txn);
}

void delete (uint64_t base)
{
	struct slot_txn txn;

	begin(&txn, 0);
	assert_int_equal(slot_delete(&txn, GFN(base)), OK);
	commit(&txn);
}

enum tdp_result fault(uint64_t gfn, unsigned access, struct tdp_fault *f)
{
	*f = (struct tdp_fault){ .gpa = GPA(gfn << PAGE_SHIFT | 0x123), .access = (uint8_t)access };
	return tdp_fault(&tdp, f);
}

void expect_mapped(uint64_t gfn, uint64_t pfn, unsigned level)
{
	struct translation tr;

	assert_true(machine_translate(gfn, &tr));
	assert_int_equal(tr.pfn, pfn);
	assert_int_equal(tr.level, level < v->max_level ? level : v->max_level);
}

void expect_unmapped(uint64_t gfn)
{
	struct translation tr;

	assert_false(machine_translate(gfn, &tr));
}

void expect_refused(struct slot_txn *txn, enum status status, enum status expected)
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

int run_all(const struct mm_test *tests, size_t count)
{
	struct CMUnitTest *all = calloc(count * ARRAY_SIZE(variants), sizeof(*all));
	char(*names)[64] = calloc(count * ARRAY_SIZE(variants), sizeof(*names));
	size_t n = 0;
	int failed;

	assert_true(all && names);
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		for (size_t j = 0; j < count; j++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", variants[i].name,
				 tests[j].name);
			all[n] = (struct CMUnitTest){ names[n], tests[j].run, setup, teardown,
						      (void *)&variants[i] };
		}
	}
	failed = _cmocka_run_group_tests("mm", all, n, NULL, NULL);
	free(names);
	free(all);
	return failed;
}
