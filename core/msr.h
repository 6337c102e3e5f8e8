/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_MSR_H
#define LAMINA_CORE_MSR_H

#include "core/vcpu.h"
#include "types.h"

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
