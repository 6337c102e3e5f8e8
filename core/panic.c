// SPDX-License-Identifier: BSD-2-Clause
#include "panic.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "core/dump.h"
#include "core/init.h"
#include "core/log_ring.h"
#include "core/smp.h"
#include "drivers/uart16550.h"
#include "x86/asm.h"
#include "x86/exception.h"
#include "x86/lapic.h"
#include "x86/tsc.h"

/*
 * The end. The first core that panics owns the output; it stops the others by NMI, dumps itself,
 * then lets each of them say where it was. Nothing here takes a lock or trusts more than it must,
 * and a fault within is met by doing less: `depth` says how often that has happened.
 */

#define STOP_TIMEOUT_US 20000
#define TURN_TIMEOUT_US 500000
#define NOBODY          (~0u)

volatile uint32_t panic_active;

static uint32_t owner;                  /* APIC ID + 1 of the core that owns the output; 0: none */
static uint32_t depth;                  /* of the owner's panics */
static uint32_t stopped;                /* cores that have stopped */
static volatile uint32_t turn = NOBODY; /* index of the core that may write next to the owner */
static struct uart16550 early_uart;
static char buffer[512];

/* Before the console: the configured port or COM1, if there is something. */
static void early_write(const char *text, size_t length)
{
	if (!early_uart.io.write) {
		const struct config *c = boot_info ? &boot_info->config : NULL;

		uart_io_port(&early_uart.io, c && c->serial_set ? c->serial_port : 0x3f8);
		early_uart.present = early_uart.io.port && uart_probe(&early_uart.io);
	}
	for (; length; length--, text++) {
		if (*text == '\n')
			uart_emergency_putc(&early_uart, '\r');
		uart_emergency_putc(&early_uart, (uint8_t)*text);
	}
}

static void write_text(const char *text, size_t length)
{
	if (log_started())
		console_panic_write(text, length);
	else
		early_write(text, length);
}

void dump_print(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buffer, sizeof(buffer), fmt, ap);
	va_end(ap);
	if (n > 0)
		write_text(buffer, (size_t)min_u64((uint64_t)n, sizeof(buffer) - 1));
}

noreturn static void halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

/*
 * True for the first core. A core that comes second stays here for good, unless it is the owner
 * itself: then the dump has faulted, and `depth` tells the caller.
 */
static void take_ownership(void)
{
	uint32_t me = lapic_id() + 1;
	uint32_t nobody = 0;

	__asm__ volatile("cli");
	if (!__atomic_compare_exchange_n(&owner, &nobody, me, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE) &&
	    nobody != me)
		panic_stop_core(cpu_by_apic_id(me - 1), NULL);
	depth++;
	panic_active = 1;
}

static void show_unshown_log(void)
{
	static char line[LOG_LINE_MAX];
	size_t length;

	while ((length = log_read_unshown(line)) != 0)
		write_text(line, length);
}

static void stop_others(uint32_t self)
{
	uint64_t start = rdtsc();
	uint32_t expected = 0;
	struct cpu *c;
	uint32_t i;

	for_each_cpu (c, i) {
		if (c->online && c->apic_id != self && lapic_send_nmi(c->apic_id) == OK)
			expected++;
	}
	while (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE) < expected &&
	       tsc_to_us(rdtsc() - start) < STOP_TIMEOUT_US)
		cpu_pause();
}

/* Let the others speak one after the other. */
static void give_turns(uint32_t self)
{
	struct cpu *c;
	uint32_t i;

	for_each_cpu (c, i) {
		uint64_t start = rdtsc();

		if (!c->online || c->apic_id == self)
			continue;
		turn = i;
		while (turn == i && tsc_to_us(rdtsc() - start) < TURN_TIMEOUT_US)
			cpu_pause();
		if (turn == i)
			dump_print("core %" PRIu32 ": does not answer the NMI\n", i);
	}
	turn = NOBODY;
}

/* What is common to all panics, once the owner is known. Returns only on the first level. */
static void begin_dump(void)
{
	if (depth > 2)
		halt_forever();
	if (depth == 1) {
		stop_others(lapic_id());
		show_unshown_log();
		dump_print("\n*** Lamina panic: ");
	} else {
		dump_print("\n*** a fault within the dump: ");
	}
}

noreturn static void end_dump(void)
{
	if (depth == 1)
		give_turns(lapic_id());
	dump_print("*** halted; tools/symbolize.py names the addresses\n");
	halt_forever();
}

noreturn void panic(const char *fmt, ...)
{
	static char message[256];
	va_list ap;

	take_ownership();
	begin_dump();
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	dump_print("%s\n", message);
	if (depth == 1) {
		dump_identity(cpu_by_apic_id(lapic_id()));
		dump_control_registers();
		dump_backtrace(0, (uint64_t)__builtin_frame_address(0), DUMP_FRAMES);
	}
	end_dump();
}

noreturn void panic_exception(struct cpu *c, struct trap_frame *f)
{
	take_ownership();
	begin_dump();
	dump_cause(c, f);
	if (depth == 1) {
		dump_identity(c);
		dump_frame(f);
		dump_control_registers();
		dump_code(f->rip);
		dump_stack(f->rsp);
		dump_backtrace(f->rip, f->rbp, DUMP_FRAMES);
	} else {
		dump_print("RIP %016" PRIx64 " RSP %016" PRIx64 "\n", f->rip, f->rsp);
	}
	end_dump();
}

noreturn void panic_stop_core(struct cpu *c, struct trap_frame *f)
{
	__atomic_fetch_add(&stopped, 1, __ATOMIC_ACQ_REL);
	if (!c)
		halt_forever();
	while (turn != c->index)
		cpu_pause();
	if (f) {
		dump_print("core %" PRIu32 ": stopped at %016" PRIx64 "\n", c->index, f->rip);
		dump_backtrace(f->rip, f->rbp, DUMP_FRAMES_BRIEF);
	} else {
		dump_print("core %" PRIu32 ": stopped when it left its guest, or in a panic\n",
			   c->index);
		dump_backtrace(0, (uint64_t)__builtin_frame_address(0), DUMP_FRAMES_BRIEF);
	}
	turn = NOBODY;
	halt_forever();
}
