/* SPDX-License-Identifier: BSD-2-Clause */
/* The Linux boot protocol's arithmetic: where kernel and initrd go, and the boot_params page. */
// sources: core/linux.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/guest_acpi.h"
#include "core/guest_load.h"
#include "core/vpci_layout.h"
#include "linux_boot.h"

#define MIB (1ull << 20)

/* The numbers of a distribution's kernel. */
static struct linux_setup_header header(void)
{
	return (struct linux_setup_header){
		.setup_sects = 31,
		.header = LINUX_HDR_MAGIC,
		.version = 0x020f,
		.jump = 0x6aeb,
		.xloadflags = LINUX_XLF_KERNEL_64,
		.kernel_alignment = 2 * MIB,
		.relocatable_kernel = 1,
		.pref_address = 16 * MIB,
		.init_size = 48 * MIB,
		.initrd_addr_max = 0x7fffffff,
		.cmdline_size = 2047,
	};
}

static struct linux_plan plan(uint64_t memory, uint64_t initrd)
{
	return (struct linux_plan){ .kernel_size = 8 * MIB,
				    .initrd_size = initrd,
				    .memory = memory };
}

static void kernel_goes_to_its_preferred_address(void **state)
{
	struct linux_setup_header h = header();
	struct linux_plan p = plan(512 * MIB, 0);

	(void)state;
	assert_int_equal(linux_plan(&h, &p), OK);
	assert_int_equal(p.load, 16 * MIB);
	assert_int_equal(p.setup_size, 32 * 512);
}

static void relocatable_kernel_moves_down_in_small_memory(void **state)
{
	struct linux_setup_header h = header();
	struct linux_plan p = plan(52 * MIB, 0);

	(void)state;
	assert_int_equal(linux_plan(&h, &p), OK);
	assert_int_equal(p.load, 2 * MIB);
	h.relocatable_kernel = 0;
	assert_int_equal(linux_plan(&h, &p), ERR_RANGE);
}

static void too_small_memory_is_refused(void **state)
{
	struct linux_setup_header h = header();
	struct linux_plan p = plan(48 * MIB, 0);

	(void)state;
	assert_int_equal(linux_plan(&h, &p), ERR_RANGE);
	p = plan(66 * MIB, 4 * MIB);
	assert_int_equal(linux_plan(&h, &p), ERR_RANGE);
	p = plan(68 * MIB, 4 * MIB);
	assert_int_equal(linux_plan(&h, &p), OK);
}

static void initrd_lies_high_but_within_reach(void **state)
{
	struct linux_setup_header h = header();
	struct linux_plan p = plan(512 * MIB, MIB + 1);

	(void)state;
	assert_int_equal(linux_plan(&h, &p), OK);
	assert_int_equal(p.initrd, 510 * MIB + MIB - PAGE_SIZE);
	p = plan(8192 * MIB, MIB);
	assert_int_equal(linux_plan(&h, &p), OK);
	assert_int_equal(p.initrd, 2048 * MIB - MIB);
	h.initrd_addr_max = 0xffffffff;
	assert_int_equal(linux_plan(&h, &p), OK);
	assert_int_equal(p.initrd, GUEST_LOW_RAM - MIB);
}

static void other_images_are_refused(void **state)
{
	struct linux_setup_header h = header();
	struct linux_plan p = plan(512 * MIB, 0);

	(void)state;
	h.header = 0;
	assert_int_equal(linux_plan(&h, &p), ERR_INVALID);
	h = header();
	h.version = 0x020b;
	assert_int_equal(linux_plan(&h, &p), ERR_INVALID);
	h = header();
	h.xloadflags = 0;
	assert_int_equal(linux_plan(&h, &p), ERR_INVALID);
	h = header();
	h.kernel_alignment = 3 * MIB;
	assert_int_equal(linux_plan(&h, &p), ERR_INVALID);
	h = header();
	p.kernel_size = 32 * 512;
	assert_int_equal(linux_plan(&h, &p), ERR_INVALID);
}

