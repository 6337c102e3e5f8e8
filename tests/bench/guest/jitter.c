// SPDX-License-Identifier: BSD-2-Clause
/*
 * How late a periodic timer's interrupt comes, over a while, as cyclictest measures it; and the
 * neighbour that tries to make it late.
 */
#include "bench.h"
#include "x86/lapic.h"

#define BUCKETS   20000u
#define BUCKET_NS 50u
#define FIRST_NS  250u /* the end of the histogram's first row; each has twice the last's */
#define BAR       50u
#define SETTLING  16u /* first periods, which do not count */

#define UART_SCRATCH 0x3ff
#define LINE         64u
#define LAP          (1u << 20) /* bytes of memory between two accesses to a port */

static struct {
	uint32_t bucket[BUCKETS]; /* the last: that late or later */
	uint64_t count, least, most, sum, missed;
} jitter;

static uint64_t to_ns(uint64_t ticks)
{
	return ticks / bench.khz * 1000000 + ticks % bench.khz * 1000000 / bench.khz;
}

static void record(uint64_t late)
{
	uint64_t n = to_ns(late) / BUCKET_NS;

	jitter.bucket[n < BUCKETS ? n : BUCKETS - 1]++;
	jitter.count++;
	jitter.sum += late;
	jitter.least = late < jitter.least ? late : jitter.least;
	jitter.most = late > jitter.most ? late : jitter.most;
}

static uint64_t after(uint64_t tsc, uint64_t expiry)
{
	return tsc > expiry ? tsc - expiry : 0;
}

/* The next deadline is counted from the last one, not from its interrupt; those in the past are missed. */
static void by_deadline(uint64_t period, uint64_t periods)
{
	uint64_t next = timer_arm(period), late, i;

	for (i = 0; i < periods + SETTLING; i++) {
		late = after(wait_halted(), next);
		apic_eoi();
		if (i >= SETTLING)
			record(late);
		for (next += period; rdtsc() >= next; next += period)
			jitter.missed++;
		timer_arm_at(next);
	}
}

/*
 * Hardware goes on by itself, and is asked when it last expired. If it has done so more than once since
 * the last interrupt, the first time is what this interrupt was for.
 */
static void by_count(uint64_t period, uint64_t periods)
{
	uint32_t initial = timer_count_of(period);
	uint64_t at, last = 0, expiry, i;

	apic_write(LAPIC_TIMER_INIT, initial);
	for (i = 0; i < periods + SETTLING; i++) {
		at = wait_halted();
		expiry = timer_last_expiry(initial);
		apic_eoi();
		if (i >= SETTLING && expiry > last + period * 3 / 2) {
			record(after(at, last + period));
			jitter.missed += (expiry - last + period / 2) / period - 1;
		} else if (i >= SETTLING) {
			record(after(at, expiry));
		}
		last = expiry;
	}
}

/* The end of the bucket below which so many of a thousand are. */
static uint64_t per_mille_ns(uint64_t share)
{
	uint64_t seen = 0, ns;
	uint32_t i;

	for (i = 0; i < BUCKETS; i++) {
		seen += jitter.bucket[i];
		if (seen * 1000 >= jitter.count * share)
			break;
	}
	ns = (i + 1ull) * BUCKET_NS;
	return i + 1 < BUCKETS && ns < to_ns(jitter.most) ? ns : to_ns(jitter.most);
}

static void row(const char *below, uint64_t ns, uint64_t n)
{
	char bar[BAR + 1];

	memset(bar, '#', BAR);
	bar[1 + n * (BAR - 1) / jitter.count] = 0;
	say("info histogram %s %7llu ns: %8llu %s", below, (unsigned long long)ns,
	    (unsigned long long)n, bar);
}

static void histogram(void)
{
	uint64_t end, n;
	uint32_t i = 0;

	for (end = FIRST_NS; i < BUCKETS - 1; end *= 2) {
		for (n = 0; i < BUCKETS - 1 && i * BUCKET_NS < end; i++)
			n += jitter.bucket[i];
		if (n)
			row("below", end, n);
	}
	if (jitter.bucket[i])
		row(" from", i * BUCKET_NS, jitter.bucket[i]);
}

void run_jitter(const char *prefix, uint64_t seconds)
{
	uint64_t us = option("period", 1000), period = us * bench.khz / 1000;

	if (!period || !seconds) {
		say("info jitter needs khz=, and numbers above 0");
		return;
	}
	say("info %sjitter measuring %llu s, a period of %llu us", prefix,
	    (unsigned long long)seconds, (unsigned long long)us);
	settle();
	memset(&jitter, 0, sizeof(jitter));
	jitter.least = UINT64_MAX;
	timer_init(true);
	(bench.deadline ? by_deadline : by_count)(period, seconds * 1000000 / us);
	timer_stop();
	histogram();
	result_as(prefix, "jitter_min", jitter.least);
	result_as(prefix, "jitter_avg", jitter.sum / jitter.count);
	result_as(prefix, "jitter_max", jitter.most);
	result_as(prefix, "jitter_min_ns", to_ns(jitter.least));
	result_as(prefix, "jitter_avg_ns", to_ns(jitter.sum / jitter.count));
	result_as(prefix, "jitter_p999_ns", per_mille_ns(999));
	result_as(prefix, "jitter_max_ns", to_ns(jitter.most));
	result_as(prefix, "jitter_missed", jitter.missed);
}

/* A write to each cache line, which evicts others from what the cores share, and accesses to a port. */
noreturn void run_load(uint64_t base, uint64_t bytes)
{
	uint64_t at = 0;

	pass_seconds(option("after", 0));
	say("info load on");
	for (;; at = at + LINE < bytes ? at + LINE : 0) {
		*(volatile uint64_t *)(base + at) += at;
		if (at % LAP == 0) {
			outb(UART_SCRATCH, (uint8_t)at);
			(void)inb(UART_SCRATCH);
		}
	}
}
