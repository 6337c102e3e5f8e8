/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_CPU_OFFSETS_H
#define LAMINA_X86_CPU_OFFSETS_H

/* Offsets into struct cpu for assembly; the C side checks them. */
#define CPU_SELF             0
#define CPU_INDEX            8
#define CPU_APIC_ID          12
#define CPU_STACK_TOP        16
#define CPU_HOST_RSP_SCRATCH 24
#define CPU_NMI_PENDING      32
#define CPU_ONLINE           36
#define CPU_IN_GUEST         40
#define CPU_VCPU             48
#define CPU_ARCH             56
#define CPU_VENDOR           64

#define CPU_START_STATE 72

/* enum cpu_start_state */
#define CPU_STATE_REQUESTED 1
#define CPU_STATE_CLAIMED   2

#ifndef __ASSEMBLER__

#include "x86/cpu.h"

_Static_assert(offsetof(struct cpu, self) == CPU_SELF, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, index) == CPU_INDEX, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, apic_id) == CPU_APIC_ID, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, stack_top) == CPU_STACK_TOP, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, host_rsp_scratch) == CPU_HOST_RSP_SCRATCH, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, nmi_pending) == CPU_NMI_PENDING, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, online) == CPU_ONLINE, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, in_guest) == CPU_IN_GUEST, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, vcpu) == CPU_VCPU, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, arch) == CPU_ARCH, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, vendor) == CPU_VENDOR, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, start_state) == CPU_START_STATE, "cpu_offsets.h");
_Static_assert(CPU_START_REQUESTED == CPU_STATE_REQUESTED, "cpu_offsets.h");
_Static_assert(CPU_START_CLAIMED == CPU_STATE_CLAIMED, "cpu_offsets.h");

#endif
#endif
