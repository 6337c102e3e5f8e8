// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/uart16550.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/uart16550.h"

/*
 * A model of the PC16550D, written from its data sheet: FIFOs with error bits per character,
 * interrupt identification, loopback, and the interrupt line with its edges.
 */
static struct model {
	bool absent, no_fifo, broken_scratch, broken_loopback, stuck_tx;
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	uint8_t rx[64], rx_error[64];
	uint32_t rx_count;
	uint8_t tx[4096];
	uint32_t tx_count, tx_fifo;
	uint8_t lsr_overrun;
	bool thre_pending, ghost_timeout;
	bool level;
	uint32_t edges, reads, lost_by_clear, looped;
} m;

static uint8_t model_iir(void)
{
	if (m.rx_count && m.rx_error[0] && m.ier & 4)
		return 0x06;
	if (m.ghost_timeout)
		return 0x0c;
	if (m.rx_count && m.ier & 1)
		return m.rx_count >= 8 ? 0x04 : 0x0c;
	if (m.thre_pending && m.ier & 2)
		return 0x02;
	return 0x01;
}

static void model_update(void)
{
	bool level = !(model_iir() & 1) && m.mcr & 8 && !(m.mcr & 0x10);

	if (level && !m.level)
		m.edges++;
	m.level = level;
}

static uint8_t model_lsr(void)
{
	uint8_t lsr = m.lsr_overrun;

	if (m.rx_count) {
		lsr |= 1 | m.rx_error[0];
		m.rx_error[0] = 0;
	}
	if (!m.tx_fifo && !m.stuck_tx)
		lsr |= 0x60;
	m.lsr_overrun = 0;
	return lsr;
}

static uint8_t model_rbr(void)
{
	uint8_t c = m.rx[0];

	m.ghost_timeout = false;
	if (!m.rx_count)
		return 0;
	m.rx_count--;
	memmove(m.rx, m.rx + 1, m.rx_count);
	memmove(m.rx_error, m.rx_error + 1, m.rx_count);
	return c;
}

static uint8_t model_read(const struct uart_io *io, uint32_t reg)
{
	uint8_t v = 0xff;

	assert_int_equal(io->port, 0x3f8);
	m.reads++;
	if (m.absent)
		return v;
	switch (reg) {
	case 0:
		v = m.lcr & 0x80 ? m.dll : model_rbr();
		break;
	case 1:
		v = m.lcr & 0x80 ? m.dlm : m.ier;
		break;
	case 2:
		v = model_iir();
		if (v == 2)
			m.thre_pending = false;
		if (m.fcr & 1 && !m.no_fifo)
			v |= 0xc0;
		break;
	case 3:
		v = m.lcr;
		break;
	case 4:
		v = m.mcr;
		break;
	case 5:
		v = model_lsr();
		break;
	case 6:
		/* Loopback: CTS, DSR, RI, DCD are RTS, DTR, OUT1, OUT2. */
		v = 0;
		if (m.mcr & 0x10 && !m.broken_loopback)
			v = (uint8_t)((m.mcr & 2) << 3 | (m.mcr & 1) << 5 | (m.mcr & 4) << 4 |
				      (m.mcr & 8) << 4);
		break;
	case 7:
		v = m.broken_scratch ? 0xff : m.scr;
		break;
	}
	model_update();
	return v;
}

static void model_write(const struct uart_io *io, uint32_t reg, uint8_t v)
{
	(void)io;
	if (m.absent)
		return;
	switch (reg) {
	case 0:
		if (m.lcr & 0x80) {
			m.dll = v;
			break;
		}
		assert_true(m.tx_fifo < (m.no_fifo || !(m.fcr & 1) ? 1u : 16u));
		assert_true(m.tx_count < sizeof(m.tx));
		m.tx[m.tx_count++] = v;
		m.tx_fifo++;
		m.thre_pending = false;
		break;
	case 1:
		if (m.lcr & 0x80) {
			m.dlm = v;
			break;
		}
		if (v & 2 && !(m.ier & 2) && !m.tx_fifo)
			m.thre_pending = true;
		m.ier = v & 0x0f;
		break;
	case 2:
		/* Switching the FIFOs clears both. */
		if (v & 4 || (v ^ m.fcr) & 1) {
			m.lost_by_clear += m.tx_fifo;
			m.tx_fifo = 0;
		}
		if (v & 2)
			m.rx_count = 0;
		m.fcr = v;
		break;
	case 3:
		m.lcr = v;
		break;
	case 4:
		m.looped += v & 0x10 ? m.tx_fifo : 0;
		m.mcr = v;
		break;
	case 7:
		m.scr = v;
		break;
	}
	model_update();
}

static void model_receive(uint8_t c, uint8_t error)
{
	if (m.rx_count == 16) {
		m.lsr_overrun = 2;
	} else {
		m.rx[m.rx_count] = c;
		m.rx_error[m.rx_count++] = error;
	}
	model_update();
}

static void model_sent(void)
{
	m.tx_fifo = 0;
	m.thre_pending = true;
	model_update();
}

