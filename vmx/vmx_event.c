/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events that the hypervisor delivers into the guest. `event` waits in memory until the entry that
 * takes it; the exit handler clears it, so that a round that ends before the entry loses nothing.
 */
#include "vmx/vmcs_fields.h"
#include "vmx/vmx.h"
#include "x86/asm.h"
#include "x86/msr.h"

#define CS_LONG (1u << 13)

static void unblock(uint32_t bits)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	if (blocking & bits)
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~bits);
}

static bool in_64bit_mode(void)
{
	return (vmcs_read64(VMCS_GUEST_EFER) & EFER_LMA) &&
	       (vmcs_read32(VMCS_GUEST_CS_ACCESS) & CS_LONG);
}

void vmx_skip_instruction(struct vcpu *v)
{
	/* Not every exit fills the field: an EPT violation need not (28.2.5). */
	uint64_t next =
		v->rip + (v->insn_length ? v->insn_length : vmcs_read32(VMCS_EXIT_INSN_LENGTH));

	/* EIP wraps at 4 GiB; VM entry insists on that, too (27.3.1.4). */
	if (unlikely((next ^ v->rip) >> 32) && !in_64bit_mode())
		next = (uint32_t)next;
	v->rip = next;
	unblock(BLOCK_STI | BLOCK_MOV_SS);
	/* A single step traps after the instruction, although it was not the CPU that executed it. */
	if (unlikely(v->rflags & RFLAGS_TF) && !(vmcs_read64(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF)) {
		uint64_t pending = vmcs_read_nat(VMCS_GUEST_PENDING_DEBUG);

		vmcs_write_nat(VMCS_GUEST_PENDING_DEBUG, pending | PENDING_DEBUG_BS);
	}
	v->rflags &= ~(uint64_t)RFLAGS_RF;
}

enum exception_class {
	BENIGN,
	CONTRIBUTORY,
	PAGE_FAULT,
	DOUBLE_FAULT
};

/* SDM vol. 3, table 6-4 */
static enum exception_class class_of(uint8_t vector)
{
	switch (vector) {
	case VEC_DE:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_CP:
		return CONTRIBUTORY;
	case VEC_PF:
		return PAGE_FAULT;
	case VEC_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

/* Faults leave RIP at the instruction, with RF set in the image that is pushed (18.3.1.1). */
static bool is_fault(uint8_t vector)
{
	return vector != VEC_DB && vector != VEC_BP && vector != VEC_OF && vector != VEC_DF &&
	       vector != VEC_MC;
}

/*
 * An exception while another one waits for delivery, which an exit has cut short: SDM vol. 3, table
 * 6-5. False: triple fault, the guest is gone.
 */
static bool combine(struct vcpu *v, uint8_t *vector, bool *has_error, uint32_t *error)
{
	uint32_t event = vmx_of(v)->event;
	enum exception_class first, second = class_of(*vector);

	if (!event || EVENT_TYPE(event) != EVENT_TYPE_EXCEPTION)
		return true;
	first = class_of((uint8_t)EVENT_VECTOR(event));
	if (first == DOUBLE_FAULT && second != BENIGN) {
		vcpu_die(v, "triple fault: vector %u while delivering a double fault", *vector);
		return false;
	}
	if ((first == CONTRIBUTORY && second == CONTRIBUTORY) ||
	    (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT))) {
		*vector = VEC_DF;
		*has_error = true;
		*error = 0;
	}
	return true;
}

void vmx_inject_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	struct vmx_vcpu *hw = vmx_of(v);
	uint32_t event;

	if (!combine(v, &vector, &has_error, &error))
		return;
	event = EVENT(EVENT_TYPE_EXCEPTION, vector);
	/* Real mode pushes no error code, and VM entry refuses one (27.2.1.3). */
	if (has_error && (vmx_guest_cr0() & CR0_PE))
		event |= EVENT_HAS_ERROR;
	if (is_fault(vector))
		v->rflags |= RFLAGS_RF;
	hw->event = event;
	hw->event_error = error;
	unblock(BLOCK_STI | BLOCK_MOV_SS);
}

void vmx_inject_page_fault(struct vcpu *v, uint64_t gla, uint32_t error)
{
	write_cr2(gla);
	vmx_inject_exception(v, VEC_PF, true, error);
}

void vmx_inject_nmi(struct vcpu *v)
{
	vmx_of(v)->nmi_pending = true;
}

void vmx_requeue_event(struct vcpu *v)
{
	struct vmx_vcpu *hw = vmx_of(v);
	uint32_t event = vmcs_read32(VMCS_VECTORING_EVENT);

	if (likely(!(event & EVENT_VALID)))
		return;
	/* Bit 12 is undefined here (25.9.3) and reserved at VM entry. */
	hw->event = event & (EVENT_VALID | EVENT_HAS_ERROR | 0x7ff);
	if (event & EVENT_HAS_ERROR)
		hw->event_error = vmcs_read32(VMCS_VECTORING_ERROR);
	if (EVENT_TYPE(event) >= EVENT_TYPE_SOFT_INT)
		hw->event_length = vmcs_read32(VMCS_EXIT_INSN_LENGTH);
	/* The delivery that failed has blocked NMIs already; the next one wants to do so itself. */
	if (EVENT_TYPE(event) == EVENT_TYPE_NMI)
		unblock(BLOCK_NMI);
}

static void set_window(struct vmx_vcpu *hw, uint32_t bits)
{
	uint32_t proc = (hw->proc & ~(PROC_NMI_WINDOW | PROC_INTERRUPT_WINDOW)) | bits;

	if (proc != hw->proc) {
		hw->proc = proc;
		vmcs_write32(VMCS_PROC_CONTROLS, proc);
	}
}

void vmx_window_open(struct vcpu *v)
{
	set_window(vmx_of(v), 0);
}

/*
 * Between STI and the next instruction some CPUs take no NMI and VM entry may refuse to inject one
 * (27.3.1.5); RFLAGS.IF is 1 then, so the interrupt window opens right behind that instruction.
 */
static void deliver_nmi(struct vmx_vcpu *hw)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	if (blocking & BLOCK_STI) {
		set_window(hw, PROC_INTERRUPT_WINDOW);
	} else if (hw->event || (blocking & (BLOCK_MOV_SS | BLOCK_NMI))) {
		set_window(hw, PROC_NMI_WINDOW);
	} else {
		set_window(hw, 0);
		hw->nmi_pending = false;
		hw->event = EVENT(EVENT_TYPE_NMI, VEC_NMI);
	}
}

void vmx_deliver_events(struct vcpu *v)
{
	struct vmx_vcpu *hw = vmx_of(v);

	if (hw->nmi_pending)
		deliver_nmi(hw);
	if (!hw->event)
		return;
	vmcs_write32(VMCS_ENTRY_EVENT, hw->event);
	if (hw->event & EVENT_HAS_ERROR)
		vmcs_write32(VMCS_ENTRY_EVENT_ERROR, hw->event_error);
	if (EVENT_TYPE(hw->event) >= EVENT_TYPE_SOFT_INT)
		vmcs_write32(VMCS_ENTRY_INSN_LENGTH, hw->event_length);
}
