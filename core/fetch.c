/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/fetch.h"

#include "core/window.h"

/* Entries of four-level paging: APM vol. 2, 5.3; SDM vol. 3, 4.5. */
#define PTE_P    BIT(0)
#define PTE_PS   BIT(7)
#define PTE_ADDR BITS(51, 12)

/* The guest's memory at `gpa` through that window, or NULL. */
static const void *show(const struct slot_set *set, enum window_slot window, uint64_t gpa)
{
	gfn_t gfn = gpa_to_gfn(GPA(gpa));
	const struct slot *s = slot_find(set, gfn);

	/* As in tdp_translate(): a device's registers are no memory. */
	if (!s || s->kind == SLOT_DEVICE || !(s->access & ACCESS_R))
		return NULL;
	return window_map(window, HPA(pfn_to_hpa(slot_pfn(s, gfn)).v + (gpa & ~PAGE_MASK)));
}

bool fetch_walk(struct vcpu *v, const struct slot_set *set, uint64_t cr3, uint64_t gla)
{
	struct fetch_view *f = &v->fetch;
	uint64_t table = cr3 & PTE_ADDR;

	f->key = 0;
	for (unsigned i = 0; i < FETCH_LEVELS; i++) {
		unsigned shift = PAGE_SHIFT + 9 * (FETCH_LEVELS - 1 - i);
		const volatile uint64_t *entry =
			show(set, WINDOW_FETCH_TABLE + i, table + (gla >> shift & 511) * 8);
		bool last = i == FETCH_LEVELS - 1;
		uint64_t value;

		if (!entry)
			return false;
		value = *entry;
		if (!(value & PTE_P))
			return false;
		f->step[i].entry = entry;
		f->step[i].value = value;
		if (i > 0 && !last && (value & PTE_PS)) {
			uint64_t size = BIT(shift);

			/* No levels below: look at this one again instead. */
			for (unsigned j = i + 1; j < FETCH_LEVELS; j++)
				f->step[j] = f->step[i];
			table = (value & PTE_ADDR & ~(size - 1)) | (gla & (size - 1) & PAGE_MASK);
			break;
		}
		table = value & PTE_ADDR;
	}
	f->page = show(set, WINDOW_FETCH, table);
	if (!f->page)
		return false;
	f->cr3 = cr3;
	f->version = set->version;
	f->key = (gla & PAGE_MASK) | FETCH_KEY_VALID;
	return true;
}
