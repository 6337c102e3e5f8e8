/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_CPUID_H
#define LAMINA_CORE_CPUID_H

#include "types.h"
#include "x86/asm.h"

struct vcpu;

/*
 * A vCPU's answers to CPUID, worked out before each run: what an exit finds here costs a few loads.
 * Leaves 0 to 21h and 80000000h to 80000021h have a place each. What CR4, XCR0 and the APIC's mode
 * change is left out of the rows.
 */
#define CPUID_PLACES 0x22
#define CPUID_ROWS   80

struct cpuid_place {
	uint8_t row,
		rows; /* where in `rows`, for subleaves 0 to rows-1; no rows: not in the table */
	bool indexed; /* ECX chooses among them */
	bool live;    /* to be completed at each exit */
};

struct cpuid_table {
	struct cpuid_place places[2][CPUID_PLACES];
	struct cpuid_regs rows[CPUID_ROWS]; /* the first is that of leaves that are not shown */
};

/* Fill the vCPU's table. On its own core, since cores may differ; not while its guest runs. */
void cpuid_prepare(struct vcpu *v);

/*
 * What the guest sees in a leaf: the host's answer reduced by the list of core/cpuid.c. Bits that
 * are not listed there are 0, leaves that are not listed are all 0.
 */
struct cpuid_regs guest_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf);

/* The same by the list alone: what the table has no row for. */
struct cpuid_regs cpuid_look_up(struct vcpu *v, uint32_t leaf, uint32_t subleaf);

/* A FEAT_* of x86/cpuid.h as the guest sees it. */
bool guest_has(struct vcpu *v, uint64_t feature);

/* The state components that the guest may enable in XCR0. */
uint64_t guest_xcr0_mask(const struct vcpu *v);

#define CPUID_VMWARE_BASE 0x40000000u
#define CPUID_VMWARE_MAX  0x40000010u
#define CPUID_LAMINA_BASE 0x40000100u
#define CPUID_LAMINA_MAX  0x40000101u
#define LAMINA_INTERFACE  1 /* version of the leaves at CPUID_LAMINA_BASE */

#endif
