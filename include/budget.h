/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BUDGET_H
#define LAMINA_BUDGET_H

#include "types.h"

/*
 * How many pages of the pool belong to whom. The loader sizes the pool by it, the hypervisor
 * reserves by it, so what the loader grants can never be missing later.
 */
#define HYPERVISOR_BUDGET_PAGES 768u /* page tables, stacks, rings, framebuffer's text: 3 MiB */
#define IOMMU_BUDGET_PAGES      672u /* AMD's device table: 512; roots, queues, interrupts: 160 */
#define DEVICE_HOST_PAGES       8u   /* an AMD table of interrupts, as long as indexes are */
#define DEVICE_GUEST_PAGES      16u  /* of a guest: virtual configuration space, vectors, BARs */
#define CPU_BUDGET_PAGES        32u  /* stacks, tables, VMXON region or host save area, per core */
#define GUEST_FIXED_PAGES       192u /* console, firmware tables, slots */
#define GUEST_VCPU_PAGES        8u   /* vCPU, VMCS or VMCB, bitmaps */

/* What belongs to no guest. `devices`: of all guests together, whether they start or not. */
static inline uint64_t hypervisor_budget_pages(uint64_t cores, uint64_t devices)
{
	return HYPERVISOR_BUDGET_PAGES + IOMMU_BUDGET_PAGES + cores * CPU_BUDGET_PAGES +
	       devices * DEVICE_HOST_PAGES;
}

/*
 * One guest's budget: the fixed part, its vCPUs and second-level tables. In the worst case each 2 MiB are
 * mapped by a table of their own, as while a dirty log is kept, whose bitmaps are a sixty-fourth of
 * that; some upper tables and slot sets come on top. `table_bytes` is
 * what the configuration adds for layouts that want more. `devices` that it was given see its memory
 * by tables of their own.
 */
static inline uint64_t guest_budget_pages(uint64_t memory_bytes, uint64_t table_bytes,
					  uint32_t devices, uint32_t vcpus)
{
	uint64_t tables = 32 + memory_bytes / SIZE_2M;

	return GUEST_FIXED_PAGES + vcpus * GUEST_VCPU_PAGES + (devices ? 2 : 1) * tables +
	       memory_bytes / (64 * SIZE_2M) + table_bytes / PAGE_SIZE +
	       devices * (uint64_t)DEVICE_GUEST_PAGES;
}

#endif
