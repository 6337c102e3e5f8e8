// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/ivrs.c drivers/acpi.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ivrs_tables.h"

static struct table_builder b;
static struct ivrs v;

static int setup(void **state)
{
	(void)state;
	ivrs_begin(&b);
	return 0;
}

static struct pci_bdf fn(uint32_t segment, uint32_t id)
{
	return (struct pci_bdf){ (uint16_t)segment, (uint8_t)(id >> 8), (id >> 3) & 31, id & 7 };
}

static uint32_t id_of(struct pci_bdf f)
{
	return (uint32_t)f.bus << 8 | (uint32_t)f.device << 3 | f.function;
}

static enum status parse_length(uint32_t length)
{
	struct acpi_table t;
	enum status r;

	patch(&b, 4, length, 4);
	t = copy_table(&b, length);
	memset(&v, 0xa5, sizeof(v));
	r = ivrs_parse(&t, note_warning, NULL, &v);
	free_table(&t);
	return r;
}

static void parse_gives(enum status r, const char *warnings)
{
	assert_int_equal(parse_length(b.length), r);
	assert_string_equal(warned, warnings);
}

static uint32_t unit_of(uint32_t id)
{
	return ivrs_unit_of(&v, fn(0, id));
}

static uint32_t alias(uint32_t id)
{
	return ivrs_alias(&v, fn(0, id));
}

/* An IOMMU that translates for everything. */
static void one_unit(void)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 2, 0xfeb80000);

	ivrs_entry4(&b, 1, 0, 0);
	ivrs_end(&b, at);
}

/* ---- Good tables, modelled on machines ---- */

static void test_desktop(void **state)
{
	const struct ivrs_special *s;

	(void)state;
	ivrs_desktop(&b);
	parse_gives(OK, "");
	assert_true(v.info == 0x203043);
	assert_int_equal(v.unit_count, 1);
	assert_int_equal(v.units[0].type, 0x40);
	assert_true(v.units[0].base.v == 0xfd200000 && v.units[0].segment == 0);
	assert_true(v.units[0].device_id == 2 && v.units[0].capability == 0x40);
	assert_true(v.units[0].flags == 0xb0 && (v.units[0].flags & IVRS_FLAG_COHERENT));
	assert_true(v.units[0].efr == 0x246577efa2254afaull && v.units[0].efr2 == 0x10);
	/* Of the newest description only. */
	assert_int_equal(v.range_count, 4);
	assert_int_equal(v.special_count, 3);
	assert_int_equal(unit_of(2), IVRS_NO_UNIT);
	assert_int_equal(unit_of(3), 0);
	assert_int_equal(unit_of(0xffff), 0);
	assert_int_equal(alias(0xfeff), 0xfeff);
	assert_int_equal(alias(0xff00), 0x00a5);
	assert_int_equal(alias(0xffff), 0x00a5);
	assert_int_equal(alias(0x0100), 0x0100);
	assert_int_equal(ivrs_setting(&v, fn(0, 0xa5)), 0x40);
	assert_int_equal(ivrs_setting(&v, fn(0, 0xa6)), 0x40);
	assert_int_equal(ivrs_setting(&v, fn(0, 0xa7)), 0);
	s = ivrs_special(&v, IVRS_IOAPIC, 0x20);
	assert_true(s && s->device_id == 0xa0 && s->setting == 0xd7 && s->unit == 0);
	assert_int_equal(IVRS_DTE_SYS_MGT(s->setting), 1);
	s = ivrs_special(&v, IVRS_HPET, 0);
	assert_true(s && s->device_id == 0xa0);
	assert_null(ivrs_special(&v, IVRS_IOAPIC, 0));
	assert_null(ivrs_special(&v, IVRS_HPET, 0x20));
	assert_int_equal(v.entries_lost + v.regions_lost, 0);
}

static void test_server(void **state)
{
	struct iommu_reserved r[8];

	(void)state;
	ivrs_server(&b);
	parse_gives(OK, "");
	assert_int_equal(v.unit_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(v.units[i].type, 0x40);
		assert_true(v.units[i].base.v == 0xb0000000 + i * 0x100000);
		assert_int_equal(ivrs_special(&v, IVRS_IOAPIC, 0xf1 + i)->unit, i);
	}
	assert_int_equal(ivrs_special(&v, IVRS_IOAPIC, 0xf0)->unit, 3);
	assert_int_equal(unit_of(0x0003), 3);
	assert_int_equal(unit_of(0x1fff), 3);
	assert_int_equal(unit_of(0x2000), IVRS_NO_UNIT); /* the root complex, before 20:00.3 */
	assert_int_equal(unit_of(0x2100), 2);
	assert_int_equal(unit_of(0x4bcd), 1);
	assert_int_equal(unit_of(0x7fff), 0);
	assert_int_equal(unit_of(0x8000), IVRS_NO_UNIT);
	assert_int_equal(ivrs_unit_of(&v, fn(1, 0x2100)), IVRS_NO_UNIT);
	memset(r, 0xee, sizeof(r));
	assert_int_equal(ivrs_reserved(&v, r, 3), 5);
	assert_int_equal(r[3].count, 0xeeeeeeee);
	assert_int_equal(ivrs_reserved(&v, r, 8), 5);
	assert_true(r[0].base.v == 0x76100000 && r[0].size == 0x1000 && !r[0].all);
	assert_true(r[0].count == 1 && id_of(r[0].devices[0]) == 0x6100);
	assert_true(r[1].count == 8 && r[2].count == 8 && r[3].count == 4 && !r[1].all);
	assert_true(id_of(r[1].devices[0]) == 0x2100 && id_of(r[3].devices[3]) == 0x2113);
	assert_true(r[3].base.v == 0x76200000 && r[3].size == 0x4000);
	assert_true(r[4].all && r[4].base.v == 0x76300000 && r[4].size == 0x10000);
}

/* What the emulator has: all devices by one entry, an IOAPIC, and nothing else. */
static void test_one_entry_for_all(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 0x10, 0xfed80000);

	(void)state;
	ivrs_entry4(&b, 1, 0, 0);
	ivrs_special_entry(&b, IVRS_IOAPIC, 0, 0x00a0, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "");
	assert_int_equal(v.units[0].efr, 0);
	assert_true(v.units[0].features == 0x80048f6e);
	assert_int_equal(unit_of(0), 0);
	assert_int_equal(unit_of(0xffff), 0);
	assert_int_equal(ivrs_special(&v, IVRS_IOAPIC, 0)->device_id, 0xa0);
}

/* ---- Who is covered by what ---- */

/* The order of the blocks makes no difference; each IOMMU has its own newest description. */
static void test_newest_description(void **state)
{
	static const uint8_t types[][3] = { { 0x40, 0x11, 0x10 }, { 0x11, 0x10, 0x40 } };
	uint32_t at;

	for (uint32_t i = 0; i < 2; i++) {
		setup(state);
		for (uint32_t j = 0; j < 3; j++) {
			at = ivrs_ivhd(&b, types[i][j], 2, 0xfd200000);
			ivrs_entry4(&b, 2, 0x100u + types[i][j], 0);
			ivrs_end(&b, at);
		}
		at = ivrs_ivhd(&b, 0x10, 0x4002, 0xfd300000);
		ivrs_entry4(&b, 2, 0x4100, 0);
		ivrs_end(&b, at);
		/* The same id in another segment is another IOMMU. */
		at = ivrs_ivhd(&b, 0x11, 2, 0xfd400000);
		patch(&b, at + 16, 1, 2);
		ivrs_entry4(&b, 2, 0x0100, 0);
		ivrs_end(&b, at);
		parse_gives(OK, "");
		assert_int_equal(v.unit_count, 3);
		assert_int_equal(v.units[0].type, 0x40);
		assert_int_equal(v.units[1].type, 0x10);
		assert_true(v.units[2].type == 0x11 && v.units[2].segment == 1);
		assert_int_equal(unit_of(0x110), IVRS_NO_UNIT);
		assert_int_equal(unit_of(0x111), IVRS_NO_UNIT);
		assert_int_equal(unit_of(0x140), 0);
		assert_int_equal(unit_of(0x4100), 1);
		assert_int_equal(unit_of(0x0100), IVRS_NO_UNIT);
		assert_int_equal(ivrs_unit_of(&v, fn(1, 0x0100)), 2);
	}
}

