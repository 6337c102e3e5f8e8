// SPDX-License-Identifier: BSD-2-Clause
/* AMD's IOMMUs: interrupts and events. */
// sources: tests/host/amdvi_fixture.c tests/host/amdvi_model.c
// sources: drivers/amdvi.c drivers/amdvi_cmd.c drivers/amdvi_dev.c drivers/amdvi_irq.c
// sources: drivers/amdvi_event.c drivers/ivrs.c drivers/acpi.c drivers/pci.c mm/page_alloc.c
// sources: mm/spte.c mm/spte_amdvi.c
#include "amdvi_fixture.h"

#define DEVICE 0x0218
#define OTHER  0x0300
#define FAR    0x4100

static struct iommu_msi msi;

static unsigned alloc(uint16_t id, unsigned count)
{
	unsigned first = ~0u;

	assert_int_equal(amdvi_ops.irq_alloc(function(0, id), count, &first), OK);
	assert_true(model_idle());
	return first;
}

static enum status set(uint16_t id, unsigned index, uint32_t apic_id, uint8_t vector)
{
	struct iommu_irq irq = { .apic_id = apic_id, .vector = vector };
	enum status s = amdvi_ops.irq_set(function(0, id), index, &irq, &msi);

	assert_true(model_idle());
	return s;
}

static enum status set_nmi(uint16_t id, unsigned index, uint32_t apic_id)
{
	struct iommu_irq irq = { .apic_id = apic_id, .nmi = true };

	return amdvi_ops.irq_set(function(0, id), index, &irq, &msi);
}

static void check_nmi(uint16_t id, const struct iommu_msi *m, uint32_t apic_id)
{
	struct model_msi out;

	assert_int_equal(model_msi(0, id, m->address, m->data, &out), MODEL_DONE);
	assert_true(out.nmi);
	assert_int_equal(out.apic_id, apic_id);
}

