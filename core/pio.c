/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/emulate.h"
#include "core/guest.h"
#include "core/hvm.h"
#include "core/vpci.h"
#include "core/walk.h"
#include "x86/regs.h"

/* Elements of a string instruction per exit: then interrupts and requests get their turn. */
#define STRING_BURST 64

static inline uint64_t ones(uint8_t size)
{
	return (1ull << (8 * size)) - 1;
}

static uint64_t port_read(struct vcpu *v, uint16_t port, uint8_t size)
{
	struct guest *g = v->guest;
	const struct io_region *r;
	uint64_t value = ~0ull;

	spin_lock(&g->lock);
	r = io_find_port(&g->io, port, size);
	if (likely(r))
		value = r->ops->read(v, r->dev, (uint32_t)(port - r->base), size);
	else
		io_count_unowned(&g->io, port, false);
	spin_unlock(&g->lock);
	return value & ones(size);
}

/* Whether it took long: there are requests to look at before anything else is done. */
static bool port_write(struct vcpu *v, uint16_t port, uint8_t size, uint64_t value)
{
	struct guest *g = v->guest;
	const struct io_region *r;

	spin_lock(&g->lock);
	r = io_find_port(&g->io, port, size);
	if (likely(r))
		r->ops->write(v, r->dev, (uint32_t)(port - r->base), size, value & ones(size));
	else
		io_count_unowned(&g->io, port, false);
	spin_unlock(&g->lock);
	return vpci_finish(g);
}

/* INS and OUTS, element by element. */
struct string {
	struct vcpu *v;
	const struct pio_exit *e;
	struct vcpu_paging s;
	uint8_t address_size, segment;
	bool slow;
};

/* The hardware need not tell address size and segment. False: the fetch has injected a fault. */
static bool complete(struct string *t)
{
	enum status status;
	struct fetched f;

	t->address_size = t->e->address_size;
	t->segment = t->e->segment;
	if (t->address_size && t->segment < SEG_COUNT)
		return true;
	status = walk_fetch(t->v, &t->s, &f);
	if (status == ERR_FAULT)
		return false;
	/* Another core has changed the instruction under way: execute what is there now. */
	if (status != OK || f.insn->map != 1 || f.insn->opcode < 0x6c || f.insn->opcode > 0x6f)
		return false;
	t->address_size = f.insn->address_size;
	t->segment = f.insn->segment;
	return true;
}

/* Move one element; false: a fault was injected, nothing has happened. */
static bool element(struct string *t)
{
	const struct pio_exit *e = t->e;
	uint8_t reg = e->in ? GPR_RDI : GPR_RSI;
	uint64_t *gpr = t->v->gpr, gla, value = 0;
	uint64_t offset = emulate_reg_read(gpr, reg, false, t->address_size);
	uint8_t vector;

	/* The destination of INS is ES, whatever the prefix says. */
	if (walk_segment(t->v, &t->s, e->in ? SEG_ES : t->segment, offset, e->size,
			 e->in ? WALK_WRITE : 0, &gla, &vector) != OK) {
		hvm->inject_exception(t->v, vector, true, 0);
		return false;
	}
	if (e->in) {
		/* Reading a port may change the device: first see that the value has a place. */
		if (walk_probe_write(t->v, &t->s, gla, e->size) != OK)
			return false;
		value = port_read(t->v, e->port, e->size);
		if (walk_write(t->v, &t->s, gla, &value, e->size) != OK)
			return false;
	} else {
		if (walk_read(t->v, &t->s, gla, &value, e->size, 0) != OK)
			return false;
		t->slow = port_write(t->v, e->port, e->size, value);
	}
	offset += t->v->rflags & RFLAGS_DF ? -(uint64_t)e->size : e->size;
	emulate_reg_write(gpr, reg, false, t->address_size, offset);
	return true;
}

static void string_exit(struct vcpu *v, const struct pio_exit *e)
{
	struct string t = { .v = v, .e = e };
	uint64_t left;
	unsigned burst;

	hvm->get_paging(v, &t.s);
	if (!complete(&t))
		return;
	if (!e->rep) {
		if (element(&t))
			hvm->skip_instruction(v);
		return;
	}
	left = emulate_reg_read(v->gpr, GPR_RCX, false, t.address_size);
	for (burst = 0; left && burst < STRING_BURST && !t.slow; burst++) {
		if (!element(&t))
			return;
		left--;
		emulate_reg_write(v->gpr, GPR_RCX, false, t.address_size, left);
	}
	/* With something left the guest executes the same instruction again. */
	if (left == 0)
		hvm->skip_instruction(v);
}

void vcpu_in(struct vcpu *v, uint16_t port, uint8_t size)
{
	uint64_t value = port_read(v, port, size);
	uint64_t kept = size == 4 ? 0 : v->gpr[GPR_RAX] & ~ones(size);

	v->gpr[GPR_RAX] = kept | value;
}

void vcpu_out(struct vcpu *v, uint16_t port, uint8_t size)
{
	(void)port_write(v, port, size, v->gpr[GPR_RAX]);
}

void vcpu_pio(struct vcpu *v, const struct pio_exit *e)
{
	if (e->string) {
		string_exit(v, e);
		return;
	}
	if (e->in)
		vcpu_in(v, e->port, e->size);
	else
		vcpu_out(v, e->port, e->size);
	hvm->skip_instruction(v);
}
