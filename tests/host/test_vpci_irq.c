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

#define CONTROL 2
#define ADDRESS 4
#define HIGH    8
#define ENABLE  1u

#define MESSAGE(apic) (0xfee00000u | (uint32_t)(apic) << 12)
#define LOGICAL       4u
#define REDIRECT      8u

static const struct fx_shape plain = { .msi = true, .msi64 = true };
static const struct fx_shape narrow = { .msi = true, .masking = true, .log2_messages = 3 };
static const struct fx_shape wide = {
	.msi = true, .msi64 = true, .masking = true, .log2_messages = 5
};

static uint32_t data_at(void)
{
	return fx.q.msi_host & 0x80 ? 12 : 8;
}

static void program(uint32_t address, uint16_t data, uint16_t control)
{
	vpci_msi_write(&fx.q, ADDRESS, 4, address);
	vpci_msi_write(&fx.q, data_at(), 2, data);
	vpci_msi_write(&fx.q, CONTROL, 2, control);
}

static void expect(unsigned index, uint32_t apic, uint8_t expected)
{
	uint32_t apic_id;
	uint8_t vector;

	assert_true(fx_can_send(index, &apic_id, &vector));
	assert_int_equal(apic_id, apic);
	assert_int_equal(vector, expected);
}

static void expect_silence(void)
{
	uint32_t apic_id;
	uint8_t vector;
	unsigned i;

	for (i = 0; i < 32; i++)
		assert_false(fx_can_send(i, &apic_id, &vector));
	for (i = 0; i < FX_IRQS; i++)
		assert_false(fx.irq[i].valid);
}

/* A device that may not write to memory can't send messages: the guest is to use INTx. */
static void test_not_contained(void **state)
{
	(void)state;
	fx_create(&(struct fx_shape){ .bare = true, .msi = true, .entries = 4, .table = 0x1000 });
	assert_false(fx.q.msi);
	assert_null(fx.q.table);
	assert_int_equal(fx.q.count, 0);
}

static void test_none(void **state)
{
	char text[80];

	(void)state;
	fx_create(&(struct fx_shape){ 0 });
	assert_false(fx.q.msi);
	assert_null(fx.q.table);
	assert_int_equal(fx.q.count, 0);
	assert_int_equal(vpci_msi_read(&fx.q, 0, 4), ~0u);
	assert_int_equal(vpci_msix_read(&fx.q, 0, 4), ~0u);
	program(MESSAGE(5), 0x41, ENABLE);
	vpci_msix_write(&fx.q, CONTROL, 2, 0x8000);
	vpci_irq_reset(&fx.q);
	assert_true(vpci_irq_describe(&fx.q, 0, text, sizeof(text)));
	assert_false(vpci_irq_describe(&fx.q, 1, text, sizeof(text)));
	vpci_irq_stop(&fx.q);
	assert_int_equal(fx.events, 0);
}

static void test_enable(void **state)
{
	int route, address, data, control;

	(void)state;
	fx_create(&plain);
	assert_int_equal(fx.q.count, 1);
	program(MESSAGE(5), 0x41, 0);
	assert_int_equal(fx.events, 0);
	vpci_msi_write(&fx.q, CONTROL, 2, ENABLE);
	expect(0, 5, 0x41);
	route = fx_find(FX_ROUTE, FX_FIRST, 0);
	address = fx_find(FX_CONFIG, FX_MSI + ADDRESS, 0);
	data = fx_find(FX_CONFIG, FX_MSI + 12, 0);
	control = fx_find(FX_CONFIG, FX_MSI + CONTROL, 0);
	assert_true(route >= 0 && route < address && address < data && data < control);
	assert_true(fx_find(FX_CONFIG, FX_MSI + HIGH, 0) > address);
	assert_int_equal(fx.log[control].width, 2);
	/* The guest reads what it has written. */
	assert_int_equal(vpci_msi_read(&fx.q, ADDRESS, 4), MESSAGE(5));
	assert_int_equal(vpci_msi_read(&fx.q, 12, 4), 0x41);
	assert_int_equal(vpci_msi_read(&fx.q, CONTROL, 2), 0x81);
	/* Once more changes nothing. */
	fx_clear();
	vpci_msi_write(&fx.q, CONTROL, 2, ENABLE);
	assert_int_equal(fx.events, 0);
}

