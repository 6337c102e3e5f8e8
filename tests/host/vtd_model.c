/* SPDX-License-Identifier: BSD-2-Clause */
#include "vtd_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/vtd_hw.h"
#include "log.h"
#include "mm/page_alloc.h"
#include "panic.h"

#define POOL_BYTES ((size_t)MODEL_PAGES * PAGE_SIZE)
#define TOGGLES    (GCMD_TE | GCMD_QIE | GCMD_IRE | GCMD_CFI | GCMD_EAFL)
#define ONE_SHOTS  (GCMD_SRTP | GCMD_WBF | GCMD_SIRTP)
#define FECTL_IP   (1u << 30)
#define FRO        0x200u
#define ALL_CAPS                                                             \
	(2 | CAP_PLMR | CAP_PHMR | CAP_AGAW_39 | CAP_AGAW_48 | 47ull << 16 | \
	 (uint64_t)(FRO / 16) << 24 | CAP_PAGE_2M | CAP_PAGE_1G | CAP_PSI |  \
	 (MODEL_RECORDS - 1ull) << 40 | 9ull << 48 | CAP_DWD | CAP_DRD)
#define ALL_ECAPS (ECAP_C | ECAP_QI | ECAP_IR | ECAP_EIM | ECAP_SC | 0xfull << 20 | 0x100 << 8)

struct model model;

static uint8_t pool[POOL_BYTES] aligned(4096);
static uint8_t memory[POOL_BYTES]; /* as it was last written back */
static uint8_t windows[MODEL_UNITS][MODEL_WINDOW] aligned(4096);

/* ------------------------------------------------------------------ the world around */

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(model.panic, sizeof(model.panic), fmt, ap);
	va_end(ap);
	if (model.panic_to)
		longjmp(*model.panic_to, 1);
	fprintf(stderr, "panic: %s\n", model.panic);
	abort();
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(model.log, sizeof(model.log), fmt, ap);
	va_end(ap);
	model.errors += level == LOG_ERROR;
	model.warnings += level == LOG_WARN;
}

static void *map(hpa_t hpa, uint64_t size)
{
	assert_true(IS_ALIGNED(hpa.v, PAGE_SIZE) && IS_ALIGNED(size, PAGE_SIZE));
	if (model.maps_fail && --model.maps_fail == 0)
		return NULL;
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		if (model.unit[i].base == hpa.v && size <= MODEL_WINDOW)
			return windows[i];
	return NULL;
}

static const struct pci_access *no_pci(uint16_t segment)
{
	(void)segment;
	return NULL;
}

struct iommu_env model_env(void)
{
	return (struct iommu_env){ .budget = &model.budget, .map = map, .pci = no_pci };
}

void model_reset(void)
{
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		free(model.unit[i].buffered);
	memset(&model, 0, sizeof(model));
	/* What nobody has written yet is as bad as can be. */
	memset(memory, 0xff, sizeof(memory));
	memset(windows, 0, sizeof(windows));
	assert_int_equal(page_pool_init(HPA(MODEL_POOL_HPA), POOL_BYTES, pool, 0), OK);
	assert_int_equal(page_budget_init(&model.budget, "test", MODEL_PAGES - 16), OK);
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		struct model_unit *u = &model.unit[i];

		u->base = 0xfed90000 + i * 0x10000;
		u->version = 0x10;
		u->cap = ALL_CAPS;
		u->ecap = ALL_ECAPS;
		u->slow = 3;
		u->pmen = PMEN_EPM | PMEN_PRS;
		u->fectl = FECTL_IM;
	}
}

void model_firmware(struct model_unit *u, bool cfi)
{
	u->gsts = GCMD_TE | GCMD_QIE | GCMD_IRE | GCMD_EAFL | (cfi ? GCMD_CFI : 0);
	u->root = u->rtaddr = FW_ROOT;
	u->irt = u->irta = FW_IRT | IRTA_SIZE(16);
	u->iqa = FW_QUEUE;
	u->iqh = u->iqt = 5 << 4;
	u->pmen = 0;
	u->had_translation = u->had_remapping = true;
}

