// SPDX-License-Identifier: BSD-2-Clause
#include "mm/mm_host.h"

#include <inttypes.h>

#include "core/guest.h"
#include "core/passthrough.h"
#include "core/read_section.h"
#include "core/smp.h"
#include "core/vcpu.h"
#include "panic.h"
#include "x86/asm.h"
#include "x86/cpu.h"
#include "x86/tsc.h"

/*
 * How mm/ reaches the machine. Two facts carry it (docs/locking.md): a core says cpu->in_guest = 1
 * before it looks at guest->hold and vcpu->requests, and here they are set before in_guest is
 * read. So a core that is seen outside will see what was asked of it before it enters.
 */

/*
 * An NMI makes a core leave within microseconds. But SMM can hold one for many milliseconds, and a
 * hypervisor below us, or an emulator on a busy machine, can hold its virtual core for much longer.
 */
#define LEAVE_TIMEOUT_US 5000000
#define KICK_AGAIN_US    1000

void *mm_alloc(struct page_budget *budget, unsigned pages)
{
	return page_alloc(budget, pages);
}

void mm_free(void *first)
{
	page_free(first);
}

/* Whether an IOMMU snoops differs from unit to unit; writing a line back is right for all. */
uint64_t mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value)
{
	uint64_t old = __atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);

	(void)host;
	if (view == TDP_DMA)
		clflush(entry);
	return old;
}

void mm_table_ready(void *host, const uint64_t *table)
{
	(void)host;
	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*table); i += 64 / sizeof(*table))
		clflush(&table[i]);
}

static bool in_guest(const struct cpu *c)
{
	return __atomic_load_n(&c->in_guest, __ATOMIC_SEQ_CST);
}

/* Returns when `c` has been seen outside guest mode once. */
static void wait_outside(struct cpu *c)
{
	uint64_t start = rdtsc();
	uint64_t next_kick = 0;

	while (in_guest(c)) {
		uint64_t us = tsc_to_us(rdtsc() - start);

		if (us > LEAVE_TIMEOUT_US)
			panic("core %" PRIu32 " does not leave its guest: %" PRIu64 " us", c->index,
			      us);
		if (us >= next_kick) {
			smp_kick(c);
			next_kick = us + KICK_AGAIN_US;
		}
		cpu_pause();
	}
}

void mm_hold(void *host)
{
	struct guest *g = host;
	struct vcpu *v;
	uint32_t i;

	__atomic_fetch_add(&g->hold, 1, __ATOMIC_SEQ_CST);
	for_each_vcpu (g, v, i) {
		if (v->cpu != this_cpu())
			wait_outside(v->cpu);
	}
}

void mm_release(void *host)
{
	struct guest *g = host;

	__atomic_fetch_sub(&g->hold, 1, __ATOMIC_RELEASE);
}

/*
 * Returns when the section that had begun on the core, if any, has ended. Sections are short and
 * wait for nothing, but a core may be taken away from us in one, as in the guest.
 */
static void wait_for_reader(const struct cpu *c)
{
	uint64_t seen = __atomic_load_n(&c->read_sequence, __ATOMIC_ACQUIRE);
	uint64_t start = rdtsc();

	if (!(seen & 1))
		return;
	while (__atomic_load_n(&c->read_sequence, __ATOMIC_ACQUIRE) == seen) {
		if (tsc_to_us(rdtsc() - start) > LEAVE_TIMEOUT_US)
			panic("core %" PRIu32 " does not end its read section", c->index);
		cpu_pause();
	}
}

static void wait_for_readers(void)
{
	const struct cpu *self = this_cpu();
	struct cpu *c;
	uint32_t i;

	/* Orders the stores that unpublished something before the looks below. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for_each_cpu (c, i)
		if (c != self)
			wait_for_reader(c);
}

void mm_flush(void *host, unsigned views, const struct gfn_range *ranges, unsigned count)
{
	struct guest *g = host;
	struct vcpu *v;
	uint32_t i;

	/* Devices first: they go on meanwhile, cores leave meanwhile. */
	if (count && views & BIT(TDP_DMA))
		passthrough_flush(g, ranges, count);
	/* INVEPT and ASIDs know no ranges: everything of the guest goes. */
	if (count && views & BIT(TDP_CPU)) {
		for_each_vcpu (g, v, i)
			__atomic_fetch_or(&v->requests, VCPU_REQ_FLUSH, __ATOMIC_SEQ_CST);
		for_each_vcpu (g, v, i) {
			if (v->cpu != this_cpu())
				wait_outside(v->cpu);
		}
	}
	wait_for_readers();
}

void mm_read_begin(void)
{
	read_section_begin(this_cpu());
}

void mm_read_end(void)
{
	read_section_end(this_cpu());
}

void mm_hyp_invalidate(uint64_t va, uint64_t size)
{
	uint64_t a;

	for (a = ALIGN_DOWN(va, PAGE_SIZE); a < va + size; a += PAGE_SIZE)
		invlpg((const void *)a);
}
