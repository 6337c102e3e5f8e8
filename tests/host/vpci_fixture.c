// SPDX-License-Identifier: BSD-2-Clause
#include "vpci_fixture.h"

#include <stdio.h>

#include "core/hw.h"
#include "core/hyp_mem.h"
#include "core/init.h"
#include "core/passthrough.h"
#include "core/vpm.h"
#include "log.h"

#define DISK_BAR    0xd0000000ull
#define DISK_ROM    0xd0100000ull
#define VIRTIO_BAR1 0xd0200000ull
#define VIRTIO_BAR4 0x900000000ull
#define DISPLAY_BAR 0xa00000000ull
#define SMALL_0     0xd0300100ull
#define SMALL_1     0xd0300800ull

struct fake fake[FAKES];
struct guest guest;
struct vpci *bus;
uint32_t port_value;
uint16_t port_number;
uint8_t small[2][PAGE_SIZE];
bool reset_fails;
void (*meanwhile)(void);
unsigned logged, guest_resets, uncovered;

static struct guest_config config = { .name = "guest" };
static struct boot_guest boot = { .memory_size = RAM_SIZE };
static struct boot_info info;
static struct pci_tree tree;
static struct pci_access access;
static struct spte_format format;

const struct boot_info *boot_info = &info;
struct iommu_info iommu_info;
struct acpi_platform fixture_platform;

const struct acpi_platform *acpi_platform(void)
{
	return &fixture_platform;
}
struct pci_tree *pci_tree = &tree;
struct page_budget hyp_budget;

/* ------------------------------------------------------------------ devices */

static void put(struct fake *k, uint32_t reg, uint8_t size, uint32_t value)
{
	memcpy(&k->config[reg], &value, size);
}

static uint32_t get(const struct fake *k, uint32_t reg, uint8_t size)
{
	uint32_t v = 0;

	memcpy(&v, &k->config[reg], size);
	return v;
}

uint32_t real(unsigned which, uint32_t reg, uint8_t size)
{
	return get(&fake[which], reg, size);
}

static struct fake *at(struct pci_bdf d)
{
	assert_int_equal(d.bus, 5);
	assert_true(d.device < FAKES);
	return &fake[d.device];
}

static uint32_t fake_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			  unsigned width)
{
	assert_ptr_equal(a, &access);
	assert_int_equal(reg % width, 0);
	assert_true(reg + width <= 4096);
	return get(at(d), reg, (uint8_t)width);
}

/* The guest's and core/passthrough.c's wishes, as the bus has them, decide what may be on. */
static void check_command(const struct fake *k, uint32_t was, uint32_t value)
{
	const struct vpci_device *d = &bus->devices[k - fake];

	assert_int_equal(value & ~7u, was & ~7u);
	if (value & 4)
		assert_true(d->dma_allowed && d->command & 4 && d->life == VPCI_ALIVE);
	/* What the guest can still reach is still decoded. */
	for (unsigned n = 0; !(value & 2) && n <= PCI_BARS; n++)
		assert_true(!d->bars[n].mapped || d->bars[n].flags & 1);
}

static void fake_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
		       uint32_t value)
{
	struct fake *k = at(d);
	uint32_t was = get(k, reg, (uint8_t)width);

	assert_ptr_equal(a, &access);
	if (reg == 4 && width == 1) {
		check_command(k, was, value);
	} else if (reg == 5 && width == 1) {
		/* The upper byte has INTx, and SERR#, which goes. */
		assert_int_equal(value, was & ~1u);
	} else if (reg == 7 && width == 1) {
		assert_int_equal(value & 6, 0);
		k->status_clears++;
		value = was & ~value;
	} else if (reg == 0x30 && width == 4) {
		/* Nothing but the bit that switches it on, and only in memory decoding. */
		assert_int_equal(value & ~1u, was & ~1u);
	} else if (k->f.pcie && reg == k->f.pcie + 8u && width == 2) {
		assert_int_equal((value ^ was) & ~0x781fu, 0);
		assert_int_equal(value & 0x880f, 0);
	} else if (k->f.pcie && reg == k->f.pcie + 10u && width == 2) {
		assert_int_equal(value & ~0xfu, 0);
		value = was & ~value;
	} else if (reg != 0xc || width != 1) {
		fail_msg("register %#x, %u bytes: %#x written", reg, width, value);
	}
	put(k, reg, (uint8_t)width, value);
}

