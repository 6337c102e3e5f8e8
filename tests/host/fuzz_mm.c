// SPDX-License-Identifier: BSD-2-Clause
// sources: tests/host/mm_ops.c tests/host/mm_ops_make.c tests/host/mm_model.c
// sources: tests/host/mm_fixture.c tests/host/mm_host.c tests/host/mm_decode.c
// sources: mm/page_alloc.c mm/slot.c mm/spte.c mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c
// sources: mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c mm/tdp_fault.c mm/tdp_mmio.c mm/tdp_zap.c
// sources: mm/tdp_resize.c mm/tdp_nx.c mm/tdp_log.c mm/tdp_commit.c mm/tdp_walk.c
// libs: -lcmocka -Wl,--wrap=mm_alloc -Wl,--wrap=mm_flush -Wl,--wrap=tdp_reclaim
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_ops.h"

/*
 * The operations of test_mm_random.c, chosen by the fuzzer's bytes: what leads to new code in mm/ is
 * kept and varied. A file that fails is printed as operations when the fuzzer is run on it with
 * MM_PRINT=1 in the environment.
 */
#define OPS_A_RUN 64

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc unused, char ***argv unused)
{
	/* There is no test to return to. */
	return setenv("CMOCKA_TEST_ABORT", "1", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choice c = { .data = data, .size = size };
	bool print = getenv("MM_PRINT");

	ops_start(&variants[choose(&c, MM_VARIANTS)], 160);
	for (unsigned i = 0; i < OPS_A_RUN && c.size; i++) {
		struct op op = ops_next(&c);

		if (print)
			ops_print(stderr, &op, 1);
		ops_apply(&op);
	}
	ops_end();
	return 0;
}
