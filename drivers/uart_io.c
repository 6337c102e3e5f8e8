/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/uart16550.h"
#include "x86/asm.h"

#include <string.h>

/* The registers of a real UART: at I/O ports or memory-mapped. */

static uint8_t port_read(const struct uart_io *io, uint32_t reg)
{
	return inb((uint16_t)(io->port + (reg << io->shift)));
}

static void port_write(const struct uart_io *io, uint32_t reg, uint8_t v)
{
	outb((uint16_t)(io->port + (reg << io->shift)), v);
}

static uint8_t mmio_read(const struct uart_io *io, uint32_t reg)
{
	volatile uint8_t *p = (volatile uint8_t *)io->mmio + (reg << io->shift);

	switch (io->width) {
	case 4:
		return (uint8_t) * (volatile uint32_t *)p;
	case 2:
		return (uint8_t) * (volatile uint16_t *)p;
	default:
		return *p;
	}
}

static void mmio_write(const struct uart_io *io, uint32_t reg, uint8_t v)
{
	volatile uint8_t *p = (volatile uint8_t *)io->mmio + (reg << io->shift);

	switch (io->width) {
	case 4:
		*(volatile uint32_t *)p = v;
		break;
	case 2:
		*(volatile uint16_t *)p = v;
		break;
	default:
		*p = v;
		break;
	}
}

void uart_io_port(struct uart_io *io, uint16_t port)
{
	memset(io, 0, sizeof(*io));
	io->read = port_read;
	io->write = port_write;
	io->port = port;
	io->width = 1;
}

void uart_io_mmio(struct uart_io *io, volatile void *regs, uint8_t shift, uint8_t width)
{
	memset(io, 0, sizeof(*io));
	io->read = mmio_read;
	io->write = mmio_write;
	io->mmio = regs;
	io->shift = shift;
	io->width = width;
}
