// SPDX-License-Identifier: BSD-2-Clause
// sources: core/vuart.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/vuart.h"

/* The far end: what was sent, what is to be received, how much may be sent, edges of the IRQ. */
static struct {
	char out[65536];
	size_t sent;
	size_t room; /* characters that may still be sent */
	const char *in;
	bool irq;
	unsigned edges;
} far;

static void put(void *ctx, uint8_t c)
{
	assert_ptr_equal(ctx, &far);
	assert_true(far.room > 0);
	far.room--;
	far.out[far.sent++] = (char)c;
}

static bool room(void *ctx)
{
	(void)ctx;
	return far.room > 0;
}

static int get(void *ctx)
{
	(void)ctx;
	return far.in && *far.in ? (uint8_t)*far.in++ : -1;
}

static void irq(void *ctx, bool active)
{
	(void)ctx;
	assert_true(far.irq != active);
	far.irq = active;
	far.edges += active;
}

static const struct vuart_ops ops = { put, room, get, irq };
static struct vuart u;

#define RBR 0
#define IER 1
#define IIR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

static int setup(void **state)
{
	(void)state;
	memset(&far, 0, sizeof(far));
	far.room = 1000;
	vuart_init(&u, &ops, &far);
	return 0;
}

static void test_reset_values(void **state)
{
	(void)state;
	assert_int_equal(vuart_read(&u, IER), 0);
	assert_int_equal(vuart_read(&u, IIR), 0x01);
	assert_int_equal(vuart_read(&u, LSR), 0x60);
	assert_int_equal(vuart_read(&u, MSR), 0xb0);
	vuart_write(&u, SCR, 0x5a);
	assert_int_equal(vuart_read(&u, SCR), 0x5a);
	vuart_write(&u, IER, 0xff);
	assert_int_equal(vuart_read(&u, IER), 0x0f);
}

static void test_divisor_latch(void **state)
{
	(void)state;
	vuart_write(&u, LCR, 0x83);
	vuart_write(&u, RBR, 0x01);
	vuart_write(&u, IER, 0x00);
	assert_int_equal(vuart_read(&u, RBR), 0x01);
	vuart_write(&u, LCR, 0x03);
	assert_int_equal(far.sent, 0);
	assert_int_equal(vuart_read(&u, IER), 0);
}

/* Linux tells a 16550A by these two bits. */
static void test_fifo_detection(void **state)
{
	(void)state;
	vuart_write(&u, IIR, 0x01);
	assert_int_equal(vuart_read(&u, IIR) >> 6, 3);
	vuart_write(&u, IIR, 0x00);
	assert_int_equal(vuart_read(&u, IIR) >> 6, 0);
}

static void test_transmit_interrupt(void **state)
{
	(void)state;
	vuart_write(&u, IER, 0x02);
	assert_true(far.irq); /* enabling it on an empty transmitter raises it */
	assert_int_equal(vuart_read(&u, IIR), 0x02);
	assert_false(far.irq); /* reading IIR acknowledges it */
	assert_int_equal(vuart_read(&u, IIR), 0x01);
	vuart_write(&u, RBR, 'a');
	assert_true(far.irq);
	vuart_write(&u, RBR, 'b'); /* each character gives a new edge */
	assert_int_equal(far.edges, 3);
	vuart_write(&u, IER, 0);
	assert_false(far.irq);
	vuart_write(&u, IER, 0x02);
	assert_true(far.irq);
	assert_memory_equal(far.out, "ab", 2);
}

/* A full console holds characters back, and the guest sees a busy transmitter. */
static void test_back_pressure(void **state)
{
	unsigned i;

	(void)state;
	far.room = 3;
	vuart_write(&u, IIR, 0x01);
	vuart_write(&u, IER, 0x02);
	for (i = 0; i < 16; i++)
		vuart_write(&u, RBR, (uint8_t)('a' + i));
	assert_int_equal(far.sent, 3);
	assert_int_equal(vuart_read(&u, LSR) & 0x60, 0);
	assert_false(far.irq);
	far.room = 5;
	vuart_poll(&u);
	assert_int_equal(far.sent, 8);
	assert_false(far.irq);
	far.room = 100;
	vuart_poll(&u);
	assert_int_equal(far.sent, 16);
	assert_true(far.irq);
	assert_int_equal(vuart_read(&u, LSR) & 0x60, 0x60);
	assert_memory_equal(far.out, "abcdefghijklmnop", 16);
}

