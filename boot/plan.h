/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_PLAN_H
#define LAMINA_BOOT_PLAN_H

#include "boot_info.h"

/*
 * Where the guests' memory and the hypervisor's pool go. Pure. Every range is contiguous; it is
 * aligned to 1 GiB if it is that large and the machine allows, else to 2 MiB, so that the largest
 * pages map it. Memory above 4 GiB is taken first, which leaves the low memory to the firmware
 * and its devices; nothing is taken below 16 MiB.
 */
#define PLAN_FLOOR (16ull << 20)

#define PLAN_REQUESTS (2 + CONFIG_MAX_GUESTS) /* the pool, the guests, the spare memory */

struct plan_request {
	uint64_t size; /* bytes, a multiple of 2 MiB; 0: nothing wanted */
	uint64_t base; /* result */
};

/*
 * Place all of `n` requests (at most PLAN_REQUESTS) into the usable ones of the regions,
 * or none: then the bases are undefined and the result is false.
 */
must_check bool plan_place(const struct boot_region *regions, uint32_t count,
			   struct plan_request *requests, uint32_t n);

/* The largest range that one request could get. */
uint64_t plan_largest(const struct boot_region *regions, uint32_t count);

/* All that guests and pool could get together. */
uint64_t plan_total(const struct boot_region *regions, uint32_t count);

/*
 * Bytes that the hypervisor's pool must have for the valid guests' budgets on that many cores, and
 * that it gets: what the configuration says if that is enough, else with some to spare. Multiples
 * of 2 MiB.
 */
uint64_t plan_pool_needed(const struct config *c, uint32_t cores);
uint64_t plan_pool_size(const struct config *c, uint32_t cores);

/* Bytes that are left for all guests of the file together, out of `total`, beside their pool. */
uint64_t plan_guest_room(uint64_t total, const struct config *c, uint32_t cores);

#endif
