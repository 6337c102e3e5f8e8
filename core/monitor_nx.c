/* SPDX-License-Identifier: BSD-2-Clause */
/* Monitor command about large pages that are not executable. */
#include <stdlib.h>
#include <string.h>

#include "core/monitor.h"
#include "core/monitor_cmds.h"
#include "core/nx.h"
#include "x86/multihit.h"

typedef unsigned long long ull;

#define PERIOD_MAX 86400 /* a day, in seconds */

static void show(struct guest *g)
{
	struct tdp_stats s = tdp_stats(&g->tdp);

	monitor_print(
		"guest %s: large pages are %sexecutable; this CPU has %s iTLB multihit flaw\n",
		g->config->name, g->tdp.nx_huge ? "not " : "", cpu_has_multihit() ? "the" : "no");
	monitor_print("  split now %u, ever %llu; merged again %llu; a pass every %u s, at exits\n",
		      g->tdp.nx_list.count, (ull)s.nx_splits, (ull)s.nx_recovered, nx_period(g));
}

static void set_period(struct guest *g, const char *text)
{
	char *end;
	unsigned long seconds = strtoul(text, &end, 10);

	if (*end || !seconds || seconds > PERIOD_MAX) {
		monitor_error("'%s' is no number of seconds from 1 to %u\n", text, PERIOD_MAX);
		return;
	}
	nx_set_period(g, (uint32_t)seconds);
	show(g);
}

void cmd_itlb(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);
	const char *word = argc > 2 ? argv[2] : "";

	if (!g)
		return;
	if (argc == 4 && !strcmp(word, "every")) {
		set_period(g, argv[3]);
	} else if (argc == 3 && !strcmp(word, "recover")) {
		monitor_print("guest %s: %u merged\n", g->config->name, nx_recover_all(g));
	} else if (argc == 3 && (!strcmp(word, "on") || !strcmp(word, "off"))) {
		tdp_set_nx_huge(&g->tdp, word[1] == 'n');
		show(g);
	} else if (argc <= 2) {
		show(g);
	} else {
		monitor_error("itlb [GUEST [on|off|recover|every SECONDS]]\n");
	}
}
