// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/vtd.c drivers/vtd_unit.c drivers/vtd_queue.c drivers/vtd_irq.c
// sources: drivers/vtd_fault.c drivers/dmar.c drivers/acpi.c drivers/pci.c mm/page_alloc.c
// sources: mm/spte_vtd.c tests/host/vtd_model.c tests/host/vtd_fixture.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/vtd.h"
#include "vtd_fixture.h"

static struct model_unit *const u1 = &model.unit[1];

static struct iommu_msi route(struct pci_bdf d, unsigned index, uint32_t apic_id, uint8_t vector)
{
	const struct iommu_irq to = { .apic_id = apic_id, .vector = vector };
	struct iommu_msi msi = { 0 };

	assert_int_equal(vtd_ops.irq_set(d, index, &to, &msi), OK);
	return msi;
}

static unsigned alloc(struct pci_bdf d, unsigned count)
{
	unsigned first = ~0u;

	assert_int_equal(vtd_ops.irq_alloc(d, count, &first), OK);
	return first;
}

static void arrives(struct pci_bdf d, struct iommu_msi msi, uint32_t dest, uint8_t vector)
{
	struct model_irq irq;

	assert_true(model_msi(u1, d, msi.address, msi.data, &irq));
	assert_int_equal(irq.dest, dest);
	assert_int_equal(irq.vector, vector);
	assert_int_equal(irq.mode, 0);
}

static void blocked(struct pci_bdf d, struct iommu_msi msi)
{
	struct model_irq irq;

	assert_false(model_msi(u1, d, msi.address, msi.data, &irq));
}

/* ------------------------------------------------------------------ messages */

static void test_route_and_block(void **state)
{
	struct iommu_msi msi;
	unsigned first;

	(void)state;
	start_ok();
	first = alloc(DISK, 3);
	msi = route(DISK, first + 2, 0x12345678, 0x41);
	assert_int_equal(msi.address >> 32, 0);
	arrives(DISK, msi, 0x12345678, 0x41);
	/* Again, to another core: what the device was told stays right. */
	assert_int_equal(route(DISK, first + 2, 7, 0x99).address, msi.address);
	arrives(DISK, msi, 7, 0x99);
	assert_int_equal(vtd_ops.irq_set(DISK, first + 2, NULL, NULL), OK);
	blocked(DISK, msi);
	arrives(DISK, route(DISK, first + 2, 1, 0x50), 1, 0x50);
}

static void test_xapic_format(void **state)
{
	const struct iommu_irq far = { .apic_id = 255, .vector = 0x30 };
	unsigned first;

	(void)state;
	dmar_flags |= DMAR_OPT_OUT;
	start_ok();
	first = alloc(DISK, 1);
	arrives(DISK, route(DISK, first, 254, 0x30), 254, 0x30);
	assert_int_equal(vtd_ops.irq_set(DISK, first, &far, NULL), ERR_RANGE);
}

static void test_broadcast_refused(void **state)
{
	const struct iommu_irq all = { .apic_id = ~0u, .vector = 0x30 };

	(void)state;
	start_ok();
	assert_int_equal(vtd_ops.irq_set(DISK, alloc(DISK, 1), &all, NULL), ERR_RANGE);
}

/* Nobody else can send it, nor can its owner go around it. */
static void test_forged(void **state)
{
	struct iommu_fault fault;
	struct iommu_msi msi, other;
	struct model_irq irq;

	(void)state;
	start_ok();
	msi = route(DISK, alloc(DISK, 1), 1, 0x41);
	blocked(NIC, msi);
	assert_true(vtd_ops.next_fault(&fault));
	assert_int_equal(fault.reason, 0x26);
	assert_true(fault.interrupt);
	assert_int_equal(fault.source.function, NIC.function);
	other = msi;
	other.address &= ~0x10ull;
	blocked(DISK, other);
	assert_true(vtd_ops.next_fault(&fault));
	assert_int_equal(fault.reason, 0x25);
	other = msi;
	other.data = 1;
	blocked(DISK, other);
	assert_true(vtd_ops.next_fault(&fault));
	assert_int_equal(fault.reason, 0x22);
	assert_int_equal(fault.address, 1);
	other.data = 8191;
	blocked(DISK, other);
	assert_true(vtd_ops.next_fault(&fault));
	assert_int_equal(fault.reason, 0x22);
	other.data = 8192;
	blocked(DISK, other);
	assert_true(vtd_ops.next_fault(&fault));
	assert_int_equal(fault.reason, 0x21);
	arrives(DISK, msi, 1, 0x41);
	/* The same numbers in another segment. */
	assert_false(model_msi(&model.unit[2], FAR, msi.address, msi.data, &irq));
	/* The unit of the device is one of two that share the table. */
	assert_true(model_msi(&model.unit[0], DISK, msi.address, msi.data, &irq));
	vtd_ops.irq_free(DISK, 0, 1);
	assert_false(model_msi(&model.unit[0], DISK, msi.address, msi.data, &irq));
}

