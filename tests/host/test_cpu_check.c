/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/cpu_check.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/cpu_check.h"

static char output[4096];
static struct cpu_facts f;

static void emit(void *ctx, const char *text)
{
	(void)ctx;
	strcat(output, text);
	strcat(output, "\n");
}

static uint32_t check(void)
{
	output[0] = '\0';
	return cpu_check(&f, emit, NULL);
}

static struct cpu_msr msr(uint64_t value)
{
	return (struct cpu_msr){ true, value };
}

static void base(void)
{
	memset(&f, 0, sizeof(f));
	f.ext1_edx = BIT(29) | BIT(20);
}

static void intel(void)
{
	base();
	strcpy(f.vendor, "GenuineIntel");
	f.leaf1_ecx = BIT(5);
	f.feature_control = msr(5);
	f.vmx_basic = msr(0);
	f.vmx_procbased = msr(0xfff9fffe00000000);
	f.vmx_procbased2 = msr(0x000000ff00000000);
	f.vmx_ept_vpid = msr(0x00000f0106334141);
}

static void amd(void)
{
	base();
	strcpy(f.vendor, "AuthenticAMD");
	f.ext1_ecx = BIT(2);
	f.svm_edx = BIT(0);
	f.vm_cr = msr(0);
}

#define assert_one(part)                               \
	do {                                           \
		assert_int_equal(check(), 1);          \
		assert_non_null(strstr(output, part)); \
	} while (0)

static void test_good(void **state)
{
	(void)state;
	intel();
	assert_int_equal(check(), 0);
	f.feature_control = msr(0); /* not locked: the hypervisor sets it */
	assert_int_equal(check(), 0);
	f.feature_control.present = false;
	assert_int_equal(check(), 0);
	amd();
	assert_int_equal(check(), 0);
	f.vm_cr = (struct cpu_msr){ false, 0 }; /* an emulator without VM_CR */
	assert_int_equal(check(), 0);
	f.vm_cr = msr(BIT(3)); /* locked on */
	assert_int_equal(check(), 0);
	assert_string_equal(output, "");
}

static void test_no_virtualization(void **state)
{
	(void)state;
	base();
	assert_one("neither VMX nor SVM; if it should have");
	f.leaf1_ecx = BIT(31);
	assert_one("it is a virtual one");
}

static void test_locked_off(void **state)
{
	(void)state;
	intel();
	f.feature_control = msr(1);
	assert_one("VMX is locked off by the firmware (IA32_FEATURE_CONTROL)");
	f.feature_control = msr(3); /* only inside SMX */
	assert_one("VMX is locked off");
	amd();
	f.vm_cr = msr(BIT(3) | BIT(4));
	assert_one("SVM is locked off by the firmware (VM_CR.SVMDIS); turn on \"SVM Mode\"");
	f.vm_cr = msr(BIT(4));
	assert_one("SVM is off");
}

static void test_missing_features(void **state)
{
	(void)state;
	intel();
	f.vmx_procbased.value &= ~BIT(63);
	assert_one("without secondary controls");
	intel();
	f.vmx_procbased.value &= ~BIT(60);
	assert_one("without MSR bitmaps");
	intel();
	f.vmx_procbased.value &= ~BIT(57);
	assert_one("without I/O bitmaps");
	intel();
	f.vmx_procbased2.value &= ~BIT(33);
	assert_one("without EPT");
	intel();
	f.vmx_procbased2.value &= ~BIT(39);
	assert_one("without unrestricted guest");
	intel();
	f.vmx_ept_vpid.value &= ~BIT(6);
	assert_one("4-level");
	intel();
	f.vmx_ept_vpid.value &= ~BIT(20);
	assert_one("INVEPT");
	amd();
	f.svm_edx = 0;
	assert_one("without nested paging");
}

static void test_modes(void **state)
{
	(void)state;
	amd();
	f.ext1_edx &= ~(uint32_t)BIT(20);
	assert_one("NX");
	amd();
	f.cr4 = BIT(12);
	assert_one("5-level paging");
	base();
	f.ext1_edx = 0;
	assert_int_equal(check(), 3); /* each thing is said, not only the first */
}

static void test_describe(void **state)
{
	char text[128];

	(void)state;
	amd();
	cpu_describe(&f, text, sizeof(text));
	assert_string_equal(text, "AuthenticAMD (SVM)");
	intel();
	strcpy(f.name, "   Intel(R) Something");
	cpu_describe(&f, text, sizeof(text));
	assert_string_equal(text, "GenuineIntel, Intel(R) Something (VMX)");
	base();
	cpu_describe(&f, text, 8);
	assert_string_equal(text, " (neith");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_no_virtualization),
		cmocka_unit_test(test_locked_off), cmocka_unit_test(test_missing_features),
		cmocka_unit_test(test_modes),      cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
