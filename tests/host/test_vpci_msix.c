// SPDX-License-Identifier: BSD-2-Clause
// sources: core/vpci_irq.c core/vpci_msi.c core/vpci_msix.c core/vpci_intx.c core/vlapic.c
// sources: core/vioapic.c drivers/pci.c tests/host/mock_core.c tests/host/vpci_irq_fixture.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vpci_irq_fixture.h"

#define CONTROL  2
#define ENABLE   0x8000u
#define MASK_ALL 0x4000u
#define TABLE    0x1008u
#define ENTRIES  5u
#define NONE     (~0ull)

#define MESSAGE(apic) (0xfee00000u | (uint32_t)(apic) << 12)

static const struct fx_shape five = { .entries = ENTRIES, .table = TABLE, .pba = 0x1800 };
static const struct fx_shape both = {
	.msi = true, .log2_messages = 2, .entries = 3, .table = TABLE, .pba = 0x1800
};
static const struct fx_shape more = {
	.msi = true, .log2_messages = 2, .entries = ENTRIES, .table = TABLE, .pba = 0x1800
};

static uint32_t at(unsigned entry, unsigned offset)
{
	return TABLE + 16 * entry + offset;
}

static void put(unsigned entry, unsigned offset, uint32_t value)
{
	vpci_msix_table_write(&fx.q, at(entry, offset), 4, value);
}

static void control(uint16_t value)
{
	vpci_msix_write(&fx.q, CONTROL, 2, value);
}

/* As a driver does: the message of a masked entry, then the mask off. */
static void program(unsigned entry, uint32_t address, uint32_t data)
{
	put(entry, 12, 1);
	put(entry, 0, address);
	put(entry, 4, 0);
	put(entry, 8, data);
	put(entry, 12, 0);
}

static void expect(unsigned index, uint32_t apic, uint8_t expected)
{
	uint32_t apic_id;
	uint8_t vector;

	assert_true(fx_can_send(index, &apic_id, &vector));
	assert_int_equal(apic_id, apic);
	assert_int_equal(vector, expected);
}

static void expect_none(unsigned index)
{
	uint32_t apic_id;
	uint8_t vector;

	assert_false(fx_can_send(index, &apic_id, &vector));
}

static void expect_silence(void)
{
	unsigned i;

	for (i = 0; i < 32; i++)
		expect_none(i);
	for (i = 0; i < FX_IRQS; i++)
		assert_false(fx.irq[i].valid);
}

/* With memory decoded, as it is whenever the guest can reach the table. */
static void create(const struct fx_shape *s)
{
	fx_create(s);
	fx.config[4] |= 2;
}

static void test_start(void **state)
{
	unsigned i;

	(void)state;
	fx_power_on(&five);
	assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), OK);
	assert_int_equal(fx.q.count, 5);
	assert_int_equal(fx_memory32(at(0, 12)) & 1, 0);
	assert_int_equal(vpci_irq_start(&fx.q), OK);
	assert_int_equal(fx.alloc_count, 5);
	/* Masked in the real table, though memory was not decoded, nor is it now. */
	for (i = 0; i < ENTRIES; i++) {
		assert_int_equal(fx_memory32(at(i, 12)), 1);
		assert_int_equal(vpci_msix_table_read(&fx.q, at(i, 12), 4), 1);
		assert_int_equal(vpci_msix_table_read(&fx.q, at(i, 0), 8), 0);
	}
	assert_int_equal(fx_config16(4), 0);
	assert_int_equal(fx_config16(FX_MSIX + CONTROL), 4);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), 4);
	assert_int_equal(vpci_msix_read(&fx.q, 4, 4), TABLE | FX_BAR);
	assert_int_equal(vpci_msix_read(&fx.q, 8, 4), 0x1800 | FX_BAR);
	assert_int_equal(vpci_msix_read(&fx.q, 12, 4), 0);
}

