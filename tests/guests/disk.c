// SPDX-License-Identifier: BSD-2-Clause
/*
 * Drives an NVMe disk, whose pages a test has filled: every 8 bytes hold the page's number and
 * DISK_MARK. Reads lines from its console as `edu` does:
 *
 *   read N A PAGE N, write N A PAGE N   N pages from address A on; the first status that is no success
 *   flood N A N [S]    reads to N pages from A on, as many as possible, until the line `halt`, or for S
 *                      seconds without looking at the console; then how many came to an end, and
 *                      `errors N` how many of these failed
 *   die N A N COUNT    the same, and a triple fault after COUNT of them
 *   peek N A, poke N A V   by the CPU
 *   storm N            reads to two windows that change places meanwhile, see swap()
 *
 * `khz=` says how fast the TSC is where nobody else does. `auto` on the command line floods a page of its own at once; `irq` has completions announced by
 * interrupts, for which the core waits halted.
 */
#include <stdlib.h>

#include "guest.h"
#include "nvme.h"
#include "pci.h"

#define VECTOR_DISK 0x55
#define DISK_MARK   0xd15c000000000000ull
#define LINE        64 /* bytes that a device writes at once */

enum {
	/* As in storm.c. */
	PAIR_A = 0x40000000,
	PAIR_B = 0x42000000,
	RED = 0x50000000,
	BLUE = 0x51000000,
	PAIR_PAGES = 1024,
};

static uint8_t own[64 * 4096] aligned(4096);
static volatile uint32_t interrupts;
static uint64_t errors, seed = 1;
static bool by_interrupt;
static char line[80];

static void completion(struct frame *f)
{
	(void)f;
	interrupts++;
	apic_eoi();
}

static uint64_t random_below(uint64_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

static int wait_completion(void)
{
	int status;

	while ((status = nvme_poll()) < 0) {
		if (by_interrupt)
			wait_irq();
		else
			cpu_pause();
	}
	return status;
}

static uint64_t transfer(bool write, uint64_t address, uint64_t page, uint64_t count)
{
	int status = 0;

	while (count-- && !status) {
		nvme_submit(write, address, page++);
		status = wait_completion();
		address += 4096;
	}
	return (uint64_t)status;
}

/* Until `limit` have come to an end, or some seconds have passed, or if these are 0, a line arrives. */
static uint64_t flood(uint64_t address, uint64_t pages, uint64_t limit, uint64_t seconds)
{
	uint64_t sent = 0, ended = 0, until = rdtsc() + seconds * option("khz", tsc_khz()) * 1000;

	errors = 0;
	while (ended < limit) {
		while (sent - ended < NVME_FLOOD) {
			nvme_submit(false, address + sent % pages * 4096, sent % PAIR_PAGES);
			sent++;
		}
		errors += wait_completion() != 0;
		ended++;
		if (seconds ? rdtsc() > until : ended % 256 == 0 && read_line(line, sizeof(line)))
			break;
	}
	if (ended < limit)
		for (uint64_t left = sent - ended; left; left--, ended++)
			errors += wait_completion() != 0;
	return ended;
}

/*
 * A page from the disk to one of two windows: each line of it must arrive in exactly one of the two
 * regions behind them, whenever they change places.
 */
static bool swap(uint64_t *moved)
{
	uint64_t page = random_below(PAIR_PAGES), wanted = DISK_MARK | page;
	uint64_t side = random_below(2) ? PAIR_A : PAIR_B;
	volatile uint64_t *red = (volatile uint64_t *)(RED + page * 4096);
	volatile uint64_t *blue = (volatile uint64_t *)(BLUE + page * 4096);
	unsigned in_red = 0, in_blue = 0, n = 4096 / LINE;

	for (unsigned i = 0; i < 512; i++)
		red[i] = blue[i] = 0;
	nvme_submit(false, side + page * 4096, page);
	if (wait_completion())
		return check(false, "transfer");
	for (unsigned i = 0; i < n; i++) {
		bool r = red[i * LINE / 8] == wanted, b = blue[i * LINE / 8] == wanted;

		in_red += r;
		in_blue += b;
		if (r == b)
			return check(false, "line %u of page %llu arrived %s", i,
				     (unsigned long long)page, r ? "twice" : "nowhere");
	}
	*moved += in_blue != 0;
	return true;
}

static void storm(uint64_t tag)
{
	uint64_t loops = 0, blue = 0;

	say("storm begins");
	while (loops % 64 || !read_line(line, sizeof(line))) {
		if (!swap(&blue))
			break;
		loops++;
	}
	say("%llx: loops %llu, %llu in blue", (unsigned long long)tag, (unsigned long long)loops,
	    (unsigned long long)blue);
}

static uint64_t command(const uint64_t *w)
{
	volatile uint64_t *p = (volatile uint64_t *)w[1];

	if (!strncmp(line, "peek", 4))
		return *p;
	if (!strncmp(line, "poke", 4))
		return *p = w[2];
	if (!strncmp(line, "read", 4) || !strncmp(line, "write", 5))
		return transfer(line[0] == 'w', w[1], w[2], w[3]);
	if (!strncmp(line, "flood", 5))
		return flood(w[1], w[2], UINT64_MAX, w[3]);
	if (!strncmp(line, "errors", 6))
		return errors;
	if (!strncmp(line, "interrupts", 10))
		return interrupts;
	if (!strncmp(line, "die", 3)) {
		flood(w[1], w[2], w[3], 0);
		triple_fault();
	}
	return 0;
}

static void obey(void)
{
	char *end = strchr(line, ' ');
	uint64_t word[5] = { 0 }, result;

	for (unsigned i = 0; end && i < ARRAY_SIZE(word); i++)
		word[i] = strtoull(end, &end, 16);
	if (!strncmp(line, "storm", 5)) {
		storm(word[0]);
		return;
	}
	result = command(word);
	say("%llx: %llx", (unsigned long long)word[0], (unsigned long long)result);
}

void guest_main(void)
{
	uint32_t bdf = pci_find_class(NVME_CLASS, 0);

	apic_init(has_word("x2apic"));
	set_handler(VECTOR_DISK, completion);
	by_interrupt = has_word("irq");
	if (!check(bdf != PCI_NOWHERE, "there is a disk") ||
	    !check(nvme_init(bdf, by_interrupt ? VECTOR_DISK : 0), "it gets ready"))
		return;
	say("disk ready");
	if (has_word("auto"))
		flood((uintptr_t)own, sizeof(own) / 4096, UINT64_MAX, 0);
	for (;;) {
		if (!read_line(line, sizeof(line))) {
			cpu_pause();
			continue;
		}
		if (!strcmp(line, "end"))
			break;
		obey();
	}
}
