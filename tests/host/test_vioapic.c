// SPDX-License-Identifier: BSD-2-Clause
// sources: core/vioapic.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/vioapic.h"

static struct {
	unsigned count;
	uint8_t dest, vector;
	bool logical;
	enum apic_delivery mode;
} got;

static void deliver(void *ctx, uint8_t dest, bool logical, enum apic_delivery mode, uint8_t vector)
{
	assert_ptr_equal(ctx, &got);
	got.count++;
	got.dest = dest;
	got.logical = logical;
	got.mode = mode;
	got.vector = vector;
}

static const struct vioapic_ops ops = { .deliver = deliver };
static struct vioapic io;

static int setup(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	vioapic_init(&io, &ops, &got);
	return 0;
}

static void write_index(uint8_t index, uint32_t value)
{
	vioapic_write(&io, 0x00, index);
	vioapic_write(&io, 0x10, value);
}

static uint32_t read_index(uint8_t index)
{
	vioapic_write(&io, 0x00, index);
	return vioapic_read(&io, 0x10);
}

#define LEVEL  (1u << 15)
#define MASKED (1u << 16)

static void set_rte(unsigned pin, uint32_t low, uint8_t dest)
{
	write_index((uint8_t)(0x11 + 2 * pin), (uint32_t)dest << 24);
	write_index((uint8_t)(0x10 + 2 * pin), low);
}

static void pulse(unsigned pin)
{
	vioapic_set_line(&io, pin, true);
	vioapic_set_line(&io, pin, false);
}

static void test_registers(void **state)
{
	unsigned pin;

	(void)state;
	assert_int_equal(read_index(1), 0x00170020);
	write_index(0, 0xffffffff);
	assert_int_equal(read_index(0), 0x0f000000);
	assert_int_equal(read_index(2), 0x0f000000);
	write_index(1, 0);
	assert_int_equal(read_index(1), 0x00170020);
	for (pin = 0; pin < 24; pin++)
		assert_int_equal(read_index((uint8_t)(0x10 + 2 * pin)), MASKED);
	/* Delivery status and remote IRR are read-only, the middle is reserved. */
	set_rte(3, 0xffffffff, 0x42);
	assert_int_equal(read_index(0x16), 0x0001afff);
	assert_int_equal(read_index(0x17), 0x42000000);
	/* Beyond the last pin there is nothing. */
	write_index(0x40, 0xffffffff);
	assert_int_equal(read_index(0x40), 0);
	write_index(0xff, 0xffffffff);
	assert_int_equal(read_index(0xff), 0);
	assert_int_equal(vioapic_read(&io, 0x20), 0);
}

static void test_edge(void **state)
{
	(void)state;
	set_rte(4, 0x0831, 0x03);
	vioapic_set_line(&io, 4, true);
	assert_int_equal(got.count, 1);
	assert_int_equal(got.vector, 0x31);
	assert_int_equal(got.dest, 3);
	assert_true(got.logical);
	assert_int_equal(got.mode, APIC_DM_FIXED);
	vioapic_set_line(&io, 4, true);
	assert_int_equal(got.count, 1);
	vioapic_set_line(&io, 4, false);
	vioapic_set_line(&io, 4, true);
	assert_int_equal(got.count, 2);
	vioapic_set_line(&io, 24, true);
	vioapic_set_line(&io, 4000000000u, true);
	assert_int_equal(got.count, 2);
}

static void test_modes(void **state)
{
	(void)state;
	set_rte(5, 0x0400, 0x07);
	pulse(5);
	assert_int_equal(got.mode, APIC_DM_NMI);
	assert_false(got.logical);
	set_rte(5, 0x0100 | 0x55, 0xff);
	pulse(5);
	assert_int_equal(got.mode, APIC_DM_LOWEST);
	assert_int_equal(got.dest, 0xff);
}

/* An edge on a masked pin waits while the line is up. */
static void test_masked_edge(void **state)
{
	(void)state;
	set_rte(4, MASKED | 0x31, 0);
	vioapic_set_line(&io, 4, true);
	assert_int_equal(got.count, 0);
	set_rte(4, 0x31, 0);
	assert_int_equal(got.count, 1);
	set_rte(4, MASKED | 0x31, 0);
	set_rte(4, 0x31, 0);
	assert_int_equal(got.count, 1);
	set_rte(4, MASKED | 0x31, 0);
	vioapic_set_line(&io, 4, false);
	pulse(4);
	set_rte(4, 0x31, 0);
	assert_int_equal(got.count, 1);
}

