/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vlapic.h"

#include "core/guest.h"
#include "core/hvm.h"
#include "core/hw.h"
#include "log.h"
#include "x86/lapic.h"
#include "x86/msr.h"

#define BROADCAST8  0xffu
#define BROADCAST32 0xffffffffu

#define X2APIC_ICR_RESERVED (BITS(31, 20) | BITS(17, 16) | BIT(13))

/* An interrupt message. `x2apic`: a 32-bit destination, otherwise an 8-bit one. */
struct message {
	uint32_t dest;
	bool x2apic, logical;
	enum apic_delivery mode;
	uint8_t vector;
};

/* SDM vol. 3, 11.6.2.2: flat and cluster model of the 8-bit logical destination. */
static bool logical8_matches(const struct vcpu *t, uint32_t dest)
{
	uint32_t ldr = t->soft.apic_ldr >> 24;

	if (t->x2apic) {
		/* 11.12.10.2: cluster 0 is all that eight bits can name. */
		return (t->apic_id >> 4) == 0 && (dest & BIT(t->apic_id & 0xf));
	}
	if (t->soft.apic_dfr >> 28 == 0xf)
		return dest & ldr;
	return (dest >> 4 == 0xf || dest >> 4 == ldr >> 4) && (dest & ldr & 0xf);
}

static bool logical32_matches(const struct vcpu *t, uint32_t dest)
{
	return t->x2apic && t->apic_id >> 4 == dest >> 16 && (dest & BIT(t->apic_id & 0xf));
}

static bool matches(const struct vcpu *t, const struct message *m)
{
	if (m->dest == (m->x2apic ? BROADCAST32 : BROADCAST8))
		return true;
	if (!m->logical)
		return t->apic_id == m->dest;
	return m->x2apic ? logical32_matches(t, m->dest) : logical8_matches(t, m->dest);
}

/*
 * A vCPU that waits for its SIPI has its APIC disabled: fixed interrupts are lost there. One that
 * runs on another core gets it from the hardware, without leaving the guest.
 */
static void accept_fixed(struct vcpu *t, const struct vcpu *from, uint8_t vector)
{
	if (t->state != VCPU_RUNNING && t->state != VCPU_PARKED)
		return;
	if (from && t != from &&
	    lapic_send_ipi(t->apic_id, LAPIC_ICR_FIXED | LAPIC_ICR_ASSERT | vector) == OK)
		return;
	vcpu_post_vector(t, vector);
}

/*
 * `from`: the vCPU that sends, on its core; NULL for the IOAPIC. False: no guest may send this
 * (SMI, ExtINT, reserved modes).
 */
static bool accept(struct vcpu *t, const struct vcpu *from, const struct message *m)
{
	switch (m->mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		/* Vectors below 16 are illegal (SDM vol. 3, 11.5.2). */
		if (m->vector >= 16)
			accept_fixed(t, from, m->vector);
		return true;
	case APIC_DM_NMI:
		vcpu_request(t, VCPU_REQ_NMI);
		return true;
	case APIC_DM_INIT:
		/* Kernels send INIT and start-up IPI back to back; the order must not be lost. */
		__atomic_fetch_and(&t->requests, ~VCPU_REQ_SIPI, __ATOMIC_ACQ_REL);
		vcpu_request(t, VCPU_REQ_INIT);
		return true;
	case APIC_DM_STARTUP:
		t->sipi_vector = m->vector;
		vcpu_request(t, VCPU_REQ_SIPI);
		return true;
	default:
		return false;
	}
}

static void deny(struct guest *g, struct vcpu *from, const struct message *m)
{
	__atomic_fetch_add(&g->denied_ipi, 1, __ATOMIC_RELAXED);
	if (from->soft.ipi_denied)
		return;
	from->soft.ipi_denied = true;
	log_warn("guest %s: interrupt (mode %u, vector %u) to APIC %#x dropped, not its own core",
		 g->config->name, m->mode, m->vector, m->dest);
}

/* `but_self`: not to `from`. False: nobody is addressed, or nobody may be so. */
static bool route(struct guest *g, const struct message *m, const struct vcpu *from, bool but_self)
{
	struct vcpu *t;
	bool taken = false;
	uint32_t i;

	for_each_vcpu (g, t, i) {
		if ((but_self && t == from) || !matches(t, m))
			continue;
		if (!accept(t, from, m))
			return false;
		taken = true;
		if (m->mode == APIC_DM_LOWEST)
			break;
	}
	return taken;
}

