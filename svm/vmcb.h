/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_SVM_VMCB_H
#define LAMINA_SVM_VMCB_H

#include "types.h"

/*
 * The virtual machine control block: APM vol. 2, appendix B. The first 1 KiB controls the guest,
 * the state save area follows. Of the latter, the processor reads and writes only what an
 * unencrypted guest has; fields that exist for SEV-ES alone are reserved here.
 */

/* Offset 000h: low half reads of CR0-CR15, high half writes; 004h: the same for DR0-DR15. */
#define INTERCEPT_CR_READ(n)  BIT(n)
#define INTERCEPT_CR_WRITE(n) BIT(16 + (n))

/* Offset 00Ch */
#define INTERCEPT_INTR          BIT(0)
#define INTERCEPT_NMI           BIT(1)
#define INTERCEPT_SMI           BIT(2)
#define INTERCEPT_INIT          BIT(3)
#define INTERCEPT_VINTR         BIT(4)
#define INTERCEPT_CR0_SELECTIVE BIT(5)
#define INTERCEPT_READ_IDTR     BIT(6)
#define INTERCEPT_READ_GDTR     BIT(7)
#define INTERCEPT_READ_LDTR     BIT(8)
#define INTERCEPT_READ_TR       BIT(9)
#define INTERCEPT_WRITE_IDTR    BIT(10)
#define INTERCEPT_WRITE_GDTR    BIT(11)
#define INTERCEPT_WRITE_LDTR    BIT(12)
#define INTERCEPT_WRITE_TR      BIT(13)
#define INTERCEPT_RDTSC         BIT(14)
#define INTERCEPT_RDPMC         BIT(15)
#define INTERCEPT_PUSHF         BIT(16)
#define INTERCEPT_POPF          BIT(17)
#define INTERCEPT_CPUID         BIT(18)
#define INTERCEPT_RSM           BIT(19)
#define INTERCEPT_IRET          BIT(20)
#define INTERCEPT_INTN          BIT(21)
#define INTERCEPT_INVD          BIT(22)
#define INTERCEPT_PAUSE         BIT(23)
#define INTERCEPT_HLT           BIT(24)
#define INTERCEPT_INVLPG        BIT(25)
#define INTERCEPT_INVLPGA       BIT(26)
#define INTERCEPT_IOIO          BIT(27)
#define INTERCEPT_MSR           BIT(28)
#define INTERCEPT_TASK_SWITCH   BIT(29)
#define INTERCEPT_FERR_FREEZE   BIT(30)
#define INTERCEPT_SHUTDOWN      BIT(31)

/* Offset 010h */
#define INTERCEPT_VMRUN      BIT(0) /* must be set: APM 15.5.1 */
#define INTERCEPT_VMMCALL    BIT(1)
#define INTERCEPT_VMLOAD     BIT(2)
#define INTERCEPT_VMSAVE     BIT(3)
#define INTERCEPT_STGI       BIT(4)
#define INTERCEPT_CLGI       BIT(5)
#define INTERCEPT_SKINIT     BIT(6)
#define INTERCEPT_RDTSCP     BIT(7)
#define INTERCEPT_ICEBP      BIT(8)
#define INTERCEPT_WBINVD     BIT(9) /* WBNOINVD as well */
#define INTERCEPT_MONITOR    BIT(10)
#define INTERCEPT_MWAIT      BIT(11)
#define INTERCEPT_MWAIT_COND BIT(12)
#define INTERCEPT_XSETBV     BIT(13)
#define INTERCEPT_RDPRU      BIT(14)
#define INTERCEPT_EFER_TRAP  BIT(15) /* bits 16-31: after writes of CR0-CR15 */

/* Offset 014h */
#define INTERCEPT_INVLPGB         BIT(0)
#define INTERCEPT_INVLPGB_ILLEGAL BIT(1)
#define INTERCEPT_INVPCID         BIT(2)
#define INTERCEPT_MCOMMIT         BIT(3)
#define INTERCEPT_TLBSYNC         BIT(4)
#define INTERCEPT_BUSLOCK         BIT(5)
#define INTERCEPT_IDLE_HLT        BIT(6)

