/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_CPU_H
#define LAMINA_X86_CPU_H

#include "config.h"
#include "types.h"

/*
 * The part of a core's state that the assembly and the exception handlers need. One per core, from
 * the pool, reached through GS base (its first member points at itself). core/ hangs its own
 * per-core state on `vcpu` and `core`.
 */
struct vcpu;

struct cpu {
	struct cpu *self; /* %gs:0 */
	uint32_t index;   /* Lamina's number; 0 is the boot core */
	uint32_t apic_id; /* physical */
	void *stack_top;  /* of the stack that exits and the main loop run on; guard page below */
	uint64_t host_rsp_scratch;     /* for the vendors' entry code */
	volatile uint32_t nmi_pending; /* set by the NMI handler; consumed by cpu_take_nmi() */
	volatile uint32_t online;      /* 1 once the core runs its main loop */
	volatile uint32_t in_guest;    /* 1 until an exit that is not quick: docs/locking.md */
	struct vcpu *vcpu;             /* the vCPU that this core is, or NULL; set before start */
	void *arch;                    /* x86/: GDT, TSS, stacks */
	void *vendor;                  /* vmx/ or svm/: VMXON region or host save area, … */
	volatile uint32_t start_state; /* enum cpu_start_state; atomic */

	/* In a line of its own, because the core writes it all the time: core/read_section.h. */
	uint64_t read_sequence aligned(64);
};

/* The handshake between the boot core and a core that it starts; whoever swaps first decides. */
enum cpu_start_state {
	CPU_START_IDLE,
	CPU_START_REQUESTED, /* boot core -> this: SIPI sent, the core may claim its structure */
	CPU_START_CLAIMED,   /* the core runs on its own stack */
	CPU_START_ABANDONED, /* time-out: if the core comes after all, it halts */
	CPU_START_UNFIT,     /* it came, but virtualization cannot be turned on; it has halted */
};

/* All cores; cpus[i] is NULL for i >= cpu_count. Filled once at boot. */
extern struct cpu *cpus[CONFIG_MAX_CPUS];
extern uint32_t cpu_count;

#define for_each_cpu(c, i) for ((i) = 0; (i) < cpu_count && ((c) = cpus[i]); (i)++)

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(c));
	return c;
}

/* The core with that physical APIC ID, or NULL. Needs no GS, so that a fault handler can use it. */
static inline struct cpu *cpu_by_apic_id(uint32_t apic_id)
{
	struct cpu *c;
	uint32_t i;

	for_each_cpu (c, i) {
		if (c->apic_id == apic_id)
			return c;
	}
	return NULL;
}

/* True once if an NMI arrived since the last call; on this core. */
static inline bool cpu_take_nmi(struct cpu *c)
{
	return __atomic_exchange_n(&c->nmi_pending, 0, __ATOMIC_ACQ_REL) != 0;
}

#endif
