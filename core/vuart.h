/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VUART_H
#define LAMINA_CORE_VUART_H

#include "core/io.h"
#include "types.h"

/*
 * A 16550A without a line: what the guest sends goes to a console, what the console has is
 * received as fast as the guest reads. Pure: everything outside is reached through vuart_ops.
 * The caller serializes (the guest's lock).
 */
#define VUART_PORT  0x3f8
#define VUART_PORTS 8
#define VUART_IRQ   4
#define VUART_FIFO  16

struct vuart_ops {
	void (*put)(void *ctx, uint8_t c);   /* takes one character; only called if room() */
	bool (*room)(void *ctx);             /* put() can take a character now */
	int (*get)(void *ctx);               /* next character of input, -1: none */
	void (*irq)(void *ctx, bool active); /* level of the interrupt output; on changes only */
};

struct vuart_fifo {
	uint8_t data[VUART_FIFO];
	uint8_t head, count;
};

struct vuart {
	const struct vuart_ops *ops;
	void *ctx;
	struct vuart_fifo rx, tx;
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	uint8_t msr;       /* input lines and what has changed since the last read */
	uint8_t lsr_error; /* overrun, sticky until LSR is read */
	bool thre_pending; /* transmitter-empty interrupt, until IIR is read or THR is written */
	bool irq_active;
};

void vuart_init(struct vuart *u, const struct vuart_ops *ops, void *ctx);

/* Power-on state; lowers the interrupt output and forgets what was not sent yet. */
void vuart_reset(struct vuart *u);

uint8_t vuart_read(struct vuart *u, uint32_t reg);
void vuart_write(struct vuart *u, uint32_t reg, uint8_t value);

/* Input may have come or room become free: move characters, raise the interrupt if due. */
void vuart_poll(struct vuart *u);

extern const struct io_ops vuart_io_ops; /* `dev` is the struct vuart */

#endif
