/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/ioapic.h"

/* 82093AA data sheet, chapter 3: an index register selects what the data register shows. */
#define IOREGSEL 0 /* dwords */
#define IOWIN    4

#define IOAPIC_VERSION   0x01
#define IOAPIC_REDIR(n)  (0x10 + 2 * (n))
#define MAX_REDIR(v)     (((v) >> 16) & 0xff)
#define REDIR_NMI        (4u << 8)
#define REDIR_ACTIVE_LOW (1u << 13)
#define REDIR_MASKED     (1u << 16)
#define REDIR_DEST_SHIFT 24
#define MAX_APIC_ID      254 /* 255 is broadcast */

static uint32_t mmio_read(const struct ioapic *io, uint32_t reg)
{
	io->regs[IOREGSEL] = reg;
	return io->regs[IOWIN];
}

static void mmio_write(const struct ioapic *io, uint32_t reg, uint32_t v)
{
	io->regs[IOREGSEL] = reg;
	io->regs[IOWIN] = v;
}

enum status ioapic_add(struct ioapics *s, volatile void *regs, uint32_t id, uint32_t gsi_base)
{
	struct ioapic io = { .regs = regs, .id = id, .gsi_base = gsi_base };
	uint32_t version, i;

	if (!s->read) {
		s->read = mmio_read;
		s->write = mmio_write;
	}
	if (s->count == IOAPIC_MAX)
		return ERR_NOMEM;
	version = s->read(&io, IOAPIC_VERSION);
	if (version == ~0u || version == 0)
		return ERR_NOT_FOUND;
	io.lines = MAX_REDIR(version) + 1;
	if (gsi_base + io.lines < gsi_base)
		return ERR_OVERLAP;
	for (i = 0; i < s->count; i++) {
		const struct ioapic *other = &s->unit[i];

		if (gsi_base < other->gsi_base + other->lines &&
		    other->gsi_base < gsi_base + io.lines)
			return ERR_OVERLAP;
	}
	/* Also turns off remote IRR's effect: a masked line sends nothing, whatever is pending. */
	for (i = 0; i < io.lines; i++) {
		s->write(&io, IOAPIC_REDIR(i), REDIR_MASKED);
		s->write(&io, IOAPIC_REDIR(i) + 1, 0);
	}
	s->unit[s->count++] = io;
	return OK;
}

static const struct ioapic *find_unit(const struct ioapics *s, uint32_t gsi)
{
	uint32_t i;

	for (i = 0; i < s->count; i++) {
		if (gsi >= s->unit[i].gsi_base && gsi - s->unit[i].gsi_base < s->unit[i].lines)
			return &s->unit[i];
	}
	return NULL;
}

/* What sends NMIs of a pin to a core; without polarity and mask. */
static enum status nmi_entry(const struct ioapics *s, const struct ioapic *io, uint32_t pin,
			     uint32_t apic_id, uint64_t *rte)
{
	if (s->remap)
		return s->remap(io->id, pin, apic_id, rte);
	if (apic_id > MAX_APIC_ID)
		return ERR_RANGE;
	/* Vector 0, physical destination, edge: all three are zeros; NMI ignores the vector. */
	*rte = REDIR_NMI | (uint64_t)apic_id << (32 + REDIR_DEST_SHIFT);
	return OK;
}

enum status ioapic_route_nmi(struct ioapics *s, uint32_t gsi, bool active_low, uint32_t apic_id)
{
	const struct ioapic *io = find_unit(s, gsi);
	enum status status;
	uint64_t rte;
	uint32_t reg;

	if (!io)
		return ERR_NOT_FOUND;
	status = nmi_entry(s, io, gsi - io->gsi_base, apic_id, &rte);
	if (status != OK)
		return status;
	reg = IOAPIC_REDIR(gsi - io->gsi_base);
	s->write(io, reg, REDIR_MASKED);
	s->write(io, reg + 1, (uint32_t)(rte >> 32));
	s->write(io, reg, (uint32_t)rte | (active_low ? REDIR_ACTIVE_LOW : 0));
	return OK;
}

/*
 * Only the dword with the destination is written: that is atomic, and the line is never masked,
 * because an IOAPIC forgets edges of a masked line. A remapped entry stays as it is: its dwords do not
 * depend on the core, or (AMD-Vi, where NMIs pass unmodified) only the upper one does.
 */
enum status ioapic_retarget(struct ioapics *s, uint32_t gsi, uint32_t apic_id)
{
	const struct ioapic *io = find_unit(s, gsi);
	enum status status;
	uint64_t rte;

	if (!io)
		return ERR_NOT_FOUND;
	status = nmi_entry(s, io, gsi - io->gsi_base, apic_id, &rte);
	if (status == OK)
		s->write(io, IOAPIC_REDIR(gsi - io->gsi_base) + 1, (uint32_t)(rte >> 32));
	return status;
}

void ioapic_mask(struct ioapics *s, uint32_t gsi)
{
	const struct ioapic *io = find_unit(s, gsi);

	if (io)
		s->write(io, IOAPIC_REDIR(gsi - io->gsi_base), REDIR_MASKED);
}
