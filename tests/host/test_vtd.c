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

/* ------------------------------------------------------------------ translation */

static void test_everything_is_blocked(void **state)
{
	uint64_t hpa;
	struct model_irq irq;

	(void)state;
	start_ok();
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		struct model_unit *u = &model.unit[i];

		assert_false(model_dma(u, DISK, 0x1000, false, &hpa));
		assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
		assert_false(model_msi(u, DISK, 0xfee00000, 0x40, &irq));
		assert_false(model_msi(u, DISK, 0xfee00010, 0, &irq));
		assert_false(model_msi(u, DISK, 0xfee00018, 5, &irq));
	}
	assert_int_equal(iommu_info.units, MODEL_UNITS);
	assert_true(iommu_info.irq_remap);
	assert_true(iommu_info.x2apic);
	assert_int_equal(iommu_info.domains, 255);
	assert_int_equal(iommu_info.format.levels, 4);
	assert_int_equal(iommu_info.format.max_level, 3);
}

static void test_attach_and_detach(void **state)
{
	struct model_unit *u = &model.unit[1];
	hpa_t root;
	uint64_t hpa;

	(void)state;
	start_ok();
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	map_page(root, GPA_A + 0x1000, HPA_A + 0x1000, 1);
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_int_equal(vtd_ops.attach(DISK, 1, root), OK);
	assert_int_equal(vtd_ops.attach(DISK, 1, root), ERR_BUSY);
	assert_true(model_dma(u, DISK, GPA_A + 0x123, true, &hpa));
	assert_int_equal(hpa, HPA_A + 0x123);
	assert_true(model_dma(u, DISK, GPA_A + 0x1123, false, &hpa));
	assert_false(model_dma(u, DISK, GPA_A + 0x1123, true, &hpa));
	assert_false(model_dma(u, DISK, GPA_A + 0x2000, false, &hpa));
	assert_false(model_dma(u, NIC, GPA_A, false, &hpa));
	assert_false(model_dma(&model.unit[0], DISK, GPA_A, false, &hpa));
	vtd_ops.detach(NIC);
	vtd_ops.detach(DISK);
	assert_false(model_dma(u, DISK, GPA_A, false, &hpa));
	assert_int_equal(u->writes_under_way + u->reads_under_way, 0);
	vtd_ops.detach(DISK);
	/* Another domain, another table; nothing of the old one is left. */
	root = new_root();
	map_page(root, GPA_A, HPA_A + 0x5000, 3);
	assert_int_equal(vtd_ops.attach(DISK, 2, root), OK);
	assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_int_equal(hpa, HPA_A + 0x5000);
}

/* The domain goes on with another device, and with what that one has cached. */
static void test_detach_one_of_two(void **state)
{
	struct model_unit *u = &model.unit[1];
	hpa_t root;
	uint64_t hpa;

	(void)state;
	start_ok();
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	assert_int_equal(vtd_ops.attach(DISK, 7, root), OK);
	assert_int_equal(vtd_ops.attach(NIC, 7, root), OK);
	assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_true(model_dma(u, NIC, GPA_A, true, &hpa));
	vtd_ops.detach(DISK);
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_true(model_dma(u, NIC, GPA_A, true, &hpa));
}

/* A device that never stops, also between two steps of the unit. */
static struct pci_bdf storm_source;

static void storm(struct model_unit *u)
{
	uint64_t hpa;

	if (u == &model.unit[1] && !u->pending)
		model_dma(u, storm_source, GPA_A, true, &hpa);
}