static void adversary(struct model_unit *u)
{
	if (model.adversary)
		model.adversary(u);
}

/* ------------------------------------------------------------------ memory */

void vtd_write_back(const void *p, size_t bytes)
{
	size_t offset = (size_t)((const uint8_t *)p - pool), end = offset + bytes;

	assert_true(offset < POOL_BYTES && end <= POOL_BYTES);
	offset = ALIGN_DOWN(offset, 64);
	end = min_u64(ALIGN_UP(end, 64), POOL_BYTES);
	memcpy(memory + offset, pool + offset, end - offset);
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		adversary(&model.unit[i]);
}

static const uint8_t *visible(const struct model_unit *u)
{
	return u->ecap & ECAP_C ? pool : memory;
}

static uint64_t read_qword(const struct model_unit *u, uint64_t hpa)
{
	const uint8_t *from = u->cap & CAP_RWBF ? u->buffered : visible(u);
	uint64_t v = ~0ull;

	assert_true(hpa >= MODEL_POOL_HPA && hpa < MODEL_POOL_HPA + POOL_BYTES);
	if (from)
		memcpy(&v, from + (hpa - MODEL_POOL_HPA), sizeof(v));
	return v;
}

static void empty_write_buffer(struct model_unit *u)
{
	if (!u->buffered)
		u->buffered = malloc(POOL_BYTES);
	memcpy(u->buffered, visible(u), POOL_BYTES);
}

/* ------------------------------------------------------------------ faults */

static bool send_event(struct model_unit *u)
{
	if (u->fectl & FECTL_IM) {
		u->fectl |= FECTL_IP;
	} else if (u->fedata == FEDATA_NMI && u->feaddr >> 20 == MSI_ADDRESS >> 20) {
		u->fectl &= ~FECTL_IP;
		u->nmis++;
	}
	return false;
}

static bool fault(struct model_unit *u, struct pci_bdf d, uint64_t info, uint8_t reason, bool write)
{
	struct vtd_entry *r = &u->record[u->next_record];
	bool first = !(u->fsts & (FSTS_PPF | FSTS_PFO));

	if (u->fsts & FSTS_PFO)
		return false;
	if (r->hi & FRCD_HI_F) {
		u->fsts |= FSTS_PFO;
		return first ? send_event(u) : false;
	}
	r->lo = info;
	r->hi = FRCD_HI_F | (write ? 0 : FRCD_HI_READ) | (uint64_t)reason << 32 |
		(uint64_t)(d.bus << 8 | d.device << 3 | d.function);
	if (!(u->fsts & FSTS_PPF))
		u->fsts = (u->fsts & 0xff) | u->next_record << 8 | FSTS_PPF;
	u->next_record = (u->next_record + 1) % MODEL_RECORDS;
	return first ? send_event(u) : false;
}

static void clear_record(struct model_unit *u, uint32_t i, uint32_t v)
{
	bool any = false;

	if (v & FRCD_F)
		u->record[i].hi &= ~FRCD_HI_F;
	for (i = 0; i < MODEL_RECORDS; i++)
		any = any || u->record[i].hi & FRCD_HI_F;
	if (!any)
		u->fsts &= ~FSTS_PPF;
	if (!(u->fsts & 0xff))
		u->fectl &= ~FECTL_IP;
}

/* ------------------------------------------------------------------ translation */

static struct model_cached *cached(struct model_cached *c, uint16_t sid, uint16_t did, uint64_t key,
				   uint8_t level)
{
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (c[i].valid && c[i].sid == sid && c[i].did == did && c[i].key == key &&
		    c[i].level == level)
			return &c[i];
	return NULL;
}

