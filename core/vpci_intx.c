/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INTx. External interrupts belong to the guests, so the lines of the physical IOAPICs can only reach
 * Lamina as NMIs, and only on edges. Which line is whose is written in AML. So on an NMI each device
 * that may have caused it is asked by its Interrupt Status bit. The real INTx of one that asserts is
 * disabled, which lets the line go and another device on it make the next edge; the guest's
 * IOAPIC has the level instead. When the guest has served it, the real one is enabled again.
 */
#include "core/guest.h"
#include "core/host_console.h"
#include "core/vlapic.h"
#include "core/vpci_irq_priv.h"
#include "log.h"
#include "spinlock.h"

/* PCI Local Bus Specification 3.0, 6.2.2 and 6.2.3; the upper byte of Command alone is written. */
#define COMMAND_HIGH (PCI_COMMAND + 1)
#define HIGH_NO_INTX ((uint8_t)(PCI_COMMAND_NO_INTX >> 8))
#define STATUS_INTX  BIT(3)
#define NO_DEVICE    0xffff

/*
 * How often all devices are asked after one NMI. Each is found once, unless its guest serves it
 * meanwhile; a guest that does so forever is not waited for.
 */
#define PASSES_MAX 16

static struct {
	struct spinlock lock;      /* inside guests' locks, outside the IOMMU's and the IOAPICs' */
	struct vpci_irqs *devices; /* all that have INTx; constant once guests run */
	uint32_t listening;        /* how many of them are on */
	bool routed;
	uint32_t apic_id; /* of the core that has the lines' NMIs, if `routed` */
} intx;

/* Reads as all ones: the device is gone, or in the middle of a reset. */
static bool real_asserted(const struct vpci_irqs *q)
{
	uint16_t status = vpci_irq_read16(q, PCI_STATUS);

	return status != NO_DEVICE && (status & STATUS_INTX);
}

static void real_enable(const struct vpci_irqs *q, bool on)
{
	const struct pci_bdf d = q->host->bdf;
	uint8_t now = pci_read8(q->access, d, COMMAND_HIGH);
	uint8_t next = on ? now & (uint8_t)~HIGH_NO_INTX : now | HIGH_NO_INTX;

	pci_write8(q->access, d, COMMAND_HIGH, next);
}

static bool can_disable(const struct vpci_irqs *q)
{
	real_enable(q, false);
	return pci_read8(q->access, q->host->bdf, COMMAND_HIGH) & HIGH_NO_INTX;
}

/*
 * Pins of several devices are one input. While any of them is asserted, EOIs are needed to learn that
 * it may have been served, unless the guest uses the IOAPIC's register for that. With its lock.
 */
static void set_input(struct guest *g, uint8_t line)
{
	const struct vpci_irqs *q;
	bool level = false, any = false;

	for (q = intx.devices; q; q = q->intx_next) {
		if (q->guest != g || !q->intx_asserted)
			continue;
		any = true;
		level |= q->intx_line == line;
	}
	any &= !g->ioapic.has_ended;
	if (any)
		vlapic_trap_eoi(g, true);
	vioapic_set_line(&g->ioapic, line, level);
	if (!any)
		vlapic_trap_eoi(g, false);
}

/*
 * The device's line is to be the guest's input: whoever asserts stays disabled and is asserted there.
 * Asked after it was enabled: what comes later makes an edge.
 */
static void sample(struct vpci_irqs *q)
{
	if (q->intx_asserted && real_asserted(q))
		return;
	if (q->intx_asserted) {
		q->intx_asserted = false;
		real_enable(q, true);
	}
	if (real_asserted(q)) {
		real_enable(q, false);
		q->intx_asserted = true;
	}
}

/* A core for the lines' NMIs, of a guest that listens: the one that has them, if that is still so. */
static const struct vpci_irqs *find_listener(void)
{
	const struct vpci_irqs *q, *found = NULL;

	for (q = intx.devices; q; q = q->intx_next) {
		if (!q->intx_on)
			continue;
		found = q;
		if (intx.routed && intx.apic_id == q->guest->vcpus[0]->apic_id)
			break;
	}
	return found;
}

static void route(void)
{
	const struct vpci_irqs *q = find_listener();
	uint32_t apic_id;

	if (!q) {
		host_mask_pci_lines();
		intx.routed = false;
		return;
	}
	apic_id = q->guest->vcpus[0]->apic_id;
	if (intx.routed && intx.apic_id == apic_id)
		return;
	if (!host_route_pci_lines(apic_id))
		log_warn("guest %s: INTx of its devices cannot arrive, no IOAPIC can be used",
			 q->guest->config->name);
	intx.routed = true;
	intx.apic_id = apic_id;
}

