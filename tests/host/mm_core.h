/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_MM_CORE_H
#define TESTS_MM_CORE_H

#include "mm_host.h"

/*
 * A core that writes to the guest's memory, with the TLBs of mm_host.c: by a translation that it has
 * in its TLB and that is dirty already, of which nobody learns; else by setting the dirty flag in a
 * table, be it one that only stale upper entries lead to; else not at all.
 *
 * `choice` selects among what is possible. False: nothing is, the write faults.
 */
bool core_write(uint64_t gfn, unsigned choice);

/* The frames of which a core has set the dirty flag, for page-modification logging; emptied. */
#define CORE_PML 512u
extern uint64_t core_pml[CORE_PML];
extern unsigned core_pml_count;

#endif
