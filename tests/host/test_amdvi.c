// SPDX-License-Identifier: BSD-2-Clause
/* AMD's IOMMUs: who reaches which memory, and what is invalidated. */
// sources: tests/host/amdvi_fixture.c tests/host/amdvi_model.c
// sources: drivers/amdvi.c drivers/amdvi_cmd.c drivers/amdvi_dev.c drivers/amdvi_irq.c
// sources: drivers/amdvi_event.c drivers/ivrs.c drivers/acpi.c drivers/pci.c mm/page_alloc.c mm/spte.c
// sources: mm/spte_amdvi.c
#include "amdvi_fixture.h"

#define DEVICE 0x0218 /* 02:03.0 */
#define OTHER  0x0300
#define FAR    0x4100 /* behind unit 1 */

static void test_attach(void **state)
{
	hpa_t root;

	(void)state;
	start(ALL_UNITS);
	root = make_table(0x100, 4, 0x7000);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 7, root), OK);
	assert_true(model_idle());
	for (uint64_t i = 0; i < 4; i++)
		assert_dma(0, DEVICE, 0x100 + i, 0x7000 + i);
	assert_no_dma(0, DEVICE, 0xff);
	assert_no_dma(0, DEVICE, 0x104);
	assert_no_msi(0, DEVICE, 0);
	/* It is that function's alone, and of that segment. */
	assert_blocked(0, DEVICE + 1);
	assert_blocked(0, OTHER);
	assert_blocked(2, DEVICE);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 7, root), ERR_BUSY);
	amdvi_ops.detach(function(0, DEVICE));
	assert_true(model_idle());
	assert_blocked(0, DEVICE);
	assert_int_equal(model.unit[0].dte[DEVICE].q[0] >> 61, 0);
	for (uint64_t i = 0; i < 4; i++)
		assert_no_dma(0, DEVICE, 0x100 + i);
	amdvi_ops.detach(function(0, DEVICE));
}

/* The same ids behind other units and in other segments. */
static void test_units(void **state)
{
	hpa_t root, other;

	(void)state;
	start(ALL_UNITS);
	root = make_table(0x100, 1, 0x7000);
	other = make_table(0x100, 1, 0x9000);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 1, root), OK);
	assert_int_equal(amdvi_ops.attach(function(0, FAR), 1, root), OK);
	assert_int_equal(amdvi_ops.attach(function(1, DEVICE), 2, other), OK);
	assert_int_equal(amdvi_ops.attach(function(1, FAR), 2, other), OK);
	for (unsigned i = 0; i < 3; i++) {
		assert_dma(0, DEVICE, 0x100, 0x7000);
		assert_dma(1, FAR, 0x100, 0x7000);
		assert_dma(2, DEVICE, 0x100, 0x9000);
		assert_dma(2, FAR, 0x100, 0x9000);
		amdvi_ops.detach(function(0, FAR));
		assert_no_dma(1, FAR, 0x100);
		assert_dma(2, FAR, 0x100, 0x9000);
		amdvi_ops.detach(function(1, FAR));
		assert_no_dma(2, FAR, 0x100);
		assert_dma(0, DEVICE, 0x100, 0x7000);
		amdvi_ops.detach(function(1, DEVICE));
		assert_no_dma(2, DEVICE, 0x100);
		assert_dma(0, DEVICE, 0x100, 0x7000);
		assert_int_equal(amdvi_ops.attach(function(0, FAR), 1, root), OK);
		assert_int_equal(amdvi_ops.attach(function(1, FAR), 2, other), OK);
		assert_int_equal(amdvi_ops.attach(function(1, DEVICE), 2, other), OK);
	}
}

static void test_attach_errors(void **state)
{
	hpa_t root;

	(void)state;
	start(2);
	root = make_table(0, 1, 0x7000);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 0, root), ERR_RANGE);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 256, root), OK);
	assert_int_equal(amdvi_ops.attach(function(0, OTHER), 257, root), ERR_RANGE);
	assert_int_equal(amdvi_ops.attach(function(0, 0x8000), 1, root), ERR_NOT_FOUND);
	assert_int_equal(amdvi_ops.attach(function(1, DEVICE), 1, root), ERR_NOT_FOUND);
	assert_true(amdvi_ops.covers(function(0, 0x7fff)));
	assert_false(amdvi_ops.covers(function(0, 0x8000)));
	assert_false(amdvi_ops.covers(function(1, DEVICE)));
	amdvi_ops.detach(function(0, OTHER));
	amdvi_ops.detach(function(0, 0x8000));
	assert_blocked(0, OTHER);
}

/* From one guest to another: nothing of the first remains, whatever the device does meanwhile. */
static void keep_reading(void)
{
	uint64_t hpa;

	model_dma(0, DEVICE, 0x100000, false, &hpa);
}

