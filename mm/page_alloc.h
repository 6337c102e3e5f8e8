/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_MM_PAGE_ALLOC_H
#define LAMINA_MM_PAGE_ALLOC_H

#include "types.h"

/*
 * The hypervisor's pool: one physically contiguous range, mapped whole at one virtual address.
 * Each allocation is charged to a budget; a budget is also a reservation, so a page that one owner
 * uses can never be missing to another. That goes for single pages: a run can be missing to an owner
 * if others' pages lie scattered.
 */
struct page_budget {
	const char *name; /* for messages; owned by the caller, outlives the budget */
	uint64_t limit;   /* pages reserved, constant */
	uint64_t used;    /* pages, under the pool's lock */
	uint64_t peak;    /* the most pages ever used */
	uint64_t refused; /* allocations that did not fit */
};

/* What the allocator knows about a page of the pool. */
struct page {
	struct page_budget *owner; /* NULL: free. Valid in the first page of an allocation. */
	uint32_t count;            /* pages of the allocation that starts here */
	uint32_t tag;              /* its owner's; 0 when allocated */
	uint32_t next, prev;       /* on the free list, or on a page_list of its owner's */
	/* The owner's; NULL when allocated: */
	struct page *link;
	uint64_t *parent; /* of a table: the entry that points to it */
};

#define PAGE_NONE UINT32_MAX

/* Allocated pages in a row, by their descriptors. Whoever owns the list has a lock for it. */
struct page_list {
	uint32_t first, last, count;
};

#define PAGE_LIST_INIT ((struct page_list){ PAGE_NONE, PAGE_NONE, 0 })

struct page_pool {
	hpa_t base;          /* of the first page */
	uint8_t *virt;       /* where it is mapped */
	uint64_t pages;      /* size */
	struct page *page;   /* one descriptor for each */
	uint64_t free;       /* pages nobody owns */
	uint64_t unreserved; /* pages that no budget was promised */
};

/* Constant after page_pool_init(), but for the counts of free and unreserved pages. */
extern struct page_pool page_pool;

/*
 * Take over the pool [base, base + size), mapped writable at `virt`; all page multiples, in bytes.
 * The first `used` bytes are taken already and stay untouched; the page descriptors follow them.
 * Called once, before any other function here, by the boot core. ERR_INVALID for a malformed
 * range, ERR_NOMEM if the descriptors do not fit.
 */
enum status page_pool_init(hpa_t base, uint64_t size, void *virt, uint64_t used) must_check;

/*
 * Promise `limit` pages to a budget. The structure is the caller's and must stay where it is.
 * ERR_NOMEM if the pool has not that many pages left that are not promised to others.
 */
enum status page_budget_init(struct page_budget *b, const char *name, uint64_t limit) must_check;

/* Give the promise back. Every page of the budget must have been freed. */
void page_budget_exit(struct page_budget *b);

/*
 * `count` contiguous zeroed pages charged to the budget, or NULL if the budget or, for count > 1,
 * the contiguous space is exhausted. Any core; takes the pool's lock, which is a leaf.
 */
void *page_alloc(struct page_budget *b, unsigned count);

/* Free a whole allocation, given its first byte. NULL is allowed. */
void page_free(void *first);

/* Pages of the pool that no budget was promised. */
uint64_t page_pool_unreserved(void);

static inline bool page_pool_has(hpa_t a)
{
	return a.v - page_pool.base.v < page_pool.pages << PAGE_SHIFT;
}

/* Only for addresses inside the pool. */
static inline void *hpa_to_virt(hpa_t a)
{
	return page_pool.virt + (a.v - page_pool.base.v);
}

static inline hpa_t virt_to_hpa(const void *p)
{
	return HPA(page_pool.base.v + (uint64_t)((const uint8_t *)p - page_pool.virt));
}

/* The descriptor of the page that holds `p`. Its owner may use `link`, `parent` and `tag` as it likes. */
struct page *virt_to_page(const void *p);
void *page_to_virt(const struct page *page);

/* A page is on one list at most; removing one that is not on this list breaks both. */
static inline void page_list_append(struct page_list *list, struct page *page)
{
	uint32_t i = (uint32_t)(page - page_pool.page);

	page->next = PAGE_NONE;
	page->prev = list->last;
	if (list->last != PAGE_NONE)
		page_pool.page[list->last].next = i;
	else
		list->first = i;
	list->last = i;
	list->count++;
}

static inline void page_list_remove(struct page_list *list, struct page *page)
{
	if (page->prev != PAGE_NONE)
		page_pool.page[page->prev].next = page->next;
	else
		list->first = page->next;
	if (page->next != PAGE_NONE)
		page_pool.page[page->next].prev = page->prev;
	else
		list->last = page->prev;
	list->count--;
}

/* The first page, or NULL. */
static inline struct page *page_list_first(const struct page_list *list)
{
	return list->first != PAGE_NONE ? &page_pool.page[list->first] : NULL;
}

#endif
