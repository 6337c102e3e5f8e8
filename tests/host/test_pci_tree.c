// SPDX-License-Identifier: BSD-2-Clause
// sources: tests/host/pci_model.c drivers/pci.c drivers/pci_tree.c drivers/pci_group.c drivers/pci_reset.c drivers/pci_quiesce.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pci_model.h"

#define NVME 0x010802
#define NIC  0x020000
#define ALL  0x1d /* the ACS bits that isolate */

static int setup(void **state)
{
	(void)state;
	model_clear();
	return 0;
}

static struct pci_bdf at(uint8_t bus, uint8_t device, uint8_t function)
{
	return (struct pci_bdf){ .bus = bus, .device = device, .function = function };
}

static const struct pci_function *get(struct pci_tree *t, struct model_function *f)
{
	struct pci_function *found = pci_tree_find(t, f->bdf);

	assert_non_null(found);
	return found;
}

static void multifunction(struct model_function *f)
{
	f->config[PCI_HEADER_TYPE] |= PCI_MULTIFUNCTION;
}

/* A port of PCIe: root, downstream or upstream. */
static struct model_function *port(uint8_t bus, uint8_t device, uint8_t type, uint8_t secondary,
				   uint8_t subordinate, uint16_t acs)
{
	struct model_function *f = model_bridge(bus, device, secondary, subordinate);

	model_pcie(f, type, false);
	if (acs)
		model_acs(f, acs);
	return f;
}

static struct model_function *endpoint(uint8_t bus, uint8_t device, uint32_t class)
{
	struct model_function *f = model_add(bus, device, 0, class);

	model_pcie(f, PCIE_ENDPOINT, true);
	return f;
}

static uint32_t groups_of(const struct pci_tree *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->count; i++)
		n = t->f[i].group >= n ? t->f[i].group + 1 : n;
	return n;
}

static void test_scan(void **state)
{
	struct model_function *host = model_add(0, 0, 0, 0x060000);
	struct model_function *rp = port(0, 1, PCIE_ROOT_PORT, 1, 3, 0);
	struct model_function *nvme = endpoint(1, 0, NVME);
	struct model_function *bridge = model_bridge(0, 2, 4, 4);
	struct model_function *old = model_add(4, 7, 0, NIC);
	struct model_function *far = model_add(0x80, 3, 0, NIC); /* behind another host bridge */
	const struct pci_function *f;
	struct pci_tree *t;

	(void)state;
	endpoint(1, 5, NVME);        /* a link has no device 5: an echo */
	model_add(2, 0, 0, NIC);     /* in a bridge's range, but not behind it */
	model_bridge(4, 8, 4, 4);    /* points at itself */
	model_bridge(4, 9, 2, 2);    /* points up */
	model_bridge(4, 10, 4, 255); /* claims too much */
	model_add(0, 3, 1, NIC);     /* no function 0 */
	nvme->config[PCI_INTERRUPT + 1] = 1;
	old->config[PCI_INTERRUPT + 1] = 9;
	t = model_scan();
	assert_non_null(pci_tree_find(t, host->bdf));
	f = get(t, nvme);
	assert_int_equal(f->class, NVME);
	assert_int_equal(f->revision, 5);
	assert_true(f->vendor == 0x1b36 && f->device == 0x10);
	assert_ptr_equal(&t->f[f->parent], get(t, rp));
	assert_int_equal(f->pcie, nvme->pcie);
	assert_int_equal(f->pcie_type, PCIE_ENDPOINT);
	assert_int_equal(f->pin, 1);
	assert_int_equal(f->control, 0x2830);
	assert_int_equal(f->owner, PCI_NO_OWNER);
	assert_null(f->reserved);
	assert_int_equal(f->reset, PCI_RESET_FLR);
	f = get(t, old);
	assert_ptr_equal(&t->f[f->parent], get(t, bridge));
	assert_int_equal(f->pin, 0);
	assert_null(pci_tree_find(t, at(1, 5, 0)));
	assert_null(pci_tree_find(t, at(2, 0, 0)));
	assert_null(pci_tree_find(t, at(0, 3, 1)));
	assert_int_equal(get(t, far)->parent, PCI_NO_FUNCTION);
	assert_int_equal(get(t, host)->parent, PCI_NO_FUNCTION);
	assert_int_equal(t->count, 9);
	assert_int_equal(t->left_out, 0);
	assert_false(model_wrote_nowhere);
}

