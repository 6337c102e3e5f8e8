/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_ASSIGN_H
#define LAMINA_CORE_ASSIGN_H

#include "config.h"
#include "drivers/pci_tree.h"
#include "types.h"

/*
 * Which guest gets which PCI functions: the configuration's names against what the machine has. Pure.
 */
#define ASSIGN_TEXT 320

struct assign_machine {
	bool irq_remap; /* devices cannot forge interrupts */
	/* Does an IOMMU stand between the function and memory? */
	bool (*covers)(struct pci_bdf requester);
};

struct assign_guest {
	uint32_t count;
	struct pci_function *function[CONFIG_MAX_DEVICES];
	uint8_t slot[CONFIG_MAX_DEVICES]; /* that the guest sees; 0: any */
	char refusal[ASSIGN_TEXT]; /* why the guest can't be had so, for the user; empty: it can */
};

/*
 * Fill out[i] for each valid guest of the configuration, and set `owner` in the tree. A guest whose
 * devices are not all to be had gets none, and a refusal. By id or class, each name takes the next
 * function that fits and that no guest has.
 */
void assign_devices(struct pci_tree *t, const struct config *c, const struct assign_machine *m,
		    struct assign_guest *out);

#endif
