/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/linux_image.h"

/* Offsets of the setup header's fields in the file; "The Real-Mode Kernel Header". */
#define HDR_SETUP_SECTS  0x1f1
#define HDR_SYSSIZE      0x1f4
#define HDR_BOOT_FLAG    0x1fe
#define HDR_MAGIC        0x202
#define HDR_VERSION      0x206
#define HDR_LOADFLAGS    0x211
#define HDR_RELOCATABLE  0x234
#define HDR_XLOADFLAGS   0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE    0x260
#define HDR_END          0x264

#define LOADED_HIGH   BIT(0) /* of loadflags: a bzImage */
#define XLF_KERNEL_64 BIT(0) /* of xloadflags: has the 64-bit entry point at 0x200 */

#define SECTOR     512
#define LOW_MEMORY (1ull << 20)
#define BOOT_SPACE (1ull << 20) /* for page tables, boot parameters, ACPI tables */

static uint64_t field(const uint8_t *file, unsigned int offset, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | file[offset + bytes];
	return v;
}

static bool starts_with(const uint8_t *file, uint64_t size, const char *magic, size_t n)
{
	return size >= n && !memcmp(file, magic, n);
}

/* A file without the boot protocol's header: say what it is instead, as people mix these up. */
static const char *not_linux(const uint8_t *file, uint64_t size)
{
	if (starts_with(file, size,
			"\x7f"
			"ELF",
			4))
		return "an ELF file, such as vmlinux; expected a Linux bzImage (vmlinuz)";
	if (starts_with(file, size, "\x1f\x8b", 2))
		return "a gzip file, such as an initrd; expected a Linux bzImage (vmlinuz)";
	if (starts_with(file, size, "070701", 6))
		return "a cpio archive, such as an initrd; expected a Linux bzImage (vmlinuz)";
	if (starts_with(file, size, "MZ", 2))
		return "a Windows or UEFI program that is no Linux kernel; expected a Linux bzImage "
		       "(vmlinuz)";
	return "no kernel (there is no Linux boot header); expected a Linux bzImage (vmlinuz)";
}

const char *linux_image_check(const void *data, uint64_t size, struct linux_image *out)
{
	const uint8_t *file = data;
	uint64_t setup_sects, payload;

	if (!size)
		return "empty; expected a Linux bzImage (vmlinuz)";
	if (size < HDR_END)
		return "too short for a kernel; expected a Linux bzImage (vmlinuz)";
	if (field(file, HDR_BOOT_FLAG, 2) != 0xaa55 || memcmp(file + HDR_MAGIC, "HdrS", 4))
		return not_linux(file, size);
	out->version = (uint16_t)field(file, HDR_VERSION, 2);
	if (out->version < 0x020c)
		return "a kernel older than Linux 3.8 (boot protocol below 2.12); it has no 64-bit "
		       "entry point that Lamina could use";
	if (!(field(file, HDR_LOADFLAGS, 1) & LOADED_HIGH))
		return "a zImage; expected a Linux bzImage (vmlinuz)";
	if (!(field(file, HDR_XLOADFLAGS, 2) & XLF_KERNEL_64))
		return "a 32-bit kernel; expected one for x86-64";
	setup_sects = field(file, HDR_SETUP_SECTS, 1);
	out->setup_size = ((setup_sects ? setup_sects : 4) + 1) * SECTOR;
	payload = field(file, HDR_SYSSIZE, 4) * 16;
	if (out->setup_size >= size || payload > size - out->setup_size)
		return "truncated: the kernel's header announces more than the file has";
	/* The entry point lies at 0x200 of the payload. */
	if (payload <= 0x200)
		return "a kernel without contents";
	out->relocatable = field(file, HDR_RELOCATABLE, 1) != 0;
	out->cmdline_size = (uint32_t)field(file, HDR_CMDLINE_SIZE, 4);
	out->pref_address = field(file, HDR_PREF_ADDRESS, 8);
	out->init_size = field(file, HDR_INIT_SIZE, 4);
	if (out->pref_address < LOW_MEMORY || out->pref_address >= 1ull << 46 || !out->init_size)
		return "a kernel whose header names no usable load address or size";
	return NULL;
}

uint64_t linux_image_memory(const struct linux_image *image, uint64_t initrd_size)
{
	return image->pref_address + ALIGN_UP(image->init_size, PAGE_SIZE) +
	       ALIGN_UP(initrd_size, PAGE_SIZE) + BOOT_SPACE;
}

const char *initrd_check(const void *data, uint64_t size)
{
	/* What Linux unpacks: Documentation/driver-api/early-userspace/buffer-format.rst. */
	static const struct {
		const char *magic;
		size_t size;
	} known[] = {
		{ "070701", 6 },
		{ "070702", 6 },
		{ "\x1f\x8b", 2 },
		{ "BZh", 3 },
		{ "\x5d\x00\x00", 3 },
		{ "\xfd"
		  "7zXZ",
		  5 },
		{ "\x89LZO", 4 },
		{ "\x02\x21\x4c\x18", 4 },
		{ "\x28\xb5\x2f\xfd", 4 },
	};
	size_t i;

	if (!size)
		return "empty; expected an initramfs";
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (starts_with(data, size, known[i].magic, known[i].size))
			return NULL;
	}
	/* An ext2 file system as an initial RAM disk: its magic is in the superblock. */
	if (size > 1082 && !memcmp((const char *)data + 1080, "\x53\xef", 2))
		return NULL;
	return "neither a cpio archive nor a compression that Linux knows";
}
