/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_LOG_H
#define LAMINA_LOG_H

#include "types.h"

/* Lower is more severe; a message is shown on the console if its level <= the configured one. */
enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG
};

/*
 * One message, one line; the newline is added. Callable from every context but the NMI, machine
 * check and fault handlers; takes the log lock (a leaf lock). Never waits for a slow console.
 */
void log_msg(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)

#endif
