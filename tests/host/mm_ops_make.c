/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_ops.h"
#include "mm_ops_state.h"

/* Making operations, and printing them. */

unsigned choose(struct choice *c, unsigned n)
{
	if (c->rng) {
		c->rng ^= c->rng << 13;
		c->rng ^= c->rng >> 7;
		c->rng ^= c->rng << 17;
		return (unsigned)((c->rng >> 11) % n);
	}
	if (!c->size)
		return 0;
	c->size--;
	return *c->data++ % n;
}

/* Frames where something interesting meets: table borders of all levels, and near them. */
static uint64_t some_gfn(struct choice *c)
{
	static const uint64_t anchor[] = { 0,          512,        1024,
					   4096,       1ull << 18, 3ull << 18,
					   1ull << 27, 1ull << 35, (1ull << 36) - 512 };
	static const int64_t offset[] = { 0, 0, 0, 1, 3, 255, 511, 512, 700, -1, -2, -512, -600 };
	uint64_t at = anchor[choose(c, ARRAY_SIZE(anchor))];
	unsigned bits = choose(c, 30) ? v->walk.gpa_bits - PAGE_SHIFT : SLOT_GFN_BITS;

	return (at + (uint64_t)offset[choose(c, ARRAY_SIZE(offset))]) & (BIT(bits) - 1);
}

static uint64_t some_npages(struct choice *c)
{
	static const uint64_t size[] = { 1, 1, 2, 3, 100, 5, 20, 511, 512, 513, 1024, 1100 };

	return size[choose(c, ARRAY_SIZE(size))];
}

/* A frame of a slot, mostly; else any. */
static uint64_t used_gfn(struct choice *c, const struct model *m)
{
	const struct slot *s;
	uint64_t at;

	if (!m->count || !choose(c, 5))
		return some_gfn(c);
	s = &m->slot[choose(c, m->count)];
	at = choose(c, 2) ? choose(c, 256) * 256u + choose(c, 256) : choose(c, 3);
	return s->base.v + (choose(c, 2) ? at % s->npages : s->npages - 1 - at % s->npages);
}

static void some_device(struct choice *c, struct op *op)
{
	op->slot_kind = SLOT_EMULATED;
	op->npages = choose(c, 2) ? 1 : some_npages(c);
	op->handler = (uint16_t)(choose(c, 4) * 341 + !choose(c, 60));
}

static void some_backing(struct choice *c, struct op *op)
{
	static const uint8_t access[] = { ACCESS_R, ACCESS_RW, ACCESS_RX, ACCESS_RWX, ACCESS_RWX };
	static const uint8_t kind[] = { SLOT_RAM, SLOT_RAM, SLOT_SHARED, SLOT_ROM, SLOT_DEVICE };

	op->npages = some_npages(c);
	op->access = access[choose(c, ARRAY_SIZE(access))];
	op->type = (uint8_t)choose(c, MEM_TYPES);
	op->slot_kind = kind[choose(c, ARRAY_SIZE(kind))];
	if (op->slot_kind == SLOT_ROM)
		op->access &= (uint8_t)~ACCESS_W;
	if (op->slot_kind == SLOT_DEVICE)
		op->access &= (uint8_t)~ACCESS_X;
	if (op->slot_kind == SLOT_RAM || op->slot_kind == SLOT_SHARED)
		op->flags = choose(c, 4) ? 0 : SLOT_LOG;
	/* Mostly congruent to the guest frame, so that large pages come into play. */
	if (choose(c, 4))
		op->pfn = op->gfn % (1u << 18) + ((uint64_t)choose(c, 30) << 18);
	else
		op->pfn = choose(c, 256) << 14 | choose(c, 256) << 6;
	if (format.max_level == 3 && !choose(c, 8)) {
		op->gfn = ALIGN_DOWN(op->gfn, 1u << 18);
		op->pfn = (uint64_t)choose(c, 16) << 18;
		op->npages = (1u << 18) * (1ull + choose(c, 2)) + choose(c, 2) * choose(c, 256);
	}
	/* What only the format can refuse, and what nobody accepts. */
	if (!choose(c, 60))
		op->access = (uint8_t)choose(c, 9);
	if (!choose(c, 60))
		op->pfn = BIT(format.maxphyaddr - PAGE_SHIFT) - choose(c, 256);
	if (!choose(c, 60))
		op->type = MEM_TYPES;
}

