// SPDX-License-Identifier: BSD-2-Clause
// sources: tests/host/vcpu_fixture.c
// sources: core/mmio.c core/fetch.c mm/slot.c core/pio.c core/walk.c core/decode.c core/emulate.c core/io.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/vlapic.h"
#include "core/vpci.h"
#include "vcpu_fixture.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/regs.h"

/*
 * The guest is in flat 32-bit mode without paging, with a device page at 0x80000000 and a device at
 * ports 0x100 to 0x107.
 */
#define DEVICE  0x80000000u
#define NOWHERE 0x90000000u

static struct cpu cpu;

static struct {
	unsigned reads, writes;
	uint32_t offset;
	uint8_t size;
	uint64_t value; /* next to be read, or last written */
	unsigned apic_writes;
	unsigned resets;
	uint32_t apic_offset, apic_value;
	enum tdp_result tdp, mmio; /* what the tables say of a fault, and of a malformed entry */
	bool has_slot;
	uint8_t kind;
	unsigned handler;
} got;

/* Whether the exits of device pages are those of MMIO entries that do not tell what the access was. */
static bool untold;

void vpci_do_resets(struct guest *g)
{
	assert_int_equal(g->lock.next, g->lock.owner);
	got.resets++;
}

static uint64_t dev_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	assert_ptr_equal(dev, &got);
	got.reads++;
	got.offset = offset;
	got.size = size;
	return got.value++;
}

static void dev_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	assert_ptr_equal(dev, &got);
	got.writes++;
	got.offset = offset;
	got.size = size;
	got.value = value;
}

static const struct io_ops device = { .read = dev_read, .write = dev_write };

uint32_t lapic_read(uint32_t reg)
{
	return reg == LAPIC_LVT_TIMER ? 0x10020 : 0;
}

void vlapic_page_write(struct vcpu *v, uint32_t offset, uint32_t value)
{
	(void)v;
	got.apic_writes++;
	got.apic_offset = offset;
	got.apic_value = value;
}

enum tdp_result tdp_fault(struct tdp *t, struct tdp_fault *fault)
{
	(void)t;
	fault->has_slot = got.has_slot;
	fault->slot.kind = got.kind;
	fault->slot.handler = (uint16_t)got.handler;
	fault->error = ERR_NOMEM;
	return got.tdp;
}

enum tdp_result tdp_mmio(struct tdp *t, gpa_t gpa, unsigned *handler)
{
	(void)t;
	(void)gpa;
	*handler = got.handler;
	return got.mmio;
}

static int setup(void **state)
{
	unsigned i;

	(void)state;
	memset(&got, 0, sizeof(got));
	vcpu_fixture_setup();
	sregs.cr0 = CR0_PE;
	for (i = 0; i <= SEG_GS; i++)
		sregs.seg[i] = (struct segment){ 0x10, 0xc093, 0xffffffff, 0 };
	sregs.seg[SEG_CS].access = 0xc09b;
	vcpu.cpu = &cpu;
	vcpu.apic_base = APIC_DEFAULT_GPA | APIC_BASE_EN;
	vcpu.record_at = sizeof(vcpu.records[0]);
	vcpu.stats[EXIT_TDP].exits = 1;
	got.tdp = got.mmio = TDP_MMIO;
	untold = false;
	assert_int_equal(io_add_mmio(&guest.io, GPA(DEVICE), 0x1000, "", &device, &got), OK);
	assert_int_equal(io_add_ports(&guest.io, 0x100, 8, "", &device, &got), OK);
	return 0;
}

static int setup_untold(void **state)
{
	setup(state);
	untold = true;
	return 0;
}

static void code(const char *hex)
{
	uint64_t at = vcpu.rip;

	for (; *hex; hex += hex[2] ? 3 : 2)
		memory[at++] = (uint8_t)strtoul((char[]){ hex[0], hex[1], 0 }, NULL, 16);
}

