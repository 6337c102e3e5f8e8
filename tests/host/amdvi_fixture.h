/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_AMDVI_FIXTURE_H
#define LAMINA_TESTS_AMDVI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_model.h"

/*
 * Unit 0, function 00:00.2, translates the buses 00-3f of segment 0, unit 1, 40:00.2, those of
 * 40-7f; 80-ff have none. Unit 2, 00:00.2, translates all of segment 1. Functions 01:00.x have the
 * alias 01:00.0; IOAPIC 2 is 00:14.0, IOAPIC 3 is 40:00.1.
 */
#define ALL_UNITS   3u
#define POOL_PAGES  2100u
#define ALIAS       0x100
#define IOAPIC_ID   2
#define IOAPIC_SELF 0xa0

extern const struct iommu_ops amdvi_ops;
extern struct page_budget budget;
extern struct iommu_env env;
extern uint32_t warnings;
extern uint32_t ivrs_attributes; /* of all units, for make_ivrs() */
extern jmp_buf *panic_to;

/* Bytes of an IVRS table with that many units. */
struct acpi_table make_ivrs(unsigned units);

/* For each test: reset everything. */
int setup(void **state);

/* Start these units; OK is asserted. */
void start(unsigned units);
enum status try_start(unsigned units);

static inline struct pci_bdf function(uint16_t segment, uint16_t id)
{
	return (struct pci_bdf){ segment, (uint8_t)(id >> 8), (uint8_t)(id >> 3 & 31), id & 7 };
}

/* A table of second level in which gfn + i is at pfn + i; its root. */
hpa_t make_table(uint64_t gfn, uint64_t pages, uint64_t pfn);

/* The entry of the lowest level that maps a page, or of `level`. */
uint64_t *entry_of(hpa_t root, uint64_t gfn, unsigned level);

void assert_dma(unsigned unit, uint16_t id, uint64_t gfn, uint64_t pfn);
void assert_no_dma(unsigned unit, uint16_t id, uint64_t gfn);
void assert_no_msi(unsigned unit, uint16_t id, uint32_t data);
void assert_msi(unsigned unit, uint16_t id, const struct iommu_msi *msi, uint32_t apic_id,
		uint8_t vector);

/* Neither memory nor any kind of interrupt but SMIs, which are not the device table's. */
void assert_blocked(unsigned unit, uint16_t id);

#define expect_panic(call)                      \
	do {                                    \
		jmp_buf here;                   \
		volatile bool returned = false; \
		panic_to = &here;               \
		if (!setjmp(here)) {            \
			(void)(call);           \
			returned = true;        \
		}                               \
		panic_to = NULL;                \
		assert_false(returned);         \
	} while (0)

#endif
