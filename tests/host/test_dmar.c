// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/dmar.c drivers/acpi.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dmar_tables.h"

static struct table_builder b;
static struct dmar d;

static struct pci_bdf bdf(uint32_t segment, uint32_t bus, uint32_t device, uint32_t function)
{
	return (struct pci_bdf){ (uint16_t)segment, (uint8_t)bus, (uint8_t)device,
				 (uint8_t)function };
}

static bool same(struct pci_bdf x, struct pci_bdf y)
{
	return x.segment == y.segment && x.bus == y.bus && x.device == y.device &&
	       x.function == y.function;
}

/* ---- The machine's bridges ---- */

static struct {
	struct pci_bdf at;
	uint8_t secondary, subordinate;
} bridges[32];
static uint32_t bridge_count;

static void add_bridge(struct pci_bdf at, uint32_t secondary, uint32_t subordinate)
{
	bridges[bridge_count].at = at;
	bridges[bridge_count].secondary = (uint8_t)secondary;
	bridges[bridge_count++].subordinate = (uint8_t)subordinate;
}

static bool find_bridge(void *ctx, struct pci_bdf at, uint8_t *secondary, uint8_t *subordinate)
{
	(void)ctx;
	assert_true(at.device < 32 && at.function < 8);
	for (uint32_t i = 0; i < bridge_count; i++) {
		if (!same(bridges[i].at, at))
			continue;
		*secondary = bridges[i].secondary;
		*subordinate = bridges[i].subordinate;
		return true;
	}
	return false;
}

static const struct dmar_env env = { .warn = note_warning, .bridge = find_bridge };

/* ---- Tables ---- */

static int setup(void **state)
{
	(void)state;
	dmar_begin(&b);
	bridge_count = 0;
	return 0;
}

static enum status parse_length(uint32_t length)
{
	struct acpi_table t;
	enum status r;

	patch(&b, 4, length, 4);
	t = copy_table(&b, length);
	memset(&d, 0xa5, sizeof(d));
	r = dmar_parse(&t, &env, &d);
	free_table(&t);
	return r;
}

static enum status parse(void)
{
	return parse_length(b.length);
}

static void parse_ok(const char *warnings)
{
	assert_int_equal(parse(), OK);
	assert_string_equal(warned, warnings);
}

static void parse_fails(enum status r, const char *warnings)
{
	assert_int_equal(parse(), r);
	assert_string_equal(warned, warnings);
}

/* The unit of segment 0's function. */
static uint32_t unit_of(uint32_t bus, uint32_t device, uint32_t function)
{
	return dmar_unit_of(&d, bdf(0, bus, device, function));
}

static bool is_bdf(struct pci_bdf x, uint32_t segment, uint32_t bus, uint32_t device,
		   uint32_t function)
{
	return same(x, bdf(segment, bus, device, function));
}

/* ---- Good tables, modelled on machines ---- */

static void test_client(void **state)
{
	struct iommu_reserved r[4];
	const struct dmar_scope *s;

	(void)state;
	dmar_client(&b);
	b.data[37] = 5;
	parse_ok("");
	assert_int_equal(d.address_bits, 39);
	assert_true(d.intr_remap && !d.x2apic_opt_out && d.dma_control_opt_in);
	assert_int_equal(d.unit_count, 2);
	assert_true(d.units[0].base.v == 0xfed90000 && d.units[0].size == 4096);
	assert_true(!d.units[0].include_all && d.units[1].include_all);
	assert_int_equal(unit_of(0, 2, 0), 0);
	assert_int_equal(unit_of(0, 2, 1), 1);
	assert_int_equal(unit_of(5, 2, 0), 1);
	assert_int_equal(dmar_unit_of(&d, bdf(1, 0, 2, 0)), DMAR_NO_UNIT);
	s = dmar_special(&d, DMAR_SCOPE_IOAPIC, 2);
	assert_true(s && s->owner == 1 && is_bdf(s->bdf, 0, 0xf0, 0x1f, 0));
	s = dmar_special(&d, DMAR_SCOPE_HPET, 0);
	assert_true(s && s->owner == 1 && is_bdf(s->bdf, 0, 0, 0x1f, 6));
	assert_null(dmar_special(&d, DMAR_SCOPE_IOAPIC, 0));
	assert_int_equal(dmar_reserved(&d, r, 4), 2);
	assert_true(r[0].base.v == 0x9a000000 && r[0].size == 0x20000 && !r[0].all);
	assert_true(r[0].count == 1 && is_bdf(r[0].devices[0], 0, 0, 0x14, 0));
	assert_true(r[1].base.v == 0x9d800000 && r[1].size == 0x2800000);
	assert_true(r[1].count == 1 && is_bdf(r[1].devices[0], 0, 0, 2, 0));
}

