/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM's pure parts: which ASID an entry gets, and which rule a refused VMCB breaks. */
// sources: svm/asid.c svm/vmcb_check.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "svm/svm.h"
#include "x86/msr.h"
#include "x86/regs.h"

/* ---- ASIDs ---- */

static void first_entry_flushes_everything(void **state)
{
	struct vmcb_control c = { .clean = (uint32_t)CLEAN_ALL };
	struct asid_pool p;

	(void)state;
	for (int by_asid = 0; by_asid < 2; by_asid++) {
		asid_pool_init(&p, 16, by_asid);
		asid_enter(&p, false, &c);
		assert_int_equal(c.tlb_control, TLB_CONTROL_FLUSH_ALL);
		assert_int_equal(c.asid, 1);
		assert_false(c.clean & CLEAN_ASID);
	}
}

static void no_flush_leaves_the_tlb_alone(void **state)
{
	struct vmcb_control c = { 0 };
	struct asid_pool p;

	(void)state;
	asid_pool_init(&p, 16, false);
	asid_enter(&p, true, &c);
	c.clean = (uint32_t)CLEAN_ALL;
	asid_enter(&p, false, &c);
	assert_int_equal(c.tlb_control, TLB_CONTROL_NOTHING);
	assert_int_equal(c.asid, 1);
	assert_int_equal(c.clean, CLEAN_ALL);
}

static void flush_by_asid_keeps_the_asid(void **state)
{
	struct vmcb_control c = { 0 };
	struct asid_pool p;

	(void)state;
	asid_pool_init(&p, 16, true);
	asid_enter(&p, false, &c);
	for (int i = 0; i < 40; i++) {
		asid_enter(&p, true, &c);
		assert_int_equal(c.tlb_control, TLB_CONTROL_FLUSH);
		assert_int_equal(c.asid, 1);
	}
}

/* The property that matters: no ASID is used again after a flush unless all were flushed. */
static void without_it_no_asid_returns_unflushed(void **state)
{
	(void)state;
	for (uint32_t count = 2; count < 20; count++) {
		struct vmcb_control c = { 0 };
		struct asid_pool p;
		bool used[20] = { false };

		asid_pool_init(&p, count, false);
		for (int i = 0; i < 100; i++) {
			asid_enter(&p, i % 3 != 1, &c);
			assert_in_range(c.asid, 1, count - 1);
			if (c.tlb_control == TLB_CONTROL_FLUSH_ALL)
				memset(used, 0, sizeof(used));
			else if (i % 3 != 1)
				assert_false(used[c.asid]);
			used[c.asid] = true;
		}
	}
}

/* ---- Rules of VMRUN ---- */

static const struct vmcb_limits limits = {
	.maxphyaddr = 40, .cr4_valid = BITS(22, 0), .efer_valid = BITS(15, 0), .asids = 16
};

static struct vmcb legal(void)
{
	struct vmcb b = { 0 };

	b.control.intercept[1] = (uint32_t)INTERCEPT_VMRUN;
	b.control.asid = 1;
	b.control.nested_ctl = NESTED_NP_ENABLE;
	b.save.efer = EFER_SVME | EFER_LME | EFER_LMA;
	b.save.cr0 = CR0_PG | CR0_PE | CR0_ET;
	b.save.cr4 = CR4_PAE;
	b.save.cs.attrib = 0xa9b;
	b.save.g_pat = PAT_RESET;
	return b;
}

static void assert_breaks(const struct vmcb *b, const char *word)
{
	const char *why = vmcb_check(b, &limits);

	assert_non_null(why);
	if (!strstr(why, word))
		fail_msg("expected '%s' in '%s'", word, why);
}

static void legal_state_passes(void **state)
{
	struct vmcb b = legal();

	(void)state;
	assert_null(vmcb_check(&b, &limits));
	b.control.event_inj = EVENT_VALID | EVENT_TYPE_EXC | VEC_PF | EVENT_ERROR;
	assert_null(vmcb_check(&b, &limits));
	b.control.event_inj = EVENT_VALID | EVENT_TYPE_INTR | 0xec;
	assert_null(vmcb_check(&b, &limits));
}

static void each_broken_rule_is_named(void **state)
{
	struct vmcb b;

	(void)state;
#define BREAK(field, value, word)        \
	do {                             \
		b = legal();             \
		b.field = (value);       \
		assert_breaks(&b, word); \
	} while (0)
	BREAK(save.efer, EFER_LME, "SVME");
	BREAK(save.cr0, CR0_PG | CR0_PE | CR0_NW, "CR0.NW");
	BREAK(save.cr0, CR0_PG | CR0_PE | BIT(32), "CR0 has high");
	BREAK(save.cr3, BIT(40), "CR3");
	BREAK(save.cr4, CR4_PAE | BIT(40), "CR4");
	BREAK(save.dr6, BIT(32), "DR6");
	BREAK(save.dr7, BIT(32), "DR7");
	BREAK(save.efer, EFER_SVME | BIT(40), "EFER has reserved");
	BREAK(save.cr4, 0, "without CR4.PAE");
	BREAK(save.cr0, CR0_PG, "without CR0.PE");
	BREAK(save.cs.attrib, 0xe9b, "both L and D");
	BREAK(save.g_pat, 2, "PAT");
	BREAK(control.intercept[1], 0, "VMRUN");
	BREAK(control.msrpm_base, BIT(40) - 4096, "map");
	BREAK(control.iopm_base, BIT(40) - 8192, "map");
	BREAK(control.asid, 0, "ASID");
	BREAK(control.asid, 16, "ASID");
	BREAK(control.ncr3, BIT(40), "nCR3");
	BREAK(control.event_inj, EVENT_VALID | EVENT_TYPE_EXC | VEC_NMI, "no exception");
	BREAK(control.event_inj, EVENT_VALID | EVENT_TYPE_EXC | 0xec, "no exception");
	BREAK(control.event_inj, EVENT_VALID | 1ull << EVENT_TYPE_SHIFT, "reserved type");
#undef BREAK
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_entry_flushes_everything),
		cmocka_unit_test(no_flush_leaves_the_tlb_alone),
		cmocka_unit_test(flush_by_asid_keeps_the_asid),
		cmocka_unit_test(without_it_no_asid_returns_unflushed),
		cmocka_unit_test(legal_state_passes),
		cmocka_unit_test(each_broken_rule_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
