/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HYPERCALL_H
#define LAMINA_CORE_HYPERCALL_H

#include "core/io.h"

/*
 * The paravirtual interface: VMware's backdoor, because stock Linux takes the frequencies of TSC
 * and local APIC timer from it on Intel and AMD alike. Called by VMCALL or VMMCALL, as CPUID
 * 40000010h says, or by IN from the port with the magic number in EAX.
 */
#define HYPERCALL_PORT  0x5658
#define HYPERCALL_MAGIC 0x564d5868

extern const struct io_ops hypercall_port_ops;

#endif
