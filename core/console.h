/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_CONSOLE_H
#define LAMINA_CORE_CONSOLE_H

#include "config.h"
#include "types.h"

/*
 * The console multiplexer: one physical line carries the consoles of all guests, the monitor and
 * the hypervisor's log.
 *
 * Output: each guest writes into its own ring. The guest that has the focus is shown and gets
 * back-pressure; the others overwrite their oldest output, and what was not shown yet (or at least
 * the last screenful) appears when they get the focus. In mode CONSOLE_ALL the complete lines of
 * all guests are shown, prefixed by `name| `. Log messages are whole lines between a guest's lines;
 * if a guest has left a line unfinished (a shell's prompt), it is drawn again after them.
 *
 * Input goes to the guest that has the focus. The escape key opens the monitor; then the escape
 * key again sends itself to the guest, a digit 1..9 gives that guest the focus, `n` the next one;
 * anything else is the start of a monitor command. In the monitor the escape key begins a new
 * prompt with the same short cuts, only that the escape key then goes back and sends nothing. When a guest's input ring is full, the hardware
 * is not read any more, so that nothing is lost.
 *
 * Locking: one lock inside, a leaf; no callback is called with it held. A guest's ring has one
 * writer, the guest's core, and is lock-free towards the console. Nothing here may be called from
 * the NMI handler; console_poll() runs in the work after it.
 */
#define CONSOLE_OUT_BYTES   65536
#define CONSOLE_IN_BYTES    16384
#define CONSOLE_GUEST_BYTES (CONSOLE_OUT_BYTES + CONSOLE_IN_BYTES)
#define CONSOLE_LINE_BYTES  65536

#define CONSOLE_NO_GUEST (~0u)

/* The hardware under the console. Called with the console's lock held, but for panic_putc(). */
struct console_ops {
	int (*rx)(void *ctx);           /* next character or -1; NULL: output only */
	uint32_t (*tx_room)(void *ctx); /* characters that tx() takes now */
	void (*tx)(void *ctx, uint8_t c);
	void (*flush)(void *ctx);              /* a batch of tx() is over; may be NULL */
	void (*rx_enable)(void *ctx, bool on); /* false: stop the sender; may be NULL */
	void (*tx_irq)(void *ctx, bool on);    /* interrupt when there is room; may be NULL */
	bool (*irq_pending)(void *ctx);        /* interrupt line still up; may be NULL */
	void (*rearm)(void *ctx);              /* give a new edge if it is; may be NULL */
	/* Core for interrupts; false: there are none, output is polled. NULL: likewise. */
	bool (*set_target)(void *ctx, uint32_t apic_id);
	void (*panic_putc)(void *ctx, uint8_t c); /* bounded wait, no lock */
};

/*
 * Start with an empty console. Until console_start() output goes out as far as the line takes it
 * without waiting: the rest follows later, or with a panic. `line` is CONSOLE_LINE_BYTES of memory
 * for log and monitor output. Until the first console_init() all functions are harmless.
 */
void console_init(const struct console_ops *ops, void *ctx, void *line, uint8_t escape,
		  enum config_console mode);

/* Whether output waits for the line until console_start(): to debug what hangs the boot. */
void console_set_patient(bool patient);

/*
 * Give guest number `guest` (an index below CONFIG_MAX_GUESTS) a console. `memory` is
 * CONSOLE_GUEST_BYTES, for good; `apic_id` and `core` are those of its first core. Boot only. The
 * first guest that is added gets the focus.
 */
void console_add_guest(uint32_t guest, const char *name, uint32_t core, uint32_t apic_id,
		       void *memory);

/*
 * Interrupts work from now on: output no longer waits for the hardware. Shows the banner of the
 * focused guest, or opens the monitor if no guest has a console: then that core gets the
 * interrupts.
 */
void console_start(uint32_t boot_apic_id);

/* ---- The guest's virtual UART; on the guest's core. ---- */

/* One character of output. Without room it overwrites the oldest output: ask for room first. */
void console_guest_write(uint32_t guest, uint8_t c);

/*
 * Whether a character can be written without loss. After `false`, guest_console_event() is called
 * when that changes.
 */
bool console_guest_room(uint32_t guest);

/* The next character of input, or -1. */
int console_guest_read(uint32_t guest);

/* Whether console_guest_read() would give a character. */
bool console_guest_pending(uint32_t guest);

/*
 * The guest runs (true) or is stopped (false). A stopped guest's input is thrown away, so that it
 * never blocks the way to the monitor. Callable on any core.
 */
void console_guest_active(uint32_t guest, bool active);

/* ---- Work after an NMI. ---- */

/* Serve the hardware: route input, send output. On any core, normal context, no lock held. */
void console_poll(void);

/* ---- The hypervisor's own output. ---- */

/* What core/log.c calls: one or more whole lines; a missing last newline is added. Never waits
 * after console_start(): messages that find no room are counted and reported later. */
void console_log(const char *text, size_t length);

/* Output of the monitor; newlines become CR LF. Waits, bounded, if the line is far behind. */
void console_monitor_write(const char *text, size_t length);

/* For panics: no lock, polled, bounded. */
void console_panic_write(const char *text, size_t length);

/* ---- Focus; used by the monitor. ---- */

/* Close the monitor and show a guest. ERR_NOT_FOUND: it has no console. */
must_check enum status console_focus(uint32_t guest);

/* Close the monitor and go back to the guest that had the focus; stays open if there is none. */
void console_leave_monitor(void);

/*
 * For a command of the monitor that takes long: whether a key was typed meanwhile. The key is
 * consumed; line ends do not count, since terminals differ in how many they send.
 */
bool console_monitor_key(void);

/* The guest that has the focus, even while the monitor is open, or CONSOLE_NO_GUEST. */
uint32_t console_focused(void);
bool console_monitor_is_open(void);

/* Change the mode at run time. */
void console_set_mode(enum config_console mode);

/* Name of a key for messages, e.g. "Ctrl-]". `buffer` takes 8 bytes; returned. */
const char *console_key_name(uint8_t key, char buffer[8]);

/* ---- Implemented elsewhere. ---- */

/*
 * core/guest.c: input has arrived or room is free. Only called from console_poll(), on any core,
 * with no lock held; may be called without need.
 */
void guest_console_event(uint32_t guest);

/*
 * core/monitor.c: the monitor was opened (print the prompt); a key was typed. Called without any
 * lock, on the core that polls; never on two cores at once.
 */
void monitor_enter(void);
void monitor_input(char c);

#endif
