/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VIOAPIC_H
#define LAMINA_CORE_VIOAPIC_H

#include "core/io.h"
#include "types.h"

/*
 * The guest's IOAPIC (Intel 82093AA with the EOI register of version 20h). Pure: messages leave
 * through vioapic_ops. The caller serializes (the guest's lock).
 *
 * Interrupts are sent as edges, so the guest's local APICs do not tell of their end. Edge interrupts
 * need no end. A level interrupt's remote IRR is cleared by the EOI register (which is what Linux uses,
 * as the vector arrives with TMR clear), by switching the entry to edge, or by core/vlapic.c, which
 * sees to the EOIs of guests that do not use that register (vioapic_needs_eoi()). Besides, a new
 * rising edge of the line is always delivered.
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
	bool has_ended;   /* the guest has used the EOI register */
	uint32_t unended; /* the pins whose remote IRR is set */
	uint64_t rte[VIOAPIC_PINS];
};

void vioapic_init(struct vioapic *io, const struct vioapic_ops *ops, void *ctx);
void vioapic_reset(struct vioapic *io); /* power-on state; the lines keep their level */

/* Set the level of an input; pins beyond the last are ignored. */
void vioapic_set_line(struct vioapic *io, unsigned pin, bool level);

/* A level interrupt has been sent, and the guest has not shown that it will use the EOI register. */
static inline bool vioapic_needs_eoi(const struct vioapic *io)
{
	return __atomic_load_n(&io->unended, __ATOMIC_RELAXED) && !io->has_ended;
}

/* The guest has sent an EOI for the vector to one of its local APICs. */
void vioapic_eoi(struct vioapic *io, uint8_t vector);

uint32_t vioapic_read(struct vioapic *io, uint32_t offset);
void vioapic_write(struct vioapic *io, uint32_t offset, uint32_t value);

extern const struct io_ops vioapic_io_ops; /* `dev` is the struct vioapic */

#endif
