/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_WINDOW_H
#define LAMINA_CORE_WINDOW_H

#include "core/vcpu.h"
#include "types.h"

/*
 * The hypervisor maps no guest memory but the page it is about to touch: each core has a few
 * 4 KiB windows that it points at a page and that stay valid until it points them elsewhere.
 */
enum window_slot {
	WINDOW_GUEST,
	WINDOW_SOURCE,
	WINDOW_CODE, /* of core/fetch.c: for each view of code its tables and its page ... */
	WINDOW_DATA =
		WINDOW_CODE + FETCH_CODE * (FETCH_LEVELS + 1), /* ... of operands the tables */
	WINDOW_COUNT = WINDOW_DATA + FETCH_DATA * FETCH_LEVELS
};

/* Reserve every core's windows. Boot core, after the cores are allocated. ERR_NOMEM. */
enum status must_check window_init(void);

/* The calling core's window onto the page that holds `hpa`; returns the address of that byte. */
void *window_map(enum window_slot slot, hpa_t hpa);

/* Let it show nothing. */
void window_hide(enum window_slot slot);

#endif
