// SPDX-License-Identifier: BSD-2-Clause
// sources: core/msr.c core/cpuid.c core/vlapic.c core/vioapic.c tests/host/mock_core.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/msr.h"
#include "mock_core.h"
#include "x86/msr.h"
#include "x86/regs.h"

static struct vcpu *v(void)
{
	return &mock.vcpus[0];
}

/* As before a run, with the mock's CPU as it is now. */
static void prepare(void)
{
	cpuid_prepare(v());
	msr_prepare(v());
}

static void set_all_features(bool on)
{
	mock.all_features = on;
	prepare();
}

static int setup_intel(void **state)
{
	(void)state;
	mock_reset(CPU_VENDOR_INTEL, 1, 0);
	mock_cpuid(0x80000008, 0, 40, ~0u, 0, 0);
	set_all_features(true);
	return 0;
}

static int setup_amd(void **state)
{
	(void)state;
	mock_reset(CPU_VENDOR_AMD, 1, 0);
	set_all_features(true);
	return 0;
}

static enum status get(uint32_t msr, uint64_t *value)
{
	enum status s;

	v()->gpr[GPR_RCX] = 0xabcdef00000000ull << 8 | msr; /* the upper half does not count */
	s = vcpu_rdmsr(v());
	*value = v()->gpr[GPR_RDX] << 32 | v()->gpr[GPR_RAX];
	return s;
}

static enum status set(uint32_t msr, uint64_t value)
{
	v()->gpr[GPR_RCX] = msr;
	v()->gpr[GPR_RAX] = (uint32_t)value | 0xffull << 40;
	v()->gpr[GPR_RDX] = value >> 32;
	return vcpu_wrmsr(v());
}

static void expect(uint32_t msr, uint64_t expected)
{
	uint64_t value;

	assert_int_equal(get(msr, &value), OK);
	assert_true(value == expected);
}

static void refused(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(get(msr, &value), ERR_DENIED);
}

/* The log may wait for another core, and a core that counts as in the guest must not. */
static void test_refusals_are_logged_outside(void **state)
{
	(void)state;
	v()->cpu->in_guest = 1;
	refused(MSR_VMX_BASIC);
	assert_int_equal(v()->cpu->in_guest, 0);
	assert_int_equal(mock.drained, 1);
	v()->cpu->in_guest = 1;
	assert_int_equal(set(MSR_BIOS_UPDT_TRIG, 1), ERR_DENIED);
	assert_int_equal(v()->cpu->in_guest, 0);
}

static void test_unknown(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 100; i++) {
		refused(0x4b564d00 + i);
		assert_int_equal(set(0x4b564d00 + i, 0), ERR_DENIED);
	}
	assert_int_equal(mock.guest.denied_msr, 200);
	refused(MSR_VMX_BASIC);
	refused(MSR_PMC(0));
	refused(MSR_AMD_HWCR); /* the other vendor's */
	refused(MSR_TSC_ADJUST);
	assert_int_equal(set(MSR_BIOS_UPDT_TRIG, 1), ERR_DENIED);
}

/* What the bitmap opens, as a map: bit 0 read, bit 1 write. */
static uint8_t policy[0x2000], policy_ext[0x2000], policy_amd[0x2000];

static void allow(void *ctx, uint32_t msr, bool read, bool write)
{
	uint8_t bits = (read ? 1 : 0) | (write ? 2 : 0);

	assert_ptr_equal(ctx, policy);
	assert_int_not_equal(bits, 0);
	if (msr < 0x2000)
		policy[msr] |= bits;
	else if (msr - 0xc0000000 < 0x2000)
		policy_ext[msr - 0xc0000000] |= bits;
	else if (msr - 0xc0010000 < 0x2000)
		policy_amd[msr - 0xc0010000] |= bits;
	else
		fail_msg("MSR %#x has no place in the bitmaps", msr);
}

static void collect(bool x2apic)
{
	memset(policy, 0, sizeof(policy));
	memset(policy_ext, 0, sizeof(policy_ext));
	memset(policy_amd, 0, sizeof(policy_amd));
	msr_policy_for_each(v(), x2apic, allow, policy);
}

static void test_policy(void **state)
{
	unsigned i, n = 0;

	(void)state;
	collect(false);
	assert_int_equal(policy[MSR_TSC], 1);
	assert_int_equal(policy[MSR_PAT], 3);
	assert_int_equal(policy[MSR_SPEC_CTRL], 3);
	assert_int_equal(policy[MSR_PRED_CMD], 2);
	assert_int_equal(policy[MSR_TSC_DEADLINE], 3);
	assert_int_equal(policy[MSR_APIC_BASE], 0);
	assert_int_equal(policy[MSR_MISC_ENABLE], 0);
	assert_int_equal(policy_ext[MSR_EFER - 0xc0000000], 0);
	assert_int_equal(policy_ext[MSR_LSTAR - 0xc0000000], 3);
	assert_int_equal(policy_ext[MSR_KERNEL_GS_BASE - 0xc0000000], 3);
	for (i = 0x800; i < 0x900; i++)
		assert_int_equal(policy[i], 0);
	for (i = 0; i < 0x2000; i++)
		n += policy_amd[i] != 0;
	assert_int_equal(n, 0);
	collect(true);
	assert_int_equal(policy[MSR_X2APIC_ICR], 1);
	assert_int_equal(policy[MSR_X2APIC_ID], 1);
	assert_int_equal(policy[MSR_X2APIC_EOI], 2);
	assert_int_equal(policy[MSR_X2APIC_SELF_IPI], 2);
	assert_int_equal(policy[MSR_X2APIC_TPR], 3);
	assert_int_equal(policy[MSR_X2APIC_LVT_TIMER], 3);
	assert_int_equal(policy[MSR_X2APIC_LVT_PMC], 1);
	assert_int_equal(policy[MSR_X2APIC_LVT_LINT1], 1);
	assert_int_equal(policy[MSR_X2APIC_LVT_ERROR], 1);
	assert_int_equal(policy[MSR_X2APIC_IRR(7)], 1);
	assert_int_equal(policy[0x83a], 0);
	assert_int_equal(policy[0x8ff], 0);
	mock.guest.trap_eoi = true;
	collect(true);
	assert_int_equal(policy[MSR_X2APIC_EOI], 0);
	assert_int_equal(policy[MSR_X2APIC_SELF_IPI], 2);
	assert_int_equal(policy[MSR_X2APIC_TPR], 3);
}

/* Without the CPUID bit there is no MSR. */
static void test_features(void **state)
{
	(void)state;
	set_all_features(false);
	collect(true);
	assert_int_equal(policy[MSR_SPEC_CTRL], 0);
	assert_int_equal(policy[MSR_TSC_DEADLINE], 0);
	assert_int_equal(policy[MSR_X2APIC_TPR], 0);
	assert_int_equal(policy_ext[MSR_TSC_AUX - 0xc0000000], 0);
	assert_int_equal(policy_ext[MSR_STAR - 0xc0000000], 3);
	refused(MSR_ARCH_CAPABILITIES);
}

static void test_x2apic_needs_mode(void **state)
{
	(void)state;
	mock_msr(MSR_X2APIC_LVT_PMC, 0x10000, false);
	refused(MSR_X2APIC_LVT_PMC);
	assert_int_equal(set(MSR_X2APIC_ICR, 0x400fd), ERR_DENIED);
	v()->x2apic = true;
	expect(MSR_X2APIC_LVT_PMC, 0x10000);
	assert_int_equal(set(MSR_X2APIC_ICR, 0x440fd), OK);
	assert_true(mock_has_vector(0, 0xfd));
	assert_int_equal(set(MSR_X2APIC_ID, 1), ERR_DENIED);
}

static void test_apic_base(void **state)
{
	(void)state;
	expect(MSR_APIC_BASE, 0xfee00900);
	assert_int_equal(set(MSR_APIC_BASE, 0xfee00d00), OK);
	expect(MSR_APIC_BASE, 0xfee00d00);
	assert_true(v()->x2apic);
	assert_int_equal(set(MSR_APIC_BASE, 0xfed00d00), ERR_DENIED);
}

