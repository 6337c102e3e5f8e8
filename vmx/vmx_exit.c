/* SPDX-License-Identifier: BSD-2-Clause */
/* What follows an exit: hardware's account of it becomes a call into core/. */
#include "vmx/guest_check.h"
#include "vmx/vmcs_fields.h"
#include "vmx/vmx.h"
#include "x86/asm.h"
#include "x86/cpu.h"
#include "x86/msr.h"
#include "x86/nmi.h"

/* DR6 bits that are one when nothing happened; #DB reports them inverted (25.9.1, 18.2.3). */
#define DR6_ACTIVE_LOW 0xffff0ff0ull
#define DR6_TRAPS      0xfull
#define DR7_GD         BIT(13)

enum vmx_entry_kind vmx_prepare_entry(struct vcpu *v)
{
	struct vmx_vcpu *hw = vmx_of(v);

	/* What vcpu_before_entry() looks at, in the order in which it does. */
	if ((unlikely(v->exit_tsc >= v->due) || unlikely(v->cpu->nmi_pending) ||
	     !vcpu_may_enter(v)) &&
	    !vcpu_before_entry(v))
		return VMX_LEAVE;
	/* After that look, so that logs which begin while the core is held find their list. */
	if (unlikely(vmx_pml_wanted(v) != hw->pml_on))
		vmx_pml_switch(v);
	if (unlikely(hw->nmi_pending || hw->event))
		vmx_deliver_events(v);
	if (v->rip != hw->rip) {
		hw->rip = v->rip;
		vmcs_write_nat(VMCS_GUEST_RIP, v->rip);
	}
	if (unlikely(v->rflags != hw->rflags)) {
		hw->rflags = v->rflags;
		vmcs_write_nat(VMCS_GUEST_RFLAGS, v->rflags);
	}
	if (unlikely(v->gpr[GPR_RSP] != hw->rsp)) {
		hw->rsp = v->gpr[GPR_RSP];
		vmcs_write_nat(VMCS_GUEST_RSP, hw->rsp);
	}
	return hw->launched ? VMX_RESUME : VMX_LAUNCH;
}

void vmx_leave_guest(struct vcpu *v)
{
	struct vmx_vcpu *hw = vmx_of(v);

	hw->launched = true;
	if (unlikely(hw->pml_on))
		vmx_pml_drain(v);
	hw->rip = v->rip;
	hw->rsp = v->gpr[GPR_RSP] = vmcs_read_nat(VMCS_GUEST_RSP);
	hw->rflags = v->rflags = vmcs_read_nat(VMCS_GUEST_RFLAGS);
	vcpu_be_outside(v);
}

void vmx_resume_put_off(struct vcpu *v)
{
	v->rip = vmcs_read_nat(VMCS_GUEST_RIP);
	vmx_leave_guest(v);
}

/* The machine check is the host's to judge; its handler is reached the way hardware would. */
static void host_machine_check(void)
{
	__asm__ volatile("int %0" : : "i"(VEC_MC) : "memory");
}

/* Deliver what was intercepted only to stay in control of loops. */
static noinline void reflect_exception(struct vcpu *v, uint32_t info)
{
	struct vmx_vcpu *hw = vmx_of(v);
	uint8_t vector = (uint8_t)EVENT_VECTOR(info);

	/* An IRET that faults after it has unblocked NMIs has not happened (28.2.3). */
	if ((info & EVENT_UNBLOCKED_NMI) && vector != VEC_DF &&
	    !(vmcs_read32(VMCS_VECTORING_EVENT) & EVENT_VALID)) {
		uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, blocking | BLOCK_NMI);
	}
	vmx_requeue_event(v);
	if (EVENT_TYPE(info) == EVENT_TYPE_PRIV_SOFT) {
		hw->event = EVENT(EVENT_TYPE_PRIV_SOFT, vector);
		hw->event_length = vmcs_read32(VMCS_EXIT_INSN_LENGTH);
		return;
	}
	if (vector == VEC_DB) {
		uint64_t found = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
		uint64_t dr6;

		/* The exit has left DR6, DR7.GD and DEBUGCTL as they were before (28.1). */
		__asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
		dr6 = (dr6 & ~DR6_TRAPS) | DR6_ACTIVE_LOW | found;
		dr6 ^= found & DR6_ACTIVE_LOW;
		__asm__ volatile("mov %0, %%dr6" : : "r"(dr6 & 0xffffffff));
		vmcs_write_nat(VMCS_GUEST_DR7, vmcs_read_nat(VMCS_GUEST_DR7) & ~DR7_GD);
		vmcs_write64(VMCS_GUEST_DEBUGCTL, vmcs_read64(VMCS_GUEST_DEBUGCTL) &
							  ~(uint64_t)(DEBUGCTL_LBR | DEBUGCTL_BTF));
	}
	vmx_inject_exception(v, vector, info & EVENT_HAS_ERROR,
			     info & EVENT_HAS_ERROR ? vmcs_read32(VMCS_EXIT_EVENT_ERROR) : 0);
}