static void test_server(void **state)
{
	struct iommu_reserved r[8];

	(void)state;
	dmar_server(&b);
	for (uint32_t bus = 1; bus < 0xff; bus += bus & 0x10 ? 0x30 : 0x10) {
		add_bridge(bdf(0, bus, 1, 0), bus + 1, bus + 3);
		add_bridge(bdf(0, bus, 3, 0), bus + 4, bus + 5);
	}
	parse_ok("");
	assert_int_equal(d.unit_count, 13);
	assert_int_equal(unit_of(0x01, 1, 0), 0); /* the root port itself */
	assert_int_equal(unit_of(0x02, 0, 0), 0);
	assert_int_equal(unit_of(0x06, 31, 7), 0);
	assert_int_equal(unit_of(0x07, 0, 0), 12);
	assert_int_equal(unit_of(0x01, 2, 0), 12);
	assert_int_equal(unit_of(0x12, 4, 0), 1);
	assert_int_equal(unit_of(0x21, 0, 1), 2);
	assert_int_equal(unit_of(0xe1, 0, 1), 11);
	assert_int_equal(unit_of(0, 0x1f, 2), 12);
	for (uint32_t socket = 0; socket < 4; socket++) {
		for (uint32_t stack = 0; stack < 3; stack++)
			assert_int_equal(
				dmar_special(&d, DMAR_SCOPE_IOAPIC, 0x10 + socket * 4 + stack)
					->owner,
				socket * 3 + stack);
	}
	assert_int_equal(dmar_special(&d, DMAR_SCOPE_IOAPIC, 8)->owner, 12);
	/* Twenty devices share a region; the fourth entry would be beyond the end. */
	memset(r, 0xee, sizeof(r));
	assert_int_equal(dmar_reserved(&d, r, 1), 3);
	assert_true(r[0].count == 8 && r[1].count == 0xeeeeeeee);
	assert_int_equal(dmar_reserved(&d, r, 2), 3);
	assert_true(r[0].count == 8 && r[1].count == 8 && r[2].count == 0xeeeeeeee);
	assert_int_equal(dmar_reserved(&d, r, 8), 3);
	assert_true(r[2].count == 4 && r[2].base.v == 0x6f000000 && r[2].size == 0x100000);
	assert_true(is_bdf(r[1].devices[0], 0, 3, 0, 0) && is_bdf(r[2].devices[3], 0, 4, 0, 3));
	assert_int_equal(d.scopes_lost + d.regions_lost, 0);
}

/* What the Q35 machine of QEMU has: one unit that names everything, an IOAPIC on a bus of its own. */
static void test_one_unit_names_all(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	dmar_scope(&b, DMAR_SCOPE_IOAPIC, 0, 0xff, 0, 0);
	dmar_endpoint(&b, 0, 0, 0);
	dmar_endpoint(&b, 0, 3, 0);
	dmar_bridge(&b, 0, 4, 0);
	dmar_endpoint(&b, 0, 0x1f, 2);
	dmar_end(&b, at);
	add_bridge(bdf(0, 0, 4, 0), 1, 1);
	at = dmar_entry(&b, 2);
	put_bytes(&b, 1, 4);
	dmar_end(&b, at);
	parse_ok("");
	assert_int_equal(unit_of(0, 3, 0), 0);
	assert_int_equal(unit_of(1, 0, 0), 0);
	assert_int_equal(unit_of(0, 5, 0), DMAR_NO_UNIT);
	assert_true(is_bdf(dmar_special(&d, DMAR_SCOPE_IOAPIC, 0)->bdf, 0, 0xff, 0, 0));
	/* Its interrupts are requests as well. */
	assert_int_equal(unit_of(0xff, 0, 0), 0);
	assert_int_equal(unit_of(0xff, 0, 1), DMAR_NO_UNIT);
}