static struct model_cached *remember(struct model_cached *c, struct model_cached what)
{
	for (unsigned i = 0; i < MODEL_CACHE; i++) {
		if (c[i].valid)
			continue;
		c[i] = what;
		c[i].valid = true;
		return &c[i];
	}
	fail_msg("the model's cache is full");
	return NULL;
}

/* NULL: *reason says why there is none. */
static struct model_cached *find_context(struct model_unit *u, uint16_t sid, uint8_t *reason)
{
	struct vtd_entry e = { VTD_ENTRY_P, CONTEXT_AW(4) | CONTEXT_DID(1) };
	struct model_cached c = { .sid = sid };
	uint64_t root, at;

	*reason = 2;
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (u->context[i].valid && u->context[i].sid == sid)
			return u->context[i].present ? &u->context[i] : NULL;
	if (u->root != FW_ROOT) {
		root = read_qword(u, u->root + (sid >> 8) * 16);
		*reason = root & VTD_ENTRY_P ? 2 : 1;
		at = (root & PAGE_MASK) + (sid & 0xff) * 16;
		e.lo = root & VTD_ENTRY_P ? read_qword(u, at) : 0;
		e.hi = root & VTD_ENTRY_P ? read_qword(u, at + 8) : 0;
	}
	c.present = e.lo & VTD_ENTRY_P;
	c.lo = e.lo;
	c.hi = e.hi;
	/* With caching mode, what is not present belongs to domain 0. */
	c.did = c.present ? CONTEXT_DID_OF(e.hi) : 0;
	if (c.present) {
		if (e.lo & 0xe || (e.hi & 7) < 1 || (e.hi & 7) > 2 ||
		    !(u->cap & BIT(8 + (e.hi & 7)))) {
			*reason = 3;
			return NULL;
		}
		assert_true(c.did > 0 && c.did < BIT(CAP_DOMAIN_BITS(u->cap)));
	}
	if (!c.present && !(u->cap & CAP_CM))
		return NULL;
	return remember(u->context, c)->present ? cached(u->context, sid, c.did, 0, 0) : NULL;
}

/* The leaf as a 4 KiB piece, from the IOTLB or by a walk; 0: none. */
static uint64_t find_leaf(struct model_unit *u, const struct model_cached *context, uint64_t gfn)
{
	struct model_cached *c = cached(u->iotlb, 0, context->did, gfn, 1);
	unsigned levels = (context->hi & 7) + 2;
	uint64_t table = context->lo & PAGE_MASK, e = 0;

	if (c)
		return c->lo;
	for (unsigned level = levels; level; level--) {
		uint64_t key = gfn >> ((level - 1) * 9);

		c = level > 1 ? cached(u->iotlb, 0, context->did, key, (uint8_t)level) : NULL;
		e = c ? c->lo : 0;
		if (u->root == FW_ROOT)
			e = gfn << PAGE_SHIFT | 3;
		else if (!c)
			e = read_qword(u, table + key % 512 * 8);
		if (!(e & 3) || level == 1 || u->root == FW_ROOT)
			break;
		if (e & BIT(7)) {
			e += (gfn & (BIT((level - 1) * 9) - 1)) << PAGE_SHIFT;
			break;
		}
		if (!c)
			remember(u->iotlb, (struct model_cached){ .did = context->did,
								  .level = (uint8_t)level,
								  .key = key,
								  .lo = e });
		table = e & BITS(51, 12);
	}
	if (e & 3 || u->cap & CAP_CM)
		remember(u->iotlb, (struct model_cached){
					   .did = context->did, .level = 1, .key = gfn, .lo = e });
	return e;
}

