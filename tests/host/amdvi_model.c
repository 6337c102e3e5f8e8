/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "amdvi_model.h"
#include "drivers/amdvi.h"

#define BIT_AT(v, n)        (((v) >> (n)) & 1)
#define FIELD(v, high, low) (((v) >> (low)) & (~0ull >> (63 - (high) + (low))))
#define RING                256u

struct model model;
static void *arena;
static struct pci_access access;

/* --- memory --- */

static const uint64_t *memory(uint64_t hpa)
{
	assert_true(page_pool_has(HPA(hpa)));
	return hpa_to_virt(HPA(hpa));
}

static uint64_t *memory_write(uint64_t hpa)
{
	assert_true(page_pool_has(HPA(hpa)));
	return hpa_to_virt(HPA(hpa));
}

static void probe(void)
{
	if (!model.probe || model.probing)
		return;
	model.probing = true;
	model.probe();
	model.probing = false;
}

/* --- commands --- */

static void drop_device(struct model_unit *m, uint16_t id)
{
	m->dte[id].valid = false;
	m->devices++;
}

static void drop_pages(struct model_unit *m, const uint64_t *c)
{
	uint16_t domain = (uint16_t)FIELD(c[0], 47, 32);
	uint64_t address = c[1] & ~0xfffull, size = 0x1000, first;
	bool s = BIT_AT(c[1], 0), pde = BIT_AT(c[1], 1);
	unsigned i, bit, kept = 0;

	assert_int_equal(FIELD(c[0], 31, 0), 0);
	assert_int_equal(FIELD(c[0], 59, 48), 0);
	assert_int_equal(FIELD(c[1], 11, 2), 0);
	if (s) {
		for (bit = 12; bit < 63 && BIT_AT(address, bit); bit++)
			;
		size = bit >= 51 ? 0 : 2ull << bit;
	}
	first = size ? address & ~(size - 1) : 0;
	for (i = 0; i < m->tlb_count; i++) {
		bool hit =
			m->tlb[i].domain == domain && (!m->tlb[i].level || pde) &&
			(!size || (m->tlb[i].first <= first + size - 1 && first <= m->tlb[i].last));

		if (!hit)
			m->tlb[kept++] = m->tlb[i];
	}
	m->tlb_count = kept;
	m->last_pages[0] = c[0];
	m->last_pages[1] = c[1];
	m->pages++;
}

static void drop_irqs(struct model_unit *m, uint16_t id)
{
	unsigned i, kept = 0;

	for (i = 0; i < m->irt_count; i++) {
		if (m->irt[i].id != id)
			m->irt[kept++] = m->irt[i];
	}
	m->irt_count = kept;
	m->tables++;
}

static void carry_out(struct model_unit *m, const uint64_t *c)
{
	unsigned i;

	m->commands++;
	switch (c[0] >> 60) {
	case 1:
		assert_true(BIT_AT(c[0], 0)); /* nothing else can be waited for */
		*memory_write(c[0] & 0xffffffffffff8ull) = c[1];
		m->waits++;
		break;
	case 2:
		assert_int_equal(FIELD(c[0], 59, 16) | c[1], 0);
		drop_device(m, (uint16_t)c[0]);
		break;
	case 3:
		drop_pages(m, c);
		break;
	case 5:
		assert_int_equal(FIELD(c[0], 59, 16) | c[1], 0);
		drop_irqs(m, (uint16_t)c[0]);
		break;
	case 8:
		assert_true(BIT_AT(m->efr, 6));
		assert_int_equal(FIELD(c[0], 59, 0) | c[1], 0);
		for (i = 0; i < 65536; i++)
			m->dte[i].valid = false;
		m->tlb_count = m->irt_count = 0;
		m->all++;
		break;
	default:
		fail_msg("illegal command %#llx", (unsigned long long)c[0]);
	}
}

static bool runs(const struct model_unit *m)
{
	return BIT_AT(m->control, 0) && BIT_AT(m->control, 12) && !m->dead;
}

