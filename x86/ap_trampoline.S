/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/segment.h"

/*
 * A start-up IPI drops a core into real mode at CS = page << 8, IP = 0. This code is copied to a
 * page below 1 MiB and patched by smp_start_cores(): everything it refers to is an offset in its
 * page, and three fields hold absolute addresses. The page behind it is the page table for the
 * way (see smp.c). From real mode straight to long mode: with EFER.LME and CR4.PAE set, PE and PG
 * may be turned on together (SDM vol. 3, 9.8.5; APM vol. 2, 14.6.1).
 */
#define OFFSET(label) ((label) - ap_trampoline)

	.section .rodata.ap_trampoline, "a"
	.balign	16
	.globl	ap_trampoline
ap_trampoline:
	.code16
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	OFFSET(gdtr)
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	OFFSET(cr3), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	movl	$(EFER_LME | EFER_NXE), %eax
	xorl	%edx, %edx
	wrmsr
	movl	$(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE), %eax
	movl	%eax, %cr0
	ljmpl	*OFFSET(jump)

	.code64
ap_trampoline_long:
	movq	$ap_entry, %rax
	jmp	*%rax

	/* Accessed bits are preset: the page is mapped read-only. */
	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* SEL_CODE64 */
	.quad	0x00cf93000000ffff	/* SEL_DATA */
gdtr:	.word	gdtr - gdt - 1
gdt_base:
	.long	OFFSET(gdt)		/* + page */
	.balign	4
jump:
	.long	OFFSET(ap_trampoline_long) /* + page */
	.word	SEL_CODE64
	.balign	4
cr3:	.long	0x1000			/* + page */
end:

	/* struct ap_trampoline_layout: offsets in the page */
	.balign	2
	.globl	ap_trampoline_layout
ap_trampoline_layout:
	.short	OFFSET(end)
	.short	OFFSET(gdt_base)
	.short	OFFSET(jump)
	.short	OFFSET(cr3)
