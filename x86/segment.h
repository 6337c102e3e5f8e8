/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_SEGMENT_H
#define LAMINA_X86_SEGMENT_H

/*
 * Selectors of the hypervisor's GDT, the same on every core. The TSS descriptor takes two entries
 * in long mode. SVM and VMX load CS, SS and TR from these after an exit.
 */
#define SEL_NULL    0x00
#define SEL_CODE64  0x08
#define SEL_DATA    0x10
#define SEL_TSS     0x18
#define GDT_ENTRIES 5

/* Interrupt stack table indices; 0 means: stay on the current stack. */
#define IST_DF    1
#define IST_NMI   2
#define IST_MC    3
#define IST_COUNT 3

/*
 * The top 16 bytes of every IST stack hold the core's struct cpu *, so that a handler finds its
 * core without trusting GS: an SVM exit arrives with the guest's GS base until VMLOAD.
 */
#define IST_RESERVED 16

#ifndef __ASSEMBLER__

#include "types.h"
#include "x86/cpu.h"

/* 64-bit TSS: SDM vol. 3, figure 7-11. */
struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap;
} packed;

_Static_assert(sizeof(struct tss) == 104, "64-bit TSS");

/* What cpu->arch points at. Belongs to its core; written once before the core runs. */
struct cpu_arch {
	uint64_t gdt[GDT_ENTRIES] aligned(16);
	struct tss tss aligned(16);
	bool draining; /* cpu_drain_interrupts() is at work */
};

/*
 * Fill the GDT and TSS of `c` (c->arch set) and store the core pointer at the top of each stack.
 * ist_top[i]: end of the stack for IST i + 1, 16-byte aligned. Callable from another core.
 */
void cpu_tables_fill(struct cpu *c, void *const ist_top[IST_COUNT]);

/* Load GDT, data segments, TR, IDT and GS base of `c` on the calling core. */
void cpu_tables_load(struct cpu *c);

/* Linear addresses for the vendors' host state. */
uint64_t idt_base(void);
uint16_t idt_limit(void);

static inline uint64_t cpu_gdt_base(const struct cpu *c)
{
	return (uint64_t)((struct cpu_arch *)c->arch)->gdt;
}

static inline uint64_t cpu_tss_base(const struct cpu *c)
{
	return (uint64_t) & ((struct cpu_arch *)c->arch)->tss;
}

#endif
#endif
