/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_REPORT_H
#define LAMINA_BOOT_REPORT_H

#include "types.h"

/*
 * Messages about what a user wrote: `FILE:LINE: what was found; what was expected`. Pure, so that
 * the loader, the host tool and the tests print the very same text.
 */
#define REPORT_TEXT 512 /* bytes of the longest message, NUL included */
#define REPORT_MAX  40  /* messages shown; a binary file would produce thousands */

struct report {
	void (*emit)(void *ctx, const char *text); /* one message, no newline */
	void *ctx;
	const char *file; /* as it appears in messages */
	uint32_t errors;
	uint32_t warnings;
	uint32_t shown;
};

/* Count and show one message. `line` 0: the message is about the file as a whole. */
void report_error(struct report *r, uint32_t line, const char *fmt, ...) printf_like(3, 4);
void report_warning(struct report *r, uint32_t line, const char *fmt, ...) printf_like(3, 4);

/* Say how many messages were held back, if any. Call once, last. */
void report_finish(struct report *r);

#define QUOTE_SIZE 64

/*
 * Make `size` bytes of input printable: quotes around it, escapes for control and non-ASCII
 * characters, an ellipsis where it is too long. Returns `out`, which has QUOTE_SIZE bytes.
 */
const char *quote_bytes(char *out, const char *s, size_t size);
/* The same for a string. */
const char *quote(char *out, const char *s);

/*
 * The name out of `count` that `word` was probably meant to be, by edit distance (a swap of two
 * neighbours counts as one), or NULL if none is near.
 */
const char *nearest_name(const char *word, const char *const *names, size_t count);

#endif
