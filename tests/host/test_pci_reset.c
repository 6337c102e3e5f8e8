// SPDX-License-Identifier: BSD-2-Clause
// sources: tests/host/pci_model.c drivers/pci.c drivers/pci_tree.c drivers/pci_group.c drivers/pci_reset.c drivers/pci_quiesce.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pci_model.h"

#define NIC 0x020000

static struct pci_tree *t;

static int setup(void **state)
{
	(void)state;
	model_clear();
	return 0;
}

static struct model_function *add(uint8_t bus, uint8_t device)
{
	struct model_function *f = model_add(bus, device, 0, NIC);

	model_bar(f, 0, 0x12300004000ull | 4, 0x4000);
	model_bar(f, 2, 0xc041, 64);
	model_bar(f, 6, 0xfea00000, 0x10000);
	model_put16(f, PCI_COMMAND, 7);
	model_put16(f, PCI_CACHE_LINE, 0x4010);
	return f;
}

static enum status reset(struct model_function *f)
{
	const struct pci_function *p = pci_tree_find(t, f->bdf);
	uint64_t start = model_us;
	enum status s;

	assert_non_null(p);
	s = pci_function_reset(t, p, &model_segments[0]);
	assert_true(model_us - start < 3000000);
	return s;
}

static enum pci_reset kind(struct model_function *f)
{
	return pci_tree_find(t, f->bdf)->reset;
}

/* As the contract says: quiet, not decoded, with its addresses. */
static void check_after(struct model_function *f)
{
	assert_int_equal(model_get16(f, PCI_COMMAND), PCI_COMMAND_NO_INTX);
	assert_int_equal(model_get32(f, PCI_BAR0), 0x00004004);
	assert_int_equal(model_get32(f, PCI_BAR0 + 4), 0x123);
	assert_int_equal(model_get32(f, PCI_BAR0 + 8), 0xc041);
	assert_int_equal(model_get32(f, PCI_ROM_BAR), 0xfea00000);
	assert_int_equal(model_get16(f, PCI_CACHE_LINE), 0x4010);
	assert_false(f->dirty_reset);
	assert_false(f->early);
}

static void test_flr(void **state)
{
	struct model_function *f = add(0, 1);
	uint16_t msix;

	(void)state;
	model_msi(f);
	msix = model_cap(f, PCI_CAP_MSIX, 12);
	f->writable[msix + 3] = 0xc0;
	model_pcie(f, PCIE_ENDPOINT, true);
	model_pm(f, false);
	model_ready();
	model_put16(f, f->pcie + PCIE_CONTROL2, 0x0405);
	model_put16(f, f->pcie + PCIE_LINK_CONTROL, 0x0041);
	t = model_tree();
	assert_int_equal(kind(f), PCI_RESET_FLR);
	/* What a guest left behind. */
	model_put16(f, f->pcie + PCIE_CONTROL, 0x005f);
	model_put16(f, 0x42, 0x0001);
	model_put16(f, msix + 2u, 0x8000);
	model_put32(f, PCI_BAR0, 0xdead0004);
	f->config[f->pm + 4] = 0x0b; /* D3hot */
	f->pending_until = model_us + 50000;
	assert_int_equal(reset(f), OK);
	assert_int_equal(f->resets, 1);
	check_after(f);
	assert_int_equal(model_get16(f, 0x42) & 1, 0);
	assert_int_equal(model_get16(f, msix + 2u), 0);
	assert_int_equal(model_get16(f, f->pcie + PCIE_CONTROL), 0x2830);
	assert_int_equal(model_get16(f, f->pcie + PCIE_CONTROL2), 0x0405);
	assert_int_equal(model_get16(f, f->pcie + PCIE_LINK_CONTROL), 0x0041);
}

static void lose_acs(struct model_function *f, uint32_t reg, unsigned width)
{
	(void)width;
	if (reg == f->ext_end + 6u)
		model_put16(f, reg, 0);
}

