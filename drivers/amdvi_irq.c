/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/amdvi.h"

#include "panic.h"

/* Entries of 128 bits (2.2.5): RemapEn, fixed, physical destination. Those of 32 bits are alike. */
#define IRTE_REMAP_EN        BIT(0)
#define IRTE_DEST_SHIFT      8
#define IRTE_DEST_LOW        BITS(23, 0)
#define IRTE_HIGH_DEST_SHIFT 56
#define IRTE32_VECTOR_SHIFT  16

/*
 * An index in a message has 11 bits. Tables are as long as that, although their length in the device
 * table entry is less: there are IOMMUs that do not look at it, to which the rest of the table is
 * as blocked as it ought to be.
 */
#define INDEXES 2048u

#define MSI_ADDRESS      0xfee00000u
#define MSI_ADDRESS_DEST 12
#define DELIVERY_NMI     (4u << 8)
#define RTE_DEST_SHIFT   56
#define APIC_ID_8BIT_MAX 254u

static bool bit_get(const uint64_t *map, unsigned i)
{
	return map[i / 64] & BIT(i % 64);
}

static void bit_set(uint64_t *map, unsigned i, bool on)
{
	map[i / 64] = (map[i / 64] & ~BIT(i % 64)) | (on ? BIT(i % 64) : 0);
}

static void write_entry(struct amdvi_source *alias, unsigned index, const struct iommu_irq *irq)
{
	uint64_t low = 0, high = 0;

	if (irq) {
		low = IRTE_REMAP_EN | (irq->apic_id & IRTE_DEST_LOW) << IRTE_DEST_SHIFT;
		high = irq->vector | (uint64_t)(irq->apic_id >> 24) << IRTE_HIGH_DEST_SHIFT;
	}
	if (amdvi.ga)
		amdvi_store((uint64_t *)alias->irqs + index * 2, low, high);
	else
		__atomic_store_n((uint32_t *)alias->irqs + index,
				 (uint32_t)(low | high << IRTE32_VECTOR_SHIFT), __ATOMIC_SEQ_CST);
}

/* Messages under way have arrived or are blocked when this returns. */
static void flush_irqs(const struct amdvi_source *alias)
{
	const struct amdvi_source *y;
	uint32_t i;

	for (y = amdvi.sources; y < &amdvi.sources[AMDVI_SOURCES_MAX] && y->segment; y++) {
		if (y->segment != alias->segment || y->alias != alias->id)
			continue;
		for (i = 0; i < amdvi.unit_count; i++) {
			if (amdvi.units[i].bdf.segment == y->segment->number)
				amdvi_invalidate_irqs(&amdvi.units[i], y->id);
		}
	}
	amdvi_wait_all();
}

static bool is_free(const struct amdvi_source *alias, unsigned first, unsigned count)
{
	unsigned i;

	for (i = first; i < first + count; i++) {
		if (bit_get(alias->irq_used, i))
			return false;
	}
	return true;
}

static bool find_free(const struct amdvi_source *alias, unsigned count, unsigned *first)
{
	unsigned step = count & (count - 1) ? 1 : count;

	for (*first = 0; *first + count <= IOMMU_IRQS_PER_DEVICE; *first += step) {
		if (is_free(alias, *first, count))
			return true;
	}
	return false;
}

enum status amdvi_irq_alloc(struct pci_bdf d, unsigned count, unsigned *first)
{
	struct amdvi_source *x, *alias;
	enum status s;
	unsigned i;

	if (!count || count > IOMMU_IRQS_PER_DEVICE)
		return ERR_RANGE;
	s = amdvi_source(d, &x);
	if (s != OK)
		return s;
	alias = amdvi_alias(x);
	if (!find_free(alias, count, first))
		return ERR_NOMEM;
	if (!alias->irqs) {
		alias->irqs = page_alloc(amdvi.budget,
					 INDEXES * (amdvi.ga ? 16 : 4) / (unsigned)PAGE_SIZE);
		if (!alias->irqs)
			return ERR_NOMEM;
	}
	for (i = *first; i < *first + count; i++)
		bit_set(alias->irq_used, i, true);
	/* Also when there was a table: perhaps not in the entry of this function. */
	amdvi_update(x);
	flush_irqs(alias);
	return OK;
}

