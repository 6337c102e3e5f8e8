// SPDX-License-Identifier: BSD-2-Clause
#include "log.h"
#include "mm/spte.h"
#include "svm/svm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/safe.h"

/*
 * Bits of the physical address that secure memory encryption takes away. CPUID reports the reduced
 * width already while SYSCFG.SMEE is set (APM vol. 2, 7.10.1), and reports the C-bit's position
 * either way; a C-bit inside the reported width would be taken for an address bit.
 */
static uint8_t usable_phys_bits(void)
{
	uint32_t bits = cpu_phys_bits();
	uint32_t c_bit = cpuid_checked(0x8000001f, 0).ebx & 0x3f;
	bool sme = cpuid_checked(0x8000001f, 0).eax & 1;
	uint64_t syscfg;

	if (sme && rdmsr_safe(MSR_AMD_SYSCFG, &syscfg) && (syscfg & AMD_SYSCFG_SMEE) &&
	    c_bit < bits) {
		log_warn("svm: memory encryption is on; addresses above bit %u are not used",
			 c_bit);
		bits = c_bit;
	}
	return (uint8_t)bits;
}

enum status svm_npt_format(struct spte_format *f)
{
	struct npt_caps caps = {
		.maxphyaddr = usable_phys_bits(),
		.c_bit = cpuid_checked(0x8000001f, 0).ebx & 0x3f,
		.page_1g = cpu_has(FEAT_PAGE1G),
		.nx = cpu_has(FEAT_NX),
	};

	return spte_format_npt(f, &caps);
}
