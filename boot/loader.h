/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_LOADER_H
#define LAMINA_BOOT_LOADER_H

#include <efi.h>

#include "boot/config_parser.h"
#include "boot/cpu_check.h"
#include "boot/memmap.h"
#include "boot_info.h"

/*
 * The loader's own state and parts. It runs on one core with the firmware's identity mapping, so a
 * physical address is a pointer. Until ExitBootServices() nothing is changed that
 * memory_release_all() does not undo.
 */
#define LOADER_ALLOCATIONS 80

struct allocation {
	uint64_t base;
	uint64_t pages;        /* 0: released */
	enum region_type type; /* for the hypervisor; REGION_USABLE: only the loader needs it */
	int32_t guest;
};

/* The firmware's memory map as it was last read. */
struct efi_map {
	void *buffer;
	UINTN capacity, size, stride, key;
};

struct loader {
	EFI_HANDLE handle;
	EFI_SYSTEM_TABLE *st;
	EFI_BOOT_SERVICES *bs;
	EFI_FILE_HANDLE volume; /* that the loader came from */
	uint64_t tsc_entry;
	uint64_t tsc_files; /* ticks spent in the firmware's file system */
	uint64_t tsc_pm;    /* TSC when the ACPI timer read `pm_timer`; 0: there is none */
	uint32_t pm_timer;
	hpa_t rsdp;
	struct efi_map map;
	struct region_list memory; /* what the firmware could give now; memory_survey() */
	uint32_t allocation_count;
	struct allocation allocations[LOADER_ALLOCATIONS];
	struct config config;
	struct config_lines lines;
	struct report report;
	uint32_t cpu_count;
	struct boot_cpu cpus[CONFIG_MAX_CPUS];
	struct boot_guest guests[CONFIG_MAX_GUESTS];
	uint64_t image, image_size; /* where the hypervisor goes */
	uint64_t pool, pool_size;
	uint64_t spare, spare_size; /* for guests at run time */
	uint64_t trampoline;
	uint32_t log_size;
	char log[BOOT_LOG_SIZE];
};

extern struct loader loader;

/* console.c: one line to the firmware's console and the log; or to the log alone. */
void say(const char *fmt, ...) printf_like(1, 2);
void note(const char *fmt, ...) printf_like(1, 2);
/* Give a person time to read: a key, or ten seconds, or at once without a console. */
void console_wait(void);

/* memory.c */
/* Pages anywhere below `limit` (0: no limit). Physical address, or 0 after a message. */
uint64_t memory_allocate(uint64_t size, uint64_t limit, enum region_type type, int32_t guest);
/* Exactly these pages. False if the firmware refuses. */
bool memory_claim(uint64_t base, uint64_t size, enum region_type type, int32_t guest);
void memory_release(uint64_t base);
void memory_release_all(void);
/* Read the firmware's map into loader.map. */
bool memory_read_map(void);
/* The same, and list in loader.memory what is free. */
bool memory_survey(void);
/* Find and allocate the pool and the guests' memory; guests without a place become invalid. */
bool memory_place(void);

/* files.c */
bool files_open_volume(void);
bool files_read_config(void);
/* Load and check every valid guest's kernel and initrd; a guest with a bad one becomes invalid. */
void files_load_images(void);
/* Give back the images that no valid guest needs. */
void files_release_unused(void);

/* platform.c */
void platform_find_rsdp(void);
void platform_find_cores(void);
/* A first look at the ACPI timer: the hypervisor takes the last one to calibrate the TSC. */
void platform_sample_clock(void);
void platform_framebuffer(struct boot_framebuffer *fb);
int64_t platform_epoch(uint64_t *tsc);

/* launch.c */
/* Allocate what the hypervisor itself needs. */
bool launch_allocate(void);
/* Leave the firmware for good. Returns only if the firmware does not let go. */
EFI_STATUS launch(void);

#endif
