/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "boot/report.h"

#define WORD_MAX 24 /* no known name is longer; a longer word is near none */

static void show(struct report *r, uint32_t line, const char *kind, const char *fmt, va_list args)
{
	char text[REPORT_TEXT];
	int n;

	if (r->shown == REPORT_MAX)
		return;
	r->shown++;
	if (line)
		n = snprintf(text, sizeof(text), "%s:%u: %s", r->file, (unsigned int)line, kind);
	else
		n = snprintf(text, sizeof(text), "%s: %s", r->file, kind);
	if (n > 0 && (size_t)n < sizeof(text))
		vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	r->emit(r->ctx, text);
}

void report_error(struct report *r, uint32_t line, const char *fmt, ...)
{
	va_list args;

	r->errors++;
	va_start(args, fmt);
	show(r, line, "", fmt, args);
	va_end(args);
}

void report_warning(struct report *r, uint32_t line, const char *fmt, ...)
{
	va_list args;

	r->warnings++;
	va_start(args, fmt);
	show(r, line, "warning: ", fmt, args);
	va_end(args);
}

void report_finish(struct report *r)
{
	char text[REPORT_TEXT];
	uint32_t hidden = r->errors + r->warnings - r->shown;

	if (!hidden)
		return;
	snprintf(text, sizeof(text), "%s: %u more messages are not shown", r->file,
		 (unsigned int)hidden);
	r->emit(r->ctx, text);
	r->shown += hidden;
}

const char *quote_bytes(char *out, const char *s, size_t size)
{
	size_t n = 0, i;

	out[n++] = '\'';
	for (i = 0; i < size && n < QUOTE_SIZE - 10; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= ' ' && c < 0x7f)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, QUOTE_SIZE - n, "\\x%02x", c);
	}
	snprintf(out + n, QUOTE_SIZE - n, i < size ? "...'" : "'");
	return out;
}

const char *quote(char *out, const char *s)
{
	return quote_bytes(out, s, strlen(s));
}

/* Optimal string alignment distance; both words are at most WORD_MAX long. */
static unsigned int distance(const char *a, size_t la, const char *b, size_t lb)
{
	unsigned char d[WORD_MAX + 1][WORD_MAX + 1];
	size_t i, j;

	for (i = 0; i <= la; i++)
		d[i][0] = (unsigned char)i;
	for (j = 0; j <= lb; j++)
		d[0][j] = (unsigned char)j;
	for (i = 1; i <= la; i++) {
		for (j = 1; j <= lb; j++) {
			unsigned int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1u < best)
				best = d[i - 1][j] + 1u;
			if (d[i][j - 1] + 1u < best)
				best = d[i][j - 1] + 1u;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1u < best)
				best = d[i - 2][j - 2] + 1u;
			d[i][j] = (unsigned char)best;
		}
	}
	return d[la][lb];
}

const char *nearest_name(const char *word, const char *const *names, size_t count)
{
	size_t length = strlen(word), i;
	unsigned int best = length <= 3 ? 2 : length <= 6 ? 3 : 4; /* first distance too far */
	const char *found = NULL;

	if (!length || length > WORD_MAX)
		return NULL;
	for (i = 0; i < count; i++) {
		unsigned int d;

		if (strlen(names[i]) > WORD_MAX)
			continue;
		d = distance(word, length, names[i], strlen(names[i]));
		if (d < best && d < length) {
			best = d;
			found = names[i];
		}
	}
	return found;
}