static void test_enable(void **state)
{
	int route, data, unmask, unmask_all;

	(void)state;
	for (unsigned style = 0; style < 2; style++) {
		create(&five);
		fx.vtd_style = style;
		/* What is written while MSI-X is off takes effect when it is on. */
		program(1, MESSAGE(5), 0x41);
		assert_int_equal(fx.events, 0);
		control(ENABLE);
		expect(1, 5, 0x41);
		expect_none(0);
		route = fx_find(FX_ROUTE, FX_FIRST + 1, 0);
		data = fx_find(FX_MMIO, at(1, 8), 0);
		unmask = fx_find_last(FX_MMIO, at(1, 12));
		unmask_all = fx_find_last(FX_CONFIG, FX_MSIX + CONTROL);
		assert_true(route >= 0 && route < data && data < unmask && unmask < unmask_all);
		assert_int_equal(fx.log[unmask_all].value, ENABLE);
		assert_int_equal(fx.log[unmask_all].width, 2);
		/* And while it is on, at once. */
		program(4, MESSAGE(6), 0xff);
		expect(4, 6, 0xff);
		expect(1, 5, 0x41);
		assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), ENABLE | 4);
		assert_int_equal(vpci_msix_table_read(&fx.q, at(4, 0), 8), MESSAGE(6));
		assert_int_equal(vpci_msix_table_read(&fx.q, at(4, 8), 8), 0xff);
	}
}

static void test_disable(void **state)
{
	int mask, off, block;

	(void)state;
	create(&five);
	control(ENABLE);
	program(2, MESSAGE(5), 0x41);
	fx_clear();
	control(0);
	expect_silence();
	mask = fx_find(FX_MMIO, at(2, 12), 0);
	off = fx_find_last(FX_CONFIG, FX_MSIX + CONTROL);
	block = fx_find(FX_BLOCK, FX_FIRST + 2, 0);
	assert_true(mask >= 0 && mask < off && off < block);
	assert_int_equal(fx.log[off].value, 0);
	/* The guest's entry is as it was; the device may have lost its own in a reset meanwhile. */
	memset(&fx.memory[TABLE], 0, 16 * ENTRIES);
	control(ENABLE);
	expect(2, 5, 0x41);
	expect_none(0);
	/* Also if the guest decodes no memory. */
	fx.config[4] = 0;
	control(0);
	expect_silence();
	control(ENABLE);
	fx.config[4] = 2;
	expect(2, 5, 0x41);
}

static void test_function_mask(void **state)
{
	(void)state;
	create(&five);
	control(ENABLE | MASK_ALL);
	program(0, MESSAGE(5), 0x41);
	expect_none(0);
	assert_true(fx.irq[FX_FIRST].valid);
	control(ENABLE);
	expect(0, 5, 0x41);
	fx_clear();
	control(ENABLE | MASK_ALL);
	expect_none(0);
	/* The IOMMU has nothing to do with it. */
	assert_int_equal(fx.events, 1);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), ENABLE | MASK_ALL | 4);
	control(MASK_ALL);
	expect_silence();
	assert_int_equal(fx_config16(FX_MSIX + CONTROL), 4);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), MASK_ALL | 4);
	control(0);
}

static void test_mask(void **state)
{
	(void)state;
	create(&five);
	control(ENABLE);
	program(3, MESSAGE(5), 0x41);
	fx_clear();
	put(3, 12, 1);
	expect_none(3);
	assert_int_equal(fx.events, 1);
	assert_int_equal(fx.log[0].what, FX_MMIO);
	assert_true(fx.irq[FX_FIRST + 3].valid);
	/* A function may lose its table in a reset of its own: it is written anew. */
	memset(&fx.memory[at(3, 0)], 0, 12);
	put(3, 12, ~0u);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(3, 12), 4), 1);
	put(3, 12, ~1u);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(3, 12), 4), 0);
	expect(3, 5, 0x41);
	/* The same message as before does not cost a flush. */
	assert_int_equal(fx_find(FX_ROUTE, FX_FIRST + 3, 0), -1);
	/* Unmasked twice: nothing. */
	fx_clear();
	put(3, 12, 0);
	assert_int_equal(fx.events, 0);
}

