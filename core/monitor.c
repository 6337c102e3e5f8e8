/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/monitor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/console.h"
#include "core/guest.h"
#include "core/monitor_cmds.h"
#include "x86/asm.h"
#include "x86/tsc.h"

#define MAX_WORDS   64
#define MAX_REPEATS 10000000

/* Of the command that runs. */
static bool quiet;  /* only errors are shown */
static bool failed; /* it has reported an error */

static void echo(const char *text, size_t len)
{
	console_monitor_write(text, len);
}

struct candidates {
	const char *stem;
	void (*visit)(void *, const char *);
	void *ctx;
};

static void try_word(struct candidates *c, const char *word)
{
	if (!strncmp(word, c->stem, strlen(c->stem)))
		c->visit(c->ctx, word);
}

/* Where the command begins that the text ends in: behind the last ';' and behind `repeat N`. */
static const char *last_command(const char *text)
{
	const char *semicolon = strrchr(text, ';');
	const char *p = semicolon ? semicolon + 1 : text;

	p += strspn(p, " ");
	if (!strncmp(p, "repeat ", 7)) {
		const char *count = p + 7 + strspn(p + 7, " ");
		const char *end = count + strcspn(count, " ");

		if (*end)
			p = end + strspn(end, " ");
	}
	return p;
}

/* The first word is a command, every other one a guest, or an edit in a transaction. */
static void complete(const char *text, void (*visit)(void *, const char *), void *ctx)
{
	const char *command = last_command(text), *last = strrchr(text, ' ');
	struct candidates c = { last ? last + 1 : text, visit, ctx };
	struct guest *g;
	uint32_t i;

	if (c.stem <= command) {
		for (unsigned n = 0; n < monitor_command_count; n++)
			try_word(&c, monitor_commands[n].name);
		return;
	}
	for_each_guest (g, i)
		try_word(&c, g->config->name);
	for (i = 0; !strncmp(command, "txn ", 4) && i < monitor_edit_count; i++)
		try_word(&c, monitor_edit_name(i));
}

/* Without an initial value: the history would lie in the image, too. monitor_enter() fills it in. */
static struct line_editor editor;

static void print(const char *fmt, va_list args)
{
	char text[320];
	int len = vsnprintf(text, sizeof(text), fmt, args);

	if (len > 0)
		console_monitor_write(text, min_u64((uint64_t)len, sizeof(text) - 1));
}

void monitor_print(const char *fmt, ...)
{
	va_list args;

	if (quiet)
		return;
	va_start(args, fmt);
	print(fmt, args);
	va_end(args);
}

void monitor_error(const char *fmt, ...)
{
	va_list args;

	failed = true;
	va_start(args, fmt);
	print(fmt, args);
	va_end(args);
}

void monitor_enter(void)
{
	editor.prompt = "lamina> ";
	editor.echo = echo;
	editor.complete = complete;
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
		monitor_error("unknown command '%s'; `help` lists them all\n", argv[0]);
}

/* Commands separated by ';', up to the first that fails. The text stays as it is. */
static void execute_list(const char *text)
{
	char command[LINE_MAX];

	failed = false;
	while (!failed && *text && console_monitor_is_open()) {
		size_t n = strcspn(text, ";");

		memcpy(command, text, n);
		command[n] = 0;
		execute(command);
		text += n + (text[n] == ';');
	}
}

/* `repeat` takes the rest of the line; this runs it, with the guests' cores going on. */
static void repeat(const char *text)
{
	char *end;
	unsigned long long count = strtoull(text, &end, 10), done = 0;
	uint64_t start = rdtsc(), ticks, us;
	bool stopped = false;

	text = end + strspn(end, " ");
	if (!count || count > MAX_REPEATS || *end != ' ' || !*text || !strncmp(text, "repeat", 6)) {
		monitor_error("repeat N COMMAND [; COMMAND ...]: N from 1 to %u, not nested\n",
			      MAX_REPEATS);
		return;
	}
	do {
		quiet = done + 1 < count;
		execute_list(text);
		done += !failed;
		stopped = done < count && console_monitor_key();
	} while (!failed && !stopped && done < count && console_monitor_is_open());
	quiet = false;
	ticks = rdtsc() - start;
	us = tsc_to_us(ticks);
	monitor_print("%llu of %llu runs in %llu.%03llu s (%llu ticks)%s\n", done, count,
		      (unsigned long long)us / 1000000, (unsigned long long)us / 1000 % 1000,
		      (unsigned long long)ticks,
		      failed    ? ", ended by the error above"
		      : stopped ? ", ended by a key"
				: "");
}

static void run_line(const char *text)
{
	text += strspn(text, " ");
	if (!strncmp(text, "repeat ", 7))
		repeat(text + 7 + strspn(text + 7, " "));
	else
		execute_list(text);
}

void monitor_input(char c)
{
	char text[LINE_MAX];

	if (!line_key(&editor, c))
		return;
	memcpy(text, editor.text, sizeof(text));
	run_line(text);
	/* `console` has left the monitor: the next prompt comes when it is opened again. */
	if (console_monitor_is_open())
		line_start(&editor);
}
