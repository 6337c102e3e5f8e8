// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/acpi.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/acpi.h"

/*
 * The input becomes physical memory from 0x1000 on, with the RSDP at its start. If the input's
 * first byte is odd, an XSDT follows and the rest is cut into one table of each kind, so that the
 * bodies are reached at once; otherwise all is raw. Each mapping is a copy of its own, so that the
 * sanitizer sees any access beyond what was asked for.
 */
#define BASE 0x1000u

static const uint8_t *memory;
static size_t memory_size;

static const void *map(void *ctx, hpa_t pa, uint64_t size)
{
	uint8_t *p;

	(void)ctx;
	if (pa.v < BASE || size > memory_size || pa.v - BASE > memory_size - size)
		return NULL;
	p = malloc(size);
	memcpy(p, memory + (pa.v - BASE), size);
	return p;
}

static void unmap(void *ctx, const void *va, uint64_t size)
{
	(void)ctx;
	(void)size;
	free((void *)(uintptr_t)va);
}

static void fix_sum(uint8_t *p, uint32_t length, uint32_t at)
{
	uint8_t sum = 0;

	p[at] = 0;
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + p[i]);
	p[at] = (uint8_t)-sum;
}

static void put(uint8_t *p, uint64_t v, uint32_t bytes)
{
	while (bytes--) {
		*p++ = (uint8_t)v;
		v >>= 8;
	}
}

/* XSDT behind the RSDP, then the tables; the FADT leads to the DSDT. */
static void shape(uint8_t *copy, size_t size)
{
	static const char names[][5] = { "APIC", "FACP", "MCFG", "SPCR", "HPET", "SSDT", "DSDT" };
	size_t root = 40, first = root + 36 + 8 * ARRAY_SIZE(names);
	size_t slice = (size - first) / ARRAY_SIZE(names);

	memcpy(copy + root, "XSDT", 4);
	put(copy + root + 4, first - root, 4);
	put(copy + 24, BASE + root, 8);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		uint8_t *t = copy + first + i * slice;

		memcpy(t, names[i], 4);
		if (t[9] & 1)
			put(t + 4, slice, 4);
		put(copy + root + 36 + 8 * i, BASE + first + i * slice, 8);
	}
	if (slice >= 44)
		put(copy + first + slice + 40, BASE + first + 6 * slice, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct acpi_mem mem = { .map = map, .unmap = unmap };
	static struct acpi_platform p;
	uint8_t *copy;
	bool shaped;

	if (size < 36)
		return 0;
	shaped = data[0] & 1 && size >= 512;
	copy = malloc(size);
	memcpy(copy, data, size);
	if (shaped)
		shape(copy, size);
	memcpy(copy, "RSD PTR ", 8);
	copy[15] = shaped ? 2 : copy[15];
	fix_sum(copy, 20, 8);
	put(copy + 20, 36, 4);
	fix_sum(copy, 36, 32);
	memory = copy;
	memory_size = size;
	acpi_discover(&mem, HPA(BASE), &p);
	if (p.madt.cpu_count > ACPI_MAX_CPUS || p.madt.ioapic_count > ACPI_MAX_IOAPICS ||
	    p.madt.nmi_count > ACPI_MAX_NMIS || p.mcfg.count > ACPI_MAX_MCFG)
		abort();
	if (p.fadt.s5_valid && (p.fadt.s5_a > 7 || p.fadt.s5_b > 7))
		abort();
	free(copy);
	return 0;
}
