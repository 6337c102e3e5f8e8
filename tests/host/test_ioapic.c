// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/ioapic.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/ioapic.h"

/* Registers of two IOAPICs; the mapped address says which one is meant. */
static struct model {
	uint32_t version;
	uint32_t reg[0x200];
	uint32_t masked_writes; /* of lines that were open */
} model[IOAPIC_MAX + 1];

static uint32_t windows[IOAPIC_MAX + 1][8];

static struct model *model_of(const struct ioapic *io)
{
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		if ((uint32_t *)(uintptr_t)io->regs == windows[i])
			return &model[i];
	}
	fail();
	return NULL;
}

static uint32_t model_read(const struct ioapic *io, uint32_t reg)
{
	struct model *m = model_of(io);

	assert_true(reg < ARRAY_SIZE(m->reg));
	return reg == 1 ? m->version : m->reg[reg];
}

static void model_write(const struct ioapic *io, uint32_t reg, uint32_t v)
{
	struct model *m = model_of(io);

	assert_true(reg >= 0x10 && reg < ARRAY_SIZE(m->reg));
	if (!(reg & 1) && !(m->reg[reg] & 0x10000) && v & 0x10000)
		m->masked_writes++;
	m->reg[reg] = v;
}

static struct ioapics s;

static int setup(void **state)
{
	(void)state;
	memset(model, 0, sizeof(model));
	memset(&s, 0, sizeof(s));
	s.read = model_read;
	s.write = model_write;
	model[0].version = 0x00170011;
	model[1].version = 0x001f0020;
	return 0;
}

static void test_add_masks_everything(void **state)
{
	(void)state;
	memset(model[0].reg, 0x5a, sizeof(model[0].reg));
	assert_int_equal(ioapic_add(&s, windows[0], 0, 0), OK);
	assert_int_equal(s.unit[0].lines, 24);
	for (uint32_t i = 0; i < 24; i++) {
		assert_int_equal(model[0].reg[0x10 + 2 * i], 0x10000);
		assert_int_equal(model[0].reg[0x11 + 2 * i], 0);
	}
	assert_int_equal(model[0].reg[0x40], 0x5a5a5a5a);
}

static void test_add_refuses(void **state)
{
	(void)state;
	model[2].version = ~0u;
	assert_int_equal(ioapic_add(&s, windows[2], 0, 0), ERR_NOT_FOUND);
	model[2].version = 0;
	assert_int_equal(ioapic_add(&s, windows[2], 0, 0), ERR_NOT_FOUND);
	assert_int_equal(ioapic_add(&s, windows[0], 0, 0), OK);
	assert_int_equal(ioapic_add(&s, windows[1], 0, 23), ERR_OVERLAP);
	assert_int_equal(ioapic_add(&s, windows[1], 0, 0xfffffff0), ERR_OVERLAP);
	assert_int_equal(ioapic_add(&s, windows[1], 0, 24), OK);
	for (uint32_t i = 2; i < IOAPIC_MAX; i++) {
		model[i].version = 0x00000011;
		assert_int_equal(ioapic_add(&s, windows[i], 0, 100 + i), OK);
	}
	model[IOAPIC_MAX].version = 0x11;
	assert_int_equal(ioapic_add(&s, windows[IOAPIC_MAX], 0, 1000), ERR_NOMEM);
}

static void test_route(void **state)
{
	(void)state;
	assert_int_equal(ioapic_add(&s, windows[0], 0, 0), OK);
	assert_int_equal(ioapic_add(&s, windows[1], 0, 24), OK);
	assert_int_equal(ioapic_route_nmi(&s, 4, false, 3), OK);
	assert_int_equal(model[0].reg[0x18], 0x400);
	assert_int_equal(model[0].reg[0x19], 3u << 24);
	assert_int_equal(ioapic_route_nmi(&s, 24 + 31, true, 254), OK);
	assert_int_equal(model[1].reg[0x10 + 62], 0x2400);
	assert_int_equal(model[1].reg[0x11 + 62], 254u << 24);
	assert_int_equal(ioapic_route_nmi(&s, 56, false, 0), ERR_NOT_FOUND);
	assert_int_equal(ioapic_route_nmi(&s, 4, false, 255), ERR_RANGE);
	assert_int_equal(ioapic_route_nmi(&s, 4, false, 0x110), ERR_RANGE);
	ioapic_mask(&s, 4);
	assert_int_equal(model[0].reg[0x18], 0x10000);
	ioapic_mask(&s, 999);
}

static void test_retarget_never_masks(void **state)
{
	(void)state;
	assert_int_equal(ioapic_add(&s, windows[0], 0, 0), OK);
	assert_int_equal(ioapic_route_nmi(&s, 4, true, 3), OK);
	model[0].masked_writes = 0;
	assert_int_equal(ioapic_retarget(&s, 4, 7), OK);
	assert_int_equal(model[0].masked_writes, 0);
	assert_int_equal(model[0].reg[0x18], 0x2400);
	assert_int_equal(model[0].reg[0x19], 7u << 24);
	assert_int_equal(ioapic_retarget(&s, 4, 300), ERR_RANGE);
	assert_int_equal(ioapic_retarget(&s, 24, 1), ERR_NOT_FOUND);
	assert_int_equal(model[0].reg[0x19], 7u << 24);
}

static void test_real_window(void **state)
{
	struct ioapics real = { 0 };
	uint32_t window[8] = { 0 };

	/* Memory that answers with what was last written: an impossible version never appears. */
	(void)state;
	window[4] = 0x00170011;
	assert_int_equal(ioapic_add(&real, window, 0, 0), OK);
	assert_int_equal(window[0], 0x10 + 2 * 23 + 1);
	assert_int_equal(window[4], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_add_masks_everything, setup),
		cmocka_unit_test_setup(test_add_refuses, setup),
		cmocka_unit_test_setup(test_route, setup),
		cmocka_unit_test_setup(test_retarget_never_masks, setup),
		cmocka_unit_test_setup(test_real_window, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
