/* SPDX-License-Identifier: BSD-2-Clause */
/* What devices tried and IOMMUs have blocked: counted, shown, and answered by the guest's policy. */
#include <inttypes.h>
#include <stdio.h>

#include "core/guest.h"
#include "core/passthrough.h"
#include "log.h"
#include "x86/asm.h"
#include "x86/tsc.h"

/*
 * A device can fault a million times a second. So many are looked at in a second; then no NMI comes
 * for them, and what comes next waits for an exit that happens anyway.
 */
#define PER_SECOND 256
#define SHOWN      8 /* messages about one guest, before only powers of two are shown */
#define LAST       16

static struct {
	struct spinlock lock; /* below it only the IOMMUs' and the leaves */
	uint64_t counts[PCI_FUNCTIONS_MAX];
	uint64_t unknown;
	struct iommu_fault last[LAST];
	uint64_t total;
	uint64_t second; /* TSC at which the current one began */
	uint32_t in_second;
	uint64_t silent_until; /* TSC; 0: NMIs are on. Read without the lock. */
} faults;

static const struct pci_function *find_source(const struct iommu_fault *f)
{
	struct pci_function *found = pci_tree_find(pci_tree, f->source);

	/* Behind some bridges, it is the bridge's id: its group has one owner. */
	for (uint32_t i = 0; (!found || found->owner == PCI_NO_OWNER) && i < pci_tree->count; i++) {
		struct pci_bdf r = pci_tree->f[i].requester;

		if (pci_tree->f[i].owner != PCI_NO_OWNER && r.segment == f->source.segment &&
		    r.bus == f->source.bus && r.device == f->source.device &&
		    r.function == f->source.function)
			found = &pci_tree->f[i];
	}
	return found;
}

static void show(const struct iommu_fault *f, const struct guest *g, uint64_t count)
{
	char at[PCI_BDF_TEXT];

	if (count > SHOWN && (count & (count - 1)))
		return;
	if (f->is_unit) {
		log_error("IOMMU %" PRIu32 ": %s (%#x)", f->unit, f->text, f->reason);
		return;
	}
	pci_bdf_text(f->source, at);
	log_warn("%s%s%sdevice %s: %s %#" PRIx64 " blocked: %s%s", g ? "guest " : "",
		 g ? g->config->name : "", g ? ", " : "", at,
		 f->interrupt ? "interrupt"
		 : f->write   ? "write to"
			      : "read from",
		 f->address, f->text,
		 count == SHOWN ? "; from now on only the 16th, 32nd, ... is shown" : "");
}

/* Once for each run that it ends or holds: afterwards the guest is not running any more. */
static void punish(struct guest *g, const struct iommu_fault *f)
{
	char at[PCI_BDF_TEXT];

	if (g->config->dma_fault == DMA_FAULT_COUNT)
		return;
	pci_bdf_text(f->source, at);
	if (g->config->dma_fault == DMA_FAULT_STOP) {
		char why[96];

		snprintf(why, sizeof(why), "its device %s was blocked (dma_fault=stop)", at);
		guest_end_run(g, END_CRASH, why);
	} else if (guest_pause(g) == OK) {
		log_warn("guest %s: paused, its device %s was blocked (dma_fault=pause)",
			 g->config->name, at);
	}
}

/* With the lock. Returns the guest to punish, or NULL. */
static struct guest *note(const struct iommu_fault *f)
{
	const struct pci_function *source = f->is_unit ? NULL : find_source(f);
	struct guest *g = NULL;
	uint64_t count;

	faults.last[faults.total++ % LAST] = *f;
	if (source) {
		uint32_t index = (uint32_t)(source - pci_tree->f);

		count = ++faults.counts[index];
		if (source->owner != PCI_NO_OWNER)
			g = guests[source->owner];
	} else {
		count = ++faults.unknown;
	}
	if (g)
		count = __atomic_add_fetch(&g->device_faults, 1, __ATOMIC_RELAXED);
	show(f, g, count);
	return g;
}

/* With the lock. False: this second has had its share. */
static bool may_look(uint64_t now)
{
	uint64_t second = tsc_from_us(1000000);

	if (now - faults.second >= second) {
		faults.second = now;
		faults.in_second = 0;
	}
	return faults.in_second++ < PER_SECOND;
}

void iommu_faults_poll(void)
{
	struct iommu_fault f;
	bool silence = false;

	if (!iommu_info.ops)
		return;
	spin_lock(&faults.lock);
	/* Up to the last one: where some are left, hardware does not announce the next. */
	while (!silence && iommu_next_fault(&f)) {
		struct guest *g = note(&f);

		if (g)
			punish(g, &f);
		silence = !may_look(rdtsc());
	}
	if (silence && !faults.silent_until) {
		iommu_fault_mask(true);
		__atomic_store_n(&faults.silent_until, rdtsc() + tsc_from_us(1000000),
				 __ATOMIC_RELAXED);
	}
	spin_unlock(&faults.lock);
}

void iommu_faults_after_exit(uint64_t tsc)
{
	uint64_t until = __atomic_load_n(&faults.silent_until, __ATOMIC_RELAXED);

	if (!until || tsc < until ||
	    !__atomic_compare_exchange_n(&faults.silent_until, &until, 0, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	/* Before the look, so that what comes after it is announced. */
	iommu_fault_mask(false);
	iommu_faults_poll();
}

uint64_t iommu_faults_of(uint32_t index)
{
	return index < PCI_FUNCTIONS_MAX ? faults.counts[index] : 0;
}

uint64_t iommu_faults_unknown(void)
{
	return faults.unknown;
}

bool iommu_faults_last(unsigned n, struct iommu_fault *out)
{
	bool found;

	spin_lock(&faults.lock);
	found = n < LAST && n < faults.total;
	if (found)
		*out = faults.last[(faults.total - 1 - n) % LAST];
	spin_unlock(&faults.lock);
	return found;
}
