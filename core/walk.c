/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/walk.h"

#include <string.h>

#include "core/fetch.h"
#include "core/guest.h"
#include "core/hvm.h"
#include "core/hw.h"
#include "x86/regs.h"

/* Entries of all formats: SDM vol. 3, 4.3 to 4.5. */
#define PTE_P    BIT(0)
#define PTE_W    BIT(1)
#define PTE_U    BIT(2)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_NX   BIT(63)
#define PTE_ADDR BITS(51, 12)

#define MAX_LEVELS 5

/* Segment access rights as in struct segment. */
#define SEG_TYPE_WRITE  0x02 /* data: writable; code: readable */
#define SEG_TYPE_EXPAND 0x04 /* data: expand-down */
#define SEG_TYPE_CODE   0x08
#define SEG_PRESENT     0x80

struct walk {
	struct vcpu *v;
	const struct vcpu_paging *s;
	uint64_t gla;
	unsigned access;
	unsigned levels;    /* of the paging mode */
	unsigned max_large; /* the highest level at which PS makes a page */
	bool legacy;        /* 4-byte entries */
	uint64_t reserved;  /* bits that no present entry may have */
	uint64_t all, any;  /* AND and OR of the entries that carry rights */
	struct guest_walk tables;
	unsigned mark_count;
	struct {
		gpa_t where;
		uint8_t bits;
	} mark[MAX_LEVELS]; /* accessed and dirty bits that are missing */
};

static unsigned phys_bits(void)
{
	static unsigned bits; /* the same on all cores */

	if (!bits) {
		unsigned b = hw_cpuid(0x80000008, 0).eax & 0xff;

		bits = b ? b : 36;
	}
	return bits;
}

static bool canonical(const struct vcpu_paging *s, uint64_t gla)
{
	unsigned unused_bits = (s->cr4 & CR4_LA57) ? 7 : 16;

	return (uint64_t)((int64_t)(gla << unused_bits) >> unused_bits) == gla;
}

static uint32_t base_error(const struct walk *w)
{
	return (w->access & WALK_WRITE ? PF_W : 0) | (w->s->cpl == 3 ? PF_U : 0) |
	       ((w->access & WALK_FETCH) && (w->s->efer & EFER_NXE || w->s->cr4 & CR4_SMEP) ? PF_I
											    : 0);
}

static enum status fail(const struct walk *w, uint32_t cause, uint32_t *error)
{
	*error = base_error(w) | cause;
	return ERR_FAULT;
}

/* Bits that must be 0: addresses the CPU lacks, NX without NXE, PS high up, misaligned pages. */
static bool reserved_set(const struct walk *w, uint64_t entry, unsigned level, bool leaf)
{
	uint64_t reserved = w->reserved;

	if (w->legacy)
		return leaf && level == 2 && (entry & BIT(21));
	if (level >= 4)
		reserved |= PTE_PS;
	if (leaf && (level == 2 || level == 3)) /* no larger page exists */
		reserved |= BITS(11 + 9 * (level - 1), 13);
	return entry & reserved;
}

static gpa_t leaf_address(const struct walk *w, uint64_t entry, unsigned level)
{
	unsigned large = w->legacy ? 22 : 21;
	unsigned shift = level == 1 ? PAGE_SHIFT : level == 2 ? large : 30;
	uint64_t offset = w->gla & (BIT(shift) - 1);

	if (w->legacy && level == 2) /* PSE-36: bits 20:13 are address bits 39:32 */
		return GPA((entry & BITS(31, 22)) | (entry & BITS(20, 13)) << 19 | offset);
	return GPA((entry & PTE_ADDR & ~(BIT(shift) - 1)) | offset);
}

/* SDM vol. 3, 4.6.1. */
static bool allowed(const struct walk *w)
{
	const struct vcpu_paging *s = w->s;
	bool user_mode = s->cpl == 3, user = w->all & PTE_U;

	if (user_mode && !user)
		return false;
	if (w->access & WALK_FETCH) {
		if (!w->legacy && (w->any & PTE_NX))
			return false;
		return user_mode || !user || !(s->cr4 & CR4_SMEP);
	}
	if (!user_mode && user && (s->cr4 & CR4_SMAP) && !(w->v->rflags & RFLAGS_AC))
		return false;
	if ((w->access & WALK_WRITE) && !(w->all & PTE_W))
		return !user_mode && !(s->cr0 & CR0_WP);
	return true;
}

