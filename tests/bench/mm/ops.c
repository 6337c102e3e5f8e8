/* SPDX-License-Identifier: BSD-2-Clause */
#include "ops.h"

#include <stdlib.h>
#include <string.h>

#include "host.h"

#define PAGES_2M (SIZE_2M >> PAGE_SHIFT)
#define PAGES_1G (SIZE_1G >> PAGE_SHIFT)

/* Backing: where the guest's memory lies, and where else. Both are aligned to 1 GiB. */
#define BACKING_A 0x10000000ull
#define BACKING_B 0x30000000ull

static enum status init_ept(struct spte_format *f)
{
	return spte_format_ept(f, &(struct ept_caps){ .maxphyaddr = 46,
						      .exec_only = true,
						      .walk_4 = true,
						      .wb = true,
						      .page_2m = true,
						      .page_1g = true,
						      .ad = true });
}

static enum status init_npt(struct spte_format *f)
{
	return spte_format_npt(f,
			       &(struct npt_caps){ .maxphyaddr = 48, .page_1g = true, .nx = true });
}

static enum status init_vtd(struct spte_format *f)
{
	return spte_format_vtd(f, &(struct vtd_caps){ .haw = 46,
						      .mgaw = 48,
						      .agaw_48 = true,
						      .page_2m = true,
						      .page_1g = true,
						      .snoop = true });
}

static enum status init_amdvi(struct spte_format *f)
{
	return spte_format_amdvi(f, &(struct amdvi_caps){ .pa_bits = 48, .va_bits = 64 });
}

const struct bench_format bench_formats[] = {
	{ "EPT", "VT-d", init_ept, init_vtd },
	{ "NPT", "AMD-Vi", init_npt, init_amdvi },
};
const unsigned bench_format_count = ARRAY_SIZE(bench_formats);

bool bench_possible(const struct bench_format *f, const struct setting *s)
{
	return s->log != TDP_LOG_PML || f->init == init_ept;
}

static void must(enum status status, const char *what)
{
	if (status)
		bench_fail("%s: error %d", what, status);
}

void bench_open(struct bench_guest *g, const struct bench_format *f, const struct setting *s,
		uint64_t pool_bytes)
{
	*g = (struct bench_guest){ .setting = *s };
	bench_pool(pool_bytes);
	must(f->init(&g->format), f->name);
	must(page_budget_init(&g->budget, "guest", page_pool_unreserved()), "budget");
	must(tdp_init(&g->tdp, &g->format, &g->budget, NULL), "tdp_init");
	if (s->nx)
		tdp_set_nx_huge(&g->tdp, true);
	if (s->dma) {
		must(f->init_dma(&g->dma_format), f->dma_name);
		must(tdp_attach_dma(&g->tdp, &g->dma_format), "tdp_attach_dma");
	}
}

void bench_close(struct bench_guest *g)
{
	free(g->array);
	tdp_destroy(&g->tdp);
	page_budget_exit(&g->budget);
}

/* The frame behind a guest's frame that allows leaves of this level and no larger ones. */
static uint64_t backing(uint64_t area, unsigned level, uint64_t gfn)
{
	return area + gfn + (level == 1 ? 1 : level == 2 ? PAGES_2M : 0);
}

static struct slot memory(const struct bench_guest *g, uint64_t area, uint64_t base, uint64_t end)
{
	return (struct slot){ .base = GFN(base),
			      .npages = end - base,
			      .pfn = PFN(backing(area, g->setting.level, base)),
			      .access = ACCESS_RWX,
			      .type = MEM_WB,
			      .kind = SLOT_RAM,
			      .name = "ram" };
}

static void begin(struct bench_guest *g, struct slot_txn *txn, unsigned room)
{
	must(tdp_begin(&g->tdp, txn, room), "tdp_begin");
}

static void commit(struct bench_guest *g, struct slot_txn *txn)
{
	if (tdp_commit(&g->tdp, txn))
		bench_fail("commit refused: %s", txn->reason);
}

static void add(struct bench_guest *g, struct slot s)
{
	struct slot_txn txn;

	begin(g, &txn, 1);
	must(slot_create(&txn, &s), "slot_create");
	commit(g, &txn);
}

static void drop(struct bench_guest *g, uint64_t base)
{
	struct slot_txn txn;

	begin(g, &txn, 0);
	must(slot_delete(&txn, GFN(base)), "slot_delete");
	commit(g, &txn);
}

