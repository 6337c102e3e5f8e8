/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_decode.h"
#include "mm_host.h"
#include "panic.h"

struct machine machine;
long fail_after = -1;
uint64_t allocations;
jmp_buf *panic_to;
char panic_message[256];

static void *arena;
static void *memory; /* what has been written back of it */

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(panic_message, sizeof(panic_message), fmt, ap);
	va_end(ap);
	if (panic_to)
		longjmp(*panic_to, 1);
	fprintf(stderr, "panic: %s\n", panic_message);
	abort();
}

void test_pool(uint64_t pages)
{
	static uint64_t size;

	if (size < pages) {
		free(arena);
		free(memory);
		arena = memory = NULL;
		assert_int_equal(posix_memalign(&arena, PAGE_SIZE, pages << PAGE_SHIFT), 0);
		assert_int_equal(posix_memalign(&memory, PAGE_SIZE, pages << PAGE_SHIFT), 0);
		memset(arena, 0xa5, pages << PAGE_SHIFT);
		memset(memory, 0xa5, pages << PAGE_SHIFT);
		size = pages;
	}
	assert_int_equal(page_pool_init(HPA(TEST_POOL_HPA), pages << PAGE_SHIFT, arena, 0), OK);
	fail_after = -1;
}

static struct decoded decode(enum tdp_view_id view, uint64_t e, unsigned level)
{
	return decode_entry(machine.walker[view].rules, e, level);
}

/* Cores have memory types and can execute; IOMMUs have neither. */
static bool is_core(enum tdp_view_id view)
{
	enum walk_format format = machine.walker[view].rules->format;

	return format == WALK_EPT || format == WALK_NPT;
}

unsigned machine_rights(enum tdp_view_id view, unsigned access)
{
	return is_core(view) ? access : access & ACCESS_RW;
}

static uint64_t span_of(unsigned level)
{
	return 1ull << 9 * (level - 1);
}

/* Add an entry; false if the cache had it. */
static bool cache_add(struct cache *c, struct cached new)
{
	uint64_t hash;
	size_t i;

	if (c->count * 2 >= c->size) {
		struct cache grown = { .size = c->size ? c->size * 2 : 4096 };

		grown.entry = calloc(grown.size, sizeof(*grown.entry));
		for (i = 0; i < c->size; i++)
			if (c->entry[i].level)
				cache_add(&grown, c->entry[i]);
		free(c->entry);
		*c = grown;
	}
	hash = (new.base + new.level) * 0x9e3779b97f4a7c15 + new.value * 0xc2b2ae3d27d4eb4f;
	i = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9 >> 32 & (c->size - 1);
	for (; c->entry[i].level; i = (i + 1) & (c->size - 1))
		if (!memcmp(&c->entry[i], &new, sizeof(new)))
			return false;
	c->entry[i] = new;
	c->count++;
	return true;
}

static uint64_t *table_at(uint64_t hpa)
{
	assert_true(page_pool_has(HPA(hpa)));
	assert_non_null(virt_to_page(hpa_to_virt(HPA(hpa)))->owner);
	return hpa_to_virt(HPA(hpa));
}

/* The table as the walker sees it: in the caches, or in memory. */
static const uint64_t *seen(enum tdp_view_id view, const uint64_t *table)
{
	if (!machine.walker[view].rules->non_coherent)
		return table;
	return (const uint64_t *)((const char *)memory + ((const char *)table - (char *)arena));
}

/* The lines of a range get to memory. */
static void write_back(const void *start, size_t size)
{
	size_t offset = (size_t)((const char *)start - (char *)arena) & ~63ull;

	memcpy((char *)memory + offset, (char *)arena + offset, (size + 63) & ~63ull);
}

static void read_table(enum tdp_view_id view, const uint64_t *table, unsigned level, uint64_t base);

/* Is this MMIO entry what the slot asks for? */
static bool emulated_by(const struct slot *s, unsigned handler)
{
	return s && s->kind == SLOT_EMULATED && s->handler == handler;
}

static void check_mmio(enum tdp_view_id view, unsigned handler, unsigned level, uint64_t base)
{
	const struct slot *s = slot_find(tdp_slots(machine.tdp), GFN(base));

	if (view != TDP_CPU || !emulated_by(s, handler) || slot_end(s) < base + span_of(level))
		fail_msg("stale MMIO entry of gfn %#llx, level %u: handler %u",
			 (unsigned long long)base, level, handler);
}

/* A walker reads one entry, and may go on from there at any time. */
static void read_entry(enum tdp_view_id view, uint64_t value, unsigned level, uint64_t base)
{
	struct walker *w = &machine.walker[view];
	struct decoded d = decode(view, value, level);
	struct cached new;

	memset(&new, 0, sizeof(new));
	new.base = base;
	new.value = value;
	new.level = level;
	if (d.mmio && machine.checking)
		check_mmio(view, d.handler, level, base);
	if (!d.present && w->rules->caching_mode)
		cache_add(&w->absent, new);
	if (!d.present)
		return;
	if (d.leaf)
		cache_add(&w->leaves, new);
	else if (cache_add(&w->tables, new))
		read_table(view, table_at(d.hpa), level - 1, base);
}

static void read_table(enum tdp_view_id view, const uint64_t *table, unsigned level, uint64_t base)
{
	table = seen(view, table);
	for (unsigned i = 0; i < 512; i++)
		if (table[i] || machine.walker[view].rules->caching_mode)
			read_entry(view, table[i], level, base + i * span_of(level));
}

/* Everything that is reachable now: from the root, and from upper entries read earlier. */
static void walk(enum tdp_view_id view)
{
	struct walker *w = &machine.walker[view];
	struct cached *known = malloc(w->tables.count * sizeof(*known) + 1);
	size_t n = 0;

	for (size_t i = 0; i < w->tables.size; i++)
		if (w->tables.entry[i].level)
			known[n++] = w->tables.entry[i];
	for (size_t i = 0; i < n; i++)
		read_table(view, table_at(decode(view, known[i].value, known[i].level).hpa),
			   known[i].level - 1, known[i].base);
	free(known);
	if (w->root)
		read_table(view, machine.tdp->view[view].root, w->rules->levels, 0);
}

static bool walks(enum tdp_view_id view)
{
	return machine.walker[view].rules && !(view == TDP_CPU && machine.held);
}

void machine_walk(void)
{
	for (enum tdp_view_id view = 0; machine.tdp && view < TDP_VIEWS; view++)
		if (walks(view))
			walk(view);
}

bool machine_translate_in(enum tdp_view_id view, uint64_t gfn, struct translation *tr)
{
	const struct walk_rules *r = machine.walker[view].rules;
	const uint64_t *table = machine.tdp->view[view].root;

	*tr = (struct translation){ .access = machine_rights(view, ACCESS_RWX),
				    .level = r->levels,
				    .end = UINT64_MAX };
	if (gfn >> (r->gpa_bits - PAGE_SHIFT))
		return false;
	for (unsigned level = r->levels;; level--) {
		uint64_t span = span_of(level), base = gfn & ~(span - 1);
		struct decoded d = decode(view, seen(view, table)[gfn / span % 512], level);

		tr->level = level;
		tr->end = base + span;
		tr->access &= d.access;
		tr->type = d.type;
		tr->pfn = (d.hpa >> PAGE_SHIFT) + (gfn - base);
		tr->mmio = d.mmio;
		tr->handler = d.handler;
		if (!d.present || d.leaf)
			return d.present;
		table = table_at(d.hpa);
	}
}

bool machine_translate(uint64_t gfn, struct translation *tr)
{
	return machine_translate_in(TDP_CPU, gfn, tr);
}

bool machine_maps(enum tdp_view_id view, const struct slot *s)
{
	if (!s || (view == TDP_DMA && s->kind == SLOT_DEVICE))
		return false;
	return machine_rights(view, s->access);
}

/*
 * With nx_huge, large leaves cannot execute, and small ones need not. With a dirty log, large ones
 * cannot be written to, and small ones need not.
 */
static bool rights_match(enum tdp_view_id view, const struct slot *s, const struct translation *tr)
{
	unsigned access = machine_rights(view, s->access), may_lack = 0;

	if (view == TDP_CPU && machine.tdp->nx_huge)
		may_lack |= ACCESS_X;
	if (view == TDP_CPU && s->flags & SLOT_LOG)
		may_lack |= ACCESS_W;
	if (tr->level > 1)
		return tr->access == (access & ~may_lack);
	return (tr->access | (access & may_lack)) == access;
}

bool machine_matches(enum tdp_view_id view, const struct slot *s, uint64_t gfn,
		     const struct translation *tr)
{
	return machine_maps(view, s) && slot_pfn(s, GFN(gfn)).v == tr->pfn &&
	       rights_match(view, s, tr) && (tr->type == s->type || !is_core(view));
}

/*
 * A leaf that a walker holds is what the slots say, everywhere in its span, and it is still there,
 * perhaps in other pieces: whatever took it away, or took a right away, was to flush it.
 */
static bool still_valid(enum tdp_view_id view, const struct slot_set *set, const struct cached *c)
{
	struct decoded d = decode(view, c->value, c->level);
	const struct slot *s = slot_find(set, GFN(c->base));
	uint64_t end = c->base + span_of(c->level);
	struct translation tr;

	if (!machine_maps(view, s) || end > slot_end(s) || d.access & ~s->access ||
	    slot_pfn(s, GFN(c->base)).v != d.hpa >> PAGE_SHIFT ||
	    (d.type != s->type && is_core(view)))
		return false;
	for (uint64_t gfn = c->base; gfn < end; gfn = tr.end)
		if (!machine_translate_in(view, gfn, &tr) || d.access & ~tr.access ||
		    tr.pfn != slot_pfn(s, GFN(gfn)).v)
			return false;
	return true;
}

static void check_cache(enum tdp_view_id view)
{
	const struct cache *c = &machine.walker[view].leaves;
	const struct slot_set *set = tdp_slots(machine.tdp);

	for (size_t i = 0; i < c->size; i++)
		if (c->entry[i].level && !still_valid(view, set, &c->entry[i]))
			fail_msg("%s: stale translation of gfn %#llx, level %u: %#llx",
				 view == TDP_CPU ? "core" : "device",
				 (unsigned long long)c->entry[i].base, c->entry[i].level,
				 (unsigned long long)c->entry[i].value);
}

/* What a walker remembers as absent still is. */
static void check_absent(enum tdp_view_id view)
{
	const struct cache *c = &machine.walker[view].absent;
	struct translation tr;

	for (size_t i = 0; i < c->size; i++) {
		const struct cached *e = &c->entry[i];
		uint64_t end = e->level ? e->base + span_of(e->level) : 0;

		for (uint64_t gfn = e->base; gfn < end; gfn = tr.end)
			if (machine_translate_in(view, gfn, &tr))
				fail_msg("gfn %#llx is mapped, but a device knows better",
					 (unsigned long long)gfn);
	}
}

/* A device cannot fault anything in: all that it may see is there. */
static void check_complete(enum tdp_view_id view)
{
	const struct slot_set *set = tdp_slots(machine.tdp);
	struct translation tr;

	for (uint32_t i = 0; i < set->count; i++) {
		const struct slot *s = &set->slot[i];

		if (!machine_maps(view, s))
			continue;
		for (uint64_t gfn = s->base.v; gfn < slot_end(s); gfn = tr.end)
			if (!machine_translate_in(view, gfn, &tr) ||
			    !machine_matches(view, s, gfn, &tr))
				fail_msg("view %u lacks gfn %#llx", view, (unsigned long long)gfn);
	}
}

void machine_check(void)
{
	machine.checking = true;
	machine_walk();
	machine.checking = false;
	for (enum tdp_view_id view = 0; machine.tdp && view < TDP_VIEWS; view++)
		if (machine.walker[view].root)
			check_cache(view);
	if (machine.tdp && machine.walker[TDP_DMA].root) {
		check_absent(TDP_DMA);
		check_complete(TDP_DMA);
	}
}

/*
 * After each single write of a transaction: a frame that both layouts map is mapped, by either; one
 * that only one of them maps, by that one or not at all. Devices expect that of each write.
 */
static void check_between(enum tdp_view_id view, struct cached written)
{
	const struct slot_set *old = tdp_slots(machine.tdp), *new = machine.next ?: old;
	uint64_t end = written.base + span_of(written.level);
	bool gaps = view == TDP_CPU && machine.gaps;
	struct translation tr;

	for (uint64_t gfn = written.base; gfn < end;) {
		const struct slot *a = slot_find(old, GFN(gfn)), *b = slot_find(new, GFN(gfn));
		const struct slot *na = slot_next(old, GFN(gfn)), *nb = slot_next(new, GFN(gfn));
		bool mapped = machine_translate_in(view, gfn, &tr);

		if (mapped ? !machine_matches(view, a, gfn, &tr) &&
				     !machine_matches(view, b, gfn, &tr)
			   : machine_maps(view, a) && machine_maps(view, b) && !gaps)
			fail_msg("view %u, gfn %#llx in the middle of a transaction: %s", view,
				 (unsigned long long)gfn, mapped ? "neither old nor new" : "gap");
		if (tr.mmio && !emulated_by(a, tr.handler) && !emulated_by(b, tr.handler))
			fail_msg("MMIO entry of gfn %#llx in the middle of a transaction: %u",
				 (unsigned long long)gfn, tr.handler);
		gfn = tr.end;
		/* Don't step over a place where one of the layouts changes. */
		if (na)
			gfn = min_u64(gfn, a ? slot_end(na) : na->base.v);
		if (nb)
			gfn = min_u64(gfn, b ? slot_end(nb) : nb->base.v);
	}
}

