// SPDX-License-Identifier: BSD-2-Clause
// sources: core/console.c core/console_out.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/console.h"

/* A line without time: what was sent, what waits to be received, how much may be sent. */
static struct line {
	char out[1 << 20];
	size_t out_length;
	uint32_t room;  /* characters per answer of tx_room() */
	uint32_t limit; /* characters until the transmitter is busy; ~0: never */
	const char *in;
	size_t in_length;
	bool rx_on, tx_irq;
	uint32_t target, rearmed, events[CONFIG_MAX_GUESTS];
	uint32_t flushes;
} line;

static uint8_t line_ring[CONSOLE_LINE_BYTES];
static uint8_t memory[CONFIG_MAX_GUESTS][CONSOLE_GUEST_BYTES];
static char monitor_seen[4096];
static uint32_t monitor_entered;

static int line_rx(void *ctx)
{
	(void)ctx;
	if (!line.in_length)
		return -1;
	line.in_length--;
	return (uint8_t)*line.in++;
}

static uint32_t line_tx_room(void *ctx)
{
	(void)ctx;
	return line.limit < line.room ? line.limit : line.room;
}

static void line_tx(void *ctx, uint8_t c)
{
	(void)ctx;
	assert_true(line.limit > 0);
	assert_true(line.out_length < sizeof(line.out) - 1);
	line.out[line.out_length++] = (char)c;
	line.out[line.out_length] = 0;
	if (line.limit != ~0u)
		line.limit--;
}

static void line_flush(void *ctx)
{
	(void)ctx;
	line.flushes++;
}

static void line_rx_enable(void *ctx, bool on)
{
	(void)ctx;
	line.rx_on = on;
}

static void line_tx_irq(void *ctx, bool on)
{
	(void)ctx;
	line.tx_irq = on;
}

static bool line_irq_pending(void *ctx)
{
	(void)ctx;
	return (line.rx_on && line.in_length) || (line.tx_irq && line.limit);
}

static void line_rearm(void *ctx)
{
	(void)ctx;
	line.rearmed++;
}

static bool line_set_target(void *ctx, uint32_t apic_id)
{
	(void)ctx;
	line.target = apic_id;
	return true;
}

static void line_panic_putc(void *ctx, uint8_t c)
{
	uint32_t limit = line.limit;

	line.limit = ~0u;
	line_tx(ctx, c);
	line.limit = limit;
}

static const struct console_ops ops = {
	.rx = line_rx,
	.tx_room = line_tx_room,
	.tx = line_tx,
	.flush = line_flush,
	.rx_enable = line_rx_enable,
	.tx_irq = line_tx_irq,
	.irq_pending = line_irq_pending,
	.rearm = line_rearm,
	.set_target = line_set_target,
	.panic_putc = line_panic_putc,
};

void guest_console_event(uint32_t guest)
{
	line.events[guest]++;
}

void monitor_enter(void)
{
	monitor_entered++;
	console_monitor_write("lamina> ", 8);
}

void monitor_input(char c)
{
	size_t n = strlen(monitor_seen);

	assert_true(n + 1 < sizeof(monitor_seen));
	monitor_seen[n] = c;
	monitor_seen[n + 1] = 0;
	console_monitor_write(&c, 1);
	if (c == 'R' && console_monitor_key()) /* a command that takes long */
		strcat(monitor_seen, "!");
	if (c == 'T') /* a command that changes the focus */
		assert_int_equal(console_focus(1), OK);
}

static void clear_out(void)
{
	line.out_length = 0;
	line.out[0] = 0;
}

static void begin(enum config_console mode, uint32_t guests)
{
	static const char *const names[] = { "one", "two", "three" };
	uint32_t i;

	memset(&line, 0, sizeof(line));
	memset(monitor_seen, 0, sizeof(monitor_seen));
	monitor_entered = 0;
	line.room = 16;
	line.limit = ~0u;
	console_init(&ops, NULL, line_ring, 0x1d, mode);
	for (i = 0; i < guests; i++)
		console_add_guest(i, names[i], i, 10 + i, memory[i]);
	console_start(99);
}

static int setup(void **state)
{
	(void)state;
	begin(CONSOLE_FOCUS, 3);
	clear_out();
	return 0;
}

static int setup_all(void **state)
{
	(void)state;
	begin(CONSOLE_ALL, 3);
	clear_out();
	return 0;
}

static void say(uint32_t guest, const char *text)
{
	for (; *text; text++)
		console_guest_write(guest, (uint8_t)*text);
}

/* The work after an NMI; a new edge is a new NMI. */
static void poll(void)
{
	uint32_t edges;

	do {
		edges = line.rearmed;
		console_poll();
	} while (line.rearmed != edges);
}

static void type_bytes(const char *text, size_t length)
{
	line.in = text;
	line.in_length = length;
	poll();
}

static void type(const char *text)
{
	type_bytes(text, strlen(text));
}

static void log_text(const char *text)
{
	console_log(text, strlen(text));
}

/* What a guest gets, as a string. */
static const char *heard(uint32_t guest)
{
	static char text[4096];
	size_t n = 0;
	int c;

	while ((c = console_guest_read(guest)) >= 0 && n < sizeof(text) - 1)
		text[n++] = (char)c;
	text[n] = 0;
	return text;
}

static void test_before_init(void **state)
{
	(void)state;
	console_log("x\n", 2);
	console_guest_write(0, 'x');
	assert_true(console_guest_room(0));
	assert_int_equal(console_guest_read(0), -1);
	console_poll();
	console_start(99);
	console_panic_write("x", 1);
	assert_int_equal(console_focus(0), ERR_NOT_FOUND);
	assert_int_equal(console_focused(), CONSOLE_NO_GUEST);
}

static void test_start_shows_banner(void **state)
{
	(void)state;
	begin(CONSOLE_FOCUS, 2);
	assert_string_equal(line.out, "--- guest one (core 0) --- Ctrl-] for the monitor ---\r\n");
	assert_int_equal(line.target, 10);
	assert_true(line.rx_on);
	assert_int_equal(monitor_entered, 0);
}

static void test_no_guests_is_monitor(void **state)
{
	(void)state;
	begin(CONSOLE_FOCUS, 0);
	assert_int_equal(monitor_entered, 1);
	assert_string_equal(line.out, "lamina> ");
	type("\x1dh\x1d\x1d");
	assert_true(console_monitor_is_open());
	assert_string_equal(monitor_seen, "h");
	console_leave_monitor();
	assert_true(console_monitor_is_open());
}

static void test_focused_output_is_shown(void **state)
{
	(void)state;
	say(0, "hello\r\n");
	say(1, "hidden\r\n");
	assert_string_equal(line.out, "hello\r\n");
	assert_true(line.flushes > 0);
}

static void test_input_goes_to_focus(void **state)
{
	(void)state;
	type("ls\r");
	assert_string_equal(heard(0), "ls\r");
	assert_string_equal(heard(1), "");
	assert_int_equal(line.events[0], 1);
	assert_int_equal(line.events[1], 0);
}

static void test_escape_opens_monitor(void **state)
{
	(void)state;
	type("a\x1dhelp\r");
	assert_string_equal(heard(0), "a");
	assert_int_equal(monitor_entered, 1);
	assert_string_equal(monitor_seen, "help\r");
	assert_true(console_monitor_is_open());
	/* Nobody waits for the guest while the prompt is open. */
	clear_out();
	say(0, "later\r\n");
	assert_string_equal(line.out, "");
	type("\x1d\x1d");
	assert_false(console_monitor_is_open());
	assert_non_null(strstr(line.out, "--- guest one"));
	assert_non_null(strstr(line.out, "later\r\n"));
	assert_string_equal(heard(0), "");
}

static void test_escape_twice_is_sent(void **state)
{
	(void)state;
	type("\x1d\x1dx");
	assert_string_equal(heard(0), "\x1dx");
	assert_string_equal(monitor_seen, "");
	assert_false(console_monitor_is_open());
}

