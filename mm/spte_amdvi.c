/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/spte.h"

/* Host tables of AMD-Vi ("v1"): AMD IOMMU specification, 2.2.3. */
#define AMDVI_P        BIT(0)
#define AMDVI_PRESENT  BIT(1) /* ours: bits 4:1 are ignored in every entry */
#define AMDVI_ACCESSED BIT(5)
#define AMDVI_DIRTY    BIT(6)      /* both ignored unless the device table entry turns them on */
#define AMDVI_NEXT     BITS(11, 9) /* the level of the table that is pointed to; 0: a leaf */
#define AMDVI_FC       BIT(60)     /* of a leaf: force coherence, whatever the device asks for */
#define AMDVI_READ     BIT(61)
#define AMDVI_WRITE    BIT(62)

#define AMDVI_RW             (AMDVI_READ | AMDVI_WRITE)
#define AMDVI_NEXT_IS(level) ((uint64_t)(level) << 9)

/* 58:52 are reserved; U (59): untranslated requests only. In a table's entry, 60:52 are reserved. */
#define AMDVI_CLEAR BITS(59, 52)

enum status spte_format_amdvi(struct spte_format *f, const struct amdvi_caps *caps)
{
	if (caps->hats > 2 || caps->va_bits < 32 || caps->va_bits > 64 || caps->pa_bits < 32 ||
	    caps->pa_bits > 52)
		return ERR_UNSUPPORTED;
	*f = (struct spte_format){
		.name = "AMD-Vi",
		.levels = 4,
		.max_level = 3, /* no capability says so: each level has its page size */
		.gpa_bits = caps->va_bits < 48 ? caps->va_bits : 48,
		.maxphyaddr = caps->pa_bits,
		.rights = ACCESS_RW,
		.legal = 0xfe,
		.present = AMDVI_PRESENT,
		.addr = BITS(caps->pa_bits - 1, PAGE_SHIFT),
		.access_mask = AMDVI_RW,
		/* A leaf of any level says that no level comes next; so there is no bit for "large". */
		.size_mask = AMDVI_NEXT,
		.large = AMDVI_NEXT_IS(0),
		.leaf = AMDVI_P | AMDVI_PRESENT | AMDVI_FC,
	};
	for (unsigned access = 0; access < 8; access++)
		f->access[access] = (access & ACCESS_R ? AMDVI_READ : 0) |
				    (access & ACCESS_W ? AMDVI_WRITE : 0);
	/* The rights of a walk are those that all its entries grant: 2.2.3. */
	for (unsigned level = 2; level <= f->levels; level++)
		f->table[level] = AMDVI_P | AMDVI_PRESENT | AMDVI_RW | AMDVI_NEXT_IS(level - 1);
	return OK;
}

/* An entry's fields do not overlap, whatever the frame. */
#define AMDVI_FIELDS (AMDVI_P | AMDVI_ACCESSED | AMDVI_DIRTY | AMDVI_NEXT | AMDVI_FC | AMDVI_RW)
_Static_assert((AMDVI_P & (AMDVI_NEXT | AMDVI_FC | AMDVI_RW)) == 0, "flags");
_Static_assert((AMDVI_NEXT & (AMDVI_FC | AMDVI_RW)) == 0 && (AMDVI_FC & AMDVI_RW) == 0, "flags");
_Static_assert(((AMDVI_FIELDS | AMDVI_CLEAR) & AMDVI_PRESENT) == 0,
	       "hardware must not own the present bit");
_Static_assert((AMDVI_FIELDS & AMDVI_CLEAR) == 0, "fields and what we keep clear");
_Static_assert(((AMDVI_FIELDS | AMDVI_CLEAR | AMDVI_PRESENT) & BITS(51, PAGE_SHIFT)) == 0, "frame");
_Static_assert((AMDVI_NEXT_IS(SPTE_LEVELS_MAX - 1) & ~AMDVI_NEXT) == 0, "next level");

/*
 * What is not present: without the bit, not present to hardware, without a frame, and distinct.
 * Nor does it carry rights: there are walkers that look at these alone.
 */
_Static_assert((SPTE_EMPTY & (AMDVI_PRESENT | AMDVI_P | AMDVI_RW | BITS(51, PAGE_SHIFT))) == 0,
	       "empty");
_Static_assert((SPTE_FROZEN & (AMDVI_PRESENT | AMDVI_P | AMDVI_RW | BITS(51, PAGE_SHIFT))) == 0,
	       "frozen");
_Static_assert(SPTE_EMPTY != SPTE_FROZEN, "empty and frozen");