static void test_efer(void **state)
{
	const uint64_t base = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	(void)state;
	mock.sregs.cr0 = CR0_PG;
	expect(MSR_EFER, base);
	assert_int_equal(set(MSR_EFER, base & ~(uint64_t)EFER_SCE), OK);
	expect(MSR_EFER, base & ~(uint64_t)EFER_SCE);
	assert_int_equal(set(MSR_EFER, base | EFER_SVME), ERR_DENIED);
	assert_int_equal(set(MSR_EFER, base | EFER_LMSLE), ERR_DENIED);
	assert_int_equal(set(MSR_EFER, base | BIT(1)), ERR_DENIED);
	assert_int_equal(set(MSR_EFER, base & ~(uint64_t)EFER_LME), ERR_DENIED);
	/* LMA is the CPU's. */
	assert_int_equal(set(MSR_EFER, base & ~(uint64_t)EFER_LMA), OK);
	expect(MSR_EFER, base);
	mock.sregs.cr0 = 0;
	mock_find_msr(MSR_EFER)->value = 0;
	assert_int_equal(set(MSR_EFER, EFER_LME | EFER_LMA), OK);
	expect(MSR_EFER, EFER_LME);
	set_all_features(false);
	assert_int_equal(set(MSR_EFER, EFER_NXE), ERR_DENIED);
}

static void test_mtrrs(void **state)
{
	(void)state;
	msr_reset(v());
	expect(MSR_MTRRCAP, 0x508);
	expect(MSR_MTRR_DEF_TYPE, 0xc06);
	expect(MSR_MTRR_FIX16K_A0000, 0x0606060606060606);
	assert_int_equal(set(MSR_MTRR_FIX4K(7), 0x0505050505050505), OK);
	expect(MSR_MTRR_FIX4K(7), 0x0505050505050505);
	expect(MSR_MTRR_FIX4K(6), 0x0606060606060606);
	assert_int_equal(set(MSR_MTRR_FIX4K(7), 2), ERR_DENIED);
	assert_int_equal(set(MSR_MTRR_PHYSBASE(7), 0xc0000001), OK);
	assert_int_equal(set(MSR_MTRR_PHYSMASK(7), 0xffc0000800), OK);
	expect(MSR_MTRR_PHYSMASK(7), 0xffc0000800);
	assert_int_equal(set(MSR_MTRR_PHYSMASK(7), BIT(40)), ERR_DENIED);
	assert_int_equal(set(MSR_MTRR_PHYSBASE(7), 0x103), ERR_DENIED);
	refused(MSR_MTRR_PHYSBASE(8));
	assert_int_equal(set(MSR_MTRR_DEF_TYPE, 0x800), OK);
	expect(MSR_MTRR_DEF_TYPE, 0x800);
	assert_int_equal(set(MSR_MTRR_DEF_TYPE, 0x1006), ERR_DENIED);
	assert_int_equal(set(MSR_MTRR_DEF_TYPE, 0x807), ERR_DENIED);
	assert_int_equal(set(MSR_MTRRCAP, 0), ERR_DENIED);
	msr_reset(v());
	expect(MSR_MTRR_DEF_TYPE, 0xc06);
}

/* Bits of ARCH_CAPABILITIES that announce MSRs must not pass. */
static void test_arch_capabilities(void **state)
{
	uint64_t value;

	(void)state;
	mock_msr(MSR_ARCH_CAPABILITIES, ~0ull, false);
	assert_int_equal(get(MSR_ARCH_CAPABILITIES, &value), OK);
	assert_true(value & ARCH_CAP_RDCL_NO);
	assert_false(value & ARCH_CAP_TSX_CTRL);
	assert_false(value & ARCH_CAP_GDS_CTRL);
	assert_false(value & BIT(10));
	assert_false(value & BIT(18));
	assert_false(value & BIT(21));
	assert_int_equal(set(MSR_ARCH_CAPABILITIES, 0), ERR_DENIED);
}

static void test_intel_reads(void **state)
{
	(void)state;
	expect(MSR_MISC_ENABLE, 0x1801);
	assert_int_equal(set(MSR_MISC_ENABLE, 0x1801), OK);
	expect(MSR_FEATURE_CONTROL, 1);
	assert_int_equal(set(MSR_FEATURE_CONTROL, 5), ERR_DENIED);
	expect(MSR_PLATFORM_ID, 0);
	expect(MSR_BIOS_SIGN_ID, 0);
	assert_int_equal(set(MSR_BIOS_SIGN_ID, 0), OK);
	expect(MSR_MCG_CAP, 0);
	assert_int_equal(set(MSR_XSS, 0), OK);
	assert_int_equal(set(MSR_XSS, 0x100), ERR_DENIED);
	/* A guest's write of the TSC does not reach the hardware's. */
	mock_msr(MSR_TSC, 12345, false);
	assert_int_equal(set(MSR_TSC, 0), OK);
	assert_true(mock_find_msr(MSR_TSC)->value == 12345);
}

