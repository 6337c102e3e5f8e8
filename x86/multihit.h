/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_MULTIHIT_H
#define LAMINA_X86_MULTIHIT_H

#include "x86/cpuid.h"

/*
 * iTLB multihit (CVE-2018-12207, Intel's "Machine Check Error on Page Size Change"): a fetch that
 * hits a large and a small translation of the same address in the instruction TLB is a machine
 * check that stops the machine, and a guest can cause it where large pages of its memory are
 * executable. True for a CPU that has the flaw; `capabilities` is IA32_ARCH_CAPABILITIES, or 0
 * where there is none.
 */
bool multihit_affects(enum cpu_vendor vendor, uint32_t family, uint32_t model,
		      uint64_t capabilities);

/* The core it runs on. Not before idt_init(). */
bool cpu_has_multihit(void);

#endif
