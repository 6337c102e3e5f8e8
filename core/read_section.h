/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_READ_SECTION_H
#define LAMINA_CORE_READ_SECTION_H

#include "x86/cpu.h"

/*
 * mm_read_begin() and mm_read_end() (mm/mm_host.h) for whoever knows which core it is on: the
 * sequence is odd while core `c`, the calling one, is in a section.
 */
static inline void read_section_begin(struct cpu *c)
{
	__atomic_store_n(&c->read_sequence, c->read_sequence + 1, __ATOMIC_SEQ_CST);
}

static inline void read_section_end(struct cpu *c)
{
	__atomic_store_n(&c->read_sequence, c->read_sequence + 1, __ATOMIC_RELEASE);
}

#endif