/* Where an entry lies below a table that is live now. */
static bool locate_below(enum tdp_view_id view, const uint64_t *entry, const uint64_t *table,
			 unsigned level, uint64_t base, struct cached *at)
{
	uint64_t offset = (uint64_t)(entry - table);

	if (offset < 512) {
		*at = (struct cached){ .base = base + offset * span_of(level), .level = level };
		return true;
	}
	for (unsigned i = 0; i < 512; i++) {
		struct decoded d = decode(view, table[i], level);

		if (d.present && !d.leaf &&
		    locate_below(view, entry, table_at(d.hpa), level - 1, base + i * span_of(level),
				 at))
			return true;
	}
	return false;
}

/* Where an entry lies: through each upper entry that the walker has read, or from the root. */
static bool locate(enum tdp_view_id view, const uint64_t *entry, struct cached *at)
{
	const struct walker *w = &machine.walker[view];
	const uint64_t *root = machine.tdp->view[view].root;

	if ((uint64_t)(entry - root) < 512)
		return locate_below(view, entry, root, w->rules->levels, 0, at);
	for (size_t i = 0; i < w->tables.size; i++) {
		const struct cached *up = &w->tables.entry[i];
		uint64_t offset;

		if (!up->level)
			continue;
		offset = (uint64_t)(entry - table_at(decode(view, up->value, up->level).hpa));
		if (offset >= 512)
			continue;
		*at = (struct cached){ .base = up->base + offset * span_of(up->level - 1),
				       .level = up->level - 1 };
		return true;
	}
	return locate_below(view, entry, root, w->rules->levels, 0, at);
}

void mm_table_ready(void *host, const uint64_t *table)
{
	assert_ptr_equal(host, &machine);
	write_back(table, PAGE_SIZE);
}

/* Cores go on as long as nobody keeps them from it. */
static void cores_run(void)
{
	if (machine.run && !machine.held)
		machine.run();
}

static void cores_leave(void)
{
	cores_run();
	if (machine.leave)
		machine.leave();
}

/* An entry after a core has used it, to write if it may: SDM vol. 3, 29.3.5; APM vol. 2, 5.4.2. */
static uint64_t used(uint64_t e, unsigned level)
{
	struct decoded d = decode(TDP_CPU, e, level);
	const struct walk_rules *r = machine.walker[TDP_CPU].rules;
	bool written = d.leaf && d.access & ACCESS_W;

	if (!d.present)
		return e;
	if (r->format == WALK_NPT)
		return e | 0x20 | (written ? 0x40 : 0);
	return r->flags ? e | 0x100 | (written ? 0x200 : 0) : e;
}

uint64_t mm_entry_xchg(void *host, enum tdp_view_id view, uint64_t *entry, uint64_t value)
{
	bool live = machine.tdp && machine.walker[view].root;
	struct cached at;
	uint64_t old;

	assert_ptr_equal(host, &machine);
	if (live) {
		assert_true(machine.tdp->lock.next != machine.tdp->lock.owner);
		/* An entry that nothing links is not live: it needs no exchange. */
		assert_true(locate(view, entry, &at));
		cores_run();
		if (walks(view))
			read_entry(view, *entry, at.level, at.base);
	}
	old = *entry;
	*entry = value;
	if (view == TDP_DMA)
		write_back(entry, sizeof(*entry));
	machine.writes += view == TDP_CPU;
	machine.dma_writes += view == TDP_DMA;
	if (!live)
		return old;
	if (walks(view)) {
		if (machine.busy && view == TDP_CPU)
			old = used(old, at.level);
		read_entry(view, value, at.level, at.base);
	}
	if (machine.next || view == TDP_DMA)
		check_between(view, at);
	cores_run();
	if (machine.written)
		machine.written();
	return old;
}

