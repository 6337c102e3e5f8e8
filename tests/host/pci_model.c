// SPDX-License-Identifier: BSD-2-Clause
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pci_model.h"
#include "x86/tsc.h"

struct model_function model[MODEL_FUNCTIONS];
uint32_t model_count;
uint64_t model_us;
uint32_t model_reads;
bool model_sized_live;
bool model_wrote_nowhere;
struct pci_access model_segments[2];

void (*model_tick)(void);

void delay_us(uint32_t us)
{
	model_us += us;
	if (model_tick)
		model_tick();
}

struct model_function *model_find(struct pci_bdf d)
{
	for (uint32_t i = 0; i < model_count; i++) {
		if (pci_same(model[i].bdf, d))
			return &model[i];
	}
	return NULL;
}

void model_put16(struct model_function *f, uint32_t reg, uint16_t v)
{
	memcpy(f->config + reg, &v, 2);
}

void model_put32(struct model_function *f, uint32_t reg, uint32_t v)
{
	memcpy(f->config + reg, &v, 4);
}

uint16_t model_get16(const struct model_function *f, uint32_t reg)
{
	uint16_t v;

	memcpy(&v, f->config + reg, 2);
	return v;
}

uint32_t model_get32(const struct model_function *f, uint32_t reg)
{
	uint32_t v;

	memcpy(&v, f->config + reg, 4);
	return v;
}

static bool is_pending(const struct model_function *f)
{
	return model_us < f->pending_until;
}

static void update_status(struct model_function *f)
{
	if (f->pcie)
		f->config[f->pcie + PCIE_STATUS] =
			(uint8_t)((f->config[f->pcie + PCIE_STATUS] & ~0x20) |
				  (is_pending(f) ? 0x20 : 0));
	if (f->af)
		f->config[f->af + 5] = is_pending(f);
}

static void check_early(struct model_function *f)
{
	if (f->resets && model_us < f->reset_at + 100000)
		f->early = true;
}

static uint32_t model_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			   unsigned width)
{
	uint32_t v = width == 4 ? ~0u : (1u << (8 * width)) - 1;
	struct model_function *f = model_find(d);

	assert(reg % width == 0 && reg + width <= (a->extended ? 4096 : 256));
	assert(d.segment == a->segment && d.device < 32 && d.function < 8);
	model_reads++;
	if (!f || f->gone)
		return v;
	check_early(f);
	if (model_us < f->busy_until) {
		if (f->busy_as_crs && reg == 0 && width == 4)
			v = 0xffff0001;
		return v;
	}
	update_status(f);
	v = 0;
	memcpy(&v, f->config + reg, width);
	return v;
}

static void reset_function(struct model_function *f)
{
	if (f->config[PCI_COMMAND] & PCI_COMMAND_MASTER || is_pending(f))
		f->dirty_reset = true;
	memcpy(f->config, f->power_on, sizeof(f->config));
	f->resets++;
	f->reset_at = model_us;
	f->busy_until = f->reset_takes == ~0u ? ~0ull : model_us + f->reset_takes;
	f->pending_until = 0;
}

static void reset_bus(uint8_t bus)
{
	for (uint32_t i = 0; i < model_count; i++) {
		struct model_function *f = &model[i];

		if (f->bdf.bus != bus)
			continue;
		reset_function(f);
		if ((f->config[PCI_HEADER_TYPE] & 0x7f) == 1)
			reset_bus(f->config[PCI_SECONDARY]);
	}
}

static void store(struct model_function *f, uint32_t reg, unsigned width, uint32_t v)
{
	for (uint32_t i = 0; i < width; i++, v >>= 8) {
		uint8_t w = f->writable[reg + i], old = f->config[reg + i];

		f->config[reg + i] = (uint8_t)(((old & ~w) | (v & w)) & ~(v & f->clear[reg + i]));
	}
}

