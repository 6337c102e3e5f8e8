// SPDX-License-Identifier: BSD-2-Clause
/* What interrupts take, from their cause to the first instruction of the handler. */
#include "bench.h"
#include "x86/lapic.h"
#include "x86/msr.h"

#define XAPIC 0xfee00000ull

void irq_stub(void);

/* Set by the handler, which runs on one core at a time. */
static volatile uint64_t irq_tsc, irq_count;

/*
 * The handler reads the TSC first and saves nothing: whoever waits for it gives up RAX and RDX. The
 * end of the interrupt is left to the interrupted program.
 */
__asm__(".text\n"
	".globl irq_stub\n"
	"irq_stub:\n"
	"	lfence\n"
	"	rdtsc\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	mov %rax, irq_tsc(%rip)\n"
	"	incq irq_count(%rip)\n"
	"	iretq\n");

#define SPIN_LIMIT 100000000ull /* rounds of a few instructions: long enough anywhere */
#define ROUNDS     100

/* Where the core is to be fast asleep before it is woken up: KVM polls for a while before it sleeps. */
#define SLOW_ROUNDS 20
#define SLOW_TICKS  1000000
#define FAST_TICKS  50000
#define RATIO_TICKS 1000000
#define READ_TRIES  4

#define PATIENCE_TICKS 10000000000ull

/*
 * Execute `insn`, which sends an interrupt to this core, and spin till its handler has run; the ticks
 * from before the instruction to the handler's reading of the TSC. 0: it did not come.
 */
#define INTERRUPTED(name, insn)                                                                \
	static uint64_t name(const struct regs *r)                                             \
	{                                                                                      \
		uint64_t start, b = r->b, c = r->c, limit = SPIN_LIMIT, n = irq_count;         \
                                                                                               \
		__asm__ volatile("sti\n" TSC_BEGIN insn "\n"                                   \
				 "1: cmp %[n], irq_count(%%rip)\n"                             \
				 "jne 2f\n"                                                    \
				 "dec %[limit]\n"                                              \
				 "jne 1b\n"                                                    \
				 "2: cli\n"                                                    \
				 : "+b"(b), "+c"(c), [start] "=&r"(start), [limit] "+r"(limit) \
				 : [a] "r"(r->a), [d] "r"(r->d), [n] "r"(n)                    \
				 : "rax", "rdx", "memory", "cc");                              \
		return limit ? irq_tsc - start : 0;                                            \
	}

/* Execute `insn` and return what the TSC was before it. */
#define STARTED(name, insn)                                               \
	static uint64_t name(const struct regs *r)                        \
	{                                                                 \
		uint64_t start, b = r->b, c = r->c;                       \
                                                                          \
		__asm__ volatile(TSC_BEGIN insn "\n"                      \
				 : "+b"(b), "+c"(c), [start] "=&r"(start) \
				 : [a] "r"(r->a), [d] "r"(r->d)           \
				 : "rax", "rdx", "memory", "cc");         \
		return start;                                             \
	}

TIMED(op_store, "movl %%eax, (%%rbx)")
TIMED(op_load, "movl (%%rbx), %%eax")
TIMED(op_wrmsr, "wrmsr")
TIMED(op_rdmsr, "rdmsr")
INTERRUPTED(interrupted_store, "movl %%eax, (%%rbx)")
INTERRUPTED(interrupted_wrmsr, "wrmsr")
INTERRUPTED(interrupted_nothing, "")
STARTED(started_store, "movl %%eax, (%%rbx)")
STARTED(started_wrmsr, "wrmsr")

/* For a register of the local APIC in its present mode, by memory or by MSR. */
static struct regs apic_regs(uint32_t reg, uint32_t low, uint32_t high)
{
	return (struct regs){
		.a = low, .b = XAPIC + reg, .c = MSR_X2APIC(reg), .d = bench.x2apic ? high : 0
	};
}

/* An interrupt to this very core, and its end. */
static void self(const char *prefix)
{
	struct regs icr = apic_regs(LAPIC_ICR, LAPIC_ICR_SELF | VECTOR_IPI, 0);
	struct regs eoi = apic_regs(LAPIC_EOI, 0, 0);
	uint64_t best = UINT64_MAX, best_eoi = UINT64_MAX, ticks;
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		ticks = bench.x2apic ? interrupted_wrmsr(&icr) : interrupted_store(&icr);
		if (!ticks) {
			check(false, "an interrupt to itself arrives");
			return;
		}
		best = ticks < best ? ticks : best;
		ticks = bench.x2apic ? op_wrmsr(&eoi) : op_store(&eoi);
		best_eoi = ticks < best_eoi ? ticks : best_eoi;
	}
	result_as(prefix, "ipi_self", above_empty(best));
	result_as(prefix, "apic_eoi", above_empty(best_eoi));
}

