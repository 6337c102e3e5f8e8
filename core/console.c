/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/console_priv.h"

#include <stdio.h>
#include <string.h>

#define SCREEN_LINES 24   /* shown again when a guest gets the focus */
#define SCREEN_BYTES 4096 /* but not more than this */
#define RX_BATCH     64   /* characters read per hold of the lock */
#define POLL_ROUNDS  256  /* before console_poll() leaves the rest to a new interrupt */
#define PANIC_LOG    4096 /* newest pending output that a panic still sends */

struct console console;

/* ---- Focus. Lock held. ---- */

const char *console_key_name(uint8_t key, char buffer[8])
{
	if (key == 0x1b)
		snprintf(buffer, 8, "Esc");
	else if (key < 0x20)
		snprintf(buffer, 8, "Ctrl-%c",
			 key == 0 ? '@' : (key <= 26 ? key + 'a' - 1 : key + '@'));
	else if (key < 0x7f)
		snprintf(buffer, 8, "%c", key);
	else
		snprintf(buffer, 8, "0x%02x", key);
	return buffer;
}

static void show_banner(struct console *c)
{
	const struct console_guest *g = &c->guests[c->focus];
	char key[8], text[CONFIG_NAME_LEN + 80];
	int n;

	if (!c->ops->rx)
		return;
	n = snprintf(text, sizeof(text), "--- guest %s (core %u) --- %s for the monitor ---\n",
		     g->name, g->core, console_key_name(c->escape, key));
	if (line_room(c) >= 2 * (uint32_t)n + 2)
		console_line_log(c, text, (size_t)n);
}

/* Go back to where a screenful begins, unless there is more that was never shown. */
static void rewind_screen(struct console_guest *g)
{
	uint64_t head = load64(&g->head), start = head, at = head;
	uint64_t oldest = head > SCREEN_BYTES ? head - SCREEN_BYTES : 0;
	uint32_t lines = 0;

	/* `start` stays at the beginning of a line. */
	for (; at > oldest && lines <= SCREEN_LINES; at--) {
		if (out_byte(g, at - 1) == '\n') {
			lines++;
			start = at;
		}
	}
	if (at == 0)
		start = 0;
	if (start < g->shown) {
		g->scanned = start;
		g->line_start = start;
		store64(&g->shown, start);
	}
	g->replay_end = head;
	g->cr = false;
}

static void stall_rx(struct console *c, bool stall)
{
	if (c->rx_stalled == stall)
		return;
	c->rx_stalled = stall;
	if (c->ops->rx_enable)
		c->ops->rx_enable(c->ctx, !stall);
}

/* The core that is at the keyboard takes the line's interrupts. */
static void set_target(struct console *c)
{
	uint32_t apic_id =
		c->focus == CONSOLE_NO_GUEST ? c->boot_apic_id : c->guests[c->focus].apic_id;

	c->polled = !c->ops->tx_irq || !c->ops->set_target || !c->ops->set_target(c->ctx, apic_id);
}

static void close_monitor(struct console *c)
{
	set_flag(&c->monitor_open, false);
	c->monitor_fresh = false;
	c->prompt = 0;
	show_banner(c);
}

static void focus_on(struct console *c, uint32_t guest)
{
	if (guest != c->focus) {
		c->focus = guest;
		if (c->mode == CONSOLE_FOCUS)
			rewind_screen(&c->guests[guest]);
		set_target(c);
	}
	stall_rx(c, false);
	close_monitor(c);
}

static uint32_t next_guest(const struct console *c)
{
	uint32_t i, next;

	for (i = 1; i <= CONFIG_MAX_GUESTS; i++) {
		next = (c->focus + i) % CONFIG_MAX_GUESTS;
		if (c->guests[next].present)
			return next;
	}
	return c->focus;
}

/* ---- Input. Lock held. ---- */

enum key_action {
	KEY_NONE,    /* nothing (more) to do */
	KEY_ENTER,   /* call monitor_enter() */
	KEY_MONITOR, /* call monitor_input() */
};

static bool in_full(const struct console_guest *g)
{
	return g->in_head - load64(&g->in_tail) == CONSOLE_IN_BYTES;
}

