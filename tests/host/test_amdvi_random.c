// SPDX-License-Identifier: BSD-2-Clause
// sources: tests/host/amdvi_fixture.c tests/host/amdvi_model.c
// sources: drivers/amdvi.c drivers/amdvi_cmd.c drivers/amdvi_dev.c drivers/amdvi_irq.c
// sources: drivers/amdvi_event.c drivers/ivrs.c drivers/acpi.c drivers/pci.c mm/page_alloc.c
// sources: mm/spte.c mm/spte_amdvi.c
#include "amdvi_fixture.h"

#include <stdio.h>

/*
 * Random operations, and after each one: every DeviceID reaches exactly what its guest has mapped,
 * and every interrupt arrives exactly where it was sent. All the time devices send what they can, so
 * that caches are full of what was true a moment ago. AMDVI_SEEDS=, AMDVI_SEED= choose.
 */
#define STEPS   120
#define DEVICES 7
#define DOMAINS 3
#define PAGES   16
#define BIG     4 /* of 2 MiB */
#define IRQS    20

static const struct {
	uint16_t segment, id, alias;
	unsigned unit;
} devices[DEVICES] = {
	{ 0, 0x0218, 0x0218, 0 },   { 0, 0x0219, 0x0219, 0 }, { 0, 0x4100, 0x4100, 1 },
	{ 1, 0x0218, 0x0218, 2 },   { 0, ALIAS, ALIAS, 0 },   { 0, ALIAS + 1, ALIAS, 0 },
	{ 0, ALIAS + 2, ALIAS, 0 },
};

static struct {
	hpa_t root;
	uint64_t pfn[PAGES + BIG]; /* 0: not mapped */
} domains[DOMAINS + 1];

static unsigned domain_of[DEVICES]; /* 0: detached */

static struct {
	bool live;
	unsigned device, first, count;
	struct iommu_irq irq[8];
	bool set[8];
} irqs[IRQS];

static unsigned seed, running;

