/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/guest_slots.h"

#include <stdio.h>
#include <string.h>

#include "core/hyp_mem.h"
#include "core/window.h"
#include "log.h"
#include "mm/mm_host.h"
#include "panic.h"
#include "x86/asm.h"

void guest_slots_init(const struct boot_info *bi)
{
	struct spare_block *blocks = NULL;

	if (bi->spare_size) {
		blocks = page_alloc(&hyp_budget,
				    (SPARE_BLOCKS * sizeof(*blocks) + PAGE_SIZE - 1) / PAGE_SIZE);
		if (!blocks)
			log_error("no memory for the list of spare memory: it stays unused");
	}
	spare_init(bi->spare, blocks ? bi->spare_size : 0, blocks);
}

/*
 * On the way out of the pool, not back into it: what the firmware has left there goes as well, and
 * what nobody gets again costs nothing. Nobody reads the pool meanwhile.
 */
static void scrub(uint64_t pfn, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++)
		rep_stos(window_map(WINDOW_SOURCE, pfn_to_hpa(PFN(pfn + i))), 0, PAGE_SIZE);
}

static enum status refuse(struct layout *l, enum status error, const char *reason,
			  const struct slot *culprit)
{
	slot_refuse(&l->txn, error, reason, culprit);
	return error;
}

/* For messages about a place where there is no slot. */
static struct slot place(uint64_t gpa, uint64_t size, const char *name)
{
	struct slot s = { .base = gpa_to_gfn(GPA(gpa)), .npages = size >> PAGE_SHIFT };

	snprintf(s.name, sizeof(s.name), "%s", name);
	return s;
}

enum status layout_begin(struct layout *l, struct guest *g)
{
	const struct slot_set *set;
	unsigned room;

	l->g = g;
	l->count = 0;
	mm_read_begin();
	set = tdp_slots(&g->tdp);
	room = SLOT_MAX - set->count;
	mm_read_end();
	return tdp_begin(&g->tdp, &l->txn, (unsigned)min_u64(room, LAYOUT_EDITS));
}

static void note(struct layout *l, struct layout_change change)
{
	ASSERT(l->count < ARRAY_SIZE(l->changes)); /* the monitor takes LAYOUT_EDITS at most */
	l->changes[l->count++] = change;
}

static void show_block(struct layout *l, uint64_t pfn)
{
	spare_find(pfn)->users++;
	note(l, (struct layout_change){ .kind = LAYOUT_SHOW, .pfn = pfn });
}

static void hide_block(struct layout *l, uint64_t pfn)
{
	note(l, (struct layout_change){ .kind = LAYOUT_HIDE, .pfn = pfn });
}

/* The last slot that showed a private block has gone; it goes as well. */
static void drop_user(uint64_t pfn)
{
	struct spare_block *b = spare_find(pfn);

	if (--b->users == 0 && !b->name[0])
		spare_free(pfn);
}

static void undo(const struct layout_change *c)
{
	enum status s;

	switch (c->kind) {
	case LAYOUT_NEW:
		spare_free(c->pfn);
		break;
	case LAYOUT_SHOW:
		spare_find(c->pfn)->users--;
		break;
	case LAYOUT_HIDE:
		break;
	case LAYOUT_SIZE:
		s = spare_resize(c->pfn, c->old_npages);
		ASSERT(s == OK); /* nobody has taken what the block had, nor can have */
		break;
	}
}

/* After the commit, which has flushed: what the guest has lost is free now. */
static void settle(const struct layout_change *c)
{
	enum status s;

	switch (c->kind) {
	case LAYOUT_NEW:
	case LAYOUT_SHOW:
		break;
	case LAYOUT_HIDE:
		drop_user(c->pfn);
		break;
	case LAYOUT_SIZE:
		s = spare_resize(c->pfn, c->npages);
		ASSERT(s == OK);
		break;
	}
}

void layout_abort(struct layout *l)
{
	if (l->txn.draft)
		tdp_abort(&l->g->tdp, &l->txn);
	while (l->count)
		undo(&l->changes[--l->count]);
}

enum status layout_commit(struct layout *l)
{
	enum status s = tdp_commit(&l->g->tdp, &l->txn);

