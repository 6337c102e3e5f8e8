/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building a VMCS. Everything is written at each reset of the vCPU, so that nothing of a guest's
 * former life is left, and because host state and controls cost nothing there.
 */
#include <string.h>

#include "core/cpuid.h"
#include "core/guest.h"
#include "core/msr.h"
#include "log.h"
#include "panic.h"
#include "vmx/vmcs_fields.h"
#include "vmx/vmx.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/fpu.h"
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/segment.h"

/*
 * Intercepted for the core's sake, not the guest's: a #DB or #AC whose delivery raises the same
 * exception again never ends and would keep NMIs out as well (CVE-2015-8104, CVE-2015-5307); with
 * an exit in each round the hypervisor stays in control. #MC is the machine's, not the guest's.
 */
#define EXCEPTION_BITMAP (BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC))

/*
 * CR0 bits that the guest does not change directly: NE must be 1 in VMX operation; CD and NW would
 * outlive the exit (28.5.1) and slow the hypervisor down. PE and PG are the guest's own, thanks to
 * unrestricted guest.
 */
#define CR0_OWNED_BY_HOST (CR0_NE | CR0_CD | CR0_NW)

/*
 * CR4 bits whose meaning ends inside the guest. VMXE and SMXE would open VMX and GETSEC; MCE stays
 * on, or a machine check would shut the package down. Bits that this list does not know are
 * refused, among them UINTR: SENDUIPI sends interrupts to any core.
 */
#define CR4_GUEST_MAY                                                                      \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |    \
	 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | \
	 CR4_SMEP | CR4_SMAP | CR4_PKE)

void vmcs_write_failed(uint32_t field, uint64_t value)
{
	uint32_t error = vmcs_read32(VMCS_INSN_ERROR);

	panic("VMWRITE of %#llx to field %#x: %s", (unsigned long long)value, field,
	      vmx_insn_error(error));
}

enum status vmx_vcpu_create(struct vcpu *v, struct page_budget *budget, hpa_t root)
{
	struct vmx_vcpu *hw = page_alloc(budget, 1);

	if (!hw)
		return ERR_NOMEM;
	hw->vmcs = page_alloc(budget, 1);
	hw->msr_bitmap = page_alloc(budget, 1);
	hw->pml = vmx_caps.pml ? page_alloc(budget, 1) : NULL;
	if (!hw->vmcs || !hw->msr_bitmap || (vmx_caps.pml && !hw->pml)) {
		page_free(hw->pml);
		page_free(hw->vmcs);
		page_free(hw->msr_bitmap);
		page_free(hw);
		return ERR_NOMEM;
	}
	/* Written once: an active VMCS must not be touched by ordinary stores (25.11.1). */
	memcpy(hw->vmcs, &vmx_caps.revision, sizeof(vmx_caps.revision));
	hw->eptp = root.v;
	/* Unique on every core, not zero, which is the hypervisor's own (29.1). */
	hw->vpid = (uint16_t)(1 + v->guest->index * CONFIG_MAX_CPUS + v->index);
	v->hw = hw;
	return OK;
}

/* The bitmap has four quarters: reads then writes, each of 0-1FFFh and C0000000h-C0001FFFh. */
static void allow_msr(void *ctx, uint32_t msr, bool read, bool write)
{
	uint8_t *bitmap = ctx;
	uint32_t bit = msr & 0x1fff;

	if (msr >= 0xc0000000u && msr <= 0xc0001fffu)
		bitmap += 1024;
	else if (msr > 0x1fff)
		return;
	if (read)
		bitmap[bit / 8] &= (uint8_t)~BIT(bit % 8);
	if (write)
		bitmap[2048 + bit / 8] &= (uint8_t)~BIT(bit % 8);
}

void vmx_set_x2apic(struct vcpu *v, bool on)
{
	struct vmx_vcpu *hw = vmx_of(v);

	memset(hw->msr_bitmap, 0xff, PAGE_SIZE);
	msr_policy_for_each(v, on, allow_msr, hw->msr_bitmap);
}

