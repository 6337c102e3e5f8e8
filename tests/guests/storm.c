// SPDX-License-Identifier: BSD-2-Clause
/*
 * Executes from, reads and writes memory whose layout the monitor changes meanwhile, and compares
 * all that it sees with what it may see. Reads lines from its console, whose second word comes back
 * in the answer, so that an old answer is not taken for a new one:
 *
 *   peek N A, poke N A V, call N A   one access; `call` executes a page's function
 *   fill N A PAGES COLOUR            make pages: their number and colour, and a function that
 *                                    returns both
 *   run                              the storm, until a line `stop` arrives; `check N` meanwhile
 *                                    looks at every page once more, through the TLB and through
 *                                    the hypervisor
 *
 * The storm's memory, which tests/target/storm.py sets up, is the enum below.
 */
#include <stdlib.h>

#include "core/vioapic.h"
#include "guest.h"

enum {
	/* Two regions, whose windows change places; each is also seen at an address of its own. */
	PAIR_A = 0x40000000,
	PAIR_B = 0x42000000,
	RED = 0x50000000,
	BLUE = 0x51000000,
	PAIR_PAGES = 1024,
	/* A window whose backing changes between two regions of equal contents. */
	EQUAL = 0x46000000,
	EQUAL_PAGES = 515,
	/* Memory that grows and shrinks behind its first pages. */
	ODD = 0x48000000,
	ODD_KEPT = 257,
	ODD_PAGES = 1027,
	/* Memory that is read-only at times. */
	GUARDED = 0x4c001000,
	GUARDED_PAGES = 9,
};

enum {
	NO_COLOUR,
	RED_COLOUR,
	BLUE_COLOUR,
	EQUAL_COLOUR,
	ODD_COLOUR,
	GUARDED_COLOUR
};

#define ABSENT  (~0ull) /* what reads find where there is no memory */
#define SCRATCH 0x3ff   /* the UART's scratch register */
#define TRIES   4       /* what may be seen for a moment must not last */

/* What a page begins with. The low byte of `mark` differs between colours. */
struct page {
	uint64_t mark;
	uint64_t generation, echo;
	uint64_t unused_words[5];
	uint8_t code[6]; /* returns the mark */
	uint8_t load[10];
};

/*
 * Another function: loads the IOAPIC's register into EAX, in a red page, or else into ECX, by an
 * instruction that the hypervisor has to fetch.
 */
static const uint8_t load_red[10] = { 0x31, 0xc0, 0x31, 0xc9, 0x8b, 0x42, 0x10, 0xc3 };
static const uint8_t load_blue[10] = { 0x31, 0xc0, 0x31, 0xc9, 0x8b, 0x4a, 0x10, 0xc3 };

static uint64_t loops, fetches, absent, refused_writes, emulated;
static uint64_t seed = 1;

static uint64_t mark(unsigned colour, uint64_t page)
{
	return colour | page << 8;
}

static volatile struct page *page_at(uint64_t base, uint64_t page)
{
	return (volatile struct page *)(base + page * PAGE_SIZE);
}

/* What the page's function returns: its mark. */
static uint32_t call(uint64_t base, uint64_t page)
{
	uint32_t (*function)(void) =
		(uint32_t(*)(void))(base + page * PAGE_SIZE + offsetof(struct page, code));

	fetches++;
	return function();
}

static void fill(uint64_t base, uint64_t pages, unsigned colour)
{
	for (uint64_t i = 0; i < pages; i++) {
		volatile struct page *p = page_at(base, i);
		uint32_t value = (uint32_t)mark(colour, i);

		p->mark = value;
		p->generation = p->echo = 0;
		p->code[0] = 0xb8; /* mov $value, %eax */
		for (unsigned b = 0; b < 4; b++)
			p->code[1 + b] = (uint8_t)(value >> (8 * b));
		p->code[5] = 0xc3; /* ret */
		for (unsigned b = 0; b < sizeof(p->load); b++)
			p->load[b] = (colour == RED_COLOUR ? load_red : load_blue)[b];
	}
}

