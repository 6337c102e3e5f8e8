/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_FPU_H
#define LAMINA_X86_FPU_H

/*
 * Put x87, MMX, SSE, AVX and every other state component that XCR0 governs into its initial state
 * and leave XCR0 at its reset value, 1. The hypervisor uses none of these registers itself, so this
 * is how a core forgets what a previous guest, the firmware or a former life of the same guest left
 * in them. CR4.OSXSAVE is set (where XSAVE exists), CR0.TS and CR0.EM are clear.
 */
void fpu_reset(void);

#endif
