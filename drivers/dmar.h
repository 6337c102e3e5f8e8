/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_DMAR_H
#define LAMINA_DRIVERS_DMAR_H

#include "drivers/acpi.h"
#include "drivers/iommu.h"
#include "drivers/pci.h"
#include "types.h"

/*
 * Reader of the DMAR table: which VT-d units there are, and whose requests they translate. Pure: no
 * allocation, no hardware, no global state. The table is untrusted input, like all of ACPI's: each
 * length is checked and each walk is bounded.
 *
 * Read are the units (DRHD) and the memory that the firmware shares with devices (RMRR), with their
 * device scopes. Skipped are ATSR and SATC, as address translation services are never switched on,
 * RHSA (locality), ANDD and SIDP (about devices that are not PCI), and types that are not known.
 */
#define DMAR_UNITS_MAX   64u
#define DMAR_REGIONS_MAX 64u
#define DMAR_SCOPES_MAX  1024u
#define DMAR_WARNINGS    16u /* further defects are counted only */
#define DMAR_NO_UNIT     UINT32_MAX

struct dmar_env {
	/* A defect that is worked around, or the reason for an error; `pa` says where. NULL: none. */
	void (*warn)(void *ctx, const char *what, hpa_t pa);
	/*
	 * Bus numbers of a PCI bridge, as it is configured; false: there is no bridge at `d`. Paths are
	 * followed with it, and sub-hierarchies found. Only called by dmar_parse().
	 */
	bool (*bridge)(void *ctx, struct pci_bdf d, uint8_t *secondary, uint8_t *subordinate);
	void *ctx;
};

struct dmar_unit {
	hpa_t base;    /* of the registers, page aligned */
	uint64_t size; /* of the registers as the table says, bytes: at least a page */
	uint16_t segment;
	bool include_all; /* all devices of the segment that no other unit names */
};

enum dmar_scope_kind {
	DMAR_SCOPE_ENDPOINT = 1,
	DMAR_SCOPE_BRIDGE = 2, /* and all below it */
	DMAR_SCOPE_IOAPIC = 3,
	DMAR_SCOPE_HPET = 4,
	DMAR_SCOPE_ACPI = 5, /* a device of ACPI's namespace that is not PCI */
};

/* One device that a unit or a region names. */
struct dmar_scope {
	uint8_t kind;
	uint8_t id;         /* IOAPIC: its id in the MADT; HPET: its number */
	bool region;        /* of regions[owner], else of units[owner] */
	uint8_t owner;      /* index */
	struct pci_bdf bdf; /* the path followed to its end: the requester id */
	/* What is below it, if it is a bridge; else `secondary` is 0. */
	uint8_t secondary, subordinate;
};

/* Memory that devices must reach at all times; its scopes say which. */
struct dmar_region {
	hpa_t base;
	uint64_t size; /* bytes; both are multiples of pages */
	uint16_t segment;
};

/* About 16 KiB: not for stacks. */
struct dmar {
	uint8_t address_bits;    /* of the machine's DMA addresses; 0: the table does not say */
	bool intr_remap;         /* the machine supports interrupt remapping, whatever units say */
	bool x2apic_opt_out;     /* the firmware asks not to use x2APIC */
	bool dma_control_opt_in; /* the firmware asks for DMA protection */
	uint32_t unit_count;
	struct dmar_unit units[DMAR_UNITS_MAX];
	uint32_t region_count;
	struct dmar_region regions[DMAR_REGIONS_MAX];
	uint32_t scope_count;
	struct dmar_scope scopes[DMAR_SCOPES_MAX];
	uint32_t scopes_lost;  /* paths that lead nowhere, or are damaged, or did not fit */
	uint32_t regions_lost; /* regions that cannot be, or did not fit */
	uint32_t defects;      /* of any kind, those above included */
};

/*
 * Read the table, which acpi_find() has mapped. What is lost of scopes and regions is counted and
 * costs those devices, which stay blocked. A unit must not be lost: ERR_INVALID if the table is
 * damaged such that units may be missing or their registers are not known, ERR_RANGE if there are
 * too many; ERR_NOT_FOUND: there is none. `out` must not be used then.
 */
must_check enum status dmar_parse(const struct acpi_table *t, const struct dmar_env *env,
				  struct dmar *out);

/*
 * The unit that translates the requests with this id, of a function, an IOAPIC or an HPET: the one that names it, or the closest bridge
 * above it, or the one for all others. DMAR_NO_UNIT: none.
 */
uint32_t dmar_unit_of(const struct dmar *d, struct pci_bdf f);

/*
 * The IOAPIC (`id`: as in the MADT) or HPET (`id`: its number); ->owner is its unit and ->bdf what
 * its interrupts carry as source. NULL: the table does not name it.
 */
const struct dmar_scope *dmar_special(const struct dmar *d, enum dmar_scope_kind kind, uint32_t id);

/*
 * The regions for iommu_info.reserved. One with many devices takes several entries; one for a bridge
 * is for `all` devices below it. Returns how many there are; those from `max` on have not been
 * written.
 */
uint32_t dmar_reserved(const struct dmar *d, struct iommu_reserved *out, uint32_t max);

#endif
