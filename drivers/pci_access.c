/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/pci.h"
#include "x86/asm.h"

#include <string.h>

/* The two ways to configuration space that PCs have. */
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  BIT(31)

/* PCI Local Bus Specification 3.0, 3.2.2.3.2. */
static bool port_select(struct pci_bdf d, uint32_t reg)
{
	if (d.segment != 0 || reg >= 256)
		return false;
	outl(CONFIG_ADDRESS, (uint32_t)CONFIG_ENABLE | (uint32_t)d.bus << 16 |
				     (uint32_t)(d.device & 31) << 11 |
				     (uint32_t)(d.function & 7) << 8 | (reg & 0xfcu));
	return true;
}

static uint32_t port_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg)
{
	(void)a;
	return port_select(d, reg) ? inl(CONFIG_DATA) : ~0u;
}

static void port_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint32_t v)
{
	(void)a;
	if (port_select(d, reg))
		outl(CONFIG_DATA, v);
}

/* PCI Express Base Specification 7.2.2. */
static volatile uint32_t *ecam_at(const struct pci_access *a, struct pci_bdf d, uint32_t reg)
{
	if (d.segment != a->segment || d.bus < a->first_bus || d.bus > a->last_bus || reg >= 4096)
		return NULL;
	return (volatile uint32_t *)(a->ecam + ((uint64_t)(d.bus - a->first_bus) << 20) +
				     ((uint32_t)(d.device & 31) << 15) +
				     ((uint32_t)(d.function & 7) << 12) + (reg & ~3u));
}

static uint32_t ecam_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg)
{
	volatile uint32_t *p = ecam_at(a, d, reg);

	return p ? *p : ~0u;
}

static void ecam_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint32_t v)
{
	volatile uint32_t *p = ecam_at(a, d, reg);

	if (p)
		*p = v;
}

void pci_access_ports(struct pci_access *a)
{
	memset(a, 0, sizeof(*a));
	a->read = port_read;
	a->write = port_write;
	a->last_bus = 255;
}

void pci_access_ecam(struct pci_access *a, volatile void *window, uint16_t segment,
		     uint8_t first_bus, uint8_t last_bus)
{
	memset(a, 0, sizeof(*a));
	a->read = ecam_read;
	a->write = ecam_write;
	a->ecam = window;
	a->segment = segment;
	a->first_bus = first_bus;
	a->last_bus = last_bus;
}
