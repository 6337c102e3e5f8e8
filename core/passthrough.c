/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices and IOMMUs of the machine at boot, and what happens to a guest's devices in each run. */
#include "core/passthrough.h"

#include <stdio.h>
#include <string.h>

#include "core/assign.h"
#include "core/guest.h"
#include "core/host_console.h"
#include "core/hyp_mem.h"
#include "core/smp.h"
#include "core/vpci.h"
#include "log.h"

#define MAX_APIC_ID8 254

struct pci_tree *pci_tree;

static struct assign_guest *assigned; /* by guest */

static void *map_registers(hpa_t hpa, uint64_t size)
{
	return hyp_mem_map(hpa, size, ACCESS_RW, MEM_UC);
}

static const char *bdf(struct pci_bdf d, char text[PCI_BDF_TEXT])
{
	pci_bdf_text(d, text);
	return text;
}

static void *alloc_pages(size_t bytes)
{
	return page_alloc(&hyp_budget, (unsigned)(ALIGN_UP(bytes, PAGE_SIZE) / PAGE_SIZE));
}

/* ------------------------------------------------------------------ at boot */

static void scan(const struct acpi_mcfg *mcfg)
{
	const struct pci_access *first = host_pci(0);

	if (first)
		pci_tree_scan(pci_tree, first);
	for (uint32_t i = 0; i < mcfg->count; i++) {
		uint16_t segment = mcfg->windows[i].segment;
		bool seen = segment == 0;

		for (uint32_t n = 0; n < i; n++)
			seen |= mcfg->windows[n].segment == segment;
		if (!seen && host_pci(segment))
			pci_tree_scan(pci_tree, host_pci(segment));
	}
	if (pci_tree->left_out)
		log_warn("pci: %u functions are beyond what Lamina keeps; they stay blocked",
			 pci_tree->left_out);
}

/* Lamina's own serial port and screen, which go on working. Returns the screen, or NULL. */
static const struct pci_function *reserve_own(const struct boot_framebuffer *fb)
{
	const struct pci_function *screen = NULL;
	struct pci_bdf d;

	if (host_console_pci(&d)) {
		struct pci_function *uart = pci_tree_find(pci_tree, d);

		pci_tree_reserve(pci_tree, d, "it is Lamina's serial port");
		if (uart)
			uart->in_use = true;
	}
	for (uint32_t i = 0; host_console_on_screen() && i < pci_tree->count; i++) {
		struct pci_function *f = &pci_tree->f[i];

		for (uint32_t b = 0; b < PCI_BARS; b++) {
			if (f->bars[b].io || fb->base.v - f->bars[b].base >= f->bars[b].size)
				continue;
			pci_tree_reserve(pci_tree, f->bdf, "it shows Lamina's console");
			f->in_use = true;
			screen = f;
		}
	}
	return screen;
}

bool iommu_is_reserved_for(const struct iommu_reserved *r, struct pci_bdf d)
{
	for (uint32_t i = 0; i < r->count; i++) {
		if (pci_same(r->devices[i], d))
			return true;
	}
	return r->all && d.segment == r->devices[0].segment && d.bus >= r->first_bus &&
	       d.bus <= r->last_bus;
}

/*
 * The firmware goes on using such memory through the device, or the device does so without being asked:
 * in a guest it could not. USB controllers have been taken over from the firmware, and of graphics
 * the memory is for the firmware's own driver.
 */
static void reserve_firmware_memory(void)
{
	for (uint32_t i = 0; i < iommu_info.reserved_count; i++) {
		for (uint32_t n = 0; n < pci_tree->count; n++) {
			const struct pci_function *f = &pci_tree->f[n];

			if (iommu_is_reserved_for(&iommu_info.reserved[i], f->bdf) &&
			    !pci_firmware_lets_go(f))
				pci_tree_reserve(pci_tree, f->bdf,
						 "the firmware keeps memory for it (RMRR or IVMD)");
		}
	}
}

static void start_iommus(const struct boot_info *bi, const struct acpi_mem *mem)
{
	struct iommu_env env = { .budget = &hyp_budget, .map = map_registers, .pci = host_pci };
	struct acpi acpi;
	bool found = bi->rsdp.v && acpi_init(&acpi, mem, bi->rsdp) == OK;

	for (uint32_t i = 0; i < cpu_count; i++)
		env.wide_apic_ids |= cpus[i]->apic_id > MAX_APIC_ID8;
	switch (iommu_start(found ? &acpi : NULL, &env)) {
	case OK:
		log_info("iommu: %s, %u unit%s, %s tables of %u levels; all devices blocked, %s",
			 iommu_info.ops->name, iommu_info.units, iommu_info.units == 1 ? "" : "s",
			 iommu_info.format.name, iommu_info.format.levels,
			 !iommu_info.irq_remap ? "but interrupts are not remapped"
			 : iommu_info.x2apic   ? "interrupts remapped (x2APIC)"
					       : "interrupts remapped");
		break;
	case ERR_NOT_FOUND:
		log_info("iommu: the firmware describes none; no device can be contained");
		break;
	default:
		log_error("iommu: not used; no device can be contained");
		break;
	}
}

