// SPDX-License-Identifier: BSD-2-Clause
#include "svm/svm.h"

void asid_pool_init(struct asid_pool *p, uint32_t count, bool by_asid)
{
	p->count = count;
	p->current = 0; /* the host's own: the first entry takes a new one and flushes them all */
	p->by_asid = by_asid;
}

/*
 * Translations of guests are tagged with their ASID and stay in the TLB when the guest is left, so
 * a change of the nested tables must be followed by a flush or by another ASID (APM vol. 2, 15.16).
 * Flushing one ASID is best. Without it, the next unused ASID has no translations, and only once in
 * a round does the core drop everything, its own global pages included. TLB_CONTROL is a command
 * that software has to take back.
 */
void asid_enter(struct asid_pool *p, bool flush, struct vmcb_control *c)
{
	bool first = p->current == 0;

	c->tlb_control = TLB_CONTROL_NOTHING;
	if (!flush && !first)
		return;
	if (p->by_asid && !first) {
		c->tlb_control = TLB_CONTROL_FLUSH;
		return;
	}
	if (first || p->current + 1 >= p->count) {
		p->current = 1;
		c->tlb_control = TLB_CONTROL_FLUSH_ALL;
	} else {
		p->current++;
	}
	c->asid = p->current;
	c->clean &= ~(uint32_t)CLEAN_ASID;
}
