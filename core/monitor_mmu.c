/* SPDX-License-Identifier: BSD-2-Clause */
/* Monitor commands about second-level tables. */
#include <stdlib.h>
#include <string.h>

#include "core/guest.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"

typedef unsigned long long ull;

static const char *state_name(enum spte_state s)
{
	static const char *const names[] = { [SPTE_STATE_EMPTY] = "empty",
					     [SPTE_STATE_MMIO] = "device",
					     [SPTE_STATE_FROZEN] = "frozen",
					     [SPTE_STATE_LEAF] = "page",
					     [SPTE_STATE_TABLE] = "table" };

	return s < ARRAY_SIZE(names) && names[s] ? names[s] : "no page";
}

static const char *page_size(unsigned level, char text[MONITOR_SIZE_LEN])
{
	return monitor_size(spte_span(level) << PAGE_SHIFT, text);
}

static void print_step(const struct tdp_step *s)
{
	static const char *const types[MEM_TYPES] = { "wb", "uc", "wc" };
	char rights[4];

	monitor_print("  level %u: [%012llx + %3u * 8] = %016llx  %s", s->level, (ull)s->table.v,
		      s->index, (ull)s->entry, state_name(s->info.state));
	if (s->info.state == SPTE_STATE_LEAF || s->info.state == SPTE_STATE_TABLE)
		monitor_print(" at hpa %llx, %s", (ull)s->info.hpa.v,
			      monitor_rights(s->info.access, rights));
	if (s->info.state == SPTE_STATE_MMIO)
		monitor_print(", handler %u", s->info.handler);
	if (s->info.state == SPTE_STATE_LEAF)
		monitor_print(" %s%s%s", s->info.type < MEM_TYPES ? types[s->info.type] : "?",
			      s->info.accessed ? ", accessed" : "", s->info.dirty ? ", dirty" : "");
	monitor_print("\n");
}

void cmd_pt(int argc, char **argv)
{
	struct guest *g;
	struct tdp_walk w;
	char *end, size[MONITOR_SIZE_LEN], rights[4];
	uint64_t gpa;

	if (argc < 2) {
		monitor_error("pt GPA [GUEST]: the address in hexadecimal\n");
		return;
	}
	gpa = strtoull(argv[1], &end, 16);
	if (*end) {
		monitor_error("'%s' is no hexadecimal address\n", argv[1]);
		return;
	}
	g = monitor_guest_arg(argc, argv, 2);
	if (!g)
		return;
	tdp_lookup(&g->tdp, TDP_CPU, GPA(gpa), &w);
	if (!w.steps)
		monitor_print("  beyond what a guest can address\n");
	for (unsigned i = 0; i < w.steps; i++)
		print_step(&w.step[i]);
	if (w.mapped)
		monitor_print("  -> hpa %012llx, %s page, %s\n", (ull)w.hpa.v,
			      page_size(w.level, size), monitor_rights(w.access, rights));
	else if (w.steps)
		monitor_print("  not mapped\n");
}

static void print_budget(const char *what, uint64_t pages)
{
	monitor_print(" %s %llu pages (%llu KiB)", what, (ull)pages,
		      (ull)(pages * PAGE_SIZE >> 10));
}

