/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HYP_MEM_H
#define LAMINA_CORE_HYP_MEM_H

#include "boot_info.h"
#include "mm/hyp_pgtable.h"
#include "mm/page_alloc.h"

/* The hypervisor's own page table and the budget that pays for what belongs to no guest. */
extern struct hyp_pgtable hyp_pgtable;
extern struct page_budget hyp_budget;

/*
 * Take over the pool, build the final page table (image by section, W^X; the pool) and load it
 * into CR3. Boot core, once, before anything else allocates. Panics if the pool cannot hold it:
 * the loader has sized it.
 */
void hyp_mem_init(const struct boot_info *bi);

/*
 * Map for good: device registers (MEM_UC), a framebuffer (MEM_WC) or firmware tables (MEM_WB).
 * Any alignment. `access` is ACCESS_R or ACCESS_RW. NULL if the pool or the address space is used
 * up. Takes the lock of the hypervisor's page table.
 */
void *hyp_mem_map(hpa_t hpa, uint64_t size, unsigned access, enum mem_type type);

/* End such a mapping; the address is not used again. Boot core, before other cores run. */
void hyp_mem_unmap(const void *va, uint64_t size);

#endif
