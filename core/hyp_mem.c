/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/hyp_mem.h"

#include "budget.h"
#include "layout.h"
#include "panic.h"
#include "spinlock.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/features.h"

struct hyp_pgtable hyp_pgtable;
struct page_budget hyp_budget;

static struct spinlock map_lock; /* hyp_pgtable */

/* linker.ld */
extern const char __text_start[], __text_end[], __rodata_start[], __rodata_end[];
extern const char __data_start[], __bss_end[];

/* x86/ loads it into each core, mm/ encodes memory types by it, and neither includes the other. */
_Static_assert(HOST_PAT == MM_HOST_PAT,
	       "the PAT that cores load is the one that tables are made for");

#define MAP_AREA_SIZE (1ull << 40)

static void map_section(const struct boot_info *bi, const char *start, const char *end,
			unsigned access)
{
	uint64_t va = (uint64_t)start;
	uint64_t size = ALIGN_UP((uint64_t)end, PAGE_SIZE) - va;
	hpa_t hpa = HPA(bi->image.v + (va - HV_BASE));

	if (size && hyp_map(&hyp_pgtable, va, hpa, size, access, MEM_WB) != OK)
		panic("cannot map the image at %#llx", (unsigned long long)va);
}

void hyp_mem_init(const struct boot_info *bi)
{
	if (page_pool_init(bi->pool, bi->pool_size, (void *)POOL_BASE, bi->pool_used) != OK ||
	    page_budget_init(&hyp_budget, "hypervisor",
			     hypervisor_budget_pages(bi->cpu_count, config_devices(&bi->config))) !=
		    OK ||
	    hyp_pgtable_init(&hyp_pgtable, &hyp_budget, cpu_has(FEAT_PAGE1G), MAP_BASE,
			     MAP_AREA_SIZE) != OK)
		panic("the pool of %llu KiB is too small",
		      (unsigned long long)(bi->pool_size >> 10));

	map_section(bi, __text_start, __text_end, ACCESS_RX);
	map_section(bi, __rodata_start, __rodata_end, ACCESS_R);
	map_section(bi, __data_start, __bss_end, ACCESS_RW);
	if (hyp_map(&hyp_pgtable, POOL_BASE, bi->pool, bi->pool_size, ACCESS_RW, MEM_WB) != OK)
		panic("cannot map the pool");
	write_cr3(hyp_pgtable_root(&hyp_pgtable).v);
}

void *hyp_mem_map(hpa_t hpa, uint64_t size, unsigned access, enum mem_type type)
{
	void *va = NULL;

	spin_lock(&map_lock);
	if (hyp_map_area(&hyp_pgtable, hpa, size, access, type, &va) != OK)
		va = NULL;
	spin_unlock(&map_lock);
	return va;
}

void hyp_mem_unmap(const void *va, uint64_t size)
{
	uint64_t start = ALIGN_DOWN((uint64_t)va, PAGE_SIZE);
	uint64_t end = ALIGN_UP((uint64_t)va + size, PAGE_SIZE);
	enum status s;

	spin_lock(&map_lock);
	s = hyp_unmap(&hyp_pgtable, start, end - start);
	spin_unlock(&map_lock);
	ASSERT(s == OK);
}
