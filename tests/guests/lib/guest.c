// SPDX-License-Identifier: BSD-2-Clause
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/vpm.h"
#include "guest.h"

#define COM1         0x3f8
#define COM1_LSR     (COM1 + 5)
#define LSR_RX       0x01
#define LSR_TX_EMPTY 0x20

#define BP_CMDLINE 0x228

#define BOOT_CS 0x10
#define BOOT_DS 0x18

struct idt_entry {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, zero;
} packed;

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} packed;

struct extable_entry {
	uint64_t at, resume;
};

extern const uint8_t interrupt_stubs[256][16];
extern const struct extable_entry __extable_start[], __extable_end[];

void guest_start(const void *params);
void guest_interrupt(struct frame *f);

const uint8_t *boot_params;

static struct idt_entry idt[256] aligned(16);
static handler_t handlers[256];
static uint32_t passed, failed;

void put_char(char c)
{
	while (!(inb(COM1_LSR) & LSR_TX_EMPTY))
		cpu_pause();
	outb(COM1, (uint8_t)c);
}

void put_string(const char *s)
{
	while (*s)
		put_char(*s++);
}

int get_char(void)
{
	return inb(COM1_LSR) & LSR_RX ? inb(COM1) : -1;
}

bool read_line(char *line, size_t size)
{
	static size_t length;
	int c = get_char();

	if (c < 0)
		return false;
	if (c == '\r' || c == '\n') {
		line[length] = 0;
		length = 0;
		return true;
	}
	if (length + 1 < size)
		line[length++] = (char)c;
	return false;
}

static printf_like(2, 0) void put_line(const char *before, const char *fmt, va_list args)
{
	char line[256];

	vsnprintf(line, sizeof(line), fmt, args);
	put_string(before);
	put_string(line);
	put_string("\r\n");
}

void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_line("", fmt, args);
	va_end(args);
}

bool check(bool good, const char *fmt, ...)
{
	va_list args;

	(*(good ? &passed : &failed))++;
	va_start(args, fmt);
	put_line(good ? "ok " : "FAIL ", fmt, args);
	va_end(args);
	return good;
}

const char *command_line(void)
{
	uint32_t where;

	memcpy(&where, boot_params + BP_CMDLINE, sizeof(where));
	return where ? (const char *)(uintptr_t)where : "";
}

/* The part of the command line behind `word`, where it begins a word; or NULL. */
static const char *after(const char *word)
{
	const char *line = command_line();
	const char *p = line;
	size_t n = strlen(word);

	while ((p = strstr(p, word))) {
		if (p == line || isspace((unsigned char)p[-1]))
			return p + n;
		p++;
	}
	return NULL;
}

bool has_word(const char *word)
{
	const char *rest = after(word);

	return rest && (!*rest || isspace((unsigned char)*rest));
}

const char *option_text(const char *key)
{
	const char *rest = after(key);

	return rest && *rest == '=' ? rest + 1 : NULL;
}

uint64_t option(const char *key, uint64_t otherwise)
{
	const char *text = option_text(key);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

void power_off(void)
{
	outb(VPM_SLEEP_CONTROL, VPM_S5_TYPE << 2 | 1 << 5);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void reset(void)
{
	outb(VPM_RESET_PORT, VPM_RESET_VALUE);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void triple_fault(void)
{
	static const struct table_pointer none;

	__asm__ volatile("lidt %0; int3" : : "m"(none));
	__builtin_unreachable();
}

void set_handler(uint8_t vector, handler_t handler)
{
	handlers[vector] = handler;
}

/* The exception's number goes to AL, which TRY() hands on. */
static bool skip_faulting(struct frame *f)
{
	const struct extable_entry *e;

	for (e = __extable_start; e < __extable_end; e++) {
		if (e->at == f->rip) {
			f->rip = e->resume;
			f->rax = (f->rax & ~0xffull) | f->vector;
			return true;
		}
	}
	return false;
}

void guest_interrupt(struct frame *f)
{
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	if (f->vector < 32 && skip_faulting(f))
		return;
	say("FAIL unexpected vector %u error %#llx rip %#llx cr2 %#llx", (unsigned int)f->vector,
	    (unsigned long long)f->error, (unsigned long long)f->rip,
	    (unsigned long long)read_cr2());
	power_off();
}

uint8_t try_rdmsr(uint32_t index, uint64_t *value)
{
	uint32_t lo = 0, hi = 0;
	uint8_t vector;

	__asm__ volatile(TRY("rdmsr")
			 : [vector] "=&r"(vector), "+a"(lo), "+d"(hi)
			 : "c"(index)
			 : "memory");
	*value = ((uint64_t)hi << 32) | lo;
	return vector;
}

uint8_t try_wrmsr(uint32_t index, uint64_t value)
{
	uint32_t lo = (uint32_t)value;
	uint8_t vector;

	__asm__ volatile(TRY("wrmsr")
			 : [vector] "=&r"(vector), "+a"(lo)
			 : "c"(index), "d"((uint32_t)(value >> 32))
			 : "memory");
	return vector;
}

static void set_gate(uint8_t vector, uint64_t stub)
{
	uint16_t cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	idt[vector] = (struct idt_entry){ .offset_low = (uint16_t)stub,
					  .selector = cs,
					  .type = 0x8e, /* present, interrupt gate */
					  .offset_middle = (uint16_t)(stub >> 16),
					  .offset_high = (uint32_t)(stub >> 32) };
}

void set_raw_handler(uint8_t vector, void (*stub)(void))
{
	set_gate(vector, (uintptr_t)stub);
}

static void fill_idt(void)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(idt); i++)
		set_gate((uint8_t)i, (uintptr_t)interrupt_stubs[i]);
}

void load_idt(void)
{
	struct table_pointer pointer = { sizeof(idt) - 1, (uintptr_t)idt };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

/*
 * The boot protocol's segments, which other cores start with as well (ap.S), so that one IDT serves
 * all. On the bare machine the firmware's are different ones.
 */
static void load_gdt(void)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	static struct table_pointer pointer = { sizeof(gdt) - 1, 0 };
	uint16_t cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	if (cs == BOOT_CS)
		return;
	pointer.base = (uintptr_t)gdt;
	__asm__ volatile("lgdt %[gdt]\n"
			 "mov %[ds], %%ds\n"
			 "mov %[ds], %%es\n"
			 "mov %[ds], %%ss\n"
			 "push %[cs]\n"
			 "lea 1f(%%rip), %%rax\n"
			 "push %%rax\n"
			 "lretq\n"
			 "1:\n"
			 :
			 : [gdt] "m"(pointer), [ds] "r"(BOOT_DS), [cs] "i"(BOOT_CS)
			 : "rax", "memory");
}

void guest_start(const void *params)
{
	boot_params = params;
	load_gdt();
	fill_idt();
	load_idt();
	guest_main();
	say("done: %u ok, %u failed", passed, failed);
	power_off();
}
