/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/guest_load.h"

#include <string.h>

#include "core/guest_acpi.h"
#include "core/vpci.h"
#include "core/window.h"
#include "linux_boot.h"
#include "core/vpm.h"
#include "log.h"

extern const uint8_t dsdt_start[], dsdt_end[], ssdt_start[], ssdt_end[];

/* Copy from a file that the loader has kept; `offset` and `len` lie inside it (checked by callers). */
static enum status copy_image(struct guest *g, gpa_t to, const struct boot_image *file,
			      uint64_t offset, uint64_t len)
{
	while (len) {
		const void *src = window_map(WINDOW_SOURCE, HPA(file->base.v + offset));
		uint64_t chunk = min_u64(len, PAGE_SIZE - (offset & ~PAGE_MASK));
		enum status s = guest_write(g, to, src, chunk);

		if (s != OK)
			return s;
		to.v += chunk;
		offset += chunk;
		len -= chunk;
	}
	return OK;
}

static void read_image(const struct boot_image *file, uint64_t offset, void *buf, uint64_t len)
{
	uint8_t *to = buf;

	while (len) {
		const void *src = window_map(WINDOW_SOURCE, HPA(file->base.v + offset));
		uint64_t chunk = min_u64(len, PAGE_SIZE - (offset & ~PAGE_MASK));

		memcpy(to, src, chunk);
		to += chunk;
		offset += chunk;
		len -= chunk;
	}
}

enum status guest_load_prepare(struct guest *g)
{
	struct guest_acpi_params p = {
		.cpu_count = g->vcpu_count,
		.dsdt = dsdt_start,
		.dsdt_size = (uint32_t)(dsdt_end - dsdt_start),
	};
	struct guest_acpi_pci pci = {
		.ecam = VPCI_ECAM_GPA,
		.ssdt = ssdt_start,
		.ssdt_size = (uint32_t)(ssdt_end - ssdt_start),
	};
	uint32_t apic_ids[CONFIG_MAX_CPUS];
	/* Too large for a stack, and only for the moment. */
	void *buf = page_alloc(&g->budget, GUEST_ACPI_SIZE / PAGE_SIZE);
	enum status s;

	if (!buf)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < g->vcpu_count; i++)
		apic_ids[i] = g->vcpus[i]->apic_id;
	p.apic_ids = apic_ids;
	if (g->vpci) {
		pci.mem64 = g->vpci->mem64;
		pci.mem64_size = g->vpci->mem64_size;
		p.pci = &pci;
	}
	s = guest_acpi_build(buf, &p, &g->acpi_size);
	if (s == OK) {
		g->acpi = page_alloc(&g->budget, (g->acpi_size + PAGE_SIZE - 1) / PAGE_SIZE);
		s = g->acpi ? OK : ERR_NOMEM;
	}
	if (s == OK)
		memcpy(g->acpi, buf, g->acpi_size);
	page_free(buf);
	return s;
}

/* Identity mapping of the first 4 GiB with 2 MiB pages, as the 64-bit entry wants it (boot.rst). */
static enum status load_page_tables(struct guest *g)
{
	const uint64_t present_write = 3, large = BIT(7);
	uint64_t table[512] = { 0 };
	enum status s;

	table[0] = (GUEST_PAGE_TABLES + PAGE_SIZE) | present_write;
	s = guest_write(g, GPA(GUEST_PAGE_TABLES), table, sizeof(table));
	for (uint64_t i = 0; i < 4; i++)
		table[i] = (GUEST_PAGE_TABLES + (2 + i) * PAGE_SIZE) | present_write;
	if (s == OK)
		s = guest_write(g, GPA(GUEST_PAGE_TABLES + PAGE_SIZE), table, sizeof(table));
	for (uint64_t pd = 0; pd < 4 && s == OK; pd++) {
		for (uint64_t i = 0; i < 512; i++)
			table[i] = (pd * SIZE_1G + i * SIZE_2M) | present_write | large;
		s = guest_write(g, GPA(GUEST_PAGE_TABLES + (2 + pd) * PAGE_SIZE), table,
				sizeof(table));
	}
	return s;
}