/* Where the timer's entry has a delivery mode, the guest must not write it unseen. */
static void test_amd_policy(void **state)
{
	(void)state;
	collect(true);
	assert_int_equal(policy[MSR_X2APIC_LVT_TIMER], 1);
	assert_int_equal(policy[MSR_X2APIC_LVT_ERROR], 1);
	assert_int_equal(policy[MSR_X2APIC_TIMER_ICR], 3);
	v()->x2apic = true;
	mock_msr(MSR_X2APIC_LVT_TIMER, 0x10000, false);
	assert_int_equal(set(MSR_X2APIC_LVT_TIMER, 0x202ee), OK);
	expect(MSR_X2APIC_LVT_TIMER, 0x302ee);
	assert_int_equal(set(MSR_X2APIC_LVT_TIMER, 0x200ee), OK);
	expect(MSR_X2APIC_LVT_TIMER, 0x200ee);
}

/* What stock Linux touches without protection on AMD. */
static void test_amd_reads(void **state)
{
	(void)state;
	expect(MSR_AMD_HWCR, BIT(24));
	expect(MSR_AMD_DE_CFG, BIT(1));
	expect(MSR_AMD_SYSCFG, 0);
	expect(MSR_AMD_NB_CFG, BIT(46));
	expect(MSR_VM_CR, VM_CR_SVMDIS | VM_CR_LOCK);
	assert_int_equal(set(MSR_VM_CR, 0), ERR_DENIED);
	refused(MSR_VM_HSAVE_PA);
	refused(MSR_MISC_ENABLE);
	refused(MSR_AMD_LS_CFG);
	assert_int_equal(set(MSR_AMD_SYSCFG, BIT(23)), ERR_DENIED);
}

static void test_vendor_registers(void **state)
{
	(void)state;
	mock_msr(MSR_SYSENTER_EIP, 0x1234, true);
	expect(MSR_SYSENTER_EIP, 0x1234);
	assert_int_equal(set(MSR_SYSENTER_EIP, 0x5678), OK);
	expect(MSR_SYSENTER_EIP, 0x5678);
	assert_int_equal(mock.msr_writes, 0);
	/* What the CPU would refuse is refused. */
	mock_msr(MSR_PAT, PAT_RESET, true);
	mock_msr(MSR_LSTAR, 0, true);
	mock_cpuid(1, 0, 0, 0, 0, ~0u);
	set_all_features(false);
	assert_int_equal(set(MSR_SYSENTER_EIP, 0x800000000000), ERR_DENIED);
	assert_int_equal(set(MSR_LSTAR, BIT(63)), ERR_DENIED);
	assert_int_equal(set(MSR_LSTAR, 0xffff800000000000), OK);
	assert_int_equal(set(MSR_PAT, 0x0202020202020202), ERR_DENIED);
	assert_int_equal(set(MSR_PAT, 0x0800000000000000), ERR_DENIED);
	assert_int_equal(set(MSR_PAT, 0x0706050401000100), OK);
	set_all_features(true);
	/* DEBUGCTL without a vendor's field: off. */
	expect(MSR_DEBUGCTL, 0);
	assert_int_equal(set(MSR_DEBUGCTL, DEBUGCTL_BTF), OK);
	assert_int_equal(set(MSR_DEBUGCTL, BIT(6)), ERR_DENIED);
}

/* Nothing of a former run stays. */
static void test_reset(void **state)
{
	static const uint32_t cleared[] = { MSR_STAR,        MSR_LSTAR,   MSR_KERNEL_GS_BASE,
					    MSR_SPEC_CTRL,   MSR_TSC_AUX, MSR_TSC_DEADLINE,
					    MSR_SYSENTER_CS, 0x1c4 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cleared); i++)
		mock_msr(cleared[i], 0x1111 * (i + 1), i & 1);
	mock_msr(MSR_PAT, 0x0606060606060606, true);
	v()->soft.denied_count = 3;
	msr_reset(v());
	for (i = 0; i < ARRAY_SIZE(cleared); i++)
		assert_true(mock_find_msr(cleared[i])->value == 0);
	assert_true(mock_find_msr(MSR_PAT)->value == PAT_RESET);
	assert_int_equal(v()->soft.denied_count, 3); /* INIT does not let it be logged again */
	assert_int_equal(mock.set_x2apic_calls, 1);
}

