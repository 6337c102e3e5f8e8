// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/vtd.c drivers/vtd_unit.c drivers/vtd_queue.c drivers/vtd_irq.c
// sources: drivers/vtd_fault.c drivers/dmar.c drivers/acpi.c drivers/pci.c mm/page_alloc.c
// sources: mm/spte_vtd.c tests/host/vtd_model.c tests/host/vtd_fixture.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vtd_fixture.h"

/*
 * Random units, random operations, and after each one: every device reaches exactly what its domain
 * has mapped, and every interrupt arrives exactly where it was sent. VTD_SEEDS=, VTD_SEED= choose.
 */
#define STEPS   150
#define DEVICES 6
#define DOMAINS 3
#define PAGES   20
#define IRQS    24

static const struct {
	struct pci_bdf bdf;
	unsigned unit;
} devices[DEVICES] = {
	{ { 0, 0, 2, 0 }, 0 }, { { 0, 3, 0, 0 }, 1 }, { { 0, 3, 0, 1 }, 1 },
	{ { 0, 4, 9, 3 }, 1 }, { { 1, 3, 0, 0 }, 2 }, { { 1, 255, 31, 7 }, 2 },
};

static struct {
	hpa_t root;
	uint64_t hpa[PAGES]; /* 0: not mapped */
	bool read_only[PAGES];
} domains[DOMAINS + 1];

static unsigned domain_of[DEVICES]; /* 0: detached */

static struct {
	bool live;
	unsigned device, first, count;
	uint8_t vector[8]; /* 0: blocked */
} irqs[IRQS];

static uint64_t state_of_random, running;
static bool storming;

static unsigned pick(unsigned n)
{
	state_of_random = state_of_random * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state_of_random >> 33) % n;
}

/* Neighbours, both sides of a 2 MiB and of a 1 GiB border, and far away. */
static uint64_t gpa_of(unsigned page)
{
	static const uint64_t bases[] = { 0x10000, 0x3fffe000, 0x401fe000, 0x7f00000000 };

	return bases[page / 5] + page % 5 * PAGE_SIZE;
}

static void storm(struct model_unit *u)
{
	unsigned d = pick(DEVICES);
	uint64_t hpa;

	if (u == &model.unit[devices[d].unit])
		model_dma(u, devices[d].bdf, gpa_of(pick(PAGES)), pick(2), &hpa);
}

static void quiet(bool now)
{
	model.adversary = storming && !now ? storm : NULL;
}

static void random_units(void)
{
	storming = pick(2);
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		struct model_unit *u = &model.unit[i];

		u->cap ^= pick(4) ? 0 : CAP_CM;
		u->cap ^= pick(4) ? 0 : CAP_RWBF;
		u->cap ^= pick(4) ? 0 : CAP_PSI;
		u->cap ^= pick(2) ? 0 : CAP_PAGE_1G;
		u->cap = (u->cap & ~(0x3full << 48)) | (uint64_t)pick(12) << 48;
		u->ecap ^= pick(4) ? 0 : ECAP_C;
		u->ecap ^= pick(4) ? 0 : ECAP_EIM;
		u->ecap = (u->ecap & ~(0xfull << 20)) | (uint64_t)pick(16) << 20;
		u->slow = pick(4);
		if (!pick(3))
			model_firmware(u, pick(2));
	}
	if (!pick(4))
		for (unsigned i = 0; i < MODEL_UNITS; i++)
			model.unit[i].cap &= ~CAP_AGAW_48;
}

static void attach_or_detach(void)
{
	unsigned d = pick(DEVICES), domain = 1 + pick(DOMAINS);

	if (domain_of[d]) {
		vtd_ops.detach(devices[d].bdf);
		domain_of[d] = 0;
		return;
	}
	assert_int_equal(vtd_ops.attach(devices[d].bdf, (uint16_t)domain, domains[domain].root),
			 OK);
	domain_of[d] = domain;
}

/*
 * One page, or a few ranges, get another frame, other rights, or nothing. What is new is flushed as
 * well, as mm/ does: units with caching mode remember that nothing was there.
 */
static void change_pages(void)
{
	struct gfn_range ranges[12];
	unsigned domain = 1 + pick(DOMAINS), count = 1 + (pick(3) ? 0 : pick(12)), n = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned first = pick(PAGES), pages = 1 + pick(5 - first % 5);

		for (unsigned p = first; p < first + pages; p++) {
			domains[domain].hpa[p] = pick(3) ? (1 + (uint64_t)pick(1 << 20)) << 12 : 0;
			domains[domain].read_only[p] = pick(2);
			map_page(domains[domain].root, gpa_of(p), domains[domain].hpa[p],
				 !domains[domain].hpa[p]        ? 0
				 : domains[domain].read_only[p] ? 1
								: 3);
		}
		ranges[n].start = gpa_of(first) >> PAGE_SHIFT;
		ranges[n].end = ranges[n].start + pages;
		n++;
	}
	vtd_ops.flush((uint16_t)domain, ranges, n);
}

