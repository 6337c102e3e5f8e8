// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/acpi.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/acpi.h"

/*
 * A small physical memory. Each mapping is a separate heap block of exactly the size that was
 * asked for, so that the address sanitizer sees every byte read beyond it.
 */
#define MEMORY_BASE 0x1000u
#define MEMORY_SIZE 0x10000u

static uint8_t memory[MEMORY_SIZE];
static int mapped;
static char warned[4096];

static const void *map(void *ctx, hpa_t pa, uint64_t size)
{
	uint8_t *p;

	(void)ctx;
	if (pa.v < MEMORY_BASE || size > MEMORY_SIZE || pa.v - MEMORY_BASE > MEMORY_SIZE - size)
		return NULL;
	p = malloc(size);
	assert_non_null(p);
	memcpy(p, memory + (pa.v - MEMORY_BASE), size);
	assert_true(++mapped <= 4);
	return p;
}

static void unmap(void *ctx, const void *va, uint64_t size)
{
	(void)ctx;
	(void)size;
	mapped--;
	free((void *)(uintptr_t)va);
}

static void warn(void *ctx, const char *what, hpa_t pa)
{
	size_t n = strlen(warned);

	(void)ctx;
	(void)pa;
	snprintf(warned + n, sizeof(warned) - n, "%s;", what);
}

static const struct acpi_mem mem = { .map = map, .unmap = unmap, .warn = warn };

static uint8_t *at(uint64_t pa)
{
	assert_true(pa >= MEMORY_BASE && pa < MEMORY_BASE + MEMORY_SIZE);
	return memory + (pa - MEMORY_BASE);
}

static void put(uint64_t pa, uint64_t v, uint32_t bytes)
{
	memcpy(at(pa), &v, bytes);
}

static void fix_sum(uint64_t pa, uint32_t length, uint32_t sum_at)
{
	uint8_t sum = 0;

	*at(pa + sum_at) = 0;
	for (uint32_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + *at(pa + i));
	*at(pa + sum_at) = (uint8_t)-sum;
}

static void table(uint64_t pa, const char *signature, uint32_t length, uint8_t revision)
{
	memcpy(at(pa), signature, 4);
	put(pa + 4, length, 4);
	*at(pa + 8) = revision;
	fix_sum(pa, length, 9);
}

#define RSDP   0x1000
#define XSDT   0x1100
#define RSDT   0x1200
#define MADT   0x2000
#define FADT   0x3000
#define DSDT   0x4000
#define MCFG   0x5000
#define SPCR   0x6000
#define HPET   0x7000
#define SSDT   0x8000
#define ENTRY0 (MADT + 44)

static void put_rsdp(uint8_t revision, uint64_t rsdt, uint64_t xsdt)
{
	memcpy(at(RSDP), "RSD PTR ", 8);
	*at(RSDP + 15) = revision;
	put(RSDP + 16, rsdt, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, xsdt, 8);
	fix_sum(RSDP, 20, 8);
	fix_sum(RSDP, 36, 32);
}

static void put_roots(const uint64_t *tables, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		put(XSDT + 36 + 8 * i, tables[i], 8);
		put(RSDT + 36 + 4 * i, tables[i], 4);
	}
	table(XSDT, "XSDT", 36 + 8 * count, 1);
	table(RSDT, "RSDT", 36 + 4 * count, 1);
}

/* Append to the MADT; returns where the next entry goes. */
static uint64_t madt_add(uint64_t pa, const uint8_t *entry, uint32_t length)
{
	memcpy(at(pa), entry, length);
	return pa + length;
}

