/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/amdvi.h"

#include <stdio.h>
#include <string.h>

#include "log.h"

#define DEVICE_TABLE_PAGES 512u
#define DEVICE_TABLE_SIZE  (DEVICE_TABLE_PAGES - 1) /* as the base register has it */
#define STORE_QUADS        8u                       /* a cache line for each unit */
#define STOP_TIMEOUT_US    100000
#define FLUSH_RANGES_MAX   16u
#define DOMAINS            256u
#define VA_BITS_DEFAULT    48
#define IVHD_TYPE_10       0x10
#define IVHD_HAT_DIS       BIT(0) /* of the attributes, in the later types */
#define IVINFO_PA_BITS(v)  (((v) >> 8) & 0x7f)
#define IVINFO_VA_BITS(v)  (((v) >> 15) & 0x7f)

#define SOURCES_PAGES \
	(ALIGN_UP(AMDVI_SOURCES_MAX * sizeof(struct amdvi_source), PAGE_SIZE) / PAGE_SIZE)

/* The capability block in configuration space (chapter 3). */
#define CAP_HEADER       0x00
#define CAP_BASE_LOW     0x04
#define CAP_BASE_HIGH    0x08
#define CAP_ID           0x0f
#define CAP_IS_IOMMU(v)  (((v)&0xff) == CAP_ID && ((v) >> 16 & 7) == 3)
#define CAP_NP_CACHE     BIT(26)
#define CAP_EFR_SUP      BIT(27)
#define CAP_BASE_ENABLE  BIT(0)
#define CAP_BASE_ADDRESS (~0x3fffull)

_Static_assert(AMDVI_UNITS_MAX <= IOMMU_UNITS_MAX, "iommu_info");

struct amdvi amdvi;

static void warn(void *ctx, const char *what, hpa_t pa)
{
	(void)ctx;
	log_warn("IVRS at %#llx: %s", (unsigned long long)pa.v, what);
}

/*
 * What the firmware says is at that place may be something else. Of two different addresses that of
 * IVRS is right: it is the one that every operating system uses. Where none was set, it is set.
 */
static uint32_t read_capability(struct amdvi_unit *u, const struct ivrs_unit *v)
{
	uint32_t header, cap = v->capability;
	uint64_t base;

	if (!u->pci)
		return 0;
	header = pci_read32(u->pci, u->bdf, cap + CAP_HEADER);
	if (cap < 0x40 || cap > 0xf0 || !CAP_IS_IOMMU(header)) {
		cap = pci_find_capability(u->pci, u->bdf, CAP_ID);
		header = cap ? pci_read32(u->pci, u->bdf, cap + CAP_HEADER) : 0;
	}
	if (!CAP_IS_IOMMU(header)) {
		log_warn("AMD-Vi unit %u: no IOMMU at %04x:%02x:%02x.%x", u->index, u->bdf.segment,
			 u->bdf.bus, u->bdf.device, u->bdf.function);
		u->pci = NULL;
		return 0;
	}
	base = pci_read32(u->pci, u->bdf, cap + CAP_BASE_LOW) |
	       (uint64_t)pci_read32(u->pci, u->bdf, cap + CAP_BASE_HIGH) << 32;
	if (!(base & CAP_BASE_ENABLE)) {
		pci_write32(u->pci, u->bdf, cap + CAP_BASE_HIGH, (uint32_t)(v->base.v >> 32));
		pci_write32(u->pci, u->bdf, cap + CAP_BASE_LOW,
			    (uint32_t)(v->base.v | CAP_BASE_ENABLE));
	} else if ((base & CAP_BASE_ADDRESS) != v->base.v) {
		log_warn("AMD-Vi unit %u: registers at %#llx, not at %#llx?", u->index,
			 (unsigned long long)v->base.v, (unsigned long long)base);
	}
	return header;
}

static enum status prepare_unit(const struct iommu_env *env, uint32_t index)
{
	const struct ivrs_unit *v = &amdvi.ivrs.units[index];
	struct amdvi_unit *u = &amdvi.units[index];
	uint32_t capability;