static void test_quick_switch(void **state)
{
	(void)state;
	type("\x1d"
	     "2x");
	assert_int_equal(console_focused(), 1);
	assert_int_equal(line.target, 11);
	assert_string_equal(heard(1), "x");
	assert_non_null(strstr(line.out, "--- guest two (core 1) --- Ctrl-] for the monitor ---"));
	type("\x1dny");
	assert_string_equal(heard(2), "y");
	type("\x1dnz");
	assert_string_equal(heard(0), "z");
	/* No such guest: the key belongs to the monitor. */
	type("\x1d"
	     "9");
	assert_string_equal(monitor_seen, "9");
	assert_true(console_monitor_is_open());
	/* Not the first key any more. */
	type("2");
	assert_string_equal(monitor_seen, "92");
	assert_int_equal(console_focused(), 0);
}

static void test_short_cuts_from_the_monitor(void **state)
{
	(void)state;
	type("\x1dhel");
	clear_out();
	type("\x1d");
	assert_string_equal(line.out, "\r\nlamina> ");
	type("2x");
	assert_int_equal(console_focused(), 1);
	assert_string_equal(heard(1), "x");
	/* Back without a key for the guest. */
	type("\x1dh\x1d\x1dy");
	assert_string_equal(heard(1), "y");
	assert_false(console_monitor_is_open());
}

static void test_monitor_command_moves_focus(void **state)
{
	(void)state;
	/* A key ends a long command and is consumed; a line's end is none. */
	type("\x1dR\n");
	type("R\r\nxy");
	type("\x1dTabc");
	assert_string_equal(monitor_seen, "RR!yT");
	assert_string_equal(heard(1), "abc");
	assert_string_equal(heard(0), "");
}

static void test_background_output_appears_on_switch(void **state)
{
	(void)state;
	say(1, "first\r\nsecond\r\n# ");
	type("\x1d"
	     "2");
	assert_non_null(strstr(line.out, "first\r\nsecond\r\n# "));
	/* It is drawn again when one comes back. */
	type("\x1d"
	     "1");
	clear_out();
	type("\x1d"
	     "2");
	assert_non_null(strstr(line.out, "first\r\nsecond\r\n# "));
}

static void test_switch_shows_a_screenful(void **state)
{
	char text[32];
	uint32_t i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "line %u\r\n", i);
		say(0, text);
	}
	type("\x1d"
	     "2\x1d");
	clear_out();
	type("1");
	assert_null(strstr(line.out, "line 75\r\n"));
	assert_non_null(strstr(line.out, "---\r\nline 76\r\n"));
	assert_non_null(strstr(line.out, "line 99\r\n"));
}

static void test_background_overwrites_oldest(void **state)
{
	uint32_t i;
	char text[32];

	(void)state;
	for (i = 0; i < 10000; i++) {
		assert_true(console_guest_room(1));
		snprintf(text, sizeof(text), "line %05u\r\n", i);
		say(1, text);
	}
	clear_out();
	type("\x1d"
	     "2");
	/* 64 KiB are 5461.3 lines: the oldest is cut, so it starts with the next one. */
	assert_non_null(strstr(line.out, "monitor ---\r\nline 04539\r\nline 04540\r\n"));
	assert_non_null(strstr(line.out, "line 09999\r\n"));
}

static void test_back_pressure(void **state)
{
	uint32_t sent = 0;

	(void)state;
	line.limit = 100;
	while (console_guest_room(0)) {
		console_guest_write(0, (uint8_t)('a' + sent % 26));
		assert_true(++sent < 100000);
	}
	/* One more is held on its way to the transmitter. */
	assert_int_equal(sent, CONSOLE_OUT_BYTES + 100 + 1);
	assert_true(line.tx_irq);
	line.limit = 1000;
	console_poll();
	assert_int_equal(line.events[0], 0);
	assert_true(console_guest_room(0));
	line.limit = CONSOLE_OUT_BYTES / 4;
	console_poll();
	assert_int_equal(line.events[0], 1);
	line.limit = ~0u;
	console_poll();
	assert_false(line.tx_irq);
	assert_int_equal(line.out_length, sent);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(line.out[i], 'a' + i % 26);
}

