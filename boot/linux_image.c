/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/linux_image.h"
#include "linux_boot.h"

#define LOW_MEMORY (1ull << 20)
#define BOOT_SPACE (1ull << 20) /* what the guest's page tables and ACPI tables take at most */

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

const char *linux_image_check(const void *file, uint64_t size, struct linux_image *out)
{
	struct linux_setup_header h;
	uint64_t payload;

	if (!size)
		return "empty; expected a Linux bzImage (vmlinuz)";
	if (size < LINUX_HDR_OFFSET + sizeof(h))
		return "too short for a kernel; expected a Linux bzImage (vmlinuz)";
	memcpy(&h, (const char *)file + LINUX_HDR_OFFSET, sizeof(h));
	if (h.boot_flag != LINUX_BOOT_FLAG || h.header != LINUX_HDR_MAGIC)
		return not_linux(file, size);
	if (h.version < LINUX_MIN_VERSION)
		return "a kernel older than Linux 3.8 (boot protocol below 2.12); it has no 64-bit "
		       "entry point that Lamina could use";
	if (!(h.loadflags & LINUX_LOADED_HIGH))
		return "a zImage; expected a Linux bzImage (vmlinuz)";
	if (!(h.xloadflags & LINUX_XLF_KERNEL_64))
		return "a 32-bit kernel; expected one for x86-64";
	out->setup_size = linux_setup_size(&h);
	payload = h.syssize * 16ull;
	if (out->setup_size >= size || payload > size - out->setup_size)
		return "truncated: the kernel's header announces more than the file has";
	if (payload <= LINUX_ENTRY_64)
		return "a kernel without contents";
	out->version = h.version;
	out->relocatable = h.relocatable_kernel != 0;
	out->cmdline_size = h.cmdline_size;
	out->pref_address = h.pref_address;
	out->alignment = h.kernel_alignment;
	out->run_size = max_u64(h.init_size, size - out->setup_size);
	if (out->pref_address < LOW_MEMORY || out->pref_address >= 1ull << 46 || !h.init_size ||
	    (out->alignment & (out->alignment - 1)) || out->alignment > SIZE_1G)
		return "a kernel whose header names no usable load address, alignment or size";
	return NULL;
}

uint64_t linux_image_memory(const struct linux_image *image, uint64_t initrd_size)
{
	uint64_t base = image->pref_address;

	if (image->relocatable)
		base = min_u64(base, ALIGN_UP(LOW_MEMORY, max_u64(image->alignment, PAGE_SIZE)));
	return base + ALIGN_UP(image->run_size, PAGE_SIZE) + ALIGN_UP(initrd_size, PAGE_SIZE) +
	       BOOT_SPACE;
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
