/* SPDX-License-Identifier: BSD-2-Clause */
/* Monitor commands about dirty logs: which slots have one, and how many pages are written to. */
#include <stdlib.h>
#include <string.h>

#include "core/guest.h"
#include "core/hvm.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"
#include "mm/mm_host.h"
#include "x86/asm.h"
#include "x86/tsc.h"

typedef unsigned long long ull;

static const char *const mode_names[] = {
	[TDP_LOG_WP] = "wp",
	[TDP_LOG_D] = "flags",
	[TDP_LOG_PML] = "pml",
};

void monitor_dirty_stats(const struct guest *g, const struct tdp_stats *s)
{
	monitor_print("  dirty logs: %s, mode %s; reports %llu, pages %llu, first writes %llu\n",
		      tdp_logging(&g->tdp) ? "on" : "off", mode_names[g->tdp.log_mode],
		      (ull)s->harvests, (ull)s->dirty, (ull)s->log_grants);
}

/* A copy of the first slot that ends behind the frame. */
static bool next_slot(struct guest *g, uint64_t gfn, struct slot *slot)
{
	const struct slot *s;

	mm_read_begin();
	s = slot_next(tdp_slots(&g->tdp), GFN(gfn));
	if (s)
		*slot = *s;
	mm_read_end();
	return s;
}

/* Pages in a second, rounded; without overflow for any count of pages and any time. */
static uint64_t per_second(uint64_t pages, uint64_t us)
{
	if (!us)
		return 0;
	if (pages > UINT64_MAX / 1000000)
		return pages / (us / 1000000 + 1);
	return (pages * 1000000 + us / 2) / us;
}

static void print_dirty(struct guest *g)
{
	uint64_t tsc = rdtsc(), us = tsc_to_us(tsc - g->dirty_tsc), gfn = 0;
	struct slot slot;

	if (!tdp_logging(&g->tdp)) {
		monitor_print("guest %s keeps no dirty log; `dirty %s on` starts it\n",
			      g->config->name, g->config->name);
		return;
	}
	g->dirty_tsc = tsc;
	monitor_print("guest %s: pages written to in %llu ms\n", g->config->name, (ull)(us / 1000));
	for (; next_slot(g, gfn, &slot); gfn = slot_end(&slot)) {
		uint64_t count;

		/* The slot may have changed since; the next line tells of what there is then. */
		if (slot.flags & SLOT_LOG &&
		    tdp_dirty_get_clear(&g->tdp, slot.base, slot.npages, NULL, &count) == OK)
			monitor_print("  %012llx  %8llu of %llu, %llu in a second  %s\n",
				      (ull)gfn_to_gpa(slot.base).v, (ull)count, (ull)slot.npages,
				      (ull)per_second(count, us), slot.name);
	}
}

/* All memory slots, or the one that begins at `only`. */
static bool concerned(const struct slot *s, bool all, gfn_t only)
{
	if (all)
		return s->kind == SLOT_RAM || s->kind == SLOT_SHARED;
	return s->base.v == only.v;
}

static void switch_logs(struct guest *g, bool on, bool all, gfn_t only)
{
	struct slot_txn txn;
	struct slot slot;
	uint64_t gfn = 0;
	unsigned found = 0;
	enum status s = tdp_begin(&g->tdp, &txn, 0);

	for (; s == OK && next_slot(g, gfn, &slot); gfn = slot_end(&slot)) {
		if (!concerned(&slot, all, only))
			continue;
		found++;
		s = slot_set_flags(&txn, slot.base, on ? SLOT_LOG : 0);
	}
	if (s == OK && !found) {
		tdp_abort(&g->tdp, &txn);
		monitor_error("no slot begins there; `slots` shows them\n");
		return;
	}
	if (s == OK)
		s = tdp_commit(&g->tdp, &txn);
	else
		tdp_abort(&g->tdp, &txn);
	if (s != OK) {
		monitor_error("refused: %s (slot %012llx %s)\n", txn.reason ? txn.reason : "?",
			      (ull)gfn_to_gpa(txn.culprit.base).v, txn.culprit.name);
		return;
	}
	g->dirty_tsc = rdtsc();
	monitor_print("guest %s: dirty log %s for %u slots, mode %s\n", g->config->name,
		      on ? "on" : "off", found, mode_names[g->tdp.log_mode]);
}

static void set_mode(struct guest *g, const char *name)
{
	enum status s = ERR_INVALID;

	for (unsigned mode = 0; mode < ARRAY_SIZE(mode_names); mode++) {
		if (strcmp(name, mode_names[mode]) != 0)
			continue;
		s = ERR_UNSUPPORTED;
		if (mode != TDP_LOG_PML || (hvm->lists_dirty_pages && hvm->lists_dirty_pages()))
			s = tdp_set_log_mode(&g->tdp, (enum tdp_log_mode)mode);
	}
	if (s == ERR_INVALID)
		monitor_error("'%s' is no mode: wp, flags or pml\n", name);
	else if (s == ERR_BUSY)
		monitor_error("not while a dirty log is kept: `dirty %s off` first\n",
			      g->config->name);
	else if (s != OK)
		monitor_error("this CPU has no %s\n", name);
	else
		monitor_print("guest %s: dirty logs by %s\n", g->config->name, name);
}

void cmd_dirty(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);
	uint64_t gpa = 0;
	char *end;
	bool on;

	if (!g)
		return;
	if (argc < 3) {
		print_dirty(g);
		return;
	}
	if (argc > 3 && !strcmp(argv[2], "mode")) {
		set_mode(g, argv[3]);
		return;
	}
	on = !strcmp(argv[2], "on");
	if (!on && strcmp(argv[2], "off") != 0) {
		monitor_error("dirty GUEST; dirty GUEST on|off [GPA]; dirty GUEST mode "
			      "wp|flags|pml\n");
		return;
	}
	if (argc > 3) {
		gpa = strtoull(argv[3], &end, 16);
		if (*end || !IS_ALIGNED(gpa, PAGE_SIZE)) {
			monitor_error("'%s' is no page's address in hexadecimal\n", argv[3]);
			return;
		}
	}
	switch_logs(g, on, argc == 3, gpa_to_gfn(GPA(gpa)));
}
