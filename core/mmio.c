/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "core/emulate.h"
#include "core/fetch.h"
#include "core/guest.h"
#include "core/hvm.h"
#include "core/vlapic.h"
#include "core/vpci.h"
#include "core/walk.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/regs.h"

/* A second-level fault that mm/ says is a device access. */
struct mmio {
	struct vcpu *v;
	const struct tdp_exit *exit;
	struct vcpu_paging s;
	const struct io_region *region; /* the device there; NULL: none */
	bool in_slot;                   /* a write to memory that the guest has read-only */
	bool write;                     /* of MOVS, where either operand can be the device */
	const struct insn *insn;
};

/* Count the exit as what it turned out to be. */
static void reclass(struct vcpu *v, enum exit_class class)
{
	v->stats[EXIT_TDP].exits--;
	v->stats[class].exits++;
	vcpu_record(v, 1)->class = class;
}

static bool in_apic_page(gpa_t gpa)
{
	return (gpa.v & PAGE_MASK) == APIC_DEFAULT_GPA;
}

/* The page answers only in xAPIC mode (SDM vol. 3, 11.12.2). */
static bool apic_page_active(const struct vcpu *v)
{
	return (v->apic_base & APIC_BASE_EN) && !v->x2apic;
}

static uint64_t ones(uint8_t size)
{
	return ~0ull >> (64 - 8 * size);
}

/*
 * The device, if the access lies in it; the rest of its last page is nobody's. With the guest's lock
 * held: devices that the guest can move may have gone elsewhere since the exit.
 */
static const struct io_region *owner(const struct mmio *m, gpa_t gpa, uint8_t size)
{
	const struct io_region *r = m->region;
	uint64_t offset = gpa.v - r->base;

	return offset < r->size && r->size - offset >= size ? r : NULL;
}

static noinline uint64_t read_elsewhere(struct mmio *m, gpa_t gpa, uint8_t size)
{
	struct guest *g = m->v->guest;
	uint64_t value = ~0ull;

	if (in_apic_page(gpa) && apic_page_active(m->v) && size == 4 && IS_ALIGNED(gpa.v, 4))
		return lapic_read(gpa.v & ~PAGE_MASK);
	if (m->in_slot && guest_read(g, gpa, &value, size) == OK)
		return value & ones(size);
	spin_lock(&g->lock);
	io_count_unowned(&g->io, gpa.v, true);
	spin_unlock(&g->lock);
	return ones(size);
}

static uint64_t device_read(struct mmio *m, gpa_t gpa, uint8_t size)
{
	const struct io_region *r = NULL;
	struct guest *g = m->v->guest;
	uint64_t value = 0;

	if (likely(m->region)) {
		spin_lock(&g->lock);
		r = owner(m, gpa, size);
		if (likely(r))
			value = r->ops->read(m->v, r->dev, (uint32_t)(gpa.v - r->base), size);
		spin_unlock(&g->lock);
	}
	return likely(r) ? value & ones(size) : read_elsewhere(m, gpa, size);
}

static noinline void write_elsewhere(struct mmio *m, gpa_t gpa)
{
	struct guest *g = m->v->guest;

	spin_lock(&g->lock);
	io_count_unowned(&g->io, gpa.v, true);
	spin_unlock(&g->lock);
}

static void device_write(struct mmio *m, gpa_t gpa, uint8_t size, uint64_t value)
{
	const struct io_region *r;
	struct guest *g = m->v->guest;

	if (in_apic_page(gpa)) {
		if (apic_page_active(m->v) && size == 4 && IS_ALIGNED(gpa.v, 4))
			vlapic_page_write(m->v, gpa.v & ~PAGE_MASK, (uint32_t)value);
		return;
	}
	if (unlikely(!m->region)) {
		write_elsewhere(m, gpa);
		return;
	}
	spin_lock(&g->lock);
	r = owner(m, gpa, size);
	if (r)
		r->ops->write(m->v, r->dev, (uint32_t)(gpa.v - r->base), size, value & ones(size));
	spin_unlock(&g->lock);
	if (unlikely(!r))
		write_elsewhere(m, gpa);
	(void)vpci_finish(g);
}

