/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_SAFE_H
#define LAMINA_X86_SAFE_H

#include "types.h"

/*
 * Instructions that may raise #GP or #UD because of what the CPU lacks or what a guest asked for.
 * Each has an entry {instruction, continuation} in .extable; the exception handler goes on at the
 * continuation, which skips the line that clears `fault`. Not before idt_init().
 */
#define EXTABLE(from, to)                  \
	".pushsection .extable, \"a\"\n\t" \
	".balign 8\n\t"                    \
	".quad " from ", " to "\n\t"       \
	".popsection\n\t"

/* False: this CPU has no such MSR; *v is 0 then. */
static inline must_check bool rdmsr_safe(uint32_t index, uint64_t *v)
{
	uint32_t lo = 0, hi = 0, fault = 1;

	__asm__ volatile("1: rdmsr\n\t"
			 "xorl %[fault], %[fault]\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+a"(lo), "+d"(hi), [fault] "+&r"(fault)
			 : "c"(index)
			 : "cc");
	*v = fault ? 0 : ((uint64_t)hi << 32) | lo;
	return !fault;
}

/* False: no such MSR, or it refuses the value. */
static inline must_check bool wrmsr_safe(uint32_t index, uint64_t v)
{
	uint32_t fault = 1;

	__asm__ volatile("1: wrmsr\n\t"
			 "xorl %[fault], %[fault]\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : [fault] "+&r"(fault)
			 : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "cc", "memory");
	return !fault;
}

/* False: the CPU refuses this combination of state components. CR4.OSXSAVE must be set. */
static inline must_check bool xsetbv_safe(uint32_t index, uint64_t v)
{
	uint32_t fault = 1;

	__asm__ volatile("1: xsetbv\n\t"
			 "xorl %[fault], %[fault]\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : [fault] "+&r"(fault)
			 : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "cc", "memory");
	return !fault;
}

/* False: nothing is mapped there; *v is 0 then. For dumps that follow pointers of unknown worth. */
static inline must_check bool load_safe(const uint64_t *p, uint64_t *v)
{
	uint64_t value = 0;
	uint32_t fault = 1;

	__asm__ volatile("1: movq (%[p]), %[value]\n\t"
			 "xorl %[fault], %[fault]\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : [value] "+&r"(value), [fault] "+&r"(fault)
			 : [p] "r"(p)
			 : "cc", "memory");
	*v = value;
	return !fault;
}

#endif
