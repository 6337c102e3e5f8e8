/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/linux_image.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/linux_image.h"
#include "linux_boot.h"

#define SETUP   (5 * 512)
#define PAYLOAD 8192

static uint8_t file[SETUP + PAYLOAD];
static struct linux_setup_header header;
static struct linux_image image;

/* A small but flawless bzImage; tests break one thing each. */
static void good(void)
{
	memset(file, 0x90, sizeof(file));
	header = (struct linux_setup_header){
		.setup_sects = 4,
		.syssize = PAYLOAD / 16,
		.boot_flag = LINUX_BOOT_FLAG,
		.header = LINUX_HDR_MAGIC,
		.version = 0x020f,
		.loadflags = LINUX_LOADED_HIGH,
		.xloadflags = LINUX_XLF_KERNEL_64,
		.relocatable_kernel = 1,
		.kernel_alignment = SIZE_2M,
		.cmdline_size = 2047,
		.pref_address = 16 << 20,
		.init_size = 3 << 20,
	};
}

/* Check the first `size` bytes, in memory that ends there. */
static const char *check(uint64_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	const char *problem;

	assert_non_null(copy);
	memcpy(file + LINUX_HDR_OFFSET, &header, sizeof(header));
	memcpy(copy, file, size);
	problem = linux_image_check(copy, size, &image);
	free(copy);
	return problem;
}

#define assert_problem(size, part)                       \
	do {                                             \
		const char *problem_ = check(size);      \
		assert_non_null(problem_);               \
		assert_non_null(strstr(problem_, part)); \
	} while (0)

static void test_good(void **state)
{
	(void)state;
	good();
	assert_null(check(sizeof(file)));
	assert_int_equal(image.version, 0x020f);
	assert_true(image.relocatable);
	assert_int_equal(image.setup_size, SETUP);
	assert_int_equal(image.pref_address, 16 << 20);
	assert_int_equal(image.run_size, 3 << 20);
	assert_int_equal(image.cmdline_size, 2047);
	header.setup_sects = 0; /* means 4 */
	assert_null(check(sizeof(file)));
	assert_int_equal(image.setup_size, SETUP);
}

static void test_every_truncation(void **state)
{
	uint64_t size;

	(void)state;
	good();
	assert_problem(0, "empty");
	for (size = 0; size < sizeof(file); size++)
		assert_non_null(check(size));
	assert_problem(sizeof(file) - 1, "truncated");
	assert_problem(SETUP, "truncated");
	assert_problem(0x200, "too short");
	header.syssize = 0xffffffff;
	assert_problem(sizeof(file), "truncated");
	header.syssize = 0;
	assert_problem(sizeof(file), "without contents");
}

static void test_wrong_headers(void **state)
{
	(void)state;
	good();
	header.version = 0x020b;
	assert_problem(sizeof(file), "older than Linux 3.8");
	good();
	header.loadflags = 0;
	assert_problem(sizeof(file), "zImage");
	good();
	header.xloadflags = 0xfffe;
	assert_problem(sizeof(file), "32-bit");
	good();
	header.pref_address = 0;
	assert_problem(sizeof(file), "no usable load address");
	good();
	header.pref_address = 1ull << 63;
	assert_problem(sizeof(file), "no usable load address");
	good();
	header.init_size = 0;
	assert_problem(sizeof(file), "no usable load address");
	good();
	header.kernel_alignment = 3;
	assert_problem(sizeof(file), "no usable load address");
}

static void test_other_files(void **state)
{
	(void)state;
	good();
	header.header = 0;
	assert_problem(sizeof(file), "no kernel");
	memcpy(file,
	       "\x7f"
	       "ELF",
	       4);
	assert_problem(sizeof(file), "ELF");
	memcpy(file, "MZ\0\0", 4);
	assert_problem(sizeof(file), "Windows or UEFI");
	memcpy(file, "\x1f\x8b\0\0", 4);
	assert_problem(sizeof(file), "gzip");
	memcpy(file, "070701", 6);
	assert_problem(sizeof(file), "cpio");
	good();
	header.boot_flag = 0;
	assert_problem(sizeof(file), "no kernel");
}

static void test_memory(void **state)
{
	(void)state;
	good();
	assert_null(check(sizeof(file)));
	/* Relocatable: it can go to 2 MiB, if 16 MiB is too high. */
	assert_int_equal(linux_image_memory(&image, 0), (2 + 3 + 1) << 20);
	assert_int_equal(linux_image_memory(&image, 1), ((2 + 3 + 1) << 20) + 4096);
	header.relocatable_kernel = 0;
	assert_null(check(sizeof(file)));
	assert_int_equal(linux_image_memory(&image, 0), (16 + 3 + 1) << 20);
	header.init_size = 1; /* less than the file: the file counts */
	assert_null(check(sizeof(file)));
	assert_int_equal(linux_image_memory(&image, 0), ((16 + 1) << 20) + PAYLOAD);
}

static void test_initrd(void **state)
{
	static uint8_t ext2[2048];

	(void)state;
	assert_null(initrd_check("070701", 6));
	assert_null(initrd_check("\x1f\x8b\x08", 3));
	assert_null(initrd_check("\x28\xb5\x2f\xfd", 4));
	assert_non_null(strstr(initrd_check("", 0), "empty"));
	assert_non_null(initrd_check("\x1f", 1));
	assert_non_null(initrd_check("hello, world", 12));
	memcpy(ext2 + 1080, "\x53\xef", 2);
	assert_null(initrd_check(ext2, sizeof(ext2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),          cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_wrong_headers), cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_memory),        cmocka_unit_test(test_initrd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
