// SPDX-License-Identifier: BSD-2-Clause
#include "svm/svm.h"
#include "x86/regs.h"

/*
 * VMRUN refuses an illegal state with VMEXIT_INVALID and does not say what was illegal. These are
 * the rules of APM vol. 2, 15.5.1 in the order given there, for the message about the guest's end.
 */
static bool pat_legal(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t type = (pat >> (8 * i)) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* 15.20: reserved types, NMI or an interrupt's vector as an exception. */
static const char *check_event(uint64_t event)
{
	uint64_t vector = event & EVENT_VECTOR;

	if (!(event & EVENT_VALID))
		return NULL;
	switch (event & EVENT_TYPE) {
	case EVENT_TYPE_INTR:
	case EVENT_TYPE_NMI:
	case EVENT_TYPE_SOFT:
		return NULL;
	case EVENT_TYPE_EXC:
		return vector == VEC_NMI || vector >= VEC_EXCEPTIONS
			       ? "EVENTINJ injects a vector that is no exception"
			       : NULL;
	default:
		return "EVENTINJ has a reserved type";
	}
}

static const char *check_control(const struct vmcb_control *c, const struct vmcb_limits *l)
{
	uint64_t end = l->maxphyaddr < 64 ? BIT(l->maxphyaddr) : ~0ull;

	if (!(c->intercept[1] & INTERCEPT_VMRUN))
		return "VMRUN is not intercepted";
	if (c->msrpm_base + MSRPM_SIZE > end || c->iopm_base + IOPM_SIZE > end)
		return "a permission map lies beyond the physical address space";
	if (c->asid == 0 || c->asid >= l->asids)
		return "the ASID is the host's or does not exist";
	if ((c->nested_ctl & NESTED_NP_ENABLE) && c->ncr3 >= end)
		return "nCR3 has reserved bits set";
	return check_event(c->event_inj);
}

static const char *check_long_mode(const struct vmcb_save *s)
{
	bool l = s->cs.attrib & BIT(9), d = s->cs.attrib & BIT(10);

	if (!(s->efer & EFER_LME) || !(s->cr0 & CR0_PG))
		return NULL;
	if (!(s->cr4 & CR4_PAE))
		return "long mode without CR4.PAE";
	if (!(s->cr0 & CR0_PE))
		return "long mode without CR0.PE";
	if (l && d)
		return "CS has both L and D";
	return NULL;
}

static const char *check_save(const struct vmcb_save *s, const struct vmcb_limits *l)
{
	if (!(s->efer & EFER_SVME))
		return "EFER.SVME is clear";
	if (!(s->cr0 & CR0_CD) && (s->cr0 & CR0_NW))
		return "CR0.NW without CR0.CD";
	if (s->cr0 >> 32)
		return "CR0 has high bits set";
	/* Outside long mode the processor looks at 32 bits only. */
	if ((s->efer & EFER_LMA) && s->cr3 >> l->maxphyaddr)
		return "CR3 has reserved bits set";
	if (s->cr4 & ~l->cr4_valid)
		return "CR4 has reserved bits set";
	if (s->dr6 >> 32)
		return "DR6 has high bits set";
	if (s->dr7 >> 32)
		return "DR7 has high bits set";
	if (s->efer & ~l->efer_valid)
		return "EFER has reserved bits set";
	if ((s->cr4 & CR4_CET) && !(s->cr0 & CR0_WP))
		return "CR4.CET without CR0.WP";
	return check_long_mode(s);
}

const char *vmcb_check(const struct vmcb *b, const struct vmcb_limits *l)
{
	const char *why = check_save(&b->save, l);

	if (!why)
		why = check_control(&b->control, l);
	if (!why && (b->control.nested_ctl & NESTED_NP_ENABLE) && !pat_legal(b->save.g_pat))
		why = "the guest's PAT has a reserved memory type";
	return why;
}
