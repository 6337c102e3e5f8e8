/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which functions an IOMMU can tell apart, and which can reach each other without it being asked: PCI
 * Express Base Specification 5.0, 6.12 (ACS) and PCI Express to PCI/PCI-X Bridge Specification 1.0,
 * 2.3 (requester ids). Functions are put together that share a requester id, or that one may reach
 * from the other through a bridge or a device of several functions that does not send everything up.
 */
#include "drivers/pci_tree.h"

#include <stdio.h>

#define ACS_CAPABILITY 4
#define ACS_CONTROL    6
/* Source validation; redirection of requests, of completions; upstream forwarding. */
#define ACS_NEEDED (BIT(0) | BIT(2) | BIT(3) | BIT(4))
#define ACS_DIRECT BIT(6) /* lets translated requests pass without redirection */

#define HEADER_BRIDGE 1

static struct pci_function *parent_of(struct pci_tree *t, const struct pci_function *f)
{
	return f->parent == PCI_NO_FUNCTION ? NULL : &t->f[f->parent];
}

/*
 * What the capability does not have does not exist in that function and needs no control. The register
 * is read back, because there are ports where it lies.
 */
bool pci_acs_enable(const struct pci_function *f, const struct pci_access *a)
{
	uint16_t needed, control;

	if (!f->acs || !a)
		return false;
	needed = pci_read16(a, f->bdf, f->acs + ACS_CAPABILITY) & (uint16_t)ACS_NEEDED;
	control = pci_read16(a, f->bdf, f->acs + ACS_CONTROL);
	control = (uint16_t)((control | needed) & ~ACS_DIRECT);
	pci_write16(a, f->bdf, f->acs + ACS_CONTROL, control);
	return (pci_read16(a, f->bdf, f->acs + ACS_CONTROL) & needed) == needed;
}

/* Nothing passes from one function of the device, or from one port, to another. */
static bool isolates(const struct pci_function *f, const struct pci_access *a)
{
	bool on = pci_acs_enable(f, a);

	if (!f->pcie)
		return false;
	if (f->pcie_type == PCIE_TO_PCI || f->pcie_type == PCI_TO_PCIE)
		return false;
	/* An upstream port of a device of one function has nobody beside it. */
	if (f->pcie_type == PCIE_ROOT_PORT || f->pcie_type == PCIE_DOWNSTREAM_PORT)
		return on;
	return on || !f->multifunction;
}

/* The bridge that puts its own requester id, or its bus's, on what comes from behind it. */
static bool takes_over(const struct pci_function *bridge, struct pci_bdf *requester)
{
	if (bridge->pcie && bridge->pcie_type != PCIE_TO_PCI && bridge->pcie_type != PCI_TO_PCIE)
		return false;
	*requester = bridge->bdf;
	if (bridge->pcie && bridge->pcie_type == PCIE_TO_PCI) {
		requester->bus = bridge->secondary;
		requester->device = 0;
		requester->function = 0;
	}
	return true;
}

static bool same_device(struct pci_bdf a, struct pci_bdf b)
{
	a.function = b.function;
	return pci_same(a, b);
}

/*
 * ACS governs what comes into a port, not what leaves it: what one downstream port lets through reaches
 * what is behind all others of the switch, and what one function of a device lets through reaches all
 * others, whatever these have. Functions that no guest can have let nothing through, but for bridges.
 */
static void spread(struct pci_tree *t)
{
	uint32_t i, k;

	for (i = 0; i < t->count; i++) {
		const struct pci_function *f = &t->f[i];

		if (f->acs_on || !f->multifunction || (f->chipset && f->header != HEADER_BRIDGE))
			continue;
		for (k = 0; k < t->count; k++) {
			if (same_device(t->f[k].bdf, f->bdf))
				t->f[k].acs_on = false;
		}
	}
	for (i = 0; i < t->count; i++) {
		const struct pci_function *f = &t->f[i];

		/* The upstream port, but not what it keeps from functions beside it. */
		if (!f->acs_on && f->pcie && f->pcie_type == PCIE_DOWNSTREAM_PORT &&
		    f->parent != PCI_NO_FUNCTION)
			t->f[f->parent].acs_on = false;
	}
}