/* ---- Who is covered by what ---- */

static void test_paths_of_several_hops(void **state)
{
	static const uint8_t path[] = { 0x1c << 3 | 2, 0, 4 << 3 | 1 };
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	add_bridge(bdf(0, 0, 0x1c, 2), 3, 9);
	add_bridge(bdf(0, 3, 0, 0), 5, 7);
	dmar_scope_path(&b, DMAR_SCOPE_ENDPOINT, 0, 0, path, 3);
	dmar_scope_path(&b, DMAR_SCOPE_IOAPIC, 4, 0, path, 2);
	dmar_end(&b, at);
	dmar_unit(&b, true, 0, 0xfed91000);
	parse_ok("");
	assert_int_equal(unit_of(5, 4, 1), 0);
	assert_int_equal(unit_of(3, 0, 1), 1);
	assert_true(is_bdf(dmar_special(&d, DMAR_SCOPE_IOAPIC, 4)->bdf, 0, 3, 0, 0));
}

static void test_path_that_leads_nowhere(void **state)
{
	static const uint8_t path[] = { 0x1c << 3, 0 };
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	dmar_scope_path(&b, DMAR_SCOPE_ENDPOINT, 0, 0, path, 2);
	dmar_endpoint(&b, 0, 2, 0);
	dmar_end(&b, at);
	parse_ok("DMAR device scope whose path leads nowhere;");
	assert_int_equal(d.scopes_lost, 1);
	assert_int_equal(unit_of(0, 2, 0), 0);
	/* Bridges that nobody has configured, or that would lead back. */
	for (uint32_t i = 0; i < 3; i++) {
		bridge_count = 0;
		add_bridge(bdf(0, 0, 0x1c, 0), i == 1 ? 5 : 0, i);
		parse_ok("DMAR device scope whose path leads nowhere;");
	}
	/* Such a device number would be another device's. */
	b.data[DMAR_HEADER + 16 + 6] = 0x20;
	parse_ok("DMAR device scope whose path leads nowhere;");
	b.data[DMAR_HEADER + 16 + 6] = 0x1c;
	b.data[DMAR_HEADER + 16 + 7] = 8;
	parse_ok("DMAR device scope whose path leads nowhere;");
}

/* The unit for the rest comes first; a named device below a named bridge below a named bridge. */
static void test_closest_name_wins(void **state)
{
	uint32_t at;

	(void)state;
	dmar_unit(&b, true, 0, 0xfed90000);
	at = dmar_drhd(&b, false, 0, 0xfed91000);
	dmar_endpoint(&b, 7, 0, 0);
	dmar_end(&b, at);
	at = dmar_drhd(&b, false, 0, 0xfed92000);
	dmar_bridge(&b, 4, 0, 0);
	dmar_end(&b, at);
	at = dmar_drhd(&b, false, 0, 0xfed93000);
	dmar_bridge(&b, 0, 1, 0);
	dmar_end(&b, at);
	add_bridge(bdf(0, 0, 1, 0), 4, 9);
	add_bridge(bdf(0, 4, 0, 0), 5, 8);
	parse_ok("");
	assert_int_equal(unit_of(7, 0, 0), 1);
	assert_int_equal(unit_of(7, 0, 1), 2);
	assert_int_equal(unit_of(5, 0, 0), 2);
	assert_int_equal(unit_of(8, 0, 0), 2);
	assert_int_equal(unit_of(4, 0, 0), 2);
	assert_int_equal(unit_of(4, 1, 0), 3);
	assert_int_equal(unit_of(9, 0, 0), 3);
	assert_int_equal(unit_of(0, 1, 0), 3);
	assert_int_equal(unit_of(0x0a, 0, 0), 0);
	assert_int_equal(unit_of(0, 2, 0), 0);
}

