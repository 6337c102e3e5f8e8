/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_MEMMAP_H
#define LAMINA_BOOT_MEMMAP_H

#include "boot_info.h"

/*
 * The firmware's memory map turned into sorted, disjoint regions. Pure. The map is untrusted:
 * unsorted, overlapping, empty and impossible entries are all seen on real machines. What two
 * entries disagree about goes to the more restrictive one.
 */

/* A list under construction in memory of the caller's: sorted, disjoint, neighbours merged. */
struct region_list {
	struct boot_region *regions;
	uint32_t count, max;
	uint32_t lost; /* ranges without a place */
	bool closed;   /* one of them was not usable: no usable range is added any more */
};

/*
 * Add [base, base + size) unless a more restrictive type claims it; types of Lamina's own come
 * first. If the list is full the range is left out, which makes it nobody's memory.
 */
void region_add(struct region_list *l, uint64_t base, uint64_t size, enum region_type type,
		int32_t guest);

/* UEFI 2.10 section 7.2.3: EFI_MEMORY_DESCRIPTOR, without the UEFI headers' types. */
struct efi_memory {
	uint32_t type;
	uint32_t pad;
	uint64_t base;
	uint64_t virt;
	uint64_t pages;
	uint64_t attributes;
};

enum memmap_when {
	MEMMAP_BEFORE_EXIT, /* usable is what can still be allocated from the firmware */
	MEMMAP_AFTER_EXIT,  /* boot services' and loader's memory is usable as well */
};

/* Add a whole map: `size` bytes of entries that are `stride` bytes apart. */
void region_add_efi(struct region_list *l, const void *map, uint64_t size, uint64_t stride,
		    enum memmap_when when);

#endif
