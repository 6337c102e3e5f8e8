/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Without a serial port the screen is all there is to see of Lamina. Graphics in the processor read
 * what they show from memory that the firmware has set aside, through the IOMMU: blocked, they would
 * show nothing. So they keep that memory, at its own address, in a domain of their own.
 */
#include <stdio.h>

#include "core/guest.h"
#include "core/host_console.h"
#include "core/hyp_mem.h"
#include "core/passthrough.h"
#include "log.h"

/* Only what the firmware itself says that nobody else uses. */
static bool is_set_aside(const struct boot_info *bi, const struct iommu_reserved *r)
{
	if (!r->size || !IS_ALIGNED(r->base.v | r->size, PAGE_SIZE) ||
	    r->base.v + r->size < r->base.v)
		return false;
	for (uint32_t i = 0; i < bi->region_count; i++) {
		const struct boot_region *m = &bi->regions[i];

		if (m->type != REGION_RESERVED && m->type != REGION_MMIO &&
		    m->base.v < r->base.v + r->size && r->base.v < m->base.v + m->size)
			return false;
	}
	return true;
}

static enum status show(struct tdp *t, const struct iommu_reserved *r)
{
	struct slot s = { .base = GFN(r->base.v >> PAGE_SHIFT),
			  .npages = r->size >> PAGE_SHIFT,
			  .pfn = hpa_to_pfn(r->base),
			  .access = ACCESS_RW,
			  .kind = SLOT_RAM,
			  .name = "screen" };
	struct slot_txn txn;
	enum status status = tdp_begin(t, &txn, 1);

	if (status != OK)
		return status;
	status = slot_create(&txn, &s);
	if (status == OK)
		return tdp_commit(t, &txn);
	tdp_abort(t, &txn);
	return status;
}

/* A guest without cores, for mm/: its devices' table is what is wanted. */
static struct guest *make_owner(uint16_t domain)
{
	struct guest *g =
		page_alloc(&hyp_budget, (unsigned)((sizeof(*g) + PAGE_SIZE - 1) / PAGE_SIZE));

	if (!g)
		return NULL;
	g->index = domain - 1u;
	if (tdp_init(&g->tdp, &iommu_info.format, &hyp_budget, g) != OK ||
	    tdp_attach_dma(&g->tdp, &iommu_info.format) != OK)
		return NULL;
	return g;
}

void screen_keep_memory(const struct boot_info *bi, const struct pci_function *screen)
{
	uint16_t domain = (uint16_t)iommu_info.domains; /* the last one is no guest's */
	struct guest *owner = NULL;
	uint32_t kept = 0;

	if (!iommu_covers(screen->requester))
		return;
	for (uint32_t i = 0; domain > CONFIG_MAX_GUESTS && i < iommu_info.reserved_count; i++) {
		const struct iommu_reserved *r = &iommu_info.reserved[i];

		if (!iommu_is_reserved_for(r, screen->bdf) || !is_set_aside(bi, r))
			continue;
		if (!owner)
			owner = make_owner(domain);
		kept += owner && show(&owner->tdp, r) == OK;
	}
	if (kept &&
	    iommu_attach(screen->requester, domain, HPA(tdp_root(&owner->tdp, TDP_DMA))) == OK)
		log_info("iommu: the screen keeps the memory that the firmware has given it");
}
