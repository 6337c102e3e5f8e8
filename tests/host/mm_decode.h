/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_MM_DECODE_H
#define LAMINA_TESTS_MM_DECODE_H

#include "mm_host.h"

/* The walkers' own view of an entry. */
struct decoded {
	bool present, leaf;
	uint64_t hpa;
	unsigned access;
	enum mem_type type;
	bool mmio;
	unsigned handler;
};

/*
 * Decode an entry of a table of that level, from the manuals and not by mm/spte.h. What hardware
 * reserves, and what is legal there but never ours, fails the test.
 */
struct decoded decode_entry(const struct walk_rules *r, uint64_t e, unsigned level);

#endif
