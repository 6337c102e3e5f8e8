/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: emulated devices and their MMIO entries. */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c mm/tdp_mmio.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mm_fixture.h"

static struct slot device(uint64_t base, uint64_t npages, unsigned handler)
{
	return (struct slot){ .base = GFN(base),
			      .npages = npages,
			      .type = MEM_UC,
			      .kind = SLOT_EMULATED,
			      .name = "device",
			      .handler = (uint16_t)handler };
}

/* What an exit for a malformed entry at the frame is taken for. */
static enum tdp_result malformed(uint64_t gfn, unsigned *handler)
{
	*handler = ~0u;
	return tdp_mmio(&tdp, GPA(gfn << PAGE_SHIFT | 0x123), handler);
}

/* The frame is the device's, for hardware and for us; returns the level of its entry. */
static unsigned expect_device(uint64_t gfn, unsigned handler)
{
	struct translation tr;
	unsigned found;

	assert_false(machine_translate(gfn, &tr));
	if (!format.mmio) {
		assert_false(tr.mmio);
		assert_int_equal(malformed(gfn, &found), TDP_RETRY);
		return 0;
	}
	assert_true(tr.mmio);
	assert_int_equal(tr.handler, handler);
	assert_int_equal(malformed(gfn, &found), TDP_MMIO);
	assert_int_equal(found, handler);
	return tr.level;
}

static void expect_no_device(uint64_t gfn)
{
	struct translation tr;
	unsigned found;

	machine_translate(gfn, &tr);
	assert_false(tr.mmio);
	assert_int_equal(malformed(gfn, &found), TDP_RETRY);
}

static void test_entries_from_the_start(void **state unused)
{
	create(device(gib + 3, 5, 7));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(expect_device(gib + 3 + i, 7), format.mmio ? 1 : 0);
	expect_no_device(gib + 2);
	expect_no_device(gib + 8);
	assert_int_equal(tdp_stats(&tdp).mmio_entries, format.mmio ? 5 : 0);
	assert_int_equal(tdp_stats(&tdp).mmio, 0);
	create(device(0, 1, SPTE_MMIO_HANDLERS - 1));
	expect_device(0, SPTE_MMIO_HANDLERS - 1);
	/* Beyond what can be addressed there is nothing. */
	expect_no_device(BIT(36) - 1);
	expect_no_device(BIT(40));
}

/* One entry says it for as much as it spans, whatever the size of pages. */
static void test_large_spans(void **state unused)
{
	uint64_t tables = cpu_tables();

	create(device(gib, gib, 9));
	if (format.mmio)
		assert_in_range(expect_device(gib, 9), 2, 4);
	expect_device(gib + gib / 2 + 1, 9);
	expect_device(2 * gib - 1, 9);
	assert_true(cpu_tables() <= tables + 2);
	expect_no_device(gib - 1);
	expect_no_device(2 * gib);
}

/* Half of a large entry goes; the other half is the same entry further down, without a fault. */
static void test_large_spans_are_cut(void **state unused)
{
	struct slot_txn txn;

	create(device(gib, gib, 9));
	begin(&txn, 1);
	assert_int_equal(slot_resize(&txn, GFN(gib), gib / 2 + 3), OK);
	commit(&txn);
	expect_device(gib, 9);
	expect_device(gib + gib / 2 + 2, 9);
	expect_no_device(gib + gib / 2 + 3);
	create(ram(gib + gib / 2 + 3, 100, 4 * gib));
	expect_device(gib + gib / 2 + 2, 9);
	expect_mapped(gib + gib / 2 + 3, 4 * gib, 1);
}

static void test_device_in_memory(void **state unused)
{
	struct slot_txn txn;
	struct slot s = ram(gib, gib, 4 * gib);

	create(s);
	begin(&txn, 2);
	assert_int_equal(slot_resize(&txn, GFN(gib), 100), OK);
	s.base.v += 101;
	s.pfn.v += 101;
	s.npages -= 101;
	assert_int_equal(slot_create(&txn, &s), OK);
	assert_int_equal(slot_create(&txn, &(struct slot){ .base = GFN(gib + 100),
							   .npages = 1,
							   .kind = SLOT_EMULATED,
							   .handler = 3 }),
			 OK);
	commit(&txn);
	expect_device(gib + 100, 3);
	expect_mapped(gib + 99, 4 * gib + 99, 1);
	expect_mapped(gib + 101, 4 * gib + 101, 1);
	delete (gib + 100);
	expect_no_device(gib + 100);
	expect_unmapped(gib + 100);
}

