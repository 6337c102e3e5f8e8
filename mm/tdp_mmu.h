/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_TDP_MMU_H
#define LAMINA_MM_TDP_MMU_H

#include "mm/page_alloc.h"
#include "mm/slot.h"
#include "mm/spte.h"
#include "spinlock.h"

/*
 * The second-level ("two-dimensional paging") tables of one guest and its slots. docs/mmu.md
 * explains the design.
 *
 * Two locks, taken in this order, none of them in a read section (mm_host.h):
 *  - `layout_lock`, for long work: whoever changes slots, or unlinks and frees tables. No fault
 *    ever waits for it.
 *  - `lock`, for short work: each store to a live entry, and the exchange of the slot set. What is
 *    done under it is bounded by a few tables, whatever the guest's size.
 * No function here may be called in a read section, or with a lock held, unless it says so.
 */
struct tdp_stats {
	uint64_t tables; /* table pages in use, roots included; atomic */
	uint64_t fixed;  /* faults by result, under `lock` ... */
	uint64_t spurious;
	uint64_t mmio;         /* ... but these are counted without it: approximate if cores race */
	uint64_t mmio_entries; /* the same; accesses that tdp_mmio() knew */
	uint64_t retry;        /* the same */
	uint64_t error;        /* the same */
	uint64_t commits;
	uint64_t refused;        /* transactions that failed, for whatever reason */
	uint64_t prepared_again; /* transactions that a fault overtook */
	uint64_t flushes;
	uint64_t zaps;
	uint64_t splits;       /* large leaves split in place, for whatever reason */
	uint64_t collapses;    /* tables merged back in place */
	uint64_t nx_splits;    /* of `splits`: to make a page executable */
	uint64_t nx_recovered; /* of `collapses`: by tdp_nx_recover() */
	uint64_t log_grants;   /* of `fixed`: first writes to a page or region of a logged slot */
	uint64_t harvests;     /* calls of tdp_dirty_get_clear() ... */
	uint64_t dirty;        /* ... and the pages that they reported */
};

/* A table of the guest, with the walker that it is for. */
struct tdp_view {
	struct tdp *tdp;
	enum tdp_view_id id;
	const struct spte_format *format;
	uint64_t *root; /* NULL: there is no such view. Else constant. */
};

/* How the first write to a page of a logged slot is noticed. */
enum tdp_log_mode {
	TDP_LOG_WP,  /* by write protection: a fault for each page */
	TDP_LOG_D,   /* by the dirty flags: a harvest looks at each entry */
	TDP_LOG_PML, /* the same, and the core lists the pages: a harvest looks at those only */
};

struct tdp_log_set;

struct tdp {
	struct page_budget *budget; /* pays for tables and slot sets */
	void *host;                 /* for mm_host.h */
	struct spinlock layout_lock;
	struct spinlock lock;
	struct tdp_view view[TDP_VIEWS];
	struct slot_set *slots; /* published with release order; see tdp_slots() */
	uint64_t
		changes; /* of tables, by faults; under `lock`. Tells a transaction to start over. */
	struct tdp_log_set *logs;   /* of the slots with SLOT_LOG; NULL: none. As `slots` */
	enum tdp_log_mode log_mode; /* changes under both locks, while there are no logs */
	bool zap_all;               /* under layout_lock */
	bool nx_huge;               /* no executable large leaves; written under both locks */
	struct page_list nx_list;   /* tables that exist because of it, the oldest first; `lock` */
	struct tdp_stats stats;     /* under `lock`, where not said otherwise */
};

/*
 * Start with an empty layout. Format, budget and host cookie are borrowed until tdp_destroy().
 * ERR_NOMEM if the budget cannot pay for the root and an empty slot set.
 */
enum status tdp_init(struct tdp *t, const struct spte_format *f, struct page_budget *budget,
		     void *host) must_check;

/* Free everything. The guest has stopped for good; its cores and devices are flushed first. */
void tdp_destroy(struct tdp *t);

/* The value for EPTP, for nCR3, or the address for the IOMMU's entry. Constant while it exists. */
uint64_t tdp_root(const struct tdp *t, enum tdp_view_id view);

/*
 * Make the table for the guest's devices: complete on return, since devices cannot retry, and kept
 * so by every transaction from then on. Only memory is in it (RAM, ROM, shared), no device's
 * registers. Called before any IOMMU is pointed at the table. ERR_NOMEM; ERR_RANGE if the format
 * cannot reach a slot; ERR_BUSY if there is one already; ERR_UNSUPPORTED while a slot has a dirty log,
 * which would miss what devices write.
 */
enum status tdp_attach_dma(struct tdp *t, const struct spte_format *f) must_check;

/* Free it. No IOMMU points at it any more; whatever they still cache is flushed here. */
void tdp_detach_dma(struct tdp *t);

