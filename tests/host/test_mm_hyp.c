/* SPDX-License-Identifier: BSD-2-Clause */
// sources: tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/hyp_pgtable.c mm/slot.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/spte.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/hyp_pgtable.h"
#include "mm_host.h"

/*
 * The hypervisor's own page table, read by a walker that knows only the manual (SDM vol. 3, 4.5).
 */
#define AREA 0xffffa00000000000ull

static struct page_budget budget;
static struct hyp_pgtable pt;

static int setup_with(bool page_1g)
{
	test_pool(512);
	machine_stop();
	assert_int_equal(page_budget_init(&budget, "hypervisor", 400), OK);
	assert_int_equal(hyp_pgtable_init(&pt, &budget, page_1g, AREA, BIT(40)), OK);
	return 0;
}

static int setup(void **state unused)
{
	return setup_with(true);
}

static int setup_2m(void **state unused)
{
	return setup_with(false);
}

/* Walk all of it: supervisor pages only, nothing writable and executable, no reserved bit. */
static void check_tree(uint64_t table_hpa, unsigned level)
{
	const uint64_t *table = hpa_to_virt(HPA(table_hpa));

	for (unsigned i = 0; i < 512; i++) {
		uint64_t e = table[i], hpa = e & 0xffffffffff000;
		bool leaf = level == 1 || e & 0x80;

		if (!(e & 1)) {
			assert_int_equal(e, 0);
			continue;
		}
		assert_int_equal(e & 4, 0);
		assert_int_equal(e & 0x7ff0000000000f00, 0);
		if (!leaf) {
			assert_int_equal(e >> 63, 0);
			check_tree(hpa, level - 1);
			continue;
		}
		assert_true(level < 4);
		assert_true(!(e & 2) || e >> 63);
		assert_int_equal(hpa & ((PAGE_SIZE << 9 * (level - 1)) - 1), 0);
		assert_int_equal(e & 0x60, 0x60);
	}
}

static int teardown(void **state unused)
{
	check_tree(hyp_pgtable_root(&pt).v, 4);
	return 0;
}

static void expect(uint64_t va, uint64_t hpa, uint64_t page, unsigned access, enum mem_type type)
{
	struct hyp_mapping m;

	assert_int_equal(hyp_lookup(&pt, va, &m), OK);
	assert_int_equal(m.hpa.v, hpa);
	assert_int_equal(m.size, page);
	assert_int_equal(m.access, access);
	assert_int_equal(m.type, type);
}

static void expect_none(uint64_t va)
{
	struct hyp_mapping m;

	assert_int_equal(hyp_lookup(&pt, va, &m), ERR_FAULT);
}

static void test_sections(void **state unused)
{
	uint64_t hv = 0xffffffff80000000;

	assert_int_equal(hyp_map(&pt, hv, HPA(0x7000000), 0x3000, ACCESS_RX, MEM_WB), OK);
	assert_int_equal(hyp_map(&pt, hv + 0x3000, HPA(0x7003000), 0x1000, ACCESS_R, MEM_WB), OK);
	assert_int_equal(hyp_map(&pt, hv + 0x4000, HPA(0x7004000), 0x2000, ACCESS_RW, MEM_WB), OK);
	expect(hv + 0x2fff, 0x7002fff, PAGE_SIZE, ACCESS_RX, MEM_WB);
	expect(hv + 0x3000, 0x7003000, PAGE_SIZE, ACCESS_R, MEM_WB);
	expect(hv + 0x5000, 0x7005000, PAGE_SIZE, ACCESS_RW, MEM_WB);
	expect_none(hv + 0x6000);
	/* The very last page of the address space. */
	assert_int_equal(hyp_map(&pt, ~0xfffull, HPA(0), 0x1000, ACCESS_R, MEM_WB), OK);
	expect(~0ull, 0xfff, PAGE_SIZE, ACCESS_R, MEM_WB);
	assert_int_equal(hyp_unmap(&pt, ~0xfffull, 0x1000), OK);
	expect_none(~0ull);
}

static void test_large_pages(void **state unused)
{
	uint64_t va = 0xffff900000000000 + SIZE_1G - SIZE_2M - PAGE_SIZE;
	uint64_t hpa = 5 * SIZE_1G - SIZE_2M - PAGE_SIZE;
	uint64_t big = pt.page_1g ? SIZE_1G : SIZE_2M;

	assert_int_equal(hyp_map(&pt, va, HPA(hpa), SIZE_1G + 2 * SIZE_2M + 2 * PAGE_SIZE,
				 ACCESS_RW, MEM_WB),
			 OK);
	expect(va, hpa, PAGE_SIZE, ACCESS_RW, MEM_WB);
	expect(va + PAGE_SIZE, hpa + PAGE_SIZE, SIZE_2M, ACCESS_RW, MEM_WB);
	expect(va + PAGE_SIZE + SIZE_2M, 5 * SIZE_1G, big, ACCESS_RW, MEM_WB);
	expect(va + PAGE_SIZE + SIZE_2M + SIZE_1G, 6 * SIZE_1G, SIZE_2M, ACCESS_RW, MEM_WB);
	expect(va + PAGE_SIZE + 2 * SIZE_2M + SIZE_1G, 6 * SIZE_1G + SIZE_2M, PAGE_SIZE, ACCESS_RW,
	       MEM_WB);
	expect_none(va - 1);
	expect_none(va + SIZE_1G + 2 * SIZE_2M + 2 * PAGE_SIZE);
	/* A large page cannot be cut, and nothing changes. */
	assert_int_equal(hyp_unmap(&pt, va, 2 * PAGE_SIZE), ERR_INVALID);
	expect(va, hpa, PAGE_SIZE, ACCESS_RW, MEM_WB);
	assert_int_equal(hyp_unmap(&pt, va + 2 * PAGE_SIZE, SIZE_2M), ERR_INVALID);
	machine.invalidations = 0;
	assert_int_equal(hyp_unmap(&pt, va, SIZE_2M + PAGE_SIZE), OK);
	assert_int_equal(machine.invalidations, 1);
	expect_none(va);
	expect_none(va + SIZE_2M);
	expect(va + PAGE_SIZE + SIZE_2M, 5 * SIZE_1G, big, ACCESS_RW, MEM_WB);
}

static void test_refused(void **state unused)
{
	uint64_t va = 0xffff900000000000;

	assert_int_equal(hyp_map(&pt, va, HPA(0), 0x1000, ACCESS_RWX, MEM_WB), ERR_DENIED);
	assert_int_equal(hyp_map(&pt, va, HPA(0), 0x1000, ACCESS_W, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, va, HPA(0), 0x1000, 9, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, va, HPA(0), 0x1000, ACCESS_R, MEM_TYPES), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, va, HPA(0), 0, ACCESS_R, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, va + 1, HPA(0), 0x1000, ACCESS_R, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, va, HPA(1), 0x1000, ACCESS_R, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, va, HPA(0), 0x1001, ACCESS_R, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, va, HPA(BIT(52)), 0x1000, ACCESS_R, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, BIT(47), HPA(0), 0x1000, ACCESS_R, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_map(&pt, BIT(47) - 0x1000, HPA(0), 0x2000, ACCESS_R, MEM_WB),
			 ERR_INVALID);
	assert_int_equal(hyp_map(&pt, ~0xfffull, HPA(0), 0x2000, ACCESS_R, MEM_WB), ERR_INVALID);
	assert_int_equal(hyp_unmap(&pt, va + 1, 0x1000), ERR_INVALID);
	expect_none(va);
	expect_none(BIT(47));
	assert_int_equal(hyp_pgtable_init(&pt, &budget, true, AREA + 1, BIT(40)), ERR_INVALID);
	assert_int_equal(hyp_pgtable_init(&pt, &budget, true, AREA, 0), ERR_INVALID);
	assert_int_equal(hyp_pgtable_init(&pt, &budget, true, AREA, BIT(40)), OK);
}

static void test_overlap(void **state unused)
{
	uint64_t va = 0xffff900000000000;

	assert_int_equal(hyp_map(&pt, va, HPA(SIZE_2M), SIZE_2M, ACCESS_R, MEM_WB), OK);
	assert_int_equal(hyp_map(&pt, va + 0x5000, HPA(0), 0x1000, ACCESS_R, MEM_WB), ERR_OVERLAP);
	assert_int_equal(hyp_map(&pt, va - 0x1000, HPA(0), 0x2000, ACCESS_R, MEM_WB), ERR_OVERLAP);
	expect_none(va - 0x1000);
	/* A table that is there forces small pages, and stays right. */
	assert_int_equal(hyp_map(&pt, va - SIZE_2M, HPA(4 * SIZE_2M), SIZE_2M, ACCESS_R, MEM_WB),
			 OK);
	expect(va - SIZE_2M, 4 * SIZE_2M, PAGE_SIZE, ACCESS_R, MEM_WB);
	expect(va - 1, 5 * SIZE_2M - 1, PAGE_SIZE, ACCESS_R, MEM_WB);
}

static void test_area(void **state unused)
{
	void *a, *b, *c;

	assert_int_equal(hyp_map_area(&pt, HPA(0xfee00123), 16, ACCESS_RW, MEM_UC, &a), OK);
	assert_int_equal((uint64_t)a & 0xfff, 0x123);
	expect((uint64_t)a, 0xfee00123, PAGE_SIZE, ACCESS_RW, MEM_UC);
	expect_none(((uint64_t)a & PAGE_MASK) - 1);
	expect_none(((uint64_t)a & PAGE_MASK) + PAGE_SIZE);
	/* Across a page border, and next to the first with a guard page between them. */
	assert_int_equal(hyp_map_area(&pt, HPA(0x1ffc), 8, ACCESS_R, MEM_WB, &b), OK);
	expect((uint64_t)b + 7, 0x2003, PAGE_SIZE, ACCESS_R, MEM_WB);
	expect_none(((uint64_t)b & PAGE_MASK) - 1);
	expect_none(((uint64_t)b & PAGE_MASK) + 2 * PAGE_SIZE);
	assert_true((uint64_t)b > (uint64_t)a + PAGE_SIZE);
	/* A framebuffer: large pages where its own alignment allows. */
	assert_int_equal(hyp_map_area(&pt, HPA(0xc0100000), 8 << 20, ACCESS_RW, MEM_WC, &c), OK);
	expect((uint64_t)c, 0xc0100000, PAGE_SIZE, ACCESS_RW, MEM_WC);
	expect((uint64_t)c + 0x100000, 0xc0200000, SIZE_2M, ACCESS_RW, MEM_WC);
	/* Addresses never come back. */
	assert_int_equal(hyp_unmap(&pt, (uint64_t)a & PAGE_MASK, PAGE_SIZE), OK);
	expect_none((uint64_t)a);
	assert_int_equal(hyp_map_area(&pt, HPA(0xfee00000), PAGE_SIZE, ACCESS_R, MEM_UC, &b), OK);
	assert_true((uint64_t)b > (uint64_t)c);

	assert_int_equal(hyp_map_area(&pt, HPA(0), 0, ACCESS_R, MEM_WB, &a), ERR_INVALID);
	assert_int_equal(hyp_map_area(&pt, HPA(~0ull), 2, ACCESS_R, MEM_WB, &a), ERR_INVALID);
	assert_int_equal(hyp_map_area(&pt, HPA(0), BIT(41), ACCESS_R, MEM_WB, &a), ERR_RANGE);
	assert_int_equal(hyp_map_area(&pt, HPA(0), 1, ACCESS_RWX, MEM_WB, &a), ERR_DENIED);
}

