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
	uint16_t control, link, control2;  /* of PCIe, as the firmware has set them up */
	uint16_t cache_line;               /* and latency timer, the same */
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
	bool chipset;  /* `reserved` since the scan, by its class: left as the firmware set it up */
	bool in_use;   /* Lamina drives it itself: its serial port */
	bool acs_on;   /* what comes from it or goes through it cannot bypass the IOMMU */
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

/*
 * Turn ACS on wherever it is, so that no bridge lets devices reach each other behind the IOMMU's back,
 * and compute `requester`, `group` and `reset` of all functions. `access` may return NULL.
 */
void pci_tree_group(struct pci_tree *t, const struct pci_access *(*access)(uint16_t segment));

/* Turn on what ACS has to keep a function from its neighbours. False: there is none, or it stays off. */
bool pci_acs_enable(const struct pci_function *f, const struct pci_access *a);

/* For the log: "12 functions, 9 groups, 3 given to guests". */
void pci_tree_summary(const struct pci_tree *t, char *text, size_t size);

/* Keep it from guests. What was said first stays; nothing happens if it is not there. */
void pci_tree_reserve(struct pci_tree *t, struct pci_bdf d, const char *why);

/*
 * Whether memory that the firmware uses with it matters only until an operating system takes over: USB
 * and graphics. Such a function may be given away although the firmware names it so.
 */
bool pci_firmware_lets_go(const struct pci_function *f);

/* By address; NULL: nothing there. */
struct pci_function *pci_tree_find(struct pci_tree *t, struct pci_bdf d);

/* Of PCIe, `pcie_type` (PCI Express Base Specification 5.0, 7.5.3.2). */
#define PCIE_ENDPOINT        0u
#define PCIE_ROOT_PORT       4u
#define PCIE_UPSTREAM_PORT   5u
#define PCIE_DOWNSTREAM_PORT 6u
#define PCIE_TO_PCI          7u /* a bridge to conventional PCI */
#define PCI_TO_PCIE          8u

/* Registers of the PCIe capability. */
#define PCIE_CAPABILITIES 0x04u /* of the device */
#define PCIE_CONTROL      0x08u
#define PCIE_STATUS       0x0au
#define PCIE_LINK_CONTROL 0x10u
#define PCIE_CONTROL2     0x28u

/* How registers of devices are reached; mapped uncached. `unmap` NULL: they stay mapped. */
struct pci_mapper {
	void *(*map)(hpa_t hpa, uint64_t size);
	void (*unmap)(const void *at, uint64_t size);
};

/*
 * Before anything is given away: no bus mastering, no MSI and no INTx of any device but those `in_use`
 * and the chipset's; USB controllers are taken over from the firmware; ATS, PASID, PRI and SR-IOV are off.
 * Called before the IOMMUs are turned on, since the firmware may use devices up to then. Takes up to a
 * second for each USB controller that the firmware does not let go.
 */
void pci_tree_quiesce(const struct pci_tree *t,
		      const struct pci_access *(*access)(uint16_t segment),
		      const struct pci_mapper *mapper);

/* What resets it, by its own registers; PCI_RESET_BUS is up to pci_tree_group(). */
enum pci_reset pci_function_reset_kind(const struct pci_function *f, const struct pci_access *a);

/* Bus mastering off, INTx off, MSI and MSI-X off: nothing of it leaves it any more. */
void pci_function_quiet(const struct pci_function *f, const struct pci_access *a);

/*
 * Reset by f->reset, wait until it answers, and leave it quiet, with memory and I/O decoding off, its
 * BARs as they were in `bars` and PCIe's control registers as the firmware had set them up. With
 * PCI_RESET_BUS that goes for all functions of the bus. Bus mastering is off and pending transactions
 * have been waited for before. Takes up to two seconds; boot core or a guest's core, no lock held.
 * ERR_UNSUPPORTED: PCI_RESET_NONE, all else is done; ERR_TIMEOUT: it does not come back.
 */
must_check enum status pci_function_reset(const struct pci_tree *t, const struct pci_function *f,
					  const struct pci_access *a);

const char *pci_reset_name(enum pci_reset r);

/* A word for the class: "NVMe", "Ethernet", "VGA" ..., or "class 0b40". */
void pci_class_name(uint32_t class, char *text, size_t size);

#endif
