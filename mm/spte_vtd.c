/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/spte.h"

/*
 * Second-level tables of VT-d: VT-d specification 3.7 and 9.8 (second-stage paging entries). The
 * format resembles EPT, but bit 11 of a leaf is SNP, and bit 11 of a table's entry is reserved.
 */
#define VTD_READ    BIT(0)
#define VTD_WRITE   BIT(1)
#define VTD_LARGE   BIT(7)  /* PS, in entries of levels 2 and 3; reserved in those of level 4 */
#define VTD_SNOOP   BIT(11) /* of a leaf: snoop the caches even if the device asks not to */
#define VTD_PRESENT BIT(52) /* ours: bits 61:52 are ignored in every entry */

#define VTD_RW (VTD_READ | VTD_WRITE)

/*
 * What hardware owns or reserves and we keep clear: execute (bit 2, only with scalable mode's ERE),
 * memory type and IPAT (6:3), accessed and dirty (8, 9, only with scalable mode's SLADS), TM (62).
 */
#define VTD_CLEAR (BIT(2) | BITS(6, 3) | BIT(8) | BIT(9) | BIT(62))

enum status spte_format_vtd(struct spte_format *f, const struct vtd_caps *caps)
{
	uint8_t width = caps->agaw_48 ? 48 : 39;

	if (!(caps->agaw_39 || caps->agaw_48) || caps->mgaw < 32 || caps->mgaw > 64 ||
	    caps->haw < 32 || caps->haw > 52)
		return ERR_UNSUPPORTED;
	*f = (struct spte_format){
		.name = "VT-d",
		.levels = caps->agaw_48 ? 4 : 3,
		.max_level = 1,
		/* A request beyond either width is blocked, whatever the tables say: 3.7. */
		.gpa_bits = caps->mgaw < width ? caps->mgaw : width,
		.maxphyaddr = caps->haw,
		.rights = ACCESS_RW,
		.legal = 0xfe,
		.present = VTD_PRESENT,
		.addr = BITS(caps->haw - 1, PAGE_SHIFT),
		.access_mask = VTD_RW,
		.size_mask = VTD_LARGE,
		.large = VTD_LARGE,
		.leaf = VTD_PRESENT | (caps->snoop ? VTD_SNOOP : 0),
	};
	if (caps->page_2m)
		f->max_level = caps->page_1g ? 3 : 2;
	for (unsigned access = 0; access < 8; access++)
		f->access[access] = access & ACCESS_RW;
	for (unsigned level = 2; level <= f->levels; level++)
		f->table[level] = VTD_PRESENT | VTD_RW;
	return OK;
}

/* An entry's fields do not overlap, whatever the frame. */
#define VTD_FIELDS (VTD_RW | VTD_LARGE | VTD_SNOOP)
_Static_assert((VTD_RW & (VTD_LARGE | VTD_SNOOP)) == 0 && (VTD_LARGE & VTD_SNOOP) == 0, "flags");
_Static_assert(((VTD_FIELDS | VTD_CLEAR) & VTD_PRESENT) == 0,
	       "hardware must not own the present bit");
_Static_assert((VTD_FIELDS & VTD_CLEAR) == 0, "fields and what we keep clear");
_Static_assert(((VTD_FIELDS | VTD_CLEAR | VTD_PRESENT) & BITS(51, PAGE_SHIFT)) == 0, "frame");
_Static_assert(VTD_READ == ACCESS_R && VTD_WRITE == ACCESS_W, "rights");

/* Neither R nor W is "not present" to hardware. */
_Static_assert((SPTE_EMPTY & (VTD_PRESENT | VTD_RW | BITS(51, PAGE_SHIFT))) == 0, "empty");
_Static_assert((SPTE_FROZEN & (VTD_PRESENT | VTD_RW | BITS(51, PAGE_SHIFT))) == 0, "frozen");
_Static_assert(SPTE_EMPTY != SPTE_FROZEN, "empty and frozen");
