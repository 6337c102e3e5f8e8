/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_PAGETABLE_H
#define LAMINA_BOOT_PAGETABLE_H

#include "types.h"

/*
 * The temporary page tables between the firmware's and the hypervisor's own (Intel SDM vol. 3A
 * section 4.5.4, AMD APM vol. 2 section 5.3). Pure: tables are reached at their physical address,
 * which is what the firmware's identity mapping gives and what the host tests arrange.
 */
#define PT_WRITE   BIT(1)
#define PT_LARGE   BIT(7) /* 2 MiB pages; address and size must be multiples of that */
#define PT_NO_EXEC BIT(63)

struct pagetable {
	uint64_t *root;
	uint64_t next, end; /* free memory for tables, page aligned */
	bool full;          /* it ran out: the tables are unusable */
};

/* Start with one empty table out of [base, base + size). */
void pagetable_init(struct pagetable *t, uint64_t base, uint64_t size);

/* Map [va, va + size) to pa, with PT_ flags. Page multiples; nothing of it is mapped yet. */
void pagetable_map(struct pagetable *t, uint64_t va, uint64_t pa, uint64_t size, uint64_t flags);

#endif
