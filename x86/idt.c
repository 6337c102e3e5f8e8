// SPDX-License-Identifier: BSD-2-Clause
#include <inttypes.h>

#include "panic.h"
#include "x86/asm.h"
#include "x86/cpu_offsets.h"
#include "x86/exception.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/nmi.h"
#include "x86/regs.h"
#include "x86/safe.h"
#include "x86/segment.h"

#define IDT_ENTRIES  256
#define STUB_SIZE    16
#define GATE_PRESENT 0x80
#define GATE_INT64   0x0e

/* 64-bit interrupt gate: SDM vol. 3, figure 6-8. */
struct idt_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};

struct extable_entry {
	uint64_t insn;
	uint64_t continuation;
};

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} packed;

#define FIRST_LEGAL_VECTOR 16 /* of a local APIC's interrupt; SDM vol. 3, 10.5.2 */

static struct idt_gate idt[IDT_ENTRIES] aligned(16);
static struct idt_gate drain_idt[IDT_ENTRIES] aligned(16);

extern const char exception_stubs[];
extern const struct extable_entry __extable_start[], __extable_end[];

void nmi_entry(void);
void exception_handle(struct trap_frame *f);

/* Segment descriptors with base 0, limit 4 GiB, accessed; code has L set. SDM vol. 3, 3.4.5. */
#define DESC_CODE64        0x00af9b000000ffffull
#define DESC_DATA          0x00cf93000000ffffull
#define DESC_TSS_AVAILABLE (0x89ull << 40)

static void set_gate(struct idt_gate *gate, uint64_t handler, uint8_t ist)
{
	*gate = (struct idt_gate){
		.offset_low = (uint16_t)handler,
		.selector = SEL_CODE64,
		.ist = ist,
		.type = GATE_PRESENT | GATE_INT64,
		.offset_mid = (uint16_t)(handler >> 16),
		.offset_high = (uint32_t)(handler >> 32),
	};
}

void idt_init(void)
{
	uint64_t stubs = (uint64_t)exception_stubs;
	unsigned int i;

	for (i = 0; i < IDT_ENTRIES; i++) {
		unsigned int stub = i < VEC_EXCEPTIONS ? i : VEC_EXCEPTIONS;

		set_gate(&idt[i], stubs + stub * STUB_SIZE, 0);
	}
	set_gate(&idt[VEC_DF], stubs + VEC_DF * STUB_SIZE, IST_DF);
	set_gate(&idt[VEC_MC], stubs + VEC_MC * STUB_SIZE, IST_MC);
	set_gate(&idt[VEC_NMI], (uint64_t)nmi_entry, IST_NMI);

	for (i = 0; i < IDT_ENTRIES; i++) {
		drain_idt[i] = idt[i];
		if (i >= FIRST_LEGAL_VECTOR)
			set_gate(&drain_idt[i], stubs + VEC_EXCEPTIONS * STUB_SIZE, 0);
	}
}

static void load_idt(const struct idt_gate *table)
{
	struct table_pointer p = { sizeof(idt) - 1, (uint64_t)table };

	__asm__ volatile("lidt %0" : : "m"(p));
}

void cpu_drain_interrupts(struct cpu *c)
{
	struct cpu_arch *a = c->arch;
	uint64_t status;

	a->draining = true;
	load_idt(drain_idt);
	/* STI lets interrupts in behind the following instruction. */
	__asm__ volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
	load_idt(idt);
	a->draining = false;
	/* A machine check in the window looked like an interrupt; it is still marked in progress. */
	if (rdmsr_safe(MSR_MCG_STATUS, &status) && (status & MCG_STATUS_MCIP))
		panic("machine check while discarding interrupts: MCG_STATUS %#" PRIx64, status);
}

uint64_t idt_base(void)
{
	return (uint64_t)idt;
}

uint16_t idt_limit(void)
{
	return sizeof(idt) - 1;
}

void cpu_tables_fill(struct cpu *c, void *const ist_top[IST_COUNT])
{
	struct cpu_arch *a = c->arch;
	uint64_t tss = (uint64_t)&a->tss;
	unsigned int i;

	for (i = 0; i < IST_COUNT; i++) {
		uint64_t *top = ist_top[i];

		top[-2] = (uint64_t)c;
		a->tss.ist[i] = (uint64_t)top - IST_RESERVED;
	}
	a->tss.iomap = sizeof(a->tss); /* beyond the limit: no I/O bitmap */

	a->gdt[SEL_NULL / 8] = 0;
	a->gdt[SEL_CODE64 / 8] = DESC_CODE64;
	a->gdt[SEL_DATA / 8] = DESC_DATA;
	a->gdt[SEL_TSS / 8] = DESC_TSS_AVAILABLE | (sizeof(a->tss) - 1) | (tss & 0xffffff) << 16 |
			      ((tss >> 24) & 0xff) << 56;
	a->gdt[SEL_TSS / 8 + 1] = tss >> 32;
}

