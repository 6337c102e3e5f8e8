// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/pci.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/pci.h"

/* Functions of a small machine: configuration space with masks of what can be written. */
#define FUNCTIONS 16

static struct function {
	struct pci_bdf bdf;
	uint8_t config[256];
	uint8_t writable[256];
} functions[FUNCTIONS];

static uint32_t count, reads;
static unsigned written; /* bytes of the last write */
static bool decoding_while_sizing;

static struct function *find(struct pci_bdf d)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!memcmp(&functions[i].bdf, &d, sizeof(d)))
			return &functions[i];
	}
	return NULL;
}

static uint32_t model_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			   unsigned width)
{
	struct function *f = find(d);
	uint32_t v = width == 4 ? ~0u : (1u << (8 * width)) - 1;

	assert_true(reg % width == 0 && reg < 256 && d.bus <= a->last_bus);
	reads++;
	if (f)
		memcpy(&v, f->config + reg, width);
	return v;
}

static void model_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
			uint32_t v)
{
	struct function *f = find(d);

	(void)a;
	assert_true(reg % width == 0 && reg < 256);
	assert_non_null(f);
	written = width;
	if (reg >= 0x10 && reg < 0x28 && v == ~0u && f->config[4] & 3)
		decoding_while_sizing = true;
	for (uint32_t i = 0; i < width; i++) {
		uint8_t w = f->writable[reg + i];

		f->config[reg + i] = (uint8_t)((f->config[reg + i] & ~w) | (v >> (8 * i) & w));
	}
}

static const struct pci_access access = { .read = model_read, .write = model_write, .last_bus = 7 };

static struct function *add(uint8_t bus, uint8_t device, uint8_t function, uint32_t class)
{
	struct function *f = &functions[count++];

	memset(f, 0, sizeof(*f));
	f->bdf = (struct pci_bdf){ .bus = bus, .device = device, .function = function };
	memcpy(f->config, (uint8_t[]){ 0x36, 0x1b, 0x02, 0x00 }, 4);
	memcpy(f->config + 8, &(uint32_t){ class << 8 }, 4);
	f->writable[4] = 7;
	f->writable[5] = 4;
	return f;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static struct function *add_bridge(uint8_t bus, uint8_t device, uint8_t secondary)
{
	struct function *f = add(bus, device, 0, 0x060400);

	f->config[0x0e] = 1;
	f->config[0x19] = secondary;
	return f;
}

/* A UART with an I/O BAR of 8 ports, power management and 64-bit MSI. */
static struct function *add_uart(uint8_t bus, uint8_t device)
{
	struct function *f = add(bus, device, 0, 0x070002);