static void test_blocked_guest_goes_on_without_focus(void **state)
{
	(void)state;
	line.limit = 0;
	while (console_guest_room(0))
		console_guest_write(0, 'x');
	type("\x1d");
	assert_int_equal(line.events[0], 1);
	assert_true(console_guest_room(0));
}

static void test_paste_loses_nothing(void **state)
{
	static char paste[40000];
	uint32_t i, got = 0;

	(void)state;
	for (i = 0; i < sizeof(paste); i++)
		paste[i] = (char)('!' + i % 90);
	type_bytes(paste, sizeof(paste));
	assert_false(line.rx_on);
	assert_int_equal(line.in_length, sizeof(paste) - CONSOLE_IN_BYTES);
	while (got < sizeof(paste)) {
		int c = console_guest_read(0);

		if (c < 0) {
			/* The receiver's interrupt came because the receiver is on again. */
			assert_true(line.rx_on);
			console_poll();
			continue;
		}
		assert_int_equal(c, paste[got++]);
		if (line.rx_on && got % 3 == 0)
			console_poll();
	}
	assert_int_equal(console_guest_read(0), -1);
}

static void test_stopped_guest_blocks_nothing(void **state)
{
	static char paste[CONSOLE_IN_BYTES + 100];

	(void)state;
	memset(paste, 'x', sizeof(paste) - 1);
	paste[sizeof(paste) - 1] = 0x1d;
	type_bytes(paste, sizeof(paste));
	assert_false(line.rx_on);
	console_guest_active(0, false);
	assert_true(line.rx_on);
	console_poll();
	assert_true(console_monitor_is_open());
	assert_int_equal(console_guest_read(0), -1);
	type("\x1d");
	console_guest_active(0, true);
	type("y");
	assert_string_equal(heard(0), "y");
}

static void test_log_between_lines(void **state)
{
	(void)state;
	say(0, "one\r\n");
	log_text("message\n");
	say(0, "two\r\n");
	assert_string_equal(line.out, "one\r\nmessage\r\ntwo\r\n");
}

static void test_log_redraws_prompt(void **state)
{
	(void)state;
	say(0, "boot\r\n~ # ls");
	log_text("message");
	assert_string_equal(line.out, "boot\r\n~ # ls\r\nmessage\r\n~ # ls");
	say(0, " -l\r\n");
	assert_string_equal(line.out, "boot\r\n~ # ls\r\nmessage\r\n~ # ls -l\r\n");
}

static void test_log_waits_for_end_of_line(void **state)
{
	(void)state;
	line.limit = 3;
	say(0, "abcdef\r\nxyz\r\n");
	log_text("message\n");
	line.limit = ~0u;
	console_poll();
	assert_string_equal(line.out, "abcdef\r\nmessage\r\nxyz\r\n");
}

static void test_log_during_monitor(void **state)
{
	(void)state;
	type("\x1dhel");
	clear_out();
	log_text("a\nb\n");
	assert_string_equal(line.out, "\r\na\r\nb\r\nlamina> hel");
	type("p");
	assert_string_equal(line.out, "\r\na\r\nb\r\nlamina> help");
}

static void test_log_overflow_is_counted(void **state)
{
	uint32_t i;
	char text[64];

	(void)state;
	line.limit = 0;
	for (i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "message number %05u\n", i);
		log_text(text);
	}
	line.limit = ~0u;
	console_poll();
	assert_non_null(strstr(line.out, "message number 00000\r\n"));
	assert_null(strstr(line.out, "message number 04999\r\n"));
	clear_out();
	log_text("next\n");
	assert_non_null(strstr(line.out, "messages not shown"));
	assert_non_null(strstr(line.out, "next\r\n"));
}

static void test_terminal_queries_are_not_repeated(void **state)
{
	(void)state;
	say(0, "\x1b[6n~ # \x1b[1mx");
	assert_string_equal(line.out, "\x1b[6n~ # \x1b[1mx");
	clear_out();
	log_text("m\n");
	assert_string_equal(line.out, "\r\nm\r\n~ # \x1b[1mx");
	/* New output asks again. */
	clear_out();
	say(0, "\x1b[6n");
	assert_string_equal(line.out, "\x1b[6n");
}

