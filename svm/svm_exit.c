// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

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

/* Skip what was emulated, or raise #GP(0). */
static void finish(struct vcpu *v, enum status s)
{
	if (s == OK)
		svm_skip_instruction(v);
	else
		exit_protection(v);
}

static void exit_cpuid(struct vcpu *v)
{
	vcpu_cpuid(v);
	svm_skip_instruction(v);
}

static void exit_msr(struct vcpu *v)
{
	bool write = svm_vcpu(v)->vmcb.control.exit_info1 & 1;

	finish(v, write ? vcpu_wrmsr(v) : vcpu_rdmsr(v));
}

static void exit_xsetbv(struct vcpu *v)
{
	/* The intercept has priority over the check of CPL (APM vol. 2, table 15-7). */
	if (svm_vcpu(v)->vmcb.save.cpl != 0)
		exit_protection(v);
	else
		finish(v, vcpu_xsetbv(v));
}

static void exit_vmmcall(struct vcpu *v)
{
	if (vcpu_hypercall(v) == OK)
		svm_skip_instruction(v);
	else
		exit_undefined(v);
}

static void exit_ioio(struct vcpu *v)
{
	uint64_t info = svm_vcpu(v)->vmcb.control.exit_info1;
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
	vcpu_pio(v, &e);
}

static void exit_npf(struct vcpu *v)
{
	const struct vmcb_control *c = &svm_vcpu(v)->vmcb.control;
	uint64_t info = c->exit_info1;
	struct tdp_exit e = {
		.gpa = GPA(c->exit_info2),
		.write = info & NPF_W,
		.fetch = info & NPF_FETCH,
		.read = !(info & (NPF_W | NPF_FETCH)),
		.in_page_walk = info & NPF_WALK,
		.misconfig = info & NPF_RSVD,
		.in_event = c->exit_int_info & EVENT_VALID,
	};

	/* Zero bytes are no instruction: erratum 1096 (family 17h with SMAP) delivers none, either. */
	if (svm_caps.decode_assists && !e.fetch && c->insn_len <= sizeof(e.insn)) {
		e.insn_len = c->insn_len;
		memcpy(e.insn, c->insn, sizeof(e.insn));
	}
	vcpu_tdp_fault(v, &e);
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
	void (*handle)(struct vcpu *v);
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
	EXIT(CPUID, exit_cpuid, EXIT_CPUID),
	EXIT(IRET, svm_iret_exit, EXIT_NMI_WINDOW),
	EXIT(INVD, exit_skip, EXIT_CACHE),
	EXIT(INVLPGA, exit_undefined, EXIT_DENIED),
	EXIT(IOIO, exit_ioio, EXIT_PIO),
	EXIT(MSR, exit_msr, EXIT_RDMSR),
	EXIT(FERR_FREEZE, exit_again, EXIT_OTHER),
	EXIT(SHUTDOWN, exit_shutdown, EXIT_SHUTDOWN),
	EXIT(VMRUN, exit_undefined, EXIT_DENIED),
	EXIT(VMMCALL, exit_vmmcall, EXIT_HYPERCALL),
	EXIT(VMLOAD, exit_undefined, EXIT_DENIED),
	EXIT(VMSAVE, exit_undefined, EXIT_DENIED),
	EXIT(STGI, exit_undefined, EXIT_DENIED),
	EXIT(CLGI, exit_undefined, EXIT_DENIED),
	EXIT(SKINIT, exit_undefined, EXIT_DENIED),
	EXIT(WBINVD, exit_skip, EXIT_CACHE),
	EXIT(MONITOR, exit_undefined, EXIT_DENIED),
	EXIT(MWAIT, exit_undefined, EXIT_DENIED),
	EXIT(MWAIT_COND, exit_undefined, EXIT_DENIED),
	EXIT(XSETBV, exit_xsetbv, EXIT_XSETBV),
	EXIT(INVLPGB, exit_undefined, EXIT_DENIED),
	EXIT(INVLPGB_ILLEGAL, exit_undefined, EXIT_DENIED),
	EXIT(TLBSYNC, exit_undefined, EXIT_DENIED),
#undef EXIT
};

static const struct exit_entry *find_exit(uint32_t code)
{
	static const struct exit_entry npf = { "NPF", exit_npf, EXIT_TDP };
	static const struct exit_entry exception = { "EXCEPTION", exit_exception, EXIT_EXCEPTION };
	static const struct exit_entry invalid = { "INVALID", exit_invalid, EXIT_INVALID };

	if (code - FIRST_EXIT < ARRAY_SIZE(exits) && exits[code - FIRST_EXIT].handle)
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

void svm_handle_exit(struct vcpu *v)
{
	const struct vmcb_control *c = &svm_vcpu(v)->vmcb.control;
	uint32_t code = (uint32_t)c->exit_code;
	const struct exit_entry *e = find_exit(code);
	enum exit_class class = e->class;

	if (class == EXIT_RDMSR && (c->exit_info1 & 1))
		class = EXIT_WRMSR;
	vcpu_exit_begin(v, class, code, code == SVM_EXIT_NPF ? c->exit_info2 : c->exit_info1);
	svm_save_interrupted_event(v);
	e->handle(v);
	vcpu_exit_end(v, class);
}
