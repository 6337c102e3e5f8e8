/* SPDX-License-Identifier: BSD-2-Clause */
/* What PCI functions there are: PCI Local Bus Specification 3.0, chapter 6, and PCIe 5.0, 7.5. */
#include "drivers/pci_tree.h"

#include <stdio.h>
#include <string.h>

#define BUSES   256u
#define DEVICES 32u

#define HEADER_TYPE   0x7f
#define HEADER_DEVICE 0
#define HEADER_BRIDGE 1

#define NOT_SEEN (PCI_NO_FUNCTION - 1)

struct scan {
	struct pci_tree *t;
	const struct pci_access *a;
	uint32_t parent[BUSES]; /* the bridge above, PCI_NO_FUNCTION or NOT_SEEN */
	bool todo[BUSES];
};

/*
 * What the machine itself needs. By class, of which the interface is ignored: 06xx bridges, 0580 other
 * memory controllers (the way to the chipset's private registers), 08xx base peripherals but 0805 (SD
 * cards), 0c05 SMBus (memory modules), 0c80 other serial buses (the firmware's flash).
 */
static const char *why_reserved(const struct pci_function *f)
{
	uint32_t class = f->class >> 8;

	if (f->header != HEADER_DEVICE || class >> 8 == 0x06)
		return "a bridge";
	if (class == 0x0806)
		return "an IOMMU";
	if (class == 0x0580 || (class >> 8 == 0x08 && class != 0x0805))
		return "part of the chipset";
	if (class == 0x0c05)
		return "the machine's SMBus";
	if (class == 0x0c80)
		return "the firmware's flash, perhaps";
	return NULL;
}

/* A capability of at least `length` bytes; what reaches beyond the 256 bytes is none. */
static uint8_t capability(const struct pci_access *a, struct pci_bdf d, uint8_t id, uint32_t length)
{
	uint8_t at = pci_find_capability(a, d, id);

	return at + length <= 256 ? at : 0;
}

static void read_pcie(struct pci_function *f, const struct pci_access *a)
{
	uint16_t flags = pci_read16(a, f->bdf, f->pcie + 2u);

	f->pcie_type = flags >> 4 & 0xf;
	f->acs = pci_find_extended(a, f->bdf, PCI_EXT_ACS);
	f->control = pci_read16(a, f->bdf, f->pcie + PCIE_CONTROL);
	/* Version 1 of the capability may end where the type has no link. */
	if ((flags & 0xf) < 2 || f->pcie > 256 - 0x3c)
		return;
	f->link = pci_read16(a, f->bdf, f->pcie + PCIE_LINK_CONTROL);
	f->control2 = pci_read16(a, f->bdf, f->pcie + PCIE_CONTROL2);
}

static void read_capabilities(struct pci_function *f, const struct pci_access *a)
{
	f->msi = capability(a, f->bdf, PCI_CAP_MSI, 10);
	f->msix = capability(a, f->bdf, PCI_CAP_MSIX, 12);
	f->pm = capability(a, f->bdf, PCI_CAP_PM, 8);
	f->af = capability(a, f->bdf, PCI_CAP_AF, 6);
	f->pcie = capability(a, f->bdf, PCI_CAP_PCIE, 12);
	if (f->pcie)
		read_pcie(f, a);
}

static bool answers(const struct pci_access *a, struct pci_bdf d, uint32_t *id)
{
	*id = pci_read32(a, d, PCI_ID);
	/* 0001: it is not ready yet, and will not have been set up by the firmware (PCIe 2.3.1). */
	return (uint16_t)*id != 0xffff && (uint16_t)*id != 0 && (uint16_t)*id != 1;
}

/* All about one function; false if it vanished meanwhile. */
static bool read_function(struct pci_function *f, const struct pci_access *a)
{
	uint32_t id, class = pci_read32(a, f->bdf, PCI_CLASS);
	uint8_t pin = pci_read8(a, f->bdf, PCI_INTERRUPT + 1);

	f->class = class >> 8;
	f->revision = (uint8_t) class;
	f->header = pci_read8(a, f->bdf, PCI_HEADER_TYPE) & HEADER_TYPE;
	f->pin = pin <= 4 ? pin : 0;
	f->cache_line = pci_read16(a, f->bdf, PCI_CACHE_LINE);
	f->reserved = why_reserved(f);
	f->chipset = f->reserved;
	f->requester = f->bdf;
	f->owner = PCI_NO_OWNER;
	if (f->header == HEADER_BRIDGE) {
		f->secondary = pci_read8(a, f->bdf, PCI_SECONDARY);
		f->subordinate = pci_read8(a, f->bdf, PCI_SUBORDINATE);
	}
	if (f->header <= HEADER_BRIDGE)
		read_capabilities(f, a);
	/* The machine may depend on what the others decode all the time. */
	if (!f->reserved)
		pci_read_bars(a, f->bdf, f->bars);
	f->reset = pci_function_reset_kind(f, a);
	return answers(a, f->bdf, &id) && id == ((uint32_t)f->device << 16 | f->vendor);
}

