// SPDX-License-Identifier: BSD-2-Clause
#include "log.h"
#include "mm/spte.h"
#include "svm/svm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/safe.h"

/*
 * Bits of the physical address that secure memory encryption takes away while SYSCFG.SMEE is set
 * (APM vol. 2, 7.10.1): CPUID 8000001Fh EBX[11:6] says how many, EBX[5:0] where the C-bit is, which
 * would be taken for an address bit otherwise. Whether the width of leaf 80000008h is reduced already
 * is not the same everywhere, so both count.
 */
static uint8_t usable_phys_bits(void)
{
	uint32_t bits = cpu_phys_bits();
	struct cpuid_regs leaf = cpuid_checked(0x8000001f, 0);
	uint32_t left = bits - ((leaf.ebx >> 6) & 0x3f);
	uint64_t syscfg;

	if (!(leaf.eax & 1) || !rdmsr_safe(MSR_AMD_SYSCFG, &syscfg) || !(syscfg & AMD_SYSCFG_SMEE))
		return (uint8_t)bits;
	left = (uint32_t)min_u64(left, leaf.ebx & 0x3f);
	log_warn("svm: memory encryption is on; only %u bits of address are used", left);
	return (uint8_t)left;
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
