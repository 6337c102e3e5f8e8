/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_VMX_VMX_DEFS_H
#define LAMINA_VMX_VMX_DEFS_H

#include "types.h"

/* Control bits, exit reasons and event formats of VMX. Sections are those of the SDM, vol. 3. */

/* Pin-based controls, table 25-5 */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI_EXITING        (1u << 3)
#define PIN_VIRTUAL_NMIS       (1u << 5)
#define PIN_PREEMPTION_TIMER   (1u << 6)
#define PIN_POSTED_INTERRUPTS  (1u << 7)

/* Primary processor-based controls, table 25-6 */
#define PROC_INTERRUPT_WINDOW (1u << 2)
#define PROC_TSC_OFFSETTING   (1u << 3)
#define PROC_HLT_EXITING      (1u << 7)
#define PROC_INVLPG_EXITING   (1u << 9)
#define PROC_MWAIT_EXITING    (1u << 10)
#define PROC_RDPMC_EXITING    (1u << 11)
#define PROC_RDTSC_EXITING    (1u << 12)
#define PROC_CR3_LOAD         (1u << 15)
#define PROC_CR3_STORE        (1u << 16)
#define PROC_CR8_LOAD         (1u << 19)
#define PROC_CR8_STORE        (1u << 20)
#define PROC_TPR_SHADOW       (1u << 21)
#define PROC_NMI_WINDOW       (1u << 22)
#define PROC_MOV_DR           (1u << 23)
#define PROC_IO_EXITING       (1u << 24)
#define PROC_IO_BITMAPS       (1u << 25)
#define PROC_MONITOR_TRAP     (1u << 27)
#define PROC_MSR_BITMAPS      (1u << 28)
#define PROC_MONITOR_EXITING  (1u << 29)
#define PROC_PAUSE_EXITING    (1u << 30)
#define PROC_SECONDARY        (1u << 31)

/* Secondary processor-based controls, table 25-7 */
#define PROC2_EPT                (1u << 1)
#define PROC2_DESCRIPTOR_TABLES  (1u << 2)
#define PROC2_RDTSCP             (1u << 3)
#define PROC2_VPID               (1u << 5)
#define PROC2_WBINVD_EXITING     (1u << 6)
#define PROC2_UNRESTRICTED_GUEST (1u << 7)
#define PROC2_PAUSE_LOOP         (1u << 10)
#define PROC2_INVPCID            (1u << 12)
#define PROC2_ENCLS_EXITING      (1u << 15)
#define PROC2_PML                (1u << 17)
#define PROC2_XSAVES             (1u << 20)
#define PROC2_ENCLV_EXITING      (1u << 28)

/* VM-exit controls, table 25-13 */
#define EXIT_SAVE_DEBUG    (1u << 2)
#define EXIT_HOST_64BIT    (1u << 9)
#define EXIT_ACK_INTERRUPT (1u << 15)
#define EXIT_SAVE_PAT      (1u << 18)
#define EXIT_LOAD_PAT      (1u << 19)
#define EXIT_SAVE_EFER     (1u << 20)
#define EXIT_LOAD_EFER     (1u << 21)
#define EXIT_CLEAR_BNDCFGS (1u << 23)
#define EXIT_LOAD_CET      (1u << 28)

/* VM-entry controls, table 25-16 */
#define ENTRY_LOAD_DEBUG   (1u << 2)
#define ENTRY_IA32E_GUEST  (1u << 9)
#define ENTRY_TO_SMM       (1u << 10)
#define ENTRY_LOAD_PAT     (1u << 14)
#define ENTRY_LOAD_EFER    (1u << 15)
#define ENTRY_LOAD_BNDCFGS (1u << 16)
#define ENTRY_LOAD_CET     (1u << 20)

/* IA32_VMX_BASIC, A.1 */
#define VMX_BASIC_REVISION(v)   ((uint32_t)(v)&0x7fffffffu)
#define VMX_BASIC_SIZE(v)       (((uint32_t)((v) >> 32)) & 0x1fffu)
#define VMX_BASIC_MEM_TYPE(v)   (((uint32_t)((v) >> 50)) & 0xfu)
#define VMX_BASIC_INSN_INFO     BIT(54)
#define VMX_BASIC_TRUE_CONTROLS BIT(55)

/* IA32_VMX_EPT_VPID_CAP, A.10 */
#define EPT_CAP_EXEC_ONLY      BIT(0)
#define EPT_CAP_WALK_4         BIT(6)
#define EPT_CAP_WB             BIT(14)
#define EPT_CAP_2M             BIT(16)
#define EPT_CAP_1G             BIT(17)
#define EPT_CAP_INVEPT         BIT(20)
#define EPT_CAP_AD             BIT(21)
#define EPT_CAP_INVEPT_SINGLE  BIT(25)
#define EPT_CAP_INVEPT_ALL     BIT(26)
#define EPT_CAP_INVVPID        BIT(32)
#define EPT_CAP_INVVPID_SINGLE BIT(41)
#define EPT_CAP_INVVPID_ALL    BIT(42)

