/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_ACPI_H
#define LAMINA_DRIVERS_ACPI_H

#include "config.h"
#include "types.h"

/*
 * Reader of the firmware's ACPI tables (ACPI 6.5). Pure: no allocation, no hardware access, no
 * global state. The loader, the hypervisor and the host tests compile this same file. The tables
 * are untrusted input: every length is checked against what was mapped, every walk is bounded,
 * and what cannot be used is reported through `warn` and skipped.
 */

/* How the parser reaches physical memory. */
struct acpi_mem {
	/*
	 * Make [pa, pa + size) readable; NULL if that is no readable memory. Uncached or write-back,
	 * any alignment. Several mappings (at most four) are alive at the same time.
	 */
	const void *(*map)(void *ctx, hpa_t pa, uint64_t size);
	/* End of a mapping that map() returned; NULL if nothing has to be done. */
	void (*unmap)(void *ctx, const void *va, uint64_t size);
	/* A defect that the parser worked around; `pa` says where. NULL: not interested. */
	void (*warn)(void *ctx, const char *what, hpa_t pa);
	void *ctx;
};

struct acpi {
	struct acpi_mem mem;
	hpa_t root;           /* RSDT or XSDT */
	uint32_t root_length; /* bytes, header included */
	uint8_t entry_size;   /* 4: RSDT, 8: XSDT */
	uint8_t revision;     /* of the RSDP: 0 is ACPI 1.0 */
};

/* A mapped table: `length` bytes at `data`, header included. Ends with acpi_put(). */
struct acpi_table {
	const uint8_t *data;
	uint32_t length;
	hpa_t pa;
};

/* ACPI 5.2.3.2: generic address structure. `address` 0 means: absent. */
enum acpi_space {
	ACPI_SPACE_MEMORY = 0,
	ACPI_SPACE_IO = 1,
	ACPI_SPACE_PCI = 2, /* configuration space of segment 0, bus 0 */
};

struct acpi_gas {
	uint64_t address;
	uint8_t space;  /* enum acpi_space, or what this parser does not know */
	uint8_t width;  /* bits of one register */
	uint8_t offset; /* bits */
	uint8_t access; /* 0 undefined, 1 byte, 2 word, 3 dword, 4 qword */
};

#define ACPI_MAX_CPUS      256 /* more than we run, so that messages can name them all */
#define ACPI_MAX_IOAPICS   16
#define ACPI_MAX_OVERRIDES 32
#define ACPI_MAX_NMIS      16
#define ACPI_MAX_MCFG      16
#define ACPI_ISA_IRQS      16

struct acpi_cpu {
	uint32_t apic_id;
	uint32_t uid;
	bool enabled;        /* can be started now */
	bool online_capable; /* disabled, but could be hot-added */
	bool x2apic;         /* described by an x2APIC entry */
};

struct acpi_ioapic {
	hpa_t base;
	uint32_t id;
	uint32_t gsi_base;
};

/* A line into the IOAPICs with the polarity and trigger that the wiring has. */
struct acpi_irq {
	uint32_t gsi;
	bool active_low;
	bool level;
};

/* ACPI 5.2.12: processors and interrupt controllers. */
struct acpi_madt {
	hpa_t lapic;         /* physical address of the local APICs */
	bool pcat_compat;    /* two 8259s have to be masked */
	uint32_t cpu_count;  /* usable (enabled) and other processors, each APIC id once */
	uint32_t cpus_extra; /* entries beyond ACPI_MAX_CPUS, not in cpus[] */
	struct acpi_cpu cpus[ACPI_MAX_CPUS];
	uint32_t ioapic_count;
	struct acpi_ioapic ioapics[ACPI_MAX_IOAPICS];
	struct acpi_irq isa[ACPI_ISA_IRQS]; /* where ISA interrupt i arrives; overrides applied */
	uint32_t nmi_count;
	struct acpi_irq
		nmi_sources[ACPI_MAX_NMIS]; /* IOAPIC lines that the platform wires as NMI */
	uint8_t lapic_nmi_lint;             /* LINT pin of the platform's NMI (normally 1) */
};

/* ACPI 5.2.9, and \_S5 out of the DSDT or an SSDT. */
struct acpi_fadt {
	struct acpi_gas pm_timer; /* counts at 3,579,545 Hz */
	bool pm_timer_32bit;      /* else 24 bits wide */
	bool hw_reduced;          /* no PM1 registers: sleep_control instead */
	bool no_msi;              /* MSI must not be enabled (IAPC_BOOT_ARCH bit 3) */
	bool has_8042, no_vga, no_cmos_rtc;
	bool reset_supported;
	struct acpi_gas reset;
	uint8_t reset_value;
	struct acpi_gas pm1a_control, pm1b_control;
	struct acpi_gas sleep_control, sleep_status;
	uint16_t smi_command; /* I/O port; 0: ACPI mode is always on */
	uint8_t acpi_enable;  /* value for that port */
	uint16_t sci;         /* GSI of the SCI */
	hpa_t dsdt;
	bool s5_valid;      /* the two below are known */
	uint8_t s5_a, s5_b; /* SLP_TYP for PM1a and PM1b */
};

