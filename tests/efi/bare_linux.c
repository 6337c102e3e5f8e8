/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a stock Linux kernel on the bare machine as Lamina runs one in a guest, to compare the two:
 * \EFI\lamina\kernel with \EFI\lamina\initrd and the command line in \EFI\lamina\cmdline. It enters
 * at the same point, with the same plan, the same memory map and the same firmware tables, so that it
 * looks for the same devices. `entry=0000000000000000` on the command line becomes the TSC (in
 * hexadecimal) at the kernel's first instruction.
 *
 * The firmware is not called any more then, and all that it has left below MEMORY is overwritten. The
 * program, its stack and the files must lie above; OVMF puts them to the end of the memory.
 */
#include <efi.h>

#include <string.h>

#include "core/guest_acpi.h"
#include "core/guest_load.h"
#include "linux_boot.h"
#include "x86/asm.h"

#define MEMORY       (256ull << 20) /* that the kernel gets */
#define FILE_LIMIT   (32u << 20)
#define MAP_LIMIT    (64u << 10)
#define ENTRY_WORD   "entry="
#define ENTRY_DIGITS 16

/* The host bridge's registers that make the BIOS area RAM (PAM), of E0000h to EFFFFh. */
#define Q35_ID     0x29c08086
#define Q35_PAM5   0x94 /* dword with 95h and 96h */
#define I440FX_ID  0x12378086
#define I440_PAM5  0x5c /* dword with 5eh and 5fh */
#define PAM_RAM    0x33
#define PIC_MASKS  0x21
#define PIC2_MASKS 0xa1

extern const uint8_t dsdt_start[], dsdt_end[];

struct file {
	uint8_t *data;
	UINTN size;
};

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st);

static uint8_t tables[GUEST_ACPI_SIZE] aligned(4096);

static EFI_STATUS read_file(EFI_BOOT_SERVICES *bs, EFI_HANDLE device, CHAR16 *path, struct file *f)
{
	EFI_GUID guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_PHYSICAL_ADDRESS at;
	EFI_FILE_IO_INTERFACE *fs;
	EFI_FILE_HANDLE root, file;
	EFI_STATUS status;

	f->size = FILE_LIMIT;
	status = bs->HandleProtocol(device, &guid, (void **)&fs);
	if (!EFI_ERROR(status))
		status = fs->OpenVolume(fs, &root);
	if (!EFI_ERROR(status))
		status = root->Open(root, &file, path, EFI_FILE_MODE_READ, 0);
	if (!EFI_ERROR(status))
		status = bs->AllocatePages(AllocateAnyPages, EfiLoaderData, f->size / PAGE_SIZE,
					   &at);
	if (EFI_ERROR(status))
		return status;
	f->data = (uint8_t *)at;
	return at < MEMORY ? EFI_OUT_OF_RESOURCES : file->Read(file, &f->size, f->data);
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

static uint32_t host_bridge(uint32_t reg)
{
	outl(0xcf8, 0x80000000u | reg);
	return inl(0xcfc);
}

/* Nothing but RAM from E0000h on, as in a guest, and no interrupt from a controller of the PC's. */
static void prepare_machine(void)
{
	uint32_t reg = host_bridge(0) == Q35_ID ? Q35_PAM5 : I440_PAM5;
	uint32_t at = reg == Q35_PAM5 ? 8 : 16;
	uint32_t value = host_bridge(reg);

	outl(0xcfc, (value & ~(0xffffu << at)) | (PAM_RAM << at) | (PAM_RAM << (at + 8)));
	outb(PIC_MASKS, 0xff);
	outb(PIC2_MASKS, 0xff);
}

/* As core/guest_load.c makes them for a guest; they are in use from here on. */
static void load_tables(void)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull };
	struct packed {
		uint16_t limit;
		uint64_t base;
	} gdtr = { sizeof(gdt) - 1, GUEST_GDT };
	uint64_t *table = (uint64_t *)GUEST_PAGE_TABLES;

	memcpy((void *)GUEST_GDT, gdt, sizeof(gdt));
	memset(table, 0, 2 * PAGE_SIZE);
	table[0] = (GUEST_PAGE_TABLES + PAGE_SIZE) | 3;
	for (uint64_t i = 0; i < 4; i++)
		table[512 + i] = (GUEST_PAGE_TABLES + (2 + i) * PAGE_SIZE) | 3;
	for (uint64_t i = 0; i < 4 * 512; i++)
		table[1024 + i] = i * SIZE_2M | 0x83;
	__asm__ volatile("mov %0, %%cr3; lgdt %1; mov %2, %%ds; mov %2, %%es; mov %2, %%ss; "
			 "mov %2, %%fs; mov %2, %%gs"
			 :
			 : "r"(GUEST_PAGE_TABLES), "m"(gdtr), "r"(0x18)
			 : "memory");
}