/* Where hardware cannot say it, or a zap took the entry away, the slots do. */
static void test_faults(void **state unused)
{
	static const uint8_t access[] = { ACCESS_R, ACCESS_W, ACCESS_X, ACCESS_RW };
	struct tdp_fault f;

	create(device(gib, 4, 5));
	tdp_zap_all(&tdp);
	machine_check();
	for (unsigned i = 0; i < ARRAY_SIZE(access); i++) {
		expect_no_device(gib + i);
		assert_int_equal(fault(gib + i, access[i], &f), TDP_MMIO);
		assert_true(f.has_slot && f.slot.kind == SLOT_EMULATED);
		assert_int_equal(f.slot.handler, 5);
		expect_device(gib + i, 5);
		machine_check();
	}
	assert_int_equal(tdp_zap_slot(&tdp, GFN(gib)), OK);
	expect_no_device(gib);
	machine_check();
	assert_int_equal(tdp_populate(&tdp, GFN(0), BIT(36)), OK);
	expect_device(gib + 3, 5);
}

/* No page for the table: the device works all the same. */
static void test_faults_without_memory(void **state unused)
{
	struct tdp_fault f;
	uint64_t fixed;

	create(device(gib, 1, 5));
	tdp_zap_all(&tdp);
	fixed = tdp_stats(&tdp).fixed;
	fail_after = 0;
	assert_int_equal(fault(gib, ACCESS_R, &f), TDP_MMIO);
	assert_int_equal(f.slot.handler, 5);
	fail_after = -1;
	expect_no_device(gib);
	assert_int_equal(tdp_stats(&tdp).fixed, fixed);
}

/* The layout changes between the look at the slots and the lock. */
static void change_handler(void)
{
	struct slot_txn txn;
	struct slot s = device(gib, 1, 6);

	begin(&txn, 1);
	assert_int_equal(slot_replace(&txn, &s), OK);
	assert_int_equal(tdp_commit(&tdp, &txn), OK);
}

static void test_fault_overtaken(void **state unused)
{
	struct tdp_fault f;

	create(device(gib, 1, 5));
	tdp_zap_all(&tdp);
	machine.meanwhile = change_handler;
	assert_int_equal(fault(gib, ACCESS_R, &f), TDP_MMIO);
	expect_device(gib, 6);
	machine_check();
}

static void refuse(struct slot s)
{
	struct slot_txn txn;

	begin(&txn, 1);
	expect_refused(&txn, slot_create(&txn, &s), ERR_INVALID);
}

static void test_rules(void **state unused)
{
	struct slot s = device(gib, 1, 0);

	s.access = ACCESS_R;
	refuse(s);
	s = device(gib, 1, 0);
	s.pfn = PFN(1);
	refuse(s);
	refuse(device(gib, 1, SPTE_MMIO_HANDLERS));
	s = device(gib, 1, 0);
	s.kind++;
	refuse(s);
	s = device(gib, 1, 0);
	s.flags = SLOT_LOG;
	refuse(s);
	s = ram(gib, 1, 4 * gib);
	s.handler = 1;
	refuse(s);
	/* No memory: nothing reads or writes through it. */
	create(device(gib, 1, 0));
	for (unsigned access = ACCESS_R; access <= ACCESS_X; access <<= 1) {
		uint64_t left;
		hpa_t hpa;

		assert_int_equal(tdp_translate(&tdp, GPA(gib << PAGE_SHIFT), access, &hpa, &left),
				 ERR_FAULT);
	}
}

/* Slots that say the same are no change, whatever their borders. */
static void test_equal_layouts(void **state unused)
{
	struct slot_txn txn;
	struct slot s = device(gib + 3, 7, 2);
	uint64_t writes;

	create(device(gib, 10, 2));
	writes = machine.writes;
	begin(&txn, 2);
	assert_int_equal(slot_resize(&txn, GFN(gib), 3), OK);
	assert_int_equal(slot_create(&txn, &s), OK);
	commit(&txn);
	assert_int_equal(machine.writes, writes);
	expect_device(gib + 2, 2);
	expect_device(gib + 3, 2);
	s.handler = 4;
	begin(&txn, 2);
	assert_int_equal(slot_replace(&txn, &s), OK);
	commit(&txn);
	expect_device(gib + 2, 2);
	expect_device(gib + 3, 4);
	expect_device(gib + 9, 4);
}

