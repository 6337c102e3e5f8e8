// SPDX-License-Identifier: BSD-2-Clause
/* AMD's IOMMUs: finding them, taking them over from the firmware, and what can be wrong with them. */
// sources: tests/host/amdvi_fixture.c tests/host/amdvi_model.c
// sources: drivers/amdvi.c drivers/amdvi_cmd.c drivers/amdvi_dev.c drivers/amdvi_irq.c
// sources: drivers/amdvi_event.c drivers/ivrs.c drivers/acpi.c drivers/pci.c mm/page_alloc.c
// sources: mm/spte.c mm/spte_amdvi.c
#include "amdvi_fixture.h"

#define DEVICE 0x0218
#define OTHER  0xfffe

static void test_denies_all(void **state)
{
	static const uint16_t ids[] = { 0, 1, 0xa0, DEVICE, ALIAS, ALIAS + 1, 0x7fff, 0xffff };
	const uint64_t *table;

	(void)state;
	start(ALL_UNITS);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		assert_blocked(0, ids[i]);
		assert_blocked(2, ids[i]);
	}
	assert_blocked(1, 0x4000);
	for (uint32_t id = 0; id < 65536; id++) {
		assert_no_dma(0, (uint16_t)id, 0);
		assert_no_msi(0, (uint16_t)id, 0);
	}
	/* Not only because nothing is mapped. */
	table = hpa_to_virt(HPA(model.unit[0].devtab & ~0xfffull));
	for (uint32_t id = 0; id < 65536; id++)
		assert_int_equal(table[id * 4] >> 61, 0);
}

static void test_info(void **state)
{
	(void)state;
	start(ALL_UNITS);
	assert_int_equal(iommu_info.units, 3);
	assert_int_equal(iommu_info.domains, 256);
	assert_true(iommu_info.irq_remap);
	assert_int_equal(iommu_info.reserved_count, 0);
	assert_int_equal(iommu_info.format.levels, 4);
	assert_int_equal(iommu_info.format.maxphyaddr, 48);
	assert_string_equal(iommu_info.format.name, "AMD-Vi");
	assert_int_equal(warnings, 0);
	/* As wanted, by the firmware: HtTunEn, PassPW, Isoc; by us: the rest. */
	assert_int_equal(model.unit[0].control, 0x421d07);
	assert_int_equal(model.unit[0].status & 0x18, 0x18);
}

static void test_describe(void **state)
{
	char text[200];

	(void)state;
	start(2);
	amdvi_ops.describe(1, text, sizeof(text));
	assert_non_null(strstr(text, "0000:40:00.2 at 0xfd100000"));
	assert_non_null(strstr(text, "128 bits"));
	assert_non_null(strstr(text, "caches absence"));
	amdvi_ops.describe(2, text, sizeof(text));
	assert_string_equal(text, "");
	amdvi_ops.describe(0, text, 10);
	assert_int_equal(strlen(text), 9);
}

/*
 * The firmware has left unit 0 on: DEVICE may do nothing, OTHER may reach memory, and its
 * translations and permissions are cached.
 */
static uint64_t (*firmware_table)[4];

static void firmware_on(uint64_t control)
{
	struct model_unit *m = &model.unit[0];
	uint64_t *leaf = page_alloc(&budget, 1), hpa;
	struct model_msi out;

	firmware_table = page_alloc(&budget, 512);
	for (uint32_t id = 0; id < 65536; id++) {
		firmware_table[id][0] = 3 | 1 << 9;
		firmware_table[id][2] = 1;
	}
	leaf[0] = 0x7000001ull | 3ull << 61;
	firmware_table[OTHER][0] |= virt_to_hpa(leaf).v | 3ull << 61;
	firmware_table[OTHER][1] = 1;
	firmware_table[OTHER][2] = 1 | 1ull << 58;
	m->devtab = virt_to_hpa(firmware_table).v | 0x1ff;
	m->cmd_base = virt_to_hpa(page_alloc(&budget, 1)).v | 8ull << 56;
	m->event_base = virt_to_hpa(page_alloc(&budget, 1)).v | 8ull << 56;
	m->event_head = m->event_tail = 0x40;
	m->cmd_head = m->cmd_tail = 0x80;
	m->control = control | 1;
	m->status = 0x18 | 0x47;
	assert_int_equal(model_dma(0, OTHER, 0, true, &hpa), MODEL_DONE);
	assert_int_equal(model_msi(0, OTHER, 0xfee00000, 0x400, &out), MODEL_DONE);
	assert_blocked(0, DEVICE);
}

