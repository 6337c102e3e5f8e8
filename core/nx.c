/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/nx.h"

#include "log.h"
#include "x86/asm.h"
#include "x86/multihit.h"
#include "x86/tsc.h"

/*
 * A pass looks at 1/60 of the regions, so at each of them once an hour, as long as there are no
 * more than that allows: what is done at one exit stays within some
 * hundred microseconds.
 */
#define PASS_PART 60
#define PASS_MAX  32

void nx_init(struct guest *g)
{
	enum config_nx setting = g->config->nx_hugepages;
	const char *name = g->config->name;
	bool affected = cpu_has_multihit();

	nx_set_period(g, NX_PERIOD_SECONDS);
	if (setting == NX_OFF) {
		if (affected)
			log_warn("guest %s: iTLB multihit: affected, and the guest can stop the "
				 "whole machine (nx_hugepages=off)",
				 name);
		return;
	}
	if (setting == NX_AUTO && !affected)
		return;
	log_info("guest %s: iTLB multihit: %saffected, large pages are not executable "
		 "(nx_hugepages=%s)",
		 name, affected ? "" : "not ", setting == NX_ON ? "on" : "auto");
	tdp_set_nx_huge(&g->tdp, true);
}

void nx_set_period(struct guest *g, uint32_t seconds)
{
	g->nx_period = tsc_from_us(1000000) * seconds;
	__atomic_store_n(&g->nx_next, rdtsc() + g->nx_period, __ATOMIC_RELAXED);
}

uint32_t nx_period(const struct guest *g)
{
	return (uint32_t)(g->nx_period / tsc_from_us(1000000));
}

unsigned nx_recover_all(struct guest *g)
{
	unsigned merged = 0;

	/* In pieces, because faults wait for each of them. */
	for (unsigned left = g->tdp.nx_list.count; left; left -= min_u64(left, PASS_MAX))
		merged += tdp_nx_recover(&g->tdp, min_u64(left, PASS_MAX));
	return merged;
}

void nx_pass(struct vcpu *v)
{
	struct guest *g = v->guest;
	uint64_t due = __atomic_load_n(&g->nx_next, __ATOMIC_RELAXED);
	uint64_t part = g->tdp.nx_list.count / PASS_PART;

	/* One core of the guest does it. */
	if (v->exit_tsc < due ||
	    !__atomic_compare_exchange_n(&g->nx_next, &due, v->exit_tsc + g->nx_period, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	tdp_nx_try_recover(&g->tdp, (unsigned)min_u64(max_u64(part, 1), PASS_MAX));
}