static noinline void handle_exception_nmi(struct vcpu *v, uint32_t reason)
{
	uint32_t info = vmcs_read32(VMCS_EXIT_EVENT);

	if (likely(EVENT_TYPE(info) == EVENT_TYPE_NMI)) {
		/* First of all: NMIs are blocked until this. */
		nmi_exit_from_guest(v->cpu);
		vcpu_exit_begin(v, EXIT_NMI, reason, 0);
		vcpu_host_nmi(v);
		vcpu_exit_end(v, EXIT_NMI);
		return;
	}
	vcpu_exit_begin(v, EXIT_EXCEPTION, reason, info);
	switch (EVENT_VECTOR(info)) {
	case VEC_MC:
		vmx_requeue_event(v);
		host_machine_check();
		break;
	case VEC_DB:
	case VEC_AC:
		reflect_exception(v, info);
		break;
	default:
		vcpu_die(v, "exit for exception %u, which is not intercepted", EVENT_VECTOR(info));
	}
	vcpu_exit_end(v, EXIT_EXCEPTION);
}

static void handle_io(struct vcpu *v, uint32_t reason)
{
	uint64_t q = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
	struct pio_exit e = {
		.port = IO_QUAL_PORT(q),
		.size = IO_QUAL_SIZE(q),
		.in = q & IO_QUAL_IN,
		.string = q & IO_QUAL_STRING,
		.rep = q & IO_QUAL_REP,
	};

	if (unlikely(e.string)) {
		/* Table 27-9. Bit 54 of IA32_VMX_BASIC says that there is such information. */
		uint32_t info = vmx_caps.insn_info ? vmcs_read32(VMCS_EXIT_INSN_INFO) : 0;

		e.address_size = vmx_caps.insn_info ? (uint8_t)(2u << ((info >> 7) & 3)) : 0;
		e.segment = vmx_caps.insn_info ? (info >> 15) & 7 : 0xff;
	}
	vcpu_exit_begin(v, EXIT_PIO, reason, q);
	vcpu_pio(v, &e);
	vcpu_exit_end(v, EXIT_PIO);
}

/* An IRET that was interrupted after it has unblocked NMIs has not happened (28.2.3). */
static void block_nmi_again(uint64_t qualification)
{
	uint32_t blocking;

	if (likely(!(qualification & EPT_QUAL_NMI_IRET)) ||
	    vmcs_read32(VMCS_VECTORING_EVENT) & EVENT_VALID)
		return;
	blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);
	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, blocking | BLOCK_NMI);
}

static noinline void handle_ept(struct vcpu *v, uint32_t reason)
{
	uint64_t q = 0;
	struct tdp_exit e = {
		.gpa = GPA(vmcs_read64(VMCS_GUEST_PHYSICAL)),
		.misconfig = REASON_BASIC(reason) == REASON_EPT_MISCONFIG,
	};

	/* A misconfiguration has no qualification (28.2.1). */
	e.untold = e.misconfig;
	if (!e.misconfig) {
		q = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
		e.read = q & EPT_QUAL_READ;
		e.write = q & EPT_QUAL_WRITE;
		e.fetch = q & EPT_QUAL_FETCH;
		e.in_page_walk = (q & EPT_QUAL_LINEAR) && !(q & EPT_QUAL_TRANSLATED);
		block_nmi_again(q);
	}
	vcpu_exit_begin(v, EXIT_TDP, reason, e.gpa.v);
	vmx_requeue_event(v);
	e.in_event = vmx_of(v)->event != 0;
	vcpu_tdp_fault(v, &e);
	vcpu_exit_end(v, EXIT_TDP);
}

/* The list has been emptied. What was being delivered goes on, as after a violation. */
static void handle_list_full(struct vcpu *v, uint32_t reason)
{
	vcpu_exit_begin(v, EXIT_TDP, reason, 0);
	block_nmi_again(vmcs_read_nat(VMCS_EXIT_QUALIFICATION));
	vmx_requeue_event(v);
	vcpu_exit_end(v, EXIT_TDP);
}

static noinline void handle_denied(struct vcpu *v, uint32_t reason)
{
	vcpu_exit_begin(v, EXIT_DENIED, reason, 0);
	vmx_inject_exception(v, VEC_UD, false, 0);
	vcpu_exit_end(v, EXIT_DENIED);
}

/* Done: skip. Refused: the exception that the instruction raises where it does not exist. */
static void finish(struct vcpu *v, enum status status, uint8_t vector, enum exit_class class)
{
	if (status == OK)
		vmx_skip_instruction(v);
	else
		vmx_inject_exception(v, vector, vector == VEC_GP, 0);
	vcpu_exit_end(v, class);
}

