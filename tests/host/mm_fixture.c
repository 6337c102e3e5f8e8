/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

/* Rights as a set of numbers, each an OR of ACCESS_*: R, RW, RX, RWX; with X alone; all. */
#define READABLE  0xaa
#define EXEC_ONLY 0xba
#define ANY       0xfe

#define WALK(kind, depth, largest_leaf, gpa, hpa, ...)                                       \
	{                                                                                    \
		.format = kind, .levels = depth, .max_level = largest_leaf, .gpa_bits = gpa, \
		.maxphyaddr = hpa, __VA_ARGS__                                               \
	}

#define EPT_1G                                                                  \
	.walk = WALK(WALK_EPT, 4, 3, 48, 46, .exec_only = true, .flags = true), \
	.legal = EXEC_ONLY,                                                     \
	.ept = { .maxphyaddr = 46,                                              \
		 .exec_only = true,                                             \
		 .walk_4 = true,                                                \
		 .wb = true,                                                    \
		 .page_2m = true,                                               \
		 .page_1g = true,                                               \
		 .ad = true }
#define EPT_2M                                                   \
	.walk = WALK(WALK_EPT, 4, 2, 48, 39), .legal = READABLE, \
	.ept = { .maxphyaddr = 39, .walk_4 = true, .wb = true, .page_2m = true }
#define NPT_1G                                                                \
	.walk = WALK(WALK_NPT, 4, 3, 48, 48, .c_bit = 51), .legal = READABLE, \
	.npt = { .maxphyaddr = 48, .c_bit = 51, .page_1g = true, .nx = true }
#define VTD_1G                                                             \
	.walk = WALK(WALK_VTD, 4, 3, 48, 46, .snoop = true), .legal = ANY, \
	.vtd = { .haw = 46,                                                \
		 .mgaw = 57,                                               \
		 .agaw_39 = true,                                          \
		 .agaw_48 = true,                                          \
		 .page_2m = true,                                          \
		 .page_1g = true,                                          \
		 .snoop = true }
#define VTD_39                                                             \
	.walk = WALK(WALK_VTD, 3, 2, 39, 39, .snoop = true), .legal = ANY, \
	.vtd = { .haw = 39, .mgaw = 48, .agaw_39 = true, .page_2m = true, .snoop = true }
#define AMDVI                                                 \
	.walk = WALK(WALK_AMDVI, 4, 3, 48, 48), .legal = ANY, \
	.amdvi = { .pa_bits = 48, .va_bits = 64, .hats = 2 }

const struct variant iommus[MM_IOMMUS] = {
	{ "vtd-1g", VTD_1G },
	/* As old units are: small pages, narrow, and they do not look into the caches. */
	{ "vtd-4k", .walk = WALK(WALK_VTD, 4, 1, 42, 48, .non_coherent = true), .legal = ANY,
	  .vtd = { .haw = 48, .mgaw = 42, .agaw_48 = true } },
	{ "vtd-39", VTD_39 },
	{ "amdvi", AMDVI },
	/* As emulated ones are: they cache what is not there. */
	{ "vtd-2m",
	  .walk = WALK(WALK_VTD, 4, 2, 48, 46, .non_coherent = true, .caching_mode = true),
	  .legal = ANY,
	  .vtd = { .haw = 46, .mgaw = 48, .agaw_39 = true, .agaw_48 = true, .page_2m = true } },
};

const struct variant variants[MM_VARIANTS] = {
	{ "ept-1g", EPT_1G },
	{ "ept-2m", EPT_2M },
	{ "ept-4k", .walk = WALK(WALK_EPT, 4, 1, 48, 52, .flags = true), .legal = READABLE,
	  .ept = { .maxphyaddr = 52, .walk_4 = true, .wb = true, .ad = true } },
	{ "npt-1g", NPT_1G },
	{ "npt-2m", .walk = WALK(WALK_NPT, 4, 2, 48, 43), .legal = READABLE,
	  .npt = { .maxphyaddr = 43, .nx = true } },
	{ "npt-52", /* no reserved address bit, hence no MMIO entries */
	  .walk = WALK(WALK_NPT, 4, 3, 48, 52), .legal = READABLE,
	  .npt = { .maxphyaddr = 52, .page_1g = true, .nx = true } },
	{ "vtd-1g", VTD_1G },
	{ "vtd-4k", .walk = WALK(WALK_VTD, 4, 1, 42, 42), .legal = ANY,
	  .vtd = { .haw = 42, .mgaw = 42, .agaw_48 = true } },
	{ "vtd-39", VTD_39 },
	{ "amdvi", AMDVI },
	{ "ept-1g+vtd-1g", EPT_1G, .iommu = &iommus[0] },
	{ "npt-1g+vtd-4k", NPT_1G, .iommu = &iommus[1] },
	{ "ept-2m+vtd-39", EPT_2M, .iommu = &iommus[2] },
	{ "npt-1g+amdvi", NPT_1G, .iommu = &iommus[3] },
	{ "ept-1g+vtd-2m", EPT_1G, .iommu = &iommus[4] },
};