bool model_dma(struct model_unit *u, struct pci_bdf d, uint64_t address, bool write, uint64_t *hpa)
{
	uint16_t sid = (uint16_t)(d.bus << 8 | d.device << 3 | d.function);
	struct model_cached *context;
	uint64_t page = address & PAGE_MASK, leaf;
	uint8_t reason;

	if (u->pmen & PMEN_PRS)
		return false;
	*hpa = address;
	if (!(u->gsts & GCMD_TE)) {
		if (u->had_translation)
			fail_msg("the firmware's translation was turned off");
		return true;
	}
	context = find_context(u, sid, &reason);
	if (!context)
		return fault(u, d, page, reason, write);
	if (address >> CAP_MGAW(u->cap))
		return fault(u, d, page, 4, write);
	leaf = find_leaf(u, context, address >> PAGE_SHIFT);
	if (!(leaf & (write ? 2 : 1)))
		return fault(u, d, page, write ? 5 : 6, write);
	*hpa = (leaf & BITS(51, 12)) | (address & ~PAGE_MASK);
	*(write ? &u->writes_under_way : &u->reads_under_way) += 1;
	return true;
}

/* ------------------------------------------------------------------ interrupts */

static bool find_irte(struct model_unit *u, uint64_t index, struct vtd_entry *e)
{
	struct model_cached *c = cached(u->iec, 0, 0, index, 0);

	if (!c) {
		*e = (struct vtd_entry){ VTD_ENTRY_P | IRTE_VECTOR(0x20 + index), 0 };
		if ((u->irt & PAGE_MASK) != FW_IRT) {
			e->lo = read_qword(u, (u->irt & PAGE_MASK) + index * 16);
			e->hi = read_qword(u, (u->irt & PAGE_MASK) + index * 16 + 8);
		}
		if (!(e->lo & VTD_ENTRY_P) && !(u->cap & CAP_CM))
			return false;
		c = remember(u->iec,
			     (struct model_cached){ .key = index, .lo = e->lo, .hi = e->hi });
	}
	*e = (struct vtd_entry){ c->lo, c->hi };
	return e->lo & VTD_ENTRY_P;
}

bool model_msi(struct model_unit *u, struct pci_bdf d, uint64_t address, uint32_t data,
	       struct model_irq *out)
{
	uint16_t sid = (uint16_t)(d.bus << 8 | d.device << 3 | d.function);
	uint64_t index = (address >> 5 & 0x7fff) | (address & 4) << 13;
	bool wide = u->irt & IRTA_EIME;
	struct vtd_entry e;

	assert_int_equal(address >> 20, 0xfee);
	if (!(u->gsts & GCMD_IRE) || (!(address & 0x10) && u->gsts & GCMD_CFI && !wide)) {
		if (u->had_remapping && !(u->gsts & GCMD_IRE))
			fail_msg("the firmware's interrupt remapping was turned off");
		*out = (struct model_irq){ address >> 12 & 0xff, (uint8_t)data, data >> 8 & 7 };
		return true;
	}
	if (!(address & 0x10))
		return fault(u, d, 0, 0x25, true);
	if (address & 8)
		index += data & 0xffff;
	if (index >> ((u->irt & 0xf) + 1))
		return fault(u, d, index << 48, 0x21, true);
	if (!find_irte(u, index, &e))
		return fault(u, d, index << 48, 0x22, true);
	if (e.lo & ~(wide ? 0xffffffff00ff00e1 : 0x0000ff0000ff00e1) || e.hi >> 20)
		return fault(u, d, index << 48, 0x24, true);
	if (e.hi >> 18 == 1 && (uint16_t)e.hi != sid)
		return fault(u, d, index << 48, 0x26, true);
	*out = (struct model_irq){ (uint32_t)(e.lo >> (wide ? 32 : 40)), (uint8_t)(e.lo >> 16),
				   e.lo >> 5 & 7 };
	return true;
}

bool model_ioapic(struct model_unit *u, struct pci_bdf d, uint64_t rte, struct model_irq *out)
{
	assert_int_equal(rte & BIT(16), 0);
	return model_msi(u, d,
			 MSI_ADDRESS | (rte >> 48 & 0xffff) << 4 | (rte >> 11 & 1) << 2 |
				 (rte & BIT(48) ? 0 : (rte >> 56) << 12),
			 (uint32_t)rte & 0x7ff, out);
}

