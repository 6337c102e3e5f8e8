/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vcpu.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "core/fetch.h"
#include "core/guest.h"
#include "core/guest_load.h"
#include "core/hvm.h"
#include "core/init.h"
#include "core/host_nmi.h"
#include "core/nx.h"
#include "core/passthrough.h"
#include "core/smp.h"
#include "core/vdev.h"
#include "log.h"
#include "panic.h"
#include "x86/asm.h"
#include "x86/lapic.h"
#include "x86/tsc.h"

static uint64_t pending(const struct vcpu *v)
{
	return __atomic_load_n(&v->requests, __ATOMIC_ACQUIRE);
}

/* Consume a request: true for exactly one caller. */
static bool take(struct vcpu *v, uint64_t request)
{
	return (__atomic_fetch_and(&v->requests, ~request, __ATOMIC_ACQ_REL) & request) != 0;
}

void vcpu_request(struct vcpu *v, uint64_t request)
{
	__atomic_fetch_or(&v->requests, request, __ATOMIC_ACQ_REL);
	if (v->cpu != this_cpu())
		smp_kick(v->cpu);
}

void vcpu_post_vector(struct vcpu *v, uint8_t vector)
{
	if (v->cpu == this_cpu() && v->state == VCPU_RUNNING) {
		lapic_self_ipi(vector);
		return;
	}
	__atomic_fetch_or(&v->vectors[vector / 64], BIT(vector % 64), __ATOMIC_ACQ_REL);
	vcpu_request(v, VCPU_REQ_VECTORS);
}

static void raise_vectors(struct vcpu *v)
{
	for (unsigned word = 0; word < ARRAY_SIZE(v->vectors); word++) {
		uint64_t bits = __atomic_exchange_n(&v->vectors[word], 0, __ATOMIC_ACQ_REL);

		for (; bits; bits &= bits - 1)
			lapic_self_ipi((uint8_t)(word * 64 + (unsigned)__builtin_ctzll(bits)));
	}
}

static void save_snapshot(struct vcpu *v)
{
	memcpy(v->last.gpr, v->gpr, sizeof(v->gpr));
	v->last.rip = v->rip;
	v->last.rflags = v->rflags;
	hvm->get_sregs(v, &v->last.sregs);
	v->last.valid = true;
}

enum status vcpu_get_snapshot(struct vcpu *v, struct vcpu_snapshot *out)
{
	if (v->state == VCPU_RUNNING && v->cpu != this_cpu()) {
		uint64_t deadline = rdtsc() + tsc_from_us(100000);

		vcpu_request(v, VCPU_REQ_SNAPSHOT);
		while ((pending(v) & VCPU_REQ_SNAPSHOT) && v->state == VCPU_RUNNING) {
			if (rdtsc() > deadline)
				return ERR_TIMEOUT;
			cpu_pause();
		}
	} else if (v->state == VCPU_RUNNING) {
		save_snapshot(v);
	}
	if (!v->last.valid)
		return ERR_NOT_FOUND;
	*out = v->last;
	return OK;
}

/* Requests that are served without leaving the guest for longer. False: leave the run loop. */
static bool serve(struct vcpu *v, uint64_t requests)
{
	if (requests & (VCPU_REQ_STOP | VCPU_REQ_PAUSE | VCPU_REQ_INIT))
		return false;
	if (take(v, VCPU_REQ_FLUSH)) {
		hvm->flush_guest_tlb(v);
		fetch_forget(v);
	}
	if (take(v, VCPU_REQ_CONSOLE))
		guest_poll_console(v->guest);
	if (take(v, VCPU_REQ_MSRS))
		hvm->set_x2apic(v, v->x2apic);
	if (take(v, VCPU_REQ_VECTORS))
		raise_vectors(v);
	if (take(v, VCPU_REQ_NMI))
		hvm->inject_nmi(v);
	if (requests & VCPU_REQ_SNAPSHOT) {
		save_snapshot(v);
		take(v, VCPU_REQ_SNAPSHOT);
	}
	/*
	 * A start-up IPI to a core that runs is ignored (SDM vol. 3, 8.4.3), but not one that has come
	 * since `requests` was read: it may follow an INIT.
	 */
	take(v, requests & (VCPU_REQ_SIPI | VCPU_REQ_START));
	return true;
}

/*
 * Work that makes no guest exit but is done at an exit that happens anyway: looked for a hundred times
 * a second at most. It may take locks, so the core is outside meanwhile.
 */
static void do_what_is_due(struct vcpu *v)
{
	vcpu_be_outside(v);
	v->due = v->exit_tsc + tsc_from_us(10000);
	nx_after_exit(v);
	iommu_faults_after_exit(v->exit_tsc);
}

bool vcpu_before_entry(struct vcpu *v)
{
	struct cpu *c = v->cpu;

	if (unlikely(v->exit_tsc >= v->due))
		do_what_is_due(v);
	for (;;) {
		uint64_t requests;

		if (unlikely(c->nmi_pending) && cpu_take_nmi(c)) {
			__atomic_store_n(&c->in_guest, 0, __ATOMIC_RELEASE);
			host_nmi_work();
		}
		if (vcpu_may_enter(v))
			return true;
		requests = pending(v);
		__atomic_store_n(&c->in_guest, 0, __ATOMIC_RELEASE);
		if (requests && !serve(v, requests))
			return false;
		cpu_pause();
	}
}

void vcpu_host_nmi(struct vcpu *v)
{
	v->cpu->nmi_pending = 1;
}