/* An IOAPIC or HPET may have the id of a function that another unit names. */
static void test_function_and_ioapic(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	dmar_scope(&b, DMAR_SCOPE_HPET, 0, 0, 0x1f, 0);
	dmar_endpoint(&b, 0, 0x1e, 0);
	dmar_end(&b, at);
	at = dmar_drhd(&b, false, 0, 0xfed91000);
	dmar_endpoint(&b, 0, 0x1f, 0);
	dmar_scope(&b, DMAR_SCOPE_IOAPIC, 2, 0, 0x1e, 0);
	dmar_end(&b, at);
	parse_ok("");
	assert_int_equal(unit_of(0, 0x1f, 0), 1);
	assert_int_equal(unit_of(0, 0x1e, 0), 0);
}

static void test_segments(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 1, 0xfed90000);

	(void)state;
	dmar_endpoint(&b, 0, 2, 0);
	dmar_bridge(&b, 0, 3, 0);
	dmar_end(&b, at);
	add_bridge(bdf(1, 0, 3, 0), 1, 1);
	dmar_unit(&b, true, 0, 0xfed91000);
	dmar_unit(&b, true, 2, 0xfed92000);
	at = dmar_rmrr(&b, 1, 0x1000, 0x1fff);
	dmar_endpoint(&b, 0, 2, 0);
	dmar_end(&b, at);
	parse_ok("");
	assert_int_equal(unit_of(0, 2, 0), 1);
	assert_int_equal(unit_of(1, 0, 0), 1);
	assert_int_equal(dmar_unit_of(&d, bdf(1, 0, 2, 0)), 0);
	assert_int_equal(dmar_unit_of(&d, bdf(1, 1, 0, 0)), 0);
	assert_int_equal(dmar_unit_of(&d, bdf(1, 0, 4, 0)), DMAR_NO_UNIT);
	assert_int_equal(dmar_unit_of(&d, bdf(2, 0, 4, 0)), 2);
	assert_int_equal(d.scopes[2].bdf.segment, 1);
	assert_int_equal(d.regions[0].segment, 1);
}

/* A device that firmware calls a bridge is at least itself. */
static void test_bridge_that_is_none(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	dmar_bridge(&b, 0, 3, 0);
	dmar_end(&b, at);
	parse_ok("DMAR names a bridge that is none;");
	assert_int_equal(unit_of(0, 3, 0), 0);
	assert_int_equal(unit_of(0, 0, 0), DMAR_NO_UNIT);
	add_bridge(bdf(0, 0, 3, 0), 7, 6);
	parse_ok("");
	assert_int_equal(unit_of(7, 0, 0), DMAR_NO_UNIT);
	assert_int_equal(d.scopes[0].secondary, 0);
}

/* The scopes of a region name no unit's devices, and the other way round. */
static void test_regions_are_no_units(void **state)
{
	struct iommu_reserved r[2];
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	dmar_endpoint(&b, 0, 2, 0);
	dmar_end(&b, at);
	at = dmar_rmrr(&b, 0, 0x1000, 0x1fff);
	dmar_endpoint(&b, 0, 3, 0);
	dmar_scope(&b, DMAR_SCOPE_IOAPIC, 1, 0, 4, 0);
	dmar_end(&b, at);
	parse_ok("");
	assert_int_equal(unit_of(0, 3, 0), DMAR_NO_UNIT);
	assert_null(dmar_special(&d, DMAR_SCOPE_IOAPIC, 1));
	assert_int_equal(dmar_reserved(&d, r, 2), 1);
	assert_true(r[0].count == 2 && is_bdf(r[0].devices[0], 0, 0, 3, 0));
}