static void test_affinity(void **state)
{
	(void)state;
	create(&five);
	control(ENABLE);
	program(3, MESSAGE(5), 0x41);
	fx_clear();
	/* While it is unmasked: with the IOMMU only. */
	put(3, 0, MESSAGE(6));
	expect(3, 6, 0x41);
	put(3, 8, 0x99);
	expect(3, 6, 0x99);
	vpci_msix_table_write(&fx.q, at(3, 0), 8, MESSAGE(4));
	expect(3, 4, 0x99);
	assert_int_equal(fx.events, 3);
	assert_int_equal(fx_find(FX_MMIO, at(3, 12), 0), -1);
	/* Into nowhere and back. */
	fx_clear();
	put(3, 0, MESSAGE(9));
	expect_silence();
	assert_true(fx_find(FX_MMIO, at(3, 12), 0) < fx_find(FX_BLOCK, FX_FIRST + 3, 0));
	put(3, 0, MESSAGE(4));
	expect(3, 4, 0x99);
	/* A message that differs is written into a masked entry only; the fixture looks. */
	fx.other_message = true;
	put(3, 0, MESSAGE(5));
	expect(3, 5, 0x99);
	assert_int_equal(fx_memory32(at(3, 0)), 0xfee01000);
}

static void refuse(uint64_t address, uint32_t data)
{
	uint64_t denied = mock.guest.denied_ipi;

	put(0, 12, 1);
	put(0, 0, (uint32_t)address);
	put(0, 4, (uint32_t)(address >> 32));
	put(0, 8, data);
	assert_int_equal(mock.guest.denied_ipi, denied);
	put(0, 12, 0);
	assert_int_equal(mock.guest.denied_ipi, denied + 1);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(0, 12), 4), 0);
	expect_silence();
}

static void test_forged(void **state)
{
	unsigned i;

	(void)state;
	create(&five);
	control(ENABLE);
	for (i = 0; i < 256; i++)
		if (i < 4 || i > 6)
			refuse(MESSAGE(i), 0x41);
	for (i = 20; i < 64; i++)
		refuse(MESSAGE(5) ^ BIT(i), 0x41);
	for (i = 2; i < 8; i++)
		refuse(MESSAGE(5), i << 8 | 0x41);
	for (i = 0; i < 16; i++)
		refuse(MESSAGE(5), i);
	refuse(MESSAGE(5), 0x8041);
	refuse(0, 0);
	/* Reserved bits that nobody looks at. */
	program(0, MESSAGE(5) | 0xff3, 0xffff7041 & ~0x700u);
	expect(0, 5, 0x41);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(0, 0), 4), MESSAGE(5) | 0xff0);
}

static void test_table_widths(void **state)
{
	(void)state;
	create(&five);
	control(ENABLE);
	/* The whole entry in two accesses, the second of which unmasks it. */
	vpci_msix_table_write(&fx.q, at(1, 0), 8, MESSAGE(5));
	vpci_msix_table_write(&fx.q, at(1, 8), 8, 0x41);
	expect(1, 5, 0x41);
	vpci_msix_table_write(&fx.q, at(1, 8), 8, 0x1ffffff42ull);
	expect_none(1);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(1, 8), 8), 0x1ffffff42ull);
	/* Bytes, words and what is not aligned: nothing. */
	fx_clear();
	for (unsigned i = 0; i < 16; i++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			if (size >= 4 && i % size == 0)
				continue;
			vpci_msix_table_write(&fx.q, at(2, i), (uint8_t)size, 0x55);
			assert_true(vpci_msix_table_read(&fx.q, at(2, i), (uint8_t)size) == NONE);
		}
	}
	assert_int_equal(vpci_msix_table_read(&fx.q, at(2, 0), 8), 0);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(2, 8), 8), BIT(32));
	vpci_msix_table_write(&fx.q, at(0, 0) - 4, 8, 0);
	vpci_msix_table_write(&fx.q, at(ENTRIES, 0) - 4, 8, 0);
	assert_int_equal(fx.events, 0);
}

static void test_neighbours(void **state)
{
	uint64_t start, end;
	uint32_t p = TABLE + 16 * ENTRIES;

	(void)state;
	create(&five);
	assert_true(vpci_msix_pages(&fx.q, FX_BAR, &start, &end));
	assert_int_equal(start, 0x1000);
	assert_int_equal(end, 0x2000);
	assert_false(vpci_msix_pages(&fx.q, 0, &start, &end));
	for (uint8_t size = 1; size <= 8; size *= 2) {
		uint64_t all = ~0ull >> (64 - 8 * size), v = 0x1122334455667788ull & all;
		static const uint32_t places[] = { 0x1000, 0x1100, 0x1800, 0x1ff8 };

		for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
			uint64_t was = 0;

			fx_clear();
			memcpy(&was, &fx.memory[places[i]], size);
			assert_true(vpci_msix_table_read(&fx.q, places[i], size) == was);
			vpci_msix_table_write(&fx.q, places[i], size, v);
			assert_int_equal(fx.events, 1);
			assert_int_equal(fx.log[0].width, size);
			assert_true(vpci_msix_table_read(&fx.q, places[i], size) == v);
		}
		/* Not aligned; below and beyond the pages. */
		fx_clear();
		if (size > 1)
			assert_true(vpci_msix_table_read(&fx.q, 0x1101, size) == NONE);
		assert_true(vpci_msix_table_read(&fx.q, 0x1000 - size, size) == NONE);
		assert_true(vpci_msix_table_read(&fx.q, 0x2000, size) == NONE);
		assert_true(vpci_msix_table_read(&fx.q, 0ull - size, size) == NONE);
		vpci_msix_table_write(&fx.q, 0x1000 - size, size, 0);
		vpci_msix_table_write(&fx.q, 0x2000, size, 0);
		vpci_msix_table_write(&fx.q, 0ull - size, size, 0);
		assert_int_equal(fx.events, 0);
	}
	assert_int_equal(vpci_msix_table_read(&fx.q, p, 4), fx_memory32(p));
}

/* A BAR of less than a page: what follows it in memory is another's. */
static void test_small_bar(void **state)
{
	static const struct fx_shape small = {
		.entries = 4, .table = 0, .pba = 64, .bar_size = 128
	};
	uint64_t start, end;

	(void)state;
	create(&small);
	assert_true(vpci_msix_pages(&fx.q, FX_BAR, &start, &end));
	assert_int_equal(start, 0);
	assert_int_equal(end, 4096);
	assert_int_equal(vpci_msix_table_read(&fx.q, 124, 4), fx_memory32(124));
	fx_clear();
	assert_true(vpci_msix_table_read(&fx.q, 128, 1) == NONE);
	vpci_msix_table_write(&fx.q, 128, 4, 0);
	vpci_msix_table_write(&fx.q, 4092, 4, 0);
	assert_int_equal(fx.events, 0);
}

