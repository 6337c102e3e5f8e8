// SPDX-License-Identifier: BSD-2-Clause
/*
 * STI holds interrupts back for one more instruction, which kernels rely on when they sleep by STI,
 * HLT: an interrupt between the two would be served, and the HLT then sleep on. The shadow must
 * survive that the hypervisor gets the core right there. The guest executes STI, NOP, CLI over and
 * over; each character typed is an NMI for the hypervisor followed by an interrupt of the UART,
 * which must never interrupt at the NOP. A dot ends it.
 */
#include "guest.h"

#define UART        0x3f8
#define UART_IER    (UART + 1)
#define UART_FCR    (UART + 2)
#define UART_LSR    (UART + 5)
#define IOAPIC      ((volatile uint32_t *)0xfec00000)
#define IOAPIC_PIN4 0x18

void sti_nop_cli(void);
extern const char behind_sti[];

__asm__(".pushsection .text\n"
	"sti_nop_cli:\n"
	"	sti\n"
	"behind_sti:\n"
	"	nop\n"
	"	cli\n"
	"	ret\n"
	".popsection\n");

static volatile uint32_t interrupts, early;
static volatile bool done;

static void on_uart(struct frame *f)
{
	interrupts++;
	if (f->rip == (uint64_t)behind_sti)
		early++;
	while (inb(UART_LSR) & 1)
		done |= inb(UART) == '.';
	apic_eoi();
}

static void ioapic_write(uint32_t reg, uint32_t v)
{
	IOAPIC[0] = reg;
	IOAPIC[4] = v;
}

void guest_main(void)
{
	apic_init(false);
	set_handler(VECTOR_UART, on_uart);
	ioapic_write(IOAPIC_PIN4 + 1, apic_id() << 24);
	ioapic_write(IOAPIC_PIN4, VECTOR_UART);
	outb(UART_FCR, 0x07);
	outb(UART_IER, 1);
	say("type now");
	while (!done)
		sti_nop_cli();
	check(interrupts >= 20, "%u interrupts", interrupts);
	check(early == 0, "%u of them behind STI", early);
}