#define ADD(pa, ...) \
	madt_add(pa, (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

static void end_madt(uint64_t end)
{
	put(MADT + 36, 0xfee00000, 4);
	put(MADT + 40, 1, 4);
	table(MADT, "APIC", (uint32_t)(end - MADT), 5);
}

static int setup(void **state)
{
	static const uint64_t tables[] = { MADT, FADT, MCFG, SPCR, HPET, SSDT };
	uint64_t end = ENTRY0;

	(void)state;
	memset(memory, 0, sizeof(memory));
	warned[0] = 0;
	mapped = 0;
	put_rsdp(2, RSDT, XSDT);
	put_roots(tables, 6);
	end = ADD(end, 0, 8, 1, 0, 1, 0, 0, 0);                             /* LAPIC 0 */
	end = ADD(end, 0, 8, 2, 2, 1, 0, 0, 0);                             /* LAPIC 2 */
	end = ADD(end, 0, 8, 3, 4, 0, 0, 0, 0);                             /* disabled */
	end = ADD(end, 0, 8, 4, 6, 2, 0, 0, 0);                             /* online capable */
	end = ADD(end, 0, 8, 5, 0xff, 0, 0, 0, 0);                          /* empty socket */
	end = ADD(end, 1, 12, 8, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0);          /* IOAPIC */
	end = ADD(end, 1, 12, 9, 0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0);      /* IOAPIC */
	end = ADD(end, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0);                      /* IRQ 0 is GSI 2 */
	end = ADD(end, 2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0);                   /* IRQ 9 low, level */
	end = ADD(end, 3, 8, 0x0d, 0, 23, 0, 0, 0);                         /* NMI source */
	end = ADD(end, 4, 6, 0xff, 5, 0, 0);                                /* NMI at LINT0 */
	end = ADD(end, 9, 16, 0, 0, 0x10, 1, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0); /* x2APIC 0x110 */
	end = ADD(end, 0x55, 4, 1, 2);                                      /* unknown */
	end_madt(end);
	put(FADT + 40, DSDT, 4);
	put(FADT + 46, 9, 2);
	put(FADT + 48, 0xb2, 4);
	*at(FADT + 52) = 0xa0;
	put(FADT + 64, 0x604, 4);
	put(FADT + 76, 0x608, 4);
	*at(FADT + 89) = 2;
	*at(FADT + 91) = 4;
	put(FADT + 109, 2, 2);
	put(FADT + 112, 1 << 8 | 1 << 10, 4);
	*at(FADT + 116) = ACPI_SPACE_IO;
	*at(FADT + 117) = 8;
	put(FADT + 120, 0xcf9, 8);
	*at(FADT + 128) = 0x0f;
	put(FADT + 140, DSDT, 8);
	table(FADT, "FACP", 276, 6);
	memcpy(at(DSDT + 50), "\x08_S5_\x12\x06\x04\x0a\x05\x0a\x07\x00\x00", 14);
	table(DSDT, "DSDT", 100, 2);
	put(MCFG + 44, 0xb0000000, 8);
	*at(MCFG + 55) = 255;
	table(MCFG, "MCFG", 60, 1);
	*at(SPCR + 40) = ACPI_SPACE_IO;
	*at(SPCR + 41) = 8;
	put(SPCR + 44, 0x2f8, 8);
	*at(SPCR + 52) = 3;
	*at(SPCR + 53) = 3;
	put(SPCR + 54, 3, 4);
	*at(SPCR + 58) = 7;
	put(SPCR + 64, 0xffffffff, 4);
	table(SPCR, "SPCR", 80, 2);
	put(HPET + 44, 0xfed00000, 8);
	table(HPET, "HPET", 56, 1);
	table(SSDT, "SSDT", 40, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(mapped, 0);
	return 0;
}

static struct acpi_platform p;

static void discover(void)
{
	warned[0] = 0;
	acpi_discover(&mem, HPA(RSDP), &p);
}

static void check_madt(void)
{
	assert_int_equal(p.madt.cpu_count, 5);
	assert_int_equal(p.madt.cpus[0].apic_id, 0);
	assert_int_equal(p.madt.cpus[0].uid, 1);
	assert_true(p.madt.cpus[0].enabled);
	assert_int_equal(p.madt.cpus[1].apic_id, 2);
	assert_false(p.madt.cpus[2].enabled);
	assert_false(p.madt.cpus[2].online_capable);
	assert_true(p.madt.cpus[3].online_capable);
	assert_int_equal(p.madt.cpus[4].apic_id, 0x110);
	assert_int_equal(p.madt.cpus[4].uid, 7);
	assert_true(p.madt.cpus[4].x2apic);
}

static void test_good_tables(void **state)
{
	(void)state;
	discover();
	assert_string_equal(warned, "");
	assert_true(p.present && p.has_madt && p.has_fadt && p.has_spcr && p.has_mcfg &&
		    p.has_hpet);
	check_madt();
	assert_true(p.madt.pcat_compat);
	assert_true(p.madt.lapic.v == 0xfee00000);
	assert_int_equal(p.madt.ioapic_count, 2);
	assert_true(p.madt.ioapics[1].base.v == 0xfec01000);
	assert_int_equal(p.madt.ioapics[1].gsi_base, 24);
	assert_int_equal(p.madt.isa[0].gsi, 2);
	assert_int_equal(p.madt.isa[4].gsi, 4);
	assert_false(p.madt.isa[4].active_low);
	assert_true(p.madt.isa[9].active_low && p.madt.isa[9].level);
	assert_int_equal(p.madt.nmi_count, 1);
	assert_int_equal(p.madt.nmi_sources[0].gsi, 23);
	assert_int_equal(p.madt.lapic_nmi_lint, 0);
	assert_true(p.mcfg.count == 1 && p.mcfg.windows[0].base.v == 0xb0000000);
	assert_int_equal(p.mcfg.windows[0].last_bus, 255);
	assert_true(p.hpet.v == 0xfed00000);
}

static void test_fadt(void **state)
{
	(void)state;
	discover();
	assert_true(p.fadt.pm_timer.address == 0x608 && p.fadt.pm_timer.space == ACPI_SPACE_IO);
	assert_true(p.fadt.pm_timer_32bit);
	assert_true(p.fadt.pm1a_control.address == 0x604);
	assert_true(p.fadt.pm1b_control.address == 0);
	assert_true(p.fadt.reset_supported && p.fadt.reset.address == 0xcf9);
	assert_int_equal(p.fadt.reset_value, 0x0f);
	assert_true(p.fadt.has_8042 && !p.fadt.no_msi);
	assert_int_equal(p.fadt.smi_command, 0xb2);
	assert_true(p.fadt.s5_valid);
	assert_int_equal(p.fadt.s5_a, 5);
	assert_int_equal(p.fadt.s5_b, 7);
	/* The extended block wins. */
	*at(FADT + 208) = ACPI_SPACE_MEMORY;
	put(FADT + 212, 0xfed80808, 8);
	table(FADT, "FACP", 276, 6);
	discover();
	assert_true(p.fadt.pm_timer.address == 0xfed80808);
	assert_int_equal(p.fadt.pm_timer.space, ACPI_SPACE_MEMORY);
}

static void test_fadt_of_acpi_1(void **state)
{
	(void)state;
	put(FADT + 112, 1 << 8, 4);
	table(FADT, "FACP", 116, 1);
	discover();
	assert_true(p.has_fadt && p.fadt.pm_timer.address == 0x608);
	assert_false(p.fadt.reset_supported);
	assert_true(p.fadt.has_8042);
	assert_true(p.fadt.dsdt.v == DSDT && p.fadt.s5_valid);
}

static void test_fadt_hw_reduced(void **state)
{
	(void)state;
	put(FADT + 112, 1 << 20, 4);
	*at(FADT + 244) = ACPI_SPACE_IO;
	put(FADT + 248, 0x600, 8);
	table(FADT, "FACP", 276, 6);
	discover();
	assert_true(p.fadt.hw_reduced && p.fadt.sleep_control.address == 0x600);
	assert_true(p.fadt.pm_timer.address == 0 && p.fadt.pm1a_control.address == 0);
}

static void test_bad_reset_register(void **state)
{
	(void)state;
	put(FADT + 120, 0x12345, 8);
	table(FADT, "FACP", 276, 6);
	discover();
	assert_false(p.fadt.reset_supported);
	assert_non_null(strstr(warned, "reset register"));
}

static void test_spcr(void **state)
{
	(void)state;
	discover();
	assert_true(p.spcr.is_16550 && p.spcr.base.address == 0x2f8);
	assert_int_equal(p.spcr.baud, 115200);
	assert_true(p.spcr.has_irq && p.spcr.has_gsi);
	assert_int_equal(p.spcr.gsi, 3);
	assert_false(p.spcr.is_pci);
	assert_int_equal(p.spcr.clock, 0);
	/* Revision 4 has the clock and the exact rate. */
	put(SPCR + 76, 48000000, 4);
	put(SPCR + 80, 921600, 4);
	put(SPCR + 64, 0x11112222, 4);
	*at(SPCR + 69) = 0xff;
	table(SPCR, "SPCR", 84, 4);
	discover();
	assert_int_equal(p.spcr.clock, 48000000);
	assert_int_equal(p.spcr.baud, 921600);
	assert_true(p.spcr.is_pci && p.spcr.device_id == 0x2222 && p.spcr.vendor_id == 0x1111);
	assert_int_equal(p.spcr.device, 31);
	/* Switched off. */
	put(SPCR + 44, 0, 8);
	table(SPCR, "SPCR", 80, 2);
	discover();
	assert_false(p.has_spcr);
}

static void test_no_acpi(void **state)
{
	(void)state;
	acpi_discover(&mem, HPA(0), &p);
	assert_false(p.present || p.has_madt || p.has_fadt || p.has_hpet);
	assert_int_equal(p.madt.cpu_count, 0);
	assert_true(p.madt.lapic.v == 0xfee00000);
	assert_true(p.madt.ioapic_count == 1 && p.madt.ioapics[0].base.v == 0xfec00000);
	assert_int_equal(p.madt.isa[4].gsi, 4);
	assert_true(p.madt.pcat_compat);
	assert_true(p.hpet.v == 0xfed00000);
	/* An address that cannot be read. */
	acpi_discover(&mem, HPA(~0ull - 4), &p);
	assert_false(p.present);
	assert_int_equal(p.madt.ioapic_count, 1);
}

static void test_broken_rsdp(void **state)
{
	(void)state;
	*at(RSDP) = 'X';
	discover();
	assert_false(p.present);
	setup(state);
	*at(RSDP + 8) ^= 1;
	discover();
	assert_false(p.present);
	assert_non_null(strstr(warned, "RSDP"));
}

static void test_falls_back_to_rsdt(void **state)
{
	(void)state;
	*at(RSDP + 32) ^= 1; /* extended checksum */
	discover();
	assert_true(p.present && p.has_madt);
	assert_non_null(strstr(warned, "extended checksum"));
	check_madt();
	/* The XSDT is something else. */
	setup(state);
	memcpy(at(XSDT), "ABCD", 4);
	discover();
	assert_true(p.present && p.has_fadt);
	assert_non_null(strstr(warned, "RSDT"));
	/* RSDP with an absurd length. */
	setup(state);
	put(RSDP + 20, 0xffffffff, 4);
	discover();
	assert_true(p.present);
	/* ACPI 1.0 does not look behind byte 20. */
	setup(state);
	put_rsdp(0, RSDT, 0xdeadbeef);
	discover();
	assert_true(p.present && p.has_hpet);
	assert_string_equal(warned, "");
}

static void test_root_lengths(void **state)
{
	static const uint32_t lengths[] = {
		0, 1, 35, 36, 37, 43, 0x01000001, 0x80000000, 0xffffffff
	};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		setup(state);
		put_rsdp(2, 0, XSDT);
		put(XSDT + 4, lengths[i], 4);
		discover();
		assert_false(p.has_madt);
		teardown(state);
	}
}

static void test_checksum_only_warns(void **state)
{
	(void)state;
	*at(MADT + 9) ^= 0xff;
	discover();
	assert_true(p.has_madt);
	assert_non_null(strstr(warned, "checksum"));
	check_madt();
}

static void test_root_entries_lead_nowhere(void **state)
{
	static const uint64_t tables[] = { 0, ~0ull, 0xfffffffffffff000, XSDT, 0x10ff0, FADT };

	(void)state;
	put_roots(tables, 6);
	discover();
	assert_true(p.has_fadt);
	assert_false(p.has_madt || p.has_mcfg);
}

static void test_instances(void **state)
{
	static const uint64_t tables[] = { SSDT, FADT, DSDT, SSDT + 0x100, SSDT + 0x200 };
	struct acpi a;
	struct acpi_table t;

	(void)state;
	put_roots(tables, 5);
	table(SSDT + 0x100, "SSDT", 50, 1);
	put(SSDT + 0x104, 10, 4); /* impossible: not counted */
	table(SSDT + 0x200, "SSDT", 60, 1);
	assert_int_equal(acpi_init(&a, &mem, HPA(RSDP)), OK);
	assert_int_equal(acpi_find(&a, "SSDT", 0, &t), OK);
	assert_int_equal(t.length, 40);
	acpi_put(&a, &t);
	assert_int_equal(acpi_find(&a, "SSDT", 1, &t), OK);
	assert_int_equal(t.length, 60);
	acpi_put(&a, &t);
	assert_int_equal(acpi_find(&a, "SSDT", 2, &t), ERR_NOT_FOUND);
	assert_int_equal(acpi_find(&a, "NONE", 0, &t), ERR_NOT_FOUND);
}

static void test_madt_entry_lengths(void **state)
{
	uint64_t end;

	/* No length: the walk ends instead of turning in a circle. */
	end = ADD(ENTRY0, 0, 8, 1, 0, 1, 0, 0, 0);
	end = ADD(end, 0, 0, 2, 2, 1, 0, 0, 0);
	end_madt(end);
	discover();
	assert_int_equal(p.madt.cpu_count, 1);
	assert_non_null(strstr(warned, "impossible length"));
	/* Beyond the table. */
	setup(state);
	end = ADD(ENTRY0, 0, 200, 1, 0, 1, 0, 0, 0);
	end_madt(end);
	discover();
	assert_int_equal(p.madt.cpu_count, 0);
	/* Too short for its type: skipped, the next one counts. */
	setup(state);
	end = ADD(ENTRY0, 1, 4, 0, 0);
	end = ADD(end, 0, 8, 1, 0, 1, 0, 0, 0);
	end = ADD(end, 0); /* one byte is no entry */
	end_madt(end);
	discover();
	assert_int_equal(p.madt.cpu_count, 1);
	assert_int_equal(p.madt.ioapic_count, 0);
	assert_non_null(strstr(warned, "too short"));
}

static void test_madt_repeated_cpus(void **state)
{
	uint64_t end = ENTRY0;

	(void)state;
	end = ADD(end, 0, 8, 9, 3, 0, 0, 0, 0); /* unused entry with a used id */
	end = ADD(end, 0, 8, 1, 3, 1, 0, 0, 0);
	end = ADD(end, 9, 16, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0);
	end = ADD(end, 9, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0, 0);
	end = ADD(end, 9, 16, 0, 0, 0xff, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0);
	end_madt(end);
	discover();
	assert_int_equal(p.madt.cpu_count, 2);
	assert_true(p.madt.cpus[0].enabled && !p.madt.cpus[0].x2apic);
	assert_int_equal(p.madt.cpus[0].uid, 1);
	assert_int_equal(p.madt.cpus[1].apic_id, 0xff);
}

static void test_madt_too_many(void **state)
{
	uint64_t end = ENTRY0;

	(void)state;
	for (uint32_t i = 0; i < 40; i++)
		end = ADD(end, 1, 12, (uint8_t)i, 0, 0, (uint8_t)i, 0xc0, 0xfe, (uint8_t)i, 1, 0,
			  0);
	for (uint32_t i = 0; i < 40; i++)
		end = ADD(end, 3, 8, 0, 0, (uint8_t)i, 0, 0, 0);
	end_madt(end);
	discover();
	assert_int_equal(p.madt.ioapic_count, ACPI_MAX_IOAPICS);
	assert_int_equal(p.madt.nmi_count, ACPI_MAX_NMIS);
	/* 300 processors, more than have a place. */
	put_roots((const uint64_t[]){ MADT }, 1);
	end = ENTRY0;
	for (uint32_t i = 0; i < 300; i++)
		end = ADD(end, 9, 16, 0, 0, (uint8_t)i, (uint8_t)(1 + i / 256), 0, 0, 1, 0, 0, 0,
			  (uint8_t)i, 0, 0, 0);
	end_madt(end);
	discover();
	assert_int_equal(p.madt.cpu_count, ACPI_MAX_CPUS);
	assert_int_equal(p.madt.cpus_extra, 300 - ACPI_MAX_CPUS);
	assert_non_null(strstr(warned, "processors"));
}

static void test_madt_bad_entries(void **state)
{
	uint64_t end = ENTRY0;

	(void)state;
	end = ADD(end, 2, 10, 1, 4, 7, 0, 0, 0, 0, 0);       /* not ISA */
	end = ADD(end, 2, 10, 0, 16, 7, 0, 0, 0, 0, 0);      /* no such interrupt */
	end = ADD(end, 1, 12, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* no address */
	end = ADD(end, 1, 12, 8, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0);
	end = ADD(end, 1, 12, 9, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0);   /* the same address */
	end = ADD(end, 1, 12, 9, 0, 0, 0x10, 0xc0, 0xfe, 0, 0, 0, 0); /* the same GSIs */
	end = ADD(end, 5, 12, 0, 0, 0, 0, 0xe1, 0xfe, 1, 0, 0, 0);    /* LAPIC elsewhere */
	end_madt(end);
	discover();
	for (uint32_t i = 0; i < ACPI_ISA_IRQS; i++)
		assert_int_equal(p.madt.isa[i].gsi, i);
	assert_int_equal(p.madt.ioapic_count, 1);
	assert_true(p.madt.lapic.v == 0x1fee10000);
}

static void test_mcfg_entries(void **state)
{
	(void)state;
	put(MCFG + 60, 0xc0000800, 8); /* not aligned */
	put(MCFG + 76, 0xd0000000, 8);
	*at(MCFG + 86) = 9; /* ends before it begins */
	*at(MCFG + 87) = 8;
	put(MCFG + 92, 0xfffffffffffff000, 8);
	put(MCFG + 108, 0xe0000000, 8);
	put(MCFG + 116, 1, 2);
	*at(MCFG + 118) = 0x20;
	*at(MCFG + 119) = 0x3f;
	table(MCFG, "MCFG", 44 + 16 * 5 + 7, 1);
	discover();
	assert_int_equal(p.mcfg.count, 2);
	assert_int_equal(p.mcfg.windows[1].segment, 1);
	assert_int_equal(p.mcfg.windows[1].first_bus, 0x20);
	assert_non_null(strstr(warned, "MCFG"));
	table(MCFG, "MCFG", 44, 1);
	discover();
	assert_false(p.has_mcfg);
}

static void test_hpet_address(void **state)
{
	(void)state;
	put(HPET + 44, 0xfed00001, 8);
	table(HPET, "HPET", 56, 1);
	discover();
	assert_false(p.has_hpet);
	assert_true(p.hpet.v == 0xfed00000);
}

/* One package at the place where definition blocks begin. */
static bool parse_s5(const char *aml, uint32_t length, uint8_t *a, uint8_t *b)
{
	uint8_t *block = calloc(1, 40 + length);
	bool found;

	memcpy(block + 40, aml, length);
	found = acpi_parse_s5(block, 40 + length, a, b);
	free(block);
	return found;
}

#define S5(text) parse_s5(text, sizeof(text) - 1, &a, &b)

static void test_s5_forms(void **state)
{
	uint8_t a = 0xff, b = 0xff;

	(void)state;
	assert_true(S5("\x08_S5_\x12\x06\x04\x00\x01\x00\x00") && a == 0 && b == 1);
	assert_true(S5("\x08\\_S5_\x12\x08\x04\x0a\x07\x0a\x05\x00\x00") && a == 7 && b == 5);
	assert_true(S5("\x08_S5_\x12\x0a\x04\x0b\x03\x00\x0c\x02\x00\x00\x00") && a == 3 && b == 2);
	/* Two bytes of length. */
	assert_true(S5("\x08_S5_\x12\x47\x00\x04\x0a\x05\x0a\x06\x00") && a == 5 && b == 6);
}

static void test_s5_broken(void **state)
{
	uint8_t a = 0, b = 0;

	(void)state;
	assert_false(S5("\x08_S4_\x12\x06\x04\x00\x01\x00\x00"));
	assert_false(S5("x_S5_\x12\x06\x04\x00\x01\x00\x00"));    /* no name */
	assert_false(S5("\x08_S5_\x14\x06\x04\x00\x01\x00\x00")); /* a method */
	assert_false(S5("\x08_S5_\x12\x06\x01\x00\x01\x00\x00")); /* one element */
	assert_false(S5("\x08_S5_\x12\x06\x04\x0a\x08\x00\x00")); /* out of range */
	assert_false(S5("\x08_S5_\x12\x06\x04\x0d\x08\x00\x00")); /* a string */
	assert_false(S5("\x08_S5_\x12\x02\x04\x00\x01\x00\x00")); /* ends too early */
	assert_false(S5("\x08_S5_\x12\x3f\x04\x00\x01\x00\x00")); /* ends behind the table */
	assert_false(S5("\x08_S5_\x12\xc6\xff\xff\xff\x04\x00"));
	assert_false(S5("\x08_S5_\x12"));
	assert_false(S5("\x08_S5_"));
	assert_false(S5("\x08_S5"));
	assert_false(S5("\x08_S5_\x12\x04\x02\x0b\x01"));
	/* A reference before the definition. */
	assert_true(S5("\\_S5_x\x08_S5_\x12\x06\x04\x00\x01\x00\x00"));
	assert_false(acpi_parse_s5((const uint8_t *)"", 0, &a, &b));
}

static void test_s5_in_ssdt(void **state)
{
	(void)state;
	memset(at(DSDT + 50), 0, 20);
	table(DSDT, "DSDT", 100, 2);
	discover();
	assert_false(p.fadt.s5_valid);
	memcpy(at(SSDT + 50), "\x08_S5_\x12\x06\x04\x01\x01\x00\x00", 12);
	table(SSDT, "SSDT", 70, 1);
	discover();
	assert_true(p.fadt.s5_valid && p.fadt.s5_a == 1);
	/* A DSDT that is none. */
	memcpy(at(DSDT), "XXXX", 4);
	discover();
	assert_true(p.fadt.s5_valid);
}

/* Every single byte of every table set to every interesting value: nothing may read outside. */
static void test_any_byte_broken(void **state)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	static const struct {
		uint64_t pa;
		uint32_t length;
	} areas[] = { { RSDP, 36 },  { XSDT, 84 }, { RSDT, 60 }, { MADT, 180 }, { FADT, 276 },
		      { DSDT, 100 }, { MCFG, 60 }, { SPCR, 84 }, { HPET, 56 },  { SSDT, 40 } };

	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		for (uint32_t o = 0; o < areas[i].length; o++) {
			for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
				setup(state);
				*at(areas[i].pa + o) = values[v];
				if (i == 0) {
					fix_sum(RSDP, 20, 8);
					fix_sum(RSDP, 36, 32);
				}
				discover();
				teardown(state);
			}
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_good_tables),
		TEST(test_fadt),
		TEST(test_fadt_of_acpi_1),
		TEST(test_fadt_hw_reduced),
		TEST(test_bad_reset_register),
		TEST(test_spcr),
		TEST(test_no_acpi),
		TEST(test_broken_rsdp),
		TEST(test_falls_back_to_rsdt),
		TEST(test_root_lengths),
		TEST(test_checksum_only_warns),
		TEST(test_root_entries_lead_nowhere),
		TEST(test_instances),
		TEST(test_madt_entry_lengths),
		TEST(test_madt_repeated_cpus),
		TEST(test_madt_too_many),
		TEST(test_madt_bad_entries),
		TEST(test_mcfg_entries),
		TEST(test_hpet_address),
		TEST(test_s5_forms),
		TEST(test_s5_broken),
		TEST(test_s5_in_ssdt),
		TEST(test_any_byte_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
