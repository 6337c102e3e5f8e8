// SPDX-License-Identifier: BSD-2-Clause
// sources: vmx/guest_check.c
/* The rules of VM entry: a state that is legal passes, and each broken rule is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmx/guest_check.h"
#include "vmx/vmx_defs.h"
#include "x86/regs.h"

enum {
	ES,
	CS,
	SS,
	DS,
	FS,
	GS,
	LDTR,
	TR
};

static struct vmx_guest_state real_mode(void)
{
	struct vmx_guest_state s = {
		.pin = PIN_NMI_EXITING | PIN_VIRTUAL_NMIS,
		.proc2 = PROC2_EPT | PROC2_UNRESTRICTED_GUEST,
		.cr0_fixed0 = 0x80000021,
		.cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = 0x2000,
		.cr4_fixed1 = 0x3727ff,
		.maxphyaddr = 40,
		.linear_bits = 48,
		.cr0 = CR0_NE | CR0_ET,
		.cr4 = CR4_VMXE,
		.dr7 = 0x400,
		.pat = 0x0007040600070406,
		.gdtr_limit = 0xffff,
		.idtr_limit = 0xffff,
		.rip = 0xfff0,
		.rflags = 2,
		.link_pointer = ~0ull,
	};

	for (unsigned i = ES; i <= GS; i++)
		s.seg[i] = (struct vmx_guest_segment){ 0, 0xffff, 0x93, 0 };
	s.seg[CS] = (struct vmx_guest_segment){ 0xf000, 0xffff, 0x9b, 0xffff0000 };
	s.seg[LDTR] = (struct vmx_guest_segment){ 0, 0xffff, 0x82, 0 };
	s.seg[TR] = (struct vmx_guest_segment){ 0, 0xffff, 0x8b, 0 };
	return s;
}

static struct vmx_guest_state long_mode(void)
{
	struct vmx_guest_state s = real_mode();

	s.entry = ENTRY_IA32E_GUEST;
	s.cr0 = CR0_PG | CR0_PE | CR0_NE | CR0_ET;
	s.cr4 = CR4_VMXE | CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	s.rip = 0x1000000;
	for (unsigned i = ES; i <= GS; i++)
		s.seg[i] = (struct vmx_guest_segment){ 0x18, 0xffffffff, 0xc093, 0 };
	s.seg[CS] = (struct vmx_guest_segment){ 0x10, 0xffffffff, 0xa09b, 0 };
	return s;
}

#define NONE "no rule that is known"

static void legal_states_pass(void **state)
{
	struct vmx_guest_state s = real_mode();

	(void)state;
	assert_string_equal(vmx_check_guest_state(&s), NONE);
	s = long_mode();
	assert_string_equal(vmx_check_guest_state(&s), NONE);
	/* User mode with null data segments, and 64-bit SS null at CPL 0. */
	s.seg[DS].access = s.seg[ES].access = ACCESS_UNUSABLE;
	s.seg[SS].access = ACCESS_UNUSABLE;
	assert_string_equal(vmx_check_guest_state(&s), NONE);
	/* Halted, single-stepping in a shadow with BS pending. */
	s = long_mode();
	s.activity = ACTIVITY_HLT;
	assert_string_equal(vmx_check_guest_state(&s), NONE);
	s.activity = ACTIVITY_ACTIVE;
	s.rflags = 2 | RFLAGS_TF;
	s.interruptibility = BLOCK_MOV_SS;
	s.pending_debug = PENDING_DEBUG_BS;
	assert_string_equal(vmx_check_guest_state(&s), NONE);
}

/* Break one thing in a legal state and see it named. */
#define BROKEN(base, change, text)                                        \
	do {                                                              \
		struct vmx_guest_state s = base();                        \
		change;                                                   \
		assert_non_null(strstr(vmx_check_guest_state(&s), text)); \
	} while (0)

static void control_registers(void **state)
{
	(void)state;
	BROKEN(long_mode, s.cr0 &= ~(uint64_t)CR0_NE, "CR0: a bit");
	BROKEN(long_mode, s.cr0 |= 1ull << 32, "CR0: a bit");
	BROKEN(real_mode, s.cr0 |= CR0_PG, "PG without PE");
	BROKEN(real_mode, s.proc2 = 0, "CR0: a bit");
	BROKEN(long_mode, s.cr4 &= ~(uint64_t)CR4_VMXE, "CR4: a bit");
	BROKEN(long_mode, s.cr4 |= 1ull << 30, "CR4: a bit");
	BROKEN(long_mode, s.cr4 &= ~(uint64_t)CR4_PAE, "without CR4.PAE");
	BROKEN(real_mode, s.cr4 |= CR4_PCIDE, "PCIDE");
	BROKEN(long_mode, s.cr3 = 1ull << 40, "CR3");
	BROKEN(long_mode, s.dr7 |= 1ull << 32, "DR7");
	BROKEN(long_mode, s.debugctl = 4, "DEBUGCTL");
	BROKEN(long_mode, s.sysenter_eip = 1ull << 47, "SYSENTER");
}

