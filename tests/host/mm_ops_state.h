/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_MM_OPS_STATE_H
#define TESTS_MM_OPS_STATE_H

#include "mm_model.h"

/* What whoever makes the next operation wants to know of the present state. */

/* The current layout. */
const struct model *ops_model(void);

/* That of a draft; where it is not under way, the current one, from which it will begin. */
const struct model *ops_draft_model(unsigned which);

#endif