/* Everything up to the next COMPLETION_WAIT, backwards, and with requests in between; then that. */
static void progress(struct model_unit *m)
{
	uint64_t at = m->cmd_head, base = m->cmd_base & 0xffffffffff000ull;
	uint64_t end;

	assert_int_equal(FIELD(m->cmd_base, 59, 56), 8);
	while (at != m->cmd_tail && memory(base + at)[0] >> 60 != 1)
		at = (at + 16) % (RING * 16);
	end = at;
	while (at != m->cmd_head) {
		at = (at + RING * 16 - 16) % (RING * 16);
		carry_out(m, memory(base + at));
		probe();
	}
	if (end != m->cmd_tail) {
		carry_out(m, memory(base + end));
		end = (end + 16) % (RING * 16);
	}
	m->cmd_head = end;
	m->looks = 0;
}

bool model_idle(void)
{
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		if (model.unit[i].cmd_head != model.unit[i].cmd_tail)
			return false;
	}
	return true;
}

/* --- registers: what drivers/amdvi_hw.c does on real machines --- */

static struct model_unit *unit_of(const struct amdvi_unit *u)
{
	struct model_unit *m = (struct model_unit *)(uintptr_t)u->regs;

	assert_true(m >= model.unit && m < model.unit + MODEL_UNITS);
	return m;
}

static uint64_t *plain_register(struct model_unit *m, uint32_t reg)
{
	switch (reg) {
	case 0x0000:
		return &m->devtab;
	case 0x0008:
		return &m->cmd_base;
	case 0x0010:
		return &m->event_base;
	case 0x0018:
		return &m->control;
	case 0x0020:
		return &m->exclusion;
	case 0x0028:
		return &m->exclusion_limit;
	case 0x0060:
	case 0x0068:
		assert_int_equal(FIELD(m->efr, 17, 16), 1);
		return &m->smi_filter[(reg - 0x60) / 8];
	case 0x2000:
		return &m->cmd_head;
	case 0x2008:
		return &m->cmd_tail;
	case 0x2010:
		return &m->event_head;
	case 0x2018:
		return &m->event_tail;
	default:
		fail_msg("register %#x", reg);
		return NULL;
	}
}

uint64_t amdvi_read(const struct amdvi_unit *u, uint32_t reg)
{
	struct model_unit *m = unit_of(u);

	if (m->no_regs)
		return ~0ull;
	if (reg == 0x30) {
		assert_true(m->config[0x43] & 8 || !m->config[0x40]);
		return m->efr;
	}
	if (reg == 0x2020)
		return m->status;
	return *plain_register(m, reg);
}

static void write_control(struct model_unit *m, uint64_t v)
{
	uint64_t run = 0;

	/* The rings' memory is not to be changed while they are on; that is checked below. */
	m->control = v;
	assert_true(!BIT_AT(v, 17) || BIT_AT(m->efr, 7));
	assert_true(!BIT_AT(v, 22) || FIELD(m->efr, 17, 16) == 1);
	assert_true(!BIT_AT(v, 50) || (BIT_AT(m->efr, 2) && BIT_AT(v, 17)));
	if (m->stuck)
		return;
	if (BIT_AT(v, 0) && BIT_AT(v, 2) && !BIT_AT(m->status, 0))
		run |= 1 << 3;
	if (BIT_AT(v, 0) && BIT_AT(v, 12))
		run |= 1 << 4;
	m->status = (m->status & ~0x18ull) | run;
}

void amdvi_write(const struct amdvi_unit *u, uint32_t reg, uint64_t v)
{
	struct model_unit *m = unit_of(u);

	switch (reg) {
	case 0x0008:
	case 0x2000:
		assert_false(BIT_AT(m->status, 4));
		break;
	case 0x0010:
	case 0x2018:
		assert_false(BIT_AT(m->status, 3));
		break;
	case 0x2008:
		assert_true(v < RING * 16 && !(v & 15));
		break;
	case 0x0060:
	case 0x0068:
		assert_int_equal(v & ~0x3ffffull, 0);
		assert_false(BIT_AT(*plain_register(m, reg), 17));
		break;
	case 0x0018:
		write_control(m, v);
		probe();
		return;
	case 0x2020:
		if (BIT_AT(v, 0) && BIT_AT(m->status, 0))
			assert_false(BIT_AT(m->control, 2)); /* the log has to be off */
		m->status &= ~(v & 0x667);
		return;
	default:
		break;
	}
	*plain_register(m, reg) = v;
	probe();
}

void amdvi_store(uint64_t *to, uint64_t low, uint64_t high)
{
	assert_int_equal((uintptr_t)to % 16, 0);
	to[0] = low;
	to[1] = high;
	model.stores++;
	probe();
}

