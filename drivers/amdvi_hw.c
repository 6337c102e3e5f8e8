/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/amdvi.h"
#include "x86/asm.h"
#include "x86/tsc.h"

uint64_t amdvi_read(const struct amdvi_unit *u, uint32_t reg)
{
	return *(volatile uint64_t *)((volatile uint8_t *)u->regs + reg);
}

void amdvi_write(const struct amdvi_unit *u, uint32_t reg, uint64_t v)
{
	*(volatile uint64_t *)((volatile uint8_t *)u->regs + reg) = v;
}

/* CPUs with SVM have CMPXCHG16B. What is compared is a guess, which the first failure corrects. */
void amdvi_store(uint64_t *to, uint64_t low, uint64_t high)
{
	uint64_t old_low = 0, old_high = 0;

	__asm__ volatile("1: lock cmpxchg16b %0\n\t"
			 "jnz 1b"
			 : "+m"(*(uint64_t(*)[2])to), "+a"(old_low), "+d"(old_high)
			 : "b"(low), "c"(high)
			 : "memory", "cc");
}

uint64_t amdvi_now_us(void)
{
	return tsc_to_us(rdtsc());
}
