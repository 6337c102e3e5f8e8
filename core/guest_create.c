/* SPDX-License-Identifier: BSD-2-Clause */
/* Building a guest at boot: memory layout, vCPUs, devices, all paid for by its own budget. */
#include <stdio.h>
#include <string.h>

#include "budget.h"
#include "core/console.h"
#include "core/footprint.h"
#include "core/guest.h"
#include "core/guest_load.h"
#include "core/hvm.h"
#include "core/hyp_mem.h"
#include "core/nx.h"
#include "core/passthrough.h"
#include "core/vdev.h"
#include "log.h"

#define LAPIC_GPA 0xfee00000ull

static struct slot make_slot(uint64_t gpa, hpa_t hpa, uint64_t size, const char *name)
{
	struct slot s = {
		.base = gpa_to_gfn(GPA(gpa)),
		.npages = size >> PAGE_SHIFT,
		.pfn = hpa_to_pfn(hpa),
		.access = ACCESS_RWX,
		.type = MEM_WB,
		.kind = SLOT_RAM,
	};

	snprintf(s.name, sizeof(s.name), "%s", name);
	return s;
}

/* The pages of an emulated device: its handler is its place in the map. */
static enum status create_device_slot(struct slot_txn *txn, const struct guest *g, uint32_t handler)
{
	const struct io_region *r = &g->io.mmio[handler];
	uint64_t start = ALIGN_DOWN(r->base, PAGE_SIZE);
	struct slot s = {
		.base = gpa_to_gfn(GPA(start)),
		.npages = (ALIGN_UP(r->base + r->size, PAGE_SIZE) - start) >> PAGE_SHIFT,
		.type = MEM_UC,
		.kind = SLOT_EMULATED,
		.handler = (uint16_t)handler,
	};

	snprintf(s.name, sizeof(s.name), "%s", r->name);
	return slot_create(txn, &s);
}

/*
 * RAM at 0, what does not fit below the hole at 4 GiB, and the local APIC's page: read-only, so
 * that reads (the guest's timer count, its ISR) need no exit and writes can be looked at first.
 */
static enum status create_slots(struct guest *g)
{
	uint64_t low = min_u64(g->boot->memory_size, GUEST_LOW_RAM);
	struct slot ram = make_slot(0, g->boot->memory, low, "ram");
	struct slot high = make_slot(4 * SIZE_1G, HPA(g->boot->memory.v + low),
				     g->boot->memory_size - low, "ram-high");
	struct slot apic = make_slot(LAPIC_GPA, HPA(LAPIC_GPA), PAGE_SIZE, "lapic");
	struct slot_txn txn;
	enum status s = tdp_begin(&g->tdp, &txn, 3 + g->io.mmio_count);

	if (s != OK)
		return s;
	apic.kind = SLOT_DEVICE;
	apic.type = MEM_UC;
	apic.access = ACCESS_R;
	s = slot_create(&txn, &ram);
	if (s == OK && high.npages)
		s = slot_create(&txn, &high);
	if (s == OK)
		s = slot_create(&txn, &apic);
	for (uint32_t i = 0; s == OK && i < g->io.mmio_count; i++)
		s = create_device_slot(&txn, g, i);
	if (s != OK) {
		tdp_abort(&g->tdp, &txn);
		return s;
	}
	s = tdp_commit(&g->tdp, &txn);
	if (s != OK && txn.reason)
		log_error("guest %s: memory slot %s: %s", g->config->name, txn.culprit.name,
			  txn.reason);
	return s;
}

/* The vendors have the other half for VMCS or VMCB and bitmaps. */
_Static_assert(sizeof(struct vcpu) <= GUEST_VCPU_PAGES / 2 * PAGE_SIZE, "include/budget.h");

static enum status create_vcpu(struct guest *g, uint32_t index)
{
	uint16_t core = g->config->cores[index];
	struct vcpu *v;

	if (core >= cpu_count || !cpus[core]->online || cpus[core]->vcpu) {
		log_error("guest %s: core %u is not there or taken", g->config->name, core);
		return ERR_BUSY;
	}
	v = page_alloc(&g->budget, (sizeof(*v) + PAGE_SIZE - 1) / PAGE_SIZE);
	if (!v)
		return ERR_NOMEM;
	v->guest = g;
	v->cpu = cpus[core];
	v->index = index;
	v->apic_id = v->cpu->apic_id;
	v->state = VCPU_OFF;
	g->vcpus[index] = v;
	g->vcpu_count = index + 1;
	return hvm->vcpu_create(v, &g->budget, HPA(tdp_root(&g->tdp, TDP_CPU)));
}

static enum status create_console(struct guest *g)
{
	void *memory;

	if (!g->config->console)
		return OK;
	memory = page_alloc(&g->budget, (CONSOLE_GUEST_BYTES + PAGE_SIZE - 1) / PAGE_SIZE);
	if (!memory)
		return ERR_NOMEM;
	console_add_guest(g->index, g->config->name, g->vcpus[0]->cpu->index, g->vcpus[0]->apic_id,
			  memory);
	return OK;
}

static enum status build(struct guest *g, const struct spte_format *format,
			 const struct vrtc_clock *clock)
{
	enum status s = tdp_init(&g->tdp, format, &g->budget, g);

	if (s == OK && hvm->lists_dirty_pages && hvm->lists_dirty_pages())
		s = tdp_set_log_mode(&g->tdp, TDP_LOG_PML);
	if (s == OK)
		nx_init(g);
	if (s == OK)
		s = vdev_create(g, clock);
	if (s == OK)
		s = passthrough_create(g);
	if (s == OK)
		s = create_slots(g);
	if (s == OK)
		s = passthrough_create_view(g);
	if (s == OK)
		tdp_set_zap_all(&g->tdp, g->config->zap == ZAP_ALL);
	for (uint32_t i = 0; s == OK && i < g->config->core_count; i++)
		s = create_vcpu(g, i);
	if (s == OK)
		s = guest_load_prepare(g);
	if (s == OK)
		s = create_console(g);
	return s;
}

enum status guest_create(const struct boot_info *bi, uint32_t index,
			 const struct spte_format *format, const struct vrtc_clock *clock)
{
	const struct guest_config *config = &bi->config.guests[index];
	/* The structure itself is the hypervisor's: it holds the budget and must outlive it. */
	struct guest *g = page_alloc(&hyp_budget, (sizeof(*g) + PAGE_SIZE - 1) / PAGE_SIZE);
	enum status s = ERR_NOMEM;

	footprint_charge(FOOTPRINT_GUESTS);
	if (g) {
		g->index = index;
		g->config = config;
		g->boot = &bi->guests[index];
		g->maxphyaddr = format->maxphyaddr;
		g->state = GUEST_STOPPED;
		snprintf(g->end_text, sizeof(g->end_text), "not started yet");
		s = page_budget_init(&g->budget, config->name,
				     guest_budget_pages(g->boot->memory_size, config->tables,
							config->device_count, config->core_count));
	}
	if (s == OK)
		s = build(g, format, clock);
	if (s != OK) {
		log_error("guest %s: left out%s", config->name,
			  s == ERR_NOMEM ? ": the pool is too small, raise memory= in [lamina]"
					 : "");
		return s;
	}
	for (uint32_t i = 0; i < g->vcpu_count; i++)
		g->vcpus[i]->cpu->vcpu = g->vcpus[i];
	guests[index] = g;
	return OK;
}