const struct variant *v;
struct spte_format format, iommu_format;
struct page_budget budget;
struct tdp tdp;
uint64_t gib, reach;
unsigned largest;

enum status variant_format(const struct variant *variant, struct spte_format *f)
{
	switch (variant->walk.format) {
	case WALK_EPT:
		return spte_format_ept(f, &variant->ept);
	case WALK_NPT:
		return spte_format_npt(f, &variant->npt);
	case WALK_VTD:
		return spte_format_vtd(f, &variant->vtd);
	default:
		return spte_format_amdvi(f, &variant->amdvi);
	}
}

enum status attach_iommu(const struct variant *iommu)
{
	enum status status = variant_format(iommu, &iommu_format);

	if (!status)
		status = tdp_attach_dma(&tdp, &iommu_format);
	if (!status)
		machine_attach(&iommu->walk);
	return status;
}

void detach_iommu(void)
{
	machine_detach();
	tdp_detach_dma(&tdp);
}

uint64_t cpu_tables(void)
{
	struct tdp_census census;
	uint64_t tables = 0;

	tdp_census(&tdp, TDP_CPU, &census);
	for (unsigned level = 1; level <= SPTE_LEVELS_MAX; level++)
		tables += census.tables[level];
	return tables;
}

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
	bool small;

	v = *state;
	/* Where there is nothing but 4 KiB pages, a small "GiB" shows the same in less time. */
	small = v->walk.max_level == 1 || (v->iommu && v->iommu->walk.max_level == 1);
	gib = small ? 16 * BIG_PAGES : SIZE_1G >> PAGE_SHIFT;
	largest = small && v->walk.max_level > 2 ? 2 : v->walk.max_level;
	reach = BIT(v->walk.gpa_bits - PAGE_SHIFT);
	if (v->iommu)
		reach = min_u64(reach, BIT(v->iommu->walk.gpa_bits - PAGE_SHIFT));
	test_pool(POOL_PAGES);
	assert_int_equal(variant_format(v, &format), OK);
	assert_int_equal(page_budget_init(&budget, "guest", page_pool_unreserved()), OK);
	assert_int_equal(tdp_init(&tdp, &format, &budget, &machine), OK);
	machine_start(&tdp, &v->walk);
	if (v->iommu)
		assert_int_equal(attach_iommu(v->iommu), OK);
	return 0;
}

/* Nothing may be left over, whatever the test did. */
static int teardown(void **state unused)
{
	fail_after = -1;
	if (tdp.lock.next != tdp.lock.owner || machine.reading ||
	    tdp.layout_lock.next != tdp.layout_lock.owner) {
		/* The test failed half-way through a change: setup() starts from scratch. */
		machine_stop();
		return 0;
	}
	machine_check();
	if (machine.walker[TDP_DMA].root)
		detach_iommu();
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

unsigned level_of(uint64_t gfn)
{
	struct translation tr;

	assert_true(machine_translate(gfn, &tr));
	return tr.level;
}

unsigned access_of(uint64_t gfn)
{
	struct translation tr;

	assert_true(machine_translate(gfn, &tr));
	return tr.access;
}

void expect_mapped(uint64_t gfn, uint64_t pfn, unsigned level)
{
	struct translation tr;

	assert_true(machine_translate(gfn, &tr));
	assert_int_equal(tr.pfn, pfn);
	assert_int_equal(tr.level, level < largest ? level : largest);
}

void expect_unmapped(uint64_t gfn)
{
	struct translation tr;

	assert_false(machine_translate(gfn, &tr));
}

void expect_refused(struct slot_txn *txn, enum status status, enum status expected)
{
	uint64_t writes = machine.writes + machine.dma_writes;

	assert_int_equal(status, expected);
	assert_int_equal(txn->error, expected);
	assert_non_null(txn->reason);
	/* The transaction is dead, whatever comes next. */
	assert_int_equal(slot_delete(txn, GFN(0)), expected);
	assert_int_equal(try_commit(txn), expected);
	assert_null(txn->draft);
	assert_int_equal(machine.writes + machine.dma_writes, writes);
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
