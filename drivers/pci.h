/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_PCI_H
#define LAMINA_DRIVERS_PCI_H

#include "types.h"

/*
 * PCI configuration space: access, and as much as finding and switching on one of Lamina's own
 * devices needs. pci.c is pure and goes through struct pci_access; pci_access.c has the two ways of
 * real machines, which any core may use at any time.
 */
struct pci_bdf {
	uint16_t segment;
	uint8_t bus, device, function;
};

#define PCI_WINDOWS 4u /* per segment */

/* A mapped window: 1 MiB per bus, from first_bus on. */
struct pci_window {
	volatile uint8_t *at;
	uint8_t first_bus, last_bus;
};

struct pci_access {
	/*
	 * `width` is 1, 2 or 4 bytes, `reg` a multiple of it, and exactly these bytes are read or
	 * written: next to a register there may be one that is cleared by writing ones. What does
	 * not exist reads as all ones.
	 */
	uint32_t (*read)(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			 unsigned width);
	void (*write)(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
		      uint32_t v);
	uint16_t segment;
	uint8_t first_bus, last_bus; /* where buses can be; there may be holes */
	bool extended;               /* 4096 bytes of each function, not 256 */
	uint32_t window_count;
	struct pci_window windows[PCI_WINDOWS];
};

/* Configuration mechanism 1: ports 0xcf8 and 0xcfc, segment 0, 256 bytes of each function. */
void pci_access_ports(struct pci_access *a);

/* Memory-mapped: windows are to be added. */
void pci_access_ecam(struct pci_access *a, uint16_t segment);

/*
 * A window of the MCFG table, mapped uncached by the caller from first_bus's first byte.
 * ERR_NOMEM: the segment has PCI_WINDOWS already; ERR_OVERLAP: it has a bus of it already.
 */
must_check enum status pci_access_add_window(struct pci_access *a, volatile void *at,
					     uint8_t first_bus, uint8_t last_bus);

/* `reg` is rounded down to a multiple of the width. */
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

#define PCI_BARS 6u
#define PCI_ROM  6u /* index of the expansion ROM behind the BARs */

struct pci_bar {
	bool io;
	bool wide; /* 64 bits: two registers */
	bool prefetchable;
	uint64_t base; /* 0: absent or not assigned */
	uint64_t size; /* bytes; 0: absent */
};

/*
 * Read and size one BAR (0 to 5), or the expansion ROM (6); decoding is off meanwhile. False: not
 * implemented.
 */
bool pci_read_bar(const struct pci_access *a, struct pci_bdf d, uint32_t index,
		  struct pci_bar *out);

/* All of them at once; a BAR of 64 bits is in its first index. `size` 0: not implemented. */
void pci_read_bars(const struct pci_access *a, struct pci_bdf d, struct pci_bar out[PCI_BARS + 1]);

/* Registers that more than one file knows (PCI Local Bus Specification 3.0, chapter 6). */
#define PCI_ID           0x00
#define PCI_COMMAND      0x04
#define PCI_STATUS       0x06
#define PCI_CLASS        0x08 /* revision, interface, subclass, class */
#define PCI_CACHE_LINE   0x0c
#define PCI_HEADER_TYPE  0x0e
#define PCI_BAR0         0x10
#define PCI_SECONDARY    0x19 /* bridges: the bus behind them, and the last one */
#define PCI_SUBORDINATE  0x1a
#define PCI_ROM_BAR      0x30
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT    0x3c /* line, pin */
#define PCI_BRIDGE       0x3e

#define PCI_COMMAND_IO      0x0001
#define PCI_COMMAND_MEMORY  0x0002
#define PCI_COMMAND_MASTER  0x0004
#define PCI_COMMAND_NO_INTX 0x0400
#define PCI_MULTIFUNCTION   0x80 /* header type */

#define PCI_CAP_PM   0x01
#define PCI_CAP_MSI  0x05
#define PCI_CAP_PCIE 0x10
#define PCI_CAP_MSIX 0x11
#define PCI_CAP_AF   0x13

#define PCI_EXT_ACS   0x000d
#define PCI_EXT_ATS   0x000f
#define PCI_EXT_SRIOV 0x0010
#define PCI_EXT_PRI   0x0013
#define PCI_EXT_REBAR 0x0015
#define PCI_EXT_PASID 0x001b

/* Offset of a capability in the standard list, 0 if absent. Endless lists end. */
uint8_t pci_find_capability(const struct pci_access *a, struct pci_bdf d, uint8_t id);

/* The same for extended ones, of functions that have the PCIe capability. */
uint16_t pci_find_extended(const struct pci_access *a, struct pci_bdf d, uint16_t id);

/*
 * One MSI vector, on, with this message. ERR_UNSUPPORTED: no MSI capability, or one without room for
 * the address. Also used to change the address of one that is on: then that is atomic, if the data
 * and the upper half stay.
 */
#define PCI_MSI_NMI_ADDRESS(apic_id) (0xfee00000u | (uint32_t)(apic_id) << 12)
#define PCI_MSI_NMI_DATA             0x400u
must_check enum status pci_msi_on(const struct pci_access *a, struct pci_bdf d, uint64_t address,
				  uint16_t data);

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

/* "00:1f.3", or "0001:00:1f.3" in a segment other than 0. */
#define PCI_BDF_TEXT 13
void pci_bdf_text(struct pci_bdf d, char text[PCI_BDF_TEXT]);

static inline bool pci_same(struct pci_bdf a, struct pci_bdf b)
{
	return a.segment == b.segment && a.bus == b.bus && a.device == b.device &&
	       a.function == b.function;
}

/* Bus, device and function as 16 bits, the way requests and IOMMU tables name them. */
static inline uint16_t pci_rid(struct pci_bdf d)
{
	return (uint16_t)(d.bus << 8 | d.device << 3 | d.function);
}

#endif