#define INVEPT_SINGLE  1
#define INVEPT_ALL     2
#define INVVPID_SINGLE 1
#define INVVPID_ALL    2

/* Exit reasons, appendix C */
#define REASON_EXCEPTION_NMI       0
#define REASON_EXTERNAL_INTERRUPT  1
#define REASON_TRIPLE_FAULT        2
#define REASON_INIT                3
#define REASON_SIPI                4
#define REASON_INTERRUPT_WINDOW    7
#define REASON_NMI_WINDOW          8
#define REASON_TASK_SWITCH         9
#define REASON_CPUID               10
#define REASON_GETSEC              11
#define REASON_INVD                13
#define REASON_RDPMC               15
#define REASON_RSM                 17
#define REASON_VMCALL              18
#define REASON_VMCLEAR             19
#define REASON_VMXON               27
#define REASON_CR_ACCESS           28
#define REASON_IO                  30
#define REASON_RDMSR               31
#define REASON_WRMSR               32
#define REASON_INVALID_GUEST       33
#define REASON_MSR_LOAD            34
#define REASON_MWAIT               36
#define REASON_MONITOR             39
#define REASON_ENTRY_MACHINE_CHECK 41
#define REASON_EPT_VIOLATION       48
#define REASON_EPT_MISCONFIG       49
#define REASON_INVEPT              50
#define REASON_INVVPID             53
#define REASON_WBINVD              54
#define REASON_XSETBV              55
#define REASON_VMFUNC              59
#define REASON_ENCLS               60
#define REASON_PML_FULL            62
#define REASON_PCONFIG             65
#define REASON_ENCLV               70
#define REASON_SEAMCALL            76
#define REASON_TDCALL              77
#define REASON_COUNT               80
#define REASON_ENTRY_FAILED        (1u << 31)
#define REASON_BASIC(r)            ((r)&0xffffu)

/* Interruption information, 25.8.3, 25.9.2, 25.9.3 */
#define EVENT_VALID          (1u << 31)
#define EVENT_HAS_ERROR      (1u << 11)
#define EVENT_UNBLOCKED_NMI  (1u << 12) /* exit information only: NMI unblocking due to IRET */
#define EVENT_VECTOR(e)      ((e)&0xffu)
#define EVENT_TYPE(e)        (((e) >> 8) & 7u)
#define EVENT_TYPE_INTERRUPT 0u
#define EVENT_TYPE_NMI       2u
#define EVENT_TYPE_EXCEPTION 3u
#define EVENT_TYPE_SOFT_INT  4u
#define EVENT_TYPE_PRIV_SOFT 5u /* INT1 */
#define EVENT_TYPE_SOFT_EXC  6u /* INT3, INTO */
#define EVENT(type, vector)  (EVENT_VALID | (type) << 8 | (vector))

/* Guest interruptibility state, table 25-3 */
#define BLOCK_STI    (1u << 0)
#define BLOCK_MOV_SS (1u << 1)
#define BLOCK_SMI    (1u << 2)
#define BLOCK_NMI    (1u << 3)

/* Guest activity state, 25.4.2 */
#define ACTIVITY_ACTIVE    0u
#define ACTIVITY_HLT       1u
#define ACTIVITY_SHUTDOWN  2u
#define ACTIVITY_WAIT_SIPI 3u

/* Pending debug exceptions, table 25-4 */
#define PENDING_DEBUG_BS BIT(14)

/* Access rights in the VMCS: as in struct segment, and bit 16 for a register without segment. */
#define ACCESS_UNUSABLE (1u << 16)

/* EPT violation, table 28-7 */
/* Exit qualification of I/O instructions (table 28-5). */
#define IO_QUAL_SIZE(q) ((uint8_t)(((q)&7) + 1))
#define IO_QUAL_IN      BIT(3)
#define IO_QUAL_STRING  BIT(4)
#define IO_QUAL_REP     BIT(5)
#define IO_QUAL_PORT(q) ((uint16_t)((q) >> 16))

#define EPT_QUAL_READ       BIT(0)
#define EPT_QUAL_WRITE      BIT(1)
#define EPT_QUAL_FETCH      BIT(2)
#define EPT_QUAL_LINEAR     BIT(7) /* the guest-linear address is valid */
#define EPT_QUAL_TRANSLATED BIT(8) /* the access itself, not a walk of the guest's tables */
#define EPT_QUAL_NMI_IRET   BIT(12)

#endif
