/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_SPINLOCK_H
#define LAMINA_SPINLOCK_H

#include "types.h"

/*
 * A ticket lock: fair, so that one guest's core cannot starve another's. The hypervisor runs with
 * interrupts off and its NMI handler takes no lock, hence no irqsave form. Lock order is in
 * docs/locking.md.
 */
struct spinlock {
	uint32_t next;
	uint32_t owner;
};

#define SPINLOCK_INIT \
	{             \
		0, 0  \
	}

static inline void spin_lock(struct spinlock *l)
{
	uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) != ticket)
		__builtin_ia32_pause();
}

/* Take the lock only if it is free. */
static inline bool spin_trylock(struct spinlock *l)
{
	uint32_t owner = __atomic_load_n(&l->owner, __ATOMIC_ACQUIRE);
	uint32_t expected = owner;

	return __atomic_compare_exchange_n(&l->next, &expected, owner + 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline void spin_unlock(struct spinlock *l)
{
	__atomic_store_n(&l->owner, l->owner + 1, __ATOMIC_RELEASE);
}

#endif
