/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HW_H
#define LAMINA_CORE_HW_H

#include "types.h"
#include "x86/asm.h"
#include "x86/cpuid.h"

/*
 * The instructions through which the emulation of CPUID, MSRs and XSETBV reaches the core it runs
 * on, and that of devices the real ones. Functions, so that host tests can stand in for the hardware.
 * False: the CPU raised #GP.
 */
struct cpuid_regs hw_cpuid(uint32_t leaf, uint32_t subleaf); /* zeros above the group's maximum */
enum cpu_vendor hw_vendor(void);
bool must_check hw_rdmsr(uint32_t msr, uint64_t *value);
bool must_check hw_wrmsr(uint32_t msr, uint64_t value);
uint64_t hw_xcr0(void);
bool must_check hw_xsetbv(uint64_t value); /* XCR0 */

/* Registers of a device: one access of 1, 2, 4 or 8 bytes, aligned. */
uint64_t hw_mmio_read(const volatile void *at, uint8_t size);
void hw_mmio_write(volatile void *at, uint8_t size, uint64_t value);

/* A device's ports; `size` is 1, 2 or 4 bytes. */
uint32_t hw_in(uint16_t port, uint8_t size);
void hw_out(uint16_t port, uint8_t size, uint32_t value);

#endif
