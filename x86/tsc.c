// SPDX-License-Identifier: BSD-2-Clause
#include <inttypes.h>

#include "log.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/pm_timer.h"
#include "x86/safe.h"
#include "x86/tsc.h"

#define PIT_HZ    1193182u
#define PIT_COUNT 0xffffu

#define PIT_CHANNEL2    0x42
#define PIT_COMMAND     0x43
#define PIT_GATE        0x61
#define PIT_GATE_ON     0x01
#define PIT_GATE_SPKR   0x02
#define PIT_GATE_OUT    0x20
#define PIT_CH2_ONESHOT 0xb0 /* channel 2, low then high byte, mode 0 */
#define PIT_CH2_LATCH   0x80

#define HPET_CAP        0x000 /* bits 63-32: period in femtoseconds */
#define HPET_CONFIG     0x010
#define HPET_COUNTER    0x0f0
#define HPET_ENABLE     1u
#define HPET_MAX_PERIOD 100000000u /* IA-PC HPET specification, 2.3.4 */

/*
 * How long to measure, in us, where the loader has not left a sample: an uncertainty of one tick
 * of the reference shall stay below 100 ppm, or below 1 % where it is only about whether the CPU's
 * own figure is to be believed. The APIC timer has a window of its own, in its counts: those who
 * use it correct what is left by the TSC.
 */
#define WINDOW_SLOW_US      5000 /* PM timer, PIT */
#define WINDOW_HPET_US      2000
#define WINDOW_CHECK_US     200
#define WINDOW_MIN_US       50
#define WINDOW_LAPIC_COUNTS 5000
#define MAX_TSC_HZ          5000000000ull
#define SAMPLE_TRIES        3

/*
 * A window that took longer than the boot between its ends ever should is measured anew: the
 * 24-bit PM timer must not have wrapped (after 4.68 s), not even with an emulator's 50 MHz TSC.
 */
#define WINDOW_MAX_TICKS 200000000ull

enum reference {
	REF_NONE,
	REF_PM_TIMER,
	REF_HPET,
	REF_PIT
};

/* One look at all three counters, taken close together. */
struct sample {
	uint64_t tsc;
	uint32_t ref;
	uint32_t lapic; /* counts down */
};

static struct {
	enum reference kind;
	uint32_t hz;
	uint32_t mask;
	uint16_t port;
	volatile uint32_t *hpet;
} ref;

static struct sample begin;
static uint64_t early_tsc; /* the loader's sample of the PM timer; 0: none */
static uint32_t early_pm;
static uint32_t khz, lapic_hz;
static uint32_t claimed_khz, claimed_lapic_hz;
static const char *source = "unknown";

/* The PIT counts down; as an increasing number. */
static uint32_t pit_read(void)
{
	uint32_t v;

	outb(PIT_COMMAND, PIT_CH2_LATCH);
	v = inb(PIT_CHANNEL2);
	v |= (uint32_t)inb(PIT_CHANNEL2) << 8;
	return PIT_COUNT - v;
}

static void pit_start(void)
{
	outb(PIT_GATE, (uint8_t)((inb(PIT_GATE) & ~PIT_GATE_SPKR) | PIT_GATE_ON));
	outb(PIT_COMMAND, PIT_CH2_ONESHOT);
	outb(PIT_CHANNEL2, PIT_COUNT & 0xff);
	outb(PIT_CHANNEL2, PIT_COUNT >> 8);
}

/* In mode 0 the output goes high at terminal count, after 55 ms; then the counter wraps. */
static bool pit_expired(void)
{
	return ref.kind == REF_PIT && (inb(PIT_GATE) & PIT_GATE_OUT);
}

static uint32_t ref_read(void)
{
	switch (ref.kind) {
	case REF_PM_TIMER:
		return inl(ref.port);
	case REF_HPET:
		return ref.hpet[HPET_COUNTER / 4];
	case REF_PIT:
		return pit_read();
	case REF_NONE:
		break;
	}
	return 0;
}

/* The best of a few: the one whose reading of the reference took the least time. */
static struct sample take_sample(void)
{
	struct sample best = { 0, 0, 0 };
	uint64_t best_span = ~0ull;
	int i;

	for (i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = rdtsc();
		uint32_t r = ref_read();
		uint64_t after = rdtsc();

		if (after - before < best_span) {
			best_span = after - before;
			best.tsc = before + best_span / 2;
			best.ref = r;
			best.lapic = lapic_read(LAPIC_TIMER_COUNT);
		}
	}
	return best;
}

static void start_lapic_timer(void)
{
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | LAPIC_TIMER_ONESHOT);
	lapic_write(LAPIC_TIMER_DIVIDE, LAPIC_TIMER_DIV1);
	lapic_write(LAPIC_TIMER_INIT, 0xffffffff);
}

