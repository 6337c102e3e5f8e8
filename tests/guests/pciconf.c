// SPDX-License-Identifier: BSD-2-Clause
/*
 * Does to its PCI bus what no driver would, by the words on its command line:
 *
 *   fuzz    random values (`seed=`, `rounds=`) to every register of every function, at each width, by
 *           ports and by memory; then each must still be what it was
 *   bars    moves a BAR over everything that is there already, and back
 *   race    one core rewrites MSI-X entries while the other has them used
 *   moves   two cores move a BAR each, to the same few places, and use what is there
 *   small   reads and writes BARs that are smaller than a page, and ports of BARs
 *
 * Interrupts may come with any vector meanwhile; they are counted.
 */
#include "core/vpci_layout.h"
#include "guest.h"
#include "nvme.h"
#include "pci.h"

#define IOAPIC         0xfec00000ull
#define IOAPIC_VERSION 1
#define XAPIC          0xfee00000ull
#define RAM            0x1000000ull  /* ours, and unused */
#define FREE           0xd8000000ull /* nothing is there */
#define CANARY         0x5afe5afe5afe5afeull
#define EXCEPTIONS     32u

static volatile uint32_t vectors[256];
static uint64_t seed;

static void count_vector(struct frame *f)
{
	vectors[f->vector]++;
	apic_eoi();
}

static uint32_t random32(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

/* Half of them close to values that mean something. */
static uint32_t random_value(void)
{
	static const uint32_t special[] = { 0,          ~0u,        0x7,        0xfee00000,
					    0xfec00000, 0x80000000, 0xe8000000, RAM };

	return random32() & 1 ? random32() : special[random32() % ARRAY_SIZE(special)];
}

/* ------------------------------------------------------------------ random values */

static void fuzz_register(uint32_t bdf, unsigned offset, unsigned size)
{
	if (offset < 256 && random32() & 1)
		pci_write(bdf, offset, size, random_value());
	else
		pci_ecam_write(bdf, offset, size, random_value());
	(void)pci_ecam_read(bdf, offset, size);
}

static void fuzz_function(uint32_t bdf, unsigned rounds)
{
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned size = 1; size <= 4; size *= 2)
			for (unsigned at = 0; at < (round ? 256 : 4096u); at += size)
				fuzz_register(bdf, at, size);
}

static bool same_in_both_views(uint32_t bdf)
{
	for (unsigned at = 0; at < 256; at += 4)
		if (pci_read(bdf, at, 4) != pci_ecam_read(bdf, at, 4) && at != PCI_COMMAND)
			return false;
	return true;
}

static void fuzz(void)
{
	unsigned rounds = (unsigned)option("rounds", 4), functions = 0;

	for (uint32_t bdf = 0; bdf < PCI_BUS_FUNCTIONS; bdf++) {
		uint32_t id = pci_read(bdf, PCI_ID, 4);
		uint64_t sizes[6];

		if (id == ~0u)
			continue;
		for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++)
			sizes[n] = pci_bar_size(bdf, n);
		fuzz_function(bdf, rounds);
		pci_write(bdf, PCI_COMMAND, 2, 0);
		check(pci_read(bdf, PCI_ID, 4) == id, "%02x.%x is still %08x", bdf >> 3, bdf & 7,
		      id);
		check(same_in_both_views(bdf), "%02x.%x reads the same both ways", bdf >> 3,
		      bdf & 7);
		for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++)
			if (pci_bar_size(bdf, n) != sizes[n])
				check(false, "%02x.%x: BAR %u has another size", bdf >> 3, bdf & 7,
				      n);
		functions++;
	}
	check(functions > 1, "%u functions", functions);
	/* What is not there stays away, and so does what is beyond the bus. */
	check(pci_read(PCI_BDF(31, 7), PCI_ID, 4) == ~0u, "no function at 1f.7");
	check(pci_read(1u << 8, PCI_ID, 4) == ~0u, "no bus 1");
}

/* ------------------------------------------------------------------ BARs on top of others */

static uint32_t ioapic_version(void)
{
	*(volatile uint32_t *)IOAPIC = IOAPIC_VERSION;
	return *(volatile uint32_t *)(IOAPIC + 0x10);
}

static void move_over(uint32_t bdf, uint64_t where, const char *what)
{
	uint32_t version = ioapic_version(), id = *(volatile uint32_t *)(XAPIC + 0x30);
	volatile uint64_t *ram = (volatile uint64_t *)RAM;
	uint64_t home = pci_bar(bdf, 0);
	uint32_t first = *(volatile uint32_t *)home;

	*ram = CANARY;
	pci_set_bar(bdf, 0, where);
	check(*ram == CANARY, "%s: memory is memory", what);
	check(ioapic_version() == version, "%s: the IOAPIC is there", what);
	check(*(volatile uint32_t *)(XAPIC + 0x30) == id, "%s: the local APIC is there", what);
	check(pci_ecam_read(bdf, PCI_ID, 4) == pci_read(bdf, PCI_ID, 4), "%s: ECAM is there", what);
	pci_set_bar(bdf, 0, home);
	check(*(volatile uint32_t *)home == first, "%s: and back", what);
}

static void bars(void)
{
	uint32_t bdf = pci_find(0x11e81234, 0), other = pci_find(0x11e81234, 1);
	uint64_t home, neighbour;

	if (!check(bdf != PCI_NOWHERE && other != PCI_NOWHERE, "two devices"))
		return;
	pci_command(bdf, PCI_COMMAND_MEMORY, 0);
	pci_command(other, PCI_COMMAND_MEMORY, 0);
	home = pci_bar(bdf, 0);
	neighbour = pci_bar(other, 0);
	check(pci_bar_size(bdf, 0) == 0x100000, "size %#llx",
	      (unsigned long long)pci_bar_size(bdf, 0));
	move_over(bdf, RAM, "over memory");
	move_over(bdf, 0, "over address 0");
	move_over(bdf, XAPIC, "over the local APIC");
	move_over(bdf, IOAPIC, "over the IOAPIC");
	move_over(bdf, VPCI_ECAM_GPA, "over ECAM");
	move_over(bdf, 0xfff00000, "at the end of 4 GiB");
	move_over(bdf, neighbour, "over another BAR");
	check(*(volatile uint32_t *)neighbour == 0x010000ed, "the other device answers");
	/* A driver may move it where nothing is. */
	pci_set_bar(bdf, 0, FREE);
	check(*(volatile uint32_t *)FREE == 0x010000ed, "it answers where it was moved");
	check(*(volatile uint32_t *)home != 0x010000ed, "and no longer where it was");
	pci_command(bdf, 0, PCI_COMMAND_MEMORY);
	check(*(volatile uint32_t *)FREE != 0x010000ed, "nor anywhere without decoding");
	pci_command(bdf, PCI_COMMAND_MEMORY, 0);
	for (unsigned n = 0; n < 200; n++)
		pci_set_bar(bdf, 0, n % 2 ? FREE : home);
	check(*(volatile uint32_t *)FREE == 0x010000ed, "and after 200 moves");
}

/* ------------------------------------------------------------------ MSI-X entries in a race */

#define VECTOR_GOOD  0x61u
#define VECTOR_OTHER 0x62u

static volatile bool racing, raced;
static uint32_t disk, first_core;

/* The second core: entries that come and go, to both cores, and some that must never be used. */
static void rewrite(void)
{
	volatile uint32_t *entry = pci_msix_table(disk);

	load_idt();
	apic_init(false);
	irq_on();
	while (racing) {
		uint32_t r = random32();

		entry[3] = r & 1;
		entry[0] = 0xfee00000 | (first_core + (r >> 1 & 1)) << 12;
		entry[2] = r & 4 ? VECTOR_GOOD : VECTOR_OTHER;
		if (!(r & 0x38))
			entry[2] = 0x400 | VECTOR_GOOD; /* NMI */
		if (!(r & 0x1c0))
			entry[0] = 0xfee00000 | (r >> 12 & 0xff) << 12 | (r & 0xc);
		if (!(r & 0xe00))
			entry[0] = r & ~3u;
	}
	irq_off();
	raced = true;
}

static void race(void)
{
	static uint8_t page[4096] aligned(4096);
	unsigned done = 0, failed = 0, strange = 0, n = (unsigned)option("rounds", 2000);

	disk = pci_find_class(NVME_CLASS, 0);
	if (!check(disk != PCI_NOWHERE && nvme_init(disk, VECTOR_GOOD), "the disk gets ready"))
		return;
	racing = true;
	first_core = apic_id();
	start_core(first_core + 1, rewrite);
	for (unsigned i = 0; i < n; i++) {
		failed += nvme_transfer(false, (uintptr_t)page, i % 1024) != 0;
		done++;
	}
	racing = false;
	while (!raced)
		cpu_pause();
	for (unsigned v = 0; v < ARRAY_SIZE(vectors); v++)
		if (v != VECTOR_GOOD && v != VECTOR_OTHER)
			strange += vectors[v];
	check(!failed, "%u of %u transfers", done - failed, done);
	check(!strange, "only the vectors %x and %x: %u others", VECTOR_GOOD, VECTOR_OTHER,
	      strange);
	/* And now in order. */
	irq_off();
	check(pci_msix(disk, 0, VECTOR_GOOD, apic_id()), "the entry is set");
	irq_on();
	done = vectors[VECTOR_GOOD];
	nvme_transfer(false, (uintptr_t)page, 0);
	for (n = 0; vectors[VECTOR_GOOD] == done && n < 10000000; n++)
		cpu_pause();
	check(vectors[VECTOR_GOOD] == done + 1, "one more interrupt, %u before", done);
}

/* ------------------------------------------------------------------ two cores move BARs */

#define EDU_NAME 0x010000edu
#define EDU_SIZE 0x100000u
#define PLACES   3u

static uint32_t mover[2];
static volatile unsigned moved[2], wrong;

/* Where two are at one place, it is the first one's; in between, nobody's. */
static void move_about(unsigned me, unsigned count)
{
	for (unsigned n = 0; n < count; n++) {
		uint64_t at = FREE + (n * (me + 1) % PLACES) * EDU_SIZE;
		uint32_t name;

		pci_ecam_write(mover[me], PCI_BAR(0), 4, (uint32_t)at);
		name = *(volatile uint32_t *)at;
		wrong += name != EDU_NAME && name != ~0u;
		name = pci_ecam_read(mover[me], PCI_BAR(0), 4);
		wrong += name != (uint32_t)at;
		moved[me] = n + 1;
	}
}

static void move_second(void)
{
	load_idt();
	apic_init(false);
	move_about(1, (unsigned)option("rounds", 500));
	raced = true;
}

static void moves(void)
{
	unsigned rounds = (unsigned)option("rounds", 500);

	for (unsigned i = 0; i < 2; i++) {
		mover[i] = pci_find(0x11e81234, i);
		if (!check(mover[i] != PCI_NOWHERE, "device %u", i))
			return;
		pci_command(mover[i], PCI_COMMAND_MEMORY, 0);
	}
	start_core(apic_id() + 1, move_second);
	move_about(0, rounds);
	while (!raced)
		cpu_pause();
	check(moved[0] == rounds && moved[1] == rounds, "%u and %u moves", moved[0], moved[1]);
	check(!wrong, "%u things that are not theirs", wrong);
	/* In the end each has its place. */
	for (unsigned i = 0; i < 2; i++)
		pci_ecam_write(mover[i], PCI_BAR(0), 4, (uint32_t)(FREE + i * EDU_SIZE));
	for (unsigned i = 0; i < 2; i++)
		check(*(volatile uint32_t *)(FREE + i * EDU_SIZE) == EDU_NAME, "device %u is there",
		      i);
}

/* ------------------------------------------------------------------ small BARs */

#define NIC        0x813910ecu /* the station's address at 0, its multicast filter at 8 */
#define NIC_FILTER 8
#define NIC_SIZE   0x100u
#define NICS       2u

