/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second-level MMU: random operations against a model. MM_SEED=n and MM_OPS=n in the environment
 * repeat or lengthen a run, MM_SEEDS=n makes more of them. A failure is made small and printed.
 */
// sources: tests/host/mm_shrink.c tests/host/mm_ops.c tests/host/mm_ops_make.c
// sources: tests/host/mm_model.c tests/host/mm_fixture.c
// sources: tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c
// sources: mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_mmio.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
// libs: -Wl,--wrap=mm_alloc -Wl,--wrap=mm_flush -Wl,--wrap=tdp_reclaim
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_shrink.h"

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static struct ops ops;
static char output[8192];

static void report(const struct variant *variant, uint64_t seed)
{
	unsigned tried = 0;

	if (from_environment("MM_SHRINK", 1))
		tried = ops_shrink(variant, &ops);
	ops_run(variant, &ops, output, sizeof(output));
	print_message("%s\n%s: MM_SEED=%llu: fails, and so do these (%u runs):\n", output,
		      variant->name, (unsigned long long)seed, tried);
	ops_print(stdout, ops.op, ops.count);
	fail();
}

static void run(const struct variant *variant)
{
	uint64_t seed = from_environment("MM_SEED", 1), seeds = from_environment("MM_SEEDS", 1);
	size_t count = from_environment("MM_OPS", 300);

	for (uint64_t end = seed + seeds; seed < end; seed++)
		if (!ops_run_random(variant, seed, count, &ops))
			report(variant, seed);
}

static void test_random(void **state)
{
	run(*state);
}

/* Sequences that once failed, as the shrinker left them. */
static const struct op tiny[] = {
	{ .kind = OP_CREATE, .access = 7, .npages = 1 },
	{ .kind = OP_COMMIT },
	{ .kind = OP_FAULT, .access = 1 },
};

static void test_regressions(void **state)
{
	ops.count = ARRAY_SIZE(tiny);
	memcpy(ops.op, tiny, sizeof(tiny));
	if (!ops_run(*state, &ops, output, sizeof(output)))
		fail_msg("%s", output);
}

/*
 * Is a fault found at all, and made small? One flush out of many does nothing. What is left of
 * hundreds of operations must be a few that take something away, with nothing in them by chance.
 */
static void test_shrinking(void **state)
{
	struct ops simple;
	uint64_t sum = 0;

	ops_drop_flush = 4;
	for (uint64_t seed = 1; ops_run_random(*state, seed, 200, &ops); seed++)
		assert_in_range(seed, 1, 20);
	assert_false(ops_run(*state, &ops, output, sizeof(output)));
	assert_true(strstr(output, "stale translation") || strstr(output, "freed while a walker"));
	ops_shrink(*state, &ops);
	assert_false(ops_run(*state, &ops, output, sizeof(output)));
	ops_drop_flush = 0;
	assert_true(ops_run(*state, &ops, output, sizeof(output)));
	assert_in_range(ops.count, 4, 9);
	for (size_t i = 0; i < ops.count; i++)
		sum += ops.op[i].pfn + ops.op[i].npages + ops.op[i].fail;
	assert_in_range(sum, 0, 20);
	/* Nothing more can be taken out. */
	for (size_t i = 0; i < ops.count; i++) {
		simple = ops;
		simple.count--;
		memmove(&simple.op[i], &simple.op[i + 1], (simple.count - i) * sizeof(*simple.op));
		ops_drop_flush = 4;
		assert_true(ops_run(*state, &simple, output, sizeof(output)));
		ops_drop_flush = 0;
	}
}

static int restore(void **state unused)
{
	ops_drop_flush = 0;
	return 0;
}

int main(void)
{
	struct CMUnitTest all[2 * MM_VARIANTS + 1];
	static char names[2 * MM_VARIANTS][64];
	size_t n = 0;

	for (size_t i = 0; i < MM_VARIANTS; i++) {
		snprintf(names[n], sizeof(names[n]), "%s: regressions", variants[i].name);
		all[n] = (struct CMUnitTest){ names[n], test_regressions, NULL, restore,
					      (void *)&variants[i] };
		n++;
		snprintf(names[n], sizeof(names[n]), "%s: random", variants[i].name);
		all[n] = (struct CMUnitTest){ names[n], test_random, NULL, restore,
					      (void *)&variants[i] };
		n++;
	}
	all[n++] = (struct CMUnitTest){ "test_shrinking", test_shrinking, NULL, restore,
					(void *)&variants[0] };
	return _cmocka_run_group_tests("mm", all, n, NULL, NULL);
}
