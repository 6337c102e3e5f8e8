/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_PCI_MODEL_H
#define LAMINA_TESTS_PCI_MODEL_H

#include "drivers/pci_tree.h"

/*
 * A machine's configuration space: functions with registers of which some bits can be written and
 * some are cleared by ones, capabilities, bridges, and what resets do. Time passes in delay_us(),
 * which is defined here.
 */
#define MODEL_FUNCTIONS 64

struct model_function {
	struct pci_bdf bdf;
	bool gone; /* pulled out: reads as all ones */
	uint8_t config[4096];
	uint8_t writable[4096];    /* masks */
	uint8_t clear[4096];       /* bits that a one clears */
	uint8_t power_on[4096];    /* `config` after a reset; model_ready() takes it */
	uint16_t cap_end, ext_end; /* of the last capability, its header's offset */
	uint8_t pcie, af, pm;

	uint64_t busy_until;    /* model_us: no answer before */
	bool busy_as_crs;       /* meanwhile the vendor reads as 0001, else all ones */
	uint64_t pending_until; /* transactions are pending */
	uint32_t reset_takes;   /* us; ~0: it never comes back */
	uint32_t resets;
	bool dirty_reset; /* one came with bus mastering on or transactions pending */
	bool early;       /* it was read or written within 100 ms after a reset */
	uint64_t reset_at;
	/* Called after each write. */
	void (*wrote)(struct model_function *f, uint32_t reg, unsigned width);
};

extern struct model_function model[MODEL_FUNCTIONS];
extern uint32_t model_count;
extern uint64_t model_us;        /* time */
extern uint32_t model_reads;     /* of registers */
extern bool model_sized_live;    /* a BAR was sized while it was decoded */
extern bool model_wrote_nowhere; /* a write went to a function that does not exist */
extern struct pci_access model_segments[2];

/* Called by delay_us(), after time has passed; NULL: nothing. */
extern void (*model_tick)(void);

/* No function; access of segments 0 and 1, extended, all buses. */
void model_clear(void);

/* For functions that want a callback. NULL beyond segment 1. */
const struct pci_access *model_access(uint16_t segment);

/* An endpoint 1b36:0010, or a bridge; both can decode and master. */
struct model_function *model_add(uint8_t bus, uint8_t device, uint8_t function, uint32_t class);
struct model_function *model_bridge(uint8_t bus, uint8_t device, uint8_t secondary,
				    uint8_t subordinate);
struct model_function *model_find(struct pci_bdf d);

/* `low`: base and flags; a BAR of 64 bits has them, too. ROM: index 6. `size`: a power of two. */
void model_bar(struct model_function *f, uint32_t index, uint64_t low, uint64_t size);

/* Append a capability of so many bytes; returns its offset. All of it is read only. */
uint8_t model_cap(struct model_function *f, uint8_t id, uint32_t length);
uint16_t model_ext(struct model_function *f, uint16_t id, uint32_t length);

/* PCIe, version 2, with FLR if wanted; ACS with these bits, all of which can be turned on. */
void model_pcie(struct model_function *f, uint8_t type, bool flr);
void model_acs(struct model_function *f, uint16_t bits);
void model_msi(struct model_function *f);
void model_pm(struct model_function *f, bool resets);
void model_af(struct model_function *f);

/* What is in the registers now is what resets bring back, but for BARs, command and control. */
void model_ready(void);

void model_put16(struct model_function *f, uint32_t reg, uint16_t v);
void model_put32(struct model_function *f, uint32_t reg, uint32_t v);
uint16_t model_get16(const struct model_function *f, uint32_t reg);
uint32_t model_get32(const struct model_function *f, uint32_t reg);

/* The tree of all that is there: scanned, and grouped as well. */
struct pci_tree *model_scan(void);
struct pci_tree *model_tree(void);

#endif
