/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_CPUID_H
#define LAMINA_CORE_CPUID_H

#include "types.h"
#include "x86/asm.h"

struct vcpu;

/*
 * A vCPU's answers to CPUID, worked out before each run: what an exit finds here costs a few loads.
 * Leaves 0 to 21h and 80000000h to 80000021h have a place each, side by side.
 */
#define CPUID_PLACES 0x44
#define CPUID_ROWS   80

struct cpuid_place {
	uint8_t row;    /* the first one, of subleaf 0 */
	uint8_t ready;  /* so many rows are the answer */
	uint8_t live;   /* so many are but for what CR4, XCR0 and the APIC's mode change */
	int8_t indexed; /* -1: ECX chooses among them; 0: it does not matter */
};

struct cpuid_table {
	struct cpuid_place places[CPUID_PLACES];
	struct cpuid_regs rows[CPUID_ROWS]; /* the first is that of leaves that are not shown */
};

/* A leaf's place: bit 31 comes last. */
static inline uint32_t cpuid_place(uint32_t leaf)
{
	return leaf << 1 | leaf >> 31;
}

/* The row that is the answer, or NULL: it takes more than that. */
static inline const struct cpuid_regs *cpuid_row(const struct cpuid_table *t, uint32_t leaf,
						 uint32_t subleaf)
{
	uint32_t place = cpuid_place(leaf);
	const struct cpuid_place *p;

	if (unlikely(place >= CPUID_PLACES))
		return NULL;
	p = &t->places[place];
	subleaf &= (uint32_t)p->indexed;
	return likely(subleaf < p->ready) ? &t->rows[p->row + subleaf] : NULL;
}

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
