/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/hw.h"
#include "core/hyp_mem.h"
#include "core/vpci_irq_priv.h"
#include "log.h"

/* PCI Local Bus Specification 3.0, 6.8.2. */
#define MSIX_TABLE    4
#define MSIX_PENDING  8
#define MSIX_BIR      7u
#define MSIX_WRITABLE (MSIX_ENABLE | MSIX_MASK_ALL)
#define ENTRY_HIGH    4
#define ENTRY_DATA    8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED  1u

static uint32_t table_bytes(const struct vpci_irqs *q)
{
	return (uint32_t)q->table_entries * MSIX_ENTRY_BYTES;
}

static uint64_t bar_size(const struct vpci_irqs *q)
{
	return q->host->bars[q->table_bar].size;
}

static unsigned visible(const struct vpci_irqs *q)
{
	return (unsigned)min_u64(q->table_entries, q->count);
}

enum status vpci_msix_create(struct vpci_irqs *q)
{
	const struct pci_bdf d = q->host->bdf;
	uint64_t start, end;
	const struct pci_bar *bar;
	uint32_t where;
	uint8_t *pages;

	if (!q->host->msix)
		return OK;
	where = pci_read32(q->access, d, q->host->msix + MSIX_TABLE);
	q->table_entries = (vpci_irq_read16(q, q->host->msix + MSIX_CONTROL) & MSIX_SIZE) + 1;
	q->table_offset = where & ~MSIX_BIR;
	q->table_bar = where & MSIX_BIR;
	bar = q->table_bar < PCI_BARS ? &q->host->bars[q->table_bar] : NULL;
	if (!bar || bar->io || !bar->base || bar->size < table_bytes(q) ||
	    q->table_offset > bar->size - table_bytes(q)) {
		log_warn("PCI %02x:%02x.%u: its MSI-X table lies nowhere; no MSI-X", d.bus,
			 d.device, d.function);
		q->table_entries = 0;
		return OK;
	}
	start = ALIGN_DOWN(q->table_offset, PAGE_SIZE);
	end = min_u64(ALIGN_UP(q->table_offset + table_bytes(q), PAGE_SIZE), bar->size);
	pages = hyp_mem_map(HPA(bar->base + start), end - start, ACCESS_RW, MEM_UC);
	if (!pages)
		return ERR_NOMEM;
	q->table = (volatile uint32_t *)(pages + (q->table_offset - start));
	return OK;
}

bool vpci_msix_pages(const struct vpci_irqs *q, uint8_t bar, uint64_t *start, uint64_t *end)
{
	if (!q->table || bar != q->table_bar)
		return false;
	*start = ALIGN_DOWN(q->table_offset, PAGE_SIZE);
	*end = ALIGN_UP(q->table_offset + table_bytes(q), PAGE_SIZE);
	return true;
}

/* ------------------------------------------------------------------ the real registers */

static volatile void *entry(const struct vpci_irqs *q, unsigned index, unsigned offset)
{
	return (volatile uint8_t *)q->table + index * MSIX_ENTRY_BYTES + offset;
}

static void put(const struct vpci_irqs *q, unsigned index, unsigned offset, uint32_t value)
{
	hw_mmio_write(entry(q, index, offset), 4, value);
}

/* Returns when no message of the entry is under way any more: reads do not overtake them. */
static void mask(const struct vpci_irqs *q, unsigned index)
{
	put(q, index, ENTRY_CONTROL, ENTRY_MASKED);
	(void)hw_mmio_read(entry(q, index, ENTRY_CONTROL), 4);
}

static void write_real_control(const struct vpci_irqs *q, uint16_t bits)
{
	vpci_irq_write16(q, q->host->msix + MSIX_CONTROL, bits);
}

/*
 * The table answers only while the function decodes memory; whether the guest lets it does not
 * matter here, the BAR has its real address at all times. And some functions hide the table until
 * MSI-X is enabled, so it is, with everything masked. Returns the Command register's lower byte as it
 * was; the upper one is core/vpci_intx.c's.
 */
static uint8_t open_table(const struct vpci_irqs *q)
{
	uint8_t command = pci_read8(q->access, q->host->bdf, PCI_COMMAND);

	if (!(command & PCI_COMMAND_MEMORY))
		pci_write8(q->access, q->host->bdf, PCI_COMMAND,
			   command | (uint8_t)PCI_COMMAND_MEMORY);
	write_real_control(q, MSIX_ENABLE | MSIX_MASK_ALL);
	return command;
}

static void close_table(const struct vpci_irqs *q, uint8_t command, uint16_t control)
{
	write_real_control(q, control);
	(void)vpci_irq_read16(q, q->host->msix + MSIX_CONTROL);
	if (!(command & PCI_COMMAND_MEMORY))
		pci_write8(q->access, q->host->bdf, PCI_COMMAND, command);
}

/* ------------------------------------------------------------------ what the guest has */

/*
 * Make an entry do what the guest's says. The IOMMU comes first, and the message is only changed in
 * a masked entry, as the specification demands: with the IOMMU, it does not change at all.
 */
static void sync(struct vpci_irqs *q, unsigned index)
{
	struct vpci_vector *e = &q->vectors[index];
	struct iommu_irq irq;
	struct iommu_msi msi;
	bool ready, same;

	if (!q->started || !(q->msix_control & MSIX_ENABLE))
		return;
	ready = !e->masked && vpci_irq_decode(q, e->address, e->data, &irq) &&
		vpci_irq_set(q, index, &irq, &msi);
	same = ready && msi.address == e->sent.address && msi.data == e->sent.data;
	if (e->open && !same) {
		mask(q, index);
		e->open = false;
	}
	if (ready && !e->open) {
		put(q, index, 0, (uint32_t)msi.address);
		put(q, index, ENTRY_HIGH, (uint32_t)(msi.address >> 32));
		put(q, index, ENTRY_DATA, msi.data);
		put(q, index, ENTRY_CONTROL, 0);
		e->sent = msi;
		e->open = true;
	}
	/* Masking is no reason to flush the IOMMU: most often it does not last. */
	if (!ready && !e->masked)
		vpci_irq_block(q, index);
}

/* All entries that the device has, and those that the guest cannot see above all. */
static void mask_all(struct vpci_irqs *q)
{
	unsigned i;

	for (i = 0; i < q->table_entries; i++)
		put(q, i, ENTRY_CONTROL, ENTRY_MASKED);
	(void)hw_mmio_read(entry(q, 0, ENTRY_CONTROL), 4);
	for (i = 0; i < q->count; i++)
		q->vectors[i].open = false;
}

static void turn_on(struct vpci_irqs *q)
{
	uint8_t command = open_table(q);
	unsigned i;

	mask_all(q);
	for (i = 0; i < visible(q); i++)
		sync(q, i);
	close_table(q, command, q->msix_control);
}

static void turn_off(struct vpci_irqs *q)
{
	uint8_t command = open_table(q);

	mask_all(q);
	close_table(q, command, 0);
}

static void write_control(struct vpci_irqs *q, uint16_t value)
{
	uint16_t old = q->msix_control;
	unsigned i;

	if (q->msi_control & MSI_ENABLE)
		value &= (uint16_t)~MSIX_ENABLE;
	q->msix_control = value & MSIX_WRITABLE;
	if (!q->started || old == q->msix_control)
		return;
	if (!((old ^ q->msix_control) & MSIX_ENABLE)) {
		if (q->msix_control & MSIX_ENABLE)
			write_real_control(q, q->msix_control);
		return;
	}
	if (q->msix_control & MSIX_ENABLE) {
		turn_on(q);
	} else {
		turn_off(q);
		for (i = 0; i < q->count; i++)
			vpci_irq_block(q, i);
	}
	vpci_intx_update(q);
}

static uint32_t read_dword(const struct vpci_irqs *q, uint32_t at)
{
	if (at == 0)
		return (q->msix_control | (visible(q) - 1)) << 16;
	if (at == MSIX_TABLE || at == MSIX_PENDING)
		return pci_read32(q->access, q->host->bdf, q->host->msix + at);
	return 0;
}

uint32_t vpci_msix_read(struct vpci_irqs *q, uint32_t offset, uint8_t size)
{
	if (!q->table || !vpci_in_dword(offset, size))
		return ~0u;
	return vpci_merge(0, 0, size, read_dword(q, offset & ~3u) >> 8 * (offset & 3));
}

void vpci_msix_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value)
{
	if (!q->table || !vpci_in_dword(offset, size) || offset >= 4)
		return;
	write_control(q, (uint16_t)(vpci_merge(read_dword(q, 0), offset, size, value) >> 16));
}

/* ------------------------------------------------------------------ the trapped pages */

static bool in_table(const struct vpci_irqs *q, uint64_t offset)
{
	return offset - q->table_offset < table_bytes(q);
}

/* Within the pages, within the BAR, and what one access of a device's register can be. */
static bool legal(const struct vpci_irqs *q, uint64_t offset, uint8_t size)
{
	uint64_t start, end;

	if (!vpci_msix_pages(q, q->table_bar, &start, &end))
		return false;
	end = min_u64(end, bar_size(q));
	return offset >= start && offset < end && size <= end - offset && IS_ALIGNED(offset, size);
}

static volatile void *beside_table(const struct vpci_irqs *q, uint64_t offset)
{
	return (volatile uint8_t *)q->table + (int64_t)(offset - q->table_offset);
}

static uint32_t entry_read(const struct vpci_vector *e, unsigned offset)
{
	switch (offset) {
	case 0:
		return (uint32_t)e->address;
	case ENTRY_HIGH:
		return (uint32_t)(e->address >> 32);
	case ENTRY_DATA:
		return e->data;
	default:
		return e->masked ? ENTRY_MASKED : 0;
	}
}

static void entry_write(struct vpci_vector *e, unsigned offset, uint32_t value)
{
	switch (offset) {
	case 0:
		e->address = (e->address & ~0xffffffffull) | (value & ~3u);
		break;
	case ENTRY_HIGH:
		e->address = (uint32_t)e->address | (uint64_t)value << 32;
		break;
	case ENTRY_DATA:
		e->data = value;
		break;
	default:
		e->masked = value & ENTRY_MASKED;
		break;
	}
}

uint64_t vpci_msix_table_read(struct vpci_irqs *q, uint64_t offset, uint8_t size)
{
	uint64_t at = offset - q->table_offset, value;
	const struct vpci_vector *e;

	if (!legal(q, offset, size))
		return ~0ull;
	if (!in_table(q, offset))
		return hw_mmio_read(beside_table(q, offset), size);
	if (size < 4 || at / MSIX_ENTRY_BYTES >= visible(q))
		return ~0ull;
	e = &q->vectors[at / MSIX_ENTRY_BYTES];
	value = entry_read(e, at % MSIX_ENTRY_BYTES);
	if (size == 8)
		value |= (uint64_t)entry_read(e, at % MSIX_ENTRY_BYTES + 4) << 32;
	return value;
}

void vpci_msix_table_write(struct vpci_irqs *q, uint64_t offset, uint8_t size, uint64_t value)
{
	uint64_t at = offset - q->table_offset;
	struct vpci_vector *e;

	if (!legal(q, offset, size))
		return;
	if (!in_table(q, offset)) {
		hw_mmio_write(beside_table(q, offset), size, value);
		return;
	}
	if (size < 4 || at / MSIX_ENTRY_BYTES >= visible(q))
		return;
	e = &q->vectors[at / MSIX_ENTRY_BYTES];
	entry_write(e, at % MSIX_ENTRY_BYTES, (uint32_t)value);
	if (size == 8)
		entry_write(e, at % MSIX_ENTRY_BYTES + 4, (uint32_t)(value >> 32));
	sync(q, (unsigned)(at / MSIX_ENTRY_BYTES));
}

void vpci_msix_reset(struct vpci_irqs *q)
{
	q->msix_control = 0;
	if (q->table)
		turn_off(q);
}