/* What keeps the device's functions apart is off after a reset, and another guest may have the next. */
static void test_acs_is_back(void **state)
{
	struct model_function *f = add(0, 1);

	(void)state;
	model_pcie(f, PCIE_ENDPOINT, true);
	model_acs(f, 0x1d);
	f->config[PCI_HEADER_TYPE] |= PCI_MULTIFUNCTION;
	model_ready();
	t = model_tree();
	assert_true(pci_tree_find(t, f->bdf)->acs_on);
	assert_int_equal(model_get16(f, f->ext_end + 6u), 0x1d);
	assert_int_equal(reset(f), OK);
	check_after(f);
	assert_int_equal(model_get16(f, f->ext_end + 6u), 0x1d);
	f->wrote = lose_acs;
	assert_int_equal(reset(f), ERR_TIMEOUT);
}

/* A resized BAR would be as large as it first was, over whatever lies behind it. */
static void test_sizes_are_back(void **state)
{
	struct model_function *f = add(0, 1);
	uint16_t at;

	(void)state;
	model_bar(f, 4, 0x40000000, 8u << 20);
	model_pcie(f, PCIE_ENDPOINT, true);
	at = model_ext(f, PCI_EXT_REBAR, 4 + 3 * 8);
	model_put32(f, at + 4u, 0xfff0);
	f->writable[at + 9] = f->writable[at + 17] = f->writable[at + 25] = 0x3f;
	/* Three: BAR 4; BAR 0, which is no such BAR; and 7, which is none at all. */
	model_put32(f, at + 8u, 4 | 3 << 5);
	model_put32(f, at + 16u, 0);
	model_put32(f, at + 24u, 7);
	model_ready();
	model_put32(f, at + 8u, 4 | 3 << 5 | 3 << 8);
	model_put32(f, at + 16u, 5 << 8);
	t = model_tree();
	assert_int_equal(reset(f), OK);
	check_after(f);
	assert_int_equal(model_get32(f, at + 8u), 4 | 3 << 5 | 3 << 8);
	assert_int_equal(model_get32(f, at + 16u), 0);
	assert_int_equal(model_get32(f, at + 24u), 7);
}

/* Half a second of all ones, or of "not yet", is fine; silence is not. */
static void test_slow(void **state)
{
	struct model_function *f = add(0, 1);

	(void)state;
	model_pcie(f, PCIE_ENDPOINT, true);
	model_ready();
	t = model_tree();
	f->reset_takes = 500000;
	assert_int_equal(reset(f), OK);
	check_after(f);
	f->busy_as_crs = true;
	f->reset_takes = 1000000;
	assert_int_equal(reset(f), OK);
	check_after(f);
	f->reset_takes = ~0u;
	assert_int_equal(reset(f), ERR_TIMEOUT);
	/* Pulled out. */
	f->busy_until = 0;
	f->gone = true;
	assert_int_equal(reset(f), ERR_TIMEOUT);
}

/* A device that never gets its answers is reset all the same. */
static void test_pending_for_ever(void **state)
{
	struct model_function *f = add(0, 1);

	(void)state;
	model_pcie(f, PCIE_ENDPOINT, true);
	model_ready();
	t = model_tree();
	f->pending_until = ~0ull;
	assert_int_equal(reset(f), OK);
	assert_int_equal(f->resets, 1);
}

static void test_other_kinds(void **state)
{
	struct model_function *af = add(0, 1), *pm = add(0, 2), *keeps = add(0, 3);
	struct model_function *broken = add(0, 4), *none = add(0, 5);

	(void)state;
	model_af(af);
	model_pm(pm, true);
	model_pm(keeps, false);
	model_pcie(broken, PCIE_ENDPOINT, true);
	model_put32(broken, PCI_ID, 0x149c1022);
	model_ready();
	t = model_tree();
	assert_int_equal(kind(af), PCI_RESET_AF_FLR);
	assert_int_equal(kind(pm), PCI_RESET_PM);
	assert_int_equal(kind(keeps), PCI_RESET_NONE);
	assert_int_equal(kind(broken), PCI_RESET_NONE);
	af->pending_until = model_us + 50000;
	assert_int_equal(reset(af), OK);
	assert_int_equal(af->resets, 1);
	check_after(af);
	pm->config[pm->pm + 5] |= 0x80; /* PME status stays */
	assert_int_equal(reset(pm), OK);
	assert_int_equal(pm->resets, 1);
	check_after(pm);
	/* What can't be reset is quiet at least. */
	assert_int_equal(reset(none), ERR_UNSUPPORTED);
	assert_int_equal(none->resets, 0);
	check_after(none);
}

