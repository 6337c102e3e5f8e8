/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_CPUID_H
#define LAMINA_CORE_CPUID_H

#include "core/vcpu.h"
#include "x86/asm.h"

/*
 * What the guest sees in a leaf: the host's answer reduced by the table of core/cpuid.c. Bits that
 * are not listed there are 0, leaves that are not listed are all 0.
 */
struct cpuid_regs guest_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf);

/* A FEAT_* of x86/cpuid.h as the guest sees it. Not for OSXSAVE and OSPKE, which follow CR4. */
bool guest_has(struct vcpu *v, uint64_t feature);

/* The state components that the guest may enable in XCR0. */
uint64_t guest_xcr0_mask(void);

#define CPUID_VMWARE_BASE 0x40000000u
#define CPUID_VMWARE_MAX  0x40000010u
#define CPUID_LAMINA_BASE 0x40000100u
#define CPUID_LAMINA_MAX  0x40000101u
#define LAMINA_INTERFACE  1 /* version of the leaves at CPUID_LAMINA_BASE */

#endif