static enum status load_gdt(struct guest *g)
{
	/* boot.rst: __BOOT_CS 0x10 and __BOOT_DS 0x18, flat, 4 GiB */
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull };

	return guest_write(g, GPA(GUEST_GDT), gdt, sizeof(gdt));
}

static enum status load_kernel(struct guest *g, struct linux_plan *p)
{
	const struct boot_image *kernel = &g->boot->kernel;
	uint8_t page[PAGE_SIZE];
	struct linux_setup_header h;
	uint32_t header_size;
	enum status s;

	if (kernel->size < LINUX_HDR_OFFSET + sizeof(h))
		return ERR_INVALID;
	read_image(kernel, LINUX_HDR_OFFSET, &h, sizeof(h));
	header_size = 0x202u + (h.jump >> 8) - LINUX_HDR_OFFSET;
	*p = (struct linux_plan){ .kernel_size = kernel->size,
				  .initrd_size = g->boot->initrd.size,
				  .memory = g->boot->memory_size,
				  .pci = g->vpci };
	s = linux_plan(&h, p);
	if (s != OK)
		return s;
	linux_boot_params(page, &h, header_size, p);
	s = guest_write(g, GPA(GUEST_BOOT_PARAMS), page, sizeof(page));
	if (s == OK)
		s = copy_image(g, GPA(p->load), kernel, p->setup_size,
			       kernel->size - p->setup_size);
	if (s == OK && p->initrd_size)
		s = copy_image(g, GPA(p->initrd), &g->boot->initrd, 0, p->initrd_size);
	return s;
}

/*
 * The firmware's entry at F000:FFF0. On machines with hardware-reduced ACPI Linux restarts through
 * EFI and, as there is none, by jumping there in real mode. It writes the reset register.
 */
static enum status load_reset_entry(struct guest *g)
{
	static const uint8_t code[] = {
		0xba,
		VPM_RESET_PORT & 0xff,
		VPM_RESET_PORT >> 8, /* mov $VPM_RESET_PORT, %dx */
		0xb0,
		VPM_RESET_VALUE, /* mov $VPM_RESET_VALUE, %al */
		0xee,            /* out %al, %dx */
		0xf4,            /* hlt */
		0xeb,
		0xfd, /* jmp to the hlt */
	};

	return guest_write(g, GPA(0xffff0), code, sizeof(code));
}

enum status guest_load(struct guest *g, struct vcpu_start *start)
{
	const char *cmdline = g->config->cmdline;
	struct linux_plan plan;
	enum status s = load_kernel(g, &plan);

	if (s == OK)
		s = guest_write(g, GPA(GUEST_CMDLINE), cmdline, strlen(cmdline) + 1);
	if (s == OK)
		s = load_page_tables(g);
	if (s == OK)
		s = load_gdt(g);
	if (s == OK)
		s = guest_write(g, GPA(GUEST_ACPI_BASE), g->acpi, g->acpi_size);
	if (s == OK)
		s = load_reset_entry(g);
	if (s != OK) {
		log_error("guest %s: kernel %s does not fit its %llu MiB of memory or is damaged",
			  g->config->name, g->config->kernel,
			  (unsigned long long)(g->boot->memory_size >> 20));
		return s;
	}
	*start = (struct vcpu_start){
		.long_mode = true,
		.rip = plan.load + LINUX_ENTRY_64,
		.rsp = GUEST_BOOT_PARAMS, /* unused by the protocol; grows down into free memory */
		.rsi = GUEST_BOOT_PARAMS,
		.cr3 = GUEST_PAGE_TABLES,
		.gdt_base = GUEST_GDT,
		.gdt_limit = 4 * 8 - 1,
	};
	return OK;
}
