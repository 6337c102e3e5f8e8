/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_AMDVI_MODEL_H
#define LAMINA_TESTS_AMDVI_MODEL_H

#include "drivers/iommu.h"

/*
 * IOMMUs of AMD's kind as drivers/amdvi*.c sees them: registers, command buffer, event log, and
 * caches that hold whatever they have read until the command that covers it is carried out. Written
 * from the specification, with numbers of its own. The worst that the specification allows:
 *  - commands between two COMPLETION_WAITs are carried out backwards;
 *  - nothing is carried out before the driver looks at the clock, `lazy` times for each wait;
 *  - translations are found by DeviceID, before the device table is asked;
 *  - `probe` runs at every moment at which devices could send something.
 */
#define MODEL_UNITS     3
#define MODEL_POOL_HPA  0x40000000ull
#define MODEL_BASE(n)   (0xfd000000ull + (n)*0x100000ull)
#define MODEL_CACHE_MAX 4096

enum model_result {
	MODEL_BLOCKED,
	MODEL_DONE,
	MODEL_BYPASS, /* not translated, not remapped: as without an IOMMU */
};

struct model_msi {
	uint32_t apic_id;
	uint8_t vector;
	bool nmi;
};

struct model_unit {
	/* To be set before start: */
	uint64_t efr;
	uint32_t lazy;
	bool dead;       /* carries out no commands */
	bool stuck;      /* its logs and buffers do not stop */
	bool ignore_len; /* does not look at IntTabLen */
	bool late_event; /* the tail moves, the event does not come */
	bool no_regs;
	/* Registers: */
	uint64_t devtab, cmd_base, event_base, control, exclusion, exclusion_limit, status;
	uint64_t cmd_head, cmd_tail, event_head, event_tail;
	uint64_t smi_filter[2];
	/* Caches: */
	struct {
		bool valid;
		uint64_t q[4];
	} * dte;
	struct {
		uint16_t id, domain;
		uint64_t first, last; /* addresses */
		uint64_t entry;       /* of a leaf, or */
		unsigned level; /* above 0: of an entry that points to a table of this level */
	} tlb[MODEL_CACHE_MAX];
	unsigned tlb_count;
	struct {
		uint16_t id, index;
		uint64_t low, high;
	} irt[MODEL_CACHE_MAX];
	unsigned irt_count;
	/* What happened: */
	uint32_t looks; /* at the clock, since the last progress */
	uint32_t commands, waits, all, devices, pages, tables;
	uint64_t last_pages[2]; /* the last command of that kind */
	uint32_t interrupts;    /* for events */
	bool opened;            /* ever on with a device table that lets something pass */
	uint8_t config[256];
	uint16_t config_id;
};

struct model {
	struct model_unit unit[MODEL_UNITS];
	uint64_t now;
	uint32_t stores;
	void (*probe)(void);
	bool probing;
};

extern struct model model;

/* Everything as after reset; `pages` in the pool. */
void model_reset(uint64_t pages);

/* Configuration space of a unit's own function, with its capability at 40h and an MSI at 64h. */
void model_config(unsigned n, uint16_t id, bool enabled);

void *model_map(hpa_t hpa, uint64_t size);
const struct pci_access *model_pci(uint16_t segment);

/* A request of a device to memory: where it goes. */
enum model_result model_dma(unsigned n, uint16_t id, uint64_t address, bool write, uint64_t *hpa);

/* A message: where it goes, if it is remapped or passes as a NMI. */
enum model_result model_msi(unsigned n, uint16_t id, uint64_t address, uint32_t data,
			    struct model_msi *out);

/* Put an event into the log; it may overflow. */
void model_event(unsigned n, uint64_t low, uint64_t high);

/* Nothing is left to be carried out. */
bool model_idle(void);

#endif