static void test_bus(void **state)
{
	struct model_function *bridge = model_bridge(0, 1, 1, 1), *other;
	struct model_function *f = add(1, 0), *g = add(1, 0);
	uint64_t start;

	(void)state;
	f->config[PCI_HEADER_TYPE] = PCI_MULTIFUNCTION;
	g->bdf.function = 1;
	other = add(0, 2);
	model_put16(bridge, PCI_BRIDGE, 0x0003);
	model_ready();
	t = model_tree();
	assert_int_equal(kind(f), PCI_RESET_BUS);
	/* Both are quiet before their bus is reset. */
	start = model_us;
	assert_int_equal(reset(f), OK);
	assert_true(model_us - start >= 1000000); /* a conventional bus */
	assert_true(f->resets == 1 && g->resets == 1 && !other->resets);
	check_after(f);
	check_after(g);
	assert_int_equal(model_get16(bridge, PCI_BRIDGE), 0x0003);
	g->reset_takes = ~0u;
	assert_int_equal(reset(f), ERR_TIMEOUT);
}

/* ---- Taking over from the firmware ---- */

static uint32_t registers[0x4000 / 4];
static uint32_t maps, unmaps;
static uint64_t mapped_size;

static void *map(hpa_t hpa, uint64_t size)
{
	assert_int_equal(hpa.v, 0xfe000000);
	maps++;
	mapped_size = size;
	return registers;
}

static void unmap(const void *where, uint64_t size)
{
	assert_ptr_equal(where, registers);
	assert_int_equal(size, mapped_size);
	unmaps++;
}

static void *map_nothing(hpa_t hpa, uint64_t size)
{
	(void)hpa;
	(void)size;
	return NULL;
}

static void quiesce(void)
{
	static const struct pci_mapper mapper = { map, unmap };

	pci_tree_quiesce(t, model_access, &mapper);
	assert_int_equal(maps, unmaps);
}

static void test_quiesce(void **state)
{
	struct model_function *nic = add(0, 1), *mine = add(0, 2),
			      *bridge = model_bridge(0, 3, 1, 1);
	struct model_function *isa = model_add(0, 31, 0, 0x060100),
			      *sd = model_add(0, 5, 0, 0x080501);
	uint16_t ats, pri, pasid, sriov;

	(void)state;
	model_msi(nic);
	model_put16(nic, 0x42, 0x0001);
	model_pcie(nic, PCIE_ENDPOINT, true);
	ats = model_ext(nic, PCI_EXT_ATS, 8);
	pri = model_ext(nic, PCI_EXT_PRI, 16);
	pasid = model_ext(nic, PCI_EXT_PASID, 8);
	sriov = model_ext(nic, PCI_EXT_SRIOV, 64);
	memset(nic->writable + sriov + 8, 0xff, 2);
	model_put16(nic, sriov + 8u, 9);
	memset(nic->writable + ats + 6, 0xff, 2);
	memset(nic->writable + pri + 4, 0xff, 2);
	memset(nic->writable + pasid + 6, 0xff, 2);
	model_put16(nic, ats + 6u, 0x8000);
	model_put16(nic, pri + 4u, 1);
	model_put16(nic, pasid + 6u, 1);
	model_put16(isa, PCI_COMMAND, 7);
	model_put16(sd, PCI_COMMAND, 7);
	model_put16(bridge, PCI_COMMAND, 3);
	t = model_tree();
	pci_tree_find(t, mine->bdf)->in_use = true;
	pci_tree_reserve(t, nic->bdf, "something of the firmware's");
	quiesce();
	/* Decoding stays: a display may be shown by it. */
	assert_int_equal(model_get16(nic, PCI_COMMAND), 3 | PCI_COMMAND_NO_INTX);
	assert_int_equal(model_get16(nic, 0x42) & 1, 0);
	assert_int_equal(model_get16(nic, ats + 6u), 0);
	assert_int_equal(model_get16(nic, pri + 4u), 0);
	assert_int_equal(model_get16(nic, pasid + 6u), 0);
	assert_int_equal(model_get16(nic, sriov + 8u), 0);
	assert_int_equal(model_get16(mine, PCI_COMMAND), 7);
	assert_int_equal(model_get16(isa, PCI_COMMAND), 7);
	assert_int_equal(model_get16(sd, PCI_COMMAND), 3 | PCI_COMMAND_NO_INTX);
	assert_int_equal(model_get16(bridge, PCI_COMMAND), 7); /* what is behind it goes through */
	assert_int_equal(maps, 0);
	assert_false(model_wrote_nowhere);
}

