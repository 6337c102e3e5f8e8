/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/pci.h"

#include <stdio.h>
#include <string.h>

#define STATUS_CAPABILITES BIT(4)
#define HEADER_TYPE        0x7f
#define HEADER_BRIDGE      1
#define ROM_ADDRESS        0xfffff800u
#define CLASS_UART         0x0700
#define UART_16550         2 /* lowest interface that has FIFOs; 3..6 are its successors */
#define UART_16950         6
#define CAP_MAX            48  /* as many as fit into 192 bytes */
#define EXTENDED_MAX       480 /* the same for 3840 bytes and 8 each */
#define POWER_CONTROL      4
#define POWER_STATE        3
#define MSI_CONTROL        2
#define MSI_ENABLE         BIT(0)
#define MSI_COUNT          BITS(6, 4)
#define MSI_64BIT          BIT(7)

/* SDM vol. 3, 11.11: physical destination, edge, delivery mode NMI; the vector is ignored. */

uint32_t pci_read32(const struct pci_access *a, struct pci_bdf d, uint32_t reg)
{
	return a->read(a, d, reg & ~3u, 4);
}

uint16_t pci_read16(const struct pci_access *a, struct pci_bdf d, uint32_t reg)
{
	return (uint16_t)a->read(a, d, reg & ~1u, 2);
}

uint8_t pci_read8(const struct pci_access *a, struct pci_bdf d, uint32_t reg)
{
	return (uint8_t)a->read(a, d, reg, 1);
}

void pci_write32(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint32_t v)
{
	a->write(a, d, reg & ~3u, 4, v);
}

void pci_write16(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint16_t v)
{
	a->write(a, d, reg & ~1u, 2, v);
}

void pci_write8(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint8_t v)
{
	a->write(a, d, reg, 1, v);
}

void pci_bdf_text(struct pci_bdf d, char text[PCI_BDF_TEXT])
{
	/* Masks tell the compiler that it fits. */
	if (d.segment)
		snprintf(text, PCI_BDF_TEXT, "%04x:%02x:%02x.%x", d.segment, d.bus, d.device & 31u,
			 d.function & 7u);
	else
		snprintf(text, PCI_BDF_TEXT, "%02x:%02x.%x", d.bus, d.device & 31u,
			 d.function & 7u);
}

static bool function_exists(const struct pci_access *a, struct pci_bdf d)
{
	uint16_t vendor = pci_read16(a, d, PCI_ID);

	return vendor != 0xffff && vendor != 0;
}

/* Buses still to visit and those seen, so that a bridge that points back ends nothing. */
struct bus_set {
	uint64_t todo[4], seen[4];
};

static void add_bus(struct bus_set *s, uint8_t bus)
{
	if (s->seen[bus / 64] & BIT(bus % 64))
		return;
	s->seen[bus / 64] |= BIT(bus % 64);
	s->todo[bus / 64] |= BIT(bus % 64);
}

static int take_bus(struct bus_set *s)
{
	uint32_t i;

	for (i = 0; i < 256; i++) {
		if (!(s->todo[i / 64] & BIT(i % 64)))
			continue;
		s->todo[i / 64] &= ~BIT(i % 64);
		return (int)i;
	}
	return -1;
}

static bool walk_device(const struct pci_access *a, struct bus_set *s, struct pci_bdf d,
			bool (*visit)(void *ctx, struct pci_bdf d), void *ctx)
{
	uint32_t function, functions = 1;

	for (function = 0; function < functions; function++) {
		uint8_t type;

		d.function = (uint8_t)function;
		if (!function_exists(a, d)) {
			if (function == 0)
				return true;
			continue;
		}
		type = pci_read8(a, d, PCI_HEADER_TYPE);
		if (function == 0 && type & PCI_MULTIFUNCTION)
			functions = 8;
		if ((type & HEADER_TYPE) == HEADER_BRIDGE) {
			uint8_t bus = pci_read8(a, d, PCI_SECONDARY);

			if (bus > a->first_bus && bus <= a->last_bus)
				add_bus(s, bus);
		}
		if (!visit(ctx, d))
			return false;
	}
	return true;
}

