/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_CPUID_H
#define LAMINA_X86_CPUID_H

#include "types.h"
#include "x86/asm.h"

/*
 * What the CPU can do. Header only, because the loader asks as well. A feature is a constant that
 * packs leaf, subleaf, register and bit; cpu_has() checks that the leaf exists before it looks.
 */
enum cpuid_reg {
	CPUID_EAX,
	CPUID_EBX,
	CPUID_ECX,
	CPUID_EDX
};

#define CPUID_FEATURE(leaf, subleaf, reg, bit)                                  \
	((uint64_t)(leaf) | (uint64_t)(subleaf) << 32 | (uint64_t)(reg) << 40 | \
	 (uint64_t)(bit) << 48)

#define CPUID_LEAF_EXT        0x80000000u
#define CPUID_LEAF_HYPERVISOR 0x40000000u

#define FEAT_PSE36        CPUID_FEATURE(1, 0, CPUID_EDX, 17)
#define FEAT_MSR          CPUID_FEATURE(1, 0, CPUID_EDX, 5)
#define FEAT_MCE          CPUID_FEATURE(1, 0, CPUID_EDX, 7)
#define FEAT_APIC         CPUID_FEATURE(1, 0, CPUID_EDX, 9)
#define FEAT_SEP          CPUID_FEATURE(1, 0, CPUID_EDX, 11)
#define FEAT_MTRR         CPUID_FEATURE(1, 0, CPUID_EDX, 12)
#define FEAT_PGE          CPUID_FEATURE(1, 0, CPUID_EDX, 13)
#define FEAT_MCA          CPUID_FEATURE(1, 0, CPUID_EDX, 14)
#define FEAT_PAT          CPUID_FEATURE(1, 0, CPUID_EDX, 16)
#define FEAT_HTT          CPUID_FEATURE(1, 0, CPUID_EDX, 28)
#define FEAT_MONITOR      CPUID_FEATURE(1, 0, CPUID_ECX, 3)
#define FEAT_VMX          CPUID_FEATURE(1, 0, CPUID_ECX, 5)
#define FEAT_SMX          CPUID_FEATURE(1, 0, CPUID_ECX, 6)
#define FEAT_PDCM         CPUID_FEATURE(1, 0, CPUID_ECX, 15)
#define FEAT_PCID         CPUID_FEATURE(1, 0, CPUID_ECX, 17)
#define FEAT_X2APIC       CPUID_FEATURE(1, 0, CPUID_ECX, 21)
#define FEAT_TSC_DEADLINE CPUID_FEATURE(1, 0, CPUID_ECX, 24)
#define FEAT_XSAVE        CPUID_FEATURE(1, 0, CPUID_ECX, 26)
#define FEAT_OSXSAVE      CPUID_FEATURE(1, 0, CPUID_ECX, 27)
#define FEAT_HYPERVISOR   CPUID_FEATURE(1, 0, CPUID_ECX, 31)

#define FEAT_ARAT CPUID_FEATURE(6, 0, CPUID_EAX, 2)

#define FEAT_FSGSBASE   CPUID_FEATURE(7, 0, CPUID_EBX, 0)
#define FEAT_TSC_ADJUST CPUID_FEATURE(7, 0, CPUID_EBX, 1)
#define FEAT_SMEP       CPUID_FEATURE(7, 0, CPUID_EBX, 7)
#define FEAT_ERMS       CPUID_FEATURE(7, 0, CPUID_EBX, 9)
#define FEAT_INVPCID    CPUID_FEATURE(7, 0, CPUID_EBX, 10)
#define FEAT_SMAP       CPUID_FEATURE(7, 0, CPUID_EBX, 20)
#define FEAT_UMIP       CPUID_FEATURE(7, 0, CPUID_ECX, 2)
#define FEAT_PKU        CPUID_FEATURE(7, 0, CPUID_ECX, 3)
#define FEAT_CET_SS     CPUID_FEATURE(7, 0, CPUID_ECX, 7)
#define FEAT_LA57       CPUID_FEATURE(7, 0, CPUID_ECX, 16)
#define FEAT_RDPID      CPUID_FEATURE(7, 0, CPUID_ECX, 22)
#define FEAT_PKS        CPUID_FEATURE(7, 0, CPUID_ECX, 31)
#define FEAT_MD_CLEAR   CPUID_FEATURE(7, 0, CPUID_EDX, 10)
#define FEAT_CET_IBT    CPUID_FEATURE(7, 0, CPUID_EDX, 20)
#define FEAT_SPEC_CTRL  CPUID_FEATURE(7, 0, CPUID_EDX, 26)
#define FEAT_STIBP      CPUID_FEATURE(7, 0, CPUID_EDX, 27)
#define FEAT_L1D_FLUSH  CPUID_FEATURE(7, 0, CPUID_EDX, 28)
#define FEAT_ARCH_CAP   CPUID_FEATURE(7, 0, CPUID_EDX, 29)
#define FEAT_SSBD       CPUID_FEATURE(7, 0, CPUID_EDX, 31)

#define FEAT_XSAVEOPT CPUID_FEATURE(0xd, 1, CPUID_EAX, 0)
#define FEAT_XSAVES   CPUID_FEATURE(0xd, 1, CPUID_EAX, 3)

