/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_LAPIC_H
#define LAMINA_X86_LAPIC_H

#include "types.h"

/*
 * The calling core's local APIC, in whichever mode the core is: a guest switches its own core
 * between xAPIC and x2APIC through a trapped write of IA32_APIC_BASE, so the mode is read each
 * time. Register names are offsets in the xAPIC page (SDM vol. 3, table 10-1).
 */
#define LAPIC_ID           0x020
#define LAPIC_VERSION      0x030
#define LAPIC_TPR          0x080
#define LAPIC_APR          0x090
#define LAPIC_PPR          0x0a0
#define LAPIC_EOI          0x0b0
#define LAPIC_RRD          0x0c0
#define LAPIC_LDR          0x0d0
#define LAPIC_DFR          0x0e0
#define LAPIC_SVR          0x0f0
#define LAPIC_ISR          0x100
#define LAPIC_TMR          0x180
#define LAPIC_IRR          0x200
#define LAPIC_ESR          0x280
#define LAPIC_LVT_CMCI     0x2f0
#define LAPIC_ICR          0x300
#define LAPIC_ICR2         0x310
#define LAPIC_LVT_TIMER    0x320
#define LAPIC_LVT_THERMAL  0x330
#define LAPIC_LVT_PMC      0x340
#define LAPIC_LVT_LINT0    0x350
#define LAPIC_LVT_LINT1    0x360
#define LAPIC_LVT_ERROR    0x370
#define LAPIC_TIMER_INIT   0x380
#define LAPIC_TIMER_COUNT  0x390
#define LAPIC_TIMER_DIVIDE 0x3e0
#define LAPIC_SELF_IPI     0x3f0 /* x2APIC only */

#define LAPIC_SVR_ENABLE     (1u << 8)
#define LAPIC_LVT_MASKED     (1u << 16)
#define LAPIC_LVT_DELIVERY   (7u << 8)
#define LAPIC_TIMER_ONESHOT  (0u << 17)
#define LAPIC_TIMER_PERIODIC (1u << 17)
#define LAPIC_TIMER_DEADLINE (2u << 17)
#define LAPIC_TIMER_DIV1     0xbu

#define LAPIC_ICR_VECTOR       0xffu
#define LAPIC_ICR_MODE_MASK    (7u << 8)
#define LAPIC_ICR_FIXED        (0u << 8)
#define LAPIC_ICR_LOWEST       (1u << 8)
#define LAPIC_ICR_SMI          (2u << 8)
#define LAPIC_ICR_NMI          (4u << 8)
#define LAPIC_ICR_INIT         (5u << 8)
#define LAPIC_ICR_SIPI         (6u << 8)
#define LAPIC_ICR_LOGICAL      (1u << 11)
#define LAPIC_ICR_PENDING      (1u << 12) /* xAPIC only */
#define LAPIC_ICR_ASSERT       (1u << 14)
#define LAPIC_ICR_LEVEL        (1u << 15)
#define LAPIC_ICR_SHORTHAND    (3u << 18)
#define LAPIC_ICR_SELF         (1u << 18)
#define LAPIC_ICR_ALL          (2u << 18)
#define LAPIC_ICR_ALL_BUT_SELF (3u << 18)

/* Remember the uncached mapping of the page at IA32_APIC_BASE. Before any other function in xAPIC
 * mode. One mapping serves all cores: the page shows each core its own APIC. */
void lapic_init(volatile void *page);

/* Put the calling core, after its INIT, into the mode of the boot core: one kind of ID for all. */
void lapic_match_boot_mode(void);

/* The calling core is in x2APIC mode. */
bool lapic_is_x2apic(void);

/* A register of the calling core's APIC by its xAPIC offset. */
uint32_t lapic_read(uint32_t reg);
void lapic_write(uint32_t reg, uint32_t v);

/* The calling core's physical APIC ID. Works without lapic_init(): from CPUID. */
uint32_t lapic_id(void);

/*
 * Send an interrupt to the core with that physical APIC ID. In xAPIC mode an ID above 254 cannot
 * be addressed, and the previous send must have been accepted: ERR_RANGE and ERR_TIMEOUT. The
 * xAPIC form saves and restores ICR2, because a guest may be between its two writes of ICR.
 */
enum status lapic_send_ipi(uint32_t apic_id, uint32_t icr_low) must_check;

static inline must_check enum status lapic_send_nmi(uint32_t apic_id)
{
	return lapic_send_ipi(apic_id, LAPIC_ICR_NMI | LAPIC_ICR_ASSERT);
}

/* INIT, assert; the de-assert of the 82489DX is not needed since the Pentium 4 (SDM 8.4.4). */
static inline must_check enum status lapic_send_init(uint32_t apic_id)
{
	return lapic_send_ipi(apic_id, LAPIC_ICR_INIT | LAPIC_ICR_ASSERT | LAPIC_ICR_LEVEL);
}

/* Start-up IPI; the core begins at physical address page * 4096. */
static inline must_check enum status lapic_send_sipi(uint32_t apic_id, uint8_t page)
{
	return lapic_send_ipi(apic_id, LAPIC_ICR_SIPI | LAPIC_ICR_ASSERT | page);
}

/* A fixed, edge-triggered interrupt to the calling core itself: how virtual devices interrupt. */
void lapic_self_ipi(uint8_t vector);

/* End of interrupt for the highest vector in service. */
void lapic_eoi(void);

/*
 * Bring the calling core's APIC to its state after power-on (SDM vol. 3, 10.4.7), for a guest's
 * reset: LVTs masked, timer stopped, nothing in IRR or ISR, software-disabled. Only the mode stays:
 * the way from x2APIC back to xAPIC leads through "globally disabled" (10.12.5), from which some
 * implementations return by a hardware reset only (10.4.3), and firmware hands machines over in
 * either mode. Opens a short window in which interrupts are accepted and ignored, so not before
 * idt_init(), and under SVM with GIF set.
 */
void lapic_reset_to_power_on(void);

/* For the interrupt entry: true if the core is throwing away interrupts; acknowledges this one. */
bool lapic_discard_interrupt(void);

#endif
