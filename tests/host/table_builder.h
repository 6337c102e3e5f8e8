/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_HOST_TABLE_BUILDER_H
#define LAMINA_TESTS_HOST_TABLE_BUILDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/acpi.h"

/* An ACPI table that a test puts together; lengths are filled in when a part is complete. */
#define TABLE_MAX    0x40000u
#define TABLE_PA     0x7000000ull
#define TABLE_HEADER 36u

struct table_builder {
	uint32_t length;
	uint8_t data[TABLE_MAX];
};

static inline void put_bytes(struct table_builder *b, uint64_t v, uint32_t bytes)
{
	for (; bytes--; v >>= 8)
		b->data[b->length++] = (uint8_t)v;
}

static inline void patch(struct table_builder *b, uint32_t at, uint64_t v, uint32_t bytes)
{
	for (; bytes--; v >>= 8)
		b->data[at++] = (uint8_t)v;
}

static inline void begin_table(struct table_builder *b, const char *signature, uint32_t header)
{
	memset(b, 0, sizeof(*b));
	memcpy(b->data, signature, 4);
	b->length = header;
}

/*
 * The warnings of a parser, in one string; and the table as a heap block of exactly its length, so
 * that the address sanitizer sees every byte that is read beyond it.
 */
static char warned[8192];

static inline void note_warning(void *ctx, const char *what, hpa_t pa)
{
	size_t n = strlen(warned);

	(void)ctx;
	if (pa.v < TABLE_PA || pa.v > TABLE_PA + TABLE_MAX)
		abort();
	snprintf(warned + n, sizeof(warned) - n, "%s;", what);
}

static inline struct acpi_table copy_table(const struct table_builder *b, uint32_t length)
{
	uint8_t *p = malloc(length);

	if (!p)
		abort();
	memcpy(p, b->data, length);
	warned[0] = 0;
	return (struct acpi_table){ .data = p, .length = length, .pa = HPA(TABLE_PA) };
}

static inline void free_table(struct acpi_table *t)
{
	free((void *)(uintptr_t)t->data);
}

#endif
