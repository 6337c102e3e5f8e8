/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What follows an exit at once. Most exits are quick: what they ask for belongs to this core alone. They
 * take no lock of levels 1 to 4 (docs/locking.md) and wait for nobody, so the core may go on counting as
 * in the guest. Whoever wants it outside sends it an NMI, which stays pending while GIF is clear and
 * ends the next VMRUN before the guest's next instruction (APM vol. 2, 15.17). Hence the way back needs
 * no look at what other cores ask for, and no fence. RSP and RFLAGS stay in the VMCB, and what becomes of
 * RAX and RIP goes there at once.
 */
#include "core/guest.h"
#include "core/msr.h"
#include "svm/svm.h"
#include "x86/msr.h"
#include "x86/regs.h"

/* The bytes of opcodes, the first one lowest. */
#define OPCODE_CPUID   0xa20fu
#define OPCODE_RDMSR   0x320fu
#define OPCODE_WRMSR   0x300fu
#define OPCODE_VMMCALL 0xd9010fu
#define OPCODE_XSETBV  0xd1010fu

static noinline hpa_t skip_slowly(struct vcpu *v, uint32_t opcode, unsigned length,
				  enum exit_class class)
{
	svm_leave_guest(v);
	svm_skip_opcode(v, opcode, length);
	vcpu_exit_end(v, class);
	return svm_prepare_entry(v);
}

static noinline hpa_t refuse(struct vcpu *v, uint8_t vector, enum exit_class class)
{
	svm_leave_guest(v);
	svm_inject_exception(v, vector, vector == VEC_GP, 0);
	vcpu_exit_end(v, class);
	return svm_prepare_entry(v);
}

/* Past the instruction. False: nothing was done, because a single step traps or an NMI waits. */
static inline bool skip_to(struct svm_vcpu *s, uint64_t next)
{
	struct vmcb *b = &s->vmcb;

	if (unlikely(!next) || unlikely(b->save.rflags & RFLAGS_TF) || unlikely(s->nmi_pending))
		return false;
	b->save.rip = next;
	b->save.rflags &= ~(uint64_t)RFLAGS_RF;
	/* The shadow of STI or MOV SS lasts for one instruction, which this was. */
	b->control.int_state &= ~INT_STATE_SHADOW;
	return true;
}

static inline hpa_t finish(struct vcpu *v, uint32_t opcode, unsigned length, enum exit_class class)
{
	struct svm_vcpu *s = svm_vcpu(v);

	if (unlikely(v->exit_tsc >= v->due) || !skip_to(s, svm_next_rip(v, opcode, length)))
		return skip_slowly(v, opcode, length, class);
	s->vmcb.save.rax = v->gpr[GPR_RAX];
	vcpu_exit_end_soon(v, class);
	return s->vmcb_hpa;
}

static noinline hpa_t exit_cpuid(struct vcpu *v)
{
	vcpu_exit_record(v, EXIT_CPUID, SVM_EXIT_CPUID, v->gpr[GPR_RAX]);
	vcpu_cpuid(v);
	return finish(v, OPCODE_CPUID, 2, EXIT_CPUID);
}

static noinline hpa_t exit_vmmcall(struct vcpu *v)
{
	vcpu_exit_record(v, EXIT_HYPERCALL, SVM_EXIT_VMMCALL, v->gpr[GPR_RAX]);
	if (unlikely(vcpu_hypercall(v) != OK))
		return refuse(v, VEC_UD, EXIT_HYPERCALL);
	return finish(v, OPCODE_VMMCALL, 3, EXIT_HYPERCALL);
}

static noinline hpa_t exit_xsetbv(struct vcpu *v)
{
	vcpu_exit_record(v, EXIT_XSETBV, SVM_EXIT_XSETBV, v->gpr[GPR_RCX]);
	/* The intercept has priority over the check of CPL (APM vol. 2, table 15-7). */
	if (unlikely(svm_vcpu(v)->vmcb.save.cpl != 0) || unlikely(vcpu_xsetbv(v) != OK))
		return refuse(v, VEC_GP, EXIT_XSETBV);
	return finish(v, OPCODE_XSETBV, 3, EXIT_XSETBV);
}

