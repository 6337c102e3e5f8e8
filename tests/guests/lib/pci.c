// SPDX-License-Identifier: BSD-2-Clause
#include "core/vpci_layout.h"
#include "guest.h"
#include "pci.h"

#define ADDRESS_PORT 0xcf8
#define DATA_PORT    0xcfc
#define ENABLE       BIT(31)

#define BAR_64      0x4
#define BAR_FLAGS   0xfu
#define MSG_ADDRESS 0xfee00000u

static uint16_t select_register(uint32_t bdf, unsigned offset)
{
	outl(ADDRESS_PORT, ENABLE | bdf << 8 | (offset & 0xfc));
	return (uint16_t)(DATA_PORT + (offset & 3));
}

uint32_t pci_read(uint32_t bdf, unsigned offset, unsigned size)
{
	uint16_t port = select_register(bdf, offset);

	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

void pci_write(uint32_t bdf, unsigned offset, unsigned size, uint32_t value)
{
	uint16_t port = select_register(bdf, offset);

	if (size == 1)
		outb(port, (uint8_t)value);
	else if (size == 2)
		outw(port, (uint16_t)value);
	else
		outl(port, value);
}

static volatile void *ecam(uint32_t bdf, unsigned offset)
{
	return (volatile void *)(option("ecam", VPCI_ECAM_GPA) + (bdf << 12) + offset);
}

uint32_t pci_ecam_read(uint32_t bdf, unsigned offset, unsigned size)
{
	volatile void *p = ecam(bdf, offset);

	return size == 1   ? *(volatile uint8_t *)p
	       : size == 2 ? *(volatile uint16_t *)p
			   : *(volatile uint32_t *)p;
}

void pci_ecam_write(uint32_t bdf, unsigned offset, unsigned size, uint32_t value)
{
	volatile void *p = ecam(bdf, offset);

	if (size == 1)
		*(volatile uint8_t *)p = (uint8_t)value;
	else if (size == 2)
		*(volatile uint16_t *)p = (uint16_t)value;
	else
		*(volatile uint32_t *)p = value;
}

static uint32_t find(unsigned offset, unsigned size, uint32_t wanted, unsigned nth)
{
	for (uint32_t bdf = 0; bdf < PCI_BUS_FUNCTIONS; bdf++) {
		if ((bdf & 7) && !(pci_read(bdf & ~7u, PCI_HEADER_TYPE, 1) & 0x80))
			continue;
		if (pci_read(bdf, offset, size) == wanted && !nth--)
			return bdf;
	}
	return PCI_NOWHERE;
}

uint32_t pci_find(uint32_t id, unsigned nth)
{
	return find(PCI_ID, 4, id, nth);
}

uint32_t pci_find_class(uint32_t class, unsigned nth)
{
	return find(PCI_CLASS + 2, 2, class, nth);
}

static bool is_64(uint32_t bdf, unsigned n)
{
	return (pci_read(bdf, PCI_BAR(n), 4) & 7) == BAR_64;
}

uint64_t pci_bar(uint32_t bdf, unsigned n)
{
	uint64_t low = pci_read(bdf, PCI_BAR(n), 4) & ~BAR_FLAGS;

	return is_64(bdf, n) ? low | (uint64_t)pci_read(bdf, PCI_BAR(n + 1), 4) << 32 : low;
}

void pci_set_bar(uint32_t bdf, unsigned n, uint64_t address)
{
	pci_write(bdf, PCI_BAR(n), 4, (uint32_t)address);
	if (is_64(bdf, n))
		pci_write(bdf, PCI_BAR(n + 1), 4, (uint32_t)(address >> 32));
}

uint64_t pci_bar_size(uint32_t bdf, unsigned n)
{
	uint32_t command = pci_read(bdf, PCI_COMMAND, 2);
	uint64_t before = pci_bar(bdf, n), mask;

	pci_write(bdf, PCI_COMMAND, 2, command & ~(uint32_t)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	pci_set_bar(bdf, n, ~0ull);
	mask = pci_bar(bdf, n) | (is_64(bdf, n) ? 0 : 0xffffffffull << 32);
	pci_set_bar(bdf, n, before);
	pci_write(bdf, PCI_COMMAND, 2, command);
	return mask & 0xffffffff ? ~mask + 1 : 0;
}

void pci_command(uint32_t bdf, uint16_t on, uint16_t off)
{
	pci_write(bdf, PCI_COMMAND, 2, (pci_read(bdf, PCI_COMMAND, 2) & ~(uint32_t)off) | on);
}

unsigned pci_capability(uint32_t bdf, uint8_t id)
{
	unsigned at, n = 0;

	if (!(pci_read(bdf, PCI_STATUS, 2) & 0x10))
		return 0;
	at = pci_read(bdf, PCI_CAPABILITIES, 1) & 0xfc;
	while (at && n++ < 48) {
		if (pci_read(bdf, at, 1) == id)
			return at;
		at = pci_read(bdf, at + 1, 1) & 0xfc;
	}
	return 0;
}

bool pci_msi_raw(uint32_t bdf, uint64_t address, uint16_t data)
{
	unsigned at = pci_capability(bdf, PCI_CAP_MSI);
	uint32_t control;

	if (!at)
		return false;
	control = pci_read(bdf, at + 2, 2);
	pci_write(bdf, at + 2, 2, control & ~1u);
	pci_write(bdf, at + 4, 4, (uint32_t)address);
	if (control & 0x80)
		pci_write(bdf, at + 8, 4, (uint32_t)(address >> 32));
	pci_write(bdf, at + (control & 0x80 ? 12 : 8), 2, data);
	pci_write(bdf, at + 2, 2, control | 1);
	return true;
}

bool pci_msi(uint32_t bdf, uint8_t vector, uint32_t apic)
{
	return pci_msi_raw(bdf, MSG_ADDRESS | apic << 12, vector);
}

volatile uint32_t *pci_msix_table(uint32_t bdf)
{
	unsigned at = pci_capability(bdf, PCI_CAP_MSIX);
	uint32_t where;

	if (!at)
		return NULL;
	where = pci_read(bdf, at + 4, 4);
	return (volatile uint32_t *)(pci_bar(bdf, where & 7) + (where & ~7u));
}

bool pci_msix(uint32_t bdf, unsigned n, uint8_t vector, uint32_t apic)
{
	unsigned at = pci_capability(bdf, PCI_CAP_MSIX);
	volatile uint32_t *entry = pci_msix_table(bdf);

	if (!at)
		return false;
	entry += 4 * n;
	entry[3] = 1;
	entry[0] = MSG_ADDRESS | apic << 12;
	entry[1] = 0;
	entry[2] = vector;
	entry[3] = 0;
	pci_write(bdf, at + 2, 2, (pci_read(bdf, at + 2, 2) | 0x8000) & ~0x4000u);
	return true;
}