static void fault(uint64_t gpa, bool write)
{
	const struct tdp_exit told = { .gpa = GPA(gpa), .read = !write, .write = write };
	const struct tdp_exit e = { .gpa = GPA(gpa), .untold = true, .misconfig = true };

	vcpu_tdp_fault(&vcpu, untold && (gpa & PAGE_MASK) == DEVICE ? &e : &told);
}

static void test_load_and_store(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RBX] = DEVICE;
	vcpu.gpr[GPR_RAX] = 0xffffffff11223344;
	code("89 43 08"); /* mov %eax, 8(%ebx) */
	fault(DEVICE + 8, true);
	assert_int_equal(got.writes, 1);
	assert_int_equal(got.offset, 8);
	assert_int_equal(got.size, 4);
	assert_true(got.value == 0x11223344);
	assert_int_equal(vcpu.rip, 3);
	assert_int_equal(vcpu.stats[EXIT_MMIO].exits, 1);
	assert_int_equal(vcpu.stats[EXIT_TDP].exits, 0);
	got.value = 0x1ff80;
	code("0f be 43 01"); /* movsbl 1(%ebx), %eax */
	fault(DEVICE + 1, false);
	assert_true(vcpu.gpr[GPR_RAX] == 0xffffff80);
	assert_int_equal(got.size, 1);
	assert_int_equal(vcpu.rip, 7);
	assert_int_equal(vcpu.insn_length, 0);
}

static void test_read_modify_write(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RBX] = DEVICE;
	got.value = 0xf0;
	code("83 0b 0f"); /* orl $15, (%ebx) */
	fault(DEVICE, true);
	assert_int_equal(got.reads, 1);
	assert_int_equal(got.writes, 1);
	assert_int_equal(got.value, 0xff);
}

static void test_supplied_bytes(void **state)
{
	struct tdp_exit e = {
		.gpa = GPA(DEVICE), .write = true, .insn_len = 15, .insn = { 0x89, 0x03 }
	};

	(void)state;
	vcpu.gpr[GPR_RBX] = DEVICE;
	vcpu.gpr[GPR_RAX] = 7;
	vcpu.rip = 0x200000; /* not readable: the bytes are enough */
	vcpu_tdp_fault(&vcpu, &e);
	assert_int_equal(got.value, 7);
	/* Too few bytes: fetched again. */
	e.insn_len = 1;
	vcpu.rip = 0;
	code("89 03");
	vcpu_tdp_fault(&vcpu, &e);
	assert_int_equal(got.writes, 2);
}

static void test_unowned(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RBX] = NOWHERE;
	code("8b 03 89 03");
	fault(NOWHERE, false);
	assert_true(vcpu.gpr[GPR_RAX] == 0xffffffff);
	fault(NOWHERE, true);
	assert_int_equal(guest.io.unowned[0].count, 2);
	assert_int_equal(guest.io.unowned[0].address, NOWHERE);
	assert_int_equal(got.reads + got.writes, 0);
	assert_int_equal(vcpu.rip, 4);
	/* An access that sticks out of the device belongs to nobody, one over the page's end kills. */
	vcpu.gpr[GPR_RBX] = DEVICE + 0xffe;
	code("8b 03");
	fault(DEVICE + 0xffe, false);
	assert_string_not_equal(done.death, "");
}

static void test_rom(void **state)
{
	(void)state;
	got.has_slot = true;
	vcpu.gpr[GPR_RBX] = ROM;
	code("fe 03 86 03"); /* incb, xchg */
	fault(ROM, true);
	assert_int_equal(guest.io.unowned[0].count, 1);
	assert_int_equal(vcpu.rip, 2);
	fault(ROM, true);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0x5a);
}