	put32(f->config + 0x10, 0xc001);
	put32(f->writable + 0x10, 0xfff8);
	f->config[6] = 0x10;
	f->config[0x34] = 0x40;
	f->config[0x3c] = 11;
	memcpy(f->config + 0x40, (uint8_t[]){ 0x01, 0x50, 0, 0, 3 }, 5);
	f->writable[0x44] = 3;
	memcpy(f->config + 0x50, (uint8_t[]){ 0x05, 0x00, 0x8a, 0x00 }, 4);
	memset(f->writable + 0x52, 0x71, 1);
	memset(f->writable + 0x54, 0xff, 10);
	return f;
}

static int setup(void **state)
{
	(void)state;
	count = reads = 0;
	decoding_while_sizing = false;
	return 0;
}

static struct pci_bdf seen[64];
static uint32_t seen_count;

static bool note(void *ctx, struct pci_bdf d)
{
	(void)ctx;
	assert_true(seen_count < ARRAY_SIZE(seen));
	seen[seen_count++] = d;
	return true;
}

static void test_walk(void **state)
{
	(void)state;
	add(0, 0, 0, 0x060000);
	add(0, 3, 0, 0x020000)->config[0x0e] = 0x80; /* multi-function with a hole */
	add(0, 3, 5, 0x020000);
	add(0, 4, 0, 0x020000);
	add(0, 4, 1, 0x020000); /* not multi-function: an echo */
	add_bridge(0, 31, 2);
	add(2, 0, 0, 0x020000);
	add_bridge(2, 1, 2);    /* points at itself */
	add_bridge(2, 2, 0);    /* not configured */
	add_bridge(2, 3, 9);    /* beyond the window */
	add(3, 0, 0, 0x020000); /* no way to it */
	seen_count = 0;
	pci_walk(&access, note, NULL);
	assert_int_equal(seen_count, 9);
	assert_int_equal(seen[2].function, 5);
	assert_int_equal(seen[5].bus, 2);
	assert_true(reads < 1000);
}

static void test_bars(void **state)
{
	struct function *f = add(0, 1, 0, 0x020000);
	struct pci_bar bar;

	(void)state;
	f->config[4] = 3;
	put32(f->config + 0x10, 0xfebc0000);
	put32(f->writable + 0x10, 0xfffe0000);
	put32(f->config + 0x14, 0x0000c041);
	put32(f->writable + 0x14, 0x0000ffc0);
	put32(f->config + 0x18, 0xe000000c);
	put32(f->writable + 0x18, 0xf0000000);
	put32(f->config + 0x1c, 0x1);
	put32(f->writable + 0x1c, 0xffffffff);
	assert_true(pci_read_bar(&access, f->bdf, 0, &bar));
	assert_true(!bar.io && bar.base == 0xfebc0000 && bar.size == 0x20000);
	assert_true(pci_read_bar(&access, f->bdf, 1, &bar));
	assert_true(bar.io && bar.base == 0xc040 && bar.size == 64);
	assert_true(pci_read_bar(&access, f->bdf, 2, &bar));
	assert_true(bar.prefetchable && bar.base == 0x1e0000000 && bar.size == 0x10000000);
	assert_false(pci_read_bar(&access, f->bdf, 4, &bar));
	assert_false(pci_read_bar(&access, f->bdf, 6, &bar));
	/* All is as it was. */
	assert_false(decoding_while_sizing);
	assert_int_equal(f->config[4], 3);
	assert_int_equal(pci_read32(&access, f->bdf, 0x10), 0xfebc0000);
	assert_int_equal(pci_read32(&access, f->bdf, 0x1c), 1);
}

static void test_capabilities(void **state)
{
	struct function *f = add_uart(0, 1);

	(void)state;
	assert_int_equal(pci_find_capability(&access, f->bdf, 5), 0x50);
	assert_int_equal(pci_find_capability(&access, f->bdf, 0x11), 0);
	f->config[0x51] = 0x40; /* a circle */
	reads = 0;
	assert_int_equal(pci_find_capability(&access, f->bdf, 0x11), 0);
	assert_true(reads < 200);
	f->config[0x34] = 0x10; /* into the header */
	assert_int_equal(pci_find_capability(&access, f->bdf, 5), 0);
	f->config[6] = 0;
	f->config[0x34] = 0x40;
	assert_int_equal(pci_find_capability(&access, f->bdf, 5), 0);
}

static void test_find_uart(void **state)
{
	struct pci_uart uart;
	struct function *f;

	(void)state;
	add(0, 0, 0, 0x060000);
	assert_int_equal(pci_find_uart(&access, &uart), ERR_NOT_FOUND);
	add(0, 1, 0, 0x070000); /* no FIFO */
	add(0, 2, 0, 0x070300); /* a modem */
	f = add_uart(0, 3);
	put32(f->config + 0x10, 1); /* not assigned */
	add_bridge(0, 4, 5);
	f = add_uart(5, 6);
	assert_int_equal(pci_find_uart(&access, &uart), OK);
	assert_int_equal(uart.bdf.bus, 5);
	assert_true(uart.bar.io && uart.bar.base == 0xc000 && uart.bar.size == 8);
	assert_true(uart.msi);
	assert_int_equal(uart.irq_line, 11);
	assert_int_equal(uart.vendor, 0x1b36);
	assert_int_equal(f->config[4], 1);    /* I/O decoding on, nothing else */
	assert_int_equal(f->config[0x44], 0); /* D0 */
}

static void test_msi(void **state)
{
	struct function *f = add_uart(0, 1);

	(void)state;
	assert_int_equal(pci_msi_on(&access, f->bdf, PCI_MSI_NMI_ADDRESS(3), PCI_MSI_NMI_DATA), OK);
	assert_int_equal(pci_read32(&access, f->bdf, 0x54), 0xfee03000);
	assert_int_equal(pci_read32(&access, f->bdf, 0x58), 0);
	assert_int_equal(pci_read16(&access, f->bdf, 0x5c), 0x400);
	assert_int_equal(f->config[0x52] & 0x71, 1);
	assert_int_equal(f->config[4] & 4, 4); /* bus master */
	assert_int_equal(f->config[5] & 4, 4); /* no INTx */
	/* To another core: it stays enabled all the time. */
	f->writable[0x52] = 0;
	assert_int_equal(pci_msi_on(&access, f->bdf, PCI_MSI_NMI_ADDRESS(9), PCI_MSI_NMI_DATA), OK);
	assert_int_equal(pci_read32(&access, f->bdf, 0x54), 0xfee09000);
	f->writable[0x52] = 0x71;
	pci_msi_off(&access, f->bdf);
	assert_int_equal(f->config[0x52] & 1, 0);
	assert_int_equal(f->config[5] & 4, 0);
	f->config[0x50] = 0x11;
	pci_msi_off(&access, f->bdf);
	assert_int_equal(pci_msi_on(&access, f->bdf, 0xfee00000, 0), ERR_UNSUPPORTED);
}

static void test_partial_writes(void **state)
{
	struct function *f = add(0, 1, 0, 0x020000);

	(void)state;
	put32(f->config + 0x40, 0x44332211);
	put32(f->writable + 0x40, 0xffffffff);
	pci_write8(&access, f->bdf, 0x41, 0xaa);
	assert_int_equal(written, 1);
	pci_write16(&access, f->bdf, 0x43, 0xbbcc);
	assert_int_equal(written, 2);
	assert_int_equal(pci_read32(&access, f->bdf, 0x43), 0xbbccaa11);
	assert_int_equal(pci_read8(&access, f->bdf, 0x43), 0xbb);
	assert_int_equal(pci_read16(&access, f->bdf, 0x42), 0xbbcc);
	pci_write32(&access, f->bdf, 0x42, 0x12345678);
	assert_int_equal(written, 4);
	assert_int_equal(pci_read32(&access, f->bdf, 0x40), 0x12345678);
	/* Status bits are cleared by ones: a write of the command must not reach them. */
	f->config[7] = 0xf9;
	f->writable[7] = 0xff;
	pci_write16(&access, f->bdf, 4, 1);
	assert_int_equal(f->config[7], 0xf9);
}

static void test_text(void **state)
{
	char text[PCI_BDF_TEXT];

	(void)state;
	pci_bdf_text((struct pci_bdf){ .bus = 0xab, .device = 0x1f, .function = 7 }, text);
	assert_string_equal(text, "ab:1f.7");
	pci_bdf_text((struct pci_bdf){ 0xfffe, 1, 2, 3 }, text);
	assert_string_equal(text, "fffe:01:02.3");
	assert_int_equal(pci_rid((struct pci_bdf){ 1, 0xab, 0x1f, 7 }), 0xabff);
	assert_true(pci_same((struct pci_bdf){ 1, 2, 3, 4 }, (struct pci_bdf){ 1, 2, 3, 4 }));
	assert_false(pci_same((struct pci_bdf){ 0, 2, 3, 4 }, (struct pci_bdf){ 1, 2, 3, 4 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_walk, setup),
		cmocka_unit_test_setup(test_bars, setup),
		cmocka_unit_test_setup(test_capabilities, setup),
		cmocka_unit_test_setup(test_find_uart, setup),
		cmocka_unit_test_setup(test_msi, setup),
		cmocka_unit_test_setup(test_partial_writes, setup),
		cmocka_unit_test_setup(test_text, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
