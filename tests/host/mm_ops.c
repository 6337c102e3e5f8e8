/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm_ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm_ops_state.h"

/* Carrying operations out, and comparing mm/ with the model. */

struct draft {
	struct slot_txn txn;
	struct model model;
	bool open;
	enum status expected; /* of the edits so far */
	uint64_t version;     /* of the layout that it began from */
};

static struct model now;
static uint64_t version;
static struct draft drafts[2];
static bool zap_all, nx;
static const struct variant *iommu; /* of the devices that the guest has; or NULL */
static hpa_t old_table;             /* that some zap named */

static struct op pending; /* a fault that comes in the middle of the next operation */
static unsigned pending_in;
static uint64_t pending_writes;

unsigned ops_drop_flush;
static unsigned flushes;

const struct model *ops_model(void)
{
	return &now;
}

const struct model *ops_draft_model(unsigned which)
{
	return drafts[which].open ? &drafts[which].model : &now;
}

/* Between this and its end, allocations may fail for a reason. */
struct allowance {
	uint64_t refused, reclaimed;
	bool asked;
};

static uint64_t reclaimed; /* pages that merging gave back instead, since the start */

static struct allowance failing(const struct op *op)
{
	fail_after = op->fail ? op->fail - 1 : -1;
	return (struct allowance){ budget.refused, reclaimed, op->fail };
}

static bool may_lack_memory(struct allowance *a)
{
	bool failed = (a->asked && fail_after < 0) || budget.refused > a->refused;

	fail_after = -1;
	return failed;
}

/*
 * OK, or a lack of memory that has a cause; and if memory was refused, somebody says so, or has tried
 * again with what merging gave back.
 */
static bool done(enum status status, struct allowance *a)
{
	bool refused = a->asked && fail_after < 0;
	bool excuse = may_lack_memory(a);

	if (status)
		assert_true(status == ERR_NOMEM && excuse);
	else
		assert_true(!refused || reclaimed > a->reclaimed);
	return status == OK;
}

/*
 * Edits
 */
static bool open_draft(struct draft *d, const struct op *op)
{
	struct allowance a;

	if (d->open)
		return true;
	a = failing(op);
	if (!done(tdp_begin(&tdp, &d->txn, MODEL_MAX), &a))
		return false;
	d->open = true;
	d->model = now;
	d->expected = OK;
	d->version = version;
	return true;
}

static struct slot slot_of(const struct op *op)
{
	return (struct slot){ .base = GFN(op->gfn),
			      .npages = op->npages,
			      .pfn = PFN(op->pfn),
			      .access = op->access,
			      .type = op->type,
			      .kind = op->slot_kind,
			      .flags = op->flags,
			      .handler = op->handler,
			      .name = "op" };
}

static enum status edit_model(struct model *m, const struct op *op)
{
	struct slot s = slot_of(op);

	switch (op->kind) {
	case OP_CREATE:
		return model_create(m, &s);
	case OP_DELETE:
		return model_delete(m, op->gfn);
	case OP_MOVE:
		return model_move(m, op->gfn, op->to);
	case OP_RESIZE:
		return model_resize(m, op->gfn, op->npages);
	case OP_SET_FLAGS:
		return model_set_flags(m, op->gfn, op->flags);
	default:
		return model_replace(m, &s);
	}
}

static enum status edit_draft(struct slot_txn *txn, const struct op *op)
{
	struct slot s = slot_of(op);

	switch (op->kind) {
	case OP_CREATE:
		return slot_create(txn, &s);
	case OP_DELETE:
		return slot_delete(txn, GFN(op->gfn));
	case OP_MOVE:
		return slot_move(txn, GFN(op->gfn), GFN(op->to));
	case OP_RESIZE:
		return slot_resize(txn, GFN(op->gfn), op->npages);
	case OP_SET_FLAGS:
		return slot_set_flags(txn, GFN(op->gfn), op->flags);
	default:
		return slot_replace(txn, &s);
	}
}

static void edit(const struct op *op)
{
	struct draft *d = &drafts[op->which & 1];

	if (!open_draft(d, op) || (op->kind == OP_CREATE && d->model.count == MODEL_MAX))
		return;
	if (!d->expected)
		d->expected = edit_model(&d->model, op);
	assert_int_equal(edit_draft(&d->txn, op), d->expected);
}