static void test_disable(void **state)
{
	int control, block;

	(void)state;
	fx_create(&plain);
	program(MESSAGE(5), 0x41, ENABLE);
	fx_clear();
	vpci_msi_write(&fx.q, CONTROL, 2, 0);
	control = fx_find(FX_CONFIG, FX_MSI + CONTROL, 0);
	block = fx_find(FX_BLOCK, FX_FIRST, 0);
	assert_true(control >= 0 && control < block);
	/* Read before and after the write. */
	assert_true(fx.reads >= 2);
	expect_silence();
	/* And on again, with the message written anew: the guest may have reset the function. */
	memset(&fx.config[FX_MSI + 4], 0, 10);
	vpci_msi_write(&fx.q, CONTROL, 2, ENABLE);
	expect(0, 5, 0x41);
}

/* The device is left alone while the guest moves an interrupt. */
static void test_affinity(void **state)
{
	(void)state;
	fx_create(&plain);
	program(MESSAGE(5), 0x41, ENABLE);
	fx_clear();
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(6));
	expect(0, 6, 0x41);
	vpci_msi_write(&fx.q, 12, 2, 0x52);
	expect(0, 6, 0x52);
	assert_int_equal(fx.events, 2);
	assert_int_equal(fx.log[0].what, FX_ROUTE);
	assert_int_equal(fx.log[1].what, FX_ROUTE);
	/* What changes nothing does not cost a flush. */
	vpci_msi_write(&fx.q, 12, 2, 0x52);
	assert_int_equal(fx.events, 2);
	/* A driver whose message changes after all. */
	fx.other_message = true;
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(4));
	assert_int_equal(fx_config32(FX_MSI + ADDRESS), 0xfee01000);
	expect(0, 4, 0x52);
}

static void test_multiple(void **state)
{
	unsigned i;

	(void)state;
	for (unsigned style = 0; style < 2; style++) {
		fx_create(&wide);
		fx.vtd_style = style;
		assert_int_equal(fx.q.count, 32);
		program(MESSAGE(4), 0x67, ENABLE | 3 << 4);
		for (i = 0; i < 8; i++)
			expect(i, 4, (uint8_t)(0x60 + i));
		assert_false(fx.irq[FX_FIRST + 8].valid);
		vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(6));
		for (i = 0; i < 8; i++)
			expect(i, 6, (uint8_t)(0x60 + i));
		/* Fewer, and then all. */
		vpci_msi_write(&fx.q, CONTROL, 2, ENABLE | 1 << 4);
		expect(0, 6, 0x66);
		expect(1, 6, 0x67);
		assert_false(fx.irq[FX_FIRST + 2].valid);
		vpci_msi_write(&fx.q, CONTROL, 2, ENABLE | 5 << 4);
		for (i = 0; i < 32; i++)
			expect(i, 6, (uint8_t)(0x60 + i));
		vpci_msi_write(&fx.q, CONTROL, 2, 5 << 4);
		expect_silence();
	}
}

/* More than the function has, and numbers that are reserved. */
static void test_too_many(void **state)
{
	uint16_t n;

	(void)state;
	for (n = 0; n < 8; n++) {
		fx_create(&narrow);
		assert_int_equal(fx.q.count, 8);
		program(MESSAGE(4), 0x40, (uint16_t)(ENABLE | n << 4));
		assert_int_equal(fx_config16(FX_MSI + CONTROL) >> 4 & 7, n < 3 ? n : 3);
		assert_int_equal(vpci_msi_read(&fx.q, CONTROL, 2) >> 4 & 7, n < 3 ? n : 3);
	}
	/* A function that claims 128 messages. */
	fx_power_on(&wide);
	fx.config[FX_MSI + 2] |= 7 << 1;
	assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), OK);
	assert_int_equal(fx.q.count, 32);
	assert_int_equal(vpci_irq_start(&fx.q), OK);
	program(MESSAGE(4), 0x40, ENABLE | 7 << 4);
	expect(31, 4, 0x5f);
	vpci_msi_write(&fx.q, 16, 4, ~0u);
	assert_int_equal(vpci_msi_read(&fx.q, 16, 4), ~0u);
}

