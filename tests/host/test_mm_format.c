/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: the encodings of entries. */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

static void check_leaf(uint64_t pfn, unsigned level, unsigned access, enum mem_type type)
{
	uint64_t e = spte_make_leaf(&format, PFN(pfn), level, access, type);
	struct spte_info info = spte_decode(&format, e, level);

	/* A device cannot execute: of execute-only memory it has nothing. */
	if (!(access & format.rights)) {
		assert_int_equal(e, SPTE_EMPTY);
		return;
	}
	assert_int_equal(info.state, SPTE_STATE_LEAF);
	assert_int_equal(info.access, access & format.rights);
	assert_int_equal(info.type, format.type_mask ? type : MEM_WB);
	assert_int_equal(info.hpa.v, pfn << PAGE_SHIFT);
	assert_true(spte_is_leaf(&format, e, level));
	assert_false(spte_is_table(&format, e, level));
}

/* Every leaf and table that the format can make, read back by itself and by the walkers' rules. */
static void test_entries(void **state unused)
{
	unsigned legal = 0;

	for (unsigned level = 1; level <= format.max_level; level++) {
		for (unsigned access = 0; access < 9; access++) {
			if (!spte_access_legal(&format, access))
				continue;
			legal |= 1u << access;
			for (unsigned type = 0; type < MEM_TYPES; type++)
				check_leaf(5 * spte_span(level), level, access, type);
		}
	}
	assert_int_equal(legal, v->legal);
	assert_int_equal(format.levels, v->walk.levels);
	assert_int_equal(format.max_level, v->walk.max_level);
	assert_int_equal(format.gpa_bits, v->walk.gpa_bits);
	for (unsigned level = 2; level <= format.levels; level++) {
		uint64_t table = spte_make_table(&format, HPA(0x7654321000), level);
		struct spte_info info = spte_decode(&format, table, level);

		assert_int_equal(info.state, SPTE_STATE_TABLE);
		assert_int_equal(info.access, format.rights);
		assert_int_equal(info.hpa.v, 0x7654321000);
		assert_int_equal(spte_decode(&format, SPTE_EMPTY, level).state, SPTE_STATE_EMPTY);
		assert_int_equal(spte_decode(&format, SPTE_FROZEN, level).state, SPTE_STATE_FROZEN);
	}
	assert_false(spte_present(&format, SPTE_EMPTY) || spte_present(&format, SPTE_FROZEN));
}

/* The fragments of a leaf are together exactly the leaf. */
static void test_fragments(void **state unused)
{
	for (unsigned level = 2; level <= format.max_level; level++) {
		uint64_t pfn = 3 * spte_span(level);
		uint64_t leaf = spte_make_leaf(&format, PFN(pfn), level, ACCESS_RX, MEM_WC);

		for (unsigned i = 0; i < SPTE_PER_TABLE; i++) {
			uint64_t part = pfn + i * spte_span(level - 1);

			assert_int_equal(
				spte_fragment(&format, leaf, level, i),
				spte_make_leaf(&format, PFN(part), level - 1, ACCESS_RX, MEM_WC));
		}
	}
}

/* All values that a format can put into a table, but for MMIO's. */
static size_t make_entries(uint64_t *value, size_t max)
{
	uint64_t frames = BIT(format.maxphyaddr - PAGE_SHIFT);
	size_t n = 0;

	value[n++] = SPTE_EMPTY;
	value[n++] = SPTE_FROZEN;
	for (unsigned level = 1; level <= format.levels; level++) {
		uint64_t last = frames - spte_span(level);

		if (level > 1) {
			value[n++] = spte_make_table(&format, HPA(0), level);
			value[n++] = spte_make_table(&format, HPA((frames - 1) << 12), level);
		}
		for (unsigned i = 0; level <= format.max_level && i < 8 * MEM_TYPES; i++) {
			enum mem_type type = (enum mem_type)(i / 8);

			if (!spte_access_legal(&format, i % 8) || !(i % 8 & format.rights))
				continue;
			value[n++] = spte_make_leaf(&format, PFN(0), level, i % 8, type);
			value[n++] = spte_make_leaf(&format, PFN(last), level, i % 8, type);
		}
	}
	assert_in_range(n, 10, max);
	return n;
}

/*
 * KVM let the generation number in its MMIO entries grow into bit 11, which had become its present
 * bit: after 128 changes of the memory slots an MMIO entry passed for a mapping, and the host died.
 * So: each handler number, by itself and against every kind of entry.
 */
