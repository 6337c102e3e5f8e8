/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_VTD_REGS_H
#define LAMINA_DRIVERS_VTD_REGS_H

#include "types.h"

/* VT-d specification: chapter 11 (registers), 9 (tables in memory), 6.5.2 (descriptors). */

/* Registers: offsets in bytes. */
#define VTD_VER     0x00 /* 32 bits */
#define VTD_CAP     0x08
#define VTD_ECAP    0x10
#define VTD_GCMD    0x18 /* 32 */
#define VTD_GSTS    0x1c /* 32 */
#define VTD_RTADDR  0x20
#define VTD_FSTS    0x34 /* 32 */
#define VTD_FECTL   0x38 /* 32 */
#define VTD_FEDATA  0x3c /* 32 */
#define VTD_FEADDR  0x40 /* 32 */
#define VTD_FEUADDR 0x44 /* 32 */
#define VTD_PMEN    0x64 /* 32 */
#define VTD_IQH     0x80
#define VTD_IQT     0x88
#define VTD_IQA     0x90
#define VTD_IRTA    0xb8

#define CAP_DOMAIN_BITS(c) (4 + 2 * ((c)&7)) /* ND; 7 is reserved */
#define CAP_ND_RESERVED    7
#define CAP_RWBF           BIT(4)
#define CAP_PLMR           BIT(5)
#define CAP_PHMR           BIT(6)
#define CAP_CM             BIT(7)
#define CAP_AGAW_39        BIT(9)
#define CAP_AGAW_48        BIT(10)
#define CAP_MGAW(c)        ((((c) >> 16) & 0x3f) + 1)             /* bits */
#define CAP_FRO(c)         (((uint32_t)((c) >> 24) & 0x3ff) * 16) /* bytes */
#define CAP_PAGE_2M        BIT(34)
#define CAP_PAGE_1G        BIT(35)
#define CAP_PSI            BIT(39)
#define CAP_NFR(c)         (((uint32_t)((c) >> 40) & 0xff) + 1)
#define CAP_MAMV(c)        (((c) >> 48) & 0x3f)
#define CAP_DWD            BIT(54)
#define CAP_DRD            BIT(55)

#define ECAP_C       BIT(0)
#define ECAP_QI      BIT(1)
#define ECAP_IR      BIT(3)
#define ECAP_EIM     BIT(4)
#define ECAP_SC      BIT(7)
#define ECAP_MHMV(e) (((e) >> 20) & 0xf)

/* GCMD and GSTS have the same bits. */
#define GCMD_TE       (1u << 31)
#define GCMD_SRTP     (1u << 30)
#define GCMD_EAFL     (1u << 28)
#define GCMD_WBF      (1u << 27)
#define GCMD_QIE      (1u << 26)
#define GCMD_IRE      (1u << 25)
#define GCMD_SIRTP    (1u << 24)
#define GCMD_CFI      (1u << 23)
#define GCMD_ONE_SHOT 0x69000000u /* commands whose status must not be written back */

#define RTADDR_TTM BITS(11, 10) /* translation table mode; 0: legacy */

#define FSTS_PFO    (1u << 0) /* no record was free */
#define FSTS_PPF    (1u << 1) /* some record has a fault */
#define FSTS_IQE    (1u << 4)
#define FSTS_ICE    (1u << 5)
#define FSTS_ITE    (1u << 6)
#define FSTS_CLEAR  0xfdu /* all that are cleared by writing 1 */
#define FSTS_FRI(s) (((s) >> 8) & 0xff)

#define FECTL_IM    (1u << 31)
#define FEDATA_NMI  0x400u
#define MSI_ADDRESS 0xfee00000u
#define MSI_DEST(a) (((a)&0xff) << 12)

/* A fault record: two qwords. */
#define FRCD_SIZE      16
#define FRCD_HI        8
#define FRCD_F_DWORD   12 /* the dword with F ... */
#define FRCD_F         (1u << 31)
#define FRCD_HI_F      BIT(63)
#define FRCD_HI_READ   BIT(62) /* T1; with T2 clear, else an atomic access */
#define FRCD_HI_T2     BIT(28)
#define FRCD_REASON(h) ((uint8_t)((h) >> 32))
#define FRCD_SID(h)    ((uint16_t)(h))
#define FRCD_INDEX(lo) ((lo) >> 48) /* of an interrupt request */

#define PMEN_EPM (1u << 31)
#define PMEN_PRS (1u << 0)

#define IRTA_EIME    BIT(11)
#define IRTA_SIZE(n) ((n)-1) /* of 2^n entries */

/* Root, context and interrupt-remapping entries, and descriptors. */
struct vtd_entry {
	uint64_t lo, hi;
};

#define VTD_ENTRY_P BIT(0)

#define CONTEXT_AW(levels) ((levels)-2ull)
#define CONTEXT_DID(d)     ((uint64_t)(d) << 8)
#define CONTEXT_DID_OF(hi) ((uint16_t)((hi) >> 8))

/* Physical destination, edge, no redirection hint: zeros. */
#define IRTE_NMI        (4ull << 5)
#define IRTE_VECTOR(v)  ((uint64_t)(v) << 16)
#define IRTE_DEST(a)    ((uint64_t)(a) << 32) /* x2APIC ... */
#define IRTE_DEST_8(a)  ((uint64_t)(a) << 40) /* ... and xAPIC */
#define IRTE_VERIFY_SID BIT(18)               /* SVT 1, SQ 0: all 16 bits */

#define DESC_CONTEXT       1ull
#define DESC_IOTLB         2ull
#define DESC_IEC           4ull
#define DESC_WAIT          5ull
#define DESC_GLOBAL        BIT(4)      /* context, IOTLB */
#define DESC_DOMAIN        (2ull << 4) /* IOTLB */
#define DESC_DEVICE        (3ull << 4) /* context */
#define DESC_PAGES         (3ull << 4) /* IOTLB */
#define DESC_DID(d)        ((uint64_t)(d) << 16)
#define DESC_SID(s)        ((uint64_t)(s) << 32)
#define DESC_DW            BIT(6)
#define DESC_DR            BIT(7)
#define DESC_IEC_INDEX     BIT(4)
#define DESC_IEC_MASK(m)   ((uint64_t)(m) << 27)
#define DESC_IEC_FIRST(i)  ((uint64_t)(i) << 32)
#define DESC_WAIT_STATUS   BIT(5)
#define DESC_WAIT_FENCE    BIT(6)
#define DESC_WAIT_VALUE(v) ((uint64_t)(v) << 32)

#endif
