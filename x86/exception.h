/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_EXCEPTION_H
#define LAMINA_X86_EXCEPTION_H

#include "types.h"
#include "x86/cpu.h"

/* What exception.S leaves on the stack; the order is its order of pushes. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector;
	uint64_t error; /* 0 where the exception has none */
	uint64_t rip, cs, rflags, rsp, ss;
};

/* Fill the IDT, which all cores share. Once, on the boot core, before cpu_tables_load(). */
void idt_init(void);

/*
 * Open a window of one instruction in which pending interrupts are accepted and thrown away by
 * lapic_discard_interrupt(). A guest may have vectors 16-31 pending, which are exceptions to the
 * hypervisor's descriptor table: for the window another one is loaded, on which they are not.
 */
void cpu_drain_interrupts(struct cpu *c);

/* "#PF page fault" and so on; "interrupt" from 32 on. */
const char *exception_name(uint64_t vector);

/*
 * Implemented by core/panic.c, called by x86/: an exception of the hypervisor that no fix-up
 * covers, a machine check, or an NMI that found panic_active set. `c` is the core, even where GS
 * is not to be trusted.
 */
noreturn void panic_exception(struct cpu *c, struct trap_frame *f);
noreturn void panic_stop_core(struct cpu *c, struct trap_frame *f);

/* Nonzero from the first panic() on; the NMI handler then stops its core. */
extern volatile uint32_t panic_active;

#endif
