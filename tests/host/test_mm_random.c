/* SPDX-License-Identifier: BSD-2-Clause */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c mm/page_alloc.c mm/slot.c mm/spte.c mm/spte_ept.c mm/spte_npt.c
// sources: mm/spte_vtd.c mm/spte_amdvi.c
// sources: mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

/*
 * Random sequences of transactions, faults, zaps and failing allocations against a model without
 * any cleverness: an unsorted list of slots, searched from end to end. After each step the whole
 * guest-physical space is compared with the model, and the walkers look on (mm_host.c).
 * MM_SEED=n MM_STEPS=n in the environment replay or extend a run.
 */
#define MODEL_MAX 10

struct model {
	struct slot slot[MODEL_MAX];
	unsigned count;
};

static struct model model;
static uint64_t rng;
static uint64_t seed, step_number;

static uint64_t rnd(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static const struct slot *model_find(const struct model *m, uint64_t gfn)
{
	for (unsigned i = 0; i < m->count; i++)
		if (gfn - m->slot[i].base.v < m->slot[i].npages)
			return &m->slot[i];
	return NULL;
}

/* The next frame above `gfn` where a slot begins or ends. */
static uint64_t model_border(const struct model *m, uint64_t gfn)
{
	uint64_t border = BIT(36);

	for (unsigned i = 0; i < m->count; i++) {
		uint64_t start = m->slot[i].base.v, end = start + m->slot[i].npages;

		if (start > gfn)
			border = min_u64(border, start);
		if (end > gfn)
			border = min_u64(border, end);
	}
	return border;
}

static bool model_add(struct model *m, const struct slot *s)
{
	if (s->base.v >= BIT(36) || s->npages > BIT(36) - s->base.v || m->count == MODEL_MAX)
		return false;
	for (unsigned i = 0; i < m->count; i++)
		if (s->base.v < m->slot[i].base.v + m->slot[i].npages &&
		    m->slot[i].base.v < s->base.v + s->npages)
			return false;
	m->slot[m->count++] = *s;
	return true;
}

static struct slot model_take(struct model *m, unsigned i)
{
	struct slot s = m->slot[i];

	m->slot[i] = m->slot[--m->count];
	return s;
}

/* Frames where something interesting meets: table borders of all levels, and near them. */
static uint64_t random_gfn(void)
{
	static const uint64_t anchor[] = { 0,          512,        1024,
					   4096,       1ull << 18, 3ull << 18,
					   1ull << 27, 1ull << 35, (1ull << 36) - 512 };
	static const int64_t offset[] = { 0, 0, 0, 1, 3, 255, 511, 512, 700, -1, -2, -512, -600 };

	return (anchor[rnd(ARRAY_SIZE(anchor))] + (uint64_t)offset[rnd(ARRAY_SIZE(offset))]) &
	       (BIT(36) - 1);
}

static uint64_t random_npages(void)
{
	static const uint64_t size[] = { 1, 1, 2, 3, 100, 5, 20, 511, 512, 513, 1024, 1100 };

	return size[rnd(ARRAY_SIZE(size))];
}

static struct slot random_slot(void)
{
	static const uint8_t access[] = { ACCESS_R, ACCESS_RW, ACCESS_RX, ACCESS_RWX };
	struct slot s = { .base = GFN(random_gfn()), .npages = random_npages(), .name = "r" };

	s.access = access[rnd(4)];
	s.type = (uint8_t)rnd(MEM_TYPES);
	s.kind = SLOT_SHARED;
	/* Mostly congruent to the guest frame, so that large pages come into play. */
	s.pfn = PFN(rnd(4) ? s.base.v % (1u << 18) + (rnd(30) << 18) : rnd(1u << 22));
	if (format.max_level == 3 && !rnd(8)) {
		s.base.v = ALIGN_DOWN(s.base.v, 1u << 18);
		s.pfn.v = rnd(16) << 18;
		s.npages = (1u << 18) * (1 + rnd(2)) + (rnd(2) ? rnd(1000) : 0);
	}
	return s;
}

static const struct slot *pick(const struct model *m)
{
	return m->count ? &m->slot[rnd(m->count)] : NULL;
}

static enum status edit_existing(struct slot_txn *txn, struct model *m, bool *legal)
{
	const struct slot *old = pick(m);
	unsigned i = (unsigned)(old - m->slot);
	struct slot s = model_take(m, i), was = s;

	switch (rnd(4)) {
	case 0:
		*legal = true;
		return slot_delete(txn, was.base);
	case 1:
		s.base = GFN(random_gfn());
		*legal = model_add(m, &s);
		return slot_move(txn, was.base, s.base);
	case 2:
		s.npages = random_npages();
		*legal = model_add(m, &s);
		return slot_resize(txn, was.base, s.npages);
	default:
		s = random_slot();
		s.base = was.base;
		*legal = model_add(m, &s);
		return slot_replace(txn, &s);
	}
}

/* One random edit on the draft and on a copy of the model; they agree on what is legal. */
static bool random_edit(struct slot_txn *txn, struct model *m)
{
	enum status status;
	bool legal;

	if (m->count < MODEL_MAX && (!m->count || rnd(3) == 0)) {
		struct slot s = random_slot();

		legal = model_add(m, &s);
		status = slot_create(txn, &s);
	} else {
		status = edit_existing(txn, m, &legal);
	}
	assert_int_equal(status == OK, legal);
	return legal;
}

static void step_transaction(void)
{
	struct model after = model;
	uint64_t used = budget.used, writes = machine.writes;
	struct slot_txn txn;
	bool legal = true;
	enum status status;

	assert_int_equal(tdp_begin(&tdp, &txn, 6), OK);
	for (uint64_t n = 1 + rnd(6); n && legal; n--)
		legal = random_edit(&txn, &after);
	if (!rnd(10)) {
		tdp_abort(&tdp, &txn);
		return;
	}
	if (!rnd(6))
		fail_after = (long)rnd(12);
	machine.next = txn.draft;
	status = tdp_commit(&tdp, &txn);
	machine.next = NULL;
	fail_after = -1;
	if (!status) {
		assert_true(legal);
		model = after;
		return;
	}
	assert_true(!legal || status == ERR_NOMEM);
	assert_int_equal(budget.used, used);
	assert_int_equal(machine.writes, writes);
}

static void step_fault(void)
{
	static const uint8_t attempts[] = { ACCESS_R, ACCESS_W, ACCESS_X, ACCESS_RW };
	struct tdp_fault f = { .access = attempts[rnd(4)] };
	const struct slot *s = pick(&model);
	uint64_t gfn = s && rnd(4) ? s->base.v + rnd(s->npages) : random_gfn();
	enum tdp_result result;
	struct translation tr;
	bool mapped = machine_translate(gfn, &tr);

	f.gpa = GPA(gfn << PAGE_SHIFT | rnd(4096));
	if (!rnd(6))
		fail_after = (long)rnd(3);
	result = tdp_fault(&tdp, &f);
	fail_after = -1;
	s = model_find(&model, gfn);
	if (!s || (f.access & ACCESS_W && !(s->access & ACCESS_W)))
		assert_int_equal(result, TDP_MMIO);
	else if ((s->access & f.access) != f.access)
		assert_int_equal(result, TDP_ERROR);
	else if (mapped)
		assert_int_equal(result, TDP_SPURIOUS);
	else if (result != TDP_FIXED)
		assert_int_equal(f.error, ERR_NOMEM);
	else
		assert_true(machine_translate(gfn, &tr));
}

static void step_zap(void)
{
	const struct slot *s = pick(&model);

	machine.gaps = true;
	if (s && rnd(4))
		assert_int_equal(tdp_zap_slot(&tdp, s->base), OK);
	else if (!rnd(4))
		tdp_zap_all(&tdp);
}

/* Every frame of the guest: as the model says, or absent where a zap was. */
static void compare(void)
{
	uint64_t missing = 0;

	for (uint64_t gfn = 0; gfn < BIT(36);) {
		const struct slot *s = model_find(&model, gfn);
		struct translation tr;

		if (machine_translate(gfn, &tr)) {
			assert_non_null(s);
			assert_int_equal(tr.pfn, s->pfn.v + (gfn - s->base.v));
			assert_int_equal(tr.access, s->access);
			assert_int_equal(tr.type, s->type);
		} else if (s) {
			missing++;
		}
		gfn = min_u64(tr.end, model_border(&model, gfn));
	}
	assert_true(!missing || machine.gaps);
}

static void compare_counters(void)
{
	const struct slot_set *set = tdp_slots(&tdp);
	uint64_t tables = 0, set_pages;
	struct tdp_census census;

	tdp_census(&tdp, TDP_CPU, &census);
	for (unsigned level = 1; level <= 4; level++)
		tables += census.tables[level];
	assert_int_equal(tables, tdp_stats(&tdp).tables);
	set_pages =
		(sizeof(*set) + set->capacity * sizeof(struct slot) + PAGE_SIZE - 1) / PAGE_SIZE;
	assert_int_equal(budget.used, tables + set_pages);
	assert_int_equal(set->count, model.count);
}

static void step(void)
{
	switch (rnd(8)) {
	case 0:
		if (!rnd(3))
			step_zap();
		break;
	case 1:
		step_fault();
		break;
	case 2:
		/* Fill what zaps have left open: from here on there are no gaps. */
		assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
		machine.gaps = false;
		break;
	default:
		step_transaction();
	}
	machine_check();
	compare();
	compare_counters();
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void run(void **state)
{
	const struct variant *variant = *state;
	uint64_t steps = from_environment("MM_STEPS", 60);

	seed = from_environment("MM_SEED", 1 + variant->walk.max_level);
	rng = seed * 0x9e3779b97f4a7c15;
	model.count = 0;
	test_pool(8192);
	assert_int_equal(variant_format(variant, &format), OK);
	assert_int_equal(page_budget_init(&budget, "guest", page_pool_unreserved()), OK);
	assert_int_equal(tdp_init(&tdp, &format, &budget, &machine), OK);
	machine_start(&tdp, &variant->walk);
	for (step_number = 0; step_number < steps; step_number++)
		step();
	step_number = 0;
	machine_stop();
	tdp_destroy(&tdp);
	assert_int_equal(budget.used, 0);
	page_budget_exit(&budget);
}

static int say_where(void **state unused)
{
	if (step_number)
		print_message("MM_SEED=%llu, step %llu\n", (unsigned long long)seed,
			      (unsigned long long)step_number);
	step_number = 0;
	fail_after = -1;
	machine_stop();
	return 0;
}

/* Those formats of cores that the model describes. */
int main(void)
{
	const struct CMUnitTest all[] = {
		{ "ept-1g", run, NULL, say_where, (void *)&variants[0] },
		{ "ept-4k", run, NULL, say_where, (void *)&variants[2] },
		{ "npt-1g", run, NULL, say_where, (void *)&variants[3] },
		{ "npt-52", run, NULL, say_where, (void *)&variants[5] },
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
