/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_VPCI_IRQ_FIXTURE_H
#define LAMINA_TESTS_VPCI_IRQ_FIXTURE_H

#include "core/vpci_irq.h"
#include "mock_core.h"

/*
 * A PCI function with MSI and MSI-X, and an IOMMU that remaps interrupts. Whenever one of them is
 * changed, the function may not be able to send any message but such as lead to a core of the guest.
 */
#define FX_MSI     0x50
#define FX_MSIX    0x70
#define FX_BAR     2
#define FX_BAR_HPA 0xd0000000ull
#define FX_MEMORY  0x4000
#define FX_FIRST   32 /* what iommu_irq_alloc() gives */
#define FX_IRQS    512
#define FX_APIC    4 /* the guest's cores: 4, 5 and 6 */

enum fx_event {
	FX_CONFIG, /* a write to configuration space: `at` is the register */
	FX_MMIO,   /* a write to the BAR: `at` is the offset */
	FX_ROUTE,  /* an entry of the IOMMU was made valid: `at` is its index */
	FX_BLOCK,
	FX_FREE,
};

struct fx_record {
	enum fx_event what;
	uint32_t at, width;
	uint64_t value;
};

struct fx {
	bool bare;
	struct vpci_irqs q;
	struct pci_function f;
	struct pci_access access;
	uint8_t config[256], wmask[256]; /* and which of their bits can be written */
	uint8_t memory[FX_MEMORY];
	struct {
		bool allocated, valid;
		uint32_t apic_id;
		uint8_t vector;
	} irq[FX_IRQS];
	bool vtd_style;     /* the index is in the address and not in the data */
	bool other_message; /* give another message for the same index from now on */
	bool no_irqs, set_fails, map_fails;
	unsigned alloc_count;
	struct fx_record log[8192];
	unsigned events;
	unsigned reads; /* of configuration space */
	unsigned pages;
};

extern struct fx fx;

struct fx_shape {
	bool bare; /* no IOMMU above it */
	bool msi, msi64, masking;
	uint8_t log2_messages;
	uint16_t entries;    /* 0: no MSI-X */
	uint32_t table, pba; /* offsets in the BAR */
	uint32_t bar_size;
};

/* Power on; three cores. `fx_create` also makes and starts it. */
void fx_power_on(const struct fx_shape *s);
void fx_create(const struct fx_shape *s);

uint16_t fx_config16(uint32_t reg);
uint32_t fx_config32(uint32_t reg);
uint32_t fx_memory32(uint32_t offset);

/* May the function send message `index` now, and where to? False: not, or it is blocked. */
bool fx_can_send(unsigned index, uint32_t *apic_id, uint8_t *vector);

/* Forget the record of events; find one from `from` on (-1: there is none). */
void fx_clear(void);
int fx_find(enum fx_event what, uint32_t at, unsigned from);
int fx_find_last(enum fx_event what, uint32_t at);

#endif