uint64_t amdvi_now_us(void)
{
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		struct model_unit *m = &model.unit[i];

		if (runs(m) && m->cmd_head != m->cmd_tail && m->looks++ >= m->lazy)
			progress(m);
	}
	probe();
	return model.now += 100;
}

/* --- devices --- */

static const uint64_t *device_entry(struct model_unit *m, uint16_t id)
{
	uint64_t base = m->devtab & 0xffffffffff000ull, size = (FIELD(m->devtab, 8, 0) + 1) * 4096;

	assert_true(id * 32ull < size);
	if (!m->dte[id].valid) {
		memcpy(m->dte[id].q, memory(base + id * 32ull), 32);
		m->dte[id].valid = true;
	}
	return m->dte[id].q;
}

void model_event(unsigned n, uint64_t low, uint64_t high)
{
	struct model_unit *m = &model.unit[n];
	uint64_t next = (m->event_tail + 16) % (RING * 16);
	uint64_t *e;

	if (!BIT_AT(m->control, 0) || !BIT_AT(m->control, 2) || BIT_AT(m->status, 0))
		return;
	if (next == m->event_head) {
		m->status = (m->status | 1) & ~8ull;
	} else {
		assert_int_equal(FIELD(m->event_base, 59, 56), 8);
		e = memory_write((m->event_base & 0xffffffffff000ull) + m->event_tail);
		if (!m->late_event) {
			e[0] = low;
			e[1] = high;
		}
		m->event_tail = next;
	}
	if (!BIT_AT(m->status, 1) && BIT_AT(m->control, 3))
		m->interrupts++;
	m->status |= 2;
}

static enum model_result fault(unsigned n, uint16_t id, uint64_t address, uint64_t flags)
{
	if (!model.probing)
		model_event(n, 2ull << 60 | flags << 48 | id, address);
	return MODEL_BLOCKED;
}

static void keep(struct model_unit *m, uint16_t id, uint16_t domain, uint64_t address,
		 uint64_t size, uint64_t entry, unsigned level)
{
	for (unsigned i = 0; i < m->tlb_count; i++) {
		if (m->tlb[i].id == id && m->tlb[i].domain == domain && m->tlb[i].level == level &&
		    m->tlb[i].first == (address & ~(size - 1)))
			return;
	}
	assert_true(m->tlb_count < MODEL_CACHE_MAX);
	m->tlb[m->tlb_count].id = id;
	m->tlb[m->tlb_count].domain = domain;
	m->tlb[m->tlb_count].first = address & ~(size - 1);
	m->tlb[m->tlb_count].last = address | (size - 1);
	m->tlb[m->tlb_count].entry = entry;
	m->tlb[m->tlb_count++].level = level;
}

/* The deepest that the caches know of an address: an entry and the level of what it points to. */
static bool cached(const struct model_unit *m, uint16_t id, uint64_t address, uint64_t *entry,
		   unsigned *level)
{
	bool found = false;

	for (unsigned i = 0; i < m->tlb_count; i++) {
		if (m->tlb[i].id != id || address < m->tlb[i].first || address > m->tlb[i].last ||
		    (found && m->tlb[i].level >= *level))
			continue;
		found = true;
		*entry = m->tlb[i].entry;
		*level = m->tlb[i].level;
	}
	return found;
}

static bool permits(uint64_t entry, bool write)
{
	return write ? BIT_AT(entry, 62) : BIT_AT(entry, 61);
}

enum model_result model_dma(unsigned n, uint16_t id, uint64_t address, bool write, uint64_t *hpa)
{
	struct model_unit *m = &model.unit[n];
	const uint64_t *dte;
	uint64_t entry = 0, size = 0x1000;
	unsigned level = 0;