static void test_next_guest(void **state)
{
	hpa_t first, second;

	(void)state;
	start(1);
	first = make_table(0x100, 1, 0x7000);
	second = make_table(0x100, 1, 0x9000);
	model.probe = keep_reading;
	/* A new guest's domain is flushed even so. */
	assert_int_equal(amdvi_ops.attach(function(0, OTHER), 0x12, first), OK);
	assert_int_equal(model.unit[0].last_pages[0], 0x3000001200000000);
	assert_int_equal(model.unit[0].last_pages[1], 0x7ffffffffffff003);
	amdvi_ops.detach(function(0, OTHER));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 1, first), OK);
		assert_dma(0, DEVICE, 0x100, 0x7000);
		amdvi_ops.detach(function(0, DEVICE));
		assert_no_dma(0, DEVICE, 0x100);
		assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 2, second), OK);
		assert_dma(0, DEVICE, 0x100, 0x9000);
		amdvi_ops.detach(function(0, DEVICE));
		assert_no_dma(0, DEVICE, 0x100);
	}
	/* The same domain with another table: attaching flushes as well. */
	assert_int_equal(amdvi_ops.attach(function(0, OTHER), 1, first), OK);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 1, first), OK);
	assert_dma(0, DEVICE, 0x100, 0x7000);
}

/* Between any two stores a device is either blocked or reaches what its guest may. */
static hpa_t whole;

static void either(void)
{
	uint64_t hpa;
	enum model_result r;

	/* Caches may forget at any time, too. */
	model.unit[0].dte[DEVICE].valid = false;
	model.unit[0].tlb_count = 0;
	r = model_dma(0, DEVICE, 0x100000, true, &hpa);
	assert_true(r == MODEL_BLOCKED || (r == MODEL_DONE && hpa == 0x7000000));
}

static void test_attach_is_atomic(void **state)
{
	(void)state;
	start(1);
	whole = make_table(0x100, 1, 0x7000);
	model.probe = either;
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 3, whole), OK);
	amdvi_ops.detach(function(0, DEVICE));
}

static void test_flush(void **state)
{
	struct gfn_range range = { 0x101, 0x102 };
	uint32_t count;
	hpa_t root;

	(void)state;
	start(2);
	root = make_table(0x100, 4, 0x7000);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 7, root), OK);
	assert_int_equal(amdvi_ops.attach(function(0, FAR), 7, root), OK);
	for (uint64_t i = 0; i < 4; i++) {
		assert_dma(0, DEVICE, 0x100 + i, 0x7000 + i);
		assert_dma(1, FAR, 0x100 + i, 0x7000 + i);
	}
	*entry_of(root, 0x101, 1) = 0;
	assert_dma(0, DEVICE, 0x101, 0x7001);
	amdvi_ops.flush(7, &range, 1);
	assert_true(model_idle());
	assert_no_dma(0, DEVICE, 0x101);
	assert_no_dma(1, FAR, 0x101);
	/* Other domains are left alone, and an empty range is nothing. */
	*entry_of(root, 0x102, 1) = 0;
	range = (struct gfn_range){ 0, 1ull << 36 };
	amdvi_ops.flush(8, &range, 1);
	assert_dma(0, DEVICE, 0x102, 0x7002);
	range = (struct gfn_range){ 0x102, 0x102 };
	count = model.unit[0].pages;
	amdvi_ops.flush(7, &range, 1);
	assert_int_equal(model.unit[0].pages, count);
	/* Entries that point to tables are forgotten as well. */
	*entry_of(root, 0x100, 2) = 0;
	range = (struct gfn_range){ 0x100, 0x101 };
	amdvi_ops.flush(7, &range, 1);
	assert_no_dma(0, DEVICE, 0x100);
}

static void test_flush_sizes(void **state)
{
	static const struct {
		struct gfn_range range;
		uint64_t address;
	} cases[] = {
		{ { 0, 1 }, 0x0002 },
		{ { 5, 6 }, 0x5002 },
		{ { 4, 6 }, 0x4003 },
		{ { 5, 7 }, 0x5003 }, /* 4 to 7 */
		{ { 7, 9 }, 0x7003 }, /* 0 to 15 */
		{ { 0x200, 0x400 }, 0x2ff003 },
		{ { 0x200, 0x401 }, 0x3ff003 }, /* 0 to 7ff */
		{ { 0, 1ull << 36 }, 0x7ffffffff003 },
		{ { 0, 1ull << 39 }, 0x3fffffffff003 },
		{ { 0, 1ull << 40 }, 0x7ffffffffffff003 },
		{ { 0, 1ull << 52 }, 0x7ffffffffffff003 },
	};

	(void)state;
	start(1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		amdvi_ops.flush(0x12, &cases[i].range, 1);
		assert_int_equal(model.unit[0].last_pages[0], 0x3000001200000000);
		assert_int_equal(model.unit[0].last_pages[1], cases[i].address);
	}
}

