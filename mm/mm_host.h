/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_MM_HOST_H
#define LAMINA_MM_MM_HOST_H

#include "mm/mm_types.h"
#include "mm/page_alloc.h"

/*
 * What mm/ needs from the world around it. There are two implementations, chosen by the linker:
 * core/mm_host.c in the hypervisor and tests/host/mm_host.c, whose adversarial TLB keeps every
 * translation until a flush covers it. `host` is what tdp_init() was given: the guest.
 */

/*
 * Zeroed, contiguous pages charged to the budget, or NULL; and back. The hypervisor's are
 * page_alloc() and page_free(); the tests make them fail, and fail the test when a page is freed
 * that somebody can still walk.
 */
void *mm_alloc(struct page_budget *budget, unsigned pages);
void mm_free(void *first);

/*
 * Replace an entry that hardware may be walking: one atomic 64-bit exchange with full ordering.
 * Returns what was there, with whatever accessed or dirty bits hardware set up to that moment.
 * Every store to a live second-level entry comes through here, entries of tables that are not
 * linked yet do not. Where an IOMMU walks the table and does not snoop the caches, this is where
 * the line is written back.
 */
uint64_t mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value);

/*
 * A table of the view TDP_DMA is complete and about to be linked: where an IOMMU does not snoop the
 * caches, its lines are written back here.
 */
void mm_table_ready(void *host, const uint64_t *table);

/*
 * Take the guest's cores out of guest mode and keep them out: on return none of them executes
 * guest code, and none will before mm_release(). Cores that run the guest are kicked by NMI; those
 * that are in the hypervisor, on behalf of that guest or idle, count as out at once, even if they
 * spin on the lock of the guest's tables (mm_hold() is called with that lock held), because they
 * look at the hold before they enter. The caller may be one of the guest's cores. A core that does
 * not leave within the time limit is a panic that names it.
 */
void mm_hold(void *host);
void mm_release(void *host);

/*
 * Returns when no translation of the ranges that was read from the tables of `views` (a mask of
 * BIT(enum tdp_view_id)) before the call can be used any more:
 *  - TDP_CPU: cores of the guest that are in guest mode are kicked and have left it; each of them
 *    invalidates (INVEPT single-context, SDM vol. 3, 29.4; a new ASID or TLB_CONTROL, APM vol. 2,
 *    15.16) before it enters again, whichever core called. A core that is held or in the hypervisor
 *    is only marked; it counts at once, as in mm_hold(). Paging-structure caches are covered, not
 *    only leaves.
 *  - TDP_DMA: invalidated in all IOMMUs that walk the tables, and completed.
 *  - Whatever the views, read sections (below) on any core that began before the call: ended.
 * More than asked for may be invalidated. Time-out: panic, as in mm_hold(). Called with the locks of
 * the guest's tables held, or without; never inside a read section. No ranges: waits for the read
 * sections alone.
 */
void mm_flush(void *host, unsigned views, const struct gfn_range *ranges, unsigned count);

/*
 * A read section: what the current core reads from a slot set, and any host address that it derives
 * from one, stays valid until the end. Does not nest. No lock is taken and nothing is waited for
 * inside, so that mm_flush() ends.
 */
void mm_read_begin(void);
void mm_read_end(void);

/*
 * The hypervisor's own page table: forget [va, va + size) on the current core (INVLPG for each
 * page, or all). Not needed on other cores: what hyp_pgtable.c takes away it never maps again at
 * the same address, and a window is used by its own core only.
 */
void mm_hyp_invalidate(uint64_t va, uint64_t size);

#endif