static void test_apic_page(void **state)
{
	(void)state;
	got.has_slot = true;
	vcpu.gpr[GPR_RBX] = APIC_DEFAULT_GPA;
	vcpu.gpr[GPR_RAX] = 0x1234;
	code("89 83 b0 00 00 00 81 a3 20 03 00 00 ff ff fe ff 88 03 89 03 89 03");
	fault(APIC_DEFAULT_GPA + LAPIC_EOI, true);
	assert_int_equal(got.apic_writes, 1);
	assert_int_equal(got.apic_offset, LAPIC_EOI);
	assert_int_equal(got.apic_value, 0x1234);
	assert_int_equal(vcpu.stats[EXIT_APIC].exits, 1);
	fault(APIC_DEFAULT_GPA + LAPIC_LVT_TIMER, true); /* andl $~0x10000, … */
	assert_int_equal(got.apic_offset, LAPIC_LVT_TIMER);
	assert_int_equal(got.apic_value, 0x20);
	/* Bytes do nothing, and so does everything in x2APIC mode or with the APIC off. */
	fault(APIC_DEFAULT_GPA, true);
	vcpu.x2apic = true;
	fault(APIC_DEFAULT_GPA, true);
	vcpu.x2apic = false;
	vcpu.apic_base = APIC_DEFAULT_GPA;
	fault(APIC_DEFAULT_GPA, true);
	assert_int_equal(got.apic_writes, 2);
	assert_string_equal(done.death, "");
}

static void test_strings(void **state)
{
	(void)state;
	/* rep stosl: one element an exit, skipped with the last one. */
	vcpu.gpr[GPR_RDI] = DEVICE;
	vcpu.gpr[GPR_RCX] = 2;
	vcpu.gpr[GPR_RAX] = 0x77;
	code("f3 ab");
	fault(DEVICE, true);
	assert_true(vcpu.gpr[GPR_RDI] == DEVICE + 4 && vcpu.gpr[GPR_RCX] == 1 && vcpu.rip == 0);
	fault(DEVICE + 4, true);
	assert_true(vcpu.gpr[GPR_RDI] == DEVICE + 8 && vcpu.gpr[GPR_RCX] == 0 && vcpu.rip == 2);
	assert_int_equal(got.writes, 2);
	/* movsw to the device, backwards */
	vcpu.rflags |= RFLAGS_DF;
	vcpu.gpr[GPR_RSI] = 0x1000;
	memory[0x1000] = 0xcd;
	memory[0x1001] = 0xab;
	code("66 a5");
	fault(DEVICE + 8, true);
	assert_int_equal(got.value, 0xabcd);
	assert_true(vcpu.gpr[GPR_RSI] == 0xffe && vcpu.gpr[GPR_RDI] == DEVICE + 6);
	/* and from it */
	vcpu.rflags &= ~(uint64_t)RFLAGS_DF;
	vcpu.gpr[GPR_RSI] = DEVICE;
	vcpu.gpr[GPR_RDI] = 0x2000;
	got.value = 0x55;
	code("a4");
	fault(DEVICE, false);
	assert_int_equal(memory[0x2000], 0x55);
	code("ad");
	vcpu.gpr[GPR_RSI] = DEVICE;
	fault(DEVICE, false);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0x56);
}

/* A destination that faults: nothing has happened yet that a second try would repeat. */
static void test_movs_fault(void **state)
{
	(void)state;
	sregs.seg[SEG_ES].limit = 0xfff;
	vcpu.gpr[GPR_RSI] = DEVICE;
	vcpu.gpr[GPR_RDI] = 0x1000;
	code("a5");
	fault(DEVICE, false);
	assert_int_equal(done.exceptions, 1);
	assert_int_equal(done.vector, VEC_GP);
	assert_int_equal(got.reads, 0);
	assert_true(vcpu.gpr[GPR_RDI] == 0x1000 && vcpu.rip == 0);
}

static void test_deaths(void **state)
{
	struct tdp_exit e = { .gpa = GPA(NOWHERE), .fetch = true };

	(void)state;
	vcpu_tdp_fault(&vcpu, &e);
	assert_non_null(strstr(done.death, "executes at gpa 0x90000000"));
	e = (struct tdp_exit){ .gpa = GPA(NOWHERE), .write = true, .in_page_walk = true };
	vcpu_tdp_fault(&vcpu, &e);
	assert_non_null(strstr(done.death, "page tables"));
	got.mmio = TDP_ERROR;
	e = (struct tdp_exit){ .gpa = GPA(NOWHERE), .misconfig = true };
	vcpu_tdp_fault(&vcpu, &e);
	assert_non_null(strstr(done.death, "misconfigured"));
	code("0f 29 00"); /* movaps */
	fault(DEVICE, true);
	assert_string_equal(done.death, "write to device gpa 0x80000000: instruction not emulated, "
					"bytes 0f 29 00 00 00 00 00 00 00 00 00 00 00 00 00");
	got.tdp = TDP_ERROR;
	fault(DEVICE, true);
	assert_non_null(strstr(done.death, "out of memory"));
	assert_int_equal(done.skipped, 0);
	/* What mm/ fixes needs no instruction. */
	got.tdp = TDP_FIXED;
	done.death[0] = 0;
	fault(DEVICE, true);
	assert_string_equal(done.death, "");
}

/* Another core has replaced the instruction: the operand is not where the access was. */
static void test_changed_instruction(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RBX] = DEVICE + 4;
	code("89 03");
	fault(DEVICE + 8, true);
	assert_non_null(strstr(done.death, "not the operand"));
	assert_int_equal(got.writes, 0);
}

/* ------------------------------------------------------------------ MMIO entries */

static void malformed(uint64_t gpa)
{
	const struct tdp_exit e = { .gpa = GPA(gpa), .untold = true, .misconfig = true };

	vcpu_tdp_fault(&vcpu, &e);
}

static void test_handlers(void **state)
{
	static const struct io_ops nobody;

	(void)state;
	assert_int_equal(io_add_mmio(&guest.io, GPA(NOWHERE), 8, "", &nobody, NULL), OK);
	/* The entry says whose it is, not the address. */
	vcpu.gpr[GPR_RBX] = DEVICE;
	code("8b 03 8b 03 8b 03 8b 03");
	malformed(DEVICE);
	assert_int_equal(got.reads, 1);
	got.handler = 1;
	malformed(DEVICE);
	assert_true(vcpu.gpr[GPR_RAX] == 0xffffffff);
	got.handler = 2; /* none */
	malformed(DEVICE);
	assert_int_equal(guest.io.unowned[0].count, 2);
	/* Where there are no such entries the slot says it. */
	got.has_slot = true;
	got.kind = SLOT_EMULATED;
	got.handler = 0;
	fault(DEVICE, false);
	assert_int_equal(got.reads, 2);
	assert_int_equal(vcpu.stats[EXIT_MMIO].exits, 4);
	assert_string_equal(done.death, "");
}

static void test_entry_has_changed(void **state)
{
	(void)state;
	code("8b 03");
	got.mmio = TDP_RETRY;
	malformed(DEVICE);
	assert_int_equal(vcpu.rip, 0);
	assert_int_equal(vcpu.stats[EXIT_TDP].exits, 1);
	assert_string_equal(done.death, "");
}

/* Identity-mapped 4 KiB pages from 0 on, and the device at 0x400000. */
static void paging(void)
{
	uint32_t entry[] = { 0x5000 | 7, 0x6000 | 7 };

	memcpy(memory + 0x4000, entry, sizeof(entry));
	for (uint32_t i = 0; i < 8; i++) {
		entry[0] = i << 12 | 7;
		memcpy(memory + 0x5000 + 4 * i, entry, 4);
	}
	entry[0] = DEVICE | 7;
	memcpy(memory + 0x6000, entry, 4);
	sregs.cr0 |= CR0_PG;
	sregs.cr3 = 0x4000;
}

