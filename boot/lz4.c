/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/lz4.h"

#include <string.h>

/* LZ4 Frame Format 1.6, "Frame Descriptor". All numbers are little endian, as the CPU is. */
#define FRAME_MAGIC     0x184d2204u
#define HEADER_SIZE     15u  /* magic, FLG, BD, content size, header's checksum */
#define FLG_EXPECTED    0x4c /* version 1, size and checksum of the content; nothing else ... */
#define FLG_INDEPENDENT 0x20 /* ... but this: no matter to whom blocks refer, all are unpacked */
#define BLOCK_PLAIN     0x80000000u

/* LZ4 Block Format: a length that fills its half of the token continues in bytes of their own. */
#define LENGTH_MORE 15u
#define MATCH_MIN   4u

#define WORD 8u /* bytes */

struct stream {
	const uint8_t *in, *in_end;
	uint8_t *start, *out, *out_end;
};

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, sizeof(v)); /* one instruction, where memcpy() is a call */
	return v;
}

/* XXH32 with seed 0, the checksum of the format. */
#define PRIME_1 2654435761u
#define PRIME_2 2246822519u
#define PRIME_3 3266489917u
#define PRIME_4 668265263u
#define PRIME_5 374761393u

static uint32_t rotate(uint32_t v, unsigned bits)
{
	return v << bits | v >> (32 - bits);
}

static uint32_t checksum(const uint8_t *p, uint64_t size)
{
	uint32_t lane[4] = { PRIME_1 + PRIME_2, PRIME_2, 0, -PRIME_1 };
	const uint8_t *end = p + size;
	uint32_t h = PRIME_5;

	for (; end - p >= 16; p += 16) {
		for (unsigned i = 0; i < 4; i++)
			lane[i] = rotate(lane[i] + load32(p + 4 * i) * PRIME_2, 13) * PRIME_1;
	}
	if (size >= 16)
		h = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) +
		    rotate(lane[3], 18);
	h += (uint32_t)size;
	for (; end - p >= 4; p += 4)
		h = rotate(h + load32(p) * PRIME_3, 17) * PRIME_4;
	for (; p < end; p++)
		h = rotate(h + *p * PRIME_5, 11) * PRIME_1;
	h = (h ^ h >> 15) * PRIME_2;
	h = (h ^ h >> 13) * PRIME_3;
	return h ^ h >> 16;
}

enum status lz4_content_size(const void *frame, uint64_t size, uint64_t *content)
{
	const uint8_t *p = frame;

	if (size < HEADER_SIZE || load32(p) != FRAME_MAGIC ||
	    (p[4] & ~FLG_INDEPENDENT) != FLG_EXPECTED ||
	    p[HEADER_SIZE - 1] != (checksum(p + 4, HEADER_SIZE - 5) >> 8 & 0xff))
		return ERR_INVALID;
	memcpy(content, p + 6, sizeof(*content));
	return OK;
}

static inline bool read_length(struct stream *s, uint64_t *length)
{
	uint8_t more;

	if (*length < LENGTH_MORE)
		return true;
	do {
		if (s->in == s->in_end)
			return false;
		more = *s->in++;
		*length += more;
	} while (more == 255);
	return true;
}

/*
 * Most pieces are a few bytes long. Where there is room behind them, whole words are copied, one at
 * least, and what is too much is overwritten by the next piece.
 */
static inline void copy_words(uint8_t *to, const uint8_t *from, uint64_t length)
{
	const uint8_t *end = to + length;

	do {
		__builtin_memcpy(to, from, WORD);
		to += WORD;
		from += WORD;
	} while (to < end);
}

static inline bool copy_literals(struct stream *s, uint64_t length)
{
	uint64_t in = (uint64_t)(s->in_end - s->in), room = (uint64_t)(s->out_end - s->out);

	if (length + WORD <= in && length + WORD <= room)
		copy_words(s->out, s->in, length);
	else if (length <= in && length <= room)
		memcpy(s->out, s->in, length);
	else
		return false;
	s->in += length;
	s->out += length;
	return true;
}

/* From the front on: a match may reach into what it produces itself, and so repeats it. */
static inline bool copy_match(struct stream *s, uint64_t offset, uint64_t length)
{
	uint64_t done = (uint64_t)(s->out - s->start), room = (uint64_t)(s->out_end - s->out);
	const uint8_t *from = s->out - offset;

	if (offset > done)
		return false;
	if (offset >= WORD && length + WORD <= room) {
		copy_words(s->out, from, length);
	} else if (offset && length <= room) {
		for (uint64_t i = 0; i < length; i++)
			s->out[i] = from[i];
	} else {
		return false;
	}
	s->out += length;
	return true;
}

/*
 * Literals and a match in turns; the last literals have no match behind them. On a copy of the
 * stream, which the compiler can keep in registers.
 */
static bool decode_block(struct stream *stream)
{
	struct stream s = *stream;

	while (s.in < s.in_end) {
		uint8_t token = *s.in++;
		uint64_t literals = token >> 4, match = token & LENGTH_MORE, offset;

		if (!read_length(&s, &literals) || !copy_literals(&s, literals))
			return false;
		if (s.in == s.in_end) {
			*stream = s;
			return true;
		}
		if (s.in_end - s.in < 2)
			return false;
		offset = s.in[0] | (uint64_t)s.in[1] << 8;
		s.in += 2;
		if (!read_length(&s, &match) || !copy_match(&s, offset, match + MATCH_MIN))
			return false;
	}
	return false;
}

/* One block. *left is how much of the frame follows; no more than that is read. */
static bool next_block(struct stream *s, uint32_t head, uint64_t *left)
{
	uint32_t length = head & ~BLOCK_PLAIN;

	if (length > *left)
		return false;
	*left -= length;
	s->in_end = s->in + length;
	return head & BLOCK_PLAIN ? copy_literals(s, length) : decode_block(s);
}

enum status lz4_decode(const void *frame, uint64_t size, void *out, uint64_t content)
{
	struct stream s = { .start = out, .out = out, .out_end = (uint8_t *)out + content };
	uint64_t said, left = size - HEADER_SIZE;
	uint32_t head;

	if (lz4_content_size(frame, size, &said) != OK || said != content)
		return ERR_INVALID;
	s.in = (const uint8_t *)frame + HEADER_SIZE;
	/* A block of length 0 is the end; behind it comes the checksum. */
	while (left >= 4) {
		head = load32(s.in);
		s.in += 4;
		left -= 4;
		if (!head)
			return left == 4 && s.out == s.out_end &&
					       load32(s.in) == checksum(out, content)
				       ? OK
				       : ERR_INVALID;
		if (!next_block(&s, head, &left))
			return ERR_INVALID;
	}
	return ERR_INVALID;
}
