// SPDX-License-Identifier: BSD-2-Clause
/* Which CPUs need large pages without execute permission. */
// sources: x86/multihit.c
// libs: -no-pie
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "x86/msr.h"
#include "x86/multihit.h"

static bool intel(uint32_t family, uint32_t model, uint64_t capabilities)
{
	return multihit_affects(CPU_VENDOR_INTEL, family, model, capabilities);
}

static void test_intel_unless_it_says_no(void **state unused)
{
	static const uint8_t models[] = { 0x1e, 0x2a, 0x3c, 0x4f, 0x55, 0x5e, 0x8e, 0x9e, 0x7d };

	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		assert_true(intel(6, models[i], 0));
		assert_true(intel(6, models[i], ~(uint64_t)ARCH_CAP_PSCHANGE_MC_NO));
		assert_false(intel(6, models[i], ARCH_CAP_PSCHANGE_MC_NO));
	}
	assert_true(intel(15, 6, 0));
	assert_true(intel(18, 1, 0));
	assert_false(intel(18, 1, 1 << 6));
}

static void test_cores_without_the_flaw(void **state unused)
{
	static const uint8_t models[] = { 0x37, 0x4a, 0x4c, 0x4d, 0x57, 0x5a,
					  0x5c, 0x5f, 0x75, 0x7a, 0x85, 0x86 };

	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		assert_false(intel(6, models[i], 0));
		/* The number means nothing in another family. */
		assert_true(intel(15, models[i], 0));
	}
}

static void test_other_vendors(void **state unused)
{
	assert_false(multihit_affects(CPU_VENDOR_AMD, 0x17, 1, 0));
	assert_false(multihit_affects(CPU_VENDOR_AMD, 6, 0x3c, 0));
	assert_false(multihit_affects(CPU_VENDOR_HYGON, 0x18, 0, 0));
	assert_false(multihit_affects(CPU_VENDOR_OTHER, 7, 0x3b, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intel_unless_it_says_no),
		cmocka_unit_test(test_cores_without_the_flaw),
		cmocka_unit_test(test_other_vendors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
