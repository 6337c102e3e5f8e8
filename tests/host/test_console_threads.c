// SPDX-License-Identifier: BSD-2-Clause
// sources: core/console.c core/console_out.c
// libs: -lpthread
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/console.h"

/*
 * Cores are threads: guests write and read, the hypervisor logs, and a UART with a FIFO of 16
 * gives an edge only when a real one would. Nothing else calls console_poll(), so a lost edge, a
 * lost wake-up or a character left behind without an interrupt ends in a standstill.
 */
#define GUESTS     3
#define LINES      15000
#define INPUT      50000
#define DEADLINE_S 60

static pthread_mutex_t hw = PTHREAD_MUTEX_INITIALIZER;
static struct {
	uint32_t fifo;
	bool tx_irq, rx_on, level;
	bool thre;         /* the interrupt that is cleared by looking at it */
	uint32_t received; /* characters of input handed over */
	uint32_t arrived;  /* characters of input on the line */
	char *out;
	size_t length;
} uart;

static uint32_t edge, stop;
static uint32_t event[GUESTS];
static uint8_t line_ring[CONSOLE_LINE_BYTES];
static uint8_t memory[GUESTS][CONSOLE_GUEST_BYTES];

/* Under the lock. */
static void update(void)
{
	bool level = (uart.tx_irq && uart.thre) || (uart.rx_on && uart.received < uart.arrived);

	if (level && !uart.level)
		__atomic_store_n(&edge, 1, __ATOMIC_SEQ_CST);
	uart.level = level;
}

static char input_at(uint32_t i)
{
	return (char)('A' + i % 26);
}

static int hw_rx(void *ctx)
{
	int c = -1;

	(void)ctx;
	pthread_mutex_lock(&hw);
	if (uart.received < uart.arrived)
		c = input_at(uart.received++);
	update();
	pthread_mutex_unlock(&hw);
	return c;
}

static uint32_t hw_tx_room(void *ctx)
{
	uint32_t room;

	(void)ctx;
	pthread_mutex_lock(&hw);
	room = uart.fifo ? 0 : 16;
	pthread_mutex_unlock(&hw);
	return room;
}

static void hw_tx(void *ctx, uint8_t c)
{
	(void)ctx;
	pthread_mutex_lock(&hw);
	uart.out[uart.length++] = (char)c;
	uart.fifo++;
	uart.thre = false;
	update();
	pthread_mutex_unlock(&hw);
}

static void hw_rx_enable(void *ctx, bool on)
{
	(void)ctx;
	pthread_mutex_lock(&hw);
	uart.rx_on = on;
	update();
	pthread_mutex_unlock(&hw);
}

static void hw_tx_irq(void *ctx, bool on)
{
	(void)ctx;
	pthread_mutex_lock(&hw);
	uart.tx_irq = on;
	uart.thre |= on && !uart.fifo;
	update();
	pthread_mutex_unlock(&hw);
}

static bool hw_irq_pending(void *ctx)
{
	bool level;

	(void)ctx;
	pthread_mutex_lock(&hw);
	level = uart.level;
	uart.thre = false;
	update();
	pthread_mutex_unlock(&hw);
	return level;
}

static void hw_rearm(void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&hw);
	uart.level = false;
	update();
	pthread_mutex_unlock(&hw);
}

static bool hw_set_target(void *ctx, uint32_t apic_id)
{
	(void)ctx;
	(void)apic_id;
	return true;
}

static const struct console_ops ops = {
	.rx = hw_rx,
	.tx_room = hw_tx_room,
	.tx = hw_tx,
	.rx_enable = hw_rx_enable,
	.tx_irq = hw_tx_irq,
	.irq_pending = hw_irq_pending,
	.rearm = hw_rearm,
	.set_target = hw_set_target,
};

void guest_console_event(uint32_t guest)
{
	__atomic_store_n(&event[guest], 1, __ATOMIC_SEQ_CST);
}

void monitor_enter(void)
{
}

void monitor_input(char c)
{
	(void)c;
}

