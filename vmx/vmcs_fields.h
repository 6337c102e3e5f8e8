/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_VMX_VMCS_FIELDS_H
#define LAMINA_VMX_VMCS_FIELDS_H

/*
 * Encodings of the VMCS fields that Lamina uses (SDM vol. 3, appendix B), and the only ways to
 * reach them. Bits 14:13 of an encoding are the field's width; each accessor names a width and
 * does not compile for a field of another one.
 */

/* 16-bit control, guest and host */
#define VMCS_VPID           0x0000
#define VMCS_GUEST_ES_SEL   0x0800
#define VMCS_GUEST_CS_SEL   0x0802
#define VMCS_GUEST_LDTR_SEL 0x080c
#define VMCS_GUEST_TR_SEL   0x080e
#define VMCS_PML_INDEX      0x0812
#define VMCS_HOST_ES_SEL    0x0c00
#define VMCS_HOST_CS_SEL    0x0c02
#define VMCS_HOST_SS_SEL    0x0c04
#define VMCS_HOST_DS_SEL    0x0c06
#define VMCS_HOST_FS_SEL    0x0c08
#define VMCS_HOST_GS_SEL    0x0c0a
#define VMCS_HOST_TR_SEL    0x0c0c

/* 64-bit control, read-only, guest and host */
#define VMCS_MSR_BITMAP     0x2004
#define VMCS_PML_ADDRESS    0x200e
#define VMCS_EPTP           0x201a
#define VMCS_XSS_EXITING    0x202c
#define VMCS_ENCLS_EXITING  0x202e
#define VMCS_ENCLV_EXITING  0x2036
#define VMCS_GUEST_PHYSICAL 0x2400
#define VMCS_LINK_POINTER   0x2800
#define VMCS_GUEST_DEBUGCTL 0x2802
#define VMCS_GUEST_PAT      0x2804
#define VMCS_GUEST_EFER     0x2806
#define VMCS_GUEST_PDPTE0   0x280a
#define VMCS_GUEST_BNDCFGS  0x2812
#define VMCS_HOST_PAT       0x2c00
#define VMCS_HOST_EFER      0x2c02

/* 32-bit control */
#define VMCS_PIN_CONTROLS      0x4000
#define VMCS_PROC_CONTROLS     0x4002
#define VMCS_EXCEPTION_BITMAP  0x4004
#define VMCS_PF_ERROR_MASK     0x4006
#define VMCS_PF_ERROR_MATCH    0x4008
#define VMCS_CR3_TARGET_COUNT  0x400a
#define VMCS_EXIT_CONTROLS     0x400c
#define VMCS_EXIT_MSR_STORES   0x400e
#define VMCS_EXIT_MSR_LOADS    0x4010
#define VMCS_ENTRY_CONTROLS    0x4012
#define VMCS_ENTRY_MSR_LOADS   0x4014
#define VMCS_ENTRY_EVENT       0x4016
#define VMCS_ENTRY_EVENT_ERROR 0x4018
#define VMCS_ENTRY_INSN_LENGTH 0x401a
#define VMCS_PROC2_CONTROLS    0x401e

/* 32-bit read-only */
#define VMCS_INSN_ERROR       0x4400
#define VMCS_EXIT_REASON      0x4402
#define VMCS_EXIT_EVENT       0x4404
#define VMCS_EXIT_EVENT_ERROR 0x4406
#define VMCS_VECTORING_EVENT  0x4408
#define VMCS_VECTORING_ERROR  0x440a
#define VMCS_EXIT_INSN_LENGTH 0x440c
#define VMCS_EXIT_INSN_INFO   0x440e

/* 32-bit guest and host */
#define VMCS_GUEST_ES_LIMIT         0x4800
#define VMCS_GUEST_GDTR_LIMIT       0x4810
#define VMCS_GUEST_IDTR_LIMIT       0x4812
#define VMCS_GUEST_ES_ACCESS        0x4814
#define VMCS_GUEST_CS_ACCESS        0x4816
#define VMCS_GUEST_SS_ACCESS        0x4818
#define VMCS_GUEST_INTERRUPTIBILITY 0x4824
#define VMCS_GUEST_ACTIVITY         0x4826
#define VMCS_GUEST_SYSENTER_CS      0x482a
#define VMCS_HOST_SYSENTER_CS       0x4c00

/* Natural width control and read-only */
#define VMCS_CR0_MASK           0x6000
#define VMCS_CR4_MASK           0x6002
#define VMCS_CR0_SHADOW         0x6004
#define VMCS_CR4_SHADOW         0x6006
#define VMCS_EXIT_QUALIFICATION 0x6400
#define VMCS_GUEST_LINEAR       0x640a