static void assign(const struct config *config)
{
	const struct assign_machine machine = { .irq_remap = iommu_info.irq_remap,
						.covers = iommu_covers };

	assigned = alloc_pages(sizeof(*assigned) * CONFIG_MAX_GUESTS);
	if (assigned)
		assign_devices(pci_tree, config, &machine, assigned);
}

/* Where faults are announced: a core of a guest with devices, since it is its devices that fault. */
static void route_faults(const struct config *config)
{
	for (uint32_t i = 0; assigned && i < config->guest_count; i++) {
		uint16_t core = config->guests[i].cores[0];

		if (!assigned[i].count || core >= cpu_count)
			continue;
		if (iommu_info.ops && iommu_fault_nmi(cpus[core]->apic_id) != OK)
			log_warn("iommu: faults cannot be announced; they are seen in the monitor");
		return;
	}
}

/* All that could be given away, and what belongs together. More is told by the monitor's `devs`. */
static void list_devices(const struct config *config)
{
	char text[80];

	for (uint32_t i = 0; i < pci_tree->count; i++) {
		const struct pci_function *f = &pci_tree->f[i];
		bool owned = f->owner != PCI_NO_OWNER;
		char at[PCI_BDF_TEXT], class[16];

		if (f->chipset)
			continue;
		pci_class_name(f->class, class, sizeof(class));
		log_msg(owned ? LOG_INFO : LOG_DEBUG,
			"pci: %s [%04x:%04x] %s, group %u, reset %s: %s", bdf(f->bdf, at),
			f->vendor, f->device, class, f->group, pci_reset_name(f->reset),
			owned         ? config->guests[f->owner].name
			: f->reserved ? f->reserved
				      : "nobody's");
	}
	pci_tree_summary(pci_tree, text, sizeof(text));
	log_info("pci: %s", text);
}

void passthrough_init(const struct boot_info *bi, const struct acpi_platform *platform,
		      const struct acpi_mem *mem)
{
	const struct pci_mapper mapper = { .map = map_registers };
	const struct pci_function *screen;

	pci_tree = alloc_pages(sizeof(*pci_tree));
	if (!pci_tree) {
		log_error("pci: the pool is too small for the list of devices");
		return;
	}
	scan(&platform->mcfg);
	screen = reserve_own(&bi->fb);
	pci_tree_group(pci_tree, host_pci);
	pci_tree_quiesce(pci_tree, host_pci, &mapper);
	start_iommus(bi, mem);
	if (iommu_info.ops && iommu_info.irq_remap)
		host_console_remap();
	if (screen)
		screen_keep_memory(bi, screen);
	reserve_firmware_memory();
	assign(&bi->config);
	list_devices(&bi->config);
	route_faults(&bi->config);
}

/* ------------------------------------------------------------------ a guest */

static uint16_t domain_of(const struct guest *g)
{
	return (uint16_t)(g->index + 1);
}

/* What the user has accepted, and might have forgotten. */
static void warn_unsafe(const struct guest *g)
{
	char at[PCI_BDF_TEXT];

	for (uint32_t i = 0; i < g->device_count; i++) {
		const struct pci_function *f = g->devices[i];

		if (!iommu_covers(f->requester))
			log_warn("guest %s: device %s has no IOMMU: no DMA, no MSI (iommu=unsafe)",
				 g->config->name, bdf(f->bdf, at));
		else if (!iommu_info.irq_remap)
			log_warn("guest %s: device %s can send any interrupt to any core "
				 "(iommu=unsafe)",
				 g->config->name, bdf(f->bdf, at));
	}
}

enum status passthrough_create(struct guest *g)
{
	const struct assign_guest *a = assigned ? &assigned[g->index] : NULL;
	enum status s;

	if (!g->config->device_count)
		return OK;
	if (!a || a->refusal[0] || !a->count) {
		log_error("guest %s: %s", g->config->name,
			  a && a->refusal[0] ? a->refusal : "this machine has no PCI devices");
		return ERR_DENIED;
	}
	for (uint32_t i = 0; i < a->count; i++)
		g->devices[i] = a->function[i];
	g->device_count = a->count;
	warn_unsafe(g);
	s = vpci_create(g, (const struct pci_function *const *)g->devices, a->slot, a->count);
	if (s != OK)
		log_error("guest %s: its PCI bus cannot be made%s", g->config->name,
			  s == ERR_OVERLAP ? ": two devices want the same slot" : "");
	return s;
}

enum status passthrough_create_view(struct guest *g)
{
	enum status s;

