/* SPDX-License-Identifier: BSD-2-Clause */
/* The second-level MMU: the encodings of entries. */
// sources: tests/host/mm_fixture.c tests/host/mm_host.c mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_commit.c mm/tdp_walk.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_fixture.h"

/* Every leaf and table that the format can make, read back by itself and by the walkers' rules. */
static void test_entries(void **state unused)
{
	unsigned legal = 0;

	for (unsigned level = 1; level <= format.max_level; level++) {
		for (unsigned access = 0; access < 9; access++) {
			for (unsigned type = 0; type < MEM_TYPES; type++) {
				uint64_t pfn = 5 * spte_span(level), e;
				struct spte_info info;

				if (!spte_access_legal(&format, access))
					continue;
				legal |= 1u << access;
				e = spte_make_leaf(&format, PFN(pfn), level, access, type);
				info = spte_decode(&format, e, level);
				assert_int_equal(info.state, SPTE_STATE_LEAF);
				assert_int_equal(info.access, access);
				assert_int_equal(info.type, type);
				assert_int_equal(info.hpa.v, pfn << PAGE_SHIFT);
				assert_true(spte_is_leaf(&format, e, level));
				assert_false(spte_is_table(&format, e, level));
			}
		}
	}
	assert_int_equal(legal,
			 1u << 1 | 1u << 3 | 1u << 5 | 1u << 7 | (v->ept.exec_only ? 1u << 4 : 0));
	for (unsigned level = 2; level <= 4; level++) {
		uint64_t table = spte_make_table(&format, HPA(0x7654321000), level);
		struct spte_info info = spte_decode(&format, table, level);

		assert_int_equal(info.state, SPTE_STATE_TABLE);
		assert_int_equal(info.access, ACCESS_RWX);
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

static void test_unsupported(void **state unused)
{
	struct ept_caps good = variants[0].ept, ept;
	struct npt_caps npt = { .maxphyaddr = 48, .nx = true };
	struct spte_format f;

#define REFUSE_EPT(change)                                                    \
	do {                                                                  \
		ept = good;                                                   \
		change;                                                       \
		assert_int_equal(spte_format_ept(&f, &ept), ERR_UNSUPPORTED); \
	} while (0)
	REFUSE_EPT(ept.walk_4 = false);
	REFUSE_EPT(ept.wb = false);
	REFUSE_EPT(ept.maxphyaddr = 53);
	REFUSE_EPT(ept.maxphyaddr = 12);
#undef REFUSE_EPT
	ept = good;
	ept.page_2m = false;
	assert_int_equal(spte_format_ept(&f, &ept), OK);
	assert_int_equal(f.max_level, 1);
	npt.nx = false;
	assert_int_equal(spte_format_npt(&f, &npt), ERR_UNSUPPORTED);
	npt.nx = true;
	npt.maxphyaddr = 0;
	assert_int_equal(spte_format_npt(&f, &npt), ERR_UNSUPPORTED);
}

static const struct mm_test tests[] = {
	TEST(test_entries),
	TEST(test_fragments),
	TEST(test_unsupported),
};

int main(void)
{
	return run_all(tests, ARRAY_SIZE(tests));
}
