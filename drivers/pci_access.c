/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/pci.h"
#include "spinlock.h"
#include "x86/asm.h"

#include <string.h>

/* The two ways to configuration space that PCs have. */
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  BIT(31)

/* An address and its data are two accesses of a pair of ports that all cores share. */
static struct spinlock port_lock;

/* PCI Local Bus Specification 3.0, 3.2.2.3.2. Returns the data port, 0 if there is no such register. */
static uint16_t port_select(struct pci_bdf d, uint32_t reg)
{
	if (d.segment != 0 || reg >= 256)
		return 0;
	outl(CONFIG_ADDRESS, (uint32_t)CONFIG_ENABLE | (uint32_t)d.bus << 16 |
				     (uint32_t)(d.device & 31) << 11 |
				     (uint32_t)(d.function & 7) << 8 | (reg & 0xfcu));
	return (uint16_t)(CONFIG_DATA + (reg & 3));
}

static uint32_t port_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			  unsigned width)
{
	uint32_t v = ~0u;
	uint16_t port;

	(void)a;
	spin_lock(&port_lock);
	port = port_select(d, reg);
	if (port)
		v = width == 1 ? inb(port) : width == 2 ? inw(port) : inl(port);
	spin_unlock(&port_lock);
	return v;
}

static void port_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
		       uint32_t v)
{
	uint16_t port;

	(void)a;
	spin_lock(&port_lock);
	port = port_select(d, reg);
	if (port && width == 1)
		outb(port, (uint8_t)v);
	else if (port && width == 2)
		outw(port, (uint16_t)v);
	else if (port)
		outl(port, v);
	spin_unlock(&port_lock);
}

/* PCI Express Base Specification 7.2.2. */
static volatile uint8_t *ecam_at(const struct pci_access *a, struct pci_bdf d, uint32_t reg)
{
	uint32_t i;

	if (d.segment != a->segment || reg >= 4096)
		return NULL;
	for (i = 0; i < a->window_count; i++) {
		const struct pci_window *w = &a->windows[i];

		if (d.bus >= w->first_bus && d.bus <= w->last_bus)
			return w->at + ((uint64_t)(d.bus - w->first_bus) << 20) +
			       ((uint32_t)(d.device & 31) << 15) +
			       ((uint32_t)(d.function & 7) << 12) + reg;
	}
	return NULL;
}

/* AMD's family 10h takes nothing but MOVs from and to AL, AX and EAX here. */
static uint32_t ecam_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			  unsigned width)
{
	volatile uint8_t *p = ecam_at(a, d, reg);
	uint32_t v = ~0u;

	if (!p)
		return v;
	if (width == 1)
		__asm__ volatile("movb %1, %%al" : "+a"(v) : "m"(*p));
	else if (width == 2)
		__asm__ volatile("movw %1, %%ax" : "+a"(v) : "m"(*(volatile uint16_t *)p));
	else
		__asm__ volatile("movl %1, %%eax" : "=a"(v) : "m"(*(volatile uint32_t *)p));
	return v;
}

static void ecam_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
		       uint32_t v)
{
	volatile uint8_t *p = ecam_at(a, d, reg);

	if (!p)
		return;
	if (width == 1)
		__asm__ volatile("movb %%al, %0" : "=m"(*p) : "a"(v));
	else if (width == 2)
		__asm__ volatile("movw %%ax, %0" : "=m"(*(volatile uint16_t *)p) : "a"(v));
	else
		__asm__ volatile("movl %%eax, %0" : "=m"(*(volatile uint32_t *)p) : "a"(v));
}

void pci_access_ports(struct pci_access *a)
{
	memset(a, 0, sizeof(*a));
	a->read = port_read;
	a->write = port_write;
	a->last_bus = 255;
}

void pci_access_ecam(struct pci_access *a, uint16_t segment)
{
	memset(a, 0, sizeof(*a));
	a->read = ecam_read;
	a->write = ecam_write;
	a->segment = segment;
	a->extended = true;
	a->first_bus = 255;
}

enum status pci_access_add_window(struct pci_access *a, volatile void *at, uint8_t first_bus,
				  uint8_t last_bus)
{
	uint32_t i;

	for (i = 0; i < a->window_count; i++) {
		if (first_bus <= a->windows[i].last_bus && last_bus >= a->windows[i].first_bus)
			return ERR_OVERLAP;
	}
	if (i == PCI_WINDOWS)
		return ERR_NOMEM;
	a->windows[i] = (struct pci_window){ at, first_bus, last_bus };
	a->window_count++;
	a->first_bus = first_bus < a->first_bus ? first_bus : a->first_bus;
	a->last_bus = last_bus > a->last_bus ? last_bus : a->last_bus;
	return OK;
}
