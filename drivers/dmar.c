/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/dmar.h"

#include <string.h>

/* The table (VT-d 8.1) and its structures: a type and a length of 16 bits each, then fields. */
#define DMAR_HOST_WIDTH    36 /* address bits less one */
#define DMAR_FLAGS         37
#define DMAR_ENTRIES       48
#define FLAG_INTR_REMAP    BIT(0)
#define FLAG_X2APIC_OPT    BIT(1)
#define FLAG_DMA_OPT_IN    BIT(2)
#define ENTRY_LENGTH       2
#define ENTRY_HEADER_BYTES 4

enum dmar_type {
	DMAR_TYPE_DRHD = 0,
	DMAR_TYPE_RMRR = 1,
};

#define DRHD_FLAGS       4 /* bit 0: INCLUDE_PCI_ALL */
#define DRHD_SIZE        5 /* bits 3:0: N, for 2^N pages; older firmware has 0 there */
#define DRHD_SEGMENT     6
#define DRHD_BASE        8
#define DRHD_SCOPES      16
#define DRHD_INCLUDE_ALL BIT(0)

#define RMRR_SEGMENT 6
#define RMRR_BASE    8
#define RMRR_LIMIT   16 /* last byte */
#define RMRR_SCOPES  24

/* A device scope (VT-d 8.3.1): the path has two bytes for each hop, device and function. */
#define SCOPE_LENGTH 1
#define SCOPE_ID     4
#define SCOPE_BUS    5
#define SCOPE_PATH   6

#define PHYSICAL_BITS 52 /* the most that x86-64 has */

struct dmar_parser {
	const struct acpi_table *t;
	const struct dmar_env *env;
	struct dmar *d;
};

/* Of a table that is damaged all over, the first defects tell enough. */
static void warn_at(const struct dmar_parser *p, const char *what, uint32_t at)
{
	if (p->env->warn && p->d->defects <= DMAR_WARNINGS)
		p->env->warn(p->env->ctx,
			     p->d->defects < DMAR_WARNINGS ? what : "DMAR with many more defects",
			     HPA(p->t->pa.v + at));
	p->d->defects++;
}

static uint8_t get8(const struct dmar_parser *p, uint32_t at)
{
	return (uint8_t)acpi_field(p->t, at, 1);
}

static uint16_t get16(const struct dmar_parser *p, uint32_t at)
{
	return (uint16_t)acpi_field(p->t, at, 2);
}

static uint64_t get64(const struct dmar_parser *p, uint32_t at)
{
	return acpi_field(p->t, at, 8);
}

/* The buses below a bridge; false if it is none, or is not configured to pass anything on. */
static bool bridge_buses(const struct dmar_parser *p, struct pci_bdf d, uint8_t *secondary,
			 uint8_t *subordinate)
{
	return p->env->bridge(p->env->ctx, d, secondary, subordinate) && *secondary > d.bus &&
	       *subordinate >= *secondary;
}

/* VT-d 8.3.1: each hop but the last is a bridge, and the next one is on its secondary bus. */
static bool follow_path(const struct dmar_parser *p, uint32_t at, uint32_t end, struct pci_bdf *d)
{
	uint8_t secondary, subordinate;

	d->bus = get8(p, at + SCOPE_BUS);
	for (at += SCOPE_PATH;; at += 2) {
		if (get8(p, at) > 31 || get8(p, at + 1) > 7)
			return false;
		d->device = get8(p, at);
		d->function = get8(p, at + 1);
		if (at + 2 == end)
			return true;
		if (!bridge_buses(p, *d, &secondary, &subordinate))
			return false;
		d->bus = secondary;
	}
}

static void add_scope(const struct dmar_parser *p, const struct dmar_scope *s, uint32_t at)
{
	struct dmar *d = p->d;
	bool special = s->kind == DMAR_SCOPE_IOAPIC || s->kind == DMAR_SCOPE_HPET;

	if (special && dmar_special(d, s->kind, s->id)) {
		warn_at(p, "DMAR names an IOAPIC or HPET twice", at);
		d->scopes_lost++;
		return;
	}
	if (d->scope_count == DMAR_SCOPES_MAX) {
		if (d->scopes_lost++ == 0)
			warn_at(p, "DMAR with more devices than supported", at);
		return;
	}
	d->scopes[d->scope_count++] = *s;
}

