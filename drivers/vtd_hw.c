// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/vtd_hw.h"
#include "x86/asm.h"
#include "x86/tsc.h"

#define CACHE_LINE 64

uint32_t vtd_read32(const volatile void *reg)
{
	return *(const volatile uint32_t *)reg;
}

uint64_t vtd_read64(const volatile void *reg)
{
	return *(const volatile uint64_t *)reg;
}

void vtd_write32(volatile void *reg, uint32_t v)
{
	*(volatile uint32_t *)reg = v;
}

void vtd_write64(volatile void *reg, uint64_t v)
{
	*(volatile uint64_t *)reg = v;
}

void vtd_write_back(const void *p, size_t bytes)
{
	uintptr_t end = (uintptr_t)p + bytes;

	for (uintptr_t line = ALIGN_DOWN((uintptr_t)p, CACHE_LINE); line < end; line += CACHE_LINE)
		clflush((const void *)line);
}

void vtd_wait_us(uint32_t us)
{
	delay_us(us);
}