	if (!BIT_AT(m->control, 0))
		return MODEL_BYPASS;
	if (BIT_AT(m->exclusion, 0) && address >= (m->exclusion & ~0xfffull) &&
	    address <= (m->exclusion_limit | 0xfff))
		return MODEL_BYPASS;
	dte = device_entry(m, id);
	if (!BIT_AT(dte[0], 0) || !BIT_AT(dte[0], 1))
		return MODEL_BYPASS;
	if (!cached(m, id, address, &entry, &level)) {
		entry = dte[0];
		level = (unsigned)FIELD(entry, 11, 9);
		assert_in_range(level, 1, 6); /* 0 is a bypass for whoever gets permission */
		/* Reserved, or for what is not wanted: ATS, guest tables, port I/O, snooping ... */
		assert_int_equal(entry & 0x9ff00000000001fcull, 0);
		assert_int_equal(dte[1] & ~0xffffull, 0);
		if (!permits(entry, write))
			return fault(n, id, address, write ? 0x20 : 0);
		if (address >> (12 + 9 * level))
			return fault(n, id, address, write ? 0x20 : 0);
	}
	for (; level; level = (unsigned)FIELD(entry, 11, 9)) {
		entry = memory((entry & 0xffffffffff000ull) +
			       FIELD(address >> (3 + 9 * level), 8, 0) * 8)[0];
		size = 1ull << (3 + 9 * level);
		if (!BIT_AT(entry, 0) || !permits(entry, write))
			return fault(n, id, address, 0x10 | (write ? 0x20 : 0));
		keep(m, id, (uint16_t)dte[1], address, size, entry, (unsigned)FIELD(entry, 11, 9));
	}
	if (!permits(entry, write))
		return fault(n, id, address, 0x10 | (write ? 0x20 : 0));
	*hpa = (entry & 0xffffffffff000ull) | (address & (size - 1));
	return MODEL_DONE;
}

static void irq_entry(struct model_unit *m, uint16_t id, uint64_t table, uint16_t index,
		      uint64_t e[2])
{
	bool wide = BIT_AT(m->control, 17);
	unsigned i;

	for (i = 0; i < m->irt_count; i++) {
		if (m->irt[i].id == id && m->irt[i].index == index) {
			e[0] = m->irt[i].low;
			e[1] = m->irt[i].high;
			return;
		}
	}
	if (wide) {
		memcpy(e, memory(table + index * 16), 16);
	} else {
		e[0] = ((const uint32_t *)memory(table + index * 4 / 8 * 8))[index % 2];
		e[1] = 0;
	}
	assert_true(m->irt_count < MODEL_CACHE_MAX);
	m->irt[m->irt_count].id = id;
	m->irt[m->irt_count].index = index;
	m->irt[m->irt_count].low = e[0];
	m->irt[m->irt_count++].high = e[1];
}

static enum model_result remap(unsigned n, uint16_t id, const uint64_t *dte, uint64_t address,
			       uint32_t data, struct model_msi *out)
{
	struct model_unit *m = &model.unit[n];
	uint16_t index = data & 0x7ff;
	uint64_t e[2];

	if (FIELD(dte[2], 61, 60) != 2 || (index >= 1u << FIELD(dte[2], 4, 1) && !m->ignore_len))
		return fault(n, id, address, 8);
	irq_entry(m, id, dte[2] & 0xfffffffffffc0ull, index, e);
	/* Fixed, physical, no request for an EOI, not to a guest's APIC, logged. */
	assert_int_equal(e[0] & 0xfe, 0);
	if (!BIT_AT(e[0], 0))
		return fault(n, id, address, 8);
	if (BIT_AT(m->control, 17)) {
		out->apic_id = (uint32_t)FIELD(e[0], 15, 8);
		out->vector = (uint8_t)e[1];
		if (BIT_AT(m->control, 50))
			out->apic_id = (uint32_t)(FIELD(e[0], 31, 8) | FIELD(e[1], 63, 56) << 24);
		else
			assert_int_equal(FIELD(e[0], 63, 16) | FIELD(e[1], 63, 56), 0);
		assert_int_equal(FIELD(e[0], 63, 32) | FIELD(e[1], 55, 8), 0);
	} else {
		out->apic_id = (uint32_t)FIELD(e[0], 15, 8);
		out->vector = (uint8_t)FIELD(e[0], 23, 16);
		assert_int_equal(FIELD(e[0], 31, 24), 0);
	}
	return MODEL_DONE;
}

static bool smi_passes(const struct model_unit *m, uint16_t id)
{
	for (unsigned i = 0; i < 2; i++) {
		if (BIT_AT(m->smi_filter[i], 16) && (uint16_t)m->smi_filter[i] == id)
			return true;
	}
	return false;
}

enum model_result model_msi(unsigned n, uint16_t id, uint64_t address, uint32_t data,
			    struct model_msi *out)
{
	struct model_unit *m = &model.unit[n];
	const uint64_t *dte;

