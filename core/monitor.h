/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_MONITOR_H
#define LAMINA_CORE_MONITOR_H

#include "types.h"

/*
 * The monitor: a command line on the physical console. It runs on whichever core serves the
 * console, between two entries of that core's guest; no command waits for long.
 */
struct monitor_command {
	const char *name;
	const char *args; /* for `help` */
	const char *help;
	void (*run)(int argc, char **argv); /* argv[0] is the command */
};

extern const struct monitor_command monitor_commands[];
extern const unsigned monitor_command_count;

/* Print to the monitor's screen; newlines as '\n'. Not shown in the runs of `repeat` but the last. */
void monitor_print(const char *fmt, ...) printf_like(1, 2);

/* The same for a command that could not do what it was asked: always shown; ends `repeat`. */
void monitor_error(const char *fmt, ...) printf_like(1, 2);

/*
 * The editor of one input line. Pure: `echo` gets what the terminal has to show. Understands
 * backspace, Ctrl-U, Ctrl-C, the up and down arrows (history) and Tab (completion of `words`).
 */
#define LINE_MAX     512
#define LINE_HISTORY 8

struct line_editor {
	char text[LINE_MAX];
	unsigned len;
	char history[LINE_HISTORY][LINE_MAX];
	unsigned history_count; /* lines ever entered */
	unsigned history_at;    /* 0: not browsing; n: n lines back */
	uint8_t escape;         /* state within an escape sequence */
	const char *prompt;
	void (*echo)(const char *text, size_t len);
	/* Call visit(ctx, word) for each word that can complete the text so far. */
	void (*complete)(const char *text, void (*visit)(void *ctx, const char *word), void *ctx);
};

/* Feed one key. True: the line is complete in e->text; call line_start() for the next one. */
bool line_key(struct line_editor *e, char c);

/* Begin an empty line: shows the prompt. */
void line_start(struct line_editor *e);

/* Split at blanks in place; returns the number of words, at most `max`. */
int line_split(char *text, char **words, int max);

#endif
