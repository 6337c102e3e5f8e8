/* SPDX-License-Identifier: BSD-2-Clause */
#include "vtd_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/vtd_hw.h"
#include "mm/page_alloc.h"

struct iommu_info iommu_info;
uint8_t dmar_flags;
unsigned dmar_unit_limit;

int vtd_setup(void **state)
{
	(void)state;
	model_reset();
	memset(&iommu_info, 0, sizeof(iommu_info));
	dmar_flags = DMAR_INTR_REMAP;
	dmar_unit_limit = MODEL_UNITS;
	return 0;
}

/* ------------------------------------------------------------------ the DMAR table */

static uint8_t dmar[512];
static uint32_t dmar_length;

static void put(uint64_t value, unsigned bytes)
{
	memcpy(dmar + dmar_length, &value, bytes);
	dmar_length += bytes;
}

static void put_scope(uint8_t kind, uint8_t id, struct pci_bdf d)
{
	put(kind, 1);
	put(8, 1);
	put(0, 2);
	put(id, 1);
	put(d.bus, 1);
	put(d.device, 1);
	put(d.function, 1);
}

static void put_unit(unsigned i, uint16_t segment, bool all, unsigned scopes)
{
	put(0, 2);
	put(16 + scopes * 8, 2);
	put(all, 1);
	put(0, 1);
	put(segment, 2);
	put(model.unit[i].base, 8);
}

static void make_dmar(void)
{
	memset(dmar, 0, sizeof(dmar));
	memcpy(dmar, "DMAR", 4);
	dmar[36] = 47;
	dmar[37] = dmar_flags;
	dmar_length = 48;
	if (dmar_unit_limit > 0) {
		put_unit(0, 0, false, 1);
		put_scope(1, 0, GPU);
	}
	if (dmar_unit_limit > 1) {
		put_unit(1, 0, true, 1);
		put_scope(3, 2, IOAPIC);
	}
	if (dmar_unit_limit > 2)
		put_unit(2, 1, true, 0);
	/* The GPU's memory. */
	put(1, 2);
	put(32, 2);
	put(0, 4);
	put(0x7c000000, 8);
	put(0x7fffffff, 8);
	put_scope(1, 0, GPU);
	memcpy(dmar + 4, &dmar_length, 4);
}

enum status start(bool wide_apic_ids)
{
	struct acpi_table table = { .data = dmar, .pa = HPA(0x1000) };
	struct iommu_env env = model_env();

	env.wide_apic_ids = wide_apic_ids;
	make_dmar();
	table.length = dmar_length;
	return vtd_ops.start(&table, &env);
}

void start_ok(void)
{
	assert_int_equal(start(false), OK);
	assert_int_equal(model.errors, 0);
}

/* ------------------------------------------------------------------ second-level tables */

static uint64_t *new_table(void)
{
	uint64_t *t = page_alloc(&model.budget, 1);

	assert_non_null(t);
	vtd_write_back(t, PAGE_SIZE);
	return t;
}

hpa_t new_root(void)
{
	return virt_to_hpa(new_table());
}

static void store(uint64_t *entry, uint64_t value)
{
	*entry = value;
	vtd_write_back(entry, sizeof(*entry));
}

static uint64_t *entry_at(hpa_t root, uint64_t gpa, unsigned end)
{
	uint64_t *table = hpa_to_virt(root), *entry;

	for (unsigned level = iommu_info.format.levels;; level--) {
		entry = &table[spte_index(gpa >> PAGE_SHIFT, level)];
		if (level == end)
			return entry;
		if (!*entry)
			store(entry,
			      spte_make_table(&iommu_info.format, virt_to_hpa(new_table()), level));
		table = hpa_to_virt(spte_hpa(&iommu_info.format, *entry));
	}
}

void map_page(hpa_t root, uint64_t gpa, uint64_t hpa, unsigned access)
{
	store(entry_at(root, gpa, 1),
	      access ? spte_make_leaf(&iommu_info.format, PFN(hpa >> PAGE_SHIFT), 1, access, MEM_WB)
		     : SPTE_EMPTY);
}

uint64_t *unlink_table(hpa_t root, uint64_t gpa)
{
	uint64_t *entry = entry_at(root, gpa, 2);
	uint64_t *table = hpa_to_virt(spte_hpa(&iommu_info.format, *entry));

	store(entry, SPTE_EMPTY);
	return table;
}

void flush_one(uint16_t domain, uint64_t gpa, unsigned pages)
{
	struct gfn_range r = { gpa >> PAGE_SHIFT, (gpa >> PAGE_SHIFT) + pages };

	vtd_ops.flush(domain, &r, 1);
}