/* What a write sets off. A device that sleeps does nothing but wake. */
static void act(struct model_function *f, uint32_t reg, unsigned width, uint32_t v,
		uint8_t old_power)
{
	bool asleep = old_power && f->config[f->pm + 4] & 3;

	if (asleep)
		return;
	if (f->pcie && reg == f->pcie + PCIE_CONTROL && width == 2 && v & 0x8000 &&
	    model_get32(f, f->pcie + PCIE_CAPABILITIES) & BIT(28))
		reset_function(f);
	else if (f->af && reg == f->af + 4u && v & 1)
		reset_function(f);
	else if (f->pm && reg == f->pm + 4u && old_power == 3 && !(v & 3) &&
		 !(f->config[f->pm + 4] & 8))
		reset_function(f);
	else if (reg == PCI_BRIDGE && v & 0x40)
		reset_bus(f->config[PCI_SECONDARY]);
}

static void model_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
			uint32_t v)
{
	struct model_function *f = model_find(d);
	uint8_t old_power;

	assert(reg % width == 0 && reg + width <= (a->extended ? 4096 : 256));
	assert(width == 4 || v >> (8 * width) == 0);
	if (!f) {
		model_wrote_nowhere = true;
		return;
	}
	check_early(f);
	if (f->gone || model_us < f->busy_until)
		return;
	if (((reg >= PCI_BAR0 && reg < 0x28 && v == ~0u) ||
	     (reg == PCI_ROM_BAR && v == 0xfffff800)) &&
	    f->config[PCI_COMMAND] & 3)
		model_sized_live = true;
	old_power = f->pm ? f->config[f->pm + 4] & 3 : 0;
	store(f, reg, width, v);
	act(f, reg, width, v, old_power);
	if (f->wrote)
		f->wrote(f, reg, width);
}

void model_clear(void)
{
	memset(model, 0, sizeof(model));
	model_count = model_reads = 0;
	model_us = 1000000;
	model_tick = NULL;
	model_sized_live = model_wrote_nowhere = false;
	for (uint16_t i = 0; i < 2; i++)
		model_segments[i] = (struct pci_access){ .read = model_read,
							 .write = model_write,
							 .segment = i,
							 .last_bus = 255,
							 .extended = true };
}

const struct pci_access *model_access(uint16_t segment)
{
	return segment < 2 ? &model_segments[segment] : NULL;
}

struct model_function *model_add(uint8_t bus, uint8_t device, uint8_t function, uint32_t class)
{
	struct model_function *f = &model[model_count++];

	assert(model_count <= MODEL_FUNCTIONS);
	memset(f, 0, sizeof(*f));
	f->bdf = (struct pci_bdf){ .bus = bus, .device = device, .function = function };
	model_put32(f, PCI_ID, 0x00101b36);
	model_put32(f, PCI_CLASS, class << 8 | 5);
	f->writable[PCI_COMMAND] = 7;
	f->writable[PCI_COMMAND + 1] = 4;
	f->clear[PCI_STATUS + 1] = 0xf9;
	f->writable[PCI_CACHE_LINE] = 0xff;
	f->writable[PCI_CACHE_LINE + 1] = 0xff;
	f->writable[PCI_INTERRUPT] = 0xff;
	f->cap_end = f->ext_end = 0;
	return f;
}

struct model_function *model_bridge(uint8_t bus, uint8_t device, uint8_t secondary,
				    uint8_t subordinate)
{
	struct model_function *f = model_add(bus, device, 0, 0x060400);

	f->config[PCI_HEADER_TYPE] = 1;
	f->config[PCI_SECONDARY] = secondary;
	f->config[PCI_SUBORDINATE] = subordinate;
	f->writable[PCI_BRIDGE] = 0xff;
	return f;
}

void model_bar(struct model_function *f, uint32_t index, uint64_t low, uint64_t size)
{
	uint32_t reg = index == 6 ? PCI_ROM_BAR : PCI_BAR0 + 4 * index;
	uint64_t mask = -size;

	model_put32(f, reg, (uint32_t)low);
	mask &= index == 6 ? 0xfffff801 : low & 1 ? 0xfffc : ~0xfull;
	if (index == 6)
		mask |= 1;
	memcpy(f->writable + reg, &mask, 4);
	if (index < 6 && (low & 7) == 4) {
		model_put32(f, reg + 4, (uint32_t)(low >> 32));
		memcpy(f->writable + reg + 4, (uint8_t *)&mask + 4, 4);
	}
}