static void test_all_kinds_of_entries(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x40, 2, 0xfd200000);

	(void)state;
	ivrs_entry4(&b, 0, 0, 0);    /* padding */
	ivrs_entry4(&b, 64, 0x9, 0); /* padding of eight bytes */
	put_bytes(&b, 0, 4);
	ivrs_entry4(&b, 2, 0x100, 1);
	ivrs_alias_entry(&b, 66, 0x200, 0x108);
	ivrs_entry4(&b, 70, 0x300, 2);
	put_bytes(&b, 1u << 31, 4);
	ivrs_entry4(&b, 71, 0x400, 4);
	put_bytes(&b, 0, 4);
	ivrs_entry4(&b, 4, 0x407, 0x80);
	ivrs_alias_entry(&b, 67, 0x500, 0x109);
	ivrs_entry4(&b, 4, 0x507, 0);
	ivrs_acpi_entry(&b, 0x600, 255);
	ivrs_entry4(&b, 63, 0x701, 0); /* not known: 4, 8, 16, and 32 bytes */
	ivrs_entry4(&b, 127, 0x702, 0);
	put_bytes(&b, 0x0708000208000208, 4);
	ivrs_entry4(&b, 130, 0x703, 0);
	put_bytes(&b, 0x0202020202020202, 8);
	put_bytes(&b, 0x0202020202020202, 4);
	ivrs_entry4(&b, 239, 0x704, 0);
	b.length += 28;
	ivrs_special_entry(&b, 3, 1, 0x705, 0); /* a variety that is not known */
	ivrs_entry4(&b, 2, 0x800, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "");
	assert_int_equal(v.range_count, 7);
	assert_int_equal(v.special_count, 0);
	for (uint32_t i = 1; i <= 6; i++)
		assert_int_equal(unit_of(i << 8), 0);
	assert_int_equal(unit_of(0x407), 0);
	assert_int_equal(unit_of(0x408), IVRS_NO_UNIT);
	assert_int_equal(unit_of(0x507), 0);
	assert_int_equal(unit_of(0x101), IVRS_NO_UNIT);
	assert_int_equal(unit_of(0x800), 0);
	assert_int_equal(alias(0x100), 0x100);
	assert_int_equal(alias(0x200), 0x108);
	assert_int_equal(alias(0x300), 0x300);
	assert_int_equal(alias(0x507), 0x109);
	assert_int_equal(ivrs_setting(&v, fn(0, 0x100)), IVRS_DTE_INIT_PASS);
	assert_int_equal(ivrs_setting(&v, fn(0, 0x300)), IVRS_DTE_EINT_PASS);
	assert_int_equal(ivrs_setting(&v, fn(0, 0x405)), IVRS_DTE_NMI_PASS);
	for (uint32_t i = 0x701; i < 0x800; i++)
		assert_int_equal(unit_of(i), IVRS_NO_UNIT);
}

static void test_names_go_before_all(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 0x4002, 0xfd300000);

	(void)state;
	ivrs_range(&b, 0x4000, 0x40ff);
	ivrs_entry4(&b, 2, 0x5000, 1);
	ivrs_end(&b, at);
	at = ivrs_ivhd(&b, 0x10, 2, 0xfd200000);
	ivrs_entry4(&b, 1, 0, 0x80);
	ivrs_entry4(&b, 2, 0x5000, 2);
	ivrs_end(&b, at);
	parse_gives(OK, "");
	assert_int_equal(unit_of(0x4000), 0);
	assert_int_equal(unit_of(0x40ff), 0);
	assert_int_equal(unit_of(0x4100), 1);
	assert_int_equal(unit_of(0x5000), 1);
	assert_int_equal(ivrs_setting(&v, fn(0, 0x5000)), 0x83);
	assert_int_equal(ivrs_setting(&v, fn(0, 0x5001)), 0x80);
}

/* A range with an alias, and one function of it that has none: the alias stays. */
static void test_last_alias(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 2, 0xfd200000);

	(void)state;
	ivrs_alias_entry(&b, 67, 0x100, 0x10);
	ivrs_entry4(&b, 4, 0x1ff, 0);
	ivrs_alias_entry(&b, 66, 0x123, 0x11);
	ivrs_entry4(&b, 2, 0x124, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "");
	assert_int_equal(alias(0x122), 0x10);
	assert_int_equal(alias(0x123), 0x11);
	assert_int_equal(alias(0x124), 0x10);
}

