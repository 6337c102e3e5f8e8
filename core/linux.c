/* SPDX-License-Identifier: BSD-2-Clause */
/* The Linux boot protocol as far as it is arithmetic; core/guest_load.c moves the bytes. */
#include <string.h>

#include "core/guest_acpi.h"
#include "core/guest_load.h"
#include "core/vpci_layout.h"
#include "linux_boot.h"

/* Offsets in boot_params (zero-page.rst of the kernel). */
#define BP_ACPI_RSDP    0x070
#define BP_E820_ENTRIES 0x1e8
#define BP_E820_TABLE   0x2d0

#define E820_RAM      1
#define E820_RESERVED 2

struct e820_entry {
	uint64_t base, size;
	uint32_t type;
} packed;

static bool fits(uint64_t load, uint64_t need, uint64_t top)
{
	return load >= 0x100000 && load < top && need <= top - load;
}

enum status linux_plan(const struct linux_setup_header *h, struct linux_plan *p)
{
	uint64_t top = min_u64(p->memory, GUEST_LOW_RAM);
	uint64_t align = max_u64(h->kernel_alignment, PAGE_SIZE);
	uint64_t need = max_u64(h->init_size, p->kernel_size);
	uint64_t limit;

	if (h->header != LINUX_HDR_MAGIC || h->version < LINUX_MIN_VERSION ||
	    !(h->xloadflags & LINUX_XLF_KERNEL_64) || (align & (align - 1)) || align > SIZE_1G)
		return ERR_INVALID;
	p->setup_size = linux_setup_size(h);
	if (p->setup_size >= p->kernel_size)
		return ERR_INVALID;

	p->load = h->pref_address;
	if (!fits(p->load, need, top)) {
		if (!h->relocatable_kernel)
			return ERR_RANGE;
		p->load = ALIGN_UP(0x100000, align);
	}
	if (!fits(p->load, need, top))
		return ERR_RANGE;
	if (!p->initrd_size)
		return OK;

	/* As high as the kernel can reach, so that it is out of the way of early allocations. */
	limit = min_u64(top, (uint64_t)h->initrd_addr_max + 1);
	if (p->initrd_size > limit)
		return ERR_RANGE;
	p->initrd = ALIGN_DOWN(limit - p->initrd_size, PAGE_SIZE);
	return p->initrd >= p->load + need ? OK : ERR_RANGE;
}

static uint8_t make_e820(struct e820_entry *e, uint64_t memory, bool pci)
{
	const struct e820_entry acpi = { GUEST_ACPI_BASE, GUEST_ACPI_SIZE, E820_RESERVED };
	uint64_t low = min_u64(memory, GUEST_LOW_RAM);
	uint8_t n = 0;

	e[n++] = (struct e820_entry){ 0, GUEST_LOW_TOP, E820_RAM };
	e[n++] = acpi;
	e[n++] = (struct e820_entry){ 0x100000, low - 0x100000, E820_RAM };
	if (pci)
		e[n++] = (struct e820_entry){ VPCI_ECAM_GPA, VPCI_ECAM_SIZE, E820_RESERVED };
	if (memory > low)
		e[n++] = (struct e820_entry){ 4 * SIZE_1G, memory - low, E820_RAM };
	return n;
}

void linux_boot_params(void *page, const struct linux_setup_header *h, uint32_t header_size,
		       const struct linux_plan *p)
{
	uint8_t *bp = page;
	struct linux_setup_header out;
	uint64_t rsdp = GUEST_ACPI_BASE;
	struct e820_entry map[5];

	memset(page, 0, PAGE_SIZE);
	memset(&out, 0, sizeof(out));
	memcpy(&out, h, header_size < sizeof(out) ? header_size : sizeof(out));
	out.type_of_loader = 0xff; /* no number assigned to this loader */
	out.loadflags |= LINUX_LOADED_HIGH;
	out.cmd_line_ptr = GUEST_CMDLINE;
	out.ramdisk_image = (uint32_t)p->initrd; /* both below 4 GiB: GUEST_LOW_RAM */
	out.ramdisk_size = (uint32_t)p->initrd_size;
	out.code32_start = (uint32_t)p->load;
	out.setup_data = 0;
	memcpy(bp + LINUX_HDR_OFFSET, &out, sizeof(out));

	memcpy(bp + BP_ACPI_RSDP, &rsdp, sizeof(rsdp));
	bp[BP_E820_ENTRIES] = make_e820(map, p->memory, p->pci);
	memcpy(bp + BP_E820_TABLE, map, bp[BP_E820_ENTRIES] * sizeof(map[0]));
}