static unsigned pick(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

/* Pages in a row, at borders of tables, and far away; then large ones. */
static uint64_t gfn_of(unsigned page)
{
	static const uint64_t bases[] = { 0x10, 0x3fffe, 0x1fd, 0x7ffffff00 };

	return page < PAGES ? bases[page / 4] + page % 4 : 0x80000 + (page - PAGES) * 0x200;
}

static struct pci_bdf bdf(unsigned d)
{
	return function(devices[d].segment, devices[d].id);
}

static void write_mapping(unsigned domain, unsigned page, uint64_t pfn)
{
	const struct spte_format *f = &iommu_info.format;
	unsigned last = page < PAGES ? 1 : 2;
	uint64_t gfn = gfn_of(page);

	for (unsigned level = f->levels; level > last; level--) {
		uint64_t *e = entry_of(domains[domain].root, gfn, level);

		if (!*e)
			*e = spte_make_table(f, virt_to_hpa(page_alloc(&budget, 1)), level);
	}
	*entry_of(domains[domain].root, gfn, last) =
		pfn ? spte_make_leaf(f, PFN(pfn), last, ACCESS_RW, MEM_WB) : 0;
	domains[domain].pfn[page] = pfn;
}

/* Some pages change, then all of them are flushed at once. */
static void change_memory(void)
{
	unsigned domain = 1 + pick(DOMAINS), count = 1 + pick(pick(8) ? 4 : 20);
	struct gfn_range ranges[20];

	for (unsigned i = 0; i < count; i++) {
		unsigned page = pick(PAGES + BIG);
		uint64_t pfn = pick(3) ? (1 + pick(1000)) * 0x200ull : 0;

		write_mapping(domain, page, pfn);
		ranges[i].start = gfn_of(page);
		ranges[i].end = ranges[i].start + (page < PAGES ? 1 : 0x200);
	}
	amdvi_ops.flush((uint16_t)domain, ranges, count);
}

static unsigned alias_domain(unsigned d)
{
	for (unsigned i = 0; i < DEVICES; i++) {
		if (domain_of[i] && devices[i].segment == devices[d].segment &&
		    devices[i].alias == devices[d].alias)
			return domain_of[i];
	}
	return 0;
}

static void change_owner(void)
{
	unsigned d = pick(DEVICES), domain = 1 + pick(DOMAINS), other = alias_domain(d);
	bool busy = domain_of[d] || (other && other != domain);
	enum status s;

	if (pick(2)) {
		amdvi_ops.detach(bdf(d));
		domain_of[d] = 0;
		return;
	}
	s = amdvi_ops.attach(bdf(d), (uint16_t)domain, domains[domain].root);
	assert_int_equal(s, busy ? ERR_BUSY : OK);
	if (s == OK)
		domain_of[d] = domain;
}

static void change_irq(unsigned n)
{
	unsigned i = pick(irqs[n].count);
	struct iommu_irq irq = { .apic_id = pick(255), .vector = (uint8_t)(16 + pick(240)) };

	irqs[n].set[i] = pick(4);
	irqs[n].irq[i] = irq;
	assert_int_equal(amdvi_ops.irq_set(bdf(irqs[n].device), irqs[n].first + i,
					   irqs[n].set[i] ? &irq : NULL, NULL),
			 OK);
}

static void change_irqs(void)
{
	unsigned n = pick(IRQS);

	if (!irqs[n].live) {
		memset(&irqs[n], 0, sizeof(irqs[n]));
		irqs[n].device = pick(DEVICES);
		irqs[n].count = 1 + pick(8);
		assert_int_equal(
			amdvi_ops.irq_alloc(bdf(irqs[n].device), irqs[n].count, &irqs[n].first),
			OK);
		irqs[n].live = true;
	} else if (pick(4)) {
		change_irq(n);
	} else {
		irqs[n].live = false;
		amdvi_ops.irq_free(bdf(irqs[n].device), irqs[n].first, irqs[n].count);
	}
}

static void storm(void)
{
	static unsigned at;
	struct model_msi out;
	uint64_t hpa;

	for (unsigned i = 0; i < 3; i++, at++) {
		unsigned d = at % DEVICES;

		model_dma(devices[d].unit, devices[d].id,
			  gfn_of(at * 7 % (PAGES + BIG)) << PAGE_SHIFT, at & 1, &hpa);
		model_msi(devices[d].unit, devices[d].id, 0xfee00000, at * 5 % 64, &out);
	}
}

static void check_memory(unsigned d, uint16_t id, unsigned domain)
{
	for (unsigned page = 0; page < PAGES + BIG; page++) {
		uint64_t pfn = domain ? domains[domain].pfn[page] : 0;

		if (pfn)
			assert_dma(devices[d].unit, id, gfn_of(page), pfn);
		else
			assert_no_dma(devices[d].unit, id, gfn_of(page));
	}
}

static void check_irqs(unsigned d, uint16_t id)
{
	bool known[64] = { false };

	for (unsigned n = 0; n < IRQS; n++) {
		unsigned from = irqs[n].device;

		if (!irqs[n].live || devices[from].segment != devices[d].segment ||
		    devices[from].alias != devices[d].alias)
			continue;
		for (unsigned i = 0; i < irqs[n].count; i++) {
			unsigned index = irqs[n].first + i;
			struct iommu_msi msi = { 0xfee00000, index };

			if (index < 64)
				known[index] = true;
			if (irqs[n].set[i])
				assert_msi(devices[d].unit, id, &msi, irqs[n].irq[i].apic_id,
					   irqs[n].irq[i].vector);
			else
				assert_no_msi(devices[d].unit, id, index);
		}
	}
	for (unsigned index = 0; index < 64; index++) {
		if (!known[index])
			assert_no_msi(devices[d].unit, id, index);
	}
}

/* A function whose alias has interrupts has a table only once it has had some itself. */
static bool has_irqs(unsigned d)
{
	for (unsigned n = 0; n < IRQS; n++) {
		if (irqs[n].live && irqs[n].device == d)
			return true;
	}
	return false;
}

static void check(void)
{
	struct iommu_fault f;

	assert_true(model_idle());
	model.probe = NULL;
	for (unsigned d = 0; d < DEVICES; d++) {
		bool own = devices[d].id == devices[d].alias;

		check_memory(d, devices[d].id, own ? alias_domain(d) : domain_of[d]);
		check_memory(d, devices[d].alias, alias_domain(d));
		check_irqs(d, devices[d].alias);
		if (has_irqs(d))
			check_irqs(d, devices[d].id);
	}
	while (amdvi_ops.next_fault(&f))
		;
	model.probe = storm;
}

static void run(unsigned number)
{
	seed = number;
	memset(domain_of, 0, sizeof(domain_of));
	memset(irqs, 0, sizeof(irqs));
	for (unsigned i = 0; i < ALL_UNITS; i++) {
		model.unit[i].lazy = pick(6);
		model.unit[i].ignore_len = pick(2);
		if (!pick(3))
			model.unit[i].efr &= ~0x80ull; /* short entries, then for all */
	}
	start(ALL_UNITS);
	for (unsigned i = 1; i <= DOMAINS; i++) {
		domains[i].root = virt_to_hpa(page_alloc(&budget, 1));
		memset(domains[i].pfn, 0, sizeof(domains[i].pfn));
	}
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned what = pick(10);

		if (what < 4)
			change_memory();
		else if (what < 7)
			change_owner();
		else
			change_irqs();
		check();
	}
}

static void test_random(void **state)
{
	const char *one = getenv("AMDVI_SEED"), *many = getenv("AMDVI_SEEDS");
	unsigned first = one ? (unsigned)atoi(one) : 1;
	unsigned last = one ? first : many ? (unsigned)atoi(many) : 25;

	for (unsigned number = first; number <= last; number++) {
		running = number;
		setup(state);
		run(number);
	}
	running = 0;
}

static int tell_seed(void **state)
{
	(void)state;
	if (running)
		fprintf(stderr, "AMDVI_SEED=%u\n", running);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_random, tell_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
