/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_VMX_VMX_H
#define LAMINA_VMX_VMX_H

#include "core/guest.h"
#include "core/vcpu.h"
#include "mm/page_alloc.h"
#include "mm/spte.h"
#include "types.h"
#include "vmx/vmx_defs.h"
#include "x86/regs.h"

/* What the boot core's capability MSRs allow, and what Lamina makes of it. Constant after init. */
struct vmx_caps {
	uint32_t revision;                      /* of VMCS and VMXON region */
	uint32_t pin, proc, proc2, exit, entry; /* the controls of every guest */
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint64_t ept_vpid; /* IA32_VMX_EPT_VPID_CAP */
	bool invept_single, invvpid_single;
	bool pml;       /* page-modification logging can be turned on */
	bool insn_info; /* string I/O exits say address size and segment */
};

extern struct vmx_caps vmx_caps;

/* The vendor's part of a vCPU: v->hw. Belongs to the vCPU's core. */
struct vmx_vcpu {
	void *vmcs;          /* one page */
	uint8_t *msr_bitmap; /* one page: read low, read high, write low, write high */
	uint64_t *pml;       /* one page, or NULL: where the core lists the pages it writes to */
	bool pml_on;
	uint64_t eptp;
	uint16_t vpid;
	bool launched;
	bool nmi_pending; /* a virtual NMI waits to be injected */
	uint32_t event;   /* to inject at the next entry, in the format of VMCS_ENTRY_EVENT, or 0 */
	uint32_t event_error;
	uint32_t event_length;     /* of the instruction, for software events */
	uint32_t proc;             /* VMCS_PROC_CONTROLS as it stands */
	uint64_t rip, rsp, rflags; /* as the VMCS has them */
	uint64_t cr4_owned;        /* CR4 bits that the guest may change without exit */
};

static inline struct vmx_vcpu *vmx_of(const struct vcpu *v)
{
	return v->hw;
}

/* ---------------------------------------------------------------- caps.c */

/* Fill vmx_caps. ERR_UNSUPPORTED with a logged reason for each thing that is missing. */
enum status vmx_caps_init(void) must_check;
void vmx_caps_log(void);

/* The calling core can do what was chosen on the boot core. */
bool vmx_core_agrees(void);

/* Let the calling core use VMXON: lock IA32_FEATURE_CONTROL if the firmware has left it open. */
enum status vmx_unlock_core(void) must_check;

/* ---------------------------------------------------------------- ept.c */

/* Translate IA32_VMX_EPT_VPID_CAP for mm/ and fill the format. */
enum status vmx_ept_format(struct spte_format *format) must_check;

/* This core's translations: of all guests (after VMXON), of one root, of one VPID. */
void vmx_flush_all(void);
void vmx_flush_root(uint64_t eptp);
void vmx_flush_vpid(uint16_t vpid);

/* ---------------------------------------------------------------- pml.c */

/* Page-modification logging, all on the vCPU's core: off, as a new VMCS has to have it; ... */
void vmx_pml_reset(struct vmx_vcpu *hw);
/* ... before each entry: on while the guest has dirty logs that are kept this way; ... */
void vmx_pml_switch(struct vcpu *v);
/* ... and after each exit while it is on: into the logs with the list. */
void vmx_pml_drain(struct vcpu *v);
void vmx_drain_dirty(struct vcpu *v); /* only where that list is in use */

static inline bool vmx_pml_wanted(const struct vcpu *v)
{
	const struct tdp *t = &v->guest->tdp;

	return tdp_logging(t) && t->log_mode == TDP_LOG_PML;
}

/* ---------------------------------------------------------------- vmcs.c */

enum status vmx_vcpu_create(struct vcpu *v, struct page_budget *budget, hpa_t root) must_check;
void vmx_vcpu_reset(struct vcpu *v, const struct vcpu_start *start);
void vmx_set_x2apic(struct vcpu *v, bool on);
void vmx_clear_vmcs(struct vmx_vcpu *hw); /* on the vCPU's core */

/* ---------------------------------------------------------------- vmx_state.c */

void vmx_get_sregs(struct vcpu *v, struct vcpu_sregs *s);
uint64_t vmx_get_cr4(struct vcpu *v);
void vmx_get_paging(struct vcpu *v, struct vcpu_paging *p);
void vmx_get_segment(struct vcpu *v, uint8_t seg, struct segment *g);
bool vmx_get_tables(struct vcpu *v, struct fetch_tables *t);
enum status vmx_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value) must_check;
enum status vmx_write_msr(struct vcpu *v, uint32_t msr, uint64_t value) must_check;
void vmx_set_efer(uint64_t efer);

/* ---------------------------------------------------------------- vmx_event.c */

void vmx_skip_instruction(struct vcpu *v);
void vmx_inject_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error);
void vmx_inject_page_fault(struct vcpu *v, uint64_t gla, uint32_t error);
void vmx_inject_nmi(struct vcpu *v);

/* The event whose delivery the exit cut short is delivered again at the next entry. */
void vmx_requeue_event(struct vcpu *v);

/* Before an entry: deliver a pending virtual NMI or ask for the window, write the event. */
void vmx_deliver_events(struct vcpu *v);

/* The window that vmx_deliver_events() asked for is open. */
void vmx_window_open(struct vcpu *v);

/* ---------------------------------------------------------------- vmx_cr.c */

/* What the guest sees of the current VMCS's CR0 and CR4. */
uint64_t vmx_guest_cr0(void);
uint64_t vmx_guest_cr4(void);

/* What hardware gets for a value that the guest sees. */
static inline uint64_t vmx_real_cr0(uint64_t cr0)
{
	return (cr0 & ~(uint64_t)(CR0_CD | CR0_NW)) | CR0_NE;
}

static inline uint64_t vmx_real_cr4(uint64_t cr4)
{
	return cr4 | CR4_VMXE | CR4_MCE;
}

/* A MOV to CR0 or CR4 (CLTS, LMSW) that changes what Lamina keeps: done, or #GP injected. */
void vmx_cr_access(struct vcpu *v, uint64_t qualification);

/* ---------------------------------------------------------------- vmx_quick.c */

/* Called by vmx_entry.S, which looks at the sign. */
enum vmx_entry_kind {
	VMX_RESUME = -1,
	VMX_LEAVE,
	VMX_LAUNCH
};

/* Before an entry that follows no exit: the first one, or one that was put off. */
enum vmx_entry_kind vmx_prepare_entry(struct vcpu *v);

/* After each exit; says what comes next. */
enum vmx_entry_kind vmx_handle_exit(struct vcpu *v);

/* ---------------------------------------------------------------- vmx_exit.c */

/* The core counts as outside from here on, and the registers are in `v`; v->rip is before. */
void vmx_leave_guest(struct vcpu *v);

/* The rest of vmx_handle_exit(): exits that are not quick. */
enum vmx_entry_kind vmx_handle_slowly(struct vcpu *v, uint32_t reason);

/* An NMI has come before VMRESUME. Next is vmx_prepare_entry(). */
void vmx_resume_put_off(struct vcpu *v);

void vmx_entry_refused(struct vcpu *v, bool no_vmcs);

const char *vmx_exit_name(uint32_t raw);
const char *vmx_insn_error(uint32_t number);

/* ---------------------------------------------------------------- vmx_entry.S */

/* hvm_ops.vcpu_run: rounds of entry and exit until vmx_prepare_entry() says VMX_LEAVE. */
void vmx_vcpu_run(struct vcpu *v);
extern const char vmx_exit_entry[]; /* HOST_RIP */

#endif