/* Resetting the FIFOs must not lose what the guest has handed over. */
static void test_fifo_reset_keeps_output(void **state)
{
	(void)state;
	far.room = 0;
	vuart_write(&u, IIR, 0x01);
	vuart_write(&u, RBR, 'x');
	vuart_write(&u, IIR, 0x07);
	far.room = 10;
	vuart_poll(&u);
	assert_int_equal(far.sent, 1);
}

static void test_receive(void **state)
{
	static const char text[] = "0123456789abcdefghij";
	unsigned i;

	(void)state;
	vuart_write(&u, IIR, 0x81); /* trigger level 8 */
	vuart_write(&u, IER, 0x01);
	far.in = text;
	vuart_poll(&u);
	assert_true(far.irq);
	assert_int_equal(vuart_read(&u, IIR) & 0x0f, 0x04);
	for (i = 0; i < 16; i++) {
		assert_int_equal(vuart_read(&u, LSR) & 1, 1);
		assert_int_equal(vuart_read(&u, RBR), text[i]);
	}
	for (; text[i]; i++)
		assert_int_equal(vuart_read(&u, RBR), text[i]);
	assert_int_equal(vuart_read(&u, LSR) & 1, 0);
	assert_false(far.irq);
}

/* Fewer than the trigger level: the time-out interrupt. */
static void test_receive_timeout(void **state)
{
	(void)state;
	vuart_write(&u, IIR, 0xc1);
	vuart_write(&u, IER, 0x01);
	far.in = "x";
	vuart_poll(&u);
	assert_int_equal(vuart_read(&u, IIR) & 0x0f, 0x0c);
	assert_int_equal(vuart_read(&u, RBR), 'x');
	assert_int_equal(vuart_read(&u, IIR) & 0x0f, 0x01);
}

/* Input that comes while the handler empties the FIFO gives a new edge. */
static void test_receive_edges(void **state)
{
	unsigned i;

	(void)state;
	vuart_write(&u, IIR, 0x01);
	vuart_write(&u, IER, 0x01);
	far.in = "0123456789abcdefXY";
	vuart_poll(&u);
	assert_int_equal(far.edges, 1);
	for (i = 0; i < 16; i++)
		(void)vuart_read(&u, RBR);
	assert_true(far.irq);
	assert_int_equal(far.edges, 2);
}

static void test_without_fifo(void **state)
{
	(void)state;
	vuart_write(&u, IER, 0x01);
	far.in = "ab";
	vuart_poll(&u);
	assert_string_equal(far.in, "b"); /* the second one stays at the far end: no overrun */
	assert_int_equal(vuart_read(&u, IIR), 0x04);
	assert_int_equal(vuart_read(&u, RBR), 'a');
	assert_int_equal(vuart_read(&u, RBR), 'b');
}

/* What Linux does to find out whether there is a UART. */
static void test_loopback(void **state)
{
	(void)state;
	vuart_write(&u, MCR, 0x10 | 0x0a);
	assert_int_equal(vuart_read(&u, MSR) & 0xf0, 0x90);
	vuart_write(&u, RBR, 0xa5);
	assert_int_equal(far.sent, 0);
	assert_int_equal(vuart_read(&u, LSR) & 1, 1);
	assert_int_equal(vuart_read(&u, RBR), 0xa5);
	/* One character fits without FIFO: the next one is an overrun. */
	vuart_write(&u, RBR, 1);
	vuart_write(&u, RBR, 2);
	assert_int_equal(vuart_read(&u, LSR) & 2, 2);
	assert_int_equal(vuart_read(&u, LSR) & 2, 0);
	/* Input waits outside until the loop is open again. */
	(void)vuart_read(&u, RBR);
	far.in = "z";
	vuart_poll(&u);
	assert_int_equal(vuart_read(&u, LSR) & 1, 0);
	vuart_write(&u, MCR, 0x0b);
	assert_int_equal(vuart_read(&u, RBR), 'z');
}

