/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/msr.h"

#include <string.h>

#include "core/cpuid.h"
#include "core/guest.h"
#include "core/hvm.h"
#include "core/hw.h"
#include "core/vlapic.h"
#include "log.h"
#include "panic.h"
#include "x86/cpuid.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/regs.h"

/*
 * Default deny: an MSR that is not in the table raises #GP. `direct` accesses go to the hardware
 * without exit; the guest may leave anything there, because the hypervisor uses none of these, or
 * because VMX and SVM switch them. A handler serves the rest; a missing write handler makes an MSR
 * read-only (#GP).
 */
#define R 1
#define W 2

enum msr_for {
	ANY,
	INTEL,
	AMD
}; /* Hygon counts as AMD */

struct msr_entry {
	uint32_t first, last;
	uint8_t direct;   /* R, W */
	uint8_t vendor;   /* enum msr_for */
	uint64_t feature; /* FEAT_*, one of which the guest must have; 0: no condition */
	uint64_t feature2;
	enum status (*read)(struct vcpu *v, uint32_t msr, uint64_t *value);
	enum status (*write)(struct vcpu *v, uint32_t msr, uint64_t value);
};

/* ------------------------------------------------------------------ handlers */

static enum status read_zero(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = 0;
	return OK;
}

static enum status write_ignore(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	(void)msr;
	(void)value;
	return OK;
}

static enum status write_zero_only(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	(void)msr;
	return value ? ERR_INVALID : OK;
}

/* What the vendor switches lives in the VMCS or VMCB, the rest in the core. */
static enum status read_hw(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	enum status s = hvm->read_msr(v, msr, value);

	if (s != ERR_NOT_FOUND)
		return s;
	return hw_rdmsr(msr, value) ? OK : ERR_INVALID;
}

/* A value that the CPU itself would refuse; one that goes into the VMCS or VMCB meets no CPU. */
static bool refused_by_cpu(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint32_t spare = guest_has(v, FEAT_LA57) ? 7 : 16, i;

	switch (msr) {
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
		return (uint64_t)((int64_t)(value << spare) >> spare) != value;
	case MSR_PAT:
		for (i = 0; i < 64; i += 8) {
			uint64_t type = (value >> i) & 0xff;

			if (type > MEM_TYPE_UC_MINUS || type == 2 || type == 3)
				return true;
		}
		return false;
	}
	return false;
}

static enum status write_hw(struct vcpu *v, uint32_t msr, uint64_t value)
{
	enum status s;

	if (refused_by_cpu(v, msr, value))
		return ERR_INVALID;
	s = hvm->write_msr(v, msr, value);
	if (s != ERR_NOT_FOUND)
		return s;
	return hw_wrmsr(msr, value) ? OK : ERR_INVALID;
}

/*
 * The hypervisor measures time with the same TSC, and other cores compare theirs with it: a guest's
 * write moves its own view only, where the vendor has an offset for it, and does nothing otherwise.
 */
static enum status write_tsc(struct vcpu *v, uint32_t msr, uint64_t value)
{
	enum status s = hvm->write_msr(v, msr, value);

	return s == ERR_NOT_FOUND ? OK : s;
}

static enum status read_apic_base(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = v->apic_base;
	return OK;
}

static enum status write_apic_base(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)msr;
	return vlapic_set_base(v, value);
}

static enum status write_x2apic(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return vlapic_msr_write(v, msr, value);
}

/* Writing 0 and executing CPUID puts the revision into the MSR (SDM vol. 3, 9.11.7.1). */
static enum status read_microcode(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	if (hw_vendor() == CPU_VENDOR_INTEL && hw_wrmsr(msr, 0))
		(void)hw_cpuid(1, 0);
	if (!hw_rdmsr(msr, value))
		*value = 0;
	return OK;
}

static enum status read_host(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	if (!hw_rdmsr(msr, value))
		*value = 0;
	return OK;
}

/* Locked with VMX off: what firmware without virtualization leaves. */
static enum status read_feature_control(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = FEATURE_CONTROL_LOCK;
	return OK;
}

static enum status read_misc_enable(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = MISC_ENABLE_FAST_STRING | MISC_ENABLE_BTS_UNAVAIL | MISC_ENABLE_PEBS_UNAVAIL;
	return OK;
}

/*
 * Facts about the CPU pass, bits that announce another MSR (TSX_CTRL, MISC_PACKAGE_CTLS,
 * XAPIC_DISABLE_STATUS, FB_CLEAR_CTRL, GDS_CTRL, …) do not, because those MSRs are denied.
 */
