/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus: its two ways to configuration space, and its life from one run of the guest to the next. */
#include "core/vpci.h"

#include "core/passthrough.h"
#include "core/vpci_priv.h"
#include "core/vpm.h"
#include "log.h"
#include "panic.h"

/* PCI Local Bus Specification 3.0, 3.2.2.3.2. */
#define ADDRESS_PORT 0xcf8
#define DATA_PORT    0xcfc
#define ENABLE       BIT(31)

/* The host bridge: the identity that is set aside for generic ones of virtual machines. */
#define BRIDGE_ID    0x00081b36u
#define BRIDGE_CLASS 0x06000000u

#define SLOTS 32u

static struct vpci_device *find_device(struct vpci *p, uint8_t slot)
{
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->devices[i].slot == slot)
			return &p->devices[i];
	}
	return NULL;
}

static uint32_t bridge_read(uint32_t reg, uint8_t size)
{
	uint32_t v = 0;

	if ((reg & ~3u) == PCI_ID)
		v = BRIDGE_ID;
	else if ((reg & ~3u) == PCI_CLASS)
		v = BRIDGE_CLASS;
	return (v >> 8 * (reg & 3)) & (~0u >> (32 - 8 * size));
}

/* `where` as in the page of ECAM: device, function, register. */
static uint32_t read_aligned(struct vpci *p, uint32_t where, uint8_t size)
{
	struct vpci_device *d = find_device(p, where >> 15 & 31);
	uint32_t reg = where & 0xfff;

	if (where >> 12 == 0)
		return bridge_read(reg, size);
	if (!d || where & 0x7000)
		return ~0u >> (32 - 8 * size);
	return vpci_config_read(d, reg, size);
}

static void write_aligned(struct vpci *p, uint32_t where, uint8_t size, uint32_t value)
{
	struct vpci_device *d = find_device(p, where >> 15 & 31);

	if (d && !(where & 0x7000))
		vpci_config_write(d, where & 0xfff, size, value);
}

/* The largest access that is within a register of its own size. */
static uint8_t step(uint32_t where, uint32_t left)
{
	if (!(where & 3) && left >= 4)
		return 4;
	return !(where & 1) && left >= 2 ? 2 : 1;
}

static uint64_t config_read(struct vpci *p, uint32_t where, uint8_t size)
{
	uint64_t v = 0;
	uint32_t n;

	ASSERT(size <= sizeof(v));
	for (uint32_t i = 0; i < size; i += n) {
		n = step(where + i, size - i);
		v |= (uint64_t)read_aligned(p, where + i, (uint8_t)n) << 8 * i;
	}
	return v;
}

static void config_write(struct vpci *p, uint32_t where, uint8_t size, uint64_t value)
{
	uint32_t n;

	for (uint32_t i = 0; i < size; i += n) {
		n = step(where + i, size - i);
		write_aligned(p, where + i, (uint8_t)n, (uint32_t)(value >> 8 * i));
	}
}

static uint64_t ecam_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	return config_read(dev, offset, size);
}

static void ecam_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	config_write(dev, offset, size, value);
}

/* The register is written as a whole only; the reset register is one of its bytes. */
static uint64_t address_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	struct vpci *p = dev;

	(void)v;
	(void)offset;
	return size == 4 ? p->address : ~0ull;
}

static void address_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	struct vpci *p = dev;

	if (size == 4)
		p->address = (uint32_t)value;
	else if (size == 1 && ADDRESS_PORT + offset == VPM_RESET_PORT)
		vpm_reset_ops.write(v, p->guest, 0, 1, value);
}

static bool selected(const struct vpci *p, uint32_t *where)
{
	*where = (p->address & 0xff00) << 4 | (p->address & 0xfc);
	return p->address & ENABLE && !(p->address & 0xff0000);
}

static uint64_t data_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	uint32_t where;

	(void)v;
	return selected(dev, &where) ? config_read(dev, where + offset, size) : ~0ull;
}

static void data_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	uint32_t where;

	(void)v;
	if (selected(dev, &where))
		config_write(dev, where + offset, size, value);
}

static const struct io_ops ecam_ops = { ecam_read, ecam_write };
static const struct io_ops address_ops = { address_read, address_write };
static const struct io_ops data_ops = { data_read, data_write };

/* ------------------------------------------------------------------ making it */

/* The device number that the guest sees: the one that was asked for, or else the first free one. */
static enum status choose_slots(struct vpci *p, const uint8_t *wanted, uint32_t count)
{
	uint32_t taken = 1; /* the host bridge */

	for (uint32_t i = 0; i < count; i++) {
		if (wanted[i] >= SLOTS)
			return ERR_RANGE;
		if (wanted[i] && taken & 1u << wanted[i])
			return ERR_OVERLAP;
		taken |= 1u << wanted[i];
	}
	for (uint32_t i = 0; i < count; i++) {
		uint8_t slot = wanted[i];

		if (!slot) {
			while (taken & 1u << slot)
				slot++;
			taken |= 1u << slot;
		}
		p->devices[i].slot = slot;
	}
	return OK;
}

static enum status create_device(struct vpci_device *d, struct guest *g,
				 const struct pci_function *f)
{
	enum status s;

	d->guest = g;
	d->host = f;
	d->access = host_pci(f->bdf.segment);
	if (!d->access)
		return ERR_NOT_FOUND;
	s = vpci_bars_create(d);
	if (s == OK)
		s = vpci_irq_create(&d->irqs, g, f, d->access, d->slot);
	if (s == OK)
		vpci_caps_create(d);
	return s;
}

static enum status add_regions(struct vpci *p, struct io_map *m)
{
	enum status s =
		io_add_mmio(m, GPA(VPCI_ECAM_GPA), VPCI_ECAM_SIZE, "pci-ecam", &ecam_ops, p);

	/* Within the register of addresses lies the port of the reset register. */
	io_remove_ports(m, VPM_RESET_PORT);
	if (s == OK)
		s = io_add_ports(m, ADDRESS_PORT, 4, "pci-address", &address_ops, p);
	if (s == OK)
		s = io_add_ports(m, DATA_PORT, 4, "pci-data", &data_ops, p);
	m->dynamic = p->mmio;
	m->dynamic_count = ARRAY_SIZE(p->mmio);
	m->dynamic_ports = p->ports;
	m->dynamic_port_count = ARRAY_SIZE(p->ports);
	return s;
}

enum status vpci_create(struct guest *g, const struct pci_function *const *functions,
			const uint8_t *slots, uint32_t count)
{
	struct vpci *p;
	enum status s;

	if (count > VPCI_DEVICES)
		return ERR_RANGE;
	p = page_alloc(&g->budget, (sizeof(*p) + PAGE_SIZE - 1) / PAGE_SIZE);
	if (!p)
		return ERR_NOMEM;
	p->guest = g;
	p->count = count;
	s = choose_slots(p, slots, count);
	for (uint32_t i = 0; s == OK && i < count; i++)
		s = create_device(&p->devices[i], g, functions[i]);
	if (s == OK)
		s = add_regions(p, &g->io);
	if (s != OK)
		return s;
	vpci_bars_assign(p);
	g->vpci = p;
	return OK;
}

/* ------------------------------------------------------------------ runs */

void vpci_reset(struct guest *g)
{
	struct vpci *p = g->vpci;

	p->address = 0;
	p->resets = 0;
	for (uint32_t i = 0; i < p->count; i++) {
		struct vpci_device *d = &p->devices[i];

		d->life = VPCI_ALIVE;
		d->dma_allowed = false;
		d->told = false;
		vpci_config_reset(d);
		for (unsigned n = 0; n <= PCI_BARS; n++)
			d->bars[n].address = d->bars[n].initial;
		vpci_config_apply(d);
	}
}

void vpci_allow_dma(struct guest *g)
{
	for (uint32_t i = 0; i < g->vpci->count; i++) {
		struct vpci_device *d = &g->vpci->devices[i];

		/* Without an IOMMU it would reach whatever it likes (iommu=unsafe). */
		d->dma_allowed = iommu_covers(d->host->requester);
	}
}

void vpci_stop(struct guest *g)
{
	struct vpci *p = g->vpci;

	for (uint32_t i = 0; i < p->count; i++)
		p->devices[i].dma_allowed = false;
	for (uint32_t i = 0; i < p->count; i++) {
		p->devices[i].command = 0;
		vpci_config_apply(&p->devices[i]);
	}
}

/* The device was silenced when the reset was asked for. */
static enum vpci_life reset_device(const struct vpci_device *d)
{
	char at[PCI_BDF_TEXT];

	if (pci_function_reset(pci_tree, d->host, d->access) == OK)
		return VPCI_ALIVE;
	pci_bdf_text(d->host->bdf, at);
	log_error("guest %s: device %s does not come back from the reset that the guest wanted",
		  d->guest->config->name, at);
	return VPCI_DEAD;
}

void vpci_do_resets(struct guest *g)
{
	struct vpci *p = g->vpci;

	spin_lock(&g->lock);
	for (uint32_t i = 0; i < p->count; i++) {
		struct vpci_device *d = &p->devices[i];
		enum vpci_life life;

		if (d->life != VPCI_RESET_ASKED)
			continue;
		d->life = VPCI_RESETTING;
		__atomic_fetch_sub(&p->resets, 1, __ATOMIC_RELAXED);
		spin_unlock(&g->lock);
		life = reset_device(d);
		spin_lock(&g->lock);
		d->life = life;
		vpci_irq_reset(&d->irqs);
		vpci_config_reset(d);
		vpci_config_apply(d);
	}
	spin_unlock(&g->lock);
}