/*
 * Begin a transaction that adds at most `room` slots. ERR_NOMEM, ERR_RANGE (more than SLOT_MAX).
 * It must end in tdp_commit() or tdp_abort(). Any number may be under way; only one can win.
 */
enum status tdp_begin(struct tdp *t, struct slot_txn *txn, unsigned room) must_check;

/*
 * Make the draft the guest's layout, tables included: everything that may fail comes first, then
 * the cores are held, at most 512 entries of one table of each view are exchanged, and the cores go
 * on with the new layout. What the old layout does not share with the new one is flushed everywhere
 * on return, so its backing may be given away. New slots are mapped at once, with the largest pages.
 *
 * On error nothing has changed, and txn->reason and txn->culprit say why: what an edit returned,
 * ERR_BUSY (another transaction was faster), ERR_UNSUPPORTED (rights that the format lacks, or
 * a dirty log of what devices may write), ERR_RANGE (beyond the host's physical addresses, or what
 * the IOMMU translates), ERR_NOMEM. The transaction is over either way.
 */
enum status tdp_commit(struct tdp *t, struct slot_txn *txn) must_check;
void tdp_abort(struct tdp *t, struct slot_txn *txn);

enum tdp_result {
	TDP_FIXED,    /* mapped now: run the guest again */
	TDP_SPURIOUS, /* was mapped already (a stale TLB entry): run the guest again */
	TDP_RETRY,    /* the layout changed meanwhile: run the guest again */
	TDP_MMIO,     /* no slot, an emulated one, or a write to one that is read-only: emulate */
	TDP_ERROR,    /* `error` says why: stop the guest */
};

struct tdp_fault {
	gpa_t gpa;
	uint8_t access; /* ACCESS_* that the guest attempted */
	/* Out: */
	bool has_slot;     /* TDP_MMIO or TDP_ERROR in a slot ... */
	struct slot slot;  /* ... this one, a copy */
	enum status error; /* ERR_DENIED: the slot forbids it. ERR_NOMEM: budget exhausted. */
};

/* Handle an EPT violation or a nested page fault. On the faulting core, outside read sections. */
enum tdp_result tdp_fault(struct tdp *t, struct tdp_fault *fault) must_check;

/*
 * The hardware reports an entry that it takes for malformed (EPT misconfiguration; a nested fault for
 * reserved bits). TDP_MMIO: it is an emulated device's, of this handler. TDP_RETRY: it was, but the
 * layout has changed since: run the guest again. TDP_ERROR: none of ours. Without a lock, unless it
 * is not MMIO. On the faulting core, outside read sections.
 */
enum tdp_result tdp_mmio(struct tdp *t, gpa_t gpa, unsigned *handler) must_check;

/*
 * Map what slots cover in the range and the cores' table does not map. ERR_NOMEM leaves a part
 * mapped; ERR_RANGE: beyond the guest-physical space.
 */
enum status tdp_populate(struct tdp *t, gfn_t start, uint64_t npages) must_check;

/*
 * Take away all translations of the slot that begins at `base` from the cores' table, flushed on
 * return; the slot stays and faults map it again. Devices keep theirs. ERR_NOT_FOUND.
 */
enum status tdp_zap_slot(struct tdp *t, gfn_t base) must_check;

/* The same for all slots. */
void tdp_zap_all(struct tdp *t);

/*
 * Take away what one table of the cores' translates, by its back-pointer and not by a walk from the
 * root. The address may come from an earlier look (tdp_lookup()) and be out of date:
 * ERR_NOT_FOUND if no table below the root is there now.
 */
enum status tdp_zap_table(struct tdp *t, hpa_t table) must_check;

/*
 * Diagnosis: each transaction that changes a translation also zaps all the rest of the cores' table.
 * Slower, and it must not change what any guest can see.
 */
void tdp_set_zap_all(struct tdp *t, bool on);

/*
 * Split in place the leaf that maps the frame, until a leaf of at most `level` does. Whoever uses
 * it does not notice. OK if nothing is to be done; ERR_NOT_FOUND if nothing is mapped; ERR_NOMEM.
 */
enum status tdp_split(struct tdp *t, enum tdp_view_id view, gfn_t gfn, unsigned level) must_check;

/*
 * Merge in place what the slots allow to be one large leaf, in both views, where it touches the
 * range. Returns how many tables that freed.
 */
uint64_t tdp_collapse(struct tdp *t, gfn_t start, uint64_t npages);

/*
 * iTLB multihit (CVE-2018-12207): while it is on, large leaves are never executable. A fetch splits
 * them in place down to the one page. Switching it zaps the cores' table, if it has anything mapped,
 * which is then filled anew by faults; transactions and faults go on meanwhile.
 */
void tdp_set_nx_huge(struct tdp *t, bool on);

