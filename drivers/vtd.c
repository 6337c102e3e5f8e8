// SPDX-License-Identifier: BSD-2-Clause
#include "drivers/vtd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

/*
 * Intel's IOMMU: VT-d, DMA remapping in legacy mode. What is shared by all units: one format of
 * tables, the domain ids.
 */
#define DOMAINS_MAX      256u
#define FLUSH_RANGES_MAX 8u

#define HEADER_TYPE   0x7f
#define HEADER_BRIDGE 1
#define STATUS_STRIDE 64 /* a cache line for each unit's number */

_Static_assert(DMAR_UNITS_MAX <= IOMMU_UNITS_MAX, "iommu_info");
_Static_assert(DMAR_UNITS_MAX *STATUS_STRIDE <= PAGE_SIZE, "one page for all units' numbers");

struct vtd vtd;

struct vtd_unit *vtd_unit_of(struct pci_bdf d)
{
	uint32_t i = dmar_unit_of(&vtd.dmar, d);

	return i < vtd.count ? &vtd.unit[i] : NULL;
}

void vtd_store(uint64_t *field, uint64_t v)
{
	__atomic_store_n(field, v, __ATOMIC_RELEASE);
	vtd_written(field, sizeof(*field));
}

static void warn(void *ctx, const char *what, hpa_t pa)
{
	(void)ctx;
	log_warn("DMAR at %#" PRIx64 ": %s", pa.v, what);
}

static bool read_bridge(void *ctx, struct pci_bdf d, uint8_t *secondary, uint8_t *subordinate)
{
	const struct iommu_env *env = ctx;
	const struct pci_access *a = env->pci(d.segment);

	/* What does not exist reads as all ones. */
	if (!a || (pci_read8(a, d, PCI_HEADER_TYPE) & HEADER_TYPE) != HEADER_BRIDGE)
		return false;
	*secondary = pci_read8(a, d, PCI_SECONDARY);
	*subordinate = pci_read8(a, d, PCI_SUBORDINATE);
	return true;
}

/* What all units can do. */
static enum status common(const struct iommu_env *env)
{
	uint64_t cap = ~0ull, ecap = ~0ull;
	struct vtd_caps caps = { .haw = vtd.dmar.address_bits ? vtd.dmar.address_bits : 52,
				 .mgaw = 64 };

	iommu_info.domains = DOMAINS_MAX;
	for_each_vtd_unit (u) {
		cap &= u->cap;
		ecap &= u->ecap;
		caps.mgaw = (uint8_t)min_u64(caps.mgaw, CAP_MGAW(u->cap));
		/* Domain 0 is what units with CAP.CM tag entries with that are not present. */
		iommu_info.domains =
			(uint32_t)min_u64(iommu_info.domains, BIT(CAP_DOMAIN_BITS(u->cap)) - 1);
	}
	caps.agaw_39 = cap & CAP_AGAW_39;
	caps.agaw_48 = cap & CAP_AGAW_48;
	caps.page_2m = cap & CAP_PAGE_2M;
	caps.page_1g = cap & CAP_PAGE_1G;
	caps.snoop = ecap & ECAP_SC;
	vtd.snoops = ecap & ECAP_C;
	vtd.irq_remap = vtd.dmar.intr_remap && ecap & ECAP_IR;
	vtd.x2apic = vtd.irq_remap && ecap & ECAP_EIM &&
		     (env->wide_apic_ids || !vtd.dmar.x2apic_opt_out);
	if (env->wide_apic_ids && !vtd.x2apic) {
		log_error("VT-d: APIC ids above 254 need interrupt remapping in x2APIC format");
		return ERR_UNSUPPORTED;
	}
	if (spte_format_vtd(&iommu_info.format, &caps) != OK) {
		log_error("VT-d: the units have no format of tables in common");
		return ERR_UNSUPPORTED;
	}
	return OK;
}

static void *new_table(unsigned pages)
{
	void *p = page_alloc(vtd.budget, pages);

	if (p)
		vtd_written(p, pages * PAGE_SIZE);
	return p;
}