void cpu_tables_load(struct cpu *c)
{
	struct cpu_arch *a = c->arch;
	struct table_pointer gdtr = { sizeof(a->gdt) - 1, (uint64_t)a->gdt };
	uint64_t scratch;

	__asm__ volatile("lgdt %[gdtr]\n\t"
			 "pushq %[cs]\n\t"
			 "leaq 1f(%%rip), %[scratch]\n\t"
			 "pushq %[scratch]\n\t"
			 "lretq\n\t"
			 "1: movl %[data], %%ds\n\t"
			 "movl %[data], %%es\n\t"
			 "movl %[data], %%ss\n\t"
			 "movl %[null], %%fs\n\t"
			 "movl %[null], %%gs\n\t"
			 "lldt %w[null]\n\t"
			 "ltr %w[tss]"
			 : [scratch] "=&r"(scratch)
			 : [gdtr] "m"(gdtr), [cs] "i"(SEL_CODE64), [data] "r"(SEL_DATA),
			   [null] "r"(SEL_NULL), [tss] "r"(SEL_TSS)
			 : "memory");
	load_idt(idt);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (uint64_t)c);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
}

const char *exception_name(uint64_t vector)
{
	static const char *const names[VEC_EXCEPTIONS] = {
		[VEC_DE] = "#DE divide error",
		[VEC_DB] = "#DB debug",
		[VEC_NMI] = "NMI",
		[VEC_BP] = "#BP breakpoint",
		[VEC_OF] = "#OF overflow",
		[VEC_BR] = "#BR bound range",
		[VEC_UD] = "#UD invalid opcode",
		[VEC_NM] = "#NM device not available",
		[VEC_DF] = "#DF double fault",
		[VEC_TS] = "#TS invalid TSS",
		[VEC_NP] = "#NP segment not present",
		[VEC_SS] = "#SS stack segment",
		[VEC_GP] = "#GP general protection",
		[VEC_PF] = "#PF page fault",
		[VEC_MF] = "#MF x87",
		[VEC_AC] = "#AC alignment check",
		[VEC_MC] = "#MC machine check",
		[VEC_XM] = "#XM SIMD",
		[VEC_VE] = "#VE virtualization",
		[VEC_CP] = "#CP control protection",
		[VEC_HV] = "#HV hypervisor injection",
		[VEC_VC] = "#VC VMM communication",
		[VEC_SX] = "#SX security",
	};

	if (vector >= VEC_EXCEPTIONS)
		return "external interrupt";
	return names[vector] ? names[vector] : "reserved exception";
}

/*
 * #SS is what #GP is for an address in RSP or RBP; #SX is an INIT that SVM holds back for STGI; #DB
 * is a guest's single step that comes out of VMRUN with the exit (Bochs).
 */
#define FIXABLE (BIT(VEC_DB) | BIT(VEC_UD) | BIT(VEC_SS) | BIT(VEC_GP) | BIT(VEC_PF))

/* Continue behind an instruction that was expected to fault. */
static bool fix_up(struct trap_frame *f)
{
	uint64_t count =
		((uint64_t)__extable_end - (uint64_t)__extable_start) / sizeof(__extable_start[0]);
	uint64_t i;

	if (f->vector >= VEC_EXCEPTIONS || !(FIXABLE & BIT(f->vector)))
		return false;
	for (i = 0; i < count; i++) {
		if (__extable_start[i].insn == f->rip) {
			f->rip = __extable_start[i].continuation;
			return true;
		}
	}
	return false;
}

/*
 * The core that took the exception. What runs on an IST stack finds the pointer behind its frame.
 * Others ask CPUID, because a broken GS base may be the very reason for the exception.
 */
static struct cpu *faulting_cpu(struct trap_frame *f)
{
	struct cpu *c;

	if (f->vector == VEC_DF || f->vector == VEC_MC || f->vector == VEC_NMI)
		return *(struct cpu **)(f + 1);
	c = cpu_by_apic_id(lapic_id());
	return c ? c : this_cpu();
}

/* An INIT from outside that VM_CR.R_INIT turned into #SX (APM vol. 2, 8.2.23): not for us. */
static bool is_redirected_init(const struct trap_frame *f)
{
	return f->vector == VEC_SX && f->error == SX_ERR_INIT;
}

void exception_handle(struct trap_frame *f)
{
	struct cpu *c;

	if (fix_up(f) || is_redirected_init(f))
		return;
	if (f->vector >= VEC_EXCEPTIONS && lapic_discard_interrupt())
		return;

	c = faulting_cpu(f);
	wrmsr(MSR_GS_BASE, (uint64_t)c);
	if (f->vector == VEC_NMI)
		panic_stop_core(c, f);
	panic_exception(c, f);
}

void nmi_exit_from_guest(struct cpu *c)
{
	c->nmi_pending = 1;
	if (panic_active)
		panic_stop_core(c, NULL);
	nmi_unblock();
}
