/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/acpi.h"

#include <string.h>

/*
 * Fields are read by offset, never through packed structures: a table that is shorter than its
 * revision promises then simply reads as zero beyond its end.
 */
#define RSDP_V1_BYTES    20
#define RSDP_V2_BYTES    36
#define RSDP_MAX_BYTES   128
#define HEADER_BYTES     36
#define TABLE_MAX_BYTES  (16u << 20) /* the largest real DSDTs are below 1 MiB */
#define ROOT_MAX_ENTRIES 1024
#define SSDT_MAX         64
#define GAS_BYTES        12

/* Offsets in the header (ACPI 5.2.6). */
#define HEADER_LENGTH   4
#define HEADER_REVISION 8

static void warn_at(const struct acpi_mem *mem, const char *what, hpa_t pa)
{
	if (mem->warn)
		mem->warn(mem->ctx, what, pa);
}

static const uint8_t *map_bytes(const struct acpi_mem *mem, hpa_t pa, uint64_t size)
{
	if (!pa.v || pa.v + size < pa.v)
		return NULL;
	return mem->map(mem->ctx, pa, size);
}

static void unmap_bytes(const struct acpi_mem *mem, const uint8_t *va, uint64_t size)
{
	if (va && mem->unmap)
		mem->unmap(mem->ctx, va, size);
}

