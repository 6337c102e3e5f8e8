/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_SPARE_H
#define LAMINA_CORE_SPARE_H

#include "mm/slot.h"

/*
 * The spare memory: what the configuration's `spare` keeps for guests that get more while they
 * run. Handed out in contiguous blocks: private ones, which one slot of one guest shows, and
 * regions, which have a name and which any number of slots may show. Belongs to the monitor, which
 * never runs on two cores at once, so there is no lock. Pure; nothing here touches the memory.
 */
struct spare_block {
	uint64_t pfn; /* its first frame, which is its identity */
	uint64_t npages;
	uint32_t users;           /* slots that show it */
	char name[SLOT_NAME_LEN]; /* of a region; empty: private */
};

#define SPARE_BLOCKS 1024

/*
 * Take over [base, base + size), both page aligned; `blocks` has room for SPARE_BLOCKS and stays.
 * Size 0: there is none.
 */
void spare_init(hpa_t base, uint64_t size, struct spare_block *blocks);

/*
 * A block without users, aligned like the largest page that fits into it, if there is such room.
 * `name` is NULL for a private one. ERR_NOMEM: no contiguous room, or too many blocks.
 */
enum status spare_alloc(uint64_t npages, const char *name, uint64_t *pfn) must_check;

/* Another size at the same place. ERR_NOMEM: the frames behind it are not free. */
enum status spare_resize(uint64_t pfn, uint64_t npages) must_check;

/* Give a block back; it must exist and have no users. */
void spare_free(uint64_t pfn);

/* The block that holds the frame, or NULL. Valid until the next call that changes blocks. */
struct spare_block *spare_find(uint64_t pfn);
struct spare_block *spare_find_region(const char *name);

/* The i-th block by address, or NULL. */
const struct spare_block *spare_block(uint32_t i);

struct spare_usage {
	hpa_t base;
	uint64_t total, free, largest; /* bytes */
};

struct spare_usage spare_usage(void);

#endif