static void test_multiple_messages(void **state)
{
	struct iommu_msi msi;
	unsigned first;

	(void)state;
	start_ok();
	alloc(NIC, 1);
	first = alloc(DISK, 32);
	assert_int_equal(first % 32, 0);
	msi = route(DISK, first, 1, 0x40);
	assert_int_equal(msi.data & 31, 0);
	for (unsigned i = 1; i < 32; i++)
		route(DISK, first + i, i % 4, (uint8_t)(0x40 + i));
	for (unsigned i = 1; i < 32; i++) {
		struct iommu_msi m = { msi.address, msi.data | i };

		arrives(DISK, m, i % 4, (uint8_t)(0x40 + i));
	}
}

static void test_alloc(void **state)
{
	unsigned a, b, c, first;

	(void)state;
	start_ok();
	a = alloc(DISK, 1);
	b = alloc(NIC, 3);
	assert_int_equal(b, a + 1);
	c = alloc(DISK, 4);
	assert_int_equal(c, a + 4);
	assert_int_equal(alloc(GPU, 1), a + 8);
	assert_int_equal(alloc(FAR, 1), 0);
	vtd_ops.irq_free(NIC, b, 3);
	assert_int_equal(alloc(GPU, 2), a + 2);
	assert_int_equal(alloc(GPU, 1), a + 1);
	assert_int_equal(vtd_ops.irq_alloc(NOWHERE, 1, &first), ERR_NOT_FOUND);
	for (first = 0; first < 8192; first += 256)
		if (vtd_ops.irq_alloc(DISK, 256, &a) != OK)
			break;
	assert_int_equal(first, 31 * 256);
	assert_int_equal(vtd_ops.irq_alloc(DISK, 256, &a), ERR_NOMEM);
	assert_int_equal(vtd_ops.irq_alloc(DISK, 200, &a), OK);
	assert_int_equal(vtd_ops.irq_alloc(DISK, 200, &a), ERR_NOMEM);
}

/* Freed for one, taken by another: the first one's messages never arrive again. */
static void test_free_blocks(void **state)
{
	static const unsigned counts[] = { 1, 3, 8, 17, 32, 200, 256 };
	struct iommu_msi msi[256];

	(void)state;
	start_ok();
	alloc(GPU, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		unsigned first = alloc(DISK, counts[i]), used = 0;

		for (unsigned n = 0; n < counts[i]; n += 1 + counts[i] / 10) {
			msi[used] = route(DISK, first + n, 1, (uint8_t)(0x20 + n % 200));
			arrives(DISK, msi[used++], 1, (uint8_t)(0x20 + n % 200));
		}
		arrives(DISK, route(DISK, first + counts[i] - 1, 2, 0x77), 2, 0x77);
		vtd_ops.irq_free(DISK, first, counts[i]);
		while (used--)
			blocked(DISK, msi[used]);
		msi[0] = route(NIC, alloc(NIC, counts[i]), 1, 0x66);
		blocked(DISK, msi[0]);
		arrives(NIC, msi[0], 1, 0x66);
		vtd_ops.irq_free(NIC, first, counts[i]);
	}
}

/* Units that can invalidate no more than one entry at a time. */
static void test_no_index_mask(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		model.unit[i].ecap &= ~(0xfull << 20);
	test_free_blocks(state);
}

static void test_cached_as_absent(void **state)
{
	unsigned first;

	(void)state;
	u1->cap |= CAP_CM;
	start_ok();
	first = alloc(DISK, 2);
	blocked(DISK, (struct iommu_msi){ 0xfee00010 | (first + 1) << 5, 0 });
	arrives(DISK, route(DISK, first + 1, 1, 0x41), 1, 0x41);
}

