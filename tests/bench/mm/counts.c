/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <valgrind/callgrind.h>

#include "host.h"
#include "ops.h"

/*
 * Runs each operation once under callgrind, which counts its instructions and nothing else; see
 * counts.py. The counts do not depend on the machine, so the sizes can be small.
 */
#define MIB (1ull << 20)

struct instance {
	const char *name; /* of the count */
	const char *op;
	struct setting setting;
};

static const struct instance instances[] = {
	{ "recreate a page's slot, 256 MiB guest", "recreate", { .bytes = 256 * MIB, .level = 1 } },
	{ "recreate a page's slot, 4 GiB guest", "recreate", { .bytes = 4096 * MIB, .level = 1 } },
	{ "recreate a page's slot, apart",
	  "recreate",
	  { .bytes = 256 * MIB, .level = 1, .apart = true } },
	{ "recreate a page's slot, 2 MiB pages", "recreate", { .bytes = 2048 * MIB, .level = 2 } },
	{ "recreate a page's slot, 500 others",
	  "recreate",
	  { .bytes = 256 * MIB, .level = 1, .slots = 500 } },
	{ "recreate a page's slot, with devices",
	  "recreate",
	  { .bytes = 256 * MIB, .level = 1, .dma = true } },
	{ "commit 1 slot of a page", "commit-pages", { .level = 1, .slots = 1 } },
	{ "commit 10 slots of a page", "commit-pages", { .level = 1, .slots = 10 } },
	{ "commit 100 slots of a page", "commit-pages", { .level = 1, .slots = 100 } },
	{ "commit 500 slots of a page", "commit-pages", { .level = 1, .slots = 500 } },
	{ "commit 500 slots of 2 MiB", "commit-2m", { .level = 2, .slots = 500 } },
	{ "zap a slot of 256 MiB", "zap-slot", { .bytes = 256 * MIB, .level = 1 } },
	{ "zap a slot of 256 MiB, misaligned",
	  "zap-slot",
	  { .bytes = 256 * MIB, .level = 1, .misaligned = true } },
	{ "create a slot of 256 MiB", "create-slot", { .bytes = 256 * MIB, .level = 1 } },
	{ "delete a slot of 256 MiB", "delete-slot", { .bytes = 256 * MIB, .level = 1 } },
	{ "populate 256 MiB", "populate", { .bytes = 256 * MIB, .level = 1 } },
	{ "fault in 32 MiB by 4 KiB", "fault", { .bytes = 32 * MIB, .level = 1 } },
	{ "fault in 4 GiB by 2 MiB", "fault", { .bytes = 4096 * MIB, .level = 2 } },
	{ "fault in 512 GiB by 1 GiB", "fault", { .bytes = 512 * 1024 * MIB, .level = 3 } },
	{ "split 32 regions", "split", { .bytes = 64 * MIB, .level = 2 } },
	{ "collapse 32 regions", "collapse", { .bytes = 64 * MIB, .level = 2 } },
	{ "execute in 32 regions", "nx-split", { .bytes = 64 * MIB, .level = 2, .nx = true } },
	{ "recover 32 regions", "nx-recover", { .bytes = 64 * MIB, .level = 2, .nx = true } },
	{ "zap 32 tables", "zap-table", { .bytes = 64 * MIB, .level = 1 } },
	{ "report on 64 MiB, protected, 1 page in 128 written",
	  "dirty-log",
	  { .bytes = 64 * MIB, .level = 2, .log = TDP_LOG_WP, .written = 128 } },
	{ "report on 64 MiB, dirty flags, nothing written",
	  "dirty-log",
	  { .bytes = 64 * MIB, .level = 2, .log = TDP_LOG_D } },
	{ "report on 64 MiB, dirty flags, 1 page in 128 written",
	  "dirty-log",
	  { .bytes = 64 * MIB, .level = 2, .log = TDP_LOG_D, .written = 128 } },
	{ "report on 64 MiB, PML, 1 page in 128 written",
	  "dirty-log",
	  { .bytes = 64 * MIB, .level = 2, .log = TDP_LOG_PML, .written = 128 } },
	{ "first writes to 64 MiB, protected",
	  "first-write",
	  { .bytes = 64 * MIB, .level = 2, .log = TDP_LOG_WP, .written = 1 } },
	{ "map 64 MiB for devices", "attach-dma", { .bytes = 64 * MIB, .level = 1, .dma = true } },
	{ "1000 spurious faults", "fault-spurious", { .level = 1, .slots = 500 } },
	{ "1000 accesses to MMIO entries", "mmio-entry", { .level = 1, .slots = 500 } },
	{ "1000 MMIO faults", "fault-mmio", { .level = 1, .slots = 500 } },
	{ "1000 translations", "translate", { .level = 1, .slots = 500 } },
};

static void count(const struct instance *in, const struct bench_format *f)
{
	const struct op *op = bench_op(in->op);
	struct bench_guest g;
	char name[128];

	snprintf(name, sizeof(name), "%s: %s", f->name, in->name);
	bench_open(&g, f, &in->setting, 32 * SIZE_2M);
	op->prepare(&g);
	/* The second run, so that the pool looks as it does later, too. */
	for (; g.rounds < 2; g.rounds++) {
		if (op->before)
			op->before(&g);
		CALLGRIND_ZERO_STATS;
		CALLGRIND_START_INSTRUMENTATION;
		op->run(&g);
		CALLGRIND_STOP_INSTRUMENTATION;
	}
	CALLGRIND_DUMP_STATS_AT(name);
	bench_close(&g);
}

int main(void)
{
	for (unsigned f = 0; f < bench_format_count; f++)
		for (unsigned i = 0; i < ARRAY_SIZE(instances); i++)
			if (bench_possible(&bench_formats[f], &instances[i].setting))
				count(&instances[i], &bench_formats[f]);
	return 0;
}
