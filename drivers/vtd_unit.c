// SPDX-License-Identifier: BSD-2-Clause
#include <inttypes.h>

#include "drivers/vtd.h"
#include "log.h"

static enum status refuse(uint32_t index, const char *why)
{
	log_error("VT-d unit %u at %#" PRIx64 ": %s", index, vtd.dmar.units[index].base.v, why);
	return ERR_UNSUPPORTED;
}

static bool plausible(volatile uint8_t *regs)
{
	uint32_t version = vtd_read32(regs + VTD_VER);
	uint64_t cap = vtd_read64(regs + VTD_CAP), ecap = vtd_read64(regs + VTD_ECAP);

	return version && version != ~0u && cap && cap != ~0ull && ecap && ecap != ~0ull &&
	       vtd_read32(regs + VTD_GSTS) != ~0u;
}

enum status vtd_unit_probe(uint32_t index, const struct iommu_env *env)
{
	const struct dmar_unit *d = &vtd.dmar.units[index];
	struct vtd_unit *u = &vtd.unit[index];
	volatile uint8_t *regs = env->map(d->base, PAGE_SIZE);
	uint64_t size;

	*u = (struct vtd_unit){ .segment = d->segment };
	if (!regs)
		return refuse(index, "cannot be mapped");
	if (!plausible(regs))
		return refuse(index, "nothing answers there");
	u->cap = vtd_read64(regs + VTD_CAP);
	u->ecap = vtd_read64(regs + VTD_ECAP);
	size = CAP_FRO(u->cap) + CAP_NFR(u->cap) * FRCD_SIZE;
	if (size > PAGE_SIZE)
		regs = env->map(d->base, ALIGN_UP(size, PAGE_SIZE));
	if (!regs)
		return refuse(index, "its fault records cannot be mapped");
	u->regs = regs;
	if (!(u->ecap & ECAP_QI))
		return refuse(index, "no queued invalidation");
	if (!(u->cap & (CAP_AGAW_39 | CAP_AGAW_48)))
		return refuse(index, "neither 3 nor 4 levels of tables");
	if ((u->cap & CAP_ND_RESERVED) == CAP_ND_RESERVED)
		return refuse(index, "an unknown number of domains");
	return OK;
}

bool vtd_command(struct vtd_unit *u, uint32_t bit, bool on)
{
	uint32_t left = IOMMU_TIMEOUT_US, now = vtd_read32(u->regs + VTD_GSTS) & ~GCMD_ONE_SHOT;
	/* WBF's status says that it is under way, all others' that it has taken effect. */
	uint32_t end = on && bit != GCMD_WBF ? bit : 0;

	vtd_write32(u->regs + VTD_GCMD, on ? now | bit : now & ~bit);
	while ((vtd_read32(u->regs + VTD_GSTS) & bit) != end) {
		if (!left--)
			return false;
		vtd_wait_us(1);
	}
	return true;
}

bool vtd_drain(struct vtd_unit *u)
{
	return !(u->cap & CAP_RWBF) || vtd_command(u, GCMD_WBF, true);
}

static bool off(struct vtd_unit *u, uint32_t bit)
{
	return !(vtd_read32(u->regs + VTD_GSTS) & bit) || vtd_command(u, bit, false);
}

static bool on(struct vtd_unit *u, uint32_t bit)
{
	return vtd_read32(u->regs + VTD_GSTS) & bit || vtd_command(u, bit, true);
}

void vtd_unit_off(struct vtd_unit *u)
{
	if (!off(u, GCMD_TE) || !off(u, GCMD_IRE) || !off(u, GCMD_EAFL) || !vtd_queue_off(u))
		log_error("VT-d unit %u does not turn off", (uint32_t)(u - vtd.unit));
}

static bool translation_on(struct vtd_unit *u)
{
	/*
	 * The mode of the tables may only change while translation is off (TTM). What
	 * firmware with another one allows ends first; devices have been quieted.
	 */
	if (vtd_read64(u->regs + VTD_RTADDR) & RTADDR_TTM && !off(u, GCMD_TE))
		return false;
	vtd_write64(u->regs + VTD_RTADDR, virt_to_hpa(u->root).v);
	if (!vtd_command(u, GCMD_SRTP, true))
		return false;
	/* In this order, each with its own wait: the IOTLB is filled by way of context entries. */
	vtd_queue(u, DESC_CONTEXT | DESC_GLOBAL, 0);
	vtd_submit(u);
	if (!vtd_completed(u))
		return false;
	vtd_queue(u, DESC_IOTLB | DESC_GLOBAL | DESC_DR | DESC_DW, 0);
	vtd_submit(u);
	return vtd_completed(u);
}

static bool remapping_on(struct vtd_unit *u)
{
	if (!vtd.irq_remap)
		return off(u, GCMD_IRE);
	vtd_write64(u->regs + VTD_IRTA, virt_to_hpa(u->irt).v | IRTA_SIZE(VTD_IRTES_ORDER) |
						(vtd.x2apic ? IRTA_EIME : 0));
	if (!vtd_command(u, GCMD_SIRTP, true))
		return false;
	vtd_queue(u, DESC_IEC, 0); /* all of it */
	vtd_submit(u);
	/* Without CFI, messages in the old format, which name no entry, are blocked. */
	return vtd_completed(u) && off(u, GCMD_CFI) && on(u, GCMD_IRE);
}

/* The regions that firmware protects without tables block what is attached, too. */
static bool protected_memory_off(struct vtd_unit *u)
{
	uint32_t left = IOMMU_TIMEOUT_US;

	if (!(u->cap & (CAP_PLMR | CAP_PHMR)))
		return true;
	vtd_write32(u->regs + VTD_PMEN, vtd_read32(u->regs + VTD_PMEN) & ~PMEN_EPM);
	while (vtd_read32(u->regs + VTD_PMEN) & PMEN_PRS) {
		if (!left--)
			return false;
		vtd_wait_us(1);
	}
	return true;
}

enum status vtd_unit_on(struct vtd_unit *u)
{
	/* Nor may faults go on being logged to memory that was the firmware's. */
	bool idle = vtd_queue_off(u) && off(u, GCMD_EAFL);

	/* Only now: an error of the firmware's queue would come back. */
	vtd_faults_clear(u);
	if (idle && vtd_drain(u) && vtd_queue_on(u) && translation_on(u) && remapping_on(u) &&
	    on(u, GCMD_TE) && protected_memory_off(u))
		return OK;
	log_error("VT-d unit %u does not turn on: GSTS %#x FSTS %#x", (uint32_t)(u - vtd.unit),
		  vtd_read32(u->regs + VTD_GSTS), vtd_read32(u->regs + VTD_FSTS));
	return ERR_TIMEOUT;
}
