/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/lz4.c
/*
 * Any bytes as a frame: no memory error. Of what passes the header's checksum there is little, so the
 * input is the blocks, behind a header that fits.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/lz4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER 15

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* 256 bytes of content */
	static const uint8_t header[HEADER] = { 0x04, 0x22, 0x4d, 0x18, 0x6c, 0x40, 0x00, 0x01,
						0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xdb };
	uint8_t *frame = malloc(HEADER + size), *out;
	uint64_t content;

	memcpy(frame, header, HEADER);
	memcpy(frame + HEADER, data, size);
	if (lz4_content_size(frame, HEADER + size, &content) != OK || content != 256)
		abort();
	out = malloc(content);
	if (lz4_decode(frame, HEADER + size, out, content) == OK && size < 8)
		abort();
	free(out);
	free(frame);
	return 0;
}
