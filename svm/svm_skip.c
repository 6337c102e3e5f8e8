// SPDX-License-Identifier: BSD-2-Clause
/* Past the instruction that exited, on processors that tell where it ends and on others. */
#include "core/fetch.h"
#include "svm/svm.h"
#include "x86/msr.h"
#include "x86/regs.h"

#define MAX_INSN 15

/*
 * nRIP is defined for instruction intercepts (APM vol. 2, 15.7.1). For other exits, nested page
 * faults above all, some processors leave something plausible in it.
 */
static bool next_rip_valid(const struct vmcb_control *c, uint64_t rip)
{
	uint32_t code = (uint32_t)c->exit_code;

	return svm_caps.nrips && code >= SVM_EXIT_RDTSC && code <= SVM_EXIT_RDPRU &&
	       code != SVM_EXIT_SHUTDOWN && code != SVM_EXIT_TASK_SWITCH &&
	       code != SVM_EXIT_FERR_FREEZE && c->next_rip - rip <= MAX_INSN && c->next_rip != rip;
}

static noinline void report_step(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);

	/* With BTF only a taken branch is a step (APM vol. 2, 13.1.1.7). */
	if (s->nmi_step || (svm_caps.lbrv && s->vmcb.save.debugctl & DEBUGCTL_BTF))
		return;
	s->vmcb.save.dr6 |= BIT(14); /* BS: the guest single-steps */
	svm_dirty(s, CLEAN_DR);
	svm_inject_exception(v, VEC_DB, false, 0);
}

static inline void advance(struct vcpu *v, struct svm_vcpu *s, bool mode64, uint64_t rip)
{
	v->rip = mode64 ? rip : (uint32_t)rip;
	v->rflags &= ~(uint64_t)RFLAGS_RF;
	/* The shadow of STI or MOV SS lasts for one instruction, which this was. */
	s->vmcb.control.int_state &= ~INT_STATE_SHADOW;
	if (unlikely(v->rflags & RFLAGS_TF))
		report_step(v);
}

void svm_skip_instruction(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);
	const struct vmcb_control *c = &s->vmcb.control;
	uint64_t rip;
	uint8_t length;

	if (v->insn_length) {
		rip = v->rip + v->insn_length;
	} else if ((uint32_t)c->exit_code == SVM_EXIT_IOIO) {
		rip = c->exit_info2;
	} else if (next_rip_valid(c, v->rip)) {
		rip = c->next_rip;
	} else {
		length = vcpu_instruction_length(v);
		if (!length)
			return; /* it can no longer be read, and that exception comes first */
		rip = v->rip + length;
	}
	advance(v, s, svm_is_64bit(s), rip);
}

/*
 * The bytes are compared in the mode in which operating systems run, and not at the very end of a
 * page. All other cases, an opcode with prefixes included, are the decoder's.
 */
uint64_t svm_next_rip(struct vcpu *v, uint32_t opcode, unsigned length)
{
	const struct svm_vcpu *s = svm_vcpu(v);
	const struct vmcb_save *b = &s->vmcb.save;
	const uint8_t *code;
	uint32_t found;

	if (unlikely(!svm_is_64bit(s)))
		return 0;
	if (svm_caps.nrips)
		return next_rip_valid(&s->vmcb.control, v->rip) ? s->vmcb.control.next_rip : 0;
	if (unlikely(b->cr4 & CR4_LA57) ||
	    unlikely((v->rip & ~PAGE_MASK) > PAGE_SIZE - sizeof(found)))
		return 0;
	code = fetch_begin(v, b->cr3, v->rip);
	if (unlikely(!code))
		return 0;
	__builtin_memcpy(&found, code, sizeof(found));
	fetch_end(v);
	return likely((found ^ opcode) << (32 - 8 * length) == 0) ? v->rip + length : 0;
}

void svm_skip_opcode(struct vcpu *v, uint32_t opcode, unsigned length)
{
	uint64_t next = length ? svm_next_rip(v, opcode, length) : 0;

	if (likely(next))
		advance(v, svm_vcpu(v), true, next);
	else
		svm_skip_instruction(v);
}
