// SPDX-License-Identifier: BSD-2-Clause
// sources: core/log.c
/* The log's ring: order, levels, times from before the calibration, overflow, two cores at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/log_ring.h"
#include "x86/asm.h"
#include "x86/tsc.h"

#define THREADS  4
#define MESSAGES 300

static uint32_t khz;
static char *shown; /* what the console got */
static size_t shown_length, shown_size;
static unsigned int in_console; /* threads inside console_log() */
static bool nested;             /* the console logs as well */

uint32_t tsc_khz(void)
{
	return khz;
}

uint64_t tsc_to_us(uint64_t ticks)
{
	return ticks / 1000;
}

void console_log(const char *text, size_t length);
void console_log(const char *text, size_t length)
{
	assert_int_equal(__atomic_fetch_add(&in_console, 1, __ATOMIC_SEQ_CST), 0);
	if (shown_length + length + 1 > shown_size) {
		shown_size = (shown_size + length + 1) * 2;
		shown = realloc(shown, shown_size);
		assert_non_null(shown);
	}
	memcpy(shown + shown_length, text, length);
	shown_length += length;
	shown[shown_length] = '\0';
	if (nested) {
		nested = false;
		log_info("from the console");
	}
	__atomic_fetch_sub(&in_console, 1, __ATOMIC_SEQ_CST);
}

static size_t replay_lines;
static char replay_first[LOG_LINE_MAX], replay_last[LOG_LINE_MAX];

static void count_line(const char *text, size_t length)
{
	assert_int_equal(text[0], '[');
	assert_int_equal(text[13], ']');
	assert_true(length < LOG_LINE_MAX && text[length - 1] == '\n');
	assert_int_equal(strlen(text), length);
	memcpy(replay_lines ? replay_last : replay_first, text, length + 1);
	replay_lines++;
}

static void replay(void)
{
	replay_lines = 0;
	log_replay(count_line);
}

static void forget_shown(void)
{
	shown_length = 0;
	if (shown)
		shown[0] = '\0';
}

/* The ring is one for the whole program, so the tests run in this order. */
static void test_before_the_console(void **state)
{
	uint64_t zero = rdtsc(); /* as at boot: the machine's own time may have six digits */

	(void)state;
	log_info("early %d", 1);
	log_warn("early %d", 2);
	log_debug("early %d", 3);
	assert_false(log_started());
	assert_int_equal(shown_length, 0);

	log_start(LOG_INFO, zero);
	assert_true(log_started());
	assert_int_equal(shown_length, 0); /* the times are not known yet */

	khz = 1000;
	log_error("late");
	assert_non_null(strstr(shown, "] early 1\n["));
	assert_non_null(strstr(shown, "] warning: early 2\n["));
	assert_null(strstr(shown, "early 3"));
	assert_non_null(strstr(shown, "] error: late\n"));
	assert_true(strstr(shown, "early 1") < strstr(shown, "early 2"));
	assert_true(strstr(shown, "early 2") < strstr(shown, "late"));
}

static void test_replay_has_all_levels(void **state)
{
	(void)state;
	replay();
	assert_int_equal(replay_lines, 4);
	assert_non_null(strstr(replay_first, "early 1"));
	assert_non_null(strstr(replay_last, "late"));
}

static void test_level(void **state)
{
	(void)state;
	forget_shown();
	log_debug("hidden");
	assert_int_equal(shown_length, 0);
	log_set_level(LOG_DEBUG);
	log_debug("visible");
	assert_non_null(strstr(shown, "visible"));
	assert_null(strstr(shown, "hidden")); /* it was passed over when its turn was */
	log_set_level(LOG_ERROR);
	log_warn("too low");
	assert_null(strstr(shown, "too low"));
	log_set_level(LOG_INFO);
}

static void test_long_line_is_cut(void **state)
{
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	forget_shown();
	log_error("%s", text);
	assert_true(shown_length < LOG_LINE_MAX);
	assert_int_equal(shown[shown_length - 1], '\n');
}

static void test_console_may_log(void **state)
{
	(void)state;
	forget_shown();
	nested = true;
	log_info("outer");
	assert_true(strstr(shown, "outer") < strstr(shown, "from the console"));
}

static void test_overflow_drops_the_oldest(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 5000; i++)
		log_info("message %u", i);
	replay();
	assert_true(replay_lines > 1000 && replay_lines < 5000);
	assert_non_null(strstr(replay_last, "message 4999\n"));
	assert_null(strstr(replay_first, "early"));
	i = (unsigned int)strtoul(strstr(replay_first, "message ") + 8, NULL, 10);
	assert_int_equal(i + replay_lines, 5000);

	/* One long message takes the place of many short ones. */
	for (i = 0; i < 300; i++)
		log_info("%0240u", i);
	replay();
	assert_non_null(strstr(replay_last, "0299\n"));
}

static void *log_many(void *arg)
{
	unsigned int i;

	for (i = 0; i < MESSAGES; i++)
		log_info("thread %u message %u", *(unsigned int *)arg, i);
	return NULL;
}

/* Every message is shown once, each thread's in its order, never by two threads at a time. */
static void test_cores_at_once(void **state)
{
	unsigned int number[THREADS], next[THREADS] = { 0 };
	pthread_t thread[THREADS];
	unsigned int i, t, m;
	const char *p;

	(void)state;
	forget_shown();
	for (i = 0; i < THREADS; i++) {
		number[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, log_many, &number[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (p = shown; (p = strstr(p, "thread ")) != NULL; p++) {
		assert_int_equal(sscanf(p, "thread %u message %u", &t, &m), 2);
		assert_true(t < THREADS);
		assert_true(m >= next[t]); /* more only if the ring was faster than the console */
		next[t] = m + 1;
	}
	for (i = 0; i < THREADS; i++)
		assert_true(next[i] > 0);
	replay();
	p = strstr(shown, replay_last);
	assert_non_null(p); /* the newest was not left behind */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_the_console),
		cmocka_unit_test(test_replay_has_all_levels),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_console_may_log),
		cmocka_unit_test(test_overflow_drops_the_oldest),
		cmocka_unit_test(test_cores_at_once),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(shown);
	return failed;
}
