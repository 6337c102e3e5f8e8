/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_GUEST_H
#define LAMINA_CORE_GUEST_H

#include "boot_info.h"
#include "core/io.h"
#include "core/vcpu.h"
#include "core/vioapic.h"
#include "core/vrtc.h"
#include "core/vuart.h"
#include "mm/page_alloc.h"
#include "mm/tdp_mmu.h"
#include "spinlock.h"

struct pci_function;
struct vpci;

enum guest_state {
	GUEST_STOPPED,
	GUEST_RUNNING,
	GUEST_PAUSED,
	GUEST_RESETTING, /* its cores are on their way out, then start again */
	GUEST_STOPPING,
};

/* How a run ended; decides with config.restart whether the guest starts again. */
enum guest_end {
	END_NONE,
	END_POWER_OFF,
	END_REBOOT,
	END_CRASH,
	END_MONITOR
};

struct guest {
	uint32_t index; /* into config.guests; the monitor counts from 1 */
	const struct guest_config *config;
	const struct boot_guest *boot;
	uint8_t maxphyaddr; /* bits of a guest-physical address */
	struct page_budget budget;
	struct tdp tdp;
	uint32_t vcpu_count;
	struct vcpu *vcpus[CONFIG_MAX_CPUS];
	void *acpi; /* what it finds at GUEST_ACPI_BASE in each run */
	uint32_t acpi_size;
	struct io_map io; /* ports and device pages; fixed once the guest exists */

	struct spinlock lock; /* protects the devices: everything in the next group */
	struct vuart uart;
	struct vioapic ioapic;
	bool trap_eoi; /* in x2APIC mode; in the other one they trap anyway */
	struct vrtc rtc;

	uint64_t nx_next, nx_period; /* TSC: when the next pass of core/nx.c is due; atomic */

	uint64_t dirty_tsc; /* when the monitor last asked for dirty pages */

	uint32_t hold; /* atomic; above 0 the cores stay out of the guest (core/mm_host.c) */

	struct spinlock run_lock; /* taken inside `lock`; protects the life cycle */
	enum guest_state state;
	enum guest_end end;
	char end_text[160]; /* why the last run ended, for `guests` and `regs` */
	uint32_t
		running_vcpus; /* not yet out of the guest; the last one out finishes stop or reset */
	uint32_t starts;
	uint32_t quick_ends; /* runs in a row that ended within GUEST_QUICK_END_MS */
	uint64_t start_tsc;

	uint64_t denied_msr, denied_ipi; /* relaxed counters */

	/* Devices of its own (core/passthrough.h); constant once the guest exists, but for the last two. */
	uint32_t device_count;
	struct pci_function *devices[CONFIG_MAX_DEVICES];
	struct vpci *vpci;      /* the bus that it sees them on; NULL: it has none */
	bool devices_reset;     /* since the last run; run_lock */
	uint64_t device_faults; /* relaxed */
};

/*
 * A guest that its restart policy keeps restarting, but that ends at once each time, is stopped
 * after this many runs, so that its messages do not drown the console.
 */
#define GUEST_QUICK_END_MS 2000
#define GUEST_QUICK_ENDS   5

extern struct guest *guests[CONFIG_MAX_GUESTS];
extern uint32_t guest_count; /* as in config.guests; guests[i] is NULL for one left out */

/*
 * Build guest `index` of the configuration: its budget, second-level tables, vCPUs and devices.
 * Boot core, once. Errors are logged; the guest is then left out.
 */
struct vrtc_clock;
enum status must_check guest_create(const struct boot_info *bi, uint32_t index,
				    const struct spte_format *format,
				    const struct vrtc_clock *clock);

/* The guest ends a run by itself (power-off, reboot, crash). From one of its own vCPUs. */
void guest_end_run(struct guest *g, enum guest_end how, const char *why);

/* For vcpu.c: a vCPU is out of the guest; the first core is about to start; poll the UART. */
void guest_vcpu_left(struct guest *g);
void guest_note_start(struct guest *g);
void guest_poll_console(struct guest *g);

/* The monitor's commands; from any core. Errors: ERR_BUSY, ERR_INVALID for a wrong state. */
enum status must_check guest_start(struct guest *g);
enum status must_check guest_stop(struct guest *g);
enum status must_check guest_reset(struct guest *g);
enum status must_check guest_pause(struct guest *g);
enum status must_check guest_resume(struct guest *g);
struct guest *guest_find(const char *name_or_number);
#define for_each_guest(g, i)                    \
	for ((i) = 0; (i) < guest_count; (i)++) \
		if (((g) = guests[i]) != NULL)

const char *guest_state_name(enum guest_state s);

/*
 * Copy from or to guest-physical memory through the calling core's window. RAM slots only
 * (ERR_FAULT otherwise); any length.
 */
enum status must_check guest_read(struct guest *g, gpa_t gpa, void *buf, size_t len);
enum status must_check guest_write(struct guest *g, gpa_t gpa, const void *buf, size_t len);

/*
 * The core counts as in the guest from here on. False: somebody wants it outside, or something of it;
 * vcpu_before_entry() sees to that. Said first and looked second: whoever sets a request or a hold and
 * then finds in_guest clear knows that it will be seen here (core/mm_host.c).
 */
static inline bool vcpu_may_enter(struct vcpu *v)
{
	__atomic_store_n(&v->cpu->in_guest, 1, __ATOMIC_SEQ_CST);
	return likely(!__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) &&
		      !__atomic_load_n(&v->guest->hold, __ATOMIC_ACQUIRE));
}

/*
 * A walk through tables in the guest's memory: entries of 4 or 8 bytes, aligned. From begin to end
 * the core is in a read section of mm/ (mm_host.h), so nothing in between may wait. The slot that
 * held the last entry is remembered; most often it holds the next one as well.
 */
struct guest_walk {
	struct guest *g;
	const struct slot *slot;
};

void guest_walk_begin(struct guest_walk *w, struct guest *g);
enum status must_check guest_walk_read(struct guest_walk *w, gpa_t gpa, void *entry, size_t size);
void guest_walk_end(struct guest_walk *w);

/* Set bits of one byte atomically, as the CPU does with accessed and dirty bits. */
enum status must_check guest_set_bits(struct guest *g, gpa_t gpa, uint8_t bits);

#endif
