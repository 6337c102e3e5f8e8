/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_VTD_FIXTURE_H
#define LAMINA_TESTS_VTD_FIXTURE_H

#include "drivers/iommu.h"
#include "vtd_model.h"

/*
 * A machine with three units. Unit 0 has the GPU alone, unit 1 the rest of segment 0 and the IOAPIC
 * with id 2, unit 2 segment 1. Nobody has segment 2.
 */
#define GPU     ((struct pci_bdf){ 0, 0, 2, 0 })
#define DISK    ((struct pci_bdf){ 0, 3, 0, 0 })
#define NIC     ((struct pci_bdf){ 0, 3, 0, 1 })
#define FAR     ((struct pci_bdf){ 1, 3, 0, 0 })
#define IOAPIC  ((struct pci_bdf){ 0, 0xf0, 0x1f, 0 })
#define NOWHERE ((struct pci_bdf){ 2, 0, 1, 0 })

#define DMAR_INTR_REMAP 1
#define DMAR_OPT_OUT    2

#define T(test) cmocka_unit_test_setup(test, vtd_setup)

/* The DMAR table's flags, and how many of the units it has; for the next start. */
extern uint8_t dmar_flags;
extern unsigned dmar_unit_limit;

int vtd_setup(void **state);

/* Turn the IOMMUs on, as iommu.c does. */
enum status start(bool wide_apic_ids);
void start_ok(void);

/* Second-level tables. */
hpa_t new_root(void);
void map_page(hpa_t root, uint64_t gpa, uint64_t hpa, unsigned access);
uint64_t *unlink_table(hpa_t root, uint64_t gpa); /* the last level's */

void flush_one(uint16_t domain, uint64_t gpa, unsigned pages);

#endif
