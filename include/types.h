/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TYPES_H
#define LAMINA_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Guest and host physical addresses and frames are incompatible types, so that the compiler
 * rejects the mix-ups that hypervisors die of. `.v` is the bare number. An address counts bytes,
 * a frame number counts 4 KiB pages.
 */
typedef struct {
	uint64_t v;
} gpa_t;

typedef struct {
	uint64_t v;
} hpa_t;

typedef struct {
	uint64_t v;
} gfn_t;

typedef struct {
	uint64_t v;
} pfn_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define SIZE_2M    (1ull << 21)
#define SIZE_1G    (1ull << 30)

#define GPA(x) ((gpa_t){ (x) })
#define HPA(x) ((hpa_t){ (x) })
#define GFN(x) ((gfn_t){ (x) })
#define PFN(x) ((pfn_t){ (x) })

static inline gfn_t gpa_to_gfn(gpa_t a)
{
	return GFN(a.v >> PAGE_SHIFT);
}

static inline gpa_t gfn_to_gpa(gfn_t f)
{
	return GPA(f.v << PAGE_SHIFT);
}

static inline pfn_t hpa_to_pfn(hpa_t a)
{
	return PFN(a.v >> PAGE_SHIFT);
}

static inline hpa_t pfn_to_hpa(pfn_t f)
{
	return HPA(f.v << PAGE_SHIFT);
}

/* Results that the caller must look at. OK is zero. */
enum status {
	OK = 0,
	ERR_INVALID,     /* malformed argument, table or image */
	ERR_RANGE,       /* a number or an address outside its legal range */
	ERR_NOMEM,       /* a pool or budget is exhausted */
	ERR_NOT_FOUND,   /* nothing there */
	ERR_BUSY,        /* in use, try again or release first */
	ERR_UNSUPPORTED, /* this CPU, firmware or device cannot do it */
	ERR_DENIED,      /* policy forbids it */
	ERR_OVERLAP,     /* collides with something that exists */
	ERR_TIMEOUT,
	ERR_FAULT, /* a memory access did not translate */
};

#define must_check __attribute__((warn_unused_result))

#define ARRAY_SIZE(a)          (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a)         (((x) + ((a)-1)) & ~((uint64_t)(a)-1))
#define ALIGN_DOWN(x, a)       ((x) & ~((uint64_t)(a)-1))
#define IS_ALIGNED(x, a)       (((x) & ((uint64_t)(a)-1)) == 0)
#define BIT(n)                 (1ull << (n))
#define BITS(hi, lo)           ((~0ull >> (63 - (hi))) & ~(BIT(lo) - 1))
#define container_of(p, t, m)  ((t *)((char *)(p)-offsetof(t, m)))
#define noreturn               __attribute__((noreturn))
#define packed                 __attribute__((packed))
#define aligned(n)             __attribute__((aligned(n)))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define unused                 __attribute__((unused))
#define noinline               __attribute__((noinline))
#define forceinline            inline __attribute__((always_inline))
#define likely(x)              __builtin_expect(!!(x), 1)
#define unlikely(x)            __builtin_expect(!!(x), 0)
#define fallthrough            __attribute__((fallthrough))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
