/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_MOCK_CORE_H
#define LAMINA_TESTS_MOCK_CORE_H

#include "core/guest.h"
#include "core/hvm.h"
#include "x86/cpuid.h"

/*
 * A core without hardware: what CPUID, MSRs, the local APIC and the vendor's hooks would answer,
 * and what was asked of them. Linked to tests of core/cpuid.c, core/msr.c and core/vlapic.c.
 */
#define MOCK_VCPUS 3

struct mock_msr {
	uint32_t msr;
	uint64_t value;
	bool vendor; /* lives in the VMCS or VMCB */
};

struct mock {
	struct guest guest;
	struct guest_config config;
	struct vcpu vcpus[MOCK_VCPUS];
	struct cpu cpus[MOCK_VCPUS];
	enum cpu_vendor vendor;
	bool all_features; /* CPUID answers all ones where it is not told otherwise */
	struct {
		uint32_t leaf, subleaf;
		struct cpuid_regs regs;
	} cpuid[64];
	unsigned cpuid_count;
	struct mock_msr msr[64];
	unsigned msr_count;
	struct vcpu_sregs sregs;
	uint64_t xcr0;
	bool lapic_x2apic;
	uint32_t lapic[0x400 / 4]; /* last write by register */
	unsigned lapic_writes;
	uint32_t lapic_last;
	uint64_t vectors[MOCK_VCPUS][4];
	uint64_t requests[MOCK_VCPUS];
	unsigned ipis; /* by lapic_send_ipi */
	bool ipi_fails;
	unsigned set_x2apic_calls;
	bool x2apic_open;
	unsigned msr_writes; /* by hw_wrmsr */
	unsigned drained;    /* dirty logs, while the core counted as in the guest */
};

extern struct mock mock;

/* Start anew: `count` vCPUs with APIC ids `first`, `first` + 1, …, all running. */
void mock_reset(enum cpu_vendor vendor, unsigned count, uint32_t first);
void mock_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
void mock_msr(uint32_t msr, uint64_t value, bool vendor);
struct mock_msr *mock_find_msr(uint32_t msr);
bool mock_has_vector(unsigned vcpu, uint8_t vector);
unsigned mock_vector_count(void);

#endif
