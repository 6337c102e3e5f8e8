/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_FEATURES_H
#define LAMINA_X86_FEATURES_H

#include "types.h"

/*
 * IA32_PAT while in the hypervisor: the reset value with PAT entry 1 (PWT alone) as write-combining
 * for the framebuffer. PTE bits PCD|PWT give UC, PWT gives WC, none gives WB.
 */
#define HOST_PAT 0x0007040600070106ull

/*
 * CR0, CR4, EFER and PAT of the hypervisor on the calling core: protection on (WP, NX, SMEP, SMAP,
 * UMIP where present), PCIDs off, OSXSAVE on. Same values on all cores of a symmetric machine; VMX
 * and SVM add their own enable bits. XCR0 is left alone: the hypervisor uses no vector registers,
 * they belong to the guest at all times.
 */
void cpu_features_init(void);

/* Put what cpu_features_init() found into `buf` as words ("SMEP SMAP UMIP …"). */
void cpu_features_describe(char *buf, size_t size);

#endif
