/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_FOOTPRINT_H
#define LAMINA_CORE_FOOTPRINT_H

/* For what the hypervisor's own budget pays; `footprint` in the monitor shows it. */
enum footprint_part {
	FOOTPRINT_COMMON, /* its page table, consoles, what belongs to all */
	FOOTPRINT_CORES,
	FOOTPRINT_DEVICES, /* the list of PCI devices, IOMMUs' tables */
	FOOTPRINT_GUESTS,  /* struct guest */
	FOOTPRINT_PARTS,
};

/* What the budget has paid since the last call was for this. Boot core, while no other allocates. */
void footprint_charge(enum footprint_part part);

#endif
