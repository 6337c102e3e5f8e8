// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/dmar.c drivers/ivrs.c drivers/acpi.c
#include "dmar_tables.h"
#include "ivrs_tables.h"

/*
 * The first byte chooses a good table, as tests build them, or an empty one. What follows are
 * changes of it, three bytes each: where, and what to write. A place beyond its end appends; so the
 * rest of an empty one is free. The parsers must stay inside, end, and never lose a unit silently.
 */
#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static struct table_builder table;
static struct dmar dmar;
static struct ivrs ivrs;
static uint32_t lost; /* what was warned of */

static void count_warning(void *ctx, const char *what, hpa_t pa)
{
	(void)ctx;
	CHECK(what && pa.v >= TABLE_PA && pa.v <= TABLE_PA + TABLE_MAX);
	lost++;
}

/* Bridges at function 0 of each eighth device, two buses below each. */
static bool some_bridge(void *ctx, struct pci_bdf d, uint8_t *secondary, uint8_t *subordinate)
{
	(void)ctx;
	CHECK(d.device < 32 && d.function < 8);
	*secondary = (uint8_t)(d.bus + d.device / 8);
	*subordinate = (uint8_t)(*secondary + 2);
	return d.function == 0 && d.device % 8 == 0;
}

static void check_reserved(const struct iommu_reserved *r)
{
	CHECK(r->size && IS_ALIGNED(r->size | r->base.v, PAGE_SIZE));
	CHECK(r->count <= IOMMU_RESERVED_DEVICES && (r->all || r->count));
	for (uint32_t i = 0; i < r->count; i++)
		CHECK(r->devices[i].device < 32 && r->devices[i].function < 8);
}

static void check_dmar(const struct acpi_table *t)
{
	static const struct dmar_env env = { .warn = count_warning, .bridge = some_bridge };
	static struct iommu_reserved r[16];
	uint32_t n;

	lost = 0;
	if (dmar_parse(t, &env, &dmar) != OK) {
		CHECK(lost || !dmar.unit_count);
		return;
	}
	CHECK(dmar.unit_count && dmar.unit_count <= DMAR_UNITS_MAX);
	CHECK(dmar.region_count <= DMAR_REGIONS_MAX && dmar.scope_count <= DMAR_SCOPES_MAX);
	CHECK(lost || (!dmar.scopes_lost && !dmar.regions_lost));
	for (uint32_t i = 0; i < dmar.unit_count; i++)
		CHECK(dmar.units[i].base.v && IS_ALIGNED(dmar.units[i].base.v, PAGE_SIZE));
	for (uint32_t i = 0; i < dmar.scope_count; i++) {
		const struct dmar_scope *s = &dmar.scopes[i];

		CHECK(s->owner < (s->region ? dmar.region_count : dmar.unit_count));
		CHECK(s->bdf.device < 32 && s->bdf.function < 8);
		if (!s->region)
			CHECK(dmar_unit_of(&dmar, s->bdf) < dmar.unit_count);
		if (!s->region && s->kind == DMAR_SCOPE_IOAPIC)
			CHECK(dmar_special(&dmar, s->kind, s->id) == s);
	}
	n = dmar_reserved(&dmar, r, ARRAY_SIZE(r));
	for (uint32_t i = 0; i < n && i < ARRAY_SIZE(r); i++)
		check_reserved(&r[i]);
}

static void check_ivrs(const struct acpi_table *t)
{
	static struct iommu_reserved r[16];
	uint32_t n;

	lost = 0;
	if (ivrs_parse(t, count_warning, NULL, &ivrs) != OK) {
		CHECK(lost || !ivrs.unit_count);
		return;
	}
	CHECK(ivrs.unit_count && ivrs.unit_count <= IVRS_UNITS_MAX);
	CHECK(ivrs.range_count <= IVRS_RANGES_MAX && ivrs.special_count <= IVRS_SPECIALS_MAX);
	CHECK(ivrs.region_count <= IVRS_REGIONS_MAX);
	CHECK(lost || (!ivrs.entries_lost && !ivrs.regions_lost));
	for (uint32_t i = 0; i < ivrs.range_count; i++) {
		const struct ivrs_range *g = &ivrs.ranges[i];
		struct pci_bdf f = { ivrs.units[g->unit].segment, (uint8_t)(g->first >> 8),
				     (g->first >> 3) & 31, g->first & 7 };

		CHECK(g->unit < ivrs.unit_count && g->first <= g->last);
		CHECK(ivrs_unit_of(&ivrs, f) < ivrs.unit_count);
		CHECK((ivrs_setting(&ivrs, f) & g->setting) == g->setting);
	}
	for (uint32_t i = 0; i < ivrs.special_count; i++) {
		const struct ivrs_special *s = &ivrs.specials[i];

		CHECK(s->unit < ivrs.unit_count);
		CHECK(ivrs_special(&ivrs, s->variety, s->handle) == s);
	}
	n = ivrs_reserved(&ivrs, r, ARRAY_SIZE(r));
	for (uint32_t i = 0; i < n && i < ARRAY_SIZE(r); i++)
		check_reserved(&r[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const good[])(struct table_builder *) = { NULL, dmar_client, dmar_server,
								ivrs_desktop, ivrs_server };
	struct acpi_table t;
	uint32_t kind, at;

	if (size == 0)
		return 0;
	kind = data[0] % ARRAY_SIZE(good);
	begin_table(&table, "DMAR", 48);
	if (good[kind])
		good[kind](&table);
	/* A fixed part of 48 bytes is the same in both kinds of table. */
	for (data++, size--; size >= 3; data += 3, size -= 3) {
		at = 32 + (data[0] | data[1] * 256u) % 2048;
		if (at < table.length)
			table.data[at] = data[2];
		else if (at & 1)
			put_bytes(&table, data[2], 1);
		else if (table.length > 32)
			table.length--;
	}
	t = copy_table(&table, table.length);
	check_dmar(&t);
	check_ivrs(&t);
	free_table(&t);
	return 0;
}
