/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VLAPIC_H
#define LAMINA_CORE_VLAPIC_H

#include "core/vioapic.h"
#include "core/vcpu.h"
#include "types.h"

/*
 * The guest owns its cores' local APICs. Here is what stands between: the writes that could reach
 * other guests' cores, or that could make the hardware deliver an SMI, INIT or NMI, trap and are
 * done on the guest's behalf. Interrupts to cores that are not the guest's are dropped, counted in
 * guest.denied_ipi and logged once per run.
 */

/* Power-on state of what is tracked for the vCPU; on its core, after its APIC was reset. */
void vlapic_reset(struct vcpu *v);

/*
 * Whether EOIs in x2APIC mode exit (guest.trap_eoi); those to the xAPIC's page always do. With the
 * guest's lock, from any core. Interrupts that are sent afterwards find it in force.
 */
void vlapic_trap_eoi(struct guest *g, bool on);

/* A trapped write to the xAPIC page, on the vCPU's core. Only aligned 32-bit writes do anything. */
void vlapic_page_write(struct vcpu *v, uint32_t offset, uint32_t value);

/* WRMSR to 800h-8FFh, on the vCPU's core. ERR_INVALID: #GP. */
enum status must_check vlapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value);

/* WRMSR to IA32_APIC_BASE, on the vCPU's core. ERR_INVALID: #GP. */
enum status must_check vlapic_set_base(struct vcpu *v, uint64_t value);

/* A message from the guest's IOAPIC; from any core. `dest` as in the redirection entry. */
void vlapic_deliver(struct guest *g, uint8_t dest, bool logical, enum apic_delivery mode,
		    uint8_t vector);

/*
 * The one vCPU that an interrupt message of a device would reach, with the APICs as they are now;
 * `any`: of several, one is as good as another. NULL: none of the guest's, or more than one.
 * With the guest's lock, from any core.
 */
struct vcpu *vlapic_resolve(struct guest *g, uint8_t dest, bool logical, bool any);

#endif
