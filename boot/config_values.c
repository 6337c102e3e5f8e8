/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/config_values.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Digits of `base` from *s on; false if there is none or the number exceeds 64 bits. */
static bool digits(const char **s, uint64_t base, uint64_t *out)
{
	const char *p = *s;
	uint64_t v = 0;

	for (; (uint64_t)digit(*p) < base; p++) {
		uint64_t d = (uint64_t)digit(*p);

		if (v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	if (p == *s)
		return false;
	*s = p;
	*out = v;
	return true;
}

const char *value_number(const char *s, uint64_t *out)
{
	uint64_t base = 10;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		s += 2;
		base = 16;
	}
	if (!digits(&s, base, out) || *s)
		return "not a number; expected digits, or 0x and hexadecimal digits";
	return NULL;
}

const char *value_size(const char *s, uint64_t *out)
{
	static const char wrong[] = "not a size; expected a number and K, M, G or T, such as 512M";
	static const char suffixes[] = "KMGT";
	const char *found;
	unsigned int shift;
	uint64_t v;

	if (!digits(&s, 10, &v))
		return wrong;
	if (!*s)
		return "a size without a unit; expected K, M, G or T after the number";
	found = strchr(suffixes, *s >= 'a' ? *s - 'a' + 'A' : *s);
	if (!found || s[1])
		return wrong;
	shift = 10 * (unsigned int)(found - suffixes + 1);
	if (v > UINT64_MAX >> shift)
		return "a size beyond 64 bits";
	*out = v << shift;
	return NULL;
}

const char *value_bool(const char *s, bool *out)
{
	*out = !strcmp(s, "yes");
	return *out || !strcmp(s, "no") ? NULL : "expected yes or no";
}

const char *value_key(const char *s, uint8_t *out)
{
	static const char wrong[] =
		"not a key; expected ctrl- and a letter or one of [ \\ ] ^ _, or a code from 1 to 127";
	const char *p = NULL;
	uint64_t code;
	char c;

	if (!strncmp(s, "ctrl-", 5) || !strncmp(s, "Ctrl-", 5))
		p = s + 5;
	else if (s[0] == '^')
		p = s + 1;
	if (!p) {
		if (value_number(s, &code) || code < 1 || code > 127)
			return wrong;
		*out = (uint8_t)code;
		return NULL;
	}
	c = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
	if (c < 'A' || c > '_' || p[1])
		return wrong;
	*out = (uint8_t)(c - '@');
	return NULL;
}

/* Append one core; a reason if it cannot be. */
static const char *add_core(uint64_t core, uint16_t *cores, uint32_t max, uint32_t *count)
{
	uint32_t i;

	if (core >= max)
		return "a core number beyond what Lamina supports";
	for (i = 0; i < *count; i++) {
		if (cores[i] == core)
			return "the same core twice";
	}
	cores[(*count)++] = (uint16_t)core;
	return NULL;
}

const char *value_cores(const char *s, uint16_t *cores, uint32_t max, uint32_t *count)
{
	static const char wrong[] = "not a list of cores; expected a form like 1 or 1,3 or 2-5";
	const char *why;
	uint64_t first, last;

	*count = 0;
	for (;; s++) {
		s += strspn(s, " \t");
		if (!digits(&s, 10, &first))
			return wrong;
		last = first;
		if (*s == '-') {
			s++;
			if (!digits(&s, 10, &last) || last < first)
				return wrong;
		}
		for (; first <= last; first++) {
			why = add_core(first, cores, max, count);
			if (why)
				return why;
		}
		s += strspn(s, " \t");
		if (!*s)
			return NULL;
		if (*s != ',')
			return wrong;
	}
}