	u->index = index;
	u->bdf = (struct pci_bdf){ v->segment, (uint8_t)(v->device_id >> 8),
				   (uint8_t)(v->device_id >> 3 & 31), v->device_id & 7 };
	u->pci = env->pci(v->segment);
	capability = read_capability(u, v);
	u->np_cache = capability & CAP_NP_CACHE;
	u->regs = env->map(v->base, AMDVI_MMIO_SIZE);
	if (!u->regs)
		return ERR_NOMEM;
	u->control = amdvi_read(u, AMDVI_CONTROL);
	if (u->control == ~0ull) {
		log_error("AMD-Vi unit %u: no registers at %#llx", index,
			  (unsigned long long)v->base.v);
		u->regs = NULL;
		return ERR_UNSUPPORTED;
	}
	if (capability & CAP_EFR_SUP)
		u->efr = amdvi_read(u, AMDVI_EFR);
	else if (!capability)
		u->efr = v->efr;
	u->done = amdvi.stores + index * STORE_QUADS;
	u->commands = page_alloc(amdvi.budget, 1);
	u->events = page_alloc(amdvi.budget, 1);
	return u->commands && u->events ? OK : ERR_NOMEM;
}

static enum status prepare_segment(uint16_t number)
{
	struct amdvi_segment *s = &amdvi.segments[amdvi.segment_count];

	if (amdvi_segment(number))
		return OK;
	if (amdvi.segment_count == AMDVI_SEGMENTS_MAX)
		return ERR_RANGE;
	s->number = number;
	s->table = page_alloc(amdvi.budget, DEVICE_TABLE_PAGES);
	if (!s->table)
		return ERR_NOMEM;
	amdvi.segment_count++;
	return OK;
}

/* A hypervisor below us may offer interrupt remapping alone: HATDis. */
static bool no_translation(const struct ivrs_unit *v)
{
	return v->type != IVHD_TYPE_10 && v->features & IVHD_HAT_DIS;
}

/* What all units can do; they share tables. */
static enum status common_format(const struct iommu_env *env)
{
	struct amdvi_caps caps = { .pa_bits = IVINFO_PA_BITS(amdvi.ivrs.info),
				   .va_bits = IVINFO_VA_BITS(amdvi.ivrs.info) };
	uint32_t i;

	amdvi.ga = true;
	amdvi.xt = env->wide_apic_ids;
	for (i = 0; i < amdvi.unit_count; i++) {
		uint64_t efr = amdvi.units[i].efr;

		amdvi.ga = amdvi.ga && efr & EFR_GA_SUP;
		amdvi.xt = amdvi.xt && efr & EFR_XT_SUP;
		if (EFR_HATS(efr) == 3 || no_translation(&amdvi.ivrs.units[i]))
			caps.hats = 3;
	}
	amdvi.xt = amdvi.xt && amdvi.ga;
	/* Emulators leave it out. */
	if (!caps.va_bits)
		caps.va_bits = VA_BITS_DEFAULT;
	if (spte_format_amdvi(&iommu_info.format, &caps) == OK)
		return OK;
	log_error("AMD-Vi: tables are of no known kind: IVinfo %#x, levels %u", amdvi.ivrs.info,
		  caps.hats);
	return ERR_UNSUPPORTED;
}

static enum status prepare(const struct acpi_table *table, const struct iommu_env *env)
{
	enum status s = ivrs_parse(table, warn, NULL, &amdvi.ivrs);
	uint32_t i;

	if (s != OK)
		return s;
	amdvi.budget = env->budget;
	amdvi.stores = page_alloc(env->budget, 1);
	amdvi.empty = page_alloc(env->budget, 1);
	amdvi.sources = page_alloc(env->budget, SOURCES_PAGES);
	if (!amdvi.stores || !amdvi.empty || !amdvi.sources)
		return ERR_NOMEM;
	for (i = 0; i < amdvi.ivrs.unit_count; i++) {
		amdvi.unit_count++;
		s = prepare_unit(env, i);
		if (s == OK)
			s = prepare_segment(amdvi.ivrs.units[i].segment);
		if (s != OK)
			return s;
	}
	s = common_format(env);
	for (i = 0; s == OK && i < amdvi.segment_count; i++)
		amdvi_block_all(&amdvi.segments[i]);
	return s;
}

/* Logs and the command buffer stop at their next entry; nothing may move under them. */
static enum status stop_rings(struct amdvi_unit *u)
{
	uint64_t start = amdvi_now_us();

	u->control &= u->control & CONTROL_IOMMU_EN ? ~CONTROL_RINGS : 0;
	amdvi_write(u, AMDVI_CONTROL, u->control);
	while (amdvi_read(u, AMDVI_STATUS) & STATUS_RUN) {
		if (amdvi_now_us() - start > STOP_TIMEOUT_US)
			return ERR_TIMEOUT;
		__builtin_ia32_pause();
	}
	return OK;
}

/*
 * An SMI is a message that no device table entry blocks, to any core. Those of the chipset, which has
 * the DeviceID of its IOAPIC, pass on; beyond that, what the firmware has locked is its decision.
 */
