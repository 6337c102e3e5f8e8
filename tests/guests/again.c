// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a run of a guest leaves behind must not be there in the next one. The guest finds its
 * machine in the state after power-on, changes what it can and restarts; the second run looks
 * again. Only the clock's battery-backed memory survives, which is how a run knows its number.
 */
#include "guest.h"

#define RUN_INDEX 0x50 /* in the clock's memory */

#define UART          0x3f8
#define UART_IER      1
#define UART_SCRATCH  7
#define IOAPIC        0xfec00000ull
#define IOAPIC_PIN(n) (0x10 + 2 * (n))
#define APIC          0xfee00000ull

#define MSR_LSTAR          0xc0000082
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103
#define MSR_PAT            0x277
#define MSR_MTRR_DEF_TYPE  0x2ff
#define MSR_SYSENTER_EIP   0x176

#define JUNK 0xffff800012345000ull

static const struct {
	const char *name;
	uint32_t index;
	uint64_t initial, junk;
} msrs[] = {
	{ "LSTAR", MSR_LSTAR, 0, JUNK },
	{ "KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0, JUNK },
	{ "TSC_AUX", MSR_TSC_AUX, 0, 77 },
	{ "PAT", MSR_PAT, 0x0007040600070406ull, 0x0606060606060606ull },
	{ "SYSENTER_EIP", MSR_SYSENTER_EIP, 0, JUNK },
};

static uint32_t page_read(uint64_t base, uint32_t offset)
{
	return *(volatile uint32_t *)(base + offset);
}

static void page_write(uint64_t base, uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(base + offset) = value;
}

static uint32_t ioapic_read(uint32_t index)
{
	page_write(IOAPIC, 0, index);
	return page_read(IOAPIC, 0x10);
}

static void ioapic_write(uint32_t index, uint32_t value)
{
	page_write(IOAPIC, 0, index);
	page_write(IOAPIC, 0x10, value);
}

static uint8_t clock_memory(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void look_at_devices(void)
{
	check(inb(UART + UART_SCRATCH) == 0, "UART: scratch register is %#x",
	      inb(UART + UART_SCRATCH));
	check(inb(UART + UART_IER) == 0, "UART: interrupts are off");
	for (uint32_t pin = 4; pin < 7; pin++)
		check(ioapic_read(IOAPIC_PIN(pin)) == 0x10000, "IOAPIC: pin %u is %#x", pin,
		      ioapic_read(IOAPIC_PIN(pin)));
	check(page_read(APIC, 0x0f0) == 0xff, "APIC: spurious vector register is %#x",
	      page_read(APIC, 0x0f0));
	check(page_read(APIC, 0x320) == 0x10000, "APIC: timer entry is %#x",
	      page_read(APIC, 0x320));
	check(page_read(APIC, 0x380) == 0, "APIC: timer is off");
	check(page_read(APIC, 0x080) == 0, "APIC: task priority is %#x", page_read(APIC, 0x080));
}

static void look_at_core(void)
{
	uint64_t value, dr0, dr7, xmm[2];

	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		bool good =
			try_rdmsr(msrs[i].index, &value) == NO_FAULT && value == msrs[i].initial;

		/* QEMU 7.2 leaves the host's PAT in place while a guest runs. */
		if (msrs[i].index != MSR_PAT || !has_word("nopat"))
			check(good, "%s is %#llx", msrs[i].name, (unsigned long long)value);
	}
	if (try_rdmsr(MSR_MTRR_DEF_TYPE, &value) != NO_FAULT)
		value = 0xff;
	check((value & 0xff) == 6, "default memory type is %llu",
	      (unsigned long long)(value & 0xff));
	__asm__ volatile("mov %%dr0, %0; mov %%dr7, %1" : "=r"(dr0), "=r"(dr7));
	check(dr0 == 0 && dr7 == 0x400, "DR0 is %#llx, DR7 %#llx", (unsigned long long)dr0,
	      (unsigned long long)dr7);
	__asm__ volatile("movdqu %%xmm5, %0" : "=m"(xmm));
	check(!xmm[0] && !xmm[1], "XMM5 is clear");
}

static void leave_traces(void)
{
	static const uint64_t junk[2] = { JUNK, JUNK };

	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		check(try_wrmsr(msrs[i].index, msrs[i].junk) == NO_FAULT, "%s takes a value",
		      msrs[i].name);
	check(try_wrmsr(MSR_MTRR_DEF_TYPE, 0xc00) == NO_FAULT, "default memory type takes a value");
	__asm__ volatile("movdqu %0, %%xmm5" : : "m"(junk));
	__asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(JUNK), "r"(0x402ull));
	ioapic_write(IOAPIC_PIN(5), 0x35);
	ioapic_write(IOAPIC_PIN(6), 0x8036);
	apic_init(false);
	apic_write(APIC_TPR, 0x20);
	apic_timer(1000);
	outb(UART + UART_SCRATCH, 0x5a);
	outb(UART + UART_IER, 0x05);
}

void guest_main(void)
{
	uint8_t run = (uint8_t)(clock_memory(RUN_INDEX) + 1);

	say("run %u", run);
	write_cr4(read_cr4() | BIT(9)); /* OSFXSR: the vector registers are to be looked at */
	look_at_devices();
	look_at_core();
	outb(0x70, RUN_INDEX);
	outb(0x71, run);
	if (run == 1) {
		leave_traces();
		reset();
	}
}