static void test_layout(void **state)
{
	(void)state;
	fx_create(&plain);
	assert_int_equal(vpci_msi_size(&fx.q), 14);
	assert_int_equal(vpci_msi_read(&fx.q, 16, 4), 0);
	fx_clear();
	vpci_msi_write(&fx.q, 16, 4, ~0u);
	assert_int_equal(fx.events, 0);
	fx_create(&wide);
	assert_int_equal(vpci_msi_size(&fx.q), 24);
	fx_create(&narrow);
	assert_int_equal(vpci_msi_size(&fx.q), 20);
	assert_int_equal(vpci_msi_read(&fx.q, 16, 4), 0x5a5a5a5a);
	vpci_msi_write(&fx.q, 16, 4, 0);
	vpci_msi_write(&fx.q, 12, 4, ~0u);
	assert_int_equal(vpci_msi_read(&fx.q, 12, 4), 0xff);
	assert_int_equal(fx_config32(FX_MSI + 12), 0xff);
	vpci_msi_write(&fx.q, 12, 1, 0x81);
	assert_int_equal(fx_config32(FX_MSI + 12), 0x81);
	program(MESSAGE(4), 0x40, ENABLE | 3 << 4);
	expect(1, 4, 0x41);
	assert_int_equal(vpci_msi_read(&fx.q, 20, 4), 0);
	fx_create(&(struct fx_shape){ .msi = true });
	assert_int_equal(vpci_msi_size(&fx.q), 10);
	program(MESSAGE(4), 0x40, ENABLE);
	expect(0, 4, 0x40);
	assert_int_equal(vpci_msi_read(&fx.q, 12, 4), 0);
}

/* Bytes and words, and what no access can be. */
static void test_widths(void **state)
{
	unsigned i;

	(void)state;
	fx_create(&plain);
	for (i = 0; i < 4; i++)
		vpci_msi_write(&fx.q, ADDRESS + i, 1, MESSAGE(5) >> 8 * i);
	vpci_msi_write(&fx.q, 12, 1, 0x77);
	vpci_msi_write(&fx.q, 13, 1, 0x01);
	assert_int_equal(vpci_msi_read(&fx.q, ADDRESS, 4), MESSAGE(5));
	assert_int_equal(vpci_msi_read(&fx.q, ADDRESS + 2, 2), 0xfee0);
	assert_int_equal(vpci_msi_read(&fx.q, ADDRESS + 3, 1), 0xfe);
	assert_int_equal(vpci_msi_read(&fx.q, 12, 2), 0x0177);
	vpci_msi_write(&fx.q, HIGH, 4, 0x12345678);
	assert_int_equal(vpci_msi_read(&fx.q, HIGH, 4), 0x12345678);
	vpci_msi_write(&fx.q, HIGH, 4, 0);
	assert_int_equal(vpci_msi_read(&fx.q, ADDRESS, 4), MESSAGE(5));
	/* The control register's upper byte only; then the whole dword. */
	vpci_msi_write(&fx.q, 3, 1, 0xff);
	assert_int_equal(vpci_msi_read(&fx.q, CONTROL, 2), 0x80);
	vpci_msi_write(&fx.q, 0, 4, 0xffffffff);
	assert_int_equal(vpci_msi_read(&fx.q, 0, 4), 0x00810000);
	expect(0, 5, 0x77);
	vpci_msi_write(&fx.q, 0, 1, 0xff);
	expect(0, 5, 0x77);
	vpci_msi_write(&fx.q, 2, 1, 0);
	expect_silence();
	fx_clear();
	assert_int_equal(vpci_msi_read(&fx.q, 6, 4), ~0u);
	assert_int_equal(vpci_msi_read(&fx.q, 3, 2), ~0u);
	vpci_msi_write(&fx.q, 6, 4, ~0u);
	vpci_msi_write(&fx.q, 1, 4, ~0u);
	vpci_msi_write(&fx.q, 0x80000000, 4, ~0u);
	vpci_msi_write(&fx.q, 40, 4, ~0u);
	assert_int_equal(vpci_msi_read(&fx.q, ADDRESS, 4), MESSAGE(5));
	assert_int_equal(fx.events, 0);
}

