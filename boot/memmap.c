/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/memmap.h"

#define PHYS_LIMIT (1ull << 52) /* no x86 addresses more (Intel SDM vol. 3A section 4.1.4) */

/* UEFI 2.10 section 7.2.1, table 7.10; and the attributes of section 7.2.3. */
enum efi_type {
	EFI_RESERVED,
	EFI_LOADER_CODE,
	EFI_LOADER_DATA,
	EFI_BOOT_CODE,
	EFI_BOOT_DATA,
	EFI_RUNTIME_CODE,
	EFI_RUNTIME_DATA,
	EFI_CONVENTIONAL,
	EFI_UNUSABLE,
	EFI_ACPI_RECLAIM,
	EFI_ACPI_NVS,
	EFI_MMIO,
	EFI_MMIO_PORTS,
	EFI_PAL_CODE,
	EFI_PERSISTENT,
};

#define EFI_ATTR_WB      BIT(3)
#define EFI_ATTR_WP      BIT(12)
#define EFI_ATTR_SP      BIT(18) /* specific purpose: reserved for a device's driver */
#define EFI_ATTR_RUNTIME BIT(63)

/* Who wins where ranges overlap: the higher rank. Lamina's own ranges come from the firmware. */
static unsigned int rank(enum region_type type)
{
	static const uint8_t ranks[] = {
		[REGION_USABLE] = 0,   [REGION_ACPI] = 1, [REGION_RUNTIME] = 2, [REGION_MMIO] = 3,
		[REGION_RESERVED] = 4, [REGION_BAD] = 5,  [REGION_IMAGE] = 6,   [REGION_GUEST] = 7,
		[REGION_SPARE] = 8,    [REGION_HV] = 9,
	};

	return ranks[type];
}

static uint64_t region_end(const struct boot_region *r)
{
	return r->base.v + r->size;
}

static bool joins(const struct boot_region *a, uint64_t end, enum region_type type, int32_t guest)
{
	return region_end(a) == end && a->type == type && a->guest == guest;
}

/* Insert before index i, where it fits without overlap. False if the list is full. */
static bool insert(struct region_list *l, uint32_t i, uint64_t base, uint64_t end,
		   enum region_type type, int32_t guest)
{
	struct boot_region *r = l->regions;

	if (l->count == l->max) {
		l->lost++;
		l->closed |= type != REGION_USABLE;
		return false;
	}
	memmove(&r[i + 1], &r[i], (l->count - i) * sizeof(*r));
	r[i].base = HPA(base);
	r[i].size = end - base;
	r[i].type = type;
	r[i].guest = guest;
	l->count++;
	return true;
}

/*
 * Give [base, end), which lies inside region i, to another type; the rest of the region stays.
 * Returns the index of the region that follows. Without room for the pieces the whole region takes
 * the new, more restrictive type.
 */
static uint32_t carve(struct region_list *l, uint32_t i, uint64_t base, uint64_t end,
		      enum region_type type, int32_t guest)
{
	struct boot_region *r = &l->regions[i];
	uint64_t r_base = r->base.v, r_end = region_end(r);
	enum region_type old = r->type;
	int32_t old_guest = r->guest;
	uint32_t pieces = (base > r_base) + (end < r_end);

	if (l->count + pieces > l->max) {
		l->lost++;
		r->type = type;
		r->guest = guest;
		return i + 1;
	}
	r->base = HPA(base);
	r->size = end - base;
	r->type = type;
	r->guest = guest;
	if (end < r_end)
		insert(l, i + 1, end, r_end, old, old_guest);
	if (base > r_base) {
		insert(l, i, r_base, base, old, old_guest);
		i++;
	}
	return i + 1;
}

/* Merge neighbours of one kind from index `first` on; all before are merged already. */
static void merge(struct region_list *l, uint32_t first)
{
	uint32_t in, out = first ? first : 1;

	for (in = out; in < l->count; in++) {
		struct boot_region *last = &l->regions[out - 1], *r = &l->regions[in];

		if (joins(last, r->base.v, r->type, r->guest))
			last->size += r->size;
		else
			l->regions[out++] = *r;
	}
	if (l->count > out)
		l->count = out;
}

