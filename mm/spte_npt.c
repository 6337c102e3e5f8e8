/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/spte.h"

/* AMD's nested page tables: the long-mode format, APM vol. 2, 5.3.3 to 5.4 and 15.25. */
#define NPT_P        BIT(0)
#define NPT_WRITE    BIT(1)
#define NPT_USER     BIT(2) /* each guest access counts as a user access: 15.25.5 */
#define NPT_PWT      BIT(3)
#define NPT_PCD      BIT(4)
#define NPT_ACCESSED BIT(5)
#define NPT_DIRTY    BIT(6)  /* of a leaf */
#define NPT_LARGE    BIT(7)  /* above level 1; at level 1 it is the PAT bit, which we keep clear */
#define NPT_PRESENT  BIT(11) /* ours: hardware ignores it in every entry */
#define NPT_NX       BIT(63)

#define NPT_BASE (NPT_P | NPT_USER)

/*
 * A reserved bit in a present entry is a fault that says so (EXITINFO1 bit 3: 15.25.6). Reserved are
 * the address bits above MAXPHYADDR; all of them are set, whichever the core looks at. Else the entry
 * permits everything and has been accessed, so that nothing else can be found wrong with it.
 */
#define NPT_MMIO (NPT_BASE | NPT_WRITE | NPT_ACCESSED | NPT_DIRTY)

/* By index into MM_HOST_PAT. */
#define NPT_TYPE    (NPT_PWT | NPT_PCD)
#define NPT_TYPE_WB 0ull
#define NPT_TYPE_WC NPT_PWT
#define NPT_TYPE_UC (NPT_PWT | NPT_PCD)

static uint64_t reserved_bits(const struct npt_caps *caps)
{
	uint64_t c_bit = caps->c_bit ? BIT(caps->c_bit) : 0;

	return caps->maxphyaddr < 52 ? BITS(51, caps->maxphyaddr) & ~c_bit : 0;
}

enum status spte_format_npt(struct spte_format *f, const struct npt_caps *caps)
{
	if (!caps->nx || caps->maxphyaddr < 32 || caps->maxphyaddr > 52 || caps->c_bit > 63)
		return ERR_UNSUPPORTED;
	*f = (struct spte_format){
		.name = "NPT",
		.levels = 4,
		.max_level = caps->page_1g ? 3 : 2,
		.gpa_bits = 48,
		.maxphyaddr = caps->maxphyaddr,
		.rights = ACCESS_RWX,
		/* Neither execute-only nor write-only exist: whatever is present can be read. */
		.legal = BIT(ACCESS_R) | BIT(ACCESS_RW) | BIT(ACCESS_RX) | BIT(ACCESS_RWX),
		.addr = BITS(caps->maxphyaddr - 1, PAGE_SHIFT),
		.access_mask = NPT_BASE | NPT_WRITE | NPT_NX,
		.access = {
			[ACCESS_R] = NPT_BASE | NPT_NX,
			[ACCESS_RW] = NPT_BASE | NPT_WRITE | NPT_NX,
			[ACCESS_RX] = NPT_BASE,
			[ACCESS_RWX] = NPT_BASE | NPT_WRITE,
		},
		.type_mask = NPT_TYPE,
		.type = { [MEM_WB] = NPT_TYPE_WB, [MEM_UC] = NPT_TYPE_UC, [MEM_WC] = NPT_TYPE_WC },
		.size_mask = NPT_LARGE,
		.large = NPT_LARGE,
		.accessed = NPT_ACCESSED,
		.dirty = NPT_DIRTY,
		/*
		 * Entries are born with both set, which saves the walker its locked update; a dirty log and
		 * recovery clear them where they want to know.
		 */
		.present = NPT_PRESENT,
		.leaf = NPT_PRESENT | NPT_ACCESSED | NPT_DIRTY,
	};
	if (reserved_bits(caps))
		f->mmio = NPT_MMIO | reserved_bits(caps);
	for (unsigned level = 2; level <= f->levels; level++)
		f->table[level] = NPT_PRESENT | NPT_BASE | NPT_WRITE | NPT_ACCESSED;
	return OK;
}

/* An entry's fields do not overlap, whatever the frame. */
#define NPT_FIELDS (NPT_BASE | NPT_WRITE | NPT_NX | NPT_TYPE | NPT_LARGE | NPT_ACCESSED | NPT_DIRTY)
_Static_assert(((NPT_BASE | NPT_WRITE | NPT_NX) & NPT_TYPE) == 0, "rights and memory type");
_Static_assert(((NPT_BASE | NPT_WRITE | NPT_NX | NPT_TYPE) &
		(NPT_LARGE | NPT_ACCESSED | NPT_DIRTY)) == 0,
	       "flags");
_Static_assert((NPT_FIELDS & NPT_PRESENT) == 0, "hardware must not own the present bit");
_Static_assert((NPT_FIELDS & BITS(51, PAGE_SHIFT)) == 0, "fields and frame");

/* What is not present: without the bit, not present to hardware, without a frame, and distinct. */
_Static_assert((SPTE_EMPTY & (NPT_PRESENT | NPT_P | BITS(51, PAGE_SHIFT))) == 0, "empty");
_Static_assert((SPTE_FROZEN & (NPT_PRESENT | NPT_P | BITS(51, PAGE_SHIFT))) == 0, "frozen");
_Static_assert(SPTE_EMPTY != SPTE_FROZEN, "empty and frozen");

/*
 * MMIO: never present to us, and nothing else, whoever the handler is. The bits that no frame has
 * join it; MAXPHYADDR is at least 32.
 */
#define NPT_MMIO_MAX (NPT_MMIO | BITS(51, 32) | SPTE_MMIO_HANDLER)
_Static_assert((NPT_MMIO_MAX & NPT_PRESENT) == 0, "MMIO and present");
_Static_assert((NPT_MMIO_MAX & BITS(31, PAGE_SHIFT)) == 0, "MMIO and frame");
_Static_assert(((NPT_MMIO | BITS(51, 32)) & SPTE_MMIO_HANDLER) == 0, "MMIO and its handler");
_Static_assert(NPT_MMIO &NPT_P & ~(SPTE_FROZEN | SPTE_EMPTY), "MMIO, and frozen or empty");
_Static_assert((NPT_MMIO_MAX & (NPT_LARGE | NPT_NX)) == 0, "nothing else is wrong with it");

/* Entries of MM_HOST_PAT, 8 bits each: 6 write-back, 1 write-combining, 0 uncacheable. */
#define PAT_AT(index) ((MM_HOST_PAT >> ((index)*8)) & 0xff)
_Static_assert(PAT_AT(0) == 6 && PAT_AT(1) == 1 && PAT_AT(3) == 0, "memory types by PAT index");