	if (!g->device_count || !iommu_info.ops)
		return OK;
	s = tdp_attach_dma(&g->tdp, &iommu_info.format);
	if (s == ERR_RANGE)
		log_error("guest %s: its memory reaches beyond what the IOMMU translates (%u bits)",
			  g->config->name, iommu_info.format.gpa_bits);
	return s;
}

static bool same_bdf(struct pci_bdf a, struct pci_bdf b)
{
	return a.segment == b.segment && a.bus == b.bus && a.device == b.device &&
	       a.function == b.function;
}

/* The n-th of the requester ids that the guest's devices use, without repetition. */
static bool next_requester(const struct guest *g, uint32_t *n, struct pci_bdf *out)
{
	for (; *n < 2 * g->device_count; (*n)++) {
		const struct pci_function *f = g->devices[*n / 2];
		bool seen = false;

		/* Behind a bridge, requests may carry either id. */
		*out = *n % 2 ? f->requester : f->bdf;
		for (uint32_t i = 0; i < *n && !seen; i++) {
			const struct pci_function *other = g->devices[i / 2];

			seen = same_bdf(*out, i % 2 ? other->requester : other->bdf);
		}
		if (!seen) {
			(*n)++;
			return true;
		}
	}
	return false;
}

static void detach_all(struct guest *g)
{
	struct pci_bdf d;
	uint32_t n = 0;

	if (!iommu_info.ops)
		return;
	while (next_requester(g, &n, &d))
		iommu_detach(d);
}

static enum status attach_all(struct guest *g)
{
	hpa_t root = HPA(iommu_info.ops ? tdp_root(&g->tdp, TDP_DMA) : 0);
	struct pci_bdf d;
	uint32_t n = 0;

	while (iommu_info.ops && next_requester(g, &n, &d)) {
		enum status s = iommu_attach(d, domain_of(g), root);
		char at[PCI_BDF_TEXT];

		/* Without a unit above it, the user has said that it may be had so. */
		if (s == OK || s == ERR_NOT_FOUND)
			continue;
		log_error("guest %s: device %s cannot be attached to the IOMMU%s", g->config->name,
			  bdf(d, at), s == ERR_NOMEM ? ": the pool is too small" : "");
		return s;
	}
	return OK;
}

static enum status reset_all(struct guest *g)
{
	enum status result = OK;
	char at[PCI_BDF_TEXT];

	for (uint32_t i = 0; i < g->device_count; i++) {
		const struct pci_function *f = g->devices[i];
		enum status s;

		if (f->reset == PCI_RESET_NONE) {
			if (!g->starts || g->starts == 1)
				log_warn(
					"guest %s: device %s is not reset between runs (reset=none)",
					g->config->name, bdf(f->bdf, at));
			continue;
		}
		s = pci_function_reset(pci_tree, f, host_pci(f->bdf.segment));
		if (s == OK)
			continue;
		log_error("guest %s: device %s does not come back from its reset (%s)",
			  g->config->name, bdf(f->bdf, at), pci_reset_name(f->reset));
		result = s;
	}
	g->devices_reset = result == OK;
	return result;
}

static void stop_interrupts(struct guest *g)
{
	for (uint32_t i = 0; i < g->vpci->count; i++)
		vpci_irq_stop(&g->vpci->devices[i].irqs);
}

static enum status start_interrupts(struct guest *g)
{
	for (uint32_t i = 0; i < g->vpci->count; i++) {
		enum status s = vpci_irq_start(&g->vpci->devices[i].irqs);

		if (s != OK) {
			log_error("guest %s: no interrupts for its devices%s", g->config->name,
				  s == ERR_NOMEM ? ": the IOMMU's table is full" : "");
			return s;
		}
	}
	return OK;
}

enum status passthrough_start(struct guest *g)
{
	enum status s = OK;

	if (!g->device_count)
		return OK;
	if (!g->devices_reset)
		s = reset_all(g);
	if (s != OK)
		return s;
	g->devices_reset = false;
	vpci_reset(g);
	s = attach_all(g);
	if (s == OK)
		s = start_interrupts(g);
	if (s == OK)
		vpci_allow_dma(g);
	if (s != OK) {
		stop_interrupts(g);
		detach_all(g);
	}
	return s;
}

void passthrough_stop(struct guest *g)
{
	if (!g->device_count)
		return;
	/* No messages, no mastering, and then no way to memory for what is still under way. */
	stop_interrupts(g);
	vpci_stop(g);
	detach_all(g);
	/* What is left in it is the next run's business at the latest, which then does not begin. */
	if (reset_all(g) != OK)
		log_warn("guest %s: it cannot be started while that is so", g->config->name);
}

void passthrough_flush(struct guest *g, const struct gfn_range *ranges, unsigned count)
{
	iommu_flush(domain_of(g), ranges, count);
}
