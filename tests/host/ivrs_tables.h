/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_HOST_IVRS_TABLES_H
#define LAMINA_TESTS_HOST_IVRS_TABLES_H

#include "drivers/ivrs.h"
#include "table_builder.h"

/* IVRS tables for tests: parts to build them of, and some that are modelled on machines. */
#define IVRS_HEADER 48u

static inline void ivrs_begin(struct table_builder *b)
{
	begin_table(b, "IVRS", IVRS_HEADER);
	patch(b, 36, 0x203043, 4);
}

/* Complete the block that begins at `at`. */
static inline void ivrs_end(struct table_builder *b, uint32_t at)
{
	patch(b, at + 2, b->length - at, 2);
}

/* Begin an IVHD of segment 0; returns where it is, for ivrs_end(). */
static inline uint32_t ivrs_ivhd(struct table_builder *b, uint32_t type, uint32_t device_id,
				 uint64_t base)
{
	uint32_t at = b->length;

	put_bytes(b, type | 0xb0 << 8, 4);
	put_bytes(b, device_id, 2);
	put_bytes(b, 0x40, 2);
	put_bytes(b, base, 8);
	put_bytes(b, 0, 4); /* segment, info */
	put_bytes(b, 0x80048f6e, 4);
	if (type != 0x10) {
		put_bytes(b, 0x246577efa2254afaull, 8);
		put_bytes(b, 0x10, 8);
	}
	return at;
}

static inline void ivrs_entry4(struct table_builder *b, uint32_t type, uint32_t device_id,
			       uint32_t setting)
{
	put_bytes(b, type, 1);
	put_bytes(b, device_id, 2);
	put_bytes(b, setting, 1);
}

static inline void ivrs_range(struct table_builder *b, uint32_t first, uint32_t last)
{
	ivrs_entry4(b, 3, first, 0);
	ivrs_entry4(b, 4, last, 0);
}

/* Alias select (66), start of a range with an alias (67). */
static inline void ivrs_alias_entry(struct table_builder *b, uint32_t type, uint32_t device_id,
				    uint32_t alias)
{
	ivrs_entry4(b, type, device_id, 0);
	put_bytes(b, alias << 8, 4);
}

static inline void ivrs_special_entry(struct table_builder *b, uint32_t variety, uint32_t handle,
				      uint32_t device_id, uint32_t setting)
{
	ivrs_entry4(b, 72, 0, setting);
	put_bytes(b, handle | device_id << 8 | variety << 24, 4);
}

/* A device of ACPI's namespace, with a name of `length` bytes. */
static inline void ivrs_acpi_entry(struct table_builder *b, uint32_t device_id, uint32_t length)
{
	ivrs_entry4(b, 240, device_id, 0x40);
	put_bytes(b, 0x30323030444d41, 8); /* "AMD0020" */
	put_bytes(b, 0, 8);
	put_bytes(b, 2 | length << 8, 2);
	while (length--)
		put_bytes(b, 'x', 1);
}

static inline uint32_t ivrs_ivmd(struct table_builder *b, uint32_t type, uint32_t flags,
				 uint32_t first, uint32_t last, uint64_t start, uint64_t length)
{
	uint32_t at = b->length;

	put_bytes(b, type | flags << 8 | 32 << 16, 4);
	put_bytes(b, first | last << 16, 4);
	put_bytes(b, 0, 8);
	put_bytes(b, start, 8);
	put_bytes(b, length, 8);
	return at;
}

/* What the blocks of a desktop's one IOMMU have in common. */
static inline void ivrs_desktop_entries(struct table_builder *b)
{
	ivrs_range(b, 0x0003, 0xfffe);
	ivrs_alias_entry(b, 67, 0xff00, 0x00a5);
	ivrs_entry4(b, 4, 0xffff, 0);
	ivrs_special_entry(b, IVRS_HPET, 0, 0x00a0, 0);
	ivrs_special_entry(b, IVRS_IOAPIC, 0x20, 0x00a0, 0xd7);
	ivrs_special_entry(b, IVRS_IOAPIC, 0x21, 0x0001, 0);
}

/* A desktop: one IOMMU, described three times. The newest has ACPI devices as well. */
static inline void ivrs_desktop(struct table_builder *b)
{
	uint32_t at = ivrs_ivhd(b, 0x10, 2, 0xfd200000);

	ivrs_desktop_entries(b);
	ivrs_end(b, at);
	at = ivrs_ivhd(b, 0x11, 2, 0xfd200000);
	ivrs_desktop_entries(b);
	ivrs_end(b, at);
	at = ivrs_ivhd(b, 0x40, 2, 0xfd200000);
	ivrs_desktop_entries(b);
	ivrs_acpi_entry(b, 0x00a5, 9);
	ivrs_acpi_entry(b, 0x00a6, 0);
	ivrs_end(b, at);
}

/* A server: four IOMMUs, each for some buses; all blocks of a type before those of the next. */
static inline void ivrs_server(struct table_builder *b)
{
	static const uint8_t types[] = { 0x10, 0x11, 0x40 };
	static const uint8_t buses[] = { 0x60, 0x40, 0x20, 0x00 };

	for (uint32_t t = 0; t < 3; t++) {
		for (uint32_t i = 0; i < 4; i++) {
			uint32_t id = (uint32_t)buses[i] << 8;
			uint32_t at = ivrs_ivhd(b, types[t], id | 2, 0xb0000000 + i * 0x100000);

			ivrs_range(b, id | 3, (id + 0x1f00) | 0xff);
			ivrs_special_entry(b, IVRS_IOAPIC, 0xf1 + i, id | 1, 0);
			if (buses[i] == 0) {
				ivrs_special_entry(b, IVRS_HPET, 0, 0x00a0, 0);
				ivrs_special_entry(b, IVRS_IOAPIC, 0xf0, 0x00a0, 0xd7);
			}
			ivrs_end(b, at);
		}
	}
	ivrs_ivmd(b, 0x21, 8, 0x6100, 0, 0x76100000, 0x1000);
	ivrs_ivmd(b, 0x22, 7, 0x2100, 0x2113, 0x76200000, 0x4000);
	ivrs_ivmd(b, 0x20, 7, 0, 0, 0x76300000, 0x10000);
}

#endif