/* The scopes from `at` to `end`; `of` says whose they are. */
static void read_scopes(const struct dmar_parser *p, uint32_t at, uint32_t end,
			const struct dmar_scope *of)
{
	struct dmar_scope s;
	uint32_t length;

	for (; at < end; at += length) {
		length = get8(p, at + SCOPE_LENGTH);
		/* Without a length there is no way to the next scope. */
		if (end - at < SCOPE_PATH + 2 || length < SCOPE_PATH + 2 || length > end - at ||
		    length % 2) {
			warn_at(p, "DMAR device scope with an impossible length", at);
			p->d->scopes_lost++;
			return;
		}
		s = *of;
		s.kind = get8(p, at);
		s.id = get8(p, at + SCOPE_ID);
		if (s.kind < DMAR_SCOPE_ENDPOINT || s.kind > DMAR_SCOPE_ACPI)
			continue;
		if (!follow_path(p, at, at + length, &s.bdf)) {
			warn_at(p, "DMAR device scope whose path leads nowhere", at);
			p->d->scopes_lost++;
			continue;
		}
		/*
		 * Firmware calls some devices bridges that are none, such as non-transparent ones; and
		 * there is nothing below a bridge that it has not configured.
		 */
		if (s.kind == DMAR_SCOPE_BRIDGE) {
			if (!p->env->bridge(p->env->ctx, s.bdf, &s.secondary, &s.subordinate))
				warn_at(p, "DMAR names a bridge that is none", at);
			if (!bridge_buses(p, s.bdf, &s.secondary, &s.subordinate))
				s.secondary = s.subordinate = 0;
		}
		add_scope(p, &s, at);
	}
}

/*
 * A unit that is given twice is one unit. But two that share registers otherwise, or none, mean that
 * one of them is not known.
 */
static enum status add_unit(const struct dmar_parser *p, const struct dmar_unit *u, uint32_t at,
			    uint8_t *index)
{
	struct dmar *d = p->d;
	uint32_t i;

	if (!u->base.v || !IS_ALIGNED(u->base.v, PAGE_SIZE) || u->base.v >> PHYSICAL_BITS) {
		warn_at(p, "DMAR with a unit whose registers are nowhere", at);
		return ERR_INVALID;
	}
	for (i = 0; i < d->unit_count; i++) {
		struct dmar_unit *other = &d->units[i];

		if (other->include_all && u->include_all && other->segment == u->segment)
			warn_at(p, "DMAR with two units for all other devices", at);
		if (other->base.v == u->base.v && other->segment == u->segment) {
			warn_at(p, "DMAR with a unit given twice", at);
			other->include_all |= u->include_all;
			*index = (uint8_t)i;
			return OK;
		}
		if (u->base.v < other->base.v + other->size &&
		    other->base.v < u->base.v + u->size) {
			warn_at(p, "DMAR with units whose registers overlap", at);
			return ERR_INVALID;
		}
	}
	if (d->unit_count == DMAR_UNITS_MAX) {
		warn_at(p, "DMAR with more units than supported", at);
		return ERR_RANGE;
	}
	*index = (uint8_t)d->unit_count;
	d->units[d->unit_count++] = *u;
	return OK;
}

static enum status read_drhd(const struct dmar_parser *p, uint32_t at, uint32_t length)
{
	struct dmar_scope of = { .bdf.segment = get16(p, at + DRHD_SEGMENT) };
	struct dmar_unit u = {
		.base = HPA(get64(p, at + DRHD_BASE)),
		.size = PAGE_SIZE << (get8(p, at + DRHD_SIZE) & 0xf),
		.segment = of.bdf.segment,
		.include_all = get8(p, at + DRHD_FLAGS) & DRHD_INCLUDE_ALL,
	};
	enum status r;

	if (length < DRHD_SCOPES) {
		warn_at(p, "DMAR with a unit that is too short", at);
		return ERR_INVALID;
	}
	r = add_unit(p, &u, at, &of.owner);
	if (r == OK)
		read_scopes(p, at + DRHD_SCOPES, at + length, &of);
	return r;
}

static void read_rmrr(const struct dmar_parser *p, uint32_t at, uint32_t length)
{
	uint64_t base = get64(p, at + RMRR_BASE), limit = get64(p, at + RMRR_LIMIT);
	struct dmar_scope of = { .region = true, .owner = (uint8_t)p->d->region_count };
	bool bad = length < RMRR_SCOPES || limit <= base || limit >> PHYSICAL_BITS;

	if (bad || p->d->region_count == DMAR_REGIONS_MAX) {
		warn_at(p, "DMAR with a memory region that cannot be used", at);
		p->d->regions_lost++;
		return;
	}
	if (!IS_ALIGNED(base, PAGE_SIZE) || !IS_ALIGNED(limit + 1, PAGE_SIZE))
		warn_at(p, "DMAR with a memory region that is not made of pages", at);
	base = ALIGN_DOWN(base, PAGE_SIZE);
	of.bdf.segment = get16(p, at + RMRR_SEGMENT);
	p->d->regions[p->d->region_count++] = (struct dmar_region){
		.base = HPA(base),
		.size = ALIGN_UP(limit + 1, PAGE_SIZE) - base,
		.segment = of.bdf.segment,
	};
	read_scopes(p, at + RMRR_SCOPES, at + length, &of);
}