/* Microsoft's Serial Port Console Redirection table. */
struct acpi_spcr {
	struct acpi_gas base;
	uint8_t interface; /* subtype: 0 and 0x12 full 16550, 1 16550 subset */
	bool is_16550;
	uint32_t baud;  /* 0: keep what the firmware has set */
	uint32_t clock; /* Hz of the UART's input; 0: the usual one */
	bool has_gsi, has_irq;
	uint8_t irq;  /* 8259 line */
	uint32_t gsi; /* IOAPIC line */
	bool is_pci;
	uint8_t segment, bus, device, function;
	uint16_t vendor_id, device_id;
};

/* PCI Firmware Specification 4.1.2: one window of memory-mapped configuration space. */
struct acpi_mcfg_window {
	hpa_t base; /* of bus 0 of the segment, even if first_bus is higher */
	uint16_t segment;
	uint8_t first_bus, last_bus;
};

struct acpi_mcfg {
	uint32_t count;
	struct acpi_mcfg_window windows[ACPI_MAX_MCFG];
};

/*
 * Everything that Lamina asks the firmware about, in one piece. Without ACPI (no RSDP, or nothing
 * usable behind it) it describes a plain PC: local APICs at 0xfee00000, one IOAPIC at 0xfec00000
 * with identity-mapped ISA interrupts, a HPET that the user has to probe for at 0xfed00000.
 */
struct acpi_platform {
	bool present; /* tables were found; false: the fallback */
	bool has_madt, has_fadt, has_spcr, has_mcfg, has_hpet;
	struct acpi_madt madt; /* cpu_count is 0 without a MADT: ask the firmware's MP services */
	struct acpi_fadt fadt;
	struct acpi_spcr spcr;
	struct acpi_mcfg mcfg;
	hpa_t hpet; /* always set; trust it only if has_hpet, else probe */
};

/*
 * Read everything above. `rsdp` 0: the firmware has none. Never fails: what is missing or broken
 * is left at the fallback. `out` is large (about 5 KiB): not for small stacks.
 */
void acpi_discover(const struct acpi_mem *mem, hpa_t rsdp, struct acpi_platform *out);

/*
 * Validate the RSDP and the RSDT or XSDT behind it. ERR_INVALID: signature or checksum wrong and
 * nothing usable; ERR_FAULT: not readable.
 */
must_check enum status acpi_init(struct acpi *a, const struct acpi_mem *mem, hpa_t rsdp);

/*
 * Map the instance-th (from 0) table with this 4-character signature. ERR_NOT_FOUND if there is
 * none. A table with a wrong checksum is reported and returned: real firmware ships those.
 */
must_check enum status acpi_find(const struct acpi *a, const char *signature, uint32_t instance,
				 struct acpi_table *out);

/* End of a table's mapping. */
void acpi_put(const struct acpi *a, struct acpi_table *t);

/* A field of 1 to 8 bytes of a mapped table; beyond the table's end everything reads as zero. */
uint64_t acpi_field(const struct acpi_table *t, uint32_t offset, uint32_t bytes);

/* Is the rest of the table zero? Firmware pads lists so. */
static inline bool acpi_zeros(const struct acpi_table *t, uint32_t offset)
{
	while (offset < t->length && !t->data[offset])
		offset++;
	return offset >= t->length;
}

/* One table each; `out` is completely written, with the fallback's values where nothing is known. */
must_check enum status acpi_read_madt(const struct acpi *a, struct acpi_madt *out);
must_check enum status acpi_read_fadt(const struct acpi *a, struct acpi_fadt *out);

/* Look for \_S5 in the DSDT and the SSDTs, which may be long; acpi_read_fadt() leaves it out. */
void acpi_read_s5(const struct acpi *a, struct acpi_fadt *fadt);
must_check enum status acpi_read_spcr(const struct acpi *a, struct acpi_spcr *out);
must_check enum status acpi_read_mcfg(const struct acpi *a, struct acpi_mcfg *out);
must_check enum status acpi_read_hpet(const struct acpi *a, hpa_t *out);

/*
 * The two SLP_TYP values of \_S5 in a definition block (DSDT or SSDT) of `length` bytes. False if
 * there is no static package of that name.
 */
bool acpi_parse_s5(const uint8_t *aml, uint32_t length, uint8_t *typ_a, uint8_t *typ_b);

#endif