static void die_in_page_walk(struct vcpu *v, const struct tdp_exit *e)
{
	vcpu_die(v, "its page tables lie at gpa %#llx, where it has no writable memory",
		 (unsigned long long)e->gpa.v);
}

static void skip(struct mmio *m)
{
	m->v->insn_length = m->insn->length;
	hvm->skip_instruction(m->v);
	m->v->insn_length = 0;
}

static noinline void give_up(struct mmio *m, const char *why, const struct fetched *f)
{
	char hex[3 * INSN_MAX + 1] = "";
	size_t i;

	for (i = 0; i < f->count && i < INSN_MAX; i++)
		snprintf(hex + 3 * i, 4, " %02x", f->bytes[i]);
	vcpu_die(m->v, "%s %s gpa %#llx: %s%s%s",
		 m->exit->untold  ? "access to"
		 : m->exit->write ? "write to"
				  : "read from",
		 m->in_slot ? "read-only" : "device", (unsigned long long)m->exit->gpa.v, why,
		 f->count ? ", bytes" : "", hex);
}

/* ------------------------------------------------------------------ string instructions */

static void advance_index(struct mmio *m, uint8_t reg)
{
	const struct insn *i = m->insn;
	uint64_t step = m->v->rflags & RFLAGS_DF ? -(uint64_t)i->size : i->size;

	emulate_reg_write(m->v->gpr, reg, false, i->address_size,
			  emulate_reg_read(m->v->gpr, reg, false, i->address_size) + step);
}

/* Linear address of a string operand; a fault is injected. */
static enum status string_address(struct mmio *m, uint8_t seg, uint8_t reg, unsigned access,
				  uint64_t *gla)
{
	uint64_t offset = emulate_reg_read(m->v->gpr, reg, false, m->insn->address_size);
	uint8_t vector;

	if (walk_segment(m->v, &m->s, seg, offset, m->insn->size, access, gla, &vector) == OK)
		return OK;
	hvm->inject_exception(m->v, vector, true, 0);
	return ERR_FAULT;
}

/* Either side of a MOVS can be the device. */
static enum status do_movs(struct mmio *m)
{
	const struct insn *i = m->insn;
	uint64_t value = 0, gla;

	if (m->write) {
		if (string_address(m, i->segment, GPR_RSI, 0, &gla) != OK ||
		    walk_read(m->v, &m->s, gla, &value, i->size, 0) != OK)
			return ERR_FAULT;
		device_write(m, m->exit->gpa, i->size, value);
	} else {
		if (string_address(m, SEG_ES, GPR_RDI, WALK_WRITE, &gla) != OK)
			return ERR_FAULT;
		value = device_read(m, m->exit->gpa, i->size);
		if (walk_write(m->v, &m->s, gla, &value, i->size) != OK)
			return ERR_FAULT;
	}
	advance_index(m, GPR_RSI);
	advance_index(m, GPR_RDI);
	return OK;
}

/* One element an exit: with more to go the guest executes the same instruction again. */
static void do_string(struct mmio *m)
{
	const struct insn *i = m->insn;
	uint64_t *gpr = m->v->gpr, left = 0;

	switch (i->kind) {
	case INSN_MOVS:
		if (do_movs(m) != OK)
			return;
		break;
	case INSN_STOS:
		device_write(m, m->exit->gpa, i->size,
			     emulate_reg_read(gpr, GPR_RAX, false, i->size));
		advance_index(m, GPR_RDI);
		break;
	default:
		emulate_reg_write(gpr, GPR_RAX, false, i->size,
				  device_read(m, m->exit->gpa, i->size));
		advance_index(m, GPR_RSI);
		break;
	}
	if (i->rep || i->repne) {
		left = emulate_reg_read(gpr, GPR_RCX, false, i->address_size) - 1;
		emulate_reg_write(gpr, GPR_RCX, false, i->address_size, left);
	}
	if (left == 0)
		skip(m);
}