static void test_mmio_entries(void **state unused)
{
	uint64_t other[256];
	size_t n = make_entries(other, ARRAY_SIZE(other));
	unsigned found = 0;

	assert_int_equal(format.mmio != 0,
			 v->walk.format == WALK_EPT ||
				 (v->walk.format == WALK_NPT && v->walk.maxphyaddr < 52));
	for (size_t i = 0; i < n; i++)
		assert_false(spte_is_mmio(&format, other[i], &found));
	for (unsigned handler = 0; handler < SPTE_MMIO_HANDLERS; handler++) {
		uint64_t e = spte_make_mmio(&format, handler);

		if (!format.mmio) {
			assert_int_equal(e, SPTE_EMPTY);
			continue;
		}
		assert_false(spte_present(&format, e));
		assert_true(spte_is_mmio(&format, e, &found));
		assert_int_equal(found, handler);
		/* No memory behind it, for a terminal fault to find: frame 0, or beyond all. */
		assert_int_equal(e & format.addr, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_not_equal(e, other[i]);
		for (unsigned level = 1; level <= format.levels; level++) {
			struct spte_info info = spte_decode(&format, e, level);

			assert_int_equal(info.state, SPTE_STATE_MMIO);
			assert_int_equal(info.handler, handler);
			assert_false(spte_is_leaf(&format, e, level));
			assert_false(spte_is_table(&format, e, level));
		}
	}
	expect_panic((void)spte_make_mmio(&format, SPTE_MMIO_HANDLERS));
}

/* Whatever is one bit, or two, beside a value of ours: it is in one state, and in the right one. */
static void test_near_misses(void **state unused)
{
	uint64_t value[257];
	size_t n = make_entries(value, 256);
	unsigned unused_handler;

	value[n++] = spte_make_mmio(&format, 0x155);
	for (size_t i = 0; i < n; i++) {
		for (unsigned bits = 0; bits < 64 * 64; bits++) {
			uint64_t e = value[i] ^ BIT(bits / 64) ^ BIT(bits % 64);
			bool mmio = spte_is_mmio(&format, e, &unused_handler);
			bool present = spte_present(&format, e);

			assert_int_equal(present, !!(e & format.present));
			assert_true(present + mmio + (e == SPTE_FROZEN) <= 1);
			assert_int_equal(mmio, format.mmio && (e & ~BITS(61, 52)) == format.mmio);
			for (unsigned level = 1; level <= format.levels; level++)
				assert_int_equal(spte_is_leaf(&format, e, level) +
							 spte_is_table(&format, e, level),
						 present);
		}
	}
}

/* The walkers, who know the manuals and not the format, take MMIO entries for what they are. */
static void test_walkers_see_mmio(void **state unused)
{
	struct translation tr;
	uint64_t *root = tdp.view[TDP_CPU].root;

	for (unsigned handler = 0; format.mmio && handler < SPTE_MMIO_HANDLERS; handler += 93) {
		root[5] = spte_make_mmio(&format, handler);
		assert_false(machine_translate(5ull << 27, &tr));
		assert_true(tr.mmio);
		assert_int_equal(tr.handler, handler);
	}
	root[5] = SPTE_EMPTY;
	assert_false(machine_translate(5ull << 27, &tr));
	assert_false(tr.mmio);
}

#define REFUSE(name, change)                                                      \
	do {                                                                      \
		struct name##_caps caps = good_##name;                            \
		change;                                                           \
		assert_int_equal(spte_format_##name(&f, &caps), ERR_UNSUPPORTED); \
	} while (0)

static void test_unsupported_cpus(void **state unused)
{
	const struct ept_caps good_ept = variants[0].ept;
	const struct npt_caps good_npt = { .maxphyaddr = 48, .nx = true };
	struct ept_caps small = good_ept;
	struct spte_format f;

	REFUSE(ept, caps.walk_4 = false);
	REFUSE(ept, caps.wb = false);
	REFUSE(ept, caps.maxphyaddr = 53);
	REFUSE(ept, caps.maxphyaddr = 12);
	small.page_2m = false;
	assert_int_equal(spte_format_ept(&f, &small), OK);
	assert_int_equal(f.max_level, 1);
	REFUSE(npt, caps.nx = false);
	REFUSE(npt, caps.maxphyaddr = 0);
	REFUSE(npt, caps.maxphyaddr = 53);
	REFUSE(npt, caps.c_bit = 64);
}

/* The only reserved address bit may be the one that marks encrypted pages: then there is none. */
static void test_encryption_bit(void **state unused)
{
	struct npt_caps caps = { .maxphyaddr = 51, .c_bit = 51, .nx = true };
	struct spte_format f;

	assert_int_equal(spte_format_npt(&f, &caps), OK);
	assert_int_equal(f.mmio, 0);
	caps.c_bit = 47;
	assert_int_equal(spte_format_npt(&f, &caps), OK);
	assert_int_equal(f.mmio & BITS(51, PAGE_SHIFT), BIT(51));
	caps = (struct npt_caps){ .maxphyaddr = 43, .c_bit = 47, .nx = true };
	assert_int_equal(spte_format_npt(&f, &caps), OK);
	assert_int_equal(f.mmio & BITS(51, PAGE_SHIFT), BITS(51, 43) & ~BIT(47));
}

static void test_unsupported_iommus(void **state unused)
{
	const struct vtd_caps good_vtd = iommus[0].vtd;
	const struct amdvi_caps good_amdvi = iommus[3].amdvi;
	struct vtd_caps vtd = good_vtd;
	struct amdvi_caps amdvi = good_amdvi;
	struct spte_format f;

	REFUSE(vtd, caps.agaw_39 = caps.agaw_48 = false);
	REFUSE(vtd, caps.haw = 53);
	REFUSE(vtd, caps.haw = 0);
	REFUSE(vtd, caps.mgaw = 0);
	REFUSE(vtd, caps.mgaw = 65);
	REFUSE(amdvi, caps.hats = 3);
	REFUSE(amdvi, caps.pa_bits = 53);
	REFUSE(amdvi, caps.pa_bits = 31);
	REFUSE(amdvi, caps.va_bits = 31);
	/* A 1 GiB page without 2 MiB pages is not to be trusted. */
	vtd.page_2m = false;
	assert_int_equal(spte_format_vtd(&f, &vtd), OK);
	assert_int_equal(f.max_level, 1);
	/* The narrower of what the table and what the unit can translate. */
	vtd.mgaw = 40;
	assert_int_equal(spte_format_vtd(&f, &vtd), OK);
	assert_int_equal(f.gpa_bits, 40);
	vtd.agaw_48 = false;
	assert_int_equal(spte_format_vtd(&f, &vtd), OK);
	assert_int_equal(f.gpa_bits, 39);
	assert_int_equal(f.levels, 3);
	amdvi.va_bits = 40;
	assert_int_equal(spte_format_amdvi(&f, &amdvi), OK);
	assert_int_equal(f.gpa_bits, 40);
	assert_int_equal(f.levels, 4);
}

/*
 * Entries as the manuals' tables spell them, bit by bit: VT-d 9.8, AMD-Vi 2.2.3. Bit 52 and bit 1
 * are ours.
 */
static void test_iommu_entries_to_the_bit(void **state unused)
{
	struct spte_format f;

	assert_int_equal(variant_format(&iommus[0], &f), OK);
	assert_int_equal(spte_make_leaf(&f, PFN(0x12345), 1, ACCESS_RWX, MEM_UC),
			 0x0010000012345803);
	assert_int_equal(spte_make_leaf(&f, PFN(0x40000), 3, ACCESS_RX, MEM_WB),
			 0x0010000040000881);
	assert_int_equal(spte_make_table(&f, HPA(0x7000), 4), 0x0010000000007003);
	assert_int_equal(spte_make_table(&f, HPA(0x7000), 2), 0x0010000000007003);
	assert_int_equal(f.root, 0);
	assert_int_equal(variant_format(&iommus[3], &f), OK);
	assert_int_equal(spte_make_leaf(&f, PFN(0x12345), 1, ACCESS_RWX, MEM_UC),
			 0x7000000012345003);
	assert_int_equal(spte_make_leaf(&f, PFN(0x40000), 3, ACCESS_RX, MEM_WB),
			 0x3000000040000003);
	assert_int_equal(spte_make_leaf(&f, PFN(0x200), 2, ACCESS_W, MEM_WB), 0x5000000000200003);
	assert_int_equal(spte_make_table(&f, HPA(0x7000), 4), 0x6000000000007603);
	assert_int_equal(spte_make_table(&f, HPA(0x7000), 2), 0x6000000000007203);
	assert_int_equal(f.root, 0);
}

static const struct mm_test tests[] = {
	TEST(test_entries),
	TEST(test_fragments),
	TEST(test_mmio_entries),
	TEST(test_near_misses),
	TEST(test_walkers_see_mmio),
	TEST(test_unsupported_cpus),
	TEST(test_encryption_bit),
	TEST(test_unsupported_iommus),
	TEST(test_iommu_entries_to_the_bit),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
