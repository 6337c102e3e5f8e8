/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HOST_CONSOLE_H
#define LAMINA_CORE_HOST_CONSOLE_H

#include "boot_info.h"
#include "drivers/pci.h"
#include "drivers/acpi.h"

/*
 * Find the machine's serial port (configuration, then SPCR, then COM1, then PCI by class) or fall
 * back to the framebuffer, put the console multiplexer on top, mask every interrupt line of the
 * machine, and route the port's interrupt as NMI. Boot core, once. Never fails: a machine without
 * either runs blind, which the firmware's screen was told by the loader.
 */
void host_console_init(const struct boot_info *bi, const struct acpi_platform *acpi);

/* One line for the boot screen: what was found, e.g. "COM1 at port 0x3f8, GSI 4 as NMI". */
const char *host_console_text(void);

/* Is the serial port a PCI function, and which? */
bool host_console_pci(struct pci_bdf *out) must_check;

/* Is the framebuffer all there is? */
bool host_console_on_screen(void);

/*
 * Interrupt remapping has come on, and blocks what the serial port sent so far: send it through the
 * IOMMU. Boot core, before console_start().
 */
void host_console_remap(void);

/*
 * Send the edges of all lines of the IOAPICs that can be a PCI device's, GSI 16 and up without Lamina's
 * own, as NMIs to a core; again with another core: no edge is lost. Returns how many that are.
 */
unsigned host_route_pci_lines(uint32_t apic_id);
void host_mask_pci_lines(void);

#endif