static struct model_function *usb(uint8_t interface)
{
	struct model_function *f = model_add(0, 0x1d, 0, 0x0c0300u | interface);

	memset(registers, 0, sizeof(registers));
	maps = unmaps = 0;
	model_bar(f, interface ? 0 : 4, interface ? 0xfe000000 : 0xc001,
		  interface ? sizeof(registers) : 32);
	model_put16(f, PCI_COMMAND, 7);
	return f;
}

static void test_uhci(void **state)
{
	struct model_function *f = usb(0x00);

	(void)state;
	model_put16(f, 0xc0, 0x00bf);
	memset(f->writable + 0xc0, 0xff, 2);
	t = model_tree();
	quiesce();
	assert_int_equal(model_get16(f, 0xc0), 0x8f00);
	assert_int_equal(maps, 0);
}

static void ohci_firmware(void)
{
	if (registers[2] & 8 && registers[4] & 1u << 30)
		registers[1] &= ~0x100u;
}

static void test_ohci(void **state)
{
	(void)state;
	usb(0x10);
	registers[1] = 0x3bf; /* routed to SMM, running, remote wake-up */
	model_tick = ohci_firmware;
	t = model_tree();
	quiesce();
	assert_int_equal(maps, 1);
	assert_int_equal(registers[1], 0x200);
	assert_int_equal(registers[5], ~0u);
	assert_true(model_us < 1100000);
	/* It never lets go. */
	registers[1] = 0x1bf;
	model_tick = NULL;
	quiesce();
	assert_int_equal(registers[1], 0);
	assert_true(model_us < 2300000);
}

static void ehci_firmware(struct model_function *f, uint32_t reg, unsigned width)
{
	(void)reg;
	(void)width;
	if (f->config[0x6b] & 1)
		f->config[0x6a] &= 0xfe;
}

static void test_ehci(void **state)
{
	struct model_function *f = usb(0x20);

	(void)state;
	registers[0] = 0x01000020;
	registers[2] = 0x6871;
	registers[8] = 0x00080021;        /* running, asynchronous schedule */
	model_put32(f, 0x68, 0x00016801); /* owned by the firmware; points at itself */
	model_put32(f, 0x6c, 0xc000203f);
	memset(f->writable + 0x6a, 1, 2);
	memset(f->writable + 0x6c, 0xff, 4);
	f->wrote = ehci_firmware;
	t = model_tree();
	quiesce();
	assert_int_equal(model_get32(f, 0x68), 0x01006801);
	assert_int_equal(model_get32(f, 0x6c), 0);
	assert_int_equal(registers[8], 0x00080020);
	assert_true(model_us < 1100000);
	/* A firmware that does not answer: by force. */
	f->wrote = NULL;
	model_put32(f, 0x68, 0x00010001);
	quiesce();
	assert_int_equal(model_get32(f, 0x68), 0x01000001);
	assert_true(model_us < 2300000);
}