static void refuse(uint64_t address, uint16_t data)
{
	uint64_t denied = mock.guest.denied_ipi;

	vpci_msi_write(&fx.q, HIGH, 4, (uint32_t)(address >> 32));
	program((uint32_t)address, data, ENABLE);
	assert_int_equal(mock.guest.denied_ipi, denied + 1);
	expect_silence();
	/* For the guest it is on, and so it is once the message is a good one. */
	assert_int_equal(vpci_msi_read(&fx.q, CONTROL, 2), 0x81);
	vpci_msi_write(&fx.q, CONTROL, 2, 0);
}

static void test_forged(void **state)
{
	unsigned mode, bit;

	(void)state;
	fx_create(&plain);
	for (mode = 2; mode < 8; mode++)
		refuse(MESSAGE(5), (uint16_t)(mode << 8 | 0x41));
	for (unsigned v = 0; v < 16; v++)
		refuse(MESSAGE(5), (uint16_t)v);
	refuse(MESSAGE(5), 0x8041);
	refuse(MESSAGE(5), 0xc041);
	for (bit = 20; bit < 64; bit++)
		refuse(MESSAGE(5) ^ BIT(bit), 0x41);
	/* Other guests' cores, nobody's, and everybody's. */
	for (unsigned apic = 0; apic < 256; apic++) {
		if (apic < 4 || apic > 6)
			refuse(MESSAGE(apic), 0x41);
	}
	refuse(MESSAGE(0xff) | LOGICAL | REDIRECT, 0);
	/* In logical mode, nobody has an address yet. */
	refuse(MESSAGE(5) | LOGICAL, 0x41);
	/* It recovers as soon as the message is good. */
	program(MESSAGE(9), 0x41, ENABLE);
	expect_silence();
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(5));
	expect(0, 5, 0x41);
	/* And the other way round: a good one goes bad. */
	fx_clear();
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(7));
	expect_silence();
	assert_true(fx_find(FX_CONFIG, FX_MSI + CONTROL, 0) < fx_find(FX_BLOCK, FX_FIRST, 0));
}

static void test_modes(void **state)
{
	(void)state;
	fx_create(&plain);
	mock.vcpus[0].soft.apic_ldr = 1u << 24;
	mock.vcpus[1].soft.apic_ldr = 2u << 24;
	mock.vcpus[2].soft.apic_ldr = 4u << 24;
	program(MESSAGE(2) | LOGICAL, 0x41, ENABLE);
	expect(0, 5, 0x41);
	/* Bits that say nothing here: extended destination, reserved, assert. */
	program(MESSAGE(4) | LOGICAL | 0xff0, 0x4041, ENABLE);
	expect(0, 6, 0x41);
	/* Lowest priority: any of them. Fixed: all of them, which cannot be. */
	program(MESSAGE(6) | LOGICAL, 0x0141, ENABLE);
	expect(0, 5, 0x41);
	program(MESSAGE(6) | LOGICAL | REDIRECT, 0x0042, ENABLE);
	expect(0, 5, 0x42);
	program(MESSAGE(6) | LOGICAL, 0x0041, ENABLE);
	expect_silence();
	program(MESSAGE(5) | REDIRECT, 0x0043, ENABLE);
	expect(0, 5, 0x43);
	program(MESSAGE(0xff) | REDIRECT, 0x0043, ENABLE);
	expect_silence();
	/* Clusters, and a core that has moved on to x2APIC. */
	mock.vcpus[1].soft.apic_ldr = 0x12u << 24;
	mock.vcpus[1].soft.apic_dfr = 0x0fffffff;
	program(MESSAGE(0x12) | LOGICAL, 0x0044, ENABLE);
	expect(0, 5, 0x44);
	mock.vcpus[0].x2apic = mock.vcpus[1].x2apic = mock.vcpus[2].x2apic = true;
	program(MESSAGE(1 << 6) | LOGICAL, 0x0045, ENABLE);
	expect(0, 6, 0x45);
	program(MESSAGE(4), 0x0046, ENABLE);
	expect(0, 4, 0x46);
}

