/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_PASSTHROUGH_H
#define LAMINA_CORE_PASSTHROUGH_H

#include "boot_info.h"
#include "drivers/acpi.h"
#include "drivers/iommu.h"
#include "drivers/pci_tree.h"

struct guest;
struct cpu;

/*
 * The machine's PCI devices and IOMMUs, and who owns what. core/passthrough.c: boot order, owners
 * and the life of a guest's devices; core/host_pci.c: access to
 * configuration space; core/iommu_faults.c: faults.
 */

/* Configuration space of a segment, usable on any core at any time; NULL: there is no such segment. */
const struct pci_access *host_pci(uint16_t segment);

/* Boot core, before the console is looked for: map what the MCFG describes, else use the ports. */
void host_pci_init(const struct acpi_mcfg *mcfg);

/* All functions, scanned and grouped by passthrough_init(); NULL before. */
extern struct pci_tree *pci_tree;

/*
 * Boot core, once, before guests exist: find all devices, quiet them, turn the IOMMUs on, route
 * Lamina's own interrupts anew, give devices to guests as the configuration says. `mem` is how ACPI
 * tables are read.
 */
void passthrough_init(const struct boot_info *bi, const struct acpi_platform *platform,
		      const struct acpi_mem *mem);

/* Does the firmware want the device to reach that memory? */
bool iommu_is_reserved_for(const struct iommu_reserved *r, struct pci_bdf d);

/* For passthrough_init(): the screen that shows Lamina's console still can (core/screen_memory.c). */
void screen_keep_memory(const struct boot_info *bi, const struct pci_function *screen);

/*
 * For guest_create(): first, whether the guest can have all that its section names, and the virtual
 * PCI bus, before its slots are made; then, once they are, its devices' view of its memory. Nothing if
 * it has no devices. Errors are logged; the guest is left out then.
 */
must_check enum status passthrough_create(struct guest *g);
must_check enum status passthrough_create_view(struct guest *g);

/*
 * Each run: on the core of vCPU 0, without locks, before the guest's memory is written: reset the
 * devices and attach them. Errors are logged; the run must not begin then.
 */
must_check enum status passthrough_start(struct guest *g);

/*
 * The guest's cores are out for good, or for a reset: bus mastering off, interrupts blocked,
 * detached; nothing of its devices reaches memory or cores after that. Then they are reset, which
 * takes up to a second each. On one of the guest's cores, without locks.
 */
void passthrough_stop(struct guest *g);

/*
 * Look for faults: in the work of an NMI, which may be about one; and at exits that happen anyway,
 * which cost a look at a flag unless a flood was silenced. Any core, no lock held.
 */
void iommu_faults_poll(void);
void iommu_faults_after_exit(uint64_t tsc);

/* Faults of a function so far, for the monitor; `index` into pci_tree. Those of unknown sources. */
uint64_t iommu_faults_of(uint32_t index);
uint64_t iommu_faults_unknown(void);

/* A copy of the n-th last fault, from 0. False: there were not so many. */
bool iommu_faults_last(unsigned n, struct iommu_fault *out);

/* For mm_flush(). */
void passthrough_flush(struct guest *g, const struct gfn_range *ranges, unsigned count);

#endif
