// SPDX-License-Identifier: BSD-2-Clause
// sources: core/vpci_irq.c core/vpci_msi.c core/vpci_msix.c core/vpci_intx.c core/vlapic.c
// sources: core/vioapic.c drivers/pci.c tests/host/mock_core.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/host_console.h"
#include "core/hw.h"
#include "core/hyp_mem.h"
#include "core/vpci_irq.h"
#include "mock_core.h"

/*
 * Two guests whose devices share physical lines, and an IOAPIC that makes a NMI of each edge. Devices
 * may assert at any moment, between any two accesses of Lamina's.
 */
#define DEVICES  5
#define LINES    2
#define NO_INTX  0x0400u
#define MSI_CTRL 0x52

enum {
	A,
	B,
	C,
	D,
	NOT_DISABLED
};

static struct device {
	struct vpci_irqs q;
	struct pci_function f;
	uint8_t config[256];
	bool asserts;
	unsigned line; /* the physical one */
	struct guest *g;
} dev[DEVICES];

static struct guest other;
static struct vcpu other_vcpu;
static struct pci_access access_ops;
struct iommu_info iommu_info;

static bool level[LINES];
static unsigned nmis, routes, masks;
static bool routed, no_ioapic;
static uint32_t routed_to;
static unsigned chaos;                /* percent: a device asserts between two accesses */
static void (*at_status)(unsigned i); /* before the Interrupt Status of a device is read */
static unsigned delivered;            /* to guests */
static bool trap_when_delivered;

static uint16_t config16(const struct device *d, unsigned reg)
{
	return (uint16_t)(d->config[reg] | d->config[reg + 1] << 8);
}

static bool real_on(const struct device *d)
{
	return !(config16(d, 4) & NO_INTX);
}

/* The physical lines, after anything has changed. */
static void update_lines(void)
{
	for (unsigned l = 0; l < LINES; l++) {
		bool now = false;

		for (unsigned i = 0; i < DEVICES; i++)
			now |= dev[i].line == l && dev[i].asserts && real_on(&dev[i]);
		if (now && !level[l] && routed)
			nmis++;
		level[l] = now;
	}
}

static void assert_intx(unsigned i, bool on)
{
	dev[i].asserts = on;
	update_lines();
}

static struct device *find(struct pci_bdf d)
{
	assert_true(d.device < DEVICES);
	return &dev[d.device];
}

static void disturb(void)
{
	if (chaos && (unsigned)rand() % 100 < chaos)
		assert_intx((unsigned)rand() % 4, true);
}

static uint32_t config_read(const struct pci_access *a, struct pci_bdf bdf, uint32_t reg,
			    unsigned width)
{
	struct device *d = find(bdf);
	uint32_t v = 0;

	(void)a;
	disturb();
	if (reg == 6 && at_status)
		at_status((unsigned)(d - dev));
	memcpy(&v, &d->config[reg], width);
	/* Interrupt Status says so whether INTx is disabled or not. */
	if (reg == 6 && d->asserts)
		v |= 8;
	disturb();
	return v;
}

static void config_write(const struct pci_access *a, struct pci_bdf bdf, uint32_t reg,
			 unsigned width, uint32_t v)
{
	struct device *d = find(bdf);

	(void)a;
	disturb();
	/* Nobody but VPCI writes the lower byte of Command. */
	assert_true(reg != 4 || width == 1);
	if (d != &dev[NOT_DISABLED] || reg != 5)
		memcpy(&d->config[reg], &v, width);
	update_lines();
	disturb();
}

unsigned host_route_pci_lines(uint32_t apic_id)
{
	routes++;
	/* As in the hardware: a line that is high already makes no edge. */
	routed = !no_ioapic;
	routed_to = apic_id;
	return no_ioapic ? 0 : 8;
}

void host_mask_pci_lines(void)
{
	assert_true(routed || no_ioapic);
	masks++;
	routed = false;
}

uint64_t hw_mmio_read(const volatile void *at unused, uint8_t size unused)
{
	fail();
	return 0;
}

void hw_mmio_write(volatile void *at unused, uint8_t size unused, uint64_t value unused)
{
	fail();
}

void *hyp_mem_map(hpa_t hpa unused, uint64_t size unused, unsigned access unused,
		  enum mem_type type unused)
{
	fail();
	return NULL;
}

void *page_alloc(struct page_budget *b unused, unsigned count)
{
	return calloc(count, PAGE_SIZE);
}

enum status iommu_irq_alloc(struct pci_bdf d unused, unsigned count unused, unsigned *first)
{
	*first = 0;
	return OK;
}

