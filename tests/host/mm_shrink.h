/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_MM_SHRINK_H
#define TESTS_MM_SHRINK_H

#include "mm_ops.h"

/*
 * Random runs in child processes, so that whatever a run ends with, a failed assertion, a panic, a
 * sanitizer's report or an endless loop, its operations are known and can be tried again with fewer.
 */
#define OPS_MAX 4096u

struct ops {
	struct op op[OPS_MAX];
	size_t count;
};

/* Carry out `count` random operations. True if all is well; else `made` has what led to the end. */
bool ops_run_random(const struct variant *variant, uint64_t seed, size_t count, struct ops *made);

/* Carry these out. True if all is well; `output`, if not NULL, gets what the run had to say. */
bool ops_run(const struct variant *variant, const struct ops *ops, char *output, size_t size);

/* Make a failing sequence short and its numbers simple, as long as it fails. Returns the runs made. */
unsigned ops_shrink(const struct variant *variant, struct ops *ops);

#endif
