/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_NX_H
#define LAMINA_CORE_NX_H

#include "core/guest.h"

/*
 * iTLB multihit (x86/multihit.h): whether a guest's large pages are executable, and when regions
 * that were split for a fetch are merged again (mm/tdp_nx.c).
 */

/* By the configuration and the CPU, before anything is mapped. Says so in the log. */
void nx_init(struct guest *g);

/* Seconds from one pass to the next; a pass looks at a part of the regions. */
#define NX_PERIOD_SECONDS 60
void nx_set_period(struct guest *g, uint32_t seconds);
uint32_t nx_period(const struct guest *g);

/* Look at each region once, now. Any core. Returns how many were merged. */
unsigned nx_recover_all(struct guest *g);

/* A pass is due. The core counts as outside: it may wait for locks. */
void nx_pass(struct vcpu *v);

/*
 * On the way back into the guest, after an exit that had another cause: guests that do not exit are
 * not made to.
 */
static inline void nx_after_exit(struct vcpu *v)
{
	struct guest *g = v->guest;

	if (unlikely(__atomic_load_n(&g->tdp.nx_list.count, __ATOMIC_RELAXED)) &&
	    unlikely(v->exit_tsc >= __atomic_load_n(&g->nx_next, __ATOMIC_RELAXED)))
		nx_pass(v);
}

#endif
