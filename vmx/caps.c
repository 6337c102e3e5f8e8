/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capability MSRs (SDM vol. 3, appendix A). Every control that Lamina needs or wants is listed
 * with its name, so that a CPU, or a hypervisor below us, that lacks one is told by that name.
 */
#include "log.h"
#include "vmx/vmx.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/safe.h"

struct vmx_caps vmx_caps;

enum need {
	REQUIRED, /* must be 1 */
	OPTIONAL, /* 1 where the CPU can */
	OFF,      /* must be 0 */
};

struct control {
	uint32_t bit;
	enum need need;
	const char *name;
};

static const struct control pin_controls[] = {
	{ PIN_EXTERNAL_INTERRUPT, OFF, "external-interrupt exiting" },
	{ PIN_NMI_EXITING, REQUIRED, "NMI exiting" },
	{ PIN_VIRTUAL_NMIS, REQUIRED, "virtual NMIs" },
	{ PIN_PREEMPTION_TIMER, OFF, "VMX-preemption timer" },
	{ PIN_POSTED_INTERRUPTS, OFF, "posted interrupts" },
};

static const struct control proc_controls[] = {
	{ PROC_TSC_OFFSETTING, OFF, "TSC offsetting" },
	{ PROC_HLT_EXITING, OFF, "HLT exiting" },
	{ PROC_INVLPG_EXITING, OFF, "INVLPG exiting" },
	{ PROC_MWAIT_EXITING, REQUIRED, "MWAIT exiting" },
	{ PROC_RDPMC_EXITING, REQUIRED, "RDPMC exiting" },
	{ PROC_RDTSC_EXITING, OFF, "RDTSC exiting" },
	{ PROC_CR3_LOAD, OFF, "CR3-load exiting" },
	{ PROC_CR3_STORE, OFF, "CR3-store exiting" },
	{ PROC_CR8_LOAD, OFF, "CR8-load exiting" },
	{ PROC_CR8_STORE, OFF, "CR8-store exiting" },
	{ PROC_TPR_SHADOW, OFF, "TPR shadow" },
	{ PROC_MOV_DR, OFF, "MOV-DR exiting" },
	{ PROC_IO_EXITING, REQUIRED, "unconditional I/O exiting" },
	{ PROC_IO_BITMAPS, OFF, "I/O bitmaps" },
	{ PROC_MONITOR_TRAP, OFF, "monitor trap flag" },
	{ PROC_MSR_BITMAPS, REQUIRED, "MSR bitmaps" },
	{ PROC_MONITOR_EXITING, REQUIRED, "MONITOR exiting" },
	{ PROC_PAUSE_EXITING, OFF, "PAUSE exiting" },
	{ PROC_SECONDARY, REQUIRED, "secondary controls" },
};

static const struct control proc2_controls[] = {
	{ PROC2_EPT, REQUIRED, "EPT" },
	{ PROC2_UNRESTRICTED_GUEST, REQUIRED, "unrestricted guest" },
	{ PROC2_RDTSCP, OPTIONAL, "RDTSCP" },
	{ PROC2_VPID, OPTIONAL, "VPID" },
	{ PROC2_WBINVD_EXITING, OPTIONAL, "WBINVD exiting" },
	{ PROC2_INVPCID, OPTIONAL, "INVPCID" },
	{ PROC2_ENCLS_EXITING, OPTIONAL, "ENCLS exiting" },
	{ PROC2_PML, OPTIONAL, "page-modification logging" },
	{ PROC2_XSAVES, OPTIONAL, "XSAVES" },
	{ PROC2_ENCLV_EXITING, OPTIONAL, "ENCLV exiting" },
};

static const struct control exit_controls[] = {
	{ EXIT_SAVE_DEBUG, REQUIRED, "save debug controls" },
	{ EXIT_HOST_64BIT, REQUIRED, "64-bit host" },
	{ EXIT_ACK_INTERRUPT, OFF, "acknowledge interrupt on exit" },
	{ EXIT_SAVE_PAT, REQUIRED, "save PAT" },
	{ EXIT_LOAD_PAT, REQUIRED, "load host PAT" },
	{ EXIT_SAVE_EFER, REQUIRED, "save EFER" },
	{ EXIT_LOAD_EFER, REQUIRED, "load host EFER" },
	{ EXIT_CLEAR_BNDCFGS, OPTIONAL, "clear BNDCFGS" },
	{ EXIT_LOAD_CET, OPTIONAL, "load host CET" },
};

static const struct control entry_controls[] = {
	{ ENTRY_LOAD_DEBUG, REQUIRED, "load debug controls" },
	{ ENTRY_TO_SMM, OFF, "entry to SMM" },
	{ ENTRY_LOAD_PAT, REQUIRED, "load guest PAT" },
	{ ENTRY_LOAD_EFER, REQUIRED, "load guest EFER" },
	{ ENTRY_LOAD_BNDCFGS, OPTIONAL, "load guest BNDCFGS" },
	{ ENTRY_LOAD_CET, OPTIONAL, "load guest CET" },
};

