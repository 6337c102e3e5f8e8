// SPDX-License-Identifier: BSD-2-Clause
/*
 * Every virtual device through the instructions that reach it: ports and string instructions,
 * memory-mapped registers by all forms of access that are emulated, interrupts, hypercalls, the
 * local APIC's registers that trap.
 */
#include "guest.h"
#include "x86/msr.h"
#include "x86/regs.h"

#define NOWHERE      0xfed80000ull /* no device, no memory */
#define IOAPIC       0xfec00000ull
#define IOAPIC_INDEX ((volatile uint32_t *)IOAPIC)
#define IOAPIC_DATA  ((volatile uint32_t *)(IOAPIC + 0x10))
#define LAPIC(reg)   ((volatile uint32_t *)(0xfee00000ull + (reg)))
#define COM1         0x3f8
#define BACKDOOR     0x5658
#define MAGIC        0x564d5868

static volatile unsigned uart_irqs, ipis;

/* ---- Nobody's addresses ---- */

static void unowned(void)
{
	volatile uint8_t *p = (volatile uint8_t *)NOWHERE;
	uint64_t wide;

	check(inb(0x1f7) == 0xff && inw(0x1f0) == 0xffff && inl(0xcf8) == 0xffffffff,
	      "ports of nobody read as all ones");
	outl(0xcf8, 0x80000000);
	outb(0x21, 0xff);
	check(inb(0x21) == 0xff, "writes to them are dropped");
	*p = 1;
	*(volatile uint64_t *)(p + 8) = 2;
	wide = *(volatile uint64_t *)(p + 8);
	check(*p == 0xff && wide == ~0ull && *(volatile uint16_t *)(p + 3) == 0xffff,
	      "addresses of nobody read as all ones");
	check(inb(0x61) == 0 && inb(0x601) == 0, "ports 61h and 601h read as 0");
	outb(0x80, 0x42);
}

/* ---- The IOAPIC, by every kind of instruction ---- */

static uint32_t entry(unsigned index)
{
	*IOAPIC_INDEX = 0x10 + index;
	return *IOAPIC_DATA;
}

static void ioapic(void)
{
	uint32_t value = 0x000000aa, buffer[2] = { 0 }, *to = buffer;
	const volatile uint32_t *from = IOAPIC_DATA;
	uint64_t flags;

	*IOAPIC_INDEX = 1;
	check(*IOAPIC_DATA == 0x00170020, "the IOAPIC has 24 pins and an EOI register");
	*IOAPIC_INDEX = 0x12;
	__asm__ volatile("movl $0x10055, %0" : "=m"(*IOAPIC_DATA));
	check(entry(2) == 0x10055, "MOV of an immediate");
	__asm__ volatile("orl $0x8000, %0" : "+m"(*IOAPIC_DATA));
	check(entry(2) == 0x18055, "OR");
	__asm__ volatile("xchgl %1, %0" : "+m"(*IOAPIC_DATA), "+r"(value));
	check(value == 0x18055 && entry(2) == 0xaa, "XCHG");
	__asm__ volatile("lock btsl $16, %1; pushfq; pop %0" : "=r"(flags), "+m"(*IOAPIC_DATA));
	check(!(flags & RFLAGS_CF) && entry(2) == 0x100aa, "BTS");
	value = 3;
	__asm__ volatile("xaddl %1, %0" : "+m"(*IOAPIC_DATA), "+r"(value));
	check(value == 0x100aa && entry(2) == 0x100ad, "XADD");
	__asm__ volatile("incl %0; notl %0" : "+m"(*IOAPIC_DATA));
	/* Reserved and read-only bits stay 0. */
	check(entry(2) == (~0x100aeu & 0x1afff), "INC and NOT");
	__asm__ volatile("testl $0x200, %1; pushfq; pop %0" : "=r"(flags) : "m"(*IOAPIC_DATA));
	check(!(flags & RFLAGS_ZF), "TEST");
	value = 0;
	__asm__ volatile("movzbl %1, %0" : "=r"(value) : "m"(*(volatile uint8_t *)IOAPIC_DATA));
	check(value == (entry(2) & 0xff), "MOVZX");
	entry(2);
	__asm__ volatile("cld; rep movsl" : "+D"(to), "+S"(from), "=c"(value) : "2"(1) : "memory");
	check(buffer[0] == entry(2) && to == buffer + 1 && value == 0, "MOVS from the device");
	to = (uint32_t *)IOAPIC_DATA;
	__asm__ volatile("rep stosl" : "+D"(to), "=c"(value) : "1"(1), "a"(0x10077) : "memory");
	check(entry(2) == 0x10077, "STOS");
	value = 0x10077;
	__asm__ volatile("cmpxchgl %2, %1; pushfq; pop %0"
			 : "=r"(flags), "+m"(*IOAPIC_DATA)
			 : "r"(0x10000), "a"(value)
			 : "cc");
	check((flags & RFLAGS_ZF) && entry(2) == 0x10000, "CMPXCHG");
}

/* ---- The UART ---- */

static void on_uart(struct frame *f)
{
	(void)f;
	uart_irqs++;
	(void)inb(COM1 + 2);
	apic_eoi();
}

