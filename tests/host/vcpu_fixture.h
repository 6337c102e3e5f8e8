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

extern uint8_t memory[MEMORY];
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

/* Before each test: all of it zero, but the vCPU is the guest's and has valid RFLAGS. */
void vcpu_fixture_setup(void);

#endif