static uint64_t random_below(uint64_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

static void fail(const char *what, uint64_t base, uint64_t page, uint64_t found)
{
	check(false, "%s: page %llu of %#llx: %#llx, loop %llu", what, (unsigned long long)page,
	      (unsigned long long)base, (unsigned long long)found, (unsigned long long)loops);
}

/* ------------------------------------------------------------------ the storm's parts */

static bool is_pair_mark(uint64_t value, uint64_t page)
{
	return value == mark(RED_COLOUR, page) || value == mark(BLUE_COLOUR, page);
}

/* The two windows never show the same region, but between two reads they may change. */
static void sides_differ(uint64_t page)
{
	uint64_t a = 0, b, again;

	for (unsigned i = 0; i < TRIES; i++) {
		a = page_at(PAIR_A, page)->mark;
		b = page_at(PAIR_B, page)->mark;
		again = page_at(PAIR_A, page)->mark;
		if (a != again || a != b)
			return;
	}
	fail("both windows show the same", PAIR_A, page, a);
}

static void pair(void)
{
	uint64_t side = random_below(2) ? PAIR_A : PAIR_B, page = random_below(PAIR_PAGES), found;

	found = page_at(side, page)->mark;
	if (!is_pair_mark(found, page))
		fail("read", side, page, found);
	found = call(side, page);
	if (!is_pair_mark(found, page))
		fail("fetch", side, page, found);

	page_at(RED, page)->generation = 2 * loops;
	page_at(BLUE, page)->generation = 2 * loops + 1;
	found = page_at(side, page)->generation;
	if (found >> 1 != loops)
		fail("stale data", side, page, found);

	page_at(RED, page)->echo = page_at(BLUE, page)->echo = 0;
	page_at(side, page)->echo = loops;
	if (page_at(RED, page)->echo + page_at(BLUE, page)->echo != loops)
		fail("lost write", side, page, page_at(RED, page)->echo);
	sides_differ(page);
}

/* The mark of a page for as long as a load by its other function took; 0: it changed meanwhile. */
static uint64_t load_emulated(uint64_t side, uint64_t page, uint32_t *eax, uint32_t *ecx)
{
	uint64_t before = page_at(side, page)->mark;
	uint64_t function = side + page * PAGE_SIZE + offsetof(struct page, load);

	__asm__ volatile("call *%2"
			 : "=a"(*eax), "=c"(*ecx)
			 : "r"(function), "d"(VIOAPIC_GPA)
			 : "memory", "cc");
	emulated++;
	return page_at(side, page)->mark == before ? before : 0;
}

/* The hypervisor executes what is in the page now, and not what it has seen there before. */
static void emulated_code(void)
{
	uint64_t side = random_below(2) ? PAIR_A : PAIR_B, page = random_below(4);
	uint32_t eax = 0, ecx = 0;

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t found = load_emulated(side, page, &eax, &ecx);

		if (found == mark(RED_COLOUR, page) && eax && !ecx)
			return;
		if (found == mark(BLUE_COLOUR, page) && !eax && ecx)
			return;
	}
	fail("emulated load", side, page, (uint64_t)ecx << 32 | eax);
}

static void equal(void)
{
	uint64_t page = random_below(EQUAL_PAGES), found = page_at(EQUAL, page)->mark;

	if (found != mark(EQUAL_COLOUR, page))
		fail("read", EQUAL, page, found);
	found = call(EQUAL, page);
	if (found != mark(EQUAL_COLOUR, page))
		fail("fetch", EQUAL, page, found);
}

/* Behind the part that stays, a page is absent, zeroed, or as we have written it. */
static void odd_tail(void)
{
	uint64_t page = ODD_KEPT + random_below(ODD_PAGES - ODD_KEPT);
	uint64_t wanted = mark(ODD_COLOUR, page), found = page_at(ODD, page)->mark;

	absent += found == ABSENT;
	if (found && found != ABSENT && found != wanted)
		fail("tail", ODD, page, found);
	page_at(ODD, page)->mark = wanted;
}

static void odd(void)
{
	uint64_t page = random_below(ODD_KEPT), found = page_at(ODD, page)->mark;

	if (found != mark(ODD_COLOUR, page))
		fail("read", ODD, page, found);
	found = call(ODD, page);
	if (found != mark(ODD_COLOUR, page))
		fail("fetch", ODD, page, found);
	page_at(ODD, page)->echo = loops;
	found = page_at(ODD, page)->echo;
	if (found != loops)
		fail("lost write", ODD, page, found);
	if (loops % 16 == 0)
		odd_tail();
}

