// SPDX-License-Identifier: BSD-2-Clause
/*
 * Drives QEMU's `edu` device, whose DMA it aims wherever the test says. Reads lines from its
 * console, whose second word comes back in the answer; numbers are hexadecimal:
 *
 *   from N A LEN        DMA from address A into the device, and on to our buffer: its first 8 bytes
 *   to N A LEN V        the same value 8 bytes after 8 bytes, by DMA to address A
 *   die N A LEN V       the same, but a triple fault as soon as it is under way
 *   peek N A, poke N A V   by the CPU
 *   vector N V          how often the vector has come so far; 0: all together
 *   msi N A D           program MSI with address and data
 *   raise N             have the device send its interrupt
 *   cfg N R S, cfgw N R S V   read and write configuration space, S bytes wide
 *   buffer N            where our buffer is
 *
 * A guest without the device tells what comes to it. `nth=` selects one of several devices; `intx`
 * on the command line has it use its line instead of MSI, `test` looks first whether it works.
 */
#include <stdlib.h>

#include "guest.h"
#include "pci.h"

#define EDU_ID        0x11e81234u
#define EDU_FACTORIAL 0x08
#define EDU_STATUS    0x20
#define EDU_IRQ_STATE 0x24
#define EDU_IRQ_RAISE 0x60
#define EDU_IRQ_ACK   0x64
#define EDU_SOURCE    0x80
#define EDU_TARGET    0x88
#define EDU_COUNT     0x90
#define EDU_COMMAND   0x98
#define EDU_BUFFER    0x40000
#define EDU_RUN       1
#define EDU_TO_MEMORY 2
#define EDU_MAX       4095

#define IOAPIC           0xfec00000ull
#define IOAPIC_ENTRY(n)  (0x10 + 2 * (n))
#define IOAPIC_LEVEL_LOW 0xa000u

#define VECTOR_EDU 0x55
#define FIRST      32 /* vectors below are exceptions */

static uint8_t buffer[8192] aligned(4096);
static volatile uint32_t vectors[256];
static volatile uint8_t *edu;
static uint32_t bdf;

static void count_vector(struct frame *f)
{
	vectors[f->vector]++;
	if (edu && f->vector == VECTOR_EDU)
		*(volatile uint32_t *)(edu + EDU_IRQ_ACK) = ~0u;
	apic_eoi();
}

static uint32_t reg(unsigned offset)
{
	return *(volatile uint32_t *)(edu + offset);
}

static void set_reg(unsigned offset, uint64_t value)
{
	if (offset >= EDU_SOURCE)
		*(volatile uint64_t *)(edu + offset) = value;
	else
		*(volatile uint32_t *)(edu + offset) = (uint32_t)value;
}

static void dma_start(uint64_t source, uint64_t target, uint64_t count, uint64_t command)
{
	set_reg(EDU_SOURCE, source);
	set_reg(EDU_TARGET, target);
	set_reg(EDU_COUNT, count);
	set_reg(EDU_COMMAND, command | EDU_RUN);
}

static void dma(uint64_t source, uint64_t target, uint64_t count, uint64_t command)
{
	dma_start(source, target, count, command);
	while (*(volatile uint64_t *)(edu + EDU_COMMAND) & EDU_RUN)
		cpu_pause();
}

static uint64_t limited(uint64_t count)
{
	return count < EDU_MAX ? count : EDU_MAX;
}

/* What the device then holds differs from all that a test looks for. */
static void prime(uint64_t value, uint64_t count)
{
	for (unsigned i = 0; i < EDU_MAX / 8; i++)
		((uint64_t *)buffer)[i] = value;
	dma((uintptr_t)buffer, EDU_BUFFER, count, 0);
}

static uint64_t dma_from(uint64_t address, uint64_t count)
{
	count = limited(count);
	prime(0x1dea1dea1dea1deaull, count);
	dma(address, EDU_BUFFER, count, 0);
	dma(EDU_BUFFER, (uintptr_t)buffer, count, EDU_TO_MEMORY);
	return *(volatile uint64_t *)buffer;
}

static void dma_to(uint64_t address, uint64_t count, uint64_t value, bool wait)
{
	count = limited(count);
	prime(value, count);
	dma_start(EDU_BUFFER, address, count, EDU_TO_MEMORY);
	while (wait && (*(volatile uint64_t *)(edu + EDU_COMMAND) & EDU_RUN))
		cpu_pause();
}

/* To its input of the IOAPIC, by turns as on most boards: level, low. */
static void route_line(void)
{
	uint32_t input = 16 + ((bdf >> 3) + pci_read(bdf, PCI_PIN, 1) - 1) % 4;

	*(volatile uint32_t *)IOAPIC = IOAPIC_ENTRY(input) + 1;
	*(volatile uint32_t *)(IOAPIC + 0x10) = apic_id() << 24;
	*(volatile uint32_t *)IOAPIC = IOAPIC_ENTRY(input);
	*(volatile uint32_t *)(IOAPIC + 0x10) = IOAPIC_LEVEL_LOW | VECTOR_EDU;
}

static void device_init(void)
{
	bdf = pci_find(EDU_ID, (unsigned)option("nth", 0));
	if (bdf == PCI_NOWHERE) {
		say("edu: no device");
		return;
	}
	pci_command(bdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	edu = (volatile uint8_t *)pci_bar(bdf, 0);
	if (has_word("intx"))
		route_line();
	else
		pci_msi(bdf, VECTOR_EDU, apic_id());
	say("edu: device at 00:%02x.0, registers at %#llx", bdf >> 3,
	    (unsigned long long)(uintptr_t)edu);
}

/* The device by itself: what any driver would do first. */
static void self_test(void)
{
	static uint64_t a = 0x0123456789abcdefull;
	uint32_t n = 0;

	check(reg(0) == 0x010000edu, "identification %x", reg(0));
	set_reg(4, 0x5555aaaau);
	check(reg(4) == 0xaaaa5555u, "liveness %x", reg(4));
	set_reg(EDU_FACTORIAL, 10);
	while (reg(EDU_STATUS) & 1)
		cpu_pause();
	check(reg(EDU_FACTORIAL) == 3628800, "factorial of 10 is %u", reg(EDU_FACTORIAL));
	check(dma_from((uintptr_t)&a, 8) == a, "DMA of own memory");
	set_reg(EDU_IRQ_RAISE, 1);
	while (!vectors[VECTOR_EDU] && n++ < 10000000)
		cpu_pause();
	delay_ms(20);
	check(vectors[VECTOR_EDU] == 1, "interrupt came %u times", vectors[VECTOR_EDU]);
}

static uint64_t vectors_of(uint8_t v)
{
	uint64_t sum = 0;

	if (v)
		return vectors[v];
	for (unsigned i = FIRST; i < ARRAY_SIZE(vectors); i++)
		sum += vectors[i];
	return sum;
}

static uint64_t command(const char *line, const uint64_t *w)
{
	volatile uint64_t *p = (volatile uint64_t *)w[1];

	if (!strncmp(line, "peek", 4))
		return *p;
	if (!strncmp(line, "poke", 4))
		return *p = w[2];
	if (!strncmp(line, "vector", 6))
		return vectors_of((uint8_t)w[1]);
	if (!strncmp(line, "buffer", 6))
		return (uintptr_t)buffer;
	if (!edu)
		return 0xdead;
	if (!strncmp(line, "from", 4))
		return dma_from(w[1], w[2]);
	if (!strncmp(line, "to", 2))
		dma_to(w[1], w[2], w[3], true);
	else if (!strncmp(line, "msi", 3))
		return pci_msi_raw(bdf, w[1], (uint16_t)w[2]);
	else if (!strncmp(line, "raise", 5))
		set_reg(EDU_IRQ_RAISE, 1);
	else if (!strncmp(line, "cfgw", 4))
		pci_write(bdf, (unsigned)w[1], (unsigned)w[2], (uint32_t)w[3]);
	else if (!strncmp(line, "cfg", 3))
		return pci_read(bdf, (unsigned)w[1], (unsigned)w[2]);
	if (!strncmp(line, "die", 3)) {
		dma_to(w[1], w[2], w[3], false);
		triple_fault();
	}
	return 0;
}

static void obey(const char *line)
{
	char *end = strchr(line, ' ');
	uint64_t word[5] = { 0 }, result;

	for (unsigned i = 0; end && i < ARRAY_SIZE(word); i++)
		word[i] = strtoull(end, &end, 16);
	result = command(line, word);
	say("%llx: %llx", (unsigned long long)word[0], (unsigned long long)result);
}

void guest_main(void)
{
	char line[80];

	apic_init(false);
	for (unsigned v = FIRST; v < ARRAY_SIZE(vectors); v++)
		set_handler((uint8_t)v, count_vector);
	irq_on();
	device_init();
	if (edu && has_word("test"))
		self_test();
	say("edu ready");
	for (;;) {
		if (!read_line(line, sizeof(line))) {
			cpu_pause();
			continue;
		}
		if (!strcmp(line, "end"))
			break;
		obey(line);
	}
	irq_off();
}
