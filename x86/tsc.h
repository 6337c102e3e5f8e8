/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_TSC_H
#define LAMINA_X86_TSC_H

#include "types.h"

/*
 * Frequencies of the TSC and of the local APIC timer. The CPU or an outer hypervisor may tell;
 * otherwise both are measured together against a reference, in a window that the rest of the boot
 * fills: begin early, finish late.
 */
struct tsc_reference {
	uint16_t pm_timer_port; /* 0: none. ACPI FADT X_PM_TMR_BLK */
	bool pm_timer_32bit;    /* FADT flag TMR_VAL_EXT; otherwise 24 bits */
	uint64_t early_tsc;     /* TSC and PM timer at one earlier moment; 0: not known */
	uint32_t early_pm;
	volatile void *hpet; /* mapped register page, or NULL */
};

/*
 * Choose the reference (PM timer, HPET or PIT channel 2) and take the first sample. Uses
 * the calling core's APIC timer, masked; lapic_init() comes first.
 */
void tsc_calibrate_begin(const struct tsc_reference *ref);

/* Wait for what is missing of the window (<= 5 ms in all), settle both frequencies, log them. */
void tsc_calibrate_end(void);

/* kHz; 0 before tsc_calibrate_end(). */
uint32_t tsc_khz(void);

/* Hz of the local APIC timer with divisor 1. */
uint32_t lapic_timer_hz(void);

/* Where the TSC frequency came from, for the boot screen. */
const char *tsc_source(void);

/*
 * Busy wait, at most 50 ms. Before tsc_calibrate_begin() it assumes a 5 GHz TSC, so that it waits
 * long enough on any CPU.
 */
void delay_us(uint32_t us);

/* Ticks to microseconds or back, without overflow for any 64-bit tick count. */
uint64_t tsc_to_us(uint64_t ticks);
uint64_t tsc_from_us(uint64_t us);

#endif
