/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_CONSOLE_PRIV_H
#define LAMINA_CORE_CONSOLE_PRIV_H

#include "core/console.h"
#include "spinlock.h"

/* Shared by console.c (input, focus, entry points) and console_out.c (what the line shows). */
#define STUCK_READS 1000000 /* polls without progress before the line counts as dead */
#define OUT_MASK    (CONSOLE_OUT_BYTES - 1)
#define IN_MASK     (CONSOLE_IN_BYTES - 1)
#define LINE_MASK   (CONSOLE_LINE_BYTES - 1)

/*
 * Positions in rings count bytes since the start and never wrap. The output ring has one writer,
 * the guest's core (`head`); the input ring one reader, the guest's core (`in_tail`). All else is
 * under the console's lock; `shown` and `in_head` are also looked at without it.
 */
struct console_guest {
	bool present;
	bool active;
	bool blocked; /* atomic: was told that there is no room */
	bool event;   /* atomic: guest_console_event() is due */
	bool cr;      /* CONSOLE_ALL: a CR waits for what follows it */
	char name[CONFIG_NAME_LEN];
	uint32_t core, apic_id;
	uint8_t *out, *in;
	uint64_t head, shown;
	uint64_t line_start; /* where the line begins that `shown` is in */
	uint64_t scanned;    /* no newline between `shown` and here */
	uint64_t replay_end; /* what is before this is old when it is shown */
	uint64_t in_head, in_tail;
};

struct console {
	struct spinlock lock;
	uint32_t work; /* atomic: somebody who did not get the lock has output */
	const struct console_ops *ops;
	void *ctx;
	bool ready, started;
	bool patient; /* until console_start() output waits for the transmitter */
	bool polled;  /* no interrupts: it always does */
	bool tx_irq;  /* atomic: the transmitter's interrupt is on and will take care of output */
	bool rx_stalled;
	bool monitor_open;
	bool monitor_fresh; /* opened by the last key: a second one may be a short cut */
	bool from_guest;    /* and a guest had the keyboard before */
	bool monitor_busy;  /* a core runs the monitor; nobody else reads input */
	bool midline;       /* the screen ends in an unfinished line of `current` */
	uint8_t escape;
	enum config_console mode;
	uint32_t focus, current;
	uint32_t boot_apic_id; /* takes the interrupts while no guest has the focus */
	uint8_t *line;         /* log, banners, monitor */
	uint64_t line_head, line_tail;
	bool line_open;  /* the last character in the ring is no newline */
	uint32_t lost;   /* log messages that found no room */
	uint32_t prompt; /* length of `prompt_text`; more than it holds: unknown */
	char prompt_text[256];
	uint8_t pend[CONFIG_NAME_LEN + 8]; /* inserted text: prefix, line break */
	uint32_t pend_length, pend_at;
	int held;   /* the next byte to send, -1: not chosen yet */
	bool stuck; /* the transmitter does not move: do not wait for it */
	struct console_guest guests[CONFIG_MAX_GUESTS];
};

extern struct console console;

static inline uint64_t load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store64(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline bool get_flag(const bool *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void set_flag(bool *p, bool v)
{
	__atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}

/* The guest's output goes to the screen now, so that the screen's speed limits it. */
static inline bool is_shown(const struct console *c, uint32_t guest)
{
	return !c->monitor_open && (c->mode == CONSOLE_ALL || c->focus == guest);
}

static inline uint8_t out_byte(const struct console_guest *g, uint64_t at)
{
	return __atomic_load_n(&g->out[at & OUT_MASK], __ATOMIC_RELAXED);
}

/* Free bytes of the ring of log and monitor. Lock held. */
static inline uint32_t line_room(const struct console *c)
{
	return (uint32_t)(CONSOLE_LINE_BYTES - (c->line_head - c->line_tail));
}

/* Bring output to the hardware. Lock held. */
void console_pump(struct console *c);

/* Send what writers left that could not get the lock. */
void console_kick(struct console *c);

/* End of the lock: every holder works for those who came meanwhile. */
void console_unlock(struct console *c);

/* Text into the line ring, newlines as CR LF; the caller has looked at the room. Lock held. */
void console_line_text(struct console *c, const char *text, size_t length);

/* The same as whole lines, between what is on the screen: log and banners. */
void console_line_log(struct console *c, const char *text, size_t length);

#endif
