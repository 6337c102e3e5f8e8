/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HOST_MAP_H
#define LAMINA_CORE_HOST_MAP_H

#include "boot_info.h"
#include "mm/hyp_pgtable.h"
#include "mm/page_alloc.h"

/* The hypervisor's own address space (include/layout.h): the one page table of all cores. */
extern struct hyp_pgtable host_pgtable; /* under host_map()'s lock once other cores run */
extern struct page_budget host_budget;  /* pays for tables, stacks and per-core structures */

/*
 * Take over the pool, build the page table - image by section (W^X), pool, a guard below the boot
 * stack - and load it on the boot core. The loader's temporary tables are unused from then on.
 * Once, before anything allocates or maps.
 */
enum status host_map_init(const struct boot_info *bi) must_check;

/*
 * Map device registers, firmware tables or other host memory at a new address with guard pages on
 * either side; `hpa` and `size` in bytes, any alignment. For good. ERR_NOMEM, ERR_RANGE.
 */
enum status host_map(hpa_t hpa, uint64_t size, unsigned access, enum mem_type type,
		     void **va) must_check;

#endif
