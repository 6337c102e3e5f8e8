/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/hw.h"
#include "vcpu_fixture.h"
#include "x86/regs.h"

uint8_t memory[MEMORY];
struct vcpu_sregs sregs;
struct guest guest;
struct vcpu vcpu;
struct done done;

static void skip_instruction(struct vcpu *v)
{
	done.skipped++;
	v->rip += v->insn_length ? v->insn_length : 2;
}

static void inject_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)v;
	assert_true(has_error && error == 0);
	done.exceptions++;
	done.vector = vector;
}

static void inject_page_fault(struct vcpu *v, uint64_t gla, uint32_t error)
{
	(void)v;
	done.page_faults++;
	done.gla = gla;
	done.error = error;
}

static void get_sregs(struct vcpu *v, struct vcpu_sregs *s)
{
	(void)v;
	*s = sregs;
}

static const struct hvm_ops ops = {
	.skip_instruction = skip_instruction,
	.inject_exception = inject_exception,
	.inject_page_fault = inject_page_fault,
	.get_sregs = get_sregs,
};
const struct hvm_ops *hvm = &ops;

void vcpu_die(struct vcpu *v, const char *fmt, ...)
{
	va_list args;

	(void)v;
	done.deaths++;
	va_start(args, fmt);
	vsnprintf(done.death, sizeof(done.death), fmt, args);
	va_end(args);
}

struct cpuid_regs hw_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	assert_int_equal(leaf, 0x80000008);
	return (struct cpuid_regs){ 40, 0, 0, 0 }; /* physical address bits */
}

static bool inside(gpa_t gpa, size_t len)
{
	return gpa.v < MEMORY && len <= MEMORY - gpa.v;
}

enum status guest_read(struct guest *g, gpa_t gpa, void *buf, size_t len)
{
	(void)g;
	if (gpa.v >= ROM && gpa.v < ROM + PAGE_SIZE) {
		memset(buf, 0x5a, len);
		return OK;
	}
	if (!inside(gpa, len))
		return ERR_FAULT;
	memcpy(buf, memory + gpa.v, len);
	return OK;
}

static unsigned open_walks; /* read sections do not nest */

void guest_walk_begin(struct guest_walk *w, struct guest *g)
{
	assert_int_equal(open_walks++, 0);
	w->g = g;
}

void guest_walk_end(struct guest_walk *w)
{
	(void)w;
	assert_int_equal(--open_walks, 0);
}

enum status guest_walk_read(struct guest_walk *w, gpa_t gpa, void *entry, size_t size)
{
	assert_int_equal(open_walks, 1);
	assert_true(IS_ALIGNED(gpa.v, size) && (size == 4 || size == 8));
	return guest_read(w->g, gpa, entry, size);
}

enum status guest_write(struct guest *g, gpa_t gpa, const void *buf, size_t len)
{
	(void)g;
	if (!inside(gpa, len))
		return ERR_FAULT;
	memcpy(memory + gpa.v, buf, len);
	return OK;
}

enum status guest_set_bits(struct guest *g, gpa_t gpa, uint8_t bits)
{
	(void)g;
	if (!inside(gpa, 1))
		return ERR_FAULT;
	memory[gpa.v] |= bits;
	return OK;
}

void vcpu_fixture_setup(void)
{
	memset(memory, 0, sizeof(memory));
	memset(&sregs, 0, sizeof(sregs));
	memset(&guest, 0, sizeof(guest));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&done, 0, sizeof(done));
	vcpu.guest = &guest;
	vcpu.rflags = RFLAGS_RESERVED;
}
