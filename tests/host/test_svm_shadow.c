/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM: a guest between STI and HLT, on a machine whose VMRUN forgets the shadow of STI. */
// sources: svm/svm_shadow.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/guest.h"
#include "core/walk.h"
#include "svm/svm.h"
#include "x86/regs.h"

#define STI   0xfb
#define HLT   0xf4
#define START 0xfff /* so that what is in front of RIP may lie in another page */

static struct svm_vcpu hw;
static struct guest guest;
static struct vcpu vcpu;
static uint8_t code[0x2000];
static uint8_t cpl;
static bool unmapped, no_memory;

void svm_get_paging(struct vcpu *v, struct vcpu_paging *out)
{
	(void)v;
	memset(out, 0, sizeof(*out));
	out->cpl = cpl;
}

enum status walk_segment(struct vcpu *v, const struct vcpu_paging *s, uint8_t seg, uint64_t offset,
			 size_t size, unsigned access, uint64_t *gla, uint8_t *vector)
{
	(void)v;
	(void)s;
	assert_int_equal(seg, SEG_CS);
	assert_int_equal(size, 1);
	assert_int_equal(access, WALK_FETCH);
	*vector = VEC_GP;
	*gla = offset;
	return offset < sizeof(code) ? OK : ERR_FAULT;
}

enum status walk_gla(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla, unsigned access,
		     gpa_t *gpa, uint32_t *error)
{
	(void)v;
	(void)s;
	(void)access;
	*error = 0;
	*gpa = GPA(gla);
	return unmapped ? ERR_FAULT : OK;
}

enum status guest_read(struct guest *g, gpa_t gpa, void *buf, size_t len)
{
	assert_ptr_equal(g, &guest);
	if (no_memory)
		return ERR_FAULT;
	memcpy(buf, &code[gpa.v], len);
	return OK;
}

static int setup(void **state)
{
	(void)state;
	memset(&hw, 0, sizeof(hw));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(code, 0x90, sizeof(code));
	cpl = 0;
	unmapped = no_memory = false;
	code[START] = STI;
	code[START + 1] = HLT;
	vcpu.hw = &hw;
	vcpu.guest = &guest;
	vcpu.rip = START + 1;
	vcpu.rflags = RFLAGS_RESERVED | RFLAGS_IF;
	hw.vmcb.control.int_state = INT_STATE_SHADOW;
	return 0;
}

static void sti_is_executed_again(void **state)
{
	(void)state;
	svm_repeat_sti(&vcpu);
	assert_int_equal(vcpu.rip, START);
	assert_int_equal(vcpu.rflags, RFLAGS_RESERVED);
	assert_int_equal(hw.vmcb.control.int_state, 0);
}

static void assert_untouched(uint64_t rip, uint64_t rflags)
{
	svm_repeat_sti(&vcpu);
	assert_int_equal(vcpu.rip, rip);
	assert_int_equal(vcpu.rflags, rflags);
	assert_int_equal(hw.vmcb.control.int_state, INT_STATE_SHADOW);
}

static void other_shadows_are_left_alone(void **state)
{
	(void)state;
	/* MOV SS, and nothing in front of RIP at all. */
	code[START] = 0xd0;
	assert_untouched(START + 1, vcpu.rflags);
	vcpu.rip = 0;
	assert_untouched(0, vcpu.rflags);
	/* Interrupts are off: nothing can come. */
	setup(state);
	vcpu.rflags = RFLAGS_RESERVED;
	assert_untouched(START + 1, RFLAGS_RESERVED);
}

static void nothing_a_guest_could_notice(void **state)
{
	(void)state;
	vcpu.rflags |= RFLAGS_TF;
	assert_untouched(START + 1, vcpu.rflags);
	setup(state);
	cpl = 3;
	assert_untouched(START + 1, vcpu.rflags);
	setup(state);
	hw.vmcb.control.event_inj = EVENT_VALID | EVENT_TYPE_EXC | VEC_PF;
	assert_untouched(START + 1, vcpu.rflags);
	assert_int_equal(hw.vmcb.control.event_inj, EVENT_VALID | EVENT_TYPE_EXC | VEC_PF);
}

/* A guest may change its tables under the instruction that it executes. */
static void unreadable_code_is_no_fault(void **state)
{
	(void)state;
	unmapped = true;
	assert_untouched(START + 1, vcpu.rflags);
	unmapped = false;
	no_memory = true;
	assert_untouched(START + 1, vcpu.rflags);
	assert_int_equal(hw.vmcb.control.event_inj, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sti_is_executed_again, setup),
		cmocka_unit_test_setup(other_shadows_are_left_alone, setup),
		cmocka_unit_test_setup(nothing_a_guest_could_notice, setup),
		cmocka_unit_test_setup(unreadable_code_is_no_fault, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