static bool wanted(const struct vpci_irqs *q)
{
	return q->started && q->intx_line && q->intx_used && !q->intx_off &&
	       !(q->msi_control & MSI_ENABLE) && !(q->msix_control & MSIX_ENABLE);
}

/* With intx.lock. */
static void turn(struct vpci_irqs *q, bool on)
{
	if (q->intx_on == on)
		return;
	__atomic_store_n(&q->intx_on, on, __ATOMIC_RELAXED);
	__atomic_fetch_add(&intx.listening, on ? 1u : -1u, __ATOMIC_RELAXED);
	route();
	if (on) {
		real_enable(q, true);
		sample(q);
	} else {
		real_enable(q, false);
		q->intx_asserted = false;
	}
}

void vpci_intx_update(struct vpci_irqs *q)
{
	if (!q->intx_line)
		return;
	spin_lock(&intx.lock);
	turn(q, wanted(q));
	set_input(q->guest, q->intx_line);
	spin_unlock(&intx.lock);
}

void vpci_intx_command(struct vpci_irqs *q, uint16_t command)
{
	q->intx_off = command & PCI_COMMAND_NO_INTX;
	vpci_intx_update(q);
}

void vpci_intx_resample(struct guest *g, unsigned pin)
{
	struct vpci_irqs *q;
	bool any = false;

	for (q = intx.devices; q; q = q->intx_next) {
		if (q->guest != g || q->intx_line != pin)
			continue;
		any = true;
		q->intx_used = true;
		spin_lock(&intx.lock);
		turn(q, wanted(q));
		if (q->intx_on)
			sample(q);
		spin_unlock(&intx.lock);
	}
	if (!any)
		return;
	spin_lock(&intx.lock);
	set_input(g, (uint8_t)pin);
	spin_unlock(&intx.lock);
}

/* Looked at without a lock first, so that those who have nothing to do with it are left alone. */
static bool has_changed(const struct vpci_irqs *q)
{
	return __atomic_load_n(&q->intx_on, __ATOMIC_RELAXED) &&
	       real_asserted(q) != __atomic_load_n(&q->intx_asserted, __ATOMIC_RELAXED);
}

/* True: somebody has asserted its line. */
static bool poll_device(struct vpci_irqs *q)
{
	bool found = false;

	spin_lock(&q->guest->lock);
	spin_lock(&intx.lock);
	if (q->intx_on) {
		bool was = q->intx_asserted;

		sample(q);
		found = !was && q->intx_asserted;
		set_input(q->guest, q->intx_line);
	}
	spin_unlock(&intx.lock);
	spin_unlock(&q->guest->lock);
	return found;
}

/*
 * A line that a device holds makes no edge for the next one. Only when nobody has been found, twice in
 * a row, the line was down in between, and whoever asserts it makes another NMI.
 */
void vpci_intx_poll(void)
{
	unsigned quiet = 0, pass;

	if (!__atomic_load_n(&intx.listening, __ATOMIC_RELAXED))
		return;
	for (pass = 0; pass < PASSES_MAX && quiet < 2; pass++) {
		struct vpci_irqs *q;
		bool found = false;

		for (q = intx.devices; q; q = q->intx_next)
			found |= has_changed(q) && poll_device(q);
		quiet = found ? 0 : quiet + 1;
	}
}

void vpci_intx_reset(struct vpci_irqs *q)
{
	if (!q->host->pin)
		return;
	spin_lock(&intx.lock);
	q->intx_off = false;
	turn(q, false);
	real_enable(q, false);
	spin_unlock(&intx.lock);
}

void vpci_intx_start(struct vpci_irqs *q)
{
	q->intx_used = false;
	spin_lock(&q->guest->lock);
	vpci_intx_update(q);
	spin_unlock(&q->guest->lock);
}

void vpci_intx_create(struct vpci_irqs *q, uint8_t slot)
{
	const struct pci_bdf d = q->host->bdf;
	uint8_t pin = q->host->pin;

	if (pin < 1 || pin > 4)
		return;
	if (!can_disable(q)) {
		log_warn("guest %s: PCI %02x:%02x.%u has an INTx that cannot be disabled; "
			 "the guest does not get it",
			 q->guest->config->name, d.bus, d.device, d.function);
		return;
	}
	q->intx_line = vpci_intx_line(slot, pin);
	q->intx_next = intx.devices;
	intx.devices = q;
}
