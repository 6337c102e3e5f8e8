/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "core/monitor.h"

#define KEY_CTRL_C    0x03
#define KEY_BACKSPACE 0x08
#define KEY_TAB       0x09
#define KEY_CTRL_U    0x15
#define KEY_ESCAPE    0x1b
#define KEY_DELETE    0x7f

static void show(struct line_editor *e, const char *text)
{
	e->echo(text, strlen(text));
}

void line_start(struct line_editor *e)
{
	e->len = 0;
	e->text[0] = 0;
	e->history_at = 0;
	e->escape = 0;
	show(e, e->prompt);
}

static void erase(struct line_editor *e, unsigned count)
{
	for (; count && e->len; count--) {
		e->text[--e->len] = 0;
		show(e, "\b \b");
	}
}

static void insert(struct line_editor *e, char c)
{
	if (e->len + 1 >= LINE_MAX) {
		show(e, "\a");
		return;
	}
	e->text[e->len++] = c;
	e->text[e->len] = 0;
	e->echo(&c, 1);
}

static void replace(struct line_editor *e, const char *text)
{
	erase(e, e->len);
	while (*text)
		insert(e, *text++);
}

static void remember(struct line_editor *e)
{
	unsigned newest = (e->history_count + LINE_HISTORY - 1) % LINE_HISTORY;

	if (!e->len || (e->history_count && !strcmp(e->history[newest], e->text)))
		return;
	memcpy(e->history[e->history_count % LINE_HISTORY], e->text, LINE_MAX);
	e->history_count++;
}

/* Move in the history; direction +1 is older. */
static void browse(struct line_editor *e, int direction)
{
	unsigned kept = e->history_count < LINE_HISTORY ? e->history_count : LINE_HISTORY;
	unsigned at = e->history_at + (unsigned)direction;

	if (at > kept) /* also below 0 */
		return;
	e->history_at = at;
	replace(e, at ? e->history[(e->history_count - at) % LINE_HISTORY] : "");
}

struct completion {
	char common[LINE_MAX]; /* what all candidates begin with */
	unsigned count;
};

static void consider(void *ctx, const char *word)
{
	struct completion *c = ctx;
	size_t i;

	if (c->count++ == 0) {
		strncpy(c->common, word, sizeof(c->common) - 1);
		return;
	}
	for (i = 0; c->common[i] && c->common[i] == word[i]; i++)
		;
	c->common[i] = 0;
}

static void list(void *ctx, const char *word)
{
	struct line_editor *e = ctx;

	show(e, "  ");
	show(e, word);
}

static void complete(struct line_editor *e)
{
	struct completion c = { .count = 0 };
	const char *last = strrchr(e->text, ' ');
	const char *stem = last ? last + 1 : e->text;
	size_t have = strlen(stem);

	if (e->complete)
		e->complete(e->text, consider, &c);
	if (c.count == 0)
		return;
	if (strlen(c.common) > have) {
		for (const char *p = c.common + have; *p; p++)
			insert(e, *p);
	} else if (c.count > 1) {
		show(e, "\n");
		e->complete(e->text, list, e);
		show(e, "\n");
		show(e, e->prompt);
		show(e, e->text);
	}
	if (c.count == 1)
		insert(e, ' ');
}

/* ESC [ A is up, ESC [ B is down; the rest of such sequences is swallowed. */
static void escape_key(struct line_editor *e, char c)
{
	if (e->escape == 1) {
		e->escape = c == '[' || c == 'O' ? 2 : 0;
	} else if (c >= '@') {
		e->escape = 0;
		if (c == 'A')
			browse(e, 1);
		else if (c == 'B')
			browse(e, -1);
	}
}

bool line_key(struct line_editor *e, char c)
{
	if (e->escape) {
		escape_key(e, c);
		return false;
	}
	switch (c) {
	case '\r':
	case '\n':
		show(e, "\n");
		remember(e);
		return true;
	case KEY_ESCAPE:
		e->escape = 1;
		break;
	case KEY_BACKSPACE:
	case KEY_DELETE:
		erase(e, 1);
		break;
	case KEY_CTRL_U:
		erase(e, e->len);
		break;
	case KEY_CTRL_C:
		show(e, "^C\n");
		line_start(e);
		break;
	case KEY_TAB:
		complete(e);
		break;
	default:
		if (c >= ' ' && c < KEY_DELETE)
			insert(e, c);
		break;
	}
	return false;
}

int line_split(char *text, char **words, int max)
{
	int count = 0;

	while (count < max) {
		while (*text == ' ')
			text++;
		if (!*text)
			break;
		words[count++] = text;
		while (*text && *text != ' ')
			text++;
		if (*text)
			*text++ = 0;
	}
	return count;
}
