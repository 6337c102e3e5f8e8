/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_GUEST_ACPI_H
#define LAMINA_CORE_GUEST_ACPI_H

#include "types.h"

/* Where the tables lie in a guest: the BIOS area, which E820 reports as reserved. */
#define GUEST_ACPI_BASE 0xe0000ull
#define GUEST_ACPI_SIZE 0x10000u

/* The PCI bus of a guest that has devices of its own. */
struct guest_acpi_pci {
	uint64_t ecam; /* of bus 0 */
	uint64_t mem64, mem64_size;
	const void *ssdt; /* as iasl made it; the window above is filled in */
	uint32_t ssdt_size;
};

struct guest_acpi_params {
	const uint32_t *apic_ids; /* of the guest's cores, boot processor first */
	uint32_t cpu_count;
	const void *dsdt; /* AML as iasl made it, header included */
	uint32_t dsdt_size;
	const struct guest_acpi_pci *pci; /* NULL: it has none */
};

/*
 * Build RSDP, XSDT, FADT, MADT and DSDT, and with a PCI bus MCFG and SSDT, into `buf`
 * (GUEST_ACPI_SIZE bytes, zeroed), as they look at GUEST_ACPI_BASE; the RSDP comes first. `used` gets
 * the number of bytes. ERR_RANGE if they don't fit; ERR_INVALID if the SSDT has no window to fill in. ACPI 6.5: hardware-reduced, so that no PIT, PIC or PM timer needs to be emulated.
 */
enum status must_check guest_acpi_build(void *buf, const struct guest_acpi_params *p,
					uint32_t *used);

#endif
