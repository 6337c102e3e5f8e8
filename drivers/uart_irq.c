/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/uart_irq.h"

#define REPEATS 3 /* a line that moves by chance does not follow so often */

static bool nmi_after(const struct uart_irq_probe *p)
{
	p->wait(p->ctx);
	return p->take_nmi(p->ctx);
}

bool uart_irq_arrives(struct uart16550 *u, const struct uart_irq_probe *p)
{
	bool seen;

	(void)p->take_nmi(p->ctx);
	/* The transmitter is idle, so that its interrupt comes at once. */
	uart_tx_irq(u, true);
	seen = nmi_after(p);
	uart_tx_irq(u, false);
	(void)uart_irq_pending(u);
	return seen;
}

/* Does the routed line rise when the UART's interrupt does, and only then? */
static bool follows(struct uart16550 *u, const struct uart_irq_probe *p)
{
	uint32_t i;
	bool seen = true;

	(void)p->take_nmi(p->ctx);
	for (i = 0; i < REPEATS && seen; i++) {
		if (nmi_after(p))
			return false;
		seen = uart_irq_arrives(u, p);
		/* The end of the interrupt is no edge of the right direction. */
		if (seen && nmi_after(p))
			seen = false;
	}
	return seen;
}

enum status uart_irq_find(struct uart16550 *u, struct ioapics *s, const struct uart_irq_probe *p,
			  uint32_t *gsi)
{
	uint32_t line;

	for (line = p->first; line <= p->last; line++) {
		bool found;

		if (ioapic_route_nmi(s, line, p->active_low, p->apic_id) != OK)
			continue;
		found = follows(u, p);
		ioapic_mask(s, line);
		(void)p->take_nmi(p->ctx);
		if (found) {
			*gsi = line;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}
