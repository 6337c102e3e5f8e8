/* SPDX-License-Identifier: BSD-2-Clause */
/* Intel VMX behind core/hvm.h: turning it on and off for a core, and the table of operations. */
#include "vmx/vmx.h"

#include <string.h>

#include "core/hvm.h"
#include "log.h"
#include "x86/asm.h"
#include "x86/cpu.h"

static enum status vmx_init(struct spte_format *format)
{
	enum status s = vmx_caps_init();

	if (s != OK)
		return s;
	s = vmx_ept_format(format);
	if (s != OK) {
		log_error("VMX: no format for EPT fits this CPU");
		return s;
	}
	vmx_caps_log();
	return OK;
}

static bool vmxon(void *region)
{
	uint64_t pa = virt_to_hpa(region).v;
	uint8_t failed;

	__asm__ volatile("vmxon %1\n\tsetbe %0" : "=qm"(failed) : "m"(pa) : "cc", "memory");
	return !failed;
}

/* A guest's controls and the format of its tables are chosen once, on the boot core. */
static enum status vmx_cpu_enable(struct cpu *c, struct page_budget *budget)
{
	if (vmx_unlock_core() != OK) {
		log_error("VMX: core %u: the firmware has locked VMX off", c->index);
		return ERR_UNSUPPORTED;
	}
	if (!vmx_core_agrees()) {
		log_error("VMX: core %u can do less than the boot core: it stays unused", c->index);
		return ERR_UNSUPPORTED;
	}
	if (!c->vendor)
		c->vendor = page_alloc(budget, 1);
	if (!c->vendor)
		return ERR_NOMEM;
	memcpy(c->vendor, &vmx_caps.revision, sizeof(vmx_caps.revision));
	write_cr0((read_cr0() | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1);
	write_cr4((read_cr4() | vmx_caps.cr4_fixed0) & vmx_caps.cr4_fixed1);
	if (!vmxon(c->vendor)) {
		log_error("VMX: core %u: VMXON failed", c->index);
		write_cr4(read_cr4() & ~(uint64_t)CR4_VMXE);
		return ERR_UNSUPPORTED;
	}
	/* What the firmware or a former hypervisor has left in the TLB under VPIDs or EPTPs. */
	vmx_flush_all();
	return OK;
}

static void vmx_cpu_disable(struct cpu *c)
{
	struct vcpu *v = c->vcpu;

	/* An active VMCS may live in the CPU alone; VMCLEAR writes it back (25.11.1). */
	if (v && v->hw)
		vmx_clear_vmcs(vmx_of(v));
	__asm__ volatile("vmxoff" : : : "cc", "memory");
	write_cr4(read_cr4() & ~(uint64_t)CR4_VMXE);
}

static bool vmx_lists_dirty_pages(void)
{
	return vmx_caps.pml;
}

static void vmx_flush_guest_tlb(struct vcpu *v)
{
	vmx_flush_root(vmx_of(v)->eptp);
}

const struct hvm_ops vmx_ops = {
	.name = "VMX",
	.init = vmx_init,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_run = vmx_vcpu_run,
	.skip_instruction = vmx_skip_instruction,
	.inject_exception = vmx_inject_exception,
	.inject_page_fault = vmx_inject_page_fault,
	.inject_nmi = vmx_inject_nmi,
	.get_sregs = vmx_get_sregs,
	.get_cr4 = vmx_get_cr4,
	.get_paging = vmx_get_paging,
	.get_segment = vmx_get_segment,
	.get_tables = vmx_get_tables,
	.read_msr = vmx_read_msr,
	.write_msr = vmx_write_msr,
	.set_x2apic = vmx_set_x2apic,
	.drain_dirty = vmx_drain_dirty,
	.flush_guest_tlb = vmx_flush_guest_tlb,
	.exit_name = vmx_exit_name,
	.lists_dirty_pages = vmx_lists_dirty_pages,
};
