/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's ELF file inside the loader; HV_IMAGE is its path, given by the Makefile. */
	.section .hv_image, "a", @progbits
	.balign 4096
	.globl hv_image_start, hv_image_end
	.hidden hv_image_start, hv_image_end
hv_image_start:
	.incbin HV_IMAGE
hv_image_end:
