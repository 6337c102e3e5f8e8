/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing guest state that lives in the VMCS. */
#include "core/walk.h"
#include "vmx/guest_check.h"
#include "vmx/vmcs_fields.h"
#include "vmx/vmx.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"

/* SS.DPL is the CPL at all times, in an unusable SS as well (25.4.1). */
static uint8_t privilege(void)
{
	return (vmcs_read32(VMCS_GUEST_SS_ACCESS) >> 5) & 3;
}

void vmx_get_segment(struct vcpu *v, uint8_t seg, struct segment *g)
{
	uint32_t access = vmcs_read32_at(VMCS_GUEST_ES_ACCESS, seg);

	(void)v;
	g->selector = vmcs_read16_at(VMCS_GUEST_ES_SEL, seg);
	g->base = vmcs_read_nat_at(VMCS_GUEST_ES_BASE, seg);
	g->limit = vmcs_read32_at(VMCS_GUEST_ES_LIMIT, seg);
	/* A register without a segment shows as not present. */
	g->access = access & ACCESS_UNUSABLE ? 0 : (uint16_t)access;
}

/* The bits of CR0 and CR4 that translation depends on are as hardware has them. */
void vmx_get_paging(struct vcpu *v, struct vcpu_paging *p)
{
	(void)v;
	p->cr0 = vmcs_read_nat(VMCS_GUEST_CR0);
	p->cr3 = vmcs_read_nat(VMCS_GUEST_CR3);
	p->cr4 = vmcs_read_nat(VMCS_GUEST_CR4);
	p->efer = vmcs_read64(VMCS_GUEST_EFER);
	p->cs_access = (uint16_t)vmcs_read32(VMCS_GUEST_CS_ACCESS);
	if (vcpu_mode(p) != INSN_64)
		p->cs_base = vmcs_read_nat_at(VMCS_GUEST_ES_BASE, SEG_CS);
	p->cpl = privilege();
}

void vmx_get_sregs(struct vcpu *v, struct vcpu_sregs *s)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	s->cr0 = vmx_guest_cr0();
	s->cr2 = read_cr2(); /* the hypervisor takes no page faults, so it is still the guest's */
	s->cr3 = vmcs_read_nat(VMCS_GUEST_CR3);
	s->cr4 = vmx_guest_cr4();
	s->efer = vmcs_read64(VMCS_GUEST_EFER);
	s->dr7 = vmcs_read_nat(VMCS_GUEST_DR7);
	for (unsigned int i = 0; i < SEG_COUNT; i++)
		vmx_get_segment(v, (uint8_t)i, &s->seg[i]);
	s->gdtr_base = vmcs_read_nat(VMCS_GUEST_GDTR_BASE);
	s->idtr_base = vmcs_read_nat(VMCS_GUEST_IDTR_BASE);
	s->gdtr_limit = vmcs_read32(VMCS_GUEST_GDTR_LIMIT);
	s->idtr_limit = vmcs_read32(VMCS_GUEST_IDTR_LIMIT);
	s->cpl = privilege();
	s->interrupt_shadow = blocking & (BLOCK_STI | BLOCK_MOV_SS);
	s->nmi_blocked = blocking & BLOCK_NMI;
	s->halted = vmcs_read32(VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT;
}

bool vmx_get_tables(struct vcpu *v, struct fetch_tables *t)
{
	(void)v;
	t->cr3 = vmcs_read_nat(VMCS_GUEST_CR3);
	t->user = privilege() == 3;
	return vmcs_read64(VMCS_GUEST_EFER) & EFER_LMA &&
	       vmcs_read32(VMCS_GUEST_CS_ACCESS) & SEGMENT_L &&
	       !(vmcs_read_nat(VMCS_GUEST_CR4) & CR4_LA57);
}

uint64_t vmx_get_cr4(struct vcpu *v)
{
	(void)v;
	return vmx_guest_cr4();
}

void vmx_set_efer(uint64_t efer)
{
	uint32_t entry = vmcs_read32(VMCS_ENTRY_CONTROLS) & ~ENTRY_IA32E_GUEST;

	if (efer & EFER_LMA)
		entry |= ENTRY_IA32E_GUEST;
	vmcs_write32(VMCS_ENTRY_CONTROLS, entry);
	vmcs_write64(VMCS_GUEST_EFER, efer);
}

/* MSRs of natural width: index and field. Others have their own width below. */
static bool natural_field(uint32_t msr, uint32_t *field)
{
	bool cet = vmx_caps.entry & ENTRY_LOAD_CET;

	switch (msr) {
	case MSR_FS_BASE:
		*field = VMCS_GUEST_FS_BASE;
		return true;
	case MSR_GS_BASE:
		*field = VMCS_GUEST_GS_BASE;
		return true;
	case MSR_SYSENTER_ESP:
		*field = VMCS_GUEST_SYSENTER_ESP;
		return true;
	case MSR_SYSENTER_EIP:
		*field = VMCS_GUEST_SYSENTER_EIP;
		return true;
	case MSR_S_CET:
		*field = VMCS_GUEST_S_CET;
		return cet;
	case MSR_INT_SSP_TAB:
		*field = VMCS_GUEST_INT_SSP_TABLE;
		return cet;
	default:
		return false;
	}
}