#define FEAT_SVM           CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 2)
#define FEAT_TOPOEXT       CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 22)
#define FEAT_PERFCTR_CORE  CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 23)
#define FEAT_SYSCALL       CPUID_FEATURE(0x80000001, 0, CPUID_EDX, 11)
#define FEAT_NX            CPUID_FEATURE(0x80000001, 0, CPUID_EDX, 20)
#define FEAT_FXSR_OPT      CPUID_FEATURE(0x80000001, 0, CPUID_EDX, 25)
#define FEAT_PAGE1G        CPUID_FEATURE(0x80000001, 0, CPUID_EDX, 26)
#define FEAT_RDTSCP        CPUID_FEATURE(0x80000001, 0, CPUID_EDX, 27)
#define FEAT_LM            CPUID_FEATURE(0x80000001, 0, CPUID_EDX, 29)
#define FEAT_INVARIANT_TSC CPUID_FEATURE(0x80000007, 0, CPUID_EDX, 8)
#define FEAT_AMD_IBPB      CPUID_FEATURE(0x80000008, 0, CPUID_EBX, 12)
#define FEAT_AMD_IBRS      CPUID_FEATURE(0x80000008, 0, CPUID_EBX, 14)
#define FEAT_AMD_STIBP     CPUID_FEATURE(0x80000008, 0, CPUID_EBX, 15)
#define FEAT_AMD_SSBD      CPUID_FEATURE(0x80000008, 0, CPUID_EBX, 24)
#define FEAT_VIRT_SSBD     CPUID_FEATURE(0x80000008, 0, CPUID_EBX, 25)

#define FEAT_SVM_NPT          CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 0)
#define FEAT_SVM_LBRV         CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 1)
#define FEAT_SVM_LOCK         CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 2)
#define FEAT_SVM_NRIPS        CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 3)
#define FEAT_SVM_TSC_RATIO    CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 4)
#define FEAT_SVM_CLEAN_BITS   CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 5)
#define FEAT_SVM_FLUSH_ASID   CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 6)
#define FEAT_SVM_DECODE       CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 7)
#define FEAT_SVM_PAUSE_FILTER CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 10)
#define FEAT_SVM_PAUSE_THRESH CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 12)
#define FEAT_SVM_AVIC         CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 13)
#define FEAT_SVM_VLS          CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 15)
#define FEAT_SVM_VGIF         CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 16)
#define FEAT_SVM_X2AVIC       CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 18)
#define FEAT_SVM_SPEC_CTRL    CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 20)

enum cpu_vendor {
	CPU_VENDOR_OTHER,
	CPU_VENDOR_INTEL,
	CPU_VENDOR_AMD,
	CPU_VENDOR_HYGON
};

/* The highest leaf of the group (basic, hypervisor or extended) that `leaf` belongs to. */
static inline uint32_t cpuid_max_leaf(uint32_t leaf)
{
	uint32_t max = cpuid(leaf & 0xffff0000u, 0).eax;

	/* A group that does not exist answers with another leaf's data. */
	return (max & 0xffff0000u) == (leaf & 0xffff0000u) ? max : 0;
}

/* cpuid(), but all zero for a leaf above the group's maximum. */
static inline struct cpuid_regs cpuid_checked(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs none = { 0, 0, 0, 0 };

	return leaf <= cpuid_max_leaf(leaf) ? cpuid(leaf, subleaf) : none;
}

static inline bool cpu_has(uint64_t feature)
{
	struct cpuid_regs r = cpuid_checked((uint32_t)feature, (feature >> 32) & 0xff);
	uint32_t v[] = { r.eax, r.ebx, r.ecx, r.edx };

	return (v[(feature >> 40) & 3] >> ((feature >> 48) & 31)) & 1;
}

static inline enum cpu_vendor cpu_vendor(void)
{
	struct cpuid_regs r = cpuid(0, 0);

	if (r.ebx == 0x756e6547 && r.edx == 0x49656e69 && r.ecx == 0x6c65746e)
		return CPU_VENDOR_INTEL; /* GenuineIntel */
	if (r.ebx == 0x68747541 && r.edx == 0x69746e65 && r.ecx == 0x444d4163)
		return CPU_VENDOR_AMD; /* AuthenticAMD */
	if (r.ebx == 0x6f677948 && r.edx == 0x6e65476e && r.ecx == 0x656e6975)
		return CPU_VENDOR_HYGON; /* HygonGenuine */
	return CPU_VENDOR_OTHER;
}

/* Display family and model with the extended fields folded in (SDM vol. 2, CPUID leaf 1). */
static inline uint32_t cpu_family(void)
{
	uint32_t eax = cpuid(1, 0).eax;
	uint32_t family = (eax >> 8) & 0xf;

	return family == 0xf ? family + ((eax >> 20) & 0xff) : family;
}

static inline uint32_t cpu_model(void)
{
	uint32_t eax = cpuid(1, 0).eax;
	uint32_t family = (eax >> 8) & 0xf;
	uint32_t model = (eax >> 4) & 0xf;

	return family == 6 || family == 0xf ? model | ((eax >> 12) & 0xf0) : model;
}

/* Width of a physical address in bits. */
static inline uint32_t cpu_phys_bits(void)
{
	uint32_t bits = cpuid_checked(0x80000008, 0).eax & 0xff;

	return bits ? bits : 36;
}

#endif