/* Accessed in every entry that is used, dirty in the last one of a write. */
static void note_use(struct walk *w, gpa_t where, uint64_t entry, bool leaf)
{
	uint64_t bits = leaf && (w->access & WALK_WRITE) ? PTE_A | PTE_D : PTE_A;

	if ((entry & bits) == bits)
		return;
	w->mark[w->mark_count].where = where;
	w->mark[w->mark_count++].bits = (uint8_t)bits;
}

/* ERR_NOT_FOUND if a table cannot be written: no fault of the architecture describes that. */
static enum status mark_used(const struct walk *w, gpa_t *gpa)
{
	unsigned i;

	for (i = 0; i < w->mark_count; i++) {
		if (guest_set_bits(w->v->guest, w->mark[i].where, w->mark[i].bits) == OK)
			continue;
		*gpa = w->mark[i].where;
		return ERR_NOT_FOUND;
	}
	return OK;
}

static enum status descend(struct walk *w, gpa_t table, gpa_t *gpa, uint32_t *error)
{
	const unsigned bits = w->legacy ? 10 : 9, size = w->legacy ? 4 : 8;
	unsigned level;

	for (level = w->levels;; level--) {
		uint64_t index = w->gla >> (PAGE_SHIFT + bits * (level - 1)) & (BIT(bits) - 1);
		gpa_t where = GPA(table.v + index * size);
		uint64_t entry = 0;
		bool leaf;

		if (guest_walk_read(&w->tables, where, &entry, size) != OK) {
			*gpa = where;
			return ERR_NOT_FOUND;
		}
		if (!(entry & PTE_P))
			return fail(w, 0, error);
		leaf = level == 1 || (level <= w->max_large && (entry & PTE_PS));
		/* The PDPTEs of PAE paging carry no rights and no accessed bit. */
		if (w->levels != 3 || level != 3) {
			if (reserved_set(w, entry, level, leaf))
				return fail(w, PF_P | PF_RSVD, error);
			w->all &= entry;
			w->any |= entry;
			note_use(w, where, entry, leaf);
		}
		if (leaf) {
			*gpa = leaf_address(w, entry, level);
			break;
		}
		table = GPA(entry & PTE_ADDR);
	}
	return allowed(w) ? OK : fail(w, PF_P, error);
}

/* The paging mode; returns where the root table lies. */
static gpa_t set_mode(struct walk *w)
{
	const struct vcpu_paging *s = w->s;

	w->reserved = BITS(51, phys_bits()) | (s->efer & EFER_NXE ? 0 : PTE_NX);
	if (s->efer & EFER_LMA) {
		w->levels = s->cr4 & CR4_LA57 ? 5 : 4;
		w->max_large = 3;
		return GPA(s->cr3 & PTE_ADDR);
	}
	/* Outside of long mode linear addresses have 32 bits. */
	w->gla &= 0xffffffff;
	if (s->cr4 & CR4_PAE) {
		w->levels = 3;
		w->max_large = 2;
		return GPA(s->cr3 & BITS(31, 5));
	}
	w->levels = 2;
	w->max_large = s->cr4 & CR4_PSE ? 2 : 1;
	w->legacy = true;
	return GPA(s->cr3 & BITS(31, 12));
}

enum status walk_gla(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla, unsigned access,
		     gpa_t *gpa, uint32_t *error)
{
	enum status status;
	struct walk w;
	gpa_t root;

	if (!(s->cr0 & CR0_PG)) {
		*gpa = GPA(gla & 0xffffffff);
		return OK;
	}
	/* Field by field: `mark` needs no value, and this is the heart of each emulated access. */
	w.v = v;
	w.s = s;
	w.gla = gla;
	w.access = access;
	w.legacy = false;
	w.all = ~0ull;
	w.any = 0;
	w.mark_count = 0;
	root = set_mode(&w);
	guest_walk_begin(&w.tables, v->guest);
	status = descend(&w, root, gpa, error);
	guest_walk_end(&w.tables);
	return status == OK ? mark_used(&w, gpa) : status;
}

