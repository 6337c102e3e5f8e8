/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/hyp_pgtable.h"
#include "mm/mm_host.h"

/* The long-mode page table: SDM vol. 3, 4.5; APM vol. 2, 5.3. */
#define PTE_P        BIT(0)
#define PTE_WRITE    BIT(1)
#define PTE_PWT      BIT(3)
#define PTE_PCD      BIT(4)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY    BIT(6)
#define PTE_LARGE    BIT(7)
#define PTE_NX       BIT(63)
#define PTE_ADDR     BITS(51, PAGE_SHIFT)
#define PTE_TYPE     (PTE_PWT | PTE_PCD)

#define LEVELS  4
#define ENTRIES 512u

static const uint64_t type_bits[MEM_TYPES] = {
	[MEM_WB] = 0,
	[MEM_WC] = PTE_PWT,
	[MEM_UC] = PTE_PWT | PTE_PCD,
};
_Static_assert((MM_HOST_PAT & 0xff0000ff) == 6 && (MM_HOST_PAT >> 8 & 0xff) == 1,
	       "PAT entries 0 (WB), 1 (WC), 3 (UC)");

/* Bytes that an entry of the level maps. */
static uint64_t level_size(unsigned level)
{
	return PAGE_SIZE << (9 * (level - 1));
}

static bool is_leaf(uint64_t pte, unsigned level)
{
	return pte & PTE_P && (level == 1 || pte & PTE_LARGE);
}

static hpa_t pte_hpa(uint64_t pte)
{
	return HPA(pte & PTE_ADDR);
}

/* A store that the page walker sees whole. */
static void write_pte(uint64_t *pte, uint64_t value)
{
	__atomic_store_n(pte, value, __ATOMIC_RELEASE);
}

/* Both flags are set from the start, so that the walker never has to. */
static uint64_t make_leaf(hpa_t hpa, unsigned level, unsigned access, enum mem_type type)
{
	return hpa.v | PTE_P | PTE_ACCESSED | PTE_DIRTY | type_bits[type] |
	       (access & ACCESS_W ? PTE_WRITE : 0) | (access & ACCESS_X ? 0 : PTE_NX) |
	       (level > 1 ? PTE_LARGE : 0);
}

/*
 * Walk down from the root as far as `level`: the entry there, or a leaf or an empty entry above it.
 * *level becomes where the walk ended.
 */
static uint64_t *walk(const struct hyp_pgtable *pt, uint64_t va, unsigned *level)
{
	uint64_t *table = pt->root;

	for (unsigned l = LEVELS;; l--) {
		uint64_t *pte = &table[va >> (PAGE_SHIFT + 9 * (l - 1)) & (ENTRIES - 1)];

		if (l == *level || !(*pte & PTE_P) || is_leaf(*pte, l)) {
			*level = l;
			return pte;
		}
		table = hpa_to_virt(pte_hpa(*pte));
	}
}

/* The empty entry of `level` for `va`, with new tables where there are none. */
static enum status reserve(struct hyp_pgtable *pt, uint64_t va, unsigned level, uint64_t **out)
{
	for (;;) {
		unsigned at = level;
		uint64_t *pte = walk(pt, va, &at);
		void *table;

		if (*pte & PTE_P)
			return ERR_OVERLAP;
		if (at == level) {
			*out = pte;
			return OK;
		}
		table = mm_alloc(pt->budget, 1);
		if (!table)
			return ERR_NOMEM;
		write_pte(pte, virt_to_hpa(table).v | PTE_P | PTE_WRITE | PTE_ACCESSED);
	}
}

/* The largest page for the start of a range; a table that is there already forces a smaller one. */
static unsigned best_level(const struct hyp_pgtable *pt, uint64_t va, hpa_t hpa, uint64_t size)
{
	unsigned level = pt->page_1g ? 3 : 2;

	for (; level > 1; level--) {
		unsigned at = level;
		uint64_t pte = *walk(pt, va, &at);

		if (IS_ALIGNED(va | hpa.v, level_size(level)) && size >= level_size(level) &&
		    !(at == level && pte & PTE_P && !is_leaf(pte, level)))
			break;
	}
	return level;
}

static bool canonical(uint64_t va, uint64_t size)
{
	uint64_t last = va + (size - 1);

	return size && last >= va && (last < BIT(47) || va >= ~0ull << 47);
}

enum status hyp_pgtable_init(struct hyp_pgtable *pt, struct page_budget *budget, bool page_1g,
			     uint64_t area, uint64_t area_size)
{
	*pt = (struct hyp_pgtable){ .budget = budget, .page_1g = page_1g };
	if (!IS_ALIGNED(area | area_size, PAGE_SIZE) || !canonical(area, area_size))
		return ERR_INVALID;
	pt->next_va = area;
	pt->end_va = area + area_size;
	pt->root = mm_alloc(budget, 1);
	return pt->root ? OK : ERR_NOMEM;
}

hpa_t hyp_pgtable_root(const struct hyp_pgtable *pt)
{
	return virt_to_hpa(pt->root);
}

/* Tables first, which may fail and maps nothing; then the leaves, which cannot. */
enum status hyp_map(struct hyp_pgtable *pt, uint64_t va, hpa_t hpa, uint64_t size, unsigned access,
		    enum mem_type type)
{
	uint64_t *pte;
	unsigned level;

	if (!IS_ALIGNED(va | hpa.v | size, PAGE_SIZE) || !canonical(va, size) || size > BIT(52) ||
	    hpa.v > BIT(52) - size)
		return ERR_INVALID;
	if (!(access & ACCESS_R) || access & ~ACCESS_RWX || type >= MEM_TYPES)
		return ERR_INVALID;
	if (access & ACCESS_W && access & ACCESS_X)
		return ERR_DENIED;

	for (uint64_t done = 0; done < size; done += level_size(level)) {
		enum status status;

		level = best_level(pt, va + done, HPA(hpa.v + done), size - done);
		status = reserve(pt, va + done, level, &pte);
		if (status)
			return status;
	}
	for (uint64_t done = 0; done < size; done += level_size(level)) {
		level = best_level(pt, va + done, HPA(hpa.v + done), size - done);
		pte = walk(pt, va + done, &level);
		write_pte(pte, make_leaf(HPA(hpa.v + done), level, access, type));
	}
	return OK;
}

enum status hyp_map_area(struct hyp_pgtable *pt, hpa_t hpa, uint64_t size, unsigned access,
			 enum mem_type type, void **out)
{
	uint64_t offset = hpa.v & ~PAGE_MASK;
	uint64_t bytes, va;
	enum status status;

	if (!size || size > BIT(52) || hpa.v > BIT(52) - size)
		return ERR_INVALID;
	bytes = ALIGN_UP(offset + size, PAGE_SIZE);
	hpa.v -= offset;
	va = pt->next_va + PAGE_SIZE;
	/* Big ranges lie in their large pages as the device's memory lies in its own. */
	if (bytes >= SIZE_2M)
		va = ALIGN_UP(va, SIZE_2M) + (hpa.v & (SIZE_2M - 1));
	if (va >= pt->end_va || bytes + PAGE_SIZE > pt->end_va - va)
		return ERR_RANGE;
	status = hyp_map(pt, va, hpa, bytes, access, type);
	if (status)
		return status;
	pt->next_va = va + bytes;
	*out = (void *)(va + offset);
	return OK;
}

/* Check that the range cuts no page, or clear what is in it. */
static enum status unmap_pass(struct hyp_pgtable *pt, uint64_t va, uint64_t size, bool clear)
{
	uint64_t done = 0;

	while (done < size) {
		unsigned level = 1;
		uint64_t *pte = walk(pt, va + done, &level);
		uint64_t page = level_size(level), offset = (va + done) & (page - 1);

		if (*pte & PTE_P) {
			if (offset || size - done < page)
				return ERR_INVALID;
			if (clear)
				write_pte(pte, 0);
		}
		done += page - offset;
	}
	return OK;
}

enum status hyp_unmap(struct hyp_pgtable *pt, uint64_t va, uint64_t size)
{
	enum status status;

	if (!IS_ALIGNED(va | size, PAGE_SIZE) || !canonical(va, size))
		return ERR_INVALID;
	status = unmap_pass(pt, va, size, false);
	if (status)
		return status;
	(void)unmap_pass(pt, va, size, true); /* the same walk again cannot fail */
	mm_hyp_invalidate(va, size);
	return OK;
}

static enum mem_type pte_type(uint64_t pte)
{
	if ((pte & PTE_TYPE) == type_bits[MEM_WB])
		return MEM_WB;
	return (pte & PTE_TYPE) == type_bits[MEM_WC] ? MEM_WC : MEM_UC;
}

enum status hyp_lookup(const struct hyp_pgtable *pt, uint64_t va, struct hyp_mapping *m)
{
	unsigned level = 1;
	uint64_t pte;

	if (!canonical(va, 1))
		return ERR_FAULT;
	pte = *walk(pt, va, &level);
	if (!(pte & PTE_P))
		return ERR_FAULT;
	m->size = level_size(level);
	m->hpa = HPA(pte_hpa(pte).v + (va & (m->size - 1)));
	m->access = ACCESS_R | (pte & PTE_WRITE ? ACCESS_W : 0) | (pte & PTE_NX ? 0 : ACCESS_X);
	m->type = pte_type(pte);
	return OK;
}

enum status hyp_window_init(struct hyp_pgtable *pt, struct hyp_window *w, uint64_t va)
{
	if (!IS_ALIGNED(va, PAGE_SIZE) || !canonical(va, PAGE_SIZE))
		return ERR_INVALID;
	w->va = va;
	return reserve(pt, va, 1, &w->pte);
}

void *hyp_window_show(struct hyp_window *w, hpa_t hpa, unsigned access, enum mem_type type)
{
	uint64_t pte = make_leaf(HPA(hpa.v & PAGE_MASK), 1, access & ~ACCESS_X, type);

	/* The page that the window showed last is most often the one that is asked for next. */
	if (*w->pte != pte) {
		write_pte(w->pte, pte);
		mm_hyp_invalidate(w->va, PAGE_SIZE);
	}
	return (void *)(w->va + (hpa.v & ~PAGE_MASK));
}

void hyp_window_hide(struct hyp_window *w)
{
	write_pte(w->pte, 0);
	mm_hyp_invalidate(w->va, PAGE_SIZE);
}
