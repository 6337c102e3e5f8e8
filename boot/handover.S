/* SPDX-License-Identifier: BSD-2-Clause */

#define CR0_WP	   (1 << 16)
#define CR4_PAE	   (1 << 5)
#define CR4_MCE	   (1 << 6)
#define MSR_EFER   0xc0000080
#define EFER_NXE   (1 << 11)

	.text

	.globl rdmsr_safe
	.hidden rdmsr_safe
	.type rdmsr_safe, @function
rdmsr_safe:
	mov	%edi, %ecx
	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, (%rsi)
	mov	$1, %eax
	ret
.Lfaulted:
	xor	%eax, %eax
	ret

	/* The frame's RIP lies above the error code; #GP at RDMSR is a fault, no register changed. */
	.globl gp_catcher
	.hidden gp_catcher
	.type gp_catcher, @function
gp_catcher:
	add	$8, %rsp
	lea	.Lfaulted(%rip), %rax
	mov	%rax, (%rsp)
	iretq

	/*
	 * handover(rdi: cr3, rsi: entry, rdx: arg). CR4 loses PGE first, because a global
	 * translation of the firmware's would survive the load of CR3, and CET, whose shadow stack is
	 * not mapped on the other side. NXE comes before the tables that use bit 63, WP because the
	 * image's read-only segments are meant to be read-only from the first instruction on.
	 */
	.globl handover, handover_start, handover_end
	.hidden handover, handover_start, handover_end
	.type handover, @function
	.balign 64
handover_start:
handover:
	mov	%rdx, %r8
	mov	%cr4, %rax
	and	$CR4_MCE, %eax
	or	$CR4_PAE, %eax
	mov	%rax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_NXE, %eax
	wrmsr
	mov	%rdi, %cr3
	mov	%cr0, %rax
	or	$CR0_WP, %rax
	mov	%rax, %cr0
	xor	%esp, %esp
	xor	%ebp, %ebp
	mov	%r8, %rdi
	jmp	*%rsi
handover_end:
	.size handover, . - handover
	.section .note.GNU-stack, "", @progbits