static void test_code_on_a_device(void **state)
{
	(void)state;
	vcpu.rip = DEVICE;
	malformed(DEVICE);
	assert_string_equal(done.death, "executes at gpa 0x80000000, where it has no memory");
	/* An instruction that goes on there. */
	paging();
	vcpu.rip = 0x2fff;
	memory[0x2fff] = 0x8b;
	memcpy(memory + 0x5000 + 4 * 3, &(uint32_t){ DEVICE | 7 }, 4);
	malformed(DEVICE);
	assert_string_equal(done.death, "executes at gpa 0x80000000, where it has no memory");
	assert_int_equal(got.reads, 0);
}

static void test_page_tables_on_a_device(void **state)
{
	uint32_t entry = DEVICE | 7;

	(void)state;
	paging();
	code("8b 03");
	/* Of the operand, at an address whose low bits are those of its entry. */
	memcpy(memory + 0x4000 + 8, &entry, 4);
	vcpu.gpr[GPR_RBX] = 0x801004;
	malformed(DEVICE + 4);
	assert_string_equal(done.death, "its page tables lie at gpa 0x80000004, where it has no "
					"writable memory");
	/* Of the code. */
	done.death[0] = 0;
	sregs.cr3 = DEVICE;
	malformed(DEVICE);
	assert_string_equal(done.death, "its page tables lie at gpa 0x80000000, where it has no "
					"writable memory");
	assert_int_equal(got.reads, 0);
}

static void test_events_on_a_device(void **state)
{
	const struct tdp_exit e = {
		.gpa = GPA(DEVICE), .untold = true, .misconfig = true, .in_event = true
	};

	(void)state;
	vcpu.gpr[GPR_RBX] = DEVICE;
	code("8b 03");
	vcpu_tdp_fault(&vcpu, &e);
	assert_string_equal(done.death,
			    "its stack or tables lie at gpa 0x80000000, where it has no "
			    "writable memory");
	assert_int_equal(got.reads, 0);
}

static void test_stack_on_a_device(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RSP] = DEVICE + 8;
	code("50"); /* push %eax */
	malformed(DEVICE + 4);
	assert_non_null(strstr(done.death, "access to device gpa 0x80000004: instruction not "
					   "emulated, bytes 50"));
	assert_int_equal(got.writes, 0);
}

/* The guest has unmapped the page since: it gets the fault when it tries again. */
static void test_operand_is_gone(void **state)
{
	(void)state;
	paging();
	vcpu.gpr[GPR_RBX] = 0x402000;
	code("8b 03");
	malformed(DEVICE);
	assert_string_equal(done.death, "");
	assert_int_equal(done.page_faults + got.reads + done.skipped, 0);
	/* It is somewhere else now. */
	vcpu.gpr[GPR_RBX] = 0x2000;
	malformed(DEVICE);
	assert_non_null(strstr(done.death, "not the operand"));
	assert_int_equal(got.reads, 0);
}

static void test_which_side_of_movs(void **state)
{
	(void)state;
	paging();
	vcpu.gpr[GPR_RSI] = 0x400010;
	vcpu.gpr[GPR_RDI] = 0x2010;
	got.value = 0x1234;
	code("a5");
	malformed(DEVICE + 0x10);
	assert_int_equal(got.reads, 1);
	assert_int_equal(memory[0x2010], 0x34);
	/* The same low bits on both sides: only translation tells. */
	vcpu.gpr[GPR_RSI] = 0x2010;
	vcpu.gpr[GPR_RDI] = 0x400010;
	code("a5");
	malformed(DEVICE + 0x10);
	assert_int_equal(got.writes, 1);
	assert_int_equal(got.value, 0x1234);
	assert_string_equal(done.death, "");
	/* Both sides: the first access is the read; then there is no memory to write to. */
	vcpu.gpr[GPR_RSI] = vcpu.gpr[GPR_RDI] = 0x400010;
	code("a5");
	malformed(DEVICE + 0x10);
	assert_non_null(strstr(done.death, "reaches no memory"));
}

/* ------------------------------------------------------------------ ports */

static void port(uint16_t number, uint8_t size, bool in)
{
	const struct pio_exit e = { .port = number, .size = size, .in = in };

	vcpu_pio(&vcpu, &e);
}

