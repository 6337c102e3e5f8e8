// SPDX-License-Identifier: BSD-2-Clause
/* How the second-level MMU reaches other cores: kicks, holds, flushes and read sections. */
// sources: core/mm_host.c
// libs: -pthread
#include <asm/prctl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/guest.h"
#include "core/passthrough.h"
#include "core/smp.h"
#include "core/vcpu.h"
#include "mm/mm_host.h"
#include "x86/tsc.h"

#define CORES 4u
#define VCPUS 3u /* cores 1 to 3 are the guest's, core 0 is another's */

struct cpu *cpus[CONFIG_MAX_CPUS];
uint32_t cpu_count;

static struct guest guest;
static struct vcpu vcpus[VCPUS];
static struct cpu cores[CORES];
static unsigned kicks[CORES];
static unsigned deaf; /* kicks that a core does not react to */
static bool expect_hold, expect_flush;
static unsigned ticks; /* of the TSC to a microsecond: few, and time-outs come soon */
static jmp_buf dead;
static char last_words[128];

/* This thread is that core: the hypervisor finds its own by GS. */
static void become(struct cpu *c)
{
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, c), 0);
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_words, sizeof(last_words), fmt, ap);
	va_end(ap);
	longjmp(dead, 1);
}

uint64_t tsc_to_us(uint64_t t)
{
	return t / ticks;
}

void *page_alloc(struct page_budget *b unused, unsigned count unused)
{
	return NULL;
}

void page_free(void *first unused)
{
}

/* The core leaves its guest, sooner or later. It must find what it was kicked for. */
void smp_kick(struct cpu *c)
{
	if (expect_hold)
		assert_true(guest.hold > 0);
	for (unsigned i = 0; expect_flush && i < VCPUS; i++)
		assert_true(vcpus[i].requests & VCPU_REQ_FLUSH);
	if (++kicks[c->index] > deaf)
		__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
}

static unsigned device_flushes; /* of two ranges */

void passthrough_flush(struct guest *g, const struct gfn_range *ranges, unsigned count)
{
	assert_ptr_equal(g, &guest);
	assert_int_equal(count, 2);
	assert_int_equal(ranges[1].end, 9);
	device_flushes++;
}

static int setup(void **state unused)
{
	device_flushes = 0;
	memset(&guest, 0, sizeof(guest));
	memset(vcpus, 0, sizeof(vcpus));
	memset(cores, 0, sizeof(cores));
	memset(kicks, 0, sizeof(kicks));
	deaf = 0;
	ticks = 10000;
	expect_hold = expect_flush = false;
	cpu_count = CORES;
	for (unsigned i = 0; i < CORES; i++) {
		cores[i].self = &cores[i];
		cores[i].index = i;
		cpus[i] = &cores[i];
	}
	guest.vcpu_count = VCPUS;
	for (unsigned i = 0; i < VCPUS; i++) {
		guest.vcpus[i] = &vcpus[i];
		vcpus[i].cpu = &cores[1 + i];
	}
	become(&cores[0]);
	return 0;
}

static void enter(unsigned core)
{
	cores[core].in_guest = 1;
}

static void flush(unsigned views, unsigned ranges)
{
	struct gfn_range r[2] = { { 0, 1 }, { 5, 9 } };

	mm_flush(&guest, views, r, ranges);
}

/* Cores in the guest are kicked and out on return; those outside are not disturbed. */
static void test_hold(void **state unused)
{
	enter(1);
	enter(3);
	enter(0);
	expect_hold = true;
	mm_hold(&guest);
	assert_int_equal(guest.hold, 1);
	assert_false(cores[1].in_guest || cores[3].in_guest);
	assert_true(kicks[1] && kicks[3] && !kicks[2]);
	/* Who runs another guest is none of ours. */
	assert_true(cores[0].in_guest && !kicks[0]);
	mm_hold(&guest);
	mm_release(&guest);
	assert_int_equal(guest.hold, 1);
	mm_release(&guest);
	assert_int_equal(guest.hold, 0);
	assert_int_equal(vcpus[0].requests, 0);
}