static void test_regions(void **state)
{
	struct iommu_reserved r[16];

	(void)state;
	one_unit();
	ivrs_ivmd(&b, 0x21, 6, 0x100, 0, 0x1000, 0x1000);     /* neither unity nor exclusion */
	ivrs_ivmd(&b, 0x22, 1, 0x100, 0x13f, 0x2000, 0x1000); /* 64 devices */
	ivrs_ivmd(&b, 0x22, 1, 0x100, 0x140, 0x3000, 0x1000); /* 65 */
	ivrs_ivmd(&b, 0x22, 1, 0xfff8, 0xffff, 0x4000, 0x1000);
	patch(&b, ivrs_ivmd(&b, 0x20, 1, 0x5555, 0, 0x5000, 0x1000) + 8, 7, 2);
	parse_gives(OK, "");
	assert_int_equal(v.region_count, 4);
	assert_int_equal(ivrs_reserved(&v, r, 16), 8 + 1 + 1 + 1);
	assert_true(!r[7].all && r[7].count == 8 && id_of(r[7].devices[7]) == 0x13f);
	assert_true(r[8].all && r[8].base.v == 0x3000 && r[8].devices[0].segment == 0);
	assert_true(r[8].first_bus == 1 && r[8].last_bus == 1);
	assert_true(!r[9].all && r[9].count == 8 && id_of(r[9].devices[7]) == 0xffff);
	assert_true(r[10].all && r[10].devices[0].segment == 7);
	assert_true(r[10].first_bus == 0 && r[10].last_bus == 255);
}

/* ---- Defects ---- */

static void test_bad_regions(void **state)
{
	static const struct {
		uint16_t first, last;
		uint64_t start, length;
	} bad[] = { { 5, 4, 0x1000, 0x1000 },
		    { 4, 5, 0x1000, 0 },
		    { 4, 5, 1ull << 52, 0x1000 },
		    { 4, 5, 0x1000, 1ull << 52 },
		    { 4, 5, ~0ull, ~0ull } };
	uint32_t at;

	one_unit();
	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++)
		ivrs_ivmd(&b, 0x22, 1, bad[i].first, bad[i].last, bad[i].start, bad[i].length);
	ivrs_ivmd(&b, 0x22, 1, 4, 5, 0x1800, 0x1000);
	assert_int_equal(parse_length(b.length), OK);
	assert_int_equal(v.regions_lost, ARRAY_SIZE(bad));
	assert_int_equal(v.region_count, 1);
	assert_true(v.regions[0].base.v == 0x1000 && v.regions[0].size == 0x2000);
	assert_non_null(strstr(warned, "IVRS with a memory region that is not made of pages;"));
	/* Too short to say how long it is; what follows would do as a length. */
	setup(state);
	at = ivrs_ivmd(&b, 0x21, 1, 4, 0, 0x1000, 0x1000);
	b.length -= 8;
	ivrs_end(&b, at);
	put_bytes(&b, 0x80 | 12 << 16, 4);
	put_bytes(&b, 0, 8);
	one_unit();
	parse_gives(OK, "IVRS with a memory region that cannot be used;");
	assert_int_equal(v.regions_lost, 1);
}

static void test_units_without_registers(void **state)
{
	static const uint64_t bad[] = { 0, 0xfd201000, ~0ull, 1ull << 52, ~0ull << 14 };

	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		setup(state);
		one_unit();
		ivrs_end(&b, ivrs_ivhd(&b, 0x11, 0x4002, bad[i]));
		parse_gives(ERR_INVALID, "IVRS with an IOMMU whose registers are nowhere;");
	}
}