static uint8_t some_failure(struct choice *c, unsigned among)
{
	return choose(c, among) ? 0 : (uint8_t)(1 + choose(c, 12));
}

static struct op next_edit(struct choice *c)
{
	static const uint8_t edits[] = { OP_DELETE, OP_MOVE,    OP_RESIZE, OP_REPLACE,  OP_CREATE,
					 OP_CREATE, OP_REPLACE, OP_MOVE,   OP_SET_FLAGS };
	struct op op = { .kind = edits[choose(c, ARRAY_SIZE(edits))], .which = !choose(c, 8) };
	const struct model *m = ops_draft_model(op.which);

	if (!m->count)
		op.kind = OP_CREATE;
	if (op.kind == OP_CREATE && m->count == MODEL_MAX)
		op.kind = OP_DELETE;
	op.gfn = op.kind != OP_CREATE && choose(c, 30) ? m->slot[choose(c, m->count)].base.v
						       : some_gfn(c);
	if (op.kind == OP_MOVE)
		op.to = some_gfn(c);
	else if (op.kind == OP_SET_FLAGS)
		op.flags = (uint8_t)choose(c, choose(c, 20) ? 2 : 4);
	else if (op.kind == OP_RESIZE)
		op.npages = some_npages(c);
	else if (op.kind != OP_DELETE && !choose(c, 5))
		some_device(c, &op);
	else if (op.kind != OP_DELETE)
		some_backing(c, &op);
	op.fail = some_failure(c, 100);
	return op;
}

static struct op next_fault(struct choice *c, const struct model *now)
{
	static const uint8_t attempts[] = { ACCESS_R, ACCESS_W, ACCESS_X, ACCESS_RW };

	return (struct op){ .kind = OP_FAULT,
			    .access = attempts[choose(c, ARRAY_SIZE(attempts))],
			    .fail = some_failure(c, 6),
			    .during = choose(c, 2) ? (uint8_t)choose(c, 12) : 0,
			    .gfn = used_gfn(c, now) };
}

static struct op next_zap(struct choice *c, const struct model *now)
{
	if (now->count && choose(c, 3))
		return (struct op){ .kind = OP_ZAP_SLOT,
				    .gfn = now->slot[choose(c, now->count)].base.v };
	if (choose(c, 3))
		return (struct op){ .kind = OP_ZAP_TABLE,
				    .gfn = used_gfn(c, now),
				    .level = (uint8_t)(1 + choose(c, 4)),
				    .on = !choose(c, 8) };
	return (struct op){ .kind = OP_ZAP_ALL };
}

static struct op next_resize(struct choice *c, const struct model *now)
{
	if (choose(c, 2))
		return (struct op){ .kind = OP_SPLIT,
				    .view = !choose(c, 4),
				    .gfn = used_gfn(c, now),
				    .level = (uint8_t)(1 + choose(c, 2)),
				    .fail = some_failure(c, 6) };
	return (struct op){ .kind = OP_COLLAPSE,
			    .gfn = used_gfn(c, now),
			    .npages = choose(c, 2) ? some_npages(c) : BIT(36) };
}

/* Fill what zaps have left open: from there on there are no gaps. */
static struct op next_populate(struct choice *c, const struct model *now)
{
	if (choose(c, 3))
		return (struct op){ .kind = OP_POPULATE, .npages = BIT(36) };
	return (struct op){ .kind = OP_POPULATE,
			    .gfn = used_gfn(c, now),
			    .npages = some_npages(c),
			    .fail = some_failure(c, 4) };
}

