/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/cpu_offsets.h"
#include "x86/regs.h"

/*
 * Where cores arrive in the hypervisor's image: the boot core from the loader, the others from the
 * trampoline. Both run on page tables that map the image, with interrupts off.
 */

	.section .text.entry, "ax"
	.code64

/*
 * RDI = struct boot_info *, on the loader's temporary page tables and still with the firmware's
 * GDT and IDT. The loader has zeroed .bss.
 */
	.globl	lamina_entry
	.type	lamina_entry, @function
lamina_entry:
	cli
	cld
	leaq	boot_stack_top(%rip), %rsp
	xorl	%ebp, %ebp	/* ends the backtrace */
	call	hv_main
1:	hlt
	jmp	1b
	.size	lamina_entry, . - lamina_entry

/*
 * A started core, in long mode on the trampoline's page tables, no stack. It finds its structure
 * by its APIC ID and claims it; a core that nobody waits for any more, or that nobody asked for,
 * stays halted here for good.
 */
	.globl	ap_entry
	.type	ap_entry, @function
ap_entry:
	movq	ap_cr3(%rip), %rax
	movq	%rax, %cr3

	/* The APIC ID as lapic_id() finds it: leaf 0Bh has all 32 bits, leaf 1 the low 8. */
	xorl	%eax, %eax
	cpuid
	cmpl	$0xb, %eax
	jb	1f
	movl	$0xb, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	%ebx, %ebx
	jz	1f
	movl	%edx, %esi
	jmp	2f
1:	movl	$1, %eax
	cpuid
	shrl	$24, %ebx
	movl	%ebx, %esi

2:	leaq	cpus(%rip), %rbx
	movl	cpu_count(%rip), %ecx
	testl	%ecx, %ecx
	jz	5f
3:	movq	(%rbx), %rdi
	cmpl	%esi, CPU_APIC_ID(%rdi)
	je	4f
	addq	$8, %rbx
	decl	%ecx
	jnz	3b
	jmp	5f

4:	movl	$CPU_STATE_REQUESTED, %eax
	movl	$CPU_STATE_CLAIMED, %edx
	lock cmpxchgl %edx, CPU_START_STATE(%rdi)
	jne	5f
	movq	CPU_STACK_TOP(%rdi), %rsp
	xorl	%ebp, %ebp
	call	ap_main
5:	cli
	hlt
	jmp	5b
	.size	ap_entry, . - ap_entry

	.text

/* noreturn void cpu_run_on_stack(struct cpu *c, void *top, void (*fn)(struct cpu *c)) */
	.globl	cpu_run_on_stack
	.type	cpu_run_on_stack, @function
cpu_run_on_stack:
	movq	%rsi, %rsp
	xorl	%ebp, %ebp
	call	*%rdx
	ud2
	.size	cpu_run_on_stack, . - cpu_run_on_stack

/* The boot core's stack until it moves to its own; the page below it becomes a guard. */
	.section .bss.boot_stack, "aw", @nobits
	.balign	4096
	.globl	boot_stack_guard
boot_stack_guard:
	.skip	4096
	.skip	16384
	.globl	boot_stack_top
boot_stack_top:
