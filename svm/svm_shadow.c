// SPDX-License-Identifier: BSD-2-Clause
#include "core/guest.h"
#include "core/walk.h"
#include "svm/svm.h"
#include "x86/regs.h"

#define OPCODE_STI 0xfb

/*
 * QEMU's TCG stores the interrupt shadow at #VMEXIT but does not load it at VMRUN, as the processor
 * does (APM vol. 2, 15.21.5). An interrupt would then be served between a guest's STI and its HLT,
 * and the HLT would wait for the next one: what was typed last stays unread. So let the guest
 * execute the STI again, which casts a new shadow. The byte in front of RIP may also be the end of a
 * MOV SS that happens to look like an STI; with interrupts enabled again the result is the same.
 */
void svm_repeat_sti(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);
	struct vcpu_paging paging;
	uint8_t opcode, vector;
	uint32_t error;
	uint64_t gla;
	gpa_t gpa;

	/* A single-stepping guest would see the STI twice. An event goes first, shadow or not. */
	if ((v->rflags & (RFLAGS_IF | RFLAGS_TF)) != RFLAGS_IF ||
	    (s->vmcb.control.event_inj & EVENT_VALID))
		return;
	svm_get_paging(v, &paging);
	if (paging.cpl != 0)
		return; /* there STI may need a privilege that MOV SS does not */
	if (walk_segment(v, &paging, SEG_CS, v->rip - 1, 1, WALK_FETCH, &gla, &vector) != OK ||
	    walk_gla(v, &paging, gla, WALK_FETCH, &gpa, &error) != OK ||
	    guest_read(v->guest, gpa, &opcode, sizeof(opcode)) != OK || opcode != OPCODE_STI)
		return;
	v->rip--;
	v->rflags &= ~(uint64_t)RFLAGS_IF;
	s->vmcb.control.int_state &= ~INT_STATE_SHADOW;
}
