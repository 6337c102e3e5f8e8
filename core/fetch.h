/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_FETCH_H
#define LAMINA_CORE_FETCH_H

#include "core/guest.h"
#include "core/read_section.h"
#include "core/vcpu.h"

/* A walk, after which everything that it went through is in view. In a read section. */
bool fetch_walk(struct vcpu *v, const struct slot_set *set, uint64_t cr3, uint64_t gla) must_check;

static inline bool fetch_in_view(const struct fetch_view *f, const struct slot_set *set,
				 uint64_t cr3, uint64_t gla)
{
	if (f->key != ((gla & PAGE_MASK) | FETCH_KEY_VALID) || f->cr3 != cr3 ||
	    f->version != set->version)
		return false;
	_Static_assert(FETCH_LEVELS == 4, "one comparison for each");
	return *f->step[0].entry == f->step[0].value && *f->step[1].entry == f->step[1].value &&
	       *f->step[2].entry == f->step[2].value && *f->step[3].entry == f->step[3].value;
}

/*
 * Begin a read section (mm/mm_host.h), in which the rest of the page behind the address returned
 * holds the code at linear address `gla`: for a vCPU in 64-bit mode with four levels of page tables,
 * on its core. Its own fetch from there has just succeeded, so rights and accessed bits are not
 * looked at again. NULL, and no section: it is not mapped, or not in memory of the guest.
 */
static inline const uint8_t *fetch_begin(struct vcpu *v, uint64_t cr3, uint64_t gla)
{
	const struct slot_set *set;

	read_section_begin(v->cpu);
	set = tdp_slots(&v->guest->tdp);
	if (likely(fetch_in_view(&v->fetch, set, cr3, gla)) || fetch_walk(v, set, cr3, gla))
		return v->fetch.page + (gla & ~PAGE_MASK);
	read_section_end(v->cpu);
	return NULL;
}

static inline void fetch_end(struct vcpu *v)
{
	read_section_end(v->cpu);
}

#endif
