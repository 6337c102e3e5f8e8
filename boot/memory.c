/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/loader.h"
#include "boot/plan.h"

#define MAP_FIRST_SIZE    16384 /* bytes */
#define MAP_SLACK_ENTRIES 64    /* the map grows while we allocate, and must not fail at the end */

static bool remember(uint64_t base, uint64_t pages, enum region_type type, int32_t guest)
{
	uint32_t i;

	for (i = 0; i < loader.allocation_count; i++) {
		if (!loader.allocations[i].pages)
			break;
	}
	if (i == LOADER_ALLOCATIONS) {
		loader.bs->FreePages(base, pages);
		say("Lamina: more than %d pieces of memory are needed", LOADER_ALLOCATIONS);
		return false;
	}
	if (i == loader.allocation_count)
		loader.allocation_count++;
	loader.allocations[i] = (struct allocation){ base, pages, type, guest };
	return true;
}

uint64_t memory_allocate(uint64_t size, uint64_t limit, enum region_type type, int32_t guest)
{
	EFI_PHYSICAL_ADDRESS base = limit ? limit - 1 : 0;
	uint64_t pages = ALIGN_UP(size, PAGE_SIZE) >> PAGE_SHIFT;
	EFI_STATUS status;

	status = loader.bs->AllocatePages(limit ? AllocateMaxAddress : AllocateAnyPages,
					  EfiLoaderData, pages, &base);
	if (EFI_ERROR(status) || !remember(base, pages, type, guest))
		return 0;
	return base;
}

bool memory_claim(uint64_t base, uint64_t size, enum region_type type, int32_t guest)
{
	EFI_PHYSICAL_ADDRESS at = base;
	EFI_STATUS status;

	status = loader.bs->AllocatePages(AllocateAddress, EfiLoaderData, size >> PAGE_SHIFT, &at);
	return !EFI_ERROR(status) && remember(base, size >> PAGE_SHIFT, type, guest);
}

static void release(struct allocation *a)
{
	if (a->pages)
		loader.bs->FreePages(a->base, a->pages);
	a->pages = 0;
}

void memory_release(uint64_t base)
{
	uint32_t i;

	for (i = 0; i < loader.allocation_count; i++) {
		if (loader.allocations[i].base == base)
			release(&loader.allocations[i]);
	}
}

void memory_release_all(void)
{
	uint32_t i;

	for (i = 0; i < loader.allocation_count; i++)
		release(&loader.allocations[i]);
	loader.allocation_count = 0;
}

bool memory_read_map(void)
{
	struct efi_map *m = &loader.map;
	EFI_STATUS status;
	UINT32 version;

	m->size = m->capacity;
	status = loader.bs->GetMemoryMap(&m->size, m->buffer, &m->key, &m->stride, &version);
	return !EFI_ERROR(status);
}

/*
 * A buffer for the map that stays large enough until the firmware is left: the firmware's own
 * answers are too slow to ask for the size first, so most machines fit the static one.
 */
static bool allocate_map(void)
{
	static uint8_t aligned(16) first[MAP_FIRST_SIZE];
	struct efi_map *m = &loader.map;
	uint64_t base;

	m->buffer = first;
	m->capacity = sizeof(first);
	if (memory_read_map() && m->size + MAP_SLACK_ENTRIES * m->stride <= m->capacity)
		return true;
	if (!m->size || m->stride < sizeof(struct efi_memory))
		return false;
	m->capacity = ALIGN_UP(m->size + MAP_SLACK_ENTRIES * m->stride, PAGE_SIZE);
	base = memory_allocate(m->capacity, 0, REGION_USABLE, -1);
	m->buffer = (void *)base;
	return base && memory_read_map();
}

bool memory_survey(void)
{
	static struct boot_region regions[BOOT_INFO_REGIONS];
	struct efi_map *m = &loader.map;

	if (m->buffer ? !memory_read_map() : !allocate_map()) {
		say("Lamina: the firmware does not tell its memory map");
		return false;
	}
	loader.memory = (struct region_list){ regions, 0, ARRAY_SIZE(regions), 0, false };
	region_add_efi(&loader.memory, m->buffer, m->size, m->stride, MEMMAP_BEFORE_EXIT);
	return true;
}

/* Take what was allocated since the survey out of the free memory. */
static void mark_allocations(void)
{
	uint32_t i;

	for (i = 0; i < loader.allocation_count; i++) {
		const struct allocation *a = &loader.allocations[i];

		if (a->pages)
			region_add(&loader.memory, a->base, a->pages << PAGE_SHIFT, REGION_HV, -1);
	}
}

