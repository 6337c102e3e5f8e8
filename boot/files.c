/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "boot/linux_image.h"
#include "boot/loader.h"
#include "x86/asm.h"

#define FOLDER      "\\EFI\\lamina\\"
#define CONFIG_PATH FOLDER "lamina.conf"
#define PATH_MAX    (CONFIG_PATH_LEN + sizeof(FOLDER))

/* A file in memory; guests that name the same one share it, because nobody writes to it. */
struct loaded {
	char path[PATH_MAX];
	uint64_t base;
	uint64_t size;
	const char *problem; /* NULL: usable */
	bool is_kernel;
	struct linux_image kernel;
};

static struct loaded images[2 * CONFIG_MAX_GUESTS];
static uint32_t image_count;

bool files_open_volume(void)
{
	EFI_GUID image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	EFI_GUID fs_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_LOADED_IMAGE *self;
	EFI_FILE_IO_INTERFACE *fs;
	EFI_STATUS status;

	status = loader.bs->HandleProtocol(loader.handle, &image_guid, (void **)&self);
	if (!EFI_ERROR(status))
		status = loader.bs->HandleProtocol(self->DeviceHandle, &fs_guid, (void **)&fs);
	if (!EFI_ERROR(status))
		status = fs->OpenVolume(fs, &loader.volume);
	if (EFI_ERROR(status)) {
		say("Lamina: cannot open the volume it was loaded from (UEFI status 0x%llx); expected a "
		    "FAT file system with " CONFIG_PATH,
		    (unsigned long long)status);
		return false;
	}
	return true;
}

static const char *describe(EFI_STATUS status)
{
	switch (status) {
	case EFI_NOT_FOUND:
	case EFI_NO_MEDIA:
		return "not found on the volume that Lamina was loaded from";
	case EFI_UNSUPPORTED:
		return "a folder, not a file";
	case EFI_ACCESS_DENIED:
		return "access is denied by the firmware";
	case EFI_VOLUME_CORRUPTED:
		return "the file system is damaged";
	case EFI_OUT_OF_RESOURCES:
		return "too large for the memory that is free";
	}
	return "cannot be read";
}

/* Open a file and tell its size. Folders cannot be positioned to their end (UEFI 2.10, 13.5). */
static EFI_STATUS open_file(const char *path, EFI_FILE_HANDLE *file, UINT64 *size)
{
	CHAR16 wide[PATH_MAX];
	EFI_STATUS status;
	size_t i;

	for (i = 0; path[i]; i++)
		wide[i] = (CHAR16)(unsigned char)path[i];
	wide[i] = 0;
	status = loader.volume->Open(loader.volume, file, wide, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status))
		return status;
	status = (*file)->SetPosition(*file, ~0ull);
	if (!EFI_ERROR(status))
		status = (*file)->GetPosition(*file, size);
	if (!EFI_ERROR(status))
		status = (*file)->SetPosition(*file, 0);
	if (EFI_ERROR(status))
		(*file)->Close(*file);
	return status;
}

/* Firmware may return less than asked for. */
static EFI_STATUS read_all(EFI_FILE_HANDLE file, char *to, UINT64 size)
{
	while (size) {
		UINTN n = size;
		EFI_STATUS status = file->Read(file, &n, to);

		if (EFI_ERROR(status))
			return status;
		if (!n || n > size)
			return EFI_DEVICE_ERROR;
		to += n;
		size -= n;
	}
	return EFI_SUCCESS;
}

/* Read a whole file of at most `limit` bytes into new pages; *base is 0 if it is empty. */
static EFI_STATUS read_file(const char *path, uint64_t limit, enum region_type type, int32_t guest,
			    uint64_t *base, uint64_t *size)
{
	EFI_FILE_HANDLE file;
	EFI_STATUS status;

	*base = 0;
	status = open_file(path, &file, size);
	if (EFI_ERROR(status))
		return status;
	if (*size && *size <= limit) {
		*base = memory_allocate(*size, 0, type, guest);
		status = *base ? read_all(file, (char *)*base, *size) : EFI_OUT_OF_RESOURCES;
		if (EFI_ERROR(status) && *base)
			memory_release(*base);
	}
	file->Close(file);
	return status;
}

/* Time in here is time of the firmware's file system and of the medium, not the loader's. */
static EFI_STATUS timed_read(const char *path, uint64_t limit, enum region_type type, int32_t guest,
			     uint64_t *base, uint64_t *size)
{
	uint64_t start = rdtsc();
	EFI_STATUS status = read_file(path, limit, type, guest, base, size);

	loader.tsc_files += rdtsc() - start;
	return status;
}

