/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/cpu_check.h"
#include "boot/handover.h"
#include "x86/asm.h"
#include "x86/msr.h"

#define GP_VECTOR 13
#define IDT_GATES 32 /* the architecture's own vectors */
#define RFLAGS_IF BIT(9)
#define GATE_INTERRUPT \
	0x8e00 /* present, 64-bit interrupt gate (Intel SDM vol. 3A section 6.14.1) */

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t flags;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};

struct packed idt_pointer {
	uint16_t limit;
	uint64_t base;
};

/*
 * VM_CR exists on every AMD CPU with SVM but not under every emulator, so reading must survive a
 * #GP: the firmware's IDT is replaced by a copy with our own gate 13 while MSRs are read. The other
 * gates stay, because an NMI or a machine check is still the firmware's.
 */
static void catch_gp(struct gate idt[IDT_GATES], const struct idt_pointer *old)
{
	struct idt_pointer p = { IDT_GATES * sizeof(struct gate) - 1, (uint64_t)idt };
	uint64_t handler = (uint64_t)gp_catcher;
	uint16_t cs;

	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	memset(idt, 0, IDT_GATES * sizeof(struct gate));
	memcpy(idt, (const void *)old->base, min_u64(old->limit + 1ull, p.limit + 1ull));
	idt[GP_VECTOR] = (struct gate){ .offset_low = (uint16_t)handler,
					.selector = cs,
					.flags = GATE_INTERRUPT,
					.offset_mid = (uint16_t)(handler >> 16),
					.offset_high = (uint32_t)(handler >> 32) };
	__asm__ volatile("lidt %0" : : "m"(p));
}

static void read_msr(uint32_t index, struct cpu_msr *m)
{
	m->value = 0;
	m->present = rdmsr_safe(index, &m->value);
}

static void read_msrs(struct cpu_facts *f)
{
	static struct gate idt[IDT_GATES];
	struct idt_pointer old;
	uint64_t flags;

	__asm__ volatile("pushfq; pop %0; cli" : "=r"(flags) : : "memory");
	__asm__ volatile("sidt %0" : "=m"(old));
	catch_gp(idt, &old);
	if (f->leaf1_ecx & BIT(5)) {
		read_msr(MSR_FEATURE_CONTROL, &f->feature_control);
		read_msr(MSR_VMX_BASIC, &f->vmx_basic);
		read_msr(MSR_VMX_PROCBASED_CTLS, &f->vmx_procbased);
		/* These two exist only with what the first announces (Intel SDM appendix A.3.3). */
		if (f->vmx_procbased.value >> 63)
			read_msr(MSR_VMX_PROCBASED_CTLS2, &f->vmx_procbased2);
		if (f->vmx_procbased2.value >> 33 & 1)
			read_msr(MSR_VMX_EPT_VPID_CAP, &f->vmx_ept_vpid);
	}
	if (f->ext1_ecx & BIT(2))
		read_msr(MSR_VM_CR, &f->vm_cr);
	__asm__ volatile("lidt %0" : : "m"(old));
	if (flags & RFLAGS_IF)
		__asm__ volatile("sti");
}

void cpu_probe(struct cpu_facts *f)
{
	struct cpuid_regs r = cpuid(0, 0);
	uint32_t max, i;

	memset(f, 0, sizeof(*f));
	memcpy(f->vendor, &r.ebx, 4);
	memcpy(f->vendor + 4, &r.edx, 4);
	memcpy(f->vendor + 8, &r.ecx, 4);
	f->leaf1_ecx = cpuid(1, 0).ecx;
	max = cpuid(0x80000000, 0).eax;
	if (max >= 0x80000001 && max < 0x90000000) {
		r = cpuid(0x80000001, 0);
		f->ext1_ecx = r.ecx;
		f->ext1_edx = r.edx;
	}
	for (i = 0; i < 3 && max >= 0x80000004; i++) {
		r = cpuid(0x80000002 + i, 0);
		memcpy(f->name + i * sizeof(r), &r, sizeof(r));
	}
	if (max >= 0x8000000a)
		f->svm_edx = cpuid(0x8000000a, 0).edx;
	f->cr4 = read_cr4();
	read_msrs(f);
}