static bool over(void)
{
	return __atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

/*
 * The transmitter empties its FIFO, input arrives; an edge is an NMI on some core. At first the
 * line is dead for so long that all guests fill their rings and have to wait.
 */
static void *hardware(void *arg)
{
	struct timespec now, start;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (!over()) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		pthread_mutex_lock(&hw);
		if (uart.fifo && now.tv_sec - start.tv_sec > 1) {
			uart.fifo = 0;
			uart.thre = true;
		}
		if (uart.arrived < INPUT && uart.arrived - uart.received < 16)
			uart.arrived++;
		update();
		pthread_mutex_unlock(&hw);
		if (__atomic_exchange_n(&edge, 0, __ATOMIC_SEQ_CST))
			console_poll();
		else
			sched_yield();
	}
	return NULL;
}

static void guest_puts(uint32_t guest, const char *text)
{
	for (; *text; text++) {
		while (!console_guest_room(guest)) {
			/* A real guest waits for the interrupt that the event becomes. */
			while (!__atomic_exchange_n(&event[guest], 0, __ATOMIC_SEQ_CST) && !over())
				sched_yield();
			if (over())
				return;
		}
		console_guest_write(guest, (uint8_t)*text);
	}
}

static void *guest(void *arg)
{
	uint32_t n = (uint32_t)(uintptr_t)arg;
	char text[64];

	for (uint32_t i = 0; i < LINES && !over(); i++) {
		snprintf(text, sizeof(text), "line %05u\r\n", i);
		guest_puts(n, text);
	}
	return NULL;
}

static uint32_t heard;

static void *reader(void *arg)
{
	(void)arg;
	/* Long enough for the input ring to fill up. */
	while (!over() && __atomic_load_n(&uart.received, __ATOMIC_RELAXED) < CONSOLE_IN_BYTES)
		sched_yield();
	while (heard < INPUT && !over()) {
		int c = console_guest_read(0);

		if (c < 0) {
			sched_yield();
			continue;
		}
		if ((char)c != input_at(heard))
			break;
		heard++;
	}
	return NULL;
}

static void *logger(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < LINES / 4 && !over(); i++) {
		console_log("logged\n", 7);
		sched_yield();
	}
	return NULL;
}

static void *watchdog(void *arg)
{
	(void)arg;
	for (int i = 0; i < DEADLINE_S * 100 && !over(); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void wait_for_silence(void)
{
	size_t before;

	do {
		pthread_mutex_lock(&hw);
		before = uart.length;
		pthread_mutex_unlock(&hw);
		nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
	} while (before != uart.length && !over());
}

static void test_cores(void **state)
{
	static const char *const names[GUESTS] = { "one", "two", "three" };
	pthread_t thread[GUESTS + 4];
	uint32_t next[GUESTS] = { 0 };
	size_t room = GUESTS * LINES * 64 + 100000;

	(void)state;
	uart.out = malloc(room);
	console_init(&ops, NULL, line_ring, 0x1d, CONSOLE_ALL);
	for (uint32_t i = 0; i < GUESTS; i++)
		console_add_guest(i, names[i], i, i, memory[i]);
	pthread_create(&thread[0], NULL, watchdog, NULL);
	pthread_create(&thread[1], NULL, hardware, NULL);
	console_start(0);
	pthread_create(&thread[2], NULL, logger, NULL);
	pthread_create(&thread[3], NULL, reader, NULL);
	for (uintptr_t i = 0; i < GUESTS; i++)
		pthread_create(&thread[4 + i], NULL, guest, (void *)i);
	for (uint32_t i = 2; i < GUESTS + 4; i++)
		pthread_join(thread[i], NULL);
	wait_for_silence();
	assert_false(over());
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	assert_int_equal(heard, INPUT);
	/* Each guest's lines in order, complete; a line drawn again counts once. */
	uart.out[uart.length] = 0;
	for (char *l = strtok(uart.out, "\r\n"); l; l = strtok(NULL, "\r\n")) {
		for (uint32_t i = 0; i < GUESTS; i++) {
			char want[32];

			snprintf(want, sizeof(want), "%s| line %05u", names[i], next[i]);
			next[i] += strcmp(l, want) == 0;
		}
	}
	for (uint32_t i = 0; i < GUESTS; i++)
		assert_int_equal(next[i], LINES);
	free(uart.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cores) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