static void test_segments(void **state)
{
	static struct pci_tree t;
	struct model_function *f = model_add(7, 0, 0, NIC);

	(void)state;
	f->bdf.segment = 1;
	memset(&t, 0, sizeof(t));
	model_add(0, 0, 0, NIC);
	pci_tree_scan(&t, &model_segments[0]);
	model_segments[1].first_bus = 7;
	model_segments[1].last_bus = 7;
	pci_tree_scan(&t, &model_segments[1]);
	assert_int_equal(t.count, 2);
	assert_true(pci_same(t.f[1].bdf, f->bdf));
	pci_tree_group(&t, model_access);
	assert_int_not_equal(t.f[0].group, t.f[1].group);
	assert_int_equal(groups_of(&t), 2);
}

/* BARs are sized with decoding off, and left as they were; not those of the chipset. */
static void test_bars(void **state)
{
	struct model_function *f = endpoint(0, 1, NIC);
	struct model_function *chipset = model_add(0, 31, 0, 0x060100);
	static uint8_t before[4096];
	const struct pci_function *p;

	(void)state;
	model_bar(f, 0, 0xc00000000c, 0x4000000000);
	model_bar(f, 2, 0xc041, 64);
	model_bar(f, 3, 0xfebc0000, 4096);
	model_bar(f, 6, 0xfea00001, 0x10000);
	f->config[PCI_COMMAND] = 7;
	model_bar(chipset, 0, 0xfed00000, 4096);
	chipset->config[PCI_COMMAND] = 3;
	memcpy(before, f->config, sizeof(before));
	p = get(model_scan(), f);
	assert_true(p->bars[0].wide && p->bars[0].prefetchable);
	assert_int_equal(p->bars[0].base, 0xc000000000);
	assert_int_equal(p->bars[0].size, 0x4000000000);
	assert_int_equal(p->bars[1].size, 0);
	assert_true(p->bars[2].io && p->bars[2].base == 0xc040 && p->bars[2].size == 64);
	assert_true(!p->bars[3].io && !p->bars[3].wide && p->bars[3].size == 4096);
	assert_int_equal(p->bars[4].size, 0);
	assert_true(p->bars[PCI_ROM].base == 0xfea00000 && p->bars[PCI_ROM].size == 0x10000);
	assert_false(model_sized_live);
	assert_memory_equal(f->config, before, sizeof(before));
	p = get(model_scan(), chipset);
	assert_int_equal(p->bars[0].size, 0);
}

static void test_bad_capabilities(void **state)
{
	struct model_function *f = model_add(0, 1, 0, NIC);
	struct pci_tree *t;
	uint8_t cap;

	(void)state;
	model_msi(f);
	cap = model_cap(f, PCI_CAP_MSIX, 12);
	f->config[cap + 1] = 0xf8;
	f->config[0xf8] = PCI_CAP_PCIE; /* does not fit in front of the end */
	f->config[0xf9] = 0x41;         /* points back, and not at a dword */
	model_put32(f, 0x100, 0x0001000d);
	t = model_scan();
	assert_int_equal(get(t, f)->msi, 0x40);
	assert_int_equal(get(t, f)->msix, cap);
	assert_int_equal(get(t, f)->pcie, 0);
	assert_int_equal(get(t, f)->acs, 0);
	assert_int_equal(get(t, f)->reset, PCI_RESET_NONE);

	f = endpoint(0, 2, NIC);
	model_put32(f, 0x100, 0x1041000d); /* next: itself's end, then a circle */
	model_put32(f, 0x104, 0x10010001);
	assert_int_equal(get(model_scan(), f)->acs, 0x100);
	model_put32(f, 0x100, 0x10410001);
	assert_int_equal(get(model_scan(), f)->acs, 0);
	model_put32(f, 0xfc, 0x0001000d);
	model_put32(f, 0x100, 0x0ff10001); /* into the 256 bytes */
	assert_int_equal(get(model_scan(), f)->acs, 0);
	model_segments[0].extended = false;
	model_put32(f, 0x100, 0x0001000d);
	assert_int_equal(get(model_scan(), f)->acs, 0);
}