void pci_walk(const struct pci_access *a, bool (*visit)(void *ctx, struct pci_bdf d), void *ctx)
{
	struct bus_set s = { 0 };
	struct pci_bdf d = { .segment = a->segment };
	int bus;

	add_bus(&s, a->first_bus);
	while ((bus = take_bus(&s)) >= 0) {
		d.bus = (uint8_t)bus;
		for (d.device = 0; d.device < 32; d.device++) {
			if (!walk_device(a, &s, d, visit, ctx))
				return;
		}
	}
}

/* Write ones and see which bits stick (3.0, 6.2.5.1). */
static uint32_t size_bar(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint32_t value,
			 uint32_t ones)
{
	uint32_t mask;

	pci_write32(a, d, reg, ones);
	mask = pci_read32(a, d, reg);
	pci_write32(a, d, reg, value);
	return mask & ones;
}

/* The size is the lowest address bit that sticks. */
static void read_bar(const struct pci_access *a, struct pci_bdf d, uint32_t index,
		     struct pci_bar *out)
{
	uint32_t reg = index == PCI_ROM ? PCI_ROM_BAR : PCI_BAR0 + 4 * index;
	uint32_t low = pci_read32(a, d, reg), high, ones = ~0xfu;
	uint64_t mask;

	if (index == PCI_ROM) {
		ones = ROM_ADDRESS;
	} else if (low & 1) {
		out->io = true;
		ones = ~3u;
	} else {
		out->wide = (low & 6) == 4 && index < 5;
		out->prefetchable = low & BIT(3);
	}
	out->base = low & ones;
	mask = size_bar(a, d, reg, low, index == PCI_ROM ? ones : ~0u) & ones;
	if (out->wide) {
		high = pci_read32(a, d, reg + 4);
		out->base |= (uint64_t)high << 32;
		mask |= (uint64_t)size_bar(a, d, reg + 4, high, ~0u) << 32;
	}
	/* The upper half is hard-wired to zero where ports have 16 bits. */
	if (out->io)
		out->base &= 0xffff;
	out->size = mask & -mask;
}

/* Decoding off; what to write to have it as it was. */
static uint16_t stop_decoding(const struct pci_access *a, struct pci_bdf d)
{
	uint16_t command = pci_read16(a, d, PCI_COMMAND);
	const uint16_t decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;

	if (command & decode)
		pci_write16(a, d, PCI_COMMAND, command & (uint16_t)~decode);
	return command;
}

bool pci_read_bar(const struct pci_access *a, struct pci_bdf d, uint32_t index, struct pci_bar *out)
{
	uint16_t command;

	memset(out, 0, sizeof(*out));
	if (index > PCI_ROM)
		return false;
	command = stop_decoding(a, d);
	read_bar(a, d, index, out);
	pci_write16(a, d, PCI_COMMAND, command);
	return out->size != 0;
}

void pci_read_bars(const struct pci_access *a, struct pci_bdf d, struct pci_bar out[PCI_BARS + 1])
{
	uint16_t command = stop_decoding(a, d);
	uint32_t i;

	memset(out, 0, (PCI_BARS + 1) * sizeof(*out));
	for (i = 0; i <= PCI_ROM; i++) {
		read_bar(a, d, i, &out[i]);
		i += out[i].wide;
	}
	pci_write16(a, d, PCI_COMMAND, command);
}

uint8_t pci_find_capability(const struct pci_access *a, struct pci_bdf d, uint8_t id)
{
	uint32_t i;
	uint8_t at;

	if (!(pci_read16(a, d, PCI_STATUS) & STATUS_CAPABILITES))
		return 0;
	at = pci_read8(a, d, PCI_CAPABILITIES) & 0xfc;
	for (i = 0; i < CAP_MAX && at >= 0x40; i++) {
		if (pci_read8(a, d, at) == id)
			return at;
		at = pci_read8(a, d, at + 1u) & 0xfc;
	}
	return 0;
}

uint16_t pci_find_extended(const struct pci_access *a, struct pci_bdf d, uint16_t id)
{
	uint32_t i, header, at = 0x100;

	if (!a->extended)
		return 0;
	for (i = 0; i < EXTENDED_MAX && at >= 0x100; i++) {
		header = pci_read32(a, d, at);
		if (!header || header == ~0u)
			return 0;
		if ((uint16_t)header == id)
			return (uint16_t)at;
		at = header >> 20 & 0xffc;
	}
	return 0;
}

