/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_SMP_H
#define LAMINA_CORE_SMP_H

#include "boot_info.h"
#include "types.h"
#include "x86/cpu.h"

#define CPU_STACK_SIZE (4 * PAGE_SIZE) /* bytes below cpu->stack_top, then a guard page */

/*
 * First thing in hv_main(): give the boot core its struct cpu, descriptor tables and exception
 * stacks (static ones), and set the control registers. Exceptions are caught from here on.
 */
void smp_init_boot_core(const struct boot_info *bi);

/*
 * Allocate structures and guarded stacks for every core of bi->cpus and enter them in cpus[]. After
 * the allocator and the hypervisor's page table. ERR_NOMEM: the pool is too small.
 */
enum status smp_alloc_cores(const struct boot_info *bi) must_check;

/*
 * Start all other cores by INIT and SIPI; returns when each one is in cpu_main() or has been given
 * up. A core that does not answer is reported and cpus[i]->online stays 0. After
 * tsc_calibrate_begin(), lapic_init(). Returns how many cores run, the boot core included.
 */
uint32_t smp_start_cores(const struct boot_info *bi);

/* Leave the boot stack for the core's own one and call cpu_main(c). */
noreturn void smp_run_boot_core(void);

/* The core's main loop, implemented by core/: enable the vendor, run the vCPU. c == this_cpu(). */
noreturn void cpu_main(struct cpu *c);

/* Make a core look at its work: an NMI. Any context. A core that is not online is left alone. */
void smp_kick(struct cpu *c);

#endif
