/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/lz4.c
/* Unpacking what the lz4 program has packed: whole, cut off, with bits turned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "boot/lz4.h"

#define PACK "lz4 -q -f -12 -B7 --content-size"

struct bytes {
	uint8_t *data; /* malloc'ed to the byte, so that the sanitizer sees what goes beyond */
	uint64_t size;
};

static struct bytes read_all(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct bytes b = { NULL, 0 };
	uint8_t chunk[65536];
	size_t n;

	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f))) {
		b.data = realloc(b.data, b.size + n);
		assert_non_null(b.data);
		memcpy(b.data + b.size, chunk, n);
		b.size += n;
	}
	fclose(f);
	return b;
}

/* What the program makes of the bytes. */
static struct bytes pack(const void *data, size_t size, const char *options)
{
	char plain[] = "/tmp/lamina-lz4-XXXXXX", frame[64], command[256];
	int fd = mkstemp(plain);
	struct bytes b;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	close(fd);
	snprintf(frame, sizeof(frame), "%s.lz4", plain);
	snprintf(command, sizeof(command), PACK " %s %s %s", options, plain, frame);
	assert_int_equal(system(command), 0);
	b = read_all(frame);
	unlink(plain);
	unlink(frame);
	return b;
}

static enum status unpack(const void *frame, uint64_t size, struct bytes *out)
{
	enum status s;

	*out = (struct bytes){ NULL, 0 };
	if (lz4_content_size(frame, size, &out->size) != OK || out->size > 1 << 24)
		return ERR_INVALID;
	out->data = malloc(out->size);
	s = lz4_decode(frame, size, out->data, out->size);
	if (s != OK) {
		free(out->data);
		out->data = NULL;
	}
	return s;
}

static void check(const void *data, size_t size, const char *options)
{
	struct bytes frame = pack(data, size, options), out;

	assert_int_equal(unpack(frame.data, frame.size, &out), OK);
	assert_int_equal(out.size, size);
	assert_memory_equal(out.data, data, size);
	free(out.data);
	free(frame.data);
}

static void test_programs(void **state)
{
	struct bytes self = read_all("/proc/self/exe");

	(void)state;
	check(self.data, self.size, "");
	check(self.data, self.size, "-B4");     /* several blocks */
	check(self.data, self.size, "-B4 -BD"); /* that refer to each other */
	free(self.data);
}

static void test_shapes(void **state)
{
	static uint8_t data[200000];
	unsigned seed = 1;

	(void)state;
	for (size_t i = 1; i < 40; i++)
		check("only a few bytes, in which there is nothing to find", i, "");
	check(data, sizeof(data), ""); /* one match that repeats itself */
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)("abcdefghijk"[i % 11] + (i % 1000 == 0));
	check(data, sizeof(data), "");
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(rand_r(&seed) >> 8);
	check(data, sizeof(data), ""); /* blocks that are not packed */
	check(data, 1000, "");
}

/* Refused, or harmless: two places to copy from may hold the same. */
static void check_damaged(const struct bytes *frame, const struct bytes *content)
{
	struct bytes out;

	if (unpack(frame->data, frame->size, &out) != OK)
		return;
	assert_int_equal(out.size, content->size);
	assert_memory_equal(out.data, content->data, content->size);
	free(out.data);
}

static void test_damaged(void **state)
{
	struct bytes self = read_all("/proc/self/exe"), frame, out;
	struct bytes content = { self.data + self.size / 2, 3000 };
	unsigned seed = 1;

	(void)state;
	frame = pack(content.data, content.size, "");
	for (uint64_t n = 0; n < frame.size; n++) {
		uint8_t *cut = malloc(n ? n : 1);

		memcpy(cut, frame.data, n);
		assert_int_equal(unpack(cut, n, &out), ERR_INVALID);
		free(cut);
	}
	for (uint64_t bit = 0; bit < frame.size * 8; bit++) {
		frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		check_damaged(&frame, &content);
		frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (unsigned i = 0; i < 20000; i++) {
		struct bytes bad = { malloc(frame.size), frame.size };

		memcpy(bad.data, frame.data, bad.size);
		for (unsigned n = 0; n < 4; n++)
			bad.data[15 + (unsigned)rand_r(&seed) % (bad.size - 19)] =
				(uint8_t)rand_r(&seed);
		check_damaged(&bad, &content);
		free(bad.data);
	}
	assert_int_equal(unpack(frame.data, frame.size, &out), OK);
	assert_int_equal(lz4_decode(frame.data, frame.size, out.data, out.size - 1), ERR_INVALID);
	free(out.data);
	free(frame.data);
	free(self.data);
}

/* What the loader does not expect: no checksum, no size, checksums of blocks, more behind the end. */
static void test_other_frames(void **state)
{
	static const char *const options[] = { "--no-frame-crc", "--no-content-size", "-BX", "-l" };
	struct bytes frame, out;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		frame = pack("some text, some text, some text", 31, options[i]);
		assert_int_equal(unpack(frame.data, frame.size, &out), ERR_INVALID);
		free(frame.data);
	}
	frame = pack("some text, some text, some text", 31, "");
	frame.data = realloc(frame.data, frame.size + 1);
	frame.data[frame.size] = 0;
	assert_int_equal(unpack(frame.data, frame.size + 1, &out), ERR_INVALID);
	free(frame.data);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_other_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
