/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VCPU_H
#define LAMINA_CORE_VCPU_H

#include "core/cpuid.h"
#include "core/msr.h"
#include "core/decode.h"
#include "types.h"
#include "x86/asm.h"
#include "x86/cpu.h"

struct guest;
struct io_region;

/* General registers in the order of their hardware encoding (ModRM, exit qualifications). */
enum gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	GPR_COUNT,
};

/* Why a guest left its core, in words that hold for both vendors. The order is that of `stat`. */
enum exit_class {
	EXIT_NMI, /* a kick or the console: the hypervisor's own doing */
	EXIT_CPUID,
	EXIT_RDMSR,
	EXIT_WRMSR,
	EXIT_PIO,
	EXIT_MMIO, /* emulated device or unowned address */
	EXIT_APIC, /* trapped local APIC write (xAPIC page or x2APIC ICR) */
	EXIT_TDP,  /* second-level fault that mm/ fixed */
	EXIT_HYPERCALL,
	EXIT_XSETBV,
	EXIT_CR,
	EXIT_INIT_SIGNAL,
	EXIT_EXCEPTION,
	EXIT_NMI_WINDOW, /* IRET or NMI window, while a virtual NMI is pending */
	EXIT_DENIED,     /* an instruction the guest may not use: VMX, SVM, … -> #UD */
	EXIT_CACHE,      /* WBINVD, INVD, MONITOR-like instructions that must exit */
	EXIT_SHUTDOWN,
	EXIT_INVALID, /* the hardware refused the guest's state */
	EXIT_OTHER,
	EXIT_CLASS_COUNT,
};

/* What other cores, the monitor or a device want of this vCPU; set atomically, then kick. */
#define VCPU_REQ_PAUSE    BIT(0)  /* park until VCPU_REQ_PAUSE is cleared */
#define VCPU_REQ_STOP     BIT(1)  /* leave the guest for good (guest_stop, guest_reset) */
#define VCPU_REQ_FLUSH    BIT(2)  /* drop this core's second-level TLB entries of the guest */
#define VCPU_REQ_VECTORS  BIT(3)  /* `vectors` holds interrupts for this core's local APIC */
#define VCPU_REQ_NMI      BIT(4)  /* inject a virtual NMI */
#define VCPU_REQ_INIT     BIT(5)  /* INIT from another core of the same guest */
#define VCPU_REQ_SIPI     BIT(6)  /* start-up IPI; `sipi_vector` */
#define VCPU_REQ_START    BIT(7)  /* begin a run of the guest; only while VCPU_OFF */
#define VCPU_REQ_SNAPSHOT BIT(8)  /* copy the registers into `last` */
#define VCPU_REQ_CONSOLE  BIT(9)  /* the console has input or room for the guest's UART */
#define VCPU_REQ_MSRS     BIT(10) /* which MSRs trap has changed (guest.trap_eoi) */

enum vcpu_state {
	VCPU_OFF,       /* guest not started or stopped */
	VCPU_WAIT_SIPI, /* an application processor before its SIPI */
	VCPU_RUNNING,
	VCPU_PARKED, /* paused at an instruction boundary */
};

/* One exit for the post-mortem view: `regs` in the monitor shows the last ones. */
struct exit_record {
	uint64_t tsc;
	uint64_t rip;
	uint64_t info; /* exit qualification or EXITINFO1 */
	uint32_t raw;  /* the vendor's exit code */
	uint32_t class;
};

#define VCPU_EXIT_RECORDS 16

enum segment_index {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS,
	SEG_LDTR,
	SEG_TR,
	SEG_COUNT
};

#define SEGMENT_L  0x2000 /* of `access`: 64-bit code */
#define SEGMENT_DB 0x4000

struct segment {
	uint16_t selector;
	uint16_t
		access; /* bits 0-7 type, S, DPL, P; 12-15 AVL, L, D/B, G (descriptor bits 40-47, 52-55) */
	uint32_t limit; /* bytes, expanded by granularity */
	uint64_t base;
};

/* The architectural state beyond the general registers, as hardware holds it. */
struct vcpu_sregs {
	uint64_t cr0, cr2, cr3, cr4, efer, dr7;
	struct segment seg[SEG_COUNT];
	uint64_t gdtr_base, idtr_base;
	uint32_t gdtr_limit, idtr_limit;
	uint8_t cpl;
	bool interrupt_shadow;
	bool nmi_blocked;
	bool halted; /* activity state HLT, where hardware tells */
};

