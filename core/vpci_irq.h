/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPCI_IRQ_H
#define LAMINA_CORE_VPCI_IRQ_H

#include "drivers/iommu.h"
#include "drivers/pci_tree.h"
#include "types.h"

struct guest;

/*
 * Interrupts of one function that a guest owns. What the guest programs into MSI and MSI-X is a
 * message to one of its cores; Lamina checks that, puts it into the IOMMU, and programs the device with
 * what selects the IOMMU's entry. From then on interrupts reach the guest's core without Lamina.
 * All functions: with the guest's lock held, unless they say otherwise.
 */
struct vpci_vector {
	uint64_t address; /* as the guest has written them */
	uint32_t data;
	bool masked;
	bool live; /* the IOMMU has an entry for it */
};

struct vpci_irqs {
	struct guest *guest;
	const struct pci_function *host;
	const struct pci_access *access;
	unsigned first;                     /* of iommu_irq_alloc(); valid if count */
	unsigned count;                     /* messages that the guest can use */
	uint16_t msi_control, msix_control; /* as the guest has written them */
	struct vpci_vector *vectors;        /* `count` of them, from the guest's budget */
	volatile uint32_t *table;           /* the MSI-X table, mapped; NULL: none */
	uint8_t table_bar;                  /* which BAR it lies in ... */
	uint32_t table_offset;              /* ... and where, bytes */
	uint8_t intx_line;                  /* input of the virtual IOAPIC; 0: none */
	bool intx_asserted;
};

/*
 * Once, when the guest is made: what the function has, memory for the vectors, the MSI-X table's mapping.
 * ERR_NOMEM.
 */
must_check enum status vpci_irq_create(struct vpci_irqs *q, struct guest *g,
				       const struct pci_function *host,
				       const struct pci_access *access);

/* Each run, after the reset of the function and after it was attached: entries in the IOMMU. No lock. */
must_check enum status vpci_irq_start(struct vpci_irqs *q);

/* All blocked and given back; the device sends nothing any more. No lock. */
void vpci_irq_stop(struct vpci_irqs *q);

/* Accesses to the MSI and MSI-X capabilities: `offset` from the capability's first byte. */
uint32_t vpci_msi_read(struct vpci_irqs *q, uint32_t offset, uint8_t size);
void vpci_msi_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value);
uint32_t vpci_msix_read(struct vpci_irqs *q, uint32_t offset, uint8_t size);
void vpci_msix_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value);

/*
 * The pages of a BAR that hold the MSI-X table, as offsets into the BAR, page multiples: trapped. False:
 * none. Accesses to them; offsets from the BAR's start. What shares the pages with the table passes
 * through.
 */
bool vpci_msix_pages(const struct vpci_irqs *q, uint8_t bar, uint64_t *start, uint64_t *end);
uint64_t vpci_msix_table_read(struct vpci_irqs *q, uint64_t offset, uint8_t size);
void vpci_msix_table_write(struct vpci_irqs *q, uint64_t offset, uint8_t size, uint64_t value);

/* The guest has changed the function's Command register: INTx may be on or off now. */
void vpci_intx_command(struct vpci_irqs *q, uint16_t command);

#endif
