/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/hw.h"

#include "x86/safe.h"

struct cpuid_regs hw_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return cpuid_checked(leaf, subleaf);
}

enum cpu_vendor hw_vendor(void)
{
	return cpu_vendor();
}

bool hw_rdmsr(uint32_t msr, uint64_t *value)
{
	return rdmsr_safe(msr, value);
}

bool hw_wrmsr(uint32_t msr, uint64_t value)
{
	return wrmsr_safe(msr, value);
}

uint64_t hw_xcr0(void)
{
	return xgetbv(0);
}

bool hw_xsetbv(uint64_t value)
{
	return xsetbv_safe(0, value);
}