/* Of that, what the translation of a linear address depends on, besides the flags. */
struct vcpu_paging {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t cs_base; /* undefined in 64-bit mode */
	uint16_t cs_access;
	uint8_t cpl;
};

/* All registers at one moment: for the monitor and for the post-mortem view of a stopped guest. */
struct vcpu_snapshot {
	bool valid;
	uint64_t gpr[GPR_COUNT];
	uint64_t rip, rflags;
	struct vcpu_sregs sregs;
};

struct exit_stats {
	uint64_t exits;
	uint64_t cycles; /* TSC ticks from exit to the decision to re-enter */
};

/* What is emulated in software; written by core/msr.c and core/vlapic.c. */
#define VCPU_MTRR_VAR   8
#define VCPU_MTRR_FIXED 11

struct vcpu_soft {
	uint64_t mtrr_def;
	uint64_t mtrr_fixed[VCPU_MTRR_FIXED];
	uint64_t mtrr_var[2 * VCPU_MTRR_VAR]; /* base, mask */
	uint32_t apic_ldr, apic_dfr;          /* as the guest wrote them in xAPIC mode */
	uint32_t apic_icr2;
	/* From here on for the whole run: INIT leaves it alone. */
	bool ipi_denied; /* one dropped interrupt was logged */
	uint8_t denied_count;
	uint32_t denied[24]; /* MSRs whose refusal was logged */
};

/* Whose a page is, as long as the slots have that version. */
#define DEVICE_MEMOS 4

struct device_memo {
	uint64_t key; /* the page's gpa, bit 0 set; 0: none */
	uint64_t version;
	const struct io_region *region; /* NULL: the local APIC's page */
};

/*
 * The bytes at the guest's instruction pointer, and where their operands lead, for exits that come from
 * the same few places again and again (core/fetch.h). Each entry of the guest's page tables that a
 * walk went through stays in view by a window of its own, and so does the page of code. If all of them
 * are what they were, so is the translation: a comparison for each level is as good as a new walk, and
 * nothing that the guest changes goes unseen, whether it flushes a TLB or not.
 */
#define FETCH_LEVELS    4
#define FETCH_CODE      8 /* views of code, by the page's number */
#define FETCH_DATA      2 /* and of operands */
#define FETCH_INSN_SETS 16
#define FETCH_INSN_WAYS 2
#define FETCH_KEY_VALID 1ull

struct fetch_view {
	uint64_t key;     /* linear page and FETCH_KEY_VALID; 0: nothing in view */
	uint64_t cr3;     /* as in the register */
	uint64_t version; /* of the slots by which the windows were pointed */
	struct {
		const volatile uint64_t *entry; /* of level 4 first */
		uint64_t value;
	} step[FETCH_LEVELS];
	uint64_t gpa;        /* of the page */
	uint64_t rights;     /* A, W and U if all entries have them; D if the last one has */
	const uint8_t *page; /* of code: the page itself */
};

struct fetch_cache {
	struct fetch_view code[FETCH_CODE], data[FETCH_DATA];
	struct insn_memo insn[FETCH_INSN_SETS][FETCH_INSN_WAYS];
	uint8_t turn; /* which of a set's is replaced next */
	bool shown;   /* a window may show something */
};

/* The vCPU's page tables, and whether it is at privilege level 3. */
struct fetch_tables {
	uint64_t cr3;
	bool user;
};

/*
 * A vCPU is one physical core for as long as its guest exists. Everything here belongs to that
 * core, but `requests` and `vectors` (atomic, any core) and `state` (written by the owner, read
 * by all). The vendor's entry code relies on `gpr` being the first member.
 */
struct vcpu {
	uint64_t gpr[GPR_COUNT]; /* valid between exit and entry; of quick exits not RSP */
	/* The line of 64 bytes that each exit needs. */
	uint64_t rip;
	uint64_t rflags;
	void *hw; /* VMCS or VMCB and their bitmaps; vendor's type */
	struct cpu *cpu;
	struct guest *guest;
	uint64_t requests;
	uint64_t exit_tsc;
	uint64_t due; /* TSC from which on the next entry looks after what waits for one */

