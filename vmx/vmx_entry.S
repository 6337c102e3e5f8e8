/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rounds of VM entry and exit. They live in one function that never returns between an exit
 * and the next entry: every RET that C executes after an exit then has a CALL that was executed
 * after the exit, too, and is not predicted from return addresses that the guest left behind.
 *
 * Guest registers but RSP are at the start of struct vcpu, in the order of their encoding.
 */
#include "vmx/vmcs_fields.h"
#include "x86/cpu_offsets.h"
#include "x86/clear_registers.inc"

#define GPR(n) ((n) * 8)
#define RAX GPR(0)
#define RCX GPR(1)
#define RDX GPR(2)
#define RBX GPR(3)
#define RBP GPR(5)
#define RSI GPR(6)
#define RDI GPR(7)

	.text
	.globl	vmx_vcpu_run
	.type	vmx_vcpu_run, @function
/* void vmx_vcpu_run(struct vcpu *v) */
vmx_vcpu_run:
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdi			/* v, at 0(%rsp) from here on */
	movl	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax

.Lround:
	movq	(%rsp), %rdi
	call	vmx_prepare_entry
.Lenter:
	testl	%eax, %eax		/* VMX_RESUME is negative, VMX_LEAVE 0, VMX_LAUNCH positive */
	jz	.Lleave
	movq	(%rsp), %rdi
	movq	RAX(%rdi), %rax		/* MOV leaves the flags alone */
	movq	RCX(%rdi), %rcx
	movq	RDX(%rdi), %rdx
	movq	RBX(%rdi), %rbx
	movq	RBP(%rdi), %rbp
	movq	RSI(%rdi), %rsi
	movq	GPR(8)(%rdi), %r8
	movq	GPR(9)(%rdi), %r9
	movq	GPR(10)(%rdi), %r10
	movq	GPR(11)(%rdi), %r11
	movq	GPR(12)(%rdi), %r12
	movq	GPR(13)(%rdi), %r13
	movq	GPR(14)(%rdi), %r14
	movq	GPR(15)(%rdi), %r15
	movq	RDI(%rdi), %rdi
	jg	.Llaunch

	/* An NMI in these brackets sends us back to the look at nmi_pending (x86/nmi.h). */
.Lresume_look:
	cmpl	$0, %gs:CPU_NMI_PENDING
	jne	.Lput_off
	vmresume
.Lresume_end:
	jmp	.Lrefused

.Llaunch:
.Llaunch_look:
	cmpl	$0, %gs:CPU_NMI_PENDING
	jne	.Lnot_launched
	vmlaunch
.Llaunch_end:

	/* No entry: CF without, ZF with a current VMCS (SDM vol. 3, 31.2). */
.Lrefused:
	setc	%al
	movzbl	%al, %edi
	CLEAR_REGISTERS
	movl	%edi, %esi
	leaq	48(%rsp), %rbp
	movq	(%rsp), %rdi
	call	vmx_entry_refused
	jmp	.Lround

.Lput_off:
	CLEAR_REGISTERS
	leaq	48(%rsp), %rbp		/* the frame of vmx_vcpu_run, for backtraces */
	movq	(%rsp), %rdi
	call	vmx_resume_put_off
	jmp	.Lround

.Lnot_launched:
	CLEAR_REGISTERS
	leaq	48(%rsp), %rbp
	jmp	.Lround

	/* Where every VM exit arrives (HOST_RIP), on the stack of above; NMIs are blocked after one. */
	.globl	vmx_exit_entry
vmx_exit_entry:
	pushq	%rdi
	movq	8(%rsp), %rdi
	popq	RDI(%rdi)
	movq	%rax, RAX(%rdi)
	movq	%rcx, RCX(%rdi)
	movq	%rdx, RDX(%rdi)
	movq	%rbx, RBX(%rdi)
	movq	%rbp, RBP(%rdi)
	movq	%rsi, RSI(%rdi)
	movq	%r8, GPR(8)(%rdi)
	movq	%r9, GPR(9)(%rdi)
	movq	%r10, GPR(10)(%rdi)
	movq	%r11, GPR(11)(%rdi)
	movq	%r12, GPR(12)(%rdi)
	movq	%r13, GPR(13)(%rdi)
	movq	%r14, GPR(14)(%rdi)
	movq	%r15, GPR(15)(%rdi)
	leaq	48(%rsp), %rbp
	CLEAR_REGISTERS
	call	vmx_handle_exit
	jmp	.Lenter

.Lleave:
	/* Our caller's CALLs are older than the guest's: overwrite the return stack buffer. */
	movl	$16, %ecx
1:	call	2f
	int3
2:	call	3f
	int3
3:	decl	%ecx
	jnz	1b
	addq	$(32 * 8), %rsp
	lfence
	addq	$8, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size	vmx_vcpu_run, . - vmx_vcpu_run

	.pushsection .nmi_restart, "a"
	.balign	8
	.quad	.Lresume_look, .Lresume_end, .Lresume_look
	.quad	.Llaunch_look, .Llaunch_end, .Llaunch_look
	.popsection
