/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/page_alloc.h"
#include "panic.h"
#include "spinlock.h"

/*
 * Single pages come from a doubly linked free list in O(1): nearly all allocations are table
 * pages. Runs of pages are rare, most of them at boot, and found by a scan from the top of the
 * pool, so that the two kinds stay apart.
 */
struct page_pool page_pool;

static struct spinlock lock;
static uint32_t free_head = PAGE_NONE;

/* The count of a page that is free. A later page of an allocation has count 0 and no owner. */
#define COUNT_FREE UINT32_MAX

struct page *virt_to_page(const void *p)
{
	uint64_t offset = (uint64_t)((const uint8_t *)p - page_pool.virt);

	ASSERT(offset >> PAGE_SHIFT < page_pool.pages);
	return &page_pool.page[offset >> PAGE_SHIFT];
}

void *page_to_virt(const struct page *page)
{
	return page_pool.virt + ((uint64_t)(page - page_pool.page) << PAGE_SHIFT);
}

static void put_free(struct page *p)
{
	uint32_t i = (uint32_t)(p - page_pool.page);

	*p = (struct page){ .count = COUNT_FREE, .next = free_head, .prev = PAGE_NONE };
	if (free_head != PAGE_NONE)
		page_pool.page[free_head].prev = i;
	free_head = i;
	page_pool.free++;
}

static void take_free(struct page *p)
{
	ASSERT(p->count == COUNT_FREE);
	if (p->prev != PAGE_NONE)
		page_pool.page[p->prev].next = p->next;
	else
		free_head = p->next;
	if (p->next != PAGE_NONE)
		page_pool.page[p->next].prev = p->prev;
	*p = (struct page){ 0 };
	page_pool.free--;
}

enum status page_pool_init(hpa_t base, uint64_t size, void *virt, uint64_t used)
{
	uint64_t count = size >> PAGE_SHIFT;
	uint64_t first;

	if (!IS_ALIGNED(base.v | size | used | (uintptr_t)virt, PAGE_SIZE) || !size ||
	    count >= PAGE_NONE || used > size || base.v + size < base.v)
		return ERR_INVALID;
	first = ALIGN_UP(used + count * sizeof(struct page), PAGE_SIZE) >> PAGE_SHIFT;
	if (first >= count)
		return ERR_NOMEM;
	page_pool = (struct page_pool){ .base = base, .virt = virt, .pages = count };
	page_pool.page = (struct page *)((uint8_t *)virt + used);
	lock = (struct spinlock)SPINLOCK_INIT;
	free_head = PAGE_NONE;
	for (uint64_t i = 0; i < first; i++)
		page_pool.page[i] = (struct page){ 0 };
	for (uint64_t i = count; i-- > first;)
		put_free(&page_pool.page[i]);
	page_pool.unreserved = page_pool.free;
	return OK;
}

uint64_t page_pool_unreserved(void)
{
	return __atomic_load_n(&page_pool.unreserved, __ATOMIC_RELAXED);
}

enum status page_budget_init(struct page_budget *b, const char *name, uint64_t limit)
{
	enum status status = ERR_NOMEM;

	*b = (struct page_budget){ .name = name, .limit = limit };
	spin_lock(&lock);
	if (limit <= page_pool.unreserved) {
		page_pool.unreserved -= limit;
		status = OK;
	}
	spin_unlock(&lock);
	if (status)
		b->limit = 0;
	return status;
}

void page_budget_exit(struct page_budget *b)
{
	ASSERT(b->used == 0);
	spin_lock(&lock);
	page_pool.unreserved += b->limit;
	spin_unlock(&lock);
	b->limit = 0;
}

/* The first of `count` free pages in a row, the highest such run; NULL if there is none. */
static struct page *find_run(unsigned count)
{
	uint64_t run = 0;

	for (uint64_t i = page_pool.pages; i-- > 0;) {
		run = page_pool.page[i].count == COUNT_FREE ? run + 1 : 0;
		if (run == count)
			return &page_pool.page[i];
	}
	return NULL;
}

/* The sum of all budgets fits into the pool, so an owner within its budget finds a page. */
static struct page *first_free(void)
{
	ASSERT(free_head != PAGE_NONE);
	return &page_pool.page[free_head];
}

static struct page *take_pages(struct page_budget *b, unsigned count)
{
	struct page *first;

	if (count > b->limit - b->used)
		return NULL;
	if (count == 1)
		first = first_free();
	else
		first = find_run(count);
	if (!first)
		return NULL;
	for (unsigned i = 0; i < count; i++)
		take_free(&first[i]);
	first->owner = b;
	first->count = count;
	b->used += count;
	b->peak = max_u64(b->peak, b->used);
	return first;
}

/* Four words in a round: one at a time takes twice as long. */
static void clear(uint64_t *word, unsigned count)
{
	const uint64_t *end = word + count * (PAGE_SIZE / sizeof(*word));

	for (; word < end; word += 4) {
		word[0] = 0;
		word[1] = 0;
		word[2] = 0;
		word[3] = 0;
	}
}

void *page_alloc(struct page_budget *b, unsigned count)
{
	struct page *first;

	ASSERT(count > 0);
	spin_lock(&lock);
	first = take_pages(b, count);
	if (!first)
		b->refused++;
	spin_unlock(&lock);
	if (!first)
		return NULL;
	clear(page_to_virt(first), count);
	return page_to_virt(first);
}

void page_free(void *start)
{
	struct page *first;
	uint32_t count;

	if (!start)
		return;
	first = virt_to_page(start);
	spin_lock(&lock);
	ASSERT(first->owner && page_to_virt(first) == start);
	count = first->count;
	first->owner->used -= count;
	for (uint32_t i = count; i-- > 0;)
		put_free(&first[i]);
	spin_unlock(&lock);
}
