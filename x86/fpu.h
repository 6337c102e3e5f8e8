/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_FPU_H
#define LAMINA_X86_FPU_H

/*
 * Put the calling core's x87, SSE, AVX, AVX-512, PKRU and AMX state and XCR0 into their power-on
 * values (SDM vol. 3, table 10-1; vol. 1, 13.6). The hypervisor uses none of these registers, so
 * this is the guest's state. CR4.OSFXSR and, where XSAVE exists, CR4.OSXSAVE must be set, CR0.TS
 * and CR0.EM clear.
 */
void fpu_reset(void);

#endif
