/* SPDX-License-Identifier: BSD-2-Clause */
/* The guests' DSDT, compiled from core/dsdt.asl. */
	.section .rodata
	.globl	dsdt_start, dsdt_end
	.balign	16
dsdt_start:
	.incbin	"dsdt.aml"
dsdt_end:
