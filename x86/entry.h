/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_ENTRY_H
#define LAMINA_X86_ENTRY_H

#include "types.h"
#include "x86/cpu.h"

/* What entry.S and ap_trampoline.S define. */
extern uint8_t boot_stack_guard[], boot_stack_top[];
extern const uint8_t ap_trampoline[];

/* Offsets in the trampoline's page: its end, and 32-bit fields to which its address is added. */
struct ap_trampoline_layout {
	uint16_t size;
	uint16_t field[3];
};

extern const struct ap_trampoline_layout ap_trampoline_layout;

/* Leave the current stack for the one that ends at `top` and call fn(c), which must not return. */
noreturn void cpu_run_on_stack(struct cpu *c, void *top, void (*fn)(struct cpu *c));

/* The final page table, which a started core loads first in the hypervisor's image. */
extern uint64_t ap_cr3;

/* Where a started core arrives in C, on its own stack; implemented by core/smp.c. */
noreturn void ap_main(struct cpu *c);

#endif