static void no_place(uint32_t i)
{
	struct guest_config *g = &loader.config.guests[i];

	report_error(
		&loader.report, config_line(&loader.config, &loader.lines, i, GUEST_MEMORY),
		"no place for the %lluM of guest '%s' in one piece; the largest free range has "
		"%lluM before the other guests and Lamina take theirs",
		(unsigned long long)(g->memory >> 20), g->name,
		(unsigned long long)(plan_largest(loader.memory.regions, loader.memory.count) >>
				     20));
	g->valid = false;
}

/* Last, what is left: guests come first. */
static void plan_spare(struct plan_request *requests, uint32_t n)
{
	const struct boot_region *regions = loader.memory.regions;
	uint32_t count = loader.memory.count;

	requests[n - 1].size = loader.config.spare;
	if (plan_place(regions, count, requests, n))
		return;
	requests[n - 1].size = 0;
	report_error(&loader.report, loader.lines.lamina_spare,
		     "no place for the %lluM of spare memory in one piece, beside the guests; the "
		     "largest free range has %lluM before they and Lamina take theirs",
		     (unsigned long long)(loader.config.spare >> 20),
		     (unsigned long long)(plan_largest(regions, count) >> 20));
	loader.config.spare = 0;
}

/* Guests in the order of the file: each that fits beside those before it. */
static bool plan(struct plan_request *requests)
{
	const struct boot_region *regions = loader.memory.regions;
	uint32_t count = loader.memory.count, n = 2 + loader.config.guest_count, i;

	requests[n - 1] = (struct plan_request){ .size = 0 };
	requests[0] = (struct plan_request){ .size = loader.pool_size };
	for (i = 0; i < loader.config.guest_count; i++)
		requests[1 + i] = (struct plan_request){ .size = 0 };
	for (i = 0; i < loader.config.guest_count; i++) {
		if (!loader.config.guests[i].valid)
			continue;
		requests[1 + i].size = loader.config.guests[i].memory;
		if (plan_place(regions, count, requests, n))
			continue;
		requests[1 + i].size = 0;
		no_place(i);
	}
	if (plan_place(regions, count, requests, n)) {
		plan_spare(requests, n);
		/* Again, for the bases. */
		return plan_place(regions, count, requests, n);
	}
	say("Lamina: no place for the %lluM of the hypervisor's pool; the largest free range has %lluM",
	    (unsigned long long)(loader.pool_size >> 20),
	    (unsigned long long)(plan_largest(regions, count) >> 20));
	return false;
}

static void unclaim(struct plan_request *requests, uint32_t n)
{
	while (n--) {
		if (requests[n].size)
			memory_release(requests[n].base);
	}
}

/* Allocate all that was planned, or nothing. `failed` is the request that the firmware refused. */
static bool claim(struct plan_request *requests, uint32_t *failed)
{
	uint32_t i, guests = loader.config.guest_count;

	for (i = 0; i < 2 + guests; i++) {
		bool is_guest = i && i <= guests;
		enum region_type type = !i ? REGION_HV : is_guest ? REGION_GUEST : REGION_SPARE;
		struct plan_request *r = &requests[i];

		if (!r->size ||
		    memory_claim(r->base, r->size, type, is_guest ? (int32_t)(i - 1) : -1))
			continue;
		unclaim(requests, i);
		*failed = i;
		return false;
	}
	return true;
}

/*
 * Plan on what the first survey said, without what was allocated since. Should the firmware have
 * taken memory for itself meanwhile, it refuses an address and is asked for its map again.
 */
bool memory_place(void)
{
	struct plan_request requests[PLAN_REQUESTS];
	uint32_t failed, i;

	mark_allocations();
	if (!plan(requests))
		return false;
	if (!claim(requests, &failed) &&
	    (!memory_survey() || !plan(requests) || !claim(requests, &failed))) {
		say("Lamina: the firmware refuses memory at 0x%llx that it calls free",
		    (unsigned long long)requests[failed].base);
		return false;
	}
	loader.pool = requests[0].base;
	for (i = 0; i < loader.config.guest_count; i++) {
		loader.guests[i].memory = HPA(requests[1 + i].base);
		loader.guests[i].memory_size = requests[1 + i].size;
	}
	loader.spare = requests[1 + i].base;
	loader.spare_size = requests[1 + i].size;
	return true;
}
