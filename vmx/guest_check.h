/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_VMX_GUEST_CHECK_H
#define LAMINA_VMX_GUEST_CHECK_H

#include "types.h"

/*
 * The checks that VM entry makes on the guest-state area (SDM vol. 3, 27.3.1), to name the rule
 * that a refused entry has broken: hardware only says that there is one. Pure, for host tests.
 */
struct vmx_guest_segment {
	uint16_t selector;
	uint32_t limit, access;
	uint64_t base;
};

struct vmx_guest_state {
	/* What the checks depend on */
	uint32_t pin, proc2, entry, event;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint8_t maxphyaddr, linear_bits; /* linear_bits: 48, or 57 with LA57 */

	uint64_t cr0, cr3, cr4, dr7, efer, pat, debugctl;
	uint64_t sysenter_esp, sysenter_eip;
	struct vmx_guest_segment seg[8]; /* enum segment_index */
	uint64_t gdtr_base, idtr_base;
	uint32_t gdtr_limit, idtr_limit;
	uint64_t rip, rflags, pending_debug, link_pointer;
	uint32_t activity, interruptibility;
	uint64_t pdpte[4];
};

/* The first rule that is broken, in words; "no rule that is known" if all hold. */
const char *vmx_check_guest_state(const struct vmx_guest_state *s);

/* Read the current VMCS (vmx_state.c). */
void vmx_collect_guest_state(struct vmx_guest_state *s);

#endif