bool iommu_covers(struct pci_bdf d unused)
{
	return true;
}

void iommu_irq_free(struct pci_bdf d unused, unsigned first unused, unsigned count unused)
{
}

enum status iommu_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			  struct iommu_msi *msi)
{
	(void)d;
	(void)index;
	(void)irq;
	if (msi)
		*msi = (struct iommu_msi){ 0xfee00000, 0 };
	return OK;
}

/* ------------------------------------------------------------------ the guests */

static void deliver(void *ctx, uint8_t dest, bool logical, enum apic_delivery mode, uint8_t vector)
{
	const struct guest *g = ctx;

	(void)dest;
	(void)logical;
	(void)mode;
	(void)vector;
	trap_when_delivered = g->trap_eoi;
	delivered++;
}

static void resample(void *ctx, unsigned pin)
{
	vpci_intx_resample(ctx, pin);
}

static const struct vioapic_ops ioapic_ops = { deliver, resample };

#define LEVEL  0x8000u
#define MASKED 0x10000u
#define IRR    BIT(14)

static void write_rte(struct guest *g, unsigned pin, uint32_t low)
{
	vioapic_write(&g->ioapic, 0, 0x10 + 2 * pin);
	vioapic_write(&g->ioapic, 0x10, low);
}

static void unmask(unsigned i)
{
	write_rte(dev[i].g, dev[i].q.intx_line, LEVEL | (0x30u + dev[i].q.intx_line));
}

static void mask(unsigned i)
{
	write_rte(dev[i].g, dev[i].q.intx_line, MASKED | LEVEL | (0x30u + dev[i].q.intx_line));
}

static void eoi(unsigned i)
{
	vioapic_write(&dev[i].g->ioapic, 0x40, 0x30u + dev[i].q.intx_line);
}

static bool input(unsigned i)
{
	return dev[i].g->ioapic.lines >> dev[i].q.intx_line & 1;
}

static uint64_t rte(unsigned i)
{
	return dev[i].g->ioapic.rte[dev[i].q.intx_line];
}

/* NMIs of Lamina are served. */
static void serve(void)
{
	unsigned most = 1000;

	while (nmis) {
		nmis = 0;
		vpci_intx_poll();
		assert_true(most-- > 0);
	}
}

/* What must hold whenever no NMI is pending. */
static void check(void)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct device *d = &dev[i];

		assert_int_equal(real_on(d), d->q.intx_on && !d->q.intx_asserted);
		if (!d->q.intx_on) {
			assert_false(d->q.intx_asserted);
			continue;
		}
		/* Nothing is lost: the guest has it, or will when it unmasks the input. */
		if (d->asserts) {
			assert_true(d->q.intx_asserted);
			assert_true(input(i));
			assert_true(rte(i) & (IRR | MASKED));
		}
		/* And nobody's line is held. */
		if (!input(i))
			assert_false(d->q.intx_asserted);
		else if (!(rte(i) & MASKED))
			assert_true(rte(i) & IRR);
	}
}

static void make(unsigned i, struct guest *g, uint8_t slot, uint8_t pin, unsigned line)
{
	struct device *d = &dev[i];

	d->g = g;
	d->line = line;
	d->f.bdf.device = (uint8_t)i;
	d->f.pin = pin;
	d->f.msi = i == D ? 0x50 : 0;
	assert_int_equal(vpci_irq_create(&d->q, g, &d->f, &access_ops, slot), OK);
}

/* The list of devices lives as long as the machine. */
static int create(void **state)
{
	(void)state;
	mock_reset(CPU_VENDOR_INTEL, 2, 4);
	iommu_info.irq_remap = true;
	access_ops.read = config_read;
	access_ops.write = config_write;
	other.config = &mock.config;
	other.vcpu_count = 1;
	other.vcpus[0] = &other_vcpu;
	other_vcpu.apic_id = 9;
	make(A, &mock.guest, 1, 1, 0);
	make(B, &mock.guest, 4, 2, 0);
	make(C, &other, 2, 4, 0);
	make(D, &mock.guest, 2, 1, 1);
	make(NOT_DISABLED, &mock.guest, 3, 1, 1);
	return 0;
}

static int power_on(void **state)
{
	(void)state;
	chaos = nmis = routes = masks = delivered = 0;
	at_status = NULL;
	no_ioapic = false;
	vioapic_init(&mock.guest.ioapic, &ioapic_ops, &mock.guest);
	vioapic_init(&other.ioapic, &ioapic_ops, &other);
	for (unsigned i = 0; i < DEVICES; i++) {
		dev[i].asserts = false;
		dev[i].g->trap_eoi = false;
		memset(dev[i].config, 0, sizeof(dev[i].config));
		assert_int_equal(vpci_irq_start(&dev[i].q), OK);
		vpci_intx_command(&dev[i].q, 0);
	}
	update_lines();
	return 0;
}

static int power_off(void **state)
{
	(void)state;
	chaos = 0;
	at_status = NULL;
	for (unsigned i = 0; i < DEVICES; i++)
		vpci_irq_stop(&dev[i].q);
	assert_false(routed);
	for (unsigned i = 0; i < 4; i++)
		assert_false(real_on(&dev[i]));
	return 0;
}

/* ------------------------------------------------------------------ tests */

static void test_create(void **state)
{
	(void)state;
	assert_int_equal(dev[A].q.intx_line, 17);
	assert_int_equal(dev[B].q.intx_line, 17);
	assert_int_equal(dev[C].q.intx_line, 17);
	assert_int_equal(dev[D].q.intx_line, 18);
	assert_int_equal(dev[NOT_DISABLED].q.intx_line, 0);
	/* Nothing happens as long as no guest listens. */
	assert_false(real_on(&dev[A]));
	assert_int_equal(routes, 0);
	assert_int_equal(masks, 0);
	vpci_intx_poll();
	unmask(NOT_DISABLED);
	assert_int_equal(routes, 0);
}

static void test_pin(void **state)
{
	static struct device d = { .f.bdf.device = A };

	(void)state;
	for (unsigned pin = 0; pin < 256; pin++) {
		if (pin >= 1 && pin <= 4)
			continue;
		d.f.pin = (uint8_t)pin;
		assert_int_equal(vpci_irq_create(&d.q, &mock.guest, &d.f, &access_ops, 1), OK);
		assert_int_equal(d.q.intx_line, 0);
	}
}

static void test_level(void **state)
{
	(void)state;
	unmask(A);
	assert_int_equal(routes, 1);
	assert_int_equal(routed_to, 4);
	assert_true(real_on(&dev[A]));
	assert_false(input(A));
	assert_intx(A, true);
	assert_int_equal(nmis, 1);
	assert_int_equal(delivered, 0);
	serve();
	assert_int_equal(delivered, 1);
	assert_false(real_on(&dev[A]));
	assert_false(level[0]);
	check();
	/* Not served: it comes again, and again. */
	eoi(A);
	assert_int_equal(delivered, 2);
	eoi(A);
	assert_int_equal(delivered, 3);
	check();
	assert_intx(A, false);
	eoi(A);
	assert_int_equal(delivered, 3);
	assert_false(input(A));
	assert_true(real_on(&dev[A]));
	check();
	/* The next one. */
	assert_intx(A, true);
	serve();
	assert_int_equal(delivered, 4);
	check();
}

/* A device that asserts already when the guest begins to listen makes no edge. */
static void test_early(void **state)
{
	(void)state;
	assert_intx(A, true);
	assert_int_equal(nmis, 0);
	unmask(A);
	serve();
	assert_int_equal(delivered, 1);
	check();
	/* Masked meanwhile: the input stays, and is seen when the mask goes. */
	mask(A);
	eoi(A);
	assert_int_equal(delivered, 1);
	unmask(A);
	assert_int_equal(delivered, 2);
	check();
	/* Gone while it is masked: nothing is delivered. */
	mask(A);
	eoi(A);
	assert_intx(A, false);
	unmask(A);
	assert_int_equal(delivered, 2);
	check();
}

/* Two guests on one physical line, two devices on one virtual input. */
static void test_shared(void **state)
{
	(void)state;
	unmask(A);
	unmask(C);
	assert_int_equal(routes, 1);
	assert_true(real_on(&dev[B]));
	assert_intx(B, true);
	assert_intx(C, true);
	assert_int_equal(nmis, 1);
	serve();
	assert_int_equal(delivered, 2);
	check();
	/* The one is served, the other asserts: the input stays high. */
	assert_intx(A, true);
	serve();
	assert_int_equal(delivered, 2);
	assert_intx(B, false);
	eoi(A);
	assert_int_equal(delivered, 3);
	assert_true(input(A));
	check();
	assert_intx(A, false);
	eoi(A);
	assert_int_equal(delivered, 3);
	assert_false(input(A));
	/* Another input of the same guest's has nothing to do with it. */
	unmask(D);
	assert_intx(D, true);
	serve();
	assert_true(input(D));
	eoi(A);
	assert_false(input(A));
	assert_intx(D, false);
	eoi(D);
	assert_int_equal(delivered, 4);
	/* The other guest has its own. */
	assert_true(input(C));
	eoi(C);
	assert_int_equal(delivered, 5);
	check();
}

