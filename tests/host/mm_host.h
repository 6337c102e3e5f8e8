/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_MM_HOST_H
#define LAMINA_TESTS_MM_HOST_H

#include <setjmp.h>

#include "mm/mm_host.h"
#include "mm/tdp_mmu.h"

/*
 * The world around mm/ for tests: memory, and a machine that runs the guest with the worst TLBs that
 * the architecture allows. A walker remembers every entry that it could have read, leaves and
 * entries of upper levels alike, until a flush covers it, and goes on walking through upper entries
 * that are long gone from their tables. There are two: the guest's cores, which walk whenever they
 * are not held, and a device, which walks always.
 *
 * Walkers decode entries from the manuals' tables by themselves, not by mm/spte.h, and fail the test
 * on a reserved bit.
 */
enum walker {
	WALKER_CPU,
	WALKER_DEVICE,
	WALKERS,
};

/* An entry that some walker has read: its level, the first frame that it spans, and its value. */
struct cached {
	uint64_t base, value;
	unsigned level;
};

struct cache {
	struct cached *entry; /* open addressing; level 0: free */
	size_t count, size;
};

struct machine {
	struct tdp *tdp; /* NULL: the guest does not run, nobody walks */
	bool amd;        /* how walkers decode */
	unsigned maxphyaddr;
	bool exec_only;
	struct cache leaves[WALKERS], tables[WALKERS]; /* what each walker has read */
	bool held;
	bool reading;
	/* What another core does just after the next read section ends; or NULL. */
	void (*meanwhile)(void);
	/* While a transaction is under way, what it must turn the old layout into; or NULL. */
	const struct slot_set *next;
	bool gaps;       /* a zap took translations away before: the old layout may be incomplete */
	uint64_t writes; /* to live entries */
	uint64_t flushes, flushed_pages;
	uint64_t holds;
	uint64_t invalidations; /* of the hypervisor's own table */
};

extern struct machine machine;

/* Allocations until one fails; negative: none does. Counts down. */
extern long fail_after;
extern uint64_t allocations;

/* What panic() jumps to, if set; the message is kept. */
extern jmp_buf *panic_to;
extern char panic_message[256];

#define expect_panic(statement)               \
	do {                                  \
		jmp_buf to;                   \
		if (!setjmp(to)) {            \
			panic_to = &to;       \
			statement;            \
			panic_to = NULL;      \
			fail_msg("no panic"); \
		}                             \
		panic_to = NULL;              \
	} while (0)

#define TEST_POOL_HPA 0x40000000ull

/* A fresh pool of `pages`; whatever the one before had handed out is void. */
void test_pool(uint64_t pages);

/* Let the guest of `t` run. */
void machine_start(struct tdp *t, bool amd, unsigned maxphyaddr, bool exec_only);

/* The guest has ended: nobody walks any more. */
void machine_stop(void);

/* Let all walkers read everything they can reach. */
void machine_walk(void);

/*
 * Walk again, then fail the test if any walker could use a translation that the current slots do
 * not contain.
 */
void machine_check(void);

/* The translation of a frame by a fresh walk: false if there is none. */
struct translation {
	uint64_t pfn; /* of that frame */
	unsigned level, access;
	enum mem_type type;
	uint64_t end; /* the frame behind the page, or behind the empty entry */
};

bool machine_translate(uint64_t gfn, struct translation *tr);

#endif
