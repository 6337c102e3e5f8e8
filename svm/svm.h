/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_SVM_SVM_H
#define LAMINA_SVM_SVM_H

#include "core/vcpu.h"
#include "mm/page_alloc.h"
#include "svm/vmcb.h"
#include "types.h"
#include "x86/regs.h"

struct spte_format;

/* What the CPU offers; the same on all cores. Written once by svm_read_caps(). */
struct svm_caps {
	uint32_t asids; /* ASIDs 0 to asids - 1 exist, 0 is the host's */
	uint8_t revision;
	bool nrips;
	bool flush_by_asid;
	bool decode_assists;
	bool lbrv;
	uint32_t clean; /* the clean bits that mean something, CLEAN_ALL or none */
	bool vnmi;
	bool spec_ctrl; /* the processor switches SPEC_CTRL with the VMCB */
	bool cet_ss;    /* and the supervisor shadow stack */
	bool invlpgb;   /* INVLPGB and TLBSYNC exist, so there are intercepts for them */
	bool no_shadow; /* VMRUN does not load the interrupt shadow, see svm_shadow.c */
	bool x2avic, avic, vgif, pause_filter, tsc_ratio; /* reported, not used */
};

extern struct svm_caps svm_caps;

/*
 * ASIDs of one core. A core has one guest, so consecutive ASIDs serve to leave old translations
 * behind where the processor cannot flush a single ASID.
 */
struct asid_pool {
	uint32_t count; /* ASIDs 1 to count - 1 may be used */
	uint32_t current;
	bool by_asid; /* TLB_CONTROL can flush one ASID */
};

/* What a core needs besides the guest's VMCB. Belongs to its core. */
struct svm_cpu {
	uint8_t *host_save; /* VM_HSAVE_PA: for the processor alone */
	struct vmcb *host;  /* FS, GS, TR, LDTR and syscall MSRs of the hypervisor, by VMSAVE */
	struct asid_pool asid;
};

#define MSRPM_SIZE 8192
#define IOPM_SIZE  12288

/* vcpu->hw. Belongs to the vCPU's core. The VMCB and the map come first: they are page aligned. */
struct svm_vcpu {
	struct vmcb vmcb;
	uint8_t msrpm[MSRPM_SIZE];

	/* What each round looks at lies in one cache line. */
	hpa_t vmcb_hpa;
	bool flush;        /* drop the guest's translations at the next entry */
	bool nmi_pending;  /* a virtual NMI waits for the end of the previous one */
	bool nmi_blocked;  /* the guest is in its NMI handler (until IRET); unused with vNMI */
	bool nmi_step;     /* single-stepping over the IRET that ends NMI blocking */
	bool step_hide_tf; /* RFLAGS.TF is ours, not the guest's */
	uint64_t step_dr6; /* the guest's DR6, while nmi_step */
};

static inline struct svm_vcpu *svm_vcpu(const struct vcpu *v)
{
	return v->hw;
}

/* The code segment's attributes are descriptor bits 40-47 and 52-55. */
#define VMCB_ATTR_L BIT(9)

static inline bool svm_is_64bit(const struct svm_vcpu *s)
{
	return (s->vmcb.save.efer & EFER_LMA) && (s->vmcb.save.cs.attrib & VMCB_ATTR_L);
}

static inline void svm_dirty(struct svm_vcpu *s, uint64_t groups)
{
	s->vmcb.control.clean &= ~(uint32_t)groups;
}

/* svm_caps.c */
enum status svm_read_caps(void) must_check;
void svm_log_caps(void);

/* errata.c: on the calling core; the same on all cores of a machine. */
void svm_apply_workarounds(struct cpu *c);

/* npt.c: the format of the nested tables on this CPU. */
enum status svm_npt_format(struct spte_format *f) must_check;

/* asid.c: pure. The ASID and TLB_CONTROL for an entry that must (or need not) flush the guest. */
void asid_pool_init(struct asid_pool *p, uint32_t count, bool by_asid);
void asid_enter(struct asid_pool *p, bool flush, struct vmcb_control *c);

/* vmcb_check.c: pure. The rule of APM 15.5.1 that the VMCB breaks, or NULL; for VMEXIT_INVALID. */
struct vmcb_limits {
	uint64_t maxphyaddr; /* bits */
	uint64_t cr4_valid;  /* bits that the CPU implements */
	uint64_t efer_valid;
	uint32_t asids;
};
const char *vmcb_check(const struct vmcb *b, const struct vmcb_limits *l);

/* svm_msr.c */
void svm_msrpm_fill(struct vcpu *v, bool x2apic);
enum status svm_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value) must_check;
enum status svm_write_msr(struct vcpu *v, uint32_t msr, uint64_t value) must_check;

/* svm_event.c: what is injected at the next entry, and what an exit interrupted. */
void svm_inject_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error);
void svm_inject_page_fault(struct vcpu *v, uint64_t gla, uint32_t error);
void svm_inject_nmi(struct vcpu *v);
void svm_repeat_event(struct vcpu *v, uint64_t interrupted); /* EXITINTINFO, if valid */
void svm_deliver_nmi(struct vcpu *v);                        /* nmi_pending, before VMRUN */
void svm_iret_exit(struct vcpu *v);
bool svm_step_exit(struct vcpu *v); /* true: the #DB was ours */

/*
 * svm_shadow.c: before the entry of a guest in an interrupt shadow, where VMRUN does not load it. May
 * move RIP back to the STI.
 */
void svm_repeat_sti(struct vcpu *v);

/* svm_state.c */
void svm_vcpu_reset(struct vcpu *v, const struct vcpu_start *start);
void svm_get_sregs(struct vcpu *v, struct vcpu_sregs *out);
uint64_t svm_get_cr4(struct vcpu *v);
void svm_get_paging(struct vcpu *v, struct vcpu_paging *p);
void svm_get_segment(struct vcpu *v, uint8_t seg, struct segment *g);
bool svm_get_tables(struct vcpu *v, struct fetch_tables *t);

/*
 * svm_skip.c: past the instruction that exited. svm_next_rip() only says where that is, if it is easy
 * to see that the instruction is this one: the bytes of an opcode, the first one lowest. Else 0.
 * svm_skip_opcode() expects it to be so.
 */
void svm_skip_instruction(struct vcpu *v);
void svm_skip_opcode(struct vcpu *v, uint32_t opcode, unsigned length);
uint64_t svm_next_rip(struct vcpu *v, uint32_t opcode, unsigned length);

/*
 * svm_quick.c and svm_exit.c: the VMCB to enter with, or 0 if the run loop is to be left.
 * svm_handle_exit() is for after an exit, svm_prepare_entry() for an entry that follows none; the
 * others are what an exit needs that turns out not to be quick: first svm_leave_guest().
 */
hpa_t svm_handle_exit(struct vcpu *v);
hpa_t svm_prepare_entry(struct vcpu *v);
hpa_t svm_handle_slowly(struct vcpu *v, uint32_t code);
void svm_leave_guest(struct vcpu *v);
const char *svm_exit_name(uint32_t raw);

/* svm.c: GIF = 0, and the hypervisor's registers into the VMCB whose address it returns. */
hpa_t svm_run_begin(struct vcpu *v);

/* svm_entry.S: all but the first and svm_stgi with GIF = 0; physical addresses of VMCBs. */
void svm_vcpu_run(struct vcpu *v);
void svm_vmsave(hpa_t vmcb);
void svm_nmi_window(void); /* let pending NMIs and a redirected INIT in */
void svm_stgi(void);
void svm_clgi(void);

#endif