static void test_area_ends(void **state unused)
{
	/* Each page has a guard on either side, inside the area. */
	for (uint64_t pages = 1; pages < 8; pages++) {
		uint64_t n = 0;
		void *a;

		setup(NULL);
		assert_int_equal(hyp_pgtable_init(&pt, &budget, true, AREA, pages * PAGE_SIZE), OK);
		while (hyp_map_area(&pt, HPA(0x1000), 1, ACCESS_R, MEM_WB, &a) == OK)
			n++;
		assert_int_equal(n, (pages - 1) / 2);
		expect_none(AREA);
		expect_none(AREA + (pages - 1) * PAGE_SIZE);
	}
}

static void test_window(void **state unused)
{
	uint64_t va = 0xffffb00000000000;
	struct hyp_window w, other;

	assert_int_equal(hyp_window_init(&pt, &w, va), OK);
	assert_int_equal(hyp_window_init(&pt, &other, va + 2 * PAGE_SIZE), OK);
	assert_int_equal(hyp_window_init(&pt, &other, va + 5), ERR_INVALID);
	expect_none(va);
	machine.invalidations = 0;
	assert_ptr_equal(hyp_window_show(&w, HPA(0x1234567), ACCESS_RWX, MEM_WB), va + 0x567);
	assert_int_equal(machine.invalidations, 1);
	expect(va + 0x567, 0x1234567, PAGE_SIZE, ACCESS_RW, MEM_WB);
	/* The same page again costs nothing; another byte of it neither. */
	assert_ptr_equal(hyp_window_show(&w, HPA(0x1234001), ACCESS_RW, MEM_WB), va + 1);
	assert_int_equal(machine.invalidations, 1);
	assert_ptr_equal(hyp_window_show(&w, HPA(0x1235000), ACCESS_R, MEM_UC), va);
	assert_int_equal(machine.invalidations, 2);
	expect(va, 0x1235000, PAGE_SIZE, ACCESS_R, MEM_UC);
	expect_none(va + PAGE_SIZE);
	assert_int_equal(hyp_window_init(&pt, &other, va), ERR_OVERLAP);
	hyp_window_hide(&w);
	assert_int_equal(machine.invalidations, 3);
	expect_none(va);
}

/* Each allocation fails once: an error, and nothing is mapped. */
static void test_no_memory(void **state unused)
{
	uint64_t va = 0xffff900000000000 - 5 * PAGE_SIZE, size = SIZE_2M + 9 * PAGE_SIZE;
	long n = 0;
	enum status status = ERR_NOMEM;
	struct hyp_pgtable other;
	struct hyp_window w;

	fail_after = 0;
	assert_int_equal(hyp_pgtable_init(&other, &budget, true, AREA, BIT(40)), ERR_NOMEM);
	for (; status; n++) {
		fail_after = n;
		status = hyp_map(&pt, va, HPA(0x123000), size, ACCESS_RW, MEM_WB);
		fail_after = -1;
		if (!status)
			break;
		assert_int_equal(status, ERR_NOMEM);
		for (uint64_t at = 0; at < size; at += PAGE_SIZE)
			expect_none(va + at);
	}
	assert_true(n > 0);
	expect(va + size - 1, 0x123000 + size - 1, PAGE_SIZE, ACCESS_RW, MEM_WB);
	fail_after = 0;
	assert_int_equal(hyp_window_init(&pt, &w, 0xffffb00000000000), ERR_NOMEM);
	fail_after = -1;
}

#define TEST(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(test_sections, setup),       TEST(test_large_pages, setup),
		TEST(test_large_pages, setup_2m), TEST(test_refused, setup),
		TEST(test_overlap, setup),        TEST(test_area, setup),
		TEST(test_area_ends, setup),      TEST(test_window, setup),
		TEST(test_no_memory, setup_2m),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