/* ------------------------------------------------------------------ the queue */

static bool do_context(struct model_unit *u, uint64_t lo)
{
	uint16_t did = (uint16_t)(lo >> 16), sid = (uint16_t)(lo >> 32);
	unsigned granularity = lo >> 4 & 3;

	if (!granularity || lo & 0xfffc00000000ffc0)
		return false;
	for (unsigned i = 0; i < MODEL_CACHE; i++) {
		struct model_cached *c = &u->context[i];

		if (granularity == 1 || (c->did == did && (granularity == 2 || c->sid == sid)))
			c->valid = false;
	}
	return true;
}

static bool do_iotlb(struct model_unit *u, uint64_t lo, uint64_t hi)
{
	uint16_t did = (uint16_t)(lo >> 16);
	unsigned granularity = lo >> 4 & 3, order = hi & 0x3f;
	uint64_t gfn = hi >> PAGE_SHIFT;

	if (!granularity || lo & 0xffffffff0000ff00 || hi & 0xf80)
		return false;
	if (granularity == 3 &&
	    (!(u->cap & CAP_PSI) || order > CAP_MAMV(u->cap) || gfn & (BIT(order) - 1)))
		return false;
	u->pages_flushed += granularity == 3;
	u->domains_flushed += granularity == 2;
	for (unsigned i = 0; i < MODEL_CACHE; i++) {
		struct model_cached *c = &u->iotlb[i];
		unsigned shift = c->level ? (c->level - 1u) * 9 : 0;
		uint64_t first = c->key << shift, last = first + BIT(shift) - 1;

		if (granularity == 3 &&
		    (gfn > last || gfn + BIT(order) <= first || (hi & BIT(6) && c->level > 1)))
			continue;
		if (granularity == 1 || c->did == did)
			c->valid = false;
	}
	if (lo & DESC_DW && u->cap & CAP_DWD)
		u->writes_under_way = 0;
	if (lo & DESC_DR && u->cap & CAP_DRD)
		u->reads_under_way = 0;
	return true;
}

static bool do_iec(struct model_unit *u, uint64_t lo)
{
	unsigned mask = lo >> 27 & 0x1f;
	uint64_t index = lo >> 32 & 0xffff;

	if (lo & 0xffff000007ffffe0 || (lo & DESC_IEC_INDEX && mask > ECAP_MHMV(u->ecap)) ||
	    index & (BIT(mask) - 1))
		return false;
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (!(lo & DESC_IEC_INDEX) || u->iec[i].key >> mask == index >> mask)
			u->iec[i].valid = false;
	return true;
}

static bool do_wait(uint64_t lo, uint64_t hi)
{
	uint32_t value = (uint32_t)(lo >> 32);

	if (!(lo & DESC_WAIT_STATUS) || lo & 0xffffff80 || hi & 3)
		return false;
	assert_true(hi >= MODEL_POOL_HPA && hi < MODEL_POOL_HPA + POOL_BYTES);
	memcpy(pool + (hi - MODEL_POOL_HPA), &value, sizeof(value));
	return true;
}

static bool run_descriptor(struct model_unit *u, uint64_t at)
{
	uint64_t lo = read_qword(u, (u->iqa & PAGE_MASK) + at);
	uint64_t hi = read_qword(u, (u->iqa & PAGE_MASK) + at + 8);
	bool good = false;

	u->descriptors++;
	adversary(u);
	switch (lo & 0xf) {
	case DESC_CONTEXT:
		good = do_context(u, lo);
		break;
	case DESC_IOTLB:
		good = do_iotlb(u, lo, hi);
		break;
	case DESC_IEC:
		good = do_iec(u, lo);
		break;
	case DESC_WAIT:
		good = do_wait(lo, hi);
		break;
	}
	adversary(u);
	if (!good)
		u->fsts |= FSTS_IQE;
	return good;
}

