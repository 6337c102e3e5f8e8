// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/fbcon.c drivers/fbcon_font.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/fbcon.h"
#include "drivers/fbcon_font.h"

#define WIDTH  330 /* not a multiple of a cell */
#define HEIGHT 70
#define PITCH  384

static uint32_t *screen;
static struct fbcon f;

static const struct fbcon_mode mode = {
	.width = WIDTH, .height = HEIGHT, .pitch = PITCH * 4, .red_shift = 16, .green_shift = 8
};

static int setup(void **state)
{
	(void)state;
	/* The last line ends with the last visible pixel: drawing beyond it is found. */
	screen = malloc(((HEIGHT - 1) * PITCH + WIDTH) * 4);
	memset(screen, 0xee, ((HEIGHT - 1) * PITCH + WIDTH) * 4);
	assert_int_equal(fbcon_init(&f, screen, &mode), OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(screen);
	return 0;
}

static void print(const char *text)
{
	for (; *text; text++)
		fbcon_putc(&f, (uint8_t)*text);
	fbcon_flush(&f);
}

/* What a cell shows: the character whose glyph it is, 0 if none. */
static char cell(uint32_t row, uint32_t col)
{
	for (uint32_t g = 0; g < FBCON_GLYPHS; g++) {
		bool same = true;

		for (uint32_t y = 0; y < 16 && same; y++) {
			for (uint32_t x = 0; x < 8 && same; x++) {
				bool on = fbcon_font[g][y / 2] << 2 & 0x80 >> x;
				uint32_t pixel = screen[(row * 16 + y) * PITCH + col * 8 + x];

				same = pixel == (on ? 0xaaaaaau : 0u);
			}
		}
		if (same)
			return (char)(0x20 + g);
	}
	return 0;
}

static void expect(uint32_t row, const char *text)
{
	for (uint32_t col = 0; col < f.cols; col++)
		assert_int_equal(cell(row, col), col < strlen(text) ? text[col] : ' ');
}

static void test_font_is_complete(void **state)
{
	(void)state;
	for (uint32_t a = 1; a < FBCON_GLYPHS; a++) {
		for (uint32_t b = 0; b < a; b++)
			assert_memory_not_equal(fbcon_font[a], fbcon_font[b], FBCON_GLYPH_ROWS);
		for (uint32_t y = 0; y < FBCON_GLYPH_ROWS; y++)
			assert_int_equal(fbcon_font[a][y] >> FBCON_GLYPH_COLUMNS, 0);
	}
}

static void test_init(void **state)
{
	struct fbcon_mode bad = mode;

	(void)state;
	assert_int_equal(f.cols, 41);
	assert_int_equal(f.rows, 4);
	assert_int_equal(screen[0], 0);
	assert_int_equal(screen[(HEIGHT - 1) * PITCH + WIDTH - 1], 0);
	assert_int_equal(screen[WIDTH], 0xeeeeeeee); /* not visible, not touched */
	bad.pitch = WIDTH * 2;
	assert_int_equal(fbcon_init(&f, screen, &bad), ERR_UNSUPPORTED);
	bad = mode;
	bad.height = 10;
	assert_int_equal(fbcon_init(&f, screen, &bad), ERR_UNSUPPORTED);
	bad = mode;
	bad.red_shift = 25;
	assert_int_equal(fbcon_init(&f, screen, &bad), ERR_UNSUPPORTED);
	assert_int_equal(fbcon_init(&f, NULL, &mode), ERR_UNSUPPORTED);
	print("harmless\n");
}

static void test_text(void **state)
{
	(void)state;
	print("Hello, world!\r\nnext");
	expect(0, "Hello, world!");
	expect(1, "next");
	print("\rN\b\b\bX\tY");
	expect(1, "Xext    Y");
}

static void test_scroll(void **state)
{
	(void)state;
	print("a\r\nb\r\nc\r\nd\r\ne");
	expect(0, "b");
	expect(2, "d");
	expect(3, "e");
}

static void test_wrap(void **state)
{
	(void)state;
	print("12345678901234567890123456789012345678901");
	expect(1, "");
	/* A line that is exactly full is followed by the next one, not by an empty one. */
	print("\r\nx");
	expect(1, "x");
	print("\r12345678901234567890123456789012345678901z");
	expect(2, "z");
}

static void test_escape_sequences(void **state)
{
	(void)state;
	print("\x1b[1;31mred\x1b[0m \x1b]0;title\x07ti\x1b(Bx \x1bMy\x1b]0;t\x1b\\z");
	expect(0, "red tix yz");
	print("\r\n\xc3\xa9\x01\x7f|");
	expect(1, "?|");
}

static void test_only_changes_are_drawn(void **state)
{
	(void)state;
	print("same\r\nsame\r\nsame\r\nsame");
	screen[0] = 0x123456;
	print("\r\nsame");
	assert_int_equal(screen[0], 0x123456);
	expect(3, "same");
	assert_int_equal(f.dirty_first, f.rows);
}

static void test_huge_mode(void **state)
{
	struct fbcon_mode huge = { .width = 4096, .height = 4096, .pitch = 4096 * 4 };
	uint32_t *big = calloc(4096 * 4096, 4);

	(void)state;
	assert_int_equal(fbcon_init(&f, big, &huge), OK);
	assert_int_equal(f.cols, FBCON_MAX_COLS);
	assert_int_equal(f.rows, FBCON_MAX_ROWS);
	for (int i = 0; i < 200000; i++)
		fbcon_putc(&f, (uint8_t)i);
	fbcon_flush(&f);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_font_is_complete),
		cmocka_unit_test_setup_teardown(test_init, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scroll, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_escape_sequences, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_changes_are_drawn, setup, teardown),
		cmocka_unit_test(test_huge_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
