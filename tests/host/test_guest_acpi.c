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

static struct acpi_platform build(const uint32_t *ids, uint32_t count)
{
	struct guest_acpi_params p = {
		.apic_ids = ids, .cpu_count = count, .dsdt = dsdt, .dsdt_size = sizeof(dsdt)
	};
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
		cmocka_unit_test(too_large_a_dsdt_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
