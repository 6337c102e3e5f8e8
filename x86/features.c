// SPDX-License-Identifier: BSD-2-Clause
#include <stdio.h>

#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/features.h"
#include "x86/msr.h"
#include "x86/regs.h"

static const struct {
	uint64_t feature;
	uint64_t cr4;
	const char *name;
} cr4_features[] = {
	{ FEAT_PGE, CR4_PGE, "PGE" },    { FEAT_MCE, CR4_MCE, "MCE" },
	{ FEAT_SMEP, CR4_SMEP, "SMEP" }, { FEAT_SMAP, CR4_SMAP, "SMAP" },
	{ FEAT_UMIP, CR4_UMIP, "UMIP" }, { FEAT_XSAVE, CR4_OSXSAVE, "XSAVE" },
};

void cpu_features_init(void)
{
	uint64_t cr4 = CR4_PAE | (read_cr4() & CR4_LA57);
	uint64_t efer = rdmsr(MSR_EFER) | EFER_NXE;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		if (cpu_has(cr4_features[i].feature))
			cr4 |= cr4_features[i].cr4;
	}

	/* TS and EM stay off: they would trap the guest's state that XRSTOR or FXRSTOR loads. */
	write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
	wrmsr(MSR_EFER, efer & ~(uint64_t)(EFER_SCE | EFER_LMSLE | EFER_FFXSR | EFER_TCE));
	if (cpu_has(FEAT_PAT))
		wrmsr(MSR_PAT, HOST_PAT);
	/* Clears VMXE, PCIDE, CET and what else the firmware may have left on; flushes the TLB. */
	write_cr4(cr4);
}

void cpu_features_describe(char *buf, size_t size)
{
	uint64_t cr4 = read_cr4();
	size_t used = 0;
	unsigned int i;
	int n;

	if (!size)
		return;
	buf[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		if (!(cr4 & cr4_features[i].cr4))
			continue;
		n = snprintf(buf + used, size - used, "%s%s", used ? " " : "",
			     cr4_features[i].name);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}