static void no_gap(void)
{
	struct model_msi out;
	uint64_t hpa;

	assert_int_equal(model_dma(0, DEVICE, 0, true, &hpa), MODEL_BLOCKED);
	assert_int_equal(model_msi(0, DEVICE, 0xfee00000, 0, &out), MODEL_BLOCKED);
	model_dma(0, OTHER, 0, true, &hpa);
	model_msi(0, OTHER, 0xfee00000, 0x400, &out);
}

static void test_take_over(void **state)
{
	(void)state;
	firmware_on(0x100d | 1ull << 13);
	model.probe = no_gap;
	start(2);
	model.probe = NULL;
	/* What the firmware has left behind in the logs is not for us. */
	assert_int_equal(model.unit[0].event_head, model.unit[0].event_tail);
	assert_int_equal(model.unit[0].status & 0x467, 0);
	assert_blocked(0, DEVICE);
	assert_blocked(0, OTHER);
	assert_int_equal(model.unit[0].control, 0x421d07);
}

static void test_take_over_one_by_one(void **state)
{
	(void)state;
	model.unit[0].efr &= ~0x40ull; /* no command that invalidates everything */
	firmware_on(0x100d);
	model.probe = no_gap;
	start(1);
	model.probe = NULL;
	assert_blocked(0, DEVICE);
	assert_blocked(0, OTHER);
	assert_int_equal(model.unit[0].devices, 65536);
	assert_int_equal(model.unit[0].tables, 65536);
	assert_int_equal(model.unit[0].pages, 65536);
}

/* A range that the firmware has excluded from translation is translated again. */
static void test_exclusion(void **state)
{
	uint64_t hpa;

	(void)state;
	firmware_on(0x100d);
	model.unit[0].exclusion = 0x100003;
	model.unit[0].exclusion_limit = 0x1ff000;
	assert_int_equal(model_dma(0, DEVICE, 0x180000, true, &hpa), MODEL_BYPASS);
	start(1);
	assert_int_equal(model_dma(0, DEVICE, 0x180000, true, &hpa), MODEL_BLOCKED);
	assert_int_equal(model.unit[0].exclusion, 0);
}

/* Functions are announced one by one, because emulators wait for that. */
static void test_announces_functions(void **state)
{
	(void)state;
	start(2);
	assert_int_equal(model.unit[0].all, 1);
	assert_true(model.unit[0].devices >= 0x4000);
	assert_true(model.unit[1].devices >= 0x4000);
	assert_true(model.unit[1].devices < 0x5000);
}

static void test_stuck(void **state)
{
	(void)state;
	firmware_on(0x100d);
	model.unit[0].stuck = true;
	assert_int_equal(try_start(2), ERR_TIMEOUT);
	/* Off, both. */
	assert_int_equal(model.unit[0].control, 0);
	assert_int_equal(model.unit[1].control, 0);
}

static void test_dead(void **state)
{
	(void)state;
	model.unit[1].dead = true;
	assert_int_equal(try_start(2), ERR_TIMEOUT);
	assert_int_equal(model.unit[0].control, 0);
	assert_int_equal(model.unit[1].control, 0);
	assert_true(warnings > 0);
	setup(NULL);
	model.unit[0].dead = true;
	model.unit[0].efr &= ~0x40ull;
	assert_int_equal(try_start(1), ERR_TIMEOUT);
}

static void test_no_memory(void **state)
{
	enum status s = ERR_NOMEM;
	uint64_t limit;

	(void)state;
	for (limit = 0; s != OK; limit += limit == 13 ? 500 : 1) {
		budget.limit = limit;
		s = try_start(2);
		if (s == OK)
			break;
		assert_int_equal(s, ERR_NOMEM);
		assert_int_equal(budget.used, 0);
		assert_int_equal(model.unit[0].control, 0);
	}
	assert_in_range(limit, 512 + 13, 512 + 14);
}

static void *no_map(hpa_t hpa, uint64_t size)
{
	return hpa.v == MODEL_BASE(1) ? NULL : model_map(hpa, size);
}

static void test_no_registers(void **state)
{
	struct acpi_table t;

	(void)state;
	model.unit[0].no_regs = true;
	assert_int_equal(try_start(1), ERR_UNSUPPORTED);
	model.unit[0].no_regs = false;
	env.map = no_map;
	t = make_ivrs(2);
	assert_int_equal(amdvi_ops.start(&t, &env), ERR_NOMEM);
	assert_int_equal(budget.used, 0);
	t.length = 40;
	assert_int_not_equal(amdvi_ops.start(&t, &env), OK);
	assert_int_equal(budget.used, 0);
}

static void test_formats(void **state)
{
	(void)state;
	model.unit[1].efr |= 0xc00; /* HATS 3: no such tables */
	assert_int_equal(try_start(2), ERR_UNSUPPORTED);
	assert_int_equal(budget.used, 0);
	setup(NULL);
	ivrs_attributes = 1; /* interrupt remapping alone */
	assert_int_equal(try_start(2), ERR_UNSUPPORTED);
	setup(NULL);
	ivrs_attributes = 0xfe;
	model.unit[1].efr |= 0x800; /* six levels: four as well */
	start(2);
	assert_int_equal(iommu_info.format.levels, 4);
}

/* No address size for virtual addresses, as an emulator has it. */
static void test_no_va_size(void **state)
{
	struct acpi_table t = make_ivrs(1);
	uint32_t info = 40 << 8;

	(void)state;
	memcpy((uint8_t *)(uintptr_t)t.data + 36, &info, 4);
	assert_int_equal(amdvi_ops.start(&t, &env), OK);
	assert_int_equal(iommu_info.format.maxphyaddr, 40);
	assert_int_equal(iommu_info.format.gpa_bits, 48);
}

static void test_capability(void **state)
{
	uint32_t base;

	(void)state;
	/* The registers' address is not set: it is. */
	model_config(0, 0x0002, false);
	memset(model.unit[0].config + 0x44, 0, 8);
	start(1);
	memcpy(&base, model.unit[0].config + 0x44, 4);
	assert_int_equal(base, MODEL_BASE(0) | 1);
	assert_int_equal(warnings, 0);
	/* It is a different one: told, and ignored. */
	setup(NULL);
	model.unit[0].config[0x46] = 0x33;
	start(1);
	assert_int_equal(warnings, 1);
	assert_int_equal(model.unit[0].config[0x46], 0x33);
	/* It is elsewhere in the list. */
	setup(NULL);
	memcpy(model.unit[0].config + 0x90, model.unit[0].config + 0x40, 0x18);
	memset(model.unit[0].config + 0x40, 0, 0x18);
	model.unit[0].config[0x34] = 0x90;
	start(1);
	assert_int_equal(warnings, 0);
	/* Not an IOMMU at all: its configuration space is left alone, IVRS says what it can do. */
	setup(NULL);
	model.unit[0].config[0x40] = 9;
	start(1);
	assert_int_equal(warnings, 1);
	assert_int_equal(model.unit[0].config[0x66] & 1, 1);
	assert_int_equal(amdvi_ops.fault_nmi(0), ERR_UNSUPPORTED);
	assert_blocked(0, DEVICE);
	assert_int_equal(model.unit[0].all, 1);
	/* It has no extended features. */
	setup(NULL);
	model.unit[0].config[0x43] &= ~8;
	start(1);
	assert_int_equal(model.unit[0].all, 0);
	assert_int_equal(model.unit[0].control & 1 << 17, 0);
}

/* SMIs know no device table; the filter lets those of the chipset pass, and what is locked. */
static bool smi(unsigned n, uint16_t id)
{
	struct model_msi out;

	return model_msi(n, id, 0xfee00000, 0x200, &out) == MODEL_BYPASS;
}

static void test_smis(void **state)
{
	(void)state;
	model.unit[0].smi_filter[1] = 0x10000 | DEVICE;
	model.unit[1].smi_filter[0] = 0x30000 | 0x4100;
	start(2);
	assert_true(smi(0, IOAPIC_SELF));
	assert_false(smi(0, DEVICE));
	assert_false(smi(0, 0));
	assert_true(smi(1, 0x4100));
	assert_true(smi(1, 0x4001));
	assert_false(smi(1, 0x4200));
	/* Without a filter they cannot be helped. */
	setup(NULL);
	model.unit[0].efr &= ~0x30000ull;
	start(1);
	assert_true(smi(0, DEVICE));
	/* More than there is room for: locked to nothing. */
	setup(NULL);
	model.unit[0].smi_filter[0] = model.unit[0].smi_filter[1] = 0x20000;
	start(1);
	assert_false(smi(0, IOAPIC_SELF));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_denies_all, setup),
		cmocka_unit_test_setup(test_info, setup),
		cmocka_unit_test_setup(test_describe, setup),
		cmocka_unit_test_setup(test_take_over, setup),
		cmocka_unit_test_setup(test_take_over_one_by_one, setup),
		cmocka_unit_test_setup(test_exclusion, setup),
		cmocka_unit_test_setup(test_announces_functions, setup),
		cmocka_unit_test_setup(test_stuck, setup),
		cmocka_unit_test_setup(test_dead, setup),
		cmocka_unit_test_setup(test_no_memory, setup),
		cmocka_unit_test_setup(test_no_registers, setup),
		cmocka_unit_test_setup(test_formats, setup),
		cmocka_unit_test_setup(test_no_va_size, setup),
		cmocka_unit_test_setup(test_capability, setup),
		cmocka_unit_test_setup(test_smis, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
