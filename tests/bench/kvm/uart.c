/* SPDX-License-Identifier: BSD-2-Clause */
/* COM1, a 16550A that is never busy. What is sent is handed on line by line. */
#include <string.h>

#include "vmm.h"

#define IER_RX       0x01
#define IER_THRE     0x02
#define IIR_NONE     0x01
#define IIR_THRE     0x02
#define IIR_RX       0x04
#define IIR_FIFO     0xc0
#define LCR_DLAB     0x80
#define LSR_RX       0x01
#define LSR_TX_EMPTY 0x60
#define MCR_LOOP     0x10
#define MSR_PRESENT  0xb0 /* CTS, DSR, DCD */

static bool has_input(const struct uart *u)
{
	return u->input_head != u->input_tail;
}

static void update_irq(struct vm *vm)
{
	struct uart *u = &vm->uart;

	if (u->ier & (IER_RX | IER_THRE))
		vm_set_irq(vm, COM1_IRQ,
			   ((u->ier & IER_RX) && has_input(u)) ||
				   ((u->ier & IER_THRE) && u->thre_pending));
}

static uint8_t read_iir(struct vm *vm)
{
	struct uart *u = &vm->uart;
	uint8_t fifo = u->fcr & 1 ? IIR_FIFO : 0;

	if ((u->ier & IER_RX) && has_input(u))
		return IIR_RX | fifo;
	if ((u->ier & IER_THRE) && u->thre_pending) {
		u->thre_pending = false;
		update_irq(vm);
		return IIR_THRE | fifo;
	}
	return IIR_NONE | fifo;
}

static uint8_t receive(struct vm *vm)
{
	struct uart *u = &vm->uart;
	uint8_t value = 0;

	if (has_input(u))
		value = (uint8_t)u->input[u->input_tail++ % sizeof(u->input)];
	update_irq(vm);
	return value;
}

uint8_t uart_read(struct vm *vm, uint16_t reg)
{
	struct uart *u = &vm->uart;

	switch (reg) {
	case 0:
		return u->lcr & LCR_DLAB ? u->dll : receive(vm);
	case 1:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case 2:
		return read_iir(vm);
	case 3:
		return u->lcr;
	case 4:
		return u->mcr;
	case 5:
		return LSR_TX_EMPTY | (has_input(u) ? LSR_RX : 0);
	case 6: /* looped back, the outputs are the inputs */
		return u->mcr & MCR_LOOP ? (uint8_t)((u->mcr & 2) << 3 | (u->mcr & 1) << 5 |
						     (u->mcr & 0xc) << 4)
					 : MSR_PRESENT;
	default:
		return u->scr;
	}
}

static void transmit(struct vm *vm, char c)
{
	struct uart *u = &vm->uart;

	if (!(u->mcr & MCR_LOOP) && c == '\n') {
		u->line[u->length] = 0;
		u->length = 0;
		say("%s", u->line);
		action_line(vm, u->line);
	} else if (!(u->mcr & MCR_LOOP) && c != '\r' && u->length + 1 < sizeof(u->line)) {
		u->line[u->length++] = c;
	}
	u->thre_pending = true;
	update_irq(vm);
}

void uart_write(struct vm *vm, uint16_t reg, uint8_t value)
{
	struct uart *u = &vm->uart;

	switch (reg) {
	case 0:
		if (u->lcr & LCR_DLAB)
			u->dll = value;
		else
			transmit(vm, (char)value);
		break;
	case 1:
		if (u->lcr & LCR_DLAB) {
			u->dlm = value;
			break;
		}
		u->thre_pending |= !(u->ier & IER_THRE) && (value & IER_THRE);
		if (u->ier && !value)
			vm_set_irq(vm, COM1_IRQ, false);
		u->ier = value & 0xf;
		update_irq(vm);
		break;
	case 2:
		u->fcr = value;
		break;
	case 3:
		u->lcr = value;
		break;
	case 4:
		u->mcr = value;
		break;
	case 7:
		u->scr = value;
		break;
	default:
		break;
	}
}

void uart_input(struct vm *vm, const char *text)
{
	struct uart *u = &vm->uart;

	for (; *text; text++) {
		if (u->input_head - u->input_tail < sizeof(u->input))
			u->input[u->input_head++ % sizeof(u->input)] = *text;
	}
	update_irq(vm);
}