static enum status read_arch_capabilities(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	const uint64_t facts =
		ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA | ARCH_CAP_SKIP_L1DFL_VMENTRY |
		ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO |
		ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR |
		ARCH_CAP_RRSBA | ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO |
		ARCH_CAP_RFDS_NO | ARCH_CAP_RFDS_CLEAR | BIT(62); /* ITS_NO */

	(void)v;
	if (!hw_rdmsr(msr, value))
		return ERR_INVALID;
	*value &= facts;
	return OK;
}

/* The TSC counts at the P0 frequency: Linux looks for this bit. */
static enum status read_hwcr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = AMD_HWCR_TSC_FREQ_SEL;
	return OK;
}

static enum status read_vm_cr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = VM_CR_SVMDIS | VM_CR_LOCK;
	return OK;
}

/* Extended configuration cycles through port CF8h: Linux sets this bit if it is clear. */
static enum status read_nb_cfg(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = BIT(46);
	return OK;
}

/* LFENCE is serializing: the bit that kernels set is on. The hypervisor sets it at boot. */
static enum status read_de_cfg(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = BIT(1);
	return OK;
}

/* DEBUGCTL where no vendor field holds it: branch tracing stays off. */
static enum status read_debugctl(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	enum status s = hvm->read_msr(v, msr, value);

	return s == ERR_NOT_FOUND ? read_zero(v, msr, value) : s;
}

static enum status write_debugctl(struct vcpu *v, uint32_t msr, uint64_t value)
{
	enum status s;

	if (value & ~(uint64_t)(DEBUGCTL_LBR | DEBUGCTL_BTF))
		return ERR_INVALID;
	s = hvm->write_msr(v, msr, value);
	return s == ERR_NOT_FOUND ? OK : s;
}

/*
 * EFER (SDM vol. 3, 2.2.1; APM vol. 2, 3.1.7): LMA is read-only, LME is fixed while paging is on,
 * and a bit without its CPUID feature is reserved. SVME is reserved, since SVM is hidden.
 */
static enum status write_efer(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint64_t old;

	if ((value & ~v->msrs.efer) || hvm->read_msr(v, msr, &old) != OK)
		return ERR_INVALID;
	if (unlikely((value ^ old) & EFER_LME)) {
		struct vcpu_sregs s;

		hvm->get_sregs(v, &s);
		if (s.cr0 & CR0_PG)
			return ERR_INVALID;
	}
	value = (value & ~(uint64_t)EFER_LMA) | (old & EFER_LMA);
	return hvm->write_msr(v, msr, value);
}

static uint64_t efer_bits(struct vcpu *v)
{
	uint64_t allowed = EFER_LMA;

	if (guest_has(v, FEAT_SYSCALL))
		allowed |= EFER_SCE;
	if (guest_has(v, FEAT_LM))
		allowed |= EFER_LME;
	if (guest_has(v, FEAT_NX))
		allowed |= EFER_NXE;
	if (guest_has(v, FEAT_FXSR_OPT))
		allowed |= EFER_FFXSR;
	if (guest_has(v, CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 17)))
		allowed |= EFER_TCE;
	if (guest_has(v, CPUID_FEATURE(0x80000021, 0, CPUID_EAX, 8)))
		allowed |= BIT(21); /* automatic IBRS */
	return allowed;
}

/* ------------------------------------------------------------------ MTRRs */

/*
 * The guest's MTRRs are kept and otherwise unused: its memory is write-back RAM in the second-level
 * tables and its PAT does the rest. After reset they say just that: default type write-back,
 * enabled, so that kernels neither complain nor turn PAT off.
 */
static bool valid_type(uint64_t type)
{
	return type <= MEM_TYPE_WB && type != 2 && type != 3;
}

static enum status read_mtrrcap(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	(void)msr;
	*value = VCPU_MTRR_VAR | MTRRCAP_FIX | MTRRCAP_WC;
	return OK;
}

static enum status read_mtrr_def(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = v->soft.mtrr_def;
	return OK;
}

static enum status write_mtrr_def(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)msr;
	if (value & ~(uint64_t)(MTRR_DEF_ENABLE | MTRR_DEF_FIX_ENABLE | MTRR_DEF_TYPE_MASK) ||
	    !valid_type(value & MTRR_DEF_TYPE_MASK))
		return ERR_INVALID;
	v->soft.mtrr_def = value;
	return OK;
}

static uint32_t fixed_index(uint32_t msr)
{
	if (msr == MSR_MTRR_FIX64K_00000)
		return 0;
	if (msr <= MSR_MTRR_FIX16K_A0000)
		return 1 + msr - MSR_MTRR_FIX16K_80000;
	return 3 + msr - MSR_MTRR_FIX4K(0);
}

static enum status read_mtrr_fixed(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = v->soft.mtrr_fixed[fixed_index(msr)];
	return OK;
}

static enum status write_mtrr_fixed(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint32_t i;

	for (i = 0; i < 8; i++)
		if (!valid_type((value >> (8 * i)) & 0xff))
			return ERR_INVALID;
	v->soft.mtrr_fixed[fixed_index(msr)] = value;
	return OK;
}

static enum status read_mtrr_var(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = v->soft.mtrr_var[msr - MSR_MTRR_PHYSBASE(0)];
	return OK;
}

static enum status write_mtrr_var(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint64_t address = BITS((hw_cpuid(0x80000008, 0).eax & 0xff) - 1, PAGE_SHIFT);
	bool is_mask = (msr - MSR_MTRR_PHYSBASE(0)) & 1;
	uint64_t low = is_mask ? MTRR_PHYSMASK_VALID : 0xff;

	if (value & ~(address | low) || (!is_mask && !valid_type(value & 0xff)))
		return ERR_INVALID;
	v->soft.mtrr_var[msr - MSR_MTRR_PHYSBASE(0)] = value;
	return OK;
}

/* ------------------------------------------------------------------ the table */

#define FEAT_XFD    CPUID_FEATURE(0xd, 1, CPUID_EAX, 4)
#define MSR_XFD     0x1c4
#define MSR_XFD_ERR 0x1c5
#define ONE(msr)    (msr), (msr)

static const struct msr_entry table[] = {
	/* State that belongs to the guest's instructions alone. */
	{ ONE(MSR_SYSENTER_CS), R | W, ANY, 0, 0, read_hw, write_hw },
	{ ONE(MSR_SYSENTER_ESP), R | W, ANY, 0, 0, read_hw, write_hw },
	{ ONE(MSR_SYSENTER_EIP), R | W, ANY, 0, 0, read_hw, write_hw },
	{ MSR_STAR, MSR_SFMASK, R | W, ANY, 0, 0, read_hw, write_hw },
	{ MSR_FS_BASE, MSR_KERNEL_GS_BASE, R | W, ANY, 0, 0, read_hw, write_hw },
	{ ONE(MSR_TSC_AUX), R | W, ANY, FEAT_RDTSCP, FEAT_RDPID, read_hw, write_hw },
	{ ONE(MSR_PAT), R | W, ANY, FEAT_PAT, 0, read_hw, write_hw },
	{ ONE(MSR_XFD), R | W, ANY, FEAT_XFD, 0, read_hw, write_hw },
	{ ONE(MSR_XFD_ERR), R | W, ANY, FEAT_XFD, 0, read_hw, write_hw },
	{ ONE(MSR_TSC), R, ANY, 0, 0, read_hw, write_tsc },
	{ ONE(MSR_TSC_DEADLINE), R | W, ANY, FEAT_TSC_DEADLINE, 0, read_hw, write_hw },

	/* Speculation control acts on this core (and its siblings, never on other guests' cores). */
	{ ONE(MSR_SPEC_CTRL), R | W, INTEL, FEAT_SPEC_CTRL, FEAT_SSBD, read_hw, write_hw },
	{ ONE(MSR_SPEC_CTRL), R | W, AMD, FEAT_AMD_IBRS, FEAT_AMD_STIBP, read_hw, write_hw },
	{ ONE(MSR_SPEC_CTRL), R | W, AMD, FEAT_AMD_SSBD, 0, read_hw, write_hw },
	{ ONE(MSR_PRED_CMD), W, INTEL, FEAT_SPEC_CTRL, 0, NULL, write_hw },
	{ ONE(MSR_PRED_CMD), W, AMD, FEAT_AMD_IBPB, 0, NULL, write_hw },
	{ ONE(MSR_FLUSH_CMD), W, INTEL, FEAT_L1D_FLUSH, 0, NULL, write_hw },
	{ ONE(MSR_ARCH_CAPABILITIES), 0, INTEL, FEAT_ARCH_CAP, 0, read_arch_capabilities, NULL },

	/* The local APIC. What could reach further than its own core is trapped on writes. */
	{ ONE(MSR_APIC_BASE), 0, ANY, 0, 0, read_apic_base, write_apic_base },
	{ MSR_X2APIC_ID, MSR_X2APIC_VERSION, R, ANY, FEAT_X2APIC, 0, read_hw, NULL },
	{ ONE(MSR_X2APIC_TPR), R | W, ANY, FEAT_X2APIC, 0, read_hw, write_hw },
	{ ONE(MSR_X2APIC_PPR), R, ANY, FEAT_X2APIC, 0, read_hw, NULL },
	{ ONE(MSR_X2APIC_EOI), W, ANY, FEAT_X2APIC, 0, NULL, write_x2apic },
	{ ONE(MSR_X2APIC_LDR), R, ANY, FEAT_X2APIC, 0, read_hw, NULL },
	{ ONE(MSR_X2APIC_SVR), R | W, ANY, FEAT_X2APIC, 0, read_hw, write_hw },
	{ MSR_X2APIC_ISR(0), MSR_X2APIC_IRR(7), R, ANY, FEAT_X2APIC, 0, read_hw, NULL },
	{ ONE(MSR_X2APIC_ESR), R | W, ANY, FEAT_X2APIC, 0, read_hw, write_hw },
	{ ONE(MSR_X2APIC_LVT_CMCI), R, INTEL, FEAT_X2APIC, 0, read_hw, write_x2apic },
	{ ONE(MSR_X2APIC_ICR), R, ANY, FEAT_X2APIC, 0, read_hw, write_x2apic },
	/* Not a matter of ticks: it is written when a kernel changes the timer's mode. */
	{ ONE(MSR_X2APIC_LVT_TIMER), R | W, INTEL, FEAT_X2APIC, 0, read_hw, write_hw },
	{ ONE(MSR_X2APIC_LVT_TIMER), R, AMD, FEAT_X2APIC, 0, read_hw, write_x2apic },
	{ MSR_X2APIC_LVT_THERMAL, MSR_X2APIC_LVT_LINT1, R, ANY, FEAT_X2APIC, 0, read_hw,
	  write_x2apic },
	{ ONE(MSR_X2APIC_LVT_ERROR), R, ANY, FEAT_X2APIC, 0, read_hw, write_x2apic },
	{ ONE(MSR_X2APIC_TIMER_ICR), R | W, ANY, FEAT_X2APIC, 0, read_hw, write_hw },
	{ ONE(MSR_X2APIC_TIMER_CCR), R, ANY, FEAT_X2APIC, 0, read_hw, NULL },
	{ ONE(MSR_X2APIC_TIMER_DCR), R | W, ANY, FEAT_X2APIC, 0, read_hw, write_hw },
	{ ONE(MSR_X2APIC_SELF_IPI), W, ANY, FEAT_X2APIC, 0, NULL, write_hw },

	/* Emulated. */
	{ ONE(MSR_EFER), 0, ANY, 0, 0, read_hw, write_efer },
	{ ONE(MSR_DEBUGCTL), 0, ANY, 0, 0, read_debugctl, write_debugctl },
	{ ONE(MSR_XSS), 0, ANY, FEAT_XSAVES, 0, read_zero, write_zero_only },
	{ ONE(MSR_MTRRCAP), 0, ANY, FEAT_MTRR, 0, read_mtrrcap, NULL },
	{ ONE(MSR_MTRR_DEF_TYPE), 0, ANY, FEAT_MTRR, 0, read_mtrr_def, write_mtrr_def },
	{ ONE(MSR_MTRR_FIX64K_00000), 0, ANY, FEAT_MTRR, 0, read_mtrr_fixed, write_mtrr_fixed },
	{ MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, 0, ANY, FEAT_MTRR, 0, read_mtrr_fixed,
	  write_mtrr_fixed },
	{ MSR_MTRR_FIX4K(0), MSR_MTRR_FIX4K(7), 0, ANY, FEAT_MTRR, 0, read_mtrr_fixed,
	  write_mtrr_fixed },
	{ MSR_MTRR_PHYSBASE(0), MSR_MTRR_PHYSMASK(VCPU_MTRR_VAR - 1), 0, ANY, FEAT_MTRR, 0,
	  read_mtrr_var, write_mtrr_var },
	{ ONE(MSR_MCG_CAP), 0, ANY, FEAT_MCA, 0, read_zero, NULL }, /* no banks */
	{ ONE(MSR_MCG_STATUS), 0, ANY, FEAT_MCA, 0, read_zero, write_zero_only },
	{ MSR_P5_MC_ADDR, MSR_P5_MC_TYPE, 0, ANY, 0, 0, read_zero, write_ignore },
	{ ONE(MSR_BIOS_SIGN_ID), 0, ANY, 0, 0, read_microcode, write_ignore },

	{ ONE(MSR_PLATFORM_ID), 0, INTEL, 0, 0, read_host, NULL },
	{ ONE(MSR_FEATURE_CONTROL), 0, INTEL, 0, 0, read_feature_control, NULL },
	{ ONE(MSR_MISC_ENABLE), 0, INTEL, 0, 0, read_misc_enable, write_ignore },

	{ ONE(MSR_AMD_HWCR), 0, AMD, 0, 0, read_hwcr, write_ignore },
	{ ONE(MSR_AMD_SYSCFG), 0, AMD, 0, 0, read_zero, write_zero_only },
	{ ONE(MSR_AMD_TOP_MEM), 0, AMD, 0, 0, read_zero, NULL },
	{ ONE(MSR_AMD_TOP_MEM2), 0, AMD, 0, 0, read_zero, NULL },
	{ ONE(MSR_AMD_NB_CFG), 0, AMD, 0, 0, read_nb_cfg, write_ignore },
	{ ONE(MSR_AMD_INT_PENDING), 0, AMD, 0, 0, read_zero, write_ignore },
	{ ONE(MSR_AMD_DE_CFG), 0, AMD, 0, 0, read_de_cfg, write_ignore },
	{ ONE(MSR_VM_CR), 0, AMD, 0, 0, read_vm_cr, NULL },
};

static bool applies(struct vcpu *v, const struct msr_entry *e)
{
	bool intel = hw_vendor() == CPU_VENDOR_INTEL;

	if (e->vendor != ANY && intel != (e->vendor == INTEL))
		return false;
	if (!e->feature)
		return true;
	return guest_has(v, e->feature) || (e->feature2 && guest_has(v, e->feature2));
}

static bool is_x2apic(uint32_t msr)
{
	return msr >= MSR_X2APIC_BASE && msr <= MSR_X2APIC_END;
}

_Static_assert(ARRAY_SIZE(table) < 256, "a place in struct msr_index is one byte");

/* Multiplicative hashing: its upper bits spread MSRs that are neighbours. */
static uint32_t first_place(uint32_t msr)
{
	return (msr * 0x9e3779b1u) >> 24;
}

/* The place that leads to the MSR's entry, or a free one: there is none. */
static uint8_t *find_place(struct msr_index *x, uint32_t msr)
{
	uint32_t at = first_place(msr);

	for (; x->places[at]; at = (at + 1) % MSR_PLACES) {
		const struct msr_entry *e = &table[x->places[at] - 1];

		if (msr >= e->first && msr <= e->last)
			break;
	}
	return &x->places[at];
}

void msr_prepare(struct vcpu *v)
{
	struct msr_index *x = &v->msrs;
	unsigned used = 0;

	memset(x, 0, sizeof(*x));
	x->efer = efer_bits(v);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (!applies(v, &table[i]))
			continue;
		for (uint32_t msr = table[i].first; msr <= table[i].last; msr++) {
			uint8_t *place = find_place(x, msr);

			/* Of two entries the first counts. */
			if (*place)
				continue;
			*place = (uint8_t)(i + 1);
			used++;
			ASSERT(used < MSR_PLACES);
		}
	}
}

const struct msr_entry *msr_find(struct vcpu *v, uint32_t msr)
{
	uint8_t place = *find_place(&v->msrs, msr);

	if (!place || (is_x2apic(msr) && !v->x2apic))
		return NULL;
	return &table[place - 1];
}

const struct msr_entry *msr_look_up(struct vcpu *v, uint32_t msr)
{
	if (is_x2apic(msr) && !v->x2apic)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct msr_entry *e = &table[i];

		if (msr >= e->first && msr <= e->last && applies(v, e))
			return e;
	}
	return NULL;
}

void msr_policy_for_each(struct vcpu *v, bool x2apic, msr_allow_fn allow, void *ctx)
{
	uint32_t msr;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		const struct msr_entry *e = &table[i];

		if (!e->direct || (is_x2apic(e->first) && !x2apic) || !applies(v, e))
			continue;
		if (e->first == MSR_X2APIC_EOI &&
		    __atomic_load_n(&v->guest->trap_eoi, __ATOMIC_ACQUIRE))
			continue;
		for (msr = e->first; msr <= e->last; msr++)
			allow(ctx, msr, e->direct & R, e->direct & W);
	}
}

