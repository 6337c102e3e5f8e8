/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_HOST_DMAR_TABLES_H
#define LAMINA_TESTS_HOST_DMAR_TABLES_H

#include "drivers/dmar.h"
#include "table_builder.h"

/* DMAR tables for tests: parts to build them of, and some that are modelled on machines. */
#define DMAR_HEADER 48u

static inline void dmar_begin(struct table_builder *b)
{
	begin_table(b, "DMAR", DMAR_HEADER);
	b->data[36] = 38; /* 39 bits */
	b->data[37] = 1;
}

/* Begin an entry; returns where it is, for dmar_end(). */
static inline uint32_t dmar_entry(struct table_builder *b, uint32_t type)
{
	uint32_t at = b->length;

	put_bytes(b, type, 4);
	return at;
}

static inline void dmar_end(struct table_builder *b, uint32_t at)
{
	patch(b, at + 2, b->length - at, 2);
}

static inline uint32_t dmar_drhd(struct table_builder *b, bool include_all, uint32_t segment,
				 uint64_t base)
{
	uint32_t at = dmar_entry(b, 0);

	put_bytes(b, include_all, 2);
	put_bytes(b, segment, 2);
	put_bytes(b, base, 8);
	return at;
}

static inline uint32_t dmar_rmrr(struct table_builder *b, uint32_t segment, uint64_t base,
				 uint64_t limit)
{
	uint32_t at = dmar_entry(b, 1);

	put_bytes(b, 0, 2);
	put_bytes(b, segment, 2);
	put_bytes(b, base, 8);
	put_bytes(b, limit, 8);
	return at;
}

/* `path`: device << 3 | function of each hop. */
static inline void dmar_scope_path(struct table_builder *b, uint32_t kind, uint32_t id,
				   uint32_t bus, const uint8_t *path, uint32_t hops)
{
	put_bytes(b, kind, 1);
	put_bytes(b, 6 + 2 * hops, 1);
	put_bytes(b, 0, 2);
	put_bytes(b, id, 1);
	put_bytes(b, bus, 1);
	for (uint32_t i = 0; i < hops; i++) {
		put_bytes(b, path[i] >> 3, 1);
		put_bytes(b, path[i] & 7, 1);
	}
}

static inline void dmar_scope(struct table_builder *b, uint32_t kind, uint32_t id, uint32_t bus,
			      uint32_t device, uint32_t function)
{
	uint8_t path = (uint8_t)(device << 3 | function);

	dmar_scope_path(b, kind, id, bus, &path, 1);
}

static inline void dmar_endpoint(struct table_builder *b, uint32_t bus, uint32_t device,
				 uint32_t function)
{
	dmar_scope(b, DMAR_SCOPE_ENDPOINT, 0, bus, device, function);
}

static inline void dmar_bridge(struct table_builder *b, uint32_t bus, uint32_t device,
			       uint32_t function)
{
	dmar_scope(b, DMAR_SCOPE_BRIDGE, 0, bus, device, function);
}

static inline void dmar_unit(struct table_builder *b, bool include_all, uint32_t segment,
			     uint64_t base)
{
	dmar_end(b, dmar_drhd(b, include_all, segment, base));
}

/* A client: one unit for the graphics, one for everything else; RMRRs of USB and graphics. */
static inline void dmar_client(struct table_builder *b)
{
	uint32_t at = dmar_drhd(b, false, 0, 0xfed90000);

	dmar_endpoint(b, 0, 2, 0);
	dmar_end(b, at);
	at = dmar_drhd(b, true, 0, 0xfed91000);
	dmar_scope(b, DMAR_SCOPE_IOAPIC, 2, 0xf0, 0x1f, 0);
	dmar_scope(b, DMAR_SCOPE_HPET, 0, 0, 0x1f, 6);
	dmar_end(b, at);
	at = dmar_rmrr(b, 0, 0x9a000000, 0x9a01ffff);
	dmar_endpoint(b, 0, 0x14, 0);
	dmar_end(b, at);
	at = dmar_rmrr(b, 0, 0x9d800000, 0x9fffffff);
	dmar_endpoint(b, 0, 2, 0);
	dmar_end(b, at);
}

/*
 * Four sockets with three units each: two with the root ports and devices of a stack of buses, one
 * with its accelerators. The last unit takes all the rest, the legacy devices. All kinds of entries.
 */
static inline void dmar_server(struct table_builder *b)
{
	static const char name[] = "\\_SB.UART";
	uint32_t at, socket, stack;

	for (socket = 0; socket < 4; socket++) {
		for (stack = 0; stack < 3; stack++) {
			uint32_t bus = socket * 0x40 + stack * 0x10 + 1;

			at = dmar_drhd(b, false, 0, 0xc0000000 + bus * 0x100000ull);
			if (stack < 2) {
				dmar_bridge(b, bus, 1, 0);
				dmar_bridge(b, bus, 3, 0);
			} else {
				dmar_endpoint(b, bus, 0, 0);
				dmar_endpoint(b, bus, 0, 1);
			}
			dmar_scope(b, DMAR_SCOPE_IOAPIC, 0x10 + socket * 4 + stack, bus, 5, 4);
			dmar_end(b, at);
		}
	}
	at = dmar_drhd(b, true, 0, 0xbfffc000);
	dmar_scope(b, DMAR_SCOPE_IOAPIC, 8, 0xf0, 0x1f, 7);
	dmar_scope(b, DMAR_SCOPE_HPET, 0, 0, 0x1f, 6);
	dmar_scope(b, DMAR_SCOPE_ACPI, 1, 0, 0x1e, 0);
	dmar_end(b, at);
	at = dmar_rmrr(b, 0, 0x6f000000, 0x6f0fffff);
	for (uint32_t i = 0; i < 20; i++)
		dmar_endpoint(b, 2 + i / 8, 0, i % 8);
	dmar_end(b, at);
	at = dmar_entry(b, 2); /* ATSR of some root ports */
	put_bytes(b, 0, 4);
	dmar_bridge(b, 1, 1, 0);
	dmar_bridge(b, 1, 3, 0);
	dmar_end(b, at);
	for (socket = 0; socket < 4; socket++) { /* RHSA */
		at = dmar_entry(b, 3);
		put_bytes(b, 0, 4);
		put_bytes(b, 0xc0100000 + socket * 0x4000000ull, 8);
		put_bytes(b, socket, 4);
		dmar_end(b, at);
	}
	at = dmar_entry(b, 4); /* ANDD */
	put_bytes(b, 1ull << 24, 4);
	for (uint32_t i = 0; i < sizeof(name); i++)
		put_bytes(b, (uint8_t)name[i], 1);
	dmar_end(b, at);
	at = dmar_entry(b, 5); /* SATC */
	put_bytes(b, 1, 4);
	dmar_endpoint(b, 0x21, 0, 0);
	dmar_end(b, at);
	at = dmar_entry(b, 6); /* SIDP */
	put_bytes(b, 0, 4);
	dmar_endpoint(b, 0x21, 0, 1);
	dmar_end(b, at);
	dmar_end(b, dmar_entry(b, 0x77));
}

#endif