static struct model_function *vanishing;

static void vanish(struct model_function *f, uint32_t reg, unsigned width)
{
	(void)width;
	if (reg == PCI_BAR0 + 8)
		f->gone = true;
}

static void test_device_vanishes(void **state)
{
	struct pci_tree *t;

	(void)state;
	vanishing = endpoint(0, 1, NIC);
	vanishing->wrote = vanish;
	endpoint(0, 2, NIC);
	t = model_scan();
	assert_null(pci_tree_find(t, vanishing->bdf));
	assert_int_equal(t->count, 1);
	assert_int_equal(t->f[0].bdf.device, 2);
}

static void test_reserved(void **state)
{
	static const struct {
		uint32_t class;
		bool reserved;
	} cases[] = {
		{ 0x060000, true },  { 0x060100, true },  { 0x080600, true },  { 0x080020, true },
		{ 0x080501, false }, { 0x058000, true },  { 0x050000, false }, { 0x0c0500, true },
		{ 0x0c8000, true },  { 0x0c0330, false }, { 0x030000, false }, { NVME, false },
	};
	struct pci_function *f;
	struct pci_tree *t;

	(void)state;
	for (uint8_t i = 0; i < ARRAY_SIZE(cases); i++)
		model_add(0, i, 0, cases[i].class);
	model_add(0, 30, 0, NIC)->config[PCI_HEADER_TYPE] = 2;
	model_add(0, 31, 0, NIC)->config[PCI_HEADER_TYPE] = 1;
	t = model_scan();
	for (uint8_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f = pci_tree_find(t, at(0, i, 0));
		assert_int_equal(f->reserved != NULL, cases[i].reserved);
		assert_int_equal(f->chipset, cases[i].reserved);
	}
	assert_non_null(pci_tree_find(t, at(0, 30, 0))->reserved);
	assert_non_null(pci_tree_find(t, at(0, 31, 0))->reserved);
	pci_tree_reserve(t, at(0, 11, 0), "first");
	pci_tree_reserve(t, at(0, 11, 0), "second");
	pci_tree_reserve(t, at(9, 9, 0), "nobody");
	f = pci_tree_find(t, at(0, 11, 0));
	assert_string_equal(f->reserved, "first");
	assert_false(f->chipset);
	assert_false(pci_firmware_lets_go(f));
	assert_true(pci_firmware_lets_go(pci_tree_find(t, at(0, 9, 0))));
	assert_true(pci_firmware_lets_go(pci_tree_find(t, at(0, 10, 0))));
}

static void test_too_many(void **state)
{
	static struct pci_tree t;

	(void)state;
	for (uint8_t i = 0; i < 32; i++)
		model_add(0, i, 0, NIC);
	memset(&t, 0, sizeof(t));
	t.count = PCI_FUNCTIONS_MAX - 10;
	for (uint32_t i = 0; i < t.count; i++)
		t.f[i].bdf.segment = 7;
	pci_tree_scan(&t, &model_segments[0]);
	assert_int_equal(t.count, PCI_FUNCTIONS_MAX);
	assert_int_equal(t.left_out, 22);
}

