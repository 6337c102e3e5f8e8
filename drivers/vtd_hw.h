/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_VTD_HW_H
#define LAMINA_DRIVERS_VTD_HW_H

#include "types.h"

/*
 * What the VT-d driver needs of the machine. There are two implementations, chosen by the linker:
 * drivers/vtd_hw.c and the model of a unit in tests/host/vtd_model.c.
 *
 * Registers: one access of just that width, aligned to it.
 */
uint32_t vtd_read32(const volatile void *reg);
uint64_t vtd_read64(const volatile void *reg);
void vtd_write32(volatile void *reg, uint32_t v);
void vtd_write64(volatile void *reg, uint64_t v);

/* Write the cache lines of [p, p + bytes) back to memory, ordered with the stores before. */
void vtd_write_back(const void *p, size_t bytes);

/* Busy wait, microseconds. */
void vtd_wait_us(uint32_t us);

#endif