static void write_entry_tsc(char *cmdline, uint64_t tsc)
{
	char *digit = strstr(cmdline, ENTRY_WORD);

	if (!digit || strlen(digit) < sizeof(ENTRY_WORD) - 1 + ENTRY_DIGITS)
		return;
	digit += sizeof(ENTRY_WORD) - 1 + ENTRY_DIGITS;
	for (uint32_t i = 0; i < ENTRY_DIGITS; i++, tsc >>= 4)
		*--digit = "0123456789abcdef"[tsc & 15];
}

/* Behind ExitBootServices(). */
static noreturn void start(const struct linux_plan *plan, const struct file *kernel,
			   const struct file *initrd, const struct file *words)
{
	uint64_t entry = plan->load + LINUX_ENTRY_64;
	const struct linux_setup_header *h = (const void *)(kernel->data + LINUX_HDR_OFFSET);

	__asm__ volatile("cli");
	load_tables();
	prepare_machine();
	linux_boot_params((void *)GUEST_BOOT_PARAMS, h, 0x202u + (h->jump >> 8) - LINUX_HDR_OFFSET,
			  plan);
	memcpy((void *)plan->load, kernel->data + plan->setup_size,
	       kernel->size - plan->setup_size);
	memcpy((void *)plan->initrd, initrd->data, initrd->size);
	memcpy((void *)GUEST_CMDLINE, words->data, words->size);
	memcpy((void *)GUEST_ACPI_BASE, tables, sizeof(tables));
	write_entry_tsc((char *)GUEST_CMDLINE, rdtsc());
	__asm__ volatile("push $0x10; push %0; lretq"
			 :
			 : "r"(entry), "S"(GUEST_BOOT_PARAMS)
			 : "memory");
	__builtin_unreachable();
}

static bool fits(const struct file *kernel, struct linux_plan *plan)
{
	struct linux_setup_header h;

	if (kernel->size < LINUX_HDR_OFFSET + sizeof(h))
		return false;
	memcpy(&h, kernel->data + LINUX_HDR_OFFSET, sizeof(h));
	return linux_plan(&h, plan) == OK;
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st)
{
	static CHAR16 paths[][32] = { L"\\EFI\\lamina\\kernel", L"\\EFI\\lamina\\initrd",
				      L"\\EFI\\lamina\\cmdline" };
	static const uint32_t apic_ids[] = { 0 };
	const struct guest_acpi_params acpi = { .apic_ids = apic_ids,
						.cpu_count = 1,
						.dsdt = dsdt_start,
						.dsdt_size = (uint32_t)(dsdt_end - dsdt_start) };
	EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	EFI_BOOT_SERVICES *bs = st->BootServices;
	struct linux_plan plan = { .memory = MEMORY };
	EFI_LOADED_IMAGE *self;
	struct file files[ARRAY_SIZE(paths)];
	EFI_STATUS status;
	uint32_t used;

	status = bs->HandleProtocol(handle, &guid, (void **)&self);
	for (uint32_t i = 0; i < ARRAY_SIZE(paths) && !EFI_ERROR(status); i++)
		status = read_file(bs, self->DeviceHandle, paths[i], &files[i]);
	if (EFI_ERROR(status))
		return status;
	plan.kernel_size = files[0].size;
	plan.initrd_size = files[1].size;
	if ((uint64_t)self->ImageBase < MEMORY || (uint64_t)&plan < MEMORY ||
	    guest_acpi_build(tables, &acpi, &used) != OK || !fits(&files[0], &plan))
		return EFI_UNSUPPORTED;
	status = leave_firmware(bs, handle);
	if (EFI_ERROR(status))
		return status;
	start(&plan, &files[0], &files[1], &files[2]);
}