void amdvi_irq_free(struct pci_bdf d, unsigned first, unsigned count)
{
	struct amdvi_source *x = amdvi_find(d), *alias;
	uint8_t *irqs;
	unsigned i;

	ASSERT(x);
	alias = amdvi_alias(x);
	irqs = alias->irqs;
	ASSERT(irqs && count <= IOMMU_IRQS_PER_DEVICE && first <= IOMMU_IRQS_PER_DEVICE - count);
	for (i = first; i < first + count; i++) {
		write_entry(alias, i, NULL);
		bit_set(alias->irq_used, i, false);
		bit_set(alias->irq_nmi, i, false);
	}
	if (is_free(alias, 0, IOMMU_IRQS_PER_DEVICE))
		alias->irqs = NULL;
	amdvi_update(x);
	flush_irqs(alias);
	if (!alias->irqs)
		page_free(irqs);
}

/*
 * A remapping entry has no NMI: an entry of the device table lets such messages pass as they are,
 * to any core, so it is done for Lamina's own devices only.
 */
static enum status set_nmi(struct amdvi_source *x, struct amdvi_source *alias, unsigned index,
			   const struct iommu_irq *irq, struct iommu_msi *msi)
{
	if (irq->apic_id > APIC_ID_8BIT_MAX)
		return ERR_RANGE;
	write_entry(alias, index, NULL);
	bit_set(alias->irq_nmi, index, true);
	amdvi_update(x);
	flush_irqs(alias);
	if (msi)
		*msi = (struct iommu_msi){ MSI_ADDRESS | irq->apic_id << MSI_ADDRESS_DEST,
					   DELIVERY_NMI };
	return OK;
}

enum status amdvi_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			  struct iommu_msi *msi)
{
	struct amdvi_source *x = amdvi_find(d), *alias;

	if (!x)
		return ERR_NOT_FOUND;
	alias = amdvi_alias(x);
	if (index >= IOMMU_IRQS_PER_DEVICE || !bit_get(alias->irq_used, index))
		return ERR_NOT_FOUND;
	if (irq && irq->nmi)
		return set_nmi(x, alias, index, irq, msi);
	if (irq && irq->apic_id > (amdvi.xt ? UINT32_MAX - 1 : APIC_ID_8BIT_MAX))
		return ERR_RANGE;
	if (bit_get(alias->irq_nmi, index)) {
		bit_set(alias->irq_nmi, index, false);
		amdvi_update(x);
	}
	write_entry(alias, index, irq);
	flush_irqs(alias);
	if (msi)
		*msi = (struct iommu_msi){ MSI_ADDRESS, index };
	return OK;
}

/* The same for a line of an IOAPIC: its entry is a message, with the destination in 63:56. */
enum status amdvi_ioapic_nmi(uint32_t ioapic_id, unsigned pin, uint32_t apic_id, uint64_t *rte)
{
	const struct ivrs_special *special = ivrs_special(&amdvi.ivrs, IVRS_IOAPIC, ioapic_id);
	struct amdvi_source *x;
	enum status s;

	(void)pin;
	if (!special)
		return ERR_NOT_FOUND;
	if (apic_id > APIC_ID_8BIT_MAX)
		return ERR_RANGE;
	s = amdvi_source_by_id(amdvi_segment(amdvi.ivrs.units[special->unit].segment),
			       special->device_id, special->device_id, &x);
	if (s != OK)
		return s;
	if (x->attached || x->users)
		return ERR_BUSY;
	if (!x->nmi) {
		x->nmi = true;
		amdvi_update(x);
	}
	*rte = DELIVERY_NMI | (uint64_t)apic_id << RTE_DEST_SHIFT;
	return OK;
}