/*
 * Transactions
 */
/* Can a table with this format express all slots? */
static bool expressible(const struct model *m, const struct variant *table)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct slot *s = &m->slot[i];

		if (table != v && (s->kind == SLOT_DEVICE || !(s->access & ACCESS_RW)))
			continue; /* devices do not see it */
		if (s->pfn.v + s->npages > BIT(table->walk.maxphyaddr - PAGE_SHIFT) ||
		    s->base.v + s->npages > BIT(table->walk.gpa_bits - PAGE_SHIFT) ||
		    (table == v && s->kind != SLOT_EMULATED && !(table->legal >> s->access & 1)))
			return false;
		/* Of a log's pages the right to write is taken away; and devices write unseen. */
		if (s->flags && (table != v || !(table->legal >> (s->access & ~ACCESS_W) & 1)))
			return false;
	}
	return true;
}

static bool commit_expected(const struct draft *d, enum status status, bool lacks_memory)
{
	if (d->expected)
		return status == d->expected;
	if (d->version != version)
		return status == ERR_BUSY;
	if (!expressible(&d->model, v))
		return status == ERR_UNSUPPORTED || status == ERR_RANGE;
	if (iommu && !expressible(&d->model, iommu))
		return status == ERR_RANGE || status == ERR_UNSUPPORTED;
	return status == OK || (status == ERR_NOMEM && lacks_memory);
}

static uint64_t writes(void)
{
	return machine.writes + machine.dma_writes;
}

static void commit_draft(const struct op *op)
{
	struct draft *d = &drafts[op->which & 1];
	struct allowance a;
	enum status status;
	uint64_t before;

	if (!open_draft(d, op))
		return;
	before = writes();
	if (zap_all)
		machine.gaps = true;
	a = failing(op);
	pending_writes = 0;
	machine.next = d->expected ? NULL : d->txn.draft;
	status = tdp_commit(&tdp, &d->txn);
	machine.next = NULL;
	d->open = false;
	assert_true(commit_expected(d, status, may_lack_memory(&a)));
	assert_null(d->txn.draft);
	if (status) {
		assert_non_null(d->txn.reason);
		if (reclaimed == a.reclaimed)
			assert_int_equal(writes(), before + pending_writes);
		return;
	}
	now = d->model;
	version++;
	assert_int_equal(tdp_slots(&tdp)->version, version);
}

static void abort_draft(const struct op *op)
{
	struct draft *d = &drafts[op->which & 1];

	if (d->open)
		tdp_abort(&tdp, &d->txn);
	d->open = false;
}

/*
 * Everything else
 */
static void fault_at(const struct op *op)
{
	const struct slot *s = model_find(&now, op->gfn);
	struct tdp_fault f = { .gpa = GPA(op->gfn << PAGE_SHIFT | 0xabc),
			       .access =
				       (uint8_t)machine_rights(TDP_CPU, op->access & ACCESS_RWX) };
	struct allowance a = failing(op);
	struct translation tr;
	bool mapped, excuse;
	enum tdp_result r;

	if (op->gfn >= BIT(36) || !f.access) {
		fail_after = -1;
		return;
	}
	mapped = machine_translate(op->gfn, &tr);
	r = tdp_fault(&tdp, &f);
	excuse = may_lack_memory(&a);
	assert_int_equal(f.has_slot, s != NULL);
	if (!s || s->kind == SLOT_EMULATED || (f.access & ACCESS_W && !(s->access & ACCESS_W))) {
		assert_int_equal(r, TDP_MMIO);
	} else if (f.access & ~s->access) {
		assert_int_equal(r, TDP_ERROR);
		assert_int_equal(f.error, ERR_DENIED);
	} else if (mapped && !(f.access & ~tr.access)) {
		assert_int_equal(r, TDP_SPURIOUS);
	} else if (r == TDP_FIXED) {
		assert_true(machine_translate(op->gfn, &tr));
		assert_int_equal(f.access & ~tr.access, 0);
	} else {
		assert_true(excuse);
		assert_true(r == TDP_RETRY || (r == TDP_ERROR && f.error == ERR_NOMEM));
	}
}

static void populate(const struct op *op)
{
	bool fits = op->gfn < BIT(36) && op->npages <= BIT(36) - op->gfn;
	struct allowance a = failing(op);
	enum status status = tdp_populate(&tdp, GFN(op->gfn), op->npages);

	if (!fits) {
		assert_int_equal(status, ERR_RANGE);
		fail_after = -1;
	} else if (done(status, &a) && op->npages == BIT(36)) {
		machine.gaps = false;
	}
}

static void zap_slot(const struct op *op)
{
	const struct slot *s = model_find(&now, op->gfn);
	bool exists = s && s->base.v == op->gfn;

	machine.gaps = true;
	assert_int_equal(tdp_zap_slot(&tdp, GFN(op->gfn)), exists ? OK : ERR_NOT_FOUND);
}

/* By the address that a walk has shown, or by one that an earlier walk had shown. */
static void zap_table(const struct op *op)
{
	struct tdp_walk walk;
	enum status status;

	machine.gaps = true;
	if (op->on) {
		status = tdp_zap_table(&tdp, old_table);
		assert_true(status == OK || status == ERR_NOT_FOUND);
		return;
	}
	if (op->gfn >= BIT(36))
		return;
	tdp_lookup(&tdp, TDP_CPU, GPA(op->gfn << PAGE_SHIFT), &walk);
	for (unsigned i = 0; i < walk.steps; i++) {
		if (walk.step[i].level != op->level)
			continue;
		old_table = walk.step[i].table;
		assert_int_equal(tdp_zap_table(&tdp, old_table), i ? OK : ERR_NOT_FOUND);
		tdp_lookup(&tdp, TDP_CPU, GPA(op->gfn << PAGE_SHIFT), &walk);
		assert_true(!i || !walk.mapped);
		return;
	}
}

static void split(const struct op *op)
{
	enum tdp_view_id view = op->view && iommu ? TDP_DMA : TDP_CPU;
	struct allowance a = failing(op);
	struct tdp_walk walk;
	enum status status = tdp_split(&tdp, view, GFN(op->gfn & (BIT(36) - 1)), op->level);

	tdp_lookup(&tdp, view, GPA((op->gfn & (BIT(36) - 1)) << PAGE_SHIFT), &walk);
	if (!walk.mapped)
		assert_int_equal(status, ERR_NOT_FOUND);
	else if (done(status, &a))
		assert_true(walk.level <= max_u64(op->level, 1));
	fail_after = -1;
}

static bool any_log(void)
{
	for (unsigned i = 0; i < now.count; i++)
		if (now.slot[i].flags)
			return true;
	return false;
}

static void attach(const struct op *op)
{
	const struct variant *one = &iommus[op->view % MM_IOMMUS];
	struct allowance a;
	enum status status;

	if (iommu) {
		assert_int_equal(tdp_attach_dma(&tdp, &iommu_format), ERR_BUSY);
		return;
	}
	a = failing(op);
	status = attach_iommu(one);
	if (any_log()) {
		assert_int_equal(status, ERR_UNSUPPORTED);
		fail_after = -1;
	} else if (!expressible(&now, one)) {
		assert_int_equal(status, ERR_RANGE);
		fail_after = -1;
	} else if (done(status, &a)) {
		iommu = one;
	}
}

static void detach(void)
{
	if (iommu)
		detach_iommu();
	iommu = NULL;
}

static void mmio(const struct op *op)
{
	const struct slot *s = model_find(&now, op->gfn);
	struct translation tr;
	unsigned handler;
	enum tdp_result r;

	if (op->gfn >> (v->walk.gpa_bits - PAGE_SHIFT))
		return;
	machine_translate(op->gfn, &tr);
	r = tdp_mmio(&tdp, GPA(op->gfn << PAGE_SHIFT | 4), &handler);
	assert_int_equal(r, tr.mmio ? TDP_MMIO : TDP_RETRY);
	if (tr.mmio)
		assert_int_equal(handler, s->handler);
}

static void set_log_mode(const struct op *op)
{
	enum tdp_log_mode mode = op->on % 3;
	enum status status = tdp_set_log_mode(&tdp, mode);

	if (mode != TDP_LOG_WP && !format.dirty)
		assert_int_equal(status, ERR_UNSUPPORTED);
	else
		assert_int_equal(status, any_log() ? ERR_BUSY : OK);
}

