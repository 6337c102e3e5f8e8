// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "core/hvm.h"
#include "core/hyp_mem.h"
#include "log.h"
#include "svm/svm.h"
#include "x86/asm.h"
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/safe.h"

/*
 * What is intercepted and why is in docs/hardware.md. Not intercepted are, above all, external
 * interrupts: with V_INTR_MASKING clear as well they go through the guest's own IDT, and neither
 * its timer nor HLT ever leaves it (APM vol. 2, 15.21.1).
 */
#define INTERCEPTS_0                                                                           \
	(INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_INVD | \
	 INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR | INTERCEPT_FERR_FREEZE |          \
	 INTERCEPT_SHUTDOWN)
#define INTERCEPTS_1                                                                 \
	(INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | \
	 INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_WBINVD |     \
	 INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_MWAIT_COND | INTERCEPT_XSETBV)
#define INTERCEPTS_2 (INTERCEPT_INVLPGB | INTERCEPT_INVLPGB_ILLEGAL | INTERCEPT_TLBSYNC)
#define EXCEPTIONS   (BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC))

/* All ports trap; one map for all guests, filled once. APM vol. 2, 15.10.1. */
static uint8_t iopm[IOPM_SIZE] aligned(PAGE_SIZE);

static struct svm_cpu svm_cpus[CONFIG_MAX_CPUS];

static enum status svm_init(struct spte_format *format)
{
	enum status s = svm_read_caps();

	memset(iopm, 0xff, sizeof(iopm));
	if (s == OK)
		s = svm_npt_format(format);
	if (s == OK)
		svm_log_caps();
	else
		log_error("svm: nested page tables of this CPU cannot be used");
	return s;
}

/*
 * SVMDIS without the lock is no more than the firmware's default. R_INIT turns an INIT that comes
 * while the hypervisor runs into an exception instead of a reset (APM vol. 2, 15.28, 15.30.1).
 */
static enum status set_vm_cr(struct cpu *c)
{
	uint64_t vm_cr;

	if (!rdmsr_safe(MSR_VM_CR, &vm_cr))
		return OK;
	if ((vm_cr & (VM_CR_SVMDIS | VM_CR_LOCK)) == (VM_CR_SVMDIS | VM_CR_LOCK)) {
		log_error("svm: core %u: turned off and locked by the firmware", c->index);
		return ERR_UNSUPPORTED;
	}
	vm_cr = (vm_cr & ~(uint64_t)VM_CR_SVMDIS) | VM_CR_R_INIT;
	if (!wrmsr_safe(MSR_VM_CR, vm_cr))
		log_warn("svm: core %u: VM_CR refuses R_INIT", c->index);
	return OK;
}

static enum status svm_cpu_enable(struct cpu *c, struct page_budget *budget)
{
	struct svm_cpu *p = &svm_cpus[c->index];

	if (set_vm_cr(c) != OK)
		return ERR_UNSUPPORTED;
	if (!p->host_save) {
		p->host_save = page_alloc(budget, 1);
		p->host = page_alloc(budget, 1);
		if (!p->host_save || !p->host)
			return ERR_NOMEM;
	}
	svm_apply_workarounds(c);
	asid_pool_init(&p->asid, svm_caps.asids, svm_caps.flush_by_asid);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, virt_to_hpa(p->host_save).v);
	c->vendor = p;
	return OK;
}

static void svm_cpu_disable(struct cpu *c)
{
	uint64_t vm_cr;

	if (!c->vendor)
		return;
	svm_stgi(); /* EFER.SVME with GIF clear would leave the core deaf (APM vol. 2, 15.4) */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SVME);
	if (rdmsr_safe(MSR_VM_CR, &vm_cr) && wrmsr_safe(MSR_VM_CR, vm_cr & ~(uint64_t)VM_CR_R_INIT))
		log_debug("svm: core %u: INIT resets it again", c->index);
	c->vendor = NULL;
}

static enum status svm_vcpu_create(struct vcpu *v, struct page_budget *budget, hpa_t root)
{
	struct svm_vcpu *s = page_alloc(budget, (sizeof(*s) + PAGE_SIZE - 1) / PAGE_SIZE);
	struct vmcb_control *c;
	struct hyp_mapping m;

	if (!s)
		return ERR_NOMEM;
	if (hyp_lookup(&hyp_pgtable, (uint64_t)iopm, &m) != OK) {
		page_free(s);
		return ERR_FAULT;
	}
	s->vmcb_hpa = virt_to_hpa(&s->vmcb);
	c = &s->vmcb.control;
	c->intercept[0] = (uint32_t)INTERCEPTS_0;
	c->intercept[1] = (uint32_t)INTERCEPTS_1;
	c->intercept[2] = svm_caps.invlpgb ? (uint32_t)INTERCEPTS_2 : 0;
	c->intercept_exceptions = (uint32_t)EXCEPTIONS;
	c->iopm_base = m.hpa.v;
	c->msrpm_base = virt_to_hpa(s->msrpm).v;
	c->nested_ctl = NESTED_NP_ENABLE;
	c->ncr3 = root.v;
	c->virt_ext = svm_caps.lbrv ? VIRT_EXT_LBR : 0;
	v->hw = s;
	return OK;
}

hpa_t svm_run_begin(struct vcpu *v)
{
	const struct svm_cpu *p = v->cpu->vendor;
	hpa_t host = virt_to_hpa(p->host);

	svm_clgi();
	svm_vmsave(host);
	return host;
}

static void svm_set_x2apic(struct vcpu *v, bool on)
{
	svm_msrpm_fill(v, on);
}

static void svm_flush_guest_tlb(struct vcpu *v)
{
	svm_vcpu(v)->flush = true;
}

const struct hvm_ops svm_ops = {
	.name = "SVM",
	.init = svm_init,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_create = svm_vcpu_create,
	.vcpu_reset = svm_vcpu_reset,
	.vcpu_run = svm_vcpu_run,
	.skip_instruction = svm_skip_instruction,
	.inject_exception = svm_inject_exception,
	.inject_page_fault = svm_inject_page_fault,
	.inject_nmi = svm_inject_nmi,
	.get_sregs = svm_get_sregs,
	.get_cr4 = svm_get_cr4,
	.get_paging = svm_get_paging,
	.get_segment = svm_get_segment,
	.get_tables = svm_get_tables,
	.read_msr = svm_read_msr,
	.write_msr = svm_write_msr,
	.set_x2apic = svm_set_x2apic,
	.flush_guest_tlb = svm_flush_guest_tlb,
	.exit_name = svm_exit_name,
};
