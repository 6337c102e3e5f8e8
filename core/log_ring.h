/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_LOG_RING_H
#define LAMINA_CORE_LOG_RING_H

#include "log.h"

/*
 * The other side of include/log.h. Messages are kept in a ring with the TSC of their moment, so
 * that those from before the calibration get right times as well.
 */
#define LOG_LINE_MAX 320 /* bytes of a formatted line, newline and terminating zero included */

/*
 * console_log() works: show what has been logged up to `level`, from tsc_calibrate_end() on. Times
 * count from `tsc_zero`.
 */
void log_start(enum log_level level, uint64_t tsc_zero);

/* Whether log_start() has run: where a panic has to write. */
bool log_started(void);

void log_set_level(enum log_level level);

/*
 * Give every message that is kept, of all levels, to `out`: one line with newline at a time, no
 * lock held. What is logged meanwhile is included; what the ring loses meanwhile is not.
 */
void log_replay(void (*out)(const char *text, size_t length));

/*
 * The next message that was not shown yet, as a line in `buf` (LOG_LINE_MAX bytes); its length, or
 * 0 at the end. Without the lock: only for a panic, which stops all else.
 */
size_t log_read_unshown(char *buf);

#endif
