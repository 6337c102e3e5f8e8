/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_DUMP_H
#define LAMINA_CORE_DUMP_H

#include "types.h"
#include "x86/exception.h"

/*
 * The parts of a panic's dump. They read memory through load_safe() only, because every pointer is
 * doubtful here, and write through dump_print().
 */
#define DUMP_FRAMES       32
#define DUMP_FRAMES_BRIEF 8

/* Formatted output that needs no lock; core/panic.c. At most 511 bytes a call. */
void dump_print(const char *fmt, ...) printf_like(1, 2);

/* The exception in words: name, decoded error code, address; a machine check's banks. */
void dump_cause(const struct cpu *c, const struct trap_frame *f);

/* Which core this is and what it was doing. `c` may be NULL. */
void dump_identity(const struct cpu *c);

void dump_frame(const struct trap_frame *f);
void dump_control_registers(void);

/* The bytes around an instruction; its first one in angle brackets. */
void dump_code(uint64_t rip);

/* The top of a stack, from `rsp` upwards. */
void dump_stack(uint64_t rsp);

/* "#0 0x…" for `rip` (0: none) and every return address that the frame pointers lead to. */
void dump_backtrace(uint64_t rip, uint64_t rbp, unsigned int max);

#endif