/*
 * While an entry changes, an interrupt arrives as before, as after, or, when the change begins or ends
 * a route, not at all.
 */
static struct iommu_msi storm_msi;
static unsigned storm_old, storm_new;

static void storm(struct model_unit *u)
{
	struct model_irq irq;

	if (u != u1 || !model_msi(u, DISK, storm_msi.address, storm_msi.data, &irq))
		return;
	if (irq.dest == 1 && irq.vector == 0x41)
		storm_old++;
	else if (irq.dest == 2 && irq.vector == 0x42)
		storm_new++;
	else
		fail_msg("vector %#x at %u", irq.vector, irq.dest);
}

static void test_change_in_a_storm(void **state)
{
	unsigned first;

	(void)state;
	start_ok();
	first = alloc(DISK, 1);
	storm_msi = route(DISK, first, 1, 0x41);
	arrives(DISK, storm_msi, 1, 0x41);
	storm_old = storm_new = 0;
	model.adversary = storm;
	route(DISK, first, 2, 0x42);
	assert_true(storm_old && storm_new);
	storm_old = 0;
	vtd_ops.irq_free(DISK, first, 1);
	model.adversary = NULL;
	assert_int_equal(storm_old, 0);
	blocked(DISK, storm_msi);
}

/* Somebody else tries it all the time. */
static unsigned forged;

static void forge(struct model_unit *u)
{
	struct model_irq irq;

	forged += u == u1 && model_msi(u, NIC, storm_msi.address, storm_msi.data, &irq);
}

static void test_forged_in_a_storm(void **state)
{
	unsigned first;

	(void)state;
	u1->ecap &= ~ECAP_C;
	start_ok();
	storm_msi.address = 0xfee00018;
	forged = 0;
	model.adversary = forge;
	first = alloc(DISK, 1);
	storm_msi = route(DISK, first, 1, 0x41);
	vtd_ops.irq_free(DISK, first, 1);
	/* Again, without what the unit has cached of it before. */
	model.adversary = NULL;
	route(DISK, alloc(DISK, 1), 1, 0x41);
	model.adversary = forge;
	vtd_ops.irq_free(DISK, first, 1);
	model.adversary = NULL;
	assert_int_equal(forged, 0);
}

static void expect_panic(struct pci_bdf d, unsigned first, unsigned count)
{
	jmp_buf to;

	model.panic_to = &to;
	if (!setjmp(to)) {
		vtd_ops.irq_free(d, first, count);
		fail_msg("no panic");
	}
	model.panic_to = NULL;
}

static void test_not_the_owner(void **state)
{
	(void)state;
	start_ok();
	assert_int_equal(alloc(DISK, 2), 0);
	expect_panic(NIC, 0, 1);
	expect_panic(DISK, 1, 2);
	expect_panic(DISK, 0, 0);
	expect_panic(DISK, 8192, 1);
	expect_panic(DISK, 8191, 2);
	expect_panic(NOWHERE, 0, 1);
	vtd_ops.irq_free(DISK, 0, 2);
	expect_panic(DISK, 0, 1);
}

/* ------------------------------------------------------------------ Lamina's own line */

static void test_ioapic(void **state)
{
	struct model_irq irq;
	uint64_t rte = 0, again = 0;

	(void)state;
	start_ok();
	alloc(DISK, 5);
	assert_int_equal(vtd_ops.ioapic_nmi(2, 4, 9, &rte), OK);
	assert_true(model_ioapic(u1, IOAPIC, rte, &irq));
	assert_int_equal(irq.mode, 4);
	assert_int_equal(irq.dest, 9);
	assert_int_equal(irq.vector, 0);
	assert_false(model_ioapic(u1, DISK, rte, &irq));
	assert_int_equal(vtd_ops.ioapic_nmi(2, 4, 300, &again), OK);
	assert_int_equal(again, rte);
	assert_true(model_ioapic(u1, IOAPIC, rte, &irq));
	assert_int_equal(irq.dest, 300);
	/* Another pin is another interrupt. */
	assert_int_equal(vtd_ops.ioapic_nmi(2, 5, 1, &again), OK);
	assert_int_not_equal(again, rte);
	assert_true(model_ioapic(u1, IOAPIC, rte, &irq));
	assert_int_equal(irq.dest, 300);
	assert_int_equal(vtd_ops.ioapic_nmi(2, 5, ~0u, &again), ERR_RANGE);
	assert_int_equal(vtd_ops.ioapic_nmi(3, 4, 1, &rte), ERR_NOT_FOUND);
	for (unsigned pin = 6; pin < 4 + VTD_OWN_LINES; pin++)
		assert_int_equal(vtd_ops.ioapic_nmi(2, pin, 1, &rte), OK);
	assert_int_equal(vtd_ops.ioapic_nmi(2, 100, 1, &rte), ERR_NOMEM);
	assert_int_equal(vtd_ops.ioapic_nmi(2, 11, 1, &rte), OK);
}