bool files_read_config(void)
{
	uint64_t base, size;
	EFI_STATUS status;

	status = timed_read(CONFIG_PATH, CONFIG_FILE_MAX, REGION_USABLE, -1, &base, &size);
	if (EFI_ERROR(status)) {
		say("%s: %s (UEFI status 0x%llx); docs/configuration.md describes this file",
		    CONFIG_PATH, describe(status), (unsigned long long)status);
		return false;
	}
	/* Empty or too large: nothing was read, and the parser says so by the size alone. */
	config_parse(base ? (const char *)base : "", size, &loader.config, &loader.lines,
		     &loader.report);
	if (base)
		memory_release(base);
	return true;
}

static void check_image(struct loaded *image)
{
	const void *data = (const void *)image->base;
	const char *oddity;

	if (image->is_kernel) {
		image->problem = linux_image_check(data, image->size, &image->kernel);
		return;
	}
	oddity = initrd_check(data, image->size);
	if (oddity && !image->size)
		image->problem = oddity;
	else if (oddity)
		say("Lamina: warning: initrd %s is %s", image->path, oddity);
}

/* The file from memory, or from the volume. A file that cannot be used has a problem. */
static struct loaded *load(const char *name, bool is_kernel, int32_t guest)
{
	struct loaded *image = &images[image_count];
	EFI_STATUS status;
	uint32_t i;

	snprintf(image->path, sizeof(image->path), "%s%s", name[0] == '\\' ? "" : FOLDER, name);
	for (i = 0; i < image_count; i++) {
		if (images[i].is_kernel == is_kernel && !strcmp(images[i].path, image->path))
			return &images[i];
	}
	image_count++;
	image->is_kernel = is_kernel;
	image->problem = NULL;
	status = timed_read(image->path, ~0ull, REGION_IMAGE, guest, &image->base, &image->size);
	if (EFI_ERROR(status)) {
		image->base = 0;
		image->problem = describe(status);
		note("Lamina: UEFI status 0x%llx for %s", (unsigned long long)status, image->path);
	} else {
		check_image(image);
	}
	return image;
}

/* Load one file of a guest; NULL after a message. */
static struct loaded *load_for(uint32_t i, enum guest_key key)
{
	struct guest_config *g = &loader.config.guests[i];
	bool is_kernel = key == GUEST_KERNEL;
	struct loaded *image = load(is_kernel ? g->kernel : g->initrd, is_kernel, (int32_t)i);

	if (!image->problem)
		return image;
	report_error(&loader.report, config_line(&loader.config, &loader.lines, i, key),
		     "%s %s of guest '%s': %s", is_kernel ? "kernel" : "initrd", image->path,
		     g->name, image->problem);
	g->valid = false;
	return NULL;
}

/* What kernel and section say of each other. */
static void check_guest(uint32_t i, const struct linux_image *kernel, uint64_t initrd_size)
{
	struct guest_config *g = &loader.config.guests[i];
	uint64_t needed = linux_image_memory(kernel, initrd_size);

	if (g->memory < needed) {
		report_error(
			&loader.report, config_line(&loader.config, &loader.lines, i, GUEST_MEMORY),
			"guest '%s' has %lluM of memory; this kernel and initrd need %lluM to start",
			g->name, (unsigned long long)(g->memory >> 20),
			(unsigned long long)(ALIGN_UP(needed, SIZE_2M) >> 20));
		g->valid = false;
	}
	if (strlen(g->cmdline) > kernel->cmdline_size) {
		report_error(&loader.report,
			     config_line(&loader.config, &loader.lines, i, GUEST_CMDLINE),
			     "the cmdline of guest '%s' has %zu characters; this kernel takes %u",
			     g->name, strlen(g->cmdline), (unsigned int)kernel->cmdline_size);
		g->valid = false;
	}
}

void files_load_images(void)
{
	uint32_t i;

	for (i = 0; i < loader.config.guest_count; i++) {
		struct guest_config *g = &loader.config.guests[i];
		struct boot_guest *b = &loader.guests[i];
		struct loaded *kernel, *initrd = NULL;

		if (!g->valid)
			continue;
		kernel = load_for(i, GUEST_KERNEL);
		if (g->initrd[0])
			initrd = load_for(i, GUEST_INITRD);
		if (!g->valid)
			continue;
		b->kernel = (struct boot_image){ HPA(kernel->base), kernel->size };
		if (initrd)
			b->initrd = (struct boot_image){ HPA(initrd->base), initrd->size };
		check_guest(i, &kernel->kernel, b->initrd.size);
	}
}

static bool is_used(uint64_t base)
{
	uint32_t i;

	for (i = 0; i < loader.config.guest_count; i++) {
		if (loader.config.guests[i].valid && (loader.guests[i].kernel.base.v == base ||
						      loader.guests[i].initrd.base.v == base))
			return true;
	}
	return false;
}

void files_release_unused(void)
{
	uint32_t i;

	for (i = 0; i < image_count; i++) {
		if (images[i].base && !is_used(images[i].base))
			memory_release(images[i].base);
	}
	for (i = 0; i < loader.config.guest_count; i++) {
		if (loader.config.guests[i].valid)
			continue;
		loader.guests[i] = (struct boot_guest){ .memory = HPA(0) };
	}
}