/* More entries than one function gets interrupts for. */
static void test_large_table(void **state)
{
	static const struct fx_shape large = { .entries = 600, .table = 0x10, .pba = 0x3000 };
	uint64_t start, end;
	unsigned i;

	(void)state;
	create(&large);
	assert_int_equal(fx.q.count, IOMMU_IRQS_PER_DEVICE);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), IOMMU_IRQS_PER_DEVICE - 1);
	assert_true(vpci_msix_pages(&fx.q, FX_BAR, &start, &end));
	assert_int_equal(end, 0x3000);
	control(ENABLE);
	for (i = 0; i < 600; i++)
		assert_int_equal(fx_memory32(0x10 + 16 * i + 12), 1);
	vpci_msix_table_write(&fx.q, 0x10 + 16 * 255, 8, MESSAGE(5));
	vpci_msix_table_write(&fx.q, 0x10 + 16 * 255 + 8, 8, 0x41);
	expect(255, 5, 0x41);
	fx_clear();
	for (i = 256; i < 600; i += 43) {
		vpci_msix_table_write(&fx.q, 0x10 + 16 * i, 8, MESSAGE(5));
		vpci_msix_table_write(&fx.q, 0x10 + 16 * i + 8, 8, 0x41);
		assert_true(vpci_msix_table_read(&fx.q, 0x10 + 16 * i, 8) == NONE);
	}
	assert_int_equal(fx.events, 0);
	vpci_irq_stop(&fx.q);
	expect_silence();
}

/* MSI and MSI-X exclude each other; the first one stays. */
static void test_both(void **state)
{
	(void)state;
	create(&both);
	/* Three entries and four messages: a block of four. */
	assert_int_equal(fx.q.count, 4);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), 2);
	vpci_msi_write(&fx.q, 4, 4, MESSAGE(4));
	vpci_msi_write(&fx.q, 8, 2, 0x60);
	program(0, MESSAGE(5), 0x41);
	control(ENABLE);
	vpci_msi_write(&fx.q, 2, 2, 1);
	assert_int_equal(vpci_msi_read(&fx.q, 2, 2) & 1, 0);
	assert_int_equal(fx_config16(FX_MSI + 2) & 1, 0);
	expect(0, 5, 0x41);
	control(0);
	expect_silence();
	vpci_msi_write(&fx.q, 2, 2, 0x21);
	expect(0, 4, 0x60);
	expect(3, 4, 0x63);
	control(ENABLE);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), 2);
	expect(3, 4, 0x63);
	/* Entries of the table do not reach into it either. */
	program(0, MESSAGE(6), 0x44);
	expect(0, 4, 0x60);
	vpci_msi_write(&fx.q, 2, 2, 0);
	control(ENABLE);
	expect(0, 6, 0x44);
	assert_int_equal(fx_find_last(FX_BLOCK, FX_FIRST + 3) >= 0, 1);
	/* What is written to MSI while it is off does not disturb MSI-X. */
	vpci_msi_write(&fx.q, 4, 4, MESSAGE(4));
	expect(0, 6, 0x44);
	/* A block for several messages is a power of two, whatever the table says. */
	fx_create(&more);
	assert_int_equal(fx.q.count, 8);
	assert_int_equal(fx.alloc_count, 8);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), 4);
}

static void test_unsafe(void **state)
{
	(void)state;
	create(&five);
	iommu_info.irq_remap = false;
	control(ENABLE);
	program(0, MESSAGE(5), 0x41);
	expect_none(0);
	mock.config.iommu_unsafe = true;
	program(0, MESSAGE(5) | 8, 0x41);
	expect(0, 5, 0x41);
	assert_int_equal(fx_memory32(at(0, 0)), MESSAGE(5));
	put(0, 0, MESSAGE(6));
	expect(0, 6, 0x41);
	put(0, 0, MESSAGE(7));
	expect_none(0);
	program(0, MESSAGE(5), 0x0441);
	expect_none(0);
}