void mm_hold(void *host)
{
	assert_ptr_equal(host, &machine);
	assert_false(machine.held);
	assert_false(machine.reading);
	cores_leave();
	machine_walk();
	machine.held = true;
	machine.holds++;
}

/* A core that goes on sees one layout and nothing else. */
void mm_release(void *host)
{
	assert_ptr_equal(host, &machine);
	assert_true(machine.held);
	machine.held = false;
	if (!machine.tdp)
		return;
	machine_walk();
	check_cache(TDP_CPU);
}

/* Forget what the range intersects, and nothing else. */
static void cache_flush(struct cache *c, uint64_t start, uint64_t end)
{
	struct cache kept = { 0 };

	for (size_t i = 0; i < c->size; i++) {
		const struct cached *e = &c->entry[i];

		if (e->level && (e->base >= end || e->base + span_of(e->level) <= start))
			cache_add(&kept, *e);
	}
	free(c->entry);
	*c = kept;
}

void mm_flush(void *host, unsigned views, const struct gfn_range *ranges, unsigned count)
{
	assert_ptr_equal(host, &machine);
	assert_false(machine.reading);
	machine.flushes++;
	if (views & BIT(TDP_CPU))
		cores_leave();
	for (unsigned i = 0; i < count; i++) {
		machine.flushed_pages += ranges[i].end - ranges[i].start;
		for (enum tdp_view_id view = 0; view < TDP_VIEWS; view++) {
			struct walker *w = &machine.walker[view];

			if (!(views & BIT(view)))
				continue;
			cache_flush(&w->leaves, ranges[i].start, ranges[i].end);
			cache_flush(&w->tables, ranges[i].start, ranges[i].end);
			cache_flush(&w->absent, ranges[i].start, ranges[i].end);
		}
	}
	machine_walk();
}

void mm_read_begin(void)
{
	assert_false(machine.reading);
	machine.reading = true;
}

void mm_read_end(void)
{
	void (*meanwhile)(void) = machine.meanwhile;

	assert_true(machine.reading);
	machine.reading = false;
	machine.meanwhile = NULL;
	if (meanwhile)
		meanwhile();
}

void mm_hyp_invalidate(uint64_t va, uint64_t size)
{
	assert_true(IS_ALIGNED(va | size, PAGE_SIZE));
	machine.invalidations++;
}

void *mm_alloc(struct page_budget *budget, unsigned pages)
{
	assert_false(machine.reading);
	allocations++;
	if (fail_after >= 0 && fail_after-- == 0)
		return NULL;
	return page_alloc(budget, pages);
}

/* Nobody may reach a page that is given back; what it held is gone at once. */
void mm_free(void *first)
{
	uint64_t hpa;

	if (!first)
		return;
	hpa = virt_to_hpa(first).v;
	for (enum tdp_view_id view = 0; machine.tdp && view < TDP_VIEWS; view++) {
		const struct walker *w = &machine.walker[view];

		if (w->root)
			assert_ptr_not_equal(first, machine.tdp->view[view].root);
		for (size_t i = 0; i < w->tables.size; i++) {
			const struct cached *c = &w->tables.entry[i];

			if (c->level && decode(view, c->value, c->level).hpa == hpa)
				fail_msg("table %#llx freed while a walker may use it",
					 (unsigned long long)hpa);
		}
	}
	memset(first, 0xa5, (size_t)virt_to_page(first)->count << PAGE_SHIFT);
	page_free(first);
}

void machine_start(struct tdp *t, const struct walk_rules *cpu)
{
	machine_stop();
	machine.tdp = t;
	machine.walker[TDP_CPU] = (struct walker){ .rules = cpu, .root = true };
	machine_walk();
}

void machine_attach(const struct walk_rules *iommu)
{
	struct walker *w = &machine.walker[TDP_DMA];

	assert_false(w->root);
	/* Whoever walked before has forgotten everything. */
	assert_int_equal(w->leaves.count + w->tables.count + w->absent.count, 0);
	w->rules = iommu;
	w->root = true;
	machine_walk();
}

void machine_detach(void)
{
	machine_walk();
	machine.walker[TDP_DMA].root = false;
}

void machine_stop(void)
{
	for (enum tdp_view_id view = 0; view < TDP_VIEWS; view++) {
		free(machine.walker[view].leaves.entry);
		free(machine.walker[view].tables.entry);
		free(machine.walker[view].absent.entry);
	}
	machine = (struct machine){ 0 };
}
