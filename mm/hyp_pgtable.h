/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_HYP_PGTABLE_H
#define LAMINA_MM_HYP_PGTABLE_H

#include "mm/mm_types.h"
#include "mm/page_alloc.h"

/*
 * The hypervisor's own page table: four levels, NX, and never a page that is both writable and
 * executable. Wants EFER.NXE, CR0.WP and MM_HOST_PAT on each core that loads it. Not locked: the
 * boot core builds it, and later the callers of hyp_map*() take turns (core/ has the lock).
 */
struct hyp_pgtable {
	uint64_t *root; /* in the pool */
	struct page_budget *budget;
	bool page_1g;     /* the CPU has 1 GiB pages */
	uint64_t next_va; /* the next free address of the area below */
	uint64_t end_va;
};

/*
 * [area, area + area_size): addresses that hyp_map_area() hands out. ERR_NOMEM, or ERR_INVALID if
 * the area is not page aligned or not canonical.
 */
enum status hyp_pgtable_init(struct hyp_pgtable *pt, struct page_budget *budget, bool page_1g,
			     uint64_t area, uint64_t area_size) must_check;

/* For CR3. */
hpa_t hyp_pgtable_root(const struct hyp_pgtable *pt);

/*
 * Map [va, va + size) to [hpa, hpa + size), in bytes, page multiples, with the largest pages that
 * fit. Nothing there may be mapped: ERR_OVERLAP. `access` must contain ACCESS_R. ERR_DENIED: W and
 * X. ERR_INVALID: alignment, size 0, a non-canonical range. On any error nothing is mapped. No
 * invalidation is needed, as nothing was present.
 */
enum status hyp_map(struct hyp_pgtable *pt, uint64_t va, hpa_t hpa, uint64_t size, unsigned access,
		    enum mem_type type) must_check;

/*
 * The same at an address of the function's choice, with an unmapped guard page on either side: for
 * device registers, ACPI tables and stacks. The offset into the page is kept, so hpa and size may
 * be any. The address space is used up, never reused. ERR_RANGE: none left.
 */
enum status hyp_map_area(struct hyp_pgtable *pt, hpa_t hpa, uint64_t size, unsigned access,
			 enum mem_type type, void **va) must_check;

/*
 * Unmap and invalidate on the current core. The range must cover each page in it whole; what is
 * not mapped is skipped. ERR_INVALID: it cuts a large page; then nothing has changed. Other cores
 * may keep the stale translation, hence the range must not be mapped again.
 */
enum status hyp_unmap(struct hyp_pgtable *pt, uint64_t va, uint64_t size) must_check;

/* What is mapped at an address: ERR_FAULT if nothing. For dumps and tests. */
struct hyp_mapping {
	hpa_t hpa; /* of the byte */
	unsigned access;
	enum mem_type type;
	uint64_t size; /* of the page, in bytes */
};

enum status hyp_lookup(const struct hyp_pgtable *pt, uint64_t va, struct hyp_mapping *m) must_check;

/*
 * A window: one page of address space whose mapping one core changes as often as it likes, to reach
 * guest memory. Belongs to that core alone.
 */
struct hyp_window {
	uint64_t va;
	uint64_t *pte;
};

/* Prepare the tables for a window at `va` (page aligned, unmapped). ERR_NOMEM, ERR_OVERLAP. */
enum status hyp_window_init(struct hyp_pgtable *pt, struct hyp_window *w, uint64_t va) must_check;

/* Show the page that holds `hpa` (never executable) and return the address of that byte. */
void *hyp_window_show(struct hyp_window *w, hpa_t hpa, unsigned access, enum mem_type type);

/* Show nothing again. */
void hyp_window_hide(struct hyp_window *w);

#endif
