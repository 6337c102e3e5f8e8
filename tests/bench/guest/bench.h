/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_BENCH_H
#define LAMINA_TESTS_BENCH_H

#include "guest.h"

/*
 * The payload of the benchmarks: one guest that measures on the bare machine, under Lamina and under
 * KVM. The words of the command line:
 *
 *   env=bare|lamina|kvm    where it runs
 *   khz=N                  of the TSC, where CPUID does not tell
 *   other=ID|any           there is a second core, with this APIC id; any: it is the only other one
 *   xapic                  keep out of x2APIC mode
 *   port_eventfd=PORT      KVM: a port with an ioeventfd
 *   mmio_user=GPA          KVM: an address that the VMM serves
 *   fault=GPA,BYTES        second-level faults there; asks for `zap`
 *   touch=GPA,BYTES        memory to touch before and after an edit of a slot; asks for `slot`
 *   nx=GPA,REGIONS         regions of 2 MiB to execute from; asks for `recover`
 *   jitter=SECONDS         at last, how late a periodic timer comes; period=MICROSECONDS, default 1000
 *   loaded=SECONDS         so many later once more, as loaded_..., when the neighbours' load is on
 *   load=GPA,BYTES         instead of all this be a nuisance to the neighbours by using that memory and
 *                          a port, for ever; after=SECONDS
 *
 * A result is `result KEY TICKS`, of the TSC. Everything else that is worth knowing is `info KEY TEXT`.
 * `wait ACTION` asks somebody outside to do something and then to type `go`.
 */
enum env {
	ENV_BARE,
	ENV_LAMINA,
	ENV_KVM
};

struct bench {
	enum env env;
	bool amd;
	bool x2apic;   /* its present mode */
	bool deadline; /* the timer has the TSC-deadline mode */
	uint32_t khz;  /* of the TSC; 0: unknown */
};

extern struct bench bench;

void result(const char *key, uint64_t ticks);
void result_as(const char *prefix, const char *key, uint64_t ticks);

/* Two numbers, `key=A,B`. */
bool option_pair(const char *key, uint64_t *a, uint64_t *b);

/* The value of `key=` begins with this. */
bool option_is(const char *key, const char *value);

/*
 * By the TSC; at once if its frequency is not known. settle(): what was printed has left Lamina, which
 * sends it from its NMI handler: the next long measurement shall not contain that.
 */
void pass_seconds(uint64_t seconds);
void settle(void);

/* Print `wait ACTION` and return when a line `go` came. */
void wait_action(const char *action);

/* Into x2APIC mode or not, as far as the machine allows; sets bench.x2apic. */
void apic_mode(bool x2apic);

/* ---- One instruction between two readings of the TSC ---- */

struct regs {
	uint64_t a, b, c, d;
};

typedef uint64_t (*timed_fn)(const struct regs *r);

/*
 * A function that executes `insn` with these registers and returns the difference of the readings.
 * Everything but `insn` is the same in each, so that what op_empty() takes can be subtracted. LFENCE:
 * RDTSC does not wait for the instructions before it (SDM vol. 2, RDTSC).
 */
#define TSC_BEGIN               \
	"lfence\n"              \
	"rdtsc\n"               \
	"shl $32, %%rdx\n"      \
	"or %%rdx, %%rax\n"     \
	"mov %%rax, %[start]\n" \
	"mov %[a], %%rax\n"     \
	"mov %[d], %%rdx\n"
#define TSC_END             \
	"lfence\n"          \
	"rdtsc\n"           \
	"shl $32, %%rdx\n"  \
	"or %%rdx, %%rax\n" \
	"sub %[start], %%rax\n"
#define TIMED(name, insn)                                                               \
	static uint64_t name(const struct regs *r)                                      \
	{                                                                               \
		uint64_t ticks, start, b = r->b, c = r->c;                              \
                                                                                        \
		__asm__ volatile(TSC_BEGIN insn "\n" TSC_END                            \
				 : "=&a"(ticks), "+b"(b), "+c"(c), [start] "=&r"(start) \
				 : [a] "r"(r->a), [d] "r"(r->d)                         \
				 : "rdx", "rsi", "rdi", "memory", "cc");                \
		return ticks;                                                           \
	}

/* The least of many rounds, less an empty one. */
uint64_t measure(timed_fn op, const struct regs *r);
/* What two readings with nothing between them take. */
uint64_t empty_ticks(void);
/* The cost above the empty measurement, not below 0. */
uint64_t above_empty(uint64_t ticks);

/* ---- The timer ---- */

/* In deadline mode if there is one, else one-shot or periodic. Interrupts enter a raw handler. */
void timer_init(bool periodic);
/* Have it expire once, after about so many ticks of the TSC; when, by the TSC. */
uint64_t timer_arm(uint64_t ticks);
/* For the deadline mode: when the TSC is at least that. */
void timer_arm_at(uint64_t tsc);
void timer_stop(void);
/* For the periodic mode: a count for so many ticks, and when it last expired. */
uint32_t timer_count_of(uint64_t ticks);
uint64_t timer_last_expiry(uint32_t initial);
/* Halt till an interrupt has come; the TSC of its handler. Without end of interrupt. */
uint64_t wait_halted(void);

/* ---- The parts ---- */

void measure_round_trips(void);
/* The keys get a prefix. */
void measure_interrupts(const char *prefix);
void measure_memory(void);
noreturn void run_load(uint64_t base, uint64_t bytes);
void run_jitter(const char *prefix, uint64_t seconds);

#endif
