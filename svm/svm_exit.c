// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "core/guest.h"
#include "core/hvm.h"
#include "log.h"
#include "svm/svm.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/regs.h"

static void exit_undefined(struct vcpu *v)
{
	svm_inject_exception(v, VEC_UD, false, 0);
}

static void exit_protection(struct vcpu *v)
{
	svm_inject_exception(v, VEC_GP, true, 0);
}

static void exit_skip(struct vcpu *v)
{
	svm_skip_instruction(v);
}

/* The reason is gone by the time the exit is seen: enter again. */
static void exit_again(struct vcpu *v)
{
	(void)v;
}

/* What svm_quick.c leaves over: strings, and modes in which RIP has 32 bits. */
static void exit_ioio(struct vcpu *v, uint64_t info)
{
	struct pio_exit e = {
		.port = (uint16_t)(info >> IOIO_PORT_SHIFT),
		.size = (uint8_t)((info >> IOIO_SIZE_SHIFT) & 7),
		.in = info & IOIO_IN,
		.string = info & IOIO_STRING,
		.rep = info & IOIO_REP,
		.segment = 0xff,
	};

	if (e.string && svm_caps.decode_assists) {
		e.address_size = (uint8_t)(((info >> IOIO_ADDRESS_SHIFT) & 7) * 2);
		e.segment = (uint8_t)((info >> IOIO_SEGMENT_SHIFT) & 7);
	}
	vcpu_exit_record(v, EXIT_PIO, SVM_EXIT_IOIO, info);
	vcpu_pio(v, &e);
	vcpu_exit_end(v, EXIT_PIO);
}

static inline void exit_npf(struct vcpu *v, const struct vmcb_control *c)
{
	uint64_t info = c->exit_info1;
	struct tdp_exit e;

	/* Field by field: the bytes of `insn` need no value. */
	e.gpa = GPA(c->exit_info2);
	e.write = info & NPF_W;
	e.fetch = info & NPF_FETCH;
	e.read = !(info & (NPF_W | NPF_FETCH));
	e.in_page_walk = info & NPF_WALK;
	e.untold = false;
	e.misconfig = info & NPF_RSVD;
	e.in_event = c->exit_int_info & EVENT_VALID;
	e.insn_len = 0;
	/* Zero bytes are no instruction: erratum 1096 (family 17h with SMAP) delivers none, either. */
	if (svm_caps.decode_assists && !e.fetch && c->insn_len <= sizeof(e.insn)) {
		e.insn_len = c->insn_len;
		memcpy(e.insn, c->insn, sizeof(e.insn));
	}
	vcpu_exit_record(v, EXIT_TDP, SVM_EXIT_NPF, e.gpa.v);
	vcpu_tdp_fault(v, &e);
	vcpu_exit_end(v, EXIT_TDP);
}

static void exit_nmi(struct vcpu *v)
{
	svm_nmi_window();
	vcpu_host_nmi(v);
}

/* From outside only: the guests' own ICR writes are filtered. It was for the machine, not for us. */
static void exit_init(struct vcpu *v)
{
	log_warn("core %u: INIT signal while in guest; redirected", v->cpu->index);
	svm_nmi_window();
}

static void exit_shutdown(struct vcpu *v)
{
	vcpu_die(v, "triple fault");
}

/*
 * A machine check that hit while the guest ran. Interrupts 0-255 are open to INT at CPL 0, so the
 * host's own handler runs on its own stack as if it had been there.
 */
static void machine_check(void)
{
	__asm__ volatile("int %0" : : "i"(VEC_MC) : "memory");
}

/*
 * #DB and #AC are intercepted because a guest can make the delivery of either raise the same one
 * again, forever, inside the processor and without a chance for an interrupt (CVE-2015-5307,
 * CVE-2015-8104). Reflected, the loop passes through here each time. DR6 is in the VMCB as the
 * guest's handler has to see it (APM vol. 2, 15.12.2).
 */
