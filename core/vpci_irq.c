/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vpci_irq.h"

#include <stdio.h>
#include <string.h>

#include "core/guest.h"
#include "core/vlapic.h"
#include "core/vpci_irq_priv.h"
#include "log.h"

/* SDM vol. 3, 11.11: the message that an interrupt is. */
#define MESSAGE_BASE        0xfee00000ull
#define MESSAGE_DEST_SHIFT  12
#define MESSAGE_DEST        BITS(19, 12)
#define MESSAGE_REDIRECTION BIT(3)
#define MESSAGE_LOGICAL     BIT(2)
#define DATA_VECTOR         0xffu
#define DATA_MODE_SHIFT     8
#define DATA_LEVEL          BIT(15)
#define FIRST_VECTOR        16  /* 11.5.2: the ones below are illegal */
#define LAST_APIC_ID        254 /* 255 is broadcast */

uint16_t vpci_irq_read16(const struct vpci_irqs *q, uint32_t reg)
{
	return pci_read16(q->access, q->host->bdf, reg);
}

void vpci_irq_write16(const struct vpci_irqs *q, uint32_t reg, uint16_t value)
{
	pci_write16(q->access, q->host->bdf, reg, value);
}

static void deny(struct vpci_irqs *q, uint64_t address, uint32_t data)
{
	const struct pci_bdf d = q->host->bdf;

	__atomic_fetch_add(&q->guest->denied_ipi, 1, __ATOMIC_RELAXED);
	if (q->denied)
		return;
	q->denied = true;
	log_warn("guest %s: interrupt message %#llx, %#x of PCI %02x:%02x.%u blocked, "
		 "no interrupt of its own cores",
		 q->guest->config->name, (unsigned long long)address, data, d.bus, d.device,
		 d.function);
}

/*
 * The IOMMUs are programmed for one core and fixed delivery: lowest priority is left to whom it may
 * concern, and a destination of several cores is refused.
 */
bool vpci_irq_decode(struct vpci_irqs *q, uint64_t address, uint32_t data, struct iommu_irq *out)
{
	enum apic_delivery mode = (data >> DATA_MODE_SHIFT) & 7;
	bool logical = address & MESSAGE_LOGICAL;
	struct vcpu *v = NULL;

	if ((address & ~0xfffffull) == MESSAGE_BASE && !(data & DATA_LEVEL) &&
	    (data & DATA_VECTOR) >= FIRST_VECTOR &&
	    (mode == APIC_DM_FIXED || mode == APIC_DM_LOWEST))
		v = vlapic_resolve(
			q->guest, (address & MESSAGE_DEST) >> MESSAGE_DEST_SHIFT, logical,
			mode == APIC_DM_LOWEST || (logical && (address & MESSAGE_REDIRECTION)));
	if (!v) {
		deny(q, address, data);
		return false;
	}
	*out = (struct iommu_irq){ .apic_id = v->apic_id, .vector = data & DATA_VECTOR };
	return true;
}

/* Without interrupt remapping, for a guest that may have devices nevertheless: the bare message. */
static bool bare_message(const struct vpci_irqs *q, const struct iommu_irq *irq,
			 struct iommu_msi *msi)
{
	if (!q->guest->config->iommu_unsafe || irq->apic_id > LAST_APIC_ID)
		return false;
	msi->address = MESSAGE_BASE | irq->apic_id << MESSAGE_DEST_SHIFT;
	msi->data = irq->vector;
	return true;
}

bool vpci_irq_set(struct vpci_irqs *q, unsigned index, const struct iommu_irq *irq,
		  struct iommu_msi *msi)
{
	struct vpci_vector *e = &q->vectors[index];

	if (e->live && e->apic_id == irq->apic_id && e->vector == irq->vector) {
		*msi = e->sent;
		return true;
	}
	if (iommu_info.irq_remap) {
		if (iommu_irq_set(q->host->requester, q->first + index, irq, msi) != OK)
			return false;
	} else if (!bare_message(q, irq, msi)) {
		return false;
	}
	e->apic_id = irq->apic_id;
	e->vector = irq->vector;
	e->live = true;
	return true;
}

void vpci_irq_block(struct vpci_irqs *q, unsigned index)
{
	struct vpci_vector *e = &q->vectors[index];

	e->sent.address = 0;
	if (!e->live)
		return;
	e->live = false;
	/* Blocking cannot fail but for an index that was never allocated. */
	if (iommu_info.irq_remap &&
	    iommu_irq_set(q->host->requester, q->first + index, NULL, NULL) != OK)
		log_error("IOMMU: interrupt %u cannot be blocked", q->first + index);
}

/* What a block for MSI's multiple messages has to be. */
static unsigned power_of_two(unsigned n)
{
	unsigned p = 1;

	while (p < n)
		p *= 2;
	return p;
}

/* How many messages the function can have, at most what the IOMMU gives to one. */
static unsigned count_messages(const struct vpci_irqs *q)
{
	unsigned msi = 0, n;

	if (q->msi)
		msi = 1u << min_u64((q->msi_host >> MSI_COUNT_SHIFT) & 7, MSI_LOG2_MAX);
	n = (unsigned)min_u64(max_u64(q->table_entries, msi), IOMMU_IRQS_PER_DEVICE);
	return msi > 1 ? power_of_two(n) : n;
}

enum status vpci_irq_create(struct vpci_irqs *q, struct guest *g, const struct pci_function *host,
			    const struct pci_access *access, uint8_t slot)
{
	/* A message is a write to memory, which a device that nothing contains may not do at all. */
	bool messages = iommu_covers(host->requester);
	enum status s = OK;

	memset(q, 0, sizeof(*q));
	q->guest = g;
	q->host = host;
	q->access = access;
	if (messages && host->msi) {
		q->msi = true;
		q->msi_host = vpci_irq_read16(q, host->msi + MSI_CONTROL);
	}
	if (messages)
		s = vpci_msix_create(q);
	if (s != OK)
		return s;
	vpci_intx_create(q, slot);
	q->count = count_messages(q);
	if (!q->count)
		return OK;
	q->vectors = page_alloc(
		&g->budget,
		(unsigned)(ALIGN_UP(q->count * sizeof(*q->vectors), PAGE_SIZE) / PAGE_SIZE));
	return q->vectors ? OK : ERR_NOMEM;
}

/* Power-on state, of the guest's registers and of the function's; all messages are blocked. */
static void power_on(struct vpci_irqs *q)
{
	unsigned i;

	vpci_intx_reset(q);
	vpci_msi_reset(q);
	vpci_msix_reset(q);
	for (i = 0; i < q->count; i++) {
		vpci_irq_block(q, i);
		q->vectors[i] = (struct vpci_vector){ .masked = true };
	}
}

void vpci_irq_reset(struct vpci_irqs *q)
{
	if (!q->started)
		return;
	power_on(q);
	vpci_intx_update(q);
}

enum status vpci_irq_start(struct vpci_irqs *q)
{
	q->denied = false;
	if (q->count && iommu_info.irq_remap) {
		enum status s = iommu_irq_alloc(q->host->requester, q->count, &q->first);

		if (s != OK)
			return s;
	}
	power_on(q);
	vpci_intx_start(q);
	q->started = true;
	return OK;
}

void vpci_irq_stop(struct vpci_irqs *q)
{
	if (!q->started)
		return;
	power_on(q);
	q->started = false;
	if (q->count && iommu_info.irq_remap)
		iommu_irq_free(q->host->requester, q->first, q->count);
}

static const char *kind(const struct vpci_irqs *q)
{
	if (q->msix_control & MSIX_ENABLE)
		return "MSI-X";
	if (q->msi_control & MSI_ENABLE)
		return "MSI";
	if (q->intx_on)
		return q->intx_asserted ? "INTx, asserted" : "INTx";
	return "interrupts off";
}

static bool is_masked(const struct vpci_irqs *q, unsigned index)
{
	if (q->msix_control & MSIX_ENABLE)
		return (q->msix_control & MSIX_MASK_ALL) || q->vectors[index].masked;
	return index < 32 && (q->msi_mask & BIT(index));
}

bool vpci_irq_describe(struct vpci_irqs *q, unsigned line, char *text, size_t size)
{
	unsigned i, used = 0;

	for (i = 0; i < q->count; i++) {
		const struct vpci_vector *e = &q->vectors[i];

		if (e->live && ++used == line) {
			snprintf(text, size, "message %u: vector %u of APIC %u%s", i, e->vector,
				 e->apic_id, is_masked(q, i) ? ", masked" : "");
			return true;
		}
	}
	if (line == 0)
		snprintf(text, size, "%s, %u of %u messages in use%s", kind(q), used, q->count,
			 iommu_info.irq_remap ? "" : ", not remapped");
	return line == 0;
}
