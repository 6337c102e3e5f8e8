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
 * `lock` serializes all who write the tables or publish slots. It is never taken in a read section
 * (mm_host.h). No function here may be called in one unless it says so.
 */
struct tdp_stats {
	uint64_t tables; /* table pages in use, the root included */
	uint64_t fixed;  /* faults by result ... */
	uint64_t spurious;
	uint64_t mmio;  /* counted without the lock: approximate if cores race */
	uint64_t retry; /* the same */
	uint64_t error;
	uint64_t commits;
	uint64_t refused; /* transactions that failed, for whatever reason */
	uint64_t flushes;
	uint64_t zaps;
};

struct tdp {
	const struct spte_format *format;
	struct page_budget *budget; /* pays for tables and slot sets */
	void *host;                 /* for mm_host.h */
	struct spinlock lock;
	uint64_t *root;         /* constant: the root table stays as long as the guest */
	struct slot_set *slots; /* published with release order; see tdp_slots() */
	struct tdp_stats stats; /* under `lock`, where not said otherwise */
};

/*
 * Start with an empty layout. Format, budget and host cookie are borrowed until tdp_destroy().
 * ERR_NOMEM if the budget cannot pay for the root and an empty slot set.
 */
enum status tdp_init(struct tdp *t, const struct spte_format *f, struct page_budget *budget,
		     void *host) must_check;

/* Free everything. The guest has stopped for good; its cores and devices are flushed first. */
void tdp_destroy(struct tdp *t);

/* The value for EPTP, or for nCR3. Constant until tdp_destroy(). */
uint64_t tdp_root(const struct tdp *t);

/*
 * Begin a transaction that adds at most `room` slots. ERR_NOMEM, ERR_RANGE (more than SLOT_MAX).
 * It must end in tdp_commit() or tdp_abort(). Any number may be under way; only one can win.
 */
enum status tdp_begin(struct tdp *t, struct slot_txn *txn, unsigned room) must_check;

/*
 * Make the draft the guest's layout, tables included: everything that may fail comes first, then
 * the cores are held, at most 512 entries of one table are exchanged, and the cores go on with the
 * new layout. What the old layout does not share with the new one is flushed everywhere on return,
 * so its backing may be given away. New slots are mapped at once, with the largest pages.
 *
 * On error nothing has changed, and txn->reason and txn->culprit say why: what an edit returned,
 * ERR_BUSY (another transaction was faster), ERR_UNSUPPORTED (rights that the format lacks),
 * ERR_RANGE (beyond the host's physical addresses), ERR_NOMEM. The transaction is over either way.
 */
enum status tdp_commit(struct tdp *t, struct slot_txn *txn) must_check;
void tdp_abort(struct tdp *t, struct slot_txn *txn);

enum tdp_result {
	TDP_FIXED,    /* mapped now: run the guest again */
	TDP_SPURIOUS, /* was mapped already (a stale TLB entry): run the guest again */
	TDP_RETRY,    /* the layout changed meanwhile: run the guest again */
	TDP_MMIO,     /* no slot, or a write to a slot that is read-only: emulate */
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

/* Map what slots cover in the range and is not mapped. ERR_NOMEM leaves a part mapped. */
enum status tdp_populate(struct tdp *t, gfn_t start, uint64_t npages) must_check;

/*
 * Take away all translations of the slot that begins at `base`, tables included, flushed on
 * return; the slot stays and faults map it again. ERR_NOT_FOUND.
 */
enum status tdp_zap_slot(struct tdp *t, gfn_t base) must_check;

/* The same for the whole guest. */
void tdp_zap_all(struct tdp *t);

/*
 * The current slot set. Only in a read section, and only valid until its end: this is how exit
 * handlers look slots up without a lock.
 */
const struct slot_set *tdp_slots(const struct tdp *t);

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

void tdp_lookup(struct tdp *t, gpa_t gpa, struct tdp_walk *walk);

/* Count the leaves of each level by walking everything: for the monitor. */
struct tdp_census {
	uint64_t leaves[SPTE_LEVELS_MAX + 1]; /* by level; 0 unused */
	uint64_t tables[SPTE_LEVELS_MAX + 1];
};

void tdp_census(struct tdp *t, struct tdp_census *census);

/* A copy of the counters. */
struct tdp_stats tdp_stats(struct tdp *t);

#endif
