/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/window.h"

#include "core/hyp_mem.h"
#include "layout.h"
#include "x86/cpu.h"

static struct hyp_window windows[CONFIG_MAX_CPUS][WINDOW_COUNT];

enum status window_init(void)
{
	struct cpu *c;
	uint32_t i;

	for_each_cpu (c, i) {
		for (unsigned slot = 0; slot < WINDOW_COUNT; slot++) {
			/* Every second page, so that running over the end of one faults. */
			uint64_t va = WINDOW_BASE + (i * WINDOW_COUNT + slot) * 2 * PAGE_SIZE;
			enum status s = hyp_window_init(&hyp_pgtable, &windows[i][slot], va);

			if (s != OK)
				return s;
		}
	}
	return OK;
}

void *window_map(enum window_slot slot, hpa_t hpa)
{
	return hyp_window_show(&windows[this_cpu()->index][slot], hpa, ACCESS_RW, MEM_WB);
}
