/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_LINUX_IMAGE_H
#define LAMINA_BOOT_LINUX_IMAGE_H

#include "types.h"

/*
 * Whether a file is a kernel that can be entered in 64-bit mode (Linux, "The Linux/x86 Boot
 * Protocol", version 2.12 and later). Pure; the file is untrusted.
 */
struct linux_image {
	uint16_t version; /* of the protocol, e.g. 0x020f */
	bool relocatable;
	uint64_t setup_size;   /* bytes in front of the protected-mode kernel */
	uint64_t pref_address; /* where it wants to lie, bytes */
	uint64_t alignment;    /* of any other place, bytes */
	uint64_t run_size;     /* bytes it needs from there until it manages memory itself */
	uint32_t cmdline_size; /* characters it takes, without the NUL */
};

/* NULL and *out filled, or what is wrong with the file's `size` bytes, as a sentence part. */
const char *linux_image_check(const void *file, uint64_t size, struct linux_image *out);

/* Bytes of guest memory below which this kernel cannot start with this initrd. */
uint64_t linux_image_memory(const struct linux_image *image, uint64_t initrd_size);

/* NULL, or why a file does not look like an initramfs or initrd that a kernel would unpack. */
const char *initrd_check(const void *file, uint64_t size);

#endif
