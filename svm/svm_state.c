// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>

#include "core/msr.h"
#include "svm/svm.h"
#include "x86/asm.h"
#include "x86/fpu.h"
#include "x86/msr.h"
#include "x86/regs.h"

/* VMCB attributes: descriptor bits 40-47 in 0-7, bits 52-55 (AVL, L, D/B, G) in 8-11. */
#define ATTR_CODE_16 0x09b /* present, code, readable, accessed */
#define ATTR_DATA_16 0x093 /* present, data, writable, accessed */
#define ATTR_CODE_64 0xa9b /* and G, L */
#define ATTR_DATA_32 0xc93 /* and G, B */
#define ATTR_LDT     0x082
#define ATTR_TSS     0x08b /* busy */

static struct vmcb_segment segment(uint16_t selector, uint16_t attrib, uint32_t limit,
				   uint64_t base)
{
	return (struct vmcb_segment){ selector, attrib, limit, base };
}

/* 64-bit mode with flat segments, as the Linux boot protocol wants it. */
static void start_long_mode(struct vcpu *v, const struct vcpu_start *start)
{
	struct vmcb_save *b = &svm_vcpu(v)->vmcb.save;
	struct vmcb_segment data = segment(0x18, ATTR_DATA_32, 0xffffffff, 0);

	b->cs = segment(0x10, ATTR_CODE_64, 0xffffffff, 0);
	b->ss = b->ds = b->es = b->fs = b->gs = data;
	b->gdtr = segment(0, 0, start->gdt_limit, start->gdt_base);
	b->cr0 = CR0_PG | CR0_NE | CR0_ET | CR0_PE;
	b->cr3 = start->cr3;
	b->cr4 = CR4_PAE;
	b->efer = EFER_SVME | EFER_LMA | EFER_LME;
	v->rip = start->rip;
	v->gpr[GPR_RSP] = start->rsp;
	v->gpr[GPR_RSI] = start->rsi;
}

/*
 * Real mode after INIT and SIPI. CR0.CD and NW are as they were before INIT, which is how the
 * firmware leaves a core (APM vol. 2, table 14-1).
 */
static void start_real_mode(struct vcpu *v, const struct vcpu_start *start)
{
	struct vmcb_save *b = &svm_vcpu(v)->vmcb.save;
	uint16_t selector = (uint16_t)(start->sipi_vector << 8);

	b->cs = segment(selector, ATTR_CODE_16, 0xffff, (uint64_t)selector << 4);
	b->ss = b->ds = b->es = b->fs = b->gs = segment(0, ATTR_DATA_16, 0xffff, 0);
	b->gdtr = segment(0, 0, 0xffff, 0);
	b->cr0 = CR0_ET;
	b->efer = EFER_SVME;
	v->rip = 0;
	v->gpr[GPR_RDX] = cpuid(1, 0).eax;
}

static void reset_debug_address(void)
{
	uint64_t zero = 0;

	/* DR0-DR3 are the guest's all the time; #VMEXIT disables them by DR7 (APM vol. 2, 15.6). */
	__asm__ volatile("mov %0, %%dr0\n\t"
			 "mov %0, %%dr1\n\t"
			 "mov %0, %%dr2\n\t"
			 "mov %0, %%dr3"
			 :
			 : "r"(zero));
}

void svm_vcpu_reset(struct vcpu *v, const struct vcpu_start *start)
{
	struct svm_vcpu *s = svm_vcpu(v);
	struct vmcb_save *b = &s->vmcb.save;

	memset(b, 0, sizeof(*b));
	memset(v->gpr, 0, sizeof(v->gpr));
	v->rflags = RFLAGS_RESERVED;
	b->idtr = segment(0, 0, 0xffff, 0);
	b->ldtr = segment(0, ATTR_LDT, 0xffff, 0);
	b->tr = segment(0, ATTR_TSS, 0xffff, 0);
	b->dr6 = DR6_RESET;
	b->dr7 = DR7_RESET;
	b->g_pat = PAT_RESET;
	if (start->long_mode)
		start_long_mode(v, start);
	else
		start_real_mode(v, start);

	s->vmcb.control.event_inj = 0;
	s->nmi_pending = s->nmi_blocked = s->nmi_step = s->step_hide_tf = false;
	s->flush = true; /* translations of the guest's former life */
	s->vmcb.control.intercept[0] &= ~(uint32_t)INTERCEPT_IRET;
	s->vmcb.control.int_ctl = svm_caps.vnmi ? INT_CTL_V_NMI_ENABLE : 0;
	s->vmcb.control.int_state = 0;
	s->vmcb.control.tsc_offset = 0;
	s->vmcb.control.exit_int_info = 0;
	fpu_reset();
	reset_debug_address();
	msr_reset(v);
	svm_msrpm_fill(v, v->x2apic);
	s->vmcb.control.clean = 0;
}

/* As in a descriptor. */
static uint16_t access_rights(const struct vmcb_segment *from)
{
	return (uint16_t)((from->attrib & 0xff) | (from->attrib & 0xf00) << 4);
}

void svm_get_segment(struct vcpu *v, uint8_t seg, struct segment *g)
{
	const struct vmcb_save *b = &svm_vcpu(v)->vmcb.save;
	const struct vmcb_segment *from[SEG_COUNT] = {
		[SEG_ES] = &b->es, [SEG_CS] = &b->cs, [SEG_SS] = &b->ss,     [SEG_DS] = &b->ds,
		[SEG_FS] = &b->fs, [SEG_GS] = &b->gs, [SEG_LDTR] = &b->ldtr, [SEG_TR] = &b->tr,
	};

	g->selector = from[seg]->selector;
	g->access = access_rights(from[seg]);
	g->limit = from[seg]->limit;
	g->base = from[seg]->base;
}

void svm_get_paging(struct vcpu *v, struct vcpu_paging *p)
{
	const struct vmcb_save *b = &svm_vcpu(v)->vmcb.save;

	p->cr0 = b->cr0;
	p->cr3 = b->cr3;
	p->cr4 = b->cr4;
	p->efer = b->efer;
	p->cs_access = access_rights(&b->cs);
	p->cs_base = b->cs.base;
	p->cpl = b->cpl;
}

bool svm_get_tables(struct vcpu *v, struct fetch_tables *t)
{
	const struct svm_vcpu *s = svm_vcpu(v);

	t->cr3 = s->vmcb.save.cr3;
	t->user = s->vmcb.save.cpl == 3;
	return svm_is_64bit(s) && !(s->vmcb.save.cr4 & CR4_LA57);
}

uint64_t svm_get_cr4(struct vcpu *v)
{
	return svm_vcpu(v)->vmcb.save.cr4;
}

/* Field by field: this is on the way of every exit that is emulated. */
void svm_get_sregs(struct vcpu *v, struct vcpu_sregs *out)
{
	const struct svm_vcpu *s = svm_vcpu(v);
	const struct vmcb_save *b = &s->vmcb.save;

	out->cr0 = b->cr0;
	out->cr2 = b->cr2;
	out->cr3 = b->cr3;
	out->cr4 = b->cr4;
	out->efer = b->efer & ~(uint64_t)EFER_SVME;
	out->dr7 = b->dr7;
	out->gdtr_base = b->gdtr.base;
	out->idtr_base = b->idtr.base;
	out->gdtr_limit = b->gdtr.limit & 0xffff;
	out->idtr_limit = b->idtr.limit & 0xffff;
	out->cpl = b->cpl;
	out->interrupt_shadow = s->vmcb.control.int_state & INT_STATE_SHADOW;
	out->nmi_blocked =
		svm_caps.vnmi ? s->vmcb.control.int_ctl & INT_CTL_V_NMI_MASK : s->nmi_blocked;
	out->halted = false; /* the VMCB does not tell */
	for (unsigned int i = 0; i < SEG_COUNT; i++)
		svm_get_segment(v, (uint8_t)i, &out->seg[i]);
}
