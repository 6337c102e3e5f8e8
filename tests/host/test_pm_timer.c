// SPDX-License-Identifier: BSD-2-Clause
// sources:
/* The arithmetic of the TSC's calibration over a window in which the timer wraps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "x86/pm_timer.h"

/* What a window of `us` looks like with a TSC of `hz`, believed to be `believed`. */
static uint64_t ticks_for(uint64_t us, uint64_t hz, uint64_t believed, unsigned int bits)
{
	uint64_t pm = us * PM_TIMER_HZ / 1000000;
	uint64_t tsc = us * (hz / 1000) / 1000;

	return pm_timer_unwrap(tsc, believed, (uint32_t)(pm & (BIT(bits) - 1)), bits);
}

static uint64_t exact(uint64_t us)
{
	return us * PM_TIMER_HZ / 1000000;
}

static void test_short_windows(void **state)
{
	(void)state;
	assert_int_equal(ticks_for(1000, 3000000000, 3000000000, 24), exact(1000));
	assert_int_equal(ticks_for(50000, 50000000, 50000000, 24), exact(50000));
	assert_int_equal(ticks_for(0, 3000000000, 3000000000, 24), 0);
}

static void test_wraps_are_counted(void **state)
{
	uint64_t seconds;

	(void)state;
	for (seconds = 1; seconds < 200; seconds += 3) {
		assert_int_equal(ticks_for(seconds * 1000000, 2600000000, 2600000000, 24),
				 exact(seconds * 1000000));
		assert_int_equal(ticks_for(seconds * 1000000, 2600000000, 2600000000, 32),
				 exact(seconds * 1000000));
	}
}

/* Just before and behind each wrap, with an estimate that is off by one percent either way. */
static void test_tolerates_a_rough_estimate(void **state)
{
	uint64_t wrap, us, hz = 3500000000;

	(void)state;
	for (wrap = 1; wrap <= 20; wrap++) {
		us = (wrap << 24) * 1000000 / PM_TIMER_HZ;
		assert_int_equal(ticks_for(us - 2, hz, hz / 100 * 99, 24), exact(us - 2));
		assert_int_equal(ticks_for(us + 2, hz, hz / 100 * 101, 24), exact(us + 2));
		assert_int_equal(ticks_for(us - 2, hz, hz / 100 * 101, 24), exact(us - 2));
		assert_int_equal(ticks_for(us + 2, hz, hz / 100 * 99, 24), exact(us + 2));
	}
}

static void test_refuses_the_impossible(void **state)
{
	(void)state;
	assert_int_equal(pm_timer_unwrap(BIT(40), 1000000000, 5, 24), 0);
	assert_int_equal(pm_timer_unwrap(1000, 0, 5, 24), 0);
	/* Hardly any time by the TSC, but the timer has gone three quarters around. */
	assert_int_equal(pm_timer_unwrap(1000, 1000000000, 3u << 22, 24), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_windows),
		cmocka_unit_test(test_wraps_are_counted),
		cmocka_unit_test(test_tolerates_a_rough_estimate),
		cmocka_unit_test(test_refuses_the_impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