static bool path_isolates(struct pci_tree *t, const struct pci_function *f)
{
	/* A parent has been found before its children: indices fall, so this ends. */
	for (; f; f = parent_of(t, f)) {
		if (!f->acs_on)
			return false;
	}
	return true;
}

/* The function up to which everything above `f` belongs to its group. */
static struct pci_function *top_of(struct pci_tree *t, struct pci_function *f)
{
	struct pci_function *top = f, *up;

	for (up = parent_of(t, f); up; up = parent_of(t, up)) {
		if (takes_over(up, &f->requester))
			top = up;
	}
	for (up = parent_of(t, top); up && !path_isolates(t, up); up = parent_of(t, up))
		top = up;
	return top;
}

static void join(struct pci_tree *t, uint32_t a, uint32_t b)
{
	uint32_t i, from = t->f[a].group, to = t->f[b].group;

	for (i = 0; i < t->count && from != to; i++) {
		if (t->f[i].group == from)
			t->f[i].group = to;
	}
}

/* The other functions of a device that keeps none of them from the others. */
static void join_device(struct pci_tree *t, uint32_t index)
{
	const struct pci_function *f = &t->f[index];
	uint32_t i;

	if (!f->multifunction || f->acs_on)
		return;
	for (i = 0; i < t->count; i++) {
		if (i != index && same_device(t->f[i].bdf, f->bdf) && !t->f[i].acs_on)
			join(t, i, index);
	}
}

/* Numbers from 0 on, in the order of the groups' first functions. */
static void renumber(struct pci_tree *t)
{
	uint32_t i, k, next = 0;

	for (i = 0; i < t->count; i++) {
		uint32_t old = t->f[i].group;

		if (old < PCI_FUNCTIONS_MAX) {
			for (k = i; k < t->count; k++) {
				if (t->f[k].group == old)
					t->f[k].group = PCI_FUNCTIONS_MAX + next;
			}
			next++;
		}
		t->f[i].group -= PCI_FUNCTIONS_MAX;
	}
}

/* Whether a reset of its bus meets nobody but its own group's functions. */
static bool bus_is_its_groups(const struct pci_tree *t, const struct pci_function *f)
{
	uint32_t i;

	if (f->parent == PCI_NO_FUNCTION)
		return false;
	for (i = 0; i < t->count; i++) {
		const struct pci_function *o = &t->f[i];

		if (o->parent == f->parent && (o->header || o->reserved || o->group != f->group))
			return false;
	}
	return true;
}

void pci_tree_group(struct pci_tree *t, const struct pci_access *(*access)(uint16_t segment))
{
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		t->f[i].group = i;
		t->f[i].acs_on = isolates(&t->f[i], access(t->f[i].bdf.segment));
	}
	spread(t);
	for (i = 0; i < t->count; i++) {
		struct pci_function *top = top_of(t, &t->f[i]);

		join(t, i, (uint32_t)(top - t->f));
		join_device(t, (uint32_t)(top - t->f));
	}
	renumber(t);
	for (i = 0; i < t->count; i++) {
		struct pci_function *f = &t->f[i];

		if (f->reset == PCI_RESET_NONE && !f->reserved && bus_is_its_groups(t, f))
			f->reset = PCI_RESET_BUS;
	}
}

void pci_tree_summary(const struct pci_tree *t, char *text, size_t size)
{
	uint32_t i, groups = 0, given = 0;

	for (i = 0; i < t->count; i++) {
		if (t->f[i].group >= groups)
			groups = t->f[i].group + 1;
		given += t->f[i].owner != PCI_NO_OWNER;
	}
	snprintf(text, size, "%u functions, %u groups, %u given to guests", (unsigned)t->count,
		 (unsigned)groups, (unsigned)given);
}
