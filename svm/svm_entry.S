/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The rounds of VMRUN and #VMEXIT, and the instructions of SVM that C has no word for. The rounds
 * live in one function that never returns between an exit and the next entry: every RET that C
 * executes after an exit then has a CALL that was executed after the exit, too, and is not predicted
 * from return addresses that the guest left behind.
 *
 * The global interrupt flag is clear in the hypervisor's exit path: an NMI that comes meanwhile
 * stays pending, and VMRUN, which sets GIF, takes it at once as #VMEXIT(NMI) (APM vol. 2, 15.17). So
 * there is no window in which an NMI could be lost.
 */

#include "x86/clear_registers.inc"

/* struct vcpu: gpr[] comes first, in the order of the hardware's encoding. */
#define VCPU_RCX (1 * 8)
#define VCPU_RDX (2 * 8)
#define VCPU_RBX (3 * 8)
#define VCPU_RBP (5 * 8)
#define VCPU_RSI (6 * 8)
#define VCPU_RDI (7 * 8)
#define VCPU_R(n) ((n) * 8)

#define EXTABLE(from, to)          \
	.pushsection .extable, "a";\
	.balign	8;                 \
	.quad	from, to;          \
	.popsection

	.text
	.code64

/*
 * void svm_vcpu_run(struct vcpu *v)
 *
 * VMRUN switches CS, SS, DS, ES, GDTR, IDTR, CR0, CR3, CR4, EFER, RFLAGS, RIP, RSP and RAX by
 * itself; VMLOAD and VMSAVE do FS, GS, TR, LDTR, KernelGSBase and the MSRs of SYSCALL and SYSENTER
 * (APM vol. 2, 15.5). None of the three can be left out: the guest may have loaded any of these
 * registers without an exit, and the hypervisor's own GS finds its data and TR the stacks of its
 * exceptions. DR0-DR3, XCR0 and the vector registers stay the guest's: nothing here uses them.
 *
 * On the stack: the vCPU, the hypervisor's VMCB, a word that aligns.
 */
	.balign	64
	.globl	svm_vcpu_run
	.type	svm_vcpu_run, @function
svm_vcpu_run:
	pushq	%rbp
	movq	%rsp, %rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	subq	$24, %rsp
	movq	%rdi, (%rsp)
	call	svm_run_begin
	movq	%rax, 8(%rsp)
	movq	(%rsp), %rdi
	call	svm_prepare_entry

	/* RAX: the guest's VMCB, or 0. */
.Lround:
	testq	%rax, %rax
	jz	.Lleave
	movq	(%rsp), %rdi
	vmload	%rax
	movq	VCPU_RCX(%rdi), %rcx
	movq	VCPU_RDX(%rdi), %rdx
	movq	VCPU_RBX(%rdi), %rbx
	movq	VCPU_RBP(%rdi), %rbp
	movq	VCPU_RSI(%rdi), %rsi
	movq	VCPU_R(8)(%rdi), %r8
	movq	VCPU_R(9)(%rdi), %r9
	movq	VCPU_R(10)(%rdi), %r10
	movq	VCPU_R(11)(%rdi), %r11
	movq	VCPU_R(12)(%rdi), %r12
	movq	VCPU_R(13)(%rdi), %r13
	movq	VCPU_R(14)(%rdi), %r14
	movq	VCPU_R(15)(%rdi), %r15
	movq	VCPU_RDI(%rdi), %rdi

	vmrun	%rax

	/*
	 * RAX and RSP are the host's again, RAX still the guest VMCB; GIF is 0. Bochs delivers a
	 * single step that the guest had under way here, to the host: the fix-up drops it.
	 */
1:	vmsave	%rax
	EXTABLE(1b, 1b)
	movq	8(%rsp), %rax
	vmload	%rax
	pushq	%rdi
	movq	8(%rsp), %rdi
	popq	VCPU_RDI(%rdi)
	movq	%rcx, VCPU_RCX(%rdi)
	movq	%rdx, VCPU_RDX(%rdi)
	movq	%rbx, VCPU_RBX(%rdi)
	movq	%rbp, VCPU_RBP(%rdi)
	movq	%rsi, VCPU_RSI(%rdi)
	movq	%r8, VCPU_R(8)(%rdi)
	movq	%r9, VCPU_R(9)(%rdi)
	movq	%r10, VCPU_R(10)(%rdi)
	movq	%r11, VCPU_R(11)(%rdi)
	movq	%r12, VCPU_R(12)(%rdi)
	movq	%r13, VCPU_R(13)(%rdi)
	movq	%r14, VCPU_R(14)(%rdi)
	movq	%r15, VCPU_R(15)(%rdi)

	CLEAR_REGISTERS
	leaq	64(%rsp), %rbp		/* the frame of svm_vcpu_run, for backtraces */
	call	svm_handle_exit
	jmp	.Lround

.Lleave:
	/*
	 * Our caller's CALLs are older than the guest's: overwrite the return stack buffer. AMD's
	 * have 16 or 32 entries, and none of the guest's may be left.
	 */
	movl	$16, %ecx
2:	call	3f
	int3
3:	call	4f
	int3
4:	decl	%ecx
	jnz	2b
	addq	$(32 * 8), %rsp
	lfence
	addq	$24, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	jmp	svm_stgi
	.size	svm_vcpu_run, . - svm_vcpu_run

/* void svm_vmsave(hpa_t vmcb) */
	.balign	16
	.globl	svm_vmsave
	.type	svm_vmsave, @function
svm_vmsave:
	movq	%rdi, %rax
	vmsave	%rax
	ret
	.size	svm_vmsave, . - svm_vmsave

/*
 * void svm_nmi_window(void)
 *
 * A pending NMI arrives through the IDT between STGI and CLGI. So does an INIT, as #SX, where
 * VM_CR.R_INIT is set (APM vol. 2, 15.28); the handler ignores it.
 */
	.balign	16
	.globl	svm_nmi_window
	.type	svm_nmi_window, @function
svm_nmi_window:
	stgi
	nop
	clgi
	ret
	.size	svm_nmi_window, . - svm_nmi_window

	.balign	16
	.globl	svm_stgi
	.type	svm_stgi, @function
svm_stgi:
	stgi
	ret
	.size	svm_stgi, . - svm_stgi

	.balign	16
	.globl	svm_clgi
	.type	svm_clgi, @function
svm_clgi:
	clgi
	ret
	.size	svm_clgi, . - svm_clgi
