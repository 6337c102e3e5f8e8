/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration space of the machine: what the MCFG describes and what can be believed of it. */
#include "core/passthrough.h"

#include "core/hyp_mem.h"
#include "core/init.h"
#include "log.h"

#define BUS_SHIFT 20 /* 1 MiB of a window for each bus */
#define NO_ID     0xffffffffu
#define ID_REG    0
#define DEVICES   32u

static struct pci_access segments[ACPI_MAX_MCFG];
static uint32_t segment_count;

static struct pci_access *find_segment(uint16_t segment)
{
	for (uint32_t i = 0; i < segment_count; i++) {
		if (segments[i].segment == segment)
			return &segments[i];
	}
	return NULL;
}

const struct pci_access *host_pci(uint16_t segment)
{
	return find_segment(segment);
}

static struct pci_access *get_segment(uint16_t segment)
{
	struct pci_access *a = find_segment(segment);

	if (!a && segment_count < ARRAY_SIZE(segments)) {
		a = &segments[segment_count++];
		pci_access_ecam(a, segment);
	}
	return a;
}

/* Memory, of which a wrong table would have us write to. */
static bool is_memory(uint64_t base, uint64_t size)
{
	for (uint32_t i = 0; i < boot_info->region_count; i++) {
		const struct boot_region *r = &boot_info->regions[i];

		if (r->type != REGION_RESERVED && r->type != REGION_MMIO &&
		    r->type != REGION_RUNTIME && base < r->base.v + r->size &&
		    r->base.v < base + size)
			return true;
	}
	return false;
}

/* Whether the ports and the window see the same functions 0 on the window's first bus. */
static bool same_as_ports(const struct pci_access *a, uint8_t bus)
{
	struct pci_bdf d = { .bus = bus };
	struct pci_access ports;

	pci_access_ports(&ports);
	for (d.device = 0; d.device < DEVICES; d.device++) {
		if (pci_read32(a, d, ID_REG) != pci_read32(&ports, d, ID_REG))
			return false;
	}
	return true;
}

/* Whether anything at all is behind a window. */
static bool answers(const struct pci_access *a, const struct acpi_mcfg_window *w)
{
	struct pci_bdf d = { .segment = w->segment };

	for (uint32_t bus = w->first_bus; bus <= w->last_bus; bus++) {
		d.bus = (uint8_t)bus;
		for (d.device = 0; d.device < DEVICES; d.device++) {
			if (pci_read32(a, d, ID_REG) != NO_ID)
				return true;
		}
	}
	return false;
}

/* Why a window is not used; NULL: it is. */
static const char *add_window(const struct acpi_mcfg_window *w)
{
	uint64_t base = w->base.v + ((uint64_t)w->first_bus << BUS_SHIFT);
	uint64_t size = (uint64_t)(w->last_bus - w->first_bus + 1) << BUS_SHIFT;
	struct pci_access *a = get_segment(w->segment);
	struct pci_access probe;
	void *at;

	if (!a)
		return "too many segments";
	if (is_memory(base, size))
		return "it lies in memory";
	at = hyp_mem_map(HPA(base), size, ACCESS_RW, MEM_UC);
	if (!at)
		return "it cannot be mapped";
	pci_access_ecam(&probe, w->segment);
	if (pci_access_add_window(&probe, at, w->first_bus, w->last_bus) != OK ||
	    (w->segment ? !answers(&probe, w) : !same_as_ports(&probe, w->first_bus))) {
		hyp_mem_unmap(at, size);
		return "the devices do not answer there";
	}
	if (pci_access_add_window(a, at, w->first_bus, w->last_bus) == OK)
		return NULL;
	hyp_mem_unmap(at, size);
	return "it overlaps another, or is one too many";
}

void host_pci_init(const struct acpi_mcfg *mcfg)
{
	struct pci_access *a;

	segment_count = 0;
	for (uint32_t i = 0; i < mcfg->count; i++) {
		const struct acpi_mcfg_window *w = &mcfg->windows[i];
		const char *why = add_window(w);

		if (why)
			log_warn(
				"pci: the window of segment %u, buses %02x to %02x, at %#llx is not used: %s",
				w->segment, w->first_bus, w->last_bus,
				(unsigned long long)w->base.v, why);
	}
	a = get_segment(0);
	if (a && !a->window_count) {
		pci_access_ports(a);
		log_info("pci: configuration space by ports, without what lies beyond 256 bytes");
	}
}