static void add_function(struct scan *s, struct pci_bdf d, uint32_t id, bool multifunction)
{
	struct pci_tree *t = s->t;
	struct pci_function *f = &t->f[t->count];

	if (t->count == PCI_FUNCTIONS_MAX) {
		t->left_out++;
		return;
	}
	memset(f, 0, sizeof(*f));
	f->bdf = d;
	f->vendor = (uint16_t)id;
	f->device = (uint16_t)(id >> 16);
	f->multifunction = multifunction;
	f->parent = s->parent[d.bus];
	f->group = t->count;
	if (!read_function(f, s->a))
		return;
	t->count++;
	/* A bus is behind the first bridge that says so, and never above itself. */
	if (f->header == HEADER_BRIDGE && f->secondary > d.bus && f->secondary <= s->a->last_bus &&
	    s->parent[f->secondary] == NOT_SEEN) {
		s->parent[f->secondary] = t->count - 1;
		s->todo[f->secondary] = true;
	}
}

/* A link has one device. Some devices answer for the other 31 as well. */
static bool is_link(const struct scan *s, uint8_t bus)
{
	uint32_t parent = s->parent[bus];
	const struct pci_function *f = parent == PCI_NO_FUNCTION ? NULL : &s->t->f[parent];

	return f && f->pcie &&
	       (f->pcie_type == PCIE_ROOT_PORT || f->pcie_type == PCIE_DOWNSTREAM_PORT ||
		f->pcie_type == PCI_TO_PCIE);
}

static void scan_bus(struct scan *s, uint8_t bus)
{
	uint32_t device, function, devices = is_link(s, bus) ? 1 : DEVICES;
	struct pci_bdf d = { .segment = s->a->segment, .bus = bus };

	for (device = 0; device < devices; device++) {
		bool multifunction = false;

		d.device = (uint8_t)device;
		for (function = 0; function < (multifunction ? 8u : 1u); function++) {
			uint32_t id;

			d.function = (uint8_t)function;
			if (!answers(s->a, d, &id))
				continue;
			if (!function)
				multifunction =
					pci_read8(s->a, d, PCI_HEADER_TYPE) & PCI_MULTIFUNCTION;
			add_function(s, d, id, multifunction);
		}
	}
}

static void scan_below(struct scan *s)
{
	uint32_t bus;

	/* What a bridge adds lies above its own bus: one pass. */
	for (bus = 0; bus < BUSES; bus++) {
		if (!s->todo[bus])
			continue;
		s->todo[bus] = false;
		scan_bus(s, (uint8_t)bus);
	}
}

/* Whether a bridge claims the bus: nothing that is found there then has a way of its own. */
static bool bridged(const struct scan *s, uint32_t bus)
{
	uint32_t i;

	for (i = 0; i < s->t->count; i++) {
		const struct pci_function *f = &s->t->f[i];

		if (f->bdf.segment == s->a->segment && f->header == HEADER_BRIDGE &&
		    f->secondary > f->bdf.bus && bus >= f->secondary && bus <= f->subordinate)
			return true;
	}
	return false;
}

void pci_tree_scan(struct pci_tree *t, const struct pci_access *a)
{
	struct scan s = { .t = t, .a = a };
	uint32_t bus;

	for (bus = 0; bus < BUSES; bus++)
		s.parent[bus] = NOT_SEEN;
	/* The firmware's namespace would name the root buses; they are also those that no bridge leads to. */
	for (bus = a->first_bus; bus <= a->last_bus; bus++) {
		if (s.parent[bus] != NOT_SEEN || bridged(&s, bus))
			continue;
		s.parent[bus] = PCI_NO_FUNCTION;
		s.todo[bus] = true;
		scan_below(&s);
	}
}

struct pci_function *pci_tree_find(struct pci_tree *t, struct pci_bdf d)
{
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		if (pci_same(t->f[i].bdf, d))
			return &t->f[i];
	}
	return NULL;
}

void pci_tree_reserve(struct pci_tree *t, struct pci_bdf d, const char *why)
{
	struct pci_function *f = pci_tree_find(t, d);

	if (f && !f->reserved)
		f->reserved = why;
}

bool pci_firmware_lets_go(const struct pci_function *f)
{
	return f->class >> 16 == 0x03 || f->class >> 8 == 0x0c03;
}

void pci_class_name(uint32_t class, char *text, size_t size)
{
	/* By class and subclass. */
	static const struct {
		uint16_t class;
		char name[14];
	} names[] = {
		{ 0x0101, "IDE" },         { 0x0104, "RAID" },       { 0x0106, "SATA" },
		{ 0x0107, "SAS" },         { 0x0108, "NVMe" },       { 0x0100, "storage" },
		{ 0x0200, "Ethernet" },    { 0x0280, "network" },    { 0x0300, "VGA" },
		{ 0x0302, "3D" },          { 0x0403, "HD audio" },   { 0x0400, "multimedia" },
		{ 0x0600, "host bridge" }, { 0x0601, "ISA bridge" }, { 0x0604, "PCI bridge" },
		{ 0x0700, "serial" },      { 0x0805, "SD host" },    { 0x0806, "IOMMU" },
		{ 0x0c03, "USB" },         { 0x0c05, "SMBus" },
	};
	size_t i;

	class >>= 8;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].class == class) {
			snprintf(text, size, "%s", names[i].name);
			return;
		}
	}
	snprintf(text, size, "class %04x", class & 0xffff);
}
