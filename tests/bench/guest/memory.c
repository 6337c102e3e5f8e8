// SPDX-License-Identifier: BSD-2-Clause
/* What memory takes that the second-level tables do not map, or not like this. */
#include "bench.h"

#define STEP   0x1000u
#define REGION 0x200000u
#define RET    0xc3

TIMED(op_load, "movl (%%rbx), %%eax")

static void touch(uint64_t gpa)
{
	(void)*(const volatile uint8_t *)gpa;
}

static uint64_t touch_ticks(uint64_t gpa)
{
	return above_empty(op_load(&(struct regs){ .b = gpa }));
}

/* The ticks of one touch after the other. */
static uint64_t touch_all(uint64_t base, uint64_t bytes, uint64_t step)
{
	uint64_t start = rdtsc(), gpa;

	for (gpa = base; gpa < base + bytes; gpa += step)
		touch(gpa);
	return rdtsc() - start;
}

/*
 * A touch counts as a fault if it takes some times what it took before the pages went; a hypervisor
 * may map many with one fault. The first touch, which also brings back what the guest's own page
 * tables need, does not count.
 */
static void faults(uint64_t base, uint64_t bytes)
{
	uint64_t warm = 0, sum = 0, n = 0, ticks, gpa, limit;

	touch_all(base, bytes, STEP);
	for (gpa = base; gpa < base + bytes; gpa += STEP)
		warm += touch_ticks(gpa);
	limit = 4 * warm / (bytes / STEP) + 50;
	wait_action("zap");
	touch(base);
	for (gpa = base; gpa < base + bytes; gpa += STEP) {
		ticks = touch_ticks(gpa);
		if (ticks > limit) {
			sum += ticks;
			n++;
		}
	}
	say("info faults %llu for %llu pages", (unsigned long long)n,
	    (unsigned long long)(bytes / STEP));
	result("touch_warm", warm / (bytes / STEP));
	if (n)
		result("fault", sum / n);
}

static void slots(uint64_t base, uint64_t bytes)
{
	touch_all(base, bytes, STEP);
	settle();
	result("slot_touch_warm", touch_all(base, bytes, STEP));
	wait_action("slot");
	result("slot_retouch", touch_all(base, bytes, STEP));
}

static uint64_t call_all(uint64_t base, uint64_t count)
{
	uint64_t start = rdtsc(), i;

	for (i = 0; i < count; i++)
		((void (*)(void))(base + i * REGION))();
	return rdtsc() - start;
}

/* One function in each region of 2 MiB, then data in each. */
static void nx(uint64_t base, uint64_t count)
{
	uint64_t data = base + STEP, warm, exec, i;

	for (i = 0; i < count; i++)
		*(volatile uint8_t *)(base + i * REGION) = RET;
	touch_all(data, count * REGION, REGION);
	settle();
	warm = touch_all(data, count * REGION, REGION);
	exec = call_all(base, count);
	result("nx_exec_warm", call_all(base, count));
	result("nx_touch_warm", warm);
	result("nx_exec", exec);
	wait_action("recover");
	warm = touch_all(data, count * REGION, REGION);
	exec = call_all(base, count);
	result("nx_touch", warm);
	result("nx_exec_again", exec);
}

void measure_memory(void)
{
	uint64_t base, n;

	if (option_pair("fault", &base, &n))
		faults(base, n);
	if (option_pair("touch", &base, &n))
		slots(base, n);
	if (option_pair("nx", &base, &n))
		nx(base, n);
}
