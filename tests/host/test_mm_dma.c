/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: the table for a guest's devices, beside that of its cores. */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c
// sources: mm/tdp_fault.c mm/tdp_zap.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mm_fixture.h"

/* From here on each test chooses its IOMMUs itself. */
static void no_iommu(void)
{
	if (v->iommu)
		detach_iommu();
}

static struct slot slot_of_kind(uint64_t base, uint64_t npages, enum slot_kind kind,
				unsigned access)
{
	struct slot s = ram(base, npages, 2 * BIG_PAGES + base);

	s.kind = (uint8_t)kind;
	s.access = (uint8_t)access;
	return s;
}

/* 2 MiB of each kind of slot but the last, which is smaller, and a hole between them. */
static void all_kinds(void)
{
	create(slot_of_kind(0, BIG_PAGES, SLOT_RAM, ACCESS_RWX));
	create(slot_of_kind(BIG_PAGES, BIG_PAGES, SLOT_ROM, ACCESS_RX));
	create(slot_of_kind(2 * BIG_PAGES, BIG_PAGES, SLOT_DEVICE, ACCESS_RW));
	create(slot_of_kind(4 * BIG_PAGES, 77, SLOT_SHARED, ACCESS_R));
}

static bool device_reaches(uint64_t gfn)
{
	struct translation tr;

	return machine_translate_in(TDP_DMA, gfn, &tr);
}

/* A guest that runs gets a device: memory is there at once, other devices are not. */
static void test_attach(void **state unused)
{
	uint64_t tables, used;

	no_iommu();
	all_kinds();
	tables = tdp_stats(&tdp).tables;
	used = budget.used;
	for (size_t i = 0; i < MM_IOMMUS; i++) {
		assert_int_equal(attach_iommu(&iommus[i]), OK);
		machine_check();
		assert_true(device_reaches(0));
		assert_true(device_reaches(2 * BIG_PAGES - 1));
		assert_false(device_reaches(2 * BIG_PAGES));
		assert_false(device_reaches(3 * BIG_PAGES - 1));
		assert_true(device_reaches(4 * BIG_PAGES + 76));
		assert_false(device_reaches(4 * BIG_PAGES + 77));
		assert_int_equal(tdp_root(&tdp, TDP_DMA), virt_to_hpa(tdp.view[TDP_DMA].root).v);
		assert_int_equal(tdp_attach_dma(&tdp, &iommu_format), ERR_BUSY);
		detach_iommu();
		machine_check();
		assert_int_equal(tdp_stats(&tdp).tables, tables);
		assert_int_equal(budget.used, used);
	}
	tdp_detach_dma(&tdp); /* there is none */
}

static void test_attach_without_memory(void **state unused)
{
	enum status status = ERR_NOMEM;
	uint64_t used;
	long n = 0;

	no_iommu();
	all_kinds();
	used = budget.used;
	for (; status; n++) {
		assert_in_range(n, 0, 20);
		fail_after = n;
		status = attach_iommu(&iommus[1]);
		fail_after = -1;
		assert_true(status == OK || status == ERR_NOMEM);
		if (status)
			assert_int_equal(budget.used, used);
	}
	assert_true(n > 3);
}

/* A guest that already has what the IOMMU cannot reach gets no device. */
static void test_attach_out_of_reach(void **state unused)
{
	const struct walk_rules *far = &iommus[2].walk; /* 39 bits, both ways */
	uint64_t end = BIT(far->gpa_bits - PAGE_SHIFT);

	no_iommu();
	if (format.gpa_bits <= far->gpa_bits)
		return;
	create(ram(end - 3, 4, 9));
	assert_int_equal(attach_iommu(&iommus[2]), ERR_RANGE);
	delete (end - 3);
	create(ram(end - 3, 3, 9));
	assert_int_equal(attach_iommu(&iommus[2]), OK);
	machine_check();
	detach_iommu();
	if (format.maxphyaddr <= far->maxphyaddr)
		return;
	create(ram(1, 2, BIT(far->maxphyaddr - PAGE_SHIFT) - 1));
	assert_int_equal(attach_iommu(&iommus[2]), ERR_RANGE);
	assert_false(machine.walker[TDP_DMA].root);
}

/* What only the devices' table cannot express refuses the transaction for the cores as well. */
static void test_transaction_out_of_reach(void **state unused)
{
	uint64_t end = BIT(iommus[2].walk.gpa_bits - PAGE_SHIFT);
	struct slot beyond = ram(end - 1, 2, 5);
	struct slot_txn txn;

	no_iommu();
	create(ram(0, 5, 5));
	assert_int_equal(attach_iommu(&iommus[2]), OK);
	begin(&txn, 1);
	assert_int_equal(slot_create(&txn, &beyond), OK);
	expect_refused(&txn, try_commit(&txn), ERR_RANGE);
	expect_unmapped(end - 1);
	beyond = ram(7, 2, BIT(iommus[2].walk.maxphyaddr - PAGE_SHIFT) - 1);
	begin(&txn, 1);
	assert_int_equal(slot_create(&txn, &beyond), OK);
	expect_refused(&txn, try_commit(&txn), ERR_RANGE);
	expect_unmapped(7);
	assert_false(device_reaches(7));
}