/* With a base of 0 some of the messages would be illegal: then none is sent. */
static void test_low_block(void **state)
{
	(void)state;
	fx_create(&wide);
	program(MESSAGE(4), 0x1f, ENABLE | 5 << 4);
	expect_silence();
	vpci_msi_write(&fx.q, CONTROL, 2, ENABLE | 4 << 4);
	expect(15, 4, 0x1f);
}

static void test_unsafe(void **state)
{
	(void)state;
	fx_power_on(&wide);
	iommu_info.irq_remap = false;
	assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), OK);
	assert_int_equal(vpci_irq_start(&fx.q), OK);
	program(MESSAGE(5), 0x41, ENABLE);
	expect_silence();
	mock.config.iommu_unsafe = true;
	program(MESSAGE(5) | REDIRECT, 0x47, ENABLE | 2 << 4);
	expect(0, 5, 0x44);
	expect(3, 5, 0x47);
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(6));
	expect(3, 6, 0x47);
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(7));
	expect_silence();
	/* An APIC id that such a message cannot name. */
	mock.vcpus[1].apic_id = 0x105;
	mock.vcpus[1].soft.apic_ldr = 1u << 24;
	program(MESSAGE(1) | LOGICAL, 0x47, ENABLE);
	expect_silence();
	mock.vcpus[1].apic_id = 255;
	program(MESSAGE(1) | LOGICAL, 0x47, ENABLE);
	expect_silence();
	vpci_irq_stop(&fx.q);
	assert_int_equal(fx_find(FX_FREE, FX_FIRST, 0), -1);
}

static void test_iommu_refuses(void **state)
{
	(void)state;
	fx_create(&plain);
	fx.set_fails = true;
	program(MESSAGE(5), 0x41, ENABLE);
	expect_silence();
	fx.set_fails = false;
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(5));
	expect(0, 5, 0x41);
	fx.set_fails = true;
	vpci_msi_write(&fx.q, ADDRESS, 4, MESSAGE(4));
	expect_silence();
}

static void test_life(void **state)
{
	int off, block, gone;

	(void)state;
	fx_create(&wide);
	program(MESSAGE(5), 0x41, ENABLE | 5 << 4);
	vpci_msi_write(&fx.q, 16, 4, 0xff);
	fx_clear();
	vpci_irq_stop(&fx.q);
	expect_silence();
	off = fx_find(FX_CONFIG, FX_MSI + CONTROL, 0);
	block = fx_find(FX_BLOCK, FX_FIRST + 31, 0);
	gone = fx_find(FX_FREE, FX_FIRST, 0);
	assert_true(off >= 0 && off < block && block < gone);
	/* Stopped: nothing reaches the function, or twice the IOMMU. */
	fx_clear();
	vpci_irq_stop(&fx.q);
	vpci_irq_reset(&fx.q);
	program(MESSAGE(5), 0x41, ENABLE);
	vpci_msi_write(&fx.q, 16, 4, 0);
	assert_int_equal(fx.events, 0);
	assert_int_equal(vpci_irq_start(&fx.q), OK);
	expect_silence();
	assert_int_equal(vpci_msi_read(&fx.q, CONTROL, 2) & 0x71, 0);
	assert_int_equal(vpci_msi_read(&fx.q, ADDRESS, 4), 0);
	assert_int_equal(vpci_msi_read(&fx.q, 12, 4), 0);
	assert_int_equal(vpci_msi_read(&fx.q, 16, 4), 0);
	assert_int_equal(fx_config32(FX_MSI + 16), 0);
	program(MESSAGE(5), 0x41, ENABLE);
	expect(0, 5, 0x41);
	vpci_irq_reset(&fx.q);
	expect_silence();
	assert_int_equal(vpci_msi_read(&fx.q, CONTROL, 2) & 0x71, 0);
	program(MESSAGE(5), 0x41, ENABLE);
	expect(0, 5, 0x41);
}

