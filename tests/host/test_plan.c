/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/plan.c boot/memmap.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/memmap.h"
#include "boot/plan.h"
#include "budget.h"

#define M 20
#define G 30

static struct boot_region regions[64];
static struct region_list list;

static void reset(uint32_t max)
{
	list = (struct region_list){ regions, 0, max, 0, false };
}

static void usable(uint64_t base, uint64_t size)
{
	region_add(&list, base, size, REGION_USABLE, -1);
}

static bool place(struct plan_request *r, uint32_t n)
{
	return plan_place(regions, list.count, r, n);
}

static void test_prefers_high_memory(void **state)
{
	struct plan_request r = { .size = 512ull << M };

	(void)state;
	reset(64);
	usable(1ull << M, 2ull << G);
	usable(4ull << G, 4ull << G);
	assert_true(place(&r, 1));
	assert_int_equal(r.base, 4ull << G);
}

static void test_keeps_the_first_megabytes(void **state)
{
	struct plan_request r = { .size = 2ull << M };

	(void)state;
	reset(64);
	usable(0, 640 << 10);
	usable(1ull << M, 15ull << M);
	assert_false(place(&r, 1));
	usable(16ull << M, (2ull << M) - 4096);
	assert_false(place(&r, 1));
	assert_int_equal(plan_total(regions, list.count), 0);
	usable((18ull << M) - 4096, 4096);
	assert_true(place(&r, 1));
	assert_int_equal(r.base, 16ull << M);
}

static void test_aligns_to_1g_if_possible(void **state)
{
	struct plan_request r[2] = { { .size = 1ull << G }, { .size = 2ull << M } };

	(void)state;
	reset(64);
	usable((4ull << G) + (2ull << M), 3ull << G);
	assert_true(place(r, 2));
	assert_int_equal(r[0].base, 5ull << G);
	assert_true(r[1].base < r[0].base || r[1].base >= r[0].base + r[0].size);
	/* The same room, but it is needed in full: alignment is given up, no guest is. */
	r[1].size = 2ull << G;
	assert_true(place(r, 2));
	assert_int_equal(r[1].base % SIZE_2M, 0);
	assert_true(r[0].base + r[0].size <= r[1].base || r[1].base + r[1].size <= r[0].base);
}

static void test_best_fit(void **state)
{
	struct plan_request r = { .size = 4ull << M };

	(void)state;
	reset(64);
	usable(16ull << M, 256ull << M);
	usable(512ull << M, 4ull << M);
	usable(1024ull << M, 256ull << M);
	assert_true(place(&r, 1));
	assert_int_equal(r.base, 512ull << M);
	assert_int_equal(plan_largest(regions, list.count), 256ull << M);
	assert_int_equal(plan_total(regions, list.count), 516ull << M);
}

static void test_refuses_what_does_not_fit(void **state)
{
	struct plan_request r[3] = { { .size = 128ull << M },
				     { .size = 0 },
				     { .size = 130ull << M } };
	struct plan_request many[3 + CONFIG_MAX_GUESTS] = { { .size = 0 } };

	(void)state;
	reset(64);
	usable(16ull << M, 256ull << M);
	assert_false(place(r, 3));
	r[2].size = 128ull << M;
	assert_true(place(r, 3));
	assert_false(place(many, ARRAY_SIZE(many)));
}

/* Whatever the map and the sizes are: results are disjoint, aligned and inside usable memory. */
static void check_placed(const struct plan_request *r, uint32_t n)
{
	uint32_t i, j, k;

	for (i = 0; i < n; i++) {
		bool inside = !r[i].size;

		if (!r[i].size)
			continue;
		assert_true(IS_ALIGNED(r[i].base, SIZE_2M) && r[i].base >= PLAN_FLOOR);
		for (k = 0; k < list.count; k++) {
			const struct boot_region *g = &regions[k];

			if (g->type == REGION_USABLE && r[i].base >= g->base.v &&
			    r[i].base + r[i].size <= g->base.v + g->size)
				inside = true;
		}
		assert_true(inside);
		for (j = 0; j < i; j++)
			assert_true(!r[j].size || r[j].base + r[j].size <= r[i].base ||
				    r[i].base + r[i].size <= r[j].base);
	}
}

static void test_random_machines(void **state)
{
	int round, placed = 0;

	(void)state;
	srandom(1);
	for (round = 0; round < 20000; round++) {
		struct plan_request r[5];
		uint32_t i, n = 1 + (uint32_t)random() % 5;

		reset(64);
		for (i = 0; i < 12; i++)
			region_add(&list, (uint64_t)(random() % 4096) << 20,
				   (uint64_t)(random() % 0x40000) << 12,
				   random() % 3 ? REGION_USABLE : REGION_RESERVED, -1);
		for (i = 0; i < n; i++)
			r[i].size = (uint64_t)(random() % 700) << 21;
		if (place(r, n)) {
			check_placed(r, n);
			placed++;
		}
	}
	assert_in_range(placed, 1000, 19000);
}

static void test_pool_size(void **state)
{
	static struct config c;
	uint64_t alone, one;

	(void)state;
	alone = plan_pool_needed(&c, 1);
	assert_true(alone > hypervisor_budget_pages(1, 0) * PAGE_SIZE);
	assert_true(plan_pool_needed(&c, 64) >=
		    63 * CPU_BUDGET_PAGES * PAGE_SIZE + alone - SIZE_2M);
	c.guest_count = 2;
	c.guests[0].valid = true;
	c.guests[0].memory = 1ull << G;
	c.guests[1].memory = 1ull << G; /* left out: costs nothing */
	one = plan_pool_needed(&c, 1);
	assert_true(one >= alone - SIZE_2M + guest_budget_pages(1ull << G, 0, 0, 0) * PAGE_SIZE);
	c.guests[0].tables = 4ull << M;
	assert_in_range(plan_pool_needed(&c, 1) - one, 4ull << M, 8ull << M);
	c.guests[0].tables = 0;
	c.guests[0].core_count = 64;
	assert_in_range(plan_pool_needed(&c, 1) - one, 64 * GUEST_VCPU_PAGES * PAGE_SIZE,
			4ull << M);
	c.guests[0].core_count = 0;
	/* A table of its own for devices costs as much as the one for cores at its largest. */
	c.guests[0].device_count = 1;
	assert_in_range(plan_pool_needed(&c, 1) - one, 2ull << M, 4ull << M);
	c.guests[0].device_count = 0;
	/* The tables of interrupts are paid for even if the guest is left out later. */
	c.guests[1].device_count = 1;
	assert_int_equal(hypervisor_budget_pages(1, config_devices(&c)),
			 hypervisor_budget_pages(1, 0) + DEVICE_HOST_PAGES);
	c.guests[1].device_count = 0;
	c.guests[1].valid = true;
	assert_true(plan_pool_needed(&c, 1) > one);
	assert_true(plan_pool_size(&c, 1) > plan_pool_needed(&c, 1));
	c.memory = 64ull << M;
	assert_int_equal(plan_pool_size(&c, 1), 64ull << M);
	c.memory = 4ull << M; /* too little to run at all */
	assert_int_equal(plan_pool_size(&c, 1), plan_pool_needed(&c, 1));
}

/* What is promised to the guests is there, whatever they make of it. */
static void check_guest_room(uint32_t devices)
{
	static struct config c;
	uint64_t total, room;
	uint32_t i;

	for (i = 0; i < 4; i++)
		c.guests[i].device_count = devices;
	for (total = 0; total < 64ull << G; total += 94ull << M) {
		for (c.guest_count = 1; c.guest_count <= 4; c.guest_count++) {
			for (c.memory = 0; c.memory <= 64ull << M; c.memory += 16ull << M) {
				room = plan_guest_room(total, &c, 4);
				for (i = 0; i < 4; i++) {
					c.guests[i].valid = true;
					c.guests[i].memory =
						ALIGN_DOWN(room / c.guest_count, SIZE_2M);
				}
				assert_true(!room || room + plan_pool_size(&c, 4) <= total);
			}
		}
	}
	memset(&c, 0, sizeof(c));
	c.guest_count = 1;
	assert_true(plan_guest_room(1ull << G, &c, 2) > (1000ull << M));
}

static void test_guest_room(void **state)
{
	(void)state;
	check_guest_room(0);
	check_guest_room(1);
	check_guest_room(CONFIG_MAX_DEVICES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefers_high_memory),
		cmocka_unit_test(test_keeps_the_first_megabytes),
		cmocka_unit_test(test_aligns_to_1g_if_possible),
		cmocka_unit_test(test_best_fit),
		cmocka_unit_test(test_refuses_what_does_not_fit),
		cmocka_unit_test(test_random_machines),
		cmocka_unit_test(test_pool_size),
		cmocka_unit_test(test_guest_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
