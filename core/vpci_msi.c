/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vpci_irq_priv.h"

/* PCI Local Bus Specification 3.0, 6.8.1. */
#define MSI_ADDRESS      4
#define MSI_ADDRESS_HIGH 8
#define MSI_WRITABLE     (MSI_ENABLE | 7u << MSI_USED_SHIFT)
#define MSI_READ_ONLY    (7u << MSI_COUNT_SHIFT | MSI_64BIT | MSI_MASKING)

static uint32_t data_at(const struct vpci_irqs *q)
{
	return q->msi_host & MSI_64BIT ? 12 : 8;
}

static uint32_t mask_at(const struct vpci_irqs *q)
{
	return data_at(q) + 4;
}

static uint32_t pending_at(const struct vpci_irqs *q)
{
	return data_at(q) + 8;
}

uint32_t vpci_msi_size(const struct vpci_irqs *q)
{
	return q->msi_host & MSI_MASKING ? pending_at(q) + 4 : data_at(q) + 2;
}

/* As logarithms: the messages that the guest has enabled, at most what the function has. */
static unsigned log2_used(const struct vpci_irqs *q, uint16_t control)
{
	unsigned most = (unsigned)min_u64((q->msi_host >> MSI_COUNT_SHIFT) & 7, MSI_LOG2_MAX);

	return (unsigned)min_u64((control >> MSI_USED_SHIFT) & 7, most);
}

static uint32_t real(const struct vpci_irqs *q, uint32_t offset)
{
	return q->host->msi + offset;
}

/* Only what differs: the guest may change where an interrupt goes while it can happen. */
static void write_message(struct vpci_irqs *q, const struct iommu_msi *msi)
{
	struct iommu_msi *sent = &q->vectors[0].sent;
	struct pci_bdf d = q->host->bdf;

	if (sent->address != msi->address) {
		pci_write32(q->access, d, real(q, MSI_ADDRESS), (uint32_t)msi->address);
		if (q->msi_host & MSI_64BIT)
			pci_write32(q->access, d, real(q, MSI_ADDRESS_HIGH),
				    (uint32_t)(msi->address >> 32));
	}
	if (!sent->address || sent->data != msi->data)
		vpci_irq_write16(q, real(q, data_at(q)), (uint16_t)msi->data);
	*sent = *msi;
}

/*
 * First the entries of the IOMMU, then the device. It puts the number of a message into the lowest
 * bits of the data, so that all of them or none can be sent.
 */
static bool program(struct vpci_irqs *q, unsigned count)
{
	struct iommu_msi first = { 0 }, other;
	struct iommu_irq irq;
	uint8_t base;
	unsigned i;

	if (!vpci_irq_decode(q, q->msi_address, q->msi_data & ~(count - 1), &irq))
		return false;
	base = irq.vector;
	for (i = 0; i < count; i++) {
		irq.vector = (uint8_t)(base + i);
		if (!vpci_irq_set(q, i, &irq, i ? &other : &first))
			return false;
	}
	write_message(q, &first);
	return true;
}

/* Messages under way arrive before the answer to a read (PCI 3.0, 3.2.5). */
static void write_real_control(struct vpci_irqs *q, uint16_t value)
{
	vpci_irq_write16(q, real(q, MSI_CONTROL), value);
	(void)vpci_irq_read16(q, real(q, MSI_CONTROL));
}

/* Make the function do what the guest's registers say. */
static void apply(struct vpci_irqs *q)
{
	uint16_t control = vpci_irq_read16(q, real(q, MSI_CONTROL));
	uint16_t wanted = control & (uint16_t)~MSI_WRITABLE;
	unsigned i, count = 0;

	if (q->msi_control & MSI_ENABLE) {
		unsigned used = log2_used(q, q->msi_control);

		if (program(q, 1u << used)) {
			count = 1u << used;
			wanted |= (uint16_t)(MSI_ENABLE | used << MSI_USED_SHIFT);
		}
	}
	if (wanted != control)
		write_real_control(q, wanted);
	for (i = count; i < q->count; i++)
		vpci_irq_block(q, i);
}

static void write_control(struct vpci_irqs *q, uint16_t value)
{
	uint16_t old = q->msi_control;

	/* Not both at a time (PCI 3.0, 6.8.2); the first one stays. */
	if (q->msix_control & MSIX_ENABLE)
		value &= (uint16_t)~MSI_ENABLE;
	q->msi_control = (uint16_t)((value & MSI_ENABLE) | log2_used(q, value) << MSI_USED_SHIFT);
	if (!q->started || !((old | q->msi_control) & MSI_ENABLE) || old == q->msi_control)
		return;
	apply(q);
	vpci_intx_update(q);
}

static void write_mask(struct vpci_irqs *q, uint32_t value)
{
	unsigned most = log2_used(q, MSI_WRITABLE);

	q->msi_mask = value & (uint32_t)(BIT(1u << most) - 1);
	if (q->started)
		pci_write32(q->access, q->host->bdf, real(q, mask_at(q)), q->msi_mask);
}

static uint32_t read_dword(const struct vpci_irqs *q, uint32_t at)
{
	if (at == 0)
		return (uint32_t)((q->msi_host & MSI_READ_ONLY) | q->msi_control) << 16;
	if (at == MSI_ADDRESS)
		return (uint32_t)q->msi_address;
	if (at == data_at(q))
		return q->msi_data;
	if (at == MSI_ADDRESS_HIGH)
		return (uint32_t)(q->msi_address >> 32);
	if (!(q->msi_host & MSI_MASKING))
		return 0;
	if (at == mask_at(q))
		return q->msi_mask;
	return at == pending_at(q) ? pci_read32(q->access, q->host->bdf, real(q, at)) : 0;
}

static void write_dword(struct vpci_irqs *q, uint32_t at, uint32_t value)
{
	if (at == 0) {
		write_control(q, (uint16_t)(value >> 16));
		return;
	}
	if (at == mask_at(q) && (q->msi_host & MSI_MASKING)) {
		write_mask(q, value);
		return;
	}
	if (at == MSI_ADDRESS)
		q->msi_address = (q->msi_address & ~0xffffffffull) | (value & ~3u);
	else if (at == data_at(q))
		q->msi_data = (uint16_t)value;
	else if (at == MSI_ADDRESS_HIGH)
		q->msi_address = (uint32_t)q->msi_address | (uint64_t)value << 32;
	else
		return;
	if (q->started && (q->msi_control & MSI_ENABLE))
		apply(q);
}

uint32_t vpci_msi_read(struct vpci_irqs *q, uint32_t offset, uint8_t size)
{
	if (!q->msi || !vpci_in_dword(offset, size))
		return ~0u;
	return vpci_merge(0, 0, size, read_dword(q, offset & ~3u) >> 8 * (offset & 3));
}

void vpci_msi_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value)
{
	uint32_t at = offset & ~3u;

	if (q->msi && vpci_in_dword(offset, size))
		write_dword(q, at, vpci_merge(read_dword(q, at), offset, size, value));
}

void vpci_msi_reset(struct vpci_irqs *q)
{
	q->msi_control = 0;
	q->msi_address = 0;
	q->msi_data = 0;
	q->msi_mask = 0;
	if (!q->msi)
		return;
	write_real_control(q, 0);
	if (q->msi_host & MSI_MASKING)
		pci_write32(q->access, q->host->bdf, real(q, mask_at(q)), 0);
}