static void test_no_room(void **state)
{
	(void)state;
	fx_power_on(&wide);
	fx.pages = 0;
	assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), ERR_NOMEM);
	fx.pages = 8;
	assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), OK);
	fx.no_irqs = true;
	assert_int_equal(vpci_irq_start(&fx.q), ERR_NOMEM);
	program(MESSAGE(5), 0x41, ENABLE);
	expect_silence();
	vpci_irq_stop(&fx.q);
}

static void test_describe(void **state)
{
	char text[80];

	(void)state;
	fx_create(&wide);
	program(MESSAGE(5), 0x41, ENABLE | 1 << 4);
	vpci_msi_write(&fx.q, 16, 4, 2);
	assert_true(vpci_irq_describe(&fx.q, 0, text, sizeof(text)));
	assert_string_equal(text, "MSI, 2 of 32 messages in use");
	assert_true(vpci_irq_describe(&fx.q, 1, text, sizeof(text)));
	assert_string_equal(text, "message 0: vector 64 of APIC 5");
	assert_true(vpci_irq_describe(&fx.q, 2, text, sizeof(text)));
	assert_string_equal(text, "message 1: vector 65 of APIC 5, masked");
	assert_false(vpci_irq_describe(&fx.q, 3, text, sizeof(text)));
}

/* Anything at all: the fixture looks after each step whether something illegal can be sent. */
static void test_random(void **state)
{
	static const struct fx_shape *const shapes[] = { &plain, &narrow, &wide };
	unsigned sent = 0;

	(void)state;
	srand(1);
	for (unsigned run = 0; run < 60; run++) {
		fx_create(shapes[run % 3]);
		fx.vtd_style = run & 1;
		mock.vcpus[0].soft.apic_ldr = 1u << 24;
		mock.vcpus[1].soft.apic_ldr = 2u << 24;
		for (unsigned step = 0; step < 500; step++) {
			uint32_t v = (uint32_t)rand() ^ (uint32_t)rand() << 16;
			uint32_t at = (uint32_t)rand() % 28, apic;
			uint8_t size = (uint8_t)(1 << rand() % 3), vector;

			if (at / 4 == 1 && rand() % 4)
				v = MESSAGE(v % 8) | (v >> 8 & 0xc), at = 4, size = 4;
			if (at / 4 == 2 && data_at() == 12 && rand() % 4)
				v = 0;
			if (at == data_at() && rand() % 4)
				v &= 0x1ff;
			vpci_msi_write(&fx.q, at, size, v);
			fx.set_fails = rand() % 50 == 0;
			fx_clear();
			sent += fx_can_send(0, &apic, &vector);
		}
		vpci_irq_stop(&fx.q);
		expect_silence();
	}
	assert_true(sent > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),          cmocka_unit_test(test_enable),
		cmocka_unit_test(test_disable),       cmocka_unit_test(test_affinity),
		cmocka_unit_test(test_multiple),      cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_layout),        cmocka_unit_test(test_widths),
		cmocka_unit_test(test_forged),        cmocka_unit_test(test_modes),
		cmocka_unit_test(test_low_block),     cmocka_unit_test(test_unsafe),
		cmocka_unit_test(test_not_contained), cmocka_unit_test(test_iommu_refuses),
		cmocka_unit_test(test_life),          cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_describe),      cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