static void guarded(void)
{
	uint64_t page = random_below(GUARDED_PAGES), found = call(GUARDED, page), before;

	if (found != mark(GUARDED_COLOUR, page))
		fail("fetch", GUARDED, page, found);
	if (loops % 16)
		return;
	before = page_at(GUARDED, page)->echo;
	page_at(GUARDED, page)->echo = loops;
	found = page_at(GUARDED, page)->echo;
	refused_writes += found == before;
	if (found != loops && found != before)
		fail("guarded write", GUARDED, page, found);
}

/* ------------------------------------------------------------------ the truth */

/* A byte as the hypervisor finds it, which looks it up in the slots and not in our TLB. */
static uint8_t truth(uint64_t address)
{
	uint64_t at = address;

	__asm__ volatile("outsb" : "+S"(at) : "d"(SCRATCH) : "memory");
	return inb(SCRATCH);
}

static void compare(uint64_t base, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++) {
		uint8_t mine = *(volatile uint8_t *)(base + i * PAGE_SIZE);
		uint8_t called = (uint8_t)call(base, i);
		uint8_t theirs = truth(base + i * PAGE_SIZE);

		if (mine != theirs || called != theirs)
			fail("stale translation", base, i,
			     (uint64_t)mine << 16 | (uint64_t)called << 8 | theirs);
	}
}

/* While the monitor rests: what the TLB says is what the layout says. */
static void compare_all(uint64_t tag)
{
	compare(PAIR_A, PAIR_PAGES);
	compare(PAIR_B, PAIR_PAGES);
	compare(EQUAL, EQUAL_PAGES);
	compare(ODD, ODD_KEPT);
	compare(GUARDED, GUARDED_PAGES);
	say("%llx: checked, loops %llu", (unsigned long long)tag, (unsigned long long)loops);
}

/* ------------------------------------------------------------------ commands */

static char line[80];

static void run(void)
{
	*(volatile uint32_t *)VIOAPIC_GPA = 1; /* the version, which is not 0 */
	say("storm begins");
	for (loops = 1;; loops++) {
		pair();
		if (loops % 4 == 0)
			emulated_code();
		equal();
		odd();
		guarded();
		if (loops % 256 || !read_line(line, sizeof(line)))
			continue;
		if (!strncmp(line, "check ", 6))
			compare_all(strtoull(line + 6, NULL, 16));
		if (!strcmp(line, "stop"))
			break;
	}
	check(loops > 1000, "loops %llu", (unsigned long long)loops);
	check(true, "fetches %llu, absent %llu, refused writes %llu, emulated loads %llu",
	      (unsigned long long)fetches, (unsigned long long)absent,
	      (unsigned long long)refused_writes, (unsigned long long)emulated);
}

static void command(void)
{
	uint64_t word[4];
	unsigned tag;
	char *end = line;

	while (*end && *end != ' ')
		end++;
	for (unsigned i = 0; i < ARRAY_SIZE(word); i++)
		word[i] = strtoull(end, &end, 16);
	tag = (unsigned)word[0];
	if (!strncmp(line, "peek", 4)) {
		say("%x: %llx", tag, (unsigned long long)*(volatile uint64_t *)word[1]);
	} else if (!strncmp(line, "poke", 4)) {
		*(volatile uint64_t *)word[1] = word[2];
		say("%x: %llx", tag, (unsigned long long)*(volatile uint64_t *)word[1]);
	} else if (!strncmp(line, "call", 4)) {
		say("%x: %x", tag, call(word[1], 0));
	} else if (!strncmp(line, "fill", 4)) {
		fill(word[1], word[2], (unsigned)word[3]);
		say("%x: filled", tag);
	} else if (!strcmp(line, "run")) {
		run();
	}
}

void guest_main(void)
{
	say("storm ready");
	do {
		while (!read_line(line, sizeof(line)))
			__asm__ volatile("pause");
		command();
	} while (strcmp(line, "end") && strcmp(line, "stop"));
}
