/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_PCI_H
#define LAMINA_DRIVERS_PCI_H

#include "types.h"

/*
 * PCI configuration space, as far as finding and switching on one of Lamina's own devices needs
 * it. pci.c is pure and goes through struct pci_access; pci_access.c has the two ways of real
 * machines. Used on the boot core only, before guests run: no lock.
 */
struct pci_bdf {
	uint16_t segment;
	uint8_t bus, device, function;
};

struct pci_access {
	/* `reg` is dword aligned; what does not exist reads as all ones. */
	uint32_t (*read)(const struct pci_access *a, struct pci_bdf d, uint32_t reg);
	void (*write)(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint32_t v);
	volatile uint8_t *ecam; /* mapped window: 1 MiB per bus, from first_bus on */
	uint16_t segment;
	uint8_t first_bus, last_bus;
};

/* Configuration mechanism 1: ports 0xcf8 and 0xcfc, segment 0, 256 bytes of each function. */
void pci_access_ports(struct pci_access *a);

/* A window of the MCFG table, mapped uncached by the caller from first_bus's first byte. */
void pci_access_ecam(struct pci_access *a, volatile void *window, uint16_t segment,
		     uint8_t first_bus, uint8_t last_bus);

uint8_t pci_read8(const struct pci_access *a, struct pci_bdf d, uint32_t reg);
uint16_t pci_read16(const struct pci_access *a, struct pci_bdf d, uint32_t reg);
uint32_t pci_read32(const struct pci_access *a, struct pci_bdf d, uint32_t reg);
void pci_write8(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint8_t v);
void pci_write16(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint16_t v);
void pci_write32(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint32_t v);

/*
 * Call `visit` for every function reachable from the segment's root bus through bridges that the
 * firmware has configured; stops when it returns false.
 */
void pci_walk(const struct pci_access *a, bool (*visit)(void *ctx, struct pci_bdf d), void *ctx);

struct pci_bar {
	bool io;
	bool prefetchable;
	uint64_t base; /* 0: absent or not assigned */
	uint64_t size; /* bytes; 0: absent */
};

/* Read and size one BAR (0..5); decoding is off meanwhile. False: not implemented. */
bool pci_read_bar(const struct pci_access *a, struct pci_bdf d, uint32_t index,
		  struct pci_bar *out);

/* Offset of a capability in the standard list, 0 if absent. Endless lists end. */
uint8_t pci_find_capability(const struct pci_access *a, struct pci_bdf d, uint8_t id);

/*
 * One MSI vector, delivered as NMI to a core by physical destination. ERR_UNSUPPORTED: no MSI
 * capability; ERR_RANGE: an APIC id above 254. Also used to send it to another core.
 */
must_check enum status pci_msi_nmi(const struct pci_access *a, struct pci_bdf d, uint32_t apic_id);

/* Back to INTx. */
void pci_msi_off(const struct pci_access *a, struct pci_bdf d);

struct pci_uart {
	struct pci_bdf bdf;
	uint16_t vendor, device;
	struct pci_bar bar; /* of the first port */
	bool msi;
	uint8_t irq_line; /* what the firmware noted; 0xff: none */
};

/*
 * The first 16550-compatible UART (class 07, subclass 00, interface 02..06) that has an assigned
 * BAR. Switches its decoding on. ERR_NOT_FOUND: there is none.
 */
must_check enum status pci_find_uart(const struct pci_access *a, struct pci_uart *out);

#endif
