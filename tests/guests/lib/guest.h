/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_GUEST_H
#define LAMINA_TESTS_GUEST_H

/*
 * What every small guest can use. A guest is one file tests/guests/NAME.c that defines
 * guest_main(). It runs in 64-bit mode with interrupts off, 4 GiB of identity-mapped memory and an
 * IDT whose default handler reports and powers off. It talks to the test by lines on its console:
 * check() prints `ok WHAT` or `FAIL WHAT`, and when guest_main() returns the library prints
 * `done: N ok, N failed` and powers off.
 */
#include <string.h>

#include "types.h"
#include "x86/asm.h"

/* The guest's program. */
void guest_main(void);

/* ---- Talking ---- */

/* One line; the newline is added. Polls COM1. */
void say(const char *fmt, ...) printf_like(1, 2);
void put_char(char c);
void put_string(const char *s);
/* The next character that was received, or -1. */
int get_char(void);
/* Collect what was received; true when a line is complete, without its end. Never waits. */
bool read_line(char *line, size_t size);

/* Print and count a result; the value of `good`. */
bool check(bool good, const char *fmt, ...) printf_like(2, 3);

/* ---- The machine as the loader described it ---- */

extern const uint8_t *boot_params; /* the zero page */
const char *command_line(void);
/* Whether `word` is one of the words of the command line. */
bool has_word(const char *word);
/* The value of `key=VALUE` on the command line, a number in C's notation, or `otherwise`. */
uint64_t option(const char *key, uint64_t otherwise);
/* What follows `key=` on the command line, or NULL. */
const char *option_text(const char *key);

/* ---- Ends ---- */

noreturn void power_off(void); /* by ACPI's sleep control register */
noreturn void reset(void);     /* by port CF9h */
noreturn void triple_fault(void);

/* ---- Exceptions and interrupts ---- */

struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void (*handler_t)(struct frame *f);

/* Call `handler` for the vector; NULL restores the default. It acknowledges by itself. */
void set_handler(uint8_t vector, handler_t handler);

/*
 * Enter `stub` directly, without the library's frame: for measuring. It is no C function, keeps the
 * registers that whoever is interrupted needs, and ends with IRETQ.
 */
void set_raw_handler(uint8_t vector, void (*stub)(void));

/* Use the library's handlers on a core that was started; the first core does already. */
void load_idt(void);

/*
 * An instruction that may fault: `vector` gets the exception's number or NO_FAULT; the instruction
 * is then skipped. Used by the functions below, and with TRY() for others.
 */
#define NO_FAULT 0xffu
#define TRY(insn)                        \
	"movb $0xff, %b[vector]\n"       \
	"1: " insn "\n"                  \
	"jmp 3f\n"                       \
	"2: mov %%al, %b[vector]\n"      \
	"3:\n"                           \
	".pushsection .extable, \"a\"\n" \
	".balign 8\n"                    \
	".quad 1b, 2b\n"                 \
	".popsection\n"

/* The vector of the exception, or NO_FAULT. */
uint8_t try_rdmsr(uint32_t index, uint64_t *value);
uint8_t try_wrmsr(uint32_t index, uint64_t value);

static inline void irq_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void irq_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* Wait for one interrupt, with no moment in which it could be missed; interrupts off before and after. */
static inline void wait_irq(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* ---- Local APIC and time ---- */

#define VECTOR_TIMER 0x40
#define VECTOR_IPI   0x41
#define VECTOR_UART  0x42

#define APIC_ID        0x020
#define APIC_TPR       0x080
#define APIC_EOI       0x0b0
#define APIC_SPURIOUS  0x0f0
#define APIC_ICR       0x300
#define APIC_ICR_HIGH  0x310
#define APIC_LVT_TIMER 0x320
#define APIC_INITIAL   0x380
#define APIC_CURRENT   0x390
#define APIC_DIVIDE    0x3e0

/* Enable the local APIC: in x2APIC mode if `x2apic`, which the CPU must have. */
void apic_init(bool x2apic);
bool apic_is_x2(void);
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
void apic_eoi(void);
uint32_t apic_id(void);
/* Write the interrupt command register; `destination` is a physical APIC id. */
void apic_send(uint32_t command, uint32_t destination);
/*
 * Start another core at `entry`, on a stack that there is once, with interrupts off and no IDT:
 * load_idt() loads the first core's. ALL_OTHER_CORES for its id: for guests with two.
 */
#define ALL_OTHER_CORES 0xffffffffu
void start_core(uint32_t id, void (*entry)(void));
/* A periodic timer of `hz` on VECTOR_TIMER, from the frequency that the hypervisor publishes. */
void apic_timer(uint32_t hz);

/* From the paravirtual leaf (CPUID 40000010h), in kHz; 0 if there is none. */
uint32_t tsc_khz(void);
uint32_t bus_khz(void);
void delay_ms(uint32_t ms);

#endif