static bool make_tables(void)
{
	uint8_t *done = new_table(1);

	if (!done)
		return false;
	for_each_vtd_unit (u) {
		struct vtd_unit *peer = vtd.unit;

		u->root = new_table(1);
		u->queue = new_table(1);
		u->done = (volatile uint32_t *)(done + (u - vtd.unit) * STATUS_STRIDE);
		while (peer->segment != u->segment)
			peer++;
		if (vtd.irq_remap)
			u->irt = peer == u ? new_table(VTD_IRT_PAGES) : peer->irt;
		if (!u->root || !u->queue || (vtd.irq_remap && !u->irt))
			return false;
	}
	return true;
}

static enum status turn_on(const struct iommu_env *env)
{
	enum status s = OK;

	for (uint32_t i = 0; s == OK && i < vtd.count; i++)
		s = vtd_unit_probe(i, env);
	if (s == OK)
		s = common(env);
	if (s == OK && !make_tables()) {
		log_error("VT-d: no memory for the units' tables");
		s = ERR_NOMEM;
	}
	for_each_vtd_unit (u)
		if (s == OK)
			s = vtd_unit_on(u);
	return s;
}

static enum status vtd_start(const struct acpi_table *table, const struct iommu_env *env)
{
	const struct dmar_env parse = { warn, read_bridge, (void *)(uintptr_t)env };
	enum status s;

	memset(&vtd, 0, sizeof(vtd));
	s = dmar_parse(table, &parse, &vtd.dmar);
	if (s != OK)
		return s;
	vtd.budget = env->budget;
	vtd.count = vtd.dmar.unit_count;
	s = turn_on(env);
	if (s != OK) {
		for_each_vtd_unit (u)
			if (u->regs)
				vtd_unit_off(u);
		vtd.count = 0;
		return s;
	}
	iommu_info.units = vtd.count;
	for (uint32_t i = 0; i < vtd.count; i++)
		iommu_info.registers[i] = vtd.dmar.units[i].base;
	iommu_info.irq_remap = vtd.irq_remap;
	iommu_info.x2apic = vtd.x2apic;
	iommu_info.reserved_count =
		dmar_reserved(&vtd.dmar, iommu_info.reserved, IOMMU_RESERVED_MAX);
	if (iommu_info.reserved_count > IOMMU_RESERVED_MAX) {
		log_warn("DMAR: only %u of %u reserved regions are kept", IOMMU_RESERVED_MAX,
			 iommu_info.reserved_count);
		iommu_info.reserved_count = IOMMU_RESERVED_MAX;
	}
	return OK;
}

static bool covers(struct pci_bdf d)
{
	return vtd_unit_of(d);
}

/* The context entry of a device; NULL: its bus has no table, and there is no memory for one. */
static struct vtd_entry *context(struct vtd_unit *u, struct pci_bdf d, bool make)
{
	struct vtd_entry *root = &u->root[d.bus];
	void *table;

	if (!(root->lo & VTD_ENTRY_P)) {
		table = make ? new_table(1) : NULL;
		if (!table)
			return NULL;
		vtd_store(&root->lo, virt_to_hpa(table).v | VTD_ENTRY_P);
	}
	return (struct vtd_entry *)hpa_to_virt(HPA(root->lo & PAGE_MASK)) + (vtd_sid(d) & 0xff);
}

static uint64_t iotlb(const struct vtd_unit *u, uint64_t granularity, uint16_t domain)
{
	return DESC_IOTLB | granularity | DESC_DID(domain) | (u->cap & CAP_DRD ? DESC_DR : 0) |
	       (u->cap & CAP_DWD ? DESC_DW : 0);
}

/*
 * Forget a context entry that was cached as one of domain `tag`, then everything of `domain`. With a
 * wait between: a translation made with the old entry must not come after its invalidation.
 */
