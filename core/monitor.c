/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/monitor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "core/guest.h"

#define MAX_WORDS 8

static void echo(const char *text, size_t len)
{
	console_monitor_write(text, len);
}

static void try_word(const char *stem, const char *word, void (*visit)(void *, const char *),
		     void *ctx)
{
	if (!strncmp(word, stem, strlen(stem)))
		visit(ctx, word);
}

/* The first word is a command, every other one a guest. */
static void complete(const char *text, void (*visit)(void *, const char *), void *ctx)
{
	const char *last = strrchr(text, ' ');
	struct guest *g;
	uint32_t i;

	if (!last) {
		for (unsigned n = 0; n < monitor_command_count; n++)
			try_word(text, monitor_commands[n].name, visit, ctx);
		return;
	}
	for_each_guest (g, i)
		try_word(last + 1, g->config->name, visit, ctx);
}

static struct line_editor editor = { .prompt = "lamina> ", .echo = echo, .complete = complete };

void monitor_print(const char *fmt, ...)
{
	char text[320];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len > 0)
		console_monitor_write(text, min_u64((uint64_t)len, sizeof(text) - 1));
}

void monitor_enter(void)
{
	line_start(&editor);
}

static const struct monitor_command *find(const char *name)
{
	for (unsigned i = 0; i < monitor_command_count; i++) {
		if (!strcmp(monitor_commands[i].name, name))
			return &monitor_commands[i];
	}
	return NULL;
}

static void execute(char *text)
{
	char *argv[MAX_WORDS];
	int argc = line_split(text, argv, MAX_WORDS);
	const struct monitor_command *c;

	if (!argc)
		return;
	c = find(argv[0]);
	if (c)
		c->run(argc, argv);
	else
		monitor_print("unknown command '%s'; `help` lists them all\n", argv[0]);
}

void monitor_input(char c)
{
	char text[LINE_MAX];

	if (!line_key(&editor, c))
		return;
	memcpy(text, editor.text, sizeof(text));
	execute(text);
	/* `console` has left the monitor: the next prompt comes when it is opened again. */
	if (console_monitor_is_open())
		line_start(&editor);
}
