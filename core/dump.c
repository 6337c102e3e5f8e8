// SPDX-License-Identifier: BSD-2-Clause
#include "core/dump.h"

#include <inttypes.h>

#include "core/smp.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/safe.h"

#define CODE_BEFORE 16
#define CODE_AFTER  16
#define STACK_WORDS 16
#define FRAME_MAX   65536 /* bytes between two frame pointers that belong together */

static void dump_machine_check(void)
{
	uint64_t cap, status, value, i;

	if (!rdmsr_safe(MSR_MCG_CAP, &cap) || !rdmsr_safe(MSR_MCG_STATUS, &status))
		return;
	dump_print("MCG_CAP %016" PRIx64 " MCG_STATUS %016" PRIx64 "%s%s%s\n", cap, status,
		   status & MCG_STATUS_RIPV ? " restartable" : "",
		   status & MCG_STATUS_EIPV ? " at RIP" : "",
		   status & MCG_STATUS_MCIP ? " in progress" : "");
	for (i = 0; i < (cap & MCG_CAP_COUNT); i++) {
		if (!rdmsr_safe(MSR_MC_STATUS(i), &status) || !(status & MC_STATUS_VAL))
			continue;
		dump_print("bank %" PRIu64 ": STATUS %016" PRIx64 "%s%s%s", i, status,
			   status & MC_STATUS_UC ? " uncorrected" : "",
			   status & MC_STATUS_PCC ? " context corrupt" : "",
			   status & MC_STATUS_OVER ? " overflow" : "");
		if ((status & MC_STATUS_ADDRV) && rdmsr_safe(MSR_MC_ADDR(i), &value))
			dump_print(" ADDR %016" PRIx64, value);
		if ((status & MC_STATUS_MISCV) && rdmsr_safe(MSR_MC_MISC(i), &value))
			dump_print(" MISC %016" PRIx64, value);
		dump_print("\n");
	}
}

static void dump_page_fault(uint64_t error)
{
	const char *what = error & PF_I ? "fetch from" : error & PF_W ? "write to" : "read of";
	const char *why = "an address that is not mapped";

	if (error & PF_RSVD)
		why = "a page whose table has reserved bits set";
	else if (error & PF_PK)
		why = "a page that its protection key forbids";
	else if (error & PF_P)
		why = "a page that does not permit it";
	dump_print(": %s %s, %016" PRIx64, what, why, read_cr2());
}

static void dump_selector_error(uint64_t error)
{
	if (!error)
		return;
	dump_print(": %s entry %#" PRIx64 "%s",
		   error & SEL_ERR_IDT  ? "IDT"
		   : error & SEL_ERR_TI ? "LDT"
					: "GDT",
		   (error & SEL_ERR_INDEX) >> 3, error & SEL_ERR_EXT ? ", external event" : "");
}

/* Guard pages lie below each stack: a fault there is an overflow, not a stray pointer. */
static bool is_overflow(const struct cpu *c, uint64_t address)
{
	uint64_t bottom = c ? (uint64_t)c->stack_top - CPU_STACK_SIZE : 0;

	return address < bottom && bottom - address <= PAGE_SIZE;
}

void dump_cause(const struct cpu *c, const struct trap_frame *f)
{
	dump_print("%s", exception_name(f->vector));
	switch (f->vector) {
	case VEC_PF:
		dump_page_fault(f->error);
		break;
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
		dump_selector_error(f->error);
		break;
	default:
		break;
	}
	dump_print(" (vector %" PRIu64 ", error code %#" PRIx64 ")\n", f->vector, f->error);
	if ((f->vector == VEC_PF || f->vector == VEC_DF) &&
	    (is_overflow(c, read_cr2()) || is_overflow(c, f->rsp)))
		dump_print("the stack has overflowed\n");
	if (f->vector == VEC_MC)
		dump_machine_check();
}

void dump_identity(const struct cpu *c)
{
	if (c)
		dump_print("core %" PRIu32 ", APIC ID %" PRIu32 "%s\n", c->index, c->apic_id,
			   c->vcpu ? ", has a guest" : "");
	else
		dump_print("on a core that nobody knows\n");
}

void dump_frame(const struct trap_frame *f)
{
	dump_print("RIP %016" PRIx64 " RSP %016" PRIx64 " RFLAGS %08" PRIx64 " CS %04" PRIx64
		   " SS %04" PRIx64 "\n",
		   f->rip, f->rsp, f->rflags, f->cs, f->ss);
	dump_print("RAX %016" PRIx64 " RBX %016" PRIx64 " RCX %016" PRIx64 " RDX %016" PRIx64 "\n",
		   f->rax, f->rbx, f->rcx, f->rdx);
	dump_print("RSI %016" PRIx64 " RDI %016" PRIx64 " RBP %016" PRIx64 " R8  %016" PRIx64 "\n",
		   f->rsi, f->rdi, f->rbp, f->r8);
	dump_print("R9  %016" PRIx64 " R10 %016" PRIx64 " R11 %016" PRIx64 " R12 %016" PRIx64 "\n",
		   f->r9, f->r10, f->r11, f->r12);
	dump_print("R13 %016" PRIx64 " R14 %016" PRIx64 " R15 %016" PRIx64 "\n", f->r13, f->r14,
		   f->r15);
}

void dump_control_registers(void)
{
	dump_print("CR0 %08" PRIx64 " CR2 %016" PRIx64 " CR3 %016" PRIx64 " CR4 %08" PRIx64
		   " EFER %04" PRIx64 "\n",
		   read_cr0(), read_cr2(), read_cr3(), read_cr4(), rdmsr(MSR_EFER));
	dump_print("GS  %016" PRIx64 " APIC_BASE %" PRIx64 "\n", rdmsr(MSR_GS_BASE),
		   rdmsr(MSR_APIC_BASE));
}

void dump_code(uint64_t rip)
{
	uint64_t a, v;

	dump_print("code");
	for (a = rip - CODE_BEFORE; a != rip + CODE_AFTER; a++) {
		if (!load_safe((const uint64_t *)a, &v))
			dump_print(" ??");
		else
			dump_print(a == rip ? " <%02x>" : " %02x", (unsigned int)(v & 0xff));
	}
	dump_print("\n");
}

void dump_stack(uint64_t rsp)
{
	uint64_t i, v;

	for (i = 0; i < STACK_WORDS; i++) {
		if (i % 4 == 0)
			dump_print("%s%016" PRIx64 ":", i ? "\n" : "", rsp + i * 8);
		if (!load_safe((const uint64_t *)(rsp + i * 8), &v))
			break;
		dump_print(" %016" PRIx64, v);
	}
	dump_print("\n");
}

void dump_backtrace(uint64_t rip, uint64_t rbp, unsigned int max)
{
	unsigned int n = 0;
	uint64_t next, ret;

	if (rip)
		dump_print("#%u 0x%016" PRIx64 "\n", n++, rip);
	while (n < max && rbp && IS_ALIGNED(rbp, 8)) {
		if (!load_safe((const uint64_t *)rbp, &next) ||
		    !load_safe((const uint64_t *)(rbp + 8), &ret) || !ret)
			return;
		dump_print("#%u 0x%016" PRIx64 "\n", n++, ret);
		if (next <= rbp || next - rbp > FRAME_MAX)
			return;
		rbp = next;
	}
}
