// SPDX-License-Identifier: BSD-2-Clause
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/fpu.h"
#include "x86/regs.h"

#define FXSAVE_SIZE  512
#define XSAVE_HEADER 64
#define MXCSR_RESET  0x1f80
#define FCW_INIT     0x037f

/*
 * XSTATE_BV in the header is 0, so XRSTOR initializes every component that it is asked for. MXCSR
 * is the exception: it is loaded from memory whatever XSTATE_BV says (SDM vol. 1, 13.8).
 */
static const struct {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t registers[FXSAVE_SIZE - 32];
	uint8_t header[XSAVE_HEADER];
} aligned(64) initial = { .fcw = FCW_INIT, .mxcsr = MXCSR_RESET };

_Static_assert(sizeof(initial) == FXSAVE_SIZE + XSAVE_HEADER, "XSAVE area: SDM vol. 1, 13.4");

void fpu_reset(void)
{
	if (cpu_has(FEAT_XSAVE)) {
		struct cpuid_regs r = cpuid(0xd, 0);

		/* All components that exist together are always a legal combination. */
		xsetbv(0, ((uint64_t)r.edx << 32) | r.eax);
		__asm__ volatile("xrstor64 %0" : : "m"(initial), "a"(r.eax), "d"(r.edx));
		xsetbv(0, XCR0_X87);
	} else {
		__asm__ volatile("fxrstor64 %0" : : "m"(initial));
	}
	/* AMD's XRSTOR and FXRSTOR leave the last x87 instruction's address alone (APM vol. 2, 11.5). */
	__asm__ volatile("fninit");
}