/* Frames that the test below looks at, with what the old and the new layout have there. */
static const struct watched {
	uint64_t offset;
	int before, after; /* handler; -1: no device */
} watched[] = {
	{ 0, 1, 1 },   { 1, 1, 2 },   { 4, 1, 2 },   { 5, -1, 2 },
	{ 9, -1, -1 }, { 20, 3, -1 }, { 30, -1, 3 },
};

static unsigned looks, mmio_seen;

/* Another core, which has left its guest before, handles its exit. */
static void look(void)
{
	struct translation tr;
	unsigned handler;

	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		const struct watched *w = &watched[i];

		looks++;
		machine_translate(gib + w->offset, &tr);
		if (!tr.mmio) {
			/* tdp_mmio() would wait for `lock`. */
			assert_true(!format.mmio || w->before < 0 || w->after < 0);
			continue;
		}
		mmio_seen++;
		assert_int_equal(malformed(gib + w->offset, &handler), TDP_MMIO);
		assert_true((int)handler == w->before || (int)handler == w->after);
	}
}

static void test_old_or_new_at_every_moment(void **state unused)
{
	struct slot_txn txn;
	struct slot s;

	create(device(gib, 5, 1));
	create(device(gib + 20, 1, 3));
	create(ram(gib + 5, 4, 4 * gib));
	begin(&txn, 4);
	assert_int_equal(slot_resize(&txn, GFN(gib), 1), OK);
	assert_int_equal(slot_delete(&txn, GFN(gib + 5)), OK);
	s = device(gib + 1, 8, 2);
	assert_int_equal(slot_create(&txn, &s), OK);
	s = ram(gib + 9, 1, 5 * gib);
	assert_int_equal(slot_create(&txn, &s), OK);
	assert_int_equal(slot_move(&txn, GFN(gib + 20), GFN(gib + 30)), OK);
	looks = mmio_seen = 0;
	machine.written = look;
	commit(&txn);
	machine.written = NULL;
	assert_true(looks > 0);
	assert_int_equal(mmio_seen > 0, format.mmio != 0);
	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		if (watched[i].after < 0)
			expect_no_device(gib + watched[i].offset);
		else
			expect_device(gib + watched[i].offset, (unsigned)watched[i].after);
	}
}

/* A malformed entry that nobody here has made. */
static void test_broken_tables(void **state unused)
{
	struct tdp_view *w = &tdp.view[TDP_CPU];
	uint64_t *entry = w->root, value;
	struct tdp_leaf leaf;
	unsigned handler;

	create(ram(gib, 2, 4 * gib));
	expect_no_device(gib);
	assert_true(tdp_find_leaf(w, gib, &leaf));
	for (unsigned bit = 0; bit < 64; bit++) {
		*leaf.entry = leaf.value ^ BIT(bit);
		if (spte_state(&format, *leaf.entry, 1) == SPTE_STATE_LEAF &&
		    (BIT(bit) & (format.addr | format.access_mask | format.type_mask |
				 format.accessed | format.dirty)))
			continue;
		assert_int_equal(malformed(gib, &handler), TDP_ERROR);
	}
	*leaf.entry = leaf.value;
	entry += spte_index(gib, format.levels);
	value = *entry;
	*entry = value | BIT(58);
	assert_int_equal(malformed(gib, &handler), TDP_ERROR);
	*entry = value;
	expect_no_device(gib);
}

static void test_devices_do_not_see_them(void **state unused)
{
	struct translation tr;

	create(device(3, 5, 7));
	if (!machine.walker[TDP_DMA].root)
		assert_int_equal(attach_iommu(&iommus[0]), OK);
	machine_check();
	assert_false(machine_translate_in(TDP_DMA, 4, &tr));
	assert_false(tr.mmio);
	create(device(10, 5, 8));
	assert_false(machine_translate_in(TDP_DMA, 12, &tr));
	assert_false(tr.mmio);
	expect_device(12, 8);
}

static const struct mm_test tests[] = {
	TEST(test_entries_from_the_start),
	TEST(test_large_spans),
	TEST(test_large_spans_are_cut),
	TEST(test_device_in_memory),
	TEST(test_faults),
	TEST(test_faults_without_memory),
	TEST(test_fault_overtaken),
	TEST(test_rules),
	TEST(test_equal_layouts),
	TEST(test_old_or_new_at_every_moment),
	TEST(test_broken_tables),
	TEST(test_devices_do_not_see_them),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
