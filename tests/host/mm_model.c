/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm_model.h"

#include <stdlib.h>

const struct slot *model_find(const struct model *m, uint64_t gfn)
{
	for (unsigned i = 0; i < m->count; i++)
		if (gfn - m->slot[i].base.v < m->slot[i].npages)
			return &m->slot[i];
	return NULL;
}

uint64_t model_border(const struct model *m, uint64_t gfn)
{
	uint64_t border = BIT(36);

	for (unsigned i = 0; i < m->count; i++) {
		uint64_t start = m->slot[i].base.v, end = start + m->slot[i].npages;

		if (start > gfn)
			border = min_u64(border, start);
		if (end > gfn)
			border = min_u64(border, end);
	}
	return border;
}

/* Only values whose sums stay below 2^64 come here. */
static enum status check(const struct slot *s)
{
	bool w = s->access & ACCESS_W, x = s->access & ACCESS_X;

	if (s->npages == 0)
		return ERR_INVALID;
	if (s->base.v + s->npages > BIT(36) || s->pfn.v + s->npages > BIT(40))
		return ERR_RANGE;
	if (s->kind == SLOT_EMULATED)
		return s->access || s->pfn.v || s->flags || s->type > MEM_WC || s->handler > 1023
			       ? ERR_INVALID
			       : OK;
	if (s->type > MEM_WC || s->kind > SLOT_SHARED || s->access == 0 || s->access > 7 ||
	    s->handler)
		return ERR_INVALID;
	if ((s->kind == SLOT_ROM && w) || (s->kind == SLOT_DEVICE && x))
		return ERR_INVALID;
	if (s->flags > SLOT_LOG || (s->flags && s->kind != SLOT_RAM && s->kind != SLOT_SHARED))
		return ERR_INVALID;
	return OK;
}

enum status model_create(struct model *m, const struct slot *s)
{
	enum status status = check(s);

	if (status)
		return status;
	for (unsigned i = 0; i < m->count; i++)
		if (s->base.v < m->slot[i].base.v + m->slot[i].npages &&
		    m->slot[i].base.v < s->base.v + s->npages)
			return ERR_OVERLAP;
	if (m->count == MODEL_MAX)
		abort(); /* whoever makes the operations sees to it */
	m->slot[m->count++] = *s;
	return OK;
}

static enum status take(struct model *m, uint64_t base, struct slot *s)
{
	for (unsigned i = 0; i < m->count; i++) {
		if (m->slot[i].base.v != base)
			continue;
		*s = m->slot[i];
		m->slot[i] = m->slot[--m->count];
		return OK;
	}
	return ERR_NOT_FOUND;
}

enum status model_delete(struct model *m, uint64_t base)
{
	struct slot s;

	return take(m, base, &s);
}

enum status model_move(struct model *m, uint64_t from, uint64_t to)
{
	struct slot s;

	if (take(m, from, &s))
		return ERR_NOT_FOUND;
	s.base.v = to;
	return model_create(m, &s);
}

enum status model_resize(struct model *m, uint64_t base, uint64_t npages)
{
	struct slot s;

	if (take(m, base, &s))
		return ERR_NOT_FOUND;
	s.npages = npages;
	return model_create(m, &s);
}

enum status model_set_flags(struct model *m, uint64_t base, unsigned flags)
{
	struct slot s;

	if (take(m, base, &s))
		return ERR_NOT_FOUND;
	s.flags = (uint8_t)flags;
	return model_create(m, &s);
}

enum status model_replace(struct model *m, const struct slot *s)
{
	struct slot was;

	if (take(m, s->base.v, &was))
		return ERR_NOT_FOUND;
	return model_create(m, s);
}