/* On the root bus and behind isolating ports everything is for itself, but several functions. */
static void test_groups(void **state)
{
	struct model_function *a = model_add(0, 1, 0, NIC), *b = endpoint(0, 2, NIC);
	struct model_function *c0 = endpoint(0, 3, NIC), *c1 = model_add(0, 3, 1, NIC);
	struct model_function *rp = port(0, 4, PCIE_ROOT_PORT, 1, 1, ALL);
	struct model_function *d = endpoint(1, 0, NVME);
	struct model_function *no = port(0, 5, PCIE_ROOT_PORT, 2, 2, 0);
	struct model_function *e = endpoint(2, 0, NVME);
	struct pci_tree *t;
	char text[64];

	(void)state;
	multifunction(c0);
	t = model_tree();
	assert_int_not_equal(get(t, a)->group, get(t, b)->group);
	assert_int_equal(get(t, c0)->group, get(t, c1)->group);
	assert_int_not_equal(get(t, rp)->group, get(t, d)->group);
	assert_int_equal(get(t, no)->group, get(t, e)->group);
	assert_int_equal(groups_of(t), 6);
	pci_tree_find(t, a->bdf)->owner = 2;
	pci_tree_find(t, b->bdf)->owner = 0;
	pci_tree_summary(t, text, sizeof(text));
	assert_string_equal(text, "8 functions, 6 groups, 2 given to guests");
	for (uint32_t i = 0; i < t->count; i++)
		assert_true(pci_same(t->f[i].requester, t->f[i].bdf));
}

static const struct pci_access *no_access(uint16_t segment)
{
	(void)segment;
	return NULL;
}

/* ACS is turned on; a port whose register does not keep it isolates nothing. */
static void test_acs(void **state)
{
	struct model_function *rp = port(0, 4, PCIE_ROOT_PORT, 1, 1, ALL | 0x42);
	struct model_function *e = endpoint(1, 0, NVME);
	struct pci_tree *t;
	uint16_t acs;

	(void)state;
	acs = rp->ext_end;
	model_put16(rp, acs + 6u, 0x42);
	t = model_tree();
	assert_int_equal(get(t, rp)->acs, acs);
	assert_int_equal(model_get16(rp, acs + 6u), ALL | 2); /* no direct translated requests */
	assert_int_not_equal(get(t, rp)->group, get(t, e)->group);
	rp->writable[acs + 6] = 0x0c;
	model_put16(rp, acs + 6u, 0);
	t = model_tree();
	assert_int_equal(get(t, rp)->group, get(t, e)->group);
	/* What it cannot control it does not do: these bits are not needed. */
	model_put16(rp, acs + 4u, 0x0c);
	t = model_tree();
	assert_int_not_equal(get(t, rp)->group, get(t, e)->group);
	/* Nobody to ask: no isolation. */
	pci_tree_group(t, no_access);
	assert_int_equal(get(t, rp)->group, get(t, e)->group);
}

/* A switch: its downstream ports decide, and each port above. */
static void test_switch(void **state)
{
	struct model_function *rp = port(0, 4, PCIE_ROOT_PORT, 1, 4, ALL);
	struct model_function *up = port(1, 0, PCIE_UPSTREAM_PORT, 2, 4, 0);
	struct model_function *down1 = port(2, 0, PCIE_DOWNSTREAM_PORT, 3, 3, ALL);
	struct model_function *down2 = port(2, 1, PCIE_DOWNSTREAM_PORT, 4, 4, ALL);
	struct model_function *a = endpoint(3, 0, NVME), *b = endpoint(4, 0, NVME);
	struct pci_tree *t = model_tree();

	(void)state;
	assert_int_equal(groups_of(t), 6);
	assert_int_not_equal(get(t, a)->group, get(t, b)->group);
	/* One port that isolates nothing: what is behind it reaches all that is behind the switch. */
	model_put16(down2, down2->ext_end + 4u, 0);
	down2->config[0x100] = 0xff;
	t = model_tree();
	assert_int_equal(get(t, b)->group, get(t, down2)->group);
	assert_int_equal(get(t, a)->group, get(t, b)->group);
	assert_int_equal(get(t, a)->group, get(t, up)->group);
	assert_int_not_equal(get(t, a)->group, get(t, rp)->group);
	/* The root port isolates nothing: all behind it are one. */
	rp->config[0x100] = 0xff;
	t = model_tree();
	assert_int_equal(get(t, a)->group, get(t, b)->group);
	assert_int_equal(get(t, a)->group, get(t, rp)->group);
	assert_int_equal(get(t, a)->group, get(t, up)->group);
	assert_int_equal(get(t, down1)->group, get(t, down2)->group);
}

/* Root ports as functions of one device, without ACS: their devices reach each other. */
static void test_multifunction_ports(void **state)
{
	struct model_function *p0 = port(0, 0x1c, PCIE_ROOT_PORT, 1, 1, 0);
	struct model_function *p1 = port(0, 0x1c, PCIE_ROOT_PORT, 2, 2, 0);
	struct model_function *a = endpoint(1, 0, NVME), *b = endpoint(2, 0, NIC);
	struct pci_tree *t;

	(void)state;
	multifunction(p0);
	p1->bdf.function = 1;
	t = model_tree();
	assert_int_equal(get(t, a)->group, get(t, b)->group);
	assert_int_equal(groups_of(t), 1);
	/* One has it: the other still lets everything through. */
	model_acs(p0, ALL);
	t = model_tree();
	assert_int_equal(get(t, a)->group, get(t, b)->group);
	assert_int_equal(groups_of(t), 1);
	model_acs(p1, ALL);
	t = model_tree();
	assert_int_not_equal(get(t, a)->group, get(t, b)->group);
	assert_int_not_equal(get(t, b)->group, get(t, p1)->group);
	assert_int_equal(groups_of(t), 4);
}

/* Behind bridges to conventional PCI all share the bridge's requester id. */
static void test_conventional(void **state)
{
	struct model_function *rp = port(0, 4, PCIE_ROOT_PORT, 1, 3, ALL);
	struct model_function *to_pci = port(1, 0, PCIE_TO_PCI, 2, 3, 0);
	struct model_function *a = model_add(2, 1, 0, NIC), *b = model_add(2, 2, 0, NIC);
	struct model_function *inner = model_bridge(2, 3, 3, 3);
	struct model_function *c = model_add(3, 0, 0, NIC);
	struct model_function *old = model_bridge(0, 5, 9, 9);
	struct model_function *d = model_add(9, 1, 0, NIC);
	struct pci_tree *t = model_tree();

	(void)state;
	assert_true(pci_same(get(t, a)->requester, at(2, 0, 0)));
	assert_true(pci_same(get(t, b)->requester, at(2, 0, 0)));
	assert_true(pci_same(get(t, c)->requester, at(2, 0, 0)));
	assert_int_equal(get(t, a)->group, get(t, b)->group);
	assert_int_equal(get(t, a)->group, get(t, c)->group);
	assert_int_equal(get(t, a)->group, get(t, to_pci)->group);
	assert_int_equal(get(t, a)->group, get(t, inner)->group);
	assert_int_not_equal(get(t, a)->group, get(t, rp)->group);
	assert_true(pci_same(get(t, d)->requester, old->bdf));
	assert_int_equal(get(t, d)->group, get(t, old)->group);
}

/* A bus reset is for those that are alone with their group. */
static void test_bus_reset_choice(void **state)
{
	struct model_function *a, *b, *gpu, *audio, *c;
	struct pci_tree *t;

	(void)state;
	port(0, 4, PCIE_ROOT_PORT, 1, 1, ALL);
	a = model_add(1, 0, 0, NIC);
	port(0, 5, PCIE_ROOT_PORT, 2, 2, ALL);
	gpu = model_add(2, 0, 0, 0x030000);
	multifunction(gpu);
	audio = model_add(2, 0, 1, 0x040300);
	port(0, 6, PCIE_ROOT_PORT, 3, 3, ALL);
	b = model_add(3, 0, 0, NIC);
	multifunction(b);
	model_pcie(b, PCIE_ENDPOINT, false);
	model_acs(b, ALL);
	c = model_add(3, 0, 1, NIC);
	model_pcie(c, PCIE_ENDPOINT, false);
	model_acs(c, ALL);
	t = model_tree();
	assert_int_equal(get(t, a)->reset, PCI_RESET_BUS);
	assert_int_equal(get(t, gpu)->reset, PCI_RESET_BUS);
	assert_int_equal(get(t, audio)->reset, PCI_RESET_BUS);
	assert_int_equal(get(t, b)->reset, PCI_RESET_NONE);
	assert_int_equal(get(t, c)->reset, PCI_RESET_NONE);
	/* Functions on the root bus have no bridge that could. */
	a->bdf.bus = 0;
	assert_int_equal(get(model_tree(), a)->reset, PCI_RESET_NONE);
}

static void check_name(uint32_t class, const char *name)
{
	char text[16];

	pci_class_name(class, text, sizeof(text));
	assert_string_equal(text, name);
}

static void test_names(void **state)
{
	(void)state;
	check_name(0x010802, "NVMe");
	check_name(0x0c0330, "USB");
	check_name(0x030000, "VGA");
	check_name(0x0b4000, "class 0b40");
	check_name(0xffffff, "class ffff");
	assert_string_equal(pci_reset_name(PCI_RESET_FLR), "FLR");
	assert_string_equal(pci_reset_name(PCI_RESET_BUS), "bus");
}

static uint32_t seed;

static uint32_t roll(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Registers of which every bit may be anything, most of it near what is plausible. */
static void random_function(void)
{
	struct model_function *f =
		model_add((uint8_t)roll(6), (uint8_t)roll(4), (uint8_t)roll(3), NIC);
	uint32_t i, n = roll(60);

	f->config[PCI_HEADER_TYPE] = (uint8_t)(roll(3) | (roll(2) ? PCI_MULTIFUNCTION : 0));
	f->config[PCI_SECONDARY] = (uint8_t)roll(8);
	f->config[PCI_SUBORDINATE] = (uint8_t)roll(8);
	if (roll(2))
		model_pcie(f, (uint8_t)roll(16), roll(2));
	if (roll(2))
		model_acs(f, (uint16_t)roll(128));
	for (i = 0; i < n; i++)
		f->config[4 + roll(0x140)] = (uint8_t)roll(256);
	for (i = 0; i < n; i++)
		f->writable[4 + roll(0x140)] = (uint8_t)roll(256);
	if (!roll(8))
		f->wrote = vanish;
}

static void check_tree(const struct pci_tree *t)
{
	bool seen[MODEL_FUNCTIONS] = { false };
	uint32_t i, k;

	for (i = 0; i < t->count; i++) {
		const struct pci_function *f = &t->f[i];

		assert_true(f->parent == PCI_NO_FUNCTION || f->parent < i);
		assert_true(f->group < t->count);
		/* Numbers are given in order, without holes. */
		assert_true(!f->group || seen[f->group - 1]);
		seen[f->group] = true;
		for (k = 0; k < i; k++) {
			assert_false(pci_same(t->f[k].bdf, f->bdf));
			if (pci_same(t->f[k].requester, f->requester))
				assert_int_equal(t->f[k].group, f->group);
		}
		assert_true(f->msi <= 246 && f->msix <= 244 && f->pcie <= 244);
	}
}

static void test_random_machines(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 1000; n++) {
		struct pci_tree *t;

		seed = n;
		model_clear();
		model_segments[0].last_bus = 7;
		model_segments[0].extended = roll(4);
		for (uint32_t i = 0; i < 24; i++)
			random_function();
		t = model_tree();
		check_tree(t);
		for (uint32_t i = 0; i < t->count && n < 100; i++) {
			enum status s = pci_function_reset(t, &t->f[i], &model_segments[0]);

			assert_true(s == OK || s == ERR_UNSUPPORTED || s == ERR_TIMEOUT);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_scan, setup),
		cmocka_unit_test_setup(test_segments, setup),
		cmocka_unit_test_setup(test_bars, setup),
		cmocka_unit_test_setup(test_bad_capabilities, setup),
		cmocka_unit_test_setup(test_device_vanishes, setup),
		cmocka_unit_test_setup(test_reserved, setup),
		cmocka_unit_test_setup(test_too_many, setup),
		cmocka_unit_test_setup(test_groups, setup),
		cmocka_unit_test_setup(test_acs, setup),
		cmocka_unit_test_setup(test_switch, setup),
		cmocka_unit_test_setup(test_multifunction_ports, setup),
		cmocka_unit_test_setup(test_conventional, setup),
		cmocka_unit_test_setup(test_bus_reset_choice, setup),
		cmocka_unit_test_setup(test_names, setup),
		cmocka_unit_test_setup(test_random_machines, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
