/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/fpu.h"

#include "types.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/safe.h"

/* The legacy region and the header of an XSAVE area, standard format (SDM vol. 1, 13.4). */
struct xsave_area {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t registers[480];
	uint64_t xstate_bv, xcomp_bv;
	uint8_t reserved1[48];
} aligned(64);

_Static_assert(sizeof(struct xsave_area) == 576, "legacy region and XSAVE header");

/*
 * Power-on differs from FNINIT: FCW is 0040h and all x87 registers are tagged as zero (5555h), not
 * as empty; the abridged tag word has a one for each register that is not empty. Components whose
 * bit in XSTATE_BV is clear go to their initial configuration without being read.
 */
static const struct xsave_area power_on = {
	.fcw = 0x0040,
	.ftw = 0xff,
	.mxcsr = 0x1f80,
	.xstate_bv = XCR0_X87,
};

void fpu_reset(void)
{
	struct cpuid_regs d;

	if (!cpu_has(FEAT_XSAVE)) {
		__asm__ volatile("fxrstor64 %0" : : "m"(power_on));
		return;
	}
	/* Every user component that the CPU has, so that none survives from an earlier guest. */
	d = cpuid_checked(0xd, 0);
	if (!xsetbv_safe(0, (uint64_t)d.edx << 32 | d.eax))
		xsetbv(0, XCR0_X87 | XCR0_SSE);
	__asm__ volatile("xrstor64 %0" : : "m"(power_on), "a"(~0u), "d"(~0u));
	xsetbv(0, XCR0_X87);
}