/* A device cannot retry: nothing that is for the cores alone touches its table. */
static void test_cores_matters(void **state unused)
{
	struct tdp_fault f;
	uint64_t writes;

	no_iommu();
	all_kinds();
	assert_int_equal(attach_iommu(&iommus[0]), OK);
	writes = machine.dma_writes;
	machine.gaps = true;
	assert_int_equal(tdp_zap_slot(&tdp, GFN(0)), OK);
	machine_check();
	tdp_zap_all(&tdp);
	machine_check();
	assert_int_equal(fault(3, ACCESS_R, &f), TDP_FIXED);
	if (format.rights & ACCESS_X) {
		tdp_set_nx_huge(&tdp, true);
		machine_check();
		assert_int_equal(fault(3, ACCESS_X, &f), TDP_FIXED);
		machine_check();
	}
	assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
	/* Nor does a change that devices do not see. */
	delete (2 * BIG_PAGES);
	assert_int_equal(machine.dma_writes, writes);
	assert_true(device_reaches(3));
}

static void test_sizes_in_place(void **state unused)
{
	struct translation tr;

	no_iommu();
	create(ram(0, 2 * BIG_PAGES, 4 * BIG_PAGES));
	assert_int_equal(attach_iommu(&iommus[4]), OK);
	assert_true(machine_translate_in(TDP_DMA, 3, &tr));
	assert_int_equal(tr.level, 2);
	assert_int_equal(tdp_split(&tdp, TDP_DMA, GFN(3), 1), OK);
	machine_check();
	assert_true(machine_translate_in(TDP_DMA, 3, &tr));
	assert_int_equal(tr.level, 1);
	assert_true(machine_translate_in(TDP_DMA, BIG_PAGES, &tr));
	assert_int_equal(tr.level, 2);
	assert_int_equal(tdp_collapse(&tdp, GFN(0), 1), 1);
	machine_check();
	assert_true(machine_translate_in(TDP_DMA, 3, &tr));
	assert_int_equal(tr.level, 2);
}

/* Of memory that can only be executed, devices have nothing, however it is cut into slots. */
static void test_execute_only(void **state unused)
{
	struct slot s = slot_of_kind(0, BIG_PAGES / 2, SLOT_RAM, ACCESS_X);
	struct slot_txn txn;

	no_iommu();
	if (!spte_access_legal(&format, ACCESS_X))
		return;
	assert_int_equal(attach_iommu(&iommus[0]), OK);
	create(s);
	s.base.v += s.npages;
	s.pfn.v += s.npages;
	create(s);
	assert_false(device_reaches(0));
	assert_false(device_reaches(BIG_PAGES - 1));
	/* The two halves become one. */
	begin(&txn, 0);
	assert_int_equal(slot_delete(&txn, s.base), OK);
	assert_int_equal(slot_resize(&txn, GFN(0), BIG_PAGES), OK);
	commit(&txn);
	assert_false(device_reaches(0));
	s.base.v = 0;
	s.npages = BIG_PAGES;
	s.pfn.v = 2 * BIG_PAGES;
	s.access = ACCESS_RX;
	begin(&txn, 0);
	assert_int_equal(slot_replace(&txn, &s), OK);
	commit(&txn);
	assert_true(device_reaches(0));
}

/* Nothing is ever zapped from the devices' table, not by an address in it either. */
static void test_no_zap_by_back_pointer(void **state unused)
{
	struct translation tr;
	struct tdp_walk w;

	no_iommu();
	create(ram(3, 9, 100));
	assert_int_equal(attach_iommu(&iommus[0]), OK);
	tdp_lookup(&tdp, TDP_DMA, GPA(5 << PAGE_SHIFT), &w);
	assert_true(w.mapped && w.steps > 1);
	for (unsigned i = 0; i < w.steps; i++)
		assert_int_equal(tdp_zap_table(&tdp, w.step[i].table), ERR_NOT_FOUND);
	assert_true(machine_translate_in(TDP_DMA, 5, &tr));
}

/* Devices see memory and not registers: the kind of a slot matters to them. */
static void change_kind(enum slot_kind from, enum slot_kind to)
{
	struct slot s = ram(0, BIG_PAGES, 4 * BIG_PAGES);
	struct translation tr;
	struct slot_txn txn;

	no_iommu();
	s.access = ACCESS_RW;
	s.kind = (uint8_t)from;
	create(s);
	assert_int_equal(attach_iommu(&iommus[0]), OK);
	assert_int_equal(machine_translate_in(TDP_DMA, 5, &tr), from != SLOT_DEVICE);
	begin(&txn, 0);
	s.kind = (uint8_t)to;
	assert_int_equal(slot_replace(&txn, &s), OK);
	commit(&txn);
	assert_int_equal(machine_translate_in(TDP_DMA, 5, &tr), to != SLOT_DEVICE);
}

static void test_registers_become_memory(void **state unused)
{
	change_kind(SLOT_DEVICE, SLOT_RAM);
}

static void test_memory_becomes_registers(void **state unused)
{
	change_kind(SLOT_RAM, SLOT_DEVICE);
}

/* What devices do not see may lie beyond the reach of their IOMMU. */
static void test_far_registers(void **state unused)
{
	uint64_t end = BIT(iommus[2].walk.gpa_bits - PAGE_SHIFT);
	struct slot s = ram(end + 7, 4, 9);

	no_iommu();
	if (format.gpa_bits <= iommus[2].walk.gpa_bits)
		return;
	s.kind = SLOT_DEVICE;
	s.access = ACCESS_RW;
	s.type = MEM_UC;
	create(s);
	assert_int_equal(attach_iommu(&iommus[2]), OK);
	create(ram(3, 4, 9));
	delete (end + 7);
	create(s);
}

static const struct mm_test tests[] = {
	TEST(test_attach),
	TEST(test_attach_without_memory),
	TEST(test_attach_out_of_reach),
	TEST(test_transaction_out_of_reach),
	TEST(test_cores_matters),
	TEST(test_sizes_in_place),
	TEST(test_execute_only),
	TEST(test_no_zap_by_back_pointer),
	TEST(test_registers_become_memory),
	TEST(test_memory_becomes_registers),
	TEST(test_far_registers),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