/*
 * Look at those `max` of the regions that were split for a fetch that wait longest, and merge those
 * in place of which no executable page has been accessed since the last look; where hardware keeps
 * no accessed flags, those that were looked at before. One flush, under `lock`: call it with few.
 * Returns how many were merged.
 */
unsigned tdp_nx_recover(struct tdp *t, unsigned max);

/* The same, but nothing is done while somebody changes the layout: for exits, which must not wait. */
unsigned tdp_nx_try_recover(struct tdp *t, unsigned max);

/*
 * Dirty logs. A slot with SLOT_LOG has one from the commit that sets the flag to the one that clears
 * it. What a transaction does to a log: it survives where the slot keeps its frames; pages that get
 * other backing count as written, whatever they held before.
 *
 * It is about what this guest's cores write through this slot: not about a second slot, of whichever
 * guest, that shows the same memory. Not less than that is reported, and what is in excess comes from here: a page that a
 * transaction has given other backing; one that the hypervisor has written to; one that holds
 * tables of the guest, since walks of them count as writes (SDM vol. 3, 29.3.5; APM vol. 2, 15.25.5);
 * and in TDP_LOG_PML one that was in a core's buffer when its log began.
 */

/*
 * Report what was written in the range, which lies in one logged slot, since the last report, and
 * begin anew. Bit n % 64 of bitmap[n / 64] says so of frame ALIGN_DOWN(start, 64) + n; bits outside
 * of the range are 0. `bitmap` may be NULL; *count becomes the number of pages. A write that
 * completes after the return is in a later report. ERR_NOT_FOUND: no slot, or not all in one that
 * has a log; ERR_INVALID: no pages.
 */
enum status tdp_dirty_get_clear(struct tdp *t, gfn_t start, uint64_t npages, uint64_t *bitmap,
				uint64_t *count) must_check;

/*
 * A core other than through the cores' table has written to the frame: the hypervisor, in the same
 * read section and after the write; or a list of pages that the core has kept for TDP_LOG_PML.
 */
void tdp_mark_dirty(const struct tdp *t, gfn_t gfn);

/* Does any slot have a log? Changes only while the cores are held. Any context. */
static inline bool tdp_logging(const struct tdp *t)
{
	return __atomic_load_n(&t->logs, __ATOMIC_ACQUIRE);
}

/*
 * The mode is TDP_LOG_D where the cores' format has dirty flags, else TDP_LOG_WP, until it is
 * changed: ERR_BUSY while some slot has a log, ERR_UNSUPPORTED without dirty flags. TDP_LOG_PML only
 * if each core hands its list to tdp_mark_dirty() whenever it leaves the guest, before mm_hold() or
 * mm_flush() take it for out.
 */
enum status tdp_set_log_mode(struct tdp *t, enum tdp_log_mode mode) must_check;

/*
 * The current slot set. Only in a read section, and only valid until its end: this is how exit
 * handlers look slots up without a lock.
 */
static inline const struct slot_set *tdp_slots(const struct tdp *t)
{
	return __atomic_load_n(&t->slots, __ATOMIC_ACQUIRE);
}

/*
 * Where the hypervisor finds a guest's byte, if the guest itself may access it so: *hpa, and in
 * *left the bytes that follow contiguously up to the end of the slot. Only in a read section; the
 * result is valid until its end. ERR_FAULT: no slot, a device's, or not that way.
 */
enum status tdp_translate(const struct tdp *t, gpa_t gpa, unsigned access, hpa_t *hpa,
			  uint64_t *left) must_check;

/* A walk as hardware would do it, each step for the reader. */
struct tdp_step {
	unsigned level;
	unsigned index;
	hpa_t table;    /* where the entry lies: table + index * 8 */
	uint64_t entry; /* as read */
	struct spte_info info;
};

struct tdp_walk {
	unsigned steps;
	struct tdp_step step[SPTE_LEVELS_MAX]; /* from the root down; the last one decides */
	bool mapped;
	unsigned level; /* of the leaf */
	unsigned access;
	enum mem_type type;
	hpa_t hpa; /* of the byte */
};

/* Nothing is mapped in a view that does not exist. */
void tdp_lookup(struct tdp *t, enum tdp_view_id view, gpa_t gpa, struct tdp_walk *walk);

/* Count the leaves of each level by walking everything: for the monitor. */
struct tdp_census {
	uint64_t leaves[SPTE_LEVELS_MAX + 1]; /* by level; 0 unused */
	uint64_t tables[SPTE_LEVELS_MAX + 1];
};

void tdp_census(struct tdp *t, enum tdp_view_id view, struct tdp_census *census);

/* An access to a device of which the caller knew that without asking. */
static inline void tdp_note_mmio(struct tdp *t)
{
	uint64_t *counter = &t->stats.mmio_entries;

	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* A copy of the counters. */
struct tdp_stats tdp_stats(struct tdp *t);

#endif