static void test_remap(void **state)
{
	unsigned first;

	(void)state;
	start(2);
	first = alloc(DEVICE, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_no_msi(0, DEVICE, first + i);
	assert_int_equal(set(DEVICE, first + 1, 3, 0x55), OK);
	assert_msi(0, DEVICE, &msi, 3, 0x55);
	assert_no_msi(0, DEVICE, first);
	assert_no_msi(0, DEVICE, first + 2);
	assert_no_msi(0, DEVICE, first + 1 + 0x100);
	/* Nobody else's, and nothing but fixed interrupts. */
	assert_no_msi(0, OTHER, first + 1);
	for (uint32_t mode = 2; mode < 8; mode++)
		assert_no_msi(0, DEVICE, (first + 1) | mode << 8);
	/* It says nothing about memory. */
	assert_no_dma(0, DEVICE, 0);
	assert_int_equal(set(DEVICE, first + 1, 254, 0xfe), OK);
	assert_msi(0, DEVICE, &msi, 254, 0xfe);
	assert_int_equal(amdvi_ops.irq_set(function(0, DEVICE), first + 1, NULL, NULL), OK);
	assert_no_msi(0, DEVICE, msi.data);
}

static void test_unit_of_segment(void **state)
{
	unsigned first;

	(void)state;
	start(ALL_UNITS);
	first = alloc(FAR, 1);
	assert_int_equal(set(FAR, first, 5, 0x60), OK);
	assert_msi(1, FAR, &msi, 5, 0x60);
	assert_int_equal(set(FAR, first, 6, 0x61), OK);
	assert_msi(1, FAR, &msi, 6, 0x61);
	assert_no_msi(2, FAR, first);
}

static uint32_t allowed[2];

static void old_or_new(void)
{
	struct model_msi out;

	/* Caches may forget at any time, too. */
	model.unit[0].irt_count = 0;
	model.unit[0].dte[DEVICE].valid = false;
	assert_int_equal(model_msi(0, DEVICE, msi.address, msi.data, &out), MODEL_DONE);
	assert_true((out.apic_id == allowed[0] && out.vector == allowed[0] + 0x40) ||
		    (out.apic_id == allowed[1] && out.vector == allowed[1] + 0x40));
}

static void test_change_is_atomic(void **state)
{
	unsigned first;

	(void)state;
	start(1);
	first = alloc(DEVICE, 1);
	assert_int_equal(set(DEVICE, first, 1, 0x41), OK);
	assert_msi(0, DEVICE, &msi, 1, 0x41);
	for (uint8_t to = 2; to < 9; to++) {
		allowed[0] = to - 1u;
		allowed[1] = to;
		model.probe = old_or_new;
		assert_int_equal(set(DEVICE, first, to, to + 0x40), OK);
		model.probe = NULL;
		assert_msi(0, DEVICE, &msi, to, to + 0x40);
	}
	/* Others come and go. */
	allowed[0] = 8;
	model.probe = old_or_new;
	amdvi_ops.irq_free(function(0, DEVICE), alloc(DEVICE, 4), 4);
	assert_int_equal(amdvi_ops.attach(function(0, DEVICE), 7, make_table(0, 1, 1)), OK);
	amdvi_ops.detach(function(0, DEVICE));
}

static void test_allocation(void **state)
{
	unsigned first, used;

	(void)state;
	start(1);
	assert_int_equal(amdvi_ops.irq_alloc(function(0, DEVICE), 0, &first), ERR_RANGE);
	assert_int_equal(amdvi_ops.irq_alloc(function(0, DEVICE), 257, &first), ERR_RANGE);
	assert_int_equal(amdvi_ops.irq_alloc(function(0, 0x8000), 1, &first), ERR_NOT_FOUND);
	assert_int_equal(alloc(DEVICE, 1), 0);
	assert_int_equal(alloc(DEVICE, 32) % 32, 0);
	assert_int_equal(alloc(DEVICE, 3), 1);
	assert_int_equal(alloc(DEVICE, 128), 128);
	assert_int_equal(alloc(DEVICE, 64), 64);
	assert_int_equal(alloc(DEVICE, 28), 4);
	assert_int_equal(amdvi_ops.irq_alloc(function(0, DEVICE), 1, &first), ERR_NOMEM);
	/* Others have their own. */
	assert_int_equal(alloc(OTHER, 256), 0);
	amdvi_ops.irq_free(function(0, OTHER), 0, 256);
	used = (unsigned)budget.used;
	assert_int_equal(set(DEVICE, 130, 2, 0x42), OK);
	assert_msi(0, DEVICE, &msi, 2, 0x42);
	amdvi_ops.irq_free(function(0, DEVICE), 128, 128);
	assert_true(model_idle());
	assert_no_msi(0, DEVICE, 130);
	assert_int_equal(set(DEVICE, 130, 2, 0x42), ERR_NOT_FOUND);
	assert_int_equal(alloc(DEVICE, 5), 128);
	assert_no_msi(0, DEVICE, 130);
	amdvi_ops.irq_free(function(0, DEVICE), 128, 5);
	amdvi_ops.irq_free(function(0, DEVICE), 0, 128);
	assert_true(budget.used < used);
	assert_blocked(0, DEVICE);
	assert_int_equal(set(DEVICE, 0, 2, 0x42), ERR_NOT_FOUND);
	assert_int_equal(set(DEVICE, 256, 2, 0x42), ERR_NOT_FOUND);
	expect_panic(amdvi_ops.irq_free(function(0, DEVICE), 0, 1));
	expect_panic(amdvi_ops.irq_free(function(0, 0x2000), 0, 1));
	assert_int_equal(set(0x2000, 0, 2, 0x42), ERR_NOT_FOUND);
}

/* The table is given back only when nobody looks at it any more; a device may try all the time. */
static void keep_sending(void)
{
	static uint8_t next;
	struct model_msi out;

	for (unsigned i = 0; i < 2; i++, next++) {
		model_msi(0, DEVICE, 0xfee00000, i ? next : 0, &out);
		model_msi(0, ALIAS + 1, 0xfee00000, i ? next : 0, &out);
		model_msi(0, ALIAS, 0xfee00000, i ? next : 0, &out);
	}
}

static void test_table_is_forgotten(void **state)
{
	static const uint16_t ids[] = { DEVICE, ALIAS + 1 };

	(void)state;
	start(1);
	model.probe = keep_sending;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(alloc(ids[i], 2), 0);
		assert_int_equal(set(ids[i], 0, 1, 0x41), OK);
		assert_msi(0, ids[i], &msi, 1, 0x41);
		amdvi_ops.irq_free(function(0, ids[i]), 0, 2);
		assert_no_msi(0, ids[i], 0);
		memset(page_alloc(&budget, 8), 0x11, 8 << PAGE_SHIFT);
		assert_int_equal(alloc(ids[i], 1), 0);
		assert_no_msi(0, ids[i], 0);
	}
}

static void test_no_memory(void **state)
{
	uint64_t before;
	unsigned first;

	(void)state;
	start(1);
	before = budget.limit;
	budget.limit = budget.used;
	assert_int_equal(amdvi_ops.irq_alloc(function(0, DEVICE), 1, &first), ERR_NOMEM);
	assert_blocked(0, DEVICE);
	budget.limit = before;
	assert_int_equal(alloc(DEVICE, 1), 0);
}

/* An IOMMU that ignores the table's length finds nothing behind its end. */
static void test_length(void **state)
{
	(void)state;
	model.unit[0].ignore_len = true;
	start(1);
	assert_int_equal(alloc(DEVICE, 256), 0);
	memset(page_alloc(&budget, 8), 0x11, 8 << PAGE_SHIFT);
	for (uint32_t data = 0; data < 0x800; data++)
		assert_no_msi(0, DEVICE, data);
}

static void test_short_format(void **state)
{
	unsigned first;

	(void)state;
	model.unit[1].efr &= ~0x80ull;
	start(2);
	assert_false(iommu_info.x2apic);
	first = alloc(DEVICE, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(set(DEVICE, first + i, 17 + i, (uint8_t)(0xa5 + i)), OK);
		assert_msi(0, DEVICE, &msi, 17 + i, (uint8_t)(0xa5 + i));
	}
	assert_int_equal(set(DEVICE, first, 255, 0xa5), ERR_RANGE);
	assert_msi(0, DEVICE, &(struct iommu_msi){ 0xfee00000, first }, 17, 0xa5);
	assert_int_equal(amdvi_ops.irq_set(function(0, DEVICE), first + 1, NULL, NULL), OK);
	assert_no_msi(0, DEVICE, first + 1);
	assert_msi(0, DEVICE, &(struct iommu_msi){ 0xfee00000, first + 2 }, 19, 0xa7);
}

static void test_x2apic(void **state)
{
	unsigned first;

	(void)state;
	env.wide_apic_ids = true;
	start(2);
	assert_true(iommu_info.x2apic);
	first = alloc(DEVICE, 1);
	assert_int_equal(set(DEVICE, first, 0x12345678, 0x99), OK);
	assert_msi(0, DEVICE, &msi, 0x12345678, 0x99);
	assert_int_equal(set(DEVICE, first, ~0u, 0x99), ERR_RANGE);
	assert_int_equal(set_nmi(DEVICE, first, 255), ERR_RANGE);
	assert_msi(0, DEVICE, &msi, 0x12345678, 0x99);
	/* All units have to have it. */
	setup(NULL);
	env.wide_apic_ids = true;
	model.unit[1].efr &= ~4ull;
	start(2);
	assert_false(iommu_info.x2apic);
	first = alloc(DEVICE, 1);
	assert_int_equal(set(DEVICE, first, 255, 0x99), ERR_RANGE);
	assert_int_equal(set(DEVICE, first, 254, 0x99), OK);
	assert_msi(0, DEVICE, &msi, 254, 0x99);
	/* Nobody needs it: cores keep the interrupts that they know. */
	setup(NULL);
	start(2);
	assert_false(iommu_info.x2apic);
}

static void test_nmi(void **state)
{
	unsigned first;

	(void)state;
	start(1);
	first = alloc(DEVICE, 2);
	assert_int_equal(set_nmi(DEVICE, first, 9), OK);
	assert_true(model_idle());
	check_nmi(DEVICE, &msi, 9);
	assert_no_msi(0, OTHER, msi.data);
	assert_no_msi(0, DEVICE, first);
	for (uint32_t mode = 2; mode < 8; mode++) {
		if (mode != 4)
			assert_no_msi(0, DEVICE, mode << 8);
	}
	/* The other one is not affected; nor does it take the permission away. */
	assert_int_equal(set(DEVICE, first + 1, 1, 0x44), OK);
	assert_msi(0, DEVICE, &msi, 1, 0x44);
	check_nmi(DEVICE, &(struct iommu_msi){ 0xfee03000, 0x400 }, 3);
	assert_int_equal(set(DEVICE, first, 2, 0x45), OK);
	assert_no_msi(0, DEVICE, 0x400);
	assert_msi(0, DEVICE, &msi, 2, 0x45);
	assert_int_equal(set_nmi(DEVICE, first, 9), OK);
	assert_no_msi(0, DEVICE, first);
	amdvi_ops.irq_free(function(0, DEVICE), first, 1);
	assert_no_msi(0, DEVICE, 0x400);
	assert_int_equal(set_nmi(DEVICE, first + 1, 9), OK);
	check_nmi(DEVICE, &msi, 9);
	assert_int_equal(amdvi_ops.irq_set(function(0, DEVICE), first + 1, NULL, NULL), OK);
	assert_no_msi(0, DEVICE, 0x400);
}

static void test_ioapic(void **state)
{
	uint64_t rte = 1;

	(void)state;
	start(2);
	assert_no_msi(0, IOAPIC_SELF, 0x400);
	assert_int_equal(amdvi_ops.ioapic_nmi(IOAPIC_ID, 4, 3, &rte), OK);
	assert_true(model_idle());
	assert_int_equal(rte, 0x0300000000000400);
	check_nmi(IOAPIC_SELF, &(struct iommu_msi){ 0xfee03000, 0x400 }, 3);
	assert_no_msi(0, IOAPIC_SELF, 0);
	assert_no_msi(0, IOAPIC_SELF, 0x700);
	assert_no_dma(0, IOAPIC_SELF, 0);
	assert_int_equal(amdvi_ops.ioapic_nmi(IOAPIC_ID, 4, 254, &rte), OK);
	assert_int_equal(rte, 0xfe00000000000400);
	assert_int_equal(amdvi_ops.ioapic_nmi(IOAPIC_ID, 4, 255, &rte), ERR_RANGE);
	assert_int_equal(amdvi_ops.ioapic_nmi(IOAPIC_ID + 2, 4, 3, &rte), ERR_NOT_FOUND);
	assert_int_equal(amdvi_ops.ioapic_nmi(3, 0, 3, &rte), OK);
	assert_int_equal(model.unit[1].dte[0x4001].valid, false);
	assert_no_msi(0, 0x4002, 0x400);
}

/* A function that has the id of an IOAPIC: as a guest's it could send NMIs to all cores. */
static void test_ioapic_is_nobodys(void **state)
{
	const struct pci_bdf d = function(0, IOAPIC_SELF);
	hpa_t root;
	uint64_t rte;

	(void)state;
	start(1);
	root = make_table(0, 1, 0);
	assert_int_equal(amdvi_ops.attach(d, 1, root), OK);
	assert_int_equal(amdvi_ops.ioapic_nmi(IOAPIC_ID, 4, 3, &rte), ERR_BUSY);
	assert_no_msi(0, IOAPIC_SELF, 0x400);
	amdvi_ops.detach(d);
	assert_int_equal(amdvi_ops.ioapic_nmi(IOAPIC_ID, 4, 3, &rte), OK);
	assert_int_equal(amdvi_ops.attach(d, 1, root), ERR_BUSY);
	assert_no_dma(0, IOAPIC_SELF, 0);
}

