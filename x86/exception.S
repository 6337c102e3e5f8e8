/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/cpu_offsets.h"
#include "x86/nmi.h"
#include "x86/regs.h"
#include "x86/segment.h"

/* Entry points of exceptions and NMIs. struct trap_frame in exception.h mirrors the pushes. */

	.text
	.code64

/*
 * One stub per exception vector, and a last one for everything above: interrupts are only let in
 * while lapic_reset_to_power_on() throws them away. 16 bytes each; idt_init() computes addresses.
 */
	.balign	16
	.globl	exception_stubs
exception_stubs:
	.set	vector, 0
	.rept	VEC_EXCEPTIONS + 1
	.balign	16
	.if	vector == VEC_EXCEPTIONS || !((VEC_ERROR_CODE_MASK >> vector) & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	exception_common
	.set	vector, vector + 1
	.endr

	.balign	16
exception_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	call	exception_handle
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp	/* vector and error code */
	iretq

/*
 * NMI, on its own stack. The core comes from the top of the stack (segment.h), so GS may be
 * anything. Sets the flag, moves RIP if it was in a restart region, and nothing else: whatever
 * was interrupted may hold any lock.
 */
	.balign	16
	.globl	nmi_entry
	.type	nmi_entry, @function
nmi_entry:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	cmpl	$0, panic_active(%rip)
	jne	4f
	movq	64(%rsp), %rax		/* 3 registers, 5 words of hardware frame */
	movl	$1, CPU_NMI_PENDING(%rax)
	movq	24(%rsp), %rax		/* RIP */
	leaq	__nmi_restart_start(%rip), %rcx
	leaq	__nmi_restart_end(%rip), %rdx
1:	cmpq	%rdx, %rcx
	jae	3f
	cmpq	(%rcx), %rax
	jb	2f
	cmpq	8(%rcx), %rax
	jae	2f
	movq	16(%rcx), %rax
	movq	%rax, 24(%rsp)
	jmp	3f
2:	addq	$24, %rcx
	jmp	1b
3:	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq
4:	popq	%rdx
	popq	%rcx
	popq	%rax
	pushq	$0
	pushq	$VEC_NMI
	jmp	exception_common
	.size	nmi_entry, . - nmi_entry

/* void cpu_idle_until_nmi(struct cpu *c) */
	.balign	16
	.globl	cpu_idle_until_nmi
	.type	cpu_idle_until_nmi, @function
cpu_idle_until_nmi:
1:	cmpl	$0, CPU_NMI_PENDING(%rdi)
	jne	3f
	hlt
2:	jmp	1b
3:	ret
	NMI_RESTART 1b, 2b, 1b
	.size	cpu_idle_until_nmi, . - cpu_idle_until_nmi

/* void nmi_unblock(void) */
	.balign	16
	.globl	nmi_unblock
	.type	nmi_unblock, @function
nmi_unblock:
	movq	%rsp, %rax
	pushq	$SEL_DATA
	pushq	%rax
	pushfq
	pushq	$SEL_CODE64
	leaq	1f(%rip), %rax
	pushq	%rax
	iretq
1:	ret
	.size	nmi_unblock, . - nmi_unblock
