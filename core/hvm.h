/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HVM_H
#define LAMINA_CORE_HVM_H

#include "core/vcpu.h"
#include "mm/spte.h"
#include "types.h"

struct page_budget;

/*
 * The vendor interface: chosen once at boot. vcpu_run stays inside the vendor's loop of entry and
 * exit and calls core/ directly for every exit, so the common path has no indirect call.
 */
struct hvm_ops {
	const char *name; /* "VMX" or "SVM" */

	/*
	 * Read the capabilities (boot core, once), fill `format` and say in the log what is used.
	 * ERR_UNSUPPORTED with a logged reason where something that is needed is missing.
	 */
	enum status (*init)(struct spte_format *format);

	/* Turn virtualization on or off for the calling core. Memory comes from `budget`. */
	enum status (*cpu_enable)(struct cpu *c, struct page_budget *budget);
	void (*cpu_disable)(struct cpu *c);

	/* Allocate v->hw (VMCS or VMCB, bitmaps) from `budget`; any core. `root`: second-level root. */
	enum status (*vcpu_create)(struct vcpu *v, struct page_budget *budget, hpa_t root);

	/*
	 * Put every register that the guest can see into its power-on or `start` state, including
	 * MSRs passed through to hardware, debug registers, XCR0 and the x87/SSE/AVX state. On the
	 * vCPU's own core.
	 */
	void (*vcpu_reset)(struct vcpu *v, const struct vcpu_start *start);

	/* Enter the guest until vcpu_before_entry says no. On the vCPU's own core. */
	void (*vcpu_run)(struct vcpu *v);

	/* The rest: on the vCPU's own core, between exit and entry. */
	void (*skip_instruction)(struct vcpu *v); /* past the instruction that exited */
	void (*inject_exception)(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error);
	void (*inject_page_fault)(struct vcpu *v, uint64_t gla, uint32_t error);
	void (*inject_nmi)(struct vcpu *v); /* at most one is kept pending while NMIs are blocked */
	void (*get_sregs)(struct vcpu *v, struct vcpu_sregs *s);
	uint64_t (*get_cr4)(struct vcpu *v); /* that of get_sregs, alone */
	/* Some of that, for what is done often. `seg`: enum segment_index. */
	void (*get_paging)(struct vcpu *v, struct vcpu_paging *p);
	void (*get_segment)(struct vcpu *v, uint8_t seg, struct segment *g);
	/* False: not in 64-bit mode, or not with four levels of page tables. */
	bool (*get_tables)(struct vcpu *v, struct fetch_tables *t);

	/*
	 * MSRs that live in the VMCS or VMCB while the guest is out: EFER, FS_BASE, GS_BASE, PAT,
	 * SYSENTER_*, DEBUGCTL and what else the vendor switches. ERR_NOT_FOUND: not one of those.
	 * The caller has checked the value. Read EFER shows the guest's view (SVME hidden).
	 */
	enum status (*read_msr)(struct vcpu *v, uint32_t msr, uint64_t *value);
	enum status (*write_msr)(struct vcpu *v, uint32_t msr, uint64_t value);
	void (*set_x2apic)(struct vcpu *v, bool on); /* open or close MSRs 800h-8FFh by the table */
	/*
	 * Put what only this core knows of pages that the guest has written to into its dirty logs.
	 * NULL: there is nothing of the kind.
	 */
	void (*drain_dirty)(struct vcpu *v);
	void (*flush_guest_tlb)(
		struct vcpu *v); /* this core's second-level translations of the guest */
	const char *(*exit_name)(uint32_t raw);

	/* Can vcpu_run serve dirty logs in the mode TDP_LOG_PML? NULL: no. */
	bool (*lists_dirty_pages)(void);
};

extern const struct hvm_ops vmx_ops;
extern const struct hvm_ops svm_ops;

/* The one chosen at boot. */
extern const struct hvm_ops *hvm;

/*
 * vcpu_be_outside() for what may be in the middle of a quick exit: the guest's dirty logs get first what
 * this core has listed, because those who wait for it to be outside read them next.
 */
static inline void vcpu_go_outside(struct vcpu *v)
{
	if (hvm->drain_dirty)
		hvm->drain_dirty(v);
	vcpu_be_outside(v);
}

#endif
