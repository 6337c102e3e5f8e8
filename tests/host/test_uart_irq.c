// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/uart_irq.c drivers/ioapic.c drivers/uart16550.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/uart_irq.h"

/* An idle UART whose interrupt arrives at one of 24 lines, and noise on other ones. */
static struct {
	uint8_t ier, lcr, mcr, scr;
	int wired;    /* line, -1: none */
	int inverted; /* a line that is up while the UART is silent, -1: none */
	int noisy;
	bool nmi, level;
	uint32_t waits;
	uint32_t redir[64];
	uint32_t window[8];
} m;

static bool open_line(int line)
{
	return line >= 0 && !(m.redir[2 * line] & 0x10000) && m.redir[2 * line] & 0x400;
}

static void update(void)
{
	bool level = m.ier & 2 && m.mcr & 8;

	m.nmi |= level && !m.level && open_line(m.wired);
	m.nmi |= !level && m.level && open_line(m.inverted);
	m.level = level;
}

static uint8_t uart_get(const struct uart_io *io, uint32_t reg)
{
	(void)io;
	switch (reg) {
	case 2:
		return m.ier & 2 ? 0xc2 : 0xc1;
	case 3:
		return m.lcr;
	case 4:
		return m.mcr;
	case 5:
		return 0x60;
	case 6:
		return m.mcr & 0x10 ? 0x90 : 0;
	case 7:
		return m.scr;
	default:
		return 0;
	}
}

static void uart_put(const struct uart_io *io, uint32_t reg, uint8_t v)
{
	(void)io;
	if (reg == 1)
		m.ier = v;
	else if (reg == 3)
		m.lcr = v;
	else if (reg == 4)
		m.mcr = v;
	else if (reg == 7)
		m.scr = v;
	update();
}

static uint32_t ioapic_get(const struct ioapic *io, uint32_t reg)
{
	(void)io;
	return reg == 1 ? 0x00170011 : m.redir[reg - 0x10];
}

static void ioapic_put(const struct ioapic *io, uint32_t reg, uint32_t v)
{
	(void)io;
	m.redir[reg - 0x10] = v;
}

static bool take_nmi(void *ctx)
{
	bool nmi = m.nmi;

	(void)ctx;
	m.nmi = false;
	return nmi;
}

static void wait(void *ctx)
{
	(void)ctx;
	m.waits++;
	m.nmi |= open_line(m.noisy) && m.waits % 2;
}

static struct uart16550 u;
static struct ioapics s;
static uint32_t gsi;

static enum status probe(uint32_t first, uint32_t last)
{
	const struct uart_io io = { .read = uart_get, .write = uart_put };
	const struct uart_irq_probe p = { .apic_id = 3,
					  .active_low = true,
					  .first = first,
					  .last = last,
					  .take_nmi = take_nmi,
					  .wait = wait };
	enum status r;

	memset(&s, 0, sizeof(s));
	s.read = ioapic_get;
	s.write = ioapic_put;
	gsi = ~0u;
	assert_int_equal(uart_init(&u, &io, 115200, 0), OK);
	assert_int_equal(ioapic_add(&s, m.window, 0, 0), OK);
	r = uart_irq_find(&u, &s, &p, &gsi);
	/* Everything is quiet again. */
	assert_int_equal(m.ier, 0);
	assert_false(m.nmi);
	for (int i = 0; i < 24; i++)
		assert_int_equal(m.redir[2 * i], 0x10000);
	return r;
}

static int setup(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	m.wired = m.inverted = m.noisy = -1;
	return 0;
}

static void test_found(void **state)
{
	(void)state;
	m.wired = 19;
	assert_int_equal(probe(16, 255), OK);
	assert_int_equal(gsi, 19);
}

static void test_out_of_range(void **state)
{
	(void)state;
	m.wired = 4;
	assert_int_equal(probe(16, 255), ERR_NOT_FOUND);
	assert_int_equal(probe(3, 15), OK);
	assert_int_equal(gsi, 4);
	m.wired = -1;
	assert_int_equal(probe(0, 255), ERR_NOT_FOUND);
}

static void test_noise_is_not_taken(void **state)
{
	(void)state;
	m.noisy = 17;
	m.inverted = 18;
	m.wired = 20;
	assert_int_equal(probe(16, 255), OK);
	assert_int_equal(gsi, 20);
	m.wired = -1;
	assert_int_equal(probe(16, 255), ERR_NOT_FOUND);
}

static void test_arrives(void **state)
{
	const struct uart_irq_probe p = { .take_nmi = take_nmi, .wait = wait };

	(void)state;
	m.wired = 19;
	assert_int_equal(probe(16, 255), OK);
	assert_int_equal(ioapic_route_nmi(&s, 19, true, 3), OK);
	m.nmi = true; /* left from before */
	assert_true(uart_irq_arrives(&u, &p));
	assert_int_equal(ioapic_route_nmi(&s, 18, true, 3), OK);
	ioapic_mask(&s, 19);
	m.nmi = true;
	assert_false(uart_irq_arrives(&u, &p));
	assert_int_equal(m.ier, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_found, setup),
		cmocka_unit_test_setup(test_out_of_range, setup),
		cmocka_unit_test_setup(test_arrives, setup),
		cmocka_unit_test_setup(test_noise_is_not_taken, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