static void test_units_given_twice(void **state)
{
	uint32_t at;

	/* Two different IOMMUs cannot have the same registers. */
	one_unit();
	ivrs_end(&b, ivrs_ivhd(&b, 0x10, 0x4002, 0xfeb80000));
	parse_gives(ERR_INVALID, "IVRS with IOMMUs whose registers overlap;");
	/* Another address in another description: the newer one's. */
	setup(state);
	one_unit();
	ivrs_end(&b, ivrs_ivhd(&b, 0x11, 2, 0xfeb90000));
	parse_gives(OK, "IVRS with two addresses of one IOMMU;");
	assert_true(v.unit_count == 1 && v.units[0].base.v == 0xfeb90000);
	setup(state);
	one_unit();
	ivrs_end(&b, ivrs_ivhd(&b, 0x10, 2, 0xfeb90000));
	parse_gives(ERR_INVALID, "IVRS with two addresses of one IOMMU;");
	/* In two parts. */
	setup(state);
	one_unit();
	at = ivrs_ivhd(&b, 0x10, 2, 0xfeb80000);
	ivrs_alias_entry(&b, 66, 0x100, 0x200);
	ivrs_end(&b, at);
	parse_gives(OK, "");
	assert_int_equal(v.unit_count, 1);
	assert_int_equal(alias(0x100), 0x200);
}

static void test_bad_ranges(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 2, 0xfd200000);

	(void)state;
	ivrs_entry4(&b, 4, 0x80, 0);
	ivrs_range(&b, 0x200, 0x1ff);
	ivrs_entry4(&b, 3, 0x300, 0);
	ivrs_range(&b, 0x400, 0x4ff);
	ivrs_entry4(&b, 4, 0x600, 0);
	ivrs_entry4(&b, 3, 0x700, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "IVRS range without a start;IVRS range that ends before it starts;"
			"IVRS range without an end;IVRS range without a start;"
			"IVRS range without an end;");
	assert_int_equal(v.entries_lost, 5);
	assert_int_equal(v.range_count, 1);
	assert_int_equal(unit_of(0x480), 0);
	assert_int_equal(unit_of(0x300), IVRS_NO_UNIT);
	assert_int_equal(unit_of(0x500), IVRS_NO_UNIT);
	assert_int_equal(unit_of(0x700), IVRS_NO_UNIT);
}

/* A range does not reach into the next IOMMU's entries. */
static void test_range_across_blocks(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 2, 0xfd200000);

	(void)state;
	ivrs_entry4(&b, 3, 0x100, 0);
	ivrs_end(&b, at);
	at = ivrs_ivhd(&b, 0x10, 0x4002, 0xfd300000);
	ivrs_entry4(&b, 4, 0x200, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "IVRS range without an end;IVRS range without a start;");
	assert_int_equal(unit_of(0x180), IVRS_NO_UNIT);
}

static void test_special_named_twice(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 2, 0xfd200000);

	(void)state;
	ivrs_special_entry(&b, IVRS_IOAPIC, 4, 0xa0, 0);
	ivrs_special_entry(&b, IVRS_IOAPIC, 4, 0xa1, 0);
	ivrs_special_entry(&b, IVRS_HPET, 4, 0xa2, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "IVRS names an IOAPIC or HPET twice;");
	assert_int_equal(ivrs_special(&v, IVRS_IOAPIC, 4)->device_id, 0xa0);
	assert_int_equal(ivrs_special(&v, IVRS_HPET, 4)->device_id, 0xa2);
}

static void test_bad_entry_lengths(void **state)
{
	static const uint8_t types[] = { 66, 130, 200, 240, 241, 255 };
	uint32_t at;

	for (uint32_t i = 0; i < ARRAY_SIZE(types); i++) {
		setup(state);
		at = ivrs_ivhd(&b, 0x40, 2, 0xfd200000);
		ivrs_entry4(&b, 2, 0x100, 0);
		ivrs_entry4(&b, types[i], 0x200, 0);
		ivrs_end(&b, at);
		ivrs_end(&b, ivrs_ivhd(&b, 0x40, 0x4002, 0xfd300000));
		parse_gives(OK, "IVRS device entry with an impossible length;");
		assert_int_equal(v.unit_count, 2);
		assert_int_equal(v.entries_lost, 1);
		assert_int_equal(unit_of(0x100), 0);
		assert_int_equal(unit_of(0x200), IVRS_NO_UNIT);
	}
	/* Only the type could tell the length, even if there is room. */
	setup(state);
	at = ivrs_ivhd(&b, 0x40, 2, 0xfd200000);
	ivrs_entry4(&b, 248, 0x200, 0);
	b.length += 28;
	ivrs_entry4(&b, 2, 0x100, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "IVRS device entry with an impossible length;");
	assert_int_equal(unit_of(0x100), IVRS_NO_UNIT);
	/* The name of an ACPI device that would end in the next block. */
	setup(state);
	at = ivrs_ivhd(&b, 0x40, 2, 0xfd200000);
	ivrs_acpi_entry(&b, 0x100, 3);
	b.data[b.length - 4] = 4;
	ivrs_end(&b, at);
	ivrs_end(&b, ivrs_ivhd(&b, 0x40, 0x4002, 0xfd300000));
	parse_gives(OK, "IVRS device entry with an impossible length;");
	assert_int_equal(unit_of(0x100), IVRS_NO_UNIT);
}