static void key_to_guest(struct console_guest *g, uint8_t key)
{
	if (!g->active || in_full(g))
		return;
	g->in[g->in_head & IN_MASK] = key;
	store64(&g->in_head, g->in_head + 1);
	set_flag(&g->event, true);
}

/* The first key after the monitor was opened may be a short cut. */
static bool short_cut(struct console *c, uint8_t key)
{
	uint32_t guest = (uint32_t)key - '1';

	if (c->focus == CONSOLE_NO_GUEST)
		return false;
	if (key == c->escape) {
		if (c->from_guest)
			key_to_guest(&c->guests[c->focus], key);
		close_monitor(c);
		return true;
	}
	if (key == 'n') {
		focus_on(c, next_guest(c));
		return true;
	}
	if (key < '1' || key > '9' || guest >= CONFIG_MAX_GUESTS || !c->guests[guest].present)
		return false;
	focus_on(c, guest);
	return true;
}

static enum key_action route_key(struct console *c, uint8_t key)
{
	bool fresh = c->monitor_fresh;

	if (!c->monitor_open && key != c->escape) {
		key_to_guest(&c->guests[c->focus], key);
		return KEY_NONE;
	}
	c->monitor_fresh = false;
	if (fresh && short_cut(c, key))
		return KEY_NONE;
	if (key != c->escape)
		return KEY_MONITOR;
	/* In the monitor it begins a new prompt, so that the short cuts work from everywhere. */
	c->from_guest = !c->monitor_open;
	c->monitor_fresh = true;
	set_flag(&c->monitor_open, true);
	if (c->line_open && line_room(c) >= 2)
		console_line_text(c, "\n", 1);
	return KEY_ENTER;
}

/* Read a batch of input; stops at a key for the monitor, which runs without the lock. */
static enum key_action receive(struct console *c, uint8_t *key)
{
	enum key_action action = KEY_NONE;
	uint32_t i;

	if (!c->started || !c->ops->rx)
		return KEY_NONE;
	for (i = 0; i < RX_BATCH && action == KEY_NONE; i++) {
		int b;

		if (!c->monitor_open && c->guests[c->focus].active &&
		    in_full(&c->guests[c->focus])) {
			stall_rx(c, true);
			break;
		}
		b = c->ops->rx(c->ctx);
		if (b < 0)
			break;
		*key = (uint8_t)b;
		action = route_key(c, *key);
	}
	return action;
}

/* ---- Entry points. ---- */

void console_init(const struct console_ops *ops, void *ctx, void *line, uint8_t escape,
		  enum config_console mode)
{
	memset(&console, 0, sizeof(console));
	console.ops = ops;
	console.ctx = ctx;
	console.line = line;
	console.escape = escape;
	console.mode = mode;
	console.focus = CONSOLE_NO_GUEST;
	console.held = -1;
	console.ready = true;
}

void console_set_patient(bool patient)
{
	console.patient = patient;
}

void console_add_guest(uint32_t guest, const char *name, uint32_t core, uint32_t apic_id,
		       void *memory)
{
	struct console *c = &console;
	struct console_guest *g;

	if (!c->ready || guest >= CONFIG_MAX_GUESTS)
		return;
	g = &c->guests[guest];
	spin_lock(&c->lock);
	memset(g, 0, sizeof(*g));
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->core = core;
	g->apic_id = apic_id;
	g->out = memory;
	g->in = g->out + CONSOLE_OUT_BYTES;
	g->active = true;
	g->present = true;
	if (c->focus == CONSOLE_NO_GUEST)
		c->focus = guest;
	console_unlock(c);
}

void console_start(uint32_t boot_apic_id)
{
	struct console *c = &console;
	bool monitor;

	if (!c->ready)
		return;
	spin_lock(&c->lock);
	c->boot_apic_id = boot_apic_id;
	monitor = c->focus == CONSOLE_NO_GUEST;
	if (monitor) {
		c->monitor_open = true;
	} else {
		show_banner(c);
	}
	set_target(c);
	c->started = true;
	if (c->ops->rx_enable)
		c->ops->rx_enable(c->ctx, true);
	console_pump(c);
	console_unlock(c);
	if (monitor)
		monitor_enter();
}