/* The caller is a core of the guest that is in the hypervisor, whatever its flag says. */
static void test_from_inside(void **state unused)
{
	become(&cores[2]);
	enter(1);
	enter(2);
	enter(3);
	mm_hold(&guest);
	assert_true(kicks[1] && kicks[3] && !kicks[2]);
	mm_release(&guest);
	enter(1);
	flush(BIT(TDP_CPU), 1);
	assert_false(cores[1].in_guest);
	assert_int_equal(kicks[2], 0);
	/* It flushes, too, before it enters again. */
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpus[i].requests, VCPU_REQ_FLUSH);
}

/* Each core knows before it is kicked, and those outside find the mark when they enter. */
static void test_flush(void **state unused)
{
	vcpus[1].requests = VCPU_REQ_NMI;
	enter(1);
	enter(3);
	expect_flush = true;
	flush(BIT(TDP_CPU) | BIT(TDP_DMA), 2);
	assert_false(cores[1].in_guest || cores[3].in_guest);
	assert_true(kicks[1] && kicks[3] && !kicks[2]);
	assert_int_equal(vcpus[0].requests, VCPU_REQ_FLUSH);
	assert_int_equal(vcpus[1].requests, VCPU_REQ_FLUSH | VCPU_REQ_NMI);
	assert_int_equal(vcpus[2].requests, VCPU_REQ_FLUSH);
	assert_int_equal(guest.hold, 0);
}

/* No ranges, or devices only: no core has to leave. */
static void test_flush_of_others(void **state unused)
{
	enter(1);
	flush(BIT(TDP_CPU), 0);
	flush(BIT(TDP_DMA), 2);
	flush(0, 0);
	assert_true(cores[1].in_guest && !kicks[1]);
	assert_int_equal(vcpus[0].requests, 0);
}

/* An NMI can meet a core just before it enters: another one follows. */
static void test_kick_again(void **state unused)
{
	deaf = 3;
	enter(2);
	mm_hold(&guest);
	assert_int_equal(kicks[2], 4);
	mm_release(&guest);
}

/* A core that never leaves ends everything, and is named. */
static void test_core_that_stays(void **state unused)
{
	deaf = ~0u;
	ticks = 10;
	enter(3);
	if (!setjmp(dead)) {
		mm_hold(&guest);
		fail_msg("returned");
	}
	assert_non_null(strstr(last_words, "core 3"));
	assert_true(cores[3].in_guest);
	if (!setjmp(dead)) {
		flush(BIT(TDP_CPU), 1);
		fail_msg("returned");
	}
	assert_true(kicks[3] > 100);
}

/* Nor may a core stay in a read section. */
static void test_section_without_end(void **state unused)
{
	ticks = 10;
	become(&cores[2]);
	mm_read_begin();
	become(&cores[0]);
	if (!setjmp(dead)) {
		flush(0, 0);
		fail_msg("returned");
	}
	assert_non_null(strstr(last_words, "core 2"));
	become(&cores[2]);
	mm_read_end();
	become(&cores[0]);
	flush(0, 0);
}

static volatile int step;

static void wait_for(int n)
{
	while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) < n)
		sched_yield();
}

static void advance(int n)
{
	__atomic_store_n(&step, n, __ATOMIC_SEQ_CST);
}

static void *reader(void *core)
{
	become(core);
	mm_read_begin();
	advance(1);
	wait_for(2);
	/* Time enough for a flush that does not wait to be seen returning. */
	usleep(50000);
	advance(3);
	mm_read_end();
	/* A section that begins after the flush did is not waited for. */
	mm_read_begin();
	wait_for(4);
	mm_read_end();
	return NULL;
}

/* On any core, of whichever guest. */
static void test_read_sections(void **state unused)
{
	for (unsigned core = 1; core < CORES; core++) {
		pthread_t thread;

		step = 0;
		assert_int_equal(pthread_create(&thread, NULL, reader, &cores[core]), 0);
		wait_for(1);
		advance(2);
		flush(0, 0);
		assert_int_equal(step, 3);
		advance(4);
		assert_int_equal(pthread_join(thread, NULL), 0);
		flush(0, 0);
	}
	/* Sections that are over hold nobody up; the caller's own are, or it would not be here. */
	mm_read_begin();
	mm_read_end();
	flush(0, 0);
	become(&cores[1]);
	flush(0, 0);
}

