/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_MM_MODEL_H
#define TESTS_MM_MODEL_H

#include "mm/slot.h"

/*
 * What a guest's layout is, without any cleverness: an unsorted list of slots, searched from end to
 * end. It knows what is legal by itself, and is compared with mm/ after each operation.
 */
#define MODEL_MAX 10

struct model {
	struct slot slot[MODEL_MAX];
	unsigned count;
};

/* The slot that contains the frame, or NULL. */
const struct slot *model_find(const struct model *m, uint64_t gfn);

/* The next frame above `gfn` where a slot begins or ends. */
uint64_t model_border(const struct model *m, uint64_t gfn);

/* The edits of slot.h, with their results. A refused one leaves the model in an unknown state. */
enum status model_create(struct model *m, const struct slot *s);
enum status model_delete(struct model *m, uint64_t base);
enum status model_move(struct model *m, uint64_t from, uint64_t to);
enum status model_resize(struct model *m, uint64_t base, uint64_t npages);
enum status model_set_flags(struct model *m, uint64_t base, unsigned flags);
enum status model_replace(struct model *m, const struct slot *s);

#endif
