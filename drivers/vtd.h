/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_VTD_H
#define LAMINA_DRIVERS_VTD_H

#include "drivers/dmar.h"
#include "drivers/iommu.h"
#include "drivers/vtd_hw.h"
#include "drivers/vtd_regs.h"

/*
 * What the files of the VT-d driver share. Everything with the lock of iommu.c held, or at boot.
 *
 * Requests are translated in legacy mode: a root table for each unit, in it a context table for
 * each bus, in that an entry for each device. All caches are invalidated through the queue, never
 * through registers.
 */
#define VTD_QUEUE_ENTRIES (PAGE_SIZE / sizeof(struct vtd_entry))
#define VTD_IRTES_ORDER   13
#define VTD_IRTES         (1u << VTD_IRTES_ORDER) /* interrupts of all devices of a segment */
#define VTD_OWN_LINES     64 /* of the serial port, and those that can be devices' INTx */
#define VTD_IRT_PAGES     (VTD_IRTES * sizeof(struct vtd_entry) / PAGE_SIZE)

struct vtd_unit {
	volatile uint8_t *regs; /* NULL: nothing usable answers there */
	uint64_t cap, ecap;
	struct vtd_entry *root;
	struct vtd_entry *queue;
	/*
	 * The interrupt-remapping table: the units of a segment share one. Not those of different
	 * segments, since an entry names a requester without its segment.
	 */
	struct vtd_entry *irt;
	volatile uint32_t *done; /* the unit writes the number of the last wait here */
	uint32_t waits;
	uint32_t tail; /* index of the next descriptor */
	uint16_t segment;
};

/* One of Lamina's own interrupt lines. */
struct vtd_line {
	uint32_t ioapic;
	unsigned pin, index;
};

struct vtd {
	struct page_budget *budget;
	uint32_t count;
	bool snoops;         /* all units see the caches; else tables are written back */
	bool irq_remap;      /* all units remap interrupts, and the machine does */
	bool x2apic;         /* destinations have 32 bits */
	bool nmi, masked;    /* faults are announced; but not now */
	uint32_t fault_turn; /* the unit to ask for faults next */
	unsigned line_count;
	struct vtd_line line[VTD_OWN_LINES];
	struct dmar dmar;
	struct vtd_unit unit[DMAR_UNITS_MAX];
};

extern struct vtd vtd;

#define for_each_vtd_unit(u) for (struct vtd_unit *u = vtd.unit; u < vtd.unit + vtd.count; u++)

/* vtd.c: the unit of a device, or NULL. */
struct vtd_unit *vtd_unit_of(struct pci_bdf d);

/* Make one qword of an entry visible to units, whole, and after all stores before it. */
void vtd_store(uint64_t *field, uint64_t v);

static inline uint16_t vtd_sid(struct pci_bdf d)
{
	return (uint16_t)(d.bus << 8 | d.device << 3 | d.function);
}

/* A structure in memory was written that units read. */
static inline void vtd_written(const void *p, size_t bytes)
{
	if (!vtd.snoops)
		vtd_write_back(p, bytes);
}

/* vtd_unit.c: look at a unit, and doubt it. Errors are logged. */
must_check enum status vtd_unit_probe(uint32_t index, const struct iommu_env *env);

/*
 * Turn a unit on: everything is blocked. Its tables exist, empty. Each step is such that a unit which
 * the firmware has left on never lets more pass than before. ERR_TIMEOUT, which is logged.
 */
must_check enum status vtd_unit_on(struct vtd_unit *u);

/* Neither translation nor interrupt remapping, whoever turned them on. */
void vtd_unit_off(struct vtd_unit *u);

/* Turn one bit of GCMD on or off; false: it did not happen within IOMMU_TIMEOUT_US. */
must_check bool vtd_command(struct vtd_unit *u, uint32_t bit, bool on);

/*
 * Old chipsets buffer stores to memory, and units read around the buffer: empty it (VT-d specification,
 * 6.8, write buffer flushing). False: time-out.
 */
must_check bool vtd_drain(struct vtd_unit *u);

/* vtd_queue.c: stop using the firmware's queue, begin to use ours. False: time-out. */
must_check bool vtd_queue_off(struct vtd_unit *u);
must_check bool vtd_queue_on(struct vtd_unit *u);

/* Add a descriptor; there is room for all that one operation wants. */
void vtd_queue(struct vtd_unit *u, uint64_t lo, uint64_t hi);

/* Let the unit begin with what was added. What was stored before is visible to it. */
void vtd_submit(struct vtd_unit *u);

/* Has all of that completed? False: time-out, or the unit refuses. */
must_check bool vtd_completed(struct vtd_unit *u);

/* Returns when it has; panics if it has not. */
void vtd_wait(struct vtd_unit *u);
void vtd_sync(struct vtd_unit *u);

/* vtd_irq.c */
enum status vtd_irq_alloc(struct pci_bdf d, unsigned count, unsigned *first);
void vtd_irq_free(struct pci_bdf d, unsigned first, unsigned count);
enum status vtd_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			struct iommu_msi *msi);
enum status vtd_ioapic_nmi(uint32_t ioapic_id, unsigned pin, uint32_t apic_id, uint64_t *rte);

/* vtd_fault.c; vtd_faults_clear(): no NMIs, and forget what has been recorded. */
void vtd_faults_clear(struct vtd_unit *u);
enum status vtd_fault_nmi(uint32_t apic_id);
void vtd_fault_mask(bool masked);
bool vtd_next_fault(struct iommu_fault *out);

#endif