static uint64_t get_le(const uint8_t *p, uint32_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

uint64_t acpi_field(const struct acpi_table *t, uint32_t offset, uint32_t bytes)
{
	if (offset > t->length || bytes > t->length - offset)
		return 0;
	return get_le(t->data + offset, bytes);
}

static uint8_t get8(const struct acpi_table *t, uint32_t offset)
{
	return (uint8_t)acpi_field(t, offset, 1);
}

static uint16_t get16(const struct acpi_table *t, uint32_t offset)
{
	return (uint16_t)acpi_field(t, offset, 2);
}

static uint32_t get32(const struct acpi_table *t, uint32_t offset)
{
	return (uint32_t)acpi_field(t, offset, 4);
}

static uint64_t get64(const struct acpi_table *t, uint32_t offset)
{
	return acpi_field(t, offset, 8);
}

static struct acpi_gas get_gas(const struct acpi_table *t, uint32_t offset)
{
	return (struct acpi_gas){
		.space = get8(t, offset),
		.width = get8(t, offset + 1),
		.offset = get8(t, offset + 2),
		.access = get8(t, offset + 3),
		.address = get64(t, offset + 4),
	};
}

/*
 * Eight sums at a time, one in each byte of a word: a DSDT has tens of kilobytes. Adding without
 * the top bits keeps carries inside their byte; the top bits are added by XOR.
 */
static bool checksum_ok(const uint8_t *p, uint32_t length)
{
	const uint64_t top = 0x8080808080808080ull;
	uint64_t sums = 0, word;
	uint8_t sum = 0;

	for (; length >= 8; length -= 8, p += 8) {
		__builtin_memcpy(&word, p, 8);
		sums = ((sums & ~top) + (word & ~top)) ^ ((sums ^ word) & top);
	}
	for (; sums; sums >>= 8)
		sum = (uint8_t)(sum + sums);
	while (length--)
		sum = (uint8_t)(sum + *p++);
	return sum == 0;
}

/* Map a whole table whose signature has to be this one. */
static enum status open_table(const struct acpi_mem *mem, hpa_t pa, const char *signature,
			      struct acpi_table *out)
{
	const uint8_t *p = map_bytes(mem, pa, HEADER_BYTES);
	uint32_t length;
	bool match;

	if (!p)
		return ERR_FAULT;
	match = memcmp(p, signature, 4) == 0;
	length = (uint32_t)get_le(p + HEADER_LENGTH, 4);
	unmap_bytes(mem, p, HEADER_BYTES);
	if (!match)
		return ERR_NOT_FOUND;
	if (length < HEADER_BYTES || length > TABLE_MAX_BYTES) {
		warn_at(mem, "ACPI table with an impossible length", pa);
		return ERR_INVALID;
	}
	p = map_bytes(mem, pa, length);
	if (!p) {
		warn_at(mem, "ACPI table that is not readable", pa);
		return ERR_FAULT;
	}
	/* Like other systems: a wrong sum alone is no reason to lose the machine's interrupts. */
	if (!checksum_ok(p, length))
		warn_at(mem, "ACPI table with a wrong checksum", pa);
	*out = (struct acpi_table){ .data = p, .length = length, .pa = pa };
	return OK;
}

/* Look at an RSDT or XSDT; on success it is the root of `a`. */
static enum status use_root(struct acpi *a, hpa_t pa, const char *signature, uint8_t entry_size)
{
	struct acpi_table t;
	enum status r = open_table(&a->mem, pa, signature, &t);

	if (r != OK)
		return r;
	if ((t.length - HEADER_BYTES) / entry_size > ROOT_MAX_ENTRIES) {
		warn_at(&a->mem, "ACPI root table with too many entries", pa);
		t.length = HEADER_BYTES + ROOT_MAX_ENTRIES * entry_size;
	}
	a->root = pa;
	a->root_length = t.length;
	a->entry_size = entry_size;
	unmap_bytes(&a->mem, t.data, t.length);
	return OK;
}

/* The second half of an ACPI 2.0 RSDP (5.2.5.3): address of the XSDT, or 0. */
static hpa_t rsdp_xsdt(const struct acpi_mem *mem, hpa_t rsdp)
{
	const uint8_t *p = map_bytes(mem, rsdp, RSDP_V2_BYTES);
	uint32_t length;
	hpa_t xsdt;
	bool good;

	if (!p)
		return HPA(0);
	length = (uint32_t)get_le(p + 20, 4);
	xsdt = HPA(get_le(p + 24, 8));
	unmap_bytes(mem, p, RSDP_V2_BYTES);
	if (length < RSDP_V2_BYTES || length > RSDP_MAX_BYTES) {
		warn_at(mem, "RSDP with an impossible length", rsdp);
		return HPA(0);
	}
	p = map_bytes(mem, rsdp, length);
	good = p && checksum_ok(p, length);
	unmap_bytes(mem, p, length);
	if (!good) {
		warn_at(mem, "RSDP with a wrong extended checksum", rsdp);
		return HPA(0);
	}
	return xsdt;
}

enum status acpi_init(struct acpi *a, const struct acpi_mem *mem, hpa_t rsdp)
{
	const uint8_t *p;
	hpa_t rsdt, xsdt;
	bool good;

	memset(a, 0, sizeof(*a));
	a->mem = *mem;
	p = map_bytes(mem, rsdp, RSDP_V1_BYTES);
	if (!p)
		return ERR_FAULT;
	good = memcmp(p, "RSD PTR ", 8) == 0 && checksum_ok(p, RSDP_V1_BYTES);
	a->revision = p[15];
	rsdt = HPA(get_le(p + 16, 4));
	unmap_bytes(mem, p, RSDP_V1_BYTES);
	if (!good) {
		warn_at(mem, "RSDP with a wrong signature or checksum", rsdp);
		return ERR_INVALID;
	}
	if (a->revision >= 2) {
		xsdt = rsdp_xsdt(mem, rsdp);
		if (xsdt.v && use_root(a, xsdt, "XSDT", 8) == OK)
			return OK;
		warn_at(mem, "no usable XSDT, falling back to the RSDT", xsdt);
	}
	if (rsdt.v && use_root(a, rsdt, "RSDT", 4) == OK)
		return OK;
	warn_at(mem, "no usable RSDT", rsdt);
	return ERR_INVALID;
}

enum status acpi_find(const struct acpi *a, const char *signature, uint32_t instance,
		      struct acpi_table *out)
{
	enum status r = ERR_NOT_FOUND;
	const uint8_t *root;
	uint32_t offset;

	root = a->root_length ? map_bytes(&a->mem, a->root, a->root_length) : NULL;
	if (!root)
		return ERR_NOT_FOUND;
	for (offset = HEADER_BYTES; offset + a->entry_size <= a->root_length;
	     offset += a->entry_size) {
		hpa_t pa = HPA(get_le(root + offset, a->entry_size));

		/* A broken table does not count as an instance: the next one may be good. */
		if (open_table(&a->mem, pa, signature, out) != OK)
			continue;
		if (instance-- == 0) {
			r = OK;
			break;
		}
		unmap_bytes(&a->mem, out->data, out->length);
	}
	unmap_bytes(&a->mem, root, a->root_length);
	return r;
}

void acpi_put(const struct acpi *a, struct acpi_table *t)
{
	unmap_bytes(&a->mem, t->data, t->length);
	t->data = NULL;
	t->length = 0;
}

/* ---- MADT (ACPI 5.2.12) ---- */

#define MADT_LAPIC          36
#define MADT_FLAGS          40
#define MADT_ENTRIES        44
#define MADT_PCAT_COMPAT    BIT(0)
#define MADT_ENABLED        BIT(0)
#define MADT_ONLINE_CAPABLE BIT(1)

enum madt_type {
	MADT_TYPE_LAPIC = 0,
	MADT_TYPE_IOAPIC = 1,
	MADT_TYPE_OVERRIDE = 2,
	MADT_TYPE_NMI_SOURCE = 3,
	MADT_TYPE_LAPIC_NMI = 4,
	MADT_TYPE_LAPIC_ADDRESS = 5,
	MADT_TYPE_X2APIC = 9,
	MADT_TYPE_X2APIC_NMI = 10,
};

/* What the specification says an entry has at least; 0: a type that we have no use for. */
static uint32_t madt_min_length(uint8_t type)
{
	switch (type) {
	case MADT_TYPE_LAPIC:
	case MADT_TYPE_NMI_SOURCE:
		return 8;
	case MADT_TYPE_IOAPIC:
	case MADT_TYPE_LAPIC_ADDRESS:
	case MADT_TYPE_X2APIC_NMI:
		return 12;
	case MADT_TYPE_OVERRIDE:
		return 10;
	case MADT_TYPE_LAPIC_NMI:
		return 6;
	case MADT_TYPE_X2APIC:
		return 16;
	default:
		return 0;
	}
}

static void madt_add_cpu(const struct acpi *a, struct acpi_madt *m, const struct acpi_cpu *cpu)
{
	uint32_t i;

	/* All ones: an empty socket in either format, never a processor. */
	if (cpu->apic_id == (cpu->x2apic ? ~0u : 0xffu))
		return;
	/* Firmware describes a processor twice, or leaves unused entries with the id of a used one. */
	for (i = 0; i < m->cpu_count; i++) {
		if (m->cpus[i].apic_id != cpu->apic_id)
			continue;
		if (cpu->enabled && !m->cpus[i].enabled)
			m->cpus[i] = *cpu;
		return;
	}
	if (m->cpu_count == ACPI_MAX_CPUS) {
		if (m->cpus_extra++ == 0)
			warn_at(&a->mem, "MADT with more processors than supported", a->root);
		return;
	}
	m->cpus[m->cpu_count++] = *cpu;
}

static void madt_add_ioapic(const struct acpi *a, struct acpi_madt *m, const struct acpi_ioapic *io)
{
	uint32_t i;

	for (i = 0; i < m->ioapic_count; i++) {
		if (m->ioapics[i].base.v == io->base.v || m->ioapics[i].gsi_base == io->gsi_base) {
			warn_at(&a->mem, "MADT with an IOAPIC given twice", io->base);
			return;
		}
	}
	if (!io->base.v || m->ioapic_count == ACPI_MAX_IOAPICS) {
		warn_at(&a->mem, "MADT with an IOAPIC that cannot be used", io->base);
		return;
	}
	m->ioapics[m->ioapic_count++] = *io;
}

/* MPS INTI flags (ACPI table 5.26); 0 "conforms to the bus" means edge and active high on ISA. */
static struct acpi_irq madt_irq(uint32_t gsi, uint16_t flags)
{
	return (struct acpi_irq){
		.gsi = gsi,
		.active_low = (flags & 3) == 3,
		.level = ((flags >> 2) & 3) == 3,
	};
}

static void madt_add_override(const struct acpi *a, struct acpi_madt *m, const struct acpi_table *t,
			      uint32_t at)
{
	uint8_t bus = get8(t, at + 2), irq = get8(t, at + 3);

	if (bus != 0 || irq >= ACPI_ISA_IRQS) {
		warn_at(&a->mem, "MADT with an interrupt override that is not ISA", t->pa);
		return;
	}
	m->isa[irq] = madt_irq(get32(t, at + 4), get16(t, at + 8));
}

static void madt_entry(const struct acpi *a, struct acpi_madt *m, const struct acpi_table *t,
		       uint32_t at)
{
	uint32_t flags;

	switch (get8(t, at)) {
	case MADT_TYPE_LAPIC:
		flags = get32(t, at + 4);
		madt_add_cpu(a, m,
			     &(struct acpi_cpu){ .apic_id = get8(t, at + 3),
						 .uid = get8(t, at + 2),
						 .enabled = flags & MADT_ENABLED,
						 .online_capable = flags & MADT_ONLINE_CAPABLE });
		break;
	case MADT_TYPE_X2APIC:
		flags = get32(t, at + 8);
		madt_add_cpu(a, m,
			     &(struct acpi_cpu){ .apic_id = get32(t, at + 4),
						 .uid = get32(t, at + 12),
						 .enabled = flags & MADT_ENABLED,
						 .online_capable = flags & MADT_ONLINE_CAPABLE,
						 .x2apic = true });
		break;
	case MADT_TYPE_IOAPIC:
		madt_add_ioapic(a, m,
				&(struct acpi_ioapic){ .id = get8(t, at + 2),
						       .base = HPA(get32(t, at + 4)),
						       .gsi_base = get32(t, at + 8) });
		break;
	case MADT_TYPE_OVERRIDE:
		madt_add_override(a, m, t, at);
		break;
	case MADT_TYPE_NMI_SOURCE:
		if (m->nmi_count < ACPI_MAX_NMIS)
			m->nmi_sources[m->nmi_count++] =
				madt_irq(get32(t, at + 4), get16(t, at + 2));
		break;
	case MADT_TYPE_LAPIC_NMI:
		m->lapic_nmi_lint = get8(t, at + 5) & 1;
		break;
	case MADT_TYPE_X2APIC_NMI:
		m->lapic_nmi_lint = get8(t, at + 8) & 1;
		break;
	case MADT_TYPE_LAPIC_ADDRESS:
		m->lapic = HPA(get64(t, at + 4));
		break;
	default:
		break;
	}
}

static void madt_defaults(struct acpi_madt *m)
{
	uint32_t i;

	memset(m, 0, sizeof(*m));
	m->lapic = HPA(0xfee00000);
	m->lapic_nmi_lint = 1;
	for (i = 0; i < ACPI_ISA_IRQS; i++)
		m->isa[i].gsi = i;
}

enum status acpi_read_madt(const struct acpi *a, struct acpi_madt *out)
{
	struct acpi_table t;
	uint32_t at;
	enum status r = acpi_find(a, "APIC", 0, &t);

	madt_defaults(out);
	if (r != OK)
		return r;
	if (get32(&t, MADT_LAPIC))
		out->lapic = HPA(get32(&t, MADT_LAPIC));
	out->pcat_compat = get32(&t, MADT_FLAGS) & MADT_PCAT_COMPAT;
	for (at = MADT_ENTRIES; at + 2 <= t.length; at += t.data[at + 1]) {
		uint8_t type = t.data[at], length = t.data[at + 1];

		/* Without a length there is no way to the next entry. */
		if (length < 2 || length > t.length - at) {
			warn_at(&a->mem, "MADT entry with an impossible length", HPA(t.pa.v + at));
			break;
		}
		if (length < madt_min_length(type)) {
			warn_at(&a->mem, "MADT entry that is too short", HPA(t.pa.v + at));
			continue;
		}
		madt_entry(a, out, &t, at);
	}
	acpi_put(a, &t);
	return OK;
}

/* ---- FADT (ACPI 5.2.9) ---- */

#define FADT_DSDT             40
#define FADT_SCI_INT          46
#define FADT_SMI_CMD          48
#define FADT_ACPI_ENABLE      52
#define FADT_PM1A_CNT         64
#define FADT_PM1B_CNT         68
#define FADT_PM_TMR           76
#define FADT_PM1_CNT_LEN      89
#define FADT_PM_TMR_LEN       91
#define FADT_BOOT_ARCH        109
#define FADT_FLAGS            112
#define FADT_RESET_REG        116
#define FADT_RESET_VALUE      128
#define FADT_X_DSDT           140
#define FADT_X_PM1A_CNT       172
#define FADT_X_PM1B_CNT       184
#define FADT_X_PM_TMR         208
#define FADT_SLEEP_CONTROL    244
#define FADT_SLEEP_STATUS     256
#define FADT_FLAG_TMR_VAL_EXT BIT(8)
#define FADT_FLAG_RESET       BIT(10)
#define FADT_FLAG_HW_REDUCED  BIT(20)
#define FADT_BOOT_8042        BIT(1)
#define FADT_BOOT_NO_VGA      BIT(2)
#define FADT_BOOT_NO_MSI      BIT(3)
#define FADT_BOOT_NO_CMOS_RTC BIT(5)
#define FADT_BOOT_ARCH_SINCE  3 /* table revision that defines the field */

/* The 64-bit address structure where it is filled in, else the I/O port of ACPI 1.0. */
static struct acpi_gas fadt_block(const struct acpi_table *t, uint32_t extended, uint32_t legacy,
				  uint32_t length_at)
{
	struct acpi_gas gas = get_gas(t, extended);
	uint32_t port = get32(t, legacy);

	if (gas.address && (gas.space == ACPI_SPACE_IO || gas.space == ACPI_SPACE_MEMORY))
		return gas;
	if (!port || port > 0xffff || get8(t, length_at) == 0)
		return (struct acpi_gas){ 0 };
	return (struct acpi_gas){ .address = port,
				  .space = ACPI_SPACE_IO,
				  .width = (uint8_t)(get8(t, length_at) * 8) };
}

static void fadt_reset(const struct acpi *a, const struct acpi_table *t, struct acpi_fadt *out)
{
	if (!(get32(t, FADT_FLAGS) & FADT_FLAG_RESET))
		return;
	out->reset = get_gas(t, FADT_RESET_REG);
	out->reset_value = get8(t, FADT_RESET_VALUE);
	/* 4.8.3.6: a byte, at one of these three places. */
	if (!out->reset.address || out->reset.space > ACPI_SPACE_PCI ||
	    (out->reset.space == ACPI_SPACE_IO && out->reset.address > 0xffff)) {
		warn_at(&a->mem, "FADT with an unusable reset register", t->pa);
		out->reset = (struct acpi_gas){ 0 };
		return;
	}
	out->reset_supported = true;
}

void acpi_read_s5(const struct acpi *a, struct acpi_fadt *f)
{
	struct acpi_table t;
	uint32_t i;

	if (f->dsdt.v && open_table(&a->mem, f->dsdt, "DSDT", &t) == OK) {
		f->s5_valid = acpi_parse_s5(t.data, t.length, &f->s5_a, &f->s5_b);
		acpi_put(a, &t);
	}
	for (i = 0; i < SSDT_MAX && !f->s5_valid; i++) {
		if (acpi_find(a, "SSDT", i, &t) != OK)
			return;
		f->s5_valid = acpi_parse_s5(t.data, t.length, &f->s5_a, &f->s5_b);
		acpi_put(a, &t);
	}
}

enum status acpi_read_fadt(const struct acpi *a, struct acpi_fadt *out)
{
	struct acpi_table t;
	uint32_t flags;
	uint16_t boot;
	enum status r = acpi_find(a, "FACP", 0, &t);

	memset(out, 0, sizeof(*out));
	out->has_8042 = true;
	if (r != OK)
		return r;
	flags = get32(&t, FADT_FLAGS);
	out->hw_reduced = flags & FADT_FLAG_HW_REDUCED;
	out->pm_timer_32bit = flags & FADT_FLAG_TMR_VAL_EXT;
	if (t.data[HEADER_REVISION] >= FADT_BOOT_ARCH_SINCE) {
		boot = get16(&t, FADT_BOOT_ARCH);
		out->has_8042 = boot & FADT_BOOT_8042;
		out->no_vga = boot & FADT_BOOT_NO_VGA;
		out->no_msi = boot & FADT_BOOT_NO_MSI;
		out->no_cmos_rtc = boot & FADT_BOOT_NO_CMOS_RTC;
	}
	fadt_reset(a, &t, out);
	out->sleep_control = get_gas(&t, FADT_SLEEP_CONTROL);
	out->sleep_status = get_gas(&t, FADT_SLEEP_STATUS);
	/* 4.1: on a hardware-reduced platform the fixed registers below must be ignored. */
	if (!out->hw_reduced) {
		out->pm_timer = fadt_block(&t, FADT_X_PM_TMR, FADT_PM_TMR, FADT_PM_TMR_LEN);
		out->pm1a_control =
			fadt_block(&t, FADT_X_PM1A_CNT, FADT_PM1A_CNT, FADT_PM1_CNT_LEN);
		out->pm1b_control =
			fadt_block(&t, FADT_X_PM1B_CNT, FADT_PM1B_CNT, FADT_PM1_CNT_LEN);
		out->smi_command = get32(&t, FADT_SMI_CMD) <= 0xffff ? get16(&t, FADT_SMI_CMD) : 0;
		out->acpi_enable = get8(&t, FADT_ACPI_ENABLE);
		out->sci = get16(&t, FADT_SCI_INT);
	}
	out->dsdt = HPA(get64(&t, FADT_X_DSDT));
	if (!out->dsdt.v)
		out->dsdt = HPA(get32(&t, FADT_DSDT));
	acpi_put(a, &t);
	return OK;
}

/* ---- \_S5 (ACPI 20.2, 7.4.2): Name (_S5, Package () { SLP_TYPa, SLP_TYPb, ... }) ---- */

enum aml_op {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_PACKAGE = 0x12,
	AML_ROOT_CHAR = '\\',
};

/* An integer of a package; returns the bytes it takes, 0 if it is none or does not fit. */
static uint32_t aml_integer(const uint8_t *p, uint32_t left, uint64_t *v)
{
	uint32_t bytes;

	if (left == 0)
		return 0;
	switch (p[0]) {
	case AML_ZERO:
	case AML_ONE:
		*v = p[0];
		return 1;
	case AML_BYTE:
		bytes = 1;
		break;
	case AML_WORD:
		bytes = 2;
		break;
	case AML_DWORD:
		bytes = 4;
		break;
	default:
		return 0;
	}
	if (left < 1 + bytes)
		return 0;
	*v = get_le(p + 1, bytes);
	return 1 + bytes;
}

/* PkgLength (20.2.4): counts itself; bits 7:6 of the first byte say how many follow. */
static bool aml_package(const uint8_t *p, uint32_t left, uint8_t *typ_a, uint8_t *typ_b)
{
	uint32_t more, length, at, used;
	uint64_t a, b;

	if (left < 2 || p[0] != AML_PACKAGE)
		return false;
	more = p[1] >> 6;
	if (left < 2 + more)
		return false;
	length = more ? (p[1] & 0xfu) | (uint32_t)get_le(p + 2, more) << 4 : p[1] & 0x3fu;
	if (length > left - 1)
		return false;
	left = 1 + length;
	at = 2 + more;
	if (at >= left || p[at] < 2) /* NumElements */
		return false;
	at++;
	used = aml_integer(p + at, left - at, &a);
	if (!used)
		return false;
	at += used;
	if (!aml_integer(p + at, left - at, &b) || a > 7 || b > 7)
		return false; /* SLP_TYPx has 3 bits (4.8.3.2.1) */
	*typ_a = (uint8_t)a;
	*typ_b = (uint8_t)b;
	return true;
}

bool acpi_parse_s5(const uint8_t *aml, uint32_t length, uint8_t *typ_a, uint8_t *typ_b)
{
	uint32_t at = HEADER_BYTES + 1;
	const uint8_t *p;

	while (at + 4 < length && (p = memchr(aml + at, '_', length - 4 - at)) != NULL) {
		bool name = p[-1] == AML_NAME || (p[-1] == AML_ROOT_CHAR && p[-2] == AML_NAME);

		at = (uint32_t)(p - aml);
		if (name && memcmp(p, "_S5_", 4) == 0 &&
		    aml_package(p + 4, length - at - 4, typ_a, typ_b))
			return true;
		at++;
	}
	return false;
}

/* ---- SPCR, MCFG, HPET ---- */

#define SPCR_INTERFACE  36
#define SPCR_BASE       40
#define SPCR_IRQ_TYPE   52
#define SPCR_IRQ        53
#define SPCR_GSI        54
#define SPCR_BAUD       58
#define SPCR_PCI_DEVICE 64
#define SPCR_PCI_VENDOR 66
#define SPCR_PCI_BDF    68
#define SPCR_SEGMENT    75
#define SPCR_CLOCK      76
#define SPCR_EXACT_BAUD 80

static uint32_t spcr_baud(const struct acpi_table *t)
{
	if (t->data[HEADER_REVISION] >= 4 && get32(t, SPCR_EXACT_BAUD))
		return get32(t, SPCR_EXACT_BAUD);
	switch (get8(t, SPCR_BAUD)) {
	case 3:
		return 9600;
	case 4:
		return 19200;
	case 6:
		return 57600;
	case 7:
		return 115200;
	default:
		return 0;
	}
}

enum status acpi_read_spcr(const struct acpi *a, struct acpi_spcr *out)
{
	struct acpi_table t;
	enum status r = acpi_find(a, "SPCR", 0, &t);

	memset(out, 0, sizeof(*out));
	if (r != OK)
		return r;
	out->base = get_gas(&t, SPCR_BASE);
	out->interface = get8(&t, SPCR_INTERFACE);
	out->is_16550 = out->interface == 0 || out->interface == 1 || out->interface == 0x12;
	out->baud = spcr_baud(&t);
	if (t.data[HEADER_REVISION] >= 3)
		out->clock = get32(&t, SPCR_CLOCK);
	out->has_irq = get8(&t, SPCR_IRQ_TYPE) & BIT(0);
	out->has_gsi = get8(&t, SPCR_IRQ_TYPE) & BIT(1);
	out->irq = get8(&t, SPCR_IRQ);
	out->gsi = get32(&t, SPCR_GSI);
	out->device_id = get16(&t, SPCR_PCI_DEVICE);
	out->vendor_id = get16(&t, SPCR_PCI_VENDOR);
	out->is_pci = out->device_id != 0xffff && out->vendor_id != 0xffff && out->vendor_id != 0;
	out->bus = get8(&t, SPCR_PCI_BDF);
	out->device = get8(&t, SPCR_PCI_BDF + 1) & 0x1f;
	out->function = get8(&t, SPCR_PCI_BDF + 2) & 7;
	out->segment = get8(&t, SPCR_SEGMENT);
	acpi_put(a, &t);
	/* An address of 0 says that console redirection is switched off. */
	return out->base.address ? OK : ERR_NOT_FOUND;
}

#define MCFG_ENTRIES     44
#define MCFG_ENTRY_BYTES 16

enum status acpi_read_mcfg(const struct acpi *a, struct acpi_mcfg *out)
{
	struct acpi_table t;
	uint32_t at;
	enum status r = acpi_find(a, "MCFG", 0, &t);

	memset(out, 0, sizeof(*out));
	if (r != OK)
		return r;
	for (at = MCFG_ENTRIES; at + MCFG_ENTRY_BYTES <= t.length; at += MCFG_ENTRY_BYTES) {
		struct acpi_mcfg_window w = {
			.base = HPA(get64(&t, at)),
			.segment = get16(&t, at + 8),
			.first_bus = get8(&t, at + 10),
			.last_bus = get8(&t, at + 11),
		};
		bool bad = !w.base.v || !IS_ALIGNED(w.base.v, PAGE_SIZE) ||
			   w.first_bus > w.last_bus || w.base.v + (256ull << 20) < w.base.v;

		if (bad || out->count == ACPI_MAX_MCFG) {
			warn_at(&a->mem, "MCFG entry that cannot be used", HPA(t.pa.v + at));
			continue;
		}
		out->windows[out->count++] = w;
	}
	acpi_put(a, &t);
	return out->count ? OK : ERR_NOT_FOUND;
}

#define HPET_ADDRESS   40
#define HPET_DEFAULT   0xfed00000ull
#define IOAPIC_DEFAULT 0xfec00000ull

enum status acpi_read_hpet(const struct acpi *a, hpa_t *out)
{
	struct acpi_table t;
	struct acpi_gas gas;
	enum status r = acpi_find(a, "HPET", 0, &t);

	*out = HPA(HPET_DEFAULT);
	if (r != OK)
		return r;
	gas = get_gas(&t, HPET_ADDRESS);
	acpi_put(a, &t);
	if (gas.space != ACPI_SPACE_MEMORY || !gas.address || !IS_ALIGNED(gas.address, 1024)) {
		warn_at(&a->mem, "HPET table with an unusable address", HPA(gas.address));
		return ERR_INVALID;
	}
	*out = HPA(gas.address);
	return OK;
}

void acpi_discover(const struct acpi_mem *mem, hpa_t rsdp, struct acpi_platform *out)
{
	struct acpi a;

	memset(out, 0, sizeof(*out));
	memset(&a, 0, sizeof(a));
	a.mem = *mem;
	out->present = rsdp.v && acpi_init(&a, mem, rsdp) == OK;
	/* Without a root every reader finds nothing and leaves its fallback. */
	if (!out->present)
		a.root_length = 0;
	out->has_madt = acpi_read_madt(&a, &out->madt) == OK;
	out->has_fadt = acpi_read_fadt(&a, &out->fadt) == OK;
	if (out->has_fadt)
		acpi_read_s5(&a, &out->fadt);
	out->has_spcr = acpi_read_spcr(&a, &out->spcr) == OK;
	out->has_mcfg = acpi_read_mcfg(&a, &out->mcfg) == OK;
	out->has_hpet = acpi_read_hpet(&a, &out->hpet) == OK;
	if (!out->has_madt) {
		out->madt.pcat_compat = true;
		out->madt.ioapic_count = 1;
		out->madt.ioapics[0].base = HPA(IOAPIC_DEFAULT);
	}
}
