/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BARs as places: slots of the guest and regions of ports. Everything that a guest's devices decode
 * is looked at after each change, so what had no place because something was in the way gets one as
 * soon as that has gone.
 *
 * Whole pages of a BAR are a slot of their own and need no exit. The pages of an MSI-X table trap. So do BARs
 * smaller than a page, unless they are the only one in their page, in the machine and in the guest.
 */
#include <stdio.h>

#include "core/hw.h"
#include "core/vpci_priv.h"
#include "log.h"

#define ATTEMPTS 16 /* to commit: other transactions may come first */

#define for_each_bar(p, d, b)                                            \
	for ((d) = (p)->devices; (d) < (p)->devices + (p)->count; (d)++) \
		for ((b) = (d)->bars; (b) <= (d)->bars + PCI_BARS; (b)++)

static unsigned index_of(const struct vpci_device *d, const struct vpci_bar *b)
{
	return (unsigned)(b - d->bars);
}

static bool is_io(const struct vpci_bar *b)
{
	return b->flags & BIT(0);
}

bool vpci_decodes(const struct vpci_device *d, unsigned bar)
{
	const struct vpci_bar *b = &d->bars[bar];

	return b->size && b->enabled && d->life == VPCI_ALIVE &&
	       d->command & (is_io(b) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* ------------------------------------------------------------------ registers that trap */

static uint64_t bits(uint8_t size)
{
	return ~0ull >> (64 - 8 * size);
}

static bool has_table(const struct vpci_device *d, const struct vpci_bar *b)
{
	uint64_t start, end;

	return vpci_msix_pages(&d->irqs, (uint8_t)index_of(d, b), &start, &end);
}

/* The BAR in the page that holds the whole access, or NULL. */
static struct vpci_bar *find_small(const struct vpci_page *page, uint32_t offset, uint8_t size,
				   struct vpci_device **owner)
{
	uint64_t gpa = page->gpa + offset;
	struct vpci_device *d;
	struct vpci_bar *b;

	for_each_bar(page->vpci, d, b)
	{
		if (b->own && b->mapped && !b->direct && gpa >= b->mapped_at &&
		    gpa + size <= b->mapped_at + b->size) {
			*owner = d;
			return b;
		}
	}
	return NULL;
}

static uint64_t page_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	const struct vpci_page *page = dev;
	struct vpci_device *d;
	struct vpci_bar *b = find_small(page, offset, size, &d);

	(void)v;
	if (!b)
		return ~0ull;
	offset = (uint32_t)(page->gpa + offset - b->mapped_at);
	return has_table(d, b) ? vpci_msix_table_read(&d->irqs, offset, size)
			       : hw_mmio_read(b->own + offset, size);
}

static void page_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	const struct vpci_page *page = dev;
	struct vpci_device *d;
	struct vpci_bar *b = find_small(page, offset, size, &d);

	(void)v;
	if (!b)
		return;
	offset = (uint32_t)(page->gpa + offset - b->mapped_at);
	if (has_table(d, b))
		vpci_msix_table_write(&d->irqs, offset, size, value);
	else if (b != &d->bars[PCI_ROM])
		hw_mmio_write(b->own + offset, size, value);
}

/* The offset is from the first page of the table. */
static uint64_t table_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	struct vpci_device *d = dev;
	uint64_t start = 0, end;

	(void)v;
	(void)vpci_msix_pages(&d->irqs, d->irqs.table_bar, &start, &end);
	return vpci_msix_table_read(&d->irqs, start + offset, size);
}

static void table_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	struct vpci_device *d = dev;
	uint64_t start = 0, end;

	(void)v;
	(void)vpci_msix_pages(&d->irqs, d->irqs.table_bar, &start, &end);
	vpci_msix_table_write(&d->irqs, start + offset, size, value);
}

static uint64_t port_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	const struct pci_bar *bar = dev;

	(void)v;
	return hw_in((uint16_t)(bar->base + offset), size) & bits(size);
}

static void port_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	const struct pci_bar *bar = dev;

	(void)v;
	hw_out((uint16_t)(bar->base + offset), size, (uint32_t)value);
}

static const struct io_ops page_ops = { page_read, page_write };
static const struct io_ops table_ops = { table_read, table_write };
static const struct io_ops port_ops = { port_read, port_write };

