/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/console_priv.h"

#include <stdio.h>
#include <string.h>

#define REDRAW_BYTES 512  /* longest unfinished line that is drawn again */
#define LINE_BYTES   1024 /* a longer line without an end is cut in mode CONSOLE_ALL */
#define WAKE_BYTES   (CONSOLE_OUT_BYTES / 4) /* free space at which a blocked guest goes on */

/* Nobody will tell us when the transmitter is free: then output waits for it. */
static bool is_polled(const struct console *c)
{
	return c->started ? c->polled : c->patient;
}

/* ---- Output: choosing the next byte for the line. Lock held. ---- */

static void set_shown(struct console_guest *g, uint64_t at)
{
	store64(&g->shown, at);
	if (g->scanned < at)
		g->scanned = at;
}

/* Unshown output that the guest has overwritten is gone: go on at the start of a line. */
static void skip_overwritten(struct console_guest *g)
{
	uint64_t head = load64(&g->head), at;

	if (head - g->shown <= CONSOLE_OUT_BYTES)
		return;
	at = head - CONSOLE_OUT_BYTES;
	while (at < head && out_byte(g, at++) != '\n')
		;
	set_shown(g, at);
	g->line_start = at;
}

/* A whole line, or as much as will be treated as one, is waiting. */
static bool line_ready(struct console_guest *g)
{
	uint64_t head = load64(&g->head);
	uint64_t end;

	skip_overwritten(g);
	end = min_u64(head, g->shown + LINE_BYTES);
	while (g->scanned < end) {
		if (out_byte(g, g->scanned) == '\n')
			return true;
		g->scanned++;
	}
	return head - g->shown >= LINE_BYTES;
}

static void pend_text(struct console *c, const char *text)
{
	size_t length = strlen(text);

	memcpy(c->pend, text, length);
	c->pend_at = 0;
	c->pend_length = (uint32_t)length;
}

static void pend_prefix(struct console *c, const struct console_guest *g, const char *before)
{
	char text[sizeof(c->pend)];

	snprintf(text, sizeof(text), "%s%s| ", before, g->name);
	pend_text(c, text);
}

/*
 * Something else has to be shown, and the current guest has left its line unfinished: break the
 * line, and let the guest start it again afterwards if its beginning is still there.
 */
static void interrupt_line(struct console *c)
{
	struct console_guest *g = &c->guests[c->current];

	pend_text(c, "\r\n");
	c->midline = false;
	if (g->shown - g->line_start > REDRAW_BYTES ||
	    load64(&g->head) - g->line_start > CONSOLE_OUT_BYTES)
		return;
	if (g->replay_end < g->shown)
		g->replay_end = g->shown;
	g->cr = false;
	g->scanned = g->line_start;
	store64(&g->shown, g->line_start);
}

/* Which guest's output is next; NULL: none. May leave a line break in `pend`. */
static struct console_guest *pick_guest(struct console *c)
{
	struct console_guest *g = &c->guests[c->current];
	uint32_t i;

	if (c->monitor_open || c->focus == CONSOLE_NO_GUEST)
		return NULL;
	if (c->mode == CONSOLE_ALL) {
		if (c->midline && g->shown != load64(&g->head))
			return g;
		for (i = 1; i <= CONFIG_MAX_GUESTS; i++) {
			uint32_t next = (c->current + i) % CONFIG_MAX_GUESTS;

			if (!c->guests[next].present || !line_ready(&c->guests[next]))
				continue;
			if (c->midline)
				interrupt_line(c);
			c->current = next;
			return &c->guests[next];
		}
	}
	if (c->current != c->focus && c->midline)
		interrupt_line(c);
	c->current = c->focus;
	g = &c->guests[c->focus];
	return g->shown != load64(&g->head) ? g : NULL;
}

/*
 * Length of a question to the terminal (device status or attributes, ECMA-48 DSR and DA) at this
 * place, else 0. Old output must not ask it again: the terminal would answer into the input.
 */
static uint32_t terminal_query(const struct console_guest *g, uint64_t at)
{
	uint64_t head = load64(&g->head);
	uint32_t i;

	if (at + 2 >= head || out_byte(g, at) != 0x1b || out_byte(g, at + 1) != '[')
		return 0;
	for (i = 2; i < 16 && at + i < head; i++) {
		uint8_t b = out_byte(g, at + i);

		if (b >= '0' && b <= '?')
			continue;
		return b == 'n' || b == 'c' ? i + 1 : 0;
	}
	return 0;
}

/* The next byte of a guest in mode CONSOLE_ALL; -1: look again, `pend` may have text. */
static int prefixed_byte(struct console *c, struct console_guest *g)
{
	uint8_t b = out_byte(g, g->shown);

	if (!c->midline) {
		c->midline = true;
		g->line_start = g->shown;
		pend_prefix(c, g, "");
		return -1;
	}
	if (b == '\n') {
		set_shown(g, g->shown + 1);
		c->midline = g->cr = false;
		pend_text(c, "\r\n");
		return -1;
	}
	if (b == '\r') {
		set_shown(g, g->shown + 1);
		g->cr = true;
		return -1;
	}
	if (g->cr) {
		/* The line is written over: the prefix has to stay in front. */
		g->cr = false;
		pend_prefix(c, g, "\r");
		return -1;
	}
	if (c->current != c->focus && g->shown - g->line_start >= LINE_BYTES) {
		c->midline = false;
		pend_text(c, "\r\n");
		return -1;
	}
	set_shown(g, g->shown + 1);
	return b;
}

static int guest_byte(struct console *c, struct console_guest *g)
{
	uint32_t query;
	uint8_t b;

	skip_overwritten(g);
	if (g->shown == load64(&g->head))
		return -1;
	query = g->shown < g->replay_end ? terminal_query(g, g->shown) : 0;
	if (query) {
		set_shown(g, g->shown + query);
		return -1;
	}
	if (c->mode == CONSOLE_ALL)
		return prefixed_byte(c, g);
	b = out_byte(g, g->shown);
	if (!c->midline)
		g->line_start = g->shown;
	set_shown(g, g->shown + 1);
	/* CR at the start of a line leaves it empty. */
	c->midline = b != '\n' && (b != '\r' || c->midline);
	return b;
}

/* A line that will end within what is already here is not broken up. */
static bool finish_line_first(struct console *c)
{
	struct console_guest *g = &c->guests[c->current];

	return c->midline && load64(&g->head) - g->shown <= CONSOLE_OUT_BYTES && line_ready(g) &&
	       g->shown - g->line_start < LINE_BYTES;
}

static int next_byte(struct console *c)
{
	struct console_guest *g;
	int b;

	for (;;) {
		if (c->pend_at < c->pend_length)
			return c->pend[c->pend_at++];
		if (c->line_head != c->line_tail && !finish_line_first(c)) {
			if (!c->midline)
				return c->line[c->line_tail++ & LINE_MASK];
			interrupt_line(c);
			continue;
		}
		g = c->line_head != c->line_tail ? &c->guests[c->current] : pick_guest(c);
		if (c->pend_at < c->pend_length)
			continue;
		if (!g)
			return -1;
		b = guest_byte(c, g);
		if (b >= 0)
			return b;
	}
}

/* A guest that had no room may go on when there is enough, or when nobody waits for its output. */
static void wake_blocked(struct console *c)
{
	uint32_t i;

	for (i = 0; i < CONFIG_MAX_GUESTS; i++) {
		struct console_guest *g = &c->guests[i];
		uint64_t used = load64(&g->head) - g->shown;

		if (!g->present || !get_flag(&g->blocked))
			continue;
		if (is_shown(c, i) && used > CONSOLE_OUT_BYTES - WAKE_BYTES)
			continue;
		set_flag(&g->blocked, false);
		set_flag(&g->event, true);
	}
}

static void set_tx_irq(struct console *c, bool on)
{
	if (c->tx_irq == on)
		return;
	set_flag(&c->tx_irq, on);
	if (c->ops->tx_irq)
		c->ops->tx_irq(c->ctx, on);
}

/* Send what the hardware takes. Returns true if nothing is left. */
static bool send_batch(struct console *c)
{
	uint32_t waited = 0;

	while (c->held >= 0 || (c->held = next_byte(c)) >= 0) {
		uint32_t room = c->ops->tx_room(c->ctx);

		if (!room) {
			if (!is_polled(c) || c->stuck)
				return false;
			c->stuck = ++waited == STUCK_READS;
			__builtin_ia32_pause();
			continue;
		}
		c->stuck = false;
		for (waited = 0; room && c->held >= 0; room--, c->held = next_byte(c))
			c->ops->tx(c->ctx, (uint8_t)c->held);
	}
	return true;
}

/* Bring output to the hardware; lock held. */
void console_pump(struct console *c)
{
	bool all;

	do {
		all = send_batch(c);
		set_tx_irq(c, !all && c->started && !c->polled);
		/*
		 * A writer that saw the interrupt on relied on it: after switching it off, look
		 * again for what was written meanwhile.
		 */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (all && (c->held = next_byte(c)) >= 0);
	if (c->ops->flush)
		c->ops->flush(c->ctx);
	wake_blocked(c);
}

/* Whoever holds the lock works for those who could not get it. */
void console_kick(struct console *c)
{
	while (__atomic_load_n(&c->work, __ATOMIC_SEQ_CST) && spin_trylock(&c->lock)) {
		__atomic_store_n(&c->work, 0, __ATOMIC_SEQ_CST);
		console_pump(c);
		spin_unlock(&c->lock);
	}
}

void console_unlock(struct console *c)
{
	spin_unlock(&c->lock);
	console_kick(c);
}

/* ---- Log, banners and monitor: text in the line ring. Lock held. ---- */

static void line_put(struct console *c, uint8_t b)
{
	c->line[c->line_head++ & LINE_MASK] = b;
	c->line_open = b != '\n';
}

/* Up to two bytes for each one of the text: the caller has looked at the room. */
void console_line_text(struct console *c, const char *text, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		if (text[i] == '\n')
			line_put(c, '\r');
		line_put(c, (uint8_t)text[i]);
	}
}

static void line_string(struct console *c, const char *text)
{
	console_line_text(c, text, strlen(text));
}

/* Whole lines; what the user was typing to the monitor appears again behind them. */
void console_line_log(struct console *c, const char *text, size_t length)
{
	bool prompt = c->monitor_open && c->line_open && c->prompt <= sizeof(c->prompt_text);

	if (c->line_open)
		line_string(c, "\n");
	console_line_text(c, text, length);
	if (c->line_open)
		line_string(c, "\n");
	if (prompt)
		console_line_text(c, c->prompt_text, c->prompt);
}
