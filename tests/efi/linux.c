/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts a stock Linux kernel, \EFI\linux\kernel, by its EFI stub with the command line in
 * \EFI\linux\cmdline. This firmware has no boot entries that could carry one. Where the firmware
 * publishes no ACPI tables either, which is so on Bochs, it makes those that Linux needs to find all
 * CPUs and the IOAPIC.
 */
#include <efi.h>

#include <string.h>

#include "types.h"

#define KERNEL_LIMIT (64u << 20)
#define LINE_LIMIT   2048u
#define MAX_CPUS     8
#define PM_BASE      0xb000u /* where OVMF puts the ports of the PIIX4 */

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, sum;
	char oem[14];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} packed;

struct rsdp {
	char signature[8];
	uint8_t sum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t whole_sum, reserved[3];
} packed;

struct fadt {
	struct acpi_header h;
	uint32_t facs, dsdt;
	uint8_t reserved, profile;
	uint16_t sci;
	uint32_t smi_command, commands, pm1a_event, pm1b_event, pm1a_control, pm1b_control;
	uint32_t pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t unused_lengths[17];
	uint16_t boot_arch;
	uint8_t reserved2;
	uint32_t flags;
	uint8_t extended[128];
} packed;

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, first;
} packed;

struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t pin;
	uint16_t flags;
} packed;

struct madt_cpu {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} packed;

struct madt {
	struct acpi_header h;
	uint32_t lapic_address, flags;
	struct madt_ioapic ioapic;
	struct madt_override timer;
	struct madt_cpu cpus[MAX_CPUS];
} packed;

/* All in one page. */
struct tables {
	struct rsdp rsdp;
	struct {
		struct acpi_header h;
		uint64_t entries[2];
	} packed xsdt aligned(8);
	struct acpi_header dsdt aligned(8);
	struct fadt fadt aligned(8);
	struct madt madt aligned(8);
};

_Static_assert(sizeof(struct acpi_header) == 36 && sizeof(struct fadt) == 244, "ACPI 3.0, 5.2");

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st);

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

static bool has_acpi(const EFI_SYSTEM_TABLE *st)
{
	const EFI_GUID acpi = ACPI_20_TABLE_GUID;

	for (UINTN i = 0; i < st->NumberOfTableEntries; i++) {
		if (!memcmp(&st->ConfigurationTable[i].VendorGuid, &acpi, sizeof(acpi)))
			return true;
	}
	return false;
}

/* EFI_MP_SERVICES_PROTOCOL (PI specification, II-13.4) as far as its first function. */
struct mp_services {
	EFI_STATUS(EFIAPI *get_number)(struct mp_services *self, UINTN *count, UINTN *enabled);
};

static UINTN count_cpus(EFI_BOOT_SERVICES *bs)
{
	EFI_GUID guid = {
		0x3fdda605, 0xa76e, 0x4f46, { 0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 }
	};
	struct mp_services *mp;
	UINTN count, enabled;

	if (EFI_ERROR(bs->LocateProtocol(&guid, NULL, (void **)&mp)) ||
	    EFI_ERROR(mp->get_number(mp, &count, &enabled)))
		return 1;
	return count;
}

static uint8_t sum(const void *at, uint32_t size)
{
	const uint8_t *byte = at;
	uint8_t value = 0;

	while (size--)
		value = (uint8_t)(value + *byte++);
	return (uint8_t)-value;
}

static void finish(struct acpi_header *h, const char *signature, uint8_t revision, uint32_t size)
{
	memcpy(h->signature, signature, 4);
	h->length = size;
	h->revision = revision;
	memcpy(h->oem, "BENCH BENCH   ", 14);
	h->oem_revision = 1;
	memcpy(h->creator, "BENC", 4);
	h->creator_revision = 1;
	h->sum = sum(h, size);
}

/* ACPI 6.5, 5.2.12: local APICs, the IOAPIC at its standard address, and the timer at its pin 2. */
static void make_madt(struct madt *m, UINTN count)
{
	m->lapic_address = 0xfee00000;
	m->flags = 1; /* there are 8259s */
	m->ioapic = (struct madt_ioapic){ 1, 12, (uint8_t)count, 0, 0xfec00000, 0 };
	m->timer = (struct madt_override){ 2, 10, 0, 0, 2, 0 };
	for (UINTN i = 0; i < count; i++)
		m->cpus[i] = (struct madt_cpu){ 0, 8, (uint8_t)i, (uint8_t)i, 1 };
	finish(&m->h, "APIC", 3, (uint32_t)(sizeof(*m) - (MAX_CPUS - count) * sizeof(m->cpus[0])));
}