/* ------------------------------------------------------------------ segmentation */

/* In protected mode: may the segment be used so? Real mode has no types. */
static bool type_allows(const struct vcpu_paging *s, const struct segment *g, unsigned access)
{
	if (!(s->cr0 & CR0_PE))
		return true;
	if (!(g->access & SEG_PRESENT))
		return false;
	if (access & WALK_FETCH)
		return g->access & SEG_TYPE_CODE;
	if (access & WALK_WRITE)
		return !(g->access & SEG_TYPE_CODE) && (g->access & SEG_TYPE_WRITE);
	return !(g->access & SEG_TYPE_CODE) || (g->access & SEG_TYPE_WRITE);
}

static bool within_limit(const struct segment *g, uint64_t offset, size_t size)
{
	uint64_t last = offset + size - 1;
	bool expand_down = !(g->access & SEG_TYPE_CODE) && (g->access & SEG_TYPE_EXPAND);

	if (!expand_down)
		return last <= g->limit;
	return offset > g->limit && last <= (g->access & SEGMENT_DB ? 0xffffffffu : 0xffffu);
}

enum status walk_segment(struct vcpu *v, const struct vcpu_paging *s, uint8_t seg, uint64_t offset,
			 size_t size, unsigned access, uint64_t *gla, uint8_t *vector)
{
	struct segment g;

	*vector = seg == SEG_SS ? VEC_SS : VEC_GP;
	if (vcpu_mode(s) == INSN_64) {
		/* Only FS and GS have a base there, and nothing has a limit. */
		*gla = offset;
		if (seg >= SEG_FS) {
			hvm->get_segment(v, seg, &g);
			*gla += g.base;
		}
		if (!canonical(s, *gla) || !canonical(s, *gla + size - 1))
			return ERR_FAULT;
		return OK;
	}
	hvm->get_segment(v, seg, &g);
	if (!type_allows(s, &g, access) || !within_limit(&g, offset, size))
		return ERR_FAULT;
	*gla = (uint32_t)(g.base + offset);
	return OK;
}

/* ------------------------------------------------------------------ memory */

/* One piece within a page. ERR_FAULT: a fault was injected, or the guest stopped. */
static enum status copy_page(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla, void *buf,
			     size_t len, unsigned access)
{
	uint32_t error = 0;
	gpa_t gpa;
	enum status status = walk_gla(v, s, gla, access, &gpa, &error);

	if (status == ERR_FAULT) {
		hvm->inject_page_fault(v, gla, error);
		return ERR_FAULT;
	}
	if (status != OK) {
		vcpu_die(v, "its page tables lie at gpa %#llx, where it has no writable memory",
			 (unsigned long long)gpa.v);
		return ERR_FAULT;
	}
	status = access & WALK_WRITE ? guest_write(v->guest, gpa, buf, len)
				     : guest_read(v->guest, gpa, buf, len);
	if (status == OK)
		return OK;
	if (access & WALK_FETCH)
		vcpu_die(v, "executes at gpa %#llx, where it has no memory",
			 (unsigned long long)gpa.v);
	else
		vcpu_die(v, "emulated access at linear %#llx reaches no memory",
			 (unsigned long long)gla);
	return ERR_FAULT;
}

static enum status copy(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla, uint8_t *buf,
			size_t len, unsigned access)
{
	while (len) {
		uint64_t piece = min_u64(len, PAGE_SIZE - (gla & ~PAGE_MASK));
		enum status status = copy_page(v, s, gla, buf, piece, access);

		if (status != OK)
			return status;
		gla += piece;
		buf += piece;
		len -= piece;
	}
	return OK;
}

enum status walk_read(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla, void *buf,
		      size_t len, unsigned access)
{
	return copy(v, s, gla, buf, len, access & ~(unsigned)WALK_WRITE);
}