static void test_ioapic_without_remapping(void **state)
{
	uint64_t rte;

	(void)state;
	dmar_flags = 0;
	start_ok();
	assert_int_equal(vtd_ops.ioapic_nmi(2, 4, 9, &rte), ERR_UNSUPPORTED);
}

/* ------------------------------------------------------------------ faults */

static void test_fault_decoded(void **state)
{
	struct iommu_fault f;
	struct pci_bdf odd = { 0, 0xab, 0x1d, 5 };
	hpa_t root;
	uint64_t hpa;

	(void)state;
	start_ok();
	assert_false(vtd_ops.next_fault(&f));
	assert_false(model_dma(u1, odd, 0x123456789, true, &hpa));
	assert_true(vtd_ops.next_fault(&f));
	assert_int_equal(f.unit, 1);
	assert_int_equal(f.source.segment, 0);
	assert_int_equal(f.source.bus, 0xab);
	assert_int_equal(f.source.device, 0x1d);
	assert_int_equal(f.source.function, 5);
	assert_int_equal(f.address, 0x123456000);
	assert_true(f.write);
	assert_false(f.interrupt || f.is_unit);
	assert_int_equal(f.reason, 1);
	assert_non_null(strstr(f.text, "bus"));
	assert_false(vtd_ops.next_fault(&f));
	root = new_root();
	map_page(root, 0x1000, 0x5000, 2);
	assert_int_equal(vtd_ops.attach(FAR, 1, root), OK);
	assert_false(model_dma(&model.unit[2], FAR, 0x1000, false, &hpa));
	assert_false(model_dma(&model.unit[2], FAR, 1ull << 50, true, &hpa));
	assert_true(vtd_ops.next_fault(&f));
	assert_int_equal(f.unit, 2);
	assert_int_equal(f.source.segment, 1);
	assert_false(f.write);
	assert_int_equal(f.reason, 6);
	assert_true(vtd_ops.next_fault(&f));
	assert_int_equal(f.reason, 4);
	assert_false(vtd_ops.next_fault(&f));
	/* An atomic access is none of both, a reason of tomorrow has no text of its own. */
	u1->record[0] = (struct vtd_entry){ 0x7000, FRCD_HI_F | FRCD_HI_T2 | 0x79ull << 32 };
	u1->fsts = FSTS_PPF;
	assert_true(vtd_ops.next_fault(&f));
	assert_false(f.write || f.interrupt);
	assert_string_equal(f.text, "unknown reason");
	for (unsigned reason = 0; reason < 256; reason++) {
		u1->record[0].hi = FRCD_HI_F | (uint64_t)reason << 32;
		u1->fsts = FSTS_PPF;
		assert_true(vtd_ops.next_fault(&f));
		assert_non_null(f.text);
		assert_int_equal(f.interrupt, reason >= 0x20 && reason <= 0x2f);
	}
}

/* In the order in which they came, and then that some were lost. */
static void test_fault_overflow(void **state)
{
	struct iommu_fault f;
	uint64_t hpa;

	(void)state;
	start_ok();
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < MODEL_RECORDS + 2; i++)
			assert_false(model_dma(u1, DISK, (uint64_t)(i + 1) << 12, true, &hpa));
		for (unsigned i = 0; i < MODEL_RECORDS; i++) {
			assert_true(vtd_ops.next_fault(&f));
			assert_false(f.is_unit);
			assert_int_equal(f.address, (uint64_t)(i + 1) << 12);
		}
		assert_true(vtd_ops.next_fault(&f));
		assert_true(f.is_unit);
		assert_non_null(strstr(f.text, "lost"));
		assert_false(vtd_ops.next_fault(&f));
		/* It records again, now beginning at another record. */
		assert_false(model_dma(u1, DISK, 0x777000, true, &hpa));
		assert_true(vtd_ops.next_fault(&f));
		assert_int_equal(f.address, 0x777000);
	}
}