/*
 * A capability MSR has in its low half the bits that must be 1, in its high half those that may be
 * 1 (A.3). Bits that are in no table keep what the CPU forces, which is the reserved "default 1"
 * behaviour that software which does not know a control has to choose (A.2).
 */
static bool choose(const char *group, uint32_t msr, const struct control *table, size_t count,
		   uint32_t *result)
{
	uint64_t cap = rdmsr(msr);
	uint32_t must = (uint32_t)cap, may = (uint32_t)(cap >> 32);
	uint32_t v = must;
	bool fine = true;

	for (size_t i = 0; i < count; i++) {
		const struct control *c = &table[i];

		if (c->need == OFF) {
			if (must & c->bit) {
				log_error("VMX: %s control '%s' cannot be turned off", group,
					  c->name);
				fine = false;
			}
		} else if (may & c->bit) {
			v |= c->bit;
		} else if (c->need == REQUIRED) {
			log_error("VMX: %s control '%s' is missing", group, c->name);
			fine = false;
		}
	}
	*result = v;
	return fine;
}

#define CHOOSE(group, msr, table, result) choose(group, msr, table, ARRAY_SIZE(table), result)

/* Two controls that only make sense together. */
static void pair(uint32_t *a, uint32_t bit_a, uint32_t *b, uint32_t bit_b)
{
	if (!(*a & bit_a) || !(*b & bit_b)) {
		*a &= ~bit_a;
		*b &= ~bit_b;
	}
}

static bool choose_controls(struct vmx_caps *c, bool true_msrs)
{
	bool fine = CHOOSE("pin-based", true_msrs ? MSR_VMX_TRUE_PINBASED : MSR_VMX_PINBASED_CTLS,
			   pin_controls, &c->pin);

	fine &= CHOOSE("processor-based",
		       true_msrs ? MSR_VMX_TRUE_PROCBASED : MSR_VMX_PROCBASED_CTLS, proc_controls,
		       &c->proc);
	fine &= CHOOSE("exit", true_msrs ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT_CTLS, exit_controls,
		       &c->exit);
	fine &= CHOOSE("entry", true_msrs ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY_CTLS, entry_controls,
		       &c->entry);
	/* The MSR exists only if the secondary controls do (A.3.3). */
	if (c->proc & PROC_SECONDARY)
		fine &= CHOOSE("secondary", MSR_VMX_PROCBASED_CTLS2, proc2_controls, &c->proc2);
	/* On only while a guest has dirty logs: vmx/pml.c. */
	c->pml = c->proc2 & PROC2_PML;
	c->proc2 &= ~PROC2_PML;
	pair(&c->exit, EXIT_CLEAR_BNDCFGS, &c->entry, ENTRY_LOAD_BNDCFGS);
	pair(&c->exit, EXIT_LOAD_CET, &c->entry, ENTRY_LOAD_CET);
	return fine;
}

/* Instructions that guests see in CPUID raise #UD unless a control lets them. */
static bool check_instructions(const struct vmx_caps *c)
{
	static const struct {
		uint32_t bit;
		uint64_t feature;
		const char *name;
	} need[] = {
		{ PROC2_RDTSCP, FEAT_RDTSCP, "RDTSCP" },
		{ PROC2_INVPCID, FEAT_INVPCID, "INVPCID" },
		{ PROC2_XSAVES, FEAT_XSAVES, "XSAVES" },
	};
	bool fine = true;

	for (size_t i = 0; i < ARRAY_SIZE(need); i++) {
		if (cpu_has(need[i].feature) && !(c->proc2 & need[i].bit)) {
			log_error("VMX: CPUID has %s, but the control for it is missing",
				  need[i].name);
			fine = false;
		}
	}
	return fine;
}

static bool check_ept(struct vmx_caps *c)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} need[] = {
		{ EPT_CAP_WALK_4, "4-level walks" },
		{ EPT_CAP_WB, "write-back tables" },
		{ EPT_CAP_INVEPT, "INVEPT" },
		{ EPT_CAP_INVEPT_ALL, "INVEPT of all contexts" },
	};
	bool fine = true;

	/* Exists only with EPT or VPID (A.10). */
	if (!(c->proc2 & (PROC2_EPT | PROC2_VPID)))
		return false;
	c->ept_vpid = rdmsr(MSR_VMX_EPT_VPID_CAP);
	for (size_t i = 0; i < ARRAY_SIZE(need); i++) {
		if (!(c->ept_vpid & need[i].bit)) {
			log_error("VMX: EPT without %s", need[i].name);
			fine = false;
		}
	}
	/* It lists the pages whose dirty flag the core sets (29.3.6). */
	if (!(c->ept_vpid & EPT_CAP_AD))
		c->pml = false;
	c->invept_single = c->ept_vpid & EPT_CAP_INVEPT_SINGLE;
	c->invvpid_single = c->ept_vpid & EPT_CAP_INVVPID_SINGLE;
	/* Without INVVPID a VPID could never be reused or a guest's MOV to CR4 be emulated. */
	if (!(c->ept_vpid & EPT_CAP_INVVPID) || !(c->ept_vpid & EPT_CAP_INVVPID_ALL))
		c->proc2 &= ~PROC2_VPID;
	return fine;
}

