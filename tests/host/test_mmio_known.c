// SPDX-License-Identifier: BSD-2-Clause
/* Accesses to devices of which everything is known: as those of which nothing is, only faster. */
// sources: tests/host/vcpu_fixture.c
// sources: core/mmio.c core/fetch.c mm/slot.c core/walk.c core/decode.c core/emulate.c core/io.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/fetch.h"
#include "core/vlapic.h"
#include "core/vpci.h"
#include "vcpu_fixture.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/regs.h"

#define DEVICE 0x80000000u

static struct cpu cpu;

static struct got {
	unsigned reads, writes;
	uint64_t value; /* next to be read, or last written */
	unsigned apic_writes;
	uint32_t apic_offset;
	unsigned asked;       /* how often mm/ was asked */
	enum tdp_result mmio; /* what it says of a malformed entry ... */
	unsigned handler;     /* ... and whose it is */
	void *dev;            /* which was used last */
} got;

/* Whether the exits of device pages are those of MMIO entries that do not tell what the access was. */
static bool untold;

void vpci_do_resets(struct guest *g)
{
	(void)g;
}

static uint64_t dev_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	(void)offset;
	(void)size;
	got.dev = dev;
	got.reads++;
	return got.value++;
}

static void dev_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	(void)dev;
	(void)offset;
	(void)size;
	got.writes++;
	got.value = value;
}

static const struct io_ops device = { .read = dev_read, .write = dev_write };

uint32_t lapic_read(uint32_t reg)
{
	return reg;
}

void vlapic_page_write(struct vcpu *v, uint32_t offset, uint32_t value)
{
	(void)v;
	(void)value;
	got.apic_writes++;
	got.apic_offset = offset;
}

/* Only of the local APIC's page. */
enum tdp_result tdp_fault(struct tdp *t, struct tdp_fault *fault)
{
	(void)t;
	got.asked++;
	fault->has_slot = true;
	fault->slot = the_slots.slot[2];
	return TDP_MMIO;
}

enum tdp_result tdp_mmio(struct tdp *t, gpa_t gpa, unsigned *handler)
{
	(void)t;
	(void)gpa;
	got.asked++;
	*handler = got.handler;
	return got.mmio;
}

static void code(const char *hex)
{
	uint64_t at = 0x1000;

	for (; *hex; hex += hex[2] ? 3 : 2)
		memory[at++] = (uint8_t)strtoul((char[]){ hex[0], hex[1], 0 }, NULL, 16);
}

static void fault_at(uint64_t gpa, uint64_t rip, bool write)
{
	const struct tdp_exit told = {
		.gpa = GPA(gpa), .read = !write, .write = write, .misconfig = true
	};
	const struct tdp_exit e = { .gpa = GPA(gpa), .untold = true, .misconfig = true };

	vcpu.rip = rip;
	vcpu_tdp_fault(&vcpu, untold ? &e : &told);
}

static void fault(bool write)
{
	fault_at(DEVICE + 8, 0x1000, write);
}

/*
 * 64-bit mode: tables at 0x10000, 0x11000, 0x12000 and 0x13000; the first pages are mapped to
 * themselves, 0x80000 is the device and 0x81000 the local APIC. The slots say so, too.
 */
#define TABLE   0x13000u
#define WINDOW  0x80000u
#define APIC    0x81000u
#define RIGHTS  0x63u /* present, writable, accessed, dirty */
#define USER    4u
#define ELSE_AT 0x40u /* the page that code may be moved to */

static void leaf(uint32_t gla, uint64_t value)
{
	memcpy(memory + TABLE + 8 * (gla >> PAGE_SHIFT), &value, 8);
}

static int setup(void **state)
{
	const uint64_t next[] = { 0x11000 | RIGHTS | USER, 0x12000 | RIGHTS | USER,
				  TABLE | RIGHTS | USER };
	uint32_t i;

	(void)state;
	memset(&got, 0, sizeof(got));
	got.mmio = TDP_MMIO;
	vcpu_fixture_setup();
	vcpu.cpu = &cpu;
	vcpu.apic_base = APIC_DEFAULT_GPA | APIC_BASE_EN;
	assert_int_equal(io_add_mmio(&guest.io, GPA(DEVICE), 0x1000, "", &device, NULL), OK);
	for (i = 0; i < 3; i++)
		memcpy(memory + 0x10000 + PAGE_SIZE * i, &next[i], 8);
	for (i = 0; i < 0x60; i++)
		leaf(i << PAGE_SHIFT, i << PAGE_SHIFT | RIGHTS | USER);
	leaf(WINDOW, DEVICE | RIGHTS);
	leaf(APIC, APIC_DEFAULT_GPA | RIGHTS);
	sregs.cr0 = CR0_PE | CR0_WP | CR0_PG;
	sregs.cr3 = 0x10000;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA | EFER_NXE;
	sregs.seg[SEG_CS].access = 0xa09b;
	the_slots.count = 3;
	the_slots.slot[1] = (struct slot){ .base = GFN(DEVICE >> PAGE_SHIFT),
					   .npages = 1,
					   .kind = SLOT_EMULATED };
	the_slots.slot[2] = (struct slot){ .base = GFN(APIC_DEFAULT_GPA >> PAGE_SHIFT),
					   .npages = 1,
					   .kind = SLOT_DEVICE,
					   .access = ACCESS_R };
	vcpu.gpr[GPR_RBX] = WINDOW + 8;
	untold = true;
	return 0;
}

