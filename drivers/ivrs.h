/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_IVRS_H
#define LAMINA_DRIVERS_IVRS_H

#include "drivers/acpi.h"
#include "drivers/iommu.h"
#include "drivers/pci.h"
#include "types.h"

/*
 * Reader of the IVRS table: which AMD IOMMUs there are, and whose requests they translate. Pure: no
 * allocation, no hardware, no global state. The table is untrusted input, like all of ACPI's: each
 * length is checked and each walk is bounded.
 *
 * Firmware describes one IOMMU up to three times, for older and newer software, by IVHD blocks of
 * the types 10h, 11h and 40h: the highest of those is used, the others are ignored.
 */
#define IVRS_UNITS_MAX    64u
#define IVRS_RANGES_MAX   1024u
#define IVRS_SPECIALS_MAX 128u
#define IVRS_REGIONS_MAX  64u
#define IVRS_WARNINGS     16u /* further defects are counted only */
#define IVRS_NO_UNIT      UINT32_MAX

/* `flags` of a unit: what the IOMMU's control register is to be set to. */
#define IVRS_FLAG_HT_TUN_EN   BIT(0)
#define IVRS_FLAG_PASS_PW     BIT(1)
#define IVRS_FLAG_RES_PASS_PW BIT(2)
#define IVRS_FLAG_ISOC        BIT(3)
#define IVRS_FLAG_COHERENT    BIT(5)

/* `setting` of a device: which system interrupts the firmware wants to pass (INITPass ... in a DTE). */
#define IVRS_DTE_INIT_PASS        BIT(0)
#define IVRS_DTE_EINT_PASS        BIT(1)
#define IVRS_DTE_NMI_PASS         BIT(2)
#define IVRS_DTE_SYS_MGT_SHIFT    4
#define IVRS_DTE_SYS_MGT(setting) (((setting) >> IVRS_DTE_SYS_MGT_SHIFT) & 3u)
#define IVRS_DTE_LINT0_PASS       BIT(6)
#define IVRS_DTE_LINT1_PASS       BIT(7)

struct ivrs_unit {
	hpa_t base; /* of the registers, 16 KiB aligned */
	uint16_t segment;
	uint16_t device_id;  /* of the IOMMU's own PCI function: bus << 8 | devfn */
	uint16_t capability; /* offset in its configuration space */
	uint8_t type;        /* of the IVHD: 10h, 11h or 40h */
	uint8_t flags;       /* IVRS_FLAG_* */
	uint16_t info;       /* bits 4:0 number of the MSI, 12:8 HyperTransport unit */
	uint32_t features;   /* 10h: feature reporting; else: attributes */
	uint64_t efr, efr2;  /* 11h, 40h: images of the extended feature registers; else 0 */
};

/* What one or two device entries say about DeviceIDs from first to last. */
struct ivrs_range {
	uint16_t first, last;
	uint16_t alias; /* requests carry this id instead, if has_alias */
	bool has_alias;
	bool everything; /* by an entry for all devices: other units may name some of them */
	uint8_t setting; /* IVRS_DTE_* */
	uint8_t unit;
};

enum ivrs_variety {
	IVRS_IOAPIC = 1,
	IVRS_HPET = 2,
};

struct ivrs_special {
	uint16_t device_id; /* what its interrupts carry as source */
	uint8_t variety;    /* enum ivrs_variety */
	uint8_t handle;     /* IOAPIC: its id in the MADT; HPET: its number */
	uint8_t setting;    /* IVRS_DTE_* */
	uint8_t unit;
};

/* Memory that devices must reach at all times. Exclusion ranges as well: those are mapped alike. */
struct ivrs_region {
	hpa_t base;
	uint64_t size;                 /* bytes; both are multiples of pages */
	uint16_t segment, first, last; /* DeviceIDs; 0 to 0xffff: all */
};

/* About 16 KiB: not for stacks. */
struct ivrs {
	uint32_t
		info; /* IVinfo, raw: bit 0 EFRSup, 14:8 physical address bits, 21:15 virtual ones */
	uint32_t unit_count;
	struct ivrs_unit units[IVRS_UNITS_MAX];
	uint32_t range_count;
	struct ivrs_range ranges[IVRS_RANGES_MAX];
	uint32_t special_count;
	struct ivrs_special specials[IVRS_SPECIALS_MAX];
	uint32_t region_count;
	struct ivrs_region regions[IVRS_REGIONS_MAX];
	uint32_t entries_lost; /* device entries that are damaged, or did not fit */
	uint32_t regions_lost; /* regions that cannot be, or did not fit */
	uint32_t defects;      /* of any kind, those above included */
};

/*
 * Read the table, which acpi_find() has mapped. `warn` (may be NULL) is told of defects; `pa` says
 * where. What is lost of device entries and regions is counted and costs those devices, which stay
 * blocked. A unit must not be lost: ERR_INVALID if the table is damaged such that units may be
 * missing or their registers are not known, ERR_RANGE if there are too many; ERR_NOT_FOUND: there
 * is none. `out` must not be used then.
 */
must_check enum status ivrs_parse(const struct acpi_table *t,
				  void (*warn)(void *ctx, const char *what, hpa_t pa), void *ctx,
				  struct ivrs *out);

/* The unit that translates the requests of a function; IVRS_NO_UNIT: none. */
uint32_t ivrs_unit_of(const struct ivrs *v, struct pci_bdf f);

/*
 * The DeviceID (bus << 8 | devfn) that the requests of a function carry as well as, or instead of,
 * its own; its own if there is no alias.
 */
uint16_t ivrs_alias(const struct ivrs *v, struct pci_bdf f);

/* IVRS_DTE_* of a function: what any entry about it says, together. */
uint8_t ivrs_setting(const struct ivrs *v, struct pci_bdf f);

/* The IOAPIC or HPET with this handle; NULL: the table does not name it. */
const struct ivrs_special *ivrs_special(const struct ivrs *v, enum ivrs_variety variety,
					uint32_t handle);

/*
 * The regions for iommu_info.reserved. One with many devices takes several entries or, if they are
 * very many, is for `all` devices of their buses. Returns how many there are; those from `max` on
 * have not been written.
 */
uint32_t ivrs_reserved(const struct ivrs *v, struct iommu_reserved *out, uint32_t max);

#endif
