/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/ivrs.h"

#include <string.h>

/* The table and its blocks, IVHD and IVMD (AMD I/O Virtualization Technology, chapter 5). */
#define IVRS_INFO          36
#define IVRS_BLOCKS        48
#define BLOCK_FLAGS        1
#define BLOCK_LENGTH       2
#define BLOCK_DEVICE       4
#define BLOCK_HEADER_BYTES 4

#define IVHD_CAPABILITY 6
#define IVHD_BASE       8
#define IVHD_SEGMENT    16
#define IVHD_INFO       18
#define IVHD_FEATURES   20
#define IVHD_ENTRIES_10 24
#define IVHD_EFR        24 /* from type 11h on */
#define IVHD_EFR2       32
#define IVHD_ENTRIES    40
#define IVHD_BASE_ALIGN 0x4000

#define IVMD_BYTES        32
#define IVMD_LAST         6
#define IVMD_SEGMENT      8 /* older firmware has 0 there */
#define IVMD_START        16
#define IVMD_SIZE         24
#define IVMD_UNITY        BIT(0)
#define IVMD_EXCLUSION    BIT(3)
#define IVMD_MANY_DEVICES 64u

enum ivrs_block {
	IVRS_IVHD_10 = 0x10,
	IVRS_IVHD_11 = 0x11,
	IVRS_IVMD_ALL = 0x20,
	IVRS_IVMD_SELECT = 0x21,
	IVRS_IVMD_RANGE = 0x22,
	IVRS_IVHD_40 = 0x40,
};

enum ivhd_entry {
	ENTRY_ALL = 1,
	ENTRY_SELECT = 2,
	ENTRY_START = 3,
	ENTRY_END = 4,
	ENTRY_ALIAS = 66,
	ENTRY_ALIAS_START = 67,
	ENTRY_EXT = 70,
	ENTRY_EXT_START = 71,
	ENTRY_SPECIAL = 72,
	ENTRY_ACPI = 240,
};

#define ENTRY_DEVICE          1
#define ENTRY_SETTING         3
#define ENTRY_SOURCE          5 /* alias: the id that is used instead; special device: its id */
#define ENTRY_HANDLE          4
#define ENTRY_VARIETY         7
#define ENTRY_ACPI_UID_LENGTH 21
#define ENTRY_ACPI_BYTES      22 /* and the UID */

#define PHYSICAL_BITS 52 /* the most that x86-64 has */

struct ivrs_parser {
	const struct acpi_table *t;
	void (*warn)(void *ctx, const char *what, hpa_t pa);
	void *ctx;
	struct ivrs *v;
};

/* The device entries of one block. */
struct entries {
	const struct ivrs_parser *p;
	uint8_t unit;
	bool open; /* `range` waits for its end */
	struct ivrs_range range;
};

/* Of a table that is damaged all over, the first defects tell enough. */
static void warn_at(const struct ivrs_parser *p, const char *what, uint32_t at)
{
	if (p->warn && p->v->defects <= IVRS_WARNINGS)
		p->warn(p->ctx,
			p->v->defects < IVRS_WARNINGS ? what : "IVRS with many more defects",
			HPA(p->t->pa.v + at));
	p->v->defects++;
}

static uint8_t get8(const struct ivrs_parser *p, uint32_t at)
{
	return (uint8_t)acpi_field(p->t, at, 1);
}

static uint16_t get16(const struct ivrs_parser *p, uint32_t at)
{
	return (uint16_t)acpi_field(p->t, at, 2);
}

static uint64_t get64(const struct ivrs_parser *p, uint32_t at)
{
	return acpi_field(p->t, at, 8);
}

/* ---- Device entries of an IVHD ---- */

static void lose(const struct ivrs_parser *p, const char *what, uint32_t at)
{
	warn_at(p, what, at);
	p->v->entries_lost++;
}

static void add_range(struct entries *e, const struct ivrs_range *r, uint32_t at)
{
	struct ivrs *v = e->p->v;

	if (r->last < r->first) {
		lose(e->p, "IVRS range that ends before it starts", at);
	} else if (v->range_count == IVRS_RANGES_MAX) {
		if (v->entries_lost++ == 0)
			warn_at(e->p, "IVRS with more device entries than supported", at);
	} else {
		v->ranges[v->range_count++] = *r;
	}
}