/* Execute what is at 0x1000, which is about the device. Were the tables of mm/ asked? */
static bool slow(bool write)
{
	unsigned before = got.asked;

	fault(write);
	return got.asked != before;
}

static void test_known(void **state)
{
	unsigned before;

	(void)state;
	for (untold = false;; untold = true) {
		memset(&vcpu.fetch, 0, sizeof(vcpu.fetch));
		code("8b 03");
		got.reads = 0;
		assert_true(slow(false));
		assert_false(slow(false)); /* from here on it has been walked to */
		before = maps;
		got.value = 0x1234;
		assert_false(slow(false));
		assert_int_equal(got.reads, 3);
		assert_int_equal(vcpu.gpr[GPR_RAX], 0x1234);
		assert_int_equal(vcpu.rip, 0x1002);
		assert_int_equal(maps, before);
		if (untold)
			break;
	}
	assert_true(vcpu.stats[EXIT_TDP].exits == -6ull);
	assert_int_equal(vcpu.stats[EXIT_MMIO].exits, 6);
}

static void make_known(const char *hex, bool write)
{
	code(hex);
	(void)slow(write);
	(void)slow(write);
	assert_false(slow(write));
	assert_string_equal(done.death, "");
}

/* The same place, and other code: written over, or another page in its place. */
static void test_known_code_changes(void **state)
{
	(void)state;
	make_known("8b 03", false);
	code("8b 0b");
	got.value = 7;
	assert_true(slow(false));
	assert_int_equal(vcpu.gpr[GPR_RCX], 7);
	memory[ELSE_AT << PAGE_SHIFT] = 0x8b;
	memory[(ELSE_AT << PAGE_SHIFT) + 1] = 0x13;
	leaf(0x1000, ELSE_AT << PAGE_SHIFT | RIGHTS);
	got.value = 9;
	assert_true(slow(false));
	assert_int_equal(vcpu.gpr[GPR_RDX], 9);
	assert_int_equal(got.reads, 5);
	/* The same bytes mean something else in another mode. */
	leaf(0x1000, 0x1000 | RIGHTS);
	make_known("40 8b 03", false);
	sregs.seg[SEG_CS].access = 0xc09b;
	assert_true(slow(false));
	assert_non_null(strstr(done.death, "instruction not emulated"));
}

/* What the guest does to its page tables holds for the very next access. */
static void test_known_operand_changes(void **state)
{
	const uint64_t others[] = {
		0,
		(DEVICE + PAGE_SIZE) | RIGHTS,
		DEVICE | (RIGHTS & ~1u),
		DEVICE | RIGHTS | BIT(45),
	};
	unsigned i;

	(void)state;
	make_known("8b 03", false);
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		leaf(WINDOW, others[i]);
		done.death[0] = 0;
		got.reads = 0;
		assert_true(slow(false));
		assert_int_equal(got.reads, 0);
		leaf(WINDOW, DEVICE | RIGHTS);
		(void)slow(false);
		assert_int_equal(got.reads, 1);
	}
	/* An operand elsewhere in the page, which is not what the exit is about. */
	vcpu.gpr[GPR_RBX] = WINDOW + 12;
	assert_true(slow(false));
	assert_int_equal(got.reads, 1);
	vcpu.gpr[GPR_RBX] = BIT(48) + WINDOW + 8;
	assert_true(slow(false));
	assert_int_equal(got.reads, 1);
}

