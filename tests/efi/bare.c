/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a small guest of tests/guests/ on the bare machine: \EFI\lamina\guest with the command line
 * in \EFI\lamina\cmdline. For what is to be seen without Lamina: what a device can do, what an
 * operation costs. The guest gets what it needs of the Linux boot protocol: it lies where it was
 * linked, RSI points to the parameters, memory is mapped one to one.
 */
#include <efi.h>

#include <string.h>

#include "linux_boot.h"
#include "types.h"
#include "x86/asm.h"

#define IMAGE_LIMIT (1u << 20)
#define MAP_LIMIT   (64u << 10)

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st);

static uint8_t params[4096] aligned(4096);
static char cmdline[2048];

/* Read a file to `buffer`; its size is at most *size before and what was read after. */
static EFI_STATUS read_file(EFI_BOOT_SERVICES *bs, EFI_HANDLE device, CHAR16 *path, void *buffer,
			    UINTN *size)
{
	EFI_GUID guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_FILE_IO_INTERFACE *fs;
	EFI_FILE_HANDLE root, file;
	EFI_STATUS status;

	status = bs->HandleProtocol(device, &guid, (void **)&fs);
	if (!EFI_ERROR(status))
		status = fs->OpenVolume(fs, &root);
	if (!EFI_ERROR(status))
		status = root->Open(root, &file, path, EFI_FILE_MODE_READ, 0);
	if (!EFI_ERROR(status))
		status = file->Read(file, size, buffer);
	return status;
}

static EFI_STATUS leave_firmware(EFI_BOOT_SERVICES *bs, EFI_HANDLE handle)
{
	UINTN size = MAP_LIMIT, key, entry;
	EFI_STATUS status;
	UINT32 version;
	void *map;

	status = bs->AllocatePool(EfiLoaderData, size, &map);
	if (!EFI_ERROR(status))
		status = bs->GetMemoryMap(&size, map, &key, &entry, &version);
	return EFI_ERROR(status) ? status : bs->ExitBootServices(handle, key);
}

static noreturn void start(uint64_t entry)
{
	__asm__ volatile("cli; jmp *%0" : : "r"(entry), "S"(params) : "memory");
	__builtin_unreachable();
}

/* Put the guest where it was linked. */
static EFI_STATUS place(EFI_BOOT_SERVICES *bs, const uint8_t *file, UINTN size, uint64_t *entry)
{
	uint32_t line = (uint32_t)(uintptr_t)cmdline, skip;
	struct linux_setup_header h;
	EFI_PHYSICAL_ADDRESS at;
	EFI_STATUS status;

	memcpy(&h, file + LINUX_HDR_OFFSET, sizeof(h));
	skip = linux_setup_size(&h);
	at = h.pref_address;
	status = bs->AllocatePages(AllocateAddress, EfiLoaderCode, (h.init_size + 4095) / 4096,
				   &at);
	if (EFI_ERROR(status))
		return status;
	memcpy((void *)at, file + skip, size - skip);
	h.cmd_line_ptr = line;
	memcpy(params + LINUX_HDR_OFFSET, &h, sizeof(h));
	*entry = at + LINUX_ENTRY_64;
	return EFI_SUCCESS;
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st)
{
	static CHAR16 guest[] = L"\\EFI\\lamina\\guest", words[] = L"\\EFI\\lamina\\cmdline";
	UINTN size = IMAGE_LIMIT, length = sizeof(cmdline) - 1;
	EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	EFI_BOOT_SERVICES *bs = st->BootServices;
	EFI_LOADED_IMAGE *self;
	EFI_STATUS status;
	uint64_t entry;
	uint8_t *file;

	status = bs->HandleProtocol(handle, &guid, (void **)&self);
	if (!EFI_ERROR(status))
		status = bs->AllocatePool(EfiLoaderData, size, (void **)&file);
	if (!EFI_ERROR(status))
		status = read_file(bs, self->DeviceHandle, guest, file, &size);
	if (!EFI_ERROR(status))
		status = read_file(bs, self->DeviceHandle, words, cmdline, &length);
	if (!EFI_ERROR(status))
		status = place(bs, file, size, &entry);
	if (!EFI_ERROR(status))
		status = leave_firmware(bs, handle);
	if (EFI_ERROR(status))
		return status;
	start(entry);
}
