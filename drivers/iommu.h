/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_IOMMU_H
#define LAMINA_DRIVERS_IOMMU_H

#include "drivers/acpi.h"
#include "drivers/pci.h"
#include "mm/mm_types.h"
#include "mm/page_alloc.h"
#include "mm/spte.h"
#include "types.h"

/*
 * The IOMMUs of the machine, of whichever vendor. From iommu_start() on, all requests of all devices
 * are blocked, and all of their interrupts, but for what is attached or routed here.
 *
 * A device is a requester id: segment, bus, device and function as its requests carry them. Behind
 * some bridges that is the bridge's; struct pci_function says so (drivers/pci_tree.h).
 *
 * All functions but iommu_start() may be called on any core, with or without the locks of a guest:
 * they take one lock, a leaf but for the pool's and PCI's; it is taken with the console's lock held, so no
 * message may be written under it (but a panic). What an invalidation needs has completed on return.
 * An IOMMU that does not complete one within IOMMU_TIMEOUT_US is a panic: nothing can be given back
 * or used again after that.
 */
#define IOMMU_TIMEOUT_US       1000000
#define IOMMU_IRQS_PER_DEVICE  256u /* the most that iommu_irq_alloc() gives to one device */
#define IOMMU_UNITS_MAX        64u
#define IOMMU_RESERVED_MAX     64u
#define IOMMU_RESERVED_DEVICES 8u

struct iommu_env {
	struct page_budget *budget; /* pays for everything that belongs to no guest */
	/* Map registers uncached for good, page granularity; NULL: impossible. */
	void *(*map)(hpa_t hpa, uint64_t size);
	/* Configuration space, for IOMMUs that are PCI functions. */
	const struct pci_access *(*pci)(uint16_t segment);
	bool wide_apic_ids; /* some core's APIC id is above 254: only with x2APIC formats */
};

/* Where an interrupt goes: fixed, physical destination, edge; or a NMI, for Lamina's own devices. */
struct iommu_irq {
	uint32_t apic_id;
	uint8_t vector;
	bool nmi;
};

struct iommu_msi {
	uint64_t address;
	uint32_t data;
};

struct iommu_fault {
	struct pci_bdf source;
	uint64_t address; /* of the request, bytes; of an interrupt: its address or its index */
	bool write;
	bool interrupt;   /* an interrupt message that was blocked, not a DMA request */
	bool is_unit;     /* the unit itself has a problem: `source` and `address` mean nothing */
	uint8_t reason;   /* the vendor's code */
	const char *text; /* what it means */
	uint32_t unit;
};

/* Memory that the firmware wants a device to reach at all times: RMRR, or IVMD. */
struct iommu_reserved {
	hpa_t base;
	uint64_t size; /* bytes */
	bool all;      /* as well: any device on these buses of the segment of devices[0] */
	uint8_t first_bus, last_bus;
	uint32_t count;
	struct pci_bdf devices[IOMMU_RESERVED_DEVICES];
};

/*
 * What the front, iommu.c, wants of a vendor's driver. With the front's lock held, but for start().
 * The functions below with the same names say what they do.
 */
struct iommu_ops {
	const char *name;      /* "VT-d", "AMD-Vi" */
	const char *signature; /* of its ACPI table */
	enum status (*start)(const struct acpi_table *table, const struct iommu_env *env);
	enum status (*attach)(struct pci_bdf d, uint16_t domain, hpa_t root);
	void (*detach)(struct pci_bdf d);
	void (*flush)(uint16_t domain, const struct gfn_range *ranges, unsigned count);
	enum status (*irq_alloc)(struct pci_bdf d, unsigned count, unsigned *first);
	void (*irq_free)(struct pci_bdf d, unsigned first, unsigned count);
	enum status (*irq_set)(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			       struct iommu_msi *msi);
	enum status (*ioapic_nmi)(uint32_t ioapic_id, unsigned pin, uint32_t apic_id,
				  uint64_t *rte);
	enum status (*fault_nmi)(uint32_t apic_id);
	void (*fault_mask)(bool masked);
	bool (*next_fault)(struct iommu_fault *out);
	bool (*covers)(struct pci_bdf d);
	void (*describe)(uint32_t unit, char *text, size_t size);
};

extern const struct iommu_ops vtd_ops, amdvi_ops;