/* Offset 05Ch; 3 and 7 only with flush-by-ASID. APM 15.16.1. */
#define TLB_CONTROL_NOTHING   0
#define TLB_CONTROL_FLUSH_ALL 1 /* every ASID, the host's included */
#define TLB_CONTROL_FLUSH     3 /* this guest's */

/* Offset 060h: virtual interrupts. APM 15.21. */
#define INT_CTL_V_TPR        BITS(7, 0)
#define INT_CTL_V_IRQ        BIT(8)
#define INT_CTL_VGIF         BIT(9)
#define INT_CTL_V_NMI        BIT(11) /* pending */
#define INT_CTL_V_NMI_MASK   BIT(12) /* blocked until IRET */
#define INT_CTL_V_PRIO_SHIFT 16
#define INT_CTL_V_IGN_TPR    BIT(20)
#define INT_CTL_V_MASKING    BIT(24)
#define INT_CTL_VGIF_ENABLE  BIT(25)
#define INT_CTL_V_NMI_ENABLE BIT(26)
#define INT_CTL_X2AVIC       BIT(30)
#define INT_CTL_AVIC         BIT(31)

#define INT_CTL_V_VECTOR_SHIFT 32
#define INT_CTL_V_VECTOR       BITS(39, 32)

/* Offset 068h */
#define INT_STATE_SHADOW BIT(0) /* one instruction after STI, MOV SS, POP SS */

/* EXITINTINFO (088h) and EVENTINJ (0A8h): APM 15.7.2 and 15.20. */
#define EVENT_VECTOR     BITS(7, 0)
#define EVENT_TYPE_SHIFT 8
#define EVENT_TYPE       BITS(10, 8)
#define EVENT_TYPE_INTR  (0ull << EVENT_TYPE_SHIFT)
#define EVENT_TYPE_NMI   (2ull << EVENT_TYPE_SHIFT)
#define EVENT_TYPE_EXC   (3ull << EVENT_TYPE_SHIFT)
#define EVENT_TYPE_SOFT  (4ull << EVENT_TYPE_SHIFT)
#define EVENT_ERROR      BIT(11) /* an error code in the high half is valid */
#define EVENT_VALID      BIT(31)
#define EVENT_ERR_SHIFT  32

/* Offset 090h */
#define NESTED_NP_ENABLE      BIT(0)
#define NESTED_SEV            BIT(1)
#define NESTED_SEV_ES         BIT(2)
#define NESTED_GMET           BIT(3)
#define NESTED_SSS_CHECK      BIT(4)
#define NESTED_VTE            BIT(5)
#define NESTED_RO_GPT         BIT(6)
#define NESTED_INVLPGB_ENABLE BIT(7)

/* Offset 0B8h */
#define VIRT_EXT_LBR         BIT(0)
#define VIRT_EXT_VMSAVE_LOAD BIT(1)

/* Offset 0C0h: a set bit says that the group is as it was at this core's last exit. APM 15.15. */
#define CLEAN_INTERCEPTS BIT(0) /* intercept words, TSC offset, pause filter */
#define CLEAN_MAPS       BIT(1) /* IOPM and MSRPM, bases and contents */
#define CLEAN_ASID       BIT(2)
#define CLEAN_INT_CTL    BIT(3)
#define CLEAN_NP         BIT(4) /* nCR3, G_PAT */
#define CLEAN_CR         BIT(5) /* CR0, CR3, CR4, EFER */
#define CLEAN_DR         BIT(6) /* DR6, DR7 */
#define CLEAN_DT         BIT(7) /* GDT, IDT */
#define CLEAN_SEG        BIT(8) /* CS, DS, SS, ES, CPL */
#define CLEAN_CR2        BIT(9)
#define CLEAN_LBR        BIT(10)
#define CLEAN_CET        BIT(12)
#define CLEAN_ALL        (BITS(10, 0) | CLEAN_CET)

/* EXITCODE: APM appendix C. Compare 32 bits: some implementations leave the high half alone. */
enum svm_exit {
	SVM_EXIT_CR0_READ = 0x00, /* to 0Fh */
	SVM_EXIT_CR0_WRITE = 0x10,
	SVM_EXIT_DR0_READ = 0x20,
	SVM_EXIT_DR0_WRITE = 0x30,
	SVM_EXIT_EXCEPTION = 0x40, /* plus the vector, to 5Fh */
	SVM_EXIT_INTR = 0x60,
	SVM_EXIT_NMI = 0x61,
	SVM_EXIT_SMI = 0x62,
	SVM_EXIT_INIT = 0x63,
	SVM_EXIT_VINTR = 0x64,
	SVM_EXIT_CR0_SELECTIVE = 0x65,
	SVM_EXIT_IDTR_READ = 0x66,
	SVM_EXIT_GDTR_READ = 0x67,
	SVM_EXIT_LDTR_READ = 0x68,
	SVM_EXIT_TR_READ = 0x69,
	SVM_EXIT_IDTR_WRITE = 0x6a,
	SVM_EXIT_GDTR_WRITE = 0x6b,
	SVM_EXIT_LDTR_WRITE = 0x6c,
	SVM_EXIT_TR_WRITE = 0x6d,
	SVM_EXIT_RDTSC = 0x6e,
	SVM_EXIT_RDPMC = 0x6f,
	SVM_EXIT_PUSHF = 0x70,
	SVM_EXIT_POPF = 0x71,
	SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_RSM = 0x73,
	SVM_EXIT_IRET = 0x74,
	SVM_EXIT_INTN = 0x75,
	SVM_EXIT_INVD = 0x76,
	SVM_EXIT_PAUSE = 0x77,
	SVM_EXIT_HLT = 0x78,
	SVM_EXIT_INVLPG = 0x79,
	SVM_EXIT_INVLPGA = 0x7a,
	SVM_EXIT_IOIO = 0x7b,
	SVM_EXIT_MSR = 0x7c,
	SVM_EXIT_TASK_SWITCH = 0x7d,
	SVM_EXIT_FERR_FREEZE = 0x7e,
	SVM_EXIT_SHUTDOWN = 0x7f,
	SVM_EXIT_VMRUN = 0x80,
	SVM_EXIT_VMMCALL = 0x81,
	SVM_EXIT_VMLOAD = 0x82,
	SVM_EXIT_VMSAVE = 0x83,
	SVM_EXIT_STGI = 0x84,
	SVM_EXIT_CLGI = 0x85,
	SVM_EXIT_SKINIT = 0x86,
	SVM_EXIT_RDTSCP = 0x87,
	SVM_EXIT_ICEBP = 0x88,
	SVM_EXIT_WBINVD = 0x89,
	SVM_EXIT_MONITOR = 0x8a,
	SVM_EXIT_MWAIT = 0x8b,
	SVM_EXIT_MWAIT_COND = 0x8c,
	SVM_EXIT_XSETBV = 0x8d,
	SVM_EXIT_RDPRU = 0x8e,
	SVM_EXIT_EFER_TRAP = 0x8f,
	SVM_EXIT_CR0_TRAP = 0x90, /* to 9Fh */
	SVM_EXIT_INVLPGB = 0xa0,
	SVM_EXIT_INVLPGB_ILLEGAL = 0xa1,
	SVM_EXIT_INVPCID = 0xa2,
	SVM_EXIT_MCOMMIT = 0xa3,
	SVM_EXIT_TLBSYNC = 0xa4,
	SVM_EXIT_BUSLOCK = 0xa5,
	SVM_EXIT_IDLE_HLT = 0xa6,
	SVM_EXIT_NPF = 0x400,
	SVM_EXIT_AVIC_INCOMPLETE_IPI = 0x401,
	SVM_EXIT_AVIC_NOACCEL = 0x402,
	SVM_EXIT_VMGEXIT = 0x403,
};

#define SVM_EXIT_INVALID 0xffffffffu
#define SVM_EXIT_BUSY    0xfffffffeu

/* EXITINFO1 of IOIO: APM 15.10.2. Segment and address size only with decode assists. */
#define IOIO_IN            BIT(0)
#define IOIO_STRING        BIT(2)
#define IOIO_REP           BIT(3)
#define IOIO_SIZE_SHIFT    4 /* one-hot in bytes: 1, 2, 4 */
#define IOIO_ADDRESS_SHIFT 7 /* one-hot: 16, 32, 64 bits */
#define IOIO_SEGMENT_SHIFT 10
#define IOIO_PORT_SHIFT    16

/* EXITINFO1 of NPF: the #PF error code, and APM 15.25.6. */
#define NPF_P     BIT(0)
#define NPF_W     BIT(1)
#define NPF_U     BIT(2)
#define NPF_RSVD  BIT(3)
#define NPF_FETCH BIT(4)
#define NPF_FINAL BIT(32) /* on the final guest-physical address */
#define NPF_WALK  BIT(33) /* on a guest page table */

struct vmcb_segment {
	uint16_t selector;
	uint16_t attrib; /* descriptor bits 40-47 and 52-55 */
	uint32_t limit;  /* bytes, expanded */
	uint64_t base;
};

struct vmcb_control {
	uint32_t intercept_cr;
	uint32_t intercept_dr;
	uint32_t intercept_exceptions;
	uint32_t intercept[3];
	uint8_t reserved_018[0x24];
	uint16_t pause_threshold;
	uint16_t pause_count;
	uint64_t iopm_base;
	uint64_t msrpm_base;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved_05d[3];
	uint64_t int_ctl;
	uint64_t int_state;
	uint64_t exit_code;
	uint64_t exit_info1;
	uint64_t exit_info2;
	uint64_t exit_int_info;
	uint64_t nested_ctl;
	uint64_t avic_bar;
	uint64_t ghcb;
	uint64_t event_inj;
	uint64_t ncr3;
	uint64_t virt_ext;
	uint32_t clean;
	uint32_t reserved_0c4;
	uint64_t next_rip;
	uint8_t insn_len;
	uint8_t insn[15];
	uint64_t avic_backing_page;
	uint8_t reserved_0e8[8];
	uint64_t avic_logical_table;
	uint64_t avic_physical_table;
	uint8_t reserved_100[8];
	uint64_t vmsa;
	uint64_t vmgexit_rax;
	uint8_t vmgexit_cpl;
	uint8_t reserved_119[7];
	uint16_t buslock_threshold;
	uint8_t reserved_122[0x3e0 - 0x122];
	uint8_t software[0x20]; /* left to software */
};

