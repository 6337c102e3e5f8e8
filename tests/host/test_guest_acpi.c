/* SPDX-License-Identifier: BSD-2-Clause */
/* The guests' ACPI tables, read back by the parser that reads the firmware's. */
// sources: core/guest_acpi.c drivers/acpi.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/guest_acpi.h"
#include "core/vpm.h"
#include "drivers/acpi.h"

static uint8_t area[GUEST_ACPI_SIZE];
static unsigned warnings;

/* As iasl writes it: a header and Name (_S5, Package (4) { 5, 0, 0, 0 }). */
static uint8_t dsdt[36 + 13] = { 'D', 'S', 'D', 'T', sizeof(dsdt), 0,   0, 0, 2, 0,
				 'L', 'A', 'M', 'I', 'N',          'A', 0, 0, 0, 0 };

static const void *map(void *ctx, hpa_t pa, uint64_t size)
{
	(void)ctx;
	if (pa.v < GUEST_ACPI_BASE || size > sizeof(area) ||
	    pa.v - GUEST_ACPI_BASE > sizeof(area) - size)
		return NULL;
	return area + (pa.v - GUEST_ACPI_BASE);
}

static void warn(void *ctx, const char *what, hpa_t pa)
{
	(void)ctx;
	(void)pa;
	print_error("warning: %s\n", what);
	warnings++;
}

static const struct acpi_mem mem = { .map = map, .warn = warn };

/* A header, something else, and a window: QWordMemory as iasl encodes it. */
static uint8_t ssdt[36 + 5 + 46] = { 'S', 'S', 'D', 'T', sizeof(ssdt), 0, 0, 0, 2 };
static struct guest_acpi_pci pci = { .ecam = 0xe8000000,
				     .mem64 = 0x8000000000,
				     .mem64_size = 0x80000000,
				     .ssdt = ssdt,
				     .ssdt_size = sizeof(ssdt) };

static void make_ssdt(void)
{
	memset(ssdt + 36, 0x8a, 5);
	memcpy(ssdt + 41, "\x8a\x2b\0\0\x0c\x03", 6);
	memset(ssdt + 47, 0x11, 40);
}

static void make_dsdt(void)
{
	static const uint8_t s5[] = { 0x08, '_', 'S', '5', '_', 0x12, 0x07, 4, 0x0a, 5, 0, 0, 0 };
	uint8_t sum = 0;

	memcpy(dsdt + 36, s5, sizeof(s5));
	dsdt[9] = 0;
	for (size_t i = 0; i < sizeof(dsdt); i++)
		sum = (uint8_t)(sum + dsdt[i]);
	dsdt[9] = (uint8_t)-sum;
}

static struct acpi_platform build_with(const uint32_t *ids, uint32_t count,
				       const struct guest_acpi_pci *bus)
{
	struct guest_acpi_params p = { .apic_ids = ids,
				       .cpu_count = count,
				       .dsdt = dsdt,
				       .dsdt_size = sizeof(dsdt),
				       .pci = bus };
	struct acpi_platform out;
	uint32_t used;

	make_dsdt();
	memset(area, 0, sizeof(area));
	assert_int_equal(guest_acpi_build(area, &p, &used), OK);
	assert_in_range(used, 300, sizeof(area));
	warnings = 0;
	acpi_discover(&mem, HPA(GUEST_ACPI_BASE), &out);
	assert_int_equal(warnings, 0);
	return out;
}

static struct acpi_platform build(const uint32_t *ids, uint32_t count)
{
	return build_with(ids, count, NULL);
}

static void cores_appear_with_their_physical_ids(void **state)
{
	const uint32_t ids[] = { 2, 5, 300 };
	struct acpi_platform p = build(ids, 3);

	(void)state;
	assert_true(p.present && p.has_madt);
	assert_int_equal(p.madt.cpu_count, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(p.madt.cpus[i].apic_id, ids[i]);
		assert_int_equal(p.madt.cpus[i].uid, i);
		assert_true(p.madt.cpus[i].enabled);
	}
	assert_true(p.madt.cpus[2].x2apic);
	assert_false(p.madt.pcat_compat);
	assert_int_equal(p.madt.ioapic_count, 1);
	assert_int_equal(p.madt.ioapics[0].base.v, 0xfec00000);
}

static void power_management_is_hardware_reduced(void **state)
{
	const uint32_t ids[] = { 0 };
	struct acpi_platform p = build(ids, 1);

	(void)state;
	assert_true(p.has_fadt);
	assert_true(p.fadt.hw_reduced);
	assert_true(p.fadt.reset_supported);
	assert_int_equal(p.fadt.reset.space, ACPI_SPACE_IO);
	assert_int_equal(p.fadt.reset.address, VPM_RESET_PORT);
	assert_int_equal(p.fadt.reset_value, VPM_RESET_VALUE);
	assert_int_equal(p.fadt.sleep_control.address, VPM_SLEEP_CONTROL);
	assert_int_equal(p.fadt.sleep_status.address, VPM_SLEEP_STATUS);
	assert_int_equal(p.fadt.pm_timer.address, 0);
	assert_false(p.fadt.has_8042);
	assert_true(p.fadt.no_vga);
	assert_true(p.fadt.s5_valid);
	assert_int_equal(p.fadt.s5_a, VPM_S5_TYPE);
}

/* The one table with this signature. */
static const uint8_t *find_table(const char *signature, uint32_t *size)
{
	uint8_t sum = 0;

	for (uint32_t at = 0; at + 36 < sizeof(area); at += 16) {
		if (memcmp(area + at, signature, 4))
			continue;
		memcpy(size, area + at + 4, 4);
		for (uint32_t i = 0; i < *size; i++)
			sum = (uint8_t)(sum + area[at + i]);
		assert_int_equal(sum, 0);
		return area + at;
	}
	return NULL;
}

static void a_pci_bus_has_its_tables(void **state)
{
	const uint32_t ids[] = { 0 };
	struct acpi_platform p;
	const uint8_t *t;
	uint64_t v[5];
	uint32_t size;

	(void)state;
	make_ssdt();
	p = build_with(ids, 1, &pci);
	assert_int_equal(p.mcfg.count, 1);
	assert_int_equal(p.mcfg.windows[0].base.v, 0xe8000000);
	assert_int_equal(p.mcfg.windows[0].first_bus, 0);
	assert_int_equal(p.mcfg.windows[0].last_bus, 0);
	t = find_table("SSDT", &size);
	assert_non_null(t);
	assert_int_equal(size, sizeof(ssdt));
	memcpy(v, t + 47, sizeof(v));
	assert_int_equal(v[0], 0x1111111111111111);
	assert_int_equal(v[1], 0x8000000000);
	assert_int_equal(v[2], 0x807fffffff);
	assert_int_equal(v[3], 0x1111111111111111);
	assert_int_equal(v[4], 0x80000000);
	/* Nothing but the window and the checksum differs. */
	assert_memory_equal(t + 10, ssdt + 10, 37);
}

static void without_a_bus_there_are_none(void **state)
{
	const uint32_t ids[] = { 0 };
	struct acpi_platform p = build(ids, 1);
	uint32_t size;

	(void)state;
	assert_int_equal(p.mcfg.count, 0);
	assert_null(find_table("SSDT", &size));
	assert_null(find_table("MCFG", &size));
}

static void an_ssdt_without_a_window_is_refused(void **state)
{
	const uint32_t ids[] = { 0 };
	struct guest_acpi_params p = { .apic_ids = ids,
				       .cpu_count = 1,
				       .dsdt = dsdt,
				       .dsdt_size = sizeof(dsdt),
				       .pci = &pci };
	uint32_t used;

	(void)state;
	make_dsdt();
	make_ssdt();
	ssdt[42] = 0x2c;
	assert_int_equal(guest_acpi_build(area, &p, &used), ERR_INVALID);
	pci.ssdt_size = 20;
	assert_int_equal(guest_acpi_build(area, &p, &used), ERR_INVALID);
	pci.ssdt_size = sizeof(ssdt);
}

static void too_large_a_dsdt_is_refused(void **state)
{
	const uint32_t ids[] = { 0 };
	static uint8_t huge[GUEST_ACPI_SIZE];
	struct guest_acpi_params p = {
		.apic_ids = ids, .cpu_count = 1, .dsdt = huge, .dsdt_size = sizeof(huge)
	};
	uint32_t used;

	(void)state;
	assert_int_equal(guest_acpi_build(area, &p, &used), ERR_RANGE);
	p.dsdt_size = 0xffffffff;
	assert_int_equal(guest_acpi_build(area, &p, &used), ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cores_appear_with_their_physical_ids),
		cmocka_unit_test(power_management_is_hardware_reduced),
		cmocka_unit_test(a_pci_bus_has_its_tables),
		cmocka_unit_test(without_a_bus_there_are_none),
		cmocka_unit_test(an_ssdt_without_a_window_is_refused),
		cmocka_unit_test(too_large_a_dsdt_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
