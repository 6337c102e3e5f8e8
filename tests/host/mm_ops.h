/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_MM_OPS_H
#define TESTS_MM_OPS_H

#include <stdio.h>

#include "mm_fixture.h"
#include "mm_model.h"

/*
 * Operations on a guest's second-level tables as data: made by chance or by a fuzzer, carried out
 * against the model (mm_model.h) under the eyes of the walkers (mm_host.h), and printed so that they
 * can be pasted into a test. Any sequence is valid, and so is what is left when some are taken out:
 * that is what shrinking a failing one needs.
 */
enum op_kind {
	OP_CREATE, /* edits: of draft `which`, which is begun if it is not under way */
	OP_DELETE,
	OP_MOVE, /* to `to` */
	OP_RESIZE,
	OP_SET_FLAGS,
	OP_REPLACE,
	OP_COMMIT,
	OP_ABORT,
	OP_FAULT, /* `access` to `gfn` */
	OP_POPULATE,
	OP_ZAP_SLOT,
	OP_ZAP_ALL,
	OP_ZAP_TABLE, /* of `level`, on the way to `gfn` */
	OP_SPLIT,     /* down to `level`, in `view` */
	OP_COLLAPSE,
	OP_SET_ZAP_ALL, /* to `on` */
	OP_SET_NX,      /* to `on` */
	OP_NX_RECOVER,  /* `npages` tables */
	OP_ATTACH,      /* a device */
	OP_DETACH,
	OP_MMIO,         /* an access to `gfn` that hardware reports as malformed */
	OP_GET_DIRTY,    /* a report of the dirty log, if there is one */
	OP_SET_LOG_MODE, /* to `on` */
	OP_KINDS,
};

struct op {
	uint8_t kind;
	uint8_t which; /* draft 0 or 1: two transactions may be under way */
	uint8_t view, level, on;
	uint8_t access, type, slot_kind, flags;
	uint8_t fail;   /* its n-th allocation fails; 0: none */
	uint8_t during; /* OP_FAULT: comes in the n-th allocation of the next operation; 0: before */
	uint16_t handler;
	uint64_t gfn, to, npages, pfn;
};

/* Where choices come from: a seed, or a fuzzer's bytes, which end in zeros. */
struct choice {
	uint64_t rng; /* not 0: a seed */
	const uint8_t *data;
	size_t size;
};

/* One of n <= 256. */
unsigned choose(struct choice *c, unsigned n);

/* A guest with an empty layout, on this CPU; and its end, where nothing may be left over. */
void ops_start(const struct variant *variant, uint64_t pool_pages);
void ops_end(void);

/* An operation that makes sense now, more or less. */
struct op ops_next(struct choice *c);

/* Carry it out, and compare everything with the model; a difference fails the test. */
void ops_apply(const struct op *op);

/* As elements of a C array. */
void ops_print(FILE *f, const struct op *op, size_t count);

/* What the tests of the tests break: the n-th flush, counted from 1, does nothing; 0: none. */
extern unsigned ops_drop_flush;

#endif
