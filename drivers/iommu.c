/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/iommu.h"

#include <string.h>

#include "log.h"
#include "spinlock.h"

struct iommu_info iommu_info;

static struct spinlock lock; /* everything that the driver in use keeps */

static const struct iommu_ops *const vendors[] = { &vtd_ops, &amdvi_ops };

static enum status start(const struct iommu_ops *ops, const struct acpi *acpi,
			 const struct iommu_env *env)
{
	struct acpi_table table;
	enum status s = acpi_find(acpi, ops->signature, 0, &table);

	if (s != OK)
		return ERR_NOT_FOUND;
	memset(&iommu_info, 0, sizeof(iommu_info));
	s = ops->start(&table, env);
	acpi_put(acpi, &table);
	if (s == OK)
		iommu_info.ops = ops;
	else
		log_error("%s: the IOMMUs that the %s table describes cannot be used", ops->name,
			  ops->signature);
	/* Not found is for machines without such a table; this one has something to be told about. */
	return s == ERR_NOT_FOUND ? ERR_UNSUPPORTED : s;
}

enum status iommu_start(const struct acpi *acpi, const struct iommu_env *env)
{
	enum status s = ERR_NOT_FOUND;

	for (size_t i = 0; acpi && s == ERR_NOT_FOUND && i < ARRAY_SIZE(vendors); i++)
		s = start(vendors[i], acpi, env);
	return s;
}

bool iommu_covers(struct pci_bdf d)
{
	bool covered;

	if (!iommu_info.ops)
		return false;
	spin_lock(&lock);
	covered = iommu_info.ops->covers(d);
	spin_unlock(&lock);
	return covered;
}

enum status iommu_attach(struct pci_bdf d, uint16_t domain, hpa_t root)
{
	enum status s;

	if (!iommu_info.ops)
		return ERR_NOT_FOUND;
	if (!domain || domain > iommu_info.domains)
		return ERR_RANGE;
	spin_lock(&lock);
	s = iommu_info.ops->attach(d, domain, root);
	spin_unlock(&lock);
	return s;
}

void iommu_detach(struct pci_bdf d)
{
	if (!iommu_info.ops)
		return;
	spin_lock(&lock);
	iommu_info.ops->detach(d);
	spin_unlock(&lock);
}

void iommu_flush(uint16_t domain, const struct gfn_range *ranges, unsigned count)
{
	if (!iommu_info.ops || !count)
		return;
	spin_lock(&lock);
	iommu_info.ops->flush(domain, ranges, count);
	spin_unlock(&lock);
}

enum status iommu_irq_alloc(struct pci_bdf d, unsigned count, unsigned *first)
{
	enum status s;

	if (!iommu_info.ops || !iommu_info.irq_remap)
		return ERR_NOT_FOUND;
	if (!count || count > IOMMU_IRQS_PER_DEVICE)
		return ERR_RANGE;
	spin_lock(&lock);
	s = iommu_info.ops->irq_alloc(d, count, first);
	spin_unlock(&lock);
	return s;
}

void iommu_irq_free(struct pci_bdf d, unsigned first, unsigned count)
{
	spin_lock(&lock);
	iommu_info.ops->irq_free(d, first, count);
	spin_unlock(&lock);
}

enum status iommu_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			  struct iommu_msi *msi)
{
	enum status s;

	spin_lock(&lock);
	s = iommu_info.ops->irq_set(d, index, irq, msi);
	spin_unlock(&lock);
	return s;
}

enum status iommu_ioapic_nmi(uint32_t ioapic_id, unsigned pin, uint32_t apic_id, uint64_t *rte)
{
	enum status s;

	spin_lock(&lock);
	s = iommu_info.ops->ioapic_nmi(ioapic_id, pin, apic_id, rte);
	spin_unlock(&lock);
	return s;
}

enum status iommu_fault_nmi(uint32_t apic_id)
{
	enum status s;

	if (!iommu_info.ops)
		return ERR_UNSUPPORTED;
	spin_lock(&lock);
	s = iommu_info.ops->fault_nmi(apic_id);
	spin_unlock(&lock);
	return s;
}

void iommu_fault_mask(bool masked)
{
	if (!iommu_info.ops)
		return;
	spin_lock(&lock);
	iommu_info.ops->fault_mask(masked);
	spin_unlock(&lock);
}

bool iommu_next_fault(struct iommu_fault *out)
{
	bool found;

	if (!iommu_info.ops)
		return false;
	spin_lock(&lock);
	found = iommu_info.ops->next_fault(out);
	spin_unlock(&lock);
	return found;
}

void iommu_describe(uint32_t unit, char *text, size_t size)
{
	text[0] = 0;
	if (!iommu_info.ops)
		return;
	spin_lock(&lock);
	iommu_info.ops->describe(unit, text, size);
	spin_unlock(&lock);
}
