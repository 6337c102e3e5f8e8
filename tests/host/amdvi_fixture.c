/* SPDX-License-Identifier: BSD-2-Clause */
#include "amdvi_fixture.h"

#include <stdio.h>

#include "drivers/amdvi.h"
#include "log.h"
#include "panic.h"

struct iommu_info iommu_info;
struct page_budget budget;
struct iommu_env env;
uint32_t warnings, ivrs_attributes;
jmp_buf *panic_to;

static uint8_t table[1024];
static size_t table_end;

void panic(const char *fmt, ...)
{
	va_list ap;

	if (panic_to)
		longjmp(*panic_to, 1);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	abort();
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	(void)fmt;
	if (level <= LOG_WARN)
		warnings++;
}

static void put(uint64_t v, unsigned bytes)
{
	memcpy(table + table_end, &v, bytes);
	table_end += bytes;
}

static void put_device(uint8_t type, uint16_t id, uint8_t setting)
{
	put(type, 1);
	put(id, 2);
	put(setting, 1);
}

static void put_special(uint8_t handle, uint16_t id)
{
	put(0x48, 1);
	put(0, 2);
	put(0xf7, 1); /* every interrupt may pass: not to be followed */
	put(handle, 1);
	put(id, 2);
	put(1, 1);
}

static void put_alias(uint16_t first, uint16_t last, uint16_t alias)
{
	put(0x43, 1);
	put(first, 2);
	put(0xf7, 1);
	put(0, 1);
	put(alias, 2);
	put(0, 1);
	put_device(4, last, 0);
}

static void put_devices(unsigned n)
{
	static const uint16_t first[] = { 0, 0x4000, 0 }, last[] = { 0x3fff, 0x7fff, 0xffff };

	put_device(3, first[n], 0xf7);
	put_device(4, last[n], 0);
	if (n == 0) {
		put_alias(ALIAS + 1, ALIAS + 7, ALIAS);
		put_special(IOAPIC_ID, IOAPIC_SELF);
	}
	if (n == 1)
		put_special(3, 0x4001);
}

struct acpi_table make_ivrs(unsigned units)
{
	uint8_t sum = 0;

	memset(table, 0, sizeof(table));
	memcpy(table, "IVRS", 4);
	table[8] = 2;
	table_end = 36;
	put(0x00203000 | 1, 4); /* 48 bits physical, 64 virtual, EFRSup */
	put(0, 8);
	for (unsigned n = 0; n < units; n++) {
		size_t start_of = table_end;
		uint16_t length;

		put(0x11, 1);
		put(0x2b, 1); /* Coherent, Isoc, PassPW, HtTunEn */
		put(0, 2);
		put(n == 1 ? 0x4002 : 0x0002, 2);
		put(0x40, 2);
		put(MODEL_BASE(n), 8);
		put(n == 2, 2);
		put(0, 2);
		put(ivrs_attributes, 4);
		put(model.unit[n].efr, 8);
		put(0, 8);
		put_devices(n);
		length = (uint16_t)(table_end - start_of);
		memcpy(table + start_of + 2, &length, 2);
	}
	memcpy(table + 4, &table_end, 4);
	for (size_t i = 0; i < table_end; i++)
		sum += table[i];
	table[9] = (uint8_t)-sum;
	return (struct acpi_table){ .data = table, .length = (uint32_t)table_end };
}

enum status try_start(unsigned units)
{
	struct acpi_table t = make_ivrs(units);

	memset(&iommu_info, 0, sizeof(iommu_info));
	return amdvi_ops.start(&t, &env);
}

static void prepare(void)
{
	model_reset(POOL_PAGES);
	memset(&amdvi, 0, sizeof(amdvi));
	warnings = ivrs_attributes = 0;
	memset(&env, 0, sizeof(env));
	assert_int_equal(page_budget_init(&budget, "test", POOL_PAGES - 64), OK);
	env.budget = &budget;
	env.map = model_map;
	env.pci = model_pci;
	for (unsigned n = 0; n < ALL_UNITS; n++)
		model_config(n, n == 1 ? 0x4002 : 0x0002, true);
}

int setup(void **state)
{
	(void)state;
	prepare();
	return 0;
}

void start(unsigned units)
{
	assert_int_equal(try_start(units), OK);
	assert_true(model_idle());
	iommu_info.ops = &amdvi_ops;
}

hpa_t make_table(uint64_t gfn, uint64_t pages, uint64_t pfn)
{
	const struct spte_format *f = &iommu_info.format;
	hpa_t root = virt_to_hpa(page_alloc(&budget, 1));

	for (uint64_t i = 0; i < pages; i++) {
		for (unsigned level = f->levels; level > 1; level--) {
			uint64_t *e = entry_of(root, gfn + i, level);

			if (!*e)
				*e = spte_make_table(f, virt_to_hpa(page_alloc(&budget, 1)), level);
		}
		*entry_of(root, gfn + i, 1) = spte_make_leaf(f, PFN(pfn + i), 1, ACCESS_RW, MEM_WB);
	}
	return root;
}

uint64_t *entry_of(hpa_t root, uint64_t gfn, unsigned level)
{
	const struct spte_format *f = &iommu_info.format;
	uint64_t *t = hpa_to_virt(root);

	for (unsigned at = f->levels; at > level; at--)
		t = hpa_to_virt(spte_hpa(f, t[spte_index(gfn, at)]));
	return &t[spte_index(gfn, level)];
}

void assert_dma(unsigned unit, uint16_t id, uint64_t gfn, uint64_t pfn)
{
	for (unsigned write = 0; write < 2; write++) {
		uint64_t hpa = 0;

		assert_int_equal(model_dma(unit, id, gfn << PAGE_SHIFT | 0x123, write, &hpa),
				 MODEL_DONE);
		assert_int_equal(hpa, pfn << PAGE_SHIFT | 0x123);
	}
}

void assert_no_dma(unsigned unit, uint16_t id, uint64_t gfn)
{
	uint64_t hpa;

	assert_int_equal(model_dma(unit, id, gfn << PAGE_SHIFT, false, &hpa), MODEL_BLOCKED);
	assert_int_equal(model_dma(unit, id, gfn << PAGE_SHIFT, true, &hpa), MODEL_BLOCKED);
}

void assert_no_msi(unsigned unit, uint16_t id, uint32_t data)
{
	struct model_msi out;

	assert_int_equal(model_msi(unit, id, 0xfee00000, data, &out), MODEL_BLOCKED);
}

void assert_msi(unsigned unit, uint16_t id, const struct iommu_msi *msi, uint32_t apic_id,
		uint8_t vector)
{
	struct model_msi out;

	assert_int_equal(msi->address >> 20, 0xfee);
	assert_int_equal(model_msi(unit, id, msi->address, msi->data, &out), MODEL_DONE);
	assert_int_equal(out.nmi, false);
	assert_int_equal(out.apic_id, apic_id);
	assert_int_equal(out.vector, vector);
}

void assert_blocked(unsigned unit, uint16_t id)
{
	assert_no_dma(unit, id, 0);
	assert_no_dma(unit, id, 0x12345);
	assert_no_dma(unit, id, (1ull << 40) - 1);
	for (uint32_t data = 0; data < 0x800; data += 0x55) {
		if (data >> 8 != 2)
			assert_no_msi(unit, id, data);
	}
}
