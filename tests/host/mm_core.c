/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mm_core.h"

uint64_t core_pml[CORE_PML];
unsigned core_pml_count;

#define FRAME 0xffffffffff000ull
#define WRITE 2ull /* in EPT and NPT */

/* A place where the frame is translated: in a TLB, or in a table. */
struct place {
	uint64_t *entry; /* NULL: a TLB */
};

struct places {
	struct place place[64];
	unsigned count;
};

static const struct walk_rules *rules(void)
{
	return machine.walker[TDP_CPU].rules;
}

static bool is_present(uint64_t e)
{
	return rules()->format == WALK_EPT ? e & 7 && (e & 7) != 6 : e & 1;
}

static bool is_leaf(uint64_t e, unsigned level)
{
	return level == 1 || e & 0x80;
}

/* Which bit a write sets; 0: none. */
static uint64_t dirty(void)
{
	if (rules()->format == WALK_NPT)
		return 0x40;
	return rules()->flags ? 0x200 : 0;
}

static uint64_t accessed(void)
{
	return dirty() ? dirty() >> 1 : 0;
}

static uint64_t span_of(unsigned level)
{
	return 1ull << 9 * (level - 1);
}

static void add(struct places *p, uint64_t *entry)
{
	if (p->count < ARRAY_SIZE(p->place))
		p->place[p->count++].entry = entry;
}

/* From the table of this level downwards, as it is now. */
static void walk_from(struct places *p, uint64_t *table, unsigned level, uint64_t gfn)
{
	for (;; level--) {
		uint64_t *entry = &table[gfn / span_of(level) % 512];

		if (!is_present(*entry))
			return;
		if (is_leaf(*entry, level)) {
			if (*entry & WRITE)
				add(p, entry);
			return;
		}
		table = hpa_to_virt(HPA(*entry & FRAME));
	}
}

static bool covers(const struct cached *c, uint64_t gfn)
{
	return c->level && gfn - c->base < span_of(c->level);
}

static void find_places(struct places *p, uint64_t gfn)
{
	const struct walker *w = &machine.walker[TDP_CPU];

	for (size_t i = 0; i < w->leaves.size; i++) {
		const struct cached *c = &w->leaves.entry[i];

		/* A write through a translation that is not dirty yet walks again: 29.3.5. */
		if (covers(c, gfn) && c->value & WRITE && (c->value & dirty()) == dirty())
			add(p, NULL);
	}
	for (size_t i = 0; i < w->tables.size; i++) {
		const struct cached *c = &w->tables.entry[i];

		if (covers(c, gfn))
			walk_from(p, hpa_to_virt(HPA(c->value & FRAME)), c->level - 1, gfn);
	}
	walk_from(p, machine.tdp->view[TDP_CPU].root, rules()->levels, gfn);
}

bool core_write(uint64_t gfn, unsigned choice)
{
	struct places p = { .count = 0 };
	uint64_t *entry;

	assert_false(machine.held);
	find_places(&p, gfn);
	if (!p.count)
		return false;
	entry = p.place[choice % p.count].entry;
	if (!entry)
		return true;
	if (dirty() && !(*entry & dirty())) {
		/* The list is full: the core leaves the guest, and somebody empties it. */
		if (core_pml_count == CORE_PML)
			return false;
		core_pml[core_pml_count++] = gfn;
	}
	*entry |= accessed() | dirty();
	return true;
}
