/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_SPTE_H
#define LAMINA_MM_SPTE_H

#include "mm/mm_types.h"
#include "panic.h"

/*
 * Entries of second-level tables. The formats (EPT, NPT, VT-d, AMD-Vi) are data, so that one table
 * engine and one test suite serve them all. Levels count from 1 (4 KiB leaves); a table at level n has 512
 * entries of 512^(n-1) pages each.
 */
#define SPTE_LEVELS_MAX  5
#define SPTE_PER_TABLE   512u
#define SPTE_LEVEL_SHIFT 9

enum spte_state {
	SPTE_STATE_EMPTY,
	SPTE_STATE_MMIO,
	SPTE_STATE_FROZEN,
	SPTE_STATE_LEAF,
	SPTE_STATE_TABLE,
};

/*
 * Values that are not present have no frame: a speculative load through a terminal fault then finds
 * nothing but frame 0, or an address that no memory has (L1TF, CVE-2018-3646).
 *
 * EMPTY:  no translation. FROZEN: a translation that was taken away, and whose flush has not
 * completed; nobody but the one who froze it may write the entry.
 */
#define SPTE_EMPTY  0ull
#define SPTE_FROZEN (BIT(8) | BIT(10))

/*
 * MMIO: no translation, and the exit that an access causes says so by its kind. The entry names who
 * emulates the access, so nobody has to search for it. Formats with such entries (mmio != 0) ignore
 * these bits in them.
 */
#define SPTE_MMIO_HANDLERS 1024u
#define SPTE_MMIO_SHIFT    52
#define SPTE_MMIO_HANDLER  ((SPTE_MMIO_HANDLERS - 1ull) << SPTE_MMIO_SHIFT)

struct spte_format {
	const char *name;
	uint8_t levels;    /* of a whole walk */
	uint8_t max_level; /* the largest leaf: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB */
	uint8_t gpa_bits;  /* a walk translates guest-physical addresses below 2^gpa_bits */
	uint8_t maxphyaddr;
	uint8_t rights; /* ACCESS_* that the format knows; it drops the others */
	uint8_t legal;  /* bit n: the rights n can be expressed; never "none" */
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
	uint64_t size_mask;       /* above level 1, the bits that tell leaves from tables ... */
	uint64_t large;           /* ... and their value in a leaf */
	uint64_t accessed, dirty; /* bits that hardware may set behind our back; 0: it does not */
	uint64_t leaf;            /* set in each leaf */
	uint64_t table[SPTE_LEVELS_MAX + 1]; /* set in an entry of level n that points to a table */
	uint64_t mmio; /* an MMIO entry, less the handler; 0: the format has none */
	uint64_t root; /* to OR to the root's address: the rest of EPTP; 0 elsewhere */
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
	uint8_t c_bit;      /* CPUID 8000001Fh EBX[5:0]: marks encrypted pages; 0: no such bit */
	bool page_1g;       /* CPUID 80000001h EDX[26] */
	bool nx;            /* CPUID 80000001h EDX[20], and EFER.NXE is set by every core */
};

/*
 * IOMMUs know neither a right to execute nor, in the formats here, memory types. A format drops the
 * X: RX becomes R, RWX becomes RW, and of execute-only nothing is left, so that spte_make_leaf()
 * returns SPTE_EMPTY. Write-only exists. Where several units walk one table, the capabilities are
 * what all of them have.
 *
 * VT-d second-level tables: the Capability Register (CAP, VT-d specification 11.4.2), the Extended
 * Capability Register (ECAP, 11.4.3), and the DMAR table (8.1). The context entry's AW is levels - 2
 * (9.3).
 */
struct vtd_caps {
	uint8_t haw;  /* DMAR's Host Address Width, plus 1 */
	uint8_t mgaw; /* CAP[21:16], plus 1: maximum guest address width */
	bool agaw_39; /* CAP[9], of SAGAW: three levels */
	bool agaw_48; /* CAP[10], of SAGAW: four levels */
	bool page_2m; /* CAP[34], of SLLPS */
	bool page_1g; /* CAP[35], of SLLPS */
	bool snoop;   /* ECAP[7], SC: leaves can force snooping */
};

/*
 * AMD-Vi host tables ("v1"): IVinfo, at offset 36 of the IVRS table (AMD IOMMU specification, 5.2),
 * and the Extended Feature Register (EFR, MMIO offset 30h). The device table entry's Mode is `levels`
 * (2.2.2.1).
 */
struct amdvi_caps {
	uint8_t pa_bits; /* IVinfo[14:8]: physical address size */
	uint8_t va_bits; /* IVinfo[21:15]: virtual address size */
	uint8_t hats;    /* EFR[11:10]: 0 four levels, 1 five, 2 six, 3 none */
};