/* ------------------------------------------------------------------ finding the operand */

/* The offset within the page is the same in linear and physical addresses. */
static bool operand_matches(struct mmio *m)
{
	const struct insn *i = m->insn;
	uint64_t gla, offset = emulate_address(i, m->v->gpr, m->v->rip + i->length);
	uint8_t vector;

	if (walk_segment(m->v, &m->s, i->segment, offset, i->size, 0, &gla, &vector) != OK)
		return false;
	return ((gla ^ m->exit->gpa.v) & ~PAGE_MASK) == 0;
}

/*
 * Is the operand what the exit is about? `write`: if the instruction is executed, then it is written
 * to. OK, or ERR_INVALID: no; ERR_FAULT: the guest has unmapped
 * it meanwhile; ERR_NOT_FOUND: the exit came from the walk through the guest's own page tables.
 */
static enum status operand_at(struct mmio *m, uint8_t segment, uint64_t offset, bool write)
{
	uint64_t gla;
	uint8_t vector;
	uint32_t error;
	gpa_t gpa;
	enum status status;

	if (walk_segment(m->v, &m->s, segment, offset, m->insn->size, 0, &gla, &vector) != OK)
		return ERR_INVALID;
	status = walk_gla(m->v, &m->s, gla, write ? WALK_WRITE : 0, &gpa, &error);
	return status == OK && gpa.v != m->exit->gpa.v ? ERR_INVALID : status;
}

/* Which operand it is. A MOVS reads first. */
static enum status find_operand(struct mmio *m)
{
	const struct insn *i = m->insn;
	const uint64_t *gpr = m->v->gpr;
	enum status status;

	switch (i->kind) {
	case INSN_MOVS:
	case INSN_LODS:
		status = operand_at(m, i->segment,
				    emulate_reg_read(gpr, GPR_RSI, false, i->address_size), false);
		if (status != ERR_INVALID || i->kind == INSN_LODS)
			return status;
		m->write = true;
		return operand_at(m, SEG_ES, emulate_reg_read(gpr, GPR_RDI, false, i->address_size),
				  true);
	case INSN_STOS:
		return operand_at(m, SEG_ES, emulate_reg_read(gpr, GPR_RDI, false, i->address_size),
				  true);
	default:
		return operand_at(m, i->segment, emulate_address(i, gpr, m->v->rip + i->length),
				  emulate_writes(i));
	}
}

/* ------------------------------------------------------------------ the others */

static bool is_string(const struct insn *i)
{
	return i->kind == INSN_MOVS || i->kind == INSN_STOS || i->kind == INSN_LODS;
}

/* Is the exit due to the instruction's operand, and what else is it if not? */
static bool is_ours(struct mmio *m, const struct fetched *f)
{
	const struct insn *i = m->insn;
	enum status status = OK;

	if (!is_string(i) && (i->kind == INSN_ONLY || !i->has_mem)) {
		give_up(m, "instruction not emulated", f);
		return false;
	}
	m->write = m->exit->write;
	if (m->exit->untold)
		status = find_operand(m);
	else if (!is_string(i) && !operand_matches(m))
		status = ERR_INVALID;
	if (status == ERR_INVALID)
		give_up(m, "not the operand of the instruction", f);
	else if (status == ERR_NOT_FOUND)
		die_in_page_walk(m->v, m->exit);
	/* ERR_FAULT: executed again, it raises the fault. */
	return status == OK;
}