	struct exit_stats stats[EXIT_CLASS_COUNT];
	struct exit_record records[VCPU_EXIT_RECORDS];
	uint32_t record_at;      /* bytes into `records`, where the next one goes */
	uint32_t index;          /* within the guest; 0 is the boot processor */
	uint32_t apic_id;        /* the physical one, which the guest sees */
	uint64_t vectors[4];     /* bit per vector; for VCPU_REQ_VECTORS */
	volatile uint32_t state; /* enum vcpu_state */
	uint8_t sipi_vector;
	bool x2apic;         /* the mode the guest has put its local APIC in */
	uint8_t insn_length; /* nonzero while skip_instruction is to use it, not the hardware's */
	uint64_t apic_base;  /* what the guest reads in IA32_APIC_BASE */
	struct vcpu_snapshot last;
	struct vcpu_soft soft;
	struct cpuid_table cpuid;
	struct msr_index msrs;
	struct fetch_cache fetch;
	struct device_memo devices[DEVICE_MEMOS]; /* of core/mmio.c */
};

/* Where a vCPU starts: everything else has its power-on value (Intel SDM vol. 3, table 10-1). */
struct vcpu_start {
	bool long_mode; /* 64-bit entry with paging on; otherwise real mode at cs_base:0 (SIPI) */
	uint64_t rip;
	uint64_t rsp;
	uint64_t rsi;      /* Linux: gpa of boot_params */
	uint64_t cr3;      /* gpa of the initial page tables, for long_mode */
	uint64_t gdt_base; /* gpa of a GDT with 0x10 = 64-bit code, 0x18 = data, for long_mode */
	uint16_t gdt_limit;
	uint8_t sipi_vector; /* CS:IP = vector << 8 : 0 */
};

#define for_each_vcpu(g, v, i) for ((i) = 0; (i) < (g)->vcpu_count && ((v) = (g)->vcpus[i]); (i)++)

/* ------------------------------------------------------------------ called by vmx/ and svm/ */

/*
 * The last thing before an entry that follows no quick exit, on the vCPU's core with RFLAGS.IF=0:
 * does the work that NMIs and requests ask for. False: do not enter, return from hvm_ops.vcpu_run.
 */
bool vcpu_before_entry(struct vcpu *v);

/* The `back`-th last exit, from 1. */
static inline struct exit_record *vcpu_record(struct vcpu *v, unsigned back)
{
	uint32_t at = (v->record_at - back * sizeof(struct exit_record)) % sizeof(v->records);

	return (struct exit_record *)((char *)v->records + at);
}

/*
 * Count an exit and remember it; stop the clock with vcpu_exit_end. Alone only where the core may go on
 * counting as in the guest, because the exit takes no lock and waits for nobody (docs/locking.md).
 */
static inline void vcpu_exit_record(struct vcpu *v, enum exit_class class, uint32_t raw,
				    uint64_t info)
{
	struct exit_record *r = (struct exit_record *)((char *)v->records + v->record_at);

	v->record_at = (v->record_at + sizeof(*r)) % sizeof(v->records);
	v->exit_tsc = rdtsc();
	v->stats[class].exits++;
	*r = (struct exit_record){ v->exit_tsc, v->rip, info, raw, class };
}

/*
 * The core counts as outside from here on: before whatever may wait, be it for the log's lock alone. A
 * quick exit (vmx/vmx_quick.c, svm/svm_quick.c) goes back by vcpu_before_entry() then. On its core.
 */
static inline void vcpu_be_outside(struct vcpu *v)
{
	__atomic_store_n(&v->cpu->in_guest, 0, __ATOMIC_RELEASE);
}

/* The first thing after an exit that is not quick. */
static inline void vcpu_exit_begin(struct vcpu *v, enum exit_class class, uint32_t raw,
				   uint64_t info)
{
	vcpu_be_outside(v);
	vcpu_exit_record(v, class, raw, info);
}

static inline void vcpu_exit_end(struct vcpu *v, enum exit_class class)
{
	/* Second-level faults turn out to be device accesses: core/mmio.c says so in the record. */
	if (class == EXIT_TDP)
		class = vcpu_record(v, 1)->class;
	v->stats[class].cycles += rdtsc() - v->exit_tsc;
}

/* The same for an exit that never takes as long as a second. */
static inline void vcpu_exit_end_soon(struct vcpu *v, enum exit_class class)
{
	v->stats[class].cycles += rdtsc32() - (uint32_t)v->exit_tsc;
}

/* CPUID by the list in core/cpuid.c; reads RAX, RCX and writes RAX-RDX. The caller skips. */
void vcpu_cpuid_slowly(struct vcpu *v);

static inline void vcpu_cpuid(struct vcpu *v)
{
	const struct cpuid_regs *r =
		cpuid_row(&v->cpuid, (uint32_t)v->gpr[GPR_RAX], (uint32_t)v->gpr[GPR_RCX]);

	if (unlikely(!r)) {
		vcpu_cpuid_slowly(v);
		return;
	}
	v->gpr[GPR_RAX] = r->eax;
	v->gpr[GPR_RBX] = r->ebx;
	v->gpr[GPR_RCX] = r->ecx;
	v->gpr[GPR_RDX] = r->edx;
}

