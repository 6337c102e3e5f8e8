/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/guest.h"
#include "core/window.h"
#include "mm/mm_host.h"
#include "x86/asm.h"

/* One piece that lies in one page. The read section keeps the page the guest's until it is done. */
static enum status copy_piece(struct guest *g, gpa_t gpa, void *buf, uint64_t len, bool write)
{
	uint64_t left;
	hpa_t hpa;
	enum status s;

	mm_read_begin();
	s = tdp_translate(&g->tdp, gpa, write ? ACCESS_W : ACCESS_R, &hpa, &left);
	if (s == OK) {
		void *p = window_map(WINDOW_GUEST, hpa);

		if (write) {
			rep_movs(p, buf, len);
			tdp_mark_dirty(&g->tdp, gpa_to_gfn(gpa));
		} else {
			rep_movs(buf, p, len);
		}
	}
	mm_read_end();
	return s;
}

static enum status copy(struct guest *g, gpa_t gpa, uint8_t *buf, size_t len, bool write)
{
	while (len) {
		uint64_t piece = min_u64(len, PAGE_SIZE - (gpa.v & ~PAGE_MASK));
		enum status s = copy_piece(g, gpa, buf, piece, write);

		if (s != OK)
			return s;
		gpa.v += piece;
		buf += piece;
		len -= piece;
	}
	return OK;
}

enum status guest_read(struct guest *g, gpa_t gpa, void *buf, size_t len)
{
	return copy(g, gpa, buf, len, false);
}

enum status guest_write(struct guest *g, gpa_t gpa, const void *buf, size_t len)
{
	return copy(g, gpa, (uint8_t *)buf, len, true);
}

void guest_walk_begin(struct guest_walk *w, struct guest *g)
{
	w->g = g;
	w->slot = NULL;
	mm_read_begin();
}

void guest_walk_end(struct guest_walk *w)
{
	w->slot = NULL;
	mm_read_end();
}

static bool holds(const struct slot *s, gfn_t gfn)
{
	return s && gfn.v - s->base.v < s->npages;
}

enum status guest_walk_read(struct guest_walk *w, gpa_t gpa, void *entry, size_t size)
{
	gfn_t gfn = gpa_to_gfn(gpa);
	const void *p;

	if (unlikely(!holds(w->slot, gfn))) {
		w->slot = slot_find(tdp_slots(&w->g->tdp), gfn);
		/* As in tdp_translate(): a device's registers are no memory. */
		if (!w->slot || w->slot->kind == SLOT_DEVICE || !(w->slot->access & ACCESS_R)) {
			w->slot = NULL;
			return ERR_FAULT;
		}
	}
	p = window_map(WINDOW_GUEST,
		       HPA(pfn_to_hpa(w->slot->pfn).v + (gpa.v - gfn_to_gpa(w->slot->base).v)));
	/* One load each: another core of the guest may be writing. */
	if (size == 8)
		*(uint64_t *)entry = *(const volatile uint64_t *)p;
	else
		*(uint32_t *)entry = *(const volatile uint32_t *)p;
	return OK;
}

enum status guest_set_bits(struct guest *g, gpa_t gpa, uint8_t bits)
{
	uint64_t left;
	hpa_t hpa;
	enum status s;

	mm_read_begin();
	s = tdp_translate(&g->tdp, gpa, ACCESS_W, &hpa, &left);
	if (s == OK) {
		__atomic_fetch_or((uint8_t *)window_map(WINDOW_GUEST, hpa), bits, __ATOMIC_ACQ_REL);
		tdp_mark_dirty(&g->tdp, gpa_to_gfn(gpa));
	}
	mm_read_end();
	return s;
}