static struct op next_switch(struct choice *c, const struct model *now)
{
	switch (choose(c, 10)) {
	case 0:
		return (struct op){ .kind = OP_SET_ZAP_ALL, .on = !choose(c, 3) };
	case 1:
		return (struct op){ .kind = OP_SET_NX, .on = !!choose(c, 3) };
	case 2:
		return (struct op){ .kind = OP_ATTACH,
				    .view = (uint8_t)choose(c, MM_IOMMUS),
				    .fail = some_failure(c, 3) };
	case 3:
		return (struct op){ .kind = OP_DETACH };
	case 4:
		return (struct op){ .kind = OP_SET_LOG_MODE, .on = (uint8_t)choose(c, 3) };
	case 5:
	case 6:
	case 7:
		return (struct op){ .kind = OP_GET_DIRTY,
				    .gfn = used_gfn(c, now),
				    .npages = some_npages(c) - !choose(c, 8) };
	default:
		return (struct op){ .kind = OP_NX_RECOVER, .npages = 1 + choose(c, 8) };
	}
}

struct op ops_next(struct choice *c)
{
	const struct model *now = ops_model();
	unsigned n = choose(c, 64);

	if (n < 28)
		return next_edit(c);
	if (n < 40)
		return (struct op){ .kind = OP_COMMIT,
				    .which = !choose(c, 8),
				    .fail = some_failure(c, 6) };
	if (n < 41)
		return (struct op){ .kind = OP_ABORT, .which = !choose(c, 3) };
	if (n < 42)
		return (struct op){ .kind = OP_MMIO, .gfn = used_gfn(c, now) };
	if (n < 51)
		return next_fault(c, now);
	if (n < 54)
		return next_zap(c, now);
	if (n < 58)
		return next_resize(c, now);
	if (n < 61)
		return next_populate(c, now);
	return next_switch(c, now);
}

static const char *const names[OP_KINDS] = {
	[OP_CREATE] = "CREATE",
	[OP_DELETE] = "DELETE",
	[OP_MOVE] = "MOVE",
	[OP_RESIZE] = "RESIZE",
	[OP_REPLACE] = "REPLACE",
	[OP_COMMIT] = "COMMIT",
	[OP_ABORT] = "ABORT",
	[OP_FAULT] = "FAULT",
	[OP_POPULATE] = "POPULATE",
	[OP_ZAP_SLOT] = "ZAP_SLOT",
	[OP_ZAP_ALL] = "ZAP_ALL",
	[OP_ZAP_TABLE] = "ZAP_TABLE",
	[OP_SPLIT] = "SPLIT",
	[OP_COLLAPSE] = "COLLAPSE",
	[OP_SET_NX] = "SET_NX",
	[OP_SET_ZAP_ALL] = "SET_ZAP_ALL",
	[OP_ATTACH] = "ATTACH",
	[OP_NX_RECOVER] = "NX_RECOVER",
	[OP_DETACH] = "DETACH",
	[OP_SET_FLAGS] = "SET_FLAGS",
	[OP_GET_DIRTY] = "GET_DIRTY",
	[OP_MMIO] = "MMIO",
	[OP_SET_LOG_MODE] = "SET_LOG_MODE",
};

static void print_field(FILE *f, const char *name, uint64_t value)
{
	if (value)
		fprintf(f, value < 10 ? ", .%s = %" PRIu64 : ", .%s = %#" PRIx64, name, value);
}

void ops_print(FILE *f, const struct op *op, size_t count)
{
	for (; count--; op++) {
		fprintf(f, "\t{ .kind = OP_%s", names[op->kind]);
		print_field(f, "which", op->which);
		print_field(f, "view", op->view);
		print_field(f, "level", op->level);
		print_field(f, "on", op->on);
		print_field(f, "access", op->access);
		print_field(f, "type", op->type);
		print_field(f, "slot_kind", op->slot_kind);
		print_field(f, "flags", op->flags);
		print_field(f, "handler", op->handler);
		print_field(f, "fail", op->fail);
		print_field(f, "during", op->during);
		print_field(f, "gfn", op->gfn);
		print_field(f, "to", op->to);
		print_field(f, "npages", op->npages);
		print_field(f, "pfn", op->pfn);
		fprintf(f, " },\n");
	}
}