static void test_life(void **state)
{
	int off, block, gone;

	(void)state;
	create(&five);
	control(ENABLE);
	program(4, MESSAGE(5), 0x41);
	fx_clear();
	vpci_irq_stop(&fx.q);
	expect_silence();
	off = fx_find_last(FX_CONFIG, FX_MSIX + CONTROL);
	block = fx_find(FX_BLOCK, FX_FIRST + 4, 0);
	gone = fx_find(FX_FREE, FX_FIRST, 0);
	assert_true(off >= 0 && off < block && block < gone);
	fx_clear();
	control(ENABLE);
	program(4, MESSAGE(5), 0x41);
	assert_int_equal(fx.events, 0);
	assert_int_equal(vpci_irq_start(&fx.q), OK);
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), 4);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(4, 0), 8), 0);
	assert_int_equal(vpci_msix_table_read(&fx.q, at(4, 8), 8), BIT(32));
	control(ENABLE);
	program(4, MESSAGE(5), 0x41);
	expect(4, 5, 0x41);
	vpci_irq_reset(&fx.q);
	expect_silence();
	assert_int_equal(vpci_msix_read(&fx.q, CONTROL, 2), 4);
	control(ENABLE);
	program(4, MESSAGE(6), 0x41);
	expect(4, 6, 0x41);
}

/* Tables that cannot be: the guest sees no MSI-X. */
static void test_broken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		fx_power_on(&five);
		switch (i) {
		case 0:
			/* The expansion ROM is no place for it. */
			fx.f.bars[PCI_ROM] = fx.f.bars[FX_BAR];
			fx.config[FX_MSIX + 4] = (TABLE & 0xff) | 6;
			break;
		case 1:
			fx.config[FX_MSIX + 4] = (TABLE & 0xff) | 7;
			break;
		case 2:
			fx.config[FX_MSIX + 4] = (TABLE & 0xff) | 3; /* has size 0 */
			break;
		case 3:
			fx.f.bars[FX_BAR].io = true;
			break;
		case 4:
			fx.f.bars[FX_BAR].base = 0;
			break;
		case 5:
			fx.f.bars[FX_BAR].size = TABLE + 16 * ENTRIES - 1;
			break;
		case 6:
			memset(&fx.config[FX_MSIX + 5], 0xff, 3);
			break;
		case 7:
			fx.f.bars[FX_BAR].size = 32;
			break;
		}
		assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), OK);
		assert_null(fx.q.table);
		assert_int_equal(fx.q.count, 0);
		assert_int_equal(vpci_irq_start(&fx.q), OK);
		control(ENABLE);
		program(0, MESSAGE(5), 0x41);
		assert_true(vpci_msix_table_read(&fx.q, TABLE, 4) == NONE);
		assert_int_equal(fx_config16(FX_MSIX + 2) & ENABLE, 0);
		vpci_irq_stop(&fx.q);
	}
	fx_power_on(&five);
	fx.map_fails = true;
	assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), ERR_NOMEM);
}

static void test_config_widths(void **state)
{
	(void)state;
	create(&five);
	vpci_msix_write(&fx.q, 3, 1, 0x80);
	assert_int_equal(fx_config16(FX_MSIX + 2), ENABLE | 4);
	assert_int_equal(vpci_msix_read(&fx.q, 3, 1), 0x80);
	vpci_msix_write(&fx.q, 2, 1, 0xff);
	assert_int_equal(vpci_msix_read(&fx.q, 0, 4), (ENABLE | 4) << 16);
	vpci_msix_write(&fx.q, 0, 4, 0xffffffff);
	assert_int_equal(vpci_msix_read(&fx.q, 2, 2), ENABLE | MASK_ALL | 4);
	fx_clear();
	vpci_msix_write(&fx.q, 4, 4, 0);
	vpci_msix_write(&fx.q, 8, 4, 0);
	vpci_msix_write(&fx.q, 12, 4, 0);
	vpci_msix_write(&fx.q, 3, 2, 0);
	vpci_msix_write(&fx.q, 1, 4, 0);
	assert_int_equal(vpci_msix_read(&fx.q, 3, 2), ~0u);
	assert_int_equal(vpci_msix_read(&fx.q, 6, 2), 0);
	assert_int_equal(vpci_msix_read(&fx.q, 5, 1), TABLE >> 8);
	assert_int_equal(fx.events, 0);
}

