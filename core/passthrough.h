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
 * and the life of a guest's devices; core/host_pci.c: access; core/iommu_faults.c: faults.
 */

/* Configuration space of a segment, usable on any core at any time; NULL: there is no such segment. */
const struct pci_access *host_pci(uint16_t segment);

/* Boot core, before the console is looked for: map what the MCFG describes, else use the ports. */
void host_pci_init(const struct acpi_mcfg *mcfg);

/* All functions; scanned and grouped by passthrough_init(). */
extern struct pci_tree pci_tree;

/*
 * Boot core, once, before other cores start: find all devices, quiet them, turn the IOMMUs on, route
 * Lamina's own interrupts anew, give devices to guests as the configuration says. What cannot be
 * given as it says is refused with a message, and the guest is left out (config.valid becomes false
 * in guest_refused()).
 */
void passthrough_init(const struct boot_info *bi, const struct acpi_platform *acpi);

/* Why guest `index` must be left out because of its devices; NULL: it need not. */
const char *passthrough_refusal(uint32_t index);

/*
 * For guest_create(), after the guest's slots exist and before its vCPUs run: the DMA view, the
 * virtual PCI bus. Nothing if it has no devices. Errors are logged.
 */
must_check enum status passthrough_create(struct guest *g);

/*
 * Each run: on the core of vCPU 0, without locks, before the guest's memory is written: reset the
 * devices and attach them. Errors are logged; the run must not begin then.
 */
must_check enum status passthrough_start(struct guest *g);

/*
 * The guest's cores are out for good, or for a reset: bus mastering off, interrupts blocked,
 * detached; nothing of it reaches memory or cores after return. Quick: no reset here. run_lock held.
 */
void passthrough_stop(struct guest *g);

/*
 * Look for faults, if it is time to: at exits that happen anyway and in the NMI's work. Any core,
 * no lock held.
 */
void iommu_faults_poll(void);

/* For mm_flush(). */
void passthrough_flush(struct guest *g, const struct gfn_range *ranges, unsigned count);

#endif