static void hostile_numbers_do_not_wrap(void **state)
{
	struct linux_setup_header h = header();
	struct linux_plan p = plan(512 * MIB, 0);

	(void)state;
	h.pref_address = ~0ull;
	h.init_size = 0xffffffff;
	assert_int_equal(linux_plan(&h, &p), ERR_RANGE);
	h = header();
	h.initrd_addr_max = 0;
	p = plan(512 * MIB, 2);
	assert_int_equal(linux_plan(&h, &p), ERR_RANGE);
}

static void boot_params_say_what_was_loaded(void **state)
{
	struct linux_setup_header h = header(), out;
	struct linux_plan p = plan(4096 * MIB, MIB);
	uint8_t page[PAGE_SIZE];
	uint64_t rsdp, base, size;

	(void)state;
	assert_int_equal(linux_plan(&h, &p), OK);
	linux_boot_params(page, &h, sizeof(h), &p);
	memcpy(&out, page + LINUX_HDR_OFFSET, sizeof(out));
	assert_int_equal(out.header, LINUX_HDR_MAGIC);
	assert_int_equal(out.type_of_loader, 0xff);
	assert_true(out.loadflags & LINUX_LOADED_HIGH);
	assert_int_equal(out.cmd_line_ptr, GUEST_CMDLINE);
	assert_int_equal(out.ramdisk_image, p.initrd);
	assert_int_equal(out.ramdisk_size, MIB);
	memcpy(&rsdp, page + 0x70, 8);
	assert_int_equal(rsdp, GUEST_ACPI_BASE);

	/* E820: low memory, ACPI, up to the hole, the rest from 4 GiB on; sorted and disjoint. */
	assert_int_equal(page[0x1e8], 4);
	uint64_t end = 0, ram = 0;
	for (int i = 0; i < 4; i++) {
		const uint8_t *e = page + 0x2d0 + 20 * i;

		memcpy(&base, e, 8);
		memcpy(&size, e + 8, 8);
		assert_true(base >= end);
		end = base + size;
		if (e[16] == 1)
			ram += size;
		else
			assert_int_equal(base, GUEST_ACPI_BASE);
	}
	assert_int_equal(end, 5120 * MIB);
	assert_int_equal(ram, 4096 * MIB - MIB + GUEST_LOW_TOP);
}

static void a_short_header_leaves_the_rest_zero(void **state)
{
	struct linux_setup_header h = header(), out;
	struct linux_plan p = plan(512 * MIB, 0);
	uint8_t page[PAGE_SIZE];

	(void)state;
	assert_int_equal(linux_plan(&h, &p), OK);
	linux_boot_params(page, &h, offsetof(struct linux_setup_header, pref_address), &p);
	memcpy(&out, page + LINUX_HDR_OFFSET, sizeof(out));
	assert_int_equal(out.pref_address, 0);
	assert_int_equal(page[0x1e8], 3);
}

static void the_registers_of_a_pci_bus_are_no_memory(void **state)
{
	struct linux_setup_header h = header();
	struct linux_plan p = plan(4096 * MIB, 0);
	uint8_t page[PAGE_SIZE];
	uint64_t entry[2];

	(void)state;
	p.pci = true;
	assert_int_equal(linux_plan(&h, &p), OK);
	linux_boot_params(page, &h, sizeof(h), &p);
	assert_int_equal(page[0x1e8], 5);
	memcpy(entry, page + 0x2d0 + 3 * 20, sizeof(entry));
	assert_int_equal(entry[0], VPCI_ECAM_GPA);
	assert_int_equal(entry[1], VPCI_ECAM_SIZE);
	assert_int_equal(page[0x2d0 + 3 * 20 + 16], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_goes_to_its_preferred_address),
		cmocka_unit_test(relocatable_kernel_moves_down_in_small_memory),
		cmocka_unit_test(too_small_memory_is_refused),
		cmocka_unit_test(initrd_lies_high_but_within_reach),
		cmocka_unit_test(other_images_are_refused),
		cmocka_unit_test(hostile_numbers_do_not_wrap),
		cmocka_unit_test(boot_params_say_what_was_loaded),
		cmocka_unit_test(a_short_header_leaves_the_rest_zero),
		cmocka_unit_test(the_registers_of_a_pci_bus_are_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