/* The first region that ends after `base`. Maps are mostly sorted, so look from the end. */
static uint32_t find(const struct region_list *l, uint64_t base)
{
	uint32_t i = l->count;

	while (i && region_end(&l->regions[i - 1]) > base)
		i--;
	return i;
}

void region_add(struct region_list *l, uint64_t base, uint64_t size, enum region_type type,
		int32_t guest)
{
	uint64_t end = base + size;
	uint32_t i = find(l, base), first = i;

	if (type == REGION_USABLE && l->closed)
		return;
	/* The usual case in a sorted map: the new range continues the last one. */
	if (i && i == l->count && joins(&l->regions[i - 1], base, type, guest)) {
		l->regions[i - 1].size += size;
		return;
	}
	while (base < end) {
		struct boot_region *r = &l->regions[i];
		uint64_t stop;

		if (i == l->count || r->base.v >= end) {
			insert(l, i, base, end, type, guest);
			break;
		}
		if (r->base.v > base) {
			stop = r->base.v;
			i += insert(l, i, base, stop, type, guest);
			base = stop;
			continue;
		}
		stop = min_u64(end, region_end(r));
		if (rank(type) > rank(r->type))
			i = carve(l, i, base, stop, type, guest);
		else
			i++;
		base = stop;
	}
	merge(l, first);
}

static enum region_type convert(const struct efi_memory *m, enum memmap_when when)
{
	/* Memory that cannot be cached is no memory that a guest or the pool could use. */
	bool plain =
		(m->attributes & EFI_ATTR_WB) && !(m->attributes & (EFI_ATTR_SP | EFI_ATTR_WP));

	if (m->attributes & EFI_ATTR_RUNTIME)
		return REGION_RUNTIME;
	switch ((enum efi_type)m->type) {
	case EFI_CONVENTIONAL:
		return plain ? REGION_USABLE : REGION_RESERVED;
	case EFI_LOADER_CODE:
	case EFI_LOADER_DATA:
	case EFI_BOOT_CODE:
	case EFI_BOOT_DATA:
		return plain && when == MEMMAP_AFTER_EXIT ? REGION_USABLE : REGION_RESERVED;
	case EFI_RUNTIME_CODE:
	case EFI_RUNTIME_DATA:
		return REGION_RUNTIME;
	case EFI_ACPI_RECLAIM:
	case EFI_ACPI_NVS:
		return REGION_ACPI;
	case EFI_MMIO:
	case EFI_MMIO_PORTS:
		return REGION_MMIO;
	case EFI_UNUSABLE:
	case EFI_PERSISTENT:
		return REGION_BAD;
	case EFI_RESERVED:
	case EFI_PAL_CODE:
		break;
	}
	return REGION_RESERVED;
}

void region_add_efi(struct region_list *l, const void *map, uint64_t size, uint64_t stride,
		    enum memmap_when when)
{
	const char *p = map;

	if (stride < sizeof(struct efi_memory))
		return;
	for (; size >= stride; size -= stride, p += stride) {
		struct efi_memory m;
		enum region_type type;
		uint64_t base, end;

		memcpy(&m, p, sizeof(m));
		if (m.base >= PHYS_LIMIT || !m.pages)
			continue;
		if (m.pages > (PHYS_LIMIT - m.base) >> PAGE_SHIFT)
			m.pages = (PHYS_LIMIT - m.base) >> PAGE_SHIFT;
		type = convert(&m, when);
		base = m.base;
		end = m.base + (m.pages << PAGE_SHIFT);
		if (type == REGION_USABLE) {
			base = ALIGN_UP(base, PAGE_SIZE);
			end = ALIGN_DOWN(end, PAGE_SIZE);
		} else {
			base = ALIGN_DOWN(base, PAGE_SIZE);
			end = ALIGN_UP(end, PAGE_SIZE);
		}
		if (base < end)
			region_add(l, base, end - base, type, -1);
	}
}