/* A register that nobody has to look at. */
static void registers(const char *prefix)
{
	struct regs tpr = apic_regs(LAPIC_TPR, 0, 0);

	result_as(prefix, "apic_read", measure(bench.x2apic ? op_rdmsr : op_load, &tpr));
	result_as(prefix, "apic_write", measure(bench.x2apic ? op_wrmsr : op_store, &tpr));
}

/* ---- The timer ---- */

static uint64_t ratio; /* TSC ticks in a tick of the timer, times 2^32 */

static uint64_t timer_ticks(uint32_t count)
{
	return (uint64_t)(((unsigned __int128)count * ratio) >> 32);
}

struct reading {
	uint64_t tsc;
	uint32_t count; /* what was left then */
};

/* The try that nothing came into. */
static struct reading read_timer(void)
{
	struct reading r, best = { 0 };
	uint64_t took, least = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < READ_TRIES; i++) {
		__asm__ volatile("lfence" : : : "memory");
		r.tsc = rdtsc();
		r.count = apic_read(LAPIC_TIMER_COUNT);
		took = rdtsc() - r.tsc;
		if (took < least) {
			least = took;
			best.tsc = r.tsc + took / 2;
			best.count = r.count;
		}
	}
	return best;
}

static void find_ratio(void)
{
	struct reading from, to;

	apic_write(LAPIC_TIMER_DIVIDE, LAPIC_TIMER_DIV1);
	apic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_TIMER);
	apic_write(LAPIC_TIMER_INIT, ~0u);
	from = read_timer();
	while (rdtsc() - from.tsc < RATIO_TICKS)
		;
	to = read_timer();
	apic_write(LAPIC_TIMER_INIT, 0);
	ratio = from.count > to.count ? ((to.tsc - from.tsc) << 32) / (from.count - to.count) : 0;
}

void timer_init(bool periodic)
{
	set_raw_handler(VECTOR_TIMER, irq_stub);
	if (!bench.deadline)
		find_ratio();
	apic_write(LAPIC_LVT_TIMER, VECTOR_TIMER | (bench.deadline ? LAPIC_TIMER_DEADLINE
						    : periodic     ? LAPIC_TIMER_PERIODIC
								   : LAPIC_TIMER_ONESHOT));
	/* A deadline must not overtake the mode, which may be a write to memory (SDM vol. 3, 11.5.4.1). */
	__asm__ volatile("mfence" : : : "memory");
}

uint32_t timer_count_of(uint64_t ticks)
{
	return ratio ? (uint32_t)((ticks << 32) / ratio) : 0;
}

void timer_arm_at(uint64_t tsc)
{
	wrmsr(MSR_TSC_DEADLINE, tsc);
}

void timer_stop(void)
{
	apic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_TIMER);
	apic_write(LAPIC_TIMER_INIT, 0);
}

/*
 * When it will expire, by the TSC: what a deadline says; else from the count that is left after the
 * count was written, which takes as long as it may.
 */
uint64_t timer_arm(uint64_t ticks)
{
	struct reading r;

	if (bench.deadline) {
		r.tsc = rdtsc() + ticks;
		timer_arm_at(r.tsc);
		return r.tsc;
	}
	apic_write(LAPIC_TIMER_INIT, timer_count_of(ticks));
	r = read_timer();
	return r.tsc + timer_ticks(r.count);
}

uint64_t timer_last_expiry(uint32_t initial)
{
	struct reading r = read_timer();

	return r.tsc - timer_ticks(initial - r.count);
}

uint64_t wait_halted(void)
{
	uint64_t n = irq_count;

	__asm__ volatile("1: cmp %[n], irq_count(%%rip)\n"
			 "jne 2f\n"
			 "sti\n"
			 "hlt\n"
			 "cli\n"
			 "jmp 1b\n"
			 "2:\n"
			 :
			 : [n] "r"(n)
			 : "rax", "rdx", "memory", "cc");
	return irq_tsc;
}