static void filter_smis(struct amdvi_unit *u)
{
	const struct ivrs *v = &amdvi.ivrs;
	uint32_t n, next = 0;

	for (n = 0; EFR_SMI_FILTER(u->efr) && n < EFR_SMI_FILTERS(u->efr); n++) {
		if (amdvi_read(u, AMDVI_SMI_FILTER(n)) & SMI_FILTER_LOCK)
			continue;
		while (next < v->special_count && (v->specials[next].variety != IVRS_IOAPIC ||
						   v->specials[next].unit != u->index))
			next++;
		amdvi_write(u, AMDVI_SMI_FILTER(n),
			    next < v->special_count
				    ? SMI_FILTER_VALID | v->specials[next++].device_id
				    : 0);
	}
}

static uint64_t wanted_control(const struct amdvi_unit *u)
{
	const struct ivrs_unit *v = &amdvi.ivrs.units[u->index];
	uint64_t control = CONTROL_CMD_BUF_EN | CONTROL_EVENT_LOG_EN | CONTROL_COHERENT;

	control |= EFR_SMI_FILTER(u->efr) ? CONTROL_SMI_FILTER : 0;
	control |= v->flags & IVRS_FLAG_HT_TUN_EN ? CONTROL_HT_TUN_EN : 0;
	control |= v->flags & IVRS_FLAG_PASS_PW ? CONTROL_PASS_PW : 0;
	control |= v->flags & IVRS_FLAG_RES_PASS_PW ? CONTROL_RES_PASS_PW : 0;
	control |= v->flags & IVRS_FLAG_ISOC ? CONTROL_ISOC : 0;
	control |= amdvi.ga ? CONTROL_GA_EN : 0;
	control |= amdvi.xt ? CONTROL_XT_EN : 0;
	return control;
}

/*
 * What device table entries led to is forgotten after the entries themselves (amdvi_update()).
 * Emulators look at an entry only when told that it has changed, even after "all".
 */
static enum status forget_everything(struct amdvi_unit *u)
{
	const struct ivrs *v = &amdvi.ivrs;
	bool all = u->efr & EFR_IA_SUP;
	uint32_t i, n;

	for (i = 0; i < DEVICE_IDS && !all; i++)
		amdvi_invalidate_device(u, (uint16_t)i);
	for (n = 0; n < v->range_count && all; n++) {
		for (i = v->ranges[n].first;
		     i <= v->ranges[n].last && v->ranges[n].unit == u->index; i++)
			amdvi_invalidate_device(u, (uint16_t)i);
	}
	if (!amdvi_wait(u))
		return ERR_TIMEOUT;
	if (all)
		amdvi_invalidate_all(u);
	for (i = 0; i < DEVICE_IDS && !all; i++) {
		amdvi_invalidate_irqs(u, (uint16_t)i);
		amdvi_invalidate_domain(u, (uint16_t)i);
	}
	return amdvi_wait(u) ? OK : ERR_TIMEOUT;
}

/*
 * A unit that the firmware has left on stays on: its device table is replaced by one store, and the
 * new one permits nothing. The exclusion range, which needs no permission, goes first; so does an
 * MSI that the firmware has pointed somewhere.
 */
static enum status start_unit(struct amdvi_unit *u)
{
	const struct amdvi_segment *segment = amdvi_segment(u->bdf.segment);
	enum status s;

	if (u->pci)
		pci_msi_off(u->pci, u->bdf);
	s = stop_rings(u);
	if (s != OK)
		return s;
	amdvi_write(u, AMDVI_EXCLUSION_BASE, 0);
	amdvi_write(u, AMDVI_EXCLUSION_LIMIT, 0);
	amdvi_write(u, AMDVI_STATUS, STATUS_CLEAR);
	amdvi_write(u, AMDVI_DEVICE_TABLE, virt_to_hpa(segment->table).v | DEVICE_TABLE_SIZE);
	amdvi_write(u, AMDVI_COMMAND_BASE, virt_to_hpa(u->commands).v | AMDVI_RING_LENGTH);
	amdvi_write(u, AMDVI_COMMAND_HEAD, 0);
	amdvi_write(u, AMDVI_COMMAND_TAIL, 0);
	amdvi_write(u, AMDVI_EVENT_BASE, virt_to_hpa(u->events).v | AMDVI_RING_LENGTH);
	amdvi_write(u, AMDVI_EVENT_HEAD, 0);
	amdvi_write(u, AMDVI_EVENT_TAIL, 0);
	filter_smis(u);
	if (!(u->control & CONTROL_IOMMU_EN))
		amdvi_write(u, AMDVI_CONTROL, wanted_control(u));
	u->control = wanted_control(u) | CONTROL_IOMMU_EN;
	amdvi_write(u, AMDVI_CONTROL, u->control);
	return forget_everything(u);
}

