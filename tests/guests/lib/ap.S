/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a core starts that the guest wakes up: copied to AP_PAGE, which the SIPI names. In real mode
 * CS is that page, so all addresses are given from there; start_core() fills in ap_cr3 and ap_entry.
 */
#define AP_PAGE 0x6000
#define AT(label) (AP_PAGE + (label) - ap_begin)

	.section .text.ap, "ax"
	.globl ap_begin, ap_end, ap_cr3, ap_entry
	.balign 16
ap_begin:
	.code16
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	AT(gdt_pointer)
	mov	%cr4, %eax
	or	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	AT(ap_cr3), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER */
	rdmsr
	or	$0x900, %eax		/* LME, NXE */
	wrmsr
	mov	%cr0, %eax
	or	$0x80000001, %eax	/* PG, PE */
	and	$0x9fffffff, %eax	/* CD, NW */
	mov	%eax, %cr0
	ljmpl	$0x10, $AT(long_mode)
	.code64
long_mode:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$ap_stack_top, %rsp
	xor	%ebp, %ebp
	mov	AT(ap_entry), %rax
	call	*%rax
1:	cli
	hlt
	jmp	1b
	.balign 8
gdt:	.quad 0, 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	AT(gdt)
	.balign 8
ap_cr3:	.quad 0
ap_entry: .quad 0
ap_end:

	.bss
	.balign 16
	.space	16384
ap_stack_top:
