// SPDX-License-Identifier: BSD-2-Clause
/* A guest that does what must not hurt anybody else, by the word on its command line. */
#include "guest.h"
#include "x86/msr.h"
#include "x86/regs.h"

static void ignore(struct frame *f)
{
	(void)f;
}

/*
 * #DB whose delivery writes to a watched address, with TF set all the time. A real CPU repeats the
 * delivery forever by itself unless #DB is intercepted (CVE-2015-8104).
 */
static noreturn void debug_loop(void)
{
	set_handler(VEC_DB, ignore);
	__asm__ volatile("mov %%rsp, %%rax\n\t"
			 "and $-16, %%rax\n\t"
			 "sub $8, %%rax\n\t"
			 "mov %%rax, %%dr0\n\t"
			 "mov %0, %%rax\n\t"
			 "mov %%rax, %%dr7\n\t"
			 "pushf\n\t"
			 "orq $0x100, (%%rsp)\n\t"
			 "popf\n"
			 "1: jmp 1b"
			 :
			 : "i"(0x90402) /* DR0: writes of 8 bytes */
			 : "rax", "memory");
	__builtin_unreachable();
}

/* Deaf and asleep: only an NMI gets the core back. */
static noreturn void sleep_deaf(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static noreturn void spin_deaf(void)
{
	for (;;)
		__asm__ volatile("cli; pause");
}

/* One exit after the other. */
static noreturn void exit_storm(void)
{
	for (;;)
		cpuid(0, 0);
}

/* NMIs to itself as fast as it can, handled by an IRET each. */
static noreturn void nmi_storm(void)
{
	set_handler(VEC_NMI, ignore);
	apic_init(false);
	for (;;)
		apic_send(0x4400, apic_id());
}

/* An IDT where there is no memory: the exception cannot be delivered. */
static noreturn void idt_nowhere(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} packed pointer = { 0xfff, 0xd0000000 };

	__asm__ volatile("lidt %0; int3" : : "m"(pointer));
	for (;;)
		;
}

/* A stack where there is none. */
static noreturn void stack_nowhere(void)
{
	__asm__ volatile("mov $0xd0001000, %%rsp; int3" : : : "memory");
	for (;;)
		;
}

static noreturn void jump_nowhere(void)
{
	((void (*)(void))0xd0000000)();
	for (;;)
		;
}

/* Every ICR it can think of. */
static noreturn void ipi_storm(void)
{
	apic_init(false);
	for (uint32_t i = 0;; i++) {
		apic_send((i & 0x700) | 0x4000 | 0x30, i & 0xff);
		apic_send((i & 0x700) | 0xc4000 | 0x30, 0xff);
	}
}

static noreturn void cache_storm(void)
{
	for (;;)
		__asm__ volatile("wbinvd; invd" : : : "memory");
}

static noreturn void tables_nowhere(void)
{
	write_cr3(0xd0000000);
	for (;;)
		;
}

/* The same on the page of an emulated device, which answers, but is no memory. */
#define DEVICE 0xfec00000ull

static noreturn void device_code(void)
{
	((void (*)(void))(DEVICE + 0x10))();
	for (;;)
		;
}

static noreturn void device_event(void)
{
	__asm__ volatile("mov %0, %%rsp; int3" : : "r"(DEVICE + 0x1000) : "memory");
	for (;;)
		;
}

static noreturn void device_push(void)
{
	__asm__ volatile("mov %0, %%rsp; push %%rax" : : "r"(DEVICE + 0x1000) : "memory");
	for (;;)
		;
}

static noreturn void device_tables(void)
{
	write_cr3(DEVICE);
	for (;;)
		;
}

/* Page tables of data only, read at an address whose low bits are those of the table's entry. */
static noreturn void device_data_tables(void)
{
	volatile uint64_t *pml4 = (volatile uint64_t *)(read_cr3() & PAGE_MASK);

	pml4[2] = DEVICE | 7;
	(void)*(volatile uint64_t *)((2ull << 39) + (3ull << 30) + 3 * 8);
	for (;;)
		;
}

void guest_main(void)
{
	static const struct {
		const char *word;
		void (*run)(void);
	} deeds[] = {
		{ "debug-loop", debug_loop },
		{ "sleep-deaf", sleep_deaf },
		{ "spin-deaf", spin_deaf },
		{ "exit-storm", exit_storm },
		{ "nmi-storm", nmi_storm },
		{ "idt-nowhere", idt_nowhere },
		{ "stack-nowhere", stack_nowhere },
		{ "jump-nowhere", jump_nowhere },
		{ "ipi-storm", ipi_storm },
		{ "cache-storm", cache_storm },
		{ "tables-nowhere", tables_nowhere },
		{ "triple-fault", triple_fault },
		{ "device-code", device_code },
		{ "device-event", device_event },
		{ "device-push", device_push },
		{ "device-tables", device_tables },
		{ "device-data", device_data_tables },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(deeds); i++) {
		if (!has_word(deeds[i].word))
			continue;
		say("hostile: %s", deeds[i].word);
		deeds[i].run();
	}
	check(false, "no such deed");
}