/* A damaged block may hide an IOMMU, whose devices could then do what they like. */
static void test_bad_blocks(void **state)
{
	static const uint16_t lengths[] = { 0, 1, 3, 0x7fff, 0xffff };

	for (uint32_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		uint32_t at;

		setup(state);
		one_unit();
		at = ivrs_ivmd(&b, 0x20, 1, 0, 0, 0x1000, 0x1000);
		patch(&b, at + 2, lengths[i], 2);
		ivrs_end(&b, ivrs_ivhd(&b, 0x40, 0x4002, 0xfd300000));
		parse_gives(ERR_INVALID, "IVRS block with an impossible length;");
	}
	for (uint32_t type = 0x10; type < 0x12; type++) {
		setup(state);
		one_unit();
		ivrs_ivhd(&b, type, 0x4002, 0xfd300000);
		b.length--;
		ivrs_end(&b, IVRS_HEADER + 24 + 4);
		parse_gives(ERR_INVALID, "IVRS with an IOMMU that is too short;");
	}
}

static void test_unknown_blocks(void **state)
{
	uint32_t at;

	(void)state;
	one_unit();
	at = b.length;
	put_bytes(&b, 0x80, 4);
	put_bytes(&b, 0x123456789, 8);
	ivrs_end(&b, at);
	at = ivrs_ivhd(&b, 0x10, 0x4002, 0xfd300000);
	ivrs_entry4(&b, 2, 0x4100, 0);
	ivrs_end(&b, at);
	parse_gives(OK, "");
	assert_int_equal(v.unit_count, 2);
	assert_int_equal(unit_of(0x4100), 1);
}

static void test_padding(void **state)
{
	(void)state;
	ivrs_desktop(&b);
	b.length += 33;
	parse_gives(OK, "");
	b.data[b.length - 1] = 0x40;
	parse_gives(ERR_INVALID, "IVRS block with an impossible length;");
}

static void test_no_unit(void **state)
{
	(void)state;
	parse_gives(ERR_NOT_FOUND, "");
	assert_int_equal(unit_of(0), IVRS_NO_UNIT);
	assert_int_equal(alias(0x1234), 0x1234);
	ivrs_ivmd(&b, 0x20, 1, 0, 0, 0x1000, 0x1000);
	parse_gives(ERR_NOT_FOUND, "");
	assert_int_equal(parse_length(TABLE_HEADER), ERR_NOT_FOUND);
	assert_int_equal(v.info, 0);
}

static void test_too_many_units(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < IVRS_UNITS_MAX; i++)
		ivrs_end(&b, ivrs_ivhd(&b, 0x10, i << 8, 0xfd000000 + i * 0x4000));
	parse_gives(OK, "");
	assert_int_equal(v.unit_count, IVRS_UNITS_MAX);
	/* One more description of the first is no more IOMMU. */
	ivrs_end(&b, ivrs_ivhd(&b, 0x11, 0, 0xfd000000));
	parse_gives(OK, "");
	assert_int_equal(v.units[0].type, 0x11);
	ivrs_end(&b, ivrs_ivhd(&b, 0x10, 0xff00, 0xfe000000));
	parse_gives(ERR_RANGE, "IVRS with more IOMMUs than supported;");
}

