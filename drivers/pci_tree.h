/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_PCI_TREE_H
#define LAMINA_DRIVERS_PCI_TREE_H

#include "drivers/pci.h"

/*
 * All PCI functions of the machine, found once at boot and constant but for `owner`: what they are,
 * which of them belong together, how they are reset.
 */
#define PCI_FUNCTIONS_MAX 512u
#define PCI_NO_FUNCTION   UINT32_MAX
#define PCI_NO_OWNER      (-1)
#define PCI_BARS          6u
#define PCI_ROM           6u /* index of the expansion ROM in `bars` */

/* In the order of preference. */
enum pci_reset {
	PCI_RESET_NONE,
	PCI_RESET_FLR,    /* PCIe function level reset */
	PCI_RESET_AF_FLR, /* the same, by the Advanced Features capability */
	PCI_RESET_PM,     /* D3hot to D0, where that resets */
	PCI_RESET_BUS, /* secondary bus reset: alone on its bus, or with its group's functions only */
};

struct pci_function {
	struct pci_bdf bdf;
	uint16_t vendor, device;
	uint32_t class; /* class, subclass, interface: 0xccssii */
	uint8_t revision;
	uint8_t header;     /* type, without the multifunction bit */
	bool multifunction; /* of the device, as function 0 says */
	uint32_t parent;    /* index of the bridge above, or PCI_NO_FUNCTION on a root bus */
	uint8_t secondary, subordinate;    /* of a bridge */
	uint8_t pin;                       /* INTx: 1 to 4; 0: none */
	uint8_t msi, msix, pm, pcie, af;   /* offsets of capabilities; 0: absent */
	uint8_t pcie_type;                 /* PCIe Capabilities register, bits 7:4 */
	uint16_t acs;                      /* offset of the extended capability; 0: absent */
	struct pci_bar bars[PCI_BARS + 1]; /* a 64-bit BAR: in its first index; `size` 0: absent */
	struct pci_bdf requester; /* whose id its requests carry: itself, or a bridge above */
	uint32_t group; /* functions with the same number cannot be told apart or isolated */
	enum pci_reset reset;
	/*
	 * Why it can't be given away (a bridge, Lamina's serial port, an IOMMU, an IOAPIC, memory that
	 * the firmware uses with it ...); NULL: it can.
	 */
	const char *reserved;
	bool in_use;   /* Lamina drives it itself: its serial port */
	int32_t owner; /* index of the guest that the configuration gives it to, or PCI_NO_OWNER */
};

struct pci_tree {
	uint32_t count;
	uint32_t left_out; /* functions beyond PCI_FUNCTIONS_MAX */
	struct pci_function f[PCI_FUNCTIONS_MAX];
};

/*
 * Find everything behind the host bridges of one segment and add it. May be called for several
 * segments. Sizes BARs, so no device may be in use but by the caller.
 */
void pci_tree_scan(struct pci_tree *t, const struct pci_access *a);

/* Compute `requester` and `group` of all functions. Pure. */
void pci_tree_group(struct pci_tree *t, const struct pci_access *(*access)(uint16_t segment));

/* By address; NULL: nothing there. */
struct pci_function *pci_tree_find(struct pci_tree *t, struct pci_bdf d);

/*
 * Before anything is given away: no bus mastering, no MSI and no INTx of any endpoint but `keep`
 * (Lamina's own serial port; NULL: none); USB controllers are taken over from the firmware; ATS, PASID
 * and PRI are off; ACS is on wherever bridges have it. Called before the IOMMUs are turned on, since
 * the firmware may use devices up to then. (PCI_NO_FUNCTION stays for unknown devices.)
 */
void pci_tree_quiesce(const struct pci_tree *t,
		      const struct pci_access *(*access)(uint16_t segment),
		      const struct pci_function *keep);

/*
 * Reset by f->reset, wait until it answers, and leave it with bus mastering, memory and I/O decoding
 * off and its BARs as they were in `bars`. Bus mastering is off and pending transactions have been
 * waited for before. Takes up to a second; boot core or a guest's core, no lock held.
 * ERR_UNSUPPORTED: PCI_RESET_NONE; ERR_TIMEOUT: it does not come back.
 */
must_check enum status pci_function_reset(const struct pci_tree *t, const struct pci_function *f,
					  const struct pci_access *a);

const char *pci_reset_name(enum pci_reset r);

/* A word for the class: "NVMe", "Ethernet", "VGA" ..., or "class 0b40". */
void pci_class_name(uint32_t class, char *text, size_t size);

#endif