enum status walk_probe_write(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla, size_t len)
{
	uint64_t page[2] = { gla, (gla + len - 1) & PAGE_MASK };
	unsigned i, pages = (gla & PAGE_MASK) == page[1] ? 1 : 2;
	uint32_t error = 0;
	gpa_t gpa;

	for (i = 0; i < pages; i++) {
		if (walk_gla(v, s, page[i], WALK_WRITE, &gpa, &error) != ERR_FAULT)
			continue;
		hvm->inject_page_fault(v, page[i], error);
		return ERR_FAULT;
	}
	return OK;
}

/* Both pages of a write are checked before the first byte changes. */
enum status walk_write(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla, const void *buf,
		       size_t len)
{
	if (walk_probe_write(v, s, gla, len) != OK)
		return ERR_FAULT;
	return copy(v, s, gla, (uint8_t *)buf, len, WALK_WRITE);
}

enum status vcpu_read_linear(struct vcpu *v, uint64_t gla, void *buf, size_t len, bool fetch)
{
	struct vcpu_paging s;

	hvm->get_paging(v, &s);
	return walk_read(v, &s, gla, buf, len, fetch ? WALK_FETCH : 0);
}

enum status vcpu_write_linear(struct vcpu *v, uint64_t gla, const void *buf, size_t len)
{
	struct vcpu_paging s;

	hvm->get_paging(v, &s);
	return walk_write(v, &s, gla, buf, len);
}

/* ------------------------------------------------------------------ instructions */

/* Where the instruction pointer points. */
static uint64_t linear_rip(const struct vcpu *v, const struct vcpu_paging *s)
{
	if (vcpu_mode(s) == INSN_64)
		return v->rip;
	return (uint32_t)(s->cs_base + (uint32_t)v->rip);
}

/* And keep it, for fetch_insn(). */
enum status walk_decode(struct vcpu *v, enum insn_mode mode, struct fetched *f)
{
	struct insn_memo *m = &fetch_insn_set(v)[v->fetch.turn++ % FETCH_INSN_WAYS];
	enum status status;

	f->insn = &m->insn;
	m->word[1] = 0;
	status = insn_decode(f->bytes, f->count, mode, &m->insn);
	if (status == OK && f->count == INSN_MAX) {
		f->bytes[INSN_MAX] = (uint8_t)(mode + 1);
		m->word[0] = f->word[0];
		m->word[1] = f->word[1];
	}
	return status;
}

/* The second page is read only if the instruction really goes on there: it need not be mapped. */
enum status walk_fetch(struct vcpu *v, const struct vcpu_paging *s, struct fetched *f)
{
	uint64_t gla = linear_rip(v, s);
	uint8_t first = (uint8_t)min_u64(INSN_MAX, PAGE_SIZE - (gla & ~PAGE_MASK));
	enum insn_mode mode = vcpu_mode(s);
	enum status status;

	f->count = 0;
	if (walk_read(v, s, gla, f->bytes, first, WALK_FETCH) != OK)
		return ERR_FAULT;
	f->count = first;
	status = walk_decode(v, mode, f);
	if (status != ERR_FAULT)
		return status;
	if (walk_read(v, s, gla + first, f->bytes + first, INSN_MAX - (size_t)first, WALK_FETCH) !=
	    OK)
		return ERR_FAULT;
	f->count = INSN_MAX;
	status = walk_decode(v, mode, f);
	return status == ERR_FAULT ? ERR_INVALID : status;
}

bool vcpu_fetch_bytes(struct vcpu *v, uint8_t *bytes, unsigned count)
{
	struct vcpu_paging s;
	uint32_t error;
	uint64_t gla;
	gpa_t gpa;

	hvm->get_paging(v, &s);
	gla = linear_rip(v, &s);
	if ((gla & ~PAGE_MASK) + count > PAGE_SIZE)
		return false;
	return walk_gla(v, &s, gla, WALK_FETCH, &gpa, &error) == OK &&
	       guest_read(v->guest, gpa, bytes, count) == OK;
}

uint8_t vcpu_instruction_length(struct vcpu *v)
{
	struct vcpu_paging s;
	struct fetched f;

	hvm->get_paging(v, &s);
	return walk_fetch(v, &s, &f) == OK ? f.insn->length : 0;
}
