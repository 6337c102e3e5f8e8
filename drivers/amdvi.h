/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_AMDVI_H
#define LAMINA_DRIVERS_AMDVI_H

#include "drivers/iommu.h"
#include "drivers/ivrs.h"

/*
 * AMD's IOMMU (AMD I/O Virtualization Technology (IOMMU) Specification, 48882), inside:
 *   amdvi.c        finding and starting the units
 *   amdvi_dev.c    device table: who reaches what
 *   amdvi_irq.c    interrupt remapping tables
 *   amdvi_cmd.c    command buffer: invalidations, and waiting for them
 *   amdvi_event.c  event log
 *   amdvi_hw.c     what the host tests replace by a model of the hardware
 * The front's lock, iommu.c, covers all of it.
 */
#define AMDVI_RING_ENTRIES 256u /* of 16 bytes, a page: command buffer and event log */
#define AMDVI_UNITS_MAX    IVRS_UNITS_MAX
#define AMDVI_SEGMENTS_MAX 8u
#define AMDVI_SOURCES_MAX  256u
#define DEVICE_IDS         65536u
#define AMDVI_MMIO_SIZE    0x4000u /* with performance counters it is more, which nobody needs */

struct amdvi_unit {
	volatile void *regs;
	uint32_t index;
	struct pci_bdf bdf;
	const struct pci_access *pci; /* NULL: its configuration space cannot be reached */
	uint64_t efr;                 /* extended features; 0: it has none */
	uint64_t control;             /* the register, as written last */
	bool np_cache;                /* remembers what is not mapped */
	bool event_nmi;               /* its MSI sends NMIs */
	bool event_late;              /* the oldest event was not there the last time */
	uint64_t *commands;           /* ring */
	uint32_t tail;                /* of it, entries */
	uint32_t pending;             /* commands since the last that was waited for */
	bool dead;                    /* it did not complete some in time, and gets no more */
	volatile uint64_t *done;      /* the unit stores `sequence` here */
	uint64_t sequence;
	uint64_t *events; /* ring */
	uint32_t head;    /* of it, entries */
};

/* One device table for the units of a segment: 65536 entries of four quadwords. */
struct amdvi_segment {
	uint16_t number;
	uint64_t (*table)[4];
};

/*
 * What is known about a DeviceID that a function has, or that its requests carry instead (alias);
 * its device table entry follows from that. Interrupt tables belong to aliases, since functions with
 * the same alias cannot be told apart. Most functions are their own alias. Never given back.
 */
struct amdvi_source {
	struct amdvi_segment *segment; /* NULL: free */
	uint16_t id, alias;
	bool attached;  /* a function with this id */
	uint16_t users; /* attached functions with this alias */
	uint16_t domain;
	hpa_t root;
	bool nmi;      /* this id may send NMIs */
	uint8_t *irqs; /* interrupt remapping table, or NULL */
	uint64_t irq_used[IOMMU_IRQS_PER_DEVICE / 64];
	uint64_t irq_nmi[IOMMU_IRQS_PER_DEVICE / 64]; /* those are NMIs, past the table */
};

struct amdvi {
	struct page_budget *budget;
	struct ivrs ivrs;
	uint32_t unit_count;
	struct amdvi_unit units[AMDVI_UNITS_MAX];
	uint32_t segment_count;
	struct amdvi_segment segments[AMDVI_SEGMENTS_MAX];
	struct amdvi_source *sources; /* AMDVI_SOURCES_MAX of them */
	uint64_t *stores;             /* a page, where units say that they are done */
	void *empty;                  /* a table of second level in which nothing is mapped */
	bool ga;                      /* interrupt tables have entries of 128 bits */
	bool xt;                      /* with destinations of 32 bits */
};

extern struct amdvi amdvi;

/* MMIO registers (chapter 3). */
#define AMDVI_DEVICE_TABLE    0x0000
#define AMDVI_COMMAND_BASE    0x0008
#define AMDVI_EVENT_BASE      0x0010
#define AMDVI_CONTROL         0x0018
#define AMDVI_EXCLUSION_BASE  0x0020
#define AMDVI_EXCLUSION_LIMIT 0x0028
#define AMDVI_EFR             0x0030
#define AMDVI_SMI_FILTER(n)   (0x0060 + 8 * (n))
#define AMDVI_COMMAND_HEAD    0x2000
#define AMDVI_COMMAND_TAIL    0x2008
#define AMDVI_EVENT_HEAD      0x2010
#define AMDVI_EVENT_TAIL      0x2018
#define AMDVI_STATUS          0x2020

#define AMDVI_RING_LENGTH (8ull << 56) /* log2(AMDVI_RING_ENTRIES), in the base registers */

#define CONTROL_IOMMU_EN     BIT(0)
#define CONTROL_HT_TUN_EN    BIT(1)
#define CONTROL_EVENT_LOG_EN BIT(2)
#define CONTROL_EVENT_INT_EN BIT(3)
#define CONTROL_PASS_PW      BIT(8)
#define CONTROL_RES_PASS_PW  BIT(9)
#define CONTROL_COHERENT     BIT(10)
#define CONTROL_ISOC         BIT(11)
#define CONTROL_CMD_BUF_EN   BIT(12)
#define CONTROL_GA_EN        BIT(17)
#define CONTROL_SMI_FILTER   BIT(22)
#define CONTROL_XT_EN        BIT(50)
/* Logs, interrupts and the command buffer: off while their memory changes. */
#define CONTROL_RINGS (BITS(4, 2) | BITS(15, 12) | BITS(29, 28))

