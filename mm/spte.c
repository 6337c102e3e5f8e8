/* SPDX-License-Identifier: BSD-2-Clause */
#include "mm/spte.h"

static unsigned decode_access(const struct spte_format *f, uint64_t e)
{
	for (unsigned access = f->rights; access > 0; access--)
		if (spte_access_legal(f, access) && (e & f->access_mask) == f->access[access])
			return access;
	return 0;
}

static enum mem_type decode_type(const struct spte_format *f, uint64_t e)
{
	for (unsigned type = 0; type < MEM_TYPES; type++)
		if ((e & f->type_mask) == f->type[type])
			return (enum mem_type)type;
	return MEM_UC;
}

struct spte_info spte_decode(const struct spte_format *f, uint64_t e, unsigned level)
{
	struct spte_info info = { .state = spte_state(f, e, level), .type = MEM_WB };

	if (!spte_present(f, e)) {
		spte_is_mmio(f, e, &info.handler);
		return info;
	}
	info.access = (uint8_t)decode_access(f, e);
	info.hpa = spte_hpa(f, e);
	info.accessed = e & f->accessed;
	if (info.state == SPTE_STATE_LEAF) {
		info.type = decode_type(f, e);
		info.dirty = e & f->dirty;
	}
	return info;
}

uint64_t spte_add_access(const struct spte_format *f, uint64_t leaf, unsigned access)
{
	return (leaf & ~f->access_mask) | f->access[decode_access(f, leaf) | access];
}

uint64_t spte_drop_access(const struct spte_format *f, uint64_t leaf, unsigned access)
{
	return (leaf & ~f->access_mask) | f->access[decode_access(f, leaf) & ~access];
}
