/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/host_console.h"

#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "core/host_nmi.h"
#include "core/hyp_mem.h"
#include "core/passthrough.h"
#include "core/vpci_irq.h"
#include "drivers/fbcon.h"
#include "drivers/ioapic.h"
#include "drivers/pci.h"
#include "drivers/uart16550.h"
#include "drivers/uart_irq.h"
#include "log.h"
#include "panic.h"
#include "spinlock.h"
#include "x86/asm.h"
#include "x86/cpu.h"
#include "x86/tsc.h"

#define NO_GSI (~0u)

static struct {
	struct uart16550 uart;
	struct fbcon *fb;
	struct ioapics ioapics;
	struct pci_uart pci_uart;
	bool is_pci;        /* pci_uart is what it is ... */
	bool on_pci;        /* ... and sends MSIs */
	bool remapped;      /* through the IOMMU's entry ... */
	unsigned irq_index; /* ... with this number */
	uint32_t gsi;       /* NO_GSI: MSI, or polled */
	bool active_low;
	bool routed;
	struct spinlock ioapic_lock; /* inside the console's: one index for all registers */
	bool pci_routed;
	char text[96];
} host;

/* What a candidate is before it is probed. */
struct candidate {
	struct uart_io io;
	uint32_t baud, clock;
	uint32_t gsi;
	bool active_low;
	char name[40];
};

static int serial_rx(void *ctx)
{
	(void)ctx;
	return uart_rx(&host.uart);
}

static uint32_t serial_tx_room(void *ctx)
{
	(void)ctx;
	return uart_tx_room(&host.uart);
}

static void serial_tx(void *ctx, uint8_t c)
{
	(void)ctx;
	uart_tx(&host.uart, c);
}

static void serial_rx_enable(void *ctx, bool on)
{
	(void)ctx;
	uart_rx_enable(&host.uart, on);
}

static void serial_tx_irq(void *ctx, bool on)
{
	(void)ctx;
	uart_tx_irq(&host.uart, on);
}

static bool serial_irq_pending(void *ctx)
{
	(void)ctx;
	return uart_irq_pending(&host.uart);
}

static void serial_rearm(void *ctx)
{
	(void)ctx;
	uart_rearm(&host.uart);
}

static enum status send_msi_to(uint32_t apic_id)
{
	const struct pci_access *pci = host_pci(host.pci_uart.bdf.segment);
	const struct iommu_irq irq = { .apic_id = apic_id, .nmi = true };
	struct iommu_msi msi = { PCI_MSI_NMI_ADDRESS(apic_id), PCI_MSI_NMI_DATA };
	enum status s = apic_id > 254 ? ERR_RANGE : OK;

	if (host.remapped)
		s = iommu_irq_set(host.pci_uart.bdf, host.irq_index, &irq, &msi);
	if (s != OK)
		return s;
	return pci_msi_on(pci, host.pci_uart.bdf, msi.address, (uint16_t)msi.data);
}

static bool serial_set_target(void *ctx, uint32_t apic_id)
{
	enum status s = ERR_UNSUPPORTED;

	(void)ctx;
	spin_lock(&host.ioapic_lock);
	if (host.on_pci)
		s = send_msi_to(apic_id);
	else if (host.routed)
		s = ioapic_retarget(&host.ioapics, host.gsi, apic_id);
	else if (host.gsi != NO_GSI)
		s = ioapic_route_nmi(&host.ioapics, host.gsi, host.active_low, apic_id);
	host.routed |= s == OK;
	spin_unlock(&host.ioapic_lock);
	return s == OK;
}

static void serial_panic_putc(void *ctx, uint8_t c)
{
	(void)ctx;
	uart_emergency_putc(&host.uart, c);
}

static const struct console_ops serial_ops = {
	.rx = serial_rx,
	.tx_room = serial_tx_room,
	.tx = serial_tx,
	.rx_enable = serial_rx_enable,
	.tx_irq = serial_tx_irq,
	.irq_pending = serial_irq_pending,
	.rearm = serial_rearm,
	.set_target = serial_set_target,
	.panic_putc = serial_panic_putc,
};

static uint32_t screen_tx_room(void *ctx)
{
	(void)ctx;
	return 4096;
}

static void screen_tx(void *ctx, uint8_t c)
{
	(void)ctx;
	if (host.fb)
		fbcon_putc(host.fb, c);
}