/* ------------------------------------------------------------------ ports */

static bool ports_free(const struct vpci *p, const struct vpci_bar *b)
{
	if (b->address == 0 || b->address + b->size > 0x10000 ||
	    io_ports_taken(&p->guest->io, (uint16_t)b->address, (uint32_t)b->size))
		return false;
	for (uint32_t i = 0; i < VPCI_PORTS; i++) {
		if (p->ports[i].size &&
		    overlap(b->address, b->size, p->ports[i].base, p->ports[i].size))
			return false;
	}
	return true;
}

static void tell(struct vpci_device *d, const struct vpci_bar *b)
{
	if (d->told)
		return;
	d->told = true;
	log_info("guest %s: device %02x.0 has its BAR %u at %#llx, where nothing can be mapped",
		 d->guest->config->name, d->slot, index_of(d, b), (unsigned long long)b->address);
}

static void hide_ports(struct vpci *p, const struct vpci_bar *b)
{
	for (uint32_t i = 0; i < VPCI_PORTS; i++) {
		if (p->ports[i].size && p->ports[i].base == b->mapped_at)
			p->ports[i].size = 0;
	}
}

static void show_ports(struct vpci *p, struct vpci_device *d, struct vpci_bar *b)
{
	for (uint32_t i = 0; i < VPCI_PORTS; i++) {
		struct io_region *r = &p->ports[i];

		if (r->size)
			continue;
		*r = (struct io_region){ .base = b->address,
					 .size = (uint32_t)b->size,
					 .name = "pci",
					 .ops = &port_ops,
					 .dev = (void *)&d->host->bars[index_of(d, b)] };
		b->mapped = true;
		b->mapped_at = b->address;
		return;
	}
}

static void map_ports(struct vpci *p)
{
	struct vpci_device *d;
	struct vpci_bar *b;

	for_each_bar(p, d, b)
	{
		if (is_io(b) && b->mapped &&
		    (!vpci_decodes(d, index_of(d, b)) || b->address != b->mapped_at)) {
			hide_ports(p, b);
			b->mapped = false;
		}
	}
	for_each_bar(p, d, b)
	{
		if (!is_io(b) || b->mapped || !vpci_decodes(d, index_of(d, b)))
			continue;
		if (ports_free(p, b))
			show_ports(p, d, b);
		if (!b->mapped)
			tell(d, b);
	}
}

/* ------------------------------------------------------------------ the parts of a BAR */

struct part {
	uint64_t from, to; /* offsets into the BAR; empty if equal */
	bool trapped;
};

static void split(const struct vpci_device *d, const struct vpci_bar *b, struct part part[3])
{
	uint64_t start, end;

	if (!vpci_msix_pages(&d->irqs, (uint8_t)index_of(d, b), &start, &end))
		start = end = b->size;
	start = min_u64(start, b->size);
	end = min_u64(end, b->size);
	part[0] = (struct part){ 0, start, false };
	part[1] = (struct part){ start, end, true };
	part[2] = (struct part){ end, b->size, false };
}

static struct slot make_slot(const struct vpci_device *d, const struct vpci_bar *b,
			     const struct part *part)
{
	const struct pci_bar *bar = &d->host->bars[index_of(d, b)];
	struct slot s = {
		.base = gpa_to_gfn(GPA(b->address + part->from)),
		.npages = ALIGN_UP(part->to - part->from, PAGE_SIZE) >> PAGE_SHIFT,
		.type = MEM_UC,
	};

	if (part->trapped) {
		s.kind = SLOT_EMULATED;
		s.handler = (uint16_t)(IO_DYNAMIC + VPCI_PAGES + (d - d->guest->vpci->devices));
	} else {
		s.kind = SLOT_DEVICE;
		s.pfn = hpa_to_pfn(HPA(bar->base + part->from));
		s.access = b == &d->bars[PCI_ROM] ? ACCESS_R : ACCESS_RW;
	}
	snprintf(s.name, sizeof(s.name), "pci-%02x.0-b%u%s", d->slot & 31u, index_of(d, b) & 7u,
		 part->trapped ? "-msix" : "");
	return s;
}

