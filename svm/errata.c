// SPDX-License-Identifier: BSD-2-Clause
#include "log.h"
#include "svm/svm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/safe.h"

#define MSR_ZEN2_SPECTRAL_CHICKEN 0xc00110e3
#define MSR_ZEN4_BP_CFG           0xc001102e
#define MSR_FP_CFG                0xc0011028

/*
 * Switches that an operating system sets on the bare machine and leaves alone when CPUID says that
 * there is a hypervisor: then they are the hypervisor's duty. `microcode`: not needed from this
 * patch level on; 0: always needed.
 */
static const struct workaround {
	const char *name;
	uint8_t family, first, last; /* models */
	uint8_t bit;
	uint32_t msr;
	uint32_t microcode;
} workarounds[] = {
	/* LFENCE waits for all earlier instructions, which kernels rely on against Spectre v1. */
	{ "serializing LFENCE", 0x10, 0x00, 0xff, 1, MSR_AMD_DE_CFG, 0 },
	{ "serializing LFENCE", 0x12, 0x00, 0xff, 1, MSR_AMD_DE_CFG, 0 },
	{ "serializing LFENCE", 0x14, 0x00, 0xff, 1, MSR_AMD_DE_CFG, 0 },
	{ "serializing LFENCE", 0x15, 0x00, 0xff, 1, MSR_AMD_DE_CFG, 0 },
	{ "serializing LFENCE", 0x16, 0x00, 0xff, 1, MSR_AMD_DE_CFG, 0 },
	{ "serializing LFENCE", 0x17, 0x00, 0xff, 1, MSR_AMD_DE_CFG, 0 },
	{ "serializing LFENCE", 0x18, 0x00, 0xff, 1, MSR_AMD_DE_CFG, 0 },
	/* The divider keeps partial results, which the sibling thread can infer. */
	{ "FPDSS", 0x17, 0x00, 0x2f, 9, MSR_FP_CFG, 0 },
	{ "FPDSS", 0x17, 0x50, 0x5f, 9, MSR_FP_CFG, 0 },
	/* CVE-2023-20593: Zen 2 leaks vector registers to the sibling thread, another guest maybe. */
	{ "Zenbleed", 0x17, 0x30, 0x3f, 9, MSR_AMD_DE_CFG, 0x0830107b },
	{ "Zenbleed", 0x17, 0x60, 0x67, 9, MSR_AMD_DE_CFG, 0x0860010c },
	{ "Zenbleed", 0x17, 0x68, 0x6f, 9, MSR_AMD_DE_CFG, 0x08608107 },
	{ "Zenbleed", 0x17, 0x70, 0x7f, 9, MSR_AMD_DE_CFG, 0x08701033 },
	{ "Zenbleed", 0x17, 0x90, 0x91, 9, MSR_AMD_DE_CFG, 0 },
	{ "Zenbleed", 0x17, 0xa0, 0xaf, 9, MSR_AMD_DE_CFG, 0x08a00009 },
	/* CVE-2022-29900: Zen 2 predicts branches where there are none. */
	{ "branch type confusion", 0x17, 0x30, 0x4f, 1, MSR_ZEN2_SPECTRAL_CHICKEN, 0 },
	{ "branch type confusion", 0x17, 0x60, 0x7f, 1, MSR_ZEN2_SPECTRAL_CHICKEN, 0 },
	{ "branch type confusion", 0x17, 0x90, 0x91, 1, MSR_ZEN2_SPECTRAL_CHICKEN, 0 },
	{ "branch type confusion", 0x17, 0xa0, 0xaf, 1, MSR_ZEN2_SPECTRAL_CHICKEN, 0 },
	/* Zen 4: spurious #UD with SMT while STIBP differs between the threads. */
	{ "erratum 1485", 0x19, 0x10, 0x1f, 5, MSR_ZEN4_BP_CFG, 0 },
	{ "erratum 1485", 0x19, 0x60, 0xaf, 5, MSR_ZEN4_BP_CFG, 0 },
};

static bool needed(const struct workaround *w, uint32_t family, uint32_t model, uint32_t microcode)
{
	return family == w->family && model >= w->first && model <= w->last &&
	       (w->microcode == 0 || microcode < w->microcode);
}

void svm_apply_workarounds(struct cpu *c)
{
	uint32_t family = cpu_family(), model = cpu_model();
	uint64_t patch, value;

	if (!rdmsr_safe(MSR_BIOS_SIGN_ID, &patch))
		patch = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(workarounds); i++) {
		const struct workaround *w = &workarounds[i];

		if (!needed(w, family, model, (uint32_t)patch))
			continue;
		if (!rdmsr_safe(w->msr, &value) || (value & BIT(w->bit)))
			continue;
		if (!wrmsr_safe(w->msr, value | BIT(w->bit)))
			log_warn("svm: core %u refuses the workaround for %s", c->index, w->name);
		else if (c->index == 0)
			log_debug("svm: workaround for %s", w->name);
	}
}