/* Any but a string instruction, of which the operand is the device. */
static void carry_out(struct mmio *m)
{
	const struct insn *i = m->insn;
	uint64_t *gpr = m->v->gpr, mem;

	if (i->kind == INSN_LOAD) {
		emulate_load(i, gpr, device_read(m, m->exit->gpa, i->size));
	} else if (i->kind == INSN_STORE) {
		device_write(m, m->exit->gpa, i->size, emulate_store(i, gpr));
	} else {
		mem = device_read(m, m->exit->gpa, i->size);
		if (emulate(i, gpr, &m->v->rflags, &mem))
			device_write(m, m->exit->gpa, i->size, mem);
	}
	skip(m);
}

static void execute(struct mmio *m, const struct fetched *f)
{
	const struct insn *i = m->insn;

	if ((m->exit->gpa.v & ~PAGE_MASK) + i->size > PAGE_SIZE) {
		give_up(m, "it crosses a page", f);
		return;
	}
	if (!is_ours(m, f))
		return;
	if (is_string(i))
		do_string(m);
	else
		carry_out(m);
}

static void emulate_access(struct mmio *m)
{
	const struct tdp_exit *e = m->exit;
	enum status status = ERR_FAULT;
	struct fetched f;

	hvm->get_paging(m->v, &m->s);
	if (e->insn_len) {
		f.count = e->insn_len;
		memcpy(f.bytes, e->insn, sizeof(e->insn));
		status = walk_decode(m->v, vcpu_mode(&m->s), &f);
	}
	/* None supplied, or not enough of them. */
	if (status != OK)
		status = walk_fetch(m->v, &m->s, &f);
	m->insn = f.insn;
	if (status == OK)
		execute(m, &f);
	else if (status != ERR_FAULT)
		give_up(m, "instruction not emulated", &f);
}

/* ------------------------------------------------------------------ the usual case */

/* Whose page is it? In a read section that has found `set` to be the guest's slots. */
static bool place_known(struct mmio *m, const struct slot_set *set)
{
	const struct tdp_exit *e = m->exit;
	struct vcpu *v = m->v;
	uint64_t page = e->gpa.v & PAGE_MASK;
	struct device_memo *d = &v->devices[(page >> PAGE_SHIFT ^ page >> 20) % DEVICE_MEMOS];
	const struct slot *s;

	if (unlikely(d->key != (page | 1) || d->version != set->version)) {
		d->key = 0;
		s = slot_find(set, gpa_to_gfn(e->gpa));
		if (!s || s->kind != (in_apic_page(e->gpa) ? SLOT_DEVICE : SLOT_EMULATED) ||
		    s->access & ACCESS_W)
			return false;
		d->region = io_handler(&v->guest->io, s->handler);
		if (s->kind == SLOT_DEVICE)
			d->region = NULL;
		else if (!d->region)
			return false;
		d->version = set->version;
		d->key = page | 1;
	}
	m->region = d->region;
	m->in_slot = !d->region;
	return true;
}

/*
 * Most accesses are moves from or to a register, in 64-bit mode, by code that has done so before, and
 * everything that has to be known of them is known. False: ask.
 */
static bool known(struct mmio *m)
{
	const struct tdp_exit *e = m->exit;
	struct vcpu *v = m->v;
	const struct slot_set *set;
	const struct insn *i = NULL;
	struct fetch_tables t;
	uint64_t gla;
	bool ours = false;

	if (e->fetch | e->in_page_walk | e->in_event || !hvm->get_tables(v, &t))
		return false;
	read_section_begin(v->cpu);
	set = tdp_slots(&v->guest->tdp);
	if (likely(place_known(m, set)))
		i = fetch_insn(v, set, t.cr3);
	if (likely(i && i->plain)) {
		gla = emulate_address(i, v->gpr, v->rip + i->length);
		ours = (uint64_t)((int64_t)(gla << 16) >> 16) == gla &&
		       !((gla ^ e->gpa.v) & ~PAGE_MASK) &&
		       (gla & ~PAGE_MASK) + i->size <= PAGE_SIZE;
		if (ours && e->untold)
			ours = fetch_leads_to(v, set, &t, gla, emulate_writes(i), e->gpa);
	}
	read_section_end(v->cpu);
	m->insn = i;
	return ours;
}