enum status dmar_parse(const struct acpi_table *t, const struct dmar_env *env, struct dmar *out)
{
	const struct dmar_parser p = { .t = t, .env = env, .d = out };
	uint8_t flags = get8(&p, DMAR_FLAGS);
	uint32_t at, length;
	enum status r;

	memset(out, 0, sizeof(*out));
	if (get8(&p, DMAR_HOST_WIDTH))
		out->address_bits = (uint8_t)min_u64(get8(&p, DMAR_HOST_WIDTH) + 1u, 64);
	out->intr_remap = flags & FLAG_INTR_REMAP;
	out->x2apic_opt_out = flags & FLAG_X2APIC_OPT;
	out->dma_control_opt_in = flags & FLAG_DMA_OPT_IN;
	for (at = DMAR_ENTRIES; at < t->length && !acpi_zeros(t, at); at += length) {
		length = get16(&p, at + ENTRY_LENGTH);
		/* What follows could have been a unit. */
		if (length < ENTRY_HEADER_BYTES || length > t->length - at) {
			warn_at(&p, "DMAR entry with an impossible length", at);
			return ERR_INVALID;
		}
		r = OK;
		if (get16(&p, at) == DMAR_TYPE_DRHD)
			r = read_drhd(&p, at, length);
		else if (get16(&p, at) == DMAR_TYPE_RMRR)
			read_rmrr(&p, at, length);
		if (r != OK)
			return r;
	}
	return out->unit_count ? OK : ERR_NOT_FOUND;
}

/* ---- Look-ups ---- */

static bool same_bdf(struct pci_bdf a, struct pci_bdf b)
{
	return a.segment == b.segment && a.bus == b.bus && a.device == b.device &&
	       a.function == b.function;
}

/* How closely a scope fits a function: not at all, by a bridge above it, by itself. */
static uint32_t fit(const struct dmar_scope *s, struct pci_bdf f)
{
	if (s->region)
		return 0;
	/* IOAPICs and HPETs send with ids of their own; where that is a function's, its own name wins. */
	if (same_bdf(s->bdf, f))
		return s->kind <= DMAR_SCOPE_BRIDGE ? 0x101 : 0x100;
	/* Bus numbers grow with the depth: of two bridges above, the lower has the higher one. */
	if (s->secondary && s->bdf.segment == f.segment && f.bus >= s->secondary &&
	    f.bus <= s->subordinate)
		return s->secondary;
	return 0;
}

uint32_t dmar_unit_of(const struct dmar *d, struct pci_bdf f)
{
	uint32_t i, unit = DMAR_NO_UNIT, best = 0, now;

	for (i = 0; i < d->scope_count; i++) {
		now = fit(&d->scopes[i], f);
		if (now > best) {
			best = now;
			unit = d->scopes[i].owner;
		}
	}
	for (i = 0; unit == DMAR_NO_UNIT && i < d->unit_count; i++) {
		if (d->units[i].include_all && d->units[i].segment == f.segment)
			unit = i;
	}
	return unit;
}

const struct dmar_scope *dmar_special(const struct dmar *d, enum dmar_scope_kind kind, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < d->scope_count; i++) {
		const struct dmar_scope *s = &d->scopes[i];

		if (!s->region && s->kind == kind && s->id == id)
			return s;
	}
	return NULL;
}

/* Append the entries for one region, from the n-th on; returns how many there are then. */
static uint32_t reserve(const struct dmar *d, uint32_t region, struct iommu_reserved *out,
			uint32_t max, uint32_t n)
{
	const struct dmar_region *g = &d->regions[region];
	struct iommu_reserved e = { .base = g->base, .size = g->size };
	uint32_t i;

	for (i = 0; i < d->scope_count; i++) {
		const struct dmar_scope *s = &d->scopes[i];

		if (!s->region || s->owner != region)
			continue;
		/* An entry is for devices or for one bridge. */
		if ((s->secondary && e.count) || e.count == IOMMU_RESERVED_DEVICES || e.all) {
			if (n < max)
				out[n] = e;
			n++;
			e.count = 0;
		}
		e.all = s->secondary;
		e.first_bus = s->secondary;
		e.last_bus = s->subordinate;
		e.devices[e.count++] = s->bdf;
	}
	if (e.count) {
		if (n < max)
			out[n] = e;
		n++;
	}
	return n;
}

uint32_t dmar_reserved(const struct dmar *d, struct iommu_reserved *out, uint32_t max)
{
	uint32_t i, n = 0;

	for (i = 0; i < d->region_count; i++)
		n = reserve(d, i, out, max, n);
	return n;
}