static void fault_in(struct bench_guest *g, uint64_t start, uint64_t end)
{
	uint64_t span = spte_span(g->setting.level);

	for (uint64_t gfn = start; gfn < end; gfn += span) {
		struct tdp_fault f = { .gpa = GPA(gfn << PAGE_SHIFT), .access = ACCESS_R };

		if (tdp_fault(&g->tdp, &f) != TDP_FIXED)
			bench_fail("the fault at frame %#llx was not one", (unsigned long long)gfn);
	}
}

static uint64_t guest_pages(const struct bench_guest *g)
{
	return g->setting.bytes >> PAGE_SHIFT;
}

/* One small slot in a large guest, in the middle of its memory or somewhere else. */

static uint64_t small_base(const struct bench_guest *g)
{
	return g->setting.apart ? guest_pages(g) + PAGES_1G : guest_pages(g) / 2 + 77;
}

static struct slot small_slot(const struct bench_guest *g)
{
	struct slot s = memory(g, BACKING_B, small_base(g), small_base(g) + 1);

	memcpy(s.name, "small", sizeof("small"));
	return s;
}

static uint64_t prepare_small(struct bench_guest *g)
{
	uint64_t at = small_base(g), pages = guest_pages(g);

	for (unsigned i = 0; i < g->setting.slots; i++) {
		uint64_t base = pages + 2 * PAGES_1G + i * PAGES_2M;

		add(g, memory(g, BACKING_A, base, base + 1));
	}
	add(g, memory(g, BACKING_A, 0, min_u64(at, pages)));
	if (!g->setting.apart)
		add(g, memory(g, BACKING_A, at + 1, pages));
	add(g, small_slot(g));
	return 1;
}

static void run_recreate(struct bench_guest *g)
{
	drop(g, small_base(g));
	add(g, small_slot(g));
}

/* The comparator: with each deletion everything goes, and comes back fault by fault. */
static void run_zap_all(struct bench_guest *g)
{
	uint64_t at = small_base(g), pages = guest_pages(g);
	uint64_t span = spte_span(g->setting.level);

	drop(g, at);
	tdp_zap_all(&g->tdp);
	add(g, small_slot(g));
	if (g->setting.apart) {
		fault_in(g, 0, pages);
		return;
	}
	/* The page that was created again is mapped already. */
	fault_in(g, 0, ALIGN_DOWN(at, span));
	fault_in(g, ALIGN_DOWN(at, span) + span, pages);
}

/* Many slots of one page, one in each 2 MiB: each has a table of its own. */

static struct slot spread_slot(const struct bench_guest *g, unsigned i, uint64_t area)
{
	uint64_t base = i * PAGES_2M + 5;

	return memory(g, area, base, base + 1);
}

/* Many slots of 2 MiB, each a large page, one after the other. */
static struct slot large_slot(const struct bench_guest *g, unsigned i, uint64_t area)
{
	return memory(g, area, i * PAGES_2M, (i + 1) * PAGES_2M);
}

typedef struct slot slot_fn(const struct bench_guest *g, unsigned i, uint64_t area);

static uint64_t prepare_many(struct bench_guest *g, slot_fn *slot)
{
	struct slot_txn txn;

	begin(g, &txn, g->setting.slots);
	for (unsigned i = 0; i < g->setting.slots; i++) {
		struct slot s = slot(g, i, BACKING_A);

		must(slot_create(&txn, &s), "slot_create");
	}
	commit(g, &txn);
	return 1;
}

/* One transaction that gives each slot another backing. */
static void replace_many(struct bench_guest *g, slot_fn *slot)
{
	uint64_t area = g->rounds % 2 ? BACKING_B : BACKING_A;
	struct slot_txn txn;

	begin(g, &txn, 0);
	for (unsigned i = 0; i < g->setting.slots; i++) {
		struct slot s = slot(g, i, area);

		must(slot_replace(&txn, &s), "slot_replace");
	}
	commit(g, &txn);
}

static uint64_t prepare_spread(struct bench_guest *g)
{
	return prepare_many(g, spread_slot);
}

static void run_spread(struct bench_guest *g)
{
	replace_many(g, spread_slot);
}

static uint64_t prepare_large(struct bench_guest *g)
{
	return prepare_many(g, large_slot);
}

static void run_large(struct bench_guest *g)
{
	replace_many(g, large_slot);
}

/* One slot as large as the guest. */