static void test_region_of_a_bridge(void **state)
{
	struct iommu_reserved r[8];
	uint32_t at;

	(void)state;
	dmar_unit(&b, true, 3, 0xfed90000);
	at = dmar_rmrr(&b, 3, 0x1000, 0x1fff);
	dmar_endpoint(&b, 0, 1, 0);
	dmar_bridge(&b, 0, 3, 0);
	dmar_bridge(&b, 0, 4, 0);
	dmar_endpoint(&b, 0, 2, 0);
	dmar_endpoint(&b, 0, 2, 1);
	dmar_end(&b, at);
	add_bridge(bdf(3, 0, 3, 0), 1, 2);
	add_bridge(bdf(3, 0, 4, 0), 3, 3);
	parse_ok("");
	assert_int_equal(dmar_reserved(&d, r, 8), 4);
	assert_true(!r[0].all && r[0].count == 1 && is_bdf(r[0].devices[0], 3, 0, 1, 0));
	assert_true(r[1].all && r[1].first_bus == 1 && r[1].last_bus == 2);
	assert_true(r[1].count == 1 && is_bdf(r[1].devices[0], 3, 0, 3, 0));
	assert_true(r[2].all && r[2].first_bus == 3 && r[2].last_bus == 3 && r[2].count == 1);
	assert_true(!r[3].all && r[3].count == 2 && is_bdf(r[3].devices[1], 3, 0, 2, 1));
	for (uint32_t i = 0; i < 4; i++)
		assert_true(r[i].base.v == 0x1000 && r[i].size == 0x1000);
}

/* Firmware's RMRRs of exactly eight devices must not give an empty entry. */
static void test_region_of_eight(void **state)
{
	struct iommu_reserved r[4];
	uint32_t at;

	(void)state;
	dmar_unit(&b, true, 0, 0xfed90000);
	at = dmar_rmrr(&b, 0, 0x1000, 0x1fff);
	for (uint32_t i = 0; i < 8; i++)
		dmar_endpoint(&b, 0, i, 0);
	dmar_end(&b, at);
	dmar_end(&b, dmar_rmrr(&b, 0, 0x3000, 0x3fff)); /* of nobody */
	parse_ok("");
	assert_int_equal(d.region_count, 2);
	assert_int_equal(dmar_reserved(&d, r, 4), 1);
	assert_int_equal(r[0].count, 8);
}

/* ---- Defects ---- */

static void test_bad_regions(void **state)
{
	static const struct {
		uint64_t base, limit;
	} bad[] = { { 0x2000, 0x1fff },     { 0, 0 },           { ~0ull - 4095, ~0ull },
		    { 0x1000, 1ull << 52 }, { 0x5000, 0x5000 }, { ~0ull, 0 } };
	uint32_t at;

	(void)state;
	dmar_unit(&b, true, 0, 0xfed90000);
	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		at = dmar_rmrr(&b, 0, bad[i].base, bad[i].limit);
		dmar_endpoint(&b, 0, 1, 0);
		dmar_end(&b, at);
	}
	at = dmar_rmrr(&b, 0, 0x1800, 0x2000);
	dmar_end(&b, at);
	dmar_end(&b, dmar_entry(&b, 1));
	assert_int_equal(parse(), OK);
	assert_int_equal(d.regions_lost, ARRAY_SIZE(bad) + 1);
	assert_int_equal(d.region_count, 1);
	assert_true(d.regions[0].base.v == 0x1000 && d.regions[0].size == 0x2000);
	assert_int_equal(d.scope_count, 0);
	assert_non_null(strstr(warned, "DMAR with a memory region that is not made of pages;"));
}

static void test_units_without_registers(void **state)
{
	static const uint64_t bad[] = { 0, 0xfed90800, ~0ull, ~0ull - 4095, 1ull << 52 };

	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		setup(state);
		dmar_unit(&b, false, 0, 0xfed80000);
		dmar_unit(&b, true, 0, bad[i]);
		parse_fails(ERR_INVALID, "DMAR with a unit whose registers are nowhere;");
	}
}

static void test_units_given_twice(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	dmar_endpoint(&b, 0, 2, 0);
	dmar_end(&b, at);
	at = dmar_drhd(&b, true, 0, 0xfed90000);
	dmar_endpoint(&b, 0, 3, 0);
	dmar_end(&b, at);
	parse_ok("DMAR with a unit given twice;");
	assert_int_equal(d.unit_count, 1);
	assert_true(d.units[0].include_all);
	assert_true(d.scope_count == 2 && d.scopes[1].owner == 0);

	setup(state);
	dmar_unit(&b, false, 0, 0xfed90000);
	dmar_unit(&b, true, 1, 0xfed90000);
	parse_fails(ERR_INVALID, "DMAR with units whose registers overlap;");

	setup(state);
	dmar_unit(&b, true, 0, 0xfed91000);
	at = dmar_drhd(&b, false, 0, 0xfed90000);
	dmar_end(&b, at);
	b.data[at + 5] = 1; /* two pages */
	parse_fails(ERR_INVALID, "DMAR with units whose registers overlap;");
	b.data[at + 5] = 0xf0; /* these bits are reserved */
	parse_ok("");
	assert_int_equal(d.units[1].size, 4096);

	setup(state);
	dmar_unit(&b, true, 0, 0xfed91000);
	dmar_unit(&b, true, 0, 0xfed90000);
	parse_ok("DMAR with two units for all other devices;");
	assert_int_equal(unit_of(0, 0, 0), 0);
}

static void test_ioapic_named_twice(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	dmar_scope(&b, DMAR_SCOPE_IOAPIC, 2, 0xf0, 0x1f, 0);
	dmar_scope(&b, DMAR_SCOPE_HPET, 2, 0, 0x1f, 0); /* another kind: fine */
	dmar_end(&b, at);
	at = dmar_drhd(&b, true, 0, 0xfed91000);
	dmar_scope(&b, DMAR_SCOPE_IOAPIC, 2, 0, 0x1e, 0);
	dmar_end(&b, at);
	parse_ok("DMAR names an IOAPIC or HPET twice;");
	assert_int_equal(d.scopes_lost, 1);
	assert_int_equal(dmar_special(&d, DMAR_SCOPE_IOAPIC, 2)->owner, 0);
	assert_int_equal(dmar_special(&d, DMAR_SCOPE_IOAPIC, 2)->bdf.bus, 0xf0);
}

static void test_bad_scopes(void **state)
{
	static const uint8_t lengths[] = { 0, 1, 5, 6, 7, 9, 10, 255 };

	for (uint32_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		uint32_t at;

		setup(state);
		at = dmar_drhd(&b, false, 0, 0xfed90000);
		dmar_endpoint(&b, 0, 2, 0);
		dmar_endpoint(&b, 0, 3, 0);
		dmar_end(&b, at);
		dmar_unit(&b, true, 0, 0xfed91000);
		b.data[at + 16 + 8 + 1] = lengths[i];
		parse_ok("DMAR device scope with an impossible length;");
		assert_int_equal(d.unit_count, 2);
		assert_true(d.scopes_lost == 1 && d.scope_count == 1);
		assert_int_equal(unit_of(0, 2, 0), 0);
		assert_int_equal(unit_of(0, 3, 0), 1);
	}
	/* Half a hop. */
	setup(state);
	dmar_client(&b);
	b.data[DMAR_HEADER + 24 + 16 + 1] = 9;
	parse_ok("DMAR device scope with an impossible length;");
	/* Not even a header. */
	setup(state);
	b.length = dmar_drhd(&b, true, 0, 0xfed90000) + 16 + 3;
	dmar_end(&b, DMAR_HEADER);
	parse_ok("DMAR device scope with an impossible length;");
}

static void test_unknown_scope_kinds(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	dmar_scope(&b, 0, 0, 0, 1, 0);
	dmar_scope(&b, 6, 0, 0, 2, 0);
	dmar_endpoint(&b, 0, 3, 0);
	dmar_end(&b, at);
	parse_ok("");
	assert_int_equal(d.scope_count, 1);
	assert_int_equal(unit_of(0, 2, 0), DMAR_NO_UNIT);
}

