/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's input line: editing, history, completion, splitting. */
// sources: core/line_editor.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/monitor.h"

static char screen[4096];
static size_t shown;

static void echo(const char *text, size_t len)
{
	assert_true(shown + len < sizeof(screen));
	memcpy(screen + shown, text, len);
	shown += len;
	screen[shown] = 0;
}

static void complete(const char *text, void (*visit)(void *, const char *), void *ctx)
{
	static const char *const words[] = { "reboot", "regs", "reset", "stat" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strncmp(words[i], text, strlen(text)))
			visit(ctx, words[i]);
	}
}

static struct line_editor fresh(void)
{
	struct line_editor e = { .prompt = "> ", .echo = echo, .complete = complete };

	shown = 0;
	screen[0] = 0;
	line_start(&e);
	return e;
}

/* Type; the result says whether the last key ended the line. */
static bool type(struct line_editor *e, const char *keys)
{
	bool done = false;

	while (*keys)
		done = line_key(e, *keys++);
	return done;
}

static void a_line_ends_with_return(void **state)
{
	struct line_editor e = fresh();

	(void)state;
	assert_false(type(&e, "stat one"));
	assert_true(type(&e, "\r"));
	assert_string_equal(e.text, "stat one");
	assert_string_equal(screen, "> stat one\n");
}

static void editing_keys_erase(void **state)
{
	struct line_editor e = fresh();

	(void)state;
	type(&e, "\bab\x7f"
		 "c");
	assert_string_equal(e.text, "ac");
	assert_string_equal(screen, "> ab\b \bc");
	type(&e, "\x15");
	assert_string_equal(e.text, "");
	type(&e, "x\x03");
	assert_string_equal(e.text, "");
}

static void control_characters_are_dropped(void **state)
{
	struct line_editor e = fresh();

	(void)state;
	type(&e, "a\x01\x0e\xffz\033[5~b");
	assert_string_equal(e.text, "azb");
}

static void a_long_line_stops_growing(void **state)
{
	struct line_editor e = fresh();

	(void)state;
	for (int i = 0; i < 3 * LINE_MAX; i++)
		line_key(&e, 'x');
	assert_int_equal(strlen(e.text), LINE_MAX - 1);
	assert_true(line_key(&e, '\r'));
}

static void arrows_walk_the_history(void **state)
{
	struct line_editor e = fresh();

	(void)state;
	type(&e, "one\r");
	line_start(&e);
	type(&e, "two\r");
	line_start(&e);
	type(&e, "two\r");
	line_start(&e);
	type(&e, "\033[A");
	assert_string_equal(e.text, "two");
	type(&e, "\033[A");
	assert_string_equal(e.text, "one");
	type(&e, "\033[A");
	assert_string_equal(e.text, "one");
	type(&e, "\033[B\033[B");
	assert_string_equal(e.text, "");
	type(&e, "\033[B");
	assert_string_equal(e.text, "");
}

static void history_keeps_the_newest(void **state)
{
	struct line_editor e = fresh();

	(void)state;
	for (char c = 'a'; c < 'a' + LINE_HISTORY + 3; c++) {
		line_key(&e, c);
		line_key(&e, '\r');
		line_start(&e);
	}
	for (int i = 0; i < LINE_HISTORY + 5; i++)
		type(&e, "\033[A");
	assert_string_equal(e.text, "d");
}

static void tab_completes(void **state)
{
	struct line_editor e = fresh();

	(void)state;
	type(&e, "s\t");
	assert_string_equal(e.text, "stat ");
	type(&e, "\x15r\t");
	assert_string_equal(e.text, "re");
	type(&e, "\t");
	assert_non_null(strstr(screen, "reboot  regs  reset"));
	type(&e, "zzz\t");
	assert_string_equal(e.text, "rezzz");
}

static void splitting_finds_words(void **state)
{
	char text[] = "  regs  one 1 ", empty[] = "   ", many[] = "a b c d";
	char *words[3];

	(void)state;
	assert_int_equal(line_split(text, words, 3), 3);
	assert_string_equal(words[0], "regs");
	assert_string_equal(words[2], "1");
	assert_int_equal(line_split(empty, words, 3), 0);
	assert_int_equal(line_split(many, words, 3), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_ends_with_return),
		cmocka_unit_test(editing_keys_erase),
		cmocka_unit_test(control_characters_are_dropped),
		cmocka_unit_test(a_long_line_stops_growing),
		cmocka_unit_test(arrows_walk_the_history),
		cmocka_unit_test(history_keeps_the_newest),
		cmocka_unit_test(tab_completes),
		cmocka_unit_test(splitting_finds_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
