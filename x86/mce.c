// SPDX-License-Identifier: BSD-2-Clause
#include <inttypes.h>

#include "log.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/mce.h"
#include "x86/msr.h"
#include "x86/safe.h"

#define BANK4_GART_ERROR (1ull << 10)

/*
 * What not to switch on. Family 6 below model 1Ah: bank 0's control belongs to the firmware (SDM
 * vol. 3, 15.3.2.1). AMD before Zen: bank 4 reports GART walks that the firmware provokes itself
 * (BKDG of family 10h, MC4_CTL bit 10).
 */
static uint64_t bank_control(uint32_t bank)
{
	enum cpu_vendor vendor = cpu_vendor();

	if (vendor == CPU_VENDOR_INTEL && bank == 0 && cpu_family() == 6 && cpu_model() < 0x1a)
		return 0;
	if (vendor == CPU_VENDOR_AMD && bank == 4 && cpu_family() < 0x17)
		return ~BANK4_GART_ERROR;
	return ~0ull;
}

static void init_bank(uint32_t bank)
{
	uint64_t status, control = bank_control(bank);

	if (!rdmsr_safe(MSR_MC_STATUS(bank), &status))
		return;
	if (status & MC_STATUS_VAL)
		log_warn("core with APIC ID %u: machine check bank %" PRIu32
			 " holds an error from before the boot: %#" PRIx64,
			 cpuid(1, 0).ebx >> 24, bank, status);
	if ((status && !wrmsr_safe(MSR_MC_STATUS(bank), 0)) ||
	    (control && !wrmsr_safe(MSR_MC_CTL(bank), control)))
		log_debug("machine check bank %" PRIu32 " cannot be written", bank);
}

void mce_init(void)
{
	uint64_t cap;
	uint32_t i;

	if (!cpu_has(FEAT_MCE) || !cpu_has(FEAT_MCA) || !rdmsr_safe(MSR_MCG_CAP, &cap))
		return;
	if ((cap & MCG_CAP_CTL_P) && !wrmsr_safe(MSR_MCG_CTL, ~0ull))
		log_debug("machine check control cannot be written");
	for (i = 0; i < (cap & MCG_CAP_COUNT); i++)
		init_bank(i);
}
