/* SPDX-License-Identifier: BSD-2-Clause */
/* Setup header, entry point and interrupt stubs of every small guest. */

	.section .setup, "a"
	.org 0x1f1
	.byte 1				/* setup_sects */
	.word 0
	.long __program_paragraphs	/* syssize */
	.word 0, 0, 0
	.word 0xaa55			/* boot_flag */
	.byte 0xeb, 0x66		/* jump: the header ends at 0x268 */
	.ascii "HdrS"
	.word 0x020f			/* version */
	.long 0
	.word 0, 0
	.byte 0				/* type_of_loader */
	.byte 1				/* loadflags: LOADED_HIGH */
	.word 0
	.long 0x100000			/* code32_start */
	.long 0, 0			/* ramdisk: filled by the loader */
	.long 0
	.word 0
	.byte 0, 0
	.long 0				/* cmd_line_ptr */
	.long 0x7fffffff		/* initrd_addr_max */
	.long 0x200000			/* kernel_alignment */
	.byte 0				/* relocatable_kernel */
	.byte 21			/* min_alignment */
	.word 1				/* xloadflags: XLF_KERNEL_64 */
	.long 2047			/* cmdline_size */
	.long 0
	.quad 0
	.long 0, 0
	.quad 0
	.quad 0x200000			/* pref_address */
	.long __program_size		/* init_size */
	.long 0, 0

	.section .text.entry, "ax"
	.code64
	hlt				/* the 32-bit entry point, which is not for us */
	.org 0x200
	.globl guest_entry
guest_entry:
	cli
	cld
	mov	$stack_top, %rsp
	xor	%eax, %eax
	mov	$__bss_start, %rdi
	mov	$__bss_end, %rcx
	sub	%rdi, %rcx
	rep	stosb
	mov	%rsi, %rdi		/* struct boot_params */
	xor	%ebp, %ebp
	call	guest_start
1:	hlt
	jmp	1b

/*
 * 256 stubs of 16 bytes each. Every one leaves the same frame: vector and error code, which the
 * CPU pushes for some exceptions only.
 */
	.altmacro
	.macro stub vec
	.balign 16
	.if (\vec == 8) || (\vec >= 10 && \vec <= 14) || (\vec == 17) || (\vec == 21) || \
	    (\vec == 29) || (\vec == 30)
	.else
	push	$0
	.endif
	push	$\vec
	jmp	common
	.endm

	.text
	.balign 16
	.globl interrupt_stubs
interrupt_stubs:
	.set	i, 0
	.rept	256
	stub	%i
	.set	i, i + 1
	.endr
	.noaltmacro

common:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	call	guest_interrupt
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

	.bss
	.balign 16
	.space	16384
stack_top:
