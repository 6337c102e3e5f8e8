/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_CONFIG_VALUES_H
#define LAMINA_BOOT_CONFIG_VALUES_H

#include "config.h"

/*
 * The forms that a value in lamina.conf can have. Each returns NULL and writes its result, or
 * returns why the string is not of that form (a sentence part that fits after "'VALUE': ").
 */

/* A number in decimal or, with 0x, in hexadecimal. */
const char *value_number(const char *s, uint64_t *out);

/* A number with the suffix K, M, G or T, in bytes. */
const char *value_size(const char *s, uint64_t *out);

/* `yes` or `no`. */
const char *value_bool(const char *s, bool *out);

/* A monitor key: `ctrl-]`, `^]` or a character code from 1 to 127. */
const char *value_key(const char *s, uint8_t *out);

/*
 * Core numbers and ranges, separated by commas: `0`, `1,3`, `2-5,7`. At most `max` numbers, each
 * below `max` and each once; in the order in which they are written.
 */
const char *value_cores(const char *s, uint16_t *cores, uint32_t max, uint32_t *count);

/*
 * Devices, separated by commas: an address `00:1f.2` or `0001:00:1f.2`, vendor and device
 * `8086:10d3`, or `class:0108` or `class:010802`; each perhaps with `@5` behind it, the device number
 * that the guest sees. All numbers are hexadecimal. At most `max`; no address and no number twice.
 */
const char *value_devices(const char *s, struct config_device *devices, uint32_t max,
			  uint32_t *count);

#endif
