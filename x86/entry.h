/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_ENTRY_H
#define LAMINA_X86_ENTRY_H

#include "types.h"
#include "x86/cpu.h"

/* What entry.S and ap_trampoline.S define. */
extern uint8_t boot_stack_guard[], boot_stack_top[];
extern const uint8_t ap_trampoline[], ap_trampoline_end[];

/* 32-bit fields in the trampoline to which its address is to be added. */
extern const uint8_t ap_trampoline_gdt[], ap_trampoline_jump[], ap_trampoline_cr3[];

/* Leave the current stack for the one that ends at `top` and call fn(c), which must not return. */
noreturn void cpu_run_on_stack(struct cpu *c, void *top, void (*fn)(struct cpu *c));

/* The final page table, which a started core loads first in the hypervisor's image. */
extern uint64_t ap_cr3;

/* Where a started core arrives in C, on its own stack; implemented by core/smp.c. */
noreturn void ap_main(struct cpu *c);

#endif
