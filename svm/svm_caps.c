// SPDX-License-Identifier: BSD-2-Clause
#include <stdio.h>

#include "log.h"
#include "svm/svm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/safe.h"

#define SVM_LEAF 0x8000000a

#define FEAT_SVM_VNMI CPUID_FEATURE(SVM_LEAF, 0, CPUID_EDX, 25)
#define FEAT_INVLPGB  CPUID_FEATURE(0x80000008, 0, CPUID_EBX, 3)

struct svm_caps svm_caps;

/* SVM may be turned off by the firmware, for good (locked) or not. APM vol. 2, 15.4. */
static enum status check_vm_cr(void)
{
	uint64_t vm_cr;

	if (!rdmsr_safe(MSR_VM_CR, &vm_cr) || !(vm_cr & VM_CR_SVMDIS))
		return OK;
	if (!(vm_cr & VM_CR_LOCK))
		return OK; /* cpu_enable turns it on */
	log_error("svm: turned off and locked by the firmware (VM_CR.SVMDIS): enable \"SVM\" or "
		  "\"AMD-V\" in the firmware's setup");
	return ERR_UNSUPPORTED;
}

/* QEMU without KVM says so in the leaf for hypervisors' names: "TCGTCGTCGTCG". */
static bool is_tcg(void)
{
	struct cpuid_regs r;

	if (!cpu_has(FEAT_HYPERVISOR))
		return false;
	r = cpuid(CPUID_LEAF_HYPERVISOR, 0);
	return r.ebx == 0x54474354 && r.ecx == 0x43544743 && r.edx == 0x47435447;
}

enum status svm_read_caps(void)
{
	struct cpuid_regs r;
	struct svm_caps *c = &svm_caps;

	if (!cpu_has(FEAT_SVM)) {
		log_error("svm: this CPU has none (CPUID 80000001h ECX bit 2 is clear)");
		return ERR_UNSUPPORTED;
	}
	if (check_vm_cr() != OK)
		return ERR_UNSUPPORTED;
	if (!cpu_has(FEAT_SVM_NPT)) {
		log_error(
			"svm: this CPU has no nested paging (CPUID 8000000Ah EDX bit 0 is clear)");
		return ERR_UNSUPPORTED;
	}
	r = cpuid_checked(SVM_LEAF, 0);
	c->revision = (uint8_t)r.eax;
	c->asids = r.ebx;
	if (c->asids < 2) {
		log_error("svm: %u ASIDs are too few, two are needed", c->asids);
		return ERR_UNSUPPORTED;
	}
	c->nrips = cpu_has(FEAT_SVM_NRIPS);
	c->flush_by_asid = cpu_has(FEAT_SVM_FLUSH_ASID);
	c->decode_assists = cpu_has(FEAT_SVM_DECODE);
	c->lbrv = cpu_has(FEAT_SVM_LBRV);
	c->clean = cpu_has(FEAT_SVM_CLEAN_BITS) ? (uint32_t)CLEAN_ALL : 0;
	c->vnmi = cpu_has(FEAT_SVM_VNMI);
	c->spec_ctrl = cpu_has(FEAT_SVM_SPEC_CTRL);
	c->cet_ss = cpu_has(FEAT_CET_SS);
	c->invlpgb = cpu_has(FEAT_INVLPGB);
	c->no_shadow = is_tcg();
	c->avic = cpu_has(FEAT_SVM_AVIC);
	c->x2avic = cpu_has(FEAT_SVM_X2AVIC);
	c->vgif = cpu_has(FEAT_SVM_VGIF);
	c->pause_filter = cpu_has(FEAT_SVM_PAUSE_FILTER);
	c->tsc_ratio = cpu_has(FEAT_SVM_TSC_RATIO);
	return OK;
}

struct flag {
	bool present;
	const char *name;
};

static void list(char *buf, size_t size, const struct flag *flags, unsigned count)
{
	size_t used = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		int n;

		if (!flags[i].present)
			continue;
		n = snprintf(buf + used, size - used, " %s", flags[i].name);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

void svm_log_caps(void)
{
	const struct svm_caps *c = &svm_caps;
	const struct flag used[] = {
		{ true, "NPT" },
		{ c->nrips, "NRIPS" },
		{ c->clean != 0, "clean bits" },
		{ c->flush_by_asid, "flush-by-ASID" },
		{ c->decode_assists, "decode assists" },
		{ c->lbrv, "LBR virtualization" },
		{ c->spec_ctrl, "virtual SPEC_CTRL" },
		{ c->vnmi, "vNMI" },
	};
	const struct flag unneeded[] = {
		{ c->avic, "AVIC" },           { c->x2avic, "x2AVIC" },
		{ c->vgif, "vGIF" },           { c->pause_filter, "pause filter" },
		{ c->tsc_ratio, "TSC ratio" },
	};
	char a[128], b[64];

	list(a, sizeof(a), used, ARRAY_SIZE(used));
	list(b, sizeof(b), unneeded, ARRAY_SIZE(unneeded));
	log_info("svm: revision %u, %u ASIDs, uses%s%s%s", c->revision, c->asids, a,
		 b[0] ? "; not needed:" : "", b);
}