static void set_irq(unsigned i, unsigned n)
{
	struct iommu_irq to = { .apic_id = irqs[i].device, .vector = (uint8_t)(0x20 + pick(200)) };
	bool block = !pick(4);

	assert_int_equal(vtd_ops.irq_set(devices[irqs[i].device].bdf, irqs[i].first + n,
					 block ? NULL : &to, NULL),
			 OK);
	irqs[i].vector[n] = block ? 0 : to.vector;
}

static void change_irqs(void)
{
	unsigned i = pick(IRQS);

	if (!irqs[i].live) {
		memset(&irqs[i], 0, sizeof(irqs[i]));
		irqs[i].device = pick(DEVICES);
		irqs[i].count = 1 + pick(8);
		assert_int_equal(vtd_ops.irq_alloc(devices[irqs[i].device].bdf, irqs[i].count,
						   &irqs[i].first),
				 OK);
		irqs[i].live = true;
	} else if (pick(2)) {
		vtd_ops.irq_free(devices[irqs[i].device].bdf, irqs[i].first, irqs[i].count);
		irqs[i].live = false;
	} else {
		set_irq(i, pick(irqs[i].count));
	}
}

static void check_page(unsigned d, unsigned p)
{
	struct model_unit *u = &model.unit[devices[d].unit];
	unsigned domain = domain_of[d];
	uint64_t expected = domain ? domains[domain].hpa[p] : 0, hpa;

	for (unsigned write = 0; write < 2; write++) {
		bool may = expected && !(write && domains[domain].read_only[p]);

		if (model_dma(u, devices[d].bdf, gpa_of(p), write, &hpa) != may)
			fail_msg("device %u, domain %u, page %u, write %u: %s", d, domain, p, write,
				 may ? "blocked" : "passed");
		if (may && hpa != expected)
			fail_msg("device %u, domain %u, page %u: %#lx instead of %#lx", d, domain,
				 p, hpa, expected);
	}
}

static void check_irq(unsigned d, unsigned index, unsigned i, unsigned n)
{
	struct model_unit *u = &model.unit[devices[d].unit];
	bool own = i < IRQS && irqs[i].device == d;
	uint8_t vector = own ? irqs[i].vector[n] : 0;
	struct model_irq irq;

	if (model_msi(u, devices[d].bdf, 0xfee00018, index, &irq) != (vector != 0))
		fail_msg("device %u, interrupt %u: %s", d, index, vector ? "blocked" : "passed");
	if (vector && (irq.vector != vector || irq.dest != d || irq.mode))
		fail_msg("interrupt %u: vector %#x at %u", index, irq.vector, irq.dest);
}

static void check(void)
{
	unsigned owner[2][IRQS * 8 * 2];
	struct iommu_fault fault;

	quiet(true);
	for (unsigned d = 0; d < DEVICES; d++)
		for (unsigned p = 0; p < PAGES; p++)
			check_page(d, p);
	memset(owner, 0xff, sizeof(owner));
	for (unsigned i = 0; i < IRQS; i++) {
		for (unsigned n = 0; irqs[i].live && n < irqs[i].count; n++) {
			unsigned *slot =
				&owner[devices[irqs[i].device].bdf.segment][irqs[i].first + n];

			assert_true(irqs[i].first + n < ARRAY_SIZE(owner[0]));
			assert_int_equal(*slot, ~0u);
			*slot = i;
		}
	}
	for (unsigned index = 0; index < 40; index++) {
		for (unsigned d = 0; d < DEVICES; d++) {
			unsigned i = owner[devices[d].bdf.segment][index];

			check_irq(d, index, i, i < IRQS ? index - irqs[i].first : 0);
		}
	}
	for (unsigned n = 0; n < 64 && vtd_ops.next_fault(&fault); n++)
		assert_true(fault.unit < MODEL_UNITS && fault.text);
	quiet(false);
}

static void run(uint64_t seed)
{
	vtd_setup(NULL);
	state_of_random = seed;
	memset(domains, 0, sizeof(domains));
	memset(domain_of, 0, sizeof(domain_of));
	memset(irqs, 0, sizeof(irqs));
	random_units();
	start_ok();
	for (unsigned i = 1; i <= DOMAINS; i++)
		domains[i].root = new_root();
	check();
	for (unsigned i = 0; i < STEPS; i++) {
		switch (pick(4)) {
		case 0:
			attach_or_detach();
			break;
		case 1:
			change_irqs();
			break;
		default:
			change_pages();
		}
		check();
	}
}

static void test_random(void **state)
{
	const char *seeds = getenv("VTD_SEEDS"), *one = getenv("VTD_SEED");
	uint64_t count = seeds ? strtoull(seeds, NULL, 0) : 20;

	(void)state;
	if (one) {
		run(strtoull(one, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= count; seed++) {
		running = seed;
		run(seed);
	}
	running = 0;
}

static int report(void **state)
{
	(void)state;
	if (running)
		fprintf(stderr, "VTD_SEED=%lu fails\n", running);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_random, report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