/* Rights are those of now, and a write leaves its trace in the tables. */
static void test_known_rights(void **state)
{
	uint64_t entry;

	(void)state;
	make_known("89 03", true);
	got.writes = 0;
	leaf(WINDOW, DEVICE | (RIGHTS & ~2u)); /* read-only */
	assert_true(slow(true));
	assert_int_equal(got.writes, 0);
	leaf(WINDOW, DEVICE | (RIGHTS & ~0x40u)); /* clean */
	assert_true(slow(true));
	memcpy(&entry, memory + TABLE + 8 * (WINDOW >> PAGE_SHIFT), 8);
	assert_true(entry == (DEVICE | RIGHTS));
	assert_int_equal(got.writes, 1);
	sregs.cpl = 3; /* it is the supervisor's */
	assert_true(slow(true));
	assert_int_equal(got.writes, 1);
	leaf(WINDOW, DEVICE | RIGHTS | USER);
	(void)slow(true);
	assert_false(slow(true));
	assert_int_equal(got.writes, 3);
	/* A page of users, which supervisors keep away from. */
	sregs.cpl = 0;
	sregs.cr4 |= CR4_SMAP;
	assert_true(slow(true));
	assert_int_equal(got.writes, 3);
}

/* The device is gone, or the memory with the code and the tables is another. */
static void test_known_slots_change(void **state)
{
	(void)state;
	make_known("8b 03", false);
	got.reads = 0;
	got.mmio = TDP_RETRY;
	the_slots.version++;
	the_slots.slot[1].base.v++;
	assert_true(slow(false));
	assert_int_equal(got.reads, 0);
	got.mmio = TDP_MMIO;
	the_slots.version++;
	the_slots.slot[1].base.v--;
	/* The second half of the memory becomes the first one, and what was there is somebody else's. */
	memcpy(memory + MEMORY / 2, memory, MEMORY / 2);
	memory[MEMORY / 2 + 0x1001] = 0x0b;
	memset(memory, 0x5a, MEMORY / 2);
	the_slots.slot[0].npages = MEMORY / 2 >> PAGE_SHIFT;
	the_slots.slot[0].pfn = PFN(MEMORY / 2 >> PAGE_SHIFT);
	got.value = 0x77;
	(void)slow(false);
	assert_int_equal(got.reads, 1);
	assert_int_equal(vcpu.gpr[GPR_RCX], 0x77);
	assert_string_equal(done.death, "");
}

static void test_known_is_forgotten(void **state)
{
	unsigned before;

	(void)state;
	make_known("8b 03", false);
	before = maps;
	fetch_forget(&vcpu);
	got.reads = 0;
	(void)slow(false);
	assert_int_equal(got.reads, 1);
	assert_true(maps > before);
}

/* The last byte of a long instruction counts, and one at the end of a page is read no further. */
static void test_known_bytes(void **state)
{
	unsigned i;

	(void)state;
	make_known("48 c7 83 00 00 00 00 05 00 00 00", true);
	assert_int_equal(got.value, 5);
	memory[0x1008] = 1;
	assert_true(slow(true));
	assert_int_equal(got.value, 0x105);
	got.reads = 0;
	memory[0x1ffe] = 0x8b;
	memory[0x1fff] = 0x03;
	for (i = 1; i < 4; i++) {
		fault_at(DEVICE + 8, 0x1ffe, false);
		assert_int_equal(got.reads, i);
		assert_int_equal(vcpu.rip, 0x2000);
	}
}

/* Two devices that would be remembered in the same place. */
static void test_known_devices(void **state)
{
	int other;

	(void)state;
	the_slots.slot[3] = the_slots.slot[2];
	the_slots.slot[2] = the_slots.slot[1];
	the_slots.slot[2].base.v += DEVICE_MEMOS;
	the_slots.slot[2].handler = 1;
	the_slots.count = 4;
	assert_int_equal(io_add_mmio(&guest.io, GPA(DEVICE + DEVICE_MEMOS * PAGE_SIZE), 0x1000, "",
				     &device, &other),
			 OK);
	make_known("8b 03", false);
	assert_null(got.dev);
	leaf(WINDOW, (DEVICE + DEVICE_MEMOS * PAGE_SIZE) | RIGHTS);
	got.handler = 1;
	for (unsigned i = 0; i < 3; i++) {
		fault_at(DEVICE + DEVICE_MEMOS * PAGE_SIZE + 8, 0x1000, false);
		assert_ptr_equal(got.dev, &other);
	}
	got.handler = 0;
	leaf(WINDOW, DEVICE | RIGHTS);
	(void)slow(false);
	assert_null(got.dev);
}

