/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/guest_acpi.h"

#include <string.h>

#include "core/vioapic.h"
#include "core/vpm.h"

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} packed;

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} packed;

/* Generic Address Structure, ACPI 6.5 section 5.2.3.2 */
struct acpi_gas {
	uint8_t space; /* 1: I/O port */
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access; /* 1: byte */
	uint64_t address;
} packed;

/* ACPI 6.5 section 5.2.9; what hardware-reduced ACPI leaves unused is skipped over. */
struct acpi_fadt {
	struct acpi_header h;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t unused1[109 - 44];
	uint16_t iapc_boot_arch;
	uint8_t unused2;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_facs;
	uint64_t x_dsdt;
	uint8_t unused3[244 - 148];
	struct acpi_gas sleep_control;
	struct acpi_gas sleep_status;
	uint64_t hypervisor_id;
} packed;

_Static_assert(offsetof(struct acpi_fadt, iapc_boot_arch) == 109, "ACPI 6.5 table 5.9");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI 6.5 table 5.9");
_Static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "ACPI 6.5 table 5.9");
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.5 table 5.9");

#define FADT_NO_VGA           BIT(2)
#define FADT_NO_MSI           BIT(3)
#define FADT_WBINVD           BIT(0)
#define FADT_PROC_C1          BIT(2)
#define FADT_POWER_BUTTON     BIT(4)
#define FADT_SLEEP_BUTTON     BIT(5)
#define FADT_FIX_RTC          BIT(6)
#define FADT_RESET_REG        BIT(10)
#define FADT_HEADLESS         BIT(12)
#define FADT_HARDWARE_REDUCED BIT(20)

struct acpi_madt {
	struct acpi_header h;
	uint32_t lapic_address;
	uint32_t flags;
} packed;

struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} packed;

struct madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id, flags, uid;
} packed;

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} packed;

/* PCI Firmware Specification 3.0, 4.1.2: one segment, one bus. */
struct acpi_mcfg_table {
	struct acpi_header h;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved2;
} packed;

/* QWord Address Space Descriptor, ACPI 6.5 section 6.4.3.5.1. */
struct acpi_qword_window {
	uint8_t tag;
	uint16_t length;
	uint8_t type; /* 0: memory */
	uint8_t flags, type_flags;
	uint64_t granularity, min, max, translation, size;
} packed;

#define QWORD_WINDOW 0x8a

/* One buffer that grows; every table starts 16-byte aligned. */
struct builder {
	uint8_t *buf;
	uint32_t used;
	bool overflow, damaged;
};

static void *reserve(struct builder *b, uint32_t size)
{
	uint32_t at = (uint32_t)ALIGN_UP(b->used, 16);

	if (size > GUEST_ACPI_SIZE || at > GUEST_ACPI_SIZE - size) {
		b->overflow = true;
		return NULL;
	}
	b->used = at + size;
	return b->buf + at;
}

static uint64_t gpa_of(const struct builder *b, const void *p)
{
	return GUEST_ACPI_BASE + (uint64_t)((const uint8_t *)p - b->buf);
}

static uint8_t checksum(const void *p, uint32_t size)
{
	const uint8_t *byte = p;
	uint8_t sum = 0;

	while (size--)
		sum = (uint8_t)(sum + *byte++);
	return (uint8_t)-sum;
}

static void set_header(struct acpi_header *h, const char *signature, uint8_t revision,
		       uint32_t length)
{
	memcpy(h->signature, signature, 4);
	h->length = length;
	h->revision = revision;
	memcpy(h->oem_id, "LAMINA", 6);
	memcpy(h->oem_table_id, "LAMINAVM", 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, "LAMI", 4);
	h->creator_revision = 1;
	h->checksum = 0;
}

static struct acpi_gas port_register(uint16_t port)
{
	return (struct acpi_gas){ .space = 1, .bit_width = 8, .access = 1, .address = port };
}

static void *build_dsdt(struct builder *b, const struct guest_acpi_params *p)
{
	void *dsdt = reserve(b, p->dsdt_size);

	if (dsdt)
		memcpy(dsdt, p->dsdt, p->dsdt_size);
	return dsdt;
}

static void *build_fadt(struct builder *b, uint64_t dsdt)
{
	struct acpi_fadt *f = reserve(b, sizeof(*f));

	if (!f)
		return NULL;
	set_header(&f->h, "FACP", 6, sizeof(*f));
	f->minor_version = 5;
	f->dsdt = (uint32_t)dsdt;
	f->x_dsdt = dsdt;
	f->iapc_boot_arch = FADT_NO_VGA; /* no 8042 either: its bit is clear */
	f->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_POWER_BUTTON | FADT_SLEEP_BUTTON |
		   FADT_FIX_RTC | FADT_RESET_REG | FADT_HEADLESS | FADT_HARDWARE_REDUCED;
	f->reset_reg = port_register(VPM_RESET_PORT);
	f->reset_value = VPM_RESET_VALUE;
	f->sleep_control = port_register(VPM_SLEEP_CONTROL);
	f->sleep_status = port_register(VPM_SLEEP_STATUS);
	memcpy(&f->hypervisor_id, "LAMINA\0", 8);
	f->h.checksum = checksum(f, sizeof(*f));
	return f;
}

