/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/tdp_mmu.h"
#include "mm/mm_host.h"
#include "mm/tdp_table.h"
#include "panic.h"

/* A guest's tables from beginning to end, and what is asked about its slots without a lock. */

static void view_init(struct tdp *t, enum tdp_view_id id, const struct spte_format *f,
		      uint64_t *root)
{
	t->view[id] = (struct tdp_view){ .tdp = t, .id = id, .format = f, .root = root };
}

enum status tdp_init(struct tdp *t, const struct spte_format *f, struct page_budget *budget,
		     void *host)
{
	uint64_t *root;

	*t = (struct tdp){ .budget = budget, .host = host, .nx_list = PAGE_LIST_INIT };
	t->slots = slot_set_copy(budget, NULL, 0);
	if (!t->slots)
		return ERR_NOMEM;
	root = tdp_table_alloc(t, f->levels);
	if (!root) {
		mm_free(t->slots);
		t->slots = NULL;
		return ERR_NOMEM;
	}
	view_init(t, TDP_CPU, f, root);
	t->log_mode = f->dirty ? TDP_LOG_D : TDP_LOG_WP;
	return OK;
}

void tdp_destroy(struct tdp *t)
{
	tdp_detach_dma(t);
	tdp_zap_all(t);
	tdp_tree_free(&t->view[TDP_CPU], t->view[TDP_CPU].root);
	tdp_logs_discard(t, t->logs);
	mm_free(t->slots);
	*t = (struct tdp){ 0 };
}

uint64_t tdp_root(const struct tdp *t, enum tdp_view_id view)
{
	return virt_to_hpa(t->view[view].root).v | t->view[view].format->root;
}

/* The slots that devices see must be within reach of their IOMMU. */
static enum status check_reach(const struct tdp_view *w)
{
	const struct slot_set *set = w->tdp->slots;
	uint64_t frames = BIT(w->format->maxphyaddr - PAGE_SHIFT);

	for (uint32_t i = 0; i < set->count; i++) {
		const struct slot *s = &set->slot[i];

		if (tdp_visible(w, s) &&
		    (slot_end(s) > tdp_limit(w) || s->pfn.v + s->npages > frames))
			return ERR_RANGE;
	}
	return OK;
}

static enum status attach_dma(struct tdp *t, const struct spte_format *f)
{
	struct tdp_view view = { .tdp = t, .id = TDP_DMA, .format = f };
	enum status status = check_reach(&view);

	if (status)
		return status;
	view.root = tdp_table_alloc(t, f->levels);
	if (!view.root)
		return ERR_NOMEM;
	/* Nothing reaches the view yet, so this needs no `lock`, however long it takes. */
	status = tdp_fill(&view, ALL_GFNS);
	if (status) {
		tdp_tree_free(&view, view.root);
		return status;
	}
	mm_table_ready(t->host, view.root);
	spin_lock(&t->lock);
	t->view[TDP_DMA] = view;
	spin_unlock(&t->lock);
	return OK;
}

enum status tdp_attach_dma(struct tdp *t, const struct spte_format *f)
{
	enum status status;

	spin_lock(&t->layout_lock);
	if (t->view[TDP_DMA].root)
		status = ERR_BUSY;
	else if (t->logs)
		status = ERR_UNSUPPORTED;
	else
		status = attach_dma(t, f);
	spin_unlock(&t->layout_lock);
	return status;
}

void tdp_detach_dma(struct tdp *t)
{
	struct tdp_gather g = { 0 };
	struct tdp_view view;

	spin_lock(&t->layout_lock);
	spin_lock(&t->lock);
	view = t->view[TDP_DMA];
	if (view.root) {
		t->view[TDP_DMA] = (struct tdp_view){ 0 };
		tdp_gather_range(&g, TDP_DMA, ALL_GFNS.start, ALL_GFNS.end);
		tdp_gather_flush(t, &g);
	}
	spin_unlock(&t->lock);
	if (view.root)
		tdp_tree_free(&view, view.root);
	spin_unlock(&t->layout_lock);
}

enum status tdp_translate(const struct tdp *t, gpa_t gpa, unsigned access, hpa_t *hpa,
			  uint64_t *left)
{
	const struct slot *s = slot_find(tdp_slots(t), gpa_to_gfn(gpa));
	uint64_t offset;

	/* A device's registers are no memory: a read of the wrong width may have any effect. */
	if (!s || s->kind == SLOT_DEVICE || (s->access & access) != access)
		return ERR_FAULT;
	offset = gpa.v - gfn_to_gpa(s->base).v;
	*hpa = HPA(pfn_to_hpa(s->pfn).v + offset);
	*left = (s->npages << PAGE_SHIFT) - offset;
	return OK;
}
