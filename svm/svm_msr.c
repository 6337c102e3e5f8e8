// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "core/msr.h"
#include "svm/svm.h"
#include "x86/asm.h"
#include "x86/msr.h"
#include "x86/regs.h"

/*
 * The MSR permission map: two bits per MSR, the lower one for reads, in three ranges of 2 KiB; a
 * set bit traps. MSRs outside the ranges always trap. APM vol. 2, 15.11.
 */
static const struct {
	uint32_t base;
	uint32_t offset;
} ranges[] = {
	{ 0x00000000, 0x0000 },
	{ 0xc0000000, 0x0800 },
	{ 0xc0010000, 0x1000 },
};

#define RANGE_MSRS 0x2000u

/* What passing through would break, whatever the table says. */
static bool must_trap(uint32_t msr)
{
	switch (msr) {
	case MSR_EFER: /* SVME must stay set, and the guest must not see it */
	case MSR_VM_CR:
	case MSR_VM_HSAVE_PA:
	case MSR_SVM_LOCK_KEY:
	case MSR_IGNNE:
	case MSR_SMM_CTL:
		return true;
	case MSR_DEBUGCTL: /* not switched without LBR virtualization: it would act on the host */
	case MSR_LASTBRANCH_FROM:
	case MSR_LASTBRANCH_TO:
	case MSR_LASTINT_FROM:
	case MSR_LASTINT_TO:
		return !svm_caps.lbrv;
	default:
		return false;
	}
}

static void allow(void *ctx, uint32_t msr, bool read, bool write)
{
	uint8_t *map = ctx;

	if (must_trap(msr))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint32_t bit = (msr - ranges[i].base) * 2;

		if (msr - ranges[i].base >= RANGE_MSRS)
			continue;
		map += ranges[i].offset + bit / 8;
		*map &= (uint8_t) ~((read ? 1u : 0u) << bit % 8 | (write ? 2u : 0u) << bit % 8);
		return;
	}
}

void svm_msrpm_fill(struct vcpu *v, bool x2apic)
{
	struct svm_vcpu *s = svm_vcpu(v);

	memset(s->msrpm, 0xff, sizeof(s->msrpm));
	msr_policy_for_each(v, x2apic, allow, s->msrpm);
	svm_dirty(s, CLEAN_MAPS);
}

/* MSRs that VMRUN, VMLOAD and #VMEXIT switch: while the guest is out, its values are here. */
static uint64_t *saved_msr(struct vmcb_save *b, uint32_t msr)
{
	switch (msr) {
	case MSR_FS_BASE:
		return &b->fs.base;
	case MSR_GS_BASE:
		return &b->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &b->kernel_gs_base;
	case MSR_STAR:
		return &b->star;
	case MSR_LSTAR:
		return &b->lstar;
	case MSR_CSTAR:
		return &b->cstar;
	case MSR_SFMASK:
		return &b->sfmask;
	case MSR_SYSENTER_CS:
		return &b->sysenter_cs;
	case MSR_SYSENTER_ESP:
		return &b->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &b->sysenter_eip;
	case MSR_PAT:
		return &b->g_pat;
	default:
		return NULL;
	}
}

/* Those that are switched only if the CPU has the feature; without it hardware holds them. */
static uint64_t *optional_msr(struct vmcb_save *b, uint32_t msr)
{
	switch (msr) {
	case MSR_DEBUGCTL:
		return svm_caps.lbrv ? &b->debugctl : NULL;
	case MSR_LASTBRANCH_FROM:
		return svm_caps.lbrv ? &b->br_from : NULL;
	case MSR_LASTBRANCH_TO:
		return svm_caps.lbrv ? &b->br_to : NULL;
	case MSR_LASTINT_FROM:
		return svm_caps.lbrv ? &b->last_int_from : NULL;
	case MSR_LASTINT_TO:
		return svm_caps.lbrv ? &b->last_int_to : NULL;
	case MSR_SPEC_CTRL:
		return svm_caps.spec_ctrl ? &b->spec_ctrl : NULL;
	case MSR_S_CET:
		return svm_caps.cet_ss ? &b->s_cet : NULL;
	case MSR_INT_SSP_TAB:
		return svm_caps.cet_ss ? &b->isst_addr : NULL;
	default:
		return NULL;
	}
}

static uint64_t *find_msr(struct vcpu *v, uint32_t msr)
{
	struct vmcb_save *b = &svm_vcpu(v)->vmcb.save;
	uint64_t *field = saved_msr(b, msr);

	return field ? field : optional_msr(b, msr);
}

enum status svm_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	const uint64_t *field;

	if (msr == MSR_EFER) {
		*value = svm_vcpu(v)->vmcb.save.efer & ~(uint64_t)EFER_SVME;
		return OK;
	}
	field = find_msr(v, msr);
	if (!field)
		return ERR_NOT_FOUND;
	*value = *field;
	return OK;
}

/* LMA follows LME and CR0.PG; hardware keeps it, so it is taken from the old value. */
static void write_efer(struct svm_vcpu *s, uint64_t value)
{
	uint64_t keep = EFER_LMA | EFER_SVME;

	s->vmcb.save.efer = (value & ~keep) | (s->vmcb.save.efer & keep);
	svm_dirty(s, CLEAN_CR);
}

enum status svm_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	struct svm_vcpu *s = svm_vcpu(v);
	uint64_t *field;

	if (msr == MSR_EFER) {
		write_efer(s, value);
		return OK;
	}
	if (msr == MSR_TSC) {
		s->vmcb.control.tsc_offset = value - rdtsc();
		svm_dirty(s, CLEAN_INTERCEPTS);
		return OK;
	}
	field = find_msr(v, msr);
	if (!field)
		return ERR_NOT_FOUND;
	*field = value;
	svm_dirty(s, CLEAN_NP | CLEAN_LBR | CLEAN_CET);
	return OK;
}