/* What a started machine has; constant afterwards. A driver's start() fills it. */
struct iommu_info {
	const struct iommu_ops *ops; /* NULL: there is no IOMMU that can be used */
	uint32_t units;
	hpa_t registers[IOMMU_UNITS_MAX]; /* of each unit: the first page */
	struct spte_format format; /* of the tables that all units can walk; for tdp_attach_dma() */
	uint32_t domains;          /* domain ids from 1 to this number can be used */
	bool irq_remap;            /* all units remap interrupts; else devices can forge them */
	bool x2apic;               /* destinations have 32 bits */
	uint32_t reserved_count;
	struct iommu_reserved reserved[IOMMU_RESERVED_MAX];
};

extern struct iommu_info iommu_info;

/*
 * Find the IOMMUs (`acpi` as acpi_init() made it; NULL: no ACPI) and turn all of them on: no device
 * reaches memory, interrupt remapping is on and blocks all, compatibility format included.
 * What the firmware has left on is taken over without a gap in which more is allowed. Boot core,
 * before other cores and before guests. ERR_NOT_FOUND: there is none. Anything else: there are some
 * that cannot be used, the log says why; those are off, and iommu_info.ops is NULL.
 */
must_check enum status iommu_start(const struct acpi *acpi, const struct iommu_env *env);

/* Is there a unit that the device's requests go through? */
bool iommu_covers(struct pci_bdf d);

/*
 * Let a device reach what the table maps: `root` is tdp_root(.., TDP_DMA) of a complete table in
 * iommu_info.format; `domain` names its guest, all devices with one `domain` have the same root.
 * ERR_NOT_FOUND: no unit covers it; ERR_NOMEM; ERR_RANGE: the domain id; ERR_BUSY: attached.
 */
must_check enum status iommu_attach(struct pci_bdf d, uint16_t domain, hpa_t root);

/* Block it again. On return no request of it is translated any more, and nothing is cached. */
void iommu_detach(struct pci_bdf d);

/*
 * Forget translations of the ranges of a domain in all units, non-leaf entries included; returns
 * when that has completed, requests under way included. Ranges may be widened up to everything.
 */
void iommu_flush(uint16_t domain, const struct gfn_range *ranges, unsigned count);

/*
 * `count` interrupts of a device, a power of two if they are for multiple-message MSI: contiguous and
 * then aligned. All blocked. ERR_NOMEM; ERR_RANGE: more than IOMMU_IRQS_PER_DEVICE; ERR_NOT_FOUND.
 */
must_check enum status iommu_irq_alloc(struct pci_bdf d, unsigned count, unsigned *first);
void iommu_irq_free(struct pci_bdf d, unsigned first, unsigned count);

/*
 * Send an interrupt that was allocated to a core; NULL: block it. Only messages of this very
 * requester are accepted. *msi (may be NULL) is what to program into the device; for one block of
 * multiple-message MSI, what the first index gives. A change is atomic: an interrupt arrives as before or
 * as after. ERR_RANGE: the APIC id does not fit the format.
 */
must_check enum status iommu_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
				     struct iommu_msi *msi);

/*
 * Lamina's own interrupt line: the redirection entry by which a pin of a physical IOAPIC (by its id in
 * the MADT) sends NMIs to a core, less polarity and mask; edge triggered. May be called again with
 * another core: then only what is in the IOMMU changes if *rte comes out the same.
 * ERR_NOT_FOUND: the tables do not name the IOAPIC, so nothing from it can pass.
 */
must_check enum status iommu_ioapic_nmi(uint32_t ioapic_id, unsigned pin, uint32_t apic_id,
					uint64_t *rte);

/*
 * Have each new fault announced as NMI to a core. ERR_UNSUPPORTED: they can only be polled.
 * iommu_fault_mask(): no NMIs for faults for the moment, they are still recorded.
 */
must_check enum status iommu_fault_nmi(uint32_t apic_id);
void iommu_fault_mask(bool masked);

/* Take the oldest fault that is recorded. False: none. Bounded: a flood is not waited for. */
bool iommu_next_fault(struct iommu_fault *out);

/* One line about a unit, for the monitor: address, scope, capabilities, what is on. */
void iommu_describe(uint32_t unit, char *text, size_t size);

#endif
