// SPDX-License-Identifier: BSD-2-Clause
#include <stdlib.h>

#include "bench.h"
#include "core/vioapic.h"
#include "x86/lapic.h"

#define LEAF_TSC_RATIO 0x15
#define LEAF_FREQUENCY 0x16

#define LEAF_BRAND 0x80000002

#define IOAPIC_VERSION 1 /* registers of the 82093AA */
#define IOAPIC_ENTRIES 0x10

#define SETTLE_MS 20 /* a few lines at 115200 baud */

struct bench bench;

void result(const char *key, uint64_t ticks)
{
	say("result %s %llu", key, (unsigned long long)ticks);
}

void result_as(const char *prefix, const char *key, uint64_t ticks)
{
	say("result %s%s %llu", prefix, key, (unsigned long long)ticks);
}

bool option_pair(const char *key, uint64_t *a, uint64_t *b)
{
	const char *text = option_text(key);
	char *end;

	if (!text)
		return false;
	*a = strtoull(text, &end, 0);
	if (*end != ',')
		return false;
	*b = strtoull(end + 1, NULL, 0);
	return *b;
}

void wait_action(const char *action)
{
	char line[64];

	say("wait %s", action);
	do {
		while (!read_line(line, sizeof(line)))
			cpu_pause();
	} while (strcmp(line, "go") != 0);
	settle();
}

static void pass_ms(uint64_t ms)
{
	uint64_t start = rdtsc();

	while (rdtsc() - start < ms * bench.khz)
		cpu_pause();
}

void settle(void)
{
	pass_ms(SETTLE_MS);
}

void pass_seconds(uint64_t seconds)
{
	pass_ms(seconds * 1000);
}

void apic_mode(bool x2apic)
{
	apic_init(x2apic);
	bench.x2apic = apic_is_x2();
}

bool option_is(const char *key, const char *value)
{
	const char *text = option_text(key);

	return text && !strncmp(text, value, strlen(value));
}

/* The crystal's frequency times the ratio, or the base frequency; 0: the CPU says neither. */
static uint32_t khz_of_cpu(void)
{
	uint32_t last = cpuid(0, 0).eax;
	struct cpuid_regs r = { 0 };

	if (last >= LEAF_TSC_RATIO)
		r = cpuid(LEAF_TSC_RATIO, 0);
	if (r.eax && r.ebx && r.ecx)
		return (uint32_t)((uint64_t)r.ecx * r.ebx / r.eax / 1000);
	return last >= LEAF_FREQUENCY ? (cpuid(LEAF_FREQUENCY, 0).eax & 0xffff) * 1000 : 0;
}

static void say_model(void)
{
	char text[3 * sizeof(struct cpuid_regs) + 1] = "";
	struct cpuid_regs r;
	uint32_t i;

	if (cpuid(0x80000000, 0).eax < LEAF_BRAND + 2)
		return;
	for (i = 0; i < 3; i++) {
		r = cpuid(LEAF_BRAND + i, 0);
		memcpy(text + i * sizeof(r), &r, sizeof(r));
	}
	say("info model %s", text);
}

static void find_out(void)
{
	static const char *const envs[] = { "bare", "lamina", "kvm" };
	struct cpuid_regs r = cpuid(0, 0);
	char vendor[13] = "";
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(envs); i++)
		if (option_is("env", envs[i]))
			bench.env = (enum env)i;
	memcpy(vendor, &r.ebx, 4);
	memcpy(vendor + 4, &r.edx, 4);
	memcpy(vendor + 8, &r.ecx, 4);
	bench.amd = !strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "HygonGenuine");
	r = cpuid(1, 0);
	bench.deadline = r.ecx & BIT(24);
	bench.khz = (uint32_t)option("khz", bench.env == ENV_BARE ? 0 : tsc_khz());
	if (!bench.khz)
		bench.khz = khz_of_cpu();
	say("info env %s", envs[bench.env]);
	say("info cpu %s family/model/stepping %#x, features 1.ecx %#x 1.edx %#x", vendor, r.eax,
	    r.ecx, r.edx);
	say_model();
	say("info khz %u", bench.khz);
	say("info timer %s", bench.deadline ? "deadline" : "count");
}

/*
 * What the firmware has left running on the bare machine must not interrupt: the 8259s, the inputs of
 * the first IOAPIC, the local APIC's timer and pin.
 */
static void quiet(void)
{
	volatile uint32_t *select = (volatile uint32_t *)VIOAPIC_GPA;
	volatile uint32_t *data = (volatile uint32_t *)(VIOAPIC_GPA + 0x10);
	uint32_t i, entries;

	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	*select = IOAPIC_VERSION;
	entries = ((*data >> 16) & 0xff) + 1;
	for (i = 0; i < entries; i++) {
		*select = IOAPIC_ENTRIES + 2 * i;
		*data |= LAPIC_LVT_MASKED; /* the same bit there */
	}
	apic_mode(false);
	apic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
	apic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_TIMER);
}

/* The bare machine has no power to switch off that the library knew of. */
static noreturn void stop(void)
{
	say("done");
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* In the mode that a kernel would choose, and in the other one if the machine started there. */
static void measure_all(void)
{
	bool has_x2 = (cpuid(1, 0).ecx & BIT(21)) && !has_word("xapic");

	result("rdtsc", empty_ticks());
	measure_round_trips();
	apic_mode(false);
	if (has_x2 && !bench.x2apic)
		measure_interrupts("xapic_");
	apic_mode(has_x2);
	say("info apic %s", bench.x2apic ? "x2apic" : "xapic");
	measure_interrupts("");
}

void guest_main(void)
{
	uint64_t base, bytes;

	find_out();
	if (bench.env == ENV_BARE)
		quiet();
	if (option_pair("load", &base, &bytes))
		run_load(base, bytes);
	measure_all();
	measure_memory();
	if (option_text("jitter"))
		run_jitter("", option("jitter", 0));
	if (option_text("loaded")) {
		pass_seconds(option("loaded", 0));
		run_jitter("loaded_", option("jitter", 0));
	}
	if (bench.env == ENV_BARE)
		stop();
}
