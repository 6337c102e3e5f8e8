// SPDX-License-Identifier: BSD-2-Clause
#include <inttypes.h>

#include "drivers/vtd.h"
#include "panic.h"

/*
 * Queued invalidation (VT-d specification, 6.5.2). Whoever adds descriptors waits for them before
 * anybody else does, so the queue is empty whenever an operation begins.
 */
#define QUEUE_SHIFT 4 /* of an index in IQH and IQT */

/* It should be empty then. After an error it never becomes so. */
bool vtd_queue_off(struct vtd_unit *u)
{
	uint32_t left = IOMMU_TIMEOUT_US;

	if (!(vtd_read32(u->regs + VTD_GSTS) & GCMD_QIE))
		return true;
	while (vtd_read64(u->regs + VTD_IQH) != vtd_read64(u->regs + VTD_IQT) && left-- &&
	       !(vtd_read32(u->regs + VTD_FSTS) & FSTS_IQE))
		vtd_wait_us(1);
	return vtd_command(u, GCMD_QIE, false);
}

bool vtd_queue_on(struct vtd_unit *u)
{
	u->tail = 0;
	vtd_write64(u->regs + VTD_IQT, 0);
	vtd_write64(u->regs + VTD_IQA, virt_to_hpa(u->queue).v); /* size 0: one page */
	return vtd_command(u, GCMD_QIE, true);
}

void vtd_queue(struct vtd_unit *u, uint64_t lo, uint64_t hi)
{
	struct vtd_entry *e = &u->queue[u->tail];

	e->lo = lo;
	e->hi = hi;
	vtd_written(e, sizeof(*e));
	u->tail = (u->tail + 1) % VTD_QUEUE_ENTRIES;
}

void vtd_submit(struct vtd_unit *u)
{
	vtd_queue(u, DESC_WAIT | DESC_WAIT_STATUS | DESC_WAIT_FENCE | DESC_WAIT_VALUE(++u->waits),
		  virt_to_hpa((const void *)u->done).v);
	/* If that fails, nothing is submitted, and vtd_completed() will say so. */
	if (vtd_drain(u))
		vtd_write64(u->regs + VTD_IQT, (uint64_t)u->tail << QUEUE_SHIFT);
}

bool vtd_completed(struct vtd_unit *u)
{
	uint32_t left = IOMMU_TIMEOUT_US;

	while (__atomic_load_n(u->done, __ATOMIC_ACQUIRE) != u->waits) {
		if (!left-- || vtd_read32(u->regs + VTD_FSTS) & FSTS_IQE)
			return false;
		vtd_wait_us(1);
	}
	return true;
}

void vtd_wait(struct vtd_unit *u)
{
	uint64_t head;
	const struct vtd_entry *e;

	if (vtd_completed(u))
		return;
	head = vtd_read64(u->regs + VTD_IQH);
	e = &u->queue[(head >> QUEUE_SHIFT) % VTD_QUEUE_ENTRIES];
	panic("VT-d unit at %#" PRIx64 ": invalidation does not complete: FSTS %#x GSTS %#x "
	      "IQH %#" PRIx64 " IQT %#" PRIx64 " descriptor %016" PRIx64 " %016" PRIx64,
	      vtd.dmar.units[u - vtd.unit].base.v, vtd_read32(u->regs + VTD_FSTS),
	      vtd_read32(u->regs + VTD_GSTS), head, vtd_read64(u->regs + VTD_IQT), e->hi, e->lo);
}

void vtd_sync(struct vtd_unit *u)
{
	vtd_submit(u);
	vtd_wait(u);
}