static void exit_exception(struct vcpu *v)
{
	const struct vmcb_control *c = &svm_vcpu(v)->vmcb.control;
	uint8_t vector = (uint8_t)(c->exit_code - SVM_EXIT_EXCEPTION);

	switch (vector) {
	case VEC_DB:
		if (!svm_step_exit(v))
			svm_inject_exception(v, VEC_DB, false, 0);
		break;
	case VEC_AC:
		svm_inject_exception(v, VEC_AC, true, (uint32_t)c->exit_info1);
		break;
	case VEC_MC:
		machine_check();
		break;
	default:
		vcpu_die(v, "exception %u left the guest without an intercept", vector);
	}
}

static void exit_invalid(struct vcpu *v)
{
	const struct svm_vcpu *s = svm_vcpu(v);
	const struct vmcb_save *b = &s->vmcb.save;
	struct vmcb_limits limits = {
		.maxphyaddr = cpu_phys_bits(),
		/* What CPUID says about CR4 takes a table of its own: only PKS and above is judged. */
		.cr4_valid = BITS(24, 0) & ~(uint64_t)(CR4_VMXE | CR4_SMXE),
		.efer_valid = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_LMSLE |
			      EFER_FFXSR | EFER_TCE | BITS(21, 17),
		.asids = svm_caps.asids,
	};
	const char *why = vmcb_check(&s->vmcb, &limits);

	log_error("svm: invalid VMCB: cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx rflags %#llx",
		  (unsigned long long)b->cr0, (unsigned long long)b->cr3,
		  (unsigned long long)b->cr4, (unsigned long long)b->efer,
		  (unsigned long long)b->rflags);
	log_error("svm: dr6 %#llx dr7 %#llx cs %#x/%#x event %#llx asid %u nested %#llx ncr3 %#llx",
		  (unsigned long long)b->dr6, (unsigned long long)b->dr7, b->cs.selector,
		  b->cs.attrib, (unsigned long long)s->vmcb.control.event_inj, s->vmcb.control.asid,
		  (unsigned long long)s->vmcb.control.nested_ctl,
		  (unsigned long long)s->vmcb.control.ncr3);
	vcpu_die(v, "VMRUN refused the guest's state: %s", why ? why : "no known rule is broken");
}

static void exit_unexpected(struct vcpu *v)
{
	const struct vmcb_control *c = &svm_vcpu(v)->vmcb.control;

	vcpu_die(v, "unexpected exit %#x (%s), info %#llx %#llx", (uint32_t)c->exit_code,
		 svm_exit_name((uint32_t)c->exit_code), (unsigned long long)c->exit_info1,
		 (unsigned long long)c->exit_info2);
}

struct exit_entry {
	const char *name;
	void (*handle)(struct vcpu *v); /* NULL: not for handle_rare() */
	enum exit_class class;
};

static const struct exit_entry unexpected = { "?", exit_unexpected, EXIT_OTHER };

#define FIRST_EXIT SVM_EXIT_NMI
#define LAST_EXIT  SVM_EXIT_TLBSYNC

/*
 * What is intercepted, from NMI on. RDPMC: the counters of the L3 and of the memory controllers,
 * which it reads as well, are shared with other guests' cores. INVD would lose what others have
 * written, WBINVD would stall them; guests' memory is always coherent, so neither does anything.
 */
static const struct exit_entry exits[] = {
#define EXIT(code, fn, cls) [SVM_EXIT_##code - FIRST_EXIT] = { #code, fn, cls }
	EXIT(NMI, exit_nmi, EXIT_NMI),
	EXIT(INIT, exit_init, EXIT_INIT_SIGNAL),
	EXIT(RDPMC, exit_protection, EXIT_DENIED),
	EXIT(CPUID, NULL, EXIT_CPUID),
	EXIT(IRET, svm_iret_exit, EXIT_NMI_WINDOW),
	EXIT(INVD, exit_skip, EXIT_CACHE),
	EXIT(INVLPGA, exit_undefined, EXIT_DENIED),
	EXIT(IOIO, NULL, EXIT_PIO),
	EXIT(MSR, NULL, EXIT_RDMSR),
	EXIT(FERR_FREEZE, exit_again, EXIT_OTHER),
	EXIT(SHUTDOWN, exit_shutdown, EXIT_SHUTDOWN),
	EXIT(VMRUN, exit_undefined, EXIT_DENIED),
	EXIT(VMMCALL, NULL, EXIT_HYPERCALL),
	EXIT(VMLOAD, exit_undefined, EXIT_DENIED),
	EXIT(VMSAVE, exit_undefined, EXIT_DENIED),
	EXIT(STGI, exit_undefined, EXIT_DENIED),
	EXIT(CLGI, exit_undefined, EXIT_DENIED),
	EXIT(SKINIT, exit_undefined, EXIT_DENIED),
	EXIT(WBINVD, exit_skip, EXIT_CACHE),
	EXIT(MONITOR, exit_undefined, EXIT_DENIED),
	EXIT(MWAIT, exit_undefined, EXIT_DENIED),
	EXIT(MWAIT_COND, exit_undefined, EXIT_DENIED),
	EXIT(XSETBV, NULL, EXIT_XSETBV),
	EXIT(INVLPGB, exit_undefined, EXIT_DENIED),
	EXIT(INVLPGB_ILLEGAL, exit_undefined, EXIT_DENIED),
	EXIT(TLBSYNC, exit_undefined, EXIT_DENIED),
#undef EXIT
};

