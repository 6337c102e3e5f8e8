/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_host.h"
#include "panic.h"

struct machine machine;
long fail_after = -1;
uint64_t allocations;
jmp_buf *panic_to;
char panic_message[256];

static void *arena;

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
		arena = NULL;
		assert_int_equal(posix_memalign(&arena, PAGE_SIZE, pages << PAGE_SHIFT), 0);
		memset(arena, 0xa5, pages << PAGE_SHIFT);
		size = pages;
	}
	assert_int_equal(page_pool_init(HPA(TEST_POOL_HPA), pages << PAGE_SHIFT, arena, 0), OK);
	fail_after = -1;
}

/* The walkers' own view of an entry. */
struct decoded {
	bool present, leaf;
	uint64_t hpa;
	unsigned access;
	enum mem_type type;
};

/* SDM vol. 3, tables 29-1 to 29-6; an EPT misconfiguration (29.3.3.1) fails the test. */
static struct decoded decode_ept(uint64_t e, unsigned level)
{
	struct decoded d = { .present = e & 7, .access = e & 7, .hpa = e & 0xffffffffff000 };

	if (!d.present)
		return d;
	assert_true((e & 3) != 2);
	assert_true((e & 7) != 4 || machine.exec_only);
	assert_int_equal(d.hpa >> machine.maxphyaddr, 0);
	d.leaf = level == 1 || (level < 4 && e & 0x80);
	if (!d.leaf) {
		assert_int_equal(e & 0xf8, 0);
		return d;
	}
	assert_int_equal(d.hpa & ((PAGE_SIZE << 9 * (level - 1)) - 1), 0);
	switch (e >> 3 & 7) {
	case 0:
		d.type = MEM_UC;
		break;
	case 1:
		d.type = MEM_WC;
		break;
	case 6:
		d.type = MEM_WB;
		break;
	default:
		fail_msg("memory type of %#llx", (unsigned long long)e);
	}
	return d;
}

/* APM vol. 2, 5.3.3, 5.4 and 15.25.5, with the PAT that mm_types.h prescribes. */
static struct decoded decode_npt(uint64_t e, unsigned level)
{
	struct decoded d = { .present = e & 1, .hpa = e & 0xffffffffff000 };

	if (!d.present)
		return d;
	assert_int_equal(e & 4, 4);
	d.access = ACCESS_R | (e & 2 ? ACCESS_W : 0) | (e >> 63 ? 0 : ACCESS_X);
	assert_int_equal(d.hpa >> machine.maxphyaddr, 0);
	d.leaf = level == 1 || e & 0x80;
	assert_true(!d.leaf || level < 4);
	if (!d.leaf)
		return d;
	if (level == 1)
		assert_int_equal(e & 0x80, 0);
	assert_int_equal(d.hpa & ((PAGE_SIZE << 9 * (level - 1)) - 1), 0);
	switch (MM_HOST_PAT >> 8 * (e >> 3 & 3) & 7) {
	case 6:
		d.type = MEM_WB;
		break;
	case 1:
		d.type = MEM_WC;
		break;
	case 0:
		d.type = MEM_UC;
		break;
	default:
		fail_msg("memory type of %#llx", (unsigned long long)e);
	}
	return d;
}

static struct decoded decode(uint64_t e, unsigned level)
{
	return machine.amd ? decode_npt(e, level) : decode_ept(e, level);
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

static void read_table(enum walker w, const uint64_t *table, unsigned level, uint64_t base);

/* A walker reads one entry, and may go on from there at any time. */
static void read_entry(enum walker w, uint64_t value, unsigned level, uint64_t base)
{
	struct cached new;
	struct decoded d = decode(value, level);

	if (!d.present)
		return;
	memset(&new, 0, sizeof(new));
	new.base = base;
	new.value = value;
	new.level = level;
	if (d.leaf)
		cache_add(&machine.leaves[w], new);
	else if (cache_add(&machine.tables[w], new))
		read_table(w, table_at(d.hpa), level - 1, base);
}

static void read_table(enum walker w, const uint64_t *table, unsigned level, uint64_t base)
{
	for (unsigned i = 0; i < 512; i++)
		if (table[i])
			read_entry(w, table[i], level, base + i * span_of(level));
}

/* Everything that is reachable now: from the root, and from upper entries read earlier. */
static void walk(enum walker w)
{
	const struct cache *c = &machine.tables[w];
	struct cached *known = malloc(c->count * sizeof(*known) + 1);
	size_t n = 0;

	for (size_t i = 0; i < c->size; i++)
		if (c->entry[i].level)
			known[n++] = c->entry[i];
	for (size_t i = 0; i < n; i++)
		read_table(w, table_at(decode(known[i].value, known[i].level).hpa),
			   known[i].level - 1, known[i].base);
	free(known);
	read_table(w, machine.tdp->view[TDP_CPU].root, 4, 0);
}

void machine_walk(void)
{
	if (!machine.tdp)
		return;
	if (!machine.held)
		walk(WALKER_CPU);
	walk(WALKER_DEVICE);
}

/*
 * A leaf that a walker holds is what the slots say, everywhere in its span, and it is still there,
 * perhaps in other pieces: whatever took it away, or took a right away, was to flush it.
 */
static bool still_valid(const struct slot_set *set, const struct cached *c)
{
	struct decoded d = decode(c->value, c->level);
	const struct slot *s = slot_find(set, GFN(c->base));
	uint64_t end = c->base + span_of(c->level);
	struct translation tr;

	if (!s || end > slot_end(s) || slot_pfn(s, GFN(c->base)).v != d.hpa >> PAGE_SHIFT ||
	    d.access & ~s->access || d.type != s->type)
		return false;
	for (uint64_t gfn = c->base; gfn < end; gfn = tr.end)
		if (!machine_translate(gfn, &tr) || d.access & ~tr.access ||
		    tr.pfn != slot_pfn(s, GFN(gfn)).v)
			return false;
	return true;
}

static void check_leaf(const struct slot_set *set, const struct cached *c, const char *who)
{
	if (!still_valid(set, c))
		fail_msg("%s: stale translation of gfn %#llx, level %u: %#llx", who,
			 (unsigned long long)c->base, c->level, (unsigned long long)c->value);
}

static void check_cache(enum walker w)
{
	const struct cache *c = &machine.leaves[w];
	const struct slot_set *set = tdp_slots(machine.tdp);

	for (size_t i = 0; i < c->size; i++)
		if (c->entry[i].level)
			check_leaf(set, &c->entry[i], w == WALKER_CPU ? "core" : "device");
}

void machine_check(void)
{
	machine_walk();
	for (enum walker w = 0; w < WALKERS; w++)
		check_cache(w);
}

bool machine_translate(uint64_t gfn, struct translation *tr)
{
	const uint64_t *table = machine.tdp->view[TDP_CPU].root;

	tr->access = ACCESS_RWX;
	for (unsigned level = 4;; level--) {
		uint64_t span = span_of(level), base = gfn & ~(span - 1);
		struct decoded d = decode(table[gfn / span % 512], level);

		tr->level = level;
		tr->end = base + span;
		tr->access &= d.access;
		tr->type = d.type;
		tr->pfn = (d.hpa >> PAGE_SHIFT) + (gfn - base);
		if (!d.present || d.leaf)
			return d.present;
		table = table_at(d.hpa);
	}
}

static bool matches(const struct slot *s, uint64_t gfn, const struct translation *tr)
{
	unsigned lost = machine.tdp->nx_huge ? ACCESS_X : 0;

	return s && slot_pfn(s, GFN(gfn)).v == tr->pfn && s->type == tr->type &&
	       (s->access == tr->access || (s->access & ~lost) == tr->access);
}

/*
 * After each single write of a transaction: a frame that both layouts map is mapped, by either; one
 * that only one of them maps, by that one or not at all.
 */
static void check_between(struct cached written)
{
	const struct slot_set *old = tdp_slots(machine.tdp), *new = machine.next;
	uint64_t end = written.base + span_of(written.level);
	struct translation tr;

	for (uint64_t gfn = written.base; gfn < end;) {
		const struct slot *a = slot_find(old, GFN(gfn)), *b = slot_find(new, GFN(gfn));
		const struct slot *na = slot_next(old, GFN(gfn)), *nb = slot_next(new, GFN(gfn));
		bool mapped = machine_translate(gfn, &tr);

		if (mapped ? !matches(a, gfn, &tr) && !matches(b, gfn, &tr)
			   : a && b && !machine.gaps)
			fail_msg("gfn %#llx in the middle of a transaction: %s",
				 (unsigned long long)gfn, mapped ? "neither old nor new" : "gap");
		gfn = tr.end;
		/* Don't step over a place where one of the layouts changes. */
		if (na)
			gfn = min_u64(gfn, a ? slot_end(na) : na->base.v);
		if (nb)
			gfn = min_u64(gfn, b ? slot_end(nb) : nb->base.v);
	}
}

/* Where a live entry lies, as far as walkers know: through each upper entry that they have read. */
static bool locate(enum walker w, const uint64_t *entry, struct cached *at)
{
	const struct cache *c = &machine.tables[w];
	uint64_t offset = (uint64_t)(entry - machine.tdp->view[TDP_CPU].root);

	if (offset < 512) {
		*at = (struct cached){ .base = offset * span_of(4), .level = 4 };
		return true;
	}
	for (size_t i = 0; i < c->size; i++) {
		const struct cached *up = &c->entry[i];

		if (!up->level)
			continue;
		offset = (uint64_t)(entry - table_at(decode(up->value, up->level).hpa));
		if (offset >= 512)
			continue;
		*at = (struct cached){ .base = up->base + offset * span_of(up->level - 1),
				       .level = up->level - 1 };
		return true;
	}
	return false;
}

void mm_table_ready(void *host, const uint64_t *table)
{
	assert_ptr_equal(host, &machine);
	assert_non_null(table);
}

uint64_t mm_entry_xchg(void *host, enum tdp_view_id view unused, uint64_t *entry, uint64_t value)
{
	uint64_t old = *entry;
	struct cached at;

	assert_ptr_equal(host, &machine);
	*entry = value;
	machine.writes++;
	if (!machine.tdp)
		return old;
	assert_true(machine.tdp->lock.next != machine.tdp->lock.owner);
	/* The walkers know all that is live, hence the entry, unless something was not walked. */
	for (enum walker w = 0; w < WALKERS; w++)
		if (locate(w, entry, &at) && (w == WALKER_DEVICE || !machine.held))
			read_entry(w, value, at.level, at.base);
	assert_true(locate(WALKER_DEVICE, entry, &at));
	if (machine.next)
		check_between(at);
	return old;
}

void mm_hold(void *host)
{
	assert_ptr_equal(host, &machine);
	assert_false(machine.held);
	assert_false(machine.reading);
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
	check_cache(WALKER_CPU);
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

void mm_flush(void *host, unsigned views unused, const struct gfn_range *ranges, unsigned count)
{
	assert_ptr_equal(host, &machine);
	assert_false(machine.reading);
	machine.flushes++;
	for (unsigned i = 0; i < count; i++) {
		machine.flushed_pages += ranges[i].end - ranges[i].start;
		for (enum walker w = 0; w < WALKERS; w++) {
			cache_flush(&machine.leaves[w], ranges[i].start, ranges[i].end);
			cache_flush(&machine.tables[w], ranges[i].start, ranges[i].end);
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
	if (machine.tdp)
		assert_ptr_not_equal(first, machine.tdp->view[TDP_CPU].root);
	for (enum walker w = 0; w < WALKERS; w++) {
		const struct cache *c = &machine.tables[w];

		for (size_t i = 0; i < c->size; i++)
			if (c->entry[i].level &&
			    decode(c->entry[i].value, c->entry[i].level).hpa == hpa)
				fail_msg("table %#llx freed while a walker may use it",
					 (unsigned long long)hpa);
	}
	memset(first, 0xa5, (size_t)virt_to_page(first)->count << PAGE_SHIFT);
	page_free(first);
}

void machine_start(struct tdp *t, bool amd, unsigned maxphyaddr, bool exec_only)
{
	machine_stop();
	machine = (struct machine){
		.tdp = t, .amd = amd, .maxphyaddr = maxphyaddr, .exec_only = exec_only
	};
	machine_walk();
}

void machine_stop(void)
{
	for (enum walker w = 0; w < WALKERS; w++) {
		free(machine.leaves[w].entry);
		free(machine.tables[w].entry);
	}
	machine = (struct machine){ 0 };
}
