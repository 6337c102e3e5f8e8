/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_WINDOW_H
#define LAMINA_CORE_WINDOW_H

#include "types.h"

/*
 * The hypervisor maps no guest memory but the page it is about to touch: each core has a few
 * 4 KiB windows that it points at a page and that stay valid until it points them elsewhere.
 */
enum window_slot {
	WINDOW_GUEST,
	WINDOW_SOURCE,
	WINDOW_FETCH, /* this one and the following four: core/fetch.h */
	WINDOW_FETCH_TABLE,
	WINDOW_COUNT = WINDOW_FETCH_TABLE + 4
};

/* Reserve every core's windows. Boot core, after the cores are allocated. ERR_NOMEM. */
enum status must_check window_init(void);

/* The calling core's window onto the page that holds `hpa`; returns the address of that byte. */
void *window_map(enum window_slot slot, hpa_t hpa);

#endif
