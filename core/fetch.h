/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_FETCH_H
#define LAMINA_CORE_FETCH_H

#include "core/guest.h"
#include "core/read_section.h"
#include "core/vcpu.h"

/*
 * All of this is for a vCPU in 64-bit mode with four levels of page tables, on its core, in a read
 * section (mm/mm_host.h) that has found `set` to be the guest's slots.
 */

/* A walk to code, after which everything that it went through is in view. */
bool fetch_walk(struct vcpu *v, const struct slot_set *set, uint64_t cr3, uint64_t gla) must_check;

/* The instruction at RIP, if it was decoded before. NULL: find it another way, which makes it known. */
const struct insn *fetch_insn(struct vcpu *v, const struct slot_set *set, uint64_t cr3);

/*
 * Does the linear address translate to that guest-physical one, and is it certain that the vCPU may
 * read there, or write with the dirty bit set already? False: that takes a closer look.
 */
bool fetch_leads_to(struct vcpu *v, const struct slot_set *set, const struct fetch_tables *t,
		    uint64_t gla, bool write, gpa_t gpa) must_check;

/* Show nothing, after the slots have changed and before the guest is entered again. No section. */
void fetch_forget(struct vcpu *v);

/* Where the instruction at RIP is kept, if it is: FETCH_INSN_WAYS of them. */
static inline struct insn_memo *fetch_insn_set(struct vcpu *v)
{
	return v->fetch.insn[v->rip * 0x9e3779b97f4a7c15 >> 60];
}

static inline struct fetch_view *fetch_view_of(struct vcpu *v, uint64_t gla)
{
	return &v->fetch.code[gla >> PAGE_SHIFT & (FETCH_CODE - 1)];
}

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
	const struct fetch_view *f = fetch_view_of(v, gla);
	const struct slot_set *set;

	read_section_begin(v->cpu);
	set = tdp_slots(&v->guest->tdp);
	if (likely(fetch_in_view(f, set, cr3, gla)) || fetch_walk(v, set, cr3, gla))
		return f->page + (gla & ~PAGE_MASK);
	read_section_end(v->cpu);
	return NULL;
}

static inline void fetch_end(struct vcpu *v)
{
	read_section_end(v->cpu);
}

#endif
