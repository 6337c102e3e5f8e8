/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What follows an exit at once. Most exits are quick: what they ask for belongs to this core alone. They
 * take no lock of levels 1 to 4 (docs/locking.md) and wait for nobody, so the core may go on counting as
 * in the guest. Whoever wants it outside sends it an NMI, and the last look before VMRESUME finds that
 * as if it had come a moment later. Hence the way back needs no look at what other cores ask for, and
 * no fence. RSP and RFLAGS stay in the VMCS, and what becomes of RIP goes there at once.
 */
#include "core/msr.h"
#include "vmx/vmcs_fields.h"
#include "vmx/vmx.h"
#include "x86/asm.h"
#include "x86/msr.h"
#include "x86/regs.h"

static noinline enum vmx_entry_kind skip_slowly(struct vcpu *v, enum exit_class class)
{
	vmx_leave_guest(v);
	vmx_skip_instruction(v);
	vcpu_exit_end(v, class);
	return vmx_prepare_entry(v);
}

static noinline enum vmx_entry_kind refuse(struct vcpu *v, uint8_t vector, enum exit_class class)
{
	vmx_leave_guest(v);
	vmx_inject_exception(v, vector, vector == VEC_GP, 0);
	vcpu_exit_end(v, class);
	return vmx_prepare_entry(v);
}

/*
 * Past the instruction. False: nothing was done, because there is more to it: RIP may wrap at 4 GiB, a
 * shadow of STI or MOV SS ends, a single step traps.
 */
static inline bool skip(const struct vcpu *v)
{
	uint32_t length = vmcs_read32(VMCS_EXIT_INSN_LENGTH);
	uint64_t next = v->rip + length;

	if (unlikely((uint32_t)next < length) ||
	    unlikely(vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCK_STI | BLOCK_MOV_SS)) ||
	    unlikely(vmcs_read_nat(VMCS_GUEST_RFLAGS) & (RFLAGS_TF | RFLAGS_RF)))
		return false;
	vmcs_write_nat(VMCS_GUEST_RIP, next);
	return true;
}

static inline enum vmx_entry_kind finish(struct vcpu *v, enum exit_class class)
{
	if (unlikely(v->exit_tsc >= v->due) || !skip(v))
		return skip_slowly(v, class);
	vcpu_exit_end_soon(v, class);
	return VMX_RESUME;
}

static noinline enum vmx_entry_kind exit_hypercall(struct vcpu *v)
{
	vcpu_exit_record(v, EXIT_HYPERCALL, REASON_VMCALL, v->gpr[GPR_RAX]);
	if (unlikely(vcpu_hypercall(v) != OK))
		return refuse(v, VEC_UD, EXIT_HYPERCALL);
	return finish(v, EXIT_HYPERCALL);
}

static noinline enum vmx_entry_kind exit_xsetbv(struct vcpu *v)
{
	vcpu_exit_record(v, EXIT_XSETBV, REASON_XSETBV, v->gpr[GPR_RCX]);
	if (unlikely(vcpu_xsetbv(v) != OK))
		return refuse(v, VEC_GP, EXIT_XSETBV);
	return finish(v, EXIT_XSETBV);
}

/* EFER is in the VMCS, so it takes no look into the table of MSRs. */
static noinline enum vmx_entry_kind exit_rdmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[GPR_RCX];

	vcpu_exit_record(v, EXIT_RDMSR, REASON_RDMSR, msr);
	if (msr == MSR_EFER) {
		uint64_t value = vmcs_read64(VMCS_GUEST_EFER);

		v->gpr[GPR_RAX] = (uint32_t)value;
		v->gpr[GPR_RDX] = value >> 32;
	} else if (unlikely(vcpu_rdmsr(v) != OK)) {
		return refuse(v, VEC_GP, EXIT_RDMSR);
	}
	return finish(v, EXIT_RDMSR);
}

/* Whatever a write of EFER may change, but for what comes and goes with long mode. */
static inline bool write_efer(struct vcpu *v)
{
	uint64_t value = v->gpr[GPR_RDX] << 32 | (uint32_t)v->gpr[GPR_RAX];
	uint64_t old = vmcs_read64(VMCS_GUEST_EFER);

	if (unlikely(value & ~v->msrs.efer) || unlikely((value ^ old) & (EFER_LME | EFER_LMA)))
		return false;
	vmcs_write64(VMCS_GUEST_EFER, value);
	return true;
}

static noinline enum vmx_entry_kind exit_wrmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[GPR_RCX];

	if (unlikely(!msr_write_is_quick(msr)))
		return vmx_handle_slowly(v, REASON_WRMSR);
	vcpu_exit_record(v, EXIT_WRMSR, REASON_WRMSR, msr);
	if (msr == MSR_EFER && likely(write_efer(v)))
		return finish(v, EXIT_WRMSR);
	if (unlikely(vcpu_wrmsr(v) != OK))
		return refuse(v, VEC_GP, EXIT_WRMSR);
	/* An IPI to itself may have become a request, for which nobody sends an NMI. One may be logged. */
	if (unlikely(v->requests) || unlikely(!v->cpu->in_guest))
		return skip_slowly(v, EXIT_WRMSR);
	return finish(v, EXIT_WRMSR);
}

/* One access to a port. Devices take the guest's lock: the core counts as outside meanwhile. */
static noinline enum vmx_entry_kind exit_io(struct vcpu *v)
{
	uint64_t q = vmcs_read_nat(VMCS_EXIT_QUALIFICATION);

	if (unlikely(q & IO_QUAL_STRING) || unlikely(vmx_of(v)->pml_on))
		return vmx_handle_slowly(v, REASON_IO);
	vcpu_exit_begin(v, EXIT_PIO, REASON_IO, q);
	if (q & IO_QUAL_IN)
		vcpu_in(v, IO_QUAL_PORT(q), IO_QUAL_SIZE(q));
	else
		vcpu_out(v, IO_QUAL_PORT(q), IO_QUAL_SIZE(q));
	if (unlikely(v->exit_tsc >= v->due) || !skip(v))
		return skip_slowly(v, EXIT_PIO);
	vcpu_exit_end(v, EXIT_PIO);
	if (vcpu_may_enter(v) && likely(!vmx_pml_wanted(v)))
		return VMX_RESUME;
	vmx_resume_put_off(v);
	return vmx_prepare_entry(v);
}

enum vmx_entry_kind vmx_handle_exit(struct vcpu *v)
{
	uint32_t reason = vmcs_read32(VMCS_EXIT_REASON);

	vmx_of(v)->event = 0;
	v->rip = vmcs_read_nat(VMCS_GUEST_RIP);
	/* One after the other, the frequent ones first: without jump tables, a switch is no shorter. */
	if (REASON_BASIC(reason) == REASON_CPUID) {
		vcpu_exit_record(v, EXIT_CPUID, REASON_CPUID, v->gpr[GPR_RAX]);
		vcpu_cpuid(v);
		return finish(v, EXIT_CPUID);
	}
	if (REASON_BASIC(reason) == REASON_WRMSR)
		return exit_wrmsr(v);
	if (REASON_BASIC(reason) == REASON_IO)
		return exit_io(v);
	if (REASON_BASIC(reason) == REASON_RDMSR)
		return exit_rdmsr(v);
	if (REASON_BASIC(reason) == REASON_VMCALL)
		return exit_hypercall(v);
	if (REASON_BASIC(reason) == REASON_XSETBV)
		return exit_xsetbv(v);
	return vmx_handle_slowly(v, reason);
}