#define STATUS_EVENT_OVERFLOW BIT(0)
#define STATUS_EVENT_LOG_INT  BIT(1)
#define STATUS_EVENT_LOG_RUN  BIT(3)
#define STATUS_CMD_BUF_RUN    BIT(4)
#define STATUS_PPR_LOG_RUN    BIT(7)
#define STATUS_GA_LOG_RUN     BIT(8)
#define STATUS_RUN \
	(STATUS_EVENT_LOG_RUN | STATUS_CMD_BUF_RUN | STATUS_PPR_LOG_RUN | STATUS_GA_LOG_RUN)
#define STATUS_CLEAR (BITS(2, 0) | BITS(6, 5) | BITS(10, 9)) /* write 1 to clear */

#define EFR_XT_SUP         BIT(2)
#define EFR_IA_SUP         BIT(6)
#define EFR_GA_SUP         BIT(7)
#define EFR_HATS(e)        (((e) >> 10) & 3)
#define EFR_SMI_FILTER(e)  ((((e) >> 16) & 3) == 1)
#define EFR_SMI_FILTERS(e) (1u << (((e) >> 18) & 7))

#define SMI_FILTER_VALID BIT(16) /* SMIs of the DeviceID in 15:0 pass */
#define SMI_FILTER_LOCK  BIT(17) /* until reset */

/* Device table entry (2.2.2.1), by quadword. */
#define DTE0_V       BIT(0)
#define DTE0_TV      BIT(1)
#define DTE0_MODE(n) ((uint64_t)(n) << 9)
#define DTE0_IR      BIT(61)
#define DTE0_IW      BIT(62)

#define DTE2_IV          BIT(0)
#define DTE2_INT_TAB_LEN (8ull << 1) /* log2(IOMMU_IRQS_PER_DEVICE) */
#define DTE2_NMI_PASS    BIT(58)
#define DTE2_INT_CTL_MAP (2ull << 60)

/* --- hardware: amdvi_hw.c --- */

uint64_t amdvi_read(const struct amdvi_unit *u, uint32_t reg);
void amdvi_write(const struct amdvi_unit *u, uint32_t reg, uint64_t v);

/* One store of 16 bytes, aligned: a reader sees the old or the new ones. */
void amdvi_store(uint64_t *to, uint64_t low, uint64_t high);

/* A clock that only moves forwards. */
uint64_t amdvi_now_us(void);

/* --- amdvi_cmd.c: commands are queued, amdvi_wait() has them done --- */

void amdvi_invalidate_all(struct amdvi_unit *u);
void amdvi_invalidate_device(struct amdvi_unit *u, uint16_t id);
void amdvi_invalidate_irqs(struct amdvi_unit *u, uint16_t id);
void amdvi_invalidate_domain(struct amdvi_unit *u, uint16_t domain);
void amdvi_invalidate_range(struct amdvi_unit *u, uint16_t domain, const struct gfn_range *r);

/* All that was queued for a unit. False: IOMMU_TIMEOUT_US are over. */
must_check bool amdvi_wait(struct amdvi_unit *u);

/* The same for all units; panics when one does not. */
void amdvi_wait_all(void);

/* --- amdvi_dev.c --- */

struct amdvi_segment *amdvi_segment(uint16_t number);

/* All DeviceIDs of a segment that no unit uses yet: neither DMA nor interrupts. */
void amdvi_block_all(struct amdvi_segment *s);

/*
 * Find, or make: of an id that is not its own alias, the alias has to be made first, as
 * amdvi_source() does. ERR_NOMEM; ERR_NOT_FOUND: no unit covers it, or IVRS contradicts itself.
 */
enum status amdvi_source(struct pci_bdf d, struct amdvi_source **out) must_check;
enum status amdvi_source_by_id(struct amdvi_segment *segment, uint16_t id, uint16_t alias,
			       struct amdvi_source **out) must_check;

/* What was made for a function; NULL: nothing. */
struct amdvi_source *amdvi_find(struct pci_bdf d);

struct amdvi_source *amdvi_alias(const struct amdvi_source *x);

/* Write the entries of an id, and of all that share its alias; units no longer use others on return. */
void amdvi_update(struct amdvi_source *x);

enum status amdvi_attach(struct pci_bdf d, uint16_t domain, hpa_t root) must_check;
void amdvi_detach(struct pci_bdf d);

/* --- amdvi_irq.c --- */

enum status amdvi_irq_alloc(struct pci_bdf d, unsigned count, unsigned *first) must_check;
void amdvi_irq_free(struct pci_bdf d, unsigned first, unsigned count);
enum status amdvi_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			  struct iommu_msi *msi) must_check;
enum status amdvi_ioapic_nmi(uint32_t ioapic_id, unsigned pin, uint32_t apic_id,
			     uint64_t *rte) must_check;

/* --- amdvi_event.c --- */

enum status amdvi_fault_nmi(uint32_t apic_id) must_check;
void amdvi_fault_mask(bool masked);
bool amdvi_next_fault(struct iommu_fault *out);

#endif
