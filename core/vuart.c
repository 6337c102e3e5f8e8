/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vuart.h"

#include <string.h>

/* National Semiconductor PC16550D data sheet, section 8. */
#define REG_DATA 0 /* RBR, THR; DLL with DLAB */
#define REG_IER  1 /* DLM with DLAB */
#define REG_IIR  2 /* FCR on writes */
#define REG_LCR  3
#define REG_MCR  4
#define REG_LSR  5
#define REG_MSR  6
#define REG_SCR  7

#define IER_RX    0x01
#define IER_THRE  0x02
#define IER_LINE  0x04
#define IER_MODEM 0x08
#define IER_MASK  0x0f

#define IIR_MODEM   0x00
#define IIR_NONE    0x01
#define IIR_THRE    0x02
#define IIR_RX      0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE   0x01
#define FCR_RX_RESET 0x02
#define FCR_KEPT     0xc9 /* trigger level, DMA mode, enable; the resets are momentary */

#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR   0x01
#define LSR_OE   0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_DELTA 0x0f
#define MSR_TERI  0x04
#define MSR_CTS   0x10
#define MSR_DSR   0x20
#define MSR_RI    0x40
#define MSR_DCD   0x80

static void fifo_push(struct vuart_fifo *f, uint8_t c)
{
	f->data[(f->head + f->count++) % VUART_FIFO] = c;
}

static uint8_t fifo_pop(struct vuart_fifo *f)
{
	uint8_t c = f->data[f->head];

	f->head = (f->head + 1) % VUART_FIFO;
	f->count--;
	return c;
}

/* In 16450 mode (FIFOs off) the receiver holds one character. */
static uint8_t rx_depth(const struct vuart *u)
{
	return u->fcr & FCR_ENABLE ? VUART_FIFO : 1;
}

static uint8_t rx_trigger(const struct vuart *u)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/*
 * The interrupt with the highest priority. A FIFO below its trigger level means that the console
 * has nothing more, so the four character times of the receive time-out count as over.
 */
static uint8_t interrupt_id(const struct vuart *u)
{
	if ((u->ier & IER_LINE) && u->lsr_error)
		return IIR_LINE;
	if ((u->ier & IER_RX) && u->rx.count > 0)
		return u->rx.count >= rx_trigger(u) ? IIR_RX : IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MODEM) && (u->msr & MSR_DELTA))
		return IIR_MODEM;
	return IIR_NONE;
}

/* The chip's INTR pin. PC boards gate it with OUT2; we do not, since some software forgets it. */
static void update_irq(struct vuart *u)
{
	bool active = interrupt_id(u) != IIR_NONE;

	if (active == u->irq_active)
		return;
	u->irq_active = active;
	u->ops->irq(u->ctx, active);
}

static void rx_fill(struct vuart *u)
{
	int c;

	if (u->mcr & MCR_LOOP)
		return;
	while (u->rx.count < rx_depth(u) && (c = u->ops->get(u->ctx)) >= 0)
		fifo_push(&u->rx, (uint8_t)c);
}

static void tx_drain(struct vuart *u)
{
	if (u->tx.count == 0)
		return;
	while (u->tx.count > 0 && u->ops->room(u->ctx))
		u->ops->put(u->ctx, fifo_pop(&u->tx));
	if (u->tx.count == 0)
		u->thre_pending = true;
}

static uint8_t read_data(struct vuart *u)
{
	uint8_t c = 0;

	if (u->rx.count > 0)
		c = fifo_pop(&u->rx);
	/*
	 * An empty FIFO lowers the interrupt before new input raises it again: behind an edge-triggered
	 * IOAPIC pin a handler that stops early would otherwise never be called again.
	 */
	if (u->rx.count == 0) {
		update_irq(u);
		rx_fill(u);
	}
	return c;
}

static void write_data(struct vuart *u, uint8_t c)
{
	u->thre_pending = false;
	update_irq(u);
	if (u->mcr & MCR_LOOP) {
		if (u->rx.count < rx_depth(u))
			fifo_push(&u->rx, c);
		else
			u->lsr_error |= LSR_OE;
		u->thre_pending = true;
		return;
	}
	/* Full only if the guest writes without looking at THRE; the hardware loses it as well. */
	if (u->tx.count < VUART_FIFO)
		fifo_push(&u->tx, c);
	tx_drain(u);
}

static void write_ier(struct vuart *u, uint8_t value)
{
	/* Enabling it while the transmitter is empty raises it, even if it was acknowledged. */
	if ((value & IER_THRE) && !(u->ier & IER_THRE) && u->tx.count == 0)
		u->thre_pending = true;
	u->ier = value & IER_MASK;
}