static void test_ports(void **state)
{
	(void)state;
	vcpu.gpr[GPR_RAX] = 0xffffffffffffffff;
	got.value = 0x1234;
	port(0x104, 1, true);
	assert_true(vcpu.gpr[GPR_RAX] == 0xffffffffffffff34);
	port(0x104, 4, true);
	assert_true(vcpu.gpr[GPR_RAX] == 0x1235);
	port(0x102, 2, false);
	assert_true(got.value == 0x1235 && got.offset == 2 && got.size == 2);
	port(0x106, 4, true); /* sticks out */
	assert_true(vcpu.gpr[GPR_RAX] == 0xffffffff);
	port(0x80, 1, false);
	assert_int_equal(guest.io.unowned[0].address, 0x106);
	assert_int_equal(guest.io.unowned[1].address, 0x80);
	assert_int_equal(done.skipped, 5);
}

static void string_port(uint8_t size, bool in, bool rep)
{
	/* Address size and segment unknown: they are in the instruction. */
	const struct pio_exit e = {
		.port = 0x100, .size = size, .in = in, .string = true, .rep = rep, .segment = 0xff
	};

	vcpu_pio(&vcpu, &e);
}

/* What a guest's own BARs have: ports and pages that come and go, and resets that take long. */
static void test_devices_that_move(void **state)
{
	static struct io_region ports[2], pages[1];
	static struct vpci bus;

	(void)state;
	guest.io.dynamic_ports = ports;
	guest.io.dynamic_port_count = 2;
	guest.io.dynamic = pages;
	guest.io.dynamic_count = 1;
	ports[1] = (struct io_region){ .base = 0x100, .size = 16, .ops = &device, .dev = &got };
	/* What is fixed has precedence, and then there is the rest. */
	port(0x107, 1, false);
	assert_int_equal(got.offset, 7);
	port(0x108, 4, false);
	assert_int_equal(got.offset, 8);
	port(0x10d, 4, false);
	assert_int_equal(got.writes, 2);
	ports[1].size = 0;
	port(0x108, 4, false);
	assert_int_equal(got.writes, 2);

	assert_null(io_handler(&guest.io, IO_DYNAMIC + 1));
	pages[0] =
		(struct io_region){ .base = NOWHERE, .size = 0x100, .ops = &device, .dev = &got };
	assert_ptr_equal(io_handler(&guest.io, IO_DYNAMIC), &pages[0]);
	got.resets = 0;
	guest.vpci = &bus;
	port(0x100, 4, false);
	assert_int_equal(got.resets, 0);
	bus.resets = 1;
	port(0x100, 4, false);
	assert_int_equal(got.resets, 1);
	/* Nor do several in a row keep the core away from what others want of it. */
	code("f3 6e");
	vcpu.gpr[GPR_RSI] = 0x2000;
	vcpu.gpr[GPR_RCX] = 3;
	string_port(1, false, true);
	assert_int_equal(got.resets, 2);
	assert_int_equal(vcpu.gpr[GPR_RCX], 2);
	ports[1].size = pages[0].size = 0;
	guest.vpci = NULL;
}

static void test_string_ports(void **state)
{
	unsigned i;

	(void)state;
	code("6c");
	vcpu.gpr[GPR_RDI] = 0x1000;
	got.value = 0x41;
	string_port(1, true, false);
	assert_int_equal(memory[0x1000], 0x41);
	assert_int_equal(vcpu.gpr[GPR_RDI], 0x1001);
	assert_int_equal(done.skipped, 1);
	/* rep outsb of 150 bytes: in bursts, and the guest gets control in between. */
	vcpu.rip = 0;
	code("f3 6e");
	vcpu.gpr[GPR_RSI] = 0x2000;
	vcpu.gpr[GPR_RCX] = 150;
	string_port(1, false, true);
	assert_int_equal(done.skipped, 1);
	assert_int_equal(vcpu.gpr[GPR_RCX], 150 - 64);
	assert_int_equal(vcpu.gpr[GPR_RSI], 0x2000 + 64);
	for (i = 0; i < 2; i++)
		string_port(1, false, true);
	assert_int_equal(done.skipped, 2);
	assert_int_equal(vcpu.gpr[GPR_RCX], 0);
	assert_int_equal(got.writes, 150);
	/* With a count of 0 nothing is done. */
	vcpu.rip = 0;
	string_port(1, false, true);
	assert_int_equal(got.writes, 150);
	assert_int_equal(done.skipped, 3);
}

