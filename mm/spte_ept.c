/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/spte.h"

/* Intel's extended page tables: SDM vol. 3, 29.3.2, tables 29-1 to 29-6. */
#define EPT_READ     BIT(0)
#define EPT_WRITE    BIT(1)
#define EPT_EXEC     BIT(2)
#define EPT_RWX      (EPT_READ | EPT_WRITE | EPT_EXEC)
#define EPT_TYPE     BITS(5, 3) /* of a leaf; reserved in an entry that points to a table */
#define EPT_LARGE    BIT(7)
#define EPT_ACCESSED BIT(8)  /* ignored unless EPTP turns the flags on */
#define EPT_DIRTY    BIT(9)  /* of a leaf */
#define EPT_PRESENT  BIT(11) /* ours: hardware ignores it in every entry */

#define EPT_TYPE_UC (0ull << 3)
#define EPT_TYPE_WC (1ull << 3)
#define EPT_TYPE_WB (6ull << 3)

/*
 * Write and execute without read are a misconfiguration, whatever the other bits say: an exit of its
 * own kind (29.3.3.1). Our pattern says more, so that a misconfiguration that is not ours is noticed.
 */
#define EPT_MMIO (EPT_WRITE | EPT_EXEC | 0xa5ull << 3)

/* EPTP: SDM vol. 3, 25.6.11. */
#define EPTP_WB     6ull
#define EPTP_WALK_4 (3ull << 3) /* the walk's length less one */
#define EPTP_AD     BIT(6)

enum status spte_format_ept(struct spte_format *f, const struct ept_caps *caps)
{
	if (!caps->walk_4 || !caps->wb || caps->maxphyaddr < 32 || caps->maxphyaddr > 52)
		return ERR_UNSUPPORTED;
	*f = (struct spte_format){
		.name = "EPT",
		.levels = 4,
		.max_level = 1,
		.gpa_bits = 48,
		.maxphyaddr = caps->maxphyaddr,
		.addr = BITS(caps->maxphyaddr - 1, PAGE_SHIFT),
		.access_mask = EPT_RWX,
		.type_mask = EPT_TYPE,
		.type = { [MEM_WB] = EPT_TYPE_WB, [MEM_UC] = EPT_TYPE_UC, [MEM_WC] = EPT_TYPE_WC },
		.size_mask = EPT_LARGE,
		.large = EPT_LARGE,
		.rights = ACCESS_RWX,
		.present = EPT_PRESENT,
		.leaf = EPT_PRESENT,
		.mmio = EPT_MMIO,
		.root = EPTP_WB | EPTP_WALK_4,
	};
	/* A 1 GiB leaf needs no 2 MiB leaves, but whoever lacks the latter is not to be trusted. */
	if (caps->page_2m)
		f->max_level = caps->page_1g ? 3 : 2;
	for (unsigned level = 2; level <= f->levels; level++)
		f->table[level] = EPT_PRESENT | EPT_RWX | (caps->ad ? EPT_ACCESSED : 0);
	/* The three bits are ACCESS_* as they stand. Write without read is a misconfiguration. */
	for (unsigned access = 0; access < 8; access++)
		f->access[access] = access;
	f->legal = BIT(ACCESS_R) | BIT(ACCESS_RW) | BIT(ACCESS_RX) | BIT(ACCESS_RWX);
	if (caps->exec_only)
		f->legal |= BIT(ACCESS_X);
	/*
	 * Entries are born with both set, which saves the walker its locked update; a dirty log and
	 * recovery clear them where they want to know.
	 */
	if (caps->ad) {
		f->accessed = EPT_ACCESSED;
		f->dirty = EPT_DIRTY;
		f->leaf |= EPT_ACCESSED | EPT_DIRTY;
		f->root |= EPTP_AD;
	}
	return OK;
}

/* An entry's fields do not overlap, whatever the frame. */
#define EPT_FIELDS (EPT_RWX | EPT_TYPE | EPT_LARGE | EPT_ACCESSED | EPT_DIRTY)
_Static_assert((EPT_RWX & EPT_TYPE) == 0, "rights and memory type");
_Static_assert(((EPT_RWX | EPT_TYPE) & (EPT_LARGE | EPT_ACCESSED | EPT_DIRTY)) == 0, "flags");
_Static_assert((EPT_FIELDS & EPT_PRESENT) == 0, "hardware must not own the present bit");
_Static_assert((EPT_FIELDS & BITS(51, PAGE_SHIFT)) == 0, "fields and frame");
_Static_assert((EPT_PRESENT & BITS(51, PAGE_SHIFT)) == 0, "present bit and frame");
_Static_assert(EPT_READ == ACCESS_R && EPT_WRITE == ACCESS_W && EPT_EXEC == ACCESS_X, "rights");

/* What is not present: without the bit, not present to hardware, without a frame, and distinct. */
_Static_assert((SPTE_EMPTY & (EPT_PRESENT | EPT_RWX | BITS(51, PAGE_SHIFT))) == 0, "empty");
_Static_assert((SPTE_FROZEN & (EPT_PRESENT | EPT_RWX | BITS(51, PAGE_SHIFT))) == 0, "frozen");
_Static_assert(SPTE_EMPTY != SPTE_FROZEN, "empty and frozen");

/* MMIO: a misconfiguration without a frame, and nothing else, whoever the handler is. */
_Static_assert((EPT_MMIO & EPT_RWX) == (EPT_WRITE | EPT_EXEC), "a misconfiguration");
_Static_assert(((EPT_MMIO | SPTE_MMIO_HANDLER) & EPT_PRESENT) == 0, "MMIO and present");
_Static_assert(((EPT_MMIO | SPTE_MMIO_HANDLER) & BITS(51, PAGE_SHIFT)) == 0, "MMIO and frame");
_Static_assert((EPT_MMIO & SPTE_MMIO_HANDLER) == 0, "MMIO and its handler");
_Static_assert((SPTE_FROZEN & EPT_RWX) != (EPT_MMIO & EPT_RWX), "MMIO and frozen");
_Static_assert((SPTE_EMPTY & EPT_RWX) != (EPT_MMIO & EPT_RWX), "MMIO and empty");
