/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_REGS_H
#define LAMINA_X86_REGS_H

/*
 * Bits of the control registers, RFLAGS, debug registers and exception error codes. Plain numbers
 * only, so that assembly can include it. SDM vol. 3, 2.3, 2.5, 4.7, 6.15; APM vol. 2, 3.1 and 8.2.
 */

#define CR0_PE (1 << 0)
#define CR0_MP (1 << 1)
#define CR0_EM (1 << 2)
#define CR0_TS (1 << 3)
#define CR0_ET (1 << 4)
#define CR0_NE (1 << 5)
#define CR0_WP (1 << 16)
#define CR0_AM (1 << 18)
#define CR0_NW (1 << 29)
#define CR0_CD (1 << 30)
#define CR0_PG 0x80000000

#define CR3_PCID_MASK 0xfff
#define CR3_NOFLUSH   (1ull << 63)

#define CR4_VME        (1 << 0)
#define CR4_PVI        (1 << 1)
#define CR4_TSD        (1 << 2)
#define CR4_DE         (1 << 3)
#define CR4_PSE        (1 << 4)
#define CR4_PAE        (1 << 5)
#define CR4_MCE        (1 << 6)
#define CR4_PGE        (1 << 7)
#define CR4_PCE        (1 << 8)
#define CR4_OSFXSR     (1 << 9)
#define CR4_OSXMMEXCPT (1 << 10)
#define CR4_UMIP       (1 << 11)
#define CR4_LA57       (1 << 12)
#define CR4_VMXE       (1 << 13)
#define CR4_SMXE       (1 << 14)
#define CR4_FSGSBASE   (1 << 16)
#define CR4_PCIDE      (1 << 17)
#define CR4_OSXSAVE    (1 << 18)
#define CR4_SMEP       (1 << 20)
#define CR4_SMAP       (1 << 21)
#define CR4_PKE        (1 << 22)
#define CR4_CET        (1 << 23)
#define CR4_PKS        (1 << 24)

#define EFER_SCE   (1 << 0)
#define EFER_LME   (1 << 8)
#define EFER_LMA   (1 << 10)
#define EFER_NXE   (1 << 11)
#define EFER_SVME  (1 << 12)
#define EFER_LMSLE (1 << 13)
#define EFER_FFXSR (1 << 14)
#define EFER_TCE   (1 << 15)

#define RFLAGS_CF       (1 << 0)
#define RFLAGS_RESERVED (1 << 1) /* always one */
#define RFLAGS_PF       (1 << 2)
#define RFLAGS_AF       (1 << 4)
#define RFLAGS_ZF       (1 << 6)
#define RFLAGS_SF       (1 << 7)
#define RFLAGS_TF       (1 << 8)
#define RFLAGS_IF       (1 << 9)
#define RFLAGS_DF       (1 << 10)
#define RFLAGS_OF       (1 << 11)
#define RFLAGS_IOPL     (3 << 12)
#define RFLAGS_NT       (1 << 14)
#define RFLAGS_RF       (1 << 16)
#define RFLAGS_VM       (1 << 17)
#define RFLAGS_AC       (1 << 18)
#define RFLAGS_VIF      (1 << 19)
#define RFLAGS_VIP      (1 << 20)
#define RFLAGS_ID       (1 << 21)

#define DR6_RESET 0xffff0ff0
#define DR7_RESET 0x400

#define XCR0_X87       (1 << 0)
#define XCR0_SSE       (1 << 1)
#define XCR0_AVX       (1 << 2)
#define XCR0_BNDREGS   (1 << 3)
#define XCR0_BNDCSR    (1 << 4)
#define XCR0_OPMASK    (1 << 5)
#define XCR0_ZMM_HI256 (1 << 6)
#define XCR0_HI16_ZMM  (1 << 7)
#define XCR0_PKRU      (1 << 9)
#define XCR0_TILECFG   (1 << 17)
#define XCR0_TILEDATA  (1 << 18)

/* Exception vectors. */
#define VEC_DE         0
#define VEC_DB         1
#define VEC_NMI        2
#define VEC_BP         3
#define VEC_OF         4
#define VEC_BR         5
#define VEC_UD         6
#define VEC_NM         7
#define VEC_DF         8
#define VEC_TS         10
#define VEC_NP         11
#define VEC_SS         12
#define VEC_GP         13
#define VEC_PF         14
#define VEC_MF         16
#define VEC_AC         17
#define VEC_MC         18
#define VEC_XM         19
#define VEC_VE         20
#define VEC_CP         21
#define VEC_HV         28
#define VEC_VC         29
#define VEC_SX         30
#define VEC_EXCEPTIONS 32 /* the first vector that is no exception */

/* Vectors whose delivery pushes an error code: DF TS NP SS GP PF AC CP VC SX. */
#define VEC_ERROR_CODE_MASK 0x60227d00

/* #PF error code. */
#define PF_P    (1 << 0)
#define PF_W    (1 << 1)
#define PF_U    (1 << 2)
#define PF_RSVD (1 << 3)
#define PF_I    (1 << 4)
#define PF_PK   (1 << 5)
#define PF_SS   (1 << 6)
#define PF_SGX  (1 << 15)

#define SX_ERR_INIT 1 /* #SX error code: a redirected INIT */

/* Selector error code (#TS, #NP, #SS, #GP). */
#define SEL_ERR_EXT   (1 << 0)
#define SEL_ERR_IDT   (1 << 1)
#define SEL_ERR_TI    (1 << 2)
#define SEL_ERR_INDEX 0xfff8

#endif
