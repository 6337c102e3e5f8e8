/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What firmware does when VT-x is turned off in its setup: locks IA32_FEATURE_CONTROL without VMX
 * (Intel SDM vol. 3C section 24.7) and boots \EFI\lamina\loader.efi of the same volume.
 */
#include <efi.h>

#include "x86/asm.h"
#include "x86/msr.h"

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st);

/* Read the file to `buffer`; its size is at most *size before and what was read after. */
static EFI_STATUS read_loader(EFI_SYSTEM_TABLE *st, EFI_HANDLE device, void *buffer, UINTN *size)
{
	static CHAR16 path[] = L"\\EFI\\lamina\\loader.efi";
	EFI_GUID guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_FILE_IO_INTERFACE *fs;
	EFI_FILE_HANDLE root, file;
	EFI_STATUS status;

	status = st->BootServices->HandleProtocol(device, &guid, (void **)&fs);
	if (!EFI_ERROR(status))
		status = fs->OpenVolume(fs, &root);
	if (!EFI_ERROR(status))
		status = root->Open(root, &file, path, EFI_FILE_MODE_READ, 0);
	if (!EFI_ERROR(status))
		status = file->Read(file, size, buffer);
	return status;
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st)
{
	EFI_BOOT_SERVICES *bs = st->BootServices;
	EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	EFI_LOADED_IMAGE *self, *image;
	EFI_HANDLE child;
	EFI_STATUS status;
	UINTN size = 1 << 20;
	void *buffer;

	wrmsr(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCK);
	status = bs->HandleProtocol(handle, &guid, (void **)&self);
	if (!EFI_ERROR(status))
		status = bs->AllocatePool(EfiLoaderData, size, &buffer);
	if (!EFI_ERROR(status))
		status = read_loader(st, self->DeviceHandle, buffer, &size);
	if (!EFI_ERROR(status))
		status = bs->LoadImage(FALSE, handle, NULL, buffer, size, &child);
	if (!EFI_ERROR(status))
		status = bs->HandleProtocol(child, &guid, (void **)&image);
	if (EFI_ERROR(status))
		return status;
	/* An image out of memory comes from no volume, but this one's files are on ours. */
	image->DeviceHandle = self->DeviceHandle;
	return bs->StartImage(child, NULL, NULL);
}