static uint64_t big_base(const struct bench_guest *g)
{
	return PAGES_1G + (g->setting.misaligned ? 7 : 0);
}

static struct slot big_slot(const struct bench_guest *g)
{
	return memory(g, BACKING_A, big_base(g), big_base(g) + guest_pages(g));
}

static uint64_t prepare_big(struct bench_guest *g)
{
	if (g->setting.misaligned) {
		uint64_t base = big_base(g), end = base + guest_pages(g);

		add(g, memory(g, BACKING_B, ALIGN_DOWN(base, PAGES_1G), base));
		add(g, memory(g, BACKING_B, end, ALIGN_UP(end, PAGES_1G)));
	}
	add(g, big_slot(g));
	return guest_pages(g) / spte_span(g->setting.level);
}

static void zap_big(struct bench_guest *g)
{
	must(tdp_zap_slot(&g->tdp, GFN(big_base(g))), "tdp_zap_slot");
}

static void populate_big(struct bench_guest *g)
{
	must(tdp_populate(&g->tdp, GFN(big_base(g)), guest_pages(g)), "tdp_populate");
}

static void fault_big(struct bench_guest *g)
{
	fault_in(g, big_base(g), big_base(g) + guest_pages(g));
}

static void delete_big(struct bench_guest *g)
{
	drop(g, big_base(g));
}

static void create_big(struct bench_guest *g)
{
	add(g, big_slot(g));
}

static uint64_t prepare_absent(struct bench_guest *g)
{
	uint64_t units = prepare_big(g);

	delete_big(g);
	return units;
}

/* A slot that is there or not: bring about the other before each run. */
static void before_create(struct bench_guest *g)
{
	if (g->rounds)
		delete_big(g);
}

static void before_delete(struct bench_guest *g)
{
	if (g->rounds)
		create_big(g);
}

/* In a slot as large as the guest, 2 MiB for 2 MiB. */

typedef void region_fn(struct bench_guest *g, uint64_t gfn);

static uint64_t for_each_region(struct bench_guest *g, region_fn *f)
{
	uint64_t base = big_base(g), end = base + guest_pages(g);

	for (uint64_t gfn = base; gfn < end; gfn += PAGES_2M)
		f(g, gfn);
	return guest_pages(g) / PAGES_2M;
}

static void split_region(struct bench_guest *g, uint64_t gfn)
{
	must(tdp_split(&g->tdp, TDP_CPU, GFN(gfn), 1), "tdp_split");
}

static void split_all(struct bench_guest *g)
{
	(void)for_each_region(g, split_region);
}

static void collapse_all(struct bench_guest *g)
{
	if (tdp_collapse(&g->tdp, GFN(big_base(g)), guest_pages(g)) != guest_pages(g) / PAGES_2M)
		bench_fail("not all regions were split");
}

static void before_split(struct bench_guest *g)
{
	if (g->rounds)
		collapse_all(g);
}

static uint64_t prepare_regions(struct bench_guest *g)
{
	prepare_big(g);
	return guest_pages(g) / PAGES_2M;
}

static void execute_region(struct bench_guest *g, uint64_t gfn)
{
	struct tdp_fault f = { .gpa = GPA((gfn + 3) << PAGE_SHIFT), .access = ACCESS_X };

	if (tdp_fault(&g->tdp, &f) != TDP_FIXED)
		bench_fail("a large page was executable");
}

static void execute_all(struct bench_guest *g)
{
	(void)for_each_region(g, execute_region);
}

static void recover_all(struct bench_guest *g)
{
	unsigned regions = (unsigned)(guest_pages(g) / PAGES_2M);

	if (tdp_nx_recover(&g->tdp, regions) != regions)
		bench_fail("not all regions were merged");
}

/* The first look finds that all have been accessed. */
static void look_at_all(struct bench_guest *g)
{
	if (tdp_nx_recover(&g->tdp, (unsigned)(guest_pages(g) / PAGES_2M)))
		bench_fail("a region was merged that is in use");
}

static void before_execute(struct bench_guest *g)
{
	if (!g->rounds)
		return;
	look_at_all(g);
	recover_all(g);
}

static void before_recover(struct bench_guest *g)
{
	execute_all(g);
	look_at_all(g);
}

static void zap_table_region(struct bench_guest *g, uint64_t gfn)
{
	struct tdp_walk walk;

	tdp_lookup(&g->tdp, TDP_CPU, GPA(gfn << PAGE_SHIFT), &walk);
	must(tdp_zap_table(&g->tdp, walk.step[walk.steps - 1].table), "tdp_zap_table");
}

static void zap_tables(struct bench_guest *g)
{
	(void)for_each_region(g, zap_table_region);
}

/* A dirty log of a slot as large as the guest. */

static void write_page(struct bench_guest *g, uint64_t gfn)
{
	struct tdp_fault f = { .gpa = GPA(gfn << PAGE_SHIFT), .access = ACCESS_W };

	if (tdp_fault(&g->tdp, &f) != TDP_FIXED)
		bench_fail("a write to frame %#llx was not noticed", (unsigned long long)gfn);
}

/* What the processor does when it writes to a page. */
static void set_dirty_flag(struct bench_guest *g, uint64_t gfn)
{
	struct tdp_walk walk;
	struct tdp_step *last;
	uint64_t *table;

	tdp_lookup(&g->tdp, TDP_CPU, GPA(gfn << PAGE_SHIFT), &walk);
	last = &walk.step[walk.steps - 1];
	table = hpa_to_virt(last->table);
	table[last->index] |= g->format.dirty;
	if (g->setting.log == TDP_LOG_PML)
		tdp_mark_dirty(&g->tdp, GFN(gfn));
}

static void write_pages(struct bench_guest *g)
{
	uint64_t base = big_base(g), end = base + guest_pages(g);

	for (uint64_t gfn = base; g->setting.written && gfn < end; gfn += g->setting.written) {
		if (g->setting.log == TDP_LOG_WP)
			write_page(g, gfn);
		else
			set_dirty_flag(g, gfn);
	}
}

static uint64_t get_clear(struct bench_guest *g)
{
	uint64_t count;

	must(tdp_dirty_get_clear(&g->tdp, GFN(big_base(g)), guest_pages(g), g->array, &count),
	     "tdp_dirty_get_clear");
	return count;
}

static void run_get_clear(struct bench_guest *g)
{
	uint64_t expected = g->setting.written ? guest_pages(g) / g->setting.written : 0;

	if (get_clear(g) != expected)
		bench_fail("the log did not say what was written");
}

static uint64_t prepare_log(struct bench_guest *g)
{
	struct slot s = big_slot(g);

	must(tdp_set_log_mode(&g->tdp, g->setting.log), "tdp_set_log_mode");
	s.flags = SLOT_LOG;
	add(g, s);
	/* Every region has been written to before. */
	(void)for_each_region(g, write_page);
	g->array = calloc(guest_pages(g) / 64 + 1, sizeof(uint64_t));
	if (!g->array)
		bench_fail("no memory for a report");
	(void)get_clear(g);
	return max_u64(guest_pages(g) / PAGES_1G, 1);
}

static uint64_t prepare_first_writes(struct bench_guest *g)
{
	prepare_log(g);
	return guest_pages(g);
}

static void before_first_writes(struct bench_guest *g)
{
	(void)get_clear(g);
}

static void detach(struct bench_guest *g)
{
	tdp_detach_dma(&g->tdp);
}

static void attach(struct bench_guest *g)
{
	must(tdp_attach_dma(&g->tdp, &g->dma_format), "tdp_attach_dma");
}

/* What costs nothing but looking: faults on emulated devices, translations of the hypervisor's. */

#define LOOKS 1000u

static uint64_t prepare_looks(struct bench_guest *g)
{
	prepare_spread(g);
	return LOOKS;
}

static uint64_t prepare_mmio_entries(struct bench_guest *g)
{
	struct slot_txn txn;

	prepare_spread(g);
	begin(g, &txn, g->setting.slots);
	for (unsigned i = 0; i < g->setting.slots; i++) {
		struct slot s = { .base = GFN(i * PAGES_2M + 6),
				  .npages = 1,
				  .kind = SLOT_EMULATED,
				  .name = "device" };

		must(slot_create(&txn, &s), "slot_create");
	}
	commit(g, &txn);
	return LOOKS;
}

static void run_mmio_entries(struct bench_guest *g)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		uint64_t gfn = i * 7 % g->setting.slots * PAGES_2M + 6;
		unsigned handler;

		if (tdp_mmio(&g->tdp, GPA(gfn << PAGE_SHIFT), &handler) != TDP_MMIO)
			bench_fail("no MMIO entry for frame %#llx", (unsigned long long)gfn);
	}
}