static void forget(struct vtd_unit *u, struct pci_bdf d, uint16_t tag, uint16_t domain)
{
	vtd_queue(u, DESC_CONTEXT | DESC_DEVICE | DESC_DID(tag) | DESC_SID(vtd_sid(d)), 0);
	vtd_sync(u);
	vtd_queue(u, iotlb(u, DESC_DOMAIN, domain), 0);
	vtd_sync(u);
}

static enum status attach(struct pci_bdf d, uint16_t domain, hpa_t root)
{
	struct vtd_unit *u = vtd_unit_of(d);
	struct vtd_entry *e;

	if (!u)
		return ERR_NOT_FOUND;
	e = context(u, d, true);
	if (!e)
		return ERR_NOMEM;
	if (e->lo & VTD_ENTRY_P)
		return ERR_BUSY;
	vtd_store(&e->hi, CONTEXT_AW(iommu_info.format.levels) | CONTEXT_DID(domain));
	/* Translation type 0: untranslated requests only, a device's own TLB is not believed. */
	vtd_store(&e->lo, root.v | VTD_ENTRY_P);
	/* With CAP.CM, that there was nothing is cached, as of domain 0. */
	forget(u, d, 0, domain);
	return OK;
}

static void detach(struct pci_bdf d)
{
	struct vtd_unit *u = vtd_unit_of(d);
	struct vtd_entry *e = u ? context(u, d, false) : NULL;
	uint16_t domain;

	if (!e || !(e->lo & VTD_ENTRY_P))
		return;
	domain = CONTEXT_DID_OF(e->hi);
	vtd_store(&e->lo, 0);
	forget(u, d, domain, domain);
}

/*
 * Page-selective invalidation takes an aligned power of two of pages: the smallest one around the
 * range. False: the unit can't.
 */
static bool flush_pages(struct vtd_unit *u, uint16_t domain, const struct gfn_range *r)
{
	unsigned order = 0;

	while ((r->start ^ (r->end - 1)) >> order)
		order++;
	if (order > CAP_MAMV(u->cap))
		return false;
	vtd_queue(u, iotlb(u, DESC_PAGES, domain),
		  r->start >> order << order << PAGE_SHIFT | order);
	return true;
}

static void flush(uint16_t domain, const struct gfn_range *ranges, unsigned count)
{
	for_each_vtd_unit (u) {
		bool all = !(u->cap & CAP_PSI) || count > FLUSH_RANGES_MAX;

		for (unsigned i = 0; !all && i < count; i++)
			all = ranges[i].start < ranges[i].end &&
			      !flush_pages(u, domain, &ranges[i]);
		if (all)
			vtd_queue(u, iotlb(u, DESC_DOMAIN, domain), 0);
		vtd_submit(u);
	}
	for_each_vtd_unit (u)
		vtd_wait(u);
}

static void describe(uint32_t unit, char *text, size_t size)
{
	const struct vtd_unit *u = &vtd.unit[unit];

	if (unit >= vtd.count)
		return;
	snprintf(text, size, "%u: %#" PRIx64 " segment %u%s, %u bits,%s%s pages, queued%s%s", unit,
		 vtd.dmar.units[unit].base.v, u->segment,
		 vtd.dmar.units[unit].include_all ? ", others" : "", (unsigned)CAP_MGAW(u->cap),
		 u->cap & CAP_PAGE_2M ? " 2M" : " 4K", u->cap & CAP_PAGE_1G ? " 1G" : "",
		 vtd.irq_remap ? ", irq-remap" : "", vtd.x2apic ? " x2apic" : "");
}

const struct iommu_ops vtd_ops = {
	.name = "VT-d",
	.signature = "DMAR",
	.start = vtd_start,
	.attach = attach,
	.detach = detach,
	.flush = flush,
	.irq_alloc = vtd_irq_alloc,
	.irq_free = vtd_irq_free,
	.irq_set = vtd_irq_set,
	.ioapic_nmi = vtd_ioapic_nmi,
	.fault_nmi = vtd_fault_nmi,
	.fault_mask = vtd_fault_mask,
	.next_fault = vtd_next_fault,
	.covers = covers,
	.describe = describe,
};