static uint64_t wait_spinning(void)
{
	static const struct regs none;

	return interrupted_nothing(&none) ? irq_tsc : 0;
}

/*
 * From the timer's expiry to the handler. A tick later in each round: an emulator that counts by tens
 * while it is halted is then met at each of its phases.
 */
static void timer(const char *prefix, const char *key, uint64_t (*wait)(void))
{
	uint64_t best = UINT64_MAX, expiry, at, late;
	uint32_t i;

	for (i = 0; i < SLOW_ROUNDS; i++) {
		expiry = timer_arm(SLOW_TICKS + i);
		at = wait();
		if (!at) {
			check(false, "the timer's interrupt arrives");
			return;
		}
		late = at > expiry ? at - expiry : 0;
		best = late < best ? late : best;
		apic_eoi();
	}
	result_as(prefix, key, best);
}

/* ---- Another core ---- */

enum other_mode {
	SPIN,
	HALT
};

static struct {
	uint32_t id;
	enum other_mode mode;
	uint64_t ready; /* interrupts that it will have taken with the next one */
	uint64_t done;  /* that it has taken */
} other;

#define SHARED(x) (*(volatile typeof(x) *)&(x))

static void spin_patiently(uint64_t n)
{
	__asm__ volatile("sti\n"
			 "1: pause\n"
			 "cmp %[n], irq_count(%%rip)\n"
			 "je 1b\n"
			 "cli\n"
			 :
			 : [n] "r"(n)
			 : "rax", "rdx", "memory", "cc");
}

/* All that the other core does: take an interrupt, over and over. */
static void other_main(void)
{
	load_idt();
	apic_init(bench.x2apic);
	other.id = apic_id();
	for (;;) {
		SHARED(other.ready)++;
		if (SHARED(other.mode) == HALT)
			(void)wait_halted();
		else
			spin_patiently(irq_count);
		apic_eoi();
		SHARED(other.done)++;
	}
}

static bool soon(const uint64_t *value, uint64_t wanted)
{
	uint64_t start = rdtsc();

	while (SHARED(*value) != wanted) {
		if (rdtsc() - start > PATIENCE_TICKS)
			return false;
		cpu_pause();
	}
	return true;
}

static void pass(uint64_t ticks)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_pause();
}

/* One interrupt to the other core; from before it is sent to the other's handler. 0: lost. */
static uint64_t send_one(void)
{
	struct regs icr =
		apic_regs(LAPIC_ICR, LAPIC_ICR_FIXED | LAPIC_ICR_ASSERT | VECTOR_IPI, other.id);
	uint64_t done = SHARED(other.done), start;

	if (!soon(&other.ready, done + 1))
		return 0;
	pass(SHARED(other.mode) == HALT ? SLOW_TICKS : FAST_TICKS);
	if (bench.x2apic) {
		start = started_wrmsr(&icr);
	} else {
		apic_write(LAPIC_ICR2, other.id << 24);
		start = started_store(&icr);
	}
	return soon(&other.done, done + 1) ? irq_tsc - start : 0;
}

static void to_other(const char *prefix, const char *key, enum other_mode mode)
{
	uint64_t best = UINT64_MAX, ticks;
	uint32_t i;

	/* The first is taken in the mode before. */
	SHARED(other.mode) = mode;
	for (i = 0; i <= SLOW_ROUNDS; i++) {
		ticks = send_one();
		if (!ticks) {
			check(false, "an interrupt to the other core arrives");
			return;
		}
		if (i && ticks < best)
			best = ticks;
	}
	result_as(prefix, key, above_empty(best));
}

static void measure_other(const char *prefix)
{
	if (!option_text("other"))
		return;
	memset(&other, 0, sizeof(other));
	start_core(option_is("other", "any") ? ALL_OTHER_CORES : (uint32_t)option("other", 0),
		   other_main);
	if (!soon(&other.ready, 1)) {
		check(false, "the other core starts");
		return;
	}
	to_other(prefix, "ipi_other", SPIN);
	to_other(prefix, "hlt_ipi", HALT);
}

void measure_interrupts(const char *prefix)
{
	set_raw_handler(VECTOR_IPI, irq_stub);
	registers(prefix);
	self(prefix);
	timer_init(false);
	timer(prefix, "irq_timer", wait_spinning);
	timer(prefix, "hlt_timer", wait_halted);
	measure_other(prefix);
}
