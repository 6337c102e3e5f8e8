// SPDX-License-Identifier: BSD-2-Clause
#include "vpci_irq_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/host_console.h"
#include "core/hw.h"
#include "core/hyp_mem.h"

struct fx fx;
struct iommu_info iommu_info;

/* ------------------------------------------------------------------ what the function can send */

static uint32_t get(const uint8_t *p, unsigned width)
{
	uint32_t v = 0;

	memcpy(&v, p, width);
	return v;
}

uint16_t fx_config16(uint32_t reg)
{
	return (uint16_t)get(&fx.config[reg], 2);
}

uint32_t fx_config32(uint32_t reg)
{
	return get(&fx.config[reg], 4);
}

uint32_t fx_memory32(uint32_t offset)
{
	return get(&fx.memory[offset], 4);
}

static uint16_t msi_control(void)
{
	return fx.f.msi ? fx_config16(FX_MSI + 2) : 0;
}

static uint16_t msix_control(void)
{
	return fx.f.msix ? fx_config16(FX_MSIX + 2) : 0;
}

static uint32_t table(void)
{
	return fx_config32(FX_MSIX + 4) & ~7u;
}

static unsigned entries(void)
{
	return fx.f.msix ? (msix_control() & 0x7ffu) + 1 : 0;
}

/* The message the function would send; false: none. */
static bool message(unsigned i, uint64_t *address, uint32_t *data)
{
	if (msix_control() & 0x8000) {
		uint32_t at = table() + 16 * i;

		if (i >= entries() || (msix_control() & 0x4000) || fx_memory32(at + 12) & 1)
			return false;
		*address = fx_memory32(at) | (uint64_t)fx_memory32(at + 4) << 32;
		*data = fx_memory32(at + 8);
		return true;
	}
	if (msi_control() & 1) {
		bool wide = msi_control() & 0x80;
		unsigned messages = 1u << (msi_control() >> 4 & 7);
		uint32_t data_at = FX_MSI + (wide ? 12 : 8);

		if (i >= messages)
			return false;
		if ((msi_control() & 0x100) && fx_config32(data_at + 4) >> i & 1)
			return false;
		*address = fx_config32(FX_MSI + 4);
		if (wide)
			*address |= (uint64_t)fx_config32(FX_MSI + 8) << 32;
		*data = (fx_config16(data_at) & ~(messages - 1)) | i;
		return true;
	}
	return false;
}

static bool is_own_core(uint32_t apic_id)
{
	unsigned i;

	for (i = 0; i < mock.guest.vcpu_count; i++)
		if (mock.vcpus[i].apic_id == apic_id)
			return true;
	return false;
}

bool fx_can_send(unsigned i, uint32_t *apic_id, uint8_t *vector)
{
	uint64_t address;
	uint32_t data, index;

	if (!message(i, &address, &data))
		return false;
	if (!iommu_info.irq_remap) {
		assert_int_equal(address & ~0xff000ull, 0xfee00000);
		*apic_id = (uint32_t)(address >> 12 & 0xff);
		*vector = (uint8_t)data;
		assert_int_equal(data & ~0xffu, 0);
		return true;
	}
	if (fx.vtd_style) {
		assert_int_equal(address & 0xfffffffffff00010, 0xfee00010);
		index = (uint32_t)(address >> 5 & 0x7fff) + data;
	} else {
		assert_int_equal(address & ~0x1000ull, 0xfee00000);
		index = data;
	}
	assert_true(index < FX_IRQS);
	assert_int_equal(index, FX_FIRST + i);
	assert_true(fx.irq[index].allocated);
	assert_true(fx.irq[index].valid);
	*apic_id = fx.irq[index].apic_id;
	*vector = fx.irq[index].vector;
	return true;
}

/* At every moment: what can be sent is a legal interrupt for one of the guest's cores. */
static void check(void)
{
	uint32_t apic_id;
	uint8_t vector;
	unsigned i, n = entries() > 32 ? entries() : 32;

	for (i = 0; i < n; i++) {
		if (!fx_can_send(i, &apic_id, &vector))
			continue;
		assert_true(is_own_core(apic_id));
		assert_in_range(vector, 16, 255);
	}
}

static void record(enum fx_event what, uint32_t at, uint32_t width, uint64_t value)
{
	assert_true(fx.events < ARRAY_SIZE(fx.log));
	fx.log[fx.events++] = (struct fx_record){ what, at, width, value };
}

void fx_clear(void)
{
	fx.events = 0;
	fx.reads = 0;
}

int fx_find(enum fx_event what, uint32_t at, unsigned from)
{
	unsigned i;

	for (i = from; i < fx.events; i++)
		if (fx.log[i].what == what && fx.log[i].at == at)
			return (int)i;
	return -1;
}

int fx_find_last(enum fx_event what, uint32_t at)
{
	int i;

	for (i = (int)fx.events - 1; i >= 0; i--)
		if (fx.log[i].what == what && fx.log[i].at == at)
			return i;
	return -1;
}

/* ------------------------------------------------------------------ the hardware */

static uint32_t config_read(const struct pci_access *a, struct pci_bdf d, uint32_t reg,
			    unsigned width)
{
	(void)a;
	assert_int_equal(d.bus, 1);
	assert_int_equal(d.device, 2);
	assert_true(reg % width == 0 && reg + width <= sizeof(fx.config));
	fx.reads++;
	return get(&fx.config[reg], width);
}

static void config_write(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
			 uint32_t v)
{
	unsigned i;

	(void)a;
	assert_int_equal(d.bus, 1);
	assert_true(reg % width == 0 && reg + width <= sizeof(fx.config));
	for (i = 0; i < width; i++) {
		uint8_t m = fx.wmask[reg + i];

		fx.config[reg + i] = (uint8_t)((fx.config[reg + i] & ~m) | (v >> 8 * i & m));
	}
	record(FX_CONFIG, reg, width, v);
	check();
}

static bool decodes(void)
{
	return fx_config16(4) & 2;
}

uint64_t hw_mmio_read(const volatile void *at, uint8_t size)
{
	size_t offset = (size_t)((const volatile uint8_t *)at - fx.memory);
	uint64_t v = 0;

	assert_true(offset % size == 0 && offset + size <= fx.f.bars[FX_BAR].size);
	if (!decodes())
		return ~0ull;
	memcpy(&v, &fx.memory[offset], size);
	return v;
}

void hw_mmio_write(volatile void *at, uint8_t size, uint64_t value)
{
	size_t offset = (size_t)((volatile uint8_t *)at - fx.memory);

	assert_true(offset % size == 0 && offset + size <= fx.f.bars[FX_BAR].size);
	record(FX_MMIO, (uint32_t)offset, size, value);
	if (!decodes())
		return;
	/* The specification wants the message of an entry changed while it is masked only. */
	if (entries() && offset >= table() && offset < table() + 16 * entries()) {
		size_t entry = (offset - table()) / 16 * 16 + table();

		if ((offset - table()) % 16 < 12 && (msix_control() & 0xc000) == 0x8000)
			assert_true(fx_memory32((uint32_t)entry + 12) & 1);
	}
	memcpy(&fx.memory[offset], &value, size);
	check();
}

void *hyp_mem_map(hpa_t hpa, uint64_t size, unsigned access, enum mem_type type)
{
	assert_int_equal(access, ACCESS_RW);
	assert_int_equal(type, MEM_UC);
	assert_true(hpa.v >= FX_BAR_HPA && hpa.v + size <= FX_BAR_HPA + fx.f.bars[FX_BAR].size);
	return fx.map_fails ? NULL : &fx.memory[hpa.v - FX_BAR_HPA];
}

void *page_alloc(struct page_budget *b, unsigned count)
{
	static _Alignas(4096) uint8_t pages[8 * PAGE_SIZE];

	assert_ptr_equal(b, &mock.guest.budget);
	if (count > fx.pages)
		return NULL;
	memset(pages, 0, sizeof(pages));
	return pages;
}

/* ------------------------------------------------------------------ the IOMMU */

static void check_requester(struct pci_bdf d)
{
	assert_int_equal(d.bus, 1);
	assert_int_equal(d.device, 0);
}

enum status iommu_irq_alloc(struct pci_bdf d, unsigned count, unsigned *first)
{
	unsigned i;

	check_requester(d);
	assert_in_range(count, 1, IOMMU_IRQS_PER_DEVICE);
	assert_true(iommu_info.irq_remap);
	if (fx.no_irqs)
		return ERR_NOMEM;
	fx.alloc_count = count;
	*first = FX_FIRST;
	for (i = 0; i < count; i++) {
		assert_false(fx.irq[FX_FIRST + i].allocated);
		fx.irq[FX_FIRST + i].allocated = true;
	}
	return OK;
}

bool iommu_covers(struct pci_bdf d)
{
	assert_int_equal(d.bus, fx.f.requester.bus);
	return !fx.bare;
}

void iommu_irq_free(struct pci_bdf d, unsigned first, unsigned count)
{
	unsigned i;

	check_requester(d);
	assert_int_equal(first, FX_FIRST);
	assert_int_equal(count, fx.alloc_count);
	for (i = 0; i < count; i++) {
		assert_true(fx.irq[first + i].allocated);
		assert_false(fx.irq[first + i].valid);
		fx.irq[first + i].allocated = false;
	}
	record(FX_FREE, first, count, 0);
	check();
}

enum status iommu_irq_set(struct pci_bdf d, unsigned index, const struct iommu_irq *irq,
			  struct iommu_msi *msi)
{
	check_requester(d);
	assert_true(index < FX_IRQS && fx.irq[index].allocated);
	if (!irq) {
		fx.irq[index].valid = false;
		record(FX_BLOCK, index, 0, 0);
		check();
		return OK;
	}
	assert_false(irq->nmi);
	if (fx.set_fails)
		return ERR_RANGE;
	fx.irq[index].valid = true;
	fx.irq[index].apic_id = irq->apic_id;
	fx.irq[index].vector = irq->vector;
	record(FX_ROUTE, index, irq->apic_id, irq->vector);
	check();
	if (msi && fx.vtd_style)
		*msi = (struct iommu_msi){ 0xfee00010 | index << 5, 0 };
	else if (msi)
		*msi = (struct iommu_msi){ 0xfee00000 | (uint64_t)fx.other_message << 12, index };
	return OK;
}

/* Functions of this fixture have no pin. */
unsigned host_route_pci_lines(uint32_t apic_id)
{
	(void)apic_id;
	fail();
	return 0;
}

void host_mask_pci_lines(void)
{
	fail();
}

/* ------------------------------------------------------------------ power on */

static void put16(uint32_t reg, uint16_t value, uint16_t writable)
{
	memcpy(&fx.config[reg], &value, 2);
	memcpy(&fx.wmask[reg], &writable, 2);
}

static void put32(uint32_t reg, uint32_t value, uint32_t writable)
{
	memcpy(&fx.config[reg], &value, 4);
	memcpy(&fx.wmask[reg], &writable, 4);
}

static void build_msi(const struct fx_shape *s)
{
	uint32_t data_at = FX_MSI + (s->msi64 ? 12 : 8);

	fx.f.msi = FX_MSI;
	put16(FX_MSI, 0x7005, 0);
	put16(FX_MSI + 2,
	      (uint16_t)(s->log2_messages << 1 | (s->msi64 ? 0x80 : 0) | (s->masking ? 0x100 : 0)),
	      0x71);
	put32(FX_MSI + 4, 0, ~3u);
	if (s->msi64)
		put32(FX_MSI + 8, 0, ~0u);
	put16(data_at, 0, 0xffff);
	if (s->masking) {
		put32(data_at + 4, 0, (uint32_t)(BIT(1 << s->log2_messages) - 1));
		put32(data_at + 8, 0x5a5a5a5a, 0);
	}
}

static void build_msix(const struct fx_shape *s)
{
	unsigned i;

	fx.f.msix = FX_MSIX;
	put16(FX_MSIX, 0x0011, 0);
	put16(FX_MSIX + 2, (uint16_t)(s->entries - 1), 0xc000);
	put32(FX_MSIX + 4, s->table | FX_BAR, 0);
	put32(FX_MSIX + 8, s->pba | FX_BAR, 0);
	for (i = 0; i < FX_MEMORY; i++)
		fx.memory[i] = (uint8_t)(i * 7);
	/* Left over, and not masked as after a reset. */
	for (i = 0; i < s->entries && s->table + 16 * i + 16 <= FX_MEMORY; i++)
		fx.memory[s->table + 16 * i + 12] &= 0xfe;
}

void fx_power_on(const struct fx_shape *s)
{
	memset(&fx, 0, sizeof(fx));
	mock_reset(CPU_VENDOR_INTEL, 3, FX_APIC);
	iommu_info.irq_remap = true;
	fx.bare = s->bare;
	fx.pages = 8;
	fx.access.read = config_read;
	fx.access.write = config_write;
	fx.f.bdf = (struct pci_bdf){ .bus = 1, .device = 2 };
	fx.f.requester = (struct pci_bdf){ .bus = 1 };
	fx.f.bars[FX_BAR].base = FX_BAR_HPA;
	fx.f.bars[FX_BAR].size = s->bar_size ? s->bar_size : FX_MEMORY;
	put16(4, 0, 0x0507);
	if (s->msi)
		build_msi(s);
	if (s->entries)
		build_msix(s);
}

void fx_create(const struct fx_shape *s)
{
	fx_power_on(s);
	assert_int_equal(vpci_irq_create(&fx.q, &mock.guest, &fx.f, &fx.access, 3), OK);
	assert_int_equal(vpci_irq_start(&fx.q), OK);
	fx_clear();
}
