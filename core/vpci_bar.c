/* SPDX-License-Identifier: BSD-2-Clause */
/* BARs as registers: what the guest reads and writes, and what they hold at the start of a run. */
#include "core/guest_load.h"
#include "core/hyp_mem.h"
#include "core/init.h"
#include "core/passthrough.h"
#include "core/vpci_priv.h"
#include "log.h"

#define BAR_IO           BIT(0)
#define BAR_64BIT        BIT(2)
#define BAR_PREFETCHABLE BIT(3)
#define BAR_TYPE         BITS(2, 1)
#define BAR_IO_FLAGS     3u
#define BAR_MEM_FLAGS    15u
#define ROM_ENABLE       1u
#define ROM_FLAGS        0x7ffu

#define FIRST_PORT  0x1000ull     /* what is below is the board's */
#define APICS       0xfec00000ull /* IOAPICs, local APICs and messages to them */
#define APICS_SIZE  0x300000ull
#define IOMMU_BYTES 0x80000ull /* AMD's have 512 KiB with all counters, VT-d's less */

#define MEM64_BAR  (32ull << 20) /* from this size on they go above 4 GiB if they can */
#define MEM64_BITS 40            /* where the window begins in a large address space: half way */

/* ------------------------------------------------------------------ what a device has */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static bool is_memory(enum region_type t)
{
	return t != REGION_RESERVED && t != REGION_MMIO;
}

/* Registers by which a guest would have the whole machine. */
static bool is_machine(uint64_t base, uint64_t size)
{
	const struct acpi_mcfg *mcfg = &acpi_platform()->mcfg;
	bool found = overlap(base, size, APICS, APICS_SIZE);

	for (uint32_t i = 0; i < mcfg->count; i++) {
		const struct acpi_mcfg_window *w = &mcfg->windows[i];

		found |= overlap(base, size, w->base.v + ((uint64_t)w->first_bus << 20),
				 (uint64_t)(w->last_bus - w->first_bus + 1) << 20);
	}
	for (uint32_t i = 0; i < iommu_info.units; i++)
		found |= overlap(base, size, iommu_info.registers[i].v, IOMMU_BYTES);
	return found;
}

/* Firmware's mistakes would be the guest's way to what is not its own. NULL: it looks good. */
static const char *check_place(const struct pci_function *f, const struct pci_bar *bar)
{
	if (bar->base == 0)
		return "the firmware has given it no address";
	if (bar->io && bar->base < FIRST_PORT)
		return "it lies among the machine's own ports";
	if (!bar->io && is_machine(bar->base, bar->size))
		return "it lies over registers of the machine";
	for (uint32_t i = 0; !bar->io && i < boot_info->region_count; i++) {
		const struct boot_region *r = &boot_info->regions[i];

		if (is_memory(r->type) && overlap(bar->base, bar->size, r->base.v, r->size))
			return "it lies over memory";
	}
	for (uint32_t i = 0; i < pci_tree->count; i++) {
		const struct pci_function *other = &pci_tree->f[i];

		for (unsigned n = 0; other != f && n <= PCI_BARS; n++) {
			const struct pci_bar *b = &other->bars[n];

			/* A ROM is off, unless its owner wants it, and often has no place of its own. */
			if (b->size && b->base && b->io == bar->io && n != PCI_ROM &&
			    overlap(bar->base, bar->size, b->base, b->size))
				return "it lies over another device's";
		}
	}
	return NULL;
}

/* Is nothing else in the page of a small BAR? If it does not begin the page, who knows what does. */
static bool is_alone(const struct pci_function *f, unsigned index)
{
	const struct pci_bar *bar = &f->bars[index];

	if (bar->base & ~PAGE_MASK)
		return false;
	for (uint32_t i = 0; i < pci_tree->count; i++) {
		const struct pci_function *other = &pci_tree->f[i];

		for (unsigned n = 0; n <= PCI_BARS; n++) {
			const struct pci_bar *b = &other->bars[n];

			if (b->size && !b->io && (other != f || n != index) &&
			    overlap(bar->base, PAGE_SIZE, b->base, b->size))
				return false;
		}
	}
	return true;
}

static enum status create_bar(struct vpci_device *d, unsigned index, const struct pci_bar *bar)
{
	struct vpci_bar *b = &d->bars[index];
	const char *why = check_place(d->host, bar);
	char at[PCI_BDF_TEXT];

	if (why && index == PCI_ROM)
		return OK; /* most firmware leaves it over a copy in memory */
	if (why) {
		pci_bdf_text(d->host->bdf, at);
		log_msg(bar->io ? LOG_INFO : LOG_ERROR, "guest %s: device %s, BAR %u: %s%s",
			d->guest->config->name, at, index, why, bar->io ? "; not shown" : "");
		return bar->io ? OK : ERR_UNSUPPORTED;
	}
	b->size = bar->size;
	b->enabled = index != PCI_ROM;
	if (index < PCI_BARS)
		b->flags = (uint8_t)(pci_read32(d->access, d->host->bdf, PCI_BAR0 + 4 * index) &
				     (bar->io ? BAR_IO : BAR_MEM_FLAGS));
	/* The rest of its page may be another device's: then Lamina itself reads and writes it. */
	if (!bar->io && bar->size < PAGE_SIZE) {
		b->own = hyp_mem_map(HPA(bar->base), bar->size, ACCESS_RW, MEM_UC);
		if (!b->own)
			return ERR_NOMEM;
		b->alone = is_alone(d->host, index);
	}
	return OK;
}

enum status vpci_bars_create(struct vpci_device *d)
{
	for (unsigned i = 0; i <= PCI_BARS; i++) {
		const struct pci_bar *bar = &d->host->bars[i];
		enum status s = bar->size ? create_bar(d, i, bar) : OK;

		if (s != OK)
			return s;
	}
	return OK;
}