	*out = (struct model_msi){ 0 };
	if (!BIT_AT(m->control, 0))
		return MODEL_BYPASS;
	dte = device_entry(m, id);
	if (!BIT_AT(dte[2], 0))
		return MODEL_BYPASS;
	assert_int_equal(dte[3], 0);
	assert_int_equal(FIELD(dte[2], 55, 52), 0);
	if ((data >> 8 & 7) <= 1) {
		assert_int_not_equal(FIELD(dte[2], 61, 60), 1);
		return remap(n, id, dte, address, data, out);
	}
	if ((data >> 8 & 7) == 2 && (!BIT_AT(m->control, 22) || smi_passes(m, id)))
		return MODEL_BYPASS;
	if ((data >> 8 & 7) == 4 && BIT_AT(dte[2], 58)) {
		out->nmi = true;
		out->apic_id = (uint32_t)(address >> 12 & 0xff);
		return MODEL_DONE;
	}
	/* INITPass, EIntPass, Lint0Pass, Lint1Pass */
	if (dte[2] & (1ull << 56 | 1ull << 57 | 3ull << 62))
		return MODEL_BYPASS;
	return fault(n, id, address, 8);
}

/* --- the machine --- */

static struct model_unit *config_of(struct pci_bdf d)
{
	uint16_t id = (uint16_t)(d.bus << 8 | d.device << 3 | d.function);

	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		if (model.unit[i].config_id == id && model.unit[i].config[0] &&
		    (i == 2) == d.segment)
			return &model.unit[i];
	}
	return NULL;
}

static uint32_t config_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			    unsigned width)
{
	struct model_unit *m = config_of(d);
	uint32_t v = 0;

	(void)a;
	if (!m || reg + width > 256)
		return width == 4 ? ~0u : (1u << 8 * width) - 1;
	memcpy(&v, m->config + reg, width);
	return v;
}

static void config_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
			 uint32_t v)
{
	struct model_unit *m = config_of(d);

	(void)a;
	assert_non_null(m);
	assert_true(reg + width <= 256);
	memcpy(m->config + reg, &v, width);
}

static void set_config(struct model_unit *m, uint32_t at, uint32_t v)
{
	memcpy(m->config + at, &v, 4);
}

void model_config(unsigned n, uint16_t id, bool enabled)
{
	struct model_unit *m = &model.unit[n];

	memset(m->config, 0, sizeof(m->config));
	m->config_id = id;
	set_config(m, 0x00, 0x14511022);
	set_config(m, 0x04, 0x00100000); /* has capabilities */
	set_config(m, 0x34, 0x40);
	set_config(m, 0x40, 0x0c0b640f); /* NpCache, EFRSup; next at 64h */
	set_config(m, 0x44, (uint32_t)MODEL_BASE(n) | enabled);
	set_config(m, 0x64, 0x00810005); /* an MSI that the firmware has left on */
	set_config(m, 0x68, 0xfee0f000);
}

void *model_map(hpa_t hpa, uint64_t size)
{
	assert_int_equal(size, 0x4000);
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		if (hpa.v == MODEL_BASE(i))
			return &model.unit[i];
	}
	return NULL;
}

const struct pci_access *model_pci(uint16_t segment)
{
	access = (struct pci_access){
		.read = config_read, .write = config_write, .segment = segment, .last_bus = 255
	};
	return segment < 2 ? &access : NULL;
}

void model_reset(uint64_t pages)
{
	static uint64_t size;

	if (size < pages) {
		free(arena);
		assert_int_equal(posix_memalign(&arena, PAGE_SIZE, pages << PAGE_SHIFT), 0);
		size = pages;
	}
	memset(arena, 0xa5, pages << PAGE_SHIFT);
	assert_int_equal(page_pool_init(HPA(MODEL_POOL_HPA), pages << PAGE_SHIFT, arena, 0), OK);
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		free(model.unit[i].dte);
	}
	memset(&model, 0, sizeof(model));
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		model.unit[i].dte = calloc(65536, sizeof(*model.unit[i].dte));
		/* XTSup, GTSup, IASup, GASup, PCSup; four levels; two SMI filters */
		model.unit[i].efr = 0x502d4;
		model.unit[i].lazy = 3;
	}
}