void vmx_clear_vmcs(struct vmx_vcpu *hw)
{
	uint64_t pa = virt_to_hpa(hw->vmcs).v;
	uint8_t failed;

	__asm__ volatile("vmclear %1\n\tsetbe %0" : "=qm"(failed) : "m"(pa) : "cc", "memory");
	ASSERT(!failed);
}

/* Make the VMCS clean and current on this core. */
static void load_vmcs(struct vmx_vcpu *hw)
{
	uint64_t pa = virt_to_hpa(hw->vmcs).v;
	uint8_t failed;

	vmx_clear_vmcs(hw);
	__asm__ volatile("vmptrld %1\n\tsetbe %0" : "=qm"(failed) : "m"(pa) : "cc", "memory");
	ASSERT(!failed);
	hw->launched = false;
}

static void write_controls(struct vmx_vcpu *hw)
{
	const struct vmx_caps *c = &vmx_caps;

	hw->proc = c->proc;
	vmcs_write32(VMCS_PIN_CONTROLS, c->pin);
	vmcs_write32(VMCS_PROC_CONTROLS, c->proc);
	vmcs_write32(VMCS_PROC2_CONTROLS, c->proc2);
	vmcs_write32(VMCS_EXIT_CONTROLS, c->exit);
	vmcs_write32(VMCS_ENTRY_CONTROLS, c->entry);
	vmcs_write32(VMCS_EXCEPTION_BITMAP, EXCEPTION_BITMAP);
	vmcs_write32(VMCS_PF_ERROR_MASK, 0);
	vmcs_write32(VMCS_PF_ERROR_MATCH, 0);
	vmcs_write32(VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write32(VMCS_EXIT_MSR_STORES, 0);
	vmcs_write32(VMCS_EXIT_MSR_LOADS, 0);
	vmcs_write32(VMCS_ENTRY_MSR_LOADS, 0);
	vmcs_write32(VMCS_ENTRY_EVENT, 0);
	vmcs_write64(VMCS_MSR_BITMAP, virt_to_hpa(hw->msr_bitmap).v);
	vmcs_write64(VMCS_EPTP, hw->eptp);
	vmx_pml_reset(hw);
	if (c->proc2 & PROC2_VPID)
		vmcs_write16(VMCS_VPID, hw->vpid);
	/* No supervisor state component needs an exit; all enclave instructions do. */
	if (c->proc2 & PROC2_XSAVES)
		vmcs_write64(VMCS_XSS_EXITING, 0);
	if (c->proc2 & PROC2_ENCLS_EXITING)
		vmcs_write64(VMCS_ENCLS_EXITING, ~0ull);
	if (c->proc2 & PROC2_ENCLV_EXITING)
		vmcs_write64(VMCS_ENCLV_EXITING, ~0ull);
	vmcs_write64(VMCS_LINK_POINTER, ~0ull);
}

static void write_host_state(struct cpu *c)
{
	vmcs_write16(VMCS_HOST_CS_SEL, SEL_CODE64);
	vmcs_write16(VMCS_HOST_SS_SEL, SEL_DATA);
	vmcs_write16(VMCS_HOST_DS_SEL, SEL_DATA);
	vmcs_write16(VMCS_HOST_ES_SEL, SEL_DATA);
	vmcs_write16(VMCS_HOST_FS_SEL, 0);
	vmcs_write16(VMCS_HOST_GS_SEL, 0);
	vmcs_write16(VMCS_HOST_TR_SEL, SEL_TSS);
	vmcs_write64(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmcs_write64(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmcs_write32(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_write_nat(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write_nat(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write_nat(VMCS_HOST_CR0, read_cr0());
	vmcs_write_nat(VMCS_HOST_CR3, read_cr3());
	vmcs_write_nat(VMCS_HOST_CR4, read_cr4());
	vmcs_write_nat(VMCS_HOST_FS_BASE, 0);
	vmcs_write_nat(VMCS_HOST_GS_BASE, (uint64_t)c);
	vmcs_write_nat(VMCS_HOST_TR_BASE, cpu_tss_base(c));
	vmcs_write_nat(VMCS_HOST_GDTR_BASE, cpu_gdt_base(c));
	vmcs_write_nat(VMCS_HOST_IDTR_BASE, idt_base());
	vmcs_write_nat(VMCS_HOST_RIP, (uint64_t)vmx_exit_entry);
	if (vmx_caps.exit & EXIT_LOAD_CET) {
		vmcs_write_nat(VMCS_HOST_S_CET, 0);
		vmcs_write_nat(VMCS_HOST_SSP, 0);
		vmcs_write_nat(VMCS_HOST_INT_SSP_TABLE, 0);
	}
}

static void write_segment(enum segment_index i, uint16_t selector, uint64_t base, uint32_t limit,
			  uint32_t access)
{
	vmcs_write16_at(VMCS_GUEST_ES_SEL, i, selector);
	vmcs_write_nat_at(VMCS_GUEST_ES_BASE, i, base);
	vmcs_write32_at(VMCS_GUEST_ES_LIMIT, i, limit);
	vmcs_write32_at(VMCS_GUEST_ES_ACCESS, i, access);
}

/* Real mode after power-on or SIPI (SDM vol. 3, table 10-1), or what a 64-bit boot protocol wants. */
static void write_segments(const struct vcpu_start *start)
{
	static const enum segment_index data[] = { SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		if (start->long_mode)
			write_segment(data[i], 0x18, 0, 0xffffffff, 0xc093);
		else
			write_segment(data[i], 0, 0, 0xffff, 0x93);
	}
	if (start->long_mode)
		write_segment(SEG_CS, 0x10, 0, 0xffffffff, 0xa09b);
	else
		write_segment(SEG_CS, (uint16_t)(start->sipi_vector << 8),
			      (uint64_t)start->sipi_vector << 12, 0xffff, 0x9b);
	write_segment(SEG_LDTR, 0, 0, 0xffff, 0x82);
	write_segment(SEG_TR, 0, 0, 0xffff, 0x8b);
	vmcs_write_nat(VMCS_GUEST_GDTR_BASE, start->long_mode ? start->gdt_base : 0);
	vmcs_write32(VMCS_GUEST_GDTR_LIMIT, start->long_mode ? start->gdt_limit : 0xffff);
	vmcs_write_nat(VMCS_GUEST_IDTR_BASE, 0);
	vmcs_write32(VMCS_GUEST_IDTR_LIMIT, start->long_mode ? 0 : 0xffff);
}

/* CR4 bits whose use needs more than the CPU: the guest's CPUID says whether it may have them. */
static uint64_t cr4_by_cpuid(struct vcpu *v)
{
	uint64_t bits = 0;

	if (guest_has(v, FEAT_LA57))
		bits |= CR4_LA57;
	if (guest_has(v, FEAT_PKS))
		bits |= CR4_PKS;
	if ((guest_has(v, FEAT_CET_SS) || guest_has(v, FEAT_CET_IBT)) &&
	    (vmx_caps.entry & ENTRY_LOAD_CET))
		bits |= CR4_CET;
	return bits;
}

static void write_control_registers(struct vcpu *v, const struct vcpu_start *start)
{
	struct vmx_vcpu *hw = vmx_of(v);
	uint64_t cr0 =
		start->long_mode ? CR0_PG | CR0_PE | CR0_NE | CR0_ET : CR0_CD | CR0_NW | CR0_ET;
	uint64_t cr4 = start->long_mode ? CR4_PAE : 0;

	hw->cr4_owned = (CR4_GUEST_MAY | cr4_by_cpuid(v)) & vmx_caps.cr4_fixed1;
	vmcs_write_nat(VMCS_CR0_MASK, CR0_OWNED_BY_HOST);
	vmcs_write_nat(VMCS_CR0_SHADOW, cr0);
	vmcs_write_nat(VMCS_GUEST_CR0, vmx_real_cr0(cr0));
	vmcs_write_nat(VMCS_GUEST_CR3, start->long_mode ? start->cr3 : 0);
	vmcs_write_nat(VMCS_CR4_MASK, ~hw->cr4_owned);
	vmcs_write_nat(VMCS_CR4_SHADOW, cr4);
	vmcs_write_nat(VMCS_GUEST_CR4, vmx_real_cr4(cr4));
	vmx_set_efer(start->long_mode ? EFER_LME | EFER_LMA : 0);
	for (unsigned i = 0; i < 4; i++)
		vmcs_write64_at(VMCS_GUEST_PDPTE0, i, 0);
}

static void write_guest_msrs(void)
{
	vmcs_write64(VMCS_GUEST_DEBUGCTL, 0);
	vmcs_write64(VMCS_GUEST_PAT, PAT_RESET);
	vmcs_write32(VMCS_GUEST_SYSENTER_CS, 0);
	vmcs_write_nat(VMCS_GUEST_SYSENTER_ESP, 0);
	vmcs_write_nat(VMCS_GUEST_SYSENTER_EIP, 0);
	if (vmx_caps.entry & ENTRY_LOAD_BNDCFGS)
		vmcs_write64(VMCS_GUEST_BNDCFGS, 0);
	if (vmx_caps.entry & ENTRY_LOAD_CET) {
		vmcs_write_nat(VMCS_GUEST_S_CET, 0);
		vmcs_write_nat(VMCS_GUEST_SSP, 0);
		vmcs_write_nat(VMCS_GUEST_INT_SSP_TABLE, 0);
	}
}

static void write_registers(struct vcpu *v, const struct vcpu_start *start)
{
	struct vmx_vcpu *hw = vmx_of(v);

	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[GPR_RDX] = cpuid(1, 0).eax; /* power-on: the CPU's signature */
	if (start->long_mode) {
		v->gpr[GPR_RSP] = start->rsp;
		v->gpr[GPR_RSI] = start->rsi;
	}
	v->rip = start->long_mode ? start->rip : 0;
	v->rflags = RFLAGS_RESERVED;
	hw->rip = v->rip;
	hw->rsp = v->gpr[GPR_RSP];
	hw->rflags = v->rflags;
	vmcs_write_nat(VMCS_GUEST_RIP, hw->rip);
	vmcs_write_nat(VMCS_GUEST_RSP, hw->rsp);
	vmcs_write_nat(VMCS_GUEST_RFLAGS, hw->rflags);
	vmcs_write_nat(VMCS_GUEST_DR7, DR7_RESET);
	vmcs_write_nat(VMCS_GUEST_PENDING_DEBUG, 0);
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, 0);
}

/* DR0-DR3 and DR6 stay the guest's while the hypervisor runs: DR7 is 400h after an exit (28.5.1). */
static void reset_debug_registers(void)
{
	__asm__ volatile("mov %0, %%dr0\n\t"
			 "mov %0, %%dr1\n\t"
			 "mov %0, %%dr2\n\t"
			 "mov %0, %%dr3\n\t"
			 "mov %1, %%dr6"
			 :
			 : "r"(0ull), "r"((uint64_t)DR6_RESET));
}

void vmx_vcpu_reset(struct vcpu *v, const struct vcpu_start *start)
{
	struct vmx_vcpu *hw = vmx_of(v);

	ASSERT(v->cpu == this_cpu());
	hw->nmi_pending = false;
	hw->event = 0;
	load_vmcs(hw);
	write_controls(hw);
	write_host_state(v->cpu);
	write_segments(start);
	write_control_registers(v, start);
	write_guest_msrs();
	write_registers(v, start);
	reset_debug_registers();
	write_cr2(0);
	fpu_reset();
	msr_reset(v);
	vmx_set_x2apic(v, v->x2apic);
	vmx_flush_root(hw->eptp);
	vmx_flush_vpid(hw->vpid);
}
