/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_GUEST_SLOTS_H
#define LAMINA_CORE_GUEST_SLOTS_H

#include "core/guest.h"
#include "core/spare.h"

/*
 * Changes of a guest's memory while it runs, in any of its states. A layout is a transaction of
 * mm/ together with the spare memory that it takes and gives back; either all of its edits become
 * real at one point, or none. Only for the monitor: one layout at a time.
 *
 * What a guest has had since its start (its RAM, where its kernel is loaded, and the page of its
 * local APIC) cannot be changed, nor can the addresses of emulated devices be covered: ERR_DENIED,
 * ERR_OVERLAP. Everything else is the user's choice, even to take away memory that is in use.
 *
 * Fresh backing is zeroed before the guest sees it. What is given back is so only after the flush,
 * and nobody else sees its contents. Edits survive stop, start and reset of the guest.
 */
#define LAYOUT_EDITS 32

struct layout_change {
	enum {
		LAYOUT_NEW,  /* a private block was allocated */
		LAYOUT_SHOW, /* a slot more shows the block */
		LAYOUT_HIDE, /* a slot less does */
		LAYOUT_SIZE, /* a private block gets another size */
	} kind;
	uint64_t pfn;
	uint64_t old_npages, npages; /* LAYOUT_SIZE */
};

struct layout {
	struct guest *g;
	struct slot_txn txn; /* its `reason` and `culprit` say why an edit was refused */
	unsigned count;
	struct layout_change changes[3 * LAYOUT_EDITS];
};

/* Begin; at most LAYOUT_EDITS edits. It must end in layout_commit() or layout_abort(). */
enum status layout_begin(struct layout *l, struct guest *g) must_check;
enum status layout_commit(struct layout *l) must_check;
void layout_abort(struct layout *l);

/*
 * Edits. Addresses and sizes in bytes; a slot is named by its first address. On error the layout
 * is refused as a whole: end it by layout_abort().
 */
enum status layout_add(struct layout *l, uint64_t gpa, uint64_t size, unsigned access,
		       const char *name) must_check;
enum status layout_map(struct layout *l, const char *region, uint64_t gpa,
		       unsigned access) must_check;
enum status layout_remove(struct layout *l, uint64_t gpa) must_check;
enum status layout_move(struct layout *l, uint64_t from, uint64_t to) must_check;
enum status layout_resize(struct layout *l, uint64_t gpa, uint64_t size) must_check;
enum status layout_protect(struct layout *l, uint64_t gpa, unsigned access) must_check;
/* Other backing of the same size behind a slot: a region, or (NULL) fresh private memory. */
enum status layout_replace(struct layout *l, uint64_t gpa, const char *region) must_check;

/* Boot core, before the monitor runs: the spare memory. */
void guest_slots_init(const struct boot_info *bi);

/* A region for several guests, zeroed. ERR_BUSY: the name is taken. ERR_NOMEM. */
enum status region_create(const char *name, uint64_t size) must_check;
/* ERR_NOT_FOUND; ERR_BUSY: some slot shows it. */
enum status region_destroy(const char *name) must_check;

#endif