static bool firmware_allows_vmx(void)
{
	uint64_t fc;

	/* Some hypervisors below us have no such MSR; VMXON itself then decides. */
	if (!rdmsr_safe(MSR_FEATURE_CONTROL, &fc))
		return true;
	if (!(fc & FEATURE_CONTROL_LOCK) || (fc & FEATURE_CONTROL_VMX))
		return true;
	log_error("VMX: the firmware has locked VMX off (IA32_FEATURE_CONTROL %#llx): enable "
		  "Intel VT-x in its set-up",
		  (unsigned long long)fc);
	return false;
}

enum status vmx_caps_init(void)
{
	struct vmx_caps *c = &vmx_caps;
	uint64_t basic;
	bool fine;

	if (!cpu_has(FEAT_VMX)) {
		log_error("VMX: this CPU has no VMX (CPUID.1:ECX.5)");
		return ERR_UNSUPPORTED;
	}
	if (!firmware_allows_vmx())
		return ERR_UNSUPPORTED;
	basic = rdmsr(MSR_VMX_BASIC);
	c->revision = VMX_BASIC_REVISION(basic);
	c->insn_info = basic & VMX_BASIC_INSN_INFO;
	fine = choose_controls(c, basic & VMX_BASIC_TRUE_CONTROLS);
	fine &= check_instructions(c);
	fine &= check_ept(c);
	if (VMX_BASIC_SIZE(basic) > PAGE_SIZE || VMX_BASIC_MEM_TYPE(basic) != MEM_TYPE_WB) {
		log_error("VMX: a VMCS of %u bytes of memory type %u", VMX_BASIC_SIZE(basic),
			  VMX_BASIC_MEM_TYPE(basic));
		fine = false;
	}
	c->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
	c->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
	c->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
	c->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
	return fine ? OK : ERR_UNSUPPORTED;
}

void vmx_caps_log(void)
{
	const struct vmx_caps *c = &vmx_caps;

	log_info("VMX: revision %#x, controls pin %#x proc %#x/%#x exit %#x entry %#x", c->revision,
		 c->pin, c->proc, c->proc2, c->exit, c->entry);
	log_info("VMX: EPT pages%s%s%s%s%s, VPID %s, INVEPT %s", " 4K",
		 c->ept_vpid & EPT_CAP_2M ? " 2M" : "", c->ept_vpid & EPT_CAP_1G ? " 1G" : "",
		 c->ept_vpid & EPT_CAP_AD ? ", accessed/dirty" : "", c->pml ? ", PML" : "",
		 c->proc2 & PROC2_VPID ? "on" : "off", c->invept_single ? "per root" : "all only");
}

static bool allowed(uint32_t msr, uint32_t controls)
{
	uint64_t cap = rdmsr(msr);

	return !((uint32_t)cap & ~controls) && !(controls & ~(uint32_t)(cap >> 32));
}

bool vmx_core_agrees(void)
{
	const struct vmx_caps *c = &vmx_caps;
	uint64_t basic = rdmsr(MSR_VMX_BASIC);
	bool t = basic & VMX_BASIC_TRUE_CONTROLS;

	return VMX_BASIC_REVISION(basic) == c->revision &&
	       allowed(t ? MSR_VMX_TRUE_PINBASED : MSR_VMX_PINBASED_CTLS, c->pin) &&
	       allowed(t ? MSR_VMX_TRUE_PROCBASED : MSR_VMX_PROCBASED_CTLS, c->proc) &&
	       allowed(MSR_VMX_PROCBASED_CTLS2, c->proc2 | (c->pml ? PROC2_PML : 0)) &&
	       allowed(t ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT_CTLS, c->exit) &&
	       allowed(t ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY_CTLS, c->entry) &&
	       !(c->ept_vpid & ~rdmsr(MSR_VMX_EPT_VPID_CAP)) &&
	       rdmsr(MSR_VMX_CR0_FIXED0) == c->cr0_fixed0 &&
	       rdmsr(MSR_VMX_CR0_FIXED1) == c->cr0_fixed1 &&
	       rdmsr(MSR_VMX_CR4_FIXED0) == c->cr4_fixed0 &&
	       rdmsr(MSR_VMX_CR4_FIXED1) == c->cr4_fixed1;
}

enum status vmx_unlock_core(void)
{
	uint64_t fc;

	if (!rdmsr_safe(MSR_FEATURE_CONTROL, &fc))
		return OK;
	if (!(fc & FEATURE_CONTROL_LOCK)) {
		fc |= FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX;
		if (!wrmsr_safe(MSR_FEATURE_CONTROL, fc))
			return ERR_UNSUPPORTED;
	}
	return fc & FEATURE_CONTROL_VMX ? OK : ERR_UNSUPPORTED;
}
