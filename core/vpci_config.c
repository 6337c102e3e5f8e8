/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration header of a device as its guest sees it (PCI Local Bus Specification 3.0, 6.1).
 * What is not named here reads as zero and ignores writes.
 */
#include "core/vpci_priv.h"

/* What the guest can set. Parity and SERR# stay what they are in the device. */
#define COMMAND_DECODE  (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)
#define COMMAND_PARITY  BIT(6)
#define COMMAND_SERR    BIT(8)
#define COMMAND_NO_INTX BIT(10)
#define COMMAND_WRITABLE \
	(COMMAND_DECODE | PCI_COMMAND_MASTER | COMMAND_PARITY | COMMAND_SERR | COMMAND_NO_INTX)

#define STATUS_CAPS   BIT(4)
#define STATUS_CLEARS 0xf9u /* of the upper byte: cleared by writing ones */

static uint32_t read_command(const struct vpci_device *d)
{
	uint32_t status = pci_read16(d->access, d->host->bdf, PCI_STATUS);

	status &= ~(uint32_t)STATUS_CAPS;
	if (d->cap_count)
		status |= STATUS_CAPS;
	return d->command | status << 16;
}

static uint32_t read_header(const struct vpci_device *d, uint32_t reg)
{
	const struct pci_function *f = d->host;

	switch (reg) {
	case PCI_ID:
		return f->vendor | (uint32_t)f->device << 16;
	case PCI_COMMAND:
		return read_command(d);
	case PCI_CLASS:
		return f->class << 8 | f->revision;
	case PCI_CACHE_LINE:
		/* Cache line size and latency timer; header type 0, one function, no self test. */
		return pci_read16(d->access, f->bdf, PCI_CACHE_LINE);
	case VPCI_REG_SUBSYSTEM:
		return pci_read32(d->access, f->bdf, VPCI_REG_SUBSYSTEM);
	case PCI_CAPABILITIES:
		return vpci_caps_first(d);
	case PCI_INTERRUPT:
		return d->line | (d->irqs.intx_line ? (uint32_t)f->pin << 8 : 0);
	default:
		return vpci_bar_read(d, reg);
	}
}

uint32_t vpci_config_read(struct vpci_device *d, uint32_t reg, uint8_t size)
{
	uint32_t dword = reg & ~3u, v = ~0u;

	if (d->life == VPCI_ALIVE)
		v = dword < VPCI_REG_FIRST_CAP ? read_header(d, dword) : vpci_caps_read(d, dword);
	return (v >> 8 * (reg & 3)) & (~0u >> (32 - 8 * size));
}

/* A BAR that the guest has not been given may be anywhere: over ports of others, too. */
static bool ports_are_given(const struct vpci_device *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (d->host->bars[i].io && d->host->bars[i].size && !d->bars[i].size)
			return false;
	}
	return true;
}

/*
 * What the lower byte of the real register is to be. The upper one is core/vpci_irq.h's, whose INTx
 * may come and go at any time.
 */
static uint8_t host_command(const struct vpci_device *d, uint8_t now)
{
	uint32_t v = now & ~(COMMAND_DECODE | PCI_COMMAND_MASTER);

	if (d->life != VPCI_ALIVE)
		return (uint8_t)v;
	v |= d->command & COMMAND_DECODE;
	if (!ports_are_given(d))
		v &= ~(uint32_t)PCI_COMMAND_IO;
	if (d->dma_allowed)
		v |= d->command & PCI_COMMAND_MASTER;
	return (uint8_t)v;
}

/* The ROM is decoded only while the guest wants it: it may share a decoder with other BARs. */
static void apply_rom(const struct vpci_device *d)
{
	bool on = vpci_decodes(d, PCI_ROM);
	uint32_t v;

	if (!d->bars[PCI_ROM].size)
		return;
	v = pci_read32(d->access, d->host->bdf, PCI_ROM_BAR);
	if ((v & 1) != on)
		pci_write32(d->access, d->host->bdf, PCI_ROM_BAR, (v & ~1u) | on);
}

void vpci_config_apply(struct vpci_device *d)
{
	uint8_t now = pci_read8(d->access, d->host->bdf, PCI_COMMAND);
	uint8_t next = host_command(d, now);

	/* Nobody reaches registers that are not decoded: on before they appear, off afterwards. */
	pci_write8(d->access, d->host->bdf, PCI_COMMAND, next | (now & COMMAND_DECODE));
	apply_rom(d);
	vpci_map(d->guest->vpci);
	if (now & ~next & COMMAND_DECODE)
		pci_write8(d->access, d->host->bdf, PCI_COMMAND, next);
}

static void write_command(struct vpci_device *d, struct vpci_write w)
{
	uint16_t old = d->command;
	uint8_t clear = (uint8_t)((w.value & w.mask) >> 24 & STATUS_CLEARS);

	d->command = (uint16_t)(vpci_merge(old, w) & COMMAND_WRITABLE);
	if (d->command != old) {
		vpci_config_apply(d);
		vpci_intx_command(&d->irqs, d->command);
	}
	if (clear)
		pci_write8(d->access, d->host->bdf, PCI_STATUS + 1, clear);
}

static void write_header(struct vpci_device *d, uint32_t reg, struct vpci_write w)
{
	switch (reg) {
	case PCI_COMMAND:
		write_command(d, w);
		break;
	case PCI_CACHE_LINE:
		if (w.mask & 0xff)
			pci_write8(d->access, d->host->bdf, PCI_CACHE_LINE, (uint8_t)w.value);
		break;
	case PCI_INTERRUPT:
		d->line = (uint8_t)vpci_merge(d->line, w);
		break;
	default:
		vpci_bar_write(d, reg, w);
		break;
	}
}

void vpci_config_write(struct vpci_device *d, uint32_t reg, uint8_t size, uint32_t value)
{
	uint32_t shift = 8 * (reg & 3);
	struct vpci_write w = { .value = value << shift,
				.mask = (~0u >> (32 - 8 * size)) << shift };

	if (d->life != VPCI_ALIVE)
		return;
	if (reg < VPCI_REG_FIRST_CAP)
		write_header(d, reg & ~3u, w);
	else
		vpci_caps_write(d, reg, size, value);
}

/* SERR# would be an NMI of the machine. */
static void keep_errors(const struct vpci_device *d)
{
	uint8_t high = pci_read8(d->access, d->host->bdf, PCI_COMMAND + 1);

	if (high & COMMAND_SERR >> 8)
		pci_write8(d->access, d->host->bdf, PCI_COMMAND + 1,
			   high & (uint8_t) ~(COMMAND_SERR >> 8));
}

void vpci_config_reset(struct vpci_device *d)
{
	keep_errors(d);
	d->command = 0;
	d->line = 0xff; /* unknown: the guest asks _PRT */
	d->power = 0;
	d->bars[PCI_ROM].enabled = false;
	vpci_caps_reset(d);
}