/* A damaged entry may hide a unit, which would let its devices do what they like. */
static void test_bad_entries(void **state)
{
	static const uint16_t lengths[] = { 0, 1, 3, 0x7fff, 0xffff };
	uint32_t at;

	for (uint32_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		setup(state);
		dmar_client(&b);
		at = dmar_entry(&b, 2);
		patch(&b, at + 2, lengths[i], 2);
		dmar_unit(&b, false, 0, 0xfed92000);
		parse_fails(ERR_INVALID, "DMAR entry with an impossible length;");
	}
	setup(state);
	dmar_client(&b);
	at = dmar_entry(&b, 0);
	put_bytes(&b, 0, 11);
	dmar_end(&b, at);
	parse_fails(ERR_INVALID, "DMAR with a unit that is too short;");
}

static void test_padding(void **state)
{
	(void)state;
	dmar_client(&b);
	put_bytes(&b, 0, 7);
	b.length += 100;
	parse_ok("");
	assert_int_equal(d.unit_count, 2);
	b.data[b.length - 1] = 1;
	parse_fails(ERR_INVALID, "DMAR entry with an impossible length;");
	b.data[b.length - 1] = 0;
	for (uint32_t i = 1; i < 4; i++) { /* not even a header */
		setup(state);
		dmar_client(&b);
		put_bytes(&b, 0xffffff, i);
		parse_fails(ERR_INVALID, "DMAR entry with an impossible length;");
	}
}

static void test_no_unit(void **state)
{
	(void)state;
	parse_fails(ERR_NOT_FOUND, "");
	assert_int_equal(dmar_unit_of(&d, bdf(0, 0, 0, 0)), DMAR_NO_UNIT);
	dmar_end(&b, dmar_rmrr(&b, 0, 0x1000, 0x1fff));
	parse_fails(ERR_NOT_FOUND, "");
	b.data[36] = 0;
	parse_fails(ERR_NOT_FOUND, "");
	assert_int_equal(d.address_bits, 0);
	b.data[36] = 255;
	parse_fails(ERR_NOT_FOUND, "");
	assert_int_equal(d.address_bits, 64);
	assert_int_equal(parse_length(TABLE_HEADER), ERR_NOT_FOUND);
}

static void test_flags(void **state)
{
	(void)state;
	dmar_client(&b);
	b.data[37] = 0;
	parse_ok("");
	assert_true(!d.intr_remap && !d.x2apic_opt_out && !d.dma_control_opt_in);
	b.data[37] = 2;
	parse_ok("");
	assert_true(!d.intr_remap && d.x2apic_opt_out && !d.dma_control_opt_in);
}

static void test_too_many_units(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < DMAR_UNITS_MAX; i++)
		dmar_unit(&b, false, 0, 0xfed00000 + i * 0x1000);
	parse_ok("");
	assert_int_equal(d.unit_count, DMAR_UNITS_MAX);
	dmar_unit(&b, false, 0, 0xfee00000);
	parse_fails(ERR_RANGE, "DMAR with more units than supported;");
}

static void test_too_many_devices(void **state)
{
	uint32_t at = dmar_drhd(&b, false, 0, 0xfed90000);

	(void)state;
	for (uint32_t i = 0; i < DMAR_SCOPES_MAX + 5; i++)
		dmar_endpoint(&b, i >> 8, (i >> 3) & 31, i & 7);
	dmar_end(&b, at);
	dmar_unit(&b, true, 0, 0xfed91000);
	parse_ok("DMAR with more devices than supported;");
	assert_int_equal(d.unit_count, 2);
	assert_int_equal(d.scope_count, DMAR_SCOPES_MAX);
	assert_int_equal(d.scopes_lost, 5);
	assert_int_equal(unit_of(3, 31, 7), 0);
	assert_int_equal(unit_of(4, 0, 0), 1);
}

static void test_too_many_regions(void **state)
{
	(void)state;
	dmar_unit(&b, true, 0, 0xfed90000);
	for (uint32_t i = 0; i < DMAR_REGIONS_MAX + 3; i++) {
		uint32_t at = dmar_rmrr(&b, 0, 0x1000 * (i + 1), 0x1000 * (i + 2) - 1);

		dmar_endpoint(&b, 0, i & 31, 0);
		dmar_end(&b, at);
	}
	assert_int_equal(parse(), OK);
	assert_int_equal(d.region_count, DMAR_REGIONS_MAX);
	assert_int_equal(d.regions_lost, 3);
	assert_int_equal(d.scope_count, DMAR_REGIONS_MAX);
	assert_int_equal(dmar_reserved(&d, NULL, 0), DMAR_REGIONS_MAX);
}