/* ERR_UNSUPPORTED: no four-level walk, no write-back tables, or an impossible MAXPHYADDR. */
enum status spte_format_ept(struct spte_format *f, const struct ept_caps *caps) must_check;

/* ERR_UNSUPPORTED: no NX (guests' devices could not be kept from executing), or MAXPHYADDR. */
enum status spte_format_npt(struct spte_format *f, const struct npt_caps *caps) must_check;

/* ERR_UNSUPPORTED: neither three nor four levels, or an impossible HAW or MGAW. */
enum status spte_format_vtd(struct spte_format *f, const struct vtd_caps *caps) must_check;

/* ERR_UNSUPPORTED: no four levels, or an impossible address size. */
enum status spte_format_amdvi(struct spte_format *f, const struct amdvi_caps *caps) must_check;

static inline bool spte_present(const struct spte_format *f, uint64_t e)
{
	return e & f->present;
}

static inline bool spte_is_table(const struct spte_format *f, uint64_t e, unsigned level)
{
	return spte_present(f, e) && level > 1 && (e & f->size_mask) != f->large;
}

static inline bool spte_is_leaf(const struct spte_format *f, uint64_t e, unsigned level)
{
	return spte_present(f, e) && (level == 1 || (e & f->size_mask) == f->large);
}

/* Any other value that makes hardware raise the same exit is not ours, and a broken invariant. */
static inline bool spte_is_mmio(const struct spte_format *f, uint64_t e, unsigned *handler)
{
	if (!f->mmio || (e & ~SPTE_MMIO_HANDLER) != f->mmio)
		return false;
	*handler = (unsigned)((e & SPTE_MMIO_HANDLER) >> SPTE_MMIO_SHIFT);
	return true;
}

static inline enum spte_state spte_state(const struct spte_format *f, uint64_t e, unsigned level)
{
	unsigned handler;

	if (e == SPTE_FROZEN)
		return SPTE_STATE_FROZEN;
	if (!spte_present(f, e))
		return spte_is_mmio(f, e, &handler) ? SPTE_STATE_MMIO : SPTE_STATE_EMPTY;
	return spte_is_table(f, e, level) ? SPTE_STATE_TABLE : SPTE_STATE_LEAF;
}

/* Does a leaf permit fetches? Only of the cores' formats: IOMMUs do not know the right. */
static inline bool spte_executable(const struct spte_format *f, uint64_t e)
{
	uint64_t bits = f->access[ACCESS_R] ^ f->access[ACCESS_RX];

	return (e & bits) == (f->access[ACCESS_RX] & bits);
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

/*
 * The frame must be aligned to the level's span; the rights must be legal in the format. SPTE_EMPTY
 * if the format drops all of them.
 */
static inline uint64_t spte_make_leaf(const struct spte_format *f, pfn_t pfn, unsigned level,
				      unsigned access, enum mem_type type)
{
	if (!(access & f->rights))
		return SPTE_EMPTY;
	return pfn.v << PAGE_SHIFT | f->access[access] | f->type[type] | f->leaf |
	       (level > 1 ? f->large : 0);
}

/* An entry of `level`, above 1. */
static inline uint64_t spte_make_table(const struct spte_format *f, hpa_t table, unsigned level)
{
	return table.v | f->table[level];
}

/*
 * For an entry of any level. SPTE_EMPTY if the format has no MMIO entries: the exit then says no
 * more than that nothing is mapped.
 */
static inline uint64_t spte_make_mmio(const struct spte_format *f, unsigned handler)
{
	ASSERT(handler < SPTE_MMIO_HANDLERS);
	return f->mmio ? f->mmio | (uint64_t)handler << SPTE_MMIO_SHIFT : SPTE_EMPTY;
}

/* Entry `i` of the table that splits the leaf `e` of `level`: the same translation, one level down. */
static inline uint64_t spte_fragment(const struct spte_format *f, uint64_t e, unsigned level,
				     unsigned i)
{
	uint64_t part = e + ((uint64_t)i * spte_span(level - 1) << PAGE_SHIFT);

	return level == 2 ? part & ~f->large : part;
}

/* A leaf with more rights; those it has and these together must be legal. */
uint64_t spte_add_access(const struct spte_format *f, uint64_t leaf, unsigned access);

/* A leaf with fewer rights; what is left must be legal. */
uint64_t spte_drop_access(const struct spte_format *f, uint64_t leaf, unsigned access);

/* An entry taken apart. */
struct spte_info {
	enum spte_state state;
	uint8_t access;     /* of a leaf or a table; ACCESS_* */
	enum mem_type type; /* of a leaf */
	unsigned handler;   /* of an MMIO entry */
	bool accessed, dirty;
	hpa_t hpa; /* of the page or of the next table */
};

struct spte_info spte_decode(const struct spte_format *f, uint64_t e, unsigned level);

#endif
