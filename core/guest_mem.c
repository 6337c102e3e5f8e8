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

		if (write)
			rep_movs(p, buf, len);
		else
			rep_movs(buf, p, len);
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

enum status guest_read_entry(struct guest *g, gpa_t gpa, void *entry, size_t size)
{
	uint64_t left;
	hpa_t hpa;
	enum status s;

	mm_read_begin();
	s = tdp_translate(&g->tdp, gpa, ACCESS_R, &hpa, &left);
	if (likely(s == OK)) {
		const void *p = window_map(WINDOW_GUEST, hpa);

		/* One load each: another core of the guest may be writing. */
		if (size == 8)
			*(uint64_t *)entry = *(const volatile uint64_t *)p;
		else
			*(uint32_t *)entry = *(const volatile uint32_t *)p;
	}
	mm_read_end();
	return s;
}

enum status guest_set_bits(struct guest *g, gpa_t gpa, uint8_t bits)
{
	uint64_t left;
	hpa_t hpa;
	enum status s;

	mm_read_begin();
	s = tdp_translate(&g->tdp, gpa, ACCESS_W, &hpa, &left);
	if (s == OK)
		__atomic_fetch_or((uint8_t *)window_map(WINDOW_GUEST, hpa), bits, __ATOMIC_ACQ_REL);
	mm_read_end();
	return s;
}