static const struct uart_io io = { .read = model_read, .write = model_write, .port = 0x3f8 };
static struct uart16550 u;

static int setup(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.scr = 0x33;
	assert_int_equal(uart_init(&u, &io, 115200, 0), OK);
	return 0;
}

static void test_absent(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.absent = true;
	assert_int_equal(uart_init(&u, &io, 115200, 0), ERR_NOT_FOUND);
	assert_false(u.present);
	/* Everything is harmless and quick. */
	m.reads = 0;
	assert_int_equal(uart_rx(&u), -1);
	assert_int_equal(uart_tx_room(&u), 0);
	assert_false(uart_irq_pending(&u));
	uart_tx(&u, 'x');
	uart_rx_enable(&u, true);
	uart_tx_irq(&u, true);
	uart_rearm(&u);
	uart_emergency_putc(&u, 'x');
	assert_int_equal(m.reads, 0);
}

static void test_no_uart_but_something(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.broken_scratch = true;
	assert_int_equal(uart_init(&u, &io, 115200, 0), ERR_NOT_FOUND);
	memset(&m, 0, sizeof(m));
	m.broken_loopback = true;
	assert_int_equal(uart_init(&u, &io, 115200, 0), ERR_NOT_FOUND);
}

static void test_init(void **state)
{
	(void)state;
	assert_true(u.present && u.fifo);
	assert_int_equal(m.lcr, 0x03);
	assert_int_equal(m.dll, 1);
	assert_int_equal(m.dlm, 0);
	assert_int_equal(m.mcr, 0x0b);
	assert_int_equal(m.ier, 0);
	assert_int_equal(m.fcr, 0x83);
	assert_int_equal(m.scr, 0x33);
}

static void test_init_clears_what_was_left(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.ier = 0x0f;
	m.lcr = 0x83; /* DLAB left on */
	m.dll = 12;
	m.mcr = 8;
	m.fcr = 1;
	model_receive('x', 0);
	assert_int_equal(uart_init(&u, &io, 0, 0), OK);
	assert_int_equal(m.lcr, 0x03);
	assert_int_equal(m.dll, 12); /* rate 0 keeps the firmware's */
	assert_int_equal(m.ier, 0);
	assert_int_equal(uart_rx(&u), -1);
}

static void test_baud(void **state)
{
	(void)state;
	assert_int_equal(uart_init(&u, &io, 9600, 0), OK);
	assert_int_equal(m.dll, 12);
	assert_int_equal(uart_init(&u, &io, 300, 0), OK);
	assert_int_equal(m.dll | m.dlm << 8, 384);
	assert_int_equal(uart_init(&u, &io, 115200, 48000000), OK);
	assert_int_equal(m.dll, 26);
	/* Impossible ones: the old divisor stays and the UART works. */
	m.dll = 7;
	assert_int_equal(uart_init(&u, &io, 921600, 0), ERR_RANGE);
	assert_int_equal(uart_init(&u, &io, 1, 0), ERR_RANGE);
	assert_int_equal(uart_init(&u, &io, 100000, 0), ERR_RANGE);
	assert_int_equal(uart_init(&u, &io, 0xffffffff, 0), ERR_RANGE);
	assert_int_equal(m.dll, 7);
	assert_true(u.present);
}

static void test_firmware_output_is_not_cut(void **state)
{
	(void)state;
	/* All is as wanted: the firmware's characters stay in the FIFO, and nothing waits. */
	uart_tx(&u, 'f');
	m.reads = m.looped = 0;
	assert_int_equal(uart_init(&u, &io, 115200, 0), OK);
	assert_int_equal(m.lost_by_clear + m.looped, 0);
	assert_true(m.reads < 50);
	assert_int_equal(m.tx_fifo, 1);
	assert_int_equal(uart_init(&u, &io, 0, 0), OK);
	assert_true(m.reads < 100);
	/* Another rate: wait for the end, but not for ever. */
	m.stuck_tx = true;
	m.reads = 0;
	assert_int_equal(uart_init(&u, &io, 9600, 0), OK);
	assert_true(m.reads > 1000 && m.reads < 100000);
	assert_int_equal(m.dll, 12);
	assert_int_equal(m.looped, 0);
	/* Another format. */
	m.lcr = 0x1a;
	m.reads = 0;
	assert_int_equal(uart_init(&u, &io, 9600, 0), OK);
	assert_true(m.reads > 1000);
	assert_int_equal(m.lcr, 3);
}

static void test_rx(void **state)
{
	(void)state;
	assert_int_equal(uart_rx(&u), -1);
	model_receive('a', 0);
	model_receive(0xff, 0);
	assert_int_equal(uart_rx(&u), 'a');
	assert_int_equal(uart_rx(&u), 0xff);
	assert_int_equal(uart_rx(&u), -1);
}

