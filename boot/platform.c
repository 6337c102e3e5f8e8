/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/civil_time.h"
#include "boot/loader.h"
#include "drivers/acpi.h"
#include "x86/asm.h"
#include "x86/pm_timer.h"

/* UEFI PI specification 1.8, volume 2, section 13.4. gnu-efi does not declare this protocol. */
#define MP_SERVICES_GUID                                               \
	{                                                              \
		0x3fdda605, 0xa76e, 0x4f46,                            \
		{                                                      \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 \
		}                                                      \
	}

#define FADT_PM_TMR_BLK 76 /* offset in the table */

#define MP_ENABLED BIT(1)
#define MP_HEALTHY BIT(2)

struct mp_processor {
	UINT64 id; /* local APIC */
	UINT32 flags;
	UINT32 location[3];
	UINT32 extended_location[6];
};

struct mp_services {
	EFI_STATUS(EFIAPI *get_number)(struct mp_services *self, UINTN *all, UINTN *enabled);
	EFI_STATUS(EFIAPI *get_info)
	(struct mp_services *self, UINTN index, struct mp_processor *info);
	void *others[5];
};

static bool same_guid(const EFI_GUID *a, const EFI_GUID *b)
{
	return !memcmp(a, b, sizeof(*a));
}

void platform_find_rsdp(void)
{
	EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
	const EFI_CONFIGURATION_TABLE *table = loader.st->ConfigurationTable;
	UINTN i;

	loader.rsdp = HPA(0);
	for (i = 0; i < loader.st->NumberOfTableEntries; i++) {
		if (same_guid(&table[i].VendorGuid, &acpi2)) {
			loader.rsdp = HPA((uint64_t)table[i].VendorTable);
			return;
		}
		if (same_guid(&table[i].VendorGuid, &acpi1))
			loader.rsdp = HPA((uint64_t)table[i].VendorTable);
	}
}

/* The number under which the other cores see this one: CPUID 0xb has all 32 bits, leaf 1 has 8. */
static uint32_t own_apic_id(void)
{
	if (cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx & 0xffff)
		return cpuid(0xb, 0).edx;
	return cpuid(1, 0).ebx >> 24;
}

static void add_cpu(uint32_t apic_id, uint32_t uid)
{
	uint32_t i;

	for (i = 0; i < loader.cpu_count; i++) {
		if (loader.cpus[i].apic_id != apic_id)
			continue;
		if (i == 0)
			loader.cpus[0].acpi_uid = uid;
		return;
	}
	if (loader.cpu_count == CONFIG_MAX_CPUS) {
		note("Lamina: the core with APIC ID %u is beyond the supported %d",
		     (unsigned int)apic_id, CONFIG_MAX_CPUS);
		return;
	}
	loader.cpus[loader.cpu_count++] = (struct boot_cpu){ apic_id, uid };
}

/*
 * Tables lie in memory that the firmware lists, or in the BIOS area below 1 MiB, which some forget
 * to list. Nothing else is read, because a broken pointer would fault in the firmware's mapping.
 */
static const void *map_table(void *ctx, hpa_t pa, uint64_t size)
{
	const struct region_list *l = ctx;
	uint32_t i;

	if (pa.v >= 0x80000 && pa.v < 0x100000 && size <= 0x100000 - pa.v)
		return (const void *)pa.v;
	for (i = 0; i < l->count; i++) {
		const struct boot_region *r = &l->regions[i];

		if (pa.v >= r->base.v && pa.v - r->base.v < r->size && r->type != REGION_MMIO &&
		    r->type != REGION_BAD && size <= r->size - (pa.v - r->base.v))
			return (const void *)pa.v;
	}
	return NULL;
}

static void table_warning(void *ctx, const char *what, hpa_t pa)
{
	(void)ctx;
	note("ACPI: %s (at 0x%llx)", what, (unsigned long long)pa.v);
}

static bool cores_from_madt(void)
{
	static struct acpi_madt madt;
	const struct acpi_mem mem = { .map = map_table,
				      .warn = table_warning,
				      .ctx = &loader.memory };
	struct acpi acpi;
	uint32_t i, found = 0;

	if (!loader.rsdp.v || acpi_init(&acpi, &mem, loader.rsdp) != OK ||
	    acpi_read_madt(&acpi, &madt) != OK)
		return false;
	for (i = 0; i < madt.cpu_count; i++) {
		if (!madt.cpus[i].enabled)
			continue;
		add_cpu(madt.cpus[i].apic_id, madt.cpus[i].uid);
		found++;
	}
	return found > 0;
}

