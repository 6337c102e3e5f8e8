/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/window.h"

#include "core/hyp_mem.h"
#include "layout.h"
#include "x86/cpu.h"

/* Every second page, so that running over the end of one faults. */
#define STRIDE     2u
#define CORE_PAGES 128u

_Static_assert(STRIDE *WINDOW_COUNT <= CORE_PAGES, "a core's windows");
_Static_assert(512 % CORE_PAGES == 0, "the entries of a core lie in one table");

/* Of each core's first window. */
static uint64_t *entries[CONFIG_MAX_CPUS];

static struct hyp_window window(uint32_t core, unsigned slot)
{
	return (struct hyp_window){
		.va = WINDOW_BASE + (core * CORE_PAGES + slot * STRIDE) * PAGE_SIZE,
		.pte = entries[core] + slot * STRIDE,
	};
}

enum status window_init(void)
{
	struct cpu *c;
	uint32_t i;

	for_each_cpu (c, i) {
		/* The others' entries are in the same table. */
		struct hyp_window w = window(i, 0);
		enum status s = hyp_window_init(&hyp_pgtable, &w, w.va);

		if (s != OK)
			return s;
		entries[i] = w.pte;
	}
	return OK;
}

void *window_map(enum window_slot slot, hpa_t hpa)
{
	struct hyp_window w = window(this_cpu()->index, slot);

	/* What stays in view is only read. */
	return hyp_window_show(&w, hpa, slot < WINDOW_CODE ? ACCESS_RW : ACCESS_R, MEM_WB);
}

void window_hide(enum window_slot slot)
{
	struct hyp_window w = window(this_cpu()->index, slot);

	hyp_window_hide(&w);
}
