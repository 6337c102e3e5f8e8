/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes at RIP without a new walk: found again cheaply, and never what was there before. */
// sources: core/fetch.c mm/slot.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/fetch.h"
#include "core/window.h"

#define P  1ull
#define PS 0x80ull
#define NX BIT(63)

/* The guest: memory at gpa 0, and a little more of it far up. A second gigabyte is a device's. */
#define PAGES 64u
#define HIGH  0x8040000000ull
#define HPA_0 0x100000000ull

#define CR3   0x1018ull /* with PWT and PCD, which are no part of the address */
#define GLA   0xffff812345678000ull
#define OTHER 0xffff812345679000ull

static uint8_t memory[PAGES * PAGE_SIZE];
static struct guest guest;
static struct vcpu vcpu;
static union {
	struct slot_set set;
	uint8_t room[sizeof(struct slot_set) + 3 * sizeof(struct slot)];
} slots;
static unsigned shown; /* calls of window_map() */
static struct cpu cpu; /* whose read_sequence is odd in a read section */

void *window_map(enum window_slot slot, hpa_t hpa)
{
	assert_in_range(slot, WINDOW_CODE, WINDOW_COUNT - 1);
	assert_in_range(hpa.v, HPA_0, HPA_0 + sizeof(memory) - 1);
	assert_true(cpu.read_sequence & 1);
	shown++;
	return memory + (hpa.v - HPA_0);
}

static unsigned hidden;

void window_hide(enum window_slot slot)
{
	assert_in_range(slot, WINDOW_CODE, WINDOW_COUNT - 1);
	hidden++;
}

/* mm/slot.c copies sets by this, which nobody does here. */
void *mm_alloc(struct page_budget *budget, unsigned pages)
{
	(void)budget;
	fail_msg("%u pages", pages);
	return NULL;
}

static uint64_t *entry(uint64_t table, unsigned level, uint64_t gla)
{
	return (uint64_t *)(memory + table + ((gla >> (12 + 9 * (level - 1))) & 511) * 8);
}

/* Tables at 0x1000, 0x2000, 0x3000 and 0x4000; code in page 16, another page 17. */
static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.guest = &guest;
	vcpu.cpu = &cpu;
	guest.tdp.slots = &slots.set;
	memset(&slots, 0, sizeof(slots));
	slots.set.version = 1;
	slots.set.count = 3;
	slots.set.slot[0] = (struct slot){ .base = GFN(0),
					   .npages = PAGES / 2,
					   .pfn = PFN(HPA_0 >> PAGE_SHIFT),
					   .access = ACCESS_RWX };
	slots.set.slot[1] = (struct slot){ .base = GFN(0x40000),
					   .npages = 16,
					   .pfn = PFN(HPA_0 >> PAGE_SHIFT),
					   .kind = SLOT_DEVICE,
					   .access = ACCESS_RW };
	slots.set.slot[2] = (struct slot){ .base = GFN(HIGH >> PAGE_SHIFT),
					   .npages = PAGES / 2,
					   .pfn = PFN((HPA_0 >> PAGE_SHIFT) + PAGES / 2),
					   .access = ACCESS_RWX };
	*entry(0x1000, 4, GLA) = 0x2000 | P;
	*entry(0x2000, 3, GLA) = 0x3000 | P;
	*entry(0x3000, 2, GLA) = 0x4000 | P;
	*entry(0x4000, 1, GLA) = 0x10000 | P;
	*entry(0x4000, 1, OTHER) = 0x11000 | P | NX;
	memset(memory + 0x10000, 'a', PAGE_SIZE);
	memset(memory + 0x11000, 'b', PAGE_SIZE);
	shown = 0;
	cpu.read_sequence = 0;
	return 0;
}

/* The byte there, or 0. */
static uint8_t look(uint64_t gla)
{
	const uint8_t *code = fetch_begin(&vcpu, CR3, gla);
	uint8_t byte;

	if (!code) {
		assert_false(cpu.read_sequence & 1);
		return 0;
	}
	assert_true(cpu.read_sequence & 1);
	byte = *code;
	fetch_end(&vcpu);
	assert_false(cpu.read_sequence & 1);
	return byte;
}

static void the_second_look_moves_no_window(void **state)
{
	(void)state;
	memory[0x10ffe] = 'z';
	assert_int_equal(look(GLA), 'a');
	assert_int_equal(shown, 5);
	assert_int_equal(look(GLA + 0xffe), 'z');
	assert_int_equal(look(GLA + 0xfff), 'a');
	assert_int_equal(shown, 5);
	assert_int_equal(look(OTHER), 'b');
	assert_int_equal(look(GLA), 'a');
}

static void changed_code_is_seen(void **state)
{
	(void)state;
	assert_int_equal(look(GLA), 'a');
	memory[0x10000] = 'c';
	assert_int_equal(look(GLA), 'c');
}

static void a_changed_entry_is_seen_at_each_level(void **state)
{
	(void)state;
	for (unsigned level = 4; level >= 1; level--) {
		uint64_t gla = GLA;

		setup(NULL);
		/* Another chain of tables from 0x5000, which ends in another page. */
		for (unsigned l = level; l >= 2; l--)
			*entry(0x1000 + (8 - l) * 0x1000, l - 1, gla) =
				(l == 2 ? 0x11000 : 0x1000 + (9 - l) * 0x1000) | P;
		assert_int_equal(look(gla), 'a');
		*entry(0x1000 + (4 - level) * 0x1000, level, gla) =
			(level == 1 ? 0x11000 : 0x1000 + (8 - level) * 0x1000) | P;
		assert_int_equal(look(gla), 'b');
		/* And gone altogether. */
		*entry(0x1000 + (4 - level) * 0x1000, level, gla) = 0;
		assert_int_equal(look(gla), 0);
		assert_int_equal(look(gla), 0);
	}
}