/* Natural width guest and host */
#define VMCS_GUEST_CR0           0x6800
#define VMCS_GUEST_CR3           0x6802
#define VMCS_GUEST_CR4           0x6804
#define VMCS_GUEST_ES_BASE       0x6806
#define VMCS_GUEST_FS_BASE       0x680e
#define VMCS_GUEST_GS_BASE       0x6810
#define VMCS_GUEST_GDTR_BASE     0x6816
#define VMCS_GUEST_IDTR_BASE     0x6818
#define VMCS_GUEST_DR7           0x681a
#define VMCS_GUEST_RSP           0x681c
#define VMCS_GUEST_RIP           0x681e
#define VMCS_GUEST_RFLAGS        0x6820
#define VMCS_GUEST_PENDING_DEBUG 0x6822
#define VMCS_GUEST_SYSENTER_ESP  0x6824
#define VMCS_GUEST_SYSENTER_EIP  0x6826
#define VMCS_GUEST_S_CET         0x6828
#define VMCS_GUEST_SSP           0x682a
#define VMCS_GUEST_INT_SSP_TABLE 0x682c
#define VMCS_HOST_CR0            0x6c00
#define VMCS_HOST_CR3            0x6c02
#define VMCS_HOST_CR4            0x6c04
#define VMCS_HOST_FS_BASE        0x6c06
#define VMCS_HOST_GS_BASE        0x6c08
#define VMCS_HOST_TR_BASE        0x6c0a
#define VMCS_HOST_GDTR_BASE      0x6c0c
#define VMCS_HOST_IDTR_BASE      0x6c0e
#define VMCS_HOST_SYSENTER_ESP   0x6c10
#define VMCS_HOST_SYSENTER_EIP   0x6c12
#define VMCS_HOST_RSP            0x6c14
#define VMCS_HOST_RIP            0x6c16
#define VMCS_HOST_S_CET          0x6c18
#define VMCS_HOST_SSP            0x6c1a
#define VMCS_HOST_INT_SSP_TABLE  0x6c1c

#ifndef __ASSEMBLER__

#include "types.h"

#define VMCS_WIDTH(field) (((field) >> 13) & 3)
#define VMCS_WIDTH_16     0
#define VMCS_WIDTH_64     1
#define VMCS_WIDTH_32     2
#define VMCS_WIDTH_NAT    3

/* A VMWRITE that the CPU refuses is our own mistake: panics with the VM-instruction error. */
noreturn void vmcs_write_failed(uint32_t field, uint64_t value);

static inline uint64_t vmcs_read_raw(uint64_t field)
{
	uint64_t v;

	__asm__ volatile("vmread %1, %0" : "=r"(v) : "r"(field) : "cc");
	return v;
}

static inline void vmcs_write_raw(uint64_t field, uint64_t v)
{
	__asm__ goto("vmwrite %1, %0; jbe %l[failed]"
		     :
		     : "r"(field), "r"(v)
		     : "cc", "memory"
		     : failed);
	return;
failed:
	vmcs_write_failed((uint32_t)field, v);
}

#define VMCS_CHECK(field, width)                                \
	_Static_assert(VMCS_WIDTH(field) == VMCS_WIDTH_##width, \
		       #field " is not " #width " bits wide")

#define VMCS_READ(field, width, type)        \
	({                                   \
		VMCS_CHECK(field, width);    \
		(type) vmcs_read_raw(field); \
	})

#define VMCS_WRITE(field, width, v)       \
	({                                \
		VMCS_CHECK(field, width); \
		vmcs_write_raw(field, v); \
	})

#define vmcs_read16(field)       VMCS_READ(field, 16, uint16_t)
#define vmcs_read32(field)       VMCS_READ(field, 32, uint32_t)
#define vmcs_read64(field)       VMCS_READ(field, 64, uint64_t)
#define vmcs_read_nat(field)     VMCS_READ(field, NAT, uint64_t)
#define vmcs_write16(field, v)   VMCS_WRITE(field, 16, (uint16_t)(v))
#define vmcs_write32(field, v)   VMCS_WRITE(field, 32, (uint32_t)(v))
#define vmcs_write64(field, v)   VMCS_WRITE(field, 64, (uint64_t)(v))
#define vmcs_write_nat(field, v) VMCS_WRITE(field, NAT, (uint64_t)(v))

/* Fields that come as an array, two encodings apart: segments, PDPTEs. `i` counts elements. */
#define VMCS_READ_AT(field, i, width, type)                        \
	({                                                         \
		VMCS_CHECK(field, width);                          \
		(type) vmcs_read_raw((field) + 2 * (uint64_t)(i)); \
	})

#define VMCS_WRITE_AT(field, i, width, v)                       \
	({                                                      \
		VMCS_CHECK(field, width);                       \
		vmcs_write_raw((field) + 2 * (uint64_t)(i), v); \
	})

#define vmcs_read16_at(field, i)       VMCS_READ_AT(field, i, 16, uint16_t)
#define vmcs_read32_at(field, i)       VMCS_READ_AT(field, i, 32, uint32_t)
#define vmcs_read64_at(field, i)       VMCS_READ_AT(field, i, 64, uint64_t)
#define vmcs_read_nat_at(field, i)     VMCS_READ_AT(field, i, NAT, uint64_t)
#define vmcs_write16_at(field, i, v)   VMCS_WRITE_AT(field, i, 16, (uint16_t)(v))
#define vmcs_write32_at(field, i, v)   VMCS_WRITE_AT(field, i, 32, (uint32_t)(v))
#define vmcs_write64_at(field, i, v)   VMCS_WRITE_AT(field, i, 64, (uint64_t)(v))
#define vmcs_write_nat_at(field, i, v) VMCS_WRITE_AT(field, i, NAT, (uint64_t)(v))

#endif
#endif