/*
 * A part of the queue, whenever software looks the other way: all up to a wait, the last first since
 * only waits order anything, or one wait.
 */
static void run_queue(struct model_unit *u)
{
	uint64_t end = u->iqh, count = 0;

	if (u->stuck || !(u->gsts & GCMD_QIE) || u->fsts & FSTS_IQE || u->iqh == u->iqt)
		return;
	while (end != u->iqt && (read_qword(u, (u->iqa & PAGE_MASK) + end) & 0xf) != DESC_WAIT) {
		end = (end + 16) % PAGE_SIZE;
		count++;
	}
	for (uint64_t i = count ? count : 1; i > 0; i--)
		if (!run_descriptor(u, (u->iqh + (i - 1) * 16) % PAGE_SIZE))
			return;
	u->iqh = (u->iqh + (count ? count : 1) * 16) % PAGE_SIZE;
}

/* ------------------------------------------------------------------ registers */

/* A command takes effect. */
static void take_effect(struct model_unit *u)
{
	uint32_t command = u->pending;

	u->pending = 0;
	if (command & TOGGLES)
		u->gsts = (u->gsts & ~command) | (u->pending_value & command);
	if (command & GCMD_SRTP) {
		u->root = u->rtaddr & PAGE_MASK;
		u->gsts |= GCMD_SRTP;
	}
	if (command & GCMD_SIRTP) {
		u->irt = u->irta;
		u->gsts |= GCMD_SIRTP;
	}
	if (command & GCMD_WBF) {
		empty_write_buffer(u);
		u->gsts &= ~GCMD_WBF;
	}
	if (command & GCMD_QIE && u->pending_value & GCMD_QIE)
		u->iqh = 0;
	adversary(u);
}

static void write_gcmd(struct model_unit *u, uint32_t v)
{
	uint32_t command = ((u->gsts ^ v) & TOGGLES) | (v & ONE_SHOTS);

	if (u->pending)
		fail_msg("a command while another one is under way");
	if (__builtin_popcount(command) != 1)
		fail_msg("not one command: GSTS %#x GCMD %#x", u->gsts, v);
	if (command & GCMD_IRE && v & GCMD_IRE && !(u->gsts & GCMD_QIE && u->gsts & GCMD_SIRTP))
		fail_msg("interrupt remapping without queue or table");
	if (command & GCMD_TE && v & GCMD_TE && !(u->gsts & GCMD_SRTP))
		fail_msg("translation without a root table");
	if (command & GCMD_SRTP && u->rtaddr & RTADDR_TTM)
		fail_msg("a mode that is not legacy");
	if (command & GCMD_QIE && !(v & GCMD_QIE) && u->iqh != u->iqt && !(u->fsts & FSTS_IQE) &&
	    !u->stuck)
		fail_msg("the queue is turned off, but not empty");
	if (command & u->ignores)
		return;
	u->gsts &= ~(command & (GCMD_SRTP | GCMD_SIRTP));
	u->gsts |= command & GCMD_WBF;
	u->pending = command;
	u->pending_value = v;
	u->pending_us = u->slow;
	if (!u->slow)
		take_effect(u);
}

void vtd_wait_us(uint32_t us)
{
	assert_true(us && us <= 100);
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		struct model_unit *u = &model.unit[i];

		if (u->pending && u->pending_us <= us)
			take_effect(u);
		else if (u->pending)
			u->pending_us -= us;
		run_queue(u);
	}
}

static struct model_unit *find(const volatile void *reg, uint32_t *offset, unsigned bytes)
{
	uintptr_t at = (uintptr_t)reg - (uintptr_t)windows;

	assert_true(at < sizeof(windows));
	*offset = (uint32_t)(at % MODEL_WINDOW);
	assert_int_equal(*offset % bytes, 0);
	return &model.unit[at / MODEL_WINDOW];
}

