// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/vtd.h"
#include "panic.h"

/*
 * Interrupt remapping (VT-d specification, chapter 5). An entry's upper qword says who may use it, and
 * marks it as allocated; it only changes while the lower one, with the present bit and everything
 * about the destination, is zero. So a change of a live entry is one store.
 */
#define MSI_REMAPPED  BIT(4)
#define MSI_SUBHANDLE BIT(3) /* the data's low half is added to the handle: multiple-message MSI */
#define MSI_HANDLE(i) ((uint64_t)(i) << 5)

#define RTE_REMAPPED  BIT(48)
#define RTE_HANDLE(i) ((uint64_t)(i) << 49)

#define APIC_ID_MAX_8  254u /* 255 is broadcast */
#define APIC_ID_MAX_32 0xfffffffeu

_Static_assert(VTD_IRTES <= 1 << 15, "bit 15 of a handle has a place of its own");
_Static_assert(IOMMU_IRQS_PER_DEVICE <= VTD_IRTES, "entries");

static uint64_t owner(struct pci_bdf d)
{
	return IRTE_VERIFY_SID | vtd_sid(d);
}

/* No unit uses what it knew of the entries; returns when that is so. */
static void invalidate(const struct vtd_entry *irt, unsigned first, unsigned count)
{
	unsigned mask = 0;

	while ((first ^ (first + count - 1)) >> mask)
		mask++;
	for_each_vtd_unit (u) {
		if (u->irt != irt)
			continue;
		vtd_queue(u,
			  mask > ECAP_MHMV(u->ecap)
				  ? DESC_IEC
				  : DESC_IEC | DESC_IEC_INDEX | DESC_IEC_MASK(mask) |
					    DESC_IEC_FIRST(first >> mask << mask),
			  0);
		vtd_submit(u);
	}
	for_each_vtd_unit (u)
		if (u->irt == irt)
			vtd_wait(u);
}

enum status vtd_irq_alloc(struct pci_bdf d, unsigned count, unsigned *first)
{
	struct vtd_unit *u = vtd_unit_of(d);
	unsigned align = count & (count - 1) ? 1 : count, n;

	if (!u)
		return ERR_NOT_FOUND;
	for (unsigned i = 0; i + count <= VTD_IRTES; i = (unsigned)ALIGN_UP(i + n + 1, align)) {
		for (n = 0; n < count && !u->irt[i + n].hi; n++)
			;
		if (n < count)
			continue;
		while (n--)
			vtd_store(&u->irt[i + n].hi, owner(d));
		*first = i;
		return OK;
	}
	return ERR_NOMEM;
}

/* The entries of a device, which are its own. */
static struct vtd_entry *entries(struct pci_bdf d, unsigned first, unsigned count)
{
	struct vtd_unit *u = vtd_unit_of(d);

	ASSERT(u && count && first < VTD_IRTES && count <= VTD_IRTES - first);
	for (unsigned i = 0; i < count; i++)
		ASSERT(u->irt[first + i].hi == owner(d));
	return u->irt;
}

void vtd_irq_free(struct pci_bdf d, unsigned first, unsigned count)
{
	struct vtd_entry *irt = entries(d, first, count);

	for (unsigned i = 0; i < count; i++)
		vtd_store(&irt[first + i].lo, 0);
	invalidate(irt, first, count);
	for (unsigned i = 0; i < count; i++)
		vtd_store(&irt[first + i].hi, 0);
}

static bool reachable(uint32_t apic_id)
{
	return apic_id <= (vtd.x2apic ? APIC_ID_MAX_32 : APIC_ID_MAX_8);
}

enum status vtd_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			struct iommu_msi *msi)
{
	struct vtd_entry *irt = entries(d, index, 1);
	uint64_t lo = 0;

	if (irq) {
		if (!reachable(irq->apic_id))
			return ERR_RANGE;
		lo = VTD_ENTRY_P | (irq->nmi ? IRTE_NMI : IRTE_VECTOR(irq->vector)) |
		     (vtd.x2apic ? IRTE_DEST(irq->apic_id) : IRTE_DEST_8(irq->apic_id));
	}
	vtd_store(&irt[index].lo, lo);
	invalidate(irt, index, 1);
	if (msi)
		*msi = (struct iommu_msi){
			MSI_ADDRESS | MSI_REMAPPED | MSI_SUBHANDLE | MSI_HANDLE(index), 0
		};
	return OK;
}

static struct vtd_line *line_of(uint32_t ioapic, unsigned pin)
{
	for (unsigned i = 0; i < vtd.line_count; i++)
		if (vtd.line[i].ioapic == ioapic && vtd.line[i].pin == pin)
			return &vtd.line[i];
	return NULL;
}

enum status vtd_ioapic_nmi(uint32_t ioapic_id, unsigned pin, uint32_t apic_id, uint64_t *rte)
{
	const struct dmar_scope *scope = dmar_special(&vtd.dmar, DMAR_SCOPE_IOAPIC, ioapic_id);
	const struct iommu_irq irq = { .apic_id = apic_id, .nmi = true };
	struct vtd_line *line = line_of(ioapic_id, pin);
	enum status s;

	if (!vtd.irq_remap)
		return ERR_UNSUPPORTED;
	if (!scope)
		return ERR_NOT_FOUND;
	if (!reachable(apic_id))
		return ERR_RANGE;
	if (!line) {
		if (vtd.line_count == VTD_OWN_LINES)
			return ERR_NOMEM;
		line = &vtd.line[vtd.line_count];
		*line = (struct vtd_line){ .ioapic = ioapic_id, .pin = pin };
		s = vtd_irq_alloc(scope->bdf, 1, &line->index);
		if (s != OK)
			return s;
		vtd.line_count++;
	}
	*rte = RTE_REMAPPED | RTE_HANDLE(line->index);
	return vtd_irq_set(scope->bdf, line->index, &irq, NULL);
}
