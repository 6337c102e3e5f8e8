/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_UART16550_H
#define LAMINA_DRIVERS_UART16550_H

#include "types.h"

/*
 * The physical 16550 (National Semiconductor PC16550D; compatible 16750, 16950 and PCI ones).
 * uart16550.c is pure and sees the registers through struct uart_io; uart_io.c has the real
 * accessors. No function here takes a lock: the console's lock serializes them, but for
 * uart_emergency_putc().
 */
#define UART_CLOCK_PC   1843200u /* Hz: input clock of a PC's UART */
#define UART_FIFO_DEPTH 16

struct uart_io {
	uint8_t (*read)(const struct uart_io *io, uint32_t reg);
	void (*write)(const struct uart_io *io, uint32_t reg, uint8_t v);
	uint16_t port;       /* I/O port of register 0, or */
	volatile void *mmio; /* the mapped register 0 */
	uint8_t shift;       /* registers are 1 << shift bytes apart */
	uint8_t width;       /* bytes of one access: 1, 2 or 4 */
};

/* Registers at consecutive I/O ports. */
void uart_io_port(struct uart_io *io, uint16_t port);

/* Memory-mapped registers, uncached, 8 << shift bytes mapped by the caller. */
void uart_io_mmio(struct uart_io *io, volatile void *regs, uint8_t shift, uint8_t width);

struct uart16550 {
	struct uart_io io;
	bool present;       /* false: all functions are harmless */
	bool fifo;          /* 16 bytes per THRE, else 1 */
	uint8_t ier;        /* shadow of IER */
	uint8_t mcr;        /* shadow of MCR */
	uint8_t lsr_errors; /* error bits that a look at LSR has taken from the next character */
	bool stuck;         /* the emergency path has waited in vain */
	uint64_t overruns, errors; /* characters lost or mangled on the line */
};

/*
 * Find out whether there is a UART: an empty bus reads 0xff, so the scratch register and the
 * internal loopback have to behave. Leaves the registers as they were, but for the receiver.
 */
bool uart_probe(const struct uart_io *io);

/*
 * Probe, then 8N1, FIFOs on and emptied, receive trigger 8, DTR, RTS and OUT2 set (OUT2 gates a
 * PC's interrupt line), all interrupts off. `baud` 0 keeps the divisor that the firmware has set;
 * `clock` in Hz, 0 for a PC's. ERR_NOT_FOUND: no UART there; ERR_RANGE: the clock does not divide
 * to that rate, the UART works at the rate that it had.
 */
must_check enum status uart_init(struct uart16550 *u, const struct uart_io *io, uint32_t baud,
				 uint32_t clock);

/* The next received character, or -1. Characters that come with a line error are counted and
 * skipped. */
int uart_rx(struct uart16550 *u);

/* How many characters uart_tx() takes now: 0 while the transmitter is busy, else 16 (or 1). */
uint32_t uart_tx_room(struct uart16550 *u);
void uart_tx(struct uart16550 *u, uint8_t c);

/*
 * The receiver's interrupt and RTS together: off when the reader's buffer is full, so that the
 * other side stops and the interrupt line is free for the transmitter.
 */
void uart_rx_enable(struct uart16550 *u, bool on);

/* The transmitter's interrupt (THRE). Switching it on while the FIFO is empty raises it. */
void uart_tx_irq(struct uart16550 *u, bool on);

/*
 * True while the UART holds its interrupt line. The line is edge triggered, so a handler works
 * until this is false, or calls uart_rearm().
 */
bool uart_irq_pending(struct uart16550 *u);

/* Drop and raise the interrupt line, so that a condition that is still there gives a new edge. */
void uart_rearm(struct uart16550 *u);

/* Write by polling with a bounded wait, for panics: no lock, works whatever the state. */
void uart_emergency_putc(struct uart16550 *u, uint8_t c);

#endif