uint32_t vtd_read32(const volatile void *reg)
{
	uint32_t offset;
	struct model_unit *u = find(reg, &offset, 4);

	if (u->absent)
		return ~0u;
	switch (offset) {
	case VTD_VER:
		return u->version;
	case VTD_GSTS:
		return u->gsts;
	case VTD_FSTS:
		return u->fsts;
	case VTD_FECTL:
		return u->fectl;
	case VTD_PMEN:
		return u->pmen;
	}
	fail_msg("32-bit read of %#x", offset);
	return 0;
}

uint64_t vtd_read64(const volatile void *reg)
{
	uint32_t offset;
	struct model_unit *u = find(reg, &offset, 8);

	if (u->absent)
		return ~0ull;
	if (offset >= FRO && offset < FRO + MODEL_RECORDS * FRCD_SIZE) {
		const struct vtd_entry *r = &u->record[(offset - FRO) / FRCD_SIZE];

		return offset & FRCD_HI ? r->hi : r->lo;
	}
	switch (offset) {
	case VTD_CAP:
		return u->cap;
	case VTD_ECAP:
		return u->ecap;
	case VTD_RTADDR:
		return u->rtaddr;
	case VTD_IQH:
		return u->iqh;
	case VTD_IQT:
		return u->iqt;
	}
	fail_msg("64-bit read of %#x", offset);
	return 0;
}

static void write_fectl(struct model_unit *u, uint32_t v)
{
	u->fectl = (u->fectl & FECTL_IP) | (v & FECTL_IM);
	if (u->fectl == FECTL_IP)
		send_event(u);
}

void vtd_write32(volatile void *reg, uint32_t v)
{
	uint32_t offset;
	struct model_unit *u = find(reg, &offset, 4);

	adversary(u);
	if (offset >= FRO && offset < FRO + MODEL_RECORDS * FRCD_SIZE) {
		assert_int_equal(offset % FRCD_SIZE, FRCD_F_DWORD);
		clear_record(u, (offset - FRO) / FRCD_SIZE, v);
		return;
	}
	switch (offset) {
	case VTD_GCMD:
		write_gcmd(u, v);
		break;
	case VTD_FSTS:
		u->fsts &= ~(v & FSTS_CLEAR);
		break;
	case VTD_FECTL:
		write_fectl(u, v);
		break;
	case VTD_FEDATA:
	case VTD_FEADDR:
	case VTD_FEUADDR:
		if (!(u->fectl & FECTL_IM))
			fail_msg("the fault event changes while it is not masked");
		*(offset == VTD_FEDATA   ? &u->fedata
		  : offset == VTD_FEADDR ? &u->feaddr
					 : &u->feuaddr) = v;
		break;
	case VTD_PMEN:
		if (!(v & PMEN_EPM) && !(u->gsts & GCMD_TE))
			fail_msg("protection ends before translation begins");
		u->pmen = v & PMEN_EPM ? PMEN_EPM | PMEN_PRS : u->ignores & PMEN_PRS;
		break;
	default:
		fail_msg("32-bit write of %#x", offset);
	}
}

void vtd_write64(volatile void *reg, uint64_t v)
{
	uint32_t offset;
	struct model_unit *u = find(reg, &offset, 8);

	adversary(u);
	switch (offset) {
	case VTD_RTADDR:
		if (u->gsts & GCMD_TE && (u->rtaddr ^ v) & RTADDR_TTM)
			fail_msg("the mode changes while translation is on");
		u->rtaddr = v;
		break;
	case VTD_IQT:
		u->iqt = v;
		break;
	case VTD_IQA:
		if (u->gsts & GCMD_QIE)
			fail_msg("the queue moves while it is on");
		u->iqa = v;
		break;
	case VTD_IRTA:
		u->irta = v;
		break;
	default:
		fail_msg("64-bit write of %#x", offset);
	}
}