static const struct exit_entry *find_exit(uint32_t code)
{
	static const struct exit_entry npf = { "NPF", NULL, EXIT_TDP };
	static const struct exit_entry exception = { "EXCEPTION", exit_exception, EXIT_EXCEPTION };
	static const struct exit_entry invalid = { "INVALID", exit_invalid, EXIT_INVALID };

	if (code - FIRST_EXIT < ARRAY_SIZE(exits) && exits[code - FIRST_EXIT].name)
		return &exits[code - FIRST_EXIT];
	if (code == SVM_EXIT_NPF)
		return &npf;
	if (code - SVM_EXIT_EXCEPTION < VEC_EXCEPTIONS)
		return &exception;
	if (code == SVM_EXIT_INVALID)
		return &invalid;
	return &unexpected;
}

const char *svm_exit_name(uint32_t raw)
{
	return find_exit(raw)->name;
}

/* The exits that no guest takes often. */
static noinline void handle_rare(struct vcpu *v, uint32_t code)
{
	const struct exit_entry *e = find_exit(code);

	vcpu_exit_record(v, e->class, code, svm_vcpu(v)->vmcb.control.exit_info1);
	e->handle(v);
	vcpu_exit_end(v, e->class);
}

hpa_t svm_prepare_entry(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);
	struct vmcb *b = &s->vmcb;

	/* What vcpu_before_entry() looks at, in the order in which it does. */
	if ((unlikely(v->exit_tsc >= v->due) || unlikely(v->cpu->nmi_pending) ||
	     !vcpu_may_enter(v)) &&
	    !vcpu_before_entry(v))
		return HPA(0);
	if (unlikely(b->control.int_state & INT_STATE_SHADOW) && svm_caps.no_shadow)
		svm_repeat_sti(v);
	if (unlikely(s->nmi_pending))
		svm_deliver_nmi(v);
	if (unlikely(s->flush)) {
		struct svm_cpu *p = v->cpu->vendor;

		asid_enter(&p->asid, true, &b->control);
		s->flush = false;
	}
	b->save.rax = v->gpr[GPR_RAX];
	b->save.rsp = v->gpr[GPR_RSP];
	b->save.rip = v->rip;
	b->save.rflags = v->rflags;
	return s->vmcb_hpa;
}

void svm_leave_guest(struct vcpu *v)
{
	const struct vmcb_save *b = &svm_vcpu(v)->vmcb.save;

	v->gpr[GPR_RSP] = b->rsp;
	v->rflags = b->rflags;
	vcpu_be_outside(v);
}

hpa_t svm_handle_slowly(struct vcpu *v, uint32_t code)
{
	const struct vmcb_control *c = &svm_vcpu(v)->vmcb.control;

	svm_leave_guest(v);
	if (unlikely(c->exit_int_info & EVENT_VALID))
		svm_repeat_event(v, c->exit_int_info);
	if (likely(code == SVM_EXIT_NPF))
		exit_npf(v, c);
	else if (code == SVM_EXIT_IOIO)
		exit_ioio(v, c->exit_info1);
	else
		handle_rare(v, code);
	return svm_prepare_entry(v);
}
