/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPCI_IRQ_PRIV_H
#define LAMINA_CORE_VPCI_IRQ_PRIV_H

#include "core/vpci_irq.h"

/* What core/vpci_irq.c, vpci_msi.c, vpci_msix.c and vpci_intx.c share. As in vpci_irq.h. */

/* PCI Local Bus Specification 3.0, 6.8.1.3 and 6.8.2.3. */
#define MSI_CONTROL      2
#define MSI_ENABLE       BIT(0)
#define MSI_COUNT_SHIFT  1 /* Multiple Message Capable, log2 */
#define MSI_USED_SHIFT   4 /* Multiple Message Enable, log2 */
#define MSI_64BIT        BIT(7)
#define MSI_MASKING      BIT(8)
#define MSI_LOG2_MAX     5
#define MSIX_CONTROL     2
#define MSIX_SIZE        BITS(10, 0)
#define MSIX_MASK_ALL    BIT(14)
#define MSIX_ENABLE      BIT(15)
#define MSIX_ENTRY_BYTES 16

/*
 * What a message of the guest stands for. False: it reaches none of the guest's cores, or not as an
 * ordinary interrupt; that is counted, and logged once in a run.
 */
must_check bool vpci_irq_decode(struct vpci_irqs *q, uint64_t address, uint32_t data,
				struct iommu_irq *out);

/*
 * Let message `index` reach a core. *msi: what to program into the device. False: it cannot; what
 * the IOMMU had for it before stays.
 */
must_check bool vpci_irq_set(struct vpci_irqs *q, unsigned index, const struct iommu_irq *irq,
			     struct iommu_msi *msi);

/* Block it again; the device must not send it any more. */
void vpci_irq_block(struct vpci_irqs *q, unsigned index);

/* A 16-bit register of the function. */
uint16_t vpci_irq_read16(const struct vpci_irqs *q, uint32_t reg);
void vpci_irq_write16(const struct vpci_irqs *q, uint32_t reg, uint16_t value);

/* A part of a dword in place of what it was. */
static inline uint32_t vpci_merge(uint32_t old, uint32_t offset, uint8_t size, uint32_t value)
{
	unsigned shift = 8 * (offset & 3);
	uint32_t mask = (size >= 4 ? ~0u : (1u << 8 * size) - 1) << shift;

	return (old & ~mask) | ((value << shift) & mask);
}

static inline bool vpci_in_dword(uint32_t offset, uint8_t size)
{
	return (offset & 3) + size <= 4;
}

/* All off and as after power-on, in the function as well; the messages remain to be blocked. */
void vpci_msi_reset(struct vpci_irqs *q);
void vpci_msix_reset(struct vpci_irqs *q);

/* Find out about INTx, and turn it off for good until vpci_intx_update(). */
void vpci_intx_create(struct vpci_irqs *q, uint8_t slot);

/* The function has no INTx any more. With or without the guest's lock. */
void vpci_intx_reset(struct vpci_irqs *q);

/* A new run: no input of the guest's IOAPIC has been unmasked. No lock. */
void vpci_intx_start(struct vpci_irqs *q);

/* MSI or MSI-X was turned on or off. */
void vpci_intx_update(struct vpci_irqs *q);

/* Find and map the table. ERR_NOMEM. */
must_check enum status vpci_msix_create(struct vpci_irqs *q);

#endif
