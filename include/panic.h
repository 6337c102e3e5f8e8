/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_PANIC_H
#define LAMINA_PANIC_H

#include "types.h"

/*
 * An invariant of the hypervisor itself is broken: stop every core and dump the cause, the
 * registers and a backtrace to the serial line. Never for anything that a guest, the firmware or
 * a configuration file can cause.
 */
noreturn void panic(const char *fmt, ...) printf_like(1, 2);

#define ASSERT(cond)                                                                     \
	do {                                                                             \
		if (unlikely(!(cond)))                                                   \
			panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond); \
	} while (0)

#endif
