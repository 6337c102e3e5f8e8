/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_BENCH_MM_OPS_H
#define TESTS_BENCH_MM_OPS_H

#include "mm/tdp_mmu.h"

/* What is measured, in time by time.c and in instructions by counts.c. */

/* Formats as current processors have them: the cores' and that of the vendor's IOMMU. */
struct bench_format {
	const char *name, *dma_name;
	enum status (*init)(struct spte_format *f);
	enum status (*init_dma)(struct spte_format *f);
};

extern const struct bench_format bench_formats[];
extern const unsigned bench_format_count;

/* The circumstances. What a field means beyond its comment is up to the operation. */
struct setting {
	uint64_t bytes;  /* of the guest's memory */
	unsigned level;  /* of the leaves that its backing permits */
	unsigned slots;  /* that the operation is about, or that are there besides */
	bool apart;      /* the slot shares no table with others */
	bool misaligned; /* the slot shares its first and its last table with others */
	bool dma;        /* the guest has devices: a second view with the IOMMU's format */
	bool nx;         /* large leaves are not executable */
	enum tdp_log_mode log;
	unsigned written; /* of a logged slot: one page in so many */
};

struct bench_guest {
	struct setting setting;
	struct spte_format format, dma_format;
	struct page_budget budget;
	struct tdp tdp;
	unsigned rounds; /* runs so far */
	uint64_t *array; /* for the comparators' loops; a dirty log's report */
};

struct op {
	const char *name;
	const char *unit; /* what a run does `prepare()` times */
	uint64_t (*prepare)(struct bench_guest *g);
	void (*before)(struct bench_guest *g); /* each run, not measured; or NULL */
	void (*run)(struct bench_guest *g);
};

/* By name; exits if there is none. */
const struct op *bench_op(const char *name);

/* Only Intel's processors list the pages that they have written to. */
bool bench_possible(const struct bench_format *f, const struct setting *s);

/* A guest without memory, on a pool of its own. */
void bench_open(struct bench_guest *g, const struct bench_format *f, const struct setting *s,
		uint64_t pool_bytes);
void bench_close(struct bench_guest *g);

#endif