struct nic {
	uint32_t bdf;
	uint16_t port;
	volatile uint8_t *at;
};

static bool find_nic(struct nic *nic, unsigned nth)
{
	nic->bdf = pci_find(NIC, nth);
	if (!check(nic->bdf != PCI_NOWHERE, "network card %u", nth))
		return false;
	pci_command(nic->bdf, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 0);
	nic->port = (uint16_t)(pci_read(nic->bdf, PCI_BAR(0), 4) & ~3u);
	nic->at = (volatile uint8_t *)pci_bar(nic->bdf, 1);
	return true;
}

/* Both ways lead to the same registers, at each width, and not to the other card's. */
static bool same_nic(const struct nic *nic, uint32_t value)
{
	volatile uint32_t *filter = (volatile uint32_t *)(nic->at + NIC_FILTER);
	bool same = nic->at[0] == 0x52 && nic->at[4] == 0x34;

	for (unsigned i = 0; i < 6; i++)
		same &= nic->at[i] == inb((uint16_t)(nic->port + i));
	*filter = value;
	same &= inl((uint16_t)(nic->port + NIC_FILTER)) == value;
	same &= inw((uint16_t)(nic->port + NIC_FILTER + 2)) == value >> 16;
	outl((uint16_t)(nic->port + NIC_FILTER), ~value);
	same &= *filter == ~value && *(volatile uint16_t *)filter == (uint16_t)~value;
	return same;
}

static bool both_work(const struct nic *nic)
{
	bool good = nic[0].at[5] != nic[1].at[5];

	for (unsigned i = 0; i < NICS; i++)
		good &= same_nic(&nic[i], 0x11223344 * (i + 1));
	return good;
}

static void move_nic(struct nic *nic, uint64_t where, uint16_t port)
{
	pci_set_bar(nic->bdf, 1, where);
	pci_write(nic->bdf, PCI_BAR(0), 4, port);
	nic->at = (volatile uint8_t *)where;
	nic->port = port;
}

static void small(void)
{
	struct nic nic[NICS];
	volatile uint8_t *rom = (volatile uint8_t *)(FREE + SIZE_2M);

	for (unsigned i = 0; i < NICS; i++)
		if (!find_nic(&nic[i], i))
			return;
	check(pci_bar_size(nic[0].bdf, 1) == NIC_SIZE, "a small BAR");
	check(both_work(nic), "both work");
	for (unsigned i = 0; i < NICS; i++)
		move_nic(&nic[i], FREE + 0x300 + 2 * i * NIC_SIZE, (uint16_t)(0xd100 + 0x100 * i));
	check(both_work(nic), "and in one page");
	check(*(volatile uint32_t *)(FREE + 0x400) == ~0u, "nothing between them");
	for (unsigned i = 0; i < NICS; i++)
		move_nic(&nic[i], FREE + i * 4096, (uint16_t)(0xe000 + 0x1000 * i));
	check(both_work(nic), "and at the start of pages");
	pci_command(nic[0].bdf, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	check(inb(nic[0].port) == 0xff && nic[0].at[0] == 0xff, "one is off");
	check(nic[1].at[0] == 0x52, "the other is not");
	pci_write(nic[1].bdf, PCI_ROM_BAR, 4, (uint32_t)(uintptr_t)rom | 1);
	/* OVMF leaves a ROM over the copy that it has made in memory: then the guest has none. */
	check(pci_read(nic[1].bdf, PCI_ROM_BAR, 4) == 0 && rom[0] == 0xff, "no ROM");
}

void guest_main(void)
{
	seed = option("seed", 1);
	apic_init(false);
	for (unsigned v = EXCEPTIONS; v < ARRAY_SIZE(vectors); v++)
		set_handler((uint8_t)v, count_vector);
	irq_on();
	if (has_word("fuzz"))
		fuzz();
	if (has_word("bars"))
		bars();
	if (has_word("race"))
		race();
	if (has_word("moves"))
		moves();
	if (has_word("small"))
		small();
	irq_off();
}