const struct pci_access *host_pci(uint16_t segment)
{
	assert_int_equal(segment, 0);
	return &access;
}

static void bar(struct fake *k, unsigned n, uint64_t base, uint64_t size, uint8_t flags)
{
	k->f.bars[n] = (struct pci_bar){
		.io = flags == 1, .prefetchable = (flags & 9) == 8, .base = base, .size = size
	};
	put(k, n == PCI_ROM ? 0x30 : 0x10 + 4 * n, 4, (uint32_t)base | flags);
	if (flags & 4)
		put(k, 0x14 + 4 * n, 4, (uint32_t)(base >> 32));
}

static void cap(struct fake *k, uint8_t reg, uint8_t id, uint8_t next)
{
	put(k, reg, 1, id);
	put(k, reg + 1, 1, next);
}

static void start_fake(unsigned which, uint16_t vendor, uint16_t device, uint32_t class,
		       enum pci_reset reset)
{
	struct fake *k = &fake[which];

	memset(k, 0, sizeof(*k));
	/* Whatever is not set below would be seen if it were passed through. */
	memset(k->config + 0x40, 0xe5, sizeof(k->config) - 0x40);
	k->f = (struct pci_function){ .bdf = { 0, 5, (uint8_t)which, 0 },
				      .requester = { 0, 5, (uint8_t)which, 0 },
				      .vendor = vendor,
				      .device = device,
				      .class = class,
				      .revision = 7,
				      .reset = reset };
	put(k, 0, 4, vendor | (uint32_t)device << 16);
	put(k, 4, 4, 0xf9100147); /* all of the firmware's; errors */
	put(k, 8, 4, class << 8 | 7);
	put(k, 0xc, 4, 0x80004010);
	put(k, 0x28, 4, 0x5555);
	put(k, 0x2c, 4, 0x12345678);
	put(k, 0x34, 1, 0x40);
	put(k, 0x3c, 4, 0x0102000b);
}

static void start_disk(void)
{
	struct fake *k = &fake[DISK];

	start_fake(DISK, 0x1b36, 0x10, 0x010802, PCI_RESET_FLR);
	bar(k, 0, DISK_BAR, 0x8000, 4);
	bar(k, 2, PORTS_BASE, 0x20, 1);
	bar(k, PCI_ROM, DISK_ROM, 0x10000, 0);
	cap(k, CAP_PM, 1, CAP_MSI);
	put(k, CAP_PM + 2, 2, 0xffff);
	put(k, CAP_PM + 4, 4, 0xffff8108);
	cap(k, CAP_MSI, 5, CAP_MSIX);
	cap(k, CAP_MSIX, 0x11, CAP_PCIE);
	cap(k, CAP_PCIE, 0x10, CAP_VENDOR);
	put(k, CAP_PCIE + 2, 2, 0x0102);
	put(k, CAP_PCIE + 4, 4, 0x10008fe3);
	put(k, CAP_PCIE + 8, 4, 0x000f291f);
	cap(k, CAP_VENDOR, 9, 0);
	put(k, CAP_VENDOR + 2, 2, 0x10);
	k->f.pm = CAP_PM;
	k->f.msi = CAP_MSI;
	k->f.msix = CAP_MSIX;
	k->f.pcie = CAP_PCIE;
	/* Error reporting, the serial number, and the end. */
	put(k, 0x100, 4, 0x15010001);
	put(k, 0x150, 4, 0x00010003);
	put(k, 0x154, 4, 0x11223344);
	put(k, 0x158, 4, 0x55667788);
}

static void start_virtio(void)
{
	struct fake *k = &fake[VIRTIO];

	start_fake(VIRTIO, 0x1af4, 0x1042, 0x010000, PCI_RESET_NONE);
	bar(k, 1, VIRTIO_BAR1, 0x1000, 0);
	bar(k, 4, VIRTIO_BAR4, 0x4000, 12);
	put(k, 0x34, 1, 0x98);
	cap(k, 0x98, 0x11, 0x84);
	cap(k, 0x84, 9, CAP_MSIX);
	put(k, 0x86, 2, 0x0514); /* the window to the BARs */
	cap(k, CAP_MSIX, 9, 0x40);
	put(k, CAP_MSIX + 2, 2, 0x0214);
	cap(k, 0x40, 9, 0x40); /* and a list without an end */
	put(k, 0x42, 2, 0x0110);
	k->f.msix = 0x98;
}

