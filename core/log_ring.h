/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_LOG_RING_H
#define LAMINA_CORE_LOG_RING_H

#include "log.h"

/*
 * Pass everything that the log's ring still holds to `out`, whole lines, oldest first. The log
 * lock is not held during the calls.
 */
void log_replay(void (*out)(const char *text, size_t len));

/* Messages less severe than this are kept in the ring but not shown. */
void log_set_level(enum log_level level);

#endif
