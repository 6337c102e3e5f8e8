/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/config_parser.h"
#include "boot/config_values.h"
#include "log.h"

#define KEY_MAX 24 /* no known key is longer */

/* The [lamina] section's keys. */
enum lamina_key {
	LAMINA_STRICT,
	LAMINA_CONSOLE,
	LAMINA_ESCAPE,
	LAMINA_LOG,
	LAMINA_SERIAL,
	LAMINA_BAUD,
	LAMINA_MEMORY,
	LAMINA_SPARE,
	LAMINA_KEYS,
};

static const char *const lamina_names[LAMINA_KEYS] = {
	[LAMINA_STRICT] = "strict", [LAMINA_CONSOLE] = "console", [LAMINA_ESCAPE] = "escape",
	[LAMINA_LOG] = "log",       [LAMINA_SERIAL] = "serial",   [LAMINA_BAUD] = "baud",
	[LAMINA_MEMORY] = "memory", [LAMINA_SPARE] = "spare",
};

static const char *const guest_names[GUEST_KEYS] = {
	[GUEST_KERNEL] = "kernel",       [GUEST_INITRD] = "initrd",
	[GUEST_CMDLINE] = "cmdline",     [GUEST_MEMORY] = "memory",
	[GUEST_CORES] = "cores",         [GUEST_CONSOLE] = "console",
	[GUEST_RESTART] = "restart",     [GUEST_AUTOSTART] = "autostart",
	[GUEST_TABLES] = "tables",       [GUEST_ZAP] = "zap",
	[GUEST_NX] = "nx_hugepages",     [GUEST_PCI] = "pci",
	[GUEST_IOMMU] = "iommu",         [GUEST_RESET] = "reset",
	[GUEST_DMA_FAULT] = "dma_fault",
};

static const char *const section_names[] = { "lamina", "guest" };

enum section {
	SECTION_NONE, /* before the first header */
	SECTION_LAMINA,
	SECTION_GUEST,
	SECTION_SKIP, /* its header was wrong: the keys below it mean nothing */
};

struct parser {
	struct config *config;
	struct config_lines *lines;
	struct report *report;
	uint32_t line;
	enum section section;
	uint32_t lamina_line;               /* of the [lamina] header, 0: not seen */
	uint32_t lamina_seen[LAMINA_KEYS];  /* lines */
	struct guest_config *guest;         /* in SECTION_GUEST */
	uint32_t *guest_seen;               /* in SECTION_GUEST: lines of its keys */
	bool orphan_reported;               /* a key before any section: said once */
	char value[CONFIG_CMDLINE_LEN + 1]; /* of the current line, one more than any may have */
	char quoted[QUOTE_SIZE];
	char quoted_key[QUOTE_SIZE];
};

/* An error in the current line; if the line belongs to a guest, that guest is left out. */
#define fail(p, ...)                                               \
	do {                                                       \
		report_error((p)->report, (p)->line, __VA_ARGS__); \
		if ((p)->guest)                                    \
			(p)->guest->valid = false;                 \
	} while (0)

static const char *q(struct parser *p)
{
	return quote(p->quoted, p->value);
}

/* Report a value that is not of its key's form. */
static bool check_form(struct parser *p, const char *key, const char *why)
{
	if (why)
		fail(p, "%s = %s: %s", key, q(p), why);
	return !why;
}

/* The index of the value in a list of words, or -1 after a message. */
static int choose(struct parser *p, const char *key, const char *const *words, size_t count,
		  const char *expected)
{
	const char *near;
	size_t i;

	for (i = 0; i < count; i++) {
		if (!strcmp(p->value, words[i]))
			return (int)i;
	}
	near = nearest_name(p->value, words, count);
	if (near)
		fail(p, "%s = %s: expected %s; did you mean '%s'?", key, q(p), expected, near);
	else
		fail(p, "%s = %s: expected %s", key, q(p), expected);
	return -1;
}

static void set_bool(struct parser *p, const char *key, bool *out)
{
	bool v;

	if (check_form(p, key, value_bool(p->value, &v)))
		*out = v;
}

/* A file on the volume: ASCII, because the firmware wants UCS-2, and no character FAT forbids. */
static void set_path(struct parser *p, const char *key, char *out)
{
	size_t i, n = strlen(p->value);

	if (!n) {
		fail(p, "%s is empty; expected a path such as \\EFI\\lamina\\vmlinuz", key);
		return;
	}
	if (n >= CONFIG_PATH_LEN) {
		fail(p, "%s = %s: a path of %zu characters; at most %d are supported", key, q(p), n,
		     CONFIG_PATH_LEN - 1);
		return;
	}
	if (p->value[strcspn(p->value, ":*?\"<>|")]) {
		fail(p, "%s = %s: a path cannot have any of : * ? \" < > |", key, q(p));
		return;
	}
	for (i = 0; i <= n; i++)
		out[i] = p->value[i] == '/' ? '\\' : p->value[i];
}

static void set_cmdline(struct parser *p, char *out)
{
	size_t n = strlen(p->value);

	if (n >= CONFIG_CMDLINE_LEN) {
		fail(p, "cmdline has more than %d characters", CONFIG_CMDLINE_LEN - 1);
		return;
	}
	memcpy(out, p->value, n + 1);
}

/* A size in whole pages of 2 MiB or 4 KiB, within limits. */
static void set_size(struct parser *p, const char *key, uint64_t unit, uint64_t min, uint64_t max,
		     uint64_t *out)
{
	uint64_t v = 0;

	if (!check_form(p, key, value_size(p->value, &v)))
		return;
	if (v < min || v > max)
		fail(p, "%s = %s: out of range; expected from %lluM to %lluG", key, q(p),
		     (unsigned long long)(min >> 20), (unsigned long long)(max >> 30));
	else if (!IS_ALIGNED(v, unit))
		fail(p, "%s = %s: expected a multiple of %s", key, q(p),
		     unit == SIZE_2M ? "2M" : "4K");
	else
		*out = v;
}

static void set_guest_devices(struct parser *p, enum guest_key key)
{
	static const char *const iommu[] = { "required", "unsafe" };
	static const char *const reset[] = { "required", "none" };
	static const char *const fault[] = {
		[DMA_FAULT_COUNT] = "count", [DMA_FAULT_PAUSE] = "pause", [DMA_FAULT_STOP] = "stop"
	};
	struct guest_config *g = p->guest;
	int i;

	switch (key) {
	case GUEST_PCI:
		if (!check_form(p, "pci",
				value_devices(p->value, g->devices, CONFIG_MAX_DEVICES,
					      &g->device_count)))
			g->device_count = 0;
		break;
	case GUEST_IOMMU:
		i = choose(p, "iommu", iommu, ARRAY_SIZE(iommu), "required or unsafe");
		g->iommu_unsafe = i == 1;
		break;
	case GUEST_RESET:
		i = choose(p, "reset", reset, ARRAY_SIZE(reset), "required or none");
		g->reset_none = i == 1;
		break;
	case GUEST_DMA_FAULT:
		i = choose(p, "dma_fault", fault, ARRAY_SIZE(fault), "count, pause or stop");
		if (i >= 0)
			g->dma_fault = (enum config_dma_fault)i;
		break;
	default:
		break;
	}
}

static void set_guest(struct parser *p, enum guest_key key)
{
	static const char *const restart[] = {
		[RESTART_ON_REBOOT] = "reboot",
		[RESTART_NEVER] = "never",
		[RESTART_ON_CRASH] = "crash",
		[RESTART_ALWAYS] = "always",
	};
	static const char *const zap[] = { [ZAP_SLOT] = "slot", [ZAP_ALL] = "all" };
	static const char *const nx[] = { [NX_AUTO] = "auto", [NX_ON] = "on", [NX_OFF] = "off" };
	struct guest_config *g = p->guest;
	int i;

	switch (key) {
	case GUEST_KERNEL:
		set_path(p, "kernel", g->kernel);
		break;
	case GUEST_INITRD:
		set_path(p, "initrd", g->initrd);
		break;
	case GUEST_CMDLINE:
		set_cmdline(p, g->cmdline);
		break;
	case GUEST_MEMORY:
		set_size(p, "memory", SIZE_2M, CONFIG_MEMORY_MIN, CONFIG_MEMORY_MAX, &g->memory);
		break;
	case GUEST_CORES:
		if (!check_form(p, "cores",
				value_cores(p->value, g->cores, CONFIG_MAX_CPUS, &g->core_count)))
			g->core_count = 0;
		break;
	case GUEST_CONSOLE:
		set_bool(p, "console", &g->console);
		break;
	case GUEST_RESTART:
		i = choose(p, "restart", restart, ARRAY_SIZE(restart),
			   "reboot, never, crash or always");
		if (i >= 0)
			g->restart = (enum config_restart)i;
		break;
	case GUEST_AUTOSTART:
		set_bool(p, "autostart", &g->autostart);
		break;
	case GUEST_TABLES:
		set_size(p, "tables", PAGE_SIZE, 0, CONFIG_POOL_MAX, &g->tables);
		break;
	case GUEST_ZAP:
		i = choose(p, "zap", zap, ARRAY_SIZE(zap), "slot or all");
		if (i >= 0)
			g->zap = (enum config_zap)i;
		break;
	case GUEST_NX:
		i = choose(p, "nx_hugepages", nx, ARRAY_SIZE(nx), "auto, on or off");
		if (i >= 0)
			g->nx_hugepages = (enum config_nx)i;
		break;
	default:
		set_guest_devices(p, key);
		break;
	}
}

/* Keys that people's terminals, shells and QEMU need for themselves. */
static const char *key_conflict(uint8_t key)
{
	switch (key) {
	case 'A' - '@':
		return "screen's and QEMU's own escape key";
	case 'B' - '@':
		return "tmux's own escape key";
	case 'C' - '@':
	case 'D' - '@':
	case 'Z' - '@':
		return "what a shell needs to end or stop a program";
	case '\b':
	case '\t':
	case '\n':
	case '\r':
	case 0x7f:
		return "an editing key that every shell needs";
	case 0x1b:
		return "the start of what the arrow and function keys send";
	}
	return key >= ' ' ? "a printable character, which then cannot be typed" : NULL;
}

static void set_escape(struct parser *p)
{
	const char *conflict;
	uint8_t key;

	if (!check_form(p, "escape", value_key(p->value, &key)))
		return;
	p->config->escape = key;
	conflict = key_conflict(key);
	if (conflict)
		report_warning(p->report, p->line, "escape = %s is %s", q(p), conflict);
}

static void set_serial(struct parser *p)
{
	uint64_t port;

	if (!strcmp(p->value, "auto")) {
		p->config->serial_set = false;
		return;
	}
	if (!strcmp(p->value, "none")) {
		p->config->serial_set = true;
		p->config->serial_port = 0;
		return;
	}
	/* A 16550 decodes eight ports; the lowest 256 belong to the mainboard. */
	if (value_number(p->value, &port) || port < 0x100 || port > 0xfff8 ||
	    !IS_ALIGNED(port, 8)) {
		fail(p, "serial = %s: expected auto, none or an I/O port such as 0x3f8", q(p));
		return;
	}
	p->config->serial_set = true;
	p->config->serial_port = (uint16_t)port;
}

static void set_baud(struct parser *p)
{
	uint64_t baud;

	/* The 16550's clock divided by 16 is 115,200 Hz; its divisor has 16 bits. */
	if (value_number(p->value, &baud) || !baud || 115200 % baud || 115200 / baud > 0xffff)
		fail(p, "baud = %s: expected a rate that divides 115200, such as 115200 or 9600",
		     q(p));
	else
		p->config->baud = (uint32_t)baud;
}

static void set_lamina(struct parser *p, enum lamina_key key)
{
	static const char *const consoles[] = { [CONSOLE_FOCUS] = "focus", [CONSOLE_ALL] = "all" };
	static const char *const levels[] = { [LOG_ERROR] = "error",
					      [LOG_WARN] = "warn",
					      [LOG_INFO] = "info",
					      [LOG_DEBUG] = "debug" };
	struct config *c = p->config;
	int i;

	switch (key) {
	case LAMINA_STRICT:
		set_bool(p, "strict", &c->strict);
		break;
	case LAMINA_CONSOLE:
		i = choose(p, "console", consoles, ARRAY_SIZE(consoles), "focus or all");
		if (i >= 0)
			c->console = (enum config_console)i;
		break;
	case LAMINA_ESCAPE:
		set_escape(p);
		break;
	case LAMINA_LOG:
		i = choose(p, "log", levels, ARRAY_SIZE(levels), "error, warn, info or debug");
		if (i >= 0)
			c->log_level = (uint8_t)i;
		break;
	case LAMINA_SERIAL:
		set_serial(p);
		break;
	case LAMINA_BAUD:
		set_baud(p);
		break;
	case LAMINA_MEMORY:
		if (!strcmp(p->value, "auto"))
			c->memory = 0;
		else
			set_size(p, "memory", SIZE_2M, CONFIG_POOL_MIN, CONFIG_POOL_MAX,
				 &c->memory);
		p->lines->lamina_memory = p->line;
		break;
	case LAMINA_SPARE:
		set_size(p, "spare", SIZE_2M, 0, CONFIG_MEMORY_MAX, &c->spare);
		p->lines->lamina_spare = p->line;
		break;
	case LAMINA_KEYS:
		break;
	}
}

static int find_name(const char *key, const char *const *names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (!strcmp(key, names[i]))
			return (int)i;
	}
	return -1;
}

/* How messages call the current section. */
static void section_name(const struct parser *p, char out[CONFIG_NAME_LEN + 16])
{
	strcpy(out, "[lamina]");
	if (p->section == SECTION_GUEST) {
		strcpy(out, "[guest ");
		strcat(out, p->guest->name);
		strcat(out, "]");
	}
}

static void unknown_key(struct parser *p, const char *key)
{
	bool in_guest = p->section == SECTION_GUEST;
	const char *const *names = in_guest ? guest_names : lamina_names;
	const char *const *others = in_guest ? lamina_names : guest_names;
	size_t count = in_guest ? GUEST_KEYS : LAMINA_KEYS;
	size_t other_count = in_guest ? LAMINA_KEYS : GUEST_KEYS;
	const char *near = nearest_name(key, names, count);
	const char *quoted = quote(p->quoted_key, key);
	char section[CONFIG_NAME_LEN + 16];

	section_name(p, section);
	if (find_name(key, others, other_count) >= 0)
		fail(p, "key %s does not belong in section %s; it belongs in %s", quoted, section,
		     in_guest ? "[lamina]" : "[guest NAME]");
	else if (near)
		fail(p, "unknown key %s in section %s; did you mean '%s'?", quoted, section, near);
	else
		fail(p, "unknown key %s in section %s; docs/configuration.md lists the known ones",
		     quoted, section);
}

/* The line on which this key was given before, 0 and remembered if this is the first time. */
static uint32_t seen_before(uint32_t *seen, uint32_t line)
{
	uint32_t before = *seen;

	if (!before)
		*seen = line;
	return before;
}

static void parse_key(struct parser *p, const char *key)
{
	bool in_guest = p->section == SECTION_GUEST;
	uint32_t before;
	int i;

	if (p->section == SECTION_SKIP)
		return;
	if (p->section == SECTION_NONE) {
		if (!p->orphan_reported)
			fail(p,
			     "key %s before any section; expected [lamina] or [guest NAME] above it",
			     quote(p->quoted_key, key));
		p->orphan_reported = true;
		return;
	}
	if (in_guest)
		i = find_name(key, guest_names, GUEST_KEYS);
	else
		i = find_name(key, lamina_names, LAMINA_KEYS);
	if (i < 0) {
		unknown_key(p, key);
		return;
	}
	before = seen_before(in_guest ? &p->guest_seen[i] : &p->lamina_seen[i], p->line);
	if (before)
		fail(p, "key '%s' is given twice in this section; the first is in line %u", key,
		     (unsigned int)before);
	else if (in_guest)
		set_guest(p, (enum guest_key)i);
	else
		set_lamina(p, (enum lamina_key)i);
}

static bool name_is_valid(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		char c = s[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_')
			return false;
	}
	return n > 0 && n < CONFIG_NAME_LEN;
}

static void guest_defaults(struct guest_config *g, uint32_t line, const char *name, size_t n)
{
	memset(g, 0, sizeof(*g));
	memcpy(g->name, name, n);
	strcpy(g->cmdline, "console=ttyS0");
	g->line = line;
	g->valid = true;
	g->autostart = true;
	g->console = true;
	g->restart = RESTART_ON_REBOOT;
}

/* [guest NAME]: `name` has `n` characters, already trimmed. */
static void open_guest(struct parser *p, const char *name, size_t n)
{
	struct config *c = p->config;
	uint32_t i;

	if (!n) {
		fail(p, "section [guest] without a name; expected [guest NAME]");
		return;
	}
	if (!name_is_valid(name, n)) {
		fail(p, "guest name %s: expected 1 to %d letters, digits, - or _",
		     quote_bytes(p->quoted, name, n), CONFIG_NAME_LEN - 1);
		return;
	}
	if (c->guest_count == CONFIG_MAX_GUESTS) {
		fail(p, "guest %s is one too many; at most %d guests are supported",
		     quote_bytes(p->quoted, name, n), CONFIG_MAX_GUESTS);
		return;
	}
	p->section = SECTION_GUEST;
	p->guest = &c->guests[c->guest_count];
	p->guest_seen = p->lines->guest[c->guest_count];
	guest_defaults(p->guest, p->line, name, n);
	for (i = 0; i < c->guest_count; i++) {
		if (!strcmp(c->guests[i].name, p->guest->name)) {
			fail(p, "guest '%s' is defined twice; the first is in line %u",
			     p->guest->name, (unsigned int)c->guests[i].line);
			break;
		}
	}
	c->guest_count++;
}

static void open_lamina(struct parser *p)
{
	if (p->lamina_line) {
		fail(p, "section [lamina] is given twice; the first is in line %u",
		     (unsigned int)p->lamina_line);
		return;
	}
	p->lamina_line = p->line;
	p->section = SECTION_LAMINA;
}

static size_t skip_blanks(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && (s[i] == ' ' || s[i] == '\t'))
		i++;
	return i;
}

static size_t trim_end(const char *s, size_t n)
{
	while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	return n;
}

/* A line that starts with '['; s[0] is that bracket, blanks at the end are gone. */
static void parse_section(struct parser *p, const char *s, size_t n)
{
	const char *near, *header = s;
	char word[KEY_MAX + 1];
	size_t k, length = n;

	p->section = SECTION_SKIP;
	p->guest = NULL;
	if (s[n - 1] != ']') {
		fail(p, "section header %s does not end with ]; a comment needs a line of its own",
		     quote_bytes(p->quoted, s, n));
		return;
	}
	s++;
	n = trim_end(s, n - 2);
	k = skip_blanks(s, n);
	s += k;
	n -= k;
	for (k = 0; k < n && s[k] != ' ' && s[k] != '\t'; k++) {
		if (k < KEY_MAX)
			word[k] = s[k];
	}
	word[k < KEY_MAX ? k : KEY_MAX] = '\0';
	if (!strcmp(word, "lamina") && k == n) {
		open_lamina(p);
	} else if (!strcmp(word, "guest")) {
		k += skip_blanks(s + k, n - k);
		open_guest(p, s + k, n - k);
	} else {
		near = nearest_name(word, section_names, ARRAY_SIZE(section_names));
		fail(p, "unknown section %s; expected [lamina] or [guest NAME]%s%s%s",
		     quote_bytes(p->quoted, header, length), near ? "; did you mean '" : "",
		     near ? near : "", near ? "'?" : "");
	}
}

/* True if every byte may stand in a section header, a key or a value. */
static bool check_bytes(struct parser *p, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\t' || (c >= ' ' && c < 0x7f))
			continue;
		if (c == 0)
			fail(p, "byte %zu of the line is NUL; expected a text file", i + 1);
		else
			fail(p, "byte 0x%02x in column %zu; only ASCII text is supported here", c,
			     i + 1);
		return false;
	}
	return true;
}

/* One line without its terminator. */
static void parse_line(struct parser *p, const char *s, size_t n)
{
	const char *equals;
	char key[QUOTE_SIZE + 1]; /* longer ones are unknown; the message cuts them */
	size_t k = skip_blanks(s, n), length;

	s += k;
	n = trim_end(s, n - k);
	if (!n || *s == '#' || *s == ';')
		return;
	if (!check_bytes(p, s, n))
		return;
	if (*s == '[') {
		parse_section(p, s, n);
		return;
	}
	equals = memchr(s, '=', n);
	if (!equals || equals == s) {
		if (p->section != SECTION_SKIP)
			fail(p, "%s is neither a section, a comment nor KEY = VALUE",
			     quote_bytes(p->quoted, s, n));
		return;
	}
	length = trim_end(s, (size_t)(equals - s));
	k = length < sizeof(key) ? length : sizeof(key) - 1;
	memcpy(key, s, k);
	key[k] = '\0';
	n -= (size_t)(equals + 1 - s);
	s = equals + 1;
	k = skip_blanks(s, n);
	n = min_u64(n - k, sizeof(p->value) - 1);
	memcpy(p->value, s + k, n);
	p->value[n] = '\0';
	parse_key(p, key);
}