	if (s != OK) {
		layout_abort(l);
		return s;
	}
	/* Sizes first: a block that is hidden as well is freed whole. */
	for (unsigned i = 0; i < l->count; i++) {
		if (l->changes[i].kind == LAYOUT_SIZE)
			settle(&l->changes[i]);
	}
	for (unsigned i = 0; i < l->count; i++) {
		if (l->changes[i].kind != LAYOUT_SIZE)
			settle(&l->changes[i]);
	}
	l->count = 0;
	return OK;
}

static bool covers(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* May a slot lie there? Other slots are mm/'s business. */
static enum status check_place(struct layout *l, uint64_t gpa, uint64_t size, const char *name)
{
	const struct io_map *io = &l->g->io;
	uint64_t limit = BIT(l->g->maxphyaddr);
	struct slot s = place(gpa, size, name);

	if (!IS_ALIGNED(gpa | size, PAGE_SIZE) || !size)
		return refuse(l, ERR_INVALID, "address and size must be multiples of 4K", &s);
	if (gpa >= limit || size > limit - gpa)
		return refuse(l, ERR_RANGE, "beyond the guest's physical addresses", &s);
	for (uint32_t i = 0; i < io->mmio_count; i++) {
		if (covers(gpa, size, io->mmio[i].base, io->mmio[i].size))
			return refuse(l, ERR_OVERLAP, "covers an emulated device (see `io`)", &s);
	}
	return OK;
}

/* A copy of the draft's slot that begins at `gpa`, if it is one that may be changed. */
static enum status changeable(struct layout *l, uint64_t gpa, struct slot *s)
{
	struct slot missing = place(gpa, 0, "");
	const struct slot *found;

	if (l->txn.error)
		return l->txn.error;
	found = slot_find(l->txn.draft, gpa_to_gfn(GPA(gpa)));
	if (!IS_ALIGNED(gpa, PAGE_SIZE) || !found || found->base.v << PAGE_SHIFT != gpa)
		return refuse(l, ERR_NOT_FOUND, "no slot begins there (see `slots`)", &missing);
	*s = *found;
	if (!spare_find(s->pfn.v))
		return refuse(l, ERR_DENIED, "the guest was started with it and relies on it",
			      found);
	return OK;
}

static bool is_shared(const struct slot *s)
{
	return s->kind == SLOT_SHARED;
}

/* Zeroed memory for one slot. */
static enum status fresh_block(struct layout *l, const struct slot *s, uint64_t *pfn)
{
	if (spare_alloc(s->npages, NULL, pfn) != OK)
		return refuse(l, ERR_NOMEM, "not that much spare memory in one piece (see `mem`)",
			      s);
	note(l, (struct layout_change){ .kind = LAYOUT_NEW, .pfn = *pfn });
	show_block(l, *pfn);
	scrub(*pfn, s->npages);
	return OK;
}

enum status layout_add(struct layout *l, uint64_t gpa, uint64_t size, unsigned access,
		       const char *name)
{
	struct slot s = place(gpa, size, name);

	if (l->txn.error || check_place(l, gpa, size, name))
		return l->txn.error;
	s.access = (uint8_t)access;
	s.type = MEM_WB;
	s.kind = SLOT_RAM;
	if (fresh_block(l, &s, &s.pfn.v))
		return l->txn.error;
	return slot_create(&l->txn, &s);
}

static const struct spare_block *find_region(struct layout *l, const char *name, uint64_t gpa)
{
	const struct spare_block *b = spare_find_region(name);
	struct slot s = place(gpa, 0, name);

	if (!b)
		refuse(l, ERR_NOT_FOUND, "no region has that name (`share` lists them)", &s);
	return b;
}

enum status layout_map(struct layout *l, const char *region, uint64_t gpa, unsigned access)
{
	const struct spare_block *b;
	struct slot s;

	if (l->txn.error || !(b = find_region(l, region, gpa)) ||
	    check_place(l, gpa, b->npages << PAGE_SHIFT, region))
		return l->txn.error;
	s = place(gpa, b->npages << PAGE_SHIFT, region);
	s.pfn.v = b->pfn;
	s.access = (uint8_t)access;
	s.type = MEM_WB;
	s.kind = SLOT_SHARED;
	show_block(l, b->pfn);
	return slot_create(&l->txn, &s);
}

enum status layout_remove(struct layout *l, uint64_t gpa)
{
	struct slot s;

	if (changeable(l, gpa, &s))
		return l->txn.error;
	hide_block(l, s.pfn.v);
	return slot_delete(&l->txn, s.base);
}

enum status layout_move(struct layout *l, uint64_t from, uint64_t to)
{
	struct slot s;

	if (changeable(l, from, &s) || check_place(l, to, s.npages << PAGE_SHIFT, s.name))
		return l->txn.error;
	return slot_move(&l->txn, s.base, gpa_to_gfn(GPA(to)));
}

/* The pending change of a private block's size, or a new one. */
static struct layout_change *size_change(struct layout *l, const struct spare_block *b)
{
	for (unsigned i = 0; i < l->count; i++) {
		if (l->changes[i].kind == LAYOUT_SIZE && l->changes[i].pfn == b->pfn)
			return &l->changes[i];
	}
	note(l, (struct layout_change){ LAYOUT_SIZE, b->pfn, b->npages, b->npages });
	return &l->changes[l->count - 1];
}

enum status layout_resize(struct layout *l, uint64_t gpa, uint64_t size)
{
	uint64_t had, npages = size >> PAGE_SHIFT;
	struct layout_change *c;
	struct spare_block *b;
	struct slot s;

	if (changeable(l, gpa, &s) || check_place(l, gpa, size, s.name))
		return l->txn.error;
	if (is_shared(&s))
		return refuse(l, ERR_DENIED, "a shared window has the size of its region", &s);
	b = spare_find(s.pfn.v);
	c = size_change(l, b);
	had = b->npages;
	if (npages > had) {
		if (spare_resize(b->pfn, npages) != OK)
			return refuse(l, ERR_NOMEM,
				      "no spare memory directly behind it; add another slot", &s);
		scrub(b->pfn + had, npages - had);
	}
	/* Frames that an earlier edit of this layout has cut off come back with their contents. */
	c->npages = npages;
	return slot_resize(&l->txn, s.base, npages);
}

enum status layout_protect(struct layout *l, uint64_t gpa, unsigned access)
{
	struct slot s;

	if (changeable(l, gpa, &s))
		return l->txn.error;
	s.access = (uint8_t)access;
	return slot_replace(&l->txn, &s);
}

enum status layout_replace(struct layout *l, uint64_t gpa, const char *region)
{
	const struct spare_block *b;
	struct slot s;

	if (changeable(l, gpa, &s))
		return l->txn.error;
	hide_block(l, s.pfn.v);
	if (!region) {
		s.kind = SLOT_RAM;
		if (fresh_block(l, &s, &s.pfn.v))
			return l->txn.error;
		return slot_replace(&l->txn, &s);
	}
	b = find_region(l, region, gpa);
	if (!b)
		return l->txn.error;
	if (b->npages != s.npages)
		return refuse(l, ERR_INVALID, "the region has another size (`share` lists it)", &s);
	s.kind = SLOT_SHARED;
	s.pfn.v = b->pfn;
	snprintf(s.name, sizeof(s.name), "%s", region);
	show_block(l, b->pfn);
	return slot_replace(&l->txn, &s);
}

enum status region_create(const char *name, uint64_t size)
{
	uint64_t pfn;
	enum status s;

	if (!IS_ALIGNED(size, PAGE_SIZE) || !size || !*name || strlen(name) >= SLOT_NAME_LEN)
		return ERR_INVALID;
	if (spare_find_region(name))
		return ERR_BUSY;
	s = spare_alloc(size >> PAGE_SHIFT, name, &pfn);
	if (s == OK)
		scrub(pfn, size >> PAGE_SHIFT);
	return s;
}

enum status region_destroy(const char *name)
{
	struct spare_block *b = spare_find_region(name);

	if (!b)
		return ERR_NOT_FOUND;
	if (b->users)
		return ERR_BUSY;
	spare_free(b->pfn);
	return OK;
}
