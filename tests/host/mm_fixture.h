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
#define MM_VARIANTS 15
#define MM_IOMMUS   5

/* A format as some CPU, or some IOMMU, has it. */
struct variant {
	const char *name;
	struct walk_rules walk; /* what the walkers must find */
	uint8_t legal;          /* rights that can be asked for: bit n for the ACCESS_* n */
	union {                 /* by walk.format */
		struct ept_caps ept;
		struct npt_caps npt;
		struct vtd_caps vtd;
		struct amdvi_caps amdvi;
	};
	const struct variant *iommu; /* of the guest's devices; NULL: it has none */
};

/* What the cores' table can be. IOMMUs' formats are among them: the engine is the same for all. */
extern const struct variant variants[MM_VARIANTS];
/* What a device's table can be. */
extern const struct variant iommus[MM_IOMMUS];

/* The format of a variant. */
enum status variant_format(const struct variant *variant, struct spte_format *f);

/* The test's own: */
extern const struct variant *v;
extern struct spte_format format, iommu_format;
extern struct page_budget budget;
extern struct tdp tdp;
extern uint64_t gib;     /* pages; smaller where there are only 4 KiB pages, for speed */
extern unsigned largest; /* level of the leaf for an aligned `gib` */
extern uint64_t reach;   /* the frame behind the last one that all tables can translate */

/* Give the guest a device behind this IOMMU, and take it away again. */
enum status attach_iommu(const struct variant *iommu);
void detach_iommu(void);

/* Table pages of the cores' view, the root included. */
uint64_t cpu_tables(void);

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

/* What the walkers find. The first two want a translation. */
unsigned level_of(uint64_t gfn);
unsigned access_of(uint64_t gfn);
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