/* Functions with one alias share its interrupts; messages come from either id. */
static void test_alias(void **state)
{
	unsigned first, second;
	struct iommu_msi other;

	(void)state;
	start(1);
	first = alloc(ALIAS + 1, 2);
	second = alloc(ALIAS + 2, 2);
	assert_int_not_equal(first, second);
	assert_int_equal(set(ALIAS + 1, first, 1, 0x41), OK);
	other = msi;
	assert_int_equal(set(ALIAS + 2, second, 2, 0x42), OK);
	assert_msi(0, ALIAS + 1, &other, 1, 0x41);
	assert_msi(0, ALIAS, &other, 1, 0x41);
	assert_msi(0, ALIAS, &msi, 2, 0x42);
	assert_msi(0, ALIAS + 2, &msi, 2, 0x42);
	assert_int_equal(set(ALIAS + 1, first, 3, 0x43), OK);
	assert_msi(0, ALIAS, &msi, 3, 0x43);
	assert_msi(0, ALIAS + 1, &msi, 3, 0x43);
	amdvi_ops.irq_free(function(0, ALIAS + 1), first, 2);
	assert_no_msi(0, ALIAS, first);
	assert_no_msi(0, ALIAS + 1, first);
	assert_msi(0, ALIAS, &(struct iommu_msi){ 0xfee00000, second }, 2, 0x42);
	amdvi_ops.irq_free(function(0, ALIAS + 2), second, 2);
	assert_blocked(0, ALIAS);
	assert_blocked(0, ALIAS + 2);
}

/* --- events --- */

static void test_faults(void **state)
{
	struct iommu_fault f;
	uint64_t hpa;

	(void)state;
	start(2);
	assert_false(amdvi_ops.next_fault(&f));
	model_dma(0, DEVICE, 0x12345678, true, &hpa);
	model_dma(0, OTHER, 0xfee00000, false, &hpa);
	assert_no_msi(1, FAR, 0);
	assert_true(amdvi_ops.next_fault(&f));
	assert_true(f.source.bus == 2 && f.source.device == 3 && f.source.function == 0);
	assert_int_equal(f.address, 0x12345678);
	assert_true(f.write && !f.interrupt && !f.is_unit);
	assert_int_equal(f.reason, 2);
	assert_string_equal(f.text, "page fault");
	assert_int_equal(f.unit, 0);
	assert_true(amdvi_ops.next_fault(&f));
	assert_int_equal(f.source.bus, 3);
	assert_true(!f.write && !f.interrupt && !f.is_unit);
	assert_true(amdvi_ops.next_fault(&f));
	assert_int_equal(f.source.bus, 0x41);
	assert_true(f.interrupt && !f.is_unit);
	assert_int_equal(f.unit, 1);
	assert_false(amdvi_ops.next_fault(&f));
	assert_int_equal(model.unit[0].status & 2, 0);
}

static void test_fault_kinds(void **state)
{
	static const struct {
		uint64_t low;
		bool is_unit;
		const char *text;
	} cases[] = {
		{ 1ull << 60 | DEVICE, false, "illegal device table entry" },
		{ 3ull << 60 | DEVICE, false, "device table not readable" },
		{ 4ull << 60 | DEVICE, false, "page table not readable" },
		{ 5ull << 60, true, "illegal command" },
		{ 6ull << 60, true, "command buffer not readable" },
		{ 7ull << 60 | DEVICE, true, "device TLB time-out" },
		{ 8ull << 60 | DEVICE, false, "request of a kind that is not permitted" },
		{ 9ull << 60 | DEVICE, false, "invalid page request" },
		{ 15ull << 60 | DEVICE, true, "unknown event" },
		{ ~0ull, true, "unknown event" },
	};
	struct iommu_fault f;

	(void)state;
	start(1);
	/* Around the ring and on. */
	for (unsigned i = 0; i < 600; i++) {
		unsigned n = i % ARRAY_SIZE(cases);

		model_event(0, cases[n].low, 0x1000 + i);
		assert_true(amdvi_ops.next_fault(&f));
		assert_int_equal(f.is_unit, cases[n].is_unit);
		assert_string_equal(f.text, cases[n].text);
		assert_int_equal(f.reason, cases[n].low >> 60);
		assert_int_equal(f.address, 0x1000 + i);
		assert_false(amdvi_ops.next_fault(&f));
	}
	/* All faults marked as interrupts, as an emulator does. */
	model_event(0, 2ull << 60 | 8ull << 48 | DEVICE, 0x12345000);
	assert_true(amdvi_ops.next_fault(&f));
	assert_false(f.interrupt);
}