static void start_display(void)
{
	struct fake *k = &fake[DISPLAY];

	start_fake(DISPLAY, 0x10de, 0x1234, 0x030000, PCI_RESET_AF_FLR);
	bar(k, 0, SMALL_0, 0x100, 0);
	bar(k, 1, SMALL_1, 0x800, 0);
	bar(k, 2, DISPLAY_BAR, 256ull << 20, 12);
	cap(k, CAP_PM, 1, CAP_VPD);
	cap(k, CAP_VPD, 3, CAP_AF);
	cap(k, CAP_AF, 0x13, 0);
	put(k, CAP_AF + 2, 4, 0x01000306);
	k->f.pm = CAP_PM;
	k->f.af = CAP_AF;
	k->f.pin = 2;
}

/* ------------------------------------------------------------------ the rest of the hypervisor */

void *hyp_mem_map(hpa_t hpa, uint64_t size, unsigned rights, enum mem_type type)
{
	assert_int_equal(rights, ACCESS_RW);
	assert_int_equal(type, MEM_UC);
	assert_true(size < PAGE_SIZE);
	assert_int_equal(hpa.v, fake[DISPLAY].f.bars[size == 0x800].base);
	return small[size == 0x800];
}

uint64_t hw_mmio_read(const volatile void *where, uint8_t size)
{
	uint64_t v = 0;

	memcpy(&v, (const void *)(uintptr_t)where, size);
	return v;
}

void hw_mmio_write(volatile void *where, uint8_t size, uint64_t value)
{
	memcpy((void *)(uintptr_t)where, &value, size);
}

uint32_t hw_in(uint16_t port, uint8_t size)
{
	assert_in_range(port, PORTS_BASE, PORTS_BASE + 0x20 - size);
	port_number = port;
	return port_value;
}

void hw_out(uint16_t port, uint8_t size, uint32_t value)
{
	assert_in_range(port, PORTS_BASE, PORTS_BASE + 0x20 - size);
	port_number = port;
	port_value = value;
}

bool iommu_covers(struct pci_bdf d)
{
	return d.device != uncovered;
}

enum status pci_function_reset(const struct pci_tree *t, const struct pci_function *f,
			       const struct pci_access *a)
{
	struct fake *k = &fake[f->bdf.device];
	struct vpci_device *d = &bus->devices[f->bdf.device];

	assert_ptr_equal(t, &tree);
	assert_ptr_equal(a, &access);
	assert_int_equal(get(k, 4, 2) & 7, 0);
	/* Other cores get on meanwhile, and see all ones. */
	assert_true(guest.lock.next == guest.lock.owner);
	assert_int_equal(ecam_get(d->slot, 0, 4), ~0u);
	ecam_set(d->slot, 4, 2, 7);
	ecam_set(d->slot, 0x10, 4, 0xd8000000);
	assert_int_equal(get(k, 4, 2) & 7, 0);
	k->resets++;
	if (f->pcie)
		put(k, f->pcie + 8u, 2, 0x2810);
	return reset_fails ? ERR_TIMEOUT : OK;
}

static void reset_machine(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	assert_ptr_equal(dev, &guest);
	assert_int_equal(offset, 0);
	assert_int_equal(size, 1);
	guest_resets += value == 6;
}

const struct io_ops vpm_reset_ops = { .write = reset_machine };

void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[200];
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	logged++;
}

/* ------------------------------------------------------------------ interrupts */

static struct fake *of(const struct vpci_irqs *q)
{
	return &fake[q->host->bdf.device];
}

enum status vpci_irq_create(struct vpci_irqs *q, struct guest *g, const struct pci_function *host,
			    const struct pci_access *a, uint8_t slot)
{
	static uint32_t table[1];

	assert_ptr_equal(g, &guest);
	*q = (struct vpci_irqs){ .guest = g, .host = host, .access = a, .msi = host->msi };
	if (host->msix) {
		q->table = table;
		q->table_bar = host->bdf.device == DISK ? 0 : 1;
		q->table_offset = host->bdf.device == DISK ? 0x3000 : 0;
	}
	if (host->pin)
		q->intx_line = vpci_intx_line(slot, host->pin);
	return OK;
}

void vpci_irq_reset(struct vpci_irqs *q)
{
	of(q)->irq_resets++;
}

uint32_t vpci_msi_size(const struct vpci_irqs *q)
{
	(void)q;
	return 14;
}

uint32_t vpci_msi_read(struct vpci_irqs *q, uint32_t offset, uint8_t size)
{
	(void)q;
	return (offset | 0xa1b2c300u) & (~0u >> (32 - 8 * size));
}

static void irq_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value)
{
	assert_in_range(offset, 2, 15);
	assert_true((offset & 3) + size <= 4);
	of(q)->irq_offset = offset;
	of(q)->irq_value = value;
	of(q)->irq_writes++;
}

void vpci_msi_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value)
{
	irq_write(q, offset, size, value);
}

uint32_t vpci_msix_read(struct vpci_irqs *q, uint32_t offset, uint8_t size)
{
	return vpci_msi_read(q, offset, size);
}

void vpci_msix_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value)
{
	irq_write(q, offset, size, value);
}

bool vpci_msix_pages(const struct vpci_irqs *q, uint8_t n, uint64_t *start, uint64_t *end)
{
	void (*now)(void) = meanwhile;

	meanwhile = NULL;
	if (now)
		now();
	if (!q->table || q->table_bar != n)
		return false;
	*start = q->table_offset;
	*end = q->table_offset + PAGE_SIZE;
	return true;
}

uint64_t vpci_msix_table_read(struct vpci_irqs *q, uint64_t offset, uint8_t size)
{
	(void)size;
	of(q)->table_reads++;
	of(q)->table_offset = offset;
	return 0x7ab1e;
}

void vpci_msix_table_write(struct vpci_irqs *q, uint64_t offset, uint8_t size, uint64_t value)
{
	(void)size;
	of(q)->table_writes++;
	of(q)->table_offset = offset;
	of(q)->table_value = value;
}

void vpci_intx_command(struct vpci_irqs *q, uint16_t command)
{
	/* In a reset, INTx is off whatever the register says. */
	if (command != PCI_COMMAND_NO_INTX)
		assert_int_equal(command, bus->devices[q->host->bdf.device].command);
	of(q)->intx_commands++;
}

/* ------------------------------------------------------------------ the guest */

static void add_slot(struct slot_txn *txn, uint64_t gpa, uint64_t size, enum slot_kind kind,
		     unsigned handler)
{
	struct slot s = { .base = gpa_to_gfn(GPA(gpa)),
			  .npages = size >> PAGE_SHIFT,
			  .kind = (uint8_t)kind,
			  .handler = (uint16_t)handler,
			  .name = "fixed" };

	if (kind != SLOT_EMULATED) {
		s.pfn = PFN(0x1000 + s.base.v % 0x1000);
		s.access = kind == SLOT_RAM ? ACCESS_RWX : ACCESS_R;
	}
	s.type = kind == SLOT_RAM ? MEM_WB : MEM_UC;
	assert_int_equal(slot_create(txn, &s), OK);
}

static void make_slots(void)
{
	struct slot_txn txn;

	assert_int_equal(tdp_begin(&guest.tdp, &txn, 4), OK);
	add_slot(&txn, 0, RAM_SIZE, SLOT_RAM, 0);
	add_slot(&txn, 0xfee00000, PAGE_SIZE, SLOT_DEVICE, 0);
	for (unsigned i = 0; i < guest.io.mmio_count; i++)
		add_slot(&txn, guest.io.mmio[i].base, ALIGN_UP(guest.io.mmio[i].size, PAGE_SIZE),
			 SLOT_EMULATED, i);
	assert_int_equal(tdp_commit(&guest.tdp, &txn), OK);
}

void fixture_tree(void)
{
	tree.count = FAKES;
	for (unsigned i = 0; i < FAKES; i++)
		tree.f[i] = fake[i].f;
}

enum status fixture_create(const uint8_t *slots)
{
	const struct pci_function *functions[FAKES];
	enum status s;

	for (unsigned i = 0; i < FAKES; i++)
		functions[i] = &tree.f[i];
	s = vpci_create(&guest, functions, slots, FAKES);
	bus = guest.vpci;
	return s;
}

void fixture_prepare(void)
{
	const struct ept_caps caps = { .maxphyaddr = 40,
				       .exec_only = true,
				       .walk_4 = true,
				       .wb = true,
				       .page_2m = true,
				       .page_1g = true,
				       .ad = true };
	static const struct io_ops ops;

	test_pool(4096);
	fail_after = -1;
	logged = guest_resets = 0;
	uncovered = FAKES;
	reset_fails = false;
	memset(&guest, 0, sizeof(guest));
	memset(&fixture_platform, 0, sizeof(fixture_platform));
	memset(&iommu_info, 0, sizeof(iommu_info));
	memset(&info, 0, sizeof(info));
	memset(small, 0, sizeof(small));
	guest.config = &config;
	guest.boot = &boot;
	guest.maxphyaddr = 40;
	access = (struct pci_access){ .read = fake_read, .write = fake_write, .extended = true };
	start_disk();
	start_virtio();
	start_display();
	fixture_tree();
	assert_int_equal(spte_format_ept(&format, &caps), OK);
	assert_int_equal(page_budget_init(&guest.budget, "guest", 1024), OK);
	assert_int_equal(tdp_init(&guest.tdp, &format, &guest.budget, &machine), OK);
	assert_int_equal(io_add_ports(&guest.io, VPM_RESET_PORT, 1, "reset", &ops, NULL), OK);
	assert_int_equal(io_add_ports(&guest.io, 0x3f8, 8, "uart", &ops, NULL), OK);
	assert_int_equal(io_add_mmio(&guest.io, GPA(0xfec00000), 0x400, "ioapic", &ops, NULL), OK);
}

void fixture_start(void)
{
	fixture_prepare();
	fixture_run();
}

void fixture_run(void)
{
	const uint8_t slots[FAKES] = { DISK_SLOT, 0, 0 };

	assert_int_equal(fixture_create(slots), OK);
	make_slots();
	vpci_reset(&guest);
	vpci_allow_dma(&guest);
}

/* ------------------------------------------------------------------ accesses */

uint64_t ecam_get(unsigned slot, uint32_t reg, uint8_t size)
{
	const struct io_region *r = io_find_mmio(&guest.io, GPA(VPCI_ECAM_GPA), 1);

	return r->ops->read(NULL, r->dev, (slot << 15) + reg, size) & (~0ull >> (64 - 8 * size));
}

void ecam_set(unsigned slot, uint32_t reg, uint8_t size, uint64_t value)
{
	const struct io_region *r = io_find_mmio(&guest.io, GPA(VPCI_ECAM_GPA), 1);

	r->ops->write(NULL, r->dev, (slot << 15) + reg, size, value);
}

bool io_get(uint16_t port, uint8_t size, uint32_t *value)
{
	const struct io_region *r = io_find_port(&guest.io, port, size);

	if (r)
		*value = (uint32_t)(r->ops->read(NULL, r->dev, (uint32_t)(port - r->base), size) &
				    (~0u >> (32 - 8 * size)));
	return r;
}

bool io_set(uint16_t port, uint8_t size, uint32_t value)
{
	const struct io_region *r = io_find_port(&guest.io, port, size);

	if (r)
		r->ops->write(NULL, r->dev, (uint32_t)(port - r->base), size, value);
	return r;
}

uint32_t port_get(unsigned slot, uint32_t reg, uint8_t size)
{
	uint32_t v = 0;

	assert_true(io_set(0xcf8, 4, 0x80000000u | slot << 11 | (reg & 0xfc)));
	assert_true(io_get((uint16_t)(0xcfc + (reg & 3)), size, &v));
	return v;
}

void port_set(unsigned slot, uint32_t reg, uint8_t size, uint32_t value)
{
	assert_true(io_set(0xcf8, 4, 0x80000000u | slot << 11 | (reg & 0xfc)));
	assert_true(io_set((uint16_t)(0xcfc + (reg & 3)), size, value));
}

const struct slot *slot_at(uint64_t gpa)
{
	return slot_find(guest.tdp.slots, gpa_to_gfn(GPA(gpa)));
}

static const struct io_region *trap_at(uint64_t gpa, uint8_t size)
{
	const struct slot *s = slot_at(gpa);
	const struct io_region *r;

	if (!s || s->kind != SLOT_EMULATED)
		return NULL;
	r = io_handler(&guest.io, s->handler);
	assert_non_null(r);
	assert_true(gpa >= r->base && gpa + size <= r->base + r->size);
	return r;
}

bool trap_get(uint64_t gpa, uint8_t size, uint64_t *value)
{
	const struct io_region *r = trap_at(gpa, size);

	if (r)
		*value = r->ops->read(NULL, r->dev, (uint32_t)(gpa - r->base), size) &
			 (~0ull >> (64 - 8 * size));
	return r;
}

bool trap_set(uint64_t gpa, uint8_t size, uint64_t value)
{
	const struct io_region *r = trap_at(gpa, size);

	if (r)
		r->ops->write(NULL, r->dev, (uint32_t)(gpa - r->base), size, value);
	return r;
}

/* ------------------------------------------------------------------ what must hold at all times */

/* Whose registers these are, by the real devices alone. */
static const struct vpci_device *owner_of(uint64_t hpa, uint64_t size, unsigned *n)
{
	for (unsigned i = 0; i < FAKES; i++) {
		for (*n = 0; *n <= PCI_BARS; (*n)++) {
			const struct pci_bar *b = &fake[i].f.bars[*n];

			if (!b->io && hpa >= b->base &&
			    hpa + size <= b->base + ALIGN_UP(b->size, PAGE_SIZE))
				return &bus->devices[i];
		}
	}
	return NULL;
}

static void check_direct(const struct slot *s)
{
	uint64_t gpa = s->base.v << PAGE_SHIFT, hpa = s->pfn.v << PAGE_SHIFT;
	uint64_t size = s->npages << PAGE_SHIFT, table;
	unsigned n;
	const struct vpci_device *d = owner_of(hpa, size, &n);

	assert_non_null(d);
	assert_true(d->command & 2);
	assert_int_equal(d->life, VPCI_ALIVE);
	assert_int_equal(gpa - d->bars[n].address, hpa - d->host->bars[n].base);
	assert_int_equal(s->access, n == PCI_ROM ? ACCESS_R : ACCESS_RW);
	assert_int_equal(s->type, MEM_UC);
	assert_true(get(&fake[d->host->bdf.device], 4, 2) & 2);
	if (n == PCI_ROM)
		assert_true(d->bars[n].enabled && get(&fake[d->host->bdf.device], 0x30, 4) & 1);
	/* Of a page that is not all its own, nothing else is anybody's. */
	if (fake[d->host->bdf.device].f.bars[n].size < PAGE_SIZE)
		assert_int_equal(hpa & ~PAGE_MASK, 0);
	/* Nobody but Lamina writes the table. */
	if (d->irqs.table && d->irqs.table_bar == n) {
		table = d->host->bars[n].base + d->irqs.table_offset;
		assert_true(hpa >= table + PAGE_SIZE || hpa + size <= table);
	}
}

/* A BAR that is decoded and not mapped is in the way of something, or beyond everything. */
static void check_hidden(const struct vpci_bar *b)
{
	uint64_t from = b->address >> PAGE_SHIFT, to = (b->address + b->size - 1) >> PAGE_SHIFT;
	const struct slot *next;

	if (b->address + b->size > BIT(40) || b->address + b->size < b->address)
		return;
	next = slot_next(guest.tdp.slots, GFN(from));
	assert_non_null(next);
	assert_true(next->base.v <= to);
}

void check_layout(void)
{
	const struct slot_set *set = guest.tdp.slots;
	unsigned fixed = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		const struct slot *s = &set->slot[i];
		const struct io_region *r;

		if (!strcmp(s->name, "fixed")) {
			fixed++;
			continue;
		}
		assert_memory_equal(s->name, "pci-", 4);
		if (s->kind == SLOT_DEVICE) {
			check_direct(s);
			continue;
		}
		assert_int_equal(s->kind, SLOT_EMULATED);
		r = io_handler(&guest.io, s->handler);
		assert_non_null(r);
		assert_int_equal(r->base, s->base.v << PAGE_SHIFT);
		assert_int_equal(r->size, s->npages << PAGE_SHIFT);
	}
	assert_int_equal(fixed, 4);
	for (unsigned i = 0; i < FAKES; i++) {
		const struct vpci_device *d = &bus->devices[i];

		for (unsigned n = 0; n <= PCI_BARS; n++) {
			const struct vpci_bar *b = &d->bars[n];
			bool io = b->flags & 1;
			bool on = b->size && b->enabled && d->life == VPCI_ALIVE &&
				  d->command & (io ? 1 : 2);

			if (b->mapped) {
				assert_true(on);
				assert_int_equal(b->mapped_at, b->address);
			} else if (on && !io) {
				check_hidden(b);
			}
		}
	}
}