struct vmcb_save {
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_0a0[0x2b];
	uint8_t cpl;
	uint8_t reserved_0cc[4];
	uint64_t efer;
	uint8_t reserved_0d8[8];
	uint64_t perf[12]; /* PERF_CTL0, PERF_CTR0, ... with PMC virtualization */
	uint8_t reserved_140[8];
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint8_t reserved_180[0x40];
	uint64_t instr_retired;
	uint64_t perf_global_status;
	uint64_t perf_global_ctl;
	uint64_t rsp;
	uint64_t s_cet;
	uint64_t ssp;
	uint64_t isst_addr;
	uint64_t rax;
	uint64_t star;
	uint64_t lstar;
	uint64_t cstar;
	uint64_t sfmask;
	uint64_t kernel_gs_base;
	uint64_t sysenter_cs;
	uint64_t sysenter_esp;
	uint64_t sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_248[0x20];
	uint64_t g_pat;
	uint64_t debugctl;
	uint64_t br_from;
	uint64_t br_to;
	uint64_t last_int_from;
	uint64_t last_int_to;
	uint64_t debugextctl;
	uint8_t reserved_2a0[0x40];
	uint64_t spec_ctrl; /* with virtual SPEC_CTRL */
	uint8_t reserved_2e8[0xc00 - 0x2e8];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

#define VMCB_OFFSET(field, offset) \
	_Static_assert(offsetof(struct vmcb, field) == (offset), "VMCB: APM vol. 2, appendix B")

VMCB_OFFSET(control.intercept_cr, 0x000);
VMCB_OFFSET(control.intercept_dr, 0x004);
VMCB_OFFSET(control.intercept_exceptions, 0x008);
VMCB_OFFSET(control.intercept, 0x00c);
VMCB_OFFSET(control.pause_threshold, 0x03c);
VMCB_OFFSET(control.pause_count, 0x03e);
VMCB_OFFSET(control.iopm_base, 0x040);
VMCB_OFFSET(control.msrpm_base, 0x048);
VMCB_OFFSET(control.tsc_offset, 0x050);
VMCB_OFFSET(control.asid, 0x058);
VMCB_OFFSET(control.tlb_control, 0x05c);
VMCB_OFFSET(control.int_ctl, 0x060);
VMCB_OFFSET(control.int_state, 0x068);
VMCB_OFFSET(control.exit_code, 0x070);
VMCB_OFFSET(control.exit_info1, 0x078);
VMCB_OFFSET(control.exit_info2, 0x080);
VMCB_OFFSET(control.exit_int_info, 0x088);
VMCB_OFFSET(control.nested_ctl, 0x090);
VMCB_OFFSET(control.avic_bar, 0x098);
VMCB_OFFSET(control.ghcb, 0x0a0);
VMCB_OFFSET(control.event_inj, 0x0a8);
VMCB_OFFSET(control.ncr3, 0x0b0);
VMCB_OFFSET(control.virt_ext, 0x0b8);
VMCB_OFFSET(control.clean, 0x0c0);
VMCB_OFFSET(control.next_rip, 0x0c8);
VMCB_OFFSET(control.insn_len, 0x0d0);
VMCB_OFFSET(control.insn, 0x0d1);
VMCB_OFFSET(control.avic_backing_page, 0x0e0);
VMCB_OFFSET(control.avic_logical_table, 0x0f0);
VMCB_OFFSET(control.avic_physical_table, 0x0f8);
VMCB_OFFSET(control.vmsa, 0x108);
VMCB_OFFSET(control.vmgexit_rax, 0x110);
VMCB_OFFSET(control.vmgexit_cpl, 0x118);
VMCB_OFFSET(control.buslock_threshold, 0x120);
VMCB_OFFSET(control.software, 0x3e0);
VMCB_OFFSET(save.es, 0x400);
VMCB_OFFSET(save.cs, 0x410);
VMCB_OFFSET(save.ss, 0x420);
VMCB_OFFSET(save.ds, 0x430);
VMCB_OFFSET(save.fs, 0x440);
VMCB_OFFSET(save.gs, 0x450);
VMCB_OFFSET(save.gdtr, 0x460);
VMCB_OFFSET(save.ldtr, 0x470);
VMCB_OFFSET(save.idtr, 0x480);
VMCB_OFFSET(save.tr, 0x490);
VMCB_OFFSET(save.cpl, 0x4cb);
VMCB_OFFSET(save.efer, 0x4d0);
VMCB_OFFSET(save.perf, 0x4e0);
VMCB_OFFSET(save.cr4, 0x548);
VMCB_OFFSET(save.cr3, 0x550);
VMCB_OFFSET(save.cr0, 0x558);
VMCB_OFFSET(save.dr7, 0x560);
VMCB_OFFSET(save.dr6, 0x568);
VMCB_OFFSET(save.rflags, 0x570);
VMCB_OFFSET(save.rip, 0x578);
VMCB_OFFSET(save.instr_retired, 0x5c0);
VMCB_OFFSET(save.rsp, 0x5d8);
VMCB_OFFSET(save.s_cet, 0x5e0);
VMCB_OFFSET(save.ssp, 0x5e8);
VMCB_OFFSET(save.isst_addr, 0x5f0);
VMCB_OFFSET(save.rax, 0x5f8);
VMCB_OFFSET(save.star, 0x600);
VMCB_OFFSET(save.lstar, 0x608);
VMCB_OFFSET(save.cstar, 0x610);
VMCB_OFFSET(save.sfmask, 0x618);
VMCB_OFFSET(save.kernel_gs_base, 0x620);
VMCB_OFFSET(save.sysenter_cs, 0x628);
VMCB_OFFSET(save.sysenter_esp, 0x630);
VMCB_OFFSET(save.sysenter_eip, 0x638);
VMCB_OFFSET(save.cr2, 0x640);
VMCB_OFFSET(save.g_pat, 0x668);
VMCB_OFFSET(save.debugctl, 0x670);
VMCB_OFFSET(save.br_from, 0x678);
VMCB_OFFSET(save.br_to, 0x680);
VMCB_OFFSET(save.last_int_from, 0x688);
VMCB_OFFSET(save.last_int_to, 0x690);
VMCB_OFFSET(save.debugextctl, 0x698);
VMCB_OFFSET(save.spec_ctrl, 0x6e0);
_Static_assert(sizeof(struct vmcb_segment) == 16, "VMCB: APM vol. 2, table B-2");
_Static_assert(sizeof(struct vmcb_control) == 0x400, "VMCB: APM vol. 2, table B-1");
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB: one page");

#endif
