/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_FETCH_H
#define LAMINA_CORE_FETCH_H

#include "types.h"

struct vcpu;

/*
 * The bytes at the guest's instruction pointer, for exits that come from the same few places again
 * and again. Each entry of the guest's page tables that the last walk went through stays in view by
 * a window of its own, and so does the page of code. If all of them are what they were, so is the
 * translation: a comparison for each level is as good as a new walk, and nothing that the guest
 * changes goes unseen, whether it flushes a TLB or not.
 */
#define FETCH_LEVELS 4

struct fetch_view {
	uint64_t key;     /* linear page, bit 0 set; 0: nothing in view */
	uint64_t cr3;     /* as in the register */
	uint64_t version; /* of the slots by which the windows were pointed */
	struct {
		const volatile uint64_t *entry; /* of level 4 first */
		uint64_t value;
	} step[FETCH_LEVELS];
	const uint8_t *page; /* the code */
};

/*
 * Begin a read section (mm/mm_host.h), in which the rest of the page behind the address returned
 * holds the code at linear address `gla`: for a vCPU in 64-bit mode with four levels of page tables,
 * on its core. Its own fetch from there has just succeeded, so rights and accessed bits are not
 * looked at again. NULL, and no section: it is not mapped, or not in memory of the guest.
 */
const uint8_t *fetch_begin(struct vcpu *v, uint64_t cr3, uint64_t gla);
void fetch_end(void);

#endif