/*
 * Of a table cut anywhere, no unit is missing without a notice: either the cut is between entries,
 * or before anything but zeros, or the table is not used.
 */
static void test_cut_anywhere(void **state)
{
	uint32_t length, at, next, units;

	(void)state;
	dmar_server(&b);
	for (length = DMAR_HEADER; length < b.length; length++) {
		enum status r = parse_length(length);

		units = 0;
		for (at = DMAR_HEADER; at < length; at = next) {
			next = at + b.data[at + 2] + b.data[at + 3] * 256u;
			if (next > length || next == at)
				break;
			units += b.data[at] == 0;
		}
		if (at >= length ||
		    (length - at < 4 && !memcmp(b.data + at, "\0\0\0", length - at)))
			assert_int_equal(r, units ? OK : ERR_NOT_FOUND);
		else
			assert_int_equal(r, ERR_INVALID);
		if (r != ERR_INVALID)
			assert_int_equal(d.unit_count, units);
	}
}

/* A log on a serial line would take minutes. */
static void test_many_defects(void **state)
{
	uint32_t seen = 0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		dmar_end(&b, dmar_rmrr(&b, 0, 0, 0));
	dmar_unit(&b, true, 0, 0xfed90000);
	assert_int_equal(parse(), OK);
	for (const char *p = warned; (p = strchr(p, ';')); p++)
		seen++;
	assert_int_equal(seen, DMAR_WARNINGS + 1);
	assert_non_null(strstr(warned, "cannot be used;DMAR with many more defects;"));
	assert_true(d.defects == 100 && d.regions_lost == 100);
}

static void test_nobody_listens(void **state)
{
	struct dmar_env quiet = env;
	struct acpi_table t;

	(void)state;
	quiet.warn = NULL;
	dmar_unit(&b, true, 0, 1);
	t = copy_table(&b, b.length);
	assert_int_equal(dmar_parse(&t, &quiet, &d), ERR_INVALID);
	free_table(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_client, setup),
		cmocka_unit_test_setup(test_server, setup),
		cmocka_unit_test_setup(test_one_unit_names_all, setup),
		cmocka_unit_test_setup(test_paths_of_several_hops, setup),
		cmocka_unit_test_setup(test_path_that_leads_nowhere, setup),
		cmocka_unit_test_setup(test_closest_name_wins, setup),
		cmocka_unit_test_setup(test_function_and_ioapic, setup),
		cmocka_unit_test_setup(test_segments, setup),
		cmocka_unit_test_setup(test_bridge_that_is_none, setup),
		cmocka_unit_test_setup(test_regions_are_no_units, setup),
		cmocka_unit_test_setup(test_region_of_a_bridge, setup),
		cmocka_unit_test_setup(test_region_of_eight, setup),
		cmocka_unit_test_setup(test_bad_regions, setup),
		cmocka_unit_test_setup(test_units_without_registers, setup),
		cmocka_unit_test_setup(test_units_given_twice, setup),
		cmocka_unit_test_setup(test_ioapic_named_twice, setup),
		cmocka_unit_test_setup(test_bad_scopes, setup),
		cmocka_unit_test_setup(test_unknown_scope_kinds, setup),
		cmocka_unit_test_setup(test_bad_entries, setup),
		cmocka_unit_test_setup(test_padding, setup),
		cmocka_unit_test_setup(test_no_unit, setup),
		cmocka_unit_test_setup(test_flags, setup),
		cmocka_unit_test_setup(test_too_many_units, setup),
		cmocka_unit_test_setup(test_too_many_devices, setup),
		cmocka_unit_test_setup(test_too_many_regions, setup),
		cmocka_unit_test_setup(test_cut_anywhere, setup),
		cmocka_unit_test_setup(test_many_defects, setup),
		cmocka_unit_test_setup(test_nobody_listens, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
