/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor, packed, inside the loader; HV_IMAGE is the path, given by the Makefile. */
	.section .hv_image, "a", @progbits
	.globl hv_image_start, hv_image_end
	.hidden hv_image_start, hv_image_end
hv_image_start:
	.incbin HV_IMAGE
hv_image_end:
