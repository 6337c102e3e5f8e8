/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_IOAPIC_H
#define LAMINA_DRIVERS_IOAPIC_H

#include "types.h"

/*
 * The physical IOAPICs (82093AA and successors). Guests never see them: at start every line is
 * masked, then only lines of the hypervisor's own devices are routed, as NMI. Not locked: the boot
 * core sets up, afterwards the console's lock covers ioapic_retarget().
 */
#define IOAPIC_MAX        16
#define IOAPIC_MMIO_BYTES 0x20 /* index and data register */

struct ioapic {
	volatile uint32_t *regs; /* mapped uncached by the caller */
	uint32_t id;             /* in the MADT and in the IOMMUs' tables */
	uint32_t gsi_base;
	uint32_t lines; /* read from the hardware */
};

struct ioapics {
	uint32_t count;
	struct ioapic unit[IOAPIC_MAX];
	/* Register access; ioapic_add() sets the real ones if these are NULL. */
	uint32_t (*read)(const struct ioapic *io, uint32_t reg);
	void (*write)(const struct ioapic *io, uint32_t reg, uint32_t v);
	/*
	 * With interrupt remapping: what makes a pin send NMIs to a core, less polarity and mask
	 * (iommu_ioapic_nmi()). NULL: the entry itself names the core.
	 */
	enum status (*remap)(uint32_t id, unsigned pin, uint32_t apic_id, uint64_t *rte);
};

/*
 * Add one IOAPIC and mask all its lines. ERR_NOT_FOUND: nothing answers there; ERR_NOMEM: too
 * many; ERR_OVERLAP: its interrupts collide with another one's.
 */
must_check enum status ioapic_add(struct ioapics *s, volatile void *regs, uint32_t id,
				  uint32_t gsi_base);

/*
 * Deliver the line as NMI to one core. Always edge triggered: the hardware demands it for NMI. 
 * ERR_NOT_FOUND: no IOAPIC has this GSI, or interrupt remapping does not know the IOAPIC; ERR_RANGE:
 * an APIC id above 254 does not fit without interrupt remapping.
 */
must_check enum status ioapic_route_nmi(struct ioapics *s, uint32_t gsi, bool active_low,
					uint32_t apic_id);

/* Send a routed line to another core; loses no edge. Errors as above. */
must_check enum status ioapic_retarget(struct ioapics *s, uint32_t gsi, uint32_t apic_id);

/* Mask one line. */
void ioapic_mask(struct ioapics *s, uint32_t gsi);

#endif
