/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_VPCI_FIXTURE_H
#define LAMINA_TESTS_VPCI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/guest.h"
#include "core/vpci.h"
#include "mm_host.h"

/*
 * A guest with 64 MiB of memory and three devices, on the real mm/. The devices' configuration space
 * fails the test when anything else is written than what may be, or when the device could do what
 * its guest may not have it do.
 */
enum {
	DISK,    /* slot 3: PCIe with FLR, MSI-X in the middle of BAR 0, ports, a ROM */
	VIRTIO,  /* slot 1, as the first free one: vendor's capabilities, MSI-X alone in BAR 1 */
	DISPLAY, /* slot 2: 256 MiB of prefetchable memory, two BARs smaller than a page, AF, INTx */
	FAKES,
};

#define DISK_SLOT    3u
#define VIRTIO_SLOT  1u
#define DISPLAY_SLOT 2u
#define RAM_SIZE     (64ull << 20)
#define PORTS_BASE   0x6000u /* of the disk */

#define CAP_PM     0x40
#define CAP_MSI    0x50
#define CAP_MSIX   0x70
#define CAP_PCIE   0x80
#define CAP_VENDOR 0xc0
#define CAP_VPD    0xd0
#define CAP_AF     0xd8

struct fake {
	struct pci_function f;
	uint8_t config[4096];
	unsigned status_clears, resets;
	/* What its interrupts were asked. */
	uint32_t irq_offset, irq_value;
	unsigned irq_writes, irq_resets, intx_commands;
	uint64_t table_offset, table_value;
	unsigned table_reads, table_writes;
};

extern struct fake fake[FAKES];
extern struct acpi_platform fixture_platform;
extern struct guest guest;
extern struct vpci *bus;
extern uint32_t port_value; /* what was written to a real port last */
extern uint16_t port_number;
extern uint8_t small[2][PAGE_SIZE]; /* the registers of the display's small BARs */
extern bool reset_fails;
extern void (*meanwhile)(void); /* what another core does when a BAR is about to be mapped */
extern unsigned logged;
extern unsigned guest_resets;
extern unsigned uncovered; /* the device that no IOMMU is above of */

/* Make everything, up to where the guest would run; or step by step. */
void fixture_start(void);
void fixture_prepare(void);
void fixture_run(void);
void fixture_tree(void); /* after changes of fake[].f */
enum status fixture_create(const uint8_t *slots);

/* Accesses of the guest: configuration space by ECAM and by ports, memory that traps, ports. */
uint64_t ecam_get(unsigned slot, uint32_t reg, uint8_t size);
void ecam_set(unsigned slot, uint32_t reg, uint8_t size, uint64_t value);
uint32_t port_get(unsigned slot, uint32_t reg, uint8_t size);
void port_set(unsigned slot, uint32_t reg, uint8_t size, uint32_t value);
bool io_get(uint16_t port, uint8_t size, uint32_t *value);
bool io_set(uint16_t port, uint8_t size, uint32_t value);

/* The slot that holds the address; NULL: none. */
const struct slot *slot_at(uint64_t gpa);

/* A trapping access to memory; false: it does not trap. */
bool trap_get(uint64_t gpa, uint8_t size, uint64_t *value);
bool trap_set(uint64_t gpa, uint8_t size, uint64_t value);

uint32_t real(unsigned which, uint32_t reg, uint8_t size);

/* The guest's slots are its memory, what always traps, and what its devices decode; no more. */
void check_layout(void);

#endif