static void large_pages(void **state)
{
	uint64_t page = 0x8000000000ull; /* 1 GiB, in which HIGH has its offset */

	(void)state;
	*entry(0x3000, 2, GLA) = HIGH | P | PS;
	/* Bits 20:12 of the linear address are the page's within it. */
	slots.set.slot[2].npages = 512;
	slots.set.slot[2].pfn = PFN((HPA_0 >> PAGE_SHIFT) + 17 - (GLA >> 12 & 511));
	assert_int_equal(look(GLA), 'b');
	assert_int_equal(look(GLA), 'b');
	assert_int_equal(shown, 4);
	*entry(0x3000, 2, GLA) = 0;
	assert_int_equal(look(GLA), 0);

	*entry(0x2000, 3, GLA) = page | P | PS | 0x1000 /* PAT */;
	slots.set.slot[2].base = GFN((page | (GLA & (BIT(30) - 1))) >> PAGE_SHIFT);
	slots.set.slot[2].npages = 1;
	slots.set.slot[2].pfn = PFN((HPA_0 >> PAGE_SHIFT) + 16);
	assert_int_equal(look(GLA), 'a');
	assert_int_equal(look(GLA), 'a');
	assert_int_equal(shown, 4 + 3 /* in vain */ + 3);
	*entry(0x2000, 3, GLA) = 0;
	assert_int_equal(look(GLA), 0);
}

static void another_root_is_another_walk(void **state)
{
	(void)state;
	assert_int_equal(look(GLA), 'a');
	assert_null(fetch_begin(&vcpu, 0x8000, GLA));
	assert_int_equal(look(GLA), 'a');
}

/* The memory behind the page, or behind a table, has become other memory: a new version says so. */
static void changed_slots_are_seen(void **state)
{
	(void)state;
	assert_int_equal(look(GLA), 'a');
	*entry(0x4000, 1, GLA) = HIGH | P;
	memset(memory + sizeof(memory) / 2, 'h', PAGE_SIZE);
	assert_int_equal(look(GLA), 'h');
	slots.set.slot[2].pfn = PFN((HPA_0 >> PAGE_SHIFT) + 17);
	slots.set.version++;
	assert_int_equal(look(GLA), 'b');
	slots.set.count = 2;
	slots.set.version++;
	assert_int_equal(look(GLA), 0);
}

static void what_is_no_memory_is_not_shown(void **state)
{
	(void)state;
	slots.set.slot[1].pfn = PFN((HPA_0 >> PAGE_SHIFT) + 16);
	*entry(0x4000, 1, GLA) = 0x40000000 | P; /* a device's */
	assert_int_equal(look(GLA), 0);
	*entry(0x4000, 1, GLA) = 0x90000000 | P; /* nobody's */
	assert_int_equal(look(GLA), 0);
	*entry(0x3000, 2, GLA) = 0x90000000 | P;
	assert_int_equal(look(GLA), 0);
	assert_null(fetch_begin(&vcpu, 0x90000000, GLA));
	setup(NULL);
	slots.set.slot[0].access = ACCESS_X;
	assert_int_equal(look(GLA), 0);
}

/* What it went through is in view instead of the former walk, of which nothing may be believed. */
static void after_a_walk_in_vain(void **state)
{
	uint64_t low = 0x123456678000; /* looked at by the same windows */

	(void)state;
	*entry(0x4000, 1, OTHER) = 0x90000000 | P;
	assert_int_equal(look(GLA), 'a');
	assert_int_equal(look(OTHER), 0);
	*entry(0x4000, 1, GLA) = 0x11000 | P;
	assert_int_equal(look(GLA), 'b');
	*entry(0x1000, 4, low) = 0x5000 | P;
	assert_int_equal(look(low), 0);
	*entry(0x1000, 4, GLA) = 0;
	assert_int_equal(look(GLA), 0);
}

/* A page that is kept in the same place. */
static void another_page_is_another_walk(void **state)
{
	const uint64_t far = GLA + FETCH_CODE * PAGE_SIZE;

	(void)state;
	*entry(0x4000, 1, far) = 0x11000 | P;
	assert_int_equal(look(GLA), 'a');
	assert_int_equal(look(far), 'b');
	assert_int_equal(look(GLA), 'a');
}

static void forgetting_hides_everything(void **state)
{
	(void)state;
	fetch_forget(&vcpu);
	assert_int_equal(hidden, 0);
	assert_int_equal(look(GLA), 'a');
	fetch_forget(&vcpu);
	assert_int_equal(hidden, WINDOW_COUNT - WINDOW_CODE);
	assert_int_equal(look(GLA), 'a');
	assert_int_equal(shown, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_second_look_moves_no_window, setup),
		cmocka_unit_test_setup(changed_code_is_seen, setup),
		cmocka_unit_test_setup(a_changed_entry_is_seen_at_each_level, setup),
		cmocka_unit_test_setup(large_pages, setup),
		cmocka_unit_test_setup(another_root_is_another_walk, setup),
		cmocka_unit_test_setup(changed_slots_are_seen, setup),
		cmocka_unit_test_setup(what_is_no_memory_is_not_shown, setup),
		cmocka_unit_test_setup(after_a_walk_in_vain, setup),
		cmocka_unit_test_setup(another_page_is_another_walk, setup),
		cmocka_unit_test_setup(forgetting_hides_everything, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
