/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_INFO_H
#define LAMINA_BOOT_INFO_H

#include "config.h"
#include "types.h"

/*
 * What the loader hands to the hypervisor: one structure at the start of the pool. All addresses
 * are host physical, in bytes. The loader has left boot services; every range below that belongs
 * to Lamina was allocated from the firmware, so nothing of the firmware overlaps it.
 */
#define BOOT_INFO_MAGIC   0x3130414e494d414cull /* "LAMINA01" */
#define BOOT_INFO_REGIONS 512
#define BOOT_LOG_SIZE     16384

enum region_type {
	REGION_USABLE,   /* conventional memory that nobody was given */
	REGION_RESERVED, /* everything the firmware does not declare usable */
	REGION_RUNTIME,  /* UEFI runtime code, data and MMIO */
	REGION_ACPI,     /* ACPI tables (reclaimable; never given away) or NVS */
	REGION_MMIO,
	REGION_HV,    /* image, pool, boot structures */
	REGION_IMAGE, /* a guest's kernel or initrd file, kept for restarts */
	REGION_GUEST, /* a guest's memory; `guest` says whose */
	REGION_BAD,   /* persistent or unusable memory */
	REGION_SPARE, /* kept for guests that get more memory while they run */
};

struct boot_region {
	hpa_t base;
	uint64_t size; /* bytes, page multiple */
	enum region_type type;
	int32_t guest; /* index into config.guests for REGION_GUEST and REGION_IMAGE, else -1 */
};

struct boot_cpu {
	uint32_t apic_id;
	uint32_t acpi_uid;
};

struct boot_image {
	hpa_t base;    /* page aligned */
	uint64_t size; /* bytes; 0: absent */
};

/* The host memory of one guest: one contiguous range, as aligned as its size and the machine allow. */
struct boot_guest {
	hpa_t memory;
	uint64_t memory_size; /* bytes */
	struct boot_image kernel;
	struct boot_image initrd;
};

struct boot_framebuffer {
	hpa_t base;
	uint64_t size;                              /* bytes; 0: none */
	uint32_t width, height, pitch;              /* pixels, pixels, bytes per line */
	uint8_t red_shift, green_shift, blue_shift; /* 8-bit channels in a 32-bit pixel */
};

struct boot_info {
	uint64_t magic;
	uint64_t size;       /* sizeof(struct boot_info) */
	hpa_t image;         /* where the ELF's first byte of HV_BASE lies; contiguous */
	uint64_t image_size; /* bytes, page multiple */
	hpa_t pool;          /* 2 MiB aligned; starts with this structure */
	uint64_t pool_size;  /* bytes, multiple of 2 MiB */
	uint64_t
		pool_used; /* bytes at the start of the pool that this structure occupies, page multiple */
	hpa_t spare;           /* 2 MiB aligned, for guests at run time; `spare_size` bytes */
	uint64_t spare_size;   /* 0: none */
	hpa_t trampoline;      /* two free pages below 1 MiB for starting the other cores */
	hpa_t rsdp;            /* 0: the firmware publishes no ACPI */
	uint64_t tsc_entry;    /* TSC at the first instruction of efi_main */
	uint64_t tsc_handover; /* TSC just before the jump to the hypervisor */
	uint64_t tsc_files;    /* of these, ticks spent reading files */
	int64_t epoch; /* seconds since 1970-01-01 UTC at tsc_epoch; 0: firmware has no clock */
	uint64_t tsc_epoch;
	uint64_t tsc_pm; /* TSC when the ACPI PM timer read `pm_timer`; 0: not sampled */
	uint32_t pm_timer;
	uint32_t cpu_count; /* cpus[0] is the boot core */
	struct boot_cpu cpus[CONFIG_MAX_CPUS];
	uint32_t region_count;
	struct boot_region regions[BOOT_INFO_REGIONS]; /* sorted by base, disjoint */
	struct boot_framebuffer fb;
	struct boot_guest guests[CONFIG_MAX_GUESTS]; /* same index as config.guests */
	struct config config;
	uint32_t log_size; /* bytes of `log`: what the loader printed, for the monitor's `log` */
	char log[BOOT_LOG_SIZE];
};

#endif