/* The destination is checked before the port is read. */
static void test_string_port_fault(void **state)
{
	(void)state;
	code("f3 6d");
	vcpu.gpr[GPR_RDI] = 0xff8;
	vcpu.gpr[GPR_RCX] = 8;
	sregs.seg[SEG_ES].limit = 0xfff;
	string_port(4, true, true);
	assert_int_equal(done.exceptions, 1);
	assert_int_equal(got.reads, 2);
	assert_int_equal(vcpu.gpr[GPR_RCX], 6);
	assert_int_equal(vcpu.gpr[GPR_RDI], 0x1000);
	assert_int_equal(done.skipped, 0);
}

/* The same with a page that is not there. */
static void test_string_port_page_fault(void **state)
{
	uint32_t i, entry = 0x5000 | 7;

	(void)state;
	memcpy(memory + 0x4000, &entry, 4);
	for (i = 0; i < 8; i++) {
		entry = i << 12 | 7;
		memcpy(memory + 0x5000 + 4 * i, &entry, 4);
	}
	sregs.cr0 |= CR0_PG;
	sregs.cr3 = 0x4000;
	code("6d");
	vcpu.gpr[GPR_RDI] = 0x7ffe; /* two bytes into the page that is missing */
	string_port(4, true, false);
	assert_int_equal(done.page_faults, 1);
	assert_int_equal(got.reads, 0);
	assert_int_equal(done.skipped, 0);
	vcpu.gpr[GPR_RDI] = 0x7ffc;
	string_port(4, true, false);
	assert_int_equal(got.reads, 1);
	assert_int_equal(done.skipped, 1);
}

/* 16-bit addresses and a segment override, told by the instruction. */
static void test_string_port_prefixes(void **state)
{
	(void)state;
	code("67 26 6e");
	sregs.seg[SEG_ES].base = 0xffff3001; /* wraps around 4 GiB */
	vcpu.gpr[GPR_RSI] = 0xabcdffff;
	memory[0x3000] = 0x99;
	string_port(1, false, false);
	assert_int_equal(got.value, 0x99);
	assert_true(vcpu.gpr[GPR_RSI] == 0xabcd0000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
#define UNTOLD(f)                                           \
	{                                                   \
#f " (untold)", f, setup_untold, NULL, NULL \
	}
	const struct CMUnitTest tests[] = {
		TEST(test_load_and_store),
		TEST(test_read_modify_write),
		TEST(test_supplied_bytes),
		TEST(test_unowned),
		TEST(test_rom),
		TEST(test_apic_page),
		TEST(test_strings),
		TEST(test_movs_fault),
		TEST(test_deaths),
		TEST(test_changed_instruction),
		UNTOLD(test_load_and_store),
		UNTOLD(test_read_modify_write),
		UNTOLD(test_unowned),
		UNTOLD(test_strings),
		UNTOLD(test_movs_fault),
		UNTOLD(test_changed_instruction),
		TEST(test_handlers),
		TEST(test_entry_has_changed),
		TEST(test_code_on_a_device),
		TEST(test_page_tables_on_a_device),
		TEST(test_events_on_a_device),
		TEST(test_stack_on_a_device),
		TEST(test_operand_is_gone),
		TEST(test_which_side_of_movs),
		TEST(test_ports),
		TEST(test_devices_that_move),
		TEST(test_string_ports),
		TEST(test_string_port_fault),
		TEST(test_string_port_page_fault),
		TEST(test_string_port_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
