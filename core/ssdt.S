/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of guests with PCI devices, compiled from core/ssdt.asl. */
	.section .rodata
	.globl	ssdt_start, ssdt_end
	.balign	16
ssdt_start:
	.incbin	"ssdt.aml"
ssdt_end:
