/* SPDX-License-Identifier: BSD-2-Clause */
/* Monitor commands about a guest's memory: what it is, and how to change it while the guest runs. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/guest_slots.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"
#include "mm/mm_host.h"

#define ATTEMPTS 16 /* to commit a transaction before others do */

typedef unsigned long long ull;

/* ------------------------------------------------------------------ words and numbers */

static bool parse_address(const char *word, uint64_t *gpa)
{
	char *end;

	*gpa = strtoull(word, &end, 16);
	if (*end || !isxdigit((unsigned char)*word)) {
		monitor_error("'%s' is no hexadecimal address\n", word);
		return false;
	}
	return true;
}

static bool parse_size(const char *word, uint64_t *size)
{
	static const char units[] = "KMGT";
	char *end;
	const char *unit;
	unsigned shift = 0;

	*size = strtoull(word, &end, 10);
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit)
		shift = 10 * (unsigned)(unit - units + 1);
	if (!isdigit((unsigned char)*word) || !unit || end[1] || *size > UINT64_MAX >> shift) {
		monitor_error("'%s' is no size; a number with K, M, G or T is expected\n", word);
		return false;
	}
	*size <<= shift;
	return true;
}

static bool parse_rights(const char *word, unsigned *access)
{
	static const struct {
		const char *name;
		unsigned access;
	} rights[] = {
		{ "ro", ACCESS_R },    { "rw", ACCESS_RW }, { "rx", ACCESS_RX },
		{ "rwx", ACCESS_RWX }, { "r", ACCESS_R },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rights); i++) {
		if (!strcmp(word, rights[i].name)) {
			*access = rights[i].access;
			return true;
		}
	}
	monitor_error("'%s' are no rights; ro, rw, rx or rwx are expected\n", word);
	return false;
}

static bool check_name(const char *name)
{
	if (strlen(name) < SLOT_NAME_LEN && !strchr(name, ','))
		return true;
	monitor_error("'%s' is too long for a name; %d characters fit\n", name, SLOT_NAME_LEN - 1);
	return false;
}

const char *monitor_size(uint64_t bytes, char text[MONITOR_SIZE_LEN])
{
	static const char units[] = "KMGT";
	unsigned unit = 0;

	bytes >>= 10;
	for (; unit < 3 && bytes && !(bytes & 1023); unit++)
		bytes >>= 10;
	snprintf(text, MONITOR_SIZE_LEN, "%llu%c", (ull)bytes, units[unit]);
	return text;
}

const char *monitor_rights(unsigned access, char text[4])
{
	text[0] = access & ACCESS_R ? 'r' : '-';
	text[1] = access & ACCESS_W ? 'w' : '-';
	text[2] = access & ACCESS_X ? 'x' : '-';
	text[3] = 0;
	return text;
}

static const char *type_name(unsigned type)
{
	static const char *const names[MEM_TYPES] = {
		[MEM_WB] = "wb", [MEM_UC] = "uc", [MEM_WC] = "wc"
	};

	return type < MEM_TYPES ? names[type] : "?";
}

static const char *kind_name(unsigned kind)
{
	static const char *const names[] = { [SLOT_RAM] = "ram",
					     [SLOT_ROM] = "rom",
					     [SLOT_DEVICE] = "device",
					     [SLOT_SHARED] = "shared",
					     [SLOT_EMULATED] = "emul" };

	return kind < ARRAY_SIZE(names) && names[kind] ? names[kind] : "?";
}

/* ------------------------------------------------------------------ what there is */

/* The first slot that ends behind the frame, with the set's version and size. False: none. */
static bool next_slot(struct guest *g, uint64_t gfn, struct slot *slot, struct slot_set *set)
{
	const struct slot *s;

	/* One slot per read section: printing may wait, and a section may not. */
	mm_read_begin();
	*set = *tdp_slots(&g->tdp);
	s = slot_next(tdp_slots(&g->tdp), GFN(gfn));
	if (s)
		*slot = *s;
	mm_read_end();
	return s;
}

static void print_slot(const struct slot *s)
{
	char size[MONITOR_SIZE_LEN], rights[4];

	monitor_print(
		"  %012llx-%012llx %8s %s  %s  %-6s %012llx  %s%s\n", (ull)gfn_to_gpa(s->base).v,
		(ull)(slot_end(s) << PAGE_SHIFT) - 1, monitor_size(s->npages << PAGE_SHIFT, size),
		monitor_rights(s->access, rights), type_name(s->type), kind_name(s->kind),
		(ull)pfn_to_hpa(s->pfn).v, s->name, s->flags & SLOT_LOG ? "  (dirty log)" : "");
}

void cmd_slots(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);
	struct slot_set set;
	struct slot slot;
	uint64_t gfn = 0;

	if (!g)
		return;
	next_slot(g, 0, &slot, &set);
	monitor_print("guest %s: %u slots, version %llu\n", g->config->name, set.count,
		      (ull)set.version);
	monitor_print("  gpa                           size rights  kind   hpa           name\n");
	while (next_slot(g, gfn, &slot, &set)) {
		print_slot(&slot);
		gfn = slot_end(&slot);
	}
}

void cmd_share(int argc, char **argv)
{
	const struct spare_block *b;
	char text[MONITOR_SIZE_LEN];
	uint64_t size;
	enum status s;

	if (argc == 1) {
		for (uint32_t i = 0; (b = spare_block(i)); i++) {
			if (b->name[0])
				monitor_print("  %-20s %8s  hpa %012llx  in %u slots\n", b->name,
					      monitor_size(b->npages << PAGE_SHIFT, text),
					      (ull)b->pfn << PAGE_SHIFT, b->users);
		}
		return;
	}
	if (argc != 3) {
		monitor_error(
			"share NAME SIZE: makes a region for `map`; without arguments lists them\n");
		return;
	}
	if (!check_name(argv[1]) || !parse_size(argv[2], &size))
		return;
	s = region_create(argv[1], size);
	if (s == OK)
		monitor_print("region %s: %s, zeroed; `map` shows it to guests\n", argv[1],
			      monitor_size(size, text));
	else if (s == ERR_BUSY)
		monitor_error("there is a region '%s' already; `unshare` ends it\n", argv[1]);
	else if (s == ERR_INVALID)
		monitor_error("the size must be a multiple of 4K\n");
	else
		monitor_error(
			"not that much spare memory in one piece; `mem` shows what is free\n");
}

void cmd_unshare(int argc, char **argv)
{
	enum status s = argc == 2 ? region_destroy(argv[1]) : ERR_INVALID;

	if (s == OK)
		monitor_print("region %s: gone\n", argv[1]);
	else if (s == ERR_BUSY)
		monitor_error("guests still see region '%s'; `unmap` its windows first\n", argv[1]);
	else if (s == ERR_NOT_FOUND)
		monitor_error("no region '%s'; `share` lists them\n", argv[1]);
	else
		monitor_error("unshare NAME: gives a region's memory back\n");
}

/* ------------------------------------------------------------------ edits */

static enum status edit_add(struct layout *l, int argc, char **argv)
{
	const char *name = argc > 4 ? argv[4] : "added";
	unsigned access = ACCESS_RWX;
	uint64_t gpa, size;

	if (!parse_address(argv[1], &gpa) || !parse_size(argv[2], &size) ||
	    (argc > 3 && !parse_rights(argv[3], &access)) || !check_name(name))
		return ERR_INVALID;
	return layout_add(l, gpa, size, access, name);
}

static enum status edit_remove(struct layout *l, int argc, char **argv)
{
	uint64_t gpa;

	(void)argc;
	return parse_address(argv[1], &gpa) ? layout_remove(l, gpa) : ERR_INVALID;
}

static enum status edit_move(struct layout *l, int argc, char **argv)
{
	uint64_t from, to;

	(void)argc;
	if (!parse_address(argv[1], &from) || !parse_address(argv[2], &to))
		return ERR_INVALID;
	return layout_move(l, from, to);
}

static enum status edit_resize(struct layout *l, int argc, char **argv)
{
	uint64_t gpa, size;

	(void)argc;
	if (!parse_address(argv[1], &gpa) || !parse_size(argv[2], &size))
		return ERR_INVALID;
	return layout_resize(l, gpa, size);
}

static enum status edit_replace(struct layout *l, int argc, char **argv)
{
	uint64_t gpa;

	if (!parse_address(argv[1], &gpa))
		return ERR_INVALID;
	return layout_replace(l, gpa, argc > 2 ? argv[2] : NULL);
}

static enum status edit_protect(struct layout *l, int argc, char **argv)
{
	unsigned access;
	uint64_t gpa;

	(void)argc;
	if (!parse_address(argv[1], &gpa) || !parse_rights(argv[2], &access))
		return ERR_INVALID;
	return layout_protect(l, gpa, access);
}

static enum status edit_map(struct layout *l, int argc, char **argv)
{
	unsigned access = ACCESS_RW;
	uint64_t gpa;

	if (!parse_address(argv[2], &gpa) || (argc > 3 && !parse_rights(argv[3], &access)))
		return ERR_INVALID;
	return layout_map(l, argv[1], gpa, access);
}

static const struct edit {
	const char *name, *args;
	int min, max; /* words, with the name */
	enum status (*apply)(struct layout *l, int argc, char **argv);
} edits[] = {
	{ "add", "GPA SIZE [ro|rw|rx|rwx [NAME]]", 3, 5, edit_add },
	{ "remove", "GPA", 2, 2, edit_remove },
	{ "move", "FROM TO", 3, 3, edit_move },
	{ "resize", "GPA SIZE", 3, 3, edit_resize },
	{ "replace", "GPA [REGION]", 2, 3, edit_replace },
	{ "protect", "GPA ro|rw|rx|rwx", 3, 3, edit_protect },
	{ "map", "REGION GPA [ro|rw|rx|rwx]", 3, 4, edit_map },
	{ "unmap", "GPA", 2, 2, edit_remove },
};

const unsigned monitor_edit_count = ARRAY_SIZE(edits);

const char *monitor_edit_name(unsigned i)
{
	return edits[i].name;
}

static const struct edit *find_edit(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(edits); i++) {
		if (!strcmp(edits[i].name, name))
			return &edits[i];
	}
	return NULL;
}

static enum status apply(struct layout *l, int argc, char **argv)
{
	const struct edit *e = argc ? find_edit(argv[0]) : NULL;

	if (!e) {
		monitor_error("'%s' is no edit; add, remove, move, resize, replace, protect, map "
			      "and unmap are\n",
			      argc ? argv[0] : ",");
		return ERR_INVALID;
	}
	if (argc < e->min || argc > e->max) {
		monitor_error("%s %s: wrong number of words\n", e->name, e->args);
		return ERR_INVALID;
	}
	return e->apply(l, argc, argv);
}

static void report_refusal(const struct layout *l)
{
	const struct guest *g = l->g;
	const struct slot *s = &l->txn.culprit;
	char size[MONITOR_SIZE_LEN];

	monitor_error("guest %s: refused, nothing has changed: %s\n", g->config->name,
		      l->txn.reason ? l->txn.reason : "no reason given");
	if (s->npages)
		monitor_error("  slot %s at gpa %llx, %s\n", s->name, (ull)gfn_to_gpa(s->base).v,
			      monitor_size(s->npages << PAGE_SHIFT, size));
	else if (s->base.v)
		monitor_error("  at gpa %llx %s\n", (ull)gfn_to_gpa(s->base).v, s->name);
	else if (l->txn.error == ERR_NOMEM)
		monitor_error("  out of memory for page tables (%llu KiB); raise `tables` in its "
			      "section\n",
			      (ull)(g->budget.limit * PAGE_SIZE >> 10));
}

/* Edits separated by ',' which may stand alone or end a word. */
static enum status apply_all(struct layout *l, int argc, char **argv)
{
	enum status s = OK;
	int first = 0, count = 0;

	for (int i = 0; s == OK && i < argc; i++) {
		size_t len = strlen(argv[i]);
		bool end = len && argv[i][len - 1] == ',';

		if (end)
			argv[i][len - 1] = 0;
		if (!end && i + 1 < argc)
			continue;
		if (++count > LAYOUT_EDITS) {
			monitor_error("more than %d edits in one transaction\n", LAYOUT_EDITS);
			return ERR_RANGE;
		}
		s = apply(l, i + (argv[i][0] != 0) - first, argv + first);
		first = i + 1;
		if (end)
			argv[i][len - 1] = ',';
	}
	return s;
}

static enum status try_edits(struct layout *l, struct guest *g, int argc, char **argv,
			     uint64_t *version)
{
	enum status s = layout_begin(l, g);

	if (s == OK)
		s = apply_all(l, argc, argv);
	if (s != OK) {
		layout_abort(l);
		return s;
	}
	*version = l->txn.base_version + 1;
	return layout_commit(l);
}

static void run_edits(struct guest *g, int argc, char **argv)
{
	static struct layout l; /* the monitor runs once, and stacks are small */
	enum status s = ERR_BUSY;
	uint64_t version = 0;

	/* The guest changes its layout as well, when it moves the BARs of its devices. */
	for (unsigned i = 0; s == ERR_BUSY && i < ATTEMPTS; i++)
		s = try_edits(&l, g, argc, argv, &version);
	if (s == OK)
		monitor_print("guest %s: done, version %llu\n", g->config->name, (ull)version);
	else if (l.txn.error)
		report_refusal(&l);
}

void cmd_txn(int argc, char **argv)
{
	struct guest *g;

	if (argc < 3) {
		monitor_error("txn GUEST EDIT, EDIT ...: all of the edits at one point, or none. "
			      "The edits:\n");
		for (unsigned i = 0; i < ARRAY_SIZE(edits); i++)
			monitor_error("  %s %s\n", edits[i].name, edits[i].args);
		return;
	}
	g = monitor_guest_arg(argc, argv, 1);
	if (g)
		run_edits(g, argc - 2, argv + 2);
}

/* One edit as a command: NAME GUEST ARGS. */
void cmd_edit(int argc, char **argv)
{
	const struct edit *e = find_edit(argv[0]);
	struct guest *g;

	if (argc < 2) {
		monitor_error("%s GUEST %s\n", e->name, e->args);
		return;
	}
	g = monitor_guest_arg(argc, argv, 1);
	if (!g)
		return;
	argv[1] = argv[0];
	run_edits(g, argc - 1, argv + 1);
}