uint8_t model_cap(struct model_function *f, uint8_t id, uint32_t length)
{
	uint32_t at = PCI_CAPABILITIES, next = 0x40;

	if (f->cap_end) {
		at = f->cap_end + 1u;
		next = f->cap_end;
		while (next < 256 && f->power_on[next])
			next += 4;
	}
	assert(next + length <= 256);
	/* Until model_ready(), `power_on` says what is taken. */
	memset(f->power_on + next, 1, (length + 3) & ~3u);
	f->config[at] = (uint8_t)next;
	f->config[next] = id;
	f->config[next + 1] = 0;
	f->config[PCI_STATUS] |= 0x10;
	f->cap_end = (uint16_t)next;
	return (uint8_t)next;
}

uint16_t model_ext(struct model_function *f, uint16_t id, uint32_t length)
{
	uint32_t next = 0x100;

	while (next < 4096 && f->power_on[next])
		next += 4;
	assert(next + length <= 4096);
	memset(f->power_on + next, 1, (length + 3) & ~3u);
	if (f->ext_end)
		model_put32(f, f->ext_end, (model_get32(f, f->ext_end) & 0xfffff) | next << 20);
	model_put32(f, next, id | 1u << 16);
	f->ext_end = (uint16_t)next;
	return (uint16_t)next;
}

void model_pcie(struct model_function *f, uint8_t type, bool flr)
{
	f->pcie = model_cap(f, PCI_CAP_PCIE, 0x3c);
	model_put16(f, f->pcie + 2u, (uint16_t)(type << 4 | 2));
	model_put32(f, f->pcie + PCIE_CAPABILITIES, flr ? 1u << 28 : 0);
	model_put16(f, f->pcie + PCIE_CONTROL, 0x2830);
	memcpy(f->writable + f->pcie + PCIE_CONTROL, (uint8_t[]){ 0xff, 0x7f }, 2);
	f->clear[f->pcie + PCIE_STATUS] = 0x0f;
	memcpy(f->writable + f->pcie + PCIE_LINK_CONTROL, (uint8_t[]){ 0xc3, 0x01 }, 2);
	memcpy(f->writable + f->pcie + PCIE_CONTROL2, (uint8_t[]){ 0xff, 0x07 }, 2);
}

void model_acs(struct model_function *f, uint16_t bits)
{
	uint16_t at = model_ext(f, PCI_EXT_ACS, 8);

	model_put16(f, at + 4u, bits);
	memcpy(f->writable + at + 6, &bits, 2);
}

void model_msi(struct model_function *f)
{
	uint8_t at = model_cap(f, PCI_CAP_MSI, 14);

	model_put16(f, at + 2u, 0x0080);
	f->writable[at + 2] = 0x71;
	memset(f->writable + at + 4, 0xff, 10);
}

void model_pm(struct model_function *f, bool resets)
{
	f->pm = model_cap(f, PCI_CAP_PM, 8);
	f->config[f->pm + 4] = resets ? 0 : 8;
	f->writable[f->pm + 4] = 3;
	f->writable[f->pm + 5] = 1;
	f->clear[f->pm + 5] = 0x80;
}

void model_af(struct model_function *f)
{
	f->af = model_cap(f, PCI_CAP_AF, 6);
	f->config[f->af + 3] = 3;
}

void model_ready(void)
{
	for (uint32_t i = 0; i < model_count; i++) {
		struct model_function *f = &model[i];

		/* What can be written is zero after a reset, but for a function's power state's flag. */
		for (uint32_t k = 0; k < sizeof(f->config); k++)
			f->power_on[k] = f->config[k] & (uint8_t)~f->writable[k];
		if ((f->config[PCI_HEADER_TYPE] & 0x7f) == 1)
			memcpy(f->power_on, f->config, sizeof(f->config));
	}
}

static struct pci_tree tree;

struct pci_tree *model_scan(void)
{
	memset(&tree, 0, sizeof(tree));
	pci_tree_scan(&tree, &model_segments[0]);
	return &tree;
}

struct pci_tree *model_tree(void)
{
	pci_tree_group(model_scan(), model_access);
	return &tree;
}
