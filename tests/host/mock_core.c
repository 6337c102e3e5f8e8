// SPDX-License-Identifier: BSD-2-Clause
#include "mock_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/hw.h"
#include "log.h"
#include "panic.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/tsc.h"

struct mock mock;

static enum status vendor_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	struct mock_msr *m = mock_find_msr(msr);

	(void)v;
	if (!m || !m->vendor)
		return ERR_NOT_FOUND;
	*value = m->value;
	return OK;
}

static enum status vendor_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	struct mock_msr *m = mock_find_msr(msr);

	(void)v;
	if (!m || !m->vendor)
		return ERR_NOT_FOUND;
	m->value = value;
	return OK;
}

static void get_sregs(struct vcpu *v, struct vcpu_sregs *s)
{
	(void)v;
	*s = mock.sregs;
}

static uint64_t get_cr4(struct vcpu *v)
{
	(void)v;
	return mock.sregs.cr4;
}

static void set_x2apic(struct vcpu *v, bool on)
{
	(void)v;
	mock.set_x2apic_calls++;
	mock.x2apic_open = on;
}

static void drain_dirty(struct vcpu *v)
{
	mock.drained += v->cpu->in_guest; /* whoever waits for it would be too early else */
}

static const struct hvm_ops ops = {
	.drain_dirty = drain_dirty,
	.get_sregs = get_sregs,
	.get_cr4 = get_cr4,
	.read_msr = vendor_read,
	.write_msr = vendor_write,
	.set_x2apic = set_x2apic,
};
const struct hvm_ops *hvm = &ops;

void mock_reset(enum cpu_vendor vendor, unsigned count, uint32_t first)
{
	unsigned i;

	memset(&mock, 0, sizeof(mock));
	mock.vendor = vendor;
	mock.xcr0 = 1;
	mock.guest.config = &mock.config;
	strcpy(mock.config.name, "mock");
	mock.guest.vcpu_count = count;
	for (i = 0; i < count; i++) {
		struct vcpu *v = &mock.vcpus[i];

		mock.guest.vcpus[i] = v;
		v->guest = &mock.guest;
		v->cpu = &mock.cpus[i];
		v->index = i;
		v->apic_id = first + i;
		v->state = VCPU_RUNNING;
		v->apic_base = APIC_DEFAULT_GPA | APIC_BASE_EN | (i ? 0 : APIC_BASE_BSP);
		v->soft.apic_dfr = ~0u;
	}
	mock_msr(MSR_APIC_BASE, APIC_DEFAULT_GPA | APIC_BASE_EN | APIC_BASE_BSP, false);
	mock_msr(MSR_EFER, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, true);
}

void mock_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	unsigned n = mock.cpuid_count++;

	mock.cpuid[n].leaf = leaf;
	mock.cpuid[n].subleaf = subleaf;
	mock.cpuid[n].regs = (struct cpuid_regs){ a, b, c, d };
}

void mock_msr(uint32_t msr, uint64_t value, bool vendor)
{
	mock.msr[mock.msr_count++] = (struct mock_msr){ msr, value, vendor };
}

struct mock_msr *mock_find_msr(uint32_t msr)
{
	unsigned i;

	for (i = 0; i < mock.msr_count; i++)
		if (mock.msr[i].msr == msr)
			return &mock.msr[i];
	return NULL;
}

bool mock_has_vector(unsigned vcpu, uint8_t vector)
{
	return mock.vectors[vcpu][vector / 64] & BIT(vector % 64);
}

unsigned mock_vector_count(void)
{
	unsigned i, n = 0;

	for (i = 0; i < MOCK_VCPUS * 4; i++)
		n += (unsigned)__builtin_popcountll(mock.vectors[i / 4][i % 4]);
	return n;
}

/* ------------------------------------------------------------------ what core/ links with */

struct cpuid_regs hw_cpuid(uint32_t leaf, uint32_t subleaf)
{
	unsigned i;

	for (i = 0; i < mock.cpuid_count; i++)
		if (mock.cpuid[i].leaf == leaf && mock.cpuid[i].subleaf == subleaf)
			return mock.cpuid[i].regs;
	if (mock.all_features)
		return (struct cpuid_regs){ ~0u, ~0u, ~0u, ~0u };
	return (struct cpuid_regs){ 0, 0, 0, 0 };
}

enum cpu_vendor hw_vendor(void)
{
	return mock.vendor;
}

bool hw_rdmsr(uint32_t msr, uint64_t *value)
{
	struct mock_msr *m = mock_find_msr(msr);

	if (!m || m->vendor)
		return false;
	*value = m->value;
	return true;
}

bool hw_wrmsr(uint32_t msr, uint64_t value)
{
	struct mock_msr *m = mock_find_msr(msr);

	if (!m || m->vendor)
		return false;
	mock.msr_writes++;
	m->value = value;
	return true;
}

uint64_t hw_xcr0(void)
{
	return mock.xcr0;
}

bool hw_xsetbv(uint64_t value)
{
	mock.xcr0 = value;
	return true;
}

bool lapic_is_x2apic(void)
{
	return mock.lapic_x2apic;
}

uint32_t lapic_read(uint32_t reg)
{
	return mock.lapic[reg / 4];
}

void lapic_write(uint32_t reg, uint32_t v)
{
	mock.lapic[reg / 4] = v;
	mock.lapic_last = reg;
	mock.lapic_writes++;
}

/* An IPI is what a post to another core would be. */
enum status lapic_send_ipi(uint32_t apic_id, uint32_t icr_low)
{
	unsigned i;

	if (mock.ipi_fails)
		return ERR_TIMEOUT;
	assert_int_equal(icr_low & ~0xffu, LAPIC_ICR_ASSERT);
	mock.ipis++;
	for (i = 0; i < mock.guest.vcpu_count; i++) {
		if (mock.vcpus[i].apic_id != apic_id)
			continue;
		vcpu_post_vector(&mock.vcpus[i], (uint8_t)icr_low);
		return OK;
	}
	fail_msg("IPI to APIC %#x, which is not the guest's", apic_id);
	return ERR_RANGE;
}

uint32_t tsc_khz(void)
{
	return 2500000;
}

uint32_t lapic_timer_hz(void)
{
	return 25000000;
}

void vcpu_post_vector(struct vcpu *v, uint8_t vector)
{
	mock.vectors[v->index][vector / 64] |= BIT(vector % 64);
}

void vcpu_request(struct vcpu *v, uint64_t request)
{
	mock.requests[v->index] |= request;
}

void panic(const char *fmt, ...)
{
	fail_msg("panic: %s", fmt);
	abort();
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}
