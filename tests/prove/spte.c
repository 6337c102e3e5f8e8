/* SPDX-License-Identifier: BSD-2-Clause */
// sources: mm/spte.c mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c
// options: -eva-domains bitwise
/*
 * All four formats with any capabilities; any entry decoded, and any entry made from legal
 * arguments, found to be what it was made as.
 */
#include "mm/spte.h"

static void decode_anything(const struct spte_format *f, unsigned level)
{
	uint64_t e = any_u64();
	struct spte_info info = spte_decode(f, e, level);

	//@ check state: 0 <= info.state <= 4;
	//@ check access: info.access < 8;
	//@ check handler: info.handler < 1024;
	//@ check type: 0 <= info.type < 3;
	(void)spte_executable(f, e);
}

static void make_leaf(const struct spte_format *f, unsigned level, unsigned access,
		      enum mem_type type)
{
	uint64_t frames = 1ull << (f->maxphyaddr - PAGE_SHIFT), span = spte_span(level);
	uint64_t leaf;
	bool is_leaf;

	leaf = spte_make_leaf(f, PFN(any_between(0, frames / span - 1) * span), level, access,
			      type);
	if (!(access & f->rights)) {
		//@ check empty: leaf == 0;
		return;
	}
	is_leaf = spte_is_leaf(f, leaf, level);
	//@ check is_leaf: is_leaf;
	(void)spte_decode(f, leaf, level);
	if (level > 1)
		(void)spte_fragment(f, leaf, level, (unsigned)any_between(0, SPTE_PER_TABLE - 1));
}

static void format(const struct spte_format *f, unsigned level)
{
	bool is_table;

	//@ check levels: 3 <= f->levels <= 5;
	//@ check max_level: 1 <= f->max_level <= 3;
	//@ check phys: 12 < f->maxphyaddr <= 52;
	if (level > f->levels)
		return;
	decode_anything(f, level);
	for (unsigned access = 0; access < 8; access++)
		for (unsigned type = 0; type < MEM_TYPES; type++)
			if (level <= f->max_level && spte_access_legal(f, access))
				make_leaf(f, level, access, (enum mem_type)type);
	if (level > 1) {
		is_table = spte_is_table(f, spte_make_table(f, HPA(any_u64() & f->addr), level),
					 level);
		//@ check is_table: is_table;
	}
	(void)spte_make_mmio(f, (unsigned)any_between(0, SPTE_MMIO_HANDLERS - 1));
	(void)spte_index(any_u64(), level);
}

/* Each combination of capabilities by itself, so that the format's fields are constants. */
static void formats(unsigned level, unsigned caps)
{
	struct ept_caps ept = { (uint8_t)any_between(0, 255),
				caps & 1,
				caps & 2,
				caps & 4,
				caps & 8,
				caps & 16,
				caps & 32 };
	struct npt_caps npt = { (uint8_t)any_between(0, 255), (uint8_t)any_between(0, 63), caps & 1,
				caps & 2 };
	struct vtd_caps vtd = { (uint8_t)any_between(0, 255),
				(uint8_t)any_between(0, 255),
				caps & 1,
				caps & 2,
				caps & 4,
				caps & 8,
				caps & 16 };
	struct amdvi_caps amdvi = { (uint8_t)any_between(0, 255), (uint8_t)any_between(0, 255),
				    (uint8_t)(caps & 3) };
	struct spte_format f;

	if (spte_format_ept(&f, &ept) == OK)
		format(&f, level);
	if (spte_format_npt(&f, &npt) == OK)
		format(&f, level);
	if (spte_format_vtd(&f, &vtd) == OK)
		format(&f, level);
	if (spte_format_amdvi(&f, &amdvi) == OK)
		format(&f, level);
}

int main(void)
{
	//@ loop unroll 5;
	for (unsigned level = 1; level <= SPTE_LEVELS_MAX; level++)
		//@ loop unroll 64;
		for (unsigned caps = 0; caps < 64; caps++)
			formats(level, caps);
	Frama_C_show_each_end();
	return 0;
}