static void test_overflow(void **state)
{
	struct iommu_fault f;
	unsigned count = 0;
	uint64_t hpa;

	(void)state;
	start(1);
	assert_int_equal(amdvi_ops.fault_nmi(0), OK);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 300; i++)
			model_dma(0, DEVICE, 0x1000 * i, false, &hpa);
		assert_int_equal(model.unit[0].status & 1, 1);
		for (count = 0; amdvi_ops.next_fault(&f) && !f.is_unit; count++)
			assert_int_equal(f.address, 0x1000 * count);
		assert_int_equal(count, 255);
		assert_non_null(strstr(f.text, "overflow"));
		assert_false(amdvi_ops.next_fault(&f));
		assert_int_equal(model.unit[0].status & 1, 0);
		assert_int_equal(model.unit[0].status & 8, 8);
		assert_int_equal(model.unit[0].control & 0xd, 0xd);
	}
	model_dma(0, DEVICE, 0x5000, false, &hpa);
	assert_true(amdvi_ops.next_fault(&f));
	assert_int_equal(f.address, 0x5000);
}

/* The tail has moved, the event has not come: later, or it is given up. */
static void test_late_event(void **state)
{
	struct iommu_fault f;
	uint64_t hpa, *e;

	(void)state;
	start(1);
	model.unit[0].late_event = true;
	model_dma(0, DEVICE, 0x5000, false, &hpa);
	assert_false(amdvi_ops.next_fault(&f));
	e = hpa_to_virt(HPA(model.unit[0].event_base & 0xffffffffff000));
	e[1] = 0x5000;
	e[0] = 2ull << 60 | DEVICE;
	assert_true(amdvi_ops.next_fault(&f));
	assert_int_equal(f.address, 0x5000);
	model_dma(0, DEVICE, 0x6000, false, &hpa);
	model.unit[0].late_event = false;
	model_dma(0, DEVICE, 0x7000, false, &hpa);
	assert_false(amdvi_ops.next_fault(&f));
	while (!amdvi_ops.next_fault(&f))
		;
	assert_int_equal(f.address, 0x7000);
	/* Once around, what was there before is not the event. */
	for (unsigned i = 0; i < 256; i++) {
		model_dma(0, DEVICE, 0x5000, false, &hpa);
		assert_true(amdvi_ops.next_fault(&f));
	}
	model.unit[0].late_event = true;
	model_dma(0, DEVICE, 0x6000, false, &hpa);
	assert_false(amdvi_ops.next_fault(&f));
	/* A tail beyond the ring is no reason to read there. */
	model.unit[0].event_tail = 0x7fff0;
	for (unsigned i = 0; i < 1000; i++)
		amdvi_ops.next_fault(&f);
	assert_int_equal(model.unit[0].event_head, 0xff0);
}

