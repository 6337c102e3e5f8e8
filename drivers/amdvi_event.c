/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/amdvi.h"

#include <string.h>

/* An event (2.5): code and flags in the upper half of the first quadword, an address in the second. */
#define EVENT_DEVICE(e)  ((uint16_t)(e))
#define EVENT_CODE(e)    ((unsigned)((e) >> 60))
#define EVENT_INTERRUPT  BIT(32 + 16 + 3)
#define EVENT_WRITE      BIT(32 + 16 + 5)
#define EVENT_NONE       0
#define EVENT_PAGE_FAULT 2
#define EVENT_SIZE       16

#define INTERRUPT_BASE 0xfee00000ull
#define INTERRUPT_SIZE 0x100000u
#define EVENT_LATE_US  20
#define LOG_STOP_US    1000

/* NULL: not known. Those that are about commands, and all unknown ones, are the unit's problem. */
static const char *const names[] = {
	[1] = "illegal device table entry",
	[2] = "page fault",
	[3] = "device table not readable",
	[4] = "page table not readable",
	[5] = "illegal command",
	[6] = "command buffer not readable",
	[7] = "device TLB time-out",
	[8] = "request of a kind that is not permitted",
	[9] = "invalid page request",
};

static bool of_a_device(unsigned code)
{
	return (code >= 1 && code <= 4) || code == 8 || code == 9;
}

/* Some emulators mark all faults as interrupts: an interrupt's address says that it is one. */
static void decode(const struct amdvi_unit *u, uint64_t low, uint64_t address,
		   struct iommu_fault *out)
{
	unsigned code = EVENT_CODE(low);
	uint16_t id = EVENT_DEVICE(low);

	*out = (struct iommu_fault){
		.source = { .segment = u->bdf.segment,
			    .bus = (uint8_t)(id >> 8),
			    .device = (uint8_t)(id >> 3 & 31),
			    .function = id & 7 },
		.address = address,
		.write = low & EVENT_WRITE,
		.interrupt = code == EVENT_PAGE_FAULT && low & EVENT_INTERRUPT &&
			     (address - INTERRUPT_BASE < INTERRUPT_SIZE || address < PAGE_SIZE),
		.is_unit = !of_a_device(code),
		.reason = (uint8_t)code,
		.text = code < ARRAY_SIZE(names) && names[code] ? names[code] : "unknown event",
		.unit = u->index,
	};
}

static void set_control(struct amdvi_unit *u, uint64_t bit, bool on)
{
	u->control = on ? u->control | bit : u->control & ~bit;
	amdvi_write(u, AMDVI_CONTROL, u->control);
}

/* The log stands still from its overflow on, until it was turned off and on again (2.5.1). */
static void restart(struct amdvi_unit *u)
{
	uint64_t start = amdvi_now_us();

	set_control(u, CONTROL_EVENT_LOG_EN, false);
	while (amdvi_read(u, AMDVI_STATUS) & STATUS_EVENT_LOG_RUN &&
	       amdvi_now_us() - start < LOG_STOP_US)
		__builtin_ia32_pause();
	amdvi_write(u, AMDVI_STATUS, STATUS_EVENT_OVERFLOW);
	set_control(u, CONTROL_EVENT_LOG_EN, true);
}

/*
 * The tail can be seen to move before the event has arrived. One that does not arrive shortly is
 * waited for until the next time, and then given up.
 */
static bool arrived(const volatile uint64_t *e)
{
	uint64_t start = amdvi_now_us();

	while (EVENT_CODE(e[0]) == EVENT_NONE) {
		if (amdvi_now_us() - start > EVENT_LATE_US)
			return false;
		__builtin_ia32_pause();
	}
	return true;
}

static bool take(struct amdvi_unit *u, struct iommu_fault *out)
{
	volatile uint64_t *e = &u->events[u->head * 2];
	bool there = arrived(e);

	if (!there && !u->event_late) {
		u->event_late = true;
		return false;
	}
	u->event_late = false;
	decode(u, e[0], e[1], out);
	e[0] = 0;
	u->head = (u->head + 1) % AMDVI_RING_ENTRIES;
	amdvi_write(u, AMDVI_EVENT_HEAD, u->head * EVENT_SIZE);
	return there;
}

/* The interrupt's bit is cleared before the log is looked at: what comes later raises it again. */
static bool next_of(struct amdvi_unit *u, struct iommu_fault *out)
{
	uint64_t status = amdvi_read(u, AMDVI_STATUS);
	uint32_t tail;

	if (status & STATUS_EVENT_LOG_INT)
		amdvi_write(u, AMDVI_STATUS, STATUS_EVENT_LOG_INT);
	tail = (uint32_t)(amdvi_read(u, AMDVI_EVENT_TAIL) / EVENT_SIZE) % AMDVI_RING_ENTRIES;
	if (u->head != tail)
		return take(u, out);
	if (!(status & STATUS_EVENT_OVERFLOW))
		return false;
	restart(u);
	*out = (struct iommu_fault){ .is_unit = true,
				     .unit = u->index,
				     .text = "event log overflow, faults are missing" };
	return true;
}

bool amdvi_next_fault(struct iommu_fault *out)
{
	uint32_t i;

	for (i = 0; i < amdvi.unit_count; i++) {
		if (next_of(&amdvi.units[i], out))
			return true;
	}
	return false;
}

/* A unit's own MSI is a message of its own DeviceID. */
static enum status unit_nmi(struct amdvi_unit *u, uint32_t apic_id)
{
	struct amdvi_source *x;
	uint16_t id = (uint16_t)(u->bdf.bus << 8 | u->bdf.device << 3 | u->bdf.function);
	enum status s = amdvi_source_by_id(amdvi_segment(u->bdf.segment), id, id, &x);

	if (s != OK || !u->pci || x->attached || x->users)
		return ERR_UNSUPPORTED;
	if (!x->nmi) {
		x->nmi = true;
		amdvi_update(x);
	}
	s = apic_id > 254
		    ? ERR_RANGE
		    : pci_msi_on(u->pci, u->bdf, PCI_MSI_NMI_ADDRESS(apic_id), PCI_MSI_NMI_DATA);
	u->event_nmi = s == OK;
	set_control(u, CONTROL_EVENT_INT_EN, u->event_nmi);
	return s;
}

enum status amdvi_fault_nmi(uint32_t apic_id)
{
	enum status s = OK;
	uint32_t i;

	for (i = 0; i < amdvi.unit_count; i++) {
		if (unit_nmi(&amdvi.units[i], apic_id) != OK)
			s = ERR_UNSUPPORTED;
	}
	return s;
}

void amdvi_fault_mask(bool masked)
{
	uint32_t i;

	for (i = 0; i < amdvi.unit_count; i++) {
		if (amdvi.units[i].event_nmi)
			set_control(&amdvi.units[i], CONTROL_EVENT_INT_EN, !masked);
	}
}
