/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_SPTE_H
#define LAMINA_MM_SPTE_H

#include "mm/mm_types.h"

/*
 * Entries of second-level tables. The formats (EPT, NPT) are data, so that one table engine and
 * one test suite serve them all. Levels count from 1 (4 KiB leaves); a table at level n has 512
 * entries of 512^(n-1) pages each.
 */
#define SPTE_LEVELS_MAX  5
#define SPTE_PER_TABLE   512u
#define SPTE_LEVEL_SHIFT 9

enum spte_state {
	SPTE_STATE_EMPTY,
	SPTE_STATE_FROZEN,
	SPTE_STATE_LEAF,
	SPTE_STATE_TABLE,
};

/*
 * Values that are not present have no frame: a speculative load through a terminal fault then finds
 * nothing but frame 0 (L1TF, CVE-2018-3646).
 *
 * EMPTY:  no translation. FROZEN: a translation that was taken away, and whose flush has not
 * completed; nobody but the one who froze it may write the entry.
 */
#define SPTE_EMPTY  0ull
#define SPTE_FROZEN (BIT(8) | BIT(10))

struct spte_format {
	const char *name;
	uint8_t levels;    /* of a whole walk */
	uint8_t max_level; /* the largest leaf: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB */
	uint8_t maxphyaddr;
	uint8_t legal; /* bit n: the rights n can be expressed; never "none" */
	/*
	 * One bit that hardware ignores: an entry is present if, and only if, it has it. Nothing
	 * that is not present may ever set it, whatever other meaning its bits have; so "present"
	 * is one test and does not depend on what an entry permits.
	 */
	uint64_t present;
	uint64_t addr;            /* the frame's bits */
	uint64_t access_mask;     /* the bits that encode rights ... */
	uint64_t access[8];       /* ... and their value for each */
	uint64_t type_mask;       /* the bits of a leaf that encode the memory type ... */
	uint64_t type[MEM_TYPES]; /* ... and their value for each */
	uint64_t large;           /* a leaf above level 1 */
	uint64_t accessed, dirty; /* bits that hardware may set behind our back; 0: it does not */
	uint64_t leaf;            /* set in each leaf */
	uint64_t table[SPTE_LEVELS_MAX + 1]; /* set in an entry of level n that points to a table */
	uint64_t root; /* to OR to the root's address: the rest of EPTP; 0 for nCR3 */
};

/* What the CPU can do, from IA32_VMX_EPT_VPID_CAP (SDM vol. 3, A.10) and CPUID. */
struct ept_caps {
	uint8_t maxphyaddr; /* CPUID 80000008h EAX[7:0] */
	bool exec_only;     /* bit 0 */
	bool walk_4;        /* bit 6: page-walk length 4 */
	bool wb;            /* bit 14: tables may be write-back */
	bool page_2m;       /* bit 16 */
	bool page_1g;       /* bit 17 */
	bool ad;            /* bit 21: accessed and dirty flags */
};

/* From CPUID; nested tables have the format that the host itself runs with (APM vol. 2, 15.25). */
struct npt_caps {
	uint8_t maxphyaddr; /* CPUID 80000008h EAX[7:0], less the bits that memory encryption takes */
	bool page_1g;       /* CPUID 80000001h EDX[26] */
	bool nx;            /* CPUID 80000001h EDX[20], and EFER.NXE is set by every core */
};

/* ERR_UNSUPPORTED: no four-level walk, no write-back tables, or an impossible MAXPHYADDR. */
enum status spte_format_ept(struct spte_format *f, const struct ept_caps *caps) must_check;

/* ERR_UNSUPPORTED: no NX (guests' devices could not be kept from executing), or MAXPHYADDR. */
enum status spte_format_npt(struct spte_format *f, const struct npt_caps *caps) must_check;

static inline bool spte_present(const struct spte_format *f, uint64_t e)
{
	return e & f->present;
}

static inline bool spte_is_table(const struct spte_format *f, uint64_t e, unsigned level)
{
	return spte_present(f, e) && level > 1 && !(e & f->large);
}

static inline bool spte_is_leaf(const struct spte_format *f, uint64_t e, unsigned level)
{
	return spte_present(f, e) && (level == 1 || (e & f->large));
}

static inline enum spte_state spte_state(const struct spte_format *f, uint64_t e, unsigned level)
{
	if (!spte_present(f, e))
		return e == SPTE_FROZEN ? SPTE_STATE_FROZEN : SPTE_STATE_EMPTY;
	return spte_is_table(f, e, level) ? SPTE_STATE_TABLE : SPTE_STATE_LEAF;
}

/* Pages that an entry at this level spans. */
static inline uint64_t spte_span(unsigned level)
{
	return 1ull << ((level - 1) * SPTE_LEVEL_SHIFT);
}

static inline unsigned spte_index(uint64_t gfn, unsigned level)
{
	return (unsigned)(gfn >> ((level - 1) * SPTE_LEVEL_SHIFT)) & (SPTE_PER_TABLE - 1);
}

static inline hpa_t spte_hpa(const struct spte_format *f, uint64_t e)
{
	return HPA(e & f->addr);
}

static inline bool spte_access_legal(const struct spte_format *f, unsigned access)
{
	return access < 8 && (f->legal & BIT(access));
}

/* The frame must be aligned to the level's span; the rights must be legal in the format. */
static inline uint64_t spte_make_leaf(const struct spte_format *f, pfn_t pfn, unsigned level,
				      unsigned access, enum mem_type type)
{
	return pfn.v << PAGE_SHIFT | f->access[access] | f->type[type] | f->leaf |
	       (level > 1 ? f->large : 0);
}

/* An entry of `level`, above 1. */
static inline uint64_t spte_make_table(const struct spte_format *f, hpa_t table, unsigned level)
{
	return table.v | f->table[level];
}

/* Entry `i` of the table that splits the leaf `e` of `level`: the same translation, one level down. */
static inline uint64_t spte_fragment(const struct spte_format *f, uint64_t e, unsigned level,
				     unsigned i)
{
	uint64_t part = e + ((uint64_t)i * spte_span(level - 1) << PAGE_SHIFT);

	return level == 2 ? part & ~f->large : part;
}

/* An entry taken apart, for the monitor and for tests. */
struct spte_info {
	enum spte_state state;
	uint8_t access;     /* of a leaf or a table; ACCESS_* */
	enum mem_type type; /* of a leaf */
	bool accessed, dirty;
	hpa_t hpa; /* of the page or of the next table */
};

struct spte_info spte_decode(const struct spte_format *f, uint64_t e, unsigned level);

#endif
