// SPDX-License-Identifier: BSD-2-Clause
/*
 * What exits cost, in ticks of the TSC: the smallest of many round trips, less an empty one. The
 * emulators count instructions in their TSC, so the numbers are path lengths and repeatable.
 */
#include "core/hypercall.h"
#include "core/vioapic.h"
#include "guest.h"

#define ROUNDS       200
#define PORT_NOBODYS 0x1234
#define MSR_EFER     0xc0000080

static bool amd;

static void nothing(void)
{
	__asm__ volatile("");
}

static void do_cpuid(void)
{
	(void)cpuid(0, 0);
}

static void do_hypercall(void)
{
	uint32_t a = HYPERCALL_MAGIC, b = 0, c = 10, d = HYPERCALL_PORT;

	if (amd)
		__asm__ volatile("vmmcall" : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : : "memory");
	else
		__asm__ volatile("vmcall" : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : : "memory");
}

static void do_rdmsr(void)
{
	(void)rdmsr(MSR_EFER);
}

static void do_port_read(void)
{
	(void)inb(PORT_NOBODYS);
}

static void do_uart_write(void)
{
	outb(0x3ff, 0x55); /* the scratch register */
}

static void do_ioapic_read(void)
{
	(void)*(volatile uint32_t *)(VIOAPIC_GPA + 0x10);
}

static void do_eoi(void)
{
	apic_eoi();
}

static void on_ipi(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void do_self_ipi(void)
{
	apic_send(VECTOR_IPI | 1 << 18, 0); /* shorthand: self */
	irq_on();
	__asm__ volatile("nop");
	irq_off();
}

static uint64_t measure(void (*op)(void))
{
	uint64_t best = UINT64_MAX, start, ticks;
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		start = rdtsc();
		op();
		ticks = rdtsc() - start;
		if (ticks < best)
			best = ticks;
	}
	return best;
}

void guest_main(void)
{
	static const struct {
		const char *name;
		void (*op)(void);
	} ops[] = {
		{ "CPUID", do_cpuid },
		{ "hypercall", do_hypercall },
		{ "RDMSR", do_rdmsr },
		{ "IN of nobody's port", do_port_read },
		{ "OUT to UART", do_uart_write },
		{ "IOAPIC read", do_ioapic_read },
		{ "EOI", do_eoi },
		{ "self-IPI to its end", do_self_ipi },
	};
	struct cpuid_regs r = cpuid(0, 0);
	uint64_t empty = measure(nothing);
	uint32_t i;

	amd = r.ebx == 0x68747541; /* "Auth"enticAMD */
	set_handler(VECTOR_IPI, on_ipi);
	apic_init(cpuid(1, 0).ecx & BIT(21));
	say("bench local APIC in %s mode", apic_is_x2() ? "x2APIC" : "xAPIC");
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		say("bench %s: %llu", ops[i].name,
		    (unsigned long long)(measure(ops[i].op) - empty));
}
