/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_ELF_H
#define LAMINA_BOOT_ELF_H

#include "types.h"

/* The hypervisor's ELF file, which the loader carries. Pure. */
#define ELF_SEGMENTS 8

struct elf_segment {
	uint64_t offset;    /* bytes from HV_BASE, page aligned */
	uint64_t size;      /* bytes in memory, page multiple */
	const void *data;   /* in the file */
	uint64_t data_size; /* bytes in the file; the rest is zero */
	bool write, execute;
};

struct elf_image {
	uint64_t entry;      /* virtual */
	uint64_t image_size; /* bytes from HV_BASE on, page multiple */
	uint32_t count;
	struct elf_segment segments[ELF_SEGMENTS]; /* ascending, disjoint */
};

/* Validate the file and list what has to be loaded. ERR_INVALID: not an image for HV_BASE. */
must_check enum status elf_parse(const void *file, uint64_t size, struct elf_image *out);

/* Write the image to `to`, which has out->image_size bytes. */
void elf_load(const struct elf_image *image, void *to);

#endif
