/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_VTD_MODEL_H
#define LAMINA_TESTS_VTD_MODEL_H

#include <setjmp.h>

#include "drivers/iommu.h"
#include "drivers/vtd_regs.h"

/*
 * VT-d units that are as unfriendly as the specification lets them be: what they have once read of tables
 * they keep until an invalidation covers it; they read memory as it was last written back, unless they
 * snoop, and past the write buffer if they have one; commands take time. Rules that software breaks
 * fail the test at once. Implements drivers/vtd_hw.h.
 */
#define MODEL_UNITS    3
#define MODEL_POOL_HPA 0x140000000ull
#define MODEL_PAGES    384u
#define MODEL_WINDOW   0x3000u
#define MODEL_RECORDS  4u
#define MODEL_CACHE    512u

/* What the firmware left: every device reaches everything, every interrupt passes. */
#define FW_ROOT  0x7000000ull
#define FW_IRT   0x7100000ull
#define FW_QUEUE 0x7200000ull

struct model_cached {
	bool valid, present;
	uint16_t sid, did; /* context entries; translations have the domain only */
	uint8_t level;     /* of a translation: 1 is a 4 KiB piece of a leaf, others are tables */
	uint64_t key;      /* translation: gfn at that level; interrupt: its index */
	uint64_t lo, hi;   /* the entry; of a translation `lo` alone */
};

struct model_unit {
	uint64_t base;
	uint32_t version;
	uint64_t cap, ecap;
	bool absent, stuck; /* reads all ones; never completes anything */
	uint32_t slow;      /* microseconds that a command takes */
	uint32_t ignores;   /* commands that never take effect */
	uint32_t gsts, pending, pending_value, pending_us;
	uint64_t rtaddr, root, irta, irt, iqa, iqh, iqt;
	uint32_t fsts, fectl, fedata, feaddr, feuaddr, pmen;
	struct vtd_entry record[MODEL_RECORDS];
	uint32_t next_record;
	struct model_cached context[MODEL_CACHE], iotlb[MODEL_CACHE], iec[MODEL_CACHE];
	unsigned reads_under_way, writes_under_way;
	bool had_translation, had_remapping; /* left on by the firmware: must never be off again */
	unsigned nmis, descriptors, pages_flushed, domains_flushed;
	uint8_t *buffered; /* memory as the unit sees it if it has a write buffer in front */
};

struct model_irq {
	uint32_t dest;
	uint8_t vector, mode;
};

struct model {
	struct model_unit unit[MODEL_UNITS];
	unsigned maps_fail;                      /* after so many mappings; 0: never */
	void (*adversary)(struct model_unit *u); /* between any two things that a unit does */
	unsigned warnings, errors;               /* logged */
	char log[256];                           /* the last one */
	jmp_buf *panic_to;
	char panic[512];
	struct page_budget budget;
};

extern struct model model;

/* A machine with units that have everything; nothing of the firmware is on. */
void model_reset(void);

/* The unit runs with tables of the firmware's: translation, the queue, interrupt remapping. */
void model_firmware(struct model_unit *u, bool cfi);

struct iommu_env model_env(void);

/* A request: does it get through, and where to? Faults are recorded. */
bool model_dma(struct model_unit *u, struct pci_bdf d, uint64_t address, bool write, uint64_t *hpa);

/* An interrupt message. */
bool model_msi(struct model_unit *u, struct pci_bdf d, uint64_t address, uint32_t data,
	       struct model_irq *out);

/* What an IOAPIC makes of a redirection entry. */
bool model_ioapic(struct model_unit *u, struct pci_bdf d, uint64_t rte, struct model_irq *out);

#endif
