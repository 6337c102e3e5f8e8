/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_CPU_CHECK_H
#define LAMINA_BOOT_CPU_CHECK_H

#include "types.h"

/*
 * Whether this CPU can run Lamina. Pure: the facts are gathered by cpu_probe() on a machine and
 * made up by the tests.
 */

/* An MSR that may not exist. */
struct cpu_msr {
	bool present; /* reading it raised no #GP */
	uint64_t value;
};

struct cpu_facts {
	char vendor[13];    /* CPUID 0 */
	char name[49];      /* CPUID 0x80000002 to 4; empty: none */
	uint32_t leaf1_ecx; /* CPUID 1 */
	uint32_t ext1_ecx;  /* CPUID 0x80000001 */
	uint32_t ext1_edx;
	uint32_t svm_edx; /* CPUID 0x8000000a */
	uint64_t cr4;
	struct cpu_msr feature_control; /* 0x3a, with VMX only, like the four below */
	struct cpu_msr vmx_basic;       /* 0x480 */
	struct cpu_msr vmx_procbased;   /* 0x482 */
	struct cpu_msr vmx_procbased2;  /* 0x48b */
	struct cpu_msr vmx_ept_vpid;    /* 0x48c */
	struct cpu_msr vm_cr;           /* 0xc0010114, with SVM only */
};

/*
 * Calls emit() once for each thing that is missing, with what was found and what to do. Returns
 * how many there were: 0 means that Lamina can run.
 */
uint32_t cpu_check(const struct cpu_facts *f, void (*emit)(void *ctx, const char *text), void *ctx);

/* What the CPU offers, in one line for the first screen. */
void cpu_describe(const struct cpu_facts *f, char *out, size_t size);

/* Read the facts on the running core. Needs the firmware's environment: identity mapping, IDT. */
void cpu_probe(struct cpu_facts *f);

#endif
