/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/pagetable.h"

#define PT_PRESENT BIT(0)
#define PT_ADDRESS BITS(51, 12)

static uint64_t *new_table(struct pagetable *t)
{
	uint64_t *table;

	if (t->next + PAGE_SIZE > t->end) {
		t->full = true;
		return NULL;
	}
	table = (uint64_t *)t->next;
	t->next += PAGE_SIZE;
	memset(table, 0, PAGE_SIZE);
	return table;
}

void pagetable_init(struct pagetable *t, uint64_t base, uint64_t size)
{
	t->next = base;
	t->end = base + size;
	t->full = false;
	t->root = new_table(t);
}

/* The table one level below, made if it is missing. Permissions are those of the leaves alone. */
static uint64_t *descend(struct pagetable *t, uint64_t *entry)
{
	uint64_t *table;

	if (*entry & PT_PRESENT)
		return (uint64_t *)(*entry & PT_ADDRESS);
	table = new_table(t);
	if (table)
		*entry = (uint64_t)table | PT_WRITE | PT_PRESENT;
	return table;
}

void pagetable_map(struct pagetable *t, uint64_t va, uint64_t pa, uint64_t size, uint64_t flags)
{
	unsigned int leaf_shift = flags & PT_LARGE ? 21 : PAGE_SHIFT;
	uint64_t end = va + size;

	for (; va != end; va += 1ull << leaf_shift, pa += 1ull << leaf_shift) {
		uint64_t *table = t->root;
		unsigned int shift;

		for (shift = 39; table && shift > leaf_shift; shift -= 9)
			table = descend(t, &table[va >> shift & 511]);
		if (!table)
			return;
		table[va >> leaf_shift & 511] = pa | flags | PT_PRESENT;
	}
}
