// SPDX-License-Identifier: BSD-2-Clause
// sources: core/cpuid.c tests/host/mock_core.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cpuid.h"
#include "mock_core.h"
#include "x86/msr.h"
#include "x86/regs.h"

static struct vcpu *v(void)
{
	return &mock.vcpus[0];
}

static int setup(void **state)
{
	(void)state;
	mock_reset(CPU_VENDOR_INTEL, 1, 6);
	return 0;
}

static const uint64_t hidden[] = {
	FEAT_VMX,
	FEAT_SMX,
	FEAT_MONITOR,
	FEAT_PDCM,
	FEAT_SVM,
	FEAT_PERFCTR_CORE,
	FEAT_TSC_ADJUST,
	FEAT_CET_SS,
	FEAT_CET_IBT,
	FEAT_PKS,
	FEAT_VIRT_SSBD,
	CPUID_FEATURE(1, 0, CPUID_ECX, 7),           /* EIST */
	CPUID_FEATURE(1, 0, CPUID_EDX, 22),          /* ACPI: thermal MSRs */
	CPUID_FEATURE(7, 0, CPUID_EBX, 2),           /* SGX */
	CPUID_FEATURE(7, 0, CPUID_EBX, 12),          /* RDT */
	CPUID_FEATURE(7, 0, CPUID_EBX, 14),          /* MPX */
	CPUID_FEATURE(7, 0, CPUID_EBX, 25),          /* PT */
	CPUID_FEATURE(7, 0, CPUID_ECX, 5),           /* WAITPKG */
	CPUID_FEATURE(7, 0, CPUID_ECX, 29),          /* ENQCMD */
	CPUID_FEATURE(7, 0, CPUID_EDX, 9),           /* SRBDS_CTRL */
	CPUID_FEATURE(7, 0, CPUID_EDX, 18),          /* PCONFIG */
	CPUID_FEATURE(7, 0, CPUID_EDX, 19),          /* LBR */
	CPUID_FEATURE(7, 0, CPUID_EDX, 30),          /* CORE_CAPABILITIES */
	CPUID_FEATURE(7, 1, CPUID_EAX, 17),          /* FRED */
	CPUID_FEATURE(7, 1, CPUID_EAX, 26),          /* LAM */
	CPUID_FEATURE(6, 0, CPUID_EAX, 7),           /* HWP */
	CPUID_FEATURE(6, 0, CPUID_ECX, 0),           /* APERF, MPERF */
	CPUID_FEATURE(0xa, 0, CPUID_EAX, 0),         /* PMU */
	CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 3),  /* extended APIC space */
	CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 10), /* IBS */
	CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 12), /* SKINIT */
	CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 29), /* MONITORX */
	CPUID_FEATURE(0x80000007, 0, CPUID_EBX, 3),  /* scalable MCA */
	CPUID_FEATURE(0x80000007, 0, CPUID_EDX, 7),  /* P-states */
	CPUID_FEATURE(0x8000000a, 0, CPUID_EDX, 0),  /* SVM's leaf */
	CPUID_FEATURE(0x8000001f, 0, CPUID_EAX, 1),  /* SEV */
};
static const uint64_t shown[] = {
	FEAT_APIC,
	FEAT_X2APIC,
	FEAT_TSC_DEADLINE,
	FEAT_XSAVE,
	FEAT_PCID,
	FEAT_MTRR,
	FEAT_PAT,
	FEAT_HYPERVISOR,
	FEAT_ARAT,
	FEAT_SMEP,
	FEAT_SMAP,
	FEAT_UMIP,
	FEAT_PKU,
	FEAT_LA57,
	FEAT_RDPID,
	FEAT_SPEC_CTRL,
	FEAT_SSBD,
	FEAT_ARCH_CAP,
	FEAT_MD_CLEAR,
	FEAT_NX,
	FEAT_PAGE1G,
	FEAT_RDTSCP,
	FEAT_SYSCALL,
	FEAT_INVARIANT_TSC,
	FEAT_AMD_IBPB,
	FEAT_TOPOEXT,
	CPUID_FEATURE(1, 0, CPUID_ECX, 28), /* AVX */
	CPUID_FEATURE(1, 0, CPUID_ECX, 30), /* RDRAND */
	CPUID_FEATURE(7, 0, CPUID_EBX, 5),  /* AVX2 */
	CPUID_FEATURE(7, 0, CPUID_EBX, 16), /* AVX512F */
	CPUID_FEATURE(7, 0, CPUID_EDX, 24), /* AMX */
	FEAT_XSAVES,
};

/* A CPU that has everything that can be had: what must not leak does not. */
static void test_hidden(void **state)
{
	size_t i;

	(void)state;
	mock.all_features = true;
	for (i = 0; i < ARRAY_SIZE(hidden); i++)
		if (guest_has(v(), hidden[i]))
			fail_msg("shows feature %#llx", (unsigned long long)hidden[i]);
	for (i = 0; i < ARRAY_SIZE(shown); i++)
		if (!guest_has(v(), shown[i]))
			fail_msg("hides feature %#llx", (unsigned long long)shown[i]);
}

/* Nothing that the CPU lacks appears, but for the hypervisor's bit and ARAT. */
static void test_poor_cpu(void **state)
{
	uint32_t leaf;

	(void)state;
	mock_cpuid(0, 0, 0xd, 1, 2, 3);
	mock_cpuid(1, 0, 0x600, 0, 0, 1);
	for (leaf = 2; leaf < 0x40; leaf++) {
		struct cpuid_regs r = guest_cpuid(v(), leaf, 0);

		assert_int_equal(r.eax, leaf == 6 ? 4 : 0);
		assert_int_equal(r.ebx | r.ecx | r.edx, 0);
	}
	assert_true(guest_cpuid(v(), 1, 0).ecx == BIT(31));
	for (leaf = 0x80000000; leaf < 0x80000040; leaf++) {
		struct cpuid_regs r = guest_cpuid(v(), leaf, 0);

		assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	}
}

static void test_max_leaves(void **state)
{
	(void)state;
	mock_cpuid(0, 0, 0x23, 1, 2, 3);
	mock_cpuid(0x80000000, 0, 0x80000028, 1, 2, 3);
	assert_int_equal(guest_cpuid(v(), 0, 0).eax, 0x1f);
	assert_int_equal(guest_cpuid(v(), 0, 0).ecx, 2);
	assert_true(guest_cpuid(v(), 0x80000000, 0).eax == 0x80000021);
	mock_reset(CPU_VENDOR_AMD, 1, 0);
	mock_cpuid(0, 0, 0xd, 1, 2, 3);
	assert_int_equal(guest_cpuid(v(), 0, 0).eax, 0xd);
}

static void test_live_bits(void **state)
{
	(void)state;
	mock.all_features = true;
	assert_false(guest_has(v(), FEAT_OSXSAVE));
	assert_false(guest_has(v(), CPUID_FEATURE(7, 0, CPUID_ECX, 4)));
	mock.sregs.cr4 = CR4_OSXSAVE | CR4_PKE;
	assert_true(guest_has(v(), FEAT_OSXSAVE));
	assert_true(guest_has(v(), CPUID_FEATURE(7, 0, CPUID_ECX, 4)));
	v()->apic_base &= ~(uint64_t)APIC_BASE_EN;
	assert_false(guest_has(v(), FEAT_APIC));
	assert_int_equal(guest_cpuid(v(), 1, 0).ebx >> 24, 6);
}

static void test_single_core(void **state)
{
	(void)state;
	mock.all_features = true;
	assert_false(guest_has(v(), FEAT_HTT));
	assert_int_equal((guest_cpuid(v(), 1, 0).ebx >> 16) & 0xff, 1);
	assert_int_equal(guest_cpuid(v(), 4, 0).eax >> 26, 0);
	assert_false(guest_has(v(), CPUID_FEATURE(0x80000001, 0, CPUID_ECX, 1)));
}

/* Cores 6, 7 and 8: two threads share a core's id above bit 1. */
static void test_topology(void **state)
{
	struct cpuid_regs r;

	(void)state;
	mock_reset(CPU_VENDOR_INTEL, 3, 6);
	mock_cpuid(0xb, 0, 1, 2, 0x100, 0x77);
	mock_cpuid(0xb, 1, 4, 16, 0x201, 0x77);
	mock_cpuid(0xb, 2, 0, 0, 2, 0x77);
	r = guest_cpuid(v(), 0xb, 0);
	assert_true(r.eax == 1 && r.ebx == 2 && r.ecx == 0x100 && r.edx == 6);
	r = guest_cpuid(&mock.vcpus[2], 0xb, 0);
	assert_true(r.eax == 1 && r.ebx == 1 && r.edx == 8);
	r = guest_cpuid(v(), 0xb, 1);
	assert_true(r.eax == 4 && r.ebx == 3 && r.ecx == 0x201);
	r = guest_cpuid(v(), 0xb, 2);
	assert_true(r.eax == 0 && r.ebx == 0 && r.ecx == 2 && r.edx == 6);
}

static void test_amd_topology(void **state)
{
	struct cpuid_regs r;

	(void)state;
	mock_reset(CPU_VENDOR_AMD, 3, 6);
	mock_cpuid(0x80000008, 0, 0x3030, ~0u, 0x700f, 0x10007);
	mock_cpuid(0x8000001e, 0, 0x77, 0x0103, 0x100, 0);
	r = guest_cpuid(v(), 0x80000008, 0);
	assert_int_equal(r.eax, 0x3030);
	assert_int_equal(r.ecx, 0x7002);
	assert_int_equal(r.edx, 0);
	r = guest_cpuid(v(), 0x8000001e, 0);
	assert_int_equal(r.eax, 6);
	assert_int_equal(r.ebx, 0x0103);
	r = guest_cpuid(&mock.vcpus[2], 0x8000001e, 0);
	assert_int_equal(r.ebx, 0x0003);
}

/* AVX-512 in the compacted and in the standard format, with MPX and PT hidden. */
static void test_xsave(void **state)
{
	struct cpuid_regs r;

	(void)state;
	mock_cpuid(0xd, 0, 0x2ff, 1, 0xa88, 0);
	mock_cpuid(0xd, 1, 0x1f, 1, 0x100, 0);
	mock_cpuid(0xd, 2, 256, 576, 0, 0);
	mock_cpuid(0xd, 3, 64, 960, 0, 0);
	mock_cpuid(0xd, 5, 64, 1088, 0, 0);
	mock_cpuid(0xd, 6, 512, 1152, 0, 0);
	mock_cpuid(0xd, 7, 1024, 1664, 0, 0);
	mock_cpuid(0xd, 8, 128, 0, 1, 0);
	mock_cpuid(0xd, 9, 8, 2688, 0, 0);
	assert_true(guest_xcr0_mask(v()) == 0x2e7);
	r = guest_cpuid(v(), 0xd, 0);
	assert_int_equal(r.eax, 0x2e7);
	assert_int_equal(r.ebx, 576);
	assert_int_equal(r.ecx, 2696);
	mock.xcr0 = 0xe7;
	assert_int_equal(guest_cpuid(v(), 0xd, 0).ebx, 2688);
	r = guest_cpuid(v(), 0xd, 1);
	assert_int_equal(r.ebx, 576 + 256 + 64 + 512 + 1024);
	assert_int_equal(r.ecx, 0);
	assert_int_equal(guest_cpuid(v(), 0xd, 5).eax, 64);
	assert_int_equal(guest_cpuid(v(), 0xd, 3).eax, 0);
	assert_int_equal(guest_cpuid(v(), 0xd, 8).eax, 0);
	assert_int_equal(guest_cpuid(v(), 0xd, 63).eax, 0);
	assert_int_equal(guest_cpuid(v(), 0xd, 0xffffffff).eax, 0);
}

static void test_hypervisor_leaves(void **state)
{
	struct cpuid_regs r = guest_cpuid(v(), 0x40000000, 0);

	(void)state;
	assert_true(r.eax == 0x40000010);
	assert_memory_equal(&r.ebx, "VMwareVMware", 12);
	r = guest_cpuid(v(), 0x40000010, 0);
	assert_true(r.eax == 2500000 && r.ebx == 25000 && r.ecx == 2);
	r = guest_cpuid(v(), 0x40000100, 0);
	assert_true(r.eax == 0x40000101);
	assert_memory_equal(&r.ebx, "LaminaLamina", 12);
	mock.guest.index = 3;
	r = guest_cpuid(v(), 0x40000101, 0);
	assert_true(r.eax == LAMINA_INTERFACE && r.ebx == 3 && r.ecx == 1 && r.edx == 0);
	assert_int_equal(guest_cpuid(v(), 0x40000001, 0).eax, 0);
	mock.vendor = CPU_VENDOR_AMD;
	assert_int_equal(guest_cpuid(v(), 0x40000010, 0).ecx, 1);
}

static void same_answers(struct vcpu *of)
{
	static const uint32_t subleaves[] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,    9,       15,
					      16, 18, 19, 20, 31, 32, 62, 63, 0xff, 0x10000, ~0u };
	uint32_t leaf, i, group;

	for (group = 0; group < 4; group++) {
		for (leaf = group << 30; leaf < (group << 30) + 0x120; leaf++) {
			for (i = 0; i < ARRAY_SIZE(subleaves); i++) {
				struct cpuid_regs a = guest_cpuid(of, leaf, subleaves[i]);
				struct cpuid_regs b = cpuid_look_up(of, leaf, subleaves[i]);

				if (memcmp(&a, &b, sizeof(a)))
					fail_msg("leaf %#x, subleaf %#x", leaf, subleaves[i]);
			}
		}
	}
}

/* The table answers as the list does, whatever CR4, XCR0 and the APIC are by then. */
static void test_table(void **state)
{
	uint32_t i, n;

	(void)state;
	srand(5);
	for (n = 0; n < 64; n++) {
		mock_reset(n & 1 ? CPU_VENDOR_AMD : CPU_VENDOR_INTEL, 1 + n % 3, 6);
		mock.all_features = n & 4;
		mock_cpuid(0, 0, 0x1f, 1, 2, 3);
		mock_cpuid(0xd, 0, (uint32_t)rand() | 3, 0, 0, 0);
		for (i = 0; i < 50; i++) {
			uint32_t leaf = (uint32_t)rand() % 0x22 | (uint32_t)(rand() & 1) << 31;

			mock_cpuid(leaf, (uint32_t)rand() % 22, (uint32_t)rand(), (uint32_t)rand(),
				   (uint32_t)rand(), (uint32_t)rand());
		}
		for (i = 0; i < mock.guest.vcpu_count; i++) {
			cpuid_prepare(&mock.vcpus[i]);
			same_answers(&mock.vcpus[i]);
			mock.sregs.cr4 = (uint64_t)rand() << 8 ^ (uint64_t)rand();
			mock.xcr0 = (uint64_t)rand() | 1;
			mock.vcpus[i].apic_base ^= APIC_BASE_EN;
			same_answers(&mock.vcpus[i]);
		}
	}
}

static void test_registers(void **state)
{
	(void)state;
	v()->gpr[GPR_RAX] = 0xffffffff40000000;
	v()->gpr[GPR_RBX] = ~0ull;
	vcpu_cpuid(v());
	assert_true(v()->gpr[GPR_RAX] == 0x40000010);
	assert_true(v()->gpr[GPR_RBX] == 0x61774d56);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_hidden),       TEST(test_poor_cpu),    TEST(test_max_leaves),
		TEST(test_live_bits),    TEST(test_single_core), TEST(test_topology),
		TEST(test_amd_topology), TEST(test_xsave),       TEST(test_hypervisor_leaves),
		TEST(test_registers),    TEST(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
