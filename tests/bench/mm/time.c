/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "host.h"
#include "ops.h"

/*
 * Measures the operations in time and writes all samples as JSON, which report.py turns into a
 * table. Usage: time [TEXT]: only operations with TEXT in their name.
 */
#define GIB         (1ull << 30)
#define SAMPLES_MAX 1000

enum measure {
	WHOLE, /* the operation */
	PAUSE, /* how long it holds the guest's cores */
};

struct instance {
	const char *op;
	struct setting setting;
	unsigned samples;
	unsigned runs; /* in a sample, if nothing has to be done between them; 0: 1 */
	enum measure measure;
	bool cold;       /* with nothing of it in the caches */
	unsigned guests; /* that the samples come from, of equal numbers; 0: 1 */
};

static const struct instance instances[] = {
	{ "recreate", { .bytes = GIB, .level = 1 }, .samples = 200, .runs = 20, .guests = 5 },
	{ "recreate", { .bytes = 64 * GIB, .level = 1 }, .samples = 200, .runs = 20, .guests = 5 },
	{ "recreate",
	  { .bytes = 1024 * GIB, .level = 1 },
	  .samples = 201,
	  .runs = 20,
	  .guests = 3 },
	{ "recreate", { .bytes = GIB, .level = 1 }, .samples = 100, .cold = true, .guests = 5 },
	{ "recreate",
	  { .bytes = 64 * GIB, .level = 1 },
	  .samples = 100,
	  .cold = true,
	  .guests = 5 },
	{ "recreate", { .bytes = 1024 * GIB, .level = 1 }, .samples = 100, .cold = true },
	{ "recreate",
	  { .bytes = 64 * GIB, .level = 1, .apart = true },
	  .samples = 200,
	  .runs = 20 },
	{ "recreate", { .bytes = 64 * GIB, .level = 2 }, .samples = 200, .runs = 20 },
	{ "recreate", { .bytes = 64 * GIB, .level = 1, .slots = 500 }, .samples = 200, .runs = 5 },
	{ "recreate", { .bytes = 64 * GIB, .level = 1, .dma = true }, .samples = 200, .runs = 20 },
	{ "zap-all", { .bytes = GIB, .level = 1 }, .samples = 20 },
	{ "zap-all", { .bytes = 64 * GIB, .level = 1 }, .samples = 7 },
	{ "zap-all", { .bytes = 64 * GIB, .level = 2 }, .samples = 20 },

	{ "commit-pages", { .level = 1, .slots = 1 }, .samples = 200, .runs = 20 },
	{ "commit-pages", { .level = 1, .slots = 10 }, .samples = 200, .runs = 10 },
	{ "commit-pages", { .level = 1, .slots = 100 }, .samples = 200 },
	{ "commit-pages", { .level = 1, .slots = 500 }, .samples = 100 },
	{ "commit-pages", { .level = 1, .slots = 1 }, .samples = 1000, .measure = PAUSE },
	{ "commit-pages", { .level = 1, .slots = 10 }, .samples = 1000, .measure = PAUSE },
	{ "commit-pages", { .level = 1, .slots = 100 }, .samples = 500, .measure = PAUSE },
	{ "commit-pages", { .level = 1, .slots = 500 }, .samples = 200, .measure = PAUSE },
	{ "commit-2m", { .level = 2, .slots = 1 }, .samples = 200, .runs = 20 },
	{ "commit-2m", { .level = 2, .slots = 10 }, .samples = 200, .runs = 10 },
	{ "commit-2m", { .level = 2, .slots = 100 }, .samples = 200 },
	{ "commit-2m", { .level = 2, .slots = 500 }, .samples = 100 },
	{ "commit-2m", { .level = 2, .slots = 500 }, .samples = 200, .measure = PAUSE },

	{ "zap-slot", { .bytes = GIB, .level = 1 }, .samples = 100 },
	{ "zap-slot", { .bytes = GIB, .level = 1, .misaligned = true }, .samples = 100 },
	{ "delete-slot", { .bytes = GIB, .level = 1 }, .samples = 100 },
	{ "delete-slot", { .bytes = GIB, .level = 1 }, .samples = 100, .measure = PAUSE },
	{ "create-slot", { .bytes = GIB, .level = 1 }, .samples = 100 },
	{ "populate", { .bytes = GIB, .level = 1 }, .samples = 50 },

	{ "fault", { .bytes = GIB, .level = 1 }, .samples = 50 },
	{ "fault", { .bytes = 64 * GIB, .level = 2 }, .samples = 50 },
	{ "fault", { .bytes = 512 * GIB, .level = 3 }, .samples = 50 },
	{ "split", { .bytes = 4 * GIB, .level = 2 }, .samples = 50 },
	{ "collapse", { .bytes = 4 * GIB, .level = 2 }, .samples = 50 },
	{ "nx-split", { .bytes = 4 * GIB, .level = 2, .nx = true }, .samples = 50 },
	{ "nx-recover", { .bytes = 4 * GIB, .level = 2, .nx = true }, .samples = 50 },
	{ "zap-table", { .bytes = GIB, .level = 1 }, .samples = 50 },
	{ "dirty-log", { .bytes = GIB, .level = 2, .log = TDP_LOG_WP }, .samples = 50 },
	{ "dirty-log",
	  { .bytes = GIB, .level = 2, .log = TDP_LOG_WP, .written = 128 },
	  .samples = 50 },
	{ "dirty-log",
	  { .bytes = GIB, .level = 2, .log = TDP_LOG_WP, .written = 1 },
	  .samples = 20 },
	{ "dirty-log", { .bytes = GIB, .level = 2, .log = TDP_LOG_D }, .samples = 50 },
	{ "dirty-log",
	  { .bytes = GIB, .level = 2, .log = TDP_LOG_D, .written = 128 },
	  .samples = 50 },
	{ "dirty-log",
	  { .bytes = GIB, .level = 2, .log = TDP_LOG_D, .written = 1 },
	  .samples = 20 },
	{ "dirty-log", { .bytes = GIB, .level = 2, .log = TDP_LOG_PML }, .samples = 50 },
	{ "dirty-log",
	  { .bytes = GIB, .level = 2, .log = TDP_LOG_PML, .written = 128 },
	  .samples = 50 },
	{ "dirty-log",
	  { .bytes = GIB, .level = 2, .log = TDP_LOG_PML, .written = 1 },
	  .samples = 20 },
	{ "first-write",
	  { .bytes = GIB, .level = 2, .log = TDP_LOG_WP, .written = 1 },
	  .samples = 20 },
	{ "attach-dma", { .bytes = GIB, .level = 1, .dma = true }, .samples = 50 },
	{ "fault-spurious", { .level = 1, .slots = 500 }, .samples = 100 },
	{ "mmio-entry", { .level = 1, .slots = 500 }, .samples = 100 },
	{ "fault-mmio", { .level = 1, .slots = 500 }, .samples = 100 },
	{ "translate", { .level = 1, .slots = 500 }, .samples = 100 },
};