static void msrs(void **state)
{
	(void)state;
	BROKEN(long_mode, s.pat = 2, "PAT");
	BROKEN(long_mode, s.efer |= EFER_SVME, "EFER: a reserved");
	BROKEN(long_mode, s.efer = EFER_LME, "LMA differs from the IA-32e");
	BROKEN(long_mode, s.efer = EFER_LMA, "LMA differs from LME");
}

static void segments(void **state)
{
	(void)state;
	BROKEN(long_mode, s.seg[CS].access = 0xe09b, "L and D/B");
	BROKEN(long_mode, s.seg[CS].access = 0xa098, "CS: type");
	BROKEN(long_mode, s.seg[CS].access = 0xa0fb, "SS.DPL");
	BROKEN(real_mode, s.seg[SS].access = 0xf3, "SS.DPL");
	BROKEN(long_mode, s.seg[SS].access = 0xc09b, "SS: type");
	BROKEN(long_mode, s.seg[DS].access = 0xc083, "system descriptor");
	BROKEN(long_mode, s.seg[DS].access = 0xc013, "not present");
	BROKEN(long_mode, s.seg[DS].access = 0xc092, "not accessed");
	BROKEN(long_mode, s.seg[DS].access = 0xc099, "not readable");
	BROKEN(long_mode, s.seg[DS].limit = 0x12345678, "granularity");
	BROKEN(long_mode, s.seg[DS].base = 1ull << 32, "above 4 GiB");
	BROKEN(long_mode, s.seg[GS].base = 1ull << 47, "FS or GS");
	BROKEN(long_mode, s.seg[TR].access = 0x83, "TR: type");
	BROKEN(long_mode, s.seg[TR].access = ACCESS_UNUSABLE, "TR: unusable");
	BROKEN(long_mode, s.seg[TR].selector = 4, "TI");
	BROKEN(long_mode, s.seg[LDTR].access = 0x8b, "LDTR: type");
	BROKEN(long_mode, s.gdtr_base = 1ull << 63, "GDTR");
	BROKEN(long_mode, s.idtr_limit = 0x10000, "limit above");
	BROKEN(real_mode, (s.cr0 |= CR0_PE, s.rflags |= RFLAGS_VM), "virtual-8086");
}

static void other_state(void **state)
{
	(void)state;
	BROKEN(real_mode, s.rip = 1ull << 32, "RIP: above");
	BROKEN(long_mode, s.rip = 1ull << 47, "RIP: not canonical");
	BROKEN(long_mode, s.rflags = 0, "RFLAGS: reserved");
	BROKEN(long_mode, s.rflags |= RFLAGS_VM, "virtual-8086");
	BROKEN(long_mode, s.event = EVENT(EVENT_TYPE_INTERRUPT, 32), "IF clear");
	BROKEN(long_mode, s.activity = 4, "activity state: unknown");
	BROKEN(long_mode,
	       (s.activity = ACTIVITY_HLT, s.rflags |= RFLAGS_IF, s.interruptibility = BLOCK_STI),
	       "shadow");
	BROKEN(long_mode, s.interruptibility = BLOCK_STI, "RFLAGS.IF clear");
	BROKEN(long_mode, s.interruptibility = BLOCK_SMI, "SMI");
	BROKEN(long_mode, s.interruptibility = 0x20, "interruptibility: reserved");
	BROKEN(long_mode, (s.event = EVENT(EVENT_TYPE_NMI, 2), s.interruptibility = BLOCK_NMI),
	       "NMI blocked");
	BROKEN(long_mode, (s.event = EVENT(EVENT_TYPE_NMI, 2), s.interruptibility = BLOCK_MOV_SS),
	       "while an NMI");
	BROKEN(long_mode, (s.rflags |= RFLAGS_TF, s.interruptibility = BLOCK_MOV_SS), "BS");
	BROKEN(long_mode, s.pending_debug = 1ull << 20, "pending debug");
	BROKEN(long_mode, s.link_pointer = 0, "link pointer");
}

static void pdptes(void **state)
{
	(void)state;
	BROKEN(real_mode, (s.cr0 |= CR0_PE | CR0_PG, s.cr4 |= CR4_PAE, s.pdpte[2] = 1 | 2),
	       "PDPTE");
	BROKEN(real_mode, (s.cr0 |= CR0_PE | CR0_PG, s.cr4 |= CR4_PAE, s.pdpte[3] = 1), NONE);
	BROKEN(real_mode, (s.cr0 |= CR0_PE | CR0_PG, s.cr4 |= CR4_PAE, s.pdpte[1] = 2), NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legal_states_pass),
		cmocka_unit_test(control_registers),
		cmocka_unit_test(msrs),
		cmocka_unit_test(segments),
		cmocka_unit_test(other_state),
		cmocka_unit_test(pdptes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