static void test_too_many_entries(void **state)
{
	uint32_t at = ivrs_ivhd(&b, 0x10, 2, 0xfd200000);

	(void)state;
	for (uint32_t i = 0; i < IVRS_RANGES_MAX + 5; i++)
		ivrs_entry4(&b, 2, i, 0);
	for (uint32_t i = 0; i < IVRS_SPECIALS_MAX + 1; i++)
		ivrs_special_entry(&b, IVRS_IOAPIC, i, i, 0);
	ivrs_end(&b, at);
	ivrs_end(&b, ivrs_ivhd(&b, 0x10, 0x4002, 0xfd300000));
	for (uint32_t i = 0; i < IVRS_REGIONS_MAX + 2; i++)
		ivrs_ivmd(&b, 0x21, 1, i, 0, 0x1000, 0x1000);
	assert_int_equal(parse_length(b.length), OK);
	assert_int_equal(v.unit_count, 2);
	assert_int_equal(v.range_count, IVRS_RANGES_MAX);
	assert_int_equal(v.special_count, IVRS_SPECIALS_MAX);
	assert_int_equal(v.region_count, IVRS_REGIONS_MAX);
	assert_int_equal(v.entries_lost, 6);
	assert_int_equal(v.regions_lost, 2);
	assert_int_equal(ivrs_reserved(&v, NULL, 0), IVRS_REGIONS_MAX);
}

/*
 * Of a table cut anywhere, no IOMMU is missing without a notice: either the cut is between blocks,
 * or the table is not used.
 */
static void test_cut_anywhere(void **state)
{
	uint32_t length, at, blocks;

	(void)state;
	ivrs_server(&b);
	for (length = IVRS_HEADER; length < b.length; length++) {
		enum status r = parse_length(length);

		blocks = 0;
		for (at = IVRS_HEADER; at < length; at += b.data[at + 2] + b.data[at + 3] * 256u)
			blocks++;
		if (at > length)
			assert_int_equal(r, ERR_INVALID);
		else
			assert_int_equal(r, blocks ? OK : ERR_NOT_FOUND);
		if (r == OK)
			assert_int_equal(v.unit_count, blocks < 4 ? blocks : 4);
	}
}

/* A log on a serial line would take minutes. */
static void test_many_defects(void **state)
{
	uint32_t seen = 0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		ivrs_ivmd(&b, 0x20, 1, 0, 0, 0, 0);
	one_unit();
	assert_int_equal(parse_length(b.length), OK);
	for (const char *p = warned; (p = strchr(p, ';')); p++)
		seen++;
	assert_int_equal(seen, IVRS_WARNINGS + 1);
	assert_non_null(strstr(warned, "cannot be used;IVRS with many more defects;"));
	assert_true(v.defects == 100 && v.regions_lost == 100);
}

static void test_nobody_listens(void **state)
{
	struct acpi_table t;

	(void)state;
	one_unit();
	ivrs_end(&b, ivrs_ivhd(&b, 0x10, 0x4002, 0));
	t = copy_table(&b, b.length);
	assert_int_equal(ivrs_parse(&t, NULL, NULL, &v), ERR_INVALID);
	free_table(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_desktop, setup),
		cmocka_unit_test_setup(test_server, setup),
		cmocka_unit_test_setup(test_one_entry_for_all, setup),
		cmocka_unit_test_setup(test_newest_description, setup),
		cmocka_unit_test_setup(test_all_kinds_of_entries, setup),
		cmocka_unit_test_setup(test_names_go_before_all, setup),
		cmocka_unit_test_setup(test_last_alias, setup),
		cmocka_unit_test_setup(test_regions, setup),
		cmocka_unit_test_setup(test_bad_regions, setup),
		cmocka_unit_test_setup(test_units_without_registers, setup),
		cmocka_unit_test_setup(test_units_given_twice, setup),
		cmocka_unit_test_setup(test_bad_ranges, setup),
		cmocka_unit_test_setup(test_range_across_blocks, setup),
		cmocka_unit_test_setup(test_special_named_twice, setup),
		cmocka_unit_test_setup(test_bad_entry_lengths, setup),
		cmocka_unit_test_setup(test_bad_blocks, setup),
		cmocka_unit_test_setup(test_unknown_blocks, setup),
		cmocka_unit_test_setup(test_padding, setup),
		cmocka_unit_test_setup(test_no_unit, setup),
		cmocka_unit_test_setup(test_too_many_units, setup),
		cmocka_unit_test_setup(test_too_many_entries, setup),
		cmocka_unit_test_setup(test_cut_anywhere, setup),
		cmocka_unit_test_setup(test_many_defects, setup),
		cmocka_unit_test_setup(test_nobody_listens, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
