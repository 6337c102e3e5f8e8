/* SPDX-License-Identifier: BSD-2-Clause */
/* The life cycle of guests: created at boot; started, stopped, reset and paused at any time. */
#include "core/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/console.h"
#include "core/passthrough.h"
#include "core/vdev.h"
#include "log.h"
#include "x86/asm.h"
#include "x86/tsc.h"

struct guest *guests[CONFIG_MAX_GUESTS];
uint32_t guest_count;

static void request_all(struct guest *g, uint64_t request)
{
	struct vcpu *v;
	uint32_t i;

	for_each_vcpu (g, v, i)
		vcpu_request(v, request);
}

/*
 * All vCPUs are off. With run_lock. What a core asked of another one that had left already is void
 * now, and not later, when the first core may run and ask for something on its part.
 */
static void begin_run(struct guest *g)
{
	struct vcpu *v;
	uint32_t i;

	for_each_vcpu (g, v, i) {
		__atomic_store_n(&v->requests, 0, __ATOMIC_RELEASE);
		memset(v->vectors, 0, sizeof(v->vectors));
	}
	g->state = GUEST_RUNNING;
	g->end = END_NONE;
	g->running_vcpus = g->vcpu_count;
	g->starts++;
	g->start_tsc = rdtsc();
	console_guest_active(g->index, true);
	request_all(g, VCPU_REQ_START);
}

static void finish_stop(struct guest *g)
{
	g->state = GUEST_STOPPED;
	console_guest_active(g->index, false);
	log_info("guest %s: stopped: %s", g->config->name, g->end_text);
}

/* On the boot processor's core, when everything is in place for its first instruction. */
void guest_note_start(struct guest *g)
{
	log_info("guest %s: %s on core %u", g->config->name,
		 g->starts > 1 ? "restarted" : "started", g->vcpus[0]->cpu->index);
}

void guest_vcpu_left(struct guest *g)
{
	bool last;

	spin_lock(&g->run_lock);
	last = --g->running_vcpus == 0;
	spin_unlock(&g->run_lock);
	if (!last)
		return;
	/* Takes its time, and nobody but the monitor can want anything of the guest meanwhile. */
	passthrough_stop(g);
	spin_lock(&g->run_lock);
	if (g->state == GUEST_RESETTING)
		begin_run(g);
	else
		finish_stop(g);
	spin_unlock(&g->run_lock);
}

static bool wants_restart(const struct guest *g, enum guest_end how)
{
	switch (g->config->restart) {
	case RESTART_NEVER:
		return false;
	case RESTART_ON_REBOOT:
		return how == END_REBOOT;
	case RESTART_ON_CRASH:
		return how == END_REBOOT || how == END_CRASH;
	case RESTART_ALWAYS:
		return how != END_MONITOR;
	}
	return false;
}

/* With run_lock. */
static bool ends_too_quickly(struct guest *g)
{
	if (tsc_to_us(rdtsc() - g->start_tsc) >= GUEST_QUICK_END_MS * 1000ull)
		g->quick_ends = 0;
	else
		g->quick_ends++;
	return g->quick_ends >= GUEST_QUICK_ENDS;
}

/* With run_lock. */
static void end_run(struct guest *g, enum guest_end how, bool restart, const char *why)
{
	g->end = how;
	snprintf(g->end_text, sizeof(g->end_text), "%s", why);
	g->state = restart ? GUEST_RESETTING : GUEST_STOPPING;
	request_all(g, VCPU_REQ_STOP);
}

void guest_end_run(struct guest *g, enum guest_end how, const char *why)
{
	spin_lock(&g->run_lock);
	if (g->state == GUEST_RUNNING || g->state == GUEST_PAUSED) {
		bool restart = wants_restart(g, how);

		if (restart && ends_too_quickly(g)) {
			log_warn(
				"guest %s: ended %u times within %u ms of its start; not restarted",
				g->config->name, g->quick_ends, GUEST_QUICK_END_MS);
			g->quick_ends = 0;
			restart = false;
		}
		end_run(g, how, restart, why);
	}
	spin_unlock(&g->run_lock);
}

enum status guest_start(struct guest *g)
{
	enum status s = ERR_BUSY;

	spin_lock(&g->run_lock);
	if (g->state == GUEST_STOPPED) {
		g->quick_ends = 0;
		begin_run(g);
		s = OK;
	}
	spin_unlock(&g->run_lock);
	return s;
}

enum status guest_stop(struct guest *g)
{
	enum status s = ERR_INVALID;

	spin_lock(&g->run_lock);
	if (g->state == GUEST_RUNNING || g->state == GUEST_PAUSED) {
		end_run(g, END_MONITOR, false, "by the monitor");
		s = OK;
	} else if (g->state == GUEST_RESETTING) {
		g->state = GUEST_STOPPING;
		s = OK;
	}
	spin_unlock(&g->run_lock);
	return s;
}

enum status guest_reset(struct guest *g)
{
	enum status s = OK;

	spin_lock(&g->run_lock);
	g->quick_ends = 0;
	switch (g->state) {
	case GUEST_RUNNING:
	case GUEST_PAUSED:
		end_run(g, END_MONITOR, true, "reset by the monitor");
		break;
	case GUEST_STOPPED:
		begin_run(g);
		break;
	case GUEST_RESETTING:
		break;
	case GUEST_STOPPING:
		s = ERR_BUSY;
		break;
	}
	spin_unlock(&g->run_lock);
	return s;
}

enum status guest_pause(struct guest *g)
{
	enum status s = ERR_INVALID;

	spin_lock(&g->run_lock);
	if (g->state == GUEST_RUNNING) {
		g->state = GUEST_PAUSED;
		request_all(g, VCPU_REQ_PAUSE);
		s = OK;
	}
	spin_unlock(&g->run_lock);
	return s;
}

enum status guest_resume(struct guest *g)
{
	enum status s = ERR_INVALID;
	struct vcpu *v;
	uint32_t i;

	spin_lock(&g->run_lock);
	if (g->state == GUEST_PAUSED) {
		g->state = GUEST_RUNNING;
		for_each_vcpu (g, v, i) {
			__atomic_fetch_and(&v->requests, ~VCPU_REQ_PAUSE, __ATOMIC_ACQ_REL);
			vcpu_request(v, VCPU_REQ_CONSOLE); /* wakes the core */
		}
		s = OK;
	}
	spin_unlock(&g->run_lock);
	return s;
}

void guest_poll_console(struct guest *g)
{
	spin_lock(&g->lock);
	vuart_poll(&g->uart);
	spin_unlock(&g->lock);
}

void guest_console_event(uint32_t index)
{
	struct guest *g = index < guest_count ? guests[index] : NULL;

	if (g)
		vcpu_request(g->vcpus[0], VCPU_REQ_CONSOLE);
}

struct guest *guest_find(const char *name_or_number)
{
	char *end;
	unsigned long n = strtoul(name_or_number, &end, 10);
	struct guest *g;
	uint32_t i;

	for_each_guest (g, i) {
		if (!strcmp(g->config->name, name_or_number))
			return g;
	}
	if (*name_or_number && !*end && n >= 1 && n <= guest_count)
		return guests[n - 1];
	return NULL;
}

const char *guest_state_name(enum guest_state s)
{
	static const char *const names[] = { "stopped", "running", "paused", "resetting",
					     "stopping" };

	return s < ARRAY_SIZE(names) ? names[s] : "?";
}
