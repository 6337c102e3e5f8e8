/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vdev.h"

#include "core/console.h"
#include "core/guest.h"
#include "core/hypercall.h"
#include "core/vlapic.h"
#include "core/vpci_irq.h"
#include "core/vpm.h"
#include "x86/asm.h"

/* The UART's far end: the guest's console, or nothing if it has none. */
static void uart_put(void *ctx, uint8_t c)
{
	struct guest *g = ctx;

	if (g->config->console)
		console_guest_write(g->index, c);
}

static bool uart_room(void *ctx)
{
	struct guest *g = ctx;

	return !g->config->console || console_guest_room(g->index);
}

static int uart_get(void *ctx)
{
	struct guest *g = ctx;

	return g->config->console ? console_guest_read(g->index) : -1;
}

static void uart_irq(void *ctx, bool active)
{
	struct guest *g = ctx;

	vioapic_set_line(&g->ioapic, VUART_IRQ, active);
}

static const struct vuart_ops uart_ops = {
	.put = uart_put,
	.room = uart_room,
	.get = uart_get,
	.irq = uart_irq,
};

static void ioapic_deliver(void *ctx, uint8_t dest, bool logical, enum apic_delivery mode,
			   uint8_t vector)
{
	vlapic_deliver(ctx, dest, logical, mode, vector);
}

static void ioapic_resample(void *ctx, unsigned pin)
{
	vpci_intx_resample(ctx, pin);
}

static const struct vioapic_ops ioapic_ops = {
	.deliver = ioapic_deliver,
	.resample = ioapic_resample,
};

static enum status add_ports(struct guest *g)
{
	const struct {
		uint16_t base, size;
		const char *name;
		const struct io_ops *ops;
		void *dev;
	} ports[] = {
		{ VUART_PORT, VUART_PORTS, "uart", &vuart_io_ops, &g->uart },
		{ VRTC_PORT, VRTC_PORTS, "rtc", &vrtc_io_ops, &g->rtc },
		{ VPM_SLEEP_CONTROL, 2, "sleep", &vpm_sleep_ops, g },
		{ VPM_RESET_PORT, 1, "reset", &vpm_reset_ops, g },
		{ VPM_KBC_COMMAND, 1, "kbc-reset", &vpm_kbc_ops, g },
		{ VPM_PORT_61, 1, "port-61", &vpm_quiet_ops, g },
		{ VPM_POST, 1, "post", &vpm_quiet_ops, g },
		{ HYPERCALL_PORT, 4, "backdoor", &hypercall_port_ops, g },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		enum status s = io_add_ports(&g->io, ports[i].base, ports[i].size, ports[i].name,
					     ports[i].ops, ports[i].dev);

		if (s != OK)
			return s;
	}
	return OK;
}

enum status vdev_create(struct guest *g, const struct vrtc_clock *clock)
{
	enum status s;

	vioapic_init(&g->ioapic, &ioapic_ops, g);
	vuart_init(&g->uart, &uart_ops, g);
	vrtc_init(&g->rtc, clock, rdtsc);
	s = add_ports(g);
	if (s != OK)
		return s;
	return io_add_mmio(&g->io, GPA(VIOAPIC_GPA), VIOAPIC_SIZE, "ioapic", &vioapic_io_ops,
			   &g->ioapic);
}

void vdev_reset(struct guest *g)
{
	/* The IOAPIC first: its pins are masked then, so the UART's line changes reach nobody. */
	vioapic_reset(&g->ioapic);
	g->trap_eoi = false;
	vuart_reset(&g->uart);
}