/* The comparators do not depend on a format. */
static const struct instance limits[] = {
	{ "limit-store", { .bytes = GIB, .level = 1 }, .samples = 100 },
	{ "limit-exchange", { .bytes = GIB, .level = 1 }, .samples = 100 },
};

/* Tables for all of the memory with these leaves, old and new, and plenty for the rest. */
static uint64_t pool_for(const struct setting *s)
{
	uint64_t tables = s->bytes / (SIZE_1G * spte_span(s->level)) * SPTE_PER_TABLE * PAGE_SIZE;

	return ALIGN_UP(tables * 65 / 64 * (s->dma ? 2 : 1), SIZE_2M) + 64 * SIZE_2M;
}

/* Displace everything from the caches. */
static void flush_caches(void)
{
	static uint64_t junk[128 << 20 >> 3];

	for (size_t i = 0; i < ARRAY_SIZE(junk); i += 8)
		junk[i]++;
}

/*
 * What of a sample's time counts. A short one as it is: few are disturbed, and those do not move the
 * median. From a long one, which surely is, what other programs got of the CPU is taken away.
 */
#define LONG_SAMPLE 200000u

static uint64_t elapsed(uint64_t wall, uint64_t cpu)
{
	return wall > LONG_SAMPLE ? min_u64(wall, cpu) : wall;
}

static uint64_t sample(struct bench_guest *g, const struct op *op, const struct instance *in)
{
	unsigned runs = in->runs && !op->before ? in->runs : 1;
	uint64_t cpu, start, ns;

	if (op->before)
		op->before(g);
	if (in->cold)
		flush_caches();
	cpu = bench_cpu_time();
	start = bench_now();
	for (unsigned i = 0; i < runs; i++) {
		op->run(g);
		g->rounds++;
	}
	ns = bench_now() - start;
	cpu = bench_cpu_time() - cpu;
	return in->measure == PAUSE ? bench_host.pause : elapsed(ns, cpu);
}

static void print_samples(const uint64_t *ns, unsigned count)
{
	printf("\"samples\": [");
	for (unsigned i = 0; i < count; i++)
		printf("%s%llu", i ? ", " : "", (unsigned long long)ns[i]);
	printf("]");
}