static void add_special(struct entries *e, uint32_t at)
{
	const struct ivrs_parser *p = e->p;
	struct ivrs *v = p->v;
	struct ivrs_special s = {
		.device_id = get16(p, at + ENTRY_SOURCE),
		.variety = get8(p, at + ENTRY_VARIETY),
		.handle = get8(p, at + ENTRY_HANDLE),
		.setting = get8(p, at + ENTRY_SETTING),
		.unit = e->unit,
	};

	if (s.variety != IVRS_IOAPIC && s.variety != IVRS_HPET)
		return;
	if (ivrs_special(v, s.variety, s.handle))
		lose(p, "IVRS names an IOAPIC or HPET twice", at);
	else if (v->special_count == IVRS_SPECIALS_MAX)
		lose(p, "IVRS with more IOAPICs and HPETs than supported", at);
	else
		v->specials[v->special_count++] = s;
}

static void read_entry(struct entries *e, uint32_t at)
{
	const struct ivrs_parser *p = e->p;
	uint8_t type = get8(p, at);
	struct ivrs_range r = {
		.first = get16(p, at + ENTRY_DEVICE),
		.setting = get8(p, at + ENTRY_SETTING),
		.unit = e->unit,
	};

	r.last = r.first;
	switch (type) {
	case ENTRY_ALL:
		r.first = 0;
		r.last = 0xffff;
		r.everything = true;
		add_range(e, &r, at);
		break;
	case ENTRY_ALIAS:
	case ENTRY_ALIAS_START:
		r.alias = get16(p, at + ENTRY_SOURCE);
		r.has_alias = true;
		fallthrough;
	case ENTRY_SELECT:
	case ENTRY_EXT:
	case ENTRY_ACPI:
	case ENTRY_START:
	case ENTRY_EXT_START:
		if (type != ENTRY_START && type != ENTRY_EXT_START && type != ENTRY_ALIAS_START) {
			add_range(e, &r, at);
			break;
		}
		if (e->open)
			lose(p, "IVRS range without an end", at);
		e->open = true;
		e->range = r;
		break;
	case ENTRY_END:
		if (!e->open) {
			lose(p, "IVRS range without a start", at);
			break;
		}
		e->open = false;
		e->range.last = r.last;
		add_range(e, &e->range, at);
		break;
	case ENTRY_SPECIAL:
		add_special(e, at);
		break;
	default:
		break;
	}
}

/* The length is in the type: 4, 8, 16 or 32 bytes, but from 240 on; 0 if it is not known. */
static uint32_t entry_length(const struct ivrs_parser *p, uint32_t at)
{
	uint8_t type = get8(p, at);

	if (type == ENTRY_ACPI)
		return ENTRY_ACPI_BYTES + get8(p, at + ENTRY_ACPI_UID_LENGTH);
	return type > ENTRY_ACPI ? 0 : 4u << (type >> 6);
}

static void read_entries(const struct ivrs_parser *p, uint8_t unit, uint32_t at, uint32_t end)
{
	struct entries e = { .p = p, .unit = unit };
	uint32_t length;

	for (; at < end; at += length) {
		length = entry_length(p, at);
		if (!length || length > end - at) {
			lose(p, "IVRS device entry with an impossible length", at);
			break;
		}
		read_entry(&e, at);
	}
	if (e.open)
		lose(p, "IVRS range without an end", end);
}

/* ---- Blocks ---- */

static bool is_ivhd(uint8_t type)
{
	return type == IVRS_IVHD_10 || type == IVRS_IVHD_11 || type == IVRS_IVHD_40;
}

static uint32_t find_unit(const struct ivrs *v, uint16_t segment, uint16_t device_id)
{
	uint32_t i;

	for (i = 0; i < v->unit_count; i++) {
		if (v->units[i].segment == segment && v->units[i].device_id == device_id)
			return i;
	}
	return IVRS_NO_UNIT;
}

/* First pass: which IOMMUs there are, and the block to use for each. */
static enum status read_unit(const struct ivrs_parser *p, uint32_t at, uint32_t length)
{
	struct ivrs *v = p->v;
	struct ivrs_unit u = {
		.base = HPA(get64(p, at + IVHD_BASE)),
		.segment = get16(p, at + IVHD_SEGMENT),
		.device_id = get16(p, at + BLOCK_DEVICE),
		.capability = get16(p, at + IVHD_CAPABILITY),
		.type = get8(p, at),
		.flags = get8(p, at + BLOCK_FLAGS),
		.info = get16(p, at + IVHD_INFO),
		.features = (uint32_t)acpi_field(p->t, at + IVHD_FEATURES, 4),
	};
	uint32_t i = find_unit(v, u.segment, u.device_id);

