/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_SLOT_H
#define LAMINA_MM_SLOT_H

#include "mm/mm_types.h"
#include "mm/page_alloc.h"

/*
 * A guest's physical address space is a set of slots: sorted, disjoint, and immutable once it is
 * published. A change makes a new version of the whole set; readers hold on to the version that
 * they found. What no slot covers is emulated, by whoever looks the address up.
 */
#define SLOT_MAX      1024 /* slots in a set */
#define SLOT_NAME_LEN 18
#define SLOT_GFN_BITS 36 /* four levels translate 48 bits of guest-physical address */

enum slot_kind {
	SLOT_RAM,
	SLOT_ROM,    /* never writable; a write is reported as MMIO */
	SLOT_DEVICE, /* a device's memory; never executable */
	SLOT_SHARED, /* memory that other guests see as well */
	/*
	 * A device that software emulates: each access exits to the handler `handler`. Has no
	 * rights, no backing and no type; devices do not see it.
	 */
	SLOT_EMULATED,
};

/* Flags. */
#define SLOT_LOG 1u /* keep a dirty log; of RAM and shared memory only */

struct slot {
	gfn_t base;
	uint64_t npages; /* > 0 */
	pfn_t pfn;       /* the host frame behind `base`; the range is contiguous */
	uint8_t access;  /* ACCESS_* that the guest has */
	uint8_t type;    /* enum mem_type */
	uint8_t kind;    /* enum slot_kind */
	uint8_t flags;   /* SLOT_LOG */
	char name[SLOT_NAME_LEN];
	uint16_t handler; /* of SLOT_EMULATED, below SPTE_MMIO_HANDLERS; 0 for all others */
};

struct slot_set {
	uint64_t version;  /* counts committed transactions */
	uint32_t count;    /* of `slot` in use */
	uint32_t capacity; /* that fit into the allocation */
	struct slot slot[];
};

/*
 * A transaction: a private draft of the next version. tdp_begin() starts one, the functions below
 * edit it, tdp_commit() makes it real at one point or leaves everything as it was. After the first
 * refused edit the transaction is dead: later edits return the same error and so does the commit.
 */
struct slot_txn {
	struct slot_set *draft;
	uint64_t base_version; /* of the set that the draft was copied from */
	enum status error;     /* OK, or why the transaction was refused */
	const char *reason;    /* for the user, or NULL */
	struct slot culprit;   /* the slot that was refused */
};

/* The slot that contains the frame, or NULL. Binary search, no lock; see tdp_slots(). */
const struct slot *slot_find(const struct slot_set *set, gfn_t gfn);

/* The first slot that ends behind the frame (contains it or lies above it), or NULL. */
const struct slot *slot_next(const struct slot_set *set, gfn_t gfn);

static inline uint64_t slot_end(const struct slot *s)
{
	return s->base.v + s->npages;
}

static inline pfn_t slot_pfn(const struct slot *s, gfn_t gfn)
{
	return PFN(s->pfn.v + (gfn.v - s->base.v));
}

/*
 * The first maximal range in [from, to) where the two sets translate differently: another frame,
 * other permissions, another memory type, logged in only one or present in only one. Empty if there
 * is none.
 */
struct gfn_range slot_diff(const struct slot_set *a, const struct slot_set *b, uint64_t from,
			   uint64_t to);

/*
 * Edits. Slots are named by their first frame, which is unique. Errors: ERR_OVERLAP, ERR_RANGE
 * (beyond the guest-physical or host-physical space), ERR_INVALID (no pages, unknown kind, type or
 * flag, rights or flags that contradict the kind), ERR_NOT_FOUND, ERR_NOMEM (more slots than tdp_begin() made
 * room for).
 */
enum status slot_create(struct slot_txn *txn, const struct slot *s) must_check;
enum status slot_delete(struct slot_txn *txn, gfn_t base) must_check;
enum status slot_move(struct slot_txn *txn, gfn_t from, gfn_t to) must_check;
enum status slot_resize(struct slot_txn *txn, gfn_t base, uint64_t npages) must_check;
enum status slot_set_flags(struct slot_txn *txn, gfn_t base, unsigned flags) must_check;
/* Give the slot at s->base another size, backing, access, type, kind, flags or name. */
enum status slot_replace(struct slot_txn *txn, const struct slot *s) must_check;

/* For tdp_mmu.c: make a draft from a set (NULL: empty), and refuse a transaction. */
struct slot_set *slot_set_copy(struct page_budget *budget, const struct slot_set *from,
			       unsigned room);
enum status slot_refuse(struct slot_txn *txn, enum status error, const char *reason,
			const struct slot *culprit);

#endif