static uint8_t read_iir(struct vuart *u)
{
	uint8_t id = interrupt_id(u);

	if (id == IIR_THRE)
		u->thre_pending = false;
	return id | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* What is in the transmit FIFO counts as sent, so resetting that FIFO discards nothing. */
static void write_fcr(struct vuart *u, uint8_t value)
{
	if ((value ^ u->fcr) & FCR_ENABLE)
		value |= FCR_RX_RESET;
	if (value & FCR_RX_RESET)
		u->rx.count = 0;
	u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	update_irq(u);
	rx_fill(u);
}

/* The far end is always there: DCD, DSR and CTS are on, unless MCR loops its own outputs back. */
static uint8_t modem_lines(const struct vuart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct vuart *u, uint8_t value)
{
	uint8_t before = u->msr & 0xf0, after, delta;

	u->mcr = value & MCR_MASK;
	after = modem_lines(u);
	delta = (before ^ after) >> 4;
	/* Ring reports only its trailing edge. */
	if (after & MSR_RI)
		delta &= ~MSR_TERI;
	u->msr = after | (u->msr & MSR_DELTA) | delta;
	rx_fill(u);
}

static uint8_t read_lsr(struct vuart *u)
{
	uint8_t lsr;

	tx_drain(u);
	rx_fill(u);
	lsr = u->lsr_error | (u->rx.count > 0 ? LSR_DR : 0);
	if (u->tx.count == 0)
		lsr |= LSR_THRE | LSR_TEMT;
	u->lsr_error = 0;
	return lsr;
}

static uint8_t read_msr(struct vuart *u)
{
	uint8_t msr = u->msr;

	u->msr &= ~MSR_DELTA;
	return msr;
}

uint8_t vuart_read(struct vuart *u, uint32_t reg)
{
	bool dlab = u->lcr & LCR_DLAB;
	uint8_t value = 0xff;

	switch (reg) {
	case REG_DATA:
		value = dlab ? u->dll : read_data(u);
		break;
	case REG_IER:
		value = dlab ? u->dlm : u->ier;
		break;
	case REG_IIR:
		value = read_iir(u);
		break;
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		value = read_lsr(u);
		break;
	case REG_MSR:
		value = read_msr(u);
		break;
	case REG_SCR:
		return u->scr;
	}
	update_irq(u);
	return value;
}

void vuart_write(struct vuart *u, uint32_t reg, uint8_t value)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->dll = value;
		else
			write_data(u, value);
		break;
	case REG_IER:
		if (dlab)
			u->dlm = value;
		else
			write_ier(u, value);
		break;
	case REG_IIR:
		write_fcr(u, value);
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		write_mcr(u, value);
		break;
	case REG_SCR:
		u->scr = value;
		return;
	}
	update_irq(u);
}

void vuart_poll(struct vuart *u)
{
	tx_drain(u);
	rx_fill(u);
	update_irq(u);
}

void vuart_reset(struct vuart *u)
{
	const struct vuart_ops *ops = u->ops;
	void *ctx = u->ctx;

	if (u->irq_active)
		ops->irq(ctx, false);
	memset(u, 0, sizeof(*u));
	u->ops = ops;
	u->ctx = ctx;
	u->msr = modem_lines(u);
	u->thre_pending = true;
}

void vuart_init(struct vuart *u, const struct vuart_ops *ops, void *ctx)
{
	memset(u, 0, sizeof(*u));
	u->ops = ops;
	u->ctx = ctx;
	vuart_reset(u);
}

/* A wider access reaches consecutive registers, as byte cycles on an 8-bit bus do. */
static noinline uint64_t read_wide(struct vuart *u, uint32_t offset, uint8_t size)
{
	uint64_t value = 0;
	uint8_t i;

	for (i = 0; i < size; i++)
		value |= (uint64_t)vuart_read(u, offset + i) << (8 * i);
	return value;
}

static uint64_t io_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	return likely(size == 1) ? vuart_read(dev, offset) : read_wide(dev, offset, size);
}

static noinline void write_wide(struct vuart *u, uint32_t offset, uint8_t size, uint64_t value)
{
	uint8_t i;

	for (i = 0; i < size; i++)
		vuart_write(u, offset + i, (uint8_t)(value >> (8 * i)));
}

static void io_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	if (likely(size == 1))
		vuart_write(dev, offset, (uint8_t)value);
	else
		write_wide(dev, offset, size, value);
}

const struct io_ops vuart_io_ops = { .read = io_read, .write = io_write };