static noinline void mmio_exit(struct vcpu *v, const struct tdp_exit *e,
			       const struct io_region *region, bool in_slot)
{
	struct mmio m;

	reclass(v, in_apic_page(e->gpa) ? EXIT_APIC : EXIT_MMIO);
	m.v = v;
	m.exit = e;
	m.region = region;
	m.in_slot = in_slot;
	if (unlikely(e->fetch))
		vcpu_die(v, "executes at gpa %#llx, where it has no memory",
			 (unsigned long long)e->gpa.v);
	else if (unlikely(e->in_page_walk))
		die_in_page_walk(v, e);
	else if (unlikely(e->in_event))
		vcpu_die(v, "its stack or tables lie at gpa %#llx, where it has no writable memory",
			 (unsigned long long)e->gpa.v);
	else
		emulate_access(&m);
}

static uint8_t access_of(const struct tdp_exit *e)
{
	if (e->fetch)
		return ACCESS_X;
	return e->write ? ACCESS_W : ACCESS_R;
}

/* An MMIO entry says whose the access is. No other entry of ours makes such an exit. */
static void malformed(struct vcpu *v, const struct tdp_exit *e)
{
	struct guest *g = v->guest;
	unsigned handler;

	switch (tdp_mmio(&g->tdp, e->gpa, &handler)) {
	case TDP_MMIO:
		mmio_exit(v, e, io_handler(&g->io, handler), false);
		return;
	case TDP_RETRY:
		return;
	default:
		vcpu_die(v, "second-level tables are misconfigured at gpa %#llx",
			 (unsigned long long)e->gpa.v);
	}
}

/* Who emulates what has no MMIO entry. */
static const struct io_region *find_region(struct guest *g, const struct tdp_fault *f)
{
	if (f->has_slot)
		return f->slot.kind == SLOT_EMULATED ? io_handler(&g->io, f->slot.handler) : NULL;
	return io_find_mmio(&g->io, f->gpa, 1);
}

static noinline void fault_exit(struct vcpu *v, const struct tdp_exit *e)
{
	enum tdp_result result;
	struct tdp_fault fault;

	/* The rest is output. */
	fault.gpa = e->gpa;
	fault.access = access_of(e);
	result = tdp_fault(&v->guest->tdp, &fault);
	if (likely(result == TDP_FIXED))
		return;
	switch (result) {
	case TDP_FIXED:
	case TDP_SPURIOUS:
	case TDP_RETRY:
		return;
	case TDP_MMIO:
		mmio_exit(v, e, find_region(v->guest, &fault),
			  fault.has_slot && fault.slot.kind != SLOT_EMULATED);
		return;
	case TDP_ERROR:
		if (fault.error == ERR_NOMEM)
			vcpu_die(
				v,
				"out of memory for page tables (%llu KiB); raise `tables` in its section",
				(unsigned long long)(v->guest->budget.limit * PAGE_SIZE >> 10));
		else
			vcpu_die(v, "access denied by its memory at gpa %#llx",
				 (unsigned long long)e->gpa.v);
		return;
	}
}

static noinline void device_exit(struct vcpu *v, const struct tdp_exit *e)
{
	struct mmio m;

	m.v = v;
	m.exit = e;
	if (likely(known(&m))) {
		reclass(v, m.region ? EXIT_MMIO : EXIT_APIC);
		tdp_note_mmio(&v->guest->tdp);
		carry_out(&m);
	} else if (e->misconfig) {
		malformed(v, e);
	} else {
		fault_exit(v, e);
	}
}

void vcpu_tdp_fault(struct vcpu *v, const struct tdp_exit *e)
{
	if (e->misconfig || (e->write && in_apic_page(e->gpa)))
		device_exit(v, e);
	else
		fault_exit(v, e);
}
