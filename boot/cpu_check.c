/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "boot/cpu_check.h"
#include "x86/msr.h"

#define LEAF1_VMX        BIT(5) /* of CPUID 1 ECX */
#define LEAF1_HYPERVISOR BIT(31)
#define EXT1_SVM         BIT(2)  /* of CPUID 0x80000001 ECX */
#define EXT1_NX          BIT(20) /* of CPUID 0x80000001 EDX */
#define EXT1_LM          BIT(29)
#define SVM_NPT          BIT(0) /* of CPUID 0x8000000a EDX; AMD APM vol. 3 appendix E.4.9 */
#define CR4_LA57         BIT(12)

struct checker {
	void (*emit)(void *ctx, const char *text);
	void *ctx;
	uint32_t count;
};

static void problem(struct checker *c, const char *text)
{
	c->count++;
	c->emit(c->ctx, text);
}

/* Intel SDM vol. 3D appendix A.3: bit 32 + n of these MSRs says that control n may be 1. */
static bool may_set(const struct cpu_msr *m, unsigned int bit)
{
	return m->present && (m->value >> (32 + bit) & 1);
}

static void check_vmx_controls(struct checker *c, const struct cpu_facts *f)
{
	if (!may_set(&f->vmx_procbased, 25))
		problem(c, "VMX without I/O bitmaps; Lamina needs them: use a newer CPU");
	if (!may_set(&f->vmx_procbased, 28))
		problem(c, "VMX without MSR bitmaps; Lamina needs them: use a newer CPU");
	if (!may_set(&f->vmx_procbased, 31)) {
		problem(c, "VMX without secondary controls, hence without EPT; Lamina needs a CPU "
			   "from 2010 (Westmere) or later");
		return;
	}
	if (!may_set(&f->vmx_procbased2, 1)) {
		problem(c, "VMX without EPT (nested page tables); Lamina needs a CPU from 2010 "
			   "(Westmere) or later");
		return;
	}
	if (!may_set(&f->vmx_procbased2, 7))
		problem(c,
			"VMX without unrestricted guest; Lamina needs a CPU from 2010 (Westmere) "
			"or later");
	/* Appendix A.10: page-walk length 4, write-back tables, INVEPT of one and of all contexts. */
	if (!f->vmx_ept_vpid.present || !(f->vmx_ept_vpid.value & BIT(6)) ||
	    !(f->vmx_ept_vpid.value & BIT(14)))
		problem(c,
			"EPT without 4-level write-back tables; Lamina cannot use it: use a newer "
			"CPU");
	if (!(f->vmx_ept_vpid.value & BIT(20)) || !(f->vmx_ept_vpid.value & (BIT(25) | BIT(26))))
		problem(c, "EPT without INVEPT; Lamina cannot use it: use a newer CPU");
}

/* Intel SDM vol. 3C section 24.7: unlocked is fine, the hypervisor sets and locks it itself. */
static void check_vmx(struct checker *c, const struct cpu_facts *f)
{
	uint64_t control = f->feature_control.value;

	if (f->feature_control.present && (control & FEATURE_CONTROL_LOCK) &&
	    !(control & FEATURE_CONTROL_VMX)) {
		problem(c, "VMX is locked off by the firmware (IA32_FEATURE_CONTROL); turn on "
			   "\"Intel Virtualization Technology\" (VT-x) in the firmware setup and "
			   "switch the machine off and on");
		return;
	}
	check_vmx_controls(c, f);
}

/* AMD APM vol. 2 section 15.30.1. */
static void check_svm(struct checker *c, const struct cpu_facts *f)
{
	if (f->vm_cr.present && (f->vm_cr.value & VM_CR_SVMDIS)) {
		problem(c,
			f->vm_cr.value & VM_CR_LOCK
				? "SVM is locked off by the firmware (VM_CR.SVMDIS); turn on \"SVM "
				  "Mode\" in the firmware setup"
				: "SVM is off (VM_CR.SVMDIS); turn on \"SVM Mode\" in the firmware setup");
		return;
	}
	if (!(f->svm_edx & SVM_NPT))
		problem(c,
			"SVM without nested paging (NPT); Lamina needs a CPU from 2007 (Barcelona) "
			"or later");
}

uint32_t cpu_check(const struct cpu_facts *f, void (*emit)(void *ctx, const char *text), void *ctx)
{
	struct checker c = { emit, ctx, 0 };

	if (!(f->ext1_edx & EXT1_LM))
		problem(&c, "this CPU has no 64-bit mode; Lamina needs x86-64");
	if (!(f->ext1_edx & EXT1_NX))
		problem(&c, "this CPU has no NX bit, or the firmware hides it; turn on \"Execute "
			    "Disable\" in the firmware setup");
	if (f->cr4 & CR4_LA57)
		problem(&c,
			"the firmware runs with 5-level paging, which Lamina cannot take over; turn "
			"off \"5-level paging\" (LA57) in the firmware setup");
	if (f->leaf1_ecx & LEAF1_VMX)
		check_vmx(&c, f);
	else if (f->ext1_ecx & EXT1_SVM)
		check_svm(&c, f);
	else if (f->leaf1_ecx & LEAF1_HYPERVISOR)
		problem(&c, "this CPU has neither VMX nor SVM; it is a virtual one: turn on nested "
			    "virtualization for this machine");
	else
		problem(&c,
			"this CPU has neither VMX nor SVM; if it should have, turn on \"SVM Mode\" or "
			"\"Intel Virtualization Technology\" in the firmware setup");
	return c.count;
}

void cpu_describe(const struct cpu_facts *f, char *out, size_t size)
{
	const char *how = f->leaf1_ecx & LEAF1_VMX ? "VMX"
			  : f->ext1_ecx & EXT1_SVM ? "SVM"
						   : "neither";
	const char *name = f->name;

	while (*name == ' ')
		name++;
	snprintf(out, size, "%s%s%s (%s)", f->vendor, *name ? ", " : "", name, how);
}