static void test_detach_in_a_storm(void **state)
{
	struct model_unit *u = &model.unit[1];
	hpa_t old, new;
	uint64_t hpa;

	(void)state;
	start_ok();
	old = new_root();
	new = new_root();
	map_page(old, GPA_A, HPA_A, 3);
	map_page(new, GPA_A, HPA_A + 0x9000, 3);
	storm_source = DISK;
	assert_int_equal(vtd_ops.attach(DISK, 1, old), OK);
	assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
	model.adversary = storm;
	vtd_ops.detach(DISK);
	model.adversary = NULL;
	assert_int_equal(u->writes_under_way, 0);
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		assert_false(u->iotlb[i].valid || u->context[i].valid);
	assert_int_equal(vtd_ops.attach(NIC, 1, new), OK);
	assert_true(model_dma(u, NIC, GPA_A, true, &hpa));
	assert_int_equal(hpa, HPA_A + 0x9000);
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
}

/* From one domain to another, whose tables must never be seen as the first one's. */
static void test_attach_in_a_storm(void **state)
{
	hpa_t first, second;
	uint64_t hpa;

	(void)state;
	model.unit[1].ecap &= ~ECAP_C;
	start_ok();
	first = new_root();
	second = new_root();
	map_page(first, GPA_A, HPA_A, 3);
	map_page(second, GPA_A, HPA_A + 0x9000, 3);
	assert_int_equal(vtd_ops.attach(NIC, 1, first), OK);
	assert_int_equal(vtd_ops.attach(DISK, 1, first), OK);
	vtd_ops.detach(DISK);
	storm_source = DISK;
	model.adversary = storm;
	assert_int_equal(vtd_ops.attach(DISK, 2, second), OK);
	model.adversary = NULL;
	assert_true(model_dma(&model.unit[1], DISK, GPA_A, true, &hpa));
	assert_int_equal(hpa, HPA_A + 0x9000);
	assert_true(model_dma(&model.unit[1], NIC, GPA_A, true, &hpa));
	assert_int_equal(hpa, HPA_A);
}

/* What is left in the IOTLB of a domain must not come back when its number is used again. */
static void test_domain_reused(void **state)
{
	struct model_unit *u = &model.unit[1];
	hpa_t root;
	uint64_t hpa;

	(void)state;
	start_ok();
	for (unsigned i = 0; i < 3; i++) {
		root = new_root();
		map_page(root, GPA_A, HPA_A + i * 0x1000, 3);
		assert_int_equal(vtd_ops.attach(DISK, 3, root), OK);
		assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
		assert_int_equal(hpa, HPA_A + i * 0x1000);
		vtd_ops.detach(DISK);
	}
}

static void test_caching_mode(void **state)
{
	struct model_unit *u = &model.unit[1];
	hpa_t root;
	uint64_t hpa;

	(void)state;
	u->cap |= CAP_CM;
	start_ok();
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_int_equal(vtd_ops.attach(DISK, 1, root), OK);
	assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_false(model_dma(u, DISK, GPA_A + 0x1000, true, &hpa));
	map_page(root, GPA_A + 0x1000, HPA_A, 3);
	flush_one(1, GPA_A + 0x1000, 1);
	assert_true(model_dma(u, DISK, GPA_A + 0x1000, true, &hpa));
	vtd_ops.detach(DISK);
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
	/* Attached again, to a domain that has cached that nothing is there. */
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	map_page(root, GPA_A + 0x3000, HPA_A, 3);
	assert_int_equal(vtd_ops.attach(NIC, 2, new_root()), OK);
	assert_false(model_dma(u, NIC, GPA_A + 0x3000, true, &hpa));
	assert_int_equal(vtd_ops.attach(DISK, 2, root), OK);
	assert_true(model_dma(u, DISK, GPA_A + 0x3000, true, &hpa));
}

static void test_attach_errors(void **state)
{
	hpa_t root;
	void *page;

	(void)state;
	start_ok();
	root = new_root();
	assert_int_equal(vtd_ops.attach(NOWHERE, 1, root), ERR_NOT_FOUND);
	assert_false(vtd_ops.covers(NOWHERE));
	assert_true(vtd_ops.covers(DISK));
	vtd_ops.detach(NOWHERE);
	do
		page = page_alloc(&model.budget, 1);
	while (page);
	assert_int_equal(vtd_ops.attach(DISK, 1, root), ERR_NOMEM);
	vtd_ops.detach(DISK);
}

static void test_device_of_each_unit(void **state)
{
	hpa_t root;
	uint64_t hpa;

	(void)state;
	start_ok();
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	assert_int_equal(vtd_ops.attach(GPU, 1, root), OK);
	assert_int_equal(vtd_ops.attach(FAR, 1, root), OK);
	assert_true(model_dma(&model.unit[0], GPU, GPA_A, true, &hpa));
	assert_true(model_dma(&model.unit[2], FAR, GPA_A, true, &hpa));
	assert_false(model_dma(&model.unit[1], FAR, GPA_A, true, &hpa));
	map_page(root, GPA_A, HPA_A, 0);
	flush_one(1, GPA_A, 1);
	assert_false(model_dma(&model.unit[0], GPU, GPA_A, true, &hpa));
	assert_false(model_dma(&model.unit[2], FAR, GPA_A, true, &hpa));
}

/* ------------------------------------------------------------------ flushing ranges */

#define PAGES 40u

static hpa_t table_of_pages(void)
{
	hpa_t root = new_root();

	for (unsigned i = 0; i < PAGES; i++)
		map_page(root, GPA_A + i * PAGE_SIZE, HPA_A + i * PAGE_SIZE, 3);
	assert_int_equal(vtd_ops.attach(DISK, 5, root), OK);
	return root;
}

static void touch_all(void)
{
	uint64_t hpa;

	for (unsigned i = 0; i < PAGES; i++)
		assert_true(model_dma(&model.unit[1], DISK, GPA_A + i * PAGE_SIZE, true, &hpa));
}

/* Each range of up to 20 pages: what is unmapped and flushed is gone; nothing else needs to be. */
static void test_flush_ranges(void **state)
{
	hpa_t root;
	uint64_t hpa;

	(void)state;
	start_ok();
	root = table_of_pages();
	for (unsigned from = 0; from < 20; from++) {
		for (unsigned n = 1; n <= 20; n++) {
			touch_all();
			for (unsigned i = 0; i < n; i++)
				map_page(root, GPA_A + (from + i) * PAGE_SIZE, 0, 0);
			flush_one(5, GPA_A + from * PAGE_SIZE, n);
			assert_int_equal(model.unit[1].writes_under_way, 0);
			for (unsigned i = 0; i < n; i++)
				assert_false(model_dma(&model.unit[1], DISK,
						       GPA_A + (from + i) * PAGE_SIZE, true, &hpa));
			for (unsigned i = 0; i < n; i++)
				map_page(root, GPA_A + (from + i) * PAGE_SIZE,
					 HPA_A + (from + i) * PAGE_SIZE, 3);
		}
	}
	assert_true(model.unit[1].pages_flushed > 300);
	assert_int_equal(model.unit[1].domains_flushed, 1);
}

static void test_flush_reads_under_way(void **state)
{
	uint64_t hpa;

	(void)state;
	start_ok();
	table_of_pages();
	assert_true(model_dma(&model.unit[1], DISK, GPA_A, false, &hpa));
	assert_true(model_dma(&model.unit[1], DISK, GPA_A, true, &hpa));
	flush_one(5, GPA_A, 1);
	assert_int_equal(model.unit[1].reads_under_way, 0);
	assert_int_equal(model.unit[1].writes_under_way, 0);
}

static void test_flush_several(void **state)
{
	struct gfn_range ranges[20];
	hpa_t root;
	uint64_t hpa;

	(void)state;
	start_ok();
	root = table_of_pages();
	for (unsigned count = 1; count <= ARRAY_SIZE(ranges); count++) {
		touch_all();
		for (unsigned i = 0; i < count; i++) {
			ranges[i].start = (GPA_A >> PAGE_SHIFT) + 2 * i;
			ranges[i].end = ranges[i].start + 1;
			map_page(root, GPA_A + 2 * i * PAGE_SIZE, 0, 0);
		}
		vtd_ops.flush(5, ranges, count);
		for (unsigned i = 0; i < count; i++) {
			assert_false(model_dma(&model.unit[1], DISK, GPA_A + 2 * i * PAGE_SIZE,
					       true, &hpa));
			map_page(root, GPA_A + 2 * i * PAGE_SIZE, HPA_A, 3);
		}
	}
	assert_true(model.unit[1].domains_flushed > 5);
}