static void xhci_firmware(void)
{
	if (registers[0x500 / 4] & 1u << 24)
		registers[0x500 / 4] &= ~(1u << 16);
}

static void test_xhci(void **state)
{
	struct model_function *f = usb(0x30);

	(void)state;
	registers[0] = 0x01000040;
	registers[0x10 / 4] = 0x01200000; /* the capabilities begin at 480h */
	registers[0x480 / 4] = 0x2002;    /* the next one is 80h further */
	registers[0x500 / 4] = 0x00010001;
	registers[0x504 / 4] = 0x1f1fffff;
	registers[0x40 / 4] = 0x0d;
	model_tick = xhci_firmware;
	t = model_tree();
	quiesce();
	assert_int_equal(registers[0x500 / 4], 0x01000001);
	assert_int_equal(registers[0x504 / 4], 0xe00e1fee);
	assert_int_equal(registers[0x40 / 4], 0);
	assert_int_equal(mapped_size, sizeof(registers));
	assert_true(model_us < 1100000);
	/* By force; and capabilities that lead out of the registers, or nowhere. */
	model_tick = NULL;
	registers[0x500 / 4] = 0x0001ff01;
	quiesce();
	assert_int_equal(registers[0x500 / 4], 0x0100ff01);
	registers[0x10 / 4] = 0xffff0000;
	quiesce();
	registers[0x10 / 4] = 0x01200000;
	registers[0x480 / 4] = 0x0002;
	quiesce();
	/* Vanished: all ones. */
	memset(registers, 0xff, sizeof(registers));
	quiesce();
	assert_int_equal(maps, 5);
	/* Not decoded: nobody uses it. */
	model_put16(f, PCI_COMMAND, 4);
	quiesce();
	assert_int_equal(maps, 5);
	model_put16(f, PCI_COMMAND, 6);
	pci_tree_quiesce(t, model_access, &(struct pci_mapper){ map_nothing, unmap });
	assert_int_equal(model_get16(f, PCI_COMMAND), 2 | PCI_COMMAND_NO_INTX);
	model_put16(f, PCI_COMMAND, 6);
	pci_tree_quiesce(t, model_access, &(struct pci_mapper){ .map = map });
	assert_int_equal(maps, 6);
}

static void *map_exactly(hpa_t hpa, uint64_t size)
{
	void *p = malloc(size);

	(void)hpa;
	assert_non_null(p);
	return memset(p, 0xff, size);
}

static void unmap_exactly(const void *where, uint64_t size)
{
	(void)size;
	free((void *)(uintptr_t)where);
}

/* Few registers, which claim that there are more: none beyond their end is touched. */
static void test_small(void **state)
{
	static const struct pci_mapper mapper = { map_exactly, unmap_exactly };

	(void)state;
	for (uint8_t interface = 0x10; interface <= 0x30; interface += 0x10) {
		model_clear();
		model_bar(usb(interface), 0, 0xfe000000, 16);
		t = model_tree();
		pci_tree_quiesce(t, model_access, &mapper);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_flr, setup),
		cmocka_unit_test_setup(test_acs_is_back, setup),
		cmocka_unit_test_setup(test_sizes_are_back, setup),
		cmocka_unit_test_setup(test_slow, setup),
		cmocka_unit_test_setup(test_pending_for_ever, setup),
		cmocka_unit_test_setup(test_other_kinds, setup),
		cmocka_unit_test_setup(test_bus, setup),
		cmocka_unit_test_setup(test_quiesce, setup),
		cmocka_unit_test_setup(test_uhci, setup),
		cmocka_unit_test_setup(test_ohci, setup),
		cmocka_unit_test_setup(test_ehci, setup),
		cmocka_unit_test_setup(test_xhci, setup),
		cmocka_unit_test_setup(test_small, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
