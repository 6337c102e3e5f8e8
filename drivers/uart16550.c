/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/uart16550.h"

#include <string.h>

enum uart_reg {
	UART_RBR = 0, /* read; THR when written, DLL with DLAB */
	UART_THR = 0,
	UART_DLL = 0,
	UART_IER = 1, /* DLM with DLAB */
	UART_DLM = 1,
	UART_IIR = 2, /* read; FCR when written */
	UART_FCR = 2,
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_MSR = 6,
	UART_SCR = 7,
};

#define IER_RX         0x01
#define IER_THRE       0x02
#define IIR_NONE       0x01
#define IIR_ID         0x0f
#define IIR_MODEM      0x00
#define IIR_LINE       0x06
#define IIR_RX_TIMEOUT 0x0c
#define IIR_FIFO       0xc0
#define FCR_ENABLE     0x01
#define FCR_CLEAR_RX   0x02
#define FCR_CLEAR_TX   0x04
#define FCR_TRIGGER_8  0x80
#define LCR_8N1        0x03
#define LCR_DLAB       0x80
#define MCR_DTR        0x01
#define MCR_RTS        0x02
#define MCR_OUT2       0x08
#define MCR_LOOP       0x10
#define LSR_DATA       0x01
#define LSR_OVERRUN    0x02
#define LSR_MANGLED    0x1c /* parity, framing, break */
#define LSR_ERRORS     0x1e
#define LSR_THRE       0x20
#define LSR_IDLE       0x40
#define NO_DEVICE      0xff /* what an empty bus reads */

/* A read of a port takes about 1 us on real machines, and 16 characters at 9600 baud 17 ms. */
#define DRAIN_READS     20000
#define EMERGENCY_READS 50000

static uint8_t reg_read(const struct uart16550 *u, uint32_t reg)
{
	return u->io.read(&u->io, reg);
}

static void reg_write(const struct uart16550 *u, uint32_t reg, uint8_t v)
{
	u->io.write(&u->io, reg, v);
}

/* LSR forgets its error bits when read; they belong to the character at the FIFO's head. */
static uint8_t read_lsr(struct uart16550 *u)
{
	uint8_t lsr = reg_read(u, UART_LSR);

	if (lsr == NO_DEVICE)
		return 0;
	if (lsr & LSR_OVERRUN)
		u->overruns++;
	u->lsr_errors |= lsr & LSR_MANGLED;
	return lsr;
}

static bool scratch_works(const struct uart_io *io)
{
	uint8_t saved = io->read(io, UART_SCR);
	bool works;

	io->write(io, UART_SCR, 0x5a);
	works = io->read(io, UART_SCR) == 0x5a;
	io->write(io, UART_SCR, 0xa5);
	works = works && io->read(io, UART_SCR) == 0xa5;
	io->write(io, UART_SCR, saved);
	return works;
}

bool uart_probe(const struct uart_io *io)
{
	uint8_t lsr = io->read(io, UART_LSR), mcr, status;

	if (lsr == NO_DEVICE && io->read(io, UART_IIR) == NO_DEVICE)
		return false;
	if (!scratch_works(io))
		return false;
	/*
	 * In loopback the outputs RTS and OUT2 arrive at the inputs CTS and DCD. It would swallow
	 * what the firmware is sending, and who sends needs no further proof.
	 */
	if (!(lsr & LSR_IDLE))
		return true;
	mcr = io->read(io, UART_MCR);
	io->write(io, UART_MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
	status = io->read(io, UART_MSR) & 0xf0;
	io->write(io, UART_MCR, mcr & 0x1f);
	return status == 0x90;
}

/* The divisor for a rate, 0 if the result would be off by more than 3 %. */
static uint32_t baud_divisor(uint32_t clock, uint32_t baud)
{
	uint64_t div, actual, off;

	if (!baud)
		return 0;
	div = (clock + 8ull * baud) / (16ull * baud);
	if (div == 0 || div > 0xffff)
		return 0;
	actual = clock / (16 * div);
	off = actual > baud ? actual - baud : baud - actual;
	return off * 100 > 3ull * baud ? 0 : (uint32_t)div;
}

/* DLAB is on while the divisor is read or written: IER and the data register are not there. */
static uint32_t get_divisor(const struct uart16550 *u)
{
	uint32_t divisor;

	reg_write(u, UART_LCR, reg_read(u, UART_LCR) | LCR_DLAB);
	divisor = reg_read(u, UART_DLL) | (uint32_t)reg_read(u, UART_DLM) << 8;
	reg_write(u, UART_LCR, reg_read(u, UART_LCR) & (uint8_t)~LCR_DLAB);
	return divisor;
}

/*
 * Line format, rate and FIFOs. Changing any of them cuts off what the firmware is still sending:
 * then wait for its end. Usually all is as it should be.
 */
static void set_line(struct uart16550 *u, uint32_t divisor)
{
	bool same = (reg_read(u, UART_IIR) & IIR_FIFO) == IIR_FIFO &&
		    (!divisor || get_divisor(u) == divisor) && reg_read(u, UART_LCR) == LCR_8N1;
	uint32_t i;

	for (i = 0; !same && i < DRAIN_READS && !(reg_read(u, UART_LSR) & LSR_IDLE); i++)
		;
	reg_write(u, UART_LCR, LCR_8N1);
	reg_write(u, UART_IER, 0);
	if (!same && divisor) {
		reg_write(u, UART_LCR, LCR_8N1 | LCR_DLAB);
		reg_write(u, UART_DLL, (uint8_t)divisor);
		reg_write(u, UART_DLM, (uint8_t)(divisor >> 8));
		reg_write(u, UART_LCR, LCR_8N1);
	}
	if (!same) {
		reg_write(u, UART_FCR, FCR_ENABLE);
		reg_write(u, UART_FCR, FCR_ENABLE | FCR_CLEAR_TX);
	}
	reg_write(u, UART_FCR, FCR_ENABLE | FCR_CLEAR_RX | FCR_TRIGGER_8);
	u->fifo = (reg_read(u, UART_IIR) & IIR_FIFO) == IIR_FIFO;
}

enum status uart_init(struct uart16550 *u, const struct uart_io *io, uint32_t baud, uint32_t clock)
{
	uint32_t divisor = baud_divisor(clock ? clock : UART_CLOCK_PC, baud);
	uint32_t i;

	memset(u, 0, sizeof(*u));
	u->io = *io;
	if (!uart_probe(io))
		return ERR_NOT_FOUND;
	set_line(u, divisor);
	u->mcr = MCR_DTR | MCR_RTS | MCR_OUT2;
	reg_write(u, UART_MCR, u->mcr);
	/* Whatever is left from before: characters, errors, modem status changes. */
	for (i = 0; i < UART_FIFO_DEPTH && reg_read(u, UART_LSR) & LSR_DATA; i++)
		(void)reg_read(u, UART_RBR);
	(void)reg_read(u, UART_MSR);
	(void)reg_read(u, UART_IIR);
	u->present = true;
	return baud && !divisor ? ERR_RANGE : OK;
}

int uart_rx(struct uart16550 *u)
{
	uint32_t i;

	if (!u->present)
		return -1;
	for (i = 0; i < 2 * UART_FIFO_DEPTH; i++) {
		uint8_t c;

		if (!(read_lsr(u) & LSR_DATA))
			return -1;
		c = reg_read(u, UART_RBR);
		if (!u->lsr_errors)
			return c;
		u->lsr_errors = 0;
		u->errors++;
	}
	return -1;
}

uint32_t uart_tx_room(struct uart16550 *u)
{
	if (!u->present || !(read_lsr(u) & LSR_THRE))
		return 0;
	return u->fifo ? UART_FIFO_DEPTH : 1;
}

void uart_tx(struct uart16550 *u, uint8_t c)
{
	if (u->present)
		reg_write(u, UART_THR, c);
}

static void set_ier(struct uart16550 *u, uint8_t bit, bool on)
{
	uint8_t ier = on ? u->ier | bit : u->ier & (uint8_t)~bit;

	if (!u->present || ier == u->ier)
		return;
	u->ier = ier;
	reg_write(u, UART_IER, ier);
}

void uart_rx_enable(struct uart16550 *u, bool on)
{
	uint8_t mcr = on ? u->mcr | MCR_RTS : u->mcr & (uint8_t)~MCR_RTS;

	if (!u->present)
		return;
	if (mcr != u->mcr) {
		u->mcr = mcr;
		reg_write(u, UART_MCR, mcr);
	}
	set_ier(u, IER_RX, on);
}

void uart_tx_irq(struct uart16550 *u, bool on)
{
	set_ier(u, IER_THRE, on);
}

bool uart_irq_pending(struct uart16550 *u)
{
	uint8_t iir;

	if (!u->present)
		return false;
	iir = reg_read(u, UART_IIR);
	if (iir & IIR_NONE)
		return false;
	switch (iir & IIR_ID) {
	case IIR_MODEM:
		(void)reg_read(u, UART_MSR);
		break;
	case IIR_LINE:
		(void)read_lsr(u);
		break;
	case IIR_RX_TIMEOUT:
		/* Some SoC UARTs time out with an empty FIFO; only reading RBR ends that. */
		if (!(read_lsr(u) & LSR_DATA))
			(void)reg_read(u, UART_RBR);
		break;
	default:
		break;
	}
	return true;
}

void uart_rearm(struct uart16550 *u)
{
	if (!u->present)
		return;
	reg_write(u, UART_IER, 0);
	reg_write(u, UART_IER, u->ier);
}

void uart_emergency_putc(struct uart16550 *u, uint8_t c)
{
	uint32_t i;

	if (!u->present || u->stuck)
		return;
	for (i = 0; i < EMERGENCY_READS; i++) {
		if (reg_read(u, UART_LSR) & LSR_THRE) {
			reg_write(u, UART_THR, c);
			return;
		}
	}
	u->stuck = true;
}
