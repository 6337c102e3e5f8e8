/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_PCI_H
#define LAMINA_TESTS_PCI_H

#include "drivers/pci.h"
#include "types.h"

/*
 * PCI for small guests: bus 0, functions named by `bdf` as in requester ids, registers by the names of
 * drivers/pci.h. By the ports, which every machine has; pci_ecam_*() by memory, at `ecam=` of the
 * command line or where Lamina has it.
 */
#define PCI_BDF(device, function) ((uint32_t)((device) << 3 | (function)))
#define PCI_NOWHERE               0xffffffffu
#define PCI_BUS_FUNCTIONS         256u

#define PCI_BAR(n) (0x10 + 4 * (n))
#define PCI_LINE   0x3c
#define PCI_PIN    0x3d

uint32_t pci_read(uint32_t bdf, unsigned offset, unsigned size);
void pci_write(uint32_t bdf, unsigned offset, unsigned size, uint32_t value);
uint32_t pci_ecam_read(uint32_t bdf, unsigned offset, unsigned size);
void pci_ecam_write(uint32_t bdf, unsigned offset, unsigned size, uint32_t value);

/* The `nth` function (from 0) whose device and vendor id are `id` (0xddddvvvv), or PCI_NOWHERE. */
uint32_t pci_find(uint32_t id, unsigned nth);
/* The same by class and subclass, 0xccss. */
uint32_t pci_find_class(uint32_t class, unsigned nth);

/* Where a memory BAR is, 64-bit ones included. */
uint64_t pci_bar(uint32_t bdf, unsigned n);
void pci_set_bar(uint32_t bdf, unsigned n, uint64_t address);
/* Its size in bytes, by probing; 0: there is none. Decoding is off meanwhile. */
uint64_t pci_bar_size(uint32_t bdf, unsigned n);
/* Turn bits of the Command register on and off. */
void pci_command(uint32_t bdf, uint16_t on, uint16_t off);

/* The offset of a capability, or 0. */
unsigned pci_capability(uint32_t bdf, uint8_t id);

/* Send MSI, or MSI-X entry `n`, to a vector of a core; fixed, edge. False: it has none. */
bool pci_msi(uint32_t bdf, uint8_t vector, uint32_t apic);
bool pci_msi_raw(uint32_t bdf, uint64_t address, uint16_t data);
bool pci_msix(uint32_t bdf, unsigned n, uint8_t vector, uint32_t apic);
/* The MSI-X table's entries of 4 dwords, or NULL. */
volatile uint32_t *pci_msix_table(uint32_t bdf);

#endif
