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

#include "vtd_fixture.h"

#define GPA_A 0x40000000ull
#define HPA_A 0x80000000ull

/* ------------------------------------------------------------------ taking over from the firmware */

static unsigned requests_passed, messages_passed;

/* Devices go on all the time. The model fails the test if a unit that was on is ever off. */
static void attack(struct model_unit *u)
{
	static unsigned turn;
	const struct pci_bdf another = { u == &model.unit[2], 0x80 + turn++ % 64, 1, 0 };
	struct model_irq irq;
	uint64_t hpa;

	requests_passed += model_dma(u, DISK, GPA_A, true, &hpa);
	requests_passed += model_dma(u, another, GPA_A, true, &hpa);
	messages_passed += model_msi(u, DISK, 0xfee00018, 5, &irq);
	messages_passed += model_msi(u, DISK, 0xfee00000, 0x40, &irq);
}

static void check_all_blocked(void)
{
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		struct model_unit *u = &model.unit[i];

		requests_passed = messages_passed = 0;
		attack(u);
		assert_int_equal(requests_passed, 0);
		assert_int_equal(messages_passed, 0);
		for (unsigned n = 0; n < MODEL_CACHE; n++)
			assert_false(u->iotlb[n].valid || u->context[n].valid);
		assert_false(u->pmen & PMEN_PRS);
		assert_int_equal(u->gsts & (GCMD_TE | GCMD_IRE | GCMD_QIE | GCMD_CFI | GCMD_EAFL),
				 GCMD_TE | GCMD_IRE | GCMD_QIE);
	}
}

static void take_over(bool cfi)
{
	hpa_t root;
	uint64_t hpa;

	for (unsigned i = 0; i < MODEL_UNITS; i++)
		model_firmware(&model.unit[i], cfi);
	requests_passed = messages_passed = 0;
	attack(&model.unit[1]);
	assert_int_equal(requests_passed, 2);
	assert_int_equal(messages_passed, cfi ? 2 : 1);
	model.adversary = attack;
	start_ok();
	model.adversary = NULL;
	check_all_blocked();
	/* The firmware has used domain 1 as well. */
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	assert_int_equal(vtd_ops.attach(DISK, 1, root), OK);
	assert_true(model_dma(&model.unit[1], DISK, GPA_A, true, &hpa));
	assert_int_equal(hpa, HPA_A);
}

static void test_firmware_on(void **state)
{
	(void)state;
	take_over(false);
}

static void test_firmware_on_old_format(void **state)
{
	(void)state;
	take_over(true);
}

static void test_firmware_without_delay(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		model.unit[i].slow = 0;
	take_over(true);
}

/* The old tables are gone when translation is all that is wanted, and commands take no time. */
static void test_firmware_on_no_remapping(void **state)
{
	struct model_unit *u = &model.unit[MODEL_UNITS - 1];
	uint64_t hpa;

	(void)state;
	dmar_flags = 0;
	u->slow = 0;
	model_firmware(u, false);
	u->gsts &= ~GCMD_IRE;
	u->had_remapping = false;
	assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
	start_ok();
	for (unsigned n = 0; n < MODEL_CACHE; n++)
		assert_false(u->iotlb[n].valid || u->context[n].valid);
}

/* The new tables are in memory before the unit looks there. */
static void test_firmware_on_write_buffer(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		model.unit[i].cap |= CAP_RWBF;
	take_over(false);
}

/* Units of any other width than legacy mode's must be turned off for a moment. */
static void test_firmware_in_another_mode(void **state)
{
	(void)state;
	model_firmware(&model.unit[1], false);
	model.unit[1].rtaddr |= 1 << 10;
	model.unit[1].had_translation = false;
	start_ok();
	check_all_blocked();
}

/* The firmware's queue has met an error that nobody has cleared, and does not move. */
static void test_firmware_queue_broken(void **state)
{
	(void)state;
	model_firmware(&model.unit[1], false);
	model.unit[1].iqt = 9 << 4;
	model.unit[1].fsts = FSTS_IQE | FSTS_ICE;
	start_ok();
	check_all_blocked();
}

static void test_firmware_faults_forgotten(void **state)
{
	struct iommu_fault fault;
	uint64_t hpa;

	(void)state;
	model_firmware(&model.unit[1], false);
	model.unit[1].fectl = 0;
	model.unit[1].feaddr = MSI_ADDRESS;
	model.unit[1].fedata = FEDATA_NMI;
	model.unit[1].root = MODEL_POOL_HPA + (MODEL_PAGES - 1) * PAGE_SIZE;
	for (unsigned i = 0; i < MODEL_RECORDS + 1; i++)
		assert_false(model_dma(&model.unit[1], NIC, GPA_A, true, &hpa));
	assert_int_equal(model.unit[1].nmis, 1);
	start_ok();
	assert_false(vtd_ops.next_fault(&fault));
	assert_false(model_dma(&model.unit[1], NIC, GPA_A, true, &hpa));
	assert_int_equal(model.unit[1].nmis, 1);
	assert_true(vtd_ops.next_fault(&fault));
	assert_false(vtd_ops.next_fault(&fault));
}

static void test_remapping_turned_off(void **state)
{
	struct model_irq irq;

	(void)state;
	model_firmware(&model.unit[1], false);
	model.unit[1].had_remapping = false;
	model.unit[0].ecap &= ~ECAP_IR;
	start_ok();
	assert_false(iommu_info.irq_remap);
	assert_false(iommu_info.x2apic);
	assert_true(model_msi(&model.unit[1], DISK, 0xfee00000, 0x40, &irq));
	assert_true(model.unit[1].gsts & GCMD_TE);
}

/* ------------------------------------------------------------------ what cannot be used */

static void refused(enum status expected, const char *why)
{
	assert_int_equal(start(false), expected);
	if (model.errors != 1 || !strstr(model.log, why))
		fail_msg("%u errors: %s", model.errors, model.log);
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		if (!model.unit[i].absent)
			assert_int_equal(model.unit[i].gsts &
						 (GCMD_TE | GCMD_IRE | GCMD_QIE | GCMD_EAFL),
					 0);
	assert_false(vtd_ops.covers(DISK));
}

static void test_refused(void **state)
{
	struct model_unit *u = &model.unit[1];

	u->absent = true;
	refused(ERR_UNSUPPORTED, "unit 1 at 0xfeda0000: nothing answers");
	vtd_setup(state);
	u->version = 0;
	refused(ERR_UNSUPPORTED, "nothing answers");
	vtd_setup(state);
	u->cap = 0;
	refused(ERR_UNSUPPORTED, "nothing answers");
	vtd_setup(state);
	u->cap = ~0ull;
	refused(ERR_UNSUPPORTED, "nothing answers");
	vtd_setup(state);
	u->ecap = 0;
	refused(ERR_UNSUPPORTED, "nothing answers");
	vtd_setup(state);
	u->ecap = ~0ull;
	refused(ERR_UNSUPPORTED, "nothing answers");
	vtd_setup(state);
	u->ecap &= ~ECAP_QI;
	refused(ERR_UNSUPPORTED, "queued");
	vtd_setup(state);
	u->cap &= ~(CAP_AGAW_39 | CAP_AGAW_48);
	refused(ERR_UNSUPPORTED, "levels");
	vtd_setup(state);
	u->cap |= 7;
	refused(ERR_UNSUPPORTED, "domains");
	vtd_setup(state);
	u->cap &= ~CAP_AGAW_39;
	model.unit[0].cap &= ~CAP_AGAW_48;
	refused(ERR_UNSUPPORTED, "in common");
	vtd_setup(state);
	u->cap &= ~(0x3full << 16);
	refused(ERR_UNSUPPORTED, "in common");
	vtd_setup(state);
	model.maps_fail = 2;
	refused(ERR_UNSUPPORTED, "cannot be mapped");
	vtd_setup(state);
	u->cap |= 0x3ffull << 24;
	refused(ERR_UNSUPPORTED, "fault records");
}

/* What the firmware had on must not stay on with tables that nobody looks after. */
static void test_refused_after_firmware(void **state)
{
	(void)state;
	model_firmware(&model.unit[0], false);
	model_firmware(&model.unit[1], true);
	model_firmware(&model.unit[2], false);
	model.unit[2].ecap &= ~ECAP_QI;
	refused(ERR_UNSUPPORTED, "queued");
}

static void test_commands_that_never_end(void **state)
{
	static const uint32_t bits[] = { GCMD_QIE, GCMD_SRTP, GCMD_SIRTP,
					 GCMD_IRE, GCMD_TE,   PMEN_PRS };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
		vtd_setup(state);
		model.unit[1].ignores = bits[i];
		assert_int_equal(start(false), ERR_TIMEOUT);
		assert_non_null(strstr(model.log, "unit 1"));
		assert_false(vtd_ops.covers(DISK));
	}
	vtd_setup(state);
	model.unit[1].stuck = true;
	assert_int_equal(start(false), ERR_TIMEOUT);
	vtd_setup(state);
	model.unit[1].cap |= CAP_RWBF;
	model.unit[1].ignores = GCMD_WBF;
	model.unit[1].gsts |= GCMD_WBF;
	assert_int_equal(start(false), ERR_TIMEOUT);
	vtd_setup(state);
	model_firmware(&model.unit[1], true);
	model.unit[1].ignores = GCMD_CFI;
	assert_int_equal(start(false), ERR_TIMEOUT);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	for (uint64_t pages = 0; pages < 71; pages++) {
		vtd_setup(state);
		model.budget.limit = pages;
		refused(ERR_NOMEM, "no memory");
	}
	vtd_setup(state);
	model.budget.limit = 71;
	start_ok();
}

static void test_no_units(void **state)
{
	(void)state;
	dmar_unit_limit = 0;
	assert_int_equal(start(false), ERR_NOT_FOUND);
}

/* ------------------------------------------------------------------ what the units share */

static void test_common_capabilities(void **state)
{
	(void)state;
	model.unit[0].cap &= ~(CAP_PAGE_1G | 7);
	model.unit[1].ecap &= ~ECAP_SC;
	model.unit[2].cap -= 9ull << 16;
	model.unit[2].cap &= ~CAP_AGAW_48;
	start_ok();
	assert_int_equal(iommu_info.domains, 15);
	assert_int_equal(iommu_info.format.max_level, 2);
	assert_int_equal(iommu_info.format.levels, 3);
	assert_int_equal(iommu_info.format.gpa_bits, 39);
	assert_int_equal(iommu_info.format.leaf & BIT(11), 0);
}

static void test_three_levels(void **state)
{
	hpa_t root;
	uint64_t hpa;

	(void)state;
	model.unit[1].cap &= ~CAP_AGAW_48;
	start_ok();
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	assert_int_equal(vtd_ops.attach(DISK, 1, root), OK);
	assert_true(model_dma(&model.unit[1], DISK, GPA_A, true, &hpa));
	assert_int_equal(hpa, HPA_A);
}

static void test_snoop_bit(void **state)
{
	(void)state;
	start_ok();
	assert_true(iommu_info.format.leaf & BIT(11));
}

static void test_x2apic(void **state)
{
	(void)state;
	assert_int_equal(start(true), OK);
	assert_true(iommu_info.x2apic);
	vtd_setup(state);
	dmar_flags |= DMAR_OPT_OUT;
	assert_int_equal(start(false), OK);
	assert_false(iommu_info.x2apic);
	vtd_setup(state);
	dmar_flags |= DMAR_OPT_OUT;
	assert_int_equal(start(true), OK);
	assert_true(iommu_info.x2apic);
	vtd_setup(state);
	model.unit[2].ecap &= ~ECAP_EIM;
	assert_int_equal(start(false), OK);
	assert_false(iommu_info.x2apic);
	vtd_setup(state);
	model.unit[2].ecap &= ~ECAP_EIM;
	assert_int_equal(start(true), ERR_UNSUPPORTED);
	assert_non_null(strstr(model.log, "254"));
	vtd_setup(state);
	dmar_flags = 0;
	assert_int_equal(start(false), OK);
	assert_false(iommu_info.irq_remap);
}

static void test_reserved_memory(void **state)
{
	(void)state;
	start_ok();
	assert_int_equal(iommu_info.reserved_count, 1);
	assert_int_equal(iommu_info.reserved[0].base.v, 0x7c000000);
	assert_int_equal(iommu_info.reserved[0].size, 0x4000000);
	assert_int_equal(iommu_info.reserved[0].count, 1);
	assert_int_equal(iommu_info.reserved[0].devices[0].device, 2);
}

static void test_describe(void **state)
{
	char text[128] = "";

	(void)state;
	model.unit[1].cap &= ~CAP_PAGE_1G;
	start_ok();
	vtd_ops.describe(0, text, sizeof(text));
	assert_string_equal(
		text, "0: 0xfed90000 segment 0, 48 bits, 2M 1G pages, queued, irq-remap x2apic");
	vtd_ops.describe(1, text, sizeof(text));
	assert_string_equal(
		text,
		"1: 0xfeda0000 segment 0, others, 48 bits, 2M pages, queued, irq-remap x2apic");
	strcpy(text, "-");
	vtd_ops.describe(3, text, sizeof(text));
	assert_string_equal(text, "-");
	vtd_ops.describe(0, text, 5);
	assert_string_equal(text, "0: 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_firmware_on),
		T(test_firmware_on_old_format),
		T(test_firmware_without_delay),
		T(test_firmware_on_no_remapping),
		T(test_firmware_on_write_buffer),
		T(test_firmware_in_another_mode),
		T(test_firmware_queue_broken),
		T(test_firmware_faults_forgotten),
		T(test_remapping_turned_off),
		T(test_refused),
		T(test_refused_after_firmware),
		T(test_commands_that_never_end),
		T(test_out_of_memory),
		T(test_no_units),
		T(test_common_capabilities),
		T(test_three_levels),
		T(test_snoop_bit),
		T(test_x2apic),
		T(test_reserved_memory),
		T(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
