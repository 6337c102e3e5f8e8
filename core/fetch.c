/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/fetch.h"

#include "core/window.h"

/* Entries of four-level paging: APM vol. 2, 5.3; SDM vol. 3, 4.5. */
#define PTE_P    BIT(0)
#define PTE_W    BIT(1)
#define PTE_U    BIT(2)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_ADDR BITS(51, 12)

/* The guest's memory at `gpa` through that window, or NULL. */
static const void *show(const struct slot_set *set, unsigned window, uint64_t gpa)
{
	gfn_t gfn = gpa_to_gfn(GPA(gpa));
	const struct slot *s = slot_find(set, gfn);

	/* As in tdp_translate(): a device's registers are no memory. */
	if (!s || s->kind == SLOT_DEVICE || !(s->access & ACCESS_R))
		return NULL;
	return window_map((enum window_slot)window,
			  HPA(pfn_to_hpa(slot_pfn(s, gfn)).v + (gpa & ~PAGE_MASK)));
}

/*
 * Walk, and leave everything in view that it went through, by as many windows from that one on.
 * `f` belongs to `v`.
 */
static bool walk(struct vcpu *v, struct fetch_view *f, unsigned window, const struct slot_set *set,
		 uint64_t cr3, uint64_t gla)
{
	uint64_t table = cr3 & PTE_ADDR, rights = PTE_W | PTE_U | PTE_A;

	f->key = 0;
	v->fetch.shown = true;
	for (unsigned i = 0; i < FETCH_LEVELS; i++) {
		unsigned shift = PAGE_SHIFT + 9 * (FETCH_LEVELS - 1 - i);
		const volatile uint64_t *entry =
			show(set, window + i, table + (gla >> shift & 511) * 8);
		bool last = i == FETCH_LEVELS - 1;
		uint64_t value;

		if (!entry)
			return false;
		value = *entry;
		if (!(value & PTE_P))
			return false;
		rights &= value;
		f->rights = rights | (value & PTE_D);
		f->step[i].entry = entry;
		f->step[i].value = value;
		if (i > 0 && !last && (value & PTE_PS)) {
			uint64_t size = BIT(shift);

			/* No levels below: look at this one again instead. */
			for (unsigned j = i + 1; j < FETCH_LEVELS; j++)
				f->step[j] = f->step[i];
			table = (value & PTE_ADDR & ~(size - 1)) | (gla & (size - 1) & PAGE_MASK);
			break;
		}
		table = value & PTE_ADDR;
	}
	f->gpa = table;
	f->cr3 = cr3;
	f->version = set->version;
	f->key = (gla & PAGE_MASK) | FETCH_KEY_VALID;
	return true;
}

bool fetch_walk(struct vcpu *v, const struct slot_set *set, uint64_t cr3, uint64_t gla)
{
	struct fetch_view *f = fetch_view_of(v, gla);
	unsigned window = WINDOW_CODE + (FETCH_LEVELS + 1) * (unsigned)(f - v->fetch.code);

	if (!walk(v, f, window, set, cr3, gla))
		return false;
	f->page = show(set, window + FETCH_LEVELS, f->gpa);
	if (!f->page)
		f->key = 0;
	return f->page;
}

/* Another core of the guest may be writing. */
typedef uint64_t code_word __attribute__((__aligned__(1), __may_alias__));

static inline const struct insn *look_up(struct vcpu *v, const struct fetch_view *f)
{
	uint64_t offset = v->rip & ~PAGE_MASK, low, high;
	const struct insn_memo *m = fetch_insn_set(v);
	const volatile code_word *code = (const volatile code_word *)(f->page + offset);

	_Static_assert(FETCH_INSN_SETS == 16 && FETCH_INSN_WAYS == 2,
		       "the sets' number has 4 bits");
	if (unlikely(offset > PAGE_SIZE - sizeof(m->word)))
		return NULL;
	low = code[0];
	high = (code[1] & BITS(55, 0)) | (INSN_64 + 1ull) << 56;
	if (likely(m[0].word[0] == low && m[0].word[1] == high))
		return &m[0].insn;
	if (m[1].word[0] == low && m[1].word[1] == high)
		return &m[1].insn;
	return NULL;
}

static noinline const struct insn *walk_and_look_up(struct vcpu *v, const struct slot_set *set,
						    uint64_t cr3)
{
	return fetch_walk(v, set, cr3, v->rip) ? look_up(v, fetch_view_of(v, v->rip)) : NULL;
}

const struct insn *fetch_insn(struct vcpu *v, const struct slot_set *set, uint64_t cr3)
{
	const struct fetch_view *f = fetch_view_of(v, v->rip);

	if (likely(fetch_in_view(f, set, cr3, v->rip)))
		return look_up(v, f);
	return walk_and_look_up(v, set, cr3);
}

bool fetch_leads_to(struct vcpu *v, const struct slot_set *set, const struct fetch_tables *t,
		    uint64_t gla, bool write, gpa_t gpa)
{
	unsigned n = gla >> PAGE_SHIFT & (FETCH_DATA - 1);
	struct fetch_view *f = &v->fetch.data[n];
	uint64_t needed = write ? PTE_A | PTE_W | PTE_D : PTE_A;

	if (unlikely(!fetch_in_view(f, set, t->cr3, gla)) &&
	    !walk(v, f, WINDOW_DATA + FETCH_LEVELS * n, set, t->cr3, gla))
		return false;
	/* What supervisors may do with pages of users depends on more, so does writing without W. */
	if (!(f->rights & PTE_U) == t->user || ~f->rights & needed)
		return false;
	return (f->gpa | (gla & ~PAGE_MASK)) == gpa.v;
}

void fetch_forget(struct vcpu *v)
{
	unsigned i;

	if (!v->fetch.shown)
		return;
	v->fetch.shown = false;
	for (i = 0; i < FETCH_CODE; i++)
		v->fetch.code[i].key = 0;
	for (i = 0; i < FETCH_DATA; i++)
		v->fetch.data[i].key = 0;
	for (i = WINDOW_CODE; i < WINDOW_COUNT; i++)
		window_hide((enum window_slot)i);
}