/* Beyond what one descriptor can name, without the capability at all, or nothing. */
static void test_flush_everything(void **state)
{
	const struct gfn_range empty = { 5, 5 };
	hpa_t root;
	uint64_t hpa;

	(void)state;
	model.unit[0].cap &= ~CAP_PSI;
	start_ok();
	root = table_of_pages();
	touch_all();
	vtd_ops.flush(5, &empty, 1);
	assert_int_equal(model.unit[1].domains_flushed, 1);
	touch_all();
	map_page(root, GPA_A, 0, 0);
	vtd_ops.flush(5, &(struct gfn_range){ 0, 1ull << 36 }, 1);
	assert_false(model_dma(&model.unit[1], DISK, GPA_A, true, &hpa));
	map_page(root, GPA_A + PAGE_SIZE, 0, 0);
	vtd_ops.flush(5, &(struct gfn_range){ 0x3ff00, 0x40400 }, 1);
	assert_false(model_dma(&model.unit[1], DISK, GPA_A + PAGE_SIZE, true, &hpa));
	assert_int_equal(vtd_ops.attach(GPU, 5, root), OK);
	assert_true(model_dma(&model.unit[0], GPU, GPA_A + 2 * PAGE_SIZE, true, &hpa));
	map_page(root, GPA_A + 2 * PAGE_SIZE, 0, 0);
	flush_one(5, GPA_A + 2 * PAGE_SIZE, 1);
	assert_false(model_dma(&model.unit[0], GPU, GPA_A + 2 * PAGE_SIZE, true, &hpa));
}

/* A table goes, not only what it maps: the unit must not walk it any more. */
static void test_flush_tables(void **state)
{
	struct gfn_range r = { GPA_A >> PAGE_SHIFT, (GPA_A >> PAGE_SHIFT) + 512 };
	hpa_t root;
	uint64_t hpa, *table;

	(void)state;
	start_ok();
	root = table_of_pages();
	touch_all();
	table = unlink_table(root, GPA_A);
	vtd_ops.flush(5, &r, 1);
	for (unsigned i = 0; i < 512; i++)
		table[i] = 0x13371337000 | 3;
	for (unsigned i = 0; i < 2 * PAGES; i++)
		assert_false(model_dma(&model.unit[1], DISK, GPA_A + i * PAGE_SIZE, true, &hpa));
}

/* Flushes of many domains go round the queue several times. */
static void test_queue_wraps(void **state)
{
	(void)state;
	start_ok();
	table_of_pages();
	for (unsigned i = 0; i < 1000; i++)
		flush_one((uint16_t)(1 + i % 200), GPA_A, 1 + i % 7);
	assert_true(model.unit[1].descriptors > 2000);
}

/* ------------------------------------------------------------------ memory that is not coherent */

