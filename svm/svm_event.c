// SPDX-License-Identifier: BSD-2-Clause
#include "svm/svm.h"
#include "x86/regs.h"

#define DR6_B  BITS(3, 0)
#define DR6_BD BIT(13)
#define DR6_BS BIT(14)
#define DR6_BT BIT(15)

/* APM vol. 2, table 8-4: a second one of these while delivering a first makes a double fault. */
#define CONTRIBUTORY                                                                         \
	(BIT(VEC_DE) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) | BIT(VEC_GP) | BIT(VEC_CP) | \
	 BIT(VEC_VC) | BIT(VEC_SX))

/* Exceptions whose saved RIP is that of the next instruction, or that are no faults at all. */
#define NO_FAULT (BIT(VEC_DB) | BIT(VEC_BP) | BIT(VEC_OF) | BIT(VEC_DF) | BIT(VEC_MC))

static uint64_t event(uint64_t type, uint8_t vector, bool has_error, uint32_t error)
{
	uint64_t e = EVENT_VALID | type | vector;

	if (has_error)
		e |= EVENT_ERROR | (uint64_t)error << EVENT_ERR_SHIFT;
	return e;
}

static bool makes_double_fault(uint8_t first, uint8_t second)
{
	bool contributory = BIT(second) & CONTRIBUTORY;

	if (first == VEC_PF)
		return contributory || second == VEC_PF;
	return (BIT(first) & CONTRIBUTORY) && contributory;
}

static void block_nmi(struct svm_vcpu *s, bool on)
{
	uint32_t old = s->vmcb.control.intercept[0];

	s->nmi_blocked = on;
	s->vmcb.control.intercept[0] =
		on ? old | (uint32_t)INTERCEPT_IRET : old & ~(uint32_t)INTERCEPT_IRET;
	svm_dirty(s, CLEAN_INTERCEPTS);
}

/*
 * An interrupt that the local APIC has handed over already, but whose delivery gives way to an
 * exception: its vector waits as a virtual interrupt until the guest takes interrupts again. The
 * APIC would not offer it a second time.
 */
static void defer_interrupt(struct svm_vcpu *s, uint8_t vector)
{
	uint64_t ctl = s->vmcb.control.int_ctl & ~INT_CTL_V_VECTOR;

	s->vmcb.control.int_ctl = ctl | INT_CTL_V_IRQ | INT_CTL_V_IGN_TPR |
				  0xfull << INT_CTL_V_PRIO_SHIFT |
				  (uint64_t)vector << INT_CTL_V_VECTOR_SHIFT;
	svm_dirty(s, CLEAN_INT_CTL);
}

/* Make room for an exception; false if the guest ended by it (triple fault). */
static bool combine(struct vcpu *v, uint8_t *vector, bool *has_error, uint32_t *error)
{
	struct svm_vcpu *s = svm_vcpu(v);
	uint64_t pending = s->vmcb.control.event_inj;
	uint8_t first = (uint8_t)(pending & EVENT_VECTOR);

	if (!(pending & EVENT_VALID))
		return true;
	switch (pending & EVENT_TYPE) {
	case EVENT_TYPE_INTR:
		defer_interrupt(s, first);
		break;
	case EVENT_TYPE_NMI:
		block_nmi(s, false);
		s->nmi_pending = true;
		break;
	default:
		if (first == VEC_DF && (*vector == VEC_PF || (BIT(*vector) & CONTRIBUTORY))) {
			vcpu_die(v, "triple fault");
			return false;
		}
		if (makes_double_fault(first, *vector)) {
			*vector = VEC_DF;
			*has_error = true;
			*error = 0;
		}
	}
	return true;
}

void svm_inject_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	if (!combine(v, &vector, &has_error, &error))
		return;
	if (!(BIT(vector) & NO_FAULT))
		v->rflags |= RFLAGS_RF; /* as a fault pushes it: APM vol. 2, 3.1.6 */
	svm_vcpu(v)->vmcb.control.event_inj = event(EVENT_TYPE_EXC, vector, has_error, error);
}

void svm_inject_page_fault(struct vcpu *v, uint64_t gla, uint32_t error)
{
	struct svm_vcpu *s = svm_vcpu(v);

	s->vmcb.save.cr2 = gla;
	svm_dirty(s, CLEAN_CR2);
	svm_inject_exception(v, VEC_PF, true, error);
}

void svm_inject_nmi(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);

	if (svm_caps.vnmi) {
		s->vmcb.control.int_ctl |= INT_CTL_V_NMI;
		svm_dirty(s, CLEAN_INT_CTL);
	} else {
		s->nmi_pending = true;
	}
}

/*
 * The exit came while an event was on its way through the guest's IDT (APM vol. 2, 15.7.2): deliver
 * it again. An INTn, INT3 or INTO is not repeated, because RIP still points at the instruction. One
 * processor model reports interrupts and NMIs as exceptions; their vectors give them away.
 */
void svm_repeat_event(struct vcpu *v, uint64_t interrupted)
{
	uint8_t vector = (uint8_t)(interrupted & EVENT_VECTOR);
	uint64_t type = interrupted & EVENT_TYPE;

	if (type == EVENT_TYPE_SOFT)
		return;
	if (type == EVENT_TYPE_EXC) {
		if (vector == VEC_BP || vector == VEC_OF)
			return;
		if (vector == VEC_NMI)
			type = EVENT_TYPE_NMI;
		else if (vector >= VEC_EXCEPTIONS)
			type = EVENT_TYPE_INTR;
	}
	svm_vcpu(v)->vmcb.control.event_inj =
		event(type, vector, type == EVENT_TYPE_EXC && (interrupted & EVENT_ERROR),
		      (uint32_t)(interrupted >> EVENT_ERR_SHIFT));
}

void svm_deliver_nmi(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);

	if (s->nmi_blocked || (s->vmcb.control.event_inj & EVENT_VALID))
		return;
	s->nmi_pending = false;
	s->vmcb.control.event_inj = event(EVENT_TYPE_NMI, VEC_NMI, false, 0);
	/* EVENTINJ does not mask further NMIs (15.20): IRET tells when the handler ends. */
	block_nmi(s, true);
}

/*
 * The guest is about to execute the IRET that ends its NMI handler. NMIs are blocked until it has
 * completed, so step over it: the next NMI must not land on the stack frame that IRET still reads.
 */
void svm_iret_exit(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);

	s->vmcb.control.intercept[0] &= ~(uint32_t)INTERCEPT_IRET;
	s->nmi_step = true;
	s->step_hide_tf = !(v->rflags & RFLAGS_TF);
	v->rflags |= RFLAGS_TF;
	/* Its bits are sticky: begin without any, to see which ones this step adds. */
	s->step_dr6 = s->vmcb.save.dr6;
	s->vmcb.save.dr6 = DR6_RESET;
	svm_dirty(s, CLEAN_INTERCEPTS | CLEAN_DR);
}

/* Bochs does not record in DR6 why an intercepted #DB came, hence no test for BS being set. */
bool svm_step_exit(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);
	uint64_t hits = s->vmcb.save.dr6 & (DR6_B | DR6_BD | DR6_BT);

	if (!s->nmi_step)
		return false;
	s->nmi_step = false;
	block_nmi(s, false);
	if (!s->step_hide_tf)
		hits |= DR6_BS;
	s->vmcb.save.dr6 = s->step_dr6 | hits;
	svm_dirty(s, CLEAN_DR);
	return !hits;
}