static noinline void handle_fatal(struct vcpu *v, uint32_t reason)
{
	uint64_t q = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);

	switch (REASON_BASIC(reason)) {
	case REASON_TRIPLE_FAULT:
		vcpu_exit_begin(v, EXIT_SHUTDOWN, reason, q);
		vcpu_die(v, "triple fault");
		break;
	case REASON_TASK_SWITCH:
		vcpu_exit_begin(v, EXIT_OTHER, reason, q);
		vcpu_die(v, "hardware task switch to selector %#x: not supported",
			 (unsigned int)(q & 0xffff));
		break;
	default:
		vcpu_exit_begin(v, EXIT_OTHER, reason, q);
		vcpu_die(v, "unexpected exit %#x (%s), qualification %#llx", reason,
			 vmx_exit_name(reason), (unsigned long long)q);
	}
}

/* The exits that no guest takes often. */
static noinline void handle_rare(struct vcpu *v, uint32_t reason)
{
	uint64_t q;

	switch (REASON_BASIC(reason)) {
	case REASON_CR_ACCESS:
		q = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);
		vcpu_exit_begin(v, EXIT_CR, reason, q);
		vmx_cr_access(v, q);
		vcpu_exit_end(v, EXIT_CR);
		break;
	case REASON_INVD:
	case REASON_WBINVD:
		/* All of the guest's memory is coherent write-back: there is nothing to write back. */
		vcpu_exit_begin(v, EXIT_CACHE, reason, 0);
		finish(v, OK, 0, EXIT_CACHE);
		break;
	case REASON_RDPMC:
		vcpu_exit_begin(v, EXIT_DENIED, reason, v->gpr[GPR_RCX]);
		finish(v, ERR_DENIED, VEC_GP, EXIT_DENIED);
		break;
	case REASON_INTERRUPT_WINDOW:
	case REASON_NMI_WINDOW:
		vcpu_exit_begin(v, EXIT_NMI_WINDOW, reason, 0);
		vmx_window_open(v);
		vcpu_exit_end(v, EXIT_NMI_WINDOW);
		break;
	case REASON_PML_FULL:
		handle_list_full(v, reason);
		break;
	case REASON_INIT:
	case REASON_SIPI:
		/* From outside; the hypervisor never sends one to a core that runs a guest. */
		vcpu_exit_begin(v, EXIT_INIT_SIGNAL, reason, 0);
		vcpu_exit_end(v, EXIT_INIT_SIGNAL);
		break;
	case REASON_GETSEC:
	case REASON_RSM:
	case REASON_VMCLEAR ... REASON_VMXON:
	case REASON_MWAIT:
	case REASON_MONITOR:
	case REASON_INVEPT:
	case REASON_INVVPID:
	case REASON_VMFUNC:
	case REASON_ENCLS:
	case REASON_PCONFIG:
	case REASON_ENCLV:
	/* Both exit at any privilege level where the CPU has TDX: no reason to end the guest. */
	case REASON_SEAMCALL:
	case REASON_TDCALL:
		handle_denied(v, reason);
		break;
	default:
		handle_fatal(v, reason);
	}
}

static noinline void entry_failed(struct vcpu *v, uint32_t reason)
{
	struct vmx_guest_state state;
	uint64_t q = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);

	vcpu_exit_begin(v, EXIT_INVALID, reason, q);
	switch (REASON_BASIC(reason)) {
	case REASON_INVALID_GUEST:
		vmx_collect_guest_state(&state);
		vcpu_die(v, "VM entry refused the guest's state: %s (qualification %llu)",
			 vmx_check_guest_state(&state), (unsigned long long)q);
		break;
	case REASON_ENTRY_MACHINE_CHECK:
		host_machine_check();
		break;
	default:
		vcpu_die(v, "VM entry failed: %s, qualification %llu", vmx_exit_name(reason),
			 (unsigned long long)q);
	}
}

void vmx_entry_refused(struct vcpu *v, bool no_vmcs)
{
	/* After a quick exit the VMCS alone has them. */
	if (!no_vmcs)
		vmx_resume_put_off(v);
	vcpu_exit_begin(v, EXIT_INVALID, 0, 0);
	vcpu_die(v, "VM entry: %s",
		 no_vmcs ? "no current VMCS" : vmx_insn_error(vmcs_read32(VMCS_INSN_ERROR)));
}

enum vmx_entry_kind vmx_handle_slowly(struct vcpu *v, uint32_t reason)
{
	vmx_leave_guest(v);
	if (unlikely(reason & REASON_ENTRY_FAILED)) {
		entry_failed(v, reason);
		return vmx_prepare_entry(v);
	}
	switch (REASON_BASIC(reason)) {
	case REASON_EXCEPTION_NMI:
		handle_exception_nmi(v, reason);
		break;
	case REASON_IO:
		handle_io(v, reason);
		break;
	case REASON_WRMSR:
		vcpu_exit_begin(v, EXIT_WRMSR, reason, v->gpr[GPR_RCX]);
		finish(v, vcpu_wrmsr(v), VEC_GP, EXIT_WRMSR);
		break;
	case REASON_EPT_VIOLATION:
	case REASON_EPT_MISCONFIG:
		handle_ept(v, reason);
		break;
	default:
		handle_rare(v, reason);
	}
	return vmx_prepare_entry(v);
}
