// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/vtd.h"

/* Primary fault logging (VT-d specification, 7.2.1). */
#define IS_IRQ_REASON(r) (((r)&0xf0) == 0x20)

static const char *const dma_reasons[] = {
	[0x1] = "nothing of its bus may reach memory",
	[0x2] = "the device may not reach memory",
	[0x3] = "malformed context entry",
	[0x4] = "address beyond the address width",
	[0x5] = "no write access",
	[0x6] = "no read access",
	[0x7] = "a table cannot be read",
	[0x8] = "the root table cannot be read",
	[0x9] = "the context table cannot be read",
	[0xa] = "reserved bits in a root entry",
	[0xb] = "reserved bits in a context entry",
	[0xc] = "reserved bits in a table's entry",
	[0xd] = "translated or translation request",
};

static const char *const irq_reasons[] = {
	[0x0] = "malformed interrupt message",
	[0x1] = "interrupt index beyond the table",
	[0x2] = "no such interrupt",
	[0x3] = "the interrupt table cannot be read",
	[0x4] = "reserved bits in an interrupt entry",
	[0x5] = "interrupt in the format without remapping",
	[0x6] = "interrupt of another device",
};

static const struct {
	uint32_t bit;
	const char *text;
} unit_reasons[] = {
	{ FSTS_PFO, "faults were lost" },
	{ FSTS_ICE, "unexpected completion of an invalidation by a device" },
	{ FSTS_ITE, "a device does not complete an invalidation" },
};

static const char *reason_text(uint8_t reason)
{
	const char *text = NULL;
	unsigned low = reason & 0xf;

	if (IS_IRQ_REASON(reason) && low < ARRAY_SIZE(irq_reasons))
		text = irq_reasons[low];
	else if (reason < ARRAY_SIZE(dma_reasons))
		text = dma_reasons[reason];
	return text ? text : "unknown reason";
}

static volatile uint8_t *record(const struct vtd_unit *u, uint32_t i)
{
	return u->regs + CAP_FRO(u->cap) + i * FRCD_SIZE;
}

void vtd_faults_clear(struct vtd_unit *u)
{
	vtd_write32(u->regs + VTD_FECTL, FECTL_IM);
	for (uint32_t i = 0; i < CAP_NFR(u->cap); i++)
		vtd_write32(record(u, i) + FRCD_F_DWORD, FRCD_F);
	vtd_write32(u->regs + VTD_FSTS, FSTS_CLEAR);
}

static void apply_mask(struct vtd_unit *u)
{
	vtd_write32(u->regs + VTD_FECTL, vtd.nmi && !vtd.masked ? 0 : FECTL_IM);
	/* A read makes sure that no message is under way any more. */
	vtd_read32(u->regs + VTD_FECTL);
}

/* Fault events are not remapped: an ordinary message. */
enum status vtd_fault_nmi(uint32_t apic_id)
{
	if (apic_id > 254) {
		for_each_vtd_unit (u)
			if (!(u->ecap & ECAP_EIM))
				return ERR_UNSUPPORTED;
	}
	for_each_vtd_unit (u) {
		vtd_write32(u->regs + VTD_FECTL, FECTL_IM);
		vtd_read32(u->regs + VTD_FECTL);
		vtd_write32(u->regs + VTD_FEDATA, FEDATA_NMI);
		vtd_write32(u->regs + VTD_FEADDR, MSI_ADDRESS | MSI_DEST(apic_id));
		vtd_write32(u->regs + VTD_FEUADDR, apic_id & ~0xffu);
	}
	vtd.nmi = true;
	for_each_vtd_unit (u)
		apply_mask(u);
	return OK;
}

void vtd_fault_mask(bool masked)
{
	vtd.masked = masked;
	for_each_vtd_unit (u)
		apply_mask(u);
}

static void decode(const struct vtd_unit *u, uint64_t lo, uint64_t hi, struct iommu_fault *out)
{
	uint16_t sid = FRCD_SID(hi);

	out->source = (struct pci_bdf){ u->segment, (uint8_t)(sid >> 8), sid >> 3 & 31, sid & 7 };
	out->reason = FRCD_REASON(hi);
	out->text = reason_text(out->reason);
	out->interrupt = IS_IRQ_REASON(out->reason);
	out->address = out->interrupt ? FRCD_INDEX(lo) : lo & PAGE_MASK;
	out->write = !out->interrupt && !(hi & (FRCD_HI_READ | FRCD_HI_T2));
}

/* The oldest record that holds a fault: they are used in a circle, and FRI is where it begins. */
static bool take_record(struct vtd_unit *u, uint32_t status, struct iommu_fault *out)
{
	uint32_t count = CAP_NFR(u->cap), first = FSTS_FRI(status);

	for (uint32_t i = 0; status & FSTS_PPF && i < count; i++) {
		volatile uint8_t *r = record(u, (first + i) % count);
		uint64_t hi = vtd_read64(r + FRCD_HI);

		if (!(hi & FRCD_HI_F))
			continue;
		decode(u, vtd_read64(r), hi, out);
		vtd_write32(r + FRCD_F_DWORD, FRCD_F);
		return true;
	}
	return false;
}

/*
 * PFO comes after the records: only when it is cleared the unit goes on recording. IQE stays: it is
 * for whoever waits for the queue. ICE and ITE are for devices with TLBs of their own, which are
 * never told to use them, but may still send messages.
 */
static bool take_unit(struct vtd_unit *u, uint32_t status, struct iommu_fault *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(unit_reasons); i++) {
		if (!(status & unit_reasons[i].bit))
			continue;
		vtd_write32(u->regs + VTD_FSTS, unit_reasons[i].bit);
		out->is_unit = true;
		out->reason = (uint8_t)unit_reasons[i].bit;
		out->text = unit_reasons[i].text;
		return true;
	}
	return false;
}

/* In turns, so that a flood at one unit does not hide what the others have to say. */
bool vtd_next_fault(struct iommu_fault *out)
{
	for (uint32_t i = 0; i < vtd.count; i++) {
		struct vtd_unit *u = &vtd.unit[vtd.fault_turn];
		uint32_t status = vtd_read32(u->regs + VTD_FSTS);

		*out = (struct iommu_fault){ .unit = vtd.fault_turn };
		vtd.fault_turn = (vtd.fault_turn + 1) % vtd.count;
		if (take_record(u, status, out) || take_unit(u, status, out))
			return true;
	}
	return false;
}
