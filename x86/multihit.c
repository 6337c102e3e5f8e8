/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/multihit.h"
#include "x86/msr.h"
#include "x86/safe.h"

/*
 * Cores of family 6 that have VMX with EPT, not the flaw, and nothing to say so: Intel's list of
 * CPUs affected by CVE-2018-12207 leaves them out. Later ones say it themselves, older Atoms have no
 * EPT.
 */
static const uint8_t free_of_it[] = {
	0x37, /* Silvermont: Bay Trail */
	0x4a, /* Silvermont: Merrifield */
	0x4c, /* Airmont: Cherry Trail, Braswell */
	0x4d, /* Silvermont: Avoton, Rangeley */
	0x57, /* Xeon Phi: Knights Landing */
	0x5a, /* Airmont: Moorefield */
	0x5c, /* Goldmont: Apollo Lake */
	0x5f, /* Goldmont: Denverton */
	0x75, /* Airmont: Lightning Mountain */
	0x7a, /* Goldmont Plus: Gemini Lake */
	0x85, /* Xeon Phi: Knights Mill */
	0x86, /* Tremont: Jacobsville */
};

bool multihit_affects(enum cpu_vendor vendor, uint32_t family, uint32_t model,
		      uint64_t capabilities)
{
	if (vendor != CPU_VENDOR_INTEL || capabilities & ARCH_CAP_PSCHANGE_MC_NO)
		return false;
	for (size_t i = 0; family == 6 && i < ARRAY_SIZE(free_of_it); i++)
		if (free_of_it[i] == model)
			return false;
	return true;
}

bool cpu_has_multihit(void)
{
	uint64_t capabilities = 0;

	/* A hypervisor below may announce the MSR and not have it: then nothing is promised. */
	if (cpu_has(FEAT_ARCH_CAP) && !rdmsr_safe(MSR_ARCH_CAPABILITIES, &capabilities))
		capabilities = 0;
	return multihit_affects(cpu_vendor(), cpu_family(), cpu_model(), capabilities);
}