static void screen_flush(void *ctx)
{
	(void)ctx;
	if (host.fb)
		fbcon_flush(host.fb);
}

static void screen_panic_putc(void *ctx, uint8_t c)
{
	screen_tx(ctx, c);
	if (c == '\n')
		screen_flush(ctx);
}

static const struct console_ops screen_ops = {
	.tx_room = screen_tx_room,
	.tx = screen_tx,
	.flush = screen_flush,
	.panic_putc = screen_panic_putc,
};

/* Mask the two 8259s: no guest has one, and their ExtINT would reach whoever unmasks LINT0. */
static void mask_pics(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

static void init_ioapics(const struct acpi_madt *madt)
{
	for (uint32_t i = 0; i < madt->ioapic_count; i++) {
		const struct acpi_ioapic *io = &madt->ioapics[i];
		void *regs = hyp_mem_map(io->base, IOAPIC_MMIO_BYTES, ACCESS_RW, MEM_UC);

		if (!regs || ioapic_add(&host.ioapics, regs, io->id, io->gsi_base) != OK)
			log_warn("IOAPIC at %#llx does not answer; its lines stay unused",
				 (unsigned long long)io->base.v);
	}
}

static void set_isa_irq(struct candidate *c, const struct acpi_madt *madt, uint8_t irq)
{
	c->gsi = madt->isa[irq].gsi;
	c->active_low = madt->isa[irq].active_low;
}

static void from_port(struct candidate *c, const struct acpi_madt *madt, uint16_t port)
{
	uart_io_port(&c->io, port);
	snprintf(c->name, sizeof(c->name), "serial port %#x", port);
	/* IBM PC: COM1 and COM3 use IRQ 4, COM2 and COM4 use IRQ 3. */
	if (port == 0x3f8 || port == 0x3e8)
		set_isa_irq(c, madt, 4);
	else if (port == 0x2f8 || port == 0x2e8)
		set_isa_irq(c, madt, 3);
}

static bool from_spcr(struct candidate *c, const struct acpi_platform *acpi)
{
	const struct acpi_spcr *s = &acpi->spcr;
	uint8_t width = s->base.access >= 1 && s->base.access <= 3
				? (uint8_t)(1u << (s->base.access - 1))
				: (uint8_t)(s->base.width / 8);

	if (!acpi->has_spcr || !s->is_16550 || !s->base.address)
		return false;
	if (s->base.space == ACPI_SPACE_IO) {
		from_port(c, &acpi->madt, (uint16_t)s->base.address);
	} else if (s->base.space == ACPI_SPACE_MEMORY) {
		/* Registers are as far apart as they are wide (SPCR, Base Address). */
		uint8_t shift = s->base.width == 32 ? 2 : s->base.width == 16 ? 1 : 0;
		void *regs = hyp_mem_map(HPA(s->base.address), 8u << shift, ACCESS_RW, MEM_UC);

		if (!regs)
			return false;
		uart_io_mmio(&c->io, regs, shift, width == 2 || width == 4 ? width : 1);
		snprintf(c->name, sizeof(c->name), "SPCR's UART at %#llx",
			 (unsigned long long)s->base.address);
	} else {
		return false;
	}
	if (s->has_gsi)
		c->gsi = s->gsi;
	else if (s->has_irq && s->irq < ACPI_ISA_IRQS)
		set_isa_irq(c, &acpi->madt, s->irq);
	/* The firmware has set the divisor for the board's own clock: keep it. */
	c->baud = 0;
	return true;
}

static bool from_pci(struct candidate *c)
{
	struct pci_uart *u = &host.pci_uart;

	if (!host_pci(0) || pci_find_uart(host_pci(0), u) != OK)
		return false;
	if (u->bar.io) {
		uart_io_port(&c->io, (uint16_t)u->bar.base);
	} else {
		void *regs = hyp_mem_map(HPA(u->bar.base), 8, ACCESS_RW, MEM_UC);

		if (!regs)
			return false;
		uart_io_mmio(&c->io, regs, 0, 1);
	}
	host.on_pci = u->msi;
	host.is_pci = true;
	snprintf(c->name, sizeof(c->name), "PCI UART %02x:%02x.%u [%04x:%04x]", u->bdf.bus,
		 u->bdf.device, u->bdf.function, u->vendor, u->device);
	return true;
}

static bool take_nmi(void *ctx)
{
	(void)ctx;
	return cpu_take_nmi(this_cpu());
}

static void wait_for_nmi(void *ctx)
{
	(void)ctx;
	for (uint32_t us = 0; us < 20 && !this_cpu()->nmi_pending; us++)
		delay_us(1);
}

static bool arrives(struct uart_irq_probe *p, bool active_low)
{
	host.active_low = active_low;
	return ioapic_route_nmi(&host.ioapics, host.gsi, active_low, p->apic_id) == OK &&
	       uart_irq_arrives(&host.uart, p);
}

static bool find_line(struct uart_irq_probe *p, uint32_t first, uint32_t last, bool active_low)
{
	host.active_low = p->active_low = active_low;
	p->first = first;
	p->last = last;
	return uart_irq_find(&host.uart, &host.ioapics, p, &host.gsi) == OK;
}

/*
 * Believe what the tables say about the UART's interrupt only if one arrives, and look for it where
 * nothing is said: without interrupts, nobody hears what is typed.
 */
static void find_interrupt(void)
{
	struct uart_irq_probe p = { .apic_id = this_cpu()->apic_id,
				    .take_nmi = take_nmi,
				    .wait = wait_for_nmi };
	bool low = host.active_low;

	if (host.on_pci) {
		if (send_msi_to(p.apic_id) == OK && uart_irq_arrives(&host.uart, &p))
			return;
		pci_msi_off(host_pci(host.pci_uart.bdf.segment), host.pci_uart.bdf);
		host.on_pci = false;
	}
	if (host.gsi != NO_GSI) {
		if (arrives(&p, low) || arrives(&p, !low))
			return;
		ioapic_mask(&host.ioapics, host.gsi);
	}
	/* PCI's lines, then ISA's without those of the timer, the cascade and the clock. */
	if (find_line(&p, ACPI_ISA_IRQS, 255, true) || find_line(&p, 3, 7, false) ||
	    find_line(&p, 9, 15, false))
		return;
	host.gsi = NO_GSI;
}

static bool accept(const struct candidate *c)
{
	enum status s = uart_init(&host.uart, &c->io, c->baud, c->clock);

	if (s == ERR_NOT_FOUND)
		return false;
	if (s == ERR_RANGE)
		log_warn("%s: %u baud is not possible, keeping the firmware's rate", c->name,
			 c->baud);
	host.gsi = c->gsi;
	host.active_low = c->active_low;
	find_interrupt();
	if (host.on_pci)
		snprintf(host.text, sizeof(host.text), "%s, MSI as NMI", c->name);
	else if (host.gsi != NO_GSI)
		snprintf(host.text, sizeof(host.text), "%s, GSI %u as NMI", c->name, host.gsi);
	else
		snprintf(host.text, sizeof(host.text), "%s, no interrupt: read at exits only",
			 c->name);
	return true;
}

static bool find_serial(const struct boot_info *bi, const struct acpi_platform *acpi)
{
	const struct candidate empty = { .baud = bi->config.baud, .gsi = NO_GSI };
	struct candidate c = empty;

	if (bi->config.serial_set) {
		from_port(&c, &acpi->madt, bi->config.serial_port);
		return bi->config.serial_port && accept(&c);
	}
	if (from_spcr(&c, acpi) && accept(&c))
		return true;
	c = empty;
	from_port(&c, &acpi->madt, 0x3f8);
	if (accept(&c))
		return true;
	c = empty;
	return from_pci(&c) && accept(&c);
}

static void init_screen(const struct boot_framebuffer *fb)
{
	const struct fbcon_mode mode = { .width = fb->width,
					 .height = fb->height,
					 .pitch = fb->pitch,
					 .red_shift = fb->red_shift,
					 .green_shift = fb->green_shift,
					 .blue_shift = fb->blue_shift };
	void *pixels;

	snprintf(host.text, sizeof(host.text), "none");
	if (!fb->size)
		return;
	host.fb = page_alloc(&hyp_budget, (sizeof(*host.fb) + PAGE_SIZE - 1) / PAGE_SIZE);
	pixels = hyp_mem_map(fb->base, fb->size, ACCESS_RW, MEM_WC);
	if (!host.fb || !pixels || fbcon_init(host.fb, pixels, &mode) != OK) {
		host.fb = NULL;
		return;
	}
	snprintf(host.text, sizeof(host.text), "screen, %ux%u (no serial port)", fb->width,
		 fb->height);
}

void host_console_init(const struct boot_info *bi, const struct acpi_platform *acpi)
{
	void *line = page_alloc(&hyp_budget, CONSOLE_LINE_BYTES / PAGE_SIZE);
	bool serial;

	host.gsi = NO_GSI;
	mask_pics();
	host_pci_init(&acpi->mcfg);
	init_ioapics(&acpi->madt);
	serial = find_serial(bi, acpi);
	if (!serial)
		init_screen(&bi->fb);
	ASSERT(line);
	/* Nobody can switch between the guests on a screen without a keyboard: show them all. */
	console_init(serial ? &serial_ops : &screen_ops, NULL, line, bi->config.escape,
		     serial ? bi->config.console : CONSOLE_ALL);
	console_set_patient(bi->config.log_level >= LOG_DEBUG);
}

bool host_console_pci(struct pci_bdf *out)
{
	*out = host.pci_uart.bdf;
	return host.is_pci;
}

bool host_console_on_screen(void)
{
	return host.fb;
}

void host_console_remap(void)
{
	struct uart_irq_probe p = { .apic_id = this_cpu()->apic_id,
				    .take_nmi = take_nmi,
				    .wait = wait_for_nmi };
	bool works = false;

	host.ioapics.remap = iommu_ioapic_nmi;
	if (host.on_pci) {
		host.remapped = iommu_irq_alloc(host.pci_uart.bdf, 1, &host.irq_index) == OK;
		works = host.remapped && send_msi_to(p.apic_id) == OK &&
			uart_irq_arrives(&host.uart, &p);
	} else if (host.gsi != NO_GSI) {
		works = arrives(&p, host.active_low);
	} else {
		return;
	}
	if (works)
		return;
	log_warn("console: its interrupt does not pass the IOMMU; read at exits only");
	if (host.gsi != NO_GSI)
		ioapic_mask(&host.ioapics, host.gsi);
	host.on_pci = false;
	host.gsi = NO_GSI;
}

const char *host_console_text(void)
{
	return host.text;
}

/* ISA's lines come first; PCI's are active low (PCI 3.0, 2.2.6). */
static bool is_pci_line(uint32_t gsi)
{
	return gsi >= ACPI_ISA_IRQS && gsi != host.gsi;
}

unsigned host_route_pci_lines(uint32_t apic_id)
{
	struct ioapics *s = &host.ioapics;
	unsigned count = 0;

	spin_lock(&host.ioapic_lock);
	for (uint32_t i = 0; i < s->count; i++) {
		for (uint32_t pin = 0; pin < s->unit[i].lines; pin++) {
			uint32_t gsi = s->unit[i].gsi_base + pin;

			if (is_pci_line(gsi) &&
			    (host.pci_routed ? ioapic_retarget(s, gsi, apic_id)
					     : ioapic_route_nmi(s, gsi, true, apic_id)) == OK)
				count++;
		}
	}
	host.pci_routed = true;
	spin_unlock(&host.ioapic_lock);
	return count;
}

void host_mask_pci_lines(void)
{
	struct ioapics *s = &host.ioapics;

	spin_lock(&host.ioapic_lock);
	for (uint32_t i = 0; i < s->count; i++) {
		for (uint32_t pin = 0; pin < s->unit[i].lines; pin++) {
			if (is_pci_line(s->unit[i].gsi_base + pin))
				ioapic_mask(s, s->unit[i].gsi_base + pin);
		}
	}
	host.pci_routed = false;
	spin_unlock(&host.ioapic_lock);
}

void host_nmi_work(void)
{
	/* Port 61h bits 7 and 6: memory or bus error, which only ever means broken hardware. */
	uint8_t reason = inb(0x61);
	static uint32_t reported;

	if ((reason & 0xc0) && reason != 0xff &&
	    !__atomic_exchange_n(&reported, 1, __ATOMIC_RELAXED))
		log_error("hardware NMI: %s%s(port 61h is %#x)", reason & 0x80 ? "memory " : "",
			  reason & 0x40 ? "I/O channel " : "", reason);
	vpci_intx_poll();
	console_poll();
	iommu_faults_poll();
}
