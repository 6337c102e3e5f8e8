/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM: what is injected next, when an exit interrupted the delivery of something else. */
// sources: svm/svm_event.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "svm/svm.h"
#include "x86/regs.h"

struct svm_caps svm_caps;

static struct svm_vcpu hw;
static struct vcpu vcpu;
static unsigned died;

void vcpu_die(struct vcpu *v, const char *fmt, ...)
{
	(void)v;
	(void)fmt;
	died++;
}

static int setup(void **state)
{
	(void)state;
	memset(&hw, 0, sizeof(hw));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&svm_caps, 0, sizeof(svm_caps));
	hw.vmcb.save.dr6 = DR6_RESET;
	vcpu.hw = &hw;
	died = 0;
	return 0;
}

/* What svm_handle_exit() and svm_prepare_entry() do about events; test_svm_exit sees to that. */
static void exit_with(uint64_t interrupted)
{
	hw.vmcb.control.event_inj = 0;
	if (interrupted & EVENT_VALID)
		svm_repeat_event(&vcpu, interrupted);
}

static uint64_t entry(void)
{
	if (hw.nmi_pending)
		svm_deliver_nmi(&vcpu);
	return hw.vmcb.control.event_inj;
}

/* An exit with this in EXITINTINFO, then the next entry: what EVENTINJ gets. */
static uint64_t again(uint64_t interrupted)
{
	exit_with(interrupted);
	return entry();
}

static void nothing_interrupted_injects_nothing(void **state)
{
	(void)state;
	assert_int_equal(again(0), 0);
	assert_int_equal(again(EVENT_TYPE_EXC | VEC_PF), 0); /* not valid */
}

static void interrupted_events_are_repeated(void **state)
{
	uint64_t pf = EVENT_VALID | EVENT_TYPE_EXC | EVENT_ERROR | VEC_PF | 2ull << EVENT_ERR_SHIFT;

	(void)state;
	assert_int_equal(again(pf), pf);
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_INTR | 0xec),
			 EVENT_VALID | EVENT_TYPE_INTR | 0xec);
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_NMI | 2), EVENT_VALID | EVENT_TYPE_NMI | 2);
	/* Once: the entry after that injects nothing. */
	assert_int_equal(again(0), 0);
}

static void software_events_run_again_instead(void **state)
{
	(void)state;
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_SOFT | 0x80), 0);
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_EXC | VEC_BP), 0);
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_EXC | VEC_OF), 0);
}

/* QEMU reports everything as an exception, and refuses to inject it as such. */
static void wrong_types_are_put_right(void **state)
{
	(void)state;
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_EXC | 0xec),
			 EVENT_VALID | EVENT_TYPE_INTR | 0xec);
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_EXC | VEC_NMI),
			 EVENT_VALID | EVENT_TYPE_NMI | VEC_NMI);
}

static uint64_t exception_during(uint64_t interrupted, uint8_t vector, bool has_error)
{
	exit_with(interrupted);
	svm_inject_exception(&vcpu, vector, has_error, 0);
	return entry();
}

static void double_and_triple_faults(void **state)
{
	const uint64_t exc = EVENT_VALID | EVENT_TYPE_EXC;
	const uint64_t df = exc | EVENT_ERROR | VEC_DF;

	(void)state;
	assert_int_equal(exception_during(exc | EVENT_ERROR | VEC_GP, VEC_GP, true), df);
	assert_int_equal(exception_during(exc | EVENT_ERROR | VEC_PF, VEC_PF, true), df);
	assert_int_equal(exception_during(exc | EVENT_ERROR | VEC_PF, VEC_NP, true), df);
	/* A page fault while delivering a contributory one, and benign ones, are served alone. */
	assert_int_equal(exception_during(exc | VEC_DE, VEC_PF, true), exc | EVENT_ERROR | VEC_PF);
	assert_int_equal(exception_during(exc | VEC_UD, VEC_GP, true), exc | EVENT_ERROR | VEC_GP);
	assert_int_equal(died, 0);
	exception_during(df, VEC_GP, true);
	assert_int_equal(died, 1);
	exception_during(df, VEC_PF, true);
	assert_int_equal(died, 2);
}

/* The local APIC has handed the interrupt over; it must come back when the guest takes interrupts. */
static void interrupt_gives_way_but_is_kept(void **state)
{
	uint64_t ctl;

	(void)state;
	exception_during(EVENT_VALID | EVENT_TYPE_INTR | 0xec, VEC_AC, true);
	ctl = hw.vmcb.control.int_ctl;
	assert_true(ctl & INT_CTL_V_IRQ);
	assert_true(ctl & INT_CTL_V_IGN_TPR);
	assert_int_equal((ctl & INT_CTL_V_VECTOR) >> INT_CTL_V_VECTOR_SHIFT, 0xec);
}

static void second_nmi_waits_for_iret(void **state)
{
	const uint64_t nmi = EVENT_VALID | EVENT_TYPE_NMI | VEC_NMI;

	(void)state;
	svm_inject_nmi(&vcpu);
	assert_int_equal(again(0), nmi);
	assert_true(hw.vmcb.control.intercept[0] & INTERCEPT_IRET);
	svm_inject_nmi(&vcpu);
	assert_int_equal(again(0), 0);

	svm_iret_exit(&vcpu);
	assert_true(vcpu.rflags & RFLAGS_TF);
	assert_false(hw.vmcb.control.intercept[0] & INTERCEPT_IRET);
	assert_int_equal(again(0), 0); /* IRET has not been executed yet */

	hw.vmcb.save.dr6 |= BIT(14);
	assert_true(svm_step_exit(&vcpu));  /* the step was ours alone */
	assert_false(svm_step_exit(&vcpu)); /* and is over */
	assert_int_equal(hw.vmcb.save.dr6, DR6_RESET);
	assert_int_equal(again(0), nmi);
}

static void step_leaves_the_guests_debugging_alone(void **state)
{
	(void)state;
	assert_false(svm_step_exit(&vcpu)); /* nobody steps: the guest's own #DB */

	svm_inject_nmi(&vcpu);
	again(0);
	hw.vmcb.save.dr6 = DR6_RESET | BIT(3); /* left from before */
	svm_iret_exit(&vcpu);
	hw.vmcb.save.dr6 |= BIT(14) | BIT(0);
	assert_false(svm_step_exit(&vcpu)); /* its breakpoint was hit as well */
	assert_int_equal(hw.vmcb.save.dr6, DR6_RESET | BIT(3) | BIT(0));
	assert_false(hw.nmi_blocked);

	again(0);
	svm_inject_nmi(&vcpu);
	again(0);
	vcpu.rflags |= RFLAGS_TF; /* the guest single-steps itself */
	svm_iret_exit(&vcpu);
	hw.vmcb.save.dr6 |= BIT(14);
	assert_false(svm_step_exit(&vcpu));
	assert_true(hw.vmcb.save.dr6 & BIT(14));
}

static void hardware_keeps_nmis_where_it_can(void **state)
{
	(void)state;
	svm_caps.vnmi = true;
	svm_inject_nmi(&vcpu);
	assert_true(hw.vmcb.control.int_ctl & INT_CTL_V_NMI);
	assert_int_equal(again(0), 0);
	assert_false(hw.vmcb.control.intercept[0] & INTERCEPT_IRET);
}

static void nmi_waits_behind_a_repeated_event(void **state)
{
	(void)state;
	svm_inject_nmi(&vcpu);
	assert_int_equal(again(EVENT_VALID | EVENT_TYPE_INTR | 0x30),
			 EVENT_VALID | EVENT_TYPE_INTR | 0x30);
	assert_int_equal(again(0), EVENT_VALID | EVENT_TYPE_NMI | VEC_NMI);
}

static void page_fault_sets_cr2(void **state)
{
	(void)state;
	hw.vmcb.control.clean = (uint32_t)CLEAN_ALL;
	svm_inject_page_fault(&vcpu, 0x123000, 6);
	assert_int_equal(hw.vmcb.save.cr2, 0x123000);
	assert_false(hw.vmcb.control.clean & CLEAN_CR2);
	assert_int_equal(hw.vmcb.control.event_inj, EVENT_VALID | EVENT_TYPE_EXC | EVENT_ERROR |
							    VEC_PF | 6ull << EVENT_ERR_SHIFT);
	assert_true(vcpu.rflags & RFLAGS_RF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_interrupted_injects_nothing, setup),
		cmocka_unit_test_setup(interrupted_events_are_repeated, setup),
		cmocka_unit_test_setup(software_events_run_again_instead, setup),
		cmocka_unit_test_setup(wrong_types_are_put_right, setup),
		cmocka_unit_test_setup(double_and_triple_faults, setup),
		cmocka_unit_test_setup(interrupt_gives_way_but_is_kept, setup),
		cmocka_unit_test_setup(second_nmi_waits_for_iret, setup),
		cmocka_unit_test_setup(step_leaves_the_guests_debugging_alone, setup),
		cmocka_unit_test_setup(hardware_keeps_nmis_where_it_can, setup),
		cmocka_unit_test_setup(nmi_waits_behind_a_repeated_event, setup),
		cmocka_unit_test_setup(page_fault_sets_cr2, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