/* ------------------------------------------------------------------ where they begin */

static bool is_io(const struct vpci_bar *b)
{
	return b->flags & BAR_IO;
}

/* Whole pages, so that BARs share none unless the guest wants them to. */
static uint64_t space(const struct vpci_bar *b)
{
	return is_io(b) ? b->size : max_u64(b->size, PAGE_SIZE);
}

static bool is_high(const struct vpci_bar *b)
{
	return !is_io(b) && b->flags & BAR_64BIT &&
	       (b->flags & BAR_PREFETCHABLE || b->size >= MEM64_BAR);
}

static uint64_t take(uint64_t *next, uint64_t end, uint64_t size)
{
	uint64_t at = ALIGN_UP(*next, size);

	if (at < *next || at >= end || size > end - at)
		return 0;
	*next = at + size;
	return at;
}

/* The window above the guest's memory: sizes are powers of two. */
static void place_window(struct vpci *p)
{
	const struct guest *g = p->guest;
	uint64_t low = min_u64(g->boot->memory_size, GUEST_LOW_RAM);
	uint64_t top = 4 * SIZE_1G + (g->boot->memory_size - low);
	uint64_t limit = BIT(g->maxphyaddr), total = 0, largest = SIZE_1G;

	for (uint32_t i = 0; i < p->count; i++) {
		for (unsigned n = 0; n <= PCI_BARS; n++) {
			const struct vpci_bar *b = &p->devices[i].bars[n];

			if (!is_high(b))
				continue;
			total += space(b);
			largest = max_u64(largest, b->size);
		}
	}
	/* Room for the guest to move them. */
	total = ALIGN_UP(2 * total, largest);
	top = ALIGN_UP(max_u64(top, BIT(min_u64(g->maxphyaddr, MEM64_BITS) - 1)), largest);
	p->mem64 = 0;
	p->mem64_size = 0;
	if (total && top < limit) {
		p->mem64 = top;
		p->mem64_size = min_u64(total, limit - top);
	}
}

void vpci_bars_assign(struct vpci *p)
{
	uint64_t io = VPCI_IO, low = VPCI_MEM32_GPA, high;

	place_window(p);
	high = p->mem64;
	/* The largest first: then nothing is lost to alignment. */
	for (uint64_t size = BIT(63); size; size >>= 1) {
		for (uint32_t i = 0; i < p->count * (PCI_BARS + 1); i++) {
			struct vpci_bar *b =
				&p->devices[i / (PCI_BARS + 1)].bars[i % (PCI_BARS + 1)];

			b->initial = b->size == size ? 0 : b->initial;
			if (b->size != size)
				continue;
			if (is_high(b))
				b->initial = take(&high, p->mem64 + p->mem64_size, space(b));
			if (!b->initial && is_io(b))
				b->initial = take(&io, 0x10000, space(b));
			else if (!b->initial)
				b->initial = take(&low, VPCI_ECAM_GPA, space(b));
			if (!b->initial)
				log_warn("guest %s: no place for BAR %u of device %02x.0",
					 p->guest->config->name, i % (PCI_BARS + 1),
					 p->devices[i / (PCI_BARS + 1)].slot);
		}
	}
}

/* ------------------------------------------------------------------ registers */

/* Whose register it is, and whether it is the upper half. NULL: nobody's. */
static const struct vpci_bar *find_bar(const struct vpci_device *d, uint32_t reg, bool *upper)
{
	uint32_t i = (reg - PCI_BAR0) / 4;

	*upper = false;
	if (reg == PCI_ROM_BAR)
		i = PCI_ROM;
	else if (reg < PCI_BAR0 || i >= PCI_BARS)
		return NULL;
	if (d->bars[i].size)
		return &d->bars[i];
	*upper = true;
	return i > 0 && i < PCI_BARS && d->bars[i - 1].size && d->bars[i - 1].flags & BAR_64BIT &&
			       !is_io(&d->bars[i - 1])
		       ? &d->bars[i - 1]
		       : NULL;
}

static uint32_t read_bar(const struct vpci_device *d, const struct vpci_bar *b, bool upper)
{
	if (upper)
		return (uint32_t)(b->address >> 32);
	if (b == &d->bars[PCI_ROM])
		return (uint32_t)b->address | (b->enabled ? ROM_ENABLE : 0);
	return (uint32_t)b->address | b->flags;
}

uint32_t vpci_bar_read(const struct vpci_device *d, uint32_t reg)
{
	bool upper;
	const struct vpci_bar *b = find_bar(d, reg, &upper);

	return b ? read_bar(d, b, upper) : 0;
}

void vpci_bar_write(struct vpci_device *d, uint32_t reg, struct vpci_write w)
{
	bool upper, enabled = true;
	const struct vpci_bar *found = find_bar(d, reg, &upper);
	struct vpci_bar *b = found ? &d->bars[found - d->bars] : NULL;
	uint64_t address;
	uint32_t v;

	if (!b)
		return;
	v = vpci_merge(read_bar(d, b, upper), w);
	if (upper) {
		address = (uint32_t)b->address | (uint64_t)v << 32;
	} else {
		if (b == &d->bars[PCI_ROM]) {
			enabled = v & ROM_ENABLE;
			v &= ~ROM_FLAGS;
		} else {
			v &= is_io(b) ? 0xffff & ~BAR_IO_FLAGS : ~BAR_MEM_FLAGS;
		}
		address = (b->address & ~0xffffffffull) | v;
	}
	/* The bits below its size are zero, which is how its size is found out. */
	address &= ~(b->size - 1);
	if (address == b->address && enabled == b->enabled)
		return;
	b->address = address;
	b->enabled = enabled;
	vpci_config_apply(d);
}