static void uart(void)
{
	static const char text[] = "written by one OUTS\r\n";
	const char *from = text;
	uint64_t count = sizeof(text) - 1;
	uint8_t scratch[100], *to = scratch;
	unsigned i, same = 0;

	while (!(inb(COM1 + 5) & 0x20))
		;
	__asm__ volatile("cld; rep outsb" : "+S"(from), "+c"(count) : "d"(COM1) : "memory");
	check(count == 0 && from == text + sizeof(text) - 1, "OUTS wrote its string");
	outb(COM1 + 7, 0x5a);
	memset(scratch, 0, sizeof(scratch));
	count = sizeof(scratch);
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(COM1 + 7) : "memory");
	for (i = 0; i < sizeof(scratch); i++)
		same += scratch[i] == 0x5a;
	check(same == sizeof(scratch) && count == 0, "INS read %u times", same);

	set_handler(VECTOR_UART, on_uart);
	*IOAPIC_INDEX = 0x19;
	*IOAPIC_DATA = apic_id() << 24;
	*IOAPIC_INDEX = 0x18;
	*IOAPIC_DATA = VECTOR_UART;
	outb(COM1 + 1, 0x02); /* transmitter empty */
	for (i = 0; i < 100 && !uart_irqs; i++) {
		irq_on();
		delay_ms(1);
		irq_off();
	}
	outb(COM1 + 1, 0);
	check(uart_irqs >= 1, "the UART interrupts through pin 4");
}

/* ---- The clock ---- */

static uint8_t cmos(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void clock(void)
{
	uint8_t first = cmos(0), next = first;
	unsigned ms = 0, century = cmos(0x32);

	check(cmos(0x0d) == 0x80, "the clock is valid");
	check(century == 0x20 && cmos(9) >= 0x23 && cmos(8) >= 1 && cmos(8) <= 0x12,
	      "the date is %02x%02x-%02x-%02x", century, cmos(9), cmos(8), cmos(7));
	for (; ms < 1500 && next == first; ms += 10) {
		delay_ms(10);
		next = cmos(0);
	}
	check(next != first && ms <= 1100, "a second passes in at most a second (%u ms)", ms);
	outb(0x70, 0x55);
	outb(0x71, 0xa7);
	check(cmos(0x54) == 0 && cmos(0x55) == 0xa7, "the clock's memory keeps a byte");
}

/* ---- Hypercalls ---- */

struct answer {
	uint32_t eax, ebx, ecx, edx;
};

static struct answer by_port(uint32_t command)
{
	struct answer a;

	__asm__ volatile("inl %%dx, %%eax"
			 : "=a"(a.eax), "=b"(a.ebx), "=c"(a.ecx), "=d"(a.edx)
			 : "0"(MAGIC), "1"(~0u), "2"(command), "3"(BACKDOOR));
	return a;
}

static struct answer by_call(uint32_t command)
{
	struct answer a;

	if (cpuid(0x40000010, 0).ecx & 1)
		__asm__ volatile("vmmcall"
				 : "=a"(a.eax), "=b"(a.ebx), "=c"(a.ecx), "=d"(a.edx)
				 : "0"(MAGIC), "1"(~0u), "2"(command), "3"(0));
	else
		__asm__ volatile("vmcall"
				 : "=a"(a.eax), "=b"(a.ebx), "=c"(a.ecx), "=d"(a.edx)
				 : "0"(MAGIC), "1"(~0u), "2"(command), "3"(0));
	return a;
}

static void hypercalls(void)
{
	struct answer a = by_port(10), b = by_call(10);
	uint64_t hz;

	check(a.eax == 6 && a.ebx == MAGIC && !memcmp(&a, &b, 12),
	      "GETVERSION by port and by call");
	a = by_call(45);
	hz = (uint64_t)a.ebx << 32 | a.eax;
	check(hz / 1000 == tsc_khz() && a.ecx / 1000 == bus_khz(), "GETHZ says what CPUID says");
	check((by_port(68).eax & (BIT(31) | BIT(3))) == BIT(3), "x2APIC needs no remapping");
	check(by_port(4711).eax == 0xffffffff && by_call(4711).eax == 0xffffffff,
	      "an unknown command is answered with all ones");
	__asm__ volatile("inl %%dx, %%eax" : "=a"(a.eax) : "0"(MAGIC - 1), "d"(BACKDOOR), "c"(10));
	check(a.eax == 0xffffffff, "without the magic number the port is nobody's");
	check(!memcmp(&(uint32_t[]){ cpuid(0x40000100, 0).ebx }, "Lami", 4), "CPUID names Lamina");
}

/* ---- The local APIC ---- */

static void on_ipi(struct frame *f)
{
	(void)f;
	ipis++;
	apic_eoi();
}

static bool ipi_arrives(uint32_t command, uint32_t destination)
{
	unsigned before = ipis, i;

	apic_send(command, destination);
	for (i = 0; i < 20 && ipis == before; i++) {
		irq_on();
		delay_ms(1);
		irq_off();
	}
	return ipis != before;
}

/* What another guest's core must never see. Nobody answers, nobody is hurt. */
static void foreign_ipis(void)
{
	static const uint32_t command[] = {
		0x4000 | VECTOR_IPI, 0x4400, 0x4500, 0xc500, 0x4608, 0x4200, 0x4700
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(command); i++)
		apic_send(command[i], apic_id() ^ 1);
	check(!ipi_arrives(0x4000 | VECTOR_IPI, apic_id() ^ 1), "no interrupt for another core");
}

static void ipi_forms(void)
{
	set_handler(VECTOR_IPI, on_ipi);
	check(ipi_arrives(0x4000 | VECTOR_IPI, apic_id()), "an interrupt to its own APIC id");
	check(ipi_arrives(0x44000 | VECTOR_IPI, 0), "an interrupt to itself by shorthand");
	check(ipi_arrives(0x84000 | VECTOR_IPI, 0), "an interrupt to all by shorthand");
	check(!ipi_arrives(0xc4000 | VECTOR_IPI, 0), "none to all but itself");
}

static void xapic(void)
{
	uint32_t id = *LAPIC(APIC_ID);

	apic_init(false);
	ipi_forms();
	*LAPIC(APIC_ID) = id ^ 0x0f000000;
	check(*LAPIC(APIC_ID) == id, "the APIC id is fixed");
	*LAPIC(APIC_LVT_TIMER) = 0x10000 | VECTOR_TIMER;
	__asm__ volatile("andl $0xfffeffff, %0" : "+m"(*LAPIC(APIC_LVT_TIMER)));
	check(*LAPIC(APIC_LVT_TIMER) == VECTOR_TIMER, "AND on a register of the APIC");
	*LAPIC(APIC_LVT_TIMER) = 0x10000;
	*LAPIC(0x360) = 0x400;
	check(*LAPIC(0x360) & 0x10000, "LINT1 as NMI stays masked");
	*LAPIC(0x340) = 0x200;
	check(*LAPIC(0x340) & 0x10000, "a local vector as SMI stays masked");
	*LAPIC(0x0d0) = 0x01000000;
	*LAPIC(0x0e0) = 0xffffffff;
	check(ipi_arrives(0x4800 | VECTOR_IPI, 1), "an interrupt to its logical id");
	foreign_ipis();
}

static void x2apic(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	apic_init(true);
	check(rdmsr(MSR_APIC_BASE) == (base | APIC_BASE_EXTD), "x2APIC mode is on");
	ipi_forms();
	check(try_wrmsr(MSR_APIC_BASE, base) == VEC_GP, "no direct way back to xAPIC mode");
	check(try_wrmsr(MSR_X2APIC_ICR, BIT(20)) == VEC_GP, "reserved bits of ICR");
	check(try_wrmsr(MSR_X2APIC_ID, 0) == VEC_GP, "the id is read-only");
	wrmsr(MSR_X2APIC_LVT_LINT1, 0x400);
	check(rdmsr(MSR_X2APIC_LVT_LINT1) & 0x10000, "LINT1 as NMI stays masked");
	ipis = 0;
	wrmsr(MSR_X2APIC_SELF_IPI, VECTOR_IPI);
	irq_on();
	delay_ms(1);
	irq_off();
	check(ipis == 1, "an interrupt by SELF_IPI");
	foreign_ipis();
}

static void apic_base(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	check(base & APIC_BASE_BSP, "it is the boot processor");
	check(try_wrmsr(MSR_APIC_BASE, base ^ 0x1000) == VEC_GP, "the APIC's page does not move");
	check(try_wrmsr(MSR_APIC_BASE, base & ~(uint64_t)APIC_BASE_BSP) == VEC_GP,
	      "it stays the boot processor");
}

/* ---- MSRs and XCR0 ---- */

static void tables(void)
{
	uint64_t value;

	check(rdmsr(MSR_MTRR_DEF_TYPE) == 0xc06, "MTRRs say write-back");
	check(try_wrmsr(MSR_MTRR_PHYSBASE(0), 0x80000000 | MEM_TYPE_UC) == NO_FAULT &&
		      rdmsr(MSR_MTRR_PHYSBASE(0)) == 0x80000000,
	      "an MTRR keeps its value");
	check(try_wrmsr(MSR_MTRR_DEF_TYPE, 0x803) == VEC_GP, "a reserved type is refused");
	check(try_rdmsr(MSR_TSC_ADJUST, &value) == VEC_GP, "no TSC_ADJUST");
	check(try_rdmsr(MSR_PMC(0), &value) == VEC_GP, "no performance counters");
	value = rdtsc();
	check(try_wrmsr(MSR_TSC, 0) == NO_FAULT, "the TSC may be written");
	check(cpuid(7, 0).eax <= 2 && !(cpuid(7, 0).ebx & BIT(1)), "CPUID leaf 7 is cut");
}

void guest_main(void)
{
	unowned();
	ioapic();
	apic_base();
	if (apic_is_x2())
		apic_init(true);
	else
		xapic();
	uart();
	clock();
	hypercalls();
	tables();
	if (cpuid(1, 0).ecx & BIT(21))
		x2apic();
}
