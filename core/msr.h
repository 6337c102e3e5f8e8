/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_MSR_H
#define LAMINA_CORE_MSR_H

#include "types.h"
#include "x86/msr.h"

struct vcpu;

/*
 * Which entry of the table serves an MSR, worked out before each run of the vCPU: by open addressing,
 * 1 + the entry's number, 0: none. Only entries that apply to this guest on this CPU are there.
 */
#define MSR_PLACES 256

struct msr_index {
	uint8_t places[MSR_PLACES];
	uint64_t efer; /* the bits of EFER that the guest may set */
};

/* Fill the vCPU's index, after cpuid_prepare() and under the same conditions. */
void msr_prepare(struct vcpu *v);

/*
 * May the guest's WRMSR be served by a core that still counts as in the guest? Not an EOI: it may take
 * the guest's lock.
 */
static inline bool msr_write_is_quick(uint32_t msr)
{
	return msr != MSR_X2APIC_EOI;
}

/* The entry that serves an MSR, or NULL: by the index; and by the table itself. */
struct msr_entry;
const struct msr_entry *msr_find(struct vcpu *v, uint32_t msr);
const struct msr_entry *msr_look_up(struct vcpu *v, uint32_t msr);

/*
 * The table of MSRs, default deny. The vendors build their bitmaps from it: `allow` is called for
 * each MSR that the guest reads or writes without exit. MSRs 800h-8FFh are included only if
 * `x2apic` (the guest has its local APIC in x2APIC mode).
 */
typedef void (*msr_allow_fn)(void *ctx, uint32_t msr, bool read, bool write);
void msr_policy_for_each(struct vcpu *v, bool x2apic, msr_allow_fn allow, void *ctx);

/* Bring all MSRs that are passed through to their power-on values; on the vCPU's core. */
void msr_reset(struct vcpu *v);

#endif