static void run_mmio(struct bench_guest *g)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		uint64_t gfn = i * 7 % g->setting.slots * PAGES_2M + 6;
		struct tdp_fault f = { .gpa = GPA(gfn << PAGE_SHIFT), .access = ACCESS_W };

		if (tdp_fault(&g->tdp, &f) != TDP_MMIO)
			bench_fail("a slot where none was made");
	}
}

static void run_spurious(struct bench_guest *g)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		uint64_t gfn = i * 7 % g->setting.slots * PAGES_2M + 5;
		struct tdp_fault f = { .gpa = GPA(gfn << PAGE_SHIFT), .access = ACCESS_W };

		if (tdp_fault(&g->tdp, &f) != TDP_SPURIOUS)
			bench_fail("a slot that was not mapped");
	}
}

static void run_translate(struct bench_guest *g)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		uint64_t gfn = i * 7 % g->setting.slots * PAGES_2M + 5, left;
		hpa_t hpa;

		must(tdp_translate(&g->tdp, GPA(gfn << PAGE_SHIFT), ACCESS_R, &hpa, &left),
		     "tdp_translate");
	}
}

/* The limits: the same number of entries, each stored to once, and nothing else. */

static uint64_t prepare_array(struct bench_guest *g)
{
	uint64_t entries = guest_pages(g) / spte_span(g->setting.level);

	g->array = aligned_alloc(PAGE_SIZE, entries * sizeof(uint64_t));
	if (!g->array)
		bench_fail("no memory for the comparator");
	return entries;
}

/* As fresh in the caches as the tables are. */
static void before_array(struct bench_guest *g)
{
	uint64_t entries = guest_pages(g) / spte_span(g->setting.level);

	for (uint64_t i = 0; i < entries; i++)
		__atomic_store_n(&g->array[i], i, __ATOMIC_RELAXED);
}

static void run_store(struct bench_guest *g)
{
	uint64_t entries = guest_pages(g) / spte_span(g->setting.level);

	for (uint64_t i = 0; i < entries; i++)
		__atomic_store_n(&g->array[i], 0, __ATOMIC_RELEASE);
}

static void run_exchange(struct bench_guest *g)
{
	uint64_t entries = guest_pages(g) / spte_span(g->setting.level);

	for (uint64_t i = 0; i < entries; i++)
		__atomic_exchange_n(&g->array[i], 0, __ATOMIC_SEQ_CST);
}

static const struct op ops[] = {
	{ "recreate", "pair", prepare_small, NULL, run_recreate },
	{ "zap-all", "pair", prepare_small, NULL, run_zap_all },
	{ "commit-pages", "transaction", prepare_spread, NULL, run_spread },
	{ "commit-2m", "transaction", prepare_large, NULL, run_large },
	{ "zap-slot", "leaf", prepare_big, populate_big, zap_big },
	{ "populate", "leaf", prepare_big, zap_big, populate_big },
	{ "fault", "fault", prepare_big, zap_big, fault_big },
	{ "create-slot", "leaf", prepare_absent, before_create, create_big },
	{ "delete-slot", "leaf", prepare_big, before_delete, delete_big },
	{ "split", "region", prepare_regions, before_split, split_all },
	{ "collapse", "region", prepare_regions, split_all, collapse_all },
	{ "nx-split", "region", prepare_regions, before_execute, execute_all },
	{ "nx-recover", "region", prepare_regions, before_recover, recover_all },
	{ "zap-table", "table", prepare_regions, populate_big, zap_tables },
	{ "dirty-log", "GiB", prepare_log, write_pages, run_get_clear },
	{ "first-write", "page", prepare_first_writes, before_first_writes, write_pages },
	{ "attach-dma", "leaf", prepare_big, detach, attach },
	{ "mmio-entry", "fault", prepare_mmio_entries, NULL, run_mmio_entries },
	{ "fault-mmio", "fault", prepare_looks, NULL, run_mmio },
	{ "fault-spurious", "fault", prepare_looks, NULL, run_spurious },
	{ "translate", "look-up", prepare_looks, NULL, run_translate },
	{ "limit-store", "entry", prepare_array, before_array, run_store },
	{ "limit-exchange", "entry", prepare_array, before_array, run_exchange },
};

const struct op *bench_op(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		if (!strcmp(ops[i].name, name))
			return &ops[i];
	bench_fail("no operation is called %s", name);
}
