/* SPDX-License-Identifier: BSD-2-Clause */
/* Layouts: what guests get of the spare memory and give back, whatever is refused on the way. */
// sources: core/guest_slots.c core/spare.c
// sources: tests/host/mm_host.c tests/host/mm_decode.c mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/tdp_commit.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_walk.c mm/tdp_log.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/guest_slots.h"
#include "core/hyp_mem.h"
#include "core/window.h"
#include "log.h"
#include "mm_host.h"

#define SPARE_HPA   0x200000000ull
#define SPARE_PFN   (SPARE_HPA >> PAGE_SHIFT)
#define SPARE_PAGES 4096u
#define GUESTS      2u
#define RAM_PAGES   512u
#define DEVICE      0xfec00000ull
#define PLACES      12u /* where the random test puts slots */

static struct guest guest[GUESTS];
static struct spte_format format;
static struct layout layout;
static uint8_t page[PAGE_SIZE];

/* Who wrote to a spare page last: 0 nobody since it was scrubbed, else a guest. */
static uint8_t written[SPARE_PAGES];

struct page_budget hyp_budget;

/* core/ reaches memory through this; here, only to scrub. */
void *window_map(enum window_slot slot, hpa_t hpa)
{
	uint64_t i = (hpa.v - SPARE_HPA) >> PAGE_SHIFT;

	assert_int_equal(slot, WINDOW_SOURCE);
	assert_true(i < SPARE_PAGES);
	for (unsigned n = 0; n < GUESTS; n++) {
		const struct slot_set *set = guest[n].tdp.slots;

		/* Nobody may see a page while it is scrubbed. */
		for (uint32_t k = 0; k < set->count; k++)
			assert_false(SPARE_PFN + i - set->slot[k].pfn.v < set->slot[k].npages);
	}
	written[i] = 0;
	return page;
}

/* guest_slots.c says so when it has no memory for its list, which does not happen here. */
void log_msg(enum log_level level, const char *fmt, ...)
{
	(void)level;
	fail_msg("%s", fmt);
}

static void start_guest(struct guest *g, uint64_t ram)
{
	struct slot s = { .base = GFN(0),
			  .npages = RAM_PAGES,
			  .pfn = PFN(ram),
			  .access = ACCESS_RWX,
			  .name = "ram" };
	struct slot_txn txn;

	memset(g, 0, sizeof(*g));
	g->maxphyaddr = 40;
	g->io.mmio_count = 1;
	g->io.mmio[0] = (struct io_region){ .base = DEVICE, .size = PAGE_SIZE };
	assert_int_equal(page_budget_init(&g->budget, "guest", 512), OK);
	assert_int_equal(tdp_init(&g->tdp, &format, &g->budget, &machine), OK);
	assert_int_equal(tdp_begin(&g->tdp, &txn, 1), OK);
	assert_int_equal(slot_create(&txn, &s), OK);
	assert_int_equal(tdp_commit(&g->tdp, &txn), OK);
}

static int setup(void **state)
{
	static struct boot_info bi;
	const struct ept_caps caps = { .maxphyaddr = 40,
				       .exec_only = true,
				       .walk_4 = true,
				       .wb = true,
				       .page_2m = true,
				       .page_1g = true,
				       .ad = true };

	(void)state;
	test_pool(4096);
	fail_after = -1;
	memset(written, 0xff, sizeof(written));
	assert_int_equal(spte_format_ept(&format, &caps), OK);
	assert_int_equal(page_budget_init(&hyp_budget, "hypervisor", 64), OK);
	bi.spare = HPA(SPARE_HPA);
	bi.spare_size = (uint64_t)SPARE_PAGES << PAGE_SHIFT;
	for (unsigned n = 0; n < GUESTS; n++)
		start_guest(&guest[n], 0x1000 + n * RAM_PAGES);
	guest_slots_init(&bi);
	return 0;
}

static unsigned users_of(const struct spare_block *b)
{
	unsigned users = 0;

	for (unsigned n = 0; n < GUESTS; n++) {
		const struct slot_set *set = guest[n].tdp.slots;

		for (uint32_t k = 0; k < set->count; k++) {
			if (set->slot[k].pfn.v != b->pfn)
				continue;
			users++;
			/* Neither more nor less than what the guest has. */
			assert_int_equal(set->slot[k].npages, b->npages);
			assert_int_equal(set->slot[k].kind == SLOT_SHARED, b->name[0] != 0);
		}
	}
	return users;
}

static void check_blocks(void)
{
	const struct spare_block *b;

	for (uint32_t i = 0; (b = spare_block(i)); i++) {
		assert_int_equal(users_of(b), b->users);
		assert_true(b->name[0] || b->users == 1);
	}
	for (unsigned n = 0; n < GUESTS; n++) {
		const struct slot_set *set = guest[n].tdp.slots;

		assert_int_equal(set->slot[0].npages, RAM_PAGES);
		for (uint32_t k = 1; k < set->count; k++)
			assert_non_null(spare_find(set->slot[k].pfn.v));
	}
}

/* A guest finds zeroes, or what it has written itself, or a region; then it writes everywhere. */
static void use_memory(unsigned n)
{
	const struct slot_set *set = guest[n].tdp.slots;

	for (uint32_t k = 1; k < set->count; k++) {
		const struct slot *s = &set->slot[k];

		for (uint64_t i = 0; i < s->npages; i++) {
			uint8_t *w = &written[s->pfn.v - SPARE_PFN + i];

			if (s->kind != SLOT_SHARED) {
				assert_true(*w == 0 || *w == n + 1);
				*w = (uint8_t)(n + 1);
			}
		}
	}
}

static void test_refusals_name_the_place(void **state)
{
	struct guest *g = &guest[0];

	(void)state;
	assert_int_equal(layout_begin(&layout, g), OK);
	assert_int_equal(layout_move(&layout, 0, 1ull << 32), ERR_DENIED);
	assert_string_equal(layout.txn.culprit.name, "ram");
	assert_int_equal(layout_add(&layout, 1ull << 32, PAGE_SIZE, ACCESS_RW, "a"), ERR_DENIED);
	layout_abort(&layout);

	assert_int_equal(layout_begin(&layout, g), OK);
	assert_int_equal(layout_add(&layout, 1ull << 32, 3 * PAGE_SIZE, ACCESS_RW, "a"), OK);
	assert_int_equal(layout_add(&layout, DEVICE - PAGE_SIZE, 2 * PAGE_SIZE, ACCESS_RW, "b"),
			 ERR_OVERLAP);
	assert_int_equal(layout.txn.culprit.npages, 2);
	layout_abort(&layout);
	assert_null(spare_block(0));

	assert_int_equal(layout_begin(&layout, g), OK);
	assert_int_equal(
		layout_add(&layout, (1ull << 40) - PAGE_SIZE, 2 * PAGE_SIZE, ACCESS_RW, "b"),
		ERR_RANGE);
	layout_abort(&layout);
	check_blocks();
}

static void test_memory_cut_off_and_back_in_one_layout(void **state)
{
	uint64_t gpa = 1ull << 32;

	(void)state;
	assert_int_equal(layout_begin(&layout, &guest[0]), OK);
	assert_int_equal(layout_add(&layout, gpa, 8 * PAGE_SIZE, ACCESS_RW, "a"), OK);
	assert_int_equal(layout_commit(&layout), OK);
	use_memory(0);

	/* Nothing changes hands: the contents stay. */
	assert_int_equal(layout_begin(&layout, &guest[0]), OK);
	assert_int_equal(layout_resize(&layout, gpa, 2 * PAGE_SIZE), OK);
	assert_int_equal(layout_resize(&layout, gpa, 8 * PAGE_SIZE), OK);
	assert_int_equal(layout_commit(&layout), OK);
	check_blocks();
	assert_int_equal(written[spare_block(0)->pfn - SPARE_PFN + 7], 1);

	assert_int_equal(layout_begin(&layout, &guest[0]), OK);
	assert_int_equal(layout_resize(&layout, gpa, 2 * PAGE_SIZE), OK);
	assert_int_equal(layout_remove(&layout, gpa), OK);
	assert_int_equal(layout_commit(&layout), OK);
	assert_null(spare_block(0));
}

static uint64_t below(uint64_t n)
{
	return (uint64_t)random() % n;
}

static enum status random_edit(struct layout *l)
{
	static const char *const regions[] = { "small", "large", "none" };
	static const unsigned rights[] = { ACCESS_R, ACCESS_RW, ACCESS_RX, ACCESS_RWX };
	uint64_t gpa = (1ull << 32) + below(PLACES) * SIZE_2M / 2;
	uint32_t count = l->txn.draft->count;
	uint64_t size = (1 + below(600)) << PAGE_SHIFT;
	unsigned access = rights[below(4)];
	const char *region = regions[below(3)];

	if (count > 1 && below(3))
		gpa = l->txn.draft->slot[1 + below(count - 1)].base.v << PAGE_SHIFT;
	switch (below(9)) {
	case 0:
	case 1:
		return layout_add(l, gpa, size, access, "new");
	case 2:
		return layout_remove(l, gpa);
	case 3:
		return layout_move(l, gpa, (1ull << 32) + below(PLACES) * SIZE_2M / 2);
	case 4:
		return layout_resize(l, gpa, size);
	case 5:
		return layout_protect(l, gpa, access);
	case 6:
		return layout_replace(l, gpa, below(2) ? region : NULL);
	default:
		return layout_map(l, region, gpa, access);
	}
}

static void test_random(void **state)
{
	unsigned done = 0;

	(void)state;
	srandom(5);
	assert_int_equal(region_create("small", 3 << PAGE_SHIFT), OK);
	assert_int_equal(region_create("large", SIZE_2M), OK);
	assert_int_equal(region_create("large", SIZE_2M), ERR_BUSY);
	for (unsigned step = 0; step < 30000; step++) {
		unsigned n = (unsigned)below(GUESTS);
		uint64_t version = guest[n].tdp.slots->version, free = spare_usage().free;
		enum status s;

		fail_after = below(8) ? -1 : (long)below(6);
		s = layout_begin(&layout, &guest[n]);
		for (uint64_t edits = 1 + below(4); edits && s == OK; edits--)
			s = random_edit(&layout);
		if (s == OK && below(10))
			s = layout_commit(&layout);
		else
			layout_abort(&layout);
		fail_after = -1;
		if (guest[n].tdp.slots->version == version)
			assert_int_equal(spare_usage().free, free);
		else
			done++;
		check_blocks();
		assert_non_null(spare_find_region("large")); /* whoever sees it */
		use_memory(n);
	}
	assert_true(done > 3000);
	assert_int_equal(region_destroy("none"), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refusals_name_the_place, setup),
		cmocka_unit_test_setup(test_memory_cut_off_and_back_in_one_layout, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