/* What is in a log, test_mm_dirty.c knows. */
static void get_dirty(const struct op *op)
{
	static uint64_t bitmap[SPTE_PER_TABLE];
	const struct slot *s = model_find(&now, op->gfn);
	bool fits = op->npages < sizeof(bitmap) * 4;
	uint64_t count;
	enum status status =
		tdp_dirty_get_clear(&tdp, GFN(op->gfn), op->npages, fits ? bitmap : NULL, &count);

	if (!op->npages)
		assert_int_equal(status, ERR_INVALID);
	else if (s && s->flags && op->npages <= s->npages - (op->gfn - s->base.v))
		assert_int_equal(status, OK);
	else
		assert_int_equal(status, ERR_NOT_FOUND);
	assert_true(count <= op->npages);
}

static void set_nx(const struct op *op)
{
	nx = op->on;
	tdp_set_nx_huge(&tdp, nx);
	machine.gaps = true;
}

/* A fault that comes in the middle of the next operation. */
static void postpone(const struct op *op)
{
	if (pending_in)
		fault_at(&pending);
	pending = *op;
	pending_in = op->during;
}

static void dispatch(const struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_COMMIT:
		commit_draft(op);
		break;
	case OP_ABORT:
		abort_draft(op);
		break;
	case OP_FAULT:
		op->during ? postpone(op) : fault_at(op);
		break;
	case OP_POPULATE:
		populate(op);
		break;
	case OP_ZAP_SLOT:
		zap_slot(op);
		break;
	case OP_ZAP_ALL:
		machine.gaps = true;
		tdp_zap_all(&tdp);
		break;
	case OP_ZAP_TABLE:
		zap_table(op);
		break;
	case OP_SPLIT:
		split(op);
		break;
	case OP_COLLAPSE:
		tdp_collapse(&tdp, GFN(op->gfn), op->npages);
		break;
	case OP_SET_ZAP_ALL:
		tdp_set_zap_all(&tdp, zap_all = op->on);
		break;
	case OP_SET_NX:
		set_nx(op);
		break;
	case OP_NX_RECOVER:
		tdp_nx_recover(&tdp, (unsigned)op->npages);
		break;
	case OP_ATTACH:
		attach(op);
		break;
	case OP_MMIO:
		mmio(op);
		break;
	case OP_SET_LOG_MODE:
		set_log_mode(op);
		break;
	case OP_GET_DIRTY:
		get_dirty(op);
		break;
	case OP_DETACH:
		detach();
		break;
	default:
		edit(op);
	}
}

/*
 * What of a slot's rights a leaf has: nx_huge takes X until somebody fetches, a dirty log takes W
 * until somebody writes; from large leaves for good.
 */
static void compare_rights(const struct slot *s, const struct translation *tr)
{
	unsigned access = machine_rights(TDP_CPU, s->access), may_lack = 0;

	if (nx)
		may_lack |= access & ACCESS_X;
	if (s->flags & SLOT_LOG)
		may_lack |= access & ACCESS_W;
	assert_int_equal(tr->access & ~access, 0);
	assert_int_equal(access & ~tr->access & ~may_lack, 0);
	if (tr->level > 1)
		assert_int_equal(tr->access & may_lack, 0);
}

/* Every frame of the guest: as the model says, or absent where a zap was. */
static void compare(void)
{
	uint64_t missing = 0;

	for (uint64_t gfn = 0; gfn < BIT(36);) {
		const struct slot *s = model_find(&now, gfn);
		struct translation tr;

		if (machine_translate(gfn, &tr)) {
			assert_true(s && s->kind != SLOT_EMULATED && !tr.mmio);
			assert_int_equal(tr.pfn, s->pfn.v + (gfn - s->base.v));
			assert_int_equal(tr.type, format.type_mask ? s->type : MEM_WB);
			compare_rights(s, &tr);
		} else if (tr.mmio) {
			assert_true(s && s->kind == SLOT_EMULATED);
			assert_int_equal(tr.handler, s->handler);
		} else if (machine_maps(TDP_CPU, s) ||
			   (s && s->kind == SLOT_EMULATED && format.mmio)) {
			missing++;
		}
		gfn = min_u64(tr.end, model_border(&now, gfn));
	}
	assert_true(!missing || machine.gaps);
}

static uint64_t set_pages(const struct slot_set *set)
{
	uint64_t bytes = sizeof(*set) + set->capacity * sizeof(struct slot);

	return (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* A log has a bit for each page, and directories only if it is far larger than any here. */
static uint64_t log_pages(void)
{
	uint64_t pages = any_log() ? 1 : 0;

	for (unsigned i = 0; i < now.count; i++) {
		const struct slot *s = &now.slot[i];

		if (s->flags)
			pages += 2 + (slot_end(s) - 1) / 32768 - s->base.v / 32768;
	}
	return pages;
}

static void compare_counters(void)
{
	uint64_t tables = 0, sets = set_pages(tdp_slots(&tdp)) + log_pages();
	struct tdp_census census;

	for (unsigned i = 0; i < ARRAY_SIZE(drafts); i++)
		if (drafts[i].open)
			sets += set_pages(drafts[i].txn.draft);
	for (unsigned view = 0; view < (iommu ? 2u : 1u); view++) {
		tdp_census(&tdp, (enum tdp_view_id)view, &census);
		for (unsigned level = 1; level <= SPTE_LEVELS_MAX; level++)
			tables += census.tables[level];
	}
	assert_int_equal(tables, tdp_stats(&tdp).tables);
	assert_int_equal(budget.used, tables + sets);
	assert_int_equal(tdp_slots(&tdp)->count, now.count);
}

void ops_start(const struct variant *variant, uint64_t pool_pages)
{
	v = variant;
	pending_in = 0;
	test_pool(pool_pages);
	assert_int_equal(variant_format(v, &format), OK);
	assert_int_equal(page_budget_init(&budget, "guest", page_pool_unreserved()), OK);
	assert_int_equal(tdp_init(&tdp, &format, &budget, &machine), OK);
	machine_start(&tdp, &v->walk);
	now.count = 0;
	version = 0;
	memset(drafts, 0, sizeof(drafts));
	zap_all = nx = false;
	iommu = NULL;
	old_table = HPA(0);
	flushes = 0;
	if (v->iommu)
		attach(&(struct op){ .view = (uint8_t)(v->iommu - iommus) });
}

void ops_end(void)
{
	pending_in = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(drafts); i++)
		if (drafts[i].open)
			tdp_abort(&tdp, &drafts[i].txn);
	machine_check();
	detach();
	machine_stop();
	tdp_destroy(&tdp);
	assert_int_equal(budget.used, 0);
	page_budget_exit(&budget);
}

void ops_apply(const struct op *op)
{
	bool edits = op->kind <= OP_REPLACE || op->kind == OP_ABORT;

	dispatch(op);
	if (pending_in && !edits && !(op->kind == OP_FAULT && op->during)) {
		pending_in = 0;
		fault_at(&pending);
	}
	compare_counters();
	if (edits)
		return;
	machine_check();
	compare();
}

/*
 * In the way of what mm/ calls (see "libs" in the tests): a fault on another core while memory is
 * allocated, and a flush that gets lost.
 */
void *__real_mm_alloc(struct page_budget *b, unsigned pages);
void *__wrap_mm_alloc(struct page_budget *b, unsigned pages);
uint64_t __real_tdp_reclaim(struct tdp *t);
uint64_t __wrap_tdp_reclaim(struct tdp *t);
void __real_mm_flush(void *host, unsigned views, const struct gfn_range *r, unsigned count);
void __wrap_mm_flush(void *host, unsigned views, const struct gfn_range *r, unsigned count);

void *__wrap_mm_alloc(struct page_budget *b, unsigned pages)
{
	bool locked = tdp.lock.next != tdp.lock.owner;

	if (pending_in && !locked && !machine.held && --pending_in == 0) {
		uint64_t before = writes();
		long fail = fail_after;

		fault_at(&pending);
		fail_after = fail;
		pending_writes += writes() - before;
	}
	return __real_mm_alloc(b, pages);
}

uint64_t __wrap_tdp_reclaim(struct tdp *t)
{
	uint64_t freed = __real_tdp_reclaim(t);

	reclaimed += freed;
	return freed;
}

void __wrap_mm_flush(void *host, unsigned views, const struct gfn_range *r, unsigned count)
{
	if (++flushes == ops_drop_flush)
		count = 0;
	__real_mm_flush(host, views, r, count);
}