/*
 * RDMSR and WRMSR of what the bitmaps trap. OK: done (for a read the value is in RDX:RAX), the
 * caller skips the instruction. Anything else: inject #GP(0).
 */
enum status must_check vcpu_rdmsr(struct vcpu *v);
enum status must_check vcpu_wrmsr(struct vcpu *v);

/* XSETBV: RCX index, RDX:RAX value. OK: loaded into XCR0, skip. Otherwise #GP(0). */
enum status must_check vcpu_xsetbv(struct vcpu *v);

/* VMCALL or VMMCALL: fills registers. OK: skip. Otherwise #UD. */
enum status must_check vcpu_hypercall(struct vcpu *v);

/* A port access. The handler advances RIP itself (hvm->skip_instruction) or injects. */
struct pio_exit {
	uint16_t port;
	uint8_t size; /* bytes: 1, 2, 4 */
	bool in;
	bool string;
	bool rep;
	uint8_t address_size; /* string forms: 2, 4, 8 bytes; 0: the handler decodes it */
	uint8_t segment;      /* string forms: enum segment_index of OUTS; 0xff: decode it */
};
void vcpu_pio(struct vcpu *v, const struct pio_exit *e);

/* The same for one access with AL, AX or EAX; the caller skips. */
void vcpu_in(struct vcpu *v, uint16_t port, uint8_t size);
void vcpu_out(struct vcpu *v, uint16_t port, uint8_t size);

/* A second-level fault: fixed by mm/, emulated as device access, or the guest is stopped. */
struct tdp_exit {
	gpa_t gpa;
	bool read, write, fetch; /* the access that faulted; a read-modify-write sets write */
	bool in_page_walk;       /* while walking the guest's own page tables */
	bool untold;             /* hardware tells none of that (EPT misconfiguration) */
	bool misconfig;          /* EPT misconfiguration or NPT reserved bit */
	bool in_event;    /* while delivering an event: RIP is not the accessing instruction */
	uint8_t insn_len; /* bytes of `insn` that hardware supplied; 0: fetch them */
	uint8_t insn[15];
};
void vcpu_tdp_fault(struct vcpu *v, const struct tdp_exit *e);

/* An NMI that made the guest leave: the console, a kick, or somebody else's (counted, logged). */
void vcpu_host_nmi(struct vcpu *v);

/* The guest cannot go on (triple fault, invalid state, …): stop it, nobody else. `why` is shown. */
void vcpu_die(struct vcpu *v, const char *fmt, ...) printf_like(2, 3);

/* ------------------------------------------------------------------ for core/ */

/* Ask something of a vCPU from any core, and kick its core so that it notices. */
void vcpu_request(struct vcpu *v, uint64_t request);

/* Deliver a fixed edge interrupt to the vCPU's own local APIC, from any core. Vectors 16-255. */
void vcpu_post_vector(struct vcpu *v, uint8_t vector);

/*
 * Guest memory by guest-linear address with the guest's own paging and rights: `len` at most
 * 4096 bytes, may cross a page. On failure a #PF (or #GP) has been injected: return to the guest.
 */
enum status must_check vcpu_read_linear(struct vcpu *v, uint64_t gla, void *buf, size_t len,
					bool fetch);
enum status must_check vcpu_write_linear(struct vcpu *v, uint64_t gla, const void *buf, size_t len);

/*
 * Bytes of the instruction at RIP, 1 to 15, fetched through the guest's own paging: for exits whose
 * instruction's length the hardware does not tell. 0: it cannot be fetched or is no instruction any
 * more, since the guest has changed it; entering again executes what is there now.
 */
uint8_t vcpu_instruction_length(struct vcpu *v);

/*
 * Registers as they are now, from any core: a running vCPU is interrupted for them. ERR_TIMEOUT if
 * its core does not answer within 100 ms, ERR_NOT_FOUND if it never ran.
 */
enum status must_check vcpu_get_snapshot(struct vcpu *v, struct vcpu_snapshot *out);

/*
 * One step of the core's main loop: run the vCPU or change its state. False: there is nothing to
 * do until a request arrives.
 */
bool vcpu_step(struct vcpu *v);

const char *exit_class_name(enum exit_class c);
const char *vcpu_state_name(enum vcpu_state s);

#endif