/* What OVMF has set up of the PIIX4's power management, and no more. */
static void make_fadt(struct fadt *f, const struct acpi_header *dsdt)
{
	f->dsdt = (uint32_t)(uintptr_t)dsdt;
	f->sci = 9;
	f->pm1a_event = PM_BASE;
	f->pm1a_control = PM_BASE + 4;
	f->pm_timer = PM_BASE + 8;
	f->pm1_event_length = 4;
	f->pm1_control_length = 2;
	f->pm_timer_length = 4;
	f->boot_arch = 1;                    /* there are ISA devices */
	f->flags = BIT(0) | BIT(4) | BIT(5); /* WBINVD; no buttons */
	finish(&f->h, "FACP", 3, sizeof(*f));
}

static EFI_STATUS describe_machine(EFI_SYSTEM_TABLE *st, UINTN count)
{
	EFI_PHYSICAL_ADDRESS page = 0xffffffff;
	EFI_GUID guid = ACPI_20_TABLE_GUID;
	struct tables *t;
	EFI_STATUS status =
		st->BootServices->AllocatePages(AllocateMaxAddress, EfiACPIReclaimMemory, 1, &page);

	if (EFI_ERROR(status))
		return status;
	t = (struct tables *)page;
	memset(t, 0, sizeof(*t));
	make_madt(&t->madt, count < MAX_CPUS ? count : MAX_CPUS);
	finish(&t->dsdt, "DSDT", 2, sizeof(t->dsdt)); /* with no object */
	make_fadt(&t->fadt, &t->dsdt);
	t->xsdt.entries[0] = (uintptr_t)&t->fadt;
	t->xsdt.entries[1] = (uintptr_t)&t->madt;
	finish(&t->xsdt.h, "XSDT", 1, sizeof(t->xsdt));
	memcpy(t->rsdp.signature, "RSD PTR ", 8);
	memcpy(t->rsdp.oem, "BENCH ", 6);
	t->rsdp.revision = 2;
	t->rsdp.length = sizeof(t->rsdp);
	t->rsdp.xsdt = (uintptr_t)&t->xsdt;
	t->rsdp.sum = sum(&t->rsdp, 20); /* of the first version's part */
	t->rsdp.whole_sum = sum(&t->rsdp, sizeof(t->rsdp));
	return st->BootServices->InstallConfigurationTable(&guid, t);
}

/* The command line as the stub wants it, in 16-bit characters. */
static EFI_STATUS read_line(EFI_BOOT_SERVICES *bs, EFI_LOADED_IMAGE *self, EFI_LOADED_IMAGE *kernel)
{
	static CHAR16 path[] = L"\\EFI\\linux\\cmdline", line[LINE_LIMIT];
	static char text[LINE_LIMIT];
	UINTN length = LINE_LIMIT - 1;
	EFI_STATUS status = read_file(bs, self->DeviceHandle, path, text, &length);

	if (EFI_ERROR(status))
		return status;
	for (UINTN i = 0; i < length; i++)
		line[i] = (CHAR16)text[i];
	kernel->LoadOptions = line;
	kernel->LoadOptionsSize = (UINT32)((length + 1) * sizeof(line[0]));
	kernel->DeviceHandle = self->DeviceHandle; /* for its initrd= */
	return EFI_SUCCESS;
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st)
{
	static CHAR16 path[] = L"\\EFI\\linux\\kernel";
	EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	EFI_BOOT_SERVICES *bs = st->BootServices;
	EFI_LOADED_IMAGE *self, *kernel;
	UINTN size = KERNEL_LIMIT;
	EFI_HANDLE image;
	EFI_STATUS status;
	void *file;

	status = bs->HandleProtocol(handle, &guid, (void **)&self);
	if (!EFI_ERROR(status))
		status = bs->AllocatePool(EfiLoaderData, size, &file);
	if (!EFI_ERROR(status))
		status = read_file(bs, self->DeviceHandle, path, file, &size);
	if (!EFI_ERROR(status))
		status = bs->LoadImage(FALSE, handle, NULL, file, size, &image);
	if (!EFI_ERROR(status))
		status = bs->HandleProtocol(image, &guid, (void **)&kernel);
	if (!EFI_ERROR(status))
		status = read_line(bs, self, kernel);
	if (!EFI_ERROR(status) && !has_acpi(st))
		status = describe_machine(st, count_cpus(bs));
	if (!EFI_ERROR(status))
		status = bs->FreePool(file);
	return EFI_ERROR(status) ? status : bs->StartImage(image, NULL, NULL);
}
