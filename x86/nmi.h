/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_NMI_H
#define LAMINA_X86_NMI_H

/*
 * NMIs and the races around them.
 *
 * The host's NMI handler sets cpu->nmi_pending and returns; the work is done before the next VM
 * entry. That leaves a window: an NMI between the last look at nmi_pending and VMLAUNCH, VMRESUME
 * or HLT would be forgotten until the next exit. Code therefore brackets the sequence
 * from that look up to the instruction as a restart region; an NMI that interrupts at an RIP in
 * [start, end) returns to `restart` instead, with all other registers, RSP included, unchanged.
 * The instruction that leaves (HLT, VMRESUME, …) is the last one inside; `end` is the address behind
 * it, so that an NMI that wakes HLT continues behind HLT.
 *
 *	1:	cmpl	$0, CPU_NMI_PENDING(%rdi)
 *		jne	out
 *		hlt
 *	2:	...
 *		NMI_RESTART 1b, 2b, 1b
 */
#ifdef __ASSEMBLER__

/* clang-format off */
.macro NMI_RESTART start, end, restart
	.pushsection .nmi_restart, "a"
	.balign	8
	.quad	\start, \end, \restart
	.popsection
.endm
/* clang-format on */

#else

#include "types.h"
#include "x86/cpu.h"

/* The same for inline assembly: labels as strings, e.g. NMI_RESTART_REGION("1b", "2b", "1b"). */
#define NMI_RESTART_REGION(start, end, restart)     \
	".pushsection .nmi_restart, \"a\"\n\t"      \
	".balign 8\n\t"                             \
	".quad " start ", " end ", " restart "\n\t" \
	".popsection\n\t"

/*
 * Halt until c->nmi_pending is set; returns at once if it is. Leaves nmi_pending alone. RFLAGS.IF
 * stays 0, so only NMI (or SMI, and then it halts again) wakes the core. Under SVM the caller sets
 * GIF first.
 */
void cpu_idle_until_nmi(struct cpu *c);

/*
 * A VMX exit because of an NMI: sets nmi_pending, stops the core if another one panicked, and
 * ends the blocking of NMIs that the exit began (SDM vol. 3, 27.3: only IRET ends it). SVM does not
 * need it: there the NMI stays pending and arrives through the IDT at STGI.
 */
void nmi_exit_from_guest(struct cpu *c);

/* Execute an IRET to the next instruction, for its side effect on NMI blocking. */
void nmi_unblock(void);

#endif
#endif
