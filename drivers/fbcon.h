/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_FBCON_H
#define LAMINA_DRIVERS_FBCON_H

#include "types.h"

/*
 * A text console on a linear 32-bit framebuffer, for machines without a serial port. Video memory
 * is only written, never read: scrolling redraws from the text buffer what has changed. Understands
 * CR, LF, BS, TAB and skips ANSI escape sequences. Not locked: the console's lock covers it.
 */
#define FBCON_MAX_COLS 256
#define FBCON_MAX_ROWS 128

struct fbcon {
	volatile uint32_t *pixels; /* NULL: no screen, all functions are harmless */
	uint32_t pitch;            /* pixels per line */
	uint32_t cols, rows;
	uint32_t x, y;                    /* cursor, cells */
	uint32_t fg, bg;                  /* pixel values */
	uint8_t escape;                   /* state of the escape sequence filter */
	uint32_t dirty_first, dirty_last; /* rows that may differ from the screen */
	uint8_t text[FBCON_MAX_ROWS][FBCON_MAX_COLS];
	uint8_t drawn[FBCON_MAX_ROWS][FBCON_MAX_COLS]; /* what the screen shows */
};

/* What the firmware's graphics output has set up; pitch in bytes. */
struct fbcon_mode {
	uint32_t width, height, pitch;
	uint8_t red_shift, green_shift, blue_shift;
};

/*
 * Clear the screen. `pixels` is mapped write-combining by the caller, height * pitch bytes.
 * ERR_UNSUPPORTED: a mode too small or not 32 bits deep; the console then stays harmless.
 */
must_check enum status fbcon_init(struct fbcon *f, volatile void *pixels,
				  const struct fbcon_mode *mode);

/* Put one character into the text buffer; shown by fbcon_flush(). */
void fbcon_putc(struct fbcon *f, uint8_t c);

/* Draw what differs from the screen. Cost is proportional to the changed cells. */
void fbcon_flush(struct fbcon *f);

#endif
