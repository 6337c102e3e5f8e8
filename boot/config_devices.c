/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices that guests are given: `pci` in their sections. */
#include <string.h>

#include "boot/config_parser.h"
#include "boot/config_values.h"

#define DEVICE_MAX   0x1fu
#define FUNCTION_MAX 7u

static const char not_a_list[] =
	"not a list of devices; expected a form like 00:03.0 or 8086:10d3 or class:0108, separated by commas";

/* Exactly 1 to 6 hexadecimal digits; returns how many, 0 if there are none or more. */
static uint32_t hex(const char **s, uint32_t *out)
{
	uint32_t n;

	*out = 0;
	for (n = 0;; n++) {
		char c = (*s)[n];
		uint32_t d;

		if (c >= '0' && c <= '9')
			d = (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			d = (uint32_t)((c | 0x20) - 'a' + 10);
		else
			break;
		if (n == 6)
			return 0;
		*out = *out << 4 | d;
	}
	*s += n;
	return n;
}

/* [SSSS:]BB:DD.F, of which the first number and the colon behind it have been read. */
static const char *address(const char **s, uint32_t first, uint32_t length,
			   struct config_device *out)
{
	uint32_t n[3], digits, count = 0;

	n[count++] = first;
	digits = hex(s, &n[count++]);
	if (**s == ':') {
		if (length != 4 || digits > 2)
			return not_a_list;
		++*s;
		out->segment = (uint16_t)first;
		n[0] = n[1];
		digits = hex(s, &n[1]);
	} else if (length > 2) {
		return not_a_list;
	}
	if (!digits || digits > 2 || **s != '.')
		return not_a_list;
	++*s;
	digits = hex(s, &n[2]);
	if (digits != 1)
		return not_a_list;
	if (n[1] > DEVICE_MAX || n[2] > FUNCTION_MAX)
		return "a device or function that no bus has; the last one is 1f.7";
	out->by = DEVICE_BY_ADDRESS;
	out->bus = (uint8_t)n[0];
	out->device = (uint8_t)n[1];
	out->function = (uint8_t)n[2];
	return NULL;
}

static const char *class_code(const char **s, struct config_device *out)
{
	uint32_t n, digits = hex(s, &n);

	if (digits != 4 && digits != 6)
		return "a class without its 4 or 6 digits; expected a form like class:0108 or class:010802";
	out->by = DEVICE_BY_CLASS;
	out->class = digits == 4 ? n << 8 : n;
	out->class_mask = digits == 4 ? 0xffff00 : 0xffffff;
	return NULL;
}

static const char *one_device(const char **s, struct config_device *out)
{
	uint32_t n, digits;
	const char *ids;

	memset(out, 0, sizeof(*out));
	if (!strncmp(*s, "class:", 6)) {
		*s += 6;
		return class_code(s, out);
	}
	digits = hex(s, &n);
	if (!digits || digits > 4 || **s != ':')
		return not_a_list;
	ids = ++*s;
	/* Vendor and device are told from bus and device by what is behind them. */
	if (digits == 4) {
		uint32_t id;

		if (hex(&ids, &id) == 4 && *ids != '.' && *ids != ':') {
			out->by = DEVICE_BY_ID;
			out->vendor_id = (uint16_t)n;
			out->device_id = (uint16_t)id;
			*s = ids;
			return NULL;
		}
	}
	return address(s, n, digits, out);
}

/* @N, if there is one. */
static const char *slot(const char **s, struct config_device *out)
{
	uint32_t n, digits;

	if (**s != '@')
		return NULL;
	++*s;
	digits = hex(s, &n);
	if (!digits || n < 1 || n > DEVICE_MAX)
		return "a device number behind @ that is none; expected 1 to 1f, in hexadecimal digits";
	out->slot = (uint8_t)n;
	return NULL;
}

static bool same_address(const struct config_device *a, const struct config_device *b)
{
	return a->by == DEVICE_BY_ADDRESS && b->by == DEVICE_BY_ADDRESS &&
	       a->segment == b->segment && a->bus == b->bus && a->device == b->device &&
	       a->function == b->function;
}

static const char *conflict(const struct config_device *devices, uint32_t count)
{
	const struct config_device *last = &devices[count - 1];
	uint32_t i;

	for (i = 0; i < count - 1; i++) {
		if (same_address(&devices[i], last))
			return "the same device twice";
		if (last->slot && devices[i].slot == last->slot)
			return "the same number behind @ twice";
	}
	return NULL;
}

const char *value_devices(const char *s, struct config_device *devices, uint32_t max,
			  uint32_t *count)
{
	const char *why;

	*count = 0;
	for (;; s++) {
		struct config_device d;

		s += strspn(s, " \t");
		why = one_device(&s, &d);
		if (!why)
			why = slot(&s, &d);
		if (why)
			return why;
		if (*count == max)
			return "more devices than a guest can have, which are 16";
		devices[(*count)++] = d;
		why = conflict(devices, *count);
		if (why)
			return why;
		s += strspn(s, " \t");
		if (!*s)
			return NULL;
		if (*s != ',')
			return not_a_list;
	}
}

_Static_assert(CONFIG_MAX_DEVICES == 16, "a message says so");

static void report_shared(struct config *c, const struct config_lines *lines, struct report *r,
			  uint32_t guest, uint32_t other, const struct config_device *d)
{
	report_error(
		r, config_line(c, lines, guest, GUEST_PCI),
		"device %04x:%02x:%02x.%x of guest '%s' is given to guest '%s' already (line %u)",
		d->segment, d->bus, d->device, d->function, c->guests[guest].name,
		c->guests[other].name, (unsigned int)config_line(c, lines, other, GUEST_PCI));
	c->guests[guest].valid = false;
}

static bool has_device(const struct guest_config *g, const struct config_device *d)
{
	uint32_t i;

	for (i = 0; i < g->device_count; i++) {
		if (same_address(&g->devices[i], d))
			return true;
	}
	return false;
}

void config_check_devices(struct config *c, const struct config_lines *lines, struct report *r)
{
	uint32_t i, k, other;

	for (i = 0; i < c->guest_count; i++) {
		struct guest_config *g = &c->guests[i];

		for (other = 0; other < i && g->valid; other++) {
			if (!c->guests[other].valid)
				continue;
			for (k = 0; k < g->device_count; k++) {
				if (has_device(&c->guests[other], &g->devices[k]))
					report_shared(c, lines, r, i, other, &g->devices[k]);
			}
		}
	}
}
