/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VIOAPIC_H
#define LAMINA_CORE_VIOAPIC_H

#include "core/io.h"
#include "types.h"

/*
 * The guest's IOAPIC (Intel 82093AA with the EOI register of version 20h). Pure: messages leave
 * through vioapic_ops. The caller serializes (the guest's lock).
 *
 * The guest's EOIs go to the physical local APIC and are not seen here. Edge interrupts need none.
 * A level interrupt's remote IRR is cleared by the EOI register (which is what Linux uses, as the
 * vector arrives with TMR clear) or by switching the entry to edge; besides, a new rising edge
 * of the line is always delivered, so a guest that only sends EOIs does not lose interrupts of
 * devices that let their line go.
 */
#define VIOAPIC_GPA  0xfec00000ull
#define VIOAPIC_SIZE 0x1000
#define VIOAPIC_PINS 24

/* Delivery modes of redirection entries and of the local APIC's ICR (SDM vol. 3, 11.6.1). */
enum apic_delivery {
	APIC_DM_FIXED = 0,
	APIC_DM_LOWEST = 1,
	APIC_DM_SMI = 2,
	APIC_DM_NMI = 4,
	APIC_DM_INIT = 5,
	APIC_DM_STARTUP = 6,
	APIC_DM_EXTINT = 7,
};

struct vioapic_ops {
	void (*deliver)(void *ctx, uint8_t dest, bool logical, enum apic_delivery mode,
			uint8_t vector);
	/*
	 * The input is looked at again, because its entry was written and is not masked, or because its
	 * interrupt has ended: may set its level. May be NULL.
	 */
	void (*resample)(void *ctx, unsigned pin);
};

struct vioapic {
	const struct vioapic_ops *ops;
	void *ctx;
	uint32_t id;      /* as written to bits 27:24 */
	uint8_t select;   /* IOREGSEL */
	uint32_t lines;   /* input level, one bit per pin */
	uint32_t latched; /* edges that came while the pin was masked */
	uint64_t rte[VIOAPIC_PINS];
};

void vioapic_init(struct vioapic *io, const struct vioapic_ops *ops, void *ctx);
void vioapic_reset(struct vioapic *io); /* power-on state; the lines keep their level */

/* Set the level of an input; pins beyond the last are ignored. */
void vioapic_set_line(struct vioapic *io, unsigned pin, bool level);

uint32_t vioapic_read(struct vioapic *io, uint32_t offset);
void vioapic_write(struct vioapic *io, uint32_t offset, uint32_t value);

extern const struct io_ops vioapic_io_ops; /* `dev` is the struct vioapic */

#endif