static void test_command(void **state)
{
	(void)state;
	unmask(A);
	assert_intx(A, true);
	serve();
	vpci_intx_command(&dev[A].q, NO_INTX);
	assert_false(input(A));
	assert_false(real_on(&dev[A]));
	check();
	/* B listens still, on the same input. */
	assert_true(routed);
	vpci_intx_command(&dev[B].q, 0x0400 | 7);
	assert_false(routed);
	assert_int_equal(masks, 1);
	vpci_intx_command(&dev[A].q, 7);
	assert_true(routed);
	serve();
	assert_true(input(A));
	check();
}

/* The lines' NMIs follow to a core of who still listens. */
static void test_target(void **state)
{
	(void)state;
	unmask(C);
	assert_int_equal(routed_to, 9);
	unmask(A);
	assert_int_equal(routed_to, 9);
	vpci_intx_command(&dev[C].q, NO_INTX);
	assert_int_equal(routed_to, 4);
	assert_true(routed);
	assert_intx(A, true);
	serve();
	assert_int_equal(delivered, 1);
	vpci_irq_stop(&dev[A].q);
	vpci_irq_stop(&dev[B].q);
	assert_false(routed);
}

/* A function that has MSI on uses no INTx. */
static void test_msi(void **state)
{
	char text[80];

	(void)state;
	unmask(D);
	assert_true(real_on(&dev[D]));
	assert_true(vpci_irq_describe(&dev[D].q, 0, text, sizeof(text)));
	assert_string_equal(text, "INTx, 0 of 1 messages in use");
	assert_intx(D, true);
	serve();
	assert_true(vpci_irq_describe(&dev[D].q, 0, text, sizeof(text)));
	assert_string_equal(text, "INTx, asserted, 0 of 1 messages in use");
	vpci_msi_write(&dev[D].q, 4, 4, 0xfee04000);
	vpci_msi_write(&dev[D].q, 8, 2, 0x41);
	vpci_msi_write(&dev[D].q, 2, 2, 1);
	assert_false(input(D));
	assert_false(real_on(&dev[D]));
	assert_false(routed);
	check();
	vpci_msi_write(&dev[D].q, 2, 2, 0);
	assert_true(routed);
	assert_true(input(D));
	check();
}

static void test_runs(void **state)
{
	(void)state;
	unmask(A);
	assert_intx(A, true);
	serve();
	assert_true(input(A));
	vpci_irq_stop(&dev[A].q);
	assert_false(real_on(&dev[A]));
	assert_int_equal(vpci_irq_start(&dev[A].q), OK);
	/* The new run has unmasked nothing yet; the input is not left as it was. */
	assert_false(input(A));
	assert_false(real_on(&dev[A]));
	unmask(A);
	serve();
	assert_true(input(A));
	vpci_irq_stop(&dev[A].q);
	vpci_intx_command(&dev[A].q, 0);
	assert_false(dev[A].q.intx_on);
	assert_false(real_on(&dev[A]));
	assert_int_equal(vpci_irq_start(&dev[A].q), OK);
	unmask(A);
	serve();
	/* A reset by the guest: INTx is as after power-on, and its IOAPIC as it was. */
	dev[A].asserts = false;
	dev[A].config[5] = 0;
	vpci_irq_reset(&dev[A].q);
	assert_false(input(A));
	assert_true(real_on(&dev[A]));
	check();
}

/* All ones: there is nobody who could assert. */
static void test_gone(void **state)
{
	(void)state;
	unmask(A);
	dev[A].config[6] = dev[A].config[7] = 0xff;
	vpci_intx_poll();
	assert_false(input(A));
	assert_true(real_on(&dev[A]));
}

/* A guest that sends no EOI to its IOAPIC: the level follows the device at the next NMI. */
static void test_no_eoi(void **state)
{
	(void)state;
	unmask(A);
	assert_intx(A, true);
	serve();
	assert_intx(A, false);
	vpci_intx_poll();
	assert_false(input(A));
	assert_true(real_on(&dev[A]));
	assert_intx(A, true);
	serve();
	assert_int_equal(delivered, 2);
}

