/* SPDX-License-Identifier: BSD-2-Clause */
// sources: core/assign.c drivers/pci.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/assign.h"

static struct pci_tree tree;
static struct config config;
static struct assign_guest got[CONFIG_MAX_GUESTS];
static struct assign_machine machine;
static bool contained;

static bool covers(struct pci_bdf d)
{
	(void)d;
	return contained;
}

static struct pci_function *add(uint8_t device, uint8_t function, uint16_t id, uint32_t class)
{
	struct pci_function *f = &tree.f[tree.count];

	*f = (struct pci_function){ .bdf = { 0, 0, device, function },
				    .vendor = 0x8086,
				    .device = id,
				    .class = class,
				    .requester = { 0, 0, device, function },
				    .group = tree.count++,
				    .reset = PCI_RESET_FLR,
				    .owner = PCI_NO_OWNER };
	return f;
}

static struct guest_config *guest(const char *name)
{
	struct guest_config *g = &config.guests[config.guest_count++];

	g->valid = true;
	strcpy(g->name, name);
	return g;
}

static void wants(struct guest_config *g, uint8_t device, uint8_t function)
{
	g->devices[g->device_count++] = (struct config_device){
		.by = DEVICE_BY_ADDRESS, .device = device, .function = function, .slot = 7
	};
}

static void wants_class(struct guest_config *g, uint32_t class, uint32_t mask)
{
	g->devices[g->device_count++] =
		(struct config_device){ .by = DEVICE_BY_CLASS, .class = class, .class_mask = mask };
}

static void assign(void)
{
	assign_devices(&tree, &config, &machine, got);
}

static int setup(void **state)
{
	(void)state;
	memset(&tree, 0, sizeof(tree));
	memset(&config, 0, sizeof(config));
	memset(got, 0xff, sizeof(got));
	machine = (struct assign_machine){ .irq_remap = true, .covers = covers };
	contained = true;
	add(1, 0, 0x1111, 0x010802);
	add(2, 0, 0x2222, 0x010802);
	add(3, 0, 0x3333, 0x020000);
	return 0;
}

static void assert_refused(uint32_t i, const char *part)
{
	assert_int_equal(got[i].count, 0);
	if (!strstr(got[i].refusal, part))
		fail_msg("'%s' is not in '%s'", part, got[i].refusal);
	for (uint32_t n = 0; n < tree.count; n++)
		assert_int_not_equal(tree.f[n].owner, (int32_t)i);
}

static void test_by_address(void **state)
{
	struct guest_config *g = guest("one");

	(void)state;
	wants(g, 2, 0);
	wants(g, 3, 0);
	assign();
	assert_string_equal(got[0].refusal, "");
	assert_int_equal(got[0].count, 2);
	assert_ptr_equal(got[0].function[0], &tree.f[1]);
	assert_ptr_equal(got[0].function[1], &tree.f[2]);
	assert_int_equal(got[0].slot[0], 7);
	assert_int_equal(tree.f[0].owner, PCI_NO_OWNER);
	assert_int_equal(tree.f[1].owner, 0);
}

/* Each name takes one: the next that nobody has. */
static void test_by_class_and_id(void **state)
{
	struct guest_config *one = guest("one"), *two = guest("two"), *three = guest("three");

	(void)state;
	wants_class(one, 0x010800, 0xffff00);
	wants_class(two, 0x010000, 0xff0000);
	three->devices[three->device_count++] = (struct config_device){ .by = DEVICE_BY_ID,
									.vendor_id = 0x8086,
									.device_id = 0x3333 };
	assign();
	assert_ptr_equal(got[0].function[0], &tree.f[0]);
	assert_ptr_equal(got[1].function[0], &tree.f[1]);
	assert_ptr_equal(got[2].function[0], &tree.f[2]);
	wants_class(two, 0x010000, 0xff0000);
	for (uint32_t i = 0; i < tree.count; i++)
		tree.f[i].owner = PCI_NO_OWNER;
	assign();
	assert_refused(1, "one has it");
	assert_int_equal(got[2].count, 1);
}

