/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/elf.h"
#include "boot/handover.h"
#include "boot/loader.h"
#include "boot/lz4.h"
#include "boot/pagetable.h"
#include "boot/plan.h"
#include "layout.h"
#include "x86/asm.h"

/* Of the embedded ELF file, an LZ4 frame (lib/embed.S). */
extern const char hv_image_start[], hv_image_end[];

#define TRAMPOLINE_SIZE  (2 * PAGE_SIZE)
#define TRAMPOLINE_LIMIT 0xa0000 /* start-up IPIs reach below 1 MiB; from here on it is no RAM */
#define EXIT_ATTEMPTS    8

/* Temporary tables: the root, the code page's (3, 4 at a boundary), the image's 3, the pool's. */
#define TABLE_PAGES 10

static struct elf_image elf;

/*
 * Unpack the hypervisor's ELF file and parse it; `elf` points into the copy. It is memory that the
 * hypervisor will find free. False after a message.
 */
static bool unpack(void)
{
	uint64_t frame_size = (uint64_t)(hv_image_end - hv_image_start), size = 0;
	bool good = lz4_content_size(hv_image_start, frame_size, &size) == OK && size;
	void *file = good ? (void *)memory_allocate(size, 0, REGION_USABLE, -1) : NULL;

	if (good && !file) {
		say("Lamina: no memory to unpack the hypervisor");
		return false;
	}
	if (good && lz4_decode(hv_image_start, frame_size, file, size) == OK &&
	    elf_parse(file, size, &elf) == OK)
		return true;
	say("Lamina: the hypervisor inside this loader is damaged; install it again");
	return false;
}

bool launch_allocate(void)
{
	if (!unpack())
		return false;
	loader.image_size = elf.image_size;
	loader.image = memory_allocate(elf.image_size, 0, REGION_HV, -1);
	loader.trampoline = memory_allocate(TRAMPOLINE_SIZE, TRAMPOLINE_LIMIT, REGION_HV, -1);
	if (!loader.image || !loader.trampoline) {
		say("Lamina: no memory for the hypervisor %s",
		    loader.image ? "below 640 KiB" : "itself");
		return false;
	}
	return true;
}

static void map_segments(struct pagetable *t)
{
	uint32_t i;

	for (i = 0; i < elf.count; i++) {
		const struct elf_segment *s = &elf.segments[i];

		pagetable_map(t, HV_BASE + s->offset, loader.image + s->offset, s->size,
			      (s->write ? PT_WRITE : 0) | (s->execute ? 0 : PT_NO_EXEC));
	}
}

/* Tables right behind the structure; returns the root, or 0 if the space was too small. */
static uint64_t build_tables(struct boot_info *bi)
{
	uint64_t base = loader.pool + ALIGN_UP(sizeof(*bi), PAGE_SIZE);
	uint64_t size = (TABLE_PAGES + ALIGN_UP(loader.pool_size, SIZE_1G) / SIZE_1G) * PAGE_SIZE;
	uint64_t code = ALIGN_DOWN((uint64_t)handover_start, PAGE_SIZE);
	struct pagetable t;

	bi->pool_used = base + size - loader.pool;
	pagetable_init(&t, base, size);
	pagetable_map(&t, code, code, ALIGN_UP((uint64_t)handover_end, PAGE_SIZE) - code, 0);
	pagetable_map(&t, POOL_BASE, loader.pool, loader.pool_size,
		      PT_WRITE | PT_LARGE | PT_NO_EXEC);
	map_segments(&t);
	return t.full ? 0 : (uint64_t)t.root;
}

/* Everything but the memory regions, which are known only after the firmware has gone. */
static void fill_info(struct boot_info *bi)
{
	memset(bi, 0, offsetof(struct boot_info, regions));
	bi->magic = BOOT_INFO_MAGIC;
	bi->size = sizeof(*bi);
	bi->image = HPA(loader.image);
	bi->image_size = loader.image_size;
	bi->pool = HPA(loader.pool);
	bi->pool_size = loader.pool_size;
	bi->spare = HPA(loader.spare);
	bi->spare_size = loader.spare_size;
	bi->trampoline = HPA(loader.trampoline);
	bi->rsdp = loader.rsdp;
	bi->tsc_entry = loader.tsc_entry;
	bi->tsc_files = loader.tsc_files;
	bi->tsc_pm = loader.tsc_pm;
	bi->pm_timer = loader.pm_timer;
	bi->epoch = platform_epoch(&bi->tsc_epoch);
	bi->cpu_count = loader.cpu_count;
	memcpy(bi->cpus, loader.cpus, loader.cpu_count * sizeof(bi->cpus[0]));
	platform_framebuffer(&bi->fb);
	memcpy(bi->guests, loader.guests, sizeof(bi->guests));
	/* The configuration up to its last guest; nobody reads behind that. */
	memcpy(&bi->config, &loader.config,
	       offsetof(struct config, guests) +
		       loader.config.guest_count * sizeof(loader.config.guests[0]));
	bi->log_size = loader.log_size;
	memcpy(bi->log, loader.log, loader.log_size);
}

/* Our own ranges first: nothing that the firmware says about the same memory can displace them. */
static void fill_regions(struct boot_info *bi)
{
	struct region_list l = { bi->regions, 0, BOOT_INFO_REGIONS, 0, false };
	const struct efi_map *m = &loader.map;
	uint32_t i;

	for (i = 0; i < loader.allocation_count; i++) {
		const struct allocation *a = &loader.allocations[i];

		if (a->pages && a->type != REGION_USABLE)
			region_add(&l, a->base, a->pages << PAGE_SHIFT, a->type, a->guest);
	}
	region_add_efi(&l, m->buffer, m->size, m->stride, MEMMAP_AFTER_EXIT);
	bi->region_count = l.count;
	if (l.lost) {
		note("Lamina: %u ranges of the firmware's memory map have no place and stay unused",
		     (unsigned int)l.lost);
		bi->log_size = loader.log_size;
		memcpy(bi->log, loader.log, loader.log_size);
	}
}

/*
 * UEFI 2.10 section 7.4.6: the key must be that of the current map. An event in between may change
 * the map; then only GetMemoryMap() and ExitBootServices() may be called again.
 */
static EFI_STATUS exit_boot_services(void)
{
	EFI_STATUS status = EFI_INVALID_PARAMETER;
	int i;

	for (i = 0; i < EXIT_ATTEMPTS && status == EFI_INVALID_PARAMETER; i++) {
		if (!memory_read_map())
			return EFI_BUFFER_TOO_SMALL;
		status = loader.bs->ExitBootServices(loader.handle, loader.map.key);
	}
	return status;
}

EFI_STATUS launch(void)
{
	struct boot_info *bi = (struct boot_info *)loader.pool;
	EFI_STATUS status;
	uint64_t root;

	fill_info(bi);
	elf_load(&elf, (void *)loader.image);
	root = build_tables(bi);
	if (!root) {
		say("Lamina: the temporary page tables do not fit their space");
		return EFI_OUT_OF_RESOURCES;
	}
	status = exit_boot_services();
	if (EFI_ERROR(status)) {
		say("Lamina: the firmware refuses to let go (ExitBootServices: status 0x%llx)",
		    (unsigned long long)status);
		return status;
	}
	__asm__ volatile("cli");
	fill_regions(bi);
	bi->tsc_handover = rdtsc();
	handover(root, elf.entry, POOL_BASE);
}
