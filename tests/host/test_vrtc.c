// SPDX-License-Identifier: BSD-2-Clause
// sources: core/vrtc.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/vrtc.h"

#define HZ 2500000000ull

static uint64_t tsc;
static struct vrtc r;

static uint64_t now(void)
{
	return tsc;
}

/* 2024-02-29 23:59:58 UTC, a Thursday */
#define LEAP_DAY 1709251198

static int setup(void **state)
{
	const struct vrtc_clock clock = { .epoch = LEAP_DAY, .tsc = 1000, .tsc_hz = HZ };

	(void)state;
	tsc = 1000;
	vrtc_init(&r, &clock, now);
	return 0;
}

static uint8_t get(uint8_t index)
{
	vrtc_write(&r, 0, index);
	return vrtc_read(&r, 1);
}

static void set(uint8_t index, uint8_t value)
{
	vrtc_write(&r, 0, index);
	vrtc_write(&r, 1, value);
}

#define SEC  0
#define MIN  2
#define HOUR 4
#define WDAY 6
#define DAY  7
#define MON  8
#define YEAR 9
#define A    10
#define B    11
#define C    12
#define D    13

static void expect(unsigned year, unsigned mon, unsigned day, unsigned hour, unsigned min,
		   unsigned sec)
{
	assert_int_equal(get(VRTC_CENTURY), year >> 8);
	assert_int_equal(get(YEAR), year & 0xff);
	assert_int_equal(get(MON), mon);
	assert_int_equal(get(DAY), day);
	assert_int_equal(get(HOUR), hour);
	assert_int_equal(get(MIN), min);
	assert_int_equal(get(SEC), sec);
}

static void test_time_runs(void **state)
{
	(void)state;
	expect(0x2024, 0x02, 0x29, 0x23, 0x59, 0x58);
	assert_int_equal(get(WDAY), 5);
	tsc += HZ - 1;
	assert_int_equal(get(SEC), 0x58);
	tsc += 1;
	assert_int_equal(get(SEC), 0x59);
	tsc += HZ;
	expect(0x2024, 0x03, 0x01, 0x00, 0x00, 0x00);
	assert_int_equal(get(WDAY), 6);
}

/* 200 years of ticks do not overflow or drift. */
static void test_no_drift(void **state)
{
	(void)state;
	tsc += HZ * 86400 * 365 * 200ull;
	assert_int_equal(get(SEC), 0x58);
	assert_int_equal(get(HOUR), 0x23);
}

static void test_early_tsc(void **state)
{
	(void)state;
	tsc = 0;
	expect(0x2024, 0x02, 0x29, 0x23, 0x59, 0x58);
}

static void test_formats(void **state)
{
	(void)state;
	set(B, 0x06); /* binary, 24 hours */
	assert_int_equal(get(HOUR), 23);
	assert_int_equal(get(YEAR), 24);
	assert_int_equal(get(VRTC_CENTURY), 20);
	set(B, 0x04); /* binary, 12 hours */
	assert_int_equal(get(HOUR), 0x80 | 11);
	set(B, 0x00); /* BCD, 12 hours */
	assert_int_equal(get(HOUR), 0x80 | 0x11);
	tsc += 2 * HZ;
	assert_int_equal(get(HOUR), 0x12); /* midnight is 12 AM */
	tsc += 12 * 3600 * HZ;
	assert_int_equal(get(HOUR), 0x80 | 0x12);
}

/* The update is announced 244 µs ahead, and never for longer. */
static void test_update_in_progress(void **state)
{
	(void)state;
	assert_int_equal(get(A), 0x26);
	tsc += HZ - HZ / 4096 - 1;
	assert_int_equal(get(A), 0x26);
	tsc += 1;
	assert_int_equal(get(A), 0xa6);
	tsc += HZ / 4096;
	assert_int_equal(get(A), 0x26);
	assert_int_equal(get(SEC), 0x59);
}

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(get(B), 0x02);
	assert_int_equal(get(C), 0);
	assert_int_equal(get(D), 0x80);
	set(C, 0xff);
	set(D, 0);
	assert_int_equal(get(C), 0);
	assert_int_equal(get(D), 0x80);
}

/* As Linux does it: SET, all fields, SET off. The clock goes on from there. */
static void test_set_time(void **state)
{
	(void)state;
	set(B, 0x82);
	tsc += 5 * HZ;
	assert_int_equal(get(SEC), 0x58); /* frozen */
	set(SEC, 0x30);
	set(MIN, 0x15);
	set(HOUR, 0x08);
	set(DAY, 0x31);
	set(MON, 0x12);
	set(YEAR, 0x99);
	set(VRTC_CENTURY, 0x19);
	assert_int_equal(get(SEC), 0x30);
	set(B, 0x02);
	expect(0x1999, 0x12, 0x31, 0x08, 0x15, 0x30);
	tsc += HZ * 86400;
	expect(0x2000, 0x01, 0x01, 0x08, 0x15, 0x30);
	assert_int_equal(get(WDAY), 7);
	/* One field without SET. */
	set(MIN, 0x20);
	expect(0x2000, 0x01, 0x01, 0x08, 0x20, 0x30);
}

static void test_nonsense_fields(void **state)
{
	unsigned n;

	(void)state;
	srand(4);
	for (n = 0; n < 20000; n++) {
		set((uint8_t)rand(), (uint8_t)rand());
		(void)get((uint8_t)rand());
		tsc += (uint64_t)rand();
	}
	set(B, 0x02);
	(void)get(SEC);
}

static void test_memory(void **state)
{
	(void)state;
	set(0x40, 0xab);
	assert_int_equal(get(0x40), 0xab);
	assert_int_equal(get(0xc0), 0xab); /* bit 7 is not part of the index */
	set(1, 0x12);                      /* alarm */
	assert_int_equal(get(1), 0x12);
}

/* All days from 1900 to 2200 against the C library. */
static void test_calendar(void **state)
{
	int64_t day;

	(void)state;
	for (day = -25567; day < 84000; day++) {
		time_t t = day * 86400 + 45296;
		struct tm tm;

		gmtime_r(&t, &tm);
		r.clock.epoch = t;
		set(B, 0x06);
		assert_int_equal(get(YEAR) + get(VRTC_CENTURY) * 100, tm.tm_year + 1900);
		assert_int_equal(get(MON), tm.tm_mon + 1);
		assert_int_equal(get(DAY), tm.tm_mday);
		assert_int_equal(get(WDAY), tm.tm_wday + 1);
		assert_int_equal(get(HOUR), 12);
		assert_int_equal(get(SEC), 56);
		if (day >= 0) {
			/* And back: setting what it reads changes nothing. */
			set(B, 0x86);
			set(B, 0x06);
			assert_int_equal(r.offset, 0);
		}
	}
}

static void test_word_access(void **state)
{
	(void)state;
	vrtc_io_ops.write(NULL, &r, 0, 2, 0x7750);
	assert_int_equal(get(0x50), 0x77);
	assert_int_equal(vrtc_io_ops.read(NULL, &r, 1, 1), 0x77);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_time_runs), TEST(test_no_drift),           TEST(test_early_tsc),
		TEST(test_formats),   TEST(test_update_in_progress), TEST(test_status),
		TEST(test_set_time),  TEST(test_nonsense_fields),    TEST(test_memory),
		TEST(test_calendar),  TEST(test_word_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