void vlapic_deliver(struct guest *g, uint8_t dest, bool logical, enum apic_delivery mode,
		    uint8_t vector)
{
	const struct message m = { dest, false, logical, mode, vector };

	/* An IOAPIC may send INIT, but a start-up message is no mode of its entries. */
	if (mode == APIC_DM_STARTUP || mode == APIC_DM_INIT || !route(g, &m, NULL, false))
		deny(g, g->vcpus[0], &m);
}

struct vcpu *vlapic_resolve(struct guest *g, uint8_t dest, bool logical, bool any)
{
	const struct message m = { .dest = dest, .logical = logical };
	struct vcpu *t, *found = NULL;
	uint32_t i;

	for_each_vcpu (g, t, i) {
		if (!matches(t, &m))
			continue;
		if (found)
			return NULL;
		found = t;
		if (any)
			break;
	}
	return found;
}

/* A write to the ICR; SDM vol. 3, 11.6.1. */
static void send(struct vcpu *v, uint32_t icr, uint32_t dest, bool x2apic)
{
	struct message m = {
		.dest = dest,
		.x2apic = x2apic,
		.logical = icr & LAPIC_ICR_LOGICAL,
		.mode = (icr >> 8) & 7,
		.vector = icr & LAPIC_ICR_VECTOR,
	};
	uint32_t shorthand = icr & LAPIC_ICR_SHORTHAND;

	/* INIT level de-assert has done nothing since the Pentium 4. */
	if (m.mode == APIC_DM_INIT && (icr & LAPIC_ICR_LEVEL) && !(icr & LAPIC_ICR_ASSERT))
		return;
	if (shorthand == LAPIC_ICR_SELF) {
		/* Only fixed interrupts have this shorthand. */
		if (m.mode == APIC_DM_FIXED)
			(void)accept(v, v, &m);
		return;
	}
	if (shorthand) {
		m.dest = x2apic ? BROADCAST32 : BROADCAST8;
		/* To nobody is no offence: the only core of a guest addresses all others. */
		(void)route(v->guest, &m, v, shorthand == LAPIC_ICR_ALL_BUT_SELF);
		return;
	}
	if (!route(v->guest, &m, v, false)) {
		vcpu_go_outside(v);
		deny(v->guest, v, &m);
	}
}

/*
 * A local vector table entry in another mode than fixed makes the hardware deliver SMI, NMI, INIT
 * or the 8259's vector: such entries stay masked, and so do the pins, which the board wires for the
 * machine's owner and not for a guest. Intel's timer and error entries have no mode (SDM vol. 3,
 * figure 11-8) and raise #GP for one in x2APIC mode; others, QEMU's among them, follow it.
 */
static uint32_t filter_lvt(uint32_t reg, uint32_t value)
{
	if (reg == LAPIC_LVT_LINT0 || reg == LAPIC_LVT_LINT1 || (value & LAPIC_LVT_DELIVERY))
		value |= LAPIC_LVT_MASKED;
	return value;
}

/* The highest vector in service, which the next EOI ends; -1: none. */
static int in_service(void)
{
	int i;

	for (i = 7; i >= 0; i--) {
		uint32_t bits = lapic_read(LAPIC_ISR + 0x10 * (uint32_t)i);

		if (bits)
			return 32 * i + 31 - __builtin_clz(bits);
	}
	return -1;
}

/* What a broadcast of the hardware would do if it knew that the interrupt was a level one. */
static void end_of_interrupt(struct vcpu *v, uint32_t value)
{
	struct guest *g = v->guest;
	int vector = vioapic_needs_eoi(&g->ioapic) ? in_service() : -1;

	lapic_write(LAPIC_EOI, value);
	if (vector < 0)
		return;
	spin_lock(&g->lock);
	vioapic_eoi(&g->ioapic, (uint8_t)vector);
	spin_unlock(&g->lock);
}

void vlapic_trap_eoi(struct guest *g, bool on)
{
	struct vcpu *v;
	uint32_t i;

	if (g->trap_eoi == on)
		return;
	__atomic_store_n(&g->trap_eoi, on, __ATOMIC_RELEASE);
	for_each_vcpu (g, v, i)
		vcpu_request(v, VCPU_REQ_MSRS);
}