static void config_defaults(struct config *c)
{
	c->strict = false;
	c->console = CONSOLE_FOCUS;
	c->escape = ']' - '@';
	c->log_level = LOG_INFO;
	c->serial_set = false;
	c->serial_port = 0;
	c->baud = 115200;
	c->memory = 0;
	c->spare = 0;
	c->guest_count = 0;
}

static void check_required(struct parser *p)
{
	static const enum guest_key required[] = { GUEST_KERNEL, GUEST_MEMORY };
	struct config *c = p->config;
	uint32_t i;
	size_t k;

	for (i = 0; i < c->guest_count; i++) {
		p->guest = &c->guests[i];
		p->line = p->guest->line;
		for (k = 0; k < ARRAY_SIZE(required); k++) {
			if (!p->lines->guest[i][required[k]])
				fail(p, "section [guest %s] has no '%s'", p->guest->name,
				     guest_names[required[k]]);
		}
	}
	p->guest = NULL;
}

/* A core runs one guest for good: the second guest that asks for it is left out. */
static void check_shared_cores(struct parser *p, const struct guest_config **owner)
{
	struct config *c = p->config;
	uint32_t i, k;

	for (i = 0; i < c->guest_count; i++) {
		struct guest_config *g = &c->guests[i];

		p->guest = g;
		p->line = config_line(c, p->lines, i, GUEST_CORES);
		for (k = 0; k < g->core_count && g->valid; k++) {
			const struct guest_config *other = owner[g->cores[k]];

			if (other)
				fail(p,
				     "core %u of guest '%s' is given to guest '%s' already (line %u)",
				     g->cores[k], g->name, other->name,
				     (unsigned int)config_line(c, p->lines,
							       (uint32_t)(other - c->guests),
							       GUEST_CORES));
		}
		for (k = 0; k < g->core_count && g->valid; k++)
			owner[g->cores[k]] = g;
	}
	p->guest = NULL;
}

/* A guest that names no core gets the lowest one that nobody has. */
static void assign_cores(struct parser *p, const struct guest_config **owner)
{
	struct config *c = p->config;
	uint32_t i, core = 0;

	for (i = 0; i < c->guest_count; i++) {
		struct guest_config *g = &c->guests[i];

		if (!g->valid || g->core_count)
			continue;
		while (core < CONFIG_MAX_CPUS && owner[core])
			core++;
		if (core == CONFIG_MAX_CPUS) {
			report_error(p->report, g->line, "no core is left for guest '%s'", g->name);
			g->valid = false;
			continue;
		}
		owner[core] = g;
		g->cores[0] = (uint16_t)core;
		g->core_count = 1;
	}
}

/* True if the bytes are text in an encoding that can be read here; skips a UTF-8 mark. */
static bool check_encoding(struct report *r, const char **text, size_t *size)
{
	if (*size > CONFIG_FILE_MAX) {
		report_error(r, 0, "%zu bytes; a configuration has at most %d", *size,
			     CONFIG_FILE_MAX);
		return false;
	}
	if (*size >= 2 && (!memcmp(*text, "\xff\xfe", 2) || !memcmp(*text, "\xfe\xff", 2))) {
		report_error(r, 0, "this file is UTF-16; save it as ASCII or UTF-8");
		return false;
	}
	if (*size >= 3 && !memcmp(*text, "\xef\xbb\xbf", 3)) {
		*text += 3;
		*size -= 3;
	}
	return true;
}

void config_parse(const char *text, size_t size, struct config *c, struct config_lines *lines,
		  struct report *r)
{
	const struct guest_config *owner[CONFIG_MAX_CPUS] = { NULL };
	struct parser p;
	size_t n;

	memset(lines, 0, sizeof(*lines));
	config_defaults(c);
	if (!check_encoding(r, &text, &size))
		return;
	memset(&p, 0, sizeof(p));
	p.config = c;
	p.lines = lines;
	p.report = r;
	for (p.line = 1; size; p.line++) {
		const char *end = memchr(text, '\n', size);

		n = end ? (size_t)(end - text) : size;
		parse_line(&p, text, n && text[n - 1] == '\r' ? n - 1 : n);
		n += end != NULL;
		text += n;
		size -= n;
	}
	check_required(&p);
	check_shared_cores(&p, owner);
	config_check_devices(c, lines, r);
	assign_cores(&p, owner);
}
