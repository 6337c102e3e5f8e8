/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_VCPU_FIXTURE_H
#define LAMINA_TESTS_VCPU_FIXTURE_H

#include "core/guest.h"
#include "core/hvm.h"
#include "core/walk.h"

/*
 * A guest with one vCPU and 1 MiB of memory from gpa 0, for tests of what reads and writes that
 * memory by linear addresses: what walk.c asks of a vendor and of the guest, and what came of it.
 */
#define MEMORY 0x100000

/* A page of ROM, full of 0x5a. */
#define ROM 0xa0000000u

extern uint8_t *memory;

/* Its layout: at first all of `memory`, by itself. Who changes it changes its version as well. */
extern union layout {
	struct slot_set set;
	uint8_t room[sizeof(struct slot_set) + 4 * sizeof(struct slot)];
} layout;
#define the_slots (layout.set)

extern unsigned maps; /* how often a window of core/fetch.c was pointed somewhere */

extern struct vcpu_sregs sregs;
extern struct guest guest;
extern struct vcpu vcpu;

/* What has been done to the vCPU. */
struct done {
	unsigned skipped, page_faults, exceptions, deaths;
	uint64_t gla; /* of the last page fault ... */
	uint32_t error;
	uint8_t vector; /* ... and of the last other exception */
	char death[200];
};

extern struct done done;

/* What the vendor says of `sregs`. */
struct vcpu_paging paging_now(void);

/* Before each test: all of it zero, but the vCPU is the guest's and has valid RFLAGS. */
void vcpu_fixture_setup(void);

#endif