/* EOIs trap while an input is high, from before the interrupt, and no longer than that. */
static void test_trap(void **state)
{
	(void)state;
	unmask(A);
	unmask(C);
	assert_false(mock.guest.trap_eoi);
	assert_intx(A, true);
	mock.requests[0] = mock.requests[1] = 0;
	serve();
	assert_true(mock.guest.trap_eoi);
	assert_true(trap_when_delivered);
	assert_int_equal(mock.requests[0], VCPU_REQ_MSRS);
	assert_int_equal(mock.requests[1], VCPU_REQ_MSRS);
	assert_false(other.trap_eoi);
	/* An EOI to the local APIC, before the device was served and after it. */
	vioapic_eoi(&mock.guest.ioapic, 0x30 + 17);
	assert_int_equal(delivered, 2);
	assert_true(mock.guest.trap_eoi);
	assert_intx(A, false);
	vioapic_eoi(&mock.guest.ioapic, 0x30 + 17);
	assert_false(mock.guest.trap_eoi);
	assert_false(input(A));
	check();
	/* The IOAPIC's own register: there is no need any more. */
	assert_intx(A, true);
	serve();
	assert_true(mock.guest.trap_eoi);
	eoi(A);
	assert_true(input(A));
	assert_false(mock.guest.trap_eoi);
	assert_intx(A, false);
	eoi(A);
	assert_intx(A, true);
	serve();
	assert_false(mock.guest.trap_eoi);
	check();
}

static void test_no_ioapic(void **state)
{
	(void)state;
	no_ioapic = true;
	unmask(A);
	vpci_intx_command(&dev[A].q, NO_INTX);
	vpci_intx_command(&dev[B].q, NO_INTX);
	assert_int_equal(masks, 1);
}

/* While one holds the line, another asserts it and makes no edge, and then the first one lets go. */
static void hand_over(unsigned i)
{
	if (i != A || !dev[A].asserts)
		return;
	assert_intx(C, true);
	assert_intx(A, false);
}

static void test_hand_over(void **state)
{
	(void)state;
	unmask(A);
	unmask(C);
	assert_intx(A, true);
	assert_int_equal(nmis, 1);
	nmis = 0;
	at_status = hand_over;
	vpci_intx_poll();
	assert_int_equal(nmis, 0);
	at_status = NULL;
	assert_true(input(C));
	check();
}

static unsigned looks;

/* Asserted just as often as it takes to be found, and then served. */
static void never_rest(unsigned i)
{
	if (i == A && looks < 100000)
		assert_intx(A, looks++ % 5 < 2);
}

/* A guest that keeps its device busy like that: the poll ends nevertheless. */
static void test_endless(void **state)
{
	(void)state;
	unmask(A);
	looks = 0;
	at_status = never_rest;
	vpci_intx_poll();
	assert_in_range(looks, 20, 100);
	at_status = NULL;
}

static void serve_device(unsigned i)
{
	for (unsigned k = 0; k < 4; k++) {
		if (dev[k].g == dev[i].g && dev[k].q.intx_line == dev[i].q.intx_line)
			assert_intx(k, false);
	}
	eoi(i);
}

static void random_step(void)
{
	unsigned i = (unsigned)rand() % 4;

	switch (rand() % 12) {
	case 0:
	case 1:
	case 2:
		assert_intx(i, true);
		break;
	case 3:
	case 4:
		serve_device(i);
		break;
	case 5:
		eoi(i);
		break;
	case 6:
		mask(i);
		break;
	case 7:
		unmask(i);
		break;
	case 8:
		vpci_intx_command(&dev[i].q, rand() % 2 ? NO_INTX : 0);
		break;
	case 9:
		assert_intx(i, false);
		break;
	case 10:
		vpci_irq_stop(&dev[i].q);
		assert_int_equal(vpci_irq_start(&dev[i].q), OK);
		break;
	default:
		break;
	}
}

static void test_random(void **state)
{
	(void)state;
	srand(3);
	for (unsigned run = 0; run < 200; run++) {
		power_on(NULL);
		for (unsigned i = 0; i < 4; i++)
			unmask(i);
		for (unsigned step = 0; step < 200; step++) {
			chaos = run % 4 * 5;
			random_step();
			if (rand() % 2 == 0)
				serve();
			chaos = 0;
			serve();
			check();
		}
		power_off(NULL);
	}
	assert_true(delivered > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, power_on, power_off)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create),    TEST(test_pin),     TEST(test_level),     TEST(test_early),
		TEST(test_shared),    TEST(test_command), TEST(test_target),    TEST(test_msi),
		TEST(test_runs),      TEST(test_gone),    TEST(test_no_eoi),    TEST(test_trap),
		TEST(test_no_ioapic), TEST(test_endless), TEST(test_hand_over), TEST(test_random),
	};

	return cmocka_run_group_tests(tests, create, NULL);
}
