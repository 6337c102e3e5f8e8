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
 * that are long gone from their tables. Each view has its own: the guest's cores, which walk TDP_CPU
 * whenever they are not held, and a device, which walks TDP_DMA always.
 *
 * Walkers decode entries from the manuals' tables by themselves, not by mm/spte.h, and fail the test
 * on a reserved bit.
 */
enum walk_format {
	WALK_EPT,
	WALK_NPT,
	WALK_VTD,
	WALK_AMDVI,
};

/* How a walker reads tables. */
struct walk_rules {
	enum walk_format format;
	unsigned levels;
	unsigned max_level; /* large leaves above it are reserved */
	unsigned gpa_bits;  /* no walk for addresses beyond */
	unsigned maxphyaddr;
	bool exec_only;    /* EPT */
	unsigned c_bit;    /* NPT: not reserved, and never set; 0: none */
	bool snoop;        /* VT-d: leaves have SNP, and ours must have it set */
	bool non_coherent; /* reads memory, and what is in the caches only has not got there */
	bool caching_mode; /* remembers what is absent, too (CAP.CM, NpCache) */
	bool flags;        /* EPT: EPTP turns accessed and dirty flags on */
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

/* Who walks a view, and what it has read. */
struct walker {
	const struct walk_rules *rules; /* NULL: nobody walks it */
	bool root;                      /* it may start at the root, or only go on */
	struct cache leaves, tables, absent;
};

struct machine {
	struct tdp *tdp; /* NULL: the guest does not run, nobody walks */
	struct walker walker[TDP_VIEWS];
	bool held;
	bool reading;
	/* Cores set accessed and dirty flags in each entry at the moment before it is exchanged. */
	bool busy;
	/* What another core does just after the next read section ends; or NULL. */
	void (*meanwhile)(void);
	/* What cores do in the guest, at any moment when they are not held; or NULL. No calls of mm/. */
	void (*run)(void);
	/* What they do when they leave it, for a hold or a flush; or NULL. */
	void (*leave)(void);
	/* What another core does after each store to a live entry, with `lock` held; or NULL. */
	void (*written)(void);
	/* While a transaction is under way, what it must turn the old layout into; or NULL. */
	const struct slot_set *next;
	bool checking;   /* nothing is under way: MMIO entries are those of the current slots */
	bool gaps;       /* a zap took translations away before: the old layout may be incomplete */
	uint64_t writes; /* to live entries of the cores' table ... */
	uint64_t dma_writes; /* ... and of the devices' */
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

/* Let the guest of `t` run. The rules, of whoever walks, are borrowed until machine_stop(). */
void machine_start(struct tdp *t, const struct walk_rules *cpu);

/* An IOMMU is pointed at the table of TDP_DMA: after tdp_attach_dma(). */
void machine_attach(const struct walk_rules *iommu);

/* No IOMMU points at it any more, which is not to say that none walks it: before tdp_detach_dma(). */
void machine_detach(void);

/* The guest has ended: nobody walks any more. */
void machine_stop(void);

/* Let all walkers read everything they can reach. */
void machine_walk(void);

/*
 * Walk again, then fail the test if any walker could use a translation that the current slots do
 * not contain, or that its table no longer has.
 */
void machine_check(void);

/* The translation of a frame by a fresh walk: false if there is none. */
struct translation {
	uint64_t pfn; /* of that frame */
	unsigned level, access;
	enum mem_type type;
	uint64_t end;     /* the frame behind the page, or behind the entry that has none */
	bool mmio;        /* no translation: an MMIO entry ... */
	unsigned handler; /* ... of this handler */
};

bool machine_translate(uint64_t gfn, struct translation *tr); /* for cores */
bool machine_translate_in(enum tdp_view_id view, uint64_t gfn, struct translation *tr);

/* Does whoever walks the view see the slot at all? False for NULL. */
bool machine_maps(enum tdp_view_id view, const struct slot *s);

/* Is this what the view must say about a frame of the slot? */
bool machine_matches(enum tdp_view_id view, const struct slot *s, uint64_t gfn,
		     const struct translation *tr);

/* Rights as the format of the view knows them. */
unsigned machine_rights(enum tdp_view_id view, unsigned access);

#endif
