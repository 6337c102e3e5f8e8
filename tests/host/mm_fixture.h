/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_MM_FIXTURE_H
#define TESTS_MM_FIXTURE_H

#include "mm/tdp_table.h"
#include "mm_host.h"

/*
 * One guest with its tables, made anew for each test and each format. Whatever a test does, the
 * walkers of mm_host.c look on, and nothing may be left over at its end.
 */
#define BIG_PAGES   (SIZE_2M >> PAGE_SHIFT)
#define POOL_PAGES  4096u
#define MM_VARIANTS 5

/* A format as some CPU has it. */
struct variant {
	const char *name;
	bool amd;
	uint8_t max_level;
	struct ept_caps ept;
	struct npt_caps npt;
};

extern const struct variant variants[MM_VARIANTS];

/* The test's own: */
extern const struct variant *v;
extern struct spte_format format;
extern struct page_budget budget;
extern struct tdp tdp;
extern uint64_t gib; /* pages; smaller where there are only 4 KiB pages, for speed */

/* A slot of plain memory. */
struct slot ram(uint64_t base, uint64_t npages, uint64_t pfn);

/* Transactions, watched by the walkers. Those without a result must succeed. */
void begin(struct slot_txn *txn, unsigned room);
enum status try_commit(struct slot_txn *txn);
void commit(struct slot_txn *txn);
void create(struct slot s);
void delete (uint64_t base);

/* tdp_fault() at a byte of the frame. */
enum tdp_result fault(uint64_t gfn, unsigned access, struct tdp_fault *f);

/* What the walkers find. */
void expect_mapped(uint64_t gfn, uint64_t pfn, unsigned level);
void expect_unmapped(uint64_t gfn);

/* A commit that was refused for this reason, with an explanation. */
void expect_refused(struct slot_txn *txn, enum status status, enum status expected);

struct mm_test {
	const char *name;
	void (*run)(void **state);
};

#define TEST(name)          \
	{                   \
#name, name \
	}

/* Run each test for each variant; the result of main(). */
int run_all(const struct mm_test *tests, size_t count);

#endif