static void test_all_prefixes_lines(void **state)
{
	(void)state;
	say(0, "a\r\n");
	say(1, "b\nc");
	say(2, "d\r\n\r\n");
	assert_string_equal(line.out, "one| a\r\ntwo| b\r\nthree| d\r\nthree| \r\n");
	clear_out();
	say(1, "c\r\n");
	assert_string_equal(line.out, "two| cc\r\n");
}

static void test_all_shows_prompt_of_focus(void **state)
{
	(void)state;
	say(0, "~ # ");
	assert_string_equal(line.out, "one| ~ # ");
	say(1, "tick\r\n");
	assert_string_equal(line.out, "one| ~ # \r\ntwo| tick\r\none| ~ # ");
	clear_out();
	log_text("m\n");
	assert_string_equal(line.out, "\r\nm\r\none| ~ # ");
	clear_out();
	say(0, "\rabc\r\n");
	assert_string_equal(line.out, "\rone| abc\r\n");
}

static void test_all_cuts_endless_lines(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 3000; i++)
		console_guest_write(1, 'x');
	say(0, "y\r\n");
	assert_non_null(strstr(line.out, "two| xxx"));
	assert_non_null(strstr(line.out, "xxx\r\ntwo| xxx"));
	assert_non_null(strstr(line.out, "one| y\r\n"));
}

static void test_all_is_fair(void **state)
{
	uint32_t i;

	(void)state;
	line.limit = 0;
	for (i = 0; i < 100; i++)
		say(0, "flood\r\n");
	say(1, "small\r\n");
	line.limit = 64;
	console_poll();
	assert_non_null(strstr(line.out, "two| small\r\n"));
}

static void test_many_rounds_rearm(void **state)
{
	static char paste[CONSOLE_IN_BYTES];

	(void)state;
	/* The monitor takes a key per round: there is always more to do. */
	memset(paste, 'k', 1000);
	type("\x1d");
	type_bytes(paste, 1000);
	assert_int_equal(line.rearmed, 3);
	assert_int_equal(strlen(monitor_seen), 1000);
}

static void test_panic_flushes_log(void **state)
{
	(void)state;
	line.limit = 0;
	log_text("last words\n");
	console_panic_write("panic\n", 6);
	assert_string_equal(line.out, "last words\r\npanic\r\n");
}

static void test_key_names(void **state)
{
	char text[8];

	(void)state;
	assert_string_equal(console_key_name(0x1d, text), "Ctrl-]");
	assert_string_equal(console_key_name(0x01, text), "Ctrl-a");
	assert_string_equal(console_key_name(0x00, text), "Ctrl-@");
	assert_string_equal(console_key_name(0x1b, text), "Esc");
	assert_string_equal(console_key_name('~', text), "~");
	assert_string_equal(console_key_name(0xff, text), "0xff");
}

static void test_polled_hardware(void **state)
{
	static const struct console_ops polled = { .rx = line_rx,
						   .tx_room = line_tx_room,
						   .tx = line_tx };

	(void)state;
	memset(&line, 0, sizeof(line));
	line.room = 1;
	line.limit = ~0u;
	console_init(&polled, NULL, line_ring, 0x1d, CONSOLE_FOCUS);
	console_add_guest(0, "one", 0, 0, memory[0]);
	console_start(99);
	clear_out();
	say(0, "abc\r\n");
	assert_string_equal(line.out, "abc\r\n");
	type("x");
	assert_string_equal(heard(0), "x");
	/* A dead line does not hang the machine. */
	line.limit = 0;
	log_text("m\n");
	log_text("n\n");
	line.limit = ~0u;
	log_text("o\n");
	assert_string_equal(line.out, "abc\r\nm\r\nn\r\no\r\n");
}

