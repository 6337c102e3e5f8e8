/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_PROVE_H
#define LAMINA_PROVE_H

/*
 * Included before each source that Eva analyses. Drivers are single-threaded, so an atomic access is
 * an access.
 */
#include "__fc_builtin.h"

#include "panic.h"
#include "types.h"

#define __atomic_load_n(p, order)         (*(p))
#define __atomic_store_n(p, value, order) ((void)(*(p) = (value)))
#define __atomic_thread_fence(order)      ((void)0)
#define __atomic_exchange_n(p, value, order)  \
	({                                    \
		__typeof__(*(p)) old_ = *(p); \
		*(p) = (value);               \
		old_;                         \
	})
#define __atomic_fetch_add(p, value, order)   \
	({                                    \
		__typeof__(*(p)) old_ = *(p); \
		*(p) += (value);              \
		old_;                         \
	})
#define __atomic_fetch_sub(p, value, order)   \
	({                                    \
		__typeof__(*(p)) old_ = *(p); \
		*(p) -= (value);              \
		old_;                         \
	})
#define __atomic_compare_exchange_n(p, expected, value, weak, order, order2) \
	({                                                                   \
		_Bool same_ = *(p) == *(expected);                           \
		if (same_)                                                   \
			*(p) = (value);                                      \
		else                                                         \
			*(expected) = *(p);                                  \
		same_;                                                       \
	})
#define __builtin_ia32_pause() ((void)0)

/* Eva knows nothing of these builtins but their types. */
static inline int prove_ctz(uint64_t x)
{
	int n = 0;

	//@ loop unroll 64;
	for (; n < 63 && !(x & 1); n++)
		x >>= 1;
	return n;
}

static inline int prove_popcount(uint64_t x)
{
	int n = 0;

	//@ loop unroll 64;
	for (; x; x &= x - 1)
		n++;
	return n;
}
#define __builtin_ctzll(x)      prove_ctz(x)
#define __builtin_popcountll(x) prove_popcount(x)

/* A broken invariant is an alarm: the precondition of this function. */
/*@ requires no_panic: \false;
    assigns \nothing;
    ensures \false; */
noreturn void prove_panic(void);
#define panic(...) prove_panic()

/* Eva's log shows that main()'s end can be reached; run.py wants to see it. */
void Frama_C_show_each_end(void);

/* Values that Eva knows nothing of but the bounds. */
static inline uint64_t any_u64(void)
{
	return Frama_C_unsigned_long_long_interval(0, UINT64_MAX);
}

static inline uint64_t any_between(uint64_t low, uint64_t high)
{
	return Frama_C_unsigned_long_long_interval(low, high);
}

static inline bool any_bool(void)
{
	return Frama_C_interval(0, 1);
}

#endif