static enum status do_xsetbv(uint32_t index, uint64_t value)
{
	v()->gpr[GPR_RCX] = index;
	v()->gpr[GPR_RAX] = (uint32_t)value;
	v()->gpr[GPR_RDX] = value >> 32;
	return vcpu_xsetbv(v());
}

static void test_xsetbv(void **state)
{
	static const uint64_t good[] = { 1, 3, 7, 0xe7, 0x207, 0x60003, 0x602e7 };
	static const uint64_t bad[] = { 0,    2,       5,       0x27,   0xc7,       0xe3,
					0x1f, 0x20003, 0x40003, BIT(8), BIT(63) | 3 };
	size_t i;

	(void)state;
	mock_cpuid(0xd, 0, 0x602ff, 0, 0, 0);
	set_all_features(false);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(do_xsetbv(0, good[i]), OK);
		assert_true(mock.xcr0 == good[i]);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(do_xsetbv(0, bad[i]), ERR_INVALID);
	assert_int_equal(do_xsetbv(1, 1), ERR_INVALID);
	assert_true(mock.xcr0 == 0x602e7);
}

/* The index leads to the first entry of the table that applies, for every MSR that there can be. */
static void same_entries(void)
{
	static const uint32_t ranges[] = { 0,          0x10000,    0x40000000,
					   0xc0000000, 0xc0010000, 0xffffe000 };
	size_t i;
	uint32_t n;

	prepare();
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (n = 0; n < 0x2000; n++) {
			if (msr_find(v(), ranges[i] + n) != msr_look_up(v(), ranges[i] + n))
				fail_msg("MSR %#x: another entry", ranges[i] + n);
		}
	}
}

static void test_index(void **state)
{
	unsigned mask;

	(void)state;
	for (mask = 0; mask < 64; mask++) {
		uint32_t a = mask & 1 ? ~0u : 0, b = mask & 2 ? ~0u : 0, c = mask & 4 ? ~0u : 0;

		mock_reset(mask & 8 ? CPU_VENDOR_AMD : CPU_VENDOR_INTEL, 1, 0);
		mock.all_features = mask & 16;
		mock_cpuid(1, 0, 0, 0, a, b);
		mock_cpuid(7, 0, 2, 0, b, c);
		mock_cpuid(0x80000001, 0, 0, 0, c, a);
		mock_cpuid(0x80000008, 0, 40, c, 0, 0);
		v()->x2apic = mask & 32;
		same_entries();
	}
}

/* Any index, any value: the answer is OK or a refusal, and nothing else happens. */
static void test_random(void **state)
{
	unsigned n;

	(void)state;
	srand(6);
	for (n = 0; n < 200000; n++) {
		uint32_t msr = (uint32_t)rand() % 0x1000;
		uint64_t value = (uint64_t)rand() << (rand() % 40);

		if (rand() & 1)
			msr += rand() & 1 ? 0xc0000000 : 0xc0010000;
		if (rand() & 1)
			(void)get(msr, &value);
		else
			(void)set(msr, value);
	}
}

int main(void)
{
#define INTEL(f) cmocka_unit_test_setup(f, setup_intel)
	const struct CMUnitTest tests[] = {
		INTEL(test_unknown),
		INTEL(test_refusals_are_logged_outside),
		INTEL(test_policy),
		INTEL(test_features),
		INTEL(test_x2apic_needs_mode),
		INTEL(test_apic_base),
		INTEL(test_efer),
		INTEL(test_mtrrs),
		INTEL(test_arch_capabilities),
		INTEL(test_intel_reads),
		cmocka_unit_test_setup(test_amd_policy, setup_amd),
		cmocka_unit_test_setup(test_amd_reads, setup_amd),
		INTEL(test_vendor_registers),
		INTEL(test_reset),
		INTEL(test_xsetbv),
		cmocka_unit_test(test_index),
		INTEL(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