static void test_modem_status(void **state)
{
	(void)state;
	vuart_write(&u, IER, 0x08);
	assert_false(far.irq);
	vuart_write(&u, MCR, 0x10); /* all lines drop */
	assert_true(far.irq);
	assert_int_equal(vuart_read(&u, IIR), 0x00);
	assert_int_equal(vuart_read(&u, MSR), 0x0b);
	assert_false(far.irq);
	vuart_write(&u, MCR, 0x14); /* ring on: no report */
	assert_int_equal(vuart_read(&u, MSR), 0x40);
	vuart_write(&u, MCR, 0x10); /* ring off */
	assert_int_equal(vuart_read(&u, MSR), 0x04);
}

static void test_priority(void **state)
{
	(void)state;
	vuart_write(&u, MCR, 0x10);
	vuart_write(&u, IER, 0x0f);
	vuart_write(&u, RBR, 1);
	vuart_write(&u, RBR, 2);
	assert_int_equal(vuart_read(&u, IIR), 0x06); /* overrun */
	(void)vuart_read(&u, LSR);
	assert_int_equal(vuart_read(&u, IIR), 0x04); /* data */
	(void)vuart_read(&u, RBR);
	assert_int_equal(vuart_read(&u, IIR), 0x02); /* transmitter empty, acknowledged here */
	assert_int_equal(vuart_read(&u, IIR), 0x00); /* modem */
	(void)vuart_read(&u, MSR);
	assert_int_equal(vuart_read(&u, IIR), 0x01);
}

static void test_reset_lowers_irq(void **state)
{
	(void)state;
	vuart_write(&u, IER, 0x02);
	assert_true(far.irq);
	vuart_reset(&u);
	assert_false(far.irq);
}

/* A guest that obeys THRE, a console that has room now and then: nothing is lost or reordered. */
static void test_random_transfer(void **state)
{
	static const uint8_t burst[] = { 1, 16 };
	unsigned n, total = 20000, sent = 0;

	(void)state;
	far.room = 0;
	vuart_write(&u, IIR, 0x01);
	vuart_write(&u, IER, 0x02);
	srand(1);
	while (sent < total) {
		if (vuart_read(&u, LSR) & 0x20)
			for (n = burst[rand() & 1]; n && sent < total; n--)
				vuart_write(&u, RBR, (uint8_t)(sent++ * 7));
		if (rand() % 3 == 0) {
			far.room += (unsigned)rand() % 20;
			vuart_poll(&u);
		}
	}
	far.room = 100;
	vuart_poll(&u);
	assert_int_equal(far.sent, total);
	for (n = 0; n < total; n++)
		assert_int_equal((uint8_t)far.out[n], (uint8_t)(n * 7));
}

/* Whatever a guest does, the model stays within its arrays (the sanitizers watch). */
static void test_random_accesses(void **state)
{
	unsigned n;

	(void)state;
	srand(2);
	for (n = 0; n < 300000; n++) {
		if (n % 64 == 0) {
			far.room = (unsigned)rand() % 4;
			far.sent = 0;
			far.in = "some input, more than fits into the FIFO";
		}
		if (rand() & 1)
			(void)vuart_read(&u, (unsigned)rand() & 7);
		else
			vuart_write(&u, (unsigned)rand() & 7, (uint8_t)rand());
		vuart_poll(&u);
		assert_true(u.rx.count <= VUART_FIFO && u.tx.count <= VUART_FIFO);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_reset_values),    TEST(test_divisor_latch),
		TEST(test_fifo_detection),  TEST(test_transmit_interrupt),
		TEST(test_back_pressure),   TEST(test_fifo_reset_keeps_output),
		TEST(test_receive),         TEST(test_receive_timeout),
		TEST(test_receive_edges),   TEST(test_without_fifo),
		TEST(test_loopback),        TEST(test_modem_status),
		TEST(test_priority),        TEST(test_reset_lowers_irq),
		TEST(test_random_transfer), TEST(test_random_accesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
