/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm_shrink.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define POOL_FOR_OPS 768u
#define LIMIT        60 /* seconds: a run that takes longer does not end */
#define RUNS_MAX     3000u

/* The operations of a child that makes them, where its parent finds them. */
static struct ops *shared;

static void make_and_apply(const struct variant *variant, uint64_t seed, size_t count)
{
	struct choice c = { .rng = seed * 0x9e3779b97f4a7c15 | 1 };

	ops_start(variant, POOL_FOR_OPS);
	for (shared->count = 0; shared->count < count;) {
		struct op op = ops_next(&c);

		shared->op[shared->count++] = op;
		ops_apply(&op);
	}
	ops_end();
}

static void apply_all(const struct variant *variant, const struct ops *ops)
{
	ops_start(variant, POOL_FOR_OPS);
	for (size_t i = 0; i < ops->count; i++)
		ops_apply(&ops->op[i]);
	ops_end();
}

/* In the child. An assertion that fails is to end it, not to return to the parent's test. */
static void become_child(int out)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	alarm(LIMIT);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
}

static void drain(int fd, char *output, size_t size)
{
	char chunk[512];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		size_t take = min_u64((uint64_t)n, size ? size - 1 : 0);

		if (!take)
			continue;
		memcpy(output, chunk, take);
		output += take;
		size -= take;
	}
	if (size)
		*output = '\0';
}

/* `ops` NULL: random ones. */
static bool run_child(const struct variant *variant, const struct ops *ops, uint64_t seed,
		      size_t count, char *output, size_t size)
{
	int fds[2], status;
	pid_t child;

	fflush(NULL);
	if (pipe(fds) || (child = fork()) < 0)
		abort();
	if (child == 0) {
		become_child(fds[1]);
		if (ops)
			apply_all(variant, ops);
		else
			make_and_apply(variant, seed, count);
		exit(0);
	}
	close(fds[1]);
	drain(fds[0], output, size);
	close(fds[0]);
	if (waitpid(child, &status, 0) != child)
		abort();
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool ops_run_random(const struct variant *variant, uint64_t seed, size_t count, struct ops *made)
{
	bool good;

	if (!shared)
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	shared->count = 0;
	good = run_child(variant, NULL, seed, min_u64(count, OPS_MAX), NULL, 0);
	*made = *shared;
	return good;
}

bool ops_run(const struct variant *variant, const struct ops *ops, char *output, size_t size)
{
	return run_child(variant, ops, 0, 0, output, size);
}

static unsigned runs;

static bool fails(const struct variant *variant, const struct ops *ops)
{
	runs++;
	return !run_child(variant, ops, 0, 0, NULL, 0);
}

/* Take out [from, from + n) if the rest still fails. */
static bool without(const struct variant *variant, struct ops *ops, size_t from, size_t n)
{
	static struct ops less;

	less.count = ops->count - n;
	memcpy(less.op, ops->op, from * sizeof(*less.op));
	memcpy(less.op + from, ops->op + from + n, (less.count - from) * sizeof(*less.op));
	if (!fails(variant, &less))
		return false;
	*ops = less;
	return true;
}

/* Chunks of half the sequence first, then of a quarter, down to single operations. */
static void remove_chunks(const struct variant *variant, struct ops *ops)
{
	for (size_t n = (ops->count + 1) / 2; n > 0 && runs < RUNS_MAX; n /= 2) {
		for (size_t at = ops->count; at > 0 && runs < RUNS_MAX;) {
			size_t from = at > n ? at - n : 0;

			without(variant, ops, from, at - from);
			at = from;
		}
	}
}

static bool try_value(const struct variant *variant, struct ops *ops, struct op *op, size_t offset,
		      size_t size, uint64_t value)
{
	uint64_t old = 0;

	memcpy(&old, (char *)op + offset, size);
	if (old <= value)
		return false;
	memcpy((char *)op + offset, &value, size);
	if (fails(variant, ops))
		return true;
	memcpy((char *)op + offset, &old, size);
	return false;
}

/* Zero is the simplest number, then one, then half. */
static bool simplify_field(const struct variant *variant, struct ops *ops, struct op *op,
			   size_t offset, size_t size)
{
	uint64_t value = 0;
	bool changed = false;

	for (unsigned i = 0; i < 2; i++)
		if (try_value(variant, ops, op, offset, size, i))
			return true;
	for (unsigned i = 0; i < 40 && runs < RUNS_MAX; i++) {
		memcpy(&value, (char *)op + offset, size);
		if (!try_value(variant, ops, op, offset, size, value / 2))
			break;
		changed = true;
	}
	return changed;
}

static bool simplify_numbers(const struct variant *variant, struct ops *ops)
{
	static const struct {
		size_t offset, size;
	} field[] = {
#define FIELD(name) { offsetof(struct op, name), sizeof(((struct op *)0)->name) }
		FIELD(during), FIELD(fail), FIELD(which),     FIELD(view),  FIELD(on),
		FIELD(level),  FIELD(type), FIELD(slot_kind), FIELD(flags), FIELD(handler),
		FIELD(npages), FIELD(pfn),  FIELD(gfn),       FIELD(to),
#undef FIELD
	};
	bool changed = false;

	for (size_t i = 0; i < ops->count; i++)
		for (size_t j = 0; j < ARRAY_SIZE(field) && runs < RUNS_MAX; j++)
			changed |= simplify_field(variant, ops, &ops->op[i], field[j].offset,
						  field[j].size);
	return changed;
}

unsigned ops_shrink(const struct variant *variant, struct ops *ops)
{
	size_t before;

	runs = 0;
	do {
		before = ops->count;
		remove_chunks(variant, ops);
	} while ((simplify_numbers(variant, ops) || ops->count < before) && runs < RUNS_MAX);
	return runs;
}
