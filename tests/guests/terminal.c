// SPDX-License-Identifier: BSD-2-Clause
/*
 * Somebody at the other end of a console: sleeps until its UART interrupts, and does what the line
 * that it has received says. `flood=N` on the command line prints N lines first.
 *
 *	count	counts characters up to a dot, then prints how many and their sum
 *	flood	prints 300 numbered lines
 *	prompt	prints `> ` and no newline
 *	other	prints what it got
 */
#include "guest.h"

#define UART        0x3f8
#define UART_IER    (UART + 1)
#define UART_FCR    (UART + 2)
#define UART_LSR    (UART + 5)
#define IOAPIC      ((volatile uint32_t *)0xfec00000)
#define IOAPIC_PIN4 0x18

/* One writer, the interrupt handler; one reader, the program. */
static volatile uint8_t ring[65536];
static volatile uint32_t head;
static uint32_t tail;

static void on_uart(struct frame *f)
{
	(void)f;
	while (inb(UART_LSR) & 1) {
		ring[head % sizeof(ring)] = inb(UART);
		head++;
	}
	apic_eoi();
}

static void ioapic_write(uint32_t reg, uint32_t v)
{
	IOAPIC[0] = reg;
	IOAPIC[4] = v;
}

static uint8_t next_char(void)
{
	while (head == tail)
		wait_irq();
	return ring[tail++ % sizeof(ring)];
}

static void flood(uint32_t lines)
{
	uint32_t i;

	for (i = 0; i < lines; i++)
		say("flood %u", i);
}

static void count(void)
{
	uint32_t n = 0, sum = 0;
	uint8_t c;

	for (c = next_char(); c != '.'; c = next_char()) {
		n++;
		sum = sum * 31 + c;
	}
	say("counted %u sum %u", n, sum);
}

static void execute(const char *line)
{
	if (strcmp(line, "count") == 0)
		count();
	else if (strcmp(line, "flood") == 0)
		flood(300);
	else if (strcmp(line, "prompt") == 0)
		put_string("> ");
	else
		say("got '%s'", line);
}

void guest_main(void)
{
	char line[64];
	uint32_t n = 0;

	apic_init(false);
	set_handler(VECTOR_UART, on_uart);
	ioapic_write(IOAPIC_PIN4 + 1, apic_id() << 24);
	ioapic_write(IOAPIC_PIN4, VECTOR_UART);
	outb(UART_FCR, 0x07);
	outb(UART_IER, 1);
	flood((uint32_t)option("flood", 0));
	say("terminal ready");
	for (;;) {
		uint8_t c = next_char();

		if (c == '\r') {
			line[n] = 0;
			n = 0;
			execute(line);
		} else if (n < sizeof(line) - 1) {
			line[n++] = (char)c;
		}
	}
}