/* EFER is in the VMCB, so it takes no look into the table of MSRs. */
static noinline hpa_t exit_rdmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[GPR_RCX];

	vcpu_exit_record(v, EXIT_RDMSR, SVM_EXIT_MSR, msr);
	if (msr == MSR_EFER) {
		uint64_t value = svm_vcpu(v)->vmcb.save.efer & ~(uint64_t)EFER_SVME;

		v->gpr[GPR_RAX] = (uint32_t)value;
		v->gpr[GPR_RDX] = value >> 32;
	} else if (unlikely(vcpu_rdmsr(v) != OK)) {
		return refuse(v, VEC_GP, EXIT_RDMSR);
	}
	return finish(v, OPCODE_RDMSR, 2, EXIT_RDMSR);
}

/* Whatever a write of EFER may change, but for what comes and goes with long mode. */
static inline bool write_efer(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);
	uint64_t value = v->gpr[GPR_RDX] << 32 | (uint32_t)v->gpr[GPR_RAX];
	uint64_t old = s->vmcb.save.efer;

	if (unlikely(value & ~v->msrs.efer) || unlikely((value ^ old) & (EFER_LME | EFER_LMA)))
		return false;
	s->vmcb.save.efer = value | EFER_SVME;
	svm_dirty(s, CLEAN_CR);
	return true;
}

static noinline hpa_t exit_wrmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[GPR_RCX];

	if (unlikely(!msr_write_is_quick(msr)))
		vcpu_be_outside(v);
	vcpu_exit_record(v, EXIT_WRMSR, SVM_EXIT_MSR, msr);
	if (msr == MSR_EFER && likely(write_efer(v)))
		return finish(v, OPCODE_WRMSR, 2, EXIT_WRMSR);
	if (unlikely(vcpu_wrmsr(v) != OK))
		return refuse(v, VEC_GP, EXIT_WRMSR);
	/* An IPI to itself may have become a request, for which nobody sends an NMI. */
	if (unlikely(v->requests) || unlikely(!v->cpu->in_guest))
		return skip_slowly(v, OPCODE_WRMSR, 2, EXIT_WRMSR);
	return finish(v, OPCODE_WRMSR, 2, EXIT_WRMSR);
}

/* One access to a port. Devices take the guest's lock: the core counts as outside meanwhile. */
static noinline hpa_t exit_port(struct vcpu *v)
{
	struct svm_vcpu *s = svm_vcpu(v);
	uint64_t info = s->vmcb.control.exit_info1;
	uint16_t port = (uint16_t)(info >> IOIO_PORT_SHIFT);
	uint8_t size = (info >> IOIO_SIZE_SHIFT) & 7;

	if (unlikely(info & IOIO_STRING) || unlikely(!svm_is_64bit(s)))
		return svm_handle_slowly(v, SVM_EXIT_IOIO);
	vcpu_exit_begin(v, EXIT_PIO, SVM_EXIT_IOIO, info);
	if (info & IOIO_IN)
		vcpu_in(v, port, size);
	else
		vcpu_out(v, port, size);
	/* EXITINFO2 is the next RIP (APM vol. 2, 15.10.2). */
	if (unlikely(v->exit_tsc >= v->due) || !skip_to(s, s->vmcb.control.exit_info2))
		return skip_slowly(v, 0, 0, EXIT_PIO);
	s->vmcb.save.rax = v->gpr[GPR_RAX];
	vcpu_exit_end(v, EXIT_PIO);
	if (vcpu_may_enter(v))
		return s->vmcb_hpa;
	v->rip = s->vmcb.save.rip;
	svm_leave_guest(v);
	return svm_prepare_entry(v);
}

hpa_t svm_handle_exit(struct vcpu *v)
{
	struct vmcb *b = &svm_vcpu(v)->vmcb;
	uint32_t code = (uint32_t)b->control.exit_code;

	v->gpr[GPR_RAX] = b->save.rax;
	v->rip = b->save.rip;
	/* Commands, which have been carried out. */
	b->control.event_inj = 0;
	b->control.tlb_control = TLB_CONTROL_NOTHING;
	/* From here on, what is changed in the VMCB says so itself. */
	b->control.clean = svm_caps.clean;
	switch (code) {
	case SVM_EXIT_CPUID:
		return exit_cpuid(v);
	case SVM_EXIT_MSR:
		return b->control.exit_info1 & 1 ? exit_wrmsr(v) : exit_rdmsr(v);
	case SVM_EXIT_VMMCALL:
		return exit_vmmcall(v);
	case SVM_EXIT_IOIO:
		return exit_port(v);
	case SVM_EXIT_XSETBV:
		return exit_xsetbv(v);
	default:
		return svm_handle_slowly(v, code);
	}
}
