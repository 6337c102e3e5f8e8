/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_LINUX_BOOT_H
#define LAMINA_LINUX_BOOT_H

#include "types.h"

/*
 * The x86 Linux boot protocol (Documentation/x86/boot.rst of the kernel): the setup header, which
 * lies at byte 0x1f1 of the file and of the boot_params page ("zero page").
 */
#define LINUX_HDR_OFFSET  0x1f1
#define LINUX_HDR_MAGIC   0x53726448 /* "HdrS" */
#define LINUX_BOOT_FLAG   0xaa55
#define LINUX_ENTRY_64    0x200  /* of the protected-mode code */
#define LINUX_MIN_VERSION 0x020c /* first with xloadflags */

#define LINUX_LOADED_HIGH   BIT(0) /* loadflags */
#define LINUX_XLF_KERNEL_64 BIT(0) /* xloadflags: has the 64-bit entry point */

struct linux_setup_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize; /* of the protected-mode code in 16-byte units */
	uint16_t ram_size;
	uint16_t vid_mode;
	uint16_t root_dev;
	uint16_t boot_flag;
	uint16_t jump; /* second byte + 0x202 is the end of the header */
	uint32_t header;
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg;
	uint16_t kernel_version;
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver;
	uint8_t ext_loader_type;
	uint32_t cmd_line_ptr;
	uint32_t initrd_addr_max;
	uint32_t kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size; /* without the terminating zero */
	uint32_t hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset;
	uint32_t payload_length;
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size; /* bytes that the kernel needs from its load address on */
	uint32_t handover_offset;
	uint32_t kernel_info_offset;
} packed;

_Static_assert(offsetof(struct linux_setup_header, header) == 0x202 - LINUX_HDR_OFFSET, "boot.rst");
_Static_assert(offsetof(struct linux_setup_header, init_size) == 0x260 - LINUX_HDR_OFFSET,
	       "boot.rst");

/* Bytes of the real-mode part: the protected-mode code follows. 0 sectors means 4 (boot.rst). */
static inline uint32_t linux_setup_size(const struct linux_setup_header *h)
{
	return ((h->setup_sects ? h->setup_sects : 4u) + 1) * 512;
}

#endif