/* Memory is given back only if no unit has been told of it. */
static void give_up(bool keep)
{
	uint32_t i;

	for (i = 0; i < amdvi.unit_count; i++) {
		if (amdvi.units[i].regs)
			amdvi_write(&amdvi.units[i], AMDVI_CONTROL, 0);
		if (!keep) {
			page_free(amdvi.units[i].commands);
			page_free(amdvi.units[i].events);
		}
	}
	for (i = 0; !keep && i < amdvi.segment_count; i++)
		page_free(amdvi.segments[i].table);
	if (!keep) {
		page_free(amdvi.stores);
		page_free(amdvi.empty);
	}
	page_free(amdvi.sources); /* of which units know nothing */
	memset(&amdvi, 0, sizeof(amdvi));
}

static void fill_info(void)
{
	uint32_t n = ivrs_reserved(&amdvi.ivrs, iommu_info.reserved, IOMMU_RESERVED_MAX);

	if (n > IOMMU_RESERVED_MAX || amdvi.ivrs.regions_lost)
		log_warn("IVRS: too many memory regions for devices, some are left out");
	iommu_info.reserved_count = (uint32_t)min_u64(n, IOMMU_RESERVED_MAX);
	iommu_info.units = amdvi.unit_count;
	for (uint32_t i = 0; i < amdvi.unit_count; i++)
		iommu_info.registers[i] = amdvi.ivrs.units[i].base;
	iommu_info.domains = DOMAINS;
	iommu_info.irq_remap = true;
	iommu_info.x2apic = amdvi.xt;
}

static enum status amdvi_start(const struct acpi_table *table, const struct iommu_env *env)
{
	enum status s = prepare(table, env);
	bool told = s == OK;
	uint32_t i;

	for (i = 0; s == OK && i < amdvi.unit_count; i++) {
		s = start_unit(&amdvi.units[i]);
		if (s != OK)
			log_error("AMD-Vi unit %u cannot be turned on: status %#llx", i,
				  (unsigned long long)amdvi_read(&amdvi.units[i], AMDVI_STATUS));
	}
	if (s == OK)
		fill_info();
	else
		give_up(told);
	return s;
}

static void amdvi_flush(uint16_t domain, const struct gfn_range *ranges, unsigned count)
{
	uint32_t i;
	unsigned n;

	for (i = 0; i < amdvi.unit_count; i++) {
		if (count > FLUSH_RANGES_MAX)
			amdvi_invalidate_domain(&amdvi.units[i], domain);
		for (n = 0; n < count && count <= FLUSH_RANGES_MAX; n++) {
			if (ranges[n].start < ranges[n].end)
				amdvi_invalidate_range(&amdvi.units[i], domain, &ranges[n]);
		}
	}
	amdvi_wait_all();
}

static bool amdvi_covers(struct pci_bdf d)
{
	return amdvi_segment(d.segment) && ivrs_unit_of(&amdvi.ivrs, d) != IVRS_NO_UNIT;
}

static void amdvi_describe(uint32_t unit, char *text, size_t size)
{
	const struct amdvi_unit *u = &amdvi.units[unit];

	if (unit >= amdvi.unit_count) {
		text[0] = 0;
		return;
	}
	snprintf(text, size,
		 "%04x:%02x:%02x.%x at %#llx, features %#llx, interrupts of %s%s%s%s, status %#llx",
		 u->bdf.segment, u->bdf.bus, u->bdf.device, u->bdf.function,
		 (unsigned long long)amdvi.ivrs.units[unit].base.v, (unsigned long long)u->efr,
		 amdvi.ga ? "128 bits" : "32 bits", amdvi.xt ? ", x2APIC" : "",
		 u->control & CONTROL_SMI_FILTER ? ", SMIs filtered" : "",
		 u->np_cache ? ", caches absence" : "",
		 (unsigned long long)amdvi_read(u, AMDVI_STATUS));
}

const struct iommu_ops amdvi_ops = {
	.name = "AMD-Vi",
	.signature = "IVRS",
	.start = amdvi_start,
	.attach = amdvi_attach,
	.detach = amdvi_detach,
	.flush = amdvi_flush,
	.irq_alloc = amdvi_irq_alloc,
	.irq_free = amdvi_irq_free,
	.irq_set = amdvi_irq_set,
	.ioapic_nmi = amdvi_ioapic_nmi,
	.fault_nmi = amdvi_fault_nmi,
	.fault_mask = amdvi_fault_mask,
	.next_fault = amdvi_next_fault,
	.covers = amdvi_covers,
	.describe = amdvi_describe,
};