static void test_level(void **state)
{
	(void)state;
	set_rte(9, LEVEL | 0x40, 0);
	vioapic_set_line(&io, 9, true);
	assert_int_equal(got.count, 1);
	assert_int_equal(read_index(0x22) & BIT(14), BIT(14));
	/* Unmasking again while it is in service delivers nothing. */
	set_rte(9, LEVEL | MASKED | 0x40, 0);
	set_rte(9, LEVEL | 0x40, 0);
	assert_int_equal(got.count, 1);
	/* EOI with the line still up: again. Another vector's EOI: nothing. */
	vioapic_write(&io, 0x40, 0x41);
	assert_int_equal(got.count, 1);
	vioapic_write(&io, 0x40, 0x40);
	assert_int_equal(got.count, 2);
	vioapic_set_line(&io, 9, false);
	vioapic_write(&io, 0x40, 0x40);
	assert_int_equal(got.count, 2);
	assert_int_equal(read_index(0x22) & BIT(14), 0);
	/* Without any EOI a new edge still arrives. */
	vioapic_set_line(&io, 9, true);
	vioapic_set_line(&io, 9, false);
	vioapic_set_line(&io, 9, true);
	assert_int_equal(got.count, 4);
	/* Switching to edge and back clears remote IRR, the old way to say EOI. */
	set_rte(9, MASKED | 0x40, 0);
	set_rte(9, LEVEL | 0x40, 0);
	assert_int_equal(got.count, 5);
}

static void test_reset_keeps_lines(void **state)
{
	(void)state;
	set_rte(4, 0x31, 0);
	vioapic_set_line(&io, 4, true);
	vioapic_reset(&io);
	assert_int_equal(read_index(0x18), MASKED);
	set_rte(4, 0x31, 0);
	assert_int_equal(got.count, 1);
	vioapic_set_line(&io, 4, false);
	vioapic_set_line(&io, 4, true);
	assert_int_equal(got.count, 2);
}

static void test_access_sizes(void **state)
{
	(void)state;
	vioapic_io_ops.write(NULL, &io, 0, 1, 1);
	assert_int_equal((uint32_t)vioapic_io_ops.read(NULL, &io, 0x10, 4), 0x00170020);
	assert_int_equal((uint8_t)vioapic_io_ops.read(NULL, &io, 0x12, 1), 0x17);
}

static void test_random_accesses(void **state)
{
	unsigned n;

	(void)state;
	srand(3);
	for (n = 0; n < 300000; n++) {
		uint32_t offset = (uint32_t)rand() % 5 * 0x10;

		if (rand() & 1)
			(void)vioapic_io_ops.read(NULL, &io, offset + ((uint32_t)rand() & 7), 4);
		else
			vioapic_io_ops.write(NULL, &io, offset, 4, (uint64_t)rand() * 3);
		vioapic_set_line(&io, (unsigned)rand() % 26, rand() & 1);
	}
}

static struct {
	unsigned count, pin;
	bool level;
} asked;

static void resample(void *ctx, unsigned pin)
{
	assert_ptr_equal(ctx, &got);
	asked.count++;
	asked.pin = pin;
	vioapic_set_line(&io, pin, asked.level);
}

/* EOIs of the local APICs are needed until the guest uses the register here. */
static void test_needs_eoi(void **state)
{
	(void)state;
	set_rte(3, 0x51, 1);
	vioapic_set_line(&io, 3, true);
	assert_false(vioapic_needs_eoi(&io));
	set_rte(17, LEVEL | 0x52, 1);
	assert_false(vioapic_needs_eoi(&io));
	vioapic_set_line(&io, 17, true);
	assert_true(vioapic_needs_eoi(&io));
	vioapic_eoi(&io, 0x51);
	assert_true(vioapic_needs_eoi(&io));
	vioapic_set_line(&io, 17, false);
	vioapic_eoi(&io, 0x52);
	assert_false(vioapic_needs_eoi(&io));
	vioapic_set_line(&io, 17, true);
	vioapic_write(&io, 0x40, 0);
	assert_false(vioapic_needs_eoi(&io));
	vioapic_reset(&io);
	set_rte(17, LEVEL | 0x52, 1);
	assert_true(vioapic_needs_eoi(&io));
}

/* Whoever drives an input is asked for its level when that matters. */
static void test_resample(void **state)
{
	static const struct vioapic_ops asking = { deliver, resample };

	(void)state;
	vioapic_init(&io, &asking, &got);
	memset(&asked, 0, sizeof(asked));
	asked.level = true;
	set_rte(17, MASKED | LEVEL | 0x51, 1);
	assert_int_equal(asked.count, 0);
	set_rte(17, LEVEL | 0x51, 1);
	assert_true(asked.count > 0);
	assert_int_equal(asked.pin, 17);
	assert_int_equal(got.count, 1);
	/* Still there at the end of the interrupt: once more. */
	asked.count = 0;
	vioapic_write(&io, 0x40, 0x51);
	assert_int_equal(asked.count, 1);
	assert_int_equal(got.count, 2);
	/* Gone: not again. */
	asked.level = false;
	vioapic_write(&io, 0x40, 0x51);
	assert_int_equal(got.count, 2);
	assert_int_equal(io.lines, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_registers),    TEST(test_edge),
		TEST(test_resample),     TEST(test_needs_eoi),
		TEST(test_modes),        TEST(test_masked_edge),
		TEST(test_level),        TEST(test_reset_keeps_lines),
		TEST(test_access_sizes), TEST(test_random_accesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
