/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_UART_IRQ_H
#define LAMINA_DRIVERS_UART_IRQ_H

#include "drivers/ioapic.h"
#include "drivers/uart16550.h"
#include "types.h"

/*
 * Finding the interrupt line of a UART of which nothing says it: a PCI card without MSI, whose
 * wiring only AML knows, or a port that is set by hand. Each line in turn is routed as NMI to the
 * calling core, and the UART is made to interrupt.
 */
struct uart_irq_probe {
	uint32_t apic_id;            /* of the calling core */
	bool active_low;             /* PCI lines are, ISA lines are not */
	uint32_t first;              /* lowest GSI to try: 16 and up are PCI's */
	uint32_t last;               /* highest one */
	bool (*take_nmi)(void *ctx); /* whether an NMI has come since the last call */
	void (*wait)(void *ctx);     /* until an NMI is there, at most some microseconds */
	void *ctx;
};

/*
 * Does an interrupt of the UART arrive as NMI the way it is routed now? Firmware errs about lines
 * and polarities, and a console without interrupt is no console. Quick if it does. The UART's
 * interrupts have to be off before, and are afterwards.
 */
must_check bool uart_irq_arrives(struct uart16550 *u, const struct uart_irq_probe *p);

/*
 * The UART's interrupts have to be off; they are off again afterwards, and every line that was
 * tried is masked. ERR_NOT_FOUND: no line follows the UART.
 */
must_check enum status uart_irq_find(struct uart16550 *u, struct ioapics *s,
				     const struct uart_irq_probe *p, uint32_t *gsi);

#endif