enum status pci_msi_on(const struct pci_access *a, struct pci_bdf d, uint64_t address,
		       uint16_t data)
{
	uint8_t cap = pci_find_capability(a, d, PCI_CAP_MSI);
	uint16_t control, command;
	uint32_t data_at;

	if (!cap)
		return ERR_UNSUPPORTED;
	control = pci_read16(a, d, cap + MSI_CONTROL);
	if (address >> 32 && !(control & MSI_64BIT))
		return ERR_UNSUPPORTED;
	data_at = cap + (control & MSI_64BIT ? 12u : 8u);
	if (control & MSI_ENABLE && pci_read16(a, d, data_at) == data) {
		/* One dword changes: a message goes to the old core or to the new one. */
		pci_write32(a, d, cap + 4u, (uint32_t)address);
		return OK;
	}
	control &= (uint16_t) ~(MSI_ENABLE | MSI_COUNT);
	pci_write16(a, d, cap + MSI_CONTROL, control);
	pci_write32(a, d, cap + 4u, (uint32_t)address);
	if (control & MSI_64BIT)
		pci_write32(a, d, cap + 8u, (uint32_t)(address >> 32));
	pci_write16(a, d, data_at, data);
	/* A message is a memory write of the device: it has to be a bus master. */
	command = pci_read16(a, d, PCI_COMMAND);
	pci_write16(a, d, PCI_COMMAND,
		    command | (uint16_t)(PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX));
	pci_write16(a, d, cap + MSI_CONTROL, control | (uint16_t)MSI_ENABLE);
	return OK;
}

void pci_msi_off(const struct pci_access *a, struct pci_bdf d)
{
	uint8_t cap = pci_find_capability(a, d, PCI_CAP_MSI);
	uint16_t control, command;

	if (!cap)
		return;
	control = pci_read16(a, d, cap + MSI_CONTROL);
	pci_write16(a, d, cap + MSI_CONTROL, control & (uint16_t)~MSI_ENABLE);
	command = pci_read16(a, d, PCI_COMMAND);
	pci_write16(a, d, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_NO_INTX);
}

struct uart_search {
	const struct pci_access *a;
	struct pci_uart *out;
	bool found;
};

static bool visit_uart(void *ctx, struct pci_bdf d)
{
	struct uart_search *s = ctx;
	uint32_t class = pci_read32(s->a, d, PCI_CLASS);
	uint8_t interface = (uint8_t)(class >> 8);

	if (class >> 16 != CLASS_UART || interface < UART_16550 || interface > UART_16950)
		return true;
	if (!pci_read_bar(s->a, d, 0, &s->out->bar) || !s->out->bar.base || s->out->bar.size < 8)
		return true;
	s->out->bdf = d;
	s->found = true;
	return false;
}

enum status pci_find_uart(const struct pci_access *a, struct pci_uart *out)
{
	struct uart_search s = { .a = a, .out = out };
	uint16_t command;
	uint8_t power;

	memset(out, 0, sizeof(*out));
	pci_walk(a, visit_uart, &s);
	if (!s.found) {
		memset(out, 0, sizeof(*out));
		return ERR_NOT_FOUND;
	}
	power = pci_find_capability(a, out->bdf, PCI_CAP_PM);
	if (power) {
		uint32_t at = power + POWER_CONTROL;
		uint16_t state = pci_read16(a, out->bdf, at);

		if (state & POWER_STATE)
			pci_write16(a, out->bdf, at, state & (uint16_t)~POWER_STATE);
	}
	command = pci_read16(a, out->bdf, PCI_COMMAND);
	command |= (uint16_t)(out->bar.io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
	command &= (uint16_t)~PCI_COMMAND_NO_INTX;
	pci_write16(a, out->bdf, PCI_COMMAND, command);
	out->vendor = pci_read16(a, out->bdf, PCI_ID);
	out->device = pci_read16(a, out->bdf, PCI_ID + 2);
	out->msi = pci_find_capability(a, out->bdf, PCI_CAP_MSI) != 0;
	out->irq_line = pci_read8(a, out->bdf, PCI_INTERRUPT);
	return OK;
}