static bool has_room(const struct guest *g, const struct slot_txn *txn, uint64_t gpa, uint64_t size)
{
	unsigned width = min_u64(g->maxphyaddr, g->tdp.view[TDP_CPU].format->gpa_bits);
	const struct slot *next;

	if (gpa >= BIT(width) || size > BIT(width) - gpa)
		return false;
	next = slot_next(txn->draft, gpa_to_gfn(GPA(gpa)));
	return !next || next->base.v << PAGE_SHIFT >= gpa + size;
}

/* ------------------------------------------------------------------ BARs smaller than a page */

static uint64_t page_of(uint64_t gpa)
{
	return gpa & PAGE_MASK;
}

static struct slot page_slot(const struct vpci *p, const struct vpci_page *page)
{
	return (struct slot){ .base = gpa_to_gfn(GPA(page->gpa)),
			      .npages = 1,
			      .type = MEM_UC,
			      .kind = SLOT_EMULATED,
			      .handler = (uint16_t)(IO_DYNAMIC + (page - p->pages)),
			      .name = "pci-small" };
}

/* May the guest have the whole page? Not if it wants another BAR in it. */
static bool wants_direct(struct vpci *p, const struct vpci_device *owner, const struct vpci_bar *b)
{
	const struct vpci_bar *other;
	struct vpci_device *d;

	if (!b->own || !b->alone || b->address & ~PAGE_MASK || has_table(owner, b))
		return false;
	for_each_bar(p, d, other)
	{
		if (other != b && other->own && vpci_decodes(d, index_of(d, other)) &&
		    page_of(other->address) == b->address)
			return false;
	}
	return true;
}

/* The page that the BAR is to be in, made if need be. False: it cannot be there. */
static bool place_small(struct vpci *p, struct slot_txn *txn, const struct vpci_bar *b)
{
	struct vpci_page *page, *fresh = NULL;
	const struct vpci_bar *other;
	struct vpci_device *d;
	struct slot s;

	for_each_bar(p, d, other)
	{
		if (other->own && other->next &&
		    overlap(b->address, b->size, other->next_at, other->size))
			return false;
	}
	for (page = p->pages; page < p->pages + VPCI_PAGES; page++) {
		if (page->next && page->gpa == page_of(b->address))
			return true;
		if (!page->next && !page->used && !fresh)
			fresh = page;
	}
	if (!fresh || !has_room(p->guest, txn, page_of(b->address), PAGE_SIZE))
		return false;
	fresh->gpa = page_of(b->address);
	fresh->vpci = p;
	s = page_slot(p, fresh);
	fresh->next = slot_create(txn, &s) == OK;
	return fresh->next;
}

/* Pages that no BAR will be in. */
static void leave_pages(struct vpci *p, struct slot_txn *txn)
{
	const struct vpci_bar *b;
	struct vpci_device *d;

	for (struct vpci_page *page = p->pages; page < p->pages + VPCI_PAGES; page++) {
		page->next = false;
		for_each_bar(p, d, b) page->next |=
			page->used && b->own && b->next && page_of(b->next_at) == page->gpa;
		if (page->used && !page->next)
			(void)!slot_delete(txn, gpa_to_gfn(GPA(page->gpa)));
	}
}

/* ------------------------------------------------------------------ a new layout */

/* What stays, what goes and what could come. */
struct change {
	unsigned leave, enter;
};

static struct change plan(struct vpci *p)
{
	struct change c = { 0, 0 };
	struct vpci_device *d;
	struct vpci_bar *b;

	for_each_bar(p, d, b)
	{
		bool on = vpci_decodes(d, index_of(d, b));

		if (is_io(b))
			continue;
		b->next_at = b->address;
		b->next_direct = wants_direct(p, d, b);
		b->next = b->mapped && on && b->mapped_at == b->address &&
			  b->direct == b->next_direct;
		c.leave += b->mapped && !b->next;
		c.enter += on && !b->next;
	}
	return c;
}

/* An edit that is refused ends the transaction, which then says so. */
static void leave(struct vpci *p, struct slot_txn *txn)
{
	const struct vpci_bar *b;
	struct vpci_device *d;
	struct part part[3];

	for_each_bar(p, d, b)
	{
		if (is_io(b) || (b->own && !b->direct) || !b->mapped || b->next)
			continue;
		split(d, b, part);
		for (unsigned i = 0; i < ARRAY_SIZE(part); i++) {
			if (part[i].from < part[i].to)
				(void)!slot_delete(txn,
						   gpa_to_gfn(GPA(b->mapped_at + part[i].from)));
		}
	}
	leave_pages(p, txn);
}