void vlapic_page_write(struct vcpu *v, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case LAPIC_ICR:
		send(v, value, v->soft.apic_icr2 >> 24, false);
		return;
	case LAPIC_ICR2:
		v->soft.apic_icr2 = value;
		break;
	case LAPIC_LDR:
		v->soft.apic_ldr = value;
		break;
	case LAPIC_DFR:
		v->soft.apic_dfr = value | 0x0fffffff;
		break;
	case LAPIC_LVT_CMCI:
	case LAPIC_LVT_TIMER:
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PMC:
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
	case LAPIC_LVT_ERROR:
		value = filter_lvt(offset, value);
		break;
	case LAPIC_EOI:
		end_of_interrupt(v, value);
		return;
	case LAPIC_TPR:
	case LAPIC_SVR:
	case LAPIC_ESR:
	case LAPIC_TIMER_INIT:
	case LAPIC_TIMER_DIVIDE:
		break;
	default: /* the ID is the core's for good; the rest is read-only or not there */
		return;
	}
	lapic_write(offset, value);
}

enum status vlapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint32_t reg = (msr - MSR_X2APIC_BASE) << 4;

	if (msr == MSR_X2APIC_ICR) {
		if (value & X2APIC_ICR_RESERVED)
			return ERR_INVALID;
		send(v, (uint32_t)value, value >> 32, true);
		return OK;
	}
	if (value >> 32)
		return ERR_INVALID;
	if (msr == MSR_X2APIC_EOI) {
		if (value)
			return ERR_INVALID;
		end_of_interrupt(v, 0);
		return OK;
	}
	return hw_wrmsr(msr, filter_lvt(reg, (uint32_t)value)) ? OK : ERR_INVALID;
}

/*
 * The guest's APIC off is not the hardware's APIC off: that would lose the hypervisor's NMIs, and
 * some implementations come back from there by a hardware reset only (SDM vol. 3, 11.4.3). It is
 * disabled by software instead, which masks its local vectors, and keeps its mode.
 */
static void disable(struct vcpu *v)
{
	lapic_write(LAPIC_TIMER_INIT, 0);
	lapic_write(LAPIC_SVR, 0xff);
	v->soft.apic_ldr = 0;
	v->soft.apic_dfr = ~0u;
}

/* SDM vol. 3, figure 11-27: on to x2APIC only from xAPIC, back only through disabled. */
static bool legal_change(uint64_t from, uint64_t to)
{
	const uint64_t mode = APIC_BASE_EN | APIC_BASE_EXTD;

	/* The page does not move, and BSP is what the core is. */
	if ((from ^ to) & ~mode)
		return false;
	if (to & APIC_BASE_EXTD)
		return (to & APIC_BASE_EN) && (from & APIC_BASE_EN);
	return !(to & APIC_BASE_EN) || !(from & APIC_BASE_EXTD);
}

/*
 * From disabled to xAPIC is refused where the hardware has stayed in x2APIC mode, because of the
 * above: for such a guest the APIC stays off until its next start.
 */
enum status vlapic_set_base(struct vcpu *v, uint64_t value)
{
	bool x2apic = value & APIC_BASE_EXTD;
	uint64_t hw;

	if (!legal_change(v->apic_base, value))
		return ERR_INVALID;
	if (value == v->apic_base)
		return OK;
	if (!(value & APIC_BASE_EN)) {
		disable(v);
	} else if (!x2apic) {
		if (lapic_is_x2apic())
			return ERR_INVALID;
	} else if (!hw_rdmsr(MSR_APIC_BASE, &hw) || !hw_wrmsr(MSR_APIC_BASE, hw | APIC_BASE_EXTD)) {
		return ERR_INVALID;
	}
	v->apic_base = value;
	if (v->x2apic != x2apic) {
		v->x2apic = x2apic;
		hvm->set_x2apic(v, x2apic);
	}
	return OK;
}

void vlapic_reset(struct vcpu *v)
{
	v->soft.apic_ldr = 0;
	v->soft.apic_dfr = ~0u;
	v->soft.apic_icr2 = 0;
	v->x2apic = lapic_is_x2apic();
	v->apic_base = APIC_DEFAULT_GPA | APIC_BASE_EN;
	if (v->x2apic)
		v->apic_base |= APIC_BASE_EXTD;
	if (v->index == 0)
		v->apic_base |= APIC_BASE_BSP;
	hvm->set_x2apic(v, v->x2apic);
}