static void test_fault_nmi(void **state)
{
	uint32_t address;
	uint64_t hpa;

	(void)state;
	start(2);
	/* The firmware's MSI is off, and no event asks for one. */
	assert_int_equal(model.unit[0].config[0x66] & 1, 0);
	model_dma(0, DEVICE, 0x5000, false, &hpa);
	assert_int_equal(model.unit[0].interrupts, 0);
	assert_int_equal(amdvi_ops.fault_nmi(5), OK);
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(model.unit[n].config[0x66] & 1, 1);
		memcpy(&address, model.unit[n].config + 0x68, 4);
		assert_int_equal(address, 0xfee05000);
		assert_int_equal(model.unit[n].config[0x71] << 8 | model.unit[n].config[0x70],
				 0x400);
	}
	/* Its own messages pass, if they are remapped at all. */
	check_nmi(0x0002, &(struct iommu_msi){ 0xfee05000, 0x400 }, 5);
	assert_no_msi(0, 0x0002, 0);
	assert_no_dma(0, 0x0002, 0);
	model_dma(1, FAR, 0x5000, false, &hpa);
	assert_int_equal(model.unit[1].interrupts, 1);
	assert_int_equal(amdvi_ops.fault_nmi(6), OK);
	memcpy(&address, model.unit[1].config + 0x68, 4);
	assert_int_equal(address, 0xfee06000);
}

static void test_fault_mask(void **state)
{
	struct iommu_fault f;
	uint64_t hpa;

	(void)state;
	start(1);
	assert_int_equal(amdvi_ops.fault_nmi(5), OK);
	model_dma(0, DEVICE, 0x5000, false, &hpa);
	assert_int_equal(model.unit[0].interrupts, 1);
	amdvi_ops.fault_mask(true);
	while (amdvi_ops.next_fault(&f))
		;
	model_dma(0, DEVICE, 0x6000, false, &hpa);
	assert_int_equal(model.unit[0].interrupts, 1);
	assert_true(amdvi_ops.next_fault(&f));
	assert_int_equal(f.address, 0x6000);
	amdvi_ops.fault_mask(false);
	model_dma(0, DEVICE, 0x7000, false, &hpa);
	assert_int_equal(model.unit[0].interrupts, 2);
	/* It is still an IOMMU, whatever is masked. */
	assert_blocked(0, DEVICE);
}

static void test_fault_nmi_impossible(void **state)
{
	uint64_t hpa;

	(void)state;
	model.unit[1].config[0x64] = 0x10; /* no MSI */
	start(2);
	assert_int_equal(amdvi_ops.fault_nmi(255), ERR_UNSUPPORTED);
	assert_int_equal(amdvi_ops.fault_nmi(5), ERR_UNSUPPORTED);
	amdvi_ops.fault_mask(false);
	model_dma(1, FAR, 0x5000, false, &hpa);
	assert_int_equal(model.unit[1].interrupts, 0);
	model_dma(0, DEVICE, 0x5000, false, &hpa);
	assert_int_equal(model.unit[0].interrupts, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_remap, setup),
		cmocka_unit_test_setup(test_unit_of_segment, setup),
		cmocka_unit_test_setup(test_change_is_atomic, setup),
		cmocka_unit_test_setup(test_allocation, setup),
		cmocka_unit_test_setup(test_table_is_forgotten, setup),
		cmocka_unit_test_setup(test_no_memory, setup),
		cmocka_unit_test_setup(test_length, setup),
		cmocka_unit_test_setup(test_short_format, setup),
		cmocka_unit_test_setup(test_x2apic, setup),
		cmocka_unit_test_setup(test_nmi, setup),
		cmocka_unit_test_setup(test_ioapic, setup),
		cmocka_unit_test_setup(test_ioapic_is_nobodys, setup),
		cmocka_unit_test_setup(test_alias, setup),
		cmocka_unit_test_setup(test_faults, setup),
		cmocka_unit_test_setup(test_fault_kinds, setup),
		cmocka_unit_test_setup(test_overflow, setup),
		cmocka_unit_test_setup(test_late_event, setup),
		cmocka_unit_test_setup(test_fault_nmi, setup),
		cmocka_unit_test_setup(test_fault_mask, setup),
		cmocka_unit_test_setup(test_fault_nmi_impossible, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
