/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_LZ4_H
#define LAMINA_BOOT_LZ4_H

#include "types.h"

/*
 * What the lz4 program makes of a file (LZ4 Frame Format 1.6): a frame that tells the size of its
 * content and has its checksum, without a dictionary and checksums of blocks. Pure.
 */

/* The size in bytes of what is in the frame. ERR_INVALID: not such a frame. */
must_check enum status lz4_content_size(const void *frame, uint64_t size, uint64_t *content);

/*
 * Unpack it to `out`, which has `content` bytes, as lz4_content_size() said. ERR_INVALID: damaged, in
 * whatever way; then what is in `out` means nothing.
 */
must_check enum status lz4_decode(const void *frame, uint64_t size, void *out, uint64_t content);

#endif