void vcpu_die(struct vcpu *v, const char *fmt, ...)
{
	char text[sizeof(v->guest->end_text)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	save_snapshot(v);
	log_error("guest %s: core %u stopped at rip %#llx: %s", v->guest->config->name,
		  v->cpu->index, (unsigned long long)v->rip, text);
	guest_end_run(v->guest, END_CRASH, text);
}

static void set_state(struct vcpu *v, enum vcpu_state state)
{
	__atomic_store_n(&v->state, state, __ATOMIC_RELEASE);
}

/* Out of the guest for good: this run is over for this core. */
static void leave(struct vcpu *v)
{
	if (v->state == VCPU_RUNNING || v->state == VCPU_PARKED)
		save_snapshot(v);
	set_state(v, VCPU_OFF);
	/* Nothing that was meant for the old run may reach the next one. */
	__atomic_store_n(&v->requests, 0, __ATOMIC_RELEASE);
	memset(v->vectors, 0, sizeof(v->vectors));
	fetch_forget(v); /* its memory may become another guest's */
	lapic_reset_to_power_on();
	guest_vcpu_left(v->guest);
}

static void power_on(struct vcpu *v)
{
	struct vcpu_start start = { 0 };

	memset(&v->last, 0, sizeof(v->last));
	memset(&v->soft, 0, sizeof(v->soft));
	fetch_forget(v);
	lapic_reset_to_power_on();
	v->x2apic = lapic_is_x2apic();
	cpuid_prepare(v);
	msr_prepare(v);
	if (v->index > 0) {
		set_state(v, VCPU_WAIT_SIPI);
		return;
	}
	vdev_reset(v->guest);
	if (passthrough_start(v->guest) != OK) {
		set_state(v, VCPU_RUNNING);
		guest_end_run(v->guest, END_MONITOR, "its devices could not be made ready");
		return;
	}
	if (guest_load(v->guest, &start) != OK) {
		set_state(v, VCPU_RUNNING);
		guest_end_run(v->guest, END_MONITOR, "its images could not be loaded");
		return;
	}
	hvm->vcpu_reset(v, &start);
	guest_note_start(v->guest);
	if (!first_entry_tsc)
		first_entry_tsc = rdtsc();
	set_state(v, VCPU_RUNNING);
}

/* INIT: registers and local APIC as after power-on, then wait (SDM vol. 3, 8.4.3). */
static void do_init(struct vcpu *v)
{
	take(v, VCPU_REQ_INIT); /* a start-up IPI that is pending came after it */
	lapic_reset_to_power_on();
	v->x2apic = lapic_is_x2apic();
	fetch_forget(v); /* it may lose memory meanwhile */
	set_state(v, VCPU_WAIT_SIPI);
}

static bool step_wait_sipi(struct vcpu *v)
{
	struct vcpu_start start = { 0 };

	if (take(v, VCPU_REQ_INIT))
		return true;
	if (!take(v, VCPU_REQ_SIPI))
		return false;
	/* INIT has dropped what was pending, and nothing but the SIPI is heard after it. */
	take(v, VCPU_REQ_NMI | VCPU_REQ_VECTORS);
	memset(v->vectors, 0, sizeof(v->vectors));
	start.sipi_vector = v->sipi_vector;
	hvm->vcpu_reset(v, &start);
	set_state(v, VCPU_RUNNING);
	return true;
}

bool vcpu_step(struct vcpu *v)
{
	if (v->state != VCPU_OFF && (pending(v) & VCPU_REQ_STOP)) {
		leave(v);
		return true;
	}
	switch ((enum vcpu_state)v->state) {
	case VCPU_OFF:
		if (!take(v, VCPU_REQ_START))
			return false;
		power_on(v);
		return true;
	case VCPU_WAIT_SIPI:
		return step_wait_sipi(v);
	case VCPU_PARKED:
		if (pending(v) & VCPU_REQ_PAUSE)
			return false;
		set_state(v, VCPU_RUNNING);
		return true;
	case VCPU_RUNNING:
		break;
	}
	if (pending(v) & VCPU_REQ_INIT) {
		do_init(v);
	} else if (pending(v) & VCPU_REQ_PAUSE) {
		save_snapshot(v);
		take(v, VCPU_REQ_SNAPSHOT);
		fetch_forget(v); /* it may lose memory meanwhile */
		set_state(v, VCPU_PARKED);
	} else {
		hvm->vcpu_run(v);
	}
	return true;
}

const char *vcpu_state_name(enum vcpu_state s)
{
	static const char *const names[] = { "off", "waiting for SIPI", "running", "paused" };

	return s < ARRAY_SIZE(names) ? names[s] : "?";
}

const char *exit_class_name(enum exit_class c)
{
	static const char *const names[EXIT_CLASS_COUNT] = {
		[EXIT_NMI] = "nmi",
		[EXIT_CPUID] = "cpuid",
		[EXIT_RDMSR] = "rdmsr",
		[EXIT_WRMSR] = "wrmsr",
		[EXIT_PIO] = "port",
		[EXIT_MMIO] = "mmio",
		[EXIT_APIC] = "apic",
		[EXIT_TDP] = "tdp-fault",
		[EXIT_HYPERCALL] = "hypercall",
		[EXIT_XSETBV] = "xsetbv",
		[EXIT_CR] = "cr",
		[EXIT_INIT_SIGNAL] = "init",
		[EXIT_EXCEPTION] = "exception",
		[EXIT_NMI_WINDOW] = "nmi-window",
		[EXIT_DENIED] = "denied",
		[EXIT_CACHE] = "cache",
		[EXIT_SHUTDOWN] = "shutdown",
		[EXIT_INVALID] = "invalid",
		[EXIT_OTHER] = "other",
	};

	return c < EXIT_CLASS_COUNT && names[c] ? names[c] : "?";
}