static void test_exchange(void **state unused)
{
	static uint64_t table[512] aligned(4096);

	table[7] = 5;
	assert_int_equal(mm_entry_xchg(&guest, TDP_CPU, &table[7], 6), 5);
	assert_int_equal(mm_entry_xchg(&guest, TDP_DMA, &table[7], 8), 6);
	assert_int_equal(table[7], 8);
	mm_table_ready(&guest, table);
}

/*
 * Cores enter and leave as fast as they can while transactions change an entry: what a core goes on
 * using without a look at the table, it has read since the last flush of it ended.
 */
static volatile uint64_t entry, retired;
static volatile bool over;
static volatile uint64_t uses;

static void *run_guest(void *arg)
{
	struct vcpu *v = arg;
	struct cpu *c = v->cpu;
	uint64_t cached = 0;

	become(c);
	while (!over) {
		__atomic_store_n(&c->in_guest, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&guest.hold, __ATOMIC_SEQ_CST)) {
			__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
			sched_yield();
			continue;
		}
		if (__atomic_fetch_and(&v->requests, ~VCPU_REQ_FLUSH, __ATOMIC_SEQ_CST) &
		    VCPU_REQ_FLUSH)
			cached = 0;
		for (unsigned i = 0; i < 3 && c->in_guest; i++) {
			cached = cached ? cached : __atomic_load_n(&entry, __ATOMIC_SEQ_CST);
			__atomic_fetch_add(&uses, 1, __ATOMIC_RELAXED);
			/* In the guest no flush can have ended that this core did not see. */
			if (__atomic_load_n(&retired, __ATOMIC_SEQ_CST) >= cached && c->in_guest)
				over = true;
		}
		__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void test_cores_that_run(void **state unused)
{
	pthread_t thread[VCPUS];
	uint64_t n = 1;

	over = false;
	entry = n;
	retired = 0;
	deaf = ~0u; /* they come out by themselves */
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run_guest, &vcpus[i]), 0);
	for (; (n < 3000 || uses < 3000) && !over; n++) {
		if (n & 1)
			mm_hold(&guest);
		(void)mm_entry_xchg(&guest, TDP_CPU, (uint64_t *)&entry, n + 1);
		flush(BIT(TDP_CPU), 1);
		__atomic_store_n(&retired, n, __ATOMIC_SEQ_CST);
		if (n & 1)
			mm_release(&guest);
	}
	assert_false(over);
	over = true;
	for (unsigned i = 0; i < VCPUS; i++)
		pthread_join(thread[i], NULL);
}

/* The devices' view is flushed for itself, and only with something to flush. */
static void test_devices(void **state unused)
{
	flush(BIT(TDP_CPU), 2);
	flush(BIT(TDP_DMA), 0);
	assert_int_equal(device_flushes, 0);
	enter(1);
	flush(BIT(TDP_DMA), 2);
	assert_int_equal(device_flushes, 1);
	assert_int_equal(kicks[1], 0);
	flush(BIT(TDP_DMA) | BIT(TDP_CPU), 2);
	assert_int_equal(device_flushes, 2);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup(test_hold, setup),
		cmocka_unit_test_setup(test_from_inside, setup),
		cmocka_unit_test_setup(test_flush, setup),
		cmocka_unit_test_setup(test_flush_of_others, setup),
		cmocka_unit_test_setup(test_devices, setup),
		cmocka_unit_test_setup(test_kick_again, setup),
		cmocka_unit_test_setup(test_core_that_stays, setup),
		cmocka_unit_test_setup(test_section_without_end, setup),
		cmocka_unit_test_setup(test_read_sections, setup),
		cmocka_unit_test_setup(test_exchange, setup),
		cmocka_unit_test_setup(test_cores_that_run, setup),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