/* Faults at one unit, however many, do not hide those at another. */
static void test_fault_flood(void **state)
{
	struct iommu_fault f;
	unsigned seen = 0;
	uint64_t hpa;

	(void)state;
	start_ok();
	assert_false(model_dma(&model.unit[2], FAR, 0x1000, true, &hpa));
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		assert_false(model_dma(&model.unit[0], GPU, 0x1000, true, &hpa));
		assert_false(model_dma(u1, DISK, 0x1000, true, &hpa));
		assert_true(vtd_ops.next_fault(&f));
		seen |= 1u << f.unit;
	}
	assert_int_equal(seen, 7);
}

static void test_unit_faults(void **state)
{
	struct iommu_fault f;

	(void)state;
	start_ok();
	u1->fsts = FSTS_ICE | FSTS_ITE | FSTS_IQE;
	for (unsigned i = 0; i < 2; i++) {
		assert_true(vtd_ops.next_fault(&f));
		assert_true(f.is_unit);
		assert_int_equal(f.unit, 1);
		assert_non_null(f.text);
	}
	assert_false(vtd_ops.next_fault(&f));
	assert_int_equal(u1->fsts, FSTS_IQE);
}

static void test_fault_nmi(void **state)
{
	struct iommu_fault f;
	uint64_t hpa;

	(void)state;
	start_ok();
	vtd_ops.fault_mask(false);
	assert_false(model_dma(u1, DISK, 0x1000, true, &hpa));
	assert_int_equal(u1->nmis, 0);
	assert_true(vtd_ops.next_fault(&f));
	assert_int_equal(vtd_ops.fault_nmi(7), OK);
	assert_int_equal(vtd_ops.fault_nmi(0x1234), OK);
	assert_int_equal(u1->feaddr, 0xfee34000);
	assert_int_equal(u1->feuaddr, 0x1200);
	assert_int_equal(u1->fedata, 0x400);
	assert_false(model_dma(u1, DISK, 0x1000, true, &hpa));
	assert_false(model_dma(u1, DISK, 0x2000, true, &hpa));
	assert_int_equal(u1->nmis, 1);
	assert_true(vtd_ops.next_fault(&f) && vtd_ops.next_fault(&f));
	assert_false(model_dma(u1, DISK, 0x1000, true, &hpa));
	assert_int_equal(u1->nmis, 2);
	assert_true(vtd_ops.next_fault(&f));
	vtd_ops.fault_mask(true);
	assert_false(model_dma(u1, DISK, 0x1000, true, &hpa));
	assert_int_equal(u1->nmis, 2);
	/* Another core while they are masked does not unmask them. */
	assert_int_equal(vtd_ops.fault_nmi(1), OK);
	assert_int_equal(u1->nmis, 2);
	assert_int_equal(u1->feaddr, 0xfee01000);
	assert_int_equal(u1->feuaddr, 0);
	vtd_ops.fault_mask(false);
	assert_int_equal(u1->nmis, 3);
}

static void test_fault_nmi_far(void **state)
{
	(void)state;
	u1->ecap &= ~ECAP_EIM;
	start_ok();
	assert_int_equal(vtd_ops.fault_nmi(255), ERR_UNSUPPORTED);
	assert_int_equal(vtd_ops.fault_nmi(254), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_route_and_block),
		T(test_xapic_format),
		T(test_broadcast_refused),
		T(test_forged),
		T(test_multiple_messages),
		T(test_alloc),
		T(test_free_blocks),
		T(test_no_index_mask),
		T(test_cached_as_absent),
		T(test_change_in_a_storm),
		T(test_forged_in_a_storm),
		T(test_not_the_owner),
		T(test_ioapic),
		T(test_ioapic_without_remapping),
		T(test_fault_decoded),
		T(test_fault_overflow),
		T(test_fault_flood),
		T(test_unit_faults),
		T(test_fault_nmi),
		T(test_fault_nmi_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
