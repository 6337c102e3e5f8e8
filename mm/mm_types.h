/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_TYPES_H
#define LAMINA_MM_TYPES_H

#include "types.h"

/* What an access does, or what a mapping permits: any OR of these. */
#define ACCESS_R   1u
#define ACCESS_W   2u
#define ACCESS_X   4u
#define ACCESS_RW  (ACCESS_R | ACCESS_W)
#define ACCESS_RX  (ACCESS_R | ACCESS_X)
#define ACCESS_RWX (ACCESS_R | ACCESS_W | ACCESS_X)

enum mem_type {
	MEM_WB,
	MEM_UC,
	MEM_WC,
	MEM_TYPES,
};

/* A range of guest frames [start, end); empty if start == end. */
struct gfn_range {
	uint64_t start, end;
};

/*
 * Who walks a guest's tables. The cores and the guest's devices have one table each, made from the
 * same slots by the same transactions.
 */
enum tdp_view_id {
	TDP_CPU, /* EPT or NPT */
	TDP_DMA, /* an IOMMU's second level; only while the guest has devices of its own */
	TDP_VIEWS,
};

/*
 * The hypervisor's own IA32_PAT, which every core loads before it uses a table of ours: entry 1,
 * write-through after reset, becomes write-combining; the others keep their reset value. The
 * hypervisor's own page table and NPT select a memory type by its index (APM vol. 2, 15.25.8:
 * nested entries use the host's PAT); with these four, the PAT bit, which moves between bits 7 and
 * 12 with the page size, is never needed.
 */
#define MM_HOST_PAT 0x0007040600070106ull

#endif
