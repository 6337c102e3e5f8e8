/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPCI_H
#define LAMINA_CORE_VPCI_H

#include "core/guest.h"
#include "core/io.h"
#include "core/vpci_irq.h"
#include "core/vpci_layout.h"
#include "drivers/pci_tree.h"
#include "types.h"

/*
 * The PCI bus that a guest with devices of its own sees: one root bus with a host bridge at 00.0 and
 * each device as function 0 of a slot. Configuration space by ports CF8h/CFCh and ECAM.
 *
 * What the guest writes to the header stays with Lamina, but for the bits that docs/passthrough.md
 * names: above all, the device's real BARs stay where the firmware has put them. Moving a BAR
 * changes where the guest's slots show the registers.
 */
#define VPCI_DEVICES 16u
#define VPCI_PAGES   32u /* that hold BARs smaller than a page */
#define VPCI_PORTS   32u /* BARs of ports that are decoded */
#define VPCI_CAPS    16u /* of a device, that the guest sees */

struct vpci_bar {
	uint64_t size;      /* bytes; 0: the guest sees none */
	uint64_t initial;   /* where it is at the start of a run; 0: nowhere */
	uint64_t address;   /* as the guest has written it, flags excluded */
	uint8_t flags;      /* low bits, hard-wired: ports, 64 bits, prefetchable */
	bool enabled;       /* the ROM's own enable bit; true for the others */
	bool mapped;        /* the guest reaches it ... */
	bool next;          /* ... or will, in the layout that is being made */
	uint64_t mapped_at; /* valid if `mapped` */
	uint64_t next_at;   /* valid if `next` */
	/* Of a BAR smaller than a page: */
	volatile uint8_t *own; /* mapped for Lamina, which forwards; NULL: it is not small */
	bool alone;            /* nothing else is in its real page, which it begins */
	bool direct;           /* the guest has the page; valid if `mapped` ... */
	bool next_direct;      /* ... or `next` */
};

struct vpci_cap {
	uint8_t at, id, size; /* where in configuration space; bytes */
};

enum vpci_life {
	VPCI_ALIVE,
	VPCI_RESET_ASKED, /* the guest has asked for a function level reset ... */
	VPCI_RESETTING,   /* ... which takes its time; all ones are read meanwhile */
	VPCI_DEAD,        /* and from which it did not come back */
};

struct vpci_device {
	struct guest *guest;
	const struct pci_function *host;
	const struct pci_access *access;
	uint8_t slot;     /* the device number that the guest sees */
	bool dma_allowed; /* may be a bus master: core/passthrough.c sets it while it is attached */
	bool told;        /* that a BAR is where it cannot be */
	enum vpci_life life;
	uint16_t command; /* as the guest has written it */
	uint8_t line;     /* Interrupt Line: a scratch register */
	uint8_t power;    /* PowerState: likewise, the device stays in D0 */
	uint8_t cap_count;
	struct vpci_cap caps[VPCI_CAPS];
	uint64_t serial; /* of the Device Serial Number capability; 0: none */
	struct vpci_bar bars[PCI_BARS + 1];
	struct vpci_irqs irqs;
};

/* A guest page that traps because it holds BARs smaller than a page. */
struct vpci_page {
	struct vpci *vpci;
	uint64_t gpa; /* valid if `used` or `next` */
	bool used, next;
};

struct vpci {
	struct guest *guest;
	uint32_t address; /* CF8h */
	uint32_t count;
	uint32_t resets;            /* devices in VPCI_RESET_ASKED; atomic */
	uint64_t mem64, mem64_size; /* the window for 64-bit BARs; size 0: none */
	struct vpci_device devices[VPCI_DEVICES];
	struct vpci_page pages[VPCI_PAGES];
	/* For struct io_map: first the pages above, then one for each device's MSI-X table. */
	struct io_region mmio[VPCI_PAGES + VPCI_DEVICES];
	struct io_region ports[VPCI_PORTS];
};

/*
 * Make the bus of a guest that owns `count` functions; slots[i] is the device number that the guest
 * sees, 0: any. Adds its ports and pages to g->io and sets g->vpci. Before the guest's slots are made.
 * ERR_OVERLAP: a slot is wanted twice; ERR_RANGE: there is none like that; ERR_UNSUPPORTED: a device
 * has a BAR that nothing can be done with, which was logged; ERR_NOMEM.
 */
must_check enum status vpci_create(struct guest *g, const struct pci_function *const *functions,
				   const uint8_t *slots, uint32_t count);

/*
 * Before each run, after the devices were reset: BARs assigned but not decoded, no bus mastering.
 * vpci_allow_dma() when they are attached: from then on they are masters if the guest says so. The
 * guest's cores are out; no lock.
 */
void vpci_reset(struct guest *g);
void vpci_allow_dma(struct guest *g);

/* The run has ended: no bus mastering any more, nothing is decoded, BARs are unmapped. run_lock only. */
void vpci_stop(struct guest *g);

/*
 * For who emulates an access, after it has given the guest's lock back: do what takes long, and say
 * whether there was any. A reset of a function takes up to a second of the calling core.
 */
void vpci_do_resets(struct guest *g);

static inline bool vpci_finish(struct guest *g)
{
	if (!g->vpci || !__atomic_load_n(&g->vpci->resets, __ATOMIC_RELAXED))
		return false;
	vpci_do_resets(g);
	return true;
}

#endif