/* Whatever the ranges are, what they have is gone. */
static void test_flush_random(void **state)
{
	struct gfn_range ranges[24];
	unsigned seed = 12345;
	hpa_t root;

	(void)state;
	start(1);
	root = make_table(0x1f0, 0x40, 0x7000);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 7, root), OK);
	for (unsigned round = 0; round < 200; round++) {
		unsigned count = (unsigned)rand_r(&seed) % (round % 10 ? 5 : 24), i;

		for (uint64_t g = 0x1f0; g < 0x230; g++)
			assert_dma(0, DEVICE, g, *entry_of(root, g, 1) >> 12 & 0xffff);
		for (i = 0; i < count; i++) {
			ranges[i].start = 0x1f0 + (uint64_t)rand_r(&seed) % 0x40;
			ranges[i].end = ranges[i].start + (uint64_t)rand_r(&seed) % 9;
			if (ranges[i].end > 0x230)
				ranges[i].end = 0x230;
			for (uint64_t g = ranges[i].start; g < ranges[i].end; g++)
				*entry_of(root, g, 1) ^= 0x8000000;
		}
		amdvi_ops.flush(7, ranges, count);
		assert_true(model_idle());
	}
}

static void test_alias(void **state)
{
	hpa_t root, other;

	(void)state;
	start(1);
	root = make_table(0x100, 1, 0x7000);
	other = make_table(0x100, 1, 0x9000);
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS + 1), 7, root), OK);
	assert_dma(0, ALIAS + 1, 0x100, 0x7000);
	assert_dma(0, ALIAS, 0x100, 0x7000);
	assert_blocked(0, ALIAS + 2);
	/* Who shares the alias cannot be another guest's. */
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS + 2), 8, other), ERR_BUSY);
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS), 8, other), ERR_BUSY);
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS + 2), 7, other), ERR_BUSY);
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS + 2), 8, root), ERR_BUSY);
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS + 2), 7, root), OK);
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS), 7, root), OK);
	/* The last one to go closes it. */
	amdvi_ops.detach(function(0, ALIAS + 1));
	assert_no_dma(0, ALIAS + 1, 0x100);
	assert_dma(0, ALIAS + 2, 0x100, 0x7000);
	amdvi_ops.detach(function(0, ALIAS));
	assert_dma(0, ALIAS, 0x100, 0x7000);
	amdvi_ops.detach(function(0, ALIAS + 2));
	assert_no_dma(0, ALIAS, 0x100);
	assert_no_dma(0, ALIAS + 2, 0x100);
	assert_int_equal(amdvi_ops.attach(function(0, ALIAS + 3), 8, other), OK);
	assert_dma(0, ALIAS, 0x100, 0x9000);
}

/* There is room for so many DeviceIDs, then no more. */
static void test_many_devices(void **state)
{
	enum status s = OK;
	uint16_t id;
	hpa_t root;

	(void)state;
	start(1);
	root = make_table(0x100, 1, 0x7000);
	/* Detaching what was never attached takes none. */
	for (id = 0x2000; id < 0x2400; id++)
		amdvi_ops.detach(function(0, id));
	for (id = 0x1000; s == OK; id++)
		s = amdvi_ops.attach(function(0, id), 7, root);
	assert_int_equal(s, ERR_NOMEM);
	assert_int_equal(id, 0x1000 + 256 + 1);
	assert_dma(0, 0x10ff, 0x100, 0x7000);
	assert_blocked(0, 0x1100);
}

static void test_time_out(void **state)
{
	struct gfn_range range = { 0, 1 };
	unsigned first;
	hpa_t root;

	(void)state;
	start(2);
	root = make_table(0x100, 1, 0x7000);
	/* Slow is no reason. */
	model.unit[1].lazy = 9000;
	assert_int_equal(amdvi_ops.attach(function(0, FAR), 7, root), OK);
	assert_true(model_idle());
	model.unit[1].dead = true;
	expect_panic(amdvi_ops.flush(7, &range, 1));
	setup(NULL);
	start(2);
	model.unit[1].dead = true;
	expect_panic(amdvi_ops.attach(function(0, FAR), 7, root));
	setup(NULL);
	start(2);
	model.unit[1].dead = true;
	expect_panic(amdvi_ops.irq_alloc(function(0, FAR), 1, &first));
}

/* More commands at once than the ring has room for. */
static void test_ring_wraps(void **state)
{
	struct gfn_range ranges[16];

	(void)state;
	start(1);
	for (unsigned i = 0; i < 16; i++)
		ranges[i] = (struct gfn_range){ 2 * i, 2 * i + 1 };
	for (unsigned i = 0; i < 100; i++) {
		uint32_t before = model.unit[0].pages;

		amdvi_ops.flush(7, ranges, 16);
		assert_int_equal(model.unit[0].pages, before + 16);
		assert_true(model_idle());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_attach, setup),
		cmocka_unit_test_setup(test_units, setup),
		cmocka_unit_test_setup(test_attach_errors, setup),
		cmocka_unit_test_setup(test_next_guest, setup),
		cmocka_unit_test_setup(test_attach_is_atomic, setup),
		cmocka_unit_test_setup(test_flush, setup),
		cmocka_unit_test_setup(test_flush_sizes, setup),
		cmocka_unit_test_setup(test_flush_random, setup),
		cmocka_unit_test_setup(test_alias, setup),
		cmocka_unit_test_setup(test_many_devices, setup),
		cmocka_unit_test_setup(test_time_out, setup),
		cmocka_unit_test_setup(test_ring_wraps, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
