/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_PM_TIMER_H
#define LAMINA_X86_PM_TIMER_H

#include "types.h"
#include "x86/asm.h"

/*
 * The ACPI power management timer (ACPI 6.5, 4.8.2.1) as a reference for the TSC. Header only: the
 * loader takes a first sample before it reads the images, the hypervisor takes the last, so that
 * the time in between is a long window that costs nothing.
 */
#define PM_TIMER_HZ    3579545u
#define PM_TIMER_TRIES 3

/* Read the timer and the TSC together: of a few pairs the one that was read fastest. */
static inline uint32_t pm_timer_sample(uint16_t port, uint64_t *tsc)
{
	uint64_t best_span = ~0ull;
	uint32_t best = 0;
	int i;

	for (i = 0; i < PM_TIMER_TRIES; i++) {
		uint64_t before = rdtsc();
		uint32_t v = inl(port);
		uint64_t span = rdtsc() - before;

		if (span < best_span) {
			best_span = span;
			best = v;
			*tsc = before + span / 2;
		}
	}
	return best;
}

/*
 * The timer's ticks in a window in which it may have wrapped several times: `delta` is what it
 * shows, modulo 2^bits, and the TSC tells how often, if `tsc_hz` is right to a few percent of
 * 2^bits ticks. 0: the window is too long (2^40 TSC ticks) or nothing fits.
 */
static inline uint64_t pm_timer_unwrap(uint64_t tsc_ticks, uint64_t tsc_hz, uint32_t delta,
				       unsigned int bits)
{
	uint64_t expected, wraps;

	if (!tsc_hz || tsc_ticks >> 40)
		return 0;
	expected = tsc_ticks * PM_TIMER_HZ / tsc_hz; /* < 2^40 * 2^22 */
	if (expected + BIT(bits - 1) < delta)
		return 0;
	wraps = (expected + BIT(bits - 1) - delta) >> bits;
	return delta + (wraps << bits);
}

#endif
