/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vioapic.h"

#include <string.h>

/* Intel 82093AA data sheet, 3.0; the EOI register: ICH data sheets, "I/O APIC". */
#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI    0x40

#define INDEX_ID      0x00
#define INDEX_VERSION 0x01
#define INDEX_ARB     0x02
#define INDEX_BOOT    0x03
#define INDEX_RTE     0x10

#define VERSION_VALUE (((VIOAPIC_PINS - 1) << 16) | 0x20)
#define BOOT_MESSAGES 1 /* interrupts arrive as messages, not over the APIC serial bus */

#define RTE_VECTOR     0xffull
#define RTE_MODE_SHIFT 8
#define RTE_LOGICAL    BIT(11)
#define RTE_STATUS     BIT(12)
#define RTE_REMOTE_IRR BIT(14)
#define RTE_LEVEL      BIT(15)
#define RTE_MASKED     BIT(16)
#define RTE_READ_ONLY  (RTE_STATUS | RTE_REMOTE_IRR)
#define RTE_WRITABLE   (0x1ffffull | 0xff00000000000000ull)

/* EOIs ask without the guest's lock whether there is anything to end. */
static void set_rte(struct vioapic *io, unsigned pin, uint64_t rte)
{
	uint32_t bit = rte & RTE_REMOTE_IRR ? 1u << pin : 0;

	io->rte[pin] = rte;
	__atomic_store_n(&io->unended, (io->unended & ~(1u << pin)) | bit, __ATOMIC_RELAXED);
}

static void deliver(struct vioapic *io, unsigned pin)
{
	uint64_t rte = io->rte[pin];
	enum apic_delivery mode = (rte >> RTE_MODE_SHIFT) & 7;

	io->latched &= ~(1u << pin);
	if ((rte & RTE_LEVEL) && (mode == APIC_DM_FIXED || mode == APIC_DM_LOWEST))
		set_rte(io, pin, rte | RTE_REMOTE_IRR);
	io->ops->deliver(io->ctx, rte >> 56, rte & RTE_LOGICAL, mode, rte & RTE_VECTOR);
}

/* After a change of the entry: what waits on the pin may go now. */
static void reconsider(struct vioapic *io, unsigned pin)
{
	uint64_t rte = io->rte[pin];
	uint32_t bit = 1u << pin;

	if (rte & RTE_MASKED)
		return;
	if (io->ops->resample) {
		io->ops->resample(io->ctx, pin);
		rte = io->rte[pin];
	}
	if (rte & RTE_LEVEL) {
		if ((io->lines & bit) && !(rte & RTE_REMOTE_IRR))
			deliver(io, pin);
	} else if (io->latched & bit) {
		deliver(io, pin);
	}
}

void vioapic_set_line(struct vioapic *io, unsigned pin, bool level)
{
	uint32_t bit = 1u << (pin & 31);

	if (pin >= VIOAPIC_PINS || !!(io->lines & bit) == level)
		return;
	io->lines ^= bit;
	if (!level) {
		io->latched &= ~bit;
		return;
	}
	/* A new edge is delivered in level mode as well, see the header. */
	if (io->rte[pin] & RTE_MASKED)
		io->latched |= bit;
	else
		deliver(io, pin);
}

static void write_rte(struct vioapic *io, unsigned pin, bool high, uint32_t value)
{
	uint64_t old = io->rte[pin];
	uint64_t rte;

	if (high)
		rte = (old & 0xffffffffull) | ((uint64_t)value << 32);
	else
		rte = (old & ~0xffffffffull) | value;
	rte = (rte & RTE_WRITABLE & ~RTE_READ_ONLY) | (old & RTE_REMOTE_IRR);
	if (!(rte & RTE_LEVEL))
		rte &= ~RTE_REMOTE_IRR;
	set_rte(io, pin, rte);
	reconsider(io, pin);
}

static uint32_t read_indexed(const struct vioapic *io)
{
	unsigned pin = (io->select - INDEX_RTE) / 2;

	switch (io->select) {
	case INDEX_ID:
	case INDEX_ARB:
		return io->id;
	case INDEX_VERSION:
		return VERSION_VALUE;
	case INDEX_BOOT:
		return BOOT_MESSAGES;
	}
	if (io->select < INDEX_RTE || pin >= VIOAPIC_PINS)
		return 0;
	return (uint32_t)(io->select & 1 ? io->rte[pin] >> 32 : io->rte[pin]);
}

static void write_indexed(struct vioapic *io, uint32_t value)
{
	unsigned pin = (io->select - INDEX_RTE) / 2;

	if (io->select == INDEX_ID)
		io->id = value & 0x0f000000;
	else if (io->select >= INDEX_RTE && pin < VIOAPIC_PINS)
		write_rte(io, pin, io->select & 1, value);
}

void vioapic_eoi(struct vioapic *io, uint8_t vector)
{
	unsigned pin;

	for (pin = 0; pin < VIOAPIC_PINS; pin++) {
		uint64_t rte = io->rte[pin];

		if (!(rte & RTE_LEVEL) || (rte & RTE_VECTOR) != vector)
			continue;
		set_rte(io, pin, rte & ~RTE_REMOTE_IRR);
		reconsider(io, pin);
	}
}

uint32_t vioapic_read(struct vioapic *io, uint32_t offset)
{
	switch (offset) {
	case REG_SELECT:
		return io->select;
	case REG_WINDOW:
		return read_indexed(io);
	}
	return 0;
}

void vioapic_write(struct vioapic *io, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case REG_SELECT:
		io->select = (uint8_t)value;
		break;
	case REG_WINDOW:
		write_indexed(io, value);
		break;
	case REG_EOI:
		io->has_ended = true;
		vioapic_eoi(io, (uint8_t)value);
		break;
	}
}

void vioapic_reset(struct vioapic *io)
{
	unsigned pin;

	io->id = 0;
	io->select = 0;
	io->latched = 0;
	io->has_ended = false;
	for (pin = 0; pin < VIOAPIC_PINS; pin++)
		set_rte(io, pin, RTE_MASKED);
}

void vioapic_init(struct vioapic *io, const struct vioapic_ops *ops, void *ctx)
{
	memset(io, 0, sizeof(*io));
	io->ops = ops;
	io->ctx = ctx;
	vioapic_reset(io);
}

/* The registers are 32 bits wide on 16-byte boundaries; narrower reads take their part of one. */
static uint64_t io_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	uint32_t skip = offset & 3;

	(void)v;
	(void)size;
	return vioapic_read(dev, offset - skip) >> (8 * skip);
}

static void io_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	(void)size;
	vioapic_write(dev, offset, (uint32_t)value);
}

const struct io_ops vioapic_io_ops = { .read = io_read, .write = io_write };
