// SPDX-License-Identifier: BSD-2-Clause
#include "core/log_ring.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "spinlock.h"
#include "x86/asm.h"
#include "x86/tsc.h"

#define RING_SIZE 65536u
#define RING_MASK (RING_SIZE - 1)
#define TEXT_MAX  256

struct record {
	uint64_t tsc;
	uint16_t length; /* bytes of text that follow */
	uint8_t level;
	uint8_t reserved[5];
};

/*
 * Positions count bytes since boot and never wrap; a record lies at position & RING_MASK. The ring
 * is apart from what is not zero at first, so that the image does not carry it.
 */
static char ring[RING_SIZE];
static struct {
	struct spinlock lock; /* protects all but `started` and `level` */
	struct spinlock show; /* held by the core that shows; only ever tried for */
	uint64_t tail, head;  /* oldest record, end of the newest */
	uint64_t shown;       /* next record for the console */
	uint64_t tsc_zero;
	enum log_level level;
	bool started;
} logs = { .lock = SPINLOCK_INIT, .show = SPINLOCK_INIT, .level = LOG_INFO };

static void ring_put(uint64_t at, const void *data, size_t length)
{
	const char *p = data;

	while (length--)
		ring[at++ & RING_MASK] = *p++; /* NOLINT: records are initialized */
}

static void ring_get(uint64_t at, void *data, size_t length)
{
	char *p = data;

	while (length--)
		*p++ = ring[at++ & RING_MASK];
}

static uint64_t record_end(uint64_t at)
{
	struct record r;

	ring_get(at, &r, sizeof(r));
	return at + sizeof(r) + r.length;
}

static void append(const struct record *r, const char *text)
{
	uint64_t end = logs.head + sizeof(*r) + r->length;

	while (end - logs.tail > RING_SIZE)
		logs.tail = record_end(logs.tail);
	ring_put(logs.head, r, sizeof(*r));
	ring_put(logs.head + sizeof(*r), text, r->length);
	logs.head = end;
}

/* The record at *cursor as a line; the cursor goes to the next one. */
static size_t format_record(uint64_t *cursor, char *buf, enum log_level *level)
{
	static const char *const prefix[] = { "error: ", "warning: ", "", "" };
	struct record r;
	uint64_t us;
	size_t used;
	int n;

	if (*cursor < logs.tail)
		*cursor = logs.tail;
	if (*cursor >= logs.head)
		return 0;
	ring_get(*cursor, &r, sizeof(r));
	us = r.tsc > logs.tsc_zero ? tsc_to_us(r.tsc - logs.tsc_zero) : 0;
	n = snprintf(buf, LOG_LINE_MAX, "[%5" PRIu64 ".%06u] %s", us / 1000000,
		     (unsigned int)(us % 1000000), prefix[r.level & 3]);
	used = n > 0 ? (size_t)n : 0;
	ring_get(*cursor + sizeof(r), buf + used, r.length);
	used += r.length;
	buf[used++] = '\n';
	buf[used] = '\0';
	*cursor += sizeof(r) + r.length;
	*level = r.level;
	return used;
}

_Static_assert(LOG_LINE_MAX >= TEXT_MAX + 40, "a line holds time, prefix and text");

static bool next_to_show(char *buf, size_t *length)
{
	enum log_level level = LOG_DEBUG;

	spin_lock(&logs.lock);
	do {
		*length = format_record(&logs.shown, buf, &level);
	} while (*length && level > logs.level);
	spin_unlock(&logs.lock);
	return *length != 0;
}

/*
 * Hand over to the console without a lock of ours that others wait for: one core shows, the others
 * leave it their lines. It looks again after giving the job up, so no line stays behind.
 */
static void show_pending(void)
{
	char line[LOG_LINE_MAX];
	size_t length;

	while (__atomic_load_n(&logs.shown, __ATOMIC_ACQUIRE) <
		       __atomic_load_n(&logs.head, __ATOMIC_ACQUIRE) &&
	       spin_trylock(&logs.show)) {
		while (next_to_show(line, &length))
			console_log(line, length);
		spin_unlock(&logs.show);
	}
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	struct record r = { .tsc = rdtsc(), .level = (uint8_t)level };
	char text[TEXT_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	r.length = (uint16_t)min_u64((uint64_t)n, sizeof(text) - 1);

	spin_lock(&logs.lock);
	append(&r, text);
	spin_unlock(&logs.lock);
	if (logs.started && tsc_khz())
		show_pending();
}

void log_start(enum log_level level, uint64_t tsc_zero)
{
	logs.level = level;
	logs.tsc_zero = tsc_zero;
	__atomic_store_n(&logs.started, true, __ATOMIC_RELEASE);
	if (tsc_khz())
		show_pending();
}

bool log_started(void)
{
	return __atomic_load_n(&logs.started, __ATOMIC_ACQUIRE);
}

void log_set_level(enum log_level level)
{
	logs.level = level;
}

void log_replay(void (*out)(const char *text, size_t length))
{
	char line[LOG_LINE_MAX];
	enum log_level level;
	uint64_t cursor = 0;
	size_t length;

	for (;;) {
		spin_lock(&logs.lock);
		length = format_record(&cursor, line, &level);
		spin_unlock(&logs.lock);
		if (!length)
			return;
		out(line, length);
	}
}

size_t log_read_unshown(char *buf)
{
	enum log_level level;

	return format_record(&logs.shown, buf, &level);
}
