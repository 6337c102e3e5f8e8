/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_HANDOVER_H
#define LAMINA_BOOT_HANDOVER_H

#include "types.h"

/* The loader's assembly (handover.S). */

/* Read an MSR. False if that raised #GP, which is survived only while gp_catcher is gate 13. */
bool rdmsr_safe(uint32_t index, uint64_t *value);

/* #GP handler for an IDT gate: makes the rdmsr_safe() that faulted return false. */
void gp_catcher(void);

/*
 * Switch to the page tables at `cr3` and jump to `entry` with RDI = `arg`, without a stack. The
 * code between handover_start and handover_end must be mapped at its own address in both tables.
 * Interrupts are off already and the firmware is gone.
 */
noreturn void handover(uint64_t cr3, uint64_t entry, uint64_t arg);
extern const char handover_start[], handover_end[];

#endif