/* Attach, use, flush and detach, with an interrupt, whatever the unit is like. */
static void use_everything(void)
{
	struct model_unit *u = &model.unit[1];
	const struct iommu_irq to = { .apic_id = 3, .vector = 0x55 };
	struct iommu_msi msi;
	struct model_irq irq;
	hpa_t root;
	uint64_t hpa;
	unsigned first;

	start_ok();
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
	root = new_root();
	map_page(root, GPA_A, HPA_A, 3);
	assert_int_equal(vtd_ops.attach(DISK, 1, root), OK);
	assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_int_equal(hpa, HPA_A);
	map_page(root, GPA_A, 0, 0);
	flush_one(1, GPA_A, 1);
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
	assert_int_equal(vtd_ops.irq_alloc(DISK, 4, &first), OK);
	assert_false(model_msi(u, DISK, 0xfee00010 | first << 5, 0, &irq));
	assert_int_equal(vtd_ops.irq_set(DISK, first + 1, &to, &msi), OK);
	assert_true(model_msi(u, DISK, msi.address, msi.data, &irq));
	assert_int_equal(irq.vector, 0x55);
	vtd_ops.irq_free(DISK, first, 4);
	assert_false(model_msi(u, DISK, msi.address, msi.data, &irq));
	map_page(root, GPA_A, HPA_A, 3);
	flush_one(1, GPA_A, 1);
	assert_true(model_dma(u, DISK, GPA_A, true, &hpa));
	vtd_ops.detach(DISK);
	assert_false(model_dma(u, DISK, GPA_A, true, &hpa));
}

static void test_no_snooping(void **state)
{
	(void)state;
	model.unit[1].ecap &= ~ECAP_C;
	use_everything();
}

static void test_write_buffer(void **state)
{
	(void)state;
	model.unit[1].cap |= CAP_RWBF;
	use_everything();
}

static void test_write_buffer_no_snooping(void **state)
{
	(void)state;
	model.unit[1].cap |= CAP_RWBF;
	model.unit[1].ecap &= ~ECAP_C;
	model_firmware(&model.unit[1], false);
	use_everything();
}

/* ------------------------------------------------------------------ what goes wrong for good */

static void expect_panic(void (*f)(void), const char *text)
{
	jmp_buf to;

	model.panic_to = &to;
	if (!setjmp(to)) {
		f();
		fail_msg("no panic: %s", text);
	}
	model.panic_to = NULL;
	if (!strstr(model.panic, text))
		fail_msg("panic: %s", model.panic);
}

static void detach_disk(void)
{
	vtd_ops.detach(DISK);
}

static void flush_disk(void)
{
	flush_one(5, GPA_A, 1);
}

static void block_irq(void)
{
	assert_int_equal(vtd_ops.irq_set(DISK, 0, NULL, NULL), OK);
}

static void test_timeout_is_a_panic(void **state)
{
	unsigned first;

	(void)state;
	start_ok();
	table_of_pages();
	assert_int_equal(vtd_ops.irq_alloc(DISK, 1, &first), OK);
	assert_int_equal(first, 0);
	model.unit[1].stuck = true;
	expect_panic(flush_disk, "does not complete");
	expect_panic(detach_disk, "does not complete");
	expect_panic(block_irq, "does not complete");
}

static void test_queue_error_is_a_panic(void **state)
{
	(void)state;
	start_ok();
	table_of_pages();
	model.unit[1].cap &= ~CAP_PSI; /* what the driver has read is not so */
	expect_panic(flush_disk, "FSTS 0x10");
	assert_non_null(strstr(model.panic, "0000000040000000 00000000000500f2"));
}

static void test_write_buffer_stuck(void **state)
{
	(void)state;
	model.unit[1].cap |= CAP_RWBF;
	start_ok();
	table_of_pages();
	model.unit[1].ignores = GCMD_WBF;
	model.unit[1].gsts |= GCMD_WBF;
	expect_panic(flush_disk, "does not complete");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_everything_is_blocked), T(test_attach_and_detach),
		T(test_detach_one_of_two),     T(test_detach_in_a_storm),
		T(test_attach_in_a_storm),     T(test_domain_reused),
		T(test_caching_mode),          T(test_attach_errors),
		T(test_device_of_each_unit),   T(test_flush_ranges),
		T(test_flush_reads_under_way), T(test_flush_several),
		T(test_flush_everything),      T(test_flush_tables),
		T(test_queue_wraps),           T(test_no_snooping),
		T(test_write_buffer),          T(test_write_buffer_no_snooping),
		T(test_timeout_is_a_panic),    T(test_queue_error_is_a_panic),
		T(test_write_buffer_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