static void test_boot_does_not_wait(void **state)
{
	(void)state;
	memset(&line, 0, sizeof(line));
	line.room = 16;
	line.limit = 3;
	console_init(&ops, NULL, line_ring, 0x1d, CONSOLE_FOCUS);
	log_text("early\n");
	assert_string_equal(line.out, "ear");
	assert_false(line.tx_irq);
	line.limit = 2;
	log_text("second\n");
	assert_string_equal(line.out, "early");
	/* From here on the interrupt does it. */
	console_add_guest(0, "one", 0, 0, memory[0]);
	line.limit = 0;
	console_start(99);
	assert_true(line.tx_irq);
	line.limit = ~0u;
	console_poll();
	assert_int_equal(strncmp(line.out, "early\r\nsecond\r\n--- guest one", 28), 0);
	assert_false(line.tx_irq);
}

/* Random output, logs, switches and line speeds: every guest's stream stays in order. */
static void test_random_streams_stay_in_order(void **state)
{
	uint32_t seed = 1, i, sent = 0;
	size_t at;
	char want = 0;

	(void)state;
	for (i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		line.limit = (seed >> 8) % 40;
		if (console_guest_room(0)) {
			console_guest_write(0, (uint8_t)('a' + sent % 26));
			if (++sent % 26 == 0)
				console_guest_write(0, '\n');
		}
		if ((seed >> 16) % 50 == 0)
			log_text("0123\n");
		if ((seed >> 20) % 7 == 0)
			console_poll();
	}
	line.limit = ~0u;
	console_poll();
	/* After each log message the line goes on where it was, or starts again. */
	for (at = 0; at < line.out_length; at++) {
		char c = line.out[at];

		if (c >= '0' && c <= '3') {
			assert_memory_equal(&line.out[at], "0123\r\n", 6);
			assert_true(at == 0 || line.out[at - 1] == '\n');
			at += 5;
			want = 0;
		} else if (c == '\n') {
			want = 0;
		} else if (c != '\r') {
			assert_int_equal(c, 'a' + want);
			want++;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_init),
		cmocka_unit_test(test_start_shows_banner),
		cmocka_unit_test(test_no_guests_is_monitor),
		cmocka_unit_test_setup(test_focused_output_is_shown, setup),
		cmocka_unit_test_setup(test_input_goes_to_focus, setup),
		cmocka_unit_test_setup(test_escape_opens_monitor, setup),
		cmocka_unit_test_setup(test_escape_twice_is_sent, setup),
		cmocka_unit_test_setup(test_quick_switch, setup),
		cmocka_unit_test_setup(test_short_cuts_from_the_monitor, setup),
		cmocka_unit_test_setup(test_monitor_command_moves_focus, setup),
		cmocka_unit_test_setup(test_background_output_appears_on_switch, setup),
		cmocka_unit_test_setup(test_switch_shows_a_screenful, setup),
		cmocka_unit_test_setup(test_background_overwrites_oldest, setup),
		cmocka_unit_test_setup(test_back_pressure, setup),
		cmocka_unit_test_setup(test_blocked_guest_goes_on_without_focus, setup),
		cmocka_unit_test_setup(test_paste_loses_nothing, setup),
		cmocka_unit_test_setup(test_stopped_guest_blocks_nothing, setup),
		cmocka_unit_test_setup(test_log_between_lines, setup),
		cmocka_unit_test_setup(test_log_redraws_prompt, setup),
		cmocka_unit_test_setup(test_log_waits_for_end_of_line, setup),
		cmocka_unit_test_setup(test_log_during_monitor, setup),
		cmocka_unit_test_setup(test_log_overflow_is_counted, setup),
		cmocka_unit_test_setup(test_terminal_queries_are_not_repeated, setup),
		cmocka_unit_test_setup(test_all_prefixes_lines, setup_all),
		cmocka_unit_test_setup(test_all_shows_prompt_of_focus, setup_all),
		cmocka_unit_test_setup(test_all_cuts_endless_lines, setup_all),
		cmocka_unit_test_setup(test_all_is_fair, setup_all),
		cmocka_unit_test_setup(test_many_rounds_rearm, setup),
		cmocka_unit_test_setup(test_panic_flushes_log, setup),
		cmocka_unit_test(test_key_names),
		cmocka_unit_test(test_polled_hardware),
		cmocka_unit_test(test_boot_does_not_wait),
		cmocka_unit_test_setup(test_random_streams_stay_in_order, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