/* A counter that stands still is worse than none. 100 us at the least. */
static bool ref_runs(void)
{
	uint64_t end = rdtsc() + MAX_TSC_HZ / 10000;
	uint32_t first = ref_read() & ref.mask;

	do {
		if ((ref_read() & ref.mask) != first)
			return true;
	} while (rdtsc() < end);
	return false;
}

static bool try_pm_timer(const struct tsc_reference *r)
{
	if (!r->pm_timer_port)
		return false;
	ref.kind = REF_PM_TIMER;
	ref.port = r->pm_timer_port;
	ref.hz = PM_TIMER_HZ;
	ref.mask = r->pm_timer_32bit ? 0xffffffff : 0xffffff;
	return ref_runs();
}

static bool try_hpet(const struct tsc_reference *r)
{
	uint32_t period;

	if (!r->hpet)
		return false;
	ref.kind = REF_HPET;
	ref.hpet = r->hpet;
	period = ref.hpet[HPET_CAP / 4 + 1];
	if (!period || period > HPET_MAX_PERIOD)
		return false;
	ref.hz = (uint32_t)(1000000000000000ull / period);
	ref.mask = 0xffffffff;
	ref.hpet[HPET_CONFIG / 4] |= HPET_ENABLE;
	return ref_runs();
}

static bool try_pit(void)
{
	ref.kind = REF_PIT;
	ref.hz = PIT_HZ;
	ref.mask = PIT_COUNT;
	pit_start();
	return ref_runs();
}

/*
 * CPUID 15h: TSC = crystal * EBX / EAX. ECX may be 0 on CPUs whose crystal only the manual knows
 * (SDM vol. 3, 18.7.3); then 16h's base frequency gives it back. The APIC timer runs at the
 * crystal's frequency where the leaf exists.
 */
static void ask_cpuid15(void)
{
	struct cpuid_regs r = cpuid_checked(0x15, 0);
	uint64_t crystal = r.ecx;

	if (!r.eax || !r.ebx)
		return;
	if (!crystal)
		crystal = (uint64_t)(cpuid_checked(0x16, 0).eax & 0xffff) * 1000000 * r.eax / r.ebx;
	if (!crystal)
		return;
	claimed_khz = (uint32_t)(crystal * r.ebx / r.eax / 1000);
	claimed_lapic_hz = (uint32_t)crystal;
	source = "CPUID 15h";
}

/* What the CPU or an outer hypervisor says. 40000010h: kHz of TSC and of the APIC timer. */
static void ask_cpu(void)
{
	struct cpuid_regs r;

	ask_cpuid15();
	if (!cpu_has(FEAT_HYPERVISOR))
		return;
	r = cpuid_checked(CPUID_LEAF_HYPERVISOR + 0x10, 0);
	if (r.eax) {
		claimed_khz = r.eax;
		claimed_lapic_hz = r.ebx * 1000;
		source = "CPUID 40000010h";
	}
}

/* Last resort, Intel only: the ratio of the base frequency to a 100 MHz clock. */
static void ask_platform_info(void)
{
	uint64_t info;

	if (cpu_vendor() != CPU_VENDOR_INTEL || cpu_family() != 6)
		return;
	if (!rdmsr_safe(MSR_PLATFORM_INFO, &info) || !((info >> 8) & 0xff))
		return;
	khz = (uint32_t)((info >> 8) & 0xff) * 100000;
	source = "PLATFORM_INFO";
}

/* With a sample from the loader the PM timer is best, otherwise the HPET, which is finer. */
static void choose_reference(const struct tsc_reference *r)
{
	if (r->early_tsc && try_pm_timer(r)) {
		early_tsc = r->early_tsc;
		early_pm = r->early_pm;
		return;
	}
	if (!try_hpet(r) && !try_pm_timer(r) && !try_pit())
		ref.kind = REF_NONE;
}

void tsc_calibrate_begin(const struct tsc_reference *r)
{
	ask_cpu();
	choose_reference(r);
	if (ref.kind == REF_PIT)
		pit_start(); /* anew: it counts once, and looking for it took some of that */
	start_lapic_timer();
	begin = take_sample();
}

static bool close_to(uint64_t a, uint64_t b, uint32_t percent)
{
	return (a > b ? a - b : b - a) <= b * percent / 100;
}

static void restart_if_stale(void)
{
	struct sample now = take_sample();

	if (now.tsc - begin.tsc <= WINDOW_MAX_TICKS && now.lapic && !pit_expired())
		return;
	if (ref.kind == REF_PIT)
		pit_start();
	start_lapic_timer();
	begin = take_sample();
}

/* Wait until `us` of the reference have passed since `begin`, then measure both. */
static struct sample measure(uint32_t us)
{
	uint32_t need = (uint32_t)((uint64_t)ref.hz * us / 1000000);
	struct sample end;
	uint64_t ticks;

