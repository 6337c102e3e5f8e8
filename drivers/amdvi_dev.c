/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/amdvi.h"
#include "panic.h"

/*
 * A device table entry is two stores of 16 bytes: one half about DMA, one about interrupts. Each is
 * blocked or complete, at any moment that hardware may read it.
 */
static uint16_t device_id(struct pci_bdf d)
{
	return (uint16_t)(d.bus << 8 | d.device << 3 | d.function);
}

struct amdvi_segment *amdvi_segment(uint16_t number)
{
	uint32_t i;

	for (i = 0; i < amdvi.segment_count; i++) {
		if (amdvi.segments[i].number == number)
			return &amdvi.segments[i];
	}
	return NULL;
}

/*
 * V or IV clear would let everything pass, and so would a mode of 0 but for IR and IW. With IntCtl
 * and the "Pass" bits 0 no interrupt but an SMI arrives (2.2.5), whatever IVRS suggests. What an
 * entry leaves 0 forbids the rest: ATS, port I/O, system management messages.
 */
static void dma_half(const struct amdvi_source *x, uint64_t half[2])
{
	bool open = x && (x->attached || x->users);

	half[0] = DTE0_V | DTE0_TV | DTE0_MODE(iommu_info.format.levels);
	half[0] |= open ? x->root.v | DTE0_IR | DTE0_IW : virt_to_hpa(amdvi.empty).v;
	half[1] = open ? x->domain : 0;
}

static uint64_t irq_half(const struct amdvi_source *x, const struct amdvi_source *alias)
{
	uint64_t half = DTE2_IV;
	unsigned i;

	if (alias->irqs)
		half |= virt_to_hpa(alias->irqs).v | DTE2_INT_TAB_LEN | DTE2_INT_CTL_MAP;
	if (x->nmi)
		half |= DTE2_NMI_PASS;
	for (i = 0; i < ARRAY_SIZE(alias->irq_nmi); i++) {
		if (alias->irq_nmi[i])
			half |= DTE2_NMI_PASS;
	}
	return half;
}

void amdvi_block_all(struct amdvi_segment *s)
{
	uint64_t half[2];
	uint32_t id;

	dma_half(NULL, half);
	for (id = 0; id < DEVICE_IDS; id++) {
		s->table[id][0] = half[0];
		s->table[id][2] = DTE2_IV;
	}
}

enum status amdvi_source_by_id(struct amdvi_segment *segment, uint16_t id, uint16_t alias,
			       struct amdvi_source **out)
{
	struct amdvi_source *x;

	for (x = amdvi.sources; x < &amdvi.sources[AMDVI_SOURCES_MAX]; x++) {
		if (x->segment == segment && x->id == id) {
			*out = x;
			return x->alias == alias ? OK : ERR_NOT_FOUND;
		}
		if (!x->segment) {
			x->segment = segment;
			x->id = id;
			x->alias = alias;
			*out = x;
			return OK;
		}
	}
	return ERR_NOMEM;
}

struct amdvi_source *amdvi_find(struct pci_bdf d)
{
	struct amdvi_source *x;

	for (x = amdvi.sources; x < &amdvi.sources[AMDVI_SOURCES_MAX] && x->segment; x++) {
		if (x->segment->number == d.segment && x->id == device_id(d))
			return x;
	}
	return NULL;
}

enum status amdvi_source(struct pci_bdf d, struct amdvi_source **out)
{
	struct amdvi_segment *segment = amdvi_segment(d.segment);
	uint16_t alias;
	enum status s;

	if (!segment || ivrs_unit_of(&amdvi.ivrs, d) == IVRS_NO_UNIT)
		return ERR_NOT_FOUND;
	alias = ivrs_alias(&amdvi.ivrs, d);
	s = amdvi_source_by_id(segment, alias, alias, out);
	return s == OK ? amdvi_source_by_id(segment, device_id(d), alias, out) : s;
}

struct amdvi_source *amdvi_alias(const struct amdvi_source *x)
{
	struct amdvi_source *alias = NULL;
	enum status s = amdvi_source_by_id(x->segment, x->alias, x->alias, &alias);

	ASSERT(s == OK); /* it was made before what has it */
	return alias;
}

/*
 * What an entry led to is forgotten after the entry itself: commands between two waits may be
 * carried out in any order, and a request that still finds the old entry would fill caches anew.
 */
void amdvi_update(struct amdvi_source *x)
{
	struct amdvi_source *alias = amdvi_alias(x), *y;
	uint32_t i;

	for (y = amdvi.sources; y < &amdvi.sources[AMDVI_SOURCES_MAX] && y->segment; y++) {
		uint64_t *entry = y->segment->table[y->id], half[2];

		if (y->segment != x->segment || y->alias != x->alias)
			continue;
		dma_half(y, half);
		amdvi_store(entry, half[0], half[1]);
		amdvi_store(entry + 2, irq_half(y, alias), 0);
		for (i = 0; i < amdvi.unit_count; i++) {
			if (amdvi.units[i].bdf.segment == y->segment->number)
				amdvi_invalidate_device(&amdvi.units[i], y->id);
		}
	}
	amdvi_wait_all();
}

/* Everybody in a domain has one table: an id that is open already must be open for the same one. */
static bool conflicts(const struct amdvi_source *x, uint16_t domain, hpa_t root)
{
	return (x->attached || x->users) && (x->domain != domain || x->root.v != root.v);
}

static void open_for(struct amdvi_source *x, uint16_t domain, hpa_t root)
{
	x->domain = domain;
	x->root = root;
}

static void flush_domain(uint16_t domain)
{
	uint32_t i;

	for (i = 0; i < amdvi.unit_count; i++)
		amdvi_invalidate_domain(&amdvi.units[i], domain);
	amdvi_wait_all();
}

enum status amdvi_attach(struct pci_bdf d, uint16_t domain, hpa_t root)
{
	struct amdvi_source *x, *alias;
	enum status s;

	if (!domain || domain > iommu_info.domains)
		return ERR_RANGE;
	s = amdvi_source(d, &x);
	if (s != OK)
		return s;
	alias = amdvi_alias(x);
	/* What may send NMIs may send them to any core: IOAPICs and units, not what has their id. */
	if (x->nmi || alias->nmi)
		return ERR_BUSY;
	if (x->attached || conflicts(x, domain, root) || conflicts(alias, domain, root))
		return ERR_BUSY;
	open_for(x, domain, root);
	open_for(alias, domain, root);
	x->attached = true;
	alias->users++;
	amdvi_update(x);
	flush_domain(domain);
	return OK;
}

void amdvi_detach(struct pci_bdf d)
{
	struct amdvi_source *x = amdvi_find(d);

	if (!x || !x->attached)
		return;
	x->attached = false;
	amdvi_alias(x)->users--;
	amdvi_update(x);
	flush_domain(x->domain);
}