/* Returns the units of a run. */
static uint64_t open_guest(struct bench_guest *g, const struct instance *in,
			   const struct bench_format *f)
{
	const struct op *op = bench_op(in->op);
	uint64_t units;

	bench_open(g, f, &in->setting, pool_for(&in->setting));
	units = op->prepare(g);
	bench_host.watch = in->measure == PAUSE;
	(void)sample(g, op, in); /* warms up */
	return units;
}

static void measure(const struct instance *in, const struct bench_format *f)
{
	static uint64_t ns[SAMPLES_MAX];
	const struct op *op = bench_op(in->op);
	unsigned each = in->guests ? in->samples / in->guests : in->samples;
	struct bench_guest g;
	uint64_t units = 0;

	for (unsigned i = 0; i < in->samples; i++) {
		if (i % each == 0) {
			if (i)
				bench_close(&g);
			units = open_guest(&g, in, f);
		}
		ns[i] = sample(&g, op, in);
	}
	bench_host.watch = false;
	printf(",\n{\"op\": \"%s\", \"unit\": \"%s\", \"units\": %llu, \"format\": \"%s\", "
	       "\"bytes\": %llu, \"level\": %u, \"slots\": %u, \"apart\": %d, \"misaligned\": %d, "
	       "\"dma\": %d, \"log\": %u, \"written\": %u, \"cold\": %d, \"measure\": \"%s\", \"tables\": %llu, ",
	       op->name, op->unit,
	       (unsigned long long)units * (in->runs && !op->before ? in->runs : 1),
	       !strcmp(in->op, "attach-dma") ? f->dma_name : f->name,
	       (unsigned long long)in->setting.bytes, in->setting.level, in->setting.slots,
	       in->setting.apart, in->setting.misaligned, in->setting.dma, in->setting.log,
	       in->setting.written, in->cold, in->measure == PAUSE ? "pause" : "time",
	       (unsigned long long)tdp_stats(&g.tdp).tables);
	print_samples(ns, in->samples);
	printf("}");
	fflush(stdout);
	bench_close(&g);
}

/* How many table pages a guest of 64 GiB has with leaves of each level. */
static void measure_tables(const struct bench_format *f)
{
	for (unsigned level = 1; level <= 3; level++) {
		struct instance in = { .op = "populate",
				       .setting = { .bytes = 64 * GIB, .level = level } };
		struct bench_guest g;

		bench_open(&g, f, &in.setting, pool_for(&in.setting));
		bench_op(in.op)->prepare(&g);
		printf("%s\n{\"format\": \"%s\", \"bytes\": %llu, \"level\": %u, "
		       "\"tables\": %llu, \"budget_pages\": %llu}",
		       f == bench_formats && level == 1 ? "" : ",", f->name,
		       (unsigned long long)in.setting.bytes, level,
		       (unsigned long long)tdp_stats(&g.tdp).tables,
		       (unsigned long long)g.budget.used);
		bench_close(&g);
	}
}

/* The same work, again and again: what differs is the machine. */
static void measure_noise(void)
{
	static uint64_t ns[500];

	for (unsigned i = 0; i < ARRAY_SIZE(ns); i++) {
		uint64_t start = bench_now();

		for (unsigned n = 0; n < 100000; n++)
			__asm__ volatile("");
		ns[i] = bench_now() - start;
	}
	print_samples(ns, ARRAY_SIZE(ns));
}

static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : "";
	struct rusage usage;

	stay_on_one_cpu();
	printf("{\"noise\": {\"unit\": \"loop of 100000\", ");
	measure_noise();
	printf("},\n\"sizes\": {\"page_descriptor\": %zu, \"slot\": %zu, \"slot_set\": %zu},\n",
	       sizeof(struct page), sizeof(struct slot), sizeof(struct slot_set));
	printf("\"tables\": [");
	for (unsigned f = 0; f < bench_format_count; f++)
		measure_tables(&bench_formats[f]);
	printf("],\n\"results\": [null");
	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++)
		measure(&limits[i], &bench_formats[0]);
	for (unsigned f = 0; f < bench_format_count; f++)
		for (unsigned i = 0; i < ARRAY_SIZE(instances); i++)
			if (strstr(instances[i].op, only) &&
			    bench_possible(&bench_formats[f], &instances[i].setting))
				measure(&instances[i], &bench_formats[f]);
	getrusage(RUSAGE_SELF, &usage);
	printf("],\n\"preempted\": %ld}\n", usage.ru_nivcsw);
	return 0;
}
