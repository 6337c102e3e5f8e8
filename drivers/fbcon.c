/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/fbcon.h"

#include <string.h>

#include "drivers/fbcon_font.h"

#define CELL_WIDTH  8
#define CELL_HEIGHT 16 /* every row of a glyph is drawn twice */
#define TAB_WIDTH   8
#define GREY        0xaau

/* States of the filter of escape sequences (ECMA-48 5.3, 5.4, 5.6). */
enum escape_state {
	ESCAPE_NONE,
	ESCAPE_SEEN,
	ESCAPE_CSI,    /* until a final byte 0x40..0x7e */
	ESCAPE_STRING, /* until BEL or ST */
};

enum status fbcon_init(struct fbcon *f, volatile void *pixels, const struct fbcon_mode *mode)
{
	uint32_t y, x;

	memset(f, 0, sizeof(*f));
	if (!pixels || mode->pitch % 4 || mode->pitch / 4 < mode->width ||
	    mode->width < 40 * CELL_WIDTH || mode->height < 4 * CELL_HEIGHT)
		return ERR_UNSUPPORTED;
	if (mode->red_shift > 24 || mode->green_shift > 24 || mode->blue_shift > 24)
		return ERR_UNSUPPORTED;
	f->pixels = pixels;
	f->pitch = mode->pitch / 4;
	f->cols = (uint32_t)min_u64(mode->width / CELL_WIDTH, FBCON_MAX_COLS);
	f->rows = (uint32_t)min_u64(mode->height / CELL_HEIGHT, FBCON_MAX_ROWS);
	f->fg = GREY << mode->red_shift | GREY << mode->green_shift | GREY << mode->blue_shift;
	memset(f->text, ' ', sizeof(f->text));
	memset(f->drawn, ' ', sizeof(f->drawn));
	for (y = 0; y < mode->height; y++) {
		for (x = 0; x < mode->width; x++)
			f->pixels[y * f->pitch + x] = f->bg;
	}
	f->dirty_first = f->rows;
	return OK;
}

static void mark(struct fbcon *f, uint32_t first, uint32_t last)
{
	if (f->dirty_first > first)
		f->dirty_first = first;
	if (f->dirty_last < last)
		f->dirty_last = last;
}

static void line_feed(struct fbcon *f)
{
	if (f->y + 1 < f->rows) {
		f->y++;
		return;
	}
	memmove(f->text[0], f->text[1], (f->rows - 1) * sizeof(f->text[0]));
	memset(f->text[f->rows - 1], ' ', sizeof(f->text[0]));
	mark(f, 0, f->rows - 1);
}

static void put_glyph(struct fbcon *f, uint8_t c)
{
	/* The cursor waits behind the last column: a full line is not followed by an empty one. */
	if (f->x == f->cols) {
		f->x = 0;
		line_feed(f);
	}
	f->text[f->y][f->x++] = c;
	mark(f, f->y, f->y);
}

/* Returns true if the character belongs to an escape sequence. */
static bool filter_escape(struct fbcon *f, uint8_t c)
{
	switch (f->escape) {
	case ESCAPE_SEEN:
		if (c == '[')
			f->escape = ESCAPE_CSI;
		else if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')
			f->escape = ESCAPE_STRING;
		else if (c < 0x20 || c > 0x2f)
			f->escape = ESCAPE_NONE;
		return true;
	case ESCAPE_CSI:
		if (c >= 0x40 && c <= 0x7e)
			f->escape = ESCAPE_NONE;
		return true;
	case ESCAPE_STRING:
		if (c == 0x07)
			f->escape = ESCAPE_NONE;
		else if (c == 0x1b)
			f->escape = ESCAPE_SEEN;
		return true;
	default:
		if (c == 0x1b)
			f->escape = ESCAPE_SEEN;
		return c == 0x1b;
	}
}

void fbcon_putc(struct fbcon *f, uint8_t c)
{
	if (!f->pixels || filter_escape(f, c))
		return;
	switch (c) {
	case '\r':
		f->x = 0;
		break;
	case '\n':
		line_feed(f);
		break;
	case '\b':
		if (f->x)
			f->x--;
		break;
	case '\t':
		f->x = (uint32_t)min_u64(ALIGN_UP(f->x + 1, TAB_WIDTH), f->cols - 1);
		break;
	default:
		/* The first byte of a UTF-8 sequence stands for all of it. */
		if (c >= 0xc0)
			put_glyph(f, '?');
		else if (c >= 0x20 && c < 0x7f)
			put_glyph(f, c);
		break;
	}
}

static void draw_cell(struct fbcon *f, uint32_t row, uint32_t col)
{
	const uint8_t *glyph = fbcon_font[f->text[row][col] - FBCON_GLYPH_FIRST];
	volatile uint32_t *line = f->pixels + row * CELL_HEIGHT * f->pitch + col * CELL_WIDTH;
	uint32_t y, x;

	for (y = 0; y < CELL_HEIGHT; y++, line += f->pitch) {
		/* One empty column to the left, two to the right. */
		uint32_t bits = (uint32_t)glyph[y / 2] << 2;

		for (x = 0; x < CELL_WIDTH; x++)
			line[x] = bits & (0x80u >> x) ? f->fg : f->bg;
	}
	f->drawn[row][col] = f->text[row][col];
}

void fbcon_flush(struct fbcon *f)
{
	uint32_t row, col;

	if (!f->pixels)
		return;
	for (row = f->dirty_first; row <= f->dirty_last && row < f->rows; row++) {
		for (col = 0; col < f->cols; col++) {
			if (f->text[row][col] != f->drawn[row][col])
				draw_cell(f, row, col);
		}
	}
	f->dirty_first = f->rows;
	f->dirty_last = 0;
}