static void test_describe(void **state)
{
	char text[80];

	(void)state;
	create(&five);
	assert_true(vpci_irq_describe(&fx.q, 0, text, sizeof(text)));
	assert_string_equal(text, "interrupts off, 0 of 5 messages in use");
	control(ENABLE);
	program(3, MESSAGE(5), 0x41);
	program(4, MESSAGE(6), 0x42);
	put(4, 12, 1);
	assert_true(vpci_irq_describe(&fx.q, 0, text, sizeof(text)));
	assert_string_equal(text, "MSI-X, 2 of 5 messages in use");
	assert_true(vpci_irq_describe(&fx.q, 1, text, sizeof(text)));
	assert_string_equal(text, "message 3: vector 65 of APIC 5");
	assert_true(vpci_irq_describe(&fx.q, 2, text, sizeof(text)));
	assert_string_equal(text, "message 4: vector 66 of APIC 6, masked");
	control(ENABLE | MASK_ALL);
	assert_true(vpci_irq_describe(&fx.q, 1, text, sizeof(text)));
	assert_string_equal(text, "message 3: vector 65 of APIC 5, masked");
	iommu_info.irq_remap = false;
	assert_true(vpci_irq_describe(&fx.q, 0, text, sizeof(text)));
	assert_string_equal(text, "MSI-X, 2 of 5 messages in use, not remapped");
}

static uint32_t any(void)
{
	return (uint32_t)rand() ^ (uint32_t)rand() << 16;
}

static void random_step(void)
{
	uint32_t v = any(), where = 0x1000 + (uint32_t)rand() % (24 + 16 * 6);
	uint8_t size = (uint8_t)(1 << rand() % 4);
	unsigned entry = (unsigned)rand() % ENTRIES;

	/* The guest reaches the table only while memory is decoded. */
	switch (fx.config[4] & 2 ? rand() % 8 : 5 + rand() % 2) {
	case 0:
		vpci_msix_table_write(&fx.q, where, size, any() | (uint64_t)any() << 32);
		break;
	case 1:
		put(entry, 0, MESSAGE(v % 8) | (v >> 8 & 0xc));
		break;
	case 2:
		put(entry, 4, 0);
		break;
	case 3:
		put(entry, 8, v & 0x1ff);
		break;
	case 4:
		put(entry, 12, v);
		break;
	case 5:
		vpci_msix_write(&fx.q, (uint32_t)rand() % 12, size & 7, v);
		break;
	case 6:
		if (v % 4 == 0)
			fx.config[4] ^= 2;
		break;
	default:
		program(entry, MESSAGE(4 + v % 3), 16 + (v >> 8) % 240);
	}
}

static void test_random(void **state)
{
	unsigned sent = 0, run, step;

	(void)state;
	srand(2);
	for (run = 0; run < 40; run++) {
		uint32_t apic;
		uint8_t vector;

		create(&five);
		fx.vtd_style = run & 1;
		for (step = 0; step < 1000; step++) {
			random_step();
			fx.set_fails = rand() % 50 == 0;
			fx_clear();
			sent += fx_can_send(step % ENTRIES, &apic, &vector);
		}
		vpci_irq_stop(&fx.q);
		expect_silence();
	}
	assert_true(sent > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),       cmocka_unit_test(test_enable),
		cmocka_unit_test(test_disable),     cmocka_unit_test(test_function_mask),
		cmocka_unit_test(test_mask),        cmocka_unit_test(test_affinity),
		cmocka_unit_test(test_forged),      cmocka_unit_test(test_table_widths),
		cmocka_unit_test(test_neighbours),  cmocka_unit_test(test_small_bar),
		cmocka_unit_test(test_large_table), cmocka_unit_test(test_both),
		cmocka_unit_test(test_unsafe),      cmocka_unit_test(test_life),
		cmocka_unit_test(test_broken),      cmocka_unit_test(test_config_widths),
		cmocka_unit_test(test_describe),    cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
