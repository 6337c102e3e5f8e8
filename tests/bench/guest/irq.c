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

TIMED(op_store, "movl %%eax, (%%rbx)")
TIMED(op_load, "movl (%%rbx), %%eax")
TIMED(op_wrmsr, "wrmsr")
TIMED(op_rdmsr, "rdmsr")
INTERRUPTED(interrupted_store, "movl %%eax, (%%rbx)")
INTERRUPTED(interrupted_wrmsr, "wrmsr")

/* For a register of the local APIC in its present mode, by memory or by MSR. */
static struct regs apic_regs(uint32_t reg, uint32_t low, uint32_t high)
{
	return (struct regs){
		.a = low, .b = XAPIC + reg, .c = MSR_X2APIC(reg), .d = bench.x2apic ? high : 0
	};
}

static void say_key(const char *prefix, const char *key, uint64_t ticks)
{
	char text[32] = "";

	strcat(text, prefix);
	strcat(text, key);
	result(text, ticks);
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
	say_key(prefix, "ipi_self", above_empty(best));
	say_key(prefix, "apic_eoi", above_empty(best_eoi));
}

/* A register that nobody has to look at. */
static void registers(const char *prefix)
{
	struct regs tpr = apic_regs(LAPIC_TPR, 0, 0);

	say_key(prefix, "apic_read", measure(bench.x2apic ? op_rdmsr : op_load, &tpr));
	say_key(prefix, "apic_write", measure(bench.x2apic ? op_wrmsr : op_store, &tpr));
}

void measure_interrupts(const char *prefix)
{
	set_raw_handler(VECTOR_IPI, irq_stub);
	registers(prefix);
	self(prefix);
}
