/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens to faults of devices: whose they are, how many are shown, what the guest gets. */
// sources: core/iommu_faults.c drivers/pci.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/guest.h"
#include "core/passthrough.h"
#include "log.h"
#include "x86/asm.h"
#include "x86/tsc.h"

struct guest *guests[CONFIG_MAX_GUESTS];
uint32_t guest_count;
struct pci_tree *pci_tree;
struct iommu_info iommu_info;

static const struct iommu_ops ops;
static struct pci_tree tree;
static struct guest guest;
static struct guest_config config;
static struct iommu_fault next;
static unsigned waiting, messages, stops, pauses;
static bool masked;
static char last_message[256], why_stopped[128];
static uint64_t ticks_per_us;

/* So long as the machine that runs the tests takes for it: never by itself within a test. */
uint64_t tsc_from_us(uint64_t us)
{
	return us * ticks_per_us;
}

void log_msg(enum log_level level unused, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(last_message, sizeof(last_message), fmt, args);
	va_end(args);
	messages++;
}

struct pci_function *pci_tree_find(struct pci_tree *t, struct pci_bdf d)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (!memcmp(&t->f[i].bdf, &d, sizeof(d)))
			return &t->f[i];
	return NULL;
}

bool iommu_next_fault(struct iommu_fault *out)
{
	if (!waiting)
		return false;
	waiting--;
	*out = next;
	return true;
}

void iommu_fault_mask(bool m)
{
	masked = m;
}

void guest_end_run(struct guest *g, enum guest_end how, const char *why)
{
	assert_ptr_equal(g, &guest);
	assert_int_equal(how, END_CRASH);
	snprintf(why_stopped, sizeof(why_stopped), "%s", why);
	stops++;
}

enum status guest_pause(struct guest *g)
{
	assert_ptr_equal(g, &guest);
	return pauses++ ? ERR_INVALID : OK;
}

static int setup(void **state unused)
{
	memset(&tree, 0, sizeof(tree));
	memset(&guest, 0, sizeof(guest));
	memset(&config, 0, sizeof(config));
	memset(&next, 0, sizeof(next));
	pci_tree = &tree;
	iommu_info.ops = &ops;
	guests[0] = &guest;
	guest_count = 1;
	guest.config = &config;
	strcpy(config.name, "one");
	tree.count = 2;
	tree.f[0] = (struct pci_function){ .bdf = { 0, 0, 3, 0 }, .owner = 0 };
	tree.f[0].requester = (struct pci_bdf){ 0, 5, 0, 0 };
	tree.f[1] = (struct pci_function){ .bdf = { 0, 0, 4, 0 }, .owner = PCI_NO_OWNER };
	next.source = tree.f[0].bdf;
	next.address = 0x123000;
	next.text = "not mapped";
	waiting = messages = stops = pauses = 0;
	masked = false;
	ticks_per_us = 1ull << 40;
	return 0;
}

static void fault(unsigned n)
{
	waiting = n;
	iommu_faults_poll();
}

static void test_names_the_guest(void **state unused)
{
	struct iommu_fault last;
	uint64_t before = iommu_faults_of(0);

	next.write = true;
	fault(1);
	assert_int_equal(iommu_faults_of(0), before + 1);
	assert_int_equal(guest.device_faults, 1);
	assert_string_equal(last_message,
			    "guest one, device 00:03.0: write to 0x123000 blocked: not mapped");
	assert_true(iommu_faults_last(0, &last));
	assert_int_equal(last.address, 0x123000);
	assert_false(iommu_faults_last(16, &last));
}

/* Behind a bridge the id is the bridge's. */
static void test_requester_of_a_bridge(void **state unused)
{
	next.source = tree.f[0].requester;
	next.interrupt = true;
	fault(1);
	assert_int_equal(guest.device_faults, 1);
	assert_non_null(strstr(last_message, "guest one, device 05:00.0: interrupt 0x123000"));
}

static void test_nobodys(void **state unused)
{
	uint64_t before = iommu_faults_of(1), unknown = iommu_faults_unknown();

	config.dma_fault = DMA_FAULT_STOP;
	next.source = tree.f[1].bdf;
	fault(1);
	assert_int_equal(iommu_faults_of(1), before + 1);
	next.source.bus = 9;
	fault(2);
	assert_int_equal(iommu_faults_unknown(), unknown + 2);
	next.source = tree.f[0].bdf;
	next.is_unit = true;
	fault(1);
	assert_int_equal(iommu_faults_unknown(), unknown + 3);
	assert_int_equal(stops, 0);
	assert_int_equal(guest.device_faults, 0);
}

static void test_messages_are_few(void **state unused)
{
	fault(8);
	assert_int_equal(messages, 8);
	fault(24);
	assert_int_equal(messages, 10); /* the 16th and the 32nd */
}

static void test_policies(void **state unused)
{
	fault(1);
	assert_int_equal(stops + pauses, 0);
	config.dma_fault = DMA_FAULT_STOP;
	fault(1);
	assert_int_equal(stops, 1);
	assert_string_equal(why_stopped, "its device 00:03.0 was blocked (dma_fault=stop)");
	config.dma_fault = DMA_FAULT_PAUSE;
	messages = 0;
	fault(2);
	assert_int_equal(stops, 1);
	assert_int_equal(pauses, 2);
	assert_int_equal(messages, 3); /* it is paused once */
}

/* A flood is cut off, what is left stays in the hardware, and it is listened to again later. */
static void test_flood(void **state unused)
{
	ticks_per_us = 1ull << 20; /* a second never ends by itself */
	fault(100000);
	assert_true(masked);
	assert_in_range(waiting, 90000, 99999);
	iommu_faults_after_exit(rdtsc());
	assert_true(masked);
	iommu_faults_poll(); /* the monitor's look does not change that */
	assert_true(masked);
	waiting = 3;
	ticks_per_us = 0; /* and now it is over */
	iommu_faults_after_exit(~0ull);
	assert_false(masked);
	assert_int_equal(waiting, 0);
	messages = 0;
	iommu_faults_after_exit(~0ull);
	assert_int_equal(messages, 0);
}

static void test_without_iommu(void **state unused)
{
	iommu_info.ops = NULL;
	fault(1);
	assert_int_equal(waiting, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_names_the_guest, setup),
		cmocka_unit_test_setup(test_requester_of_a_bridge, setup),
		cmocka_unit_test_setup(test_nobodys, setup),
		cmocka_unit_test_setup(test_messages_are_few, setup),
		cmocka_unit_test_setup(test_policies, setup),
		cmocka_unit_test_setup(test_without_iommu, setup),
		cmocka_unit_test_setup(test_flood, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
