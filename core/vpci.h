/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPCI_H
#define LAMINA_CORE_VPCI_H

#include "core/io.h"
#include "core/vpci_irq.h"
#include "drivers/pci_tree.h"
#include "types.h"

struct guest;

/*
 * The PCI bus that a guest with devices of its own sees: one root bus with a host bridge at 00.0 and
 * each device as function 0 of a slot. Configuration space by ports CF8h/CFCh and ECAM.
 */
#define VPCI_DEVICES   16u
#define VPCI_ECAM_GPA  0xe8000000ull
#define VPCI_ECAM_SIZE 0x100000u     /* bus 0 */
#define VPCI_MEM32_GPA 0xc0000000ull /* up to VPCI_ECAM_GPA: BARs below 4 GiB */

struct vpci_bar {
	uint64_t address; /* as the guest has written it, flags excluded */
	bool mapped;      /* its slots exist */
	uint64_t mapped_at;
};

struct vpci_device {
	struct guest *guest;
	const struct pci_function *host;
	const struct pci_access *access;
	uint8_t slot;     /* the device number that the guest sees */
	uint16_t command; /* as the guest has written it */
	uint8_t line;     /* Interrupt Line: a scratch register */
	struct vpci_bar bars[PCI_BARS + 1];
	struct vpci_irqs irqs;
	/* The first bytes of what the guest may see of the capabilities, by core/vpci_caps.c. */
	uint8_t visible[256 /
			8]; /* bit per byte of configuration space: passed through or emulated */
};

struct vpci {
	uint32_t address; /* CF8h */
	uint32_t count;
	uint64_t mem64, mem64_size; /* the window for 64-bit BARs; size 0: none */
	struct vpci_device devices[VPCI_DEVICES];
};

/*
 * Make the bus of a guest that owns `count` functions; slots[i] is the device number that the guest
 * sees, 0: any. Adds its ports and pages to g->io. Before the guest's slots are made. ERR_NOMEM ...
 */
must_check enum status vpci_create(struct guest *g, const struct pci_function *const *functions,
				   const uint8_t *slots, uint32_t count);

/* Power-on state, before each run: BARs assigned but not decoded, all interrupts off. */
void vpci_reset(struct guest *g);

/* The run has ended: BARs are unmapped, nothing is decoded, bus mastering is off. No lock needed. */
void vpci_stop(struct guest *g);

#endif