void cmd_mmustat(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);
	char size[MONITOR_SIZE_LEN];
	struct tdp_census c;
	struct tdp_stats s;

	if (!g)
		return;
	tdp_census(&g->tdp, TDP_CPU, &c);
	s = tdp_stats(&g->tdp);
	monitor_print("guest %s\n  tables", g->config->name);
	for (unsigned level = SPTE_LEVELS_MAX; level > 0; level--) {
		if (c.tables[level])
			monitor_print("  level %u: %llu", level, (ull)c.tables[level]);
	}
	monitor_print("  (%llu in all, %llu KiB)\n  pages ", (ull)s.tables,
		      (ull)(s.tables * PAGE_SIZE >> 10));
	for (unsigned level = 3; level > 0; level--)
		monitor_print("  %s: %llu", page_size(level, size), (ull)c.leaves[level]);
	monitor_print(
		"\n  faults  fixed %llu, spurious %llu, mmio %llu, retried %llu, errors %llu\n"
		"  device accesses by their entries %llu\n",
		(ull)s.fixed, (ull)s.spurious, (ull)s.mmio, (ull)s.retry, (ull)s.error,
		(ull)s.mmio_entries);
	monitor_print("  changes committed %llu, refused %llu; prepared again %llu, flushes %llu, "
		      "zaps %llu\n",
		      (ull)s.commits, (ull)s.refused, (ull)s.prepared_again, (ull)s.flushes,
		      (ull)s.zaps);
	monitor_print("  in place: splits %llu, merges %llu; nx: splits %llu, recovered %llu\n",
		      (ull)s.splits, (ull)s.collapses, (ull)s.nx_splits, (ull)s.nx_recovered);
	monitor_dirty_stats(g, &s);
	monitor_print("  budget ");
	print_budget("used", g->budget.used);
	print_budget("of", g->budget.limit);
	print_budget("most ever", g->budget.peak);
	monitor_print("; refused %llu\n", (ull)g->budget.refused);
}

/* The guest argv[1] and the address argv[2], or NULL after a message. */
static struct guest *guest_and_address(int argc, char **argv, uint64_t *gpa)
{
	char *end;

	if (argc < 3) {
		monitor_error("%s GUEST GPA\n", argv[0]);
		return NULL;
	}
	*gpa = strtoull(argv[2], &end, 16);
	if (*end || *gpa >> (SLOT_GFN_BITS + PAGE_SHIFT)) {
		monitor_error("'%s' is no guest-physical address in hexadecimal\n", argv[2]);
		return NULL;
	}
	return monitor_guest_arg(argc, argv, 1);
}

void cmd_zap(int argc, char **argv)
{
	bool all = argc > 2 && !strcmp(argv[2], "all");
	struct guest *g;
	uint64_t gpa;

	if (argc > 2 && (all || !strcmp(argv[2], "slot"))) {
		g = monitor_guest_arg(argc, argv, 1);
		if (!g)
			return;
		tdp_set_zap_all(&g->tdp, all);
		monitor_print("guest %s: changes take away %s\n", g->config->name,
			      all ? "all translations" : "what has changed");
		return;
	}
	if (argc < 3) {
		monitor_error("zap GUEST slot|all switches what changes take away; zap GUEST GPA "
			      "takes a slot's pages away\n");
		return;
	}
	g = guest_and_address(argc, argv, &gpa);
	if (!g)
		return;
	if (IS_ALIGNED(gpa, PAGE_SIZE) && tdp_zap_slot(&g->tdp, gpa_to_gfn(GPA(gpa))) == OK)
		monitor_print("guest %s: done; faults bring the pages back\n", g->config->name);
	else
		monitor_error("no slot begins at gpa %llx; `slots` shows them\n", (ull)gpa);
}

void cmd_split(int argc, char **argv)
{
	uint64_t gpa;
	struct guest *g = guest_and_address(argc, argv, &gpa);
	enum status s;

	if (!g)
		return;
	/* What was zapped would come back as a large page. */
	s = tdp_populate(&g->tdp, gpa_to_gfn(GPA(gpa)), 1);
	if (s == OK)
		s = tdp_split(&g->tdp, TDP_CPU, gpa_to_gfn(GPA(gpa)), 1);
	if (s == OK)
		monitor_print("guest %s: 4K pages around gpa %llx\n", g->config->name, (ull)gpa);
	else if (s == ERR_NOMEM)
		monitor_error("out of memory for page tables (%llu KiB); raise `tables` in its "
			      "section\n",
			      (ull)(g->budget.limit * PAGE_SIZE >> 10));
	else
		monitor_error("no memory at gpa %llx; `slots` shows where it is\n", (ull)gpa);
}

void cmd_merge(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);

	if (g)
		monitor_print("guest %s: %llu tables merged\n", g->config->name,
			      (ull)tdp_collapse(&g->tdp, GFN(0), BIT(SLOT_GFN_BITS)));
}