static bool place_large(struct vpci *p, struct slot_txn *txn, const struct vpci_device *d,
			struct vpci_bar *b)
{
	struct part part[3];

	if (!has_room(p->guest, txn, b->address, b->size))
		return false;
	split(d, b, part);
	for (unsigned i = 0; i < ARRAY_SIZE(part); i++) {
		struct slot s = make_slot(d, b, &part[i]);

		if (s.npages && slot_create(txn, &s) != OK)
			return false;
	}
	return true;
}

static unsigned enter(struct vpci *p, struct slot_txn *txn)
{
	struct vpci_device *d;
	struct vpci_bar *b;
	unsigned count = 0;

	for_each_bar(p, d, b)
	{
		if (is_io(b) || b->next || !vpci_decodes(d, index_of(d, b)))
			continue;
		b->next = b->own && !b->next_direct ? place_small(p, txn, b)
						    : place_large(p, txn, d, b);
		if (!b->next)
			tell(d, b);
		count += b->next;
	}
	return count;
}

static void show_table(struct vpci *p, struct vpci_device *d)
{
	struct io_region *r = &p->mmio[VPCI_PAGES + (d - p->devices)];
	const struct vpci_bar *b = &d->bars[d->irqs.table_bar % PCI_BARS];
	uint64_t start, end;

	r->size = 0;
	if (!b->mapped || b->own || !vpci_msix_pages(&d->irqs, d->irqs.table_bar, &start, &end) ||
	    start >= b->size)
		return;
	*r = (struct io_region){ .base = b->mapped_at + start,
				 .size = (uint32_t)(min_u64(end, b->size) - start),
				 .name = "pci-msix",
				 .ops = &table_ops,
				 .dev = d };
}

/* The new layout is the guest's. */
static void publish(struct vpci *p)
{
	struct vpci_device *d;
	struct vpci_bar *b;

	for_each_bar(p, d, b)
	{
		if (is_io(b))
			continue;
		b->mapped = b->next;
		b->mapped_at = b->next_at;
		b->direct = b->next_direct;
	}
	for (unsigned i = 0; i < VPCI_PAGES; i++) {
		struct vpci_page *page = &p->pages[i];

		page->used = page->next;
		p->mmio[i] = (struct io_region){ .base = page->gpa,
						 .size = page->used ? PAGE_SIZE : 0,
						 .name = "pci-small",
						 .ops = &page_ops,
						 .dev = page };
	}
	for (d = p->devices; d < p->devices + p->count; d++)
		show_table(p, d);
}

static enum status try_map(struct vpci *p, bool only_leave)
{
	struct tdp *t = &p->guest->tdp;
	struct change c = plan(p);
	struct slot_txn txn;
	enum status s;

	if (!c.leave && (!c.enter || only_leave))
		return OK;
	s = tdp_begin(t, &txn, only_leave ? 0 : 3 * c.enter);
	if (s != OK)
		return s;
	leave(p, &txn);
	if (!only_leave && !enter(p, &txn) && !c.leave) {
		tdp_abort(t, &txn);
		return OK;
	}
	s = tdp_commit(t, &txn);
	if (s == OK)
		publish(p);
	return s;
}

/*
 * A core that waits for this guest's lock is out of the guest, so a commit does not wait for it.
 * What cannot be made leaves everything as it was, which is the guest's own; what it no longer
 * decodes, its device no longer answers.
 */
void vpci_map(struct vpci *p)
{
	enum status s = ERR_BUSY;

	map_ports(p);
	for (unsigned i = 0; s == ERR_BUSY && i < ATTEMPTS; i++)
		s = try_map(p, false);
	if (s == OK)
		return;
	log_warn("guest %s: BARs cannot be mapped%s", p->guest->config->name,
		 s == ERR_NOMEM ? ": out of memory for page tables; raise `tables` in its section"
				: "");
	s = ERR_BUSY;
	for (unsigned i = 0; s == ERR_BUSY && i < ATTEMPTS; i++)
		s = try_map(p, true);
}