/* Count a refused access, and log each MSR once per core; the list is small, then silence. */
static void denied(struct vcpu *v, uint32_t msr, const char *what)
{
	uint32_t i;

	__atomic_fetch_add(&v->guest->denied_msr, 1, __ATOMIC_RELAXED);
	for (i = 0; i < v->soft.denied_count; i++)
		if (v->soft.denied[i] == msr)
			return;
	if (v->soft.denied_count == ARRAY_SIZE(v->soft.denied))
		return;
	v->soft.denied[v->soft.denied_count++] = msr;
	vcpu_go_outside(v);
	log_debug("guest %s: %s of MSR %#x refused at rip %#llx", v->guest->config->name, what, msr,
		  (unsigned long long)v->rip);
}

enum status vcpu_rdmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[GPR_RCX];
	const struct msr_entry *e = msr_find(v, msr);
	uint64_t value = 0;

	if (!e || !e->read || e->read(v, msr, &value) != OK) {
		denied(v, msr, "read");
		return ERR_DENIED;
	}
	v->gpr[GPR_RAX] = (uint32_t)value;
	v->gpr[GPR_RDX] = value >> 32;
	return OK;
}

enum status vcpu_wrmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->gpr[GPR_RCX];
	uint64_t value = v->gpr[GPR_RDX] << 32 | (uint32_t)v->gpr[GPR_RAX];
	const struct msr_entry *e = msr_find(v, msr);

	if (!e || !e->write || e->write(v, msr, value) != OK) {
		denied(v, msr, "write");
		return ERR_DENIED;
	}
	return OK;
}

/* ------------------------------------------------------------------ reset */

/* SDM vol. 3, table 10-1: power-on values of what a former run of a guest may have left. */
static void reset_hw(struct vcpu *v)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} values[] = {
		{ MSR_SYSENTER_CS, 0 }, { MSR_SYSENTER_ESP, 0 },   { MSR_SYSENTER_EIP, 0 },
		{ MSR_STAR, 0 },        { MSR_LSTAR, 0 },          { MSR_CSTAR, 0 },
		{ MSR_SFMASK, 0 },      { MSR_KERNEL_GS_BASE, 0 }, { MSR_TSC_AUX, 0 },
		{ MSR_SPEC_CTRL, 0 },   { MSR_TSC_DEADLINE, 0 },   { MSR_XFD, 0 },
		{ MSR_XFD_ERR, 0 },     { MSR_PAT, PAT_RESET },    { MSR_DEBUGCTL, 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		const struct msr_entry *e = msr_find(v, values[i].msr);

		if (e && e->write(v, values[i].msr, values[i].value) != OK)
			log_warn("core %u: MSR %#x does not take its reset value", v->cpu->index,
				 values[i].msr);
	}
}

void msr_reset(struct vcpu *v)
{
	uint32_t i;

	/* What was logged stays known: a guest could fill the log by sending INIT to its cores. */
	memset(&v->soft, 0, offsetof(struct vcpu_soft, ipi_denied));
	v->soft.mtrr_def = MTRR_DEF_ENABLE | MTRR_DEF_FIX_ENABLE | MEM_TYPE_WB;
	for (i = 0; i < VCPU_MTRR_FIXED; i++)
		v->soft.mtrr_fixed[i] = 0x0606060606060606ull;
	vlapic_reset(v);
	reset_hw(v);
}

/* ------------------------------------------------------------------ XSETBV */

/* SDM vol. 1, 13.3: which combinations XCR0 takes. */
static bool valid_xcr0(const struct vcpu *v, uint64_t value)
{
	const uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;
	const uint64_t amx = XCR0_TILECFG | XCR0_TILEDATA;

	if (!(value & XCR0_X87) || (value & ~guest_xcr0_mask(v)))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if ((value & avx512) && ((value & avx512) != avx512 || !(value & XCR0_AVX)))
		return false;
	return !(value & amx) || (value & amx) == amx;
}

enum status vcpu_xsetbv(struct vcpu *v)
{
	uint64_t value = v->gpr[GPR_RDX] << 32 | (uint32_t)v->gpr[GPR_RAX];

	if ((uint32_t)v->gpr[GPR_RCX] != 0 || !valid_xcr0(v, value))
		return ERR_INVALID;
	return hw_xsetbv(value) ? OK : ERR_INVALID;
}
