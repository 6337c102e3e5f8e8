/* SPDX-License-Identifier: BSD-2-Clause */
#include "host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "mm/mm_host.h"
#include "panic.h"

#define POOL_HPA 0x40000000ull

struct bench_host bench_host;

static void *arena;
static uint64_t arena_size;

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t bench_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_time(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static noreturn void end(const char *what, const char *fmt, va_list args)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", what);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	exit(1);
}

void bench_fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	end("benchmark", fmt, args);
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	end("panic", fmt, args);
}

void bench_pool(uint64_t bytes)
{
	/* Other memory each time: where it lies makes a difference that must not look like another. */
	if (arena)
		munmap(arena, arena_size);
	arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		bench_fail("no memory for a pool of %llu bytes", (unsigned long long)bytes);
	/* The hypervisor maps its pool with large pages, too. */
	(void)madvise(arena, bytes, MADV_HUGEPAGE);
	arena_size = bytes;
	if (page_pool_init(HPA(POOL_HPA), bytes, arena, 0))
		bench_fail("the pool was refused");
	bench_host = (struct bench_host){ .watch = bench_host.watch };
}

void *mm_alloc(struct page_budget *budget, unsigned pages)
{
	return page_alloc(budget, pages);
}

void mm_free(void *first)
{
	page_free(first);
}

uint64_t mm_entry_xchg(void *host unused, enum tdp_view_id view unused, uint64_t *entry,
		       uint64_t value)
{
	bench_host.stores++;
	return __atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);
}

void mm_table_ready(void *host unused, const uint64_t *table unused)
{
}

void mm_hold(void *host unused)
{
	bench_host.holds++;
	if (bench_host.watch)
		bench_host.held_at = bench_now();
}

void mm_release(void *host unused)
{
	if (bench_host.watch)
		bench_host.pause = bench_now() - bench_host.held_at;
}

void mm_flush(void *host unused, unsigned views unused, const struct gfn_range *ranges unused,
	      unsigned count unused)
{
	bench_host.flushes++;
}

void mm_read_begin(void)
{
}

void mm_read_end(void)
{
}