	if (length < (u.type == IVRS_IVHD_10 ? IVHD_ENTRIES_10 : IVHD_ENTRIES)) {
		warn_at(p, "IVRS with an IOMMU that is too short", at);
		return ERR_INVALID;
	}
	if (u.type != IVRS_IVHD_10) {
		u.efr = get64(p, at + IVHD_EFR);
		u.efr2 = get64(p, at + IVHD_EFR2);
	}
	if (i == IVRS_NO_UNIT && v->unit_count == IVRS_UNITS_MAX) {
		warn_at(p, "IVRS with more IOMMUs than supported", at);
		return ERR_RANGE;
	}
	if (i == IVRS_NO_UNIT) {
		v->units[v->unit_count++] = u;
		return OK;
	}
	if (u.base.v != v->units[i].base.v) {
		warn_at(p, "IVRS with two addresses of one IOMMU", at);
		/* Two blocks of different age may differ; of two alike, either could be right. */
		if (u.type == v->units[i].type)
			return ERR_INVALID;
	}
	if (u.type > v->units[i].type)
		v->units[i] = u;
	return OK;
}

static void read_ivmd(const struct ivrs_parser *p, uint32_t at, uint32_t length)
{
	struct ivrs *v = p->v;
	uint64_t start = get64(p, at + IVMD_START), size = get64(p, at + IVMD_SIZE);
	struct ivrs_region g = {
		.segment = get16(p, at + IVMD_SEGMENT),
		.first = get16(p, at + BLOCK_DEVICE),
		.last = get16(p, at + IVMD_LAST),
	};
	bool bad;

	if (!(get8(p, at + BLOCK_FLAGS) & (IVMD_UNITY | IVMD_EXCLUSION)))
		return;
	if (get8(p, at) == IVRS_IVMD_SELECT)
		g.last = g.first;
	if (get8(p, at) == IVRS_IVMD_ALL) {
		g.first = 0;
		g.last = 0xffff;
	}
	bad = length < IVMD_BYTES || g.last < g.first || !size || start >> PHYSICAL_BITS ||
	      size >> PHYSICAL_BITS;
	if (bad || v->region_count == IVRS_REGIONS_MAX) {
		warn_at(p, "IVRS with a memory region that cannot be used", at);
		v->regions_lost++;
		return;
	}
	if (!IS_ALIGNED(start | size, PAGE_SIZE))
		warn_at(p, "IVRS with a memory region that is not made of pages", at);
	g.base = HPA(ALIGN_DOWN(start, PAGE_SIZE));
	g.size = ALIGN_UP(start + size, PAGE_SIZE) - g.base.v;
	v->regions[v->region_count++] = g;
}

/* Second pass: whose requests each translates; memory regions. */
static void read_block(const struct ivrs_parser *p, uint32_t at, uint32_t length)
{
	uint8_t type = get8(p, at);
	uint32_t unit;

	if (type >= IVRS_IVMD_ALL && type <= IVRS_IVMD_RANGE)
		read_ivmd(p, at, length);
	if (!is_ivhd(type))
		return;
	unit = find_unit(p->v, get16(p, at + IVHD_SEGMENT), get16(p, at + BLOCK_DEVICE));
	if (unit == IVRS_NO_UNIT || p->v->units[unit].type != type)
		return;
	read_entries(p, (uint8_t)unit, at + (type == IVRS_IVHD_10 ? IVHD_ENTRIES_10 : IVHD_ENTRIES),
		     at + length);
}

static enum status read_blocks(const struct ivrs_parser *p, bool units)
{
	uint32_t at, length;
	enum status r = OK;

	for (at = IVRS_BLOCKS; r == OK && at < p->t->length && !acpi_zeros(p->t, at);
	     at += length) {
		length = get16(p, at + BLOCK_LENGTH);
		/* What follows could have been an IOMMU. */
		if (length < BLOCK_HEADER_BYTES || length > p->t->length - at) {
			warn_at(p, "IVRS block with an impossible length", at);
			return ERR_INVALID;
		}
		if (!units)
			read_block(p, at, length);
		else if (is_ivhd(get8(p, at)))
			r = read_unit(p, at, length);
	}
	return r;
}

