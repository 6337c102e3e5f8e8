/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/hw.h"
#include "core/window.h"
#include "mm/mm_host.h"
#include "vcpu_fixture.h"
#include "x86/regs.h"

uint8_t *memory;
union layout layout;
unsigned maps;
struct vcpu_sregs sregs;
struct guest guest;
struct vcpu vcpu;
struct done done;

struct vcpu_paging paging_now(void)
{
	return (struct vcpu_paging){ .cr0 = sregs.cr0,
				     .cr3 = sregs.cr3,
				     .cr4 = sregs.cr4,
				     .efer = sregs.efer,
				     .cs_base = sregs.seg[SEG_CS].base,
				     .cs_access = sregs.seg[SEG_CS].access,
				     .cpl = sregs.cpl };
}

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

static void get_paging(struct vcpu *v, struct vcpu_paging *p)
{
	(void)v;
	*p = paging_now();
}

static bool get_tables(struct vcpu *v, struct fetch_tables *t)
{
	struct vcpu_paging p = paging_now();

	(void)v;
	t->cr3 = p.cr3;
	t->user = p.cpl == 3;
	return vcpu_mode(&p) == INSN_64 && !(p.cr4 & CR4_LA57);
}

static void get_segment(struct vcpu *v, uint8_t seg, struct segment *g)
{
	(void)v;
	*g = sregs.seg[seg];
}

static const struct hvm_ops ops = {
	.skip_instruction = skip_instruction,
	.inject_exception = inject_exception,
	.inject_page_fault = inject_page_fault,
	.get_sregs = get_sregs,
	.get_paging = get_paging,
	.get_segment = get_segment,
	.get_tables = get_tables,
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

/* Where that byte of the guest is now. */
static uint8_t *inside(gpa_t gpa, size_t len)
{
	const struct slot *s = slot_find(&the_slots, gpa_to_gfn(gpa));

	if (!s || s->kind != SLOT_RAM || len > PAGE_SIZE - (gpa.v & ~PAGE_MASK))
		return NULL;
	return memory + (slot_pfn(s, gpa_to_gfn(gpa)).v << PAGE_SHIFT) + (gpa.v & ~PAGE_MASK);
}

enum status guest_read(struct guest *g, gpa_t gpa, void *buf, size_t len)
{
	const uint8_t *from = inside(gpa, len);

	(void)g;
	if (gpa.v >= ROM && gpa.v < ROM + PAGE_SIZE) {
		memset(buf, 0x5a, len);
		return OK;
	}
	if (!from)
		return ERR_FAULT;
	memcpy(buf, from, len);
	return OK;
}

enum status guest_write(struct guest *g, gpa_t gpa, const void *buf, size_t len)
{
	uint8_t *to = inside(gpa, len);

	(void)g;
	if (!to)
		return ERR_FAULT;
	memcpy(to, buf, len);
	return OK;
}

enum status guest_set_bits(struct guest *g, gpa_t gpa, uint8_t bits)
{
	uint8_t *to = inside(gpa, 1);

	(void)g;
	if (!to)
		return ERR_FAULT;
	*to |= bits;
	return OK;
}

/*
 * Windows are pages of this program, which show what they are pointed at: whoever uses an address of
 * one that shows something else by now reads that, as on a core.
 */
static unsigned open_sections; /* read sections do not nest */
static uint8_t *windows;       /* not mapped where nothing is shown */
static int frames;             /* a file: the machine's memory */

static void *window(unsigned slot)
{
	return windows + 2 * PAGE_SIZE * slot;
}

void window_hide(enum window_slot slot)
{
	assert_ptr_equal(mmap(window(slot), PAGE_SIZE, PROT_NONE,
			      MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			 window(slot));
}

void *window_map(enum window_slot slot, hpa_t hpa)
{
	assert_int_equal(open_sections + (vcpu.cpu->read_sequence & 1), 1);
	assert_in_range(slot, WINDOW_CODE, WINDOW_COUNT - 1);
	assert_true(hpa.v < MEMORY);
	maps++;
	assert_ptr_equal(mmap(window(slot), PAGE_SIZE, PROT_READ, MAP_FIXED | MAP_SHARED, frames,
			      (off_t)(hpa.v & PAGE_MASK)),
			 window(slot));
	return (uint8_t *)window(slot) + (hpa.v & ~PAGE_MASK);
}

void mm_read_begin(void)
{
	assert_int_equal(open_sections++ + (vcpu.cpu ? vcpu.cpu->read_sequence & 1 : 0), 0);
}

void mm_read_end(void)
{
	assert_int_equal(--open_sections, 0);
}

/* mm/slot.c copies sets by this, which nobody does here. */
void *mm_alloc(struct page_budget *budget, unsigned pages)
{
	(void)budget;
	fail_msg("%u pages", pages);
	return NULL;
}

void guest_walk_begin(struct guest_walk *w, struct guest *g)
{
	mm_read_begin();
	w->g = g;
}

void guest_walk_end(struct guest_walk *w)
{
	(void)w;
	mm_read_end();
}

enum status guest_walk_read(struct guest_walk *w, gpa_t gpa, void *entry, size_t size)
{
	assert_int_equal(open_sections, 1);
	assert_true(IS_ALIGNED(gpa.v, size) && (size == 4 || size == 8));
	return guest_read(w->g, gpa, entry, size);
}

static void make_machine(void)
{
	const size_t size = 2 * PAGE_SIZE * WINDOW_COUNT;

	frames = memfd_create("frames", 0);
	assert_true(frames >= 0);
	assert_int_equal(ftruncate(frames, MEMORY), 0);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, frames, 0);
	windows = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED && windows != MAP_FAILED);
}

void vcpu_fixture_setup(void)
{
	unsigned i;

	if (!memory)
		make_machine();
	memset(memory, 0, MEMORY);
	for (i = 0; i < WINDOW_COUNT; i++)
		window_hide((enum window_slot)i);
	memset(&layout, 0, sizeof(layout));
	the_slots.version = 1;
	the_slots.count = 1;
	the_slots.slot[0] = (struct slot){ .npages = MEMORY >> PAGE_SHIFT, .access = ACCESS_RWX };
	maps = 0;
	memset(&sregs, 0, sizeof(sregs));
	memset(&guest, 0, sizeof(guest));
	guest.tdp.slots = &layout.set;
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&done, 0, sizeof(done));
	vcpu.guest = &guest;
	vcpu.rflags = RFLAGS_RESERVED;
}