static void test_rx_errors_are_skipped(void **state)
{
	(void)state;
	model_receive(0, 0x10); /* break */
	model_receive('x', 0x08);
	model_receive('a', 0);
	assert_int_equal(uart_rx(&u), 'a');
	assert_int_equal(u.errors, 2);
	/* A look at the transmitter takes the error bits of the character in front. */
	model_receive('y', 0x08);
	assert_int_equal(uart_tx_room(&u), 16);
	model_receive('b', 0);
	assert_int_equal(uart_rx(&u), 'b');
	for (int i = 0; i < 17; i++)
		model_receive('z', 0);
	assert_int_equal(uart_rx(&u), 'z');
	assert_int_equal(u.overruns, 1);
}

static void test_tx(void **state)
{
	(void)state;
	assert_int_equal(uart_tx_room(&u), 16);
	for (int i = 0; i < 16; i++)
		uart_tx(&u, (uint8_t)('a' + i));
	assert_int_equal(uart_tx_room(&u), 0);
	model_sent();
	assert_int_equal(uart_tx_room(&u), 16);
	assert_memory_equal(m.tx, "abcdefghijklmnop", 16);
}

static void test_tx_without_fifo(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.no_fifo = true;
	assert_int_equal(uart_init(&u, &io, 115200, 0), OK);
	assert_int_equal(uart_tx_room(&u), 1);
	uart_tx(&u, 'x');
	assert_int_equal(uart_tx_room(&u), 0);
}

static void test_stopping_the_sender(void **state)
{
	(void)state;
	uart_rx_enable(&u, true);
	model_receive('a', 0);
	assert_true(m.level);
	/* Full: the line has to be free for the transmitter, and RTS stops the other side. */
	uart_rx_enable(&u, false);
	assert_false(m.level);
	assert_int_equal(m.mcr & 2, 0);
	uart_tx_irq(&u, true);
	assert_true(m.level);
	uart_tx_irq(&u, false);
	assert_false(m.level);
	m.edges = 0;
	uart_rx_enable(&u, true);
	assert_int_equal(m.edges, 1);
	assert_int_equal(m.mcr & 2, 2);
}

/* Work until the line is down: characters that come meanwhile must not wait for another edge. */
static void test_no_edge_is_lost(void **state)
{
	uint32_t seed = 1, received = 0, sent = 0, rounds = 0;

	(void)state;
	uart_rx_enable(&u, true);
	m.edges = 0;
	for (int step = 0; step < 20000; step++) {
		seed = seed * 1103515245 + 12345;
		if (seed >> 28 < 3 && m.rx_count < 16)
			model_receive('r', 0);
		if (seed >> 20 & 1 && m.tx_fifo)
			model_sent();
		if (seed >> 12 & 1 && m.tx_count < 4000 && uart_tx_room(&u)) {
			uart_tx(&u, 't');
			uart_tx_irq(&u, true);
			sent++;
		}
		if (!m.edges)
			continue;
		m.edges = 0;
		rounds = 0;
		do {
			while (uart_rx(&u) >= 0)
				received++;
			if (uart_tx_room(&u))
				uart_tx_irq(&u, false);
			if (seed >> 25 & 1 && m.rx_count < 16 && rounds < 3)
				model_receive('r', 0);
			assert_true(++rounds < 100);
		} while (uart_irq_pending(&u));
		/* Down, or it will give an edge. */
		assert_true(!m.level || m.edges);
	}
	assert_true(received > 1000);
	assert_int_equal(sent, m.tx_count);
}

static void test_ghost_timeout_ends(void **state)
{
	uint32_t rounds = 0;

	(void)state;
	m.ghost_timeout = true;
	while (uart_irq_pending(&u))
		assert_true(++rounds < 4);
}

static void test_rearm(void **state)
{
	(void)state;
	uart_rx_enable(&u, true);
	model_receive('a', 0);
	m.edges = 0;
	uart_rearm(&u);
	assert_int_equal(m.edges, 1);
	(void)uart_rx(&u);
	m.edges = 0;
	uart_rearm(&u);
	assert_int_equal(m.edges, 0);
	assert_int_equal(m.ier, 1);
}

static void test_emergency(void **state)
{
	(void)state;
	uart_emergency_putc(&u, '!');
	assert_int_equal(m.tx[0], '!');
	/* It waits, but not for ever, and only once. */
	m.stuck_tx = true;
	uart_emergency_putc(&u, '!');
	m.reads = 0;
	uart_emergency_putc(&u, '!');
	assert_int_equal(m.reads, 0);
	assert_int_equal(m.tx_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_no_uart_but_something),
		cmocka_unit_test_setup(test_init, setup),
		cmocka_unit_test(test_init_clears_what_was_left),
		cmocka_unit_test_setup(test_baud, setup),
		cmocka_unit_test_setup(test_firmware_output_is_not_cut, setup),
		cmocka_unit_test_setup(test_rx, setup),
		cmocka_unit_test_setup(test_rx_errors_are_skipped, setup),
		cmocka_unit_test_setup(test_tx, setup),
		cmocka_unit_test(test_tx_without_fifo),
		cmocka_unit_test_setup(test_stopping_the_sender, setup),
		cmocka_unit_test_setup(test_no_edge_is_lost, setup),
		cmocka_unit_test_setup(test_ghost_timeout_ends, setup),
		cmocka_unit_test_setup(test_rearm, setup),
		cmocka_unit_test_setup(test_emergency, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