static enum status check_units(const struct ivrs_parser *p)
{
	const struct ivrs *v = p->v;
	uint32_t i, j;

	for (i = 0; i < v->unit_count; i++) {
		uint64_t base = v->units[i].base.v;

		if (!base || !IS_ALIGNED(base, IVHD_BASE_ALIGN) || base >> PHYSICAL_BITS) {
			warn_at(p, "IVRS with an IOMMU whose registers are nowhere", 0);
			return ERR_INVALID;
		}
		for (j = 0; j < i; j++) {
			if (v->units[j].base.v == base) {
				warn_at(p, "IVRS with IOMMUs whose registers overlap", 0);
				return ERR_INVALID;
			}
		}
	}
	return v->unit_count ? OK : ERR_NOT_FOUND;
}

enum status ivrs_parse(const struct acpi_table *t,
		       void (*warn)(void *ctx, const char *what, hpa_t pa), void *ctx,
		       struct ivrs *out)
{
	const struct ivrs_parser p = { .t = t, .warn = warn, .ctx = ctx, .v = out };
	enum status r;

	memset(out, 0, sizeof(*out));
	out->info = (uint32_t)acpi_field(t, IVRS_INFO, 4);
	r = read_blocks(&p, true);
	if (r == OK)
		r = check_units(&p);
	return r == OK ? read_blocks(&p, false) : r;
}

/* ---- Look-ups ---- */

static bool in_range(const struct ivrs *v, const struct ivrs_range *r, struct pci_bdf f)
{
	uint32_t id = (uint32_t)f.bus << 8 | (f.device & 31u) << 3 | (f.function & 7u);

	return v->units[r->unit].segment == f.segment && id >= r->first && id <= r->last;
}

uint32_t ivrs_unit_of(const struct ivrs *v, struct pci_bdf f)
{
	uint32_t i, unit = IVRS_NO_UNIT;
	bool named = false;

	/* What names devices goes before what takes all of them; else what is said last is true. */
	for (i = 0; i < v->range_count; i++) {
		if (!in_range(v, &v->ranges[i], f) || (named && v->ranges[i].everything))
			continue;
		named = !v->ranges[i].everything;
		unit = v->ranges[i].unit;
	}
	return unit;
}

uint16_t ivrs_alias(const struct ivrs *v, struct pci_bdf f)
{
	uint16_t id = (uint16_t)((uint32_t)f.bus << 8 | (f.device & 31u) << 3 | (f.function & 7u));
	uint32_t i;

	for (i = 0; i < v->range_count; i++) {
		if (v->ranges[i].has_alias && in_range(v, &v->ranges[i], f))
			id = v->ranges[i].alias;
	}
	return id;
}

uint8_t ivrs_setting(const struct ivrs *v, struct pci_bdf f)
{
	uint8_t setting = 0;
	uint32_t i;

	for (i = 0; i < v->range_count; i++) {
		if (in_range(v, &v->ranges[i], f))
			setting |= v->ranges[i].setting;
	}
	return setting;
}

const struct ivrs_special *ivrs_special(const struct ivrs *v, enum ivrs_variety variety,
					uint32_t handle)
{
	uint32_t i;

	for (i = 0; i < v->special_count; i++) {
		if (v->specials[i].variety == variety && v->specials[i].handle == handle)
			return &v->specials[i];
	}
	return NULL;
}

uint32_t ivrs_reserved(const struct ivrs *v, struct iommu_reserved *out, uint32_t max)
{
	uint32_t i, n = 0, id;

	for (i = 0; i < v->region_count; i++) {
		const struct ivrs_region *g = &v->regions[i];
		struct iommu_reserved e = { .base = g->base,
					    .size = g->size,
					    .first_bus = (uint8_t)(g->first >> 8),
					    .last_bus = (uint8_t)(g->last >> 8) };

		e.all = g->last - g->first >= (int)IVMD_MANY_DEVICES;
		for (id = g->first; id <= g->last; id++) {
			e.devices[e.count++] = (struct pci_bdf){ .segment = g->segment,
								 .bus = (uint8_t)(id >> 8),
								 .device = (id >> 3) & 31,
								 .function = id & 7 };
			if (!e.all && e.count < IOMMU_RESERVED_DEVICES && id < g->last)
				continue;
			if (n < max)
				out[n] = e;
			n++;
			e.count = 0;
			if (e.all)
				break;
		}
	}
	return n;
}
