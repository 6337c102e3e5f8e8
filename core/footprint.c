/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/footprint.h"

#include <stdio.h>

#include "core/guest.h"
#include "core/hyp_mem.h"
#include "core/init.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"

typedef unsigned long long ull;

/* linker.ld */
extern const char __text_start[], __text_end[], __rodata_start[], __rodata_end[];
extern const char __data_start[], __data_end[], __bss_end[];

#define TRAMPOLINE_PAGES 2 /* include/boot_info.h */

static uint64_t charged[FOOTPRINT_PARTS]; /* pages; what came after the boot is missing */

void footprint_charge(enum footprint_part part)
{
	uint64_t known = 0;

	for (unsigned i = 0; i < FOOTPRINT_PARTS; i++)
		known += charged[i];
	charged[part] += hyp_budget.used - known;
}

static ull kib(uint64_t pages)
{
	return pages << PAGE_SHIFT >> 10;
}

static ull bytes_kib(const char *start, const char *end)
{
	return ((uint64_t)(end - start) + 1023) >> 10;
}

static void row(const char *what, const char *whose, uint64_t pages, const char *note)
{
	monitor_print("  %-8s %-15s %9llu KiB  %s\n", what, whose, kib(pages), note);
}

static uint64_t print_image(void)
{
	uint64_t pages = boot_info->image_size >> PAGE_SHIFT;

	monitor_print("  %-24s %9llu KiB  text %llu, constants %llu, data %llu, bss %llu\n",
		      "image", kib(pages), bytes_kib(__text_start, __text_end),
		      bytes_kib(__rodata_start, __rodata_end), bytes_kib(__data_start, __data_end),
		      bytes_kib(__data_end, __bss_end));
	return pages;
}

/* Files are there for restarts. Two guests may share one. */
static uint64_t print_files(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < boot_info->region_count; i++) {
		if (boot_info->regions[i].type == REGION_IMAGE)
			bytes += boot_info->regions[i].size;
	}
	row("files", "", bytes >> PAGE_SHIFT, "kernels and initrds, for restarts");
	return bytes >> PAGE_SHIFT;
}

static uint64_t own_pages(const struct guest *g)
{
	return ALIGN_UP(sizeof(*g), PAGE_SIZE) >> PAGE_SHIFT;
}

/* Two rows: what each guest has, and what depends on its memory and how it is mapped. */
static uint64_t print_guest(struct guest *g)
{
	uint64_t tables = tdp_stats(&g->tdp).tables, used = g->budget.used, mapped = 0;
	struct tdp_census c;
	char note[80];

	tdp_census(&g->tdp, TDP_CPU, &c);
	for (unsigned level = 1; level <= SPTE_LEVELS_MAX; level++)
		mapped += c.leaves[level] * spte_span(level);
	snprintf(note, sizeof(note), "vCPUs: %u; promised, tables included: %llu KiB",
		 g->vcpu_count, kib(g->budget.limit));
	row("guest", g->config->name, used - tables + own_pages(g), note);
	snprintf(note, sizeof(note), "for %llu KiB mapped", kib(mapped));
	row("tables", g->config->name, tables, note);
	return used + own_pages(g);
}

/* The pool without what its budgets have: what was handed over, and the allocator's own. */
static uint64_t print_pool(uint64_t guests_pages)
{
	uint64_t common = hyp_budget.used - charged[FOOTPRINT_CORES] - charged[FOOTPRINT_DEVICES] -
			  charged[FOOTPRINT_GUESTS];
	uint64_t used = hyp_budget.used - charged[FOOTPRINT_GUESTS] + guests_pages;
	uint64_t start = page_pool.pages - page_pool.free - used + TRAMPOLINE_PAGES;
	char note[80];

	row("common", "", common, "page table, consoles, screen");
	snprintf(note, sizeof(note), "%u of them", cpu_count);
	row("cores", "", charged[FOOTPRINT_CORES], note);
	row("devices", "", charged[FOOTPRINT_DEVICES], "the list of them, IOMMUs' tables");
	row("start", "", start, "what the loader handed over, the pool's page descriptors");
	snprintf(note, sizeof(note), "in the pool; %llu KiB of it not promised to anybody",
		 kib(page_pool_unreserved()));
	row("unused", "", page_pool.free, note);
	return page_pool.pages + TRAMPOLINE_PAGES;
}

void cmd_footprint(int argc, char **argv)
{
	uint64_t guests_pages = 0, all;
	struct guest *g;
	uint32_t i;

	(void)argc;
	(void)argv;
	for_each_guest (g, i)
		guests_pages += print_guest(g);
	all = print_image();
	all += print_pool(guests_pages);
	all += print_files();
	row("in all", "", all, "taken from the machine, beside guests' memory");
}
