/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_DRIVERS_FBCON_FONT_H
#define LAMINA_DRIVERS_FBCON_FONT_H

#include "types.h"

#define FBCON_GLYPH_FIRST   0x20
#define FBCON_GLYPHS        95
#define FBCON_GLYPH_ROWS    8
#define FBCON_GLYPH_COLUMNS 5

extern const uint8_t fbcon_font[FBCON_GLYPHS][FBCON_GLYPH_ROWS];

#endif