static struct console_guest *find_guest(uint32_t guest)
{
	if (!console.ready || guest >= CONFIG_MAX_GUESTS || !console.guests[guest].present)
		return NULL;
	return &console.guests[guest];
}

void console_guest_write(uint32_t guest, uint8_t b)
{
	struct console *c = &console;
	struct console_guest *g = find_guest(guest);

	if (!g)
		return;
	__atomic_store_n(&g->out[g->head & OUT_MASK], b, __ATOMIC_RELAXED);
	store64(&g->head, g->head + 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!is_shown(c, guest) || get_flag(&c->tx_irq))
		return;
	__atomic_store_n(&c->work, 1, __ATOMIC_SEQ_CST);
	console_kick(c);
}

static bool has_room(const struct console_guest *g)
{
	return g->head - load64(&g->shown) < CONSOLE_OUT_BYTES;
}

bool console_guest_room(uint32_t guest)
{
	struct console_guest *g = find_guest(guest);

	if (!g || !is_shown(&console, guest) || has_room(g))
		return true;
	set_flag(&g->blocked, true);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !is_shown(&console, guest) || has_room(g);
}

bool console_guest_pending(uint32_t guest)
{
	struct console_guest *g = find_guest(guest);

	return g && load64(&g->in_head) != g->in_tail;
}

int console_guest_read(uint32_t guest)
{
	struct console *c = &console;
	struct console_guest *g = find_guest(guest);
	int b;

	if (!g || load64(&g->in_head) == g->in_tail)
		return -1;
	b = g->in[g->in_tail & IN_MASK];
	store64(&g->in_tail, g->in_tail + 1);
	/* Half empty: the hardware may go on. Its interrupt brings the rest to console_poll(). */
	if (__atomic_load_n(&c->rx_stalled, __ATOMIC_RELAXED) &&
	    load64(&g->in_head) - g->in_tail <= CONSOLE_IN_BYTES / 2) {
		spin_lock(&c->lock);
		if (guest == c->focus)
			stall_rx(c, false);
		console_unlock(c);
	}
	return b;
}

void console_guest_active(uint32_t guest, bool active)
{
	struct console *c = &console;
	struct console_guest *g = find_guest(guest);

	if (!g)
		return;
	spin_lock(&c->lock);
	g->active = active;
	if (!active) {
		store64(&g->in_tail, g->in_head);
		if (guest == c->focus)
			stall_rx(c, false);
	}
	console_unlock(c);
}

static void run_monitor(struct console *c, enum key_action action, uint8_t key)
{
	if (action == KEY_ENTER)
		monitor_enter();
	else
		monitor_input((char)key);
	spin_lock(&c->lock);
	c->monitor_busy = false;
	console_unlock(c);
}

/* One hold of the lock. Returns true if there is more to do. */
static bool poll_once(struct console *c)
{
	enum key_action action = KEY_NONE;
	uint8_t key = 0;
	bool more;

	spin_lock(&c->lock);
	/* The core that runs the monitor reads on when it is done. */
	more = !c->monitor_busy;
	if (more)
		action = receive(c, &key);
	c->monitor_busy |= action != KEY_NONE;
	console_pump(c);
	if (more && action == KEY_NONE)
		more = c->ops->irq_pending && c->ops->irq_pending(c->ctx);
	console_unlock(c);
	if (action != KEY_NONE)
		run_monitor(c, action, key);
	return more;
}

void console_poll(void)
{
	struct console *c = &console;
	uint32_t i;

	if (!c->ready)
		return;
	for (i = 0; i < POLL_ROUNDS && poll_once(c); i++)
		;
	if (i == POLL_ROUNDS && c->ops->rearm) {
		spin_lock(&c->lock);
		c->ops->rearm(c->ctx);
		console_unlock(c);
	}
	for (i = 0; i < CONFIG_MAX_GUESTS; i++) {
		if (__atomic_exchange_n(&c->guests[i].event, false, __ATOMIC_SEQ_CST))
			guest_console_event(i);
	}
}