	restart_if_stale();
	while (((ref_read() - begin.ref) & ref.mask) < need)
		cpu_pause();
	/* A timer that does not count at all must not hold up the boot: 20 ms are enough. */
	while (begin.lapic - lapic_read(LAPIC_TIMER_COUNT) < WINDOW_LAPIC_COUNTS &&
	       ((ref_read() - begin.ref) & ref.mask) < ref.hz / 50)
		cpu_pause();
	end = take_sample();
	ticks = (end.ref - begin.ref) & ref.mask;
	khz = (uint32_t)(((end.tsc - begin.tsc) * ref.hz / ticks + 500) / 1000);
	return end;
}

/* Refine by the long window since the loader's sample; false if there is none or it is odd. */
static bool measure_long(const struct sample *end)
{
	uint64_t span = end->tsc - early_tsc;
	uint64_t ticks, long_khz;

	if (!early_tsc || ref.kind != REF_PM_TIMER)
		return false;
	ticks = pm_timer_unwrap(span, khz * 1000ull, (end->ref - early_pm) & ref.mask,
				ref.mask == 0xffffffff ? 32 : 24);
	if (ticks < (uint64_t)PM_TIMER_HZ * WINDOW_SLOW_US / 1000000)
		return false;
	long_khz = (span * PM_TIMER_HZ / ticks + 500) / 1000;
	if (!close_to(long_khz, khz, 5))
		return false;
	khz = (uint32_t)long_khz;
	return true;
}

static uint32_t full_window_us(void)
{
	if (claimed_khz)
		return WINDOW_CHECK_US;
	return ref.kind == REF_HPET ? WINDOW_HPET_US : WINDOW_SLOW_US;
}

/* Measure; take the CPU's own figures if that does not contradict them. */
static void settle(void)
{
	static const char *const names[] = { "none", "ACPI PM timer", "HPET", "PIT" };
	struct sample end = measure(WINDOW_MIN_US);

	if (!measure_long(&end))
		end = measure(full_window_us());
	if (claimed_khz && !close_to(claimed_khz, khz, 1)) {
		log_info("%s says TSC %" PRIu32 " kHz, but the %s counts %" PRIu32 " kHz", source,
			 claimed_khz, names[ref.kind], khz);
		claimed_khz = 0;
		if (!measure_long(&end))
			end = measure(full_window_us());
	}
	if (claimed_khz)
		khz = claimed_khz;
	else
		source = names[ref.kind];
	lapic_hz = (uint32_t)((uint64_t)(begin.lapic - end.lapic) * khz * 1000 /
			      (end.tsc - begin.tsc));
	if (claimed_khz && claimed_lapic_hz && close_to(claimed_lapic_hz, lapic_hz, 1))
		lapic_hz = claimed_lapic_hz;
}

void tsc_calibrate_end(void)
{
	if (ref.kind != REF_NONE) {
		settle();
	} else if (claimed_khz) {
		khz = claimed_khz;
		lapic_hz = claimed_lapic_hz;
	} else {
		ask_platform_info();
	}
	lapic_write(LAPIC_TIMER_INIT, 0);
	if (!khz) {
		khz = 1000000;
		log_error(
			"no clock to calibrate the TSC with: assuming 1 GHz, clocks will be wrong");
	}
	log_debug("TSC %" PRIu32 ".%03" PRIu32 " MHz, APIC timer %" PRIu32 ".%03" PRIu32
		  " MHz (%s)",
		  khz / 1000, khz % 1000, lapic_hz / 1000000, lapic_hz / 1000 % 1000, source);
}

uint32_t tsc_khz(void)
{
	return khz;
}

uint32_t lapic_timer_hz(void)
{
	return lapic_hz;
}

const char *tsc_source(void)
{
	return source;
}

uint64_t tsc_to_us(uint64_t ticks)
{
	uint64_t k = khz ? khz : MAX_TSC_HZ / 1000;

	return ticks / k * 1000 + ticks % k * 1000 / k;
}

uint64_t tsc_from_us(uint64_t us)
{
	uint64_t k = khz ? khz : MAX_TSC_HZ / 1000;

	return us / 1000 * k + us % 1000 * k / 1000;
}

/* Between begin and end the reference is there already. */
static void delay_by_reference(uint32_t us)
{
	uint32_t need = (uint32_t)((uint64_t)ref.hz * us / 1000000) + 1;
	uint32_t start = ref_read();

	while (((ref_read() - start) & ref.mask) < need)
		cpu_pause();
}

void delay_us(uint32_t us)
{
	uint64_t start = rdtsc();
	uint64_t ticks = tsc_from_us(us);

	if (!khz && ref.kind != REF_NONE) {
		delay_by_reference(us);
		return;
	}
	while (rdtsc() - start < ticks)
		cpu_pause();
}