static void test_not_there_and_twice(void **state)
{
	struct guest_config *one = guest("one"), *two = guest("two"), *three = guest("three");

	(void)state;
	wants(one, 1, 0);
	wants(one, 9, 0);
	wants(two, 1, 0);
	wants(two, 1, 0);
	wants(three, 1, 0);
	assign();
	assert_refused(0, "00:09.0: there is none");
	assert_refused(1, "twice");
	assert_int_equal(got[2].count, 1);
}

static void test_left_out_guest_takes_nothing(void **state)
{
	struct guest_config *one = guest("one"), *two = guest("two");

	(void)state;
	wants(one, 1, 0);
	wants(two, 1, 0);
	one->valid = false;
	assign();
	assert_int_equal(got[0].count, 0);
	assert_int_equal(got[1].count, 1);
}

static void test_what_cannot_be_given(void **state)
{
	struct guest_config *g = guest("one");

	(void)state;
	wants(g, 1, 0);
	tree.f[0].reserved = "it is a bridge";
	g->iommu_unsafe = g->reset_none = true;
	assign();
	assert_refused(0, "it is a bridge");
}

static void test_reset(void **state)
{
	struct guest_config *g = guest("one");

	(void)state;
	wants(g, 1, 0);
	tree.f[0].reset = PCI_RESET_NONE;
	assign();
	assert_refused(0, "reset=none");
	g->reset_none = true;
	assign();
	assert_int_equal(got[0].count, 1);
}

static void test_without_containment(void **state)
{
	struct guest_config *g = guest("one");

	(void)state;
	wants(g, 1, 0);
	contained = false;
	assign();
	assert_refused(0, "no IOMMU contains it");
	contained = true;
	machine.irq_remap = false;
	assign();
	assert_refused(0, "does not remap interrupts");
	g->iommu_unsafe = true;
	assign();
	assert_int_equal(got[0].count, 1);
	tree.f[0].owner = PCI_NO_OWNER;
	contained = false;
	assign();
	assert_int_equal(got[0].count, 1);
}

static void test_groups(void **state)
{
	struct guest_config *one = guest("one"), *two = guest("two");

	(void)state;
	add(3, 1, 0x4444, 0x020000)->group = tree.f[2].group;
	wants(one, 3, 0);
	wants(two, 3, 1);
	assign();
	assert_int_equal(got[0].count, 1);
	assert_refused(1, "00:03.0, which guest one has");
	assert_refused(1, "belong together: 00:03.0, 00:03.1");
}

static void test_group_with_idle_and_with_own(void **state)
{
	struct guest_config *one = guest("one");

	(void)state;
	add(3, 1, 0x4444, 0x020000)->group = tree.f[2].group;
	wants(one, 3, 1);
	assign();
	assert_int_equal(got[0].count, 1);
	tree.f[3].owner = PCI_NO_OWNER;
	tree.f[2].reserved = "it is Lamina's serial port";
	tree.f[2].in_use = true;
	assign();
	assert_refused(0, "which Lamina has");
}

static void test_long_group(void **state)
{
	struct guest_config *one = guest("one"), *two = guest("two");

	(void)state;
	for (uint8_t i = 1; i < 32; i++)
		add(4, i % 8, 0x5555, 0x020000)->group = tree.f[2].group;
	wants(one, 3, 0);
	wants(two, 4, 1);
	assign();
	assert_refused(1, " ...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_by_address, setup),
		cmocka_unit_test_setup(test_by_class_and_id, setup),
		cmocka_unit_test_setup(test_not_there_and_twice, setup),
		cmocka_unit_test_setup(test_left_out_guest_takes_nothing, setup),
		cmocka_unit_test_setup(test_what_cannot_be_given, setup),
		cmocka_unit_test_setup(test_reset, setup),
		cmocka_unit_test_setup(test_without_containment, setup),
		cmocka_unit_test_setup(test_groups, setup),
		cmocka_unit_test_setup(test_group_with_idle_and_with_own, setup),
		cmocka_unit_test_setup(test_long_group, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