void console_log(const char *text, size_t length)
{
	struct console *c = &console;
	char note[64];
	uint32_t need = (uint32_t)min_u64(2 * length + sizeof(c->prompt_text) + 2 * sizeof(note),
					  CONSOLE_LINE_BYTES + 1);

	if (!c->ready)
		return;
	spin_lock(&c->lock);
	if (line_room(c) < need) {
		c->lost++;
	} else {
		if (c->lost) {
			int n = snprintf(note, sizeof(note), "(%u messages not shown: see `log`)\n",
					 c->lost);

			console_line_log(c, note, (size_t)n);
			c->lost = 0;
		}
		console_line_log(c, text, length);
	}
	if (!c->tx_irq)
		console_pump(c);
	console_unlock(c);
}

/* Remember the unfinished line, to draw it again after a log message. */
static void track_prompt(struct console *c, char b)
{
	if (b == '\n')
		c->prompt = 0;
	else if (c->prompt < sizeof(c->prompt_text))
		c->prompt_text[c->prompt++] = b;
	else
		c->prompt = sizeof(c->prompt_text) + 1;
}

void console_monitor_write(const char *text, size_t length)
{
	struct console *c = &console;
	uint32_t waited = 0;
	size_t i = 0;

	if (!c->ready)
		return;
	spin_lock(&c->lock);
	while (i < length) {
		if (line_room(c) < 2) {
			/* Keep the order and lose nothing, unless the line is dead. */
			console_pump(c);
			if (++waited == STUCK_READS)
				break;
			console_unlock(c);
			spin_lock(&c->lock);
			continue;
		}
		waited = 0;
		console_line_text(c, &text[i], 1);
		track_prompt(c, text[i++]);
	}
	if (!c->tx_irq)
		console_pump(c);
	console_unlock(c);
}

void console_panic_write(const char *text, size_t length)
{
	struct console *c = &console;

	if (!c->ready || !c->ops->panic_putc)
		return;
	/* What the log had still to say may be the cause. No lock: its holder may be the culprit. */
	if (c->held >= 0)
		c->ops->panic_putc(c->ctx, (uint8_t)c->held);
	c->held = -1;
	if (c->line_head - c->line_tail > PANIC_LOG)
		c->line_tail = c->line_head - PANIC_LOG;
	while (c->line_tail < c->line_head)
		c->ops->panic_putc(c->ctx, c->line[c->line_tail++ & LINE_MASK]);
	for (; length; length--, text++) {
		if (*text == '\n')
			c->ops->panic_putc(c->ctx, '\r');
		c->ops->panic_putc(c->ctx, (uint8_t)*text);
	}
}

enum status console_focus(uint32_t guest)
{
	struct console *c = &console;

	if (!find_guest(guest))
		return ERR_NOT_FOUND;
	spin_lock(&c->lock);
	focus_on(c, guest);
	console_pump(c);
	console_unlock(c);
	return OK;
}

void console_leave_monitor(void)
{
	struct console *c = &console;

	if (!c->ready)
		return;
	spin_lock(&c->lock);
	if (c->monitor_open && c->focus != CONSOLE_NO_GUEST)
		close_monitor(c);
	console_pump(c);
	console_unlock(c);
}

bool console_monitor_key(void)
{
	struct console *c = &console;
	bool typed = false;
	int b = 0;

	if (!c->ready || !c->started || !c->ops->rx)
		return false;
	spin_lock(&c->lock);
	while (!typed && b >= 0) {
		b = c->ops->rx(c->ctx);
		typed = b >= 0 && b != '\r' && b != '\n';
	}
	console_unlock(c);
	return typed;
}

uint32_t console_focused(void)
{
	return console.ready ? console.focus : CONSOLE_NO_GUEST;
}

bool console_monitor_is_open(void)
{
	return console.ready && get_flag(&console.monitor_open);
}

void console_set_mode(enum config_console mode)
{
	struct console *c = &console;

	if (!c->ready)
		return;
	spin_lock(&c->lock);
	c->mode = mode;
	console_unlock(c);
}
