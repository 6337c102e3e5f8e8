// SPDX-License-Identifier: BSD-2-Clause
#include "log.h"
#include "x86/asm.h"
#include "x86/cpu.h"
#include "x86/cpuid.h"
#include "x86/exception.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/segment.h"

#define XAPIC_BROADCAST 0xff
#define ICR_WAIT_LOOPS  100000
#define DRAIN_ROUNDS    256

static volatile uint32_t *page;
static bool boot_x2apic;

void lapic_init(volatile void *va)
{
	page = va;
	boot_x2apic = lapic_is_x2apic();
}

bool lapic_is_x2apic(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD;
}

void lapic_match_boot_mode(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!(base & APIC_BASE_EN))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_EN);
	if (boot_x2apic && !(base & APIC_BASE_EXTD))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_EN | APIC_BASE_EXTD);
}

uint32_t lapic_read(uint32_t reg)
{
	if (lapic_is_x2apic())
		return (uint32_t)rdmsr(MSR_X2APIC(reg));
	return page ? page[reg / 4] : 0;
}

void lapic_write(uint32_t reg, uint32_t v)
{
	if (lapic_is_x2apic())
		wrmsr(MSR_X2APIC(reg), v);
	else if (page)
		page[reg / 4] = v;
}

uint32_t lapic_id(void)
{
	struct cpuid_regs r = cpuid_checked(0xb, 0);

	/* EBX = 0: the leaf exists in the count only. Leaf 1 has the low eight bits. */
	return r.ebx ? r.edx : cpuid(1, 0).ebx >> 24;
}

/* Wait until the last interrupt has been accepted; x2APIC needs no such wait. */
static bool xapic_icr_idle(void)
{
	uint32_t i;

	for (i = 0; i < ICR_WAIT_LOOPS; i++) {
		if (!(page[LAPIC_ICR / 4] & LAPIC_ICR_PENDING))
			return true;
		cpu_pause();
	}
	return false;
}

static enum status xapic_send(uint32_t apic_id, uint32_t icr_low)
{
	uint32_t icr2;

	if (apic_id >= XAPIC_BROADCAST)
		return ERR_RANGE;
	if (!page)
		return ERR_INVALID;
	if (!xapic_icr_idle())
		return ERR_TIMEOUT;
	icr2 = page[LAPIC_ICR2 / 4];
	page[LAPIC_ICR2 / 4] = apic_id << 24;
	page[LAPIC_ICR / 4] = icr_low;
	if (!xapic_icr_idle())
		return ERR_TIMEOUT;
	page[LAPIC_ICR2 / 4] = icr2;
	return OK;
}

enum status lapic_send_ipi(uint32_t apic_id, uint32_t icr_low)
{
	if (!lapic_is_x2apic())
		return xapic_send(apic_id, icr_low);

	/*
	 * WRMSR to the x2APIC's registers is not serializing (SDM vol. 3, 10.12.3): what was
	 * stored before must be visible to the core that is interrupted.
	 */
	__asm__ volatile("mfence; lfence" : : : "memory");
	wrmsr(MSR_X2APIC_ICR, ((uint64_t)apic_id << 32) | icr_low);
	return OK;
}

void lapic_self_ipi(uint8_t vector)
{
	if (lapic_is_x2apic()) {
		wrmsr(MSR_X2APIC_SELF_IPI, vector);
		return;
	}
	if (!page)
		return;
	/* The shorthand leaves ICR2 alone. A stuck ICR is overwritten: there is nothing better. */
	(void)xapic_icr_idle();
	page[LAPIC_ICR / 4] = LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | LAPIC_ICR_FIXED | vector;
	(void)xapic_icr_idle();
}

void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

/*
 * Throwing away what is pending needs the CPU to accept it: nothing else clears IRR in all
 * implementations. cpu_drain_interrupts() opens the window, on a descriptor table of its own.
 */
bool lapic_discard_interrupt(void)
{
	struct cpu_arch *a = this_cpu()->arch;

	if (!a->draining)
		return false;
	lapic_eoi();
	return true;
}

static bool any_bit(uint32_t reg)
{
	uint32_t i;

	for (i = 0; i < 8; i++) {
		if (lapic_read(reg + i * 16))
			return true;
	}
	return false;
}

static void mask_sources(void)
{
	static const uint16_t lvt[] = { LAPIC_LVT_TIMER, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,
					LAPIC_LVT_ERROR, LAPIC_LVT_PMC,   LAPIC_LVT_THERMAL,
					LAPIC_LVT_CMCI };
	/* Version register: index of the last LVT entry; these come in the order of the list. */
	uint32_t last = (lapic_read(LAPIC_VERSION) >> 16) & 0xff;
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(lvt) && i <= last; i++)
		lapic_write(lvt[i], LAPIC_LVT_MASKED);
	lapic_write(LAPIC_TIMER_INIT, 0);
	if (cpu_has(FEAT_TSC_DEADLINE))
		wrmsr(MSR_TSC_DEADLINE, 0);
}

static void discard_pending(void)
{
	struct cpu *c = this_cpu();
	uint32_t i;

	lapic_write(LAPIC_SVR, LAPIC_SVR_ENABLE | 0xff);
	lapic_write(LAPIC_TPR, 0);
	for (i = 0; i < 256 && any_bit(LAPIC_ISR); i++)
		lapic_eoi();
	for (i = 0; i < DRAIN_ROUNDS && any_bit(LAPIC_IRR); i++)
		cpu_drain_interrupts(c);
	if (i == DRAIN_ROUNDS)
		log_warn("core %u: interrupts stay pending in the local APIC", c->index);
}

void lapic_reset_to_power_on(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!(base & APIC_BASE_EN)) /* the guest has switched it off altogether */
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_EN);
	mask_sources();
	discard_pending();
	lapic_write(LAPIC_ESR, 0);
	lapic_write(LAPIC_TIMER_DIVIDE, 0);
	if (!lapic_is_x2apic()) {
		lapic_write(LAPIC_LDR, 0);
		lapic_write(LAPIC_DFR, 0xffffffff);
		lapic_write(LAPIC_ICR2, 0);
	}
	lapic_write(LAPIC_SVR, 0xff);
}