static bool cores_from_mp_services(void)
{
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *mp;
	UINTN all, enabled, i;

	if (EFI_ERROR(loader.bs->LocateProtocol(&guid, NULL, (void **)&mp)) ||
	    EFI_ERROR(mp->get_number(mp, &all, &enabled)))
		return false;
	for (i = 0; i < all; i++) {
		struct mp_processor p;

		if (!EFI_ERROR(mp->get_info(mp, i, &p)) && (p.flags & MP_ENABLED) &&
		    (p.flags & MP_HEALTHY))
			add_cpu((uint32_t)p.id, (uint32_t)i);
	}
	return true;
}

void platform_find_cores(void)
{
	loader.cpu_count = 0;
	add_cpu(own_apic_id(), 0);
	if (!cores_from_madt() && !cores_from_mp_services())
		say("Lamina: the firmware has neither an ACPI MADT nor MP services; only the boot core is "
		    "used");
}

/*
 * Only the one field, because reading the whole table means searching the DSDT for the power-off
 * codes. PM_TMR_BLK is an I/O port by definition (ACPI 6.5 table 5.9).
 */
static uint16_t pm_timer_port(void)
{
	const struct acpi_mem mem = { .map = map_table, .ctx = &loader.memory };
	struct acpi_table fadt;
	struct acpi acpi;
	uint32_t port = 0;

	if (!loader.rsdp.v || acpi_init(&acpi, &mem, loader.rsdp) != OK ||
	    acpi_find(&acpi, "FACP", 0, &fadt) != OK)
		return 0;
	if (fadt.length >= FADT_PM_TMR_BLK + sizeof(port))
		memcpy(&port, fadt.data + FADT_PM_TMR_BLK, sizeof(port));
	acpi_put(&acpi, &fadt);
	return port <= 0xffff ? (uint16_t)port : 0;
}

void platform_sample_clock(void)
{
	uint16_t port = pm_timer_port();

	loader.tsc_pm = 0;
	if (port)
		loader.pm_timer = pm_timer_sample(port, &loader.tsc_pm);
}

/* The place of an 8-bit channel; false if the mask is no whole byte. */
static bool channel(uint32_t mask, uint8_t *shift)
{
	for (*shift = 0; *shift < 32; *shift += 8) {
		if (mask == 0xffu << *shift)
			return true;
	}
	return false;
}

void platform_framebuffer(struct boot_framebuffer *fb)
{
	EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info;
	uint32_t red = 0x0000ff, green = 0x00ff00, blue = 0xff0000;

	memset(fb, 0, sizeof(*fb));
	if (EFI_ERROR(loader.bs->LocateProtocol(&guid, NULL, (void **)&gop)) || !gop->Mode ||
	    !gop->Mode->Info)
		return;
	info = gop->Mode->Info;
	if (info->PixelFormat == PixelBlueGreenRedReserved8BitPerColor) {
		red = 0xff0000;
		blue = 0x0000ff;
	} else if (info->PixelFormat == PixelBitMask) {
		red = info->PixelInformation.RedMask;
		green = info->PixelInformation.GreenMask;
		blue = info->PixelInformation.BlueMask;
	} else if (info->PixelFormat != PixelRedGreenBlueReserved8BitPerColor) {
		return; /* only through the firmware's own drawing routine */
	}
	if (!channel(red, &fb->red_shift) || !channel(green, &fb->green_shift) ||
	    !channel(blue, &fb->blue_shift) ||
	    info->PixelsPerScanLine < info->HorizontalResolution ||
	    (uint64_t)info->PixelsPerScanLine * 4 * info->VerticalResolution >
		    gop->Mode->FrameBufferSize)
		return;
	fb->base = HPA(gop->Mode->FrameBufferBase);
	fb->width = info->HorizontalResolution;
	fb->height = info->VerticalResolution;
	fb->pitch = info->PixelsPerScanLine * 4;
	fb->size = gop->Mode->FrameBufferSize;
}

int64_t platform_epoch(uint64_t *tsc)
{
	struct civil_time c;
	EFI_TIME t;
	EFI_STATUS status = loader.st->RuntimeServices->GetTime(&t, NULL);

	*tsc = rdtsc();
	if (EFI_ERROR(status))
		return 0;
	c = (struct civil_time){ t.Year, t.Month, t.Day, t.Hour, t.Minute, t.Second, t.TimeZone };
	/* Without a zone the clock is local time of an unknown place; UTC is the best guess. */
	if (t.TimeZone == EFI_UNSPECIFIED_TIMEZONE)
		c.zone = 0;
	return civil_to_epoch(&c);
}