/* A core whose id does not fit a local APIC entry takes an x2APIC entry (ACPI 6.5, 5.2.12.12). */
static void build_madt_cpu(struct builder *b, uint32_t apic_id, uint32_t uid)
{
	if (apic_id < 0xff && uid < 0xff) {
		struct madt_lapic e = { 0, sizeof(e), (uint8_t)uid, (uint8_t)apic_id, 1 };

		memcpy(b->buf + b->used, &e, sizeof(e));
		b->used += sizeof(e);
	} else {
		struct madt_x2apic e = { 9, sizeof(e), 0, apic_id, 1, uid };

		memcpy(b->buf + b->used, &e, sizeof(e));
		b->used += sizeof(e);
	}
}

static void *build_madt(struct builder *b, const struct guest_acpi_params *p)
{
	const struct madt_ioapic ioapic = { 1, sizeof(ioapic), 0, 0, VIOAPIC_GPA, 0 };
	uint32_t most = (uint32_t)(sizeof(struct acpi_madt) + sizeof(ioapic) +
				   p->cpu_count * sizeof(struct madt_x2apic));
	struct acpi_madt *m = reserve(b, most);
	uint32_t start;

	if (!m)
		return NULL;
	start = (uint32_t)((uint8_t *)m - b->buf);
	b->used = start + (uint32_t)sizeof(*m);
	for (uint32_t i = 0; i < p->cpu_count; i++)
		build_madt_cpu(b, p->apic_ids[i], i);
	memcpy(b->buf + b->used, &ioapic, sizeof(ioapic));
	b->used += (uint32_t)sizeof(ioapic);

	set_header(&m->h, "APIC", 5, b->used - start);
	m->lapic_address = 0xfee00000;
	m->flags = 0; /* no PCAT_COMPAT: there is no 8259 */
	m->h.checksum = checksum(m, m->h.length);
	return m;
}

static void *build_mcfg(struct builder *b, const struct guest_acpi_pci *pci)
{
	struct acpi_mcfg_table *m = reserve(b, sizeof(*m));

	if (!m)
		return NULL;
	set_header(&m->h, "MCFG", 1, sizeof(*m));
	m->base = pci->ecam;
	m->h.checksum = checksum(m, sizeof(*m));
	return m;
}

/* A window of no size is one that does not exist (ACPI 6.5, table 6.48). */
static bool fill_window(uint8_t *aml, uint32_t size, const struct guest_acpi_pci *pci)
{
	struct acpi_qword_window w;

	for (uint32_t at = sizeof(struct acpi_header); at + sizeof(w) <= size; at++) {
		memcpy(&w, aml + at, sizeof(w));
		if (w.tag != QWORD_WINDOW || w.length != sizeof(w) - 3 || w.type)
			continue;
		w.min = pci->mem64;
		w.max = pci->mem64_size ? pci->mem64 + pci->mem64_size - 1 : pci->mem64;
		w.size = pci->mem64_size;
		memcpy(aml + at, &w, sizeof(w));
		return true;
	}
	return false;
}

static void *build_ssdt(struct builder *b, const struct guest_acpi_pci *pci)
{
	struct acpi_header *h = reserve(b, pci->ssdt_size);

	if (!h)
		return NULL;
	memcpy(h, pci->ssdt, pci->ssdt_size);
	if (pci->ssdt_size < sizeof(*h) || !fill_window((uint8_t *)h, pci->ssdt_size, pci)) {
		b->damaged = true;
		return NULL;
	}
	h->checksum = 0;
	h->checksum = checksum(h, pci->ssdt_size);
	return h;
}

static void *build_xsdt(struct builder *b, const uint64_t *tables, uint32_t count)
{
	uint32_t size = sizeof(struct acpi_header) + count * (uint32_t)sizeof(*tables);
	struct acpi_header *h = reserve(b, size);

	if (!h)
		return NULL;
	memcpy(h + 1, tables, count * sizeof(*tables));
	set_header(h, "XSDT", 1, size);
	h->checksum = checksum(h, size);
	return h;
}

enum status guest_acpi_build(void *buf, const struct guest_acpi_params *p, uint32_t *used)
{
	struct builder b = { .buf = buf };
	struct acpi_rsdp *rsdp = reserve(&b, sizeof(*rsdp));
	void *dsdt = build_dsdt(&b, p);
	uint64_t tables[4];
	uint32_t count = 0;
	void *xsdt;

	tables[count++] = gpa_of(&b, build_fadt(&b, gpa_of(&b, dsdt)));
	tables[count++] = gpa_of(&b, build_madt(&b, p));
	if (p->pci) {
		tables[count++] = gpa_of(&b, build_mcfg(&b, p->pci));
		tables[count++] = gpa_of(&b, build_ssdt(&b, p->pci));
	}
	xsdt = build_xsdt(&b, tables, count);
	if (b.overflow || !rsdp)
		return ERR_RANGE;
	if (b.damaged)
		return ERR_INVALID;
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "LAMINA", 6);
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt = gpa_of(&b, xsdt);
	rsdp->checksum = checksum(rsdp, 20);
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
	*used = b.used;
	return OK;
}
