/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/config.c boot/config_check.c boot/config_devices.c boot/config_values.c boot/report.c
/*
 * Any bytes as a configuration: no memory error, and what comes out as valid keeps the promises
 * that the rest of Lamina relies on. The first bytes choose the machine it is checked against.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/config_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config config;
static struct config_lines lines;
static uint32_t emitted;

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void emit(void *ctx, const char *text)
{
	const char *p;

	(void)ctx;
	emitted++;
	require(strlen(text) < REPORT_TEXT);
	for (p = text; *p; p++)
		require(*p >= ' ' && *p < 0x7f);
}

static void check_devices(const struct guest_config *g)
{
	uint32_t k, slots = 0;

	require(g->device_count <= CONFIG_MAX_DEVICES && g->dma_fault <= DMA_FAULT_STOP);
	for (k = 0; k < g->device_count; k++) {
		const struct config_device *d = &g->devices[k];

		require(d->device < 32 && d->function < 8 && d->slot < 32);
		require(d->by != DEVICE_BY_CLASS || (d->class & ~d->class_mask) == 0);
		require(!d->slot || !(slots >> d->slot & 1));
		slots |= 1u << d->slot;
	}
}

static void check_guest(const struct guest_config *g, const struct config_machine *m,
			uint64_t *owned)
{
	uint32_t k;

	require(memchr(g->name, 0, sizeof(g->name)) && g->name[0]);
	require(memchr(g->kernel, 0, sizeof(g->kernel)) && g->kernel[0]);
	require(memchr(g->initrd, 0, sizeof(g->initrd)) != NULL);
	require(memchr(g->cmdline, 0, sizeof(g->cmdline)) != NULL);
	require(g->memory && IS_ALIGNED(g->memory, SIZE_2M) && g->memory <= m->memory);
	require(g->core_count >= 1 && g->core_count <= m->cores);
	require(g->restart <= RESTART_ALWAYS);
	check_devices(g);
	for (k = 0; k < g->core_count; k++) {
		require(g->cores[k] < m->cores && !(*owned >> g->cores[k] & 1));
		*owned |= BIT(g->cores[k]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report r = { .emit = emit, .file = "lamina.conf" };
	struct config_machine m = { CONFIG_MAX_CPUS, 1ull << 40 };
	uint64_t total = 0, owned = 0;
	uint32_t i, valid = 0;

	if (size >= 2) {
		m.cores = 1 + data[0] % CONFIG_MAX_CPUS;
		m.memory = (uint64_t)data[1] << 28;
		data += 2;
		size -= 2;
	}
	emitted = 0;
	memset(&config, 0xa5, sizeof(config));
	config_parse((const char *)data, size, &config, &lines, &r);
	config_check_machine(&config, &lines, &m, &r);
	require(config.guest_count <= CONFIG_MAX_GUESTS);
	require(config.escape && config.baud && 115200 % config.baud == 0);
	for (i = 0; i < config.guest_count; i++) {
		if (!config.guests[i].valid)
			continue;
		check_guest(&config.guests[i], &m, &owned);
		total += config.guests[i].memory;
		valid++;
	}
	require(total <= m.memory);
	require(valid == config.guest_count || r.errors);
	if (config_runnable(&config, &r))
		require(valid && !(config.strict && r.errors));
	report_finish(&r);
	require(emitted >= min_u64(r.errors, REPORT_MAX));
	return 0;
}