/* The instruction at RIP has nothing to do with it. */
static void test_known_event(void **state)
{
	const struct tdp_exit e = {
		.gpa = GPA(DEVICE + 8), .untold = true, .misconfig = true, .in_event = true
	};

	(void)state;
	make_known("8b 03", false);
	got.reads = 0;
	vcpu.rip = 0x1000;
	vcpu_tdp_fault(&vcpu, &e);
	assert_int_equal(got.reads, 0);
	assert_string_not_equal(done.death, "");
}

static void test_known_apic_page(void **state)
{
	const struct tdp_exit e = { .gpa = GPA(APIC_DEFAULT_GPA + LAPIC_EOI), .write = true };
	unsigned i;

	(void)state;
	vcpu.gpr[GPR_RBX] = APIC + LAPIC_EOI;
	code("c7 03 00 00 00 00");
	for (i = 0; i < 3; i++) {
		vcpu.rip = 0x1000;
		vcpu_tdp_fault(&vcpu, &e);
		assert_int_equal(vcpu.rip, 0x1006);
	}
	assert_int_equal(got.asked, 1);
	assert_int_equal(got.apic_writes, 3);
	assert_int_equal(got.apic_offset, LAPIC_EOI);
	assert_int_equal(vcpu.stats[EXIT_APIC].exits, 3);
	/* In x2APIC mode nobody is there. */
	vcpu.x2apic = true;
	vcpu.rip = 0x1000;
	vcpu_tdp_fault(&vcpu, &e);
	assert_int_equal(got.apic_writes, 3);
	assert_int_equal(vcpu.rip, 0x1006);
}

/* Something else, now and then: the code, the tables, the mode, the address, the slots. */
static void change_something(void)
{
	static const char *const insns[] = { "8b 03",    "89 03",    "48 8b 03",
					     "0f be 03", "83 0b 0f", "c7 03 05 00 00 00",
					     "87 03",    "66 89 03" };

	if (rand() % 4 == 0)
		code(insns[(unsigned)rand() % ARRAY_SIZE(insns)]);
	if (rand() % 8 == 0)
		leaf(WINDOW, DEVICE | ((RIGHTS | USER) & (uint32_t)rand()) | (rand() & 0x1000));
	else if (rand() % 4 == 0)
		leaf(WINDOW, DEVICE | RIGHTS | (sregs.cpl ? USER : 0));
	if (rand() % 8 == 0)
		sregs.cpl = rand() & 1 ? 3 : 0;
	if (rand() % 8 == 0)
		vcpu.gpr[GPR_RBX] = WINDOW + (rand() & 12);
	if (rand() % 16 == 0)
		the_slots.version++;
	untold = rand() & 3;
}

/* A fault, and the same with nothing known: all that comes of them is equal. */
static void fault_both_ways(bool write, unsigned *asked)
{
	static uint8_t before[MEMORY], after[MEMORY];
	struct vcpu first = vcpu, known;
	struct got first_got = got, known_got;
	struct done known_done;

	memcpy(before, memory, MEMORY);
	done = (struct done){ 0 };
	fault(write);
	*asked += got.asked;
	known = vcpu;
	known_got = got;
	known_done = done;
	memcpy(after, memory, MEMORY);

	memcpy(memory, before, MEMORY);
	vcpu = first;
	got = first_got;
	done = (struct done){ 0 };
	memset(&vcpu.fetch, 0, sizeof(vcpu.fetch));
	memset(&vcpu.devices, 0, sizeof(vcpu.devices));
	fault(write);
	known_got.asked = got.asked = 0;
	assert_memory_equal(&known_got, &got, sizeof(got));
	assert_memory_equal(&known_done, &done, sizeof(done));
	assert_memory_equal(known.gpr, vcpu.gpr, sizeof(vcpu.gpr));
	assert_int_equal(known.rip, vcpu.rip);
	assert_int_equal(known.rflags, vcpu.rflags);
	assert_memory_equal(after, memory, MEMORY);
	vcpu = known;
}

/* What is carried out does not depend on what is known: code, tables, slots and modes at random. */
static void test_whether_known_or_not(void **state)
{
	unsigned i, asked = 0;

	(void)state;
	srand(1);
	for (i = 0; i < 3000; i++) {
		bool write = rand() & 1;

		change_something();
		got.value = (uint64_t)i << 20 | i;
		fault_both_ways(write, &asked);
	}
	assert_in_range(asked, 500, 2700); /* both ways were taken */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_known),
		TEST(test_known_code_changes),
		TEST(test_known_operand_changes),
		TEST(test_known_rights),
		TEST(test_known_slots_change),
		TEST(test_known_is_forgotten),
		TEST(test_known_bytes),
		TEST(test_known_devices),
		TEST(test_known_event),
		TEST(test_known_apic_page),
		TEST(test_whether_known_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
