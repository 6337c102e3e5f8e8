/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_BENCH_MM_HOST_H
#define TESTS_BENCH_MM_HOST_H

#include "types.h"

/*
 * What is under mm/ while it is measured: a pool in anonymous memory, and cores and caches that
 * cost nothing. Holding and flushing only counts; what they cost on a machine is the machine's.
 */
struct bench_host {
	uint64_t holds, flushes, stores; /* `stores`: exchanges of live entries */
	bool watch;                      /* measure how long cores are held ... */
	uint64_t held_at, pause;         /* ... in ns: since when, and how long the last time */
};

extern struct bench_host bench_host;

/* A fresh pool of this size; whatever the one before had handed out is void. Exits on failure. */
void bench_pool(uint64_t bytes);

/* A clock that is never set, in ns. */
uint64_t bench_now(void);

/* What this program has used of the CPU, in ns. */
uint64_t bench_cpu_time(void);

/* Print a message like printf() and end the program: the benchmark itself is wrong. */
noreturn void bench_fail(const char *fmt, ...) printf_like(1, 2);

#endif
