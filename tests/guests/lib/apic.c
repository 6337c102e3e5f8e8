// SPDX-License-Identifier: BSD-2-Clause
#include "guest.h"

#define MSR_APIC_BASE    0x1b
#define MSR_X2APIC       0x800
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_X2     BIT(10)
#define XAPIC            0xfee00000ull

#define LEAF_HYPERVISOR 0x40000000
#define LEAF_TIMING     0x40000010 /* EAX: TSC kHz, EBX: bus kHz */

#define LVT_PERIODIC BIT(17)
#define DIVIDE_BY_1  0xb

#define AP_PAGE     0x6000u /* which the loader leaves free */
#define ICR_INIT    0x4500u
#define ICR_STARTUP 0x4600u

#define ICR_ALL_BUT_SELF (3u << 18)

static bool x2;

static volatile uint32_t *xapic(uint32_t reg)
{
	return (volatile uint32_t *)(XAPIC + reg);
}

uint32_t apic_read(uint32_t reg)
{
	return x2 ? (uint32_t)rdmsr(MSR_X2APIC + (reg >> 4)) : *xapic(reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
	if (x2)
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		*xapic(reg) = value;
}

bool apic_is_x2(void)
{
	return x2;
}

void apic_init(bool x2apic)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	x2 = base & APIC_BASE_X2;
	if (!(base & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	if (x2apic && !x2) {
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2);
		x2 = true;
	}
	apic_write(APIC_TPR, 0);
	apic_write(APIC_SPURIOUS, 0x1ff);
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

uint32_t apic_id(void)
{
	return x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_send(uint32_t command, uint32_t destination)
{
	if (x2) {
		wrmsr(MSR_X2APIC + (APIC_ICR >> 4), (uint64_t)destination << 32 | command);
		return;
	}
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR, command);
}

extern const uint8_t ap_begin[], ap_end[], ap_cr3[], ap_entry[];

void start_core(uint32_t id, void (*entry)(void))
{
	uint8_t *page = (uint8_t *)AP_PAGE;
	uint64_t cr3 = read_cr3(), to = (uintptr_t)entry;
	uint32_t shorthand = 0;

	memcpy(page, ap_begin, (size_t)(ap_end - ap_begin));
	memcpy(page + (ap_cr3 - ap_begin), &cr3, sizeof(cr3));
	memcpy(page + (ap_entry - ap_begin), &to, sizeof(to));
	if (id == ALL_OTHER_CORES)
		shorthand = ICR_ALL_BUT_SELF;
	apic_send(ICR_INIT | shorthand, id);
	delay_ms(10);
	apic_send(ICR_STARTUP | shorthand | AP_PAGE >> 12, id);
}

static uint32_t timing(bool bus)
{
	if (cpuid(LEAF_HYPERVISOR, 0).eax < LEAF_TIMING)
		return 0;
	return bus ? cpuid(LEAF_TIMING, 0).ebx : cpuid(LEAF_TIMING, 0).eax;
}

uint32_t tsc_khz(void)
{
	return timing(false);
}

uint32_t bus_khz(void)
{
	return timing(true);
}

void apic_timer(uint32_t hz)
{
	apic_write(APIC_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | VECTOR_TIMER);
	apic_write(APIC_INITIAL, (uint32_t)(bus_khz() * 1000ull / hz));
}

void delay_ms(uint32_t ms)
{
	uint64_t end = rdtsc() + (uint64_t)tsc_khz() * ms;

	while (rdtsc() < end)
		cpu_pause();
}