enum status vmx_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	uint32_t field;

	(void)v;
	switch (msr) {
	case MSR_EFER:
		*value = vmcs_read64(VMCS_GUEST_EFER);
		return OK;
	case MSR_PAT:
		*value = vmcs_read64(VMCS_GUEST_PAT);
		return OK;
	case MSR_DEBUGCTL:
		*value = vmcs_read64(VMCS_GUEST_DEBUGCTL);
		return OK;
	case MSR_SYSENTER_CS:
		*value = vmcs_read32(VMCS_GUEST_SYSENTER_CS);
		return OK;
	default:
		if (!natural_field(msr, &field))
			return ERR_NOT_FOUND;
		*value = vmcs_read_raw(field);
		return OK;
	}
}

static enum status write_efer(uint64_t value)
{
	uint64_t old = vmcs_read64(VMCS_GUEST_EFER);

	/* LME cannot change while paging is on; LMA is not software's (SDM vol. 3, 10.8.5). */
	if (((old ^ value) & EFER_LME) && (vmx_guest_cr0() & CR0_PG))
		return ERR_INVALID;
	vmx_set_efer((value & ~(uint64_t)EFER_LMA) | (old & EFER_LMA));
	return OK;
}

enum status vmx_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint32_t field;

	(void)v;
	switch (msr) {
	case MSR_EFER:
		return write_efer(value);
	case MSR_PAT:
		vmcs_write64(VMCS_GUEST_PAT, value);
		return OK;
	case MSR_DEBUGCTL:
		vmcs_write64(VMCS_GUEST_DEBUGCTL, value);
		return OK;
	case MSR_SYSENTER_CS:
		vmcs_write32(VMCS_GUEST_SYSENTER_CS, value);
		return OK;
	default:
		if (!natural_field(msr, &field))
			return ERR_NOT_FOUND;
		vmcs_write_raw(field, value);
		return OK;
	}
}

void vmx_collect_guest_state(struct vmx_guest_state *s)
{
	*s = (struct vmx_guest_state){
		.pin = vmcs_read32(VMCS_PIN_CONTROLS),
		.proc2 = vmcs_read32(VMCS_PROC2_CONTROLS),
		.entry = vmcs_read32(VMCS_ENTRY_CONTROLS),
		.event = vmcs_read32(VMCS_ENTRY_EVENT),
		.cr0_fixed0 = vmx_caps.cr0_fixed0,
		.cr0_fixed1 = vmx_caps.cr0_fixed1,
		.cr4_fixed0 = vmx_caps.cr4_fixed0,
		.cr4_fixed1 = vmx_caps.cr4_fixed1,
		.maxphyaddr = (uint8_t)cpu_phys_bits(),
		.linear_bits = cpu_has(FEAT_LA57) ? 57 : 48,
		.cr0 = vmcs_read_nat(VMCS_GUEST_CR0),
		.cr3 = vmcs_read_nat(VMCS_GUEST_CR3),
		.cr4 = vmcs_read_nat(VMCS_GUEST_CR4),
		.dr7 = vmcs_read_nat(VMCS_GUEST_DR7),
		.efer = vmcs_read64(VMCS_GUEST_EFER),
		.pat = vmcs_read64(VMCS_GUEST_PAT),
		.debugctl = vmcs_read64(VMCS_GUEST_DEBUGCTL),
		.sysenter_esp = vmcs_read_nat(VMCS_GUEST_SYSENTER_ESP),
		.sysenter_eip = vmcs_read_nat(VMCS_GUEST_SYSENTER_EIP),
		.gdtr_base = vmcs_read_nat(VMCS_GUEST_GDTR_BASE),
		.idtr_base = vmcs_read_nat(VMCS_GUEST_IDTR_BASE),
		.gdtr_limit = vmcs_read32(VMCS_GUEST_GDTR_LIMIT),
		.idtr_limit = vmcs_read32(VMCS_GUEST_IDTR_LIMIT),
		.rip = vmcs_read_nat(VMCS_GUEST_RIP),
		.rflags = vmcs_read_nat(VMCS_GUEST_RFLAGS),
		.pending_debug = vmcs_read_nat(VMCS_GUEST_PENDING_DEBUG),
		.link_pointer = vmcs_read64(VMCS_LINK_POINTER),
		.activity = vmcs_read32(VMCS_GUEST_ACTIVITY),
		.interruptibility = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY),
	};
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		s->seg[i].selector = vmcs_read16_at(VMCS_GUEST_ES_SEL, i);
		s->seg[i].limit = vmcs_read32_at(VMCS_GUEST_ES_LIMIT, i);
		s->seg[i].access = vmcs_read32_at(VMCS_GUEST_ES_ACCESS, i);
		s->seg[i].base = vmcs_read_nat_at(VMCS_GUEST_ES_BASE, i);
	}
	for (unsigned i = 0; i < 4; i++)
		s->pdpte[i] = vmcs_read64_at(VMCS_GUEST_PDPTE0, i);
}
