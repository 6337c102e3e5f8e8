/* SPDX-License-Identifier: BSD-2-Clause */
// sources: boot/config.c boot/config_check.c boot/config_devices.c boot/config_values.c boot/report.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/config_parser.h"
#include "boot/config_values.h"
#include "log.h"

static struct config config;
static struct config_lines lines;
static struct report report;
static char output[65536];

static void emit(void *ctx, const char *text)
{
	(void)ctx;
	strncat(output, text, sizeof(output) - strlen(output) - 2);
	strcat(output, "\n");
}

static void parse_bytes(const char *text, size_t size)
{
	/* In memory of its own size, so that the sanitizer sees a read behind its end. */
	char *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, text, size);
	memset(&config, 0xa5, sizeof(config));
	report = (struct report){ .emit = emit, .file = "lamina.conf" };
	output[0] = '\0';
	config_parse(copy, size, &config, &lines, &report);
	free(copy);
}

static void parse(const char *text)
{
	parse_bytes(text, strlen(text));
}

/* The text has exactly one message, and this is it. */
static void one_message(const char *text, const char *message)
{
	char line[REPORT_TEXT + 2];

	parse(text);
	snprintf(line, sizeof(line), "%s\n", message);
	assert_string_equal(output, line);
}

#define GUEST "[guest one]\nkernel = vmlinuz\nmemory = 64M\ncores = 0\n"

static void test_defaults(void **state)
{
	(void)state;
	parse(GUEST);
	assert_string_equal(output, "");
	assert_false(config.strict);
	assert_int_equal(config.console, CONSOLE_FOCUS);
	assert_int_equal(config.escape, 0x1d);
	assert_int_equal(config.log_level, LOG_INFO);
	assert_false(config.serial_set);
	assert_int_equal(config.baud, 115200);
	assert_int_equal(config.memory, 0);
	assert_int_equal(config.guest_count, 1);
	assert_true(config.guests[0].valid);
	assert_true(config.guests[0].autostart);
	assert_true(config.guests[0].console);
	assert_string_equal(config.guests[0].name, "one");
	assert_string_equal(config.guests[0].kernel, "vmlinuz");
	assert_string_equal(config.guests[0].initrd, "");
	assert_string_equal(config.guests[0].cmdline, "console=ttyS0");
	assert_int_equal(config.guests[0].memory, 64 << 20);
	assert_int_equal(config.guests[0].restart, RESTART_ON_REBOOT);
	assert_int_equal(config.guests[0].tables, 0);
	assert_int_equal(config.guests[0].zap, ZAP_SLOT);
	assert_int_equal(config.guests[0].nx_hugepages, NX_AUTO);
	assert_int_equal(config.guests[0].device_count, 0);
	assert_false(config.guests[0].iommu_unsafe);
	assert_false(config.guests[0].reset_none);
	assert_int_equal(config.guests[0].dma_fault, DMA_FAULT_COUNT);
	assert_int_equal(config.spare, 0);
	assert_int_equal(config.guests[0].line, 1);
	assert_true(config_runnable(&config, &report));
}

static void test_every_key(void **state)
{
	(void)state;
	parse("[lamina]\nstrict=yes\nconsole=all\nescape=ctrl-t\nlog=debug\nserial=0x2f8\n"
	      "baud=9600\nmemory=64M\nspare=128M\n"
	      "[guest a-B_9]\nkernel=/boot/vmlinuz\ninitrd=\\x\\initrd\n"
	      "cmdline = console=ttyS0 a=\"b # c\" ; d=[e]\nmemory=2G\ncores= 1, 3-5 ,7\nconsole=no\n"
	      "restart=always\nautostart=no\ntables=132K\nzap=all\nnx_hugepages=off\n");
	assert_string_equal(output, "");
	assert_true(config.strict);
	assert_int_equal(config.console, CONSOLE_ALL);
	assert_int_equal(config.escape, 't' - 'a' + 1);
	assert_int_equal(config.log_level, LOG_DEBUG);
	assert_true(config.serial_set);
	assert_int_equal(config.serial_port, 0x2f8);
	assert_int_equal(config.baud, 9600);
	assert_int_equal(config.memory, 64 << 20);
	assert_string_equal(config.guests[0].name, "a-B_9");
	assert_string_equal(config.guests[0].kernel, "\\boot\\vmlinuz");
	assert_string_equal(config.guests[0].initrd, "\\x\\initrd");
	assert_string_equal(config.guests[0].cmdline, "console=ttyS0 a=\"b # c\" ; d=[e]");
	assert_int_equal(config.guests[0].memory, 2ull << 30);
	assert_int_equal(config.guests[0].core_count, 5);
	assert_int_equal(config.guests[0].cores[0], 1);
	assert_int_equal(config.guests[0].cores[1], 3);
	assert_int_equal(config.guests[0].cores[3], 5);
	assert_int_equal(config.guests[0].cores[4], 7);
	assert_false(config.guests[0].console);
	assert_false(config.guests[0].autostart);
	assert_int_equal(config.guests[0].restart, RESTART_ALWAYS);
	assert_int_equal(config.guests[0].tables, 132 << 10);
	assert_int_equal(config.guests[0].zap, ZAP_ALL);
	assert_int_equal(config.guests[0].nx_hugepages, NX_OFF);
	assert_int_equal(config.spare, 128 << 20);
}

/* CRLF, a byte order mark, comments, blanks and a last line without its end. */
static void test_text_forms(void **state)
{
	(void)state;
	parse("\xef\xbb\xbf; caf\xc3\xa9\r\n\t# comment\r\n  [ guest   one ]  \r\n kernel\t=\tk \r\n"
	      "memory=64m\r\n\r\ncores=2");
	assert_string_equal(output, "");
	assert_string_equal(config.guests[0].name, "one");
	assert_string_equal(config.guests[0].kernel, "k");
	assert_int_equal(config.guests[0].memory, 64 << 20);
	assert_int_equal(config.guests[0].cores[0], 2);
}

static void test_unknown_names(void **state)
{
	(void)state;
	one_message(GUEST "memroy = 1G\n",
		    "lamina.conf:5: unknown key 'memroy' in section [guest one]; did you mean "
		    "'memory'?");
	assert_false(config.guests[0].valid);
	one_message("[lamina]\nxyzzy = 1\n" GUEST,
		    "lamina.conf:2: unknown key 'xyzzy' in section [lamina]; docs/configuration.md "
		    "lists the known ones");
	assert_true(config.guests[0].valid);
	one_message(
		"[lamina]\nkernel = x\n" GUEST,
		"lamina.conf:2: key 'kernel' does not belong in section [lamina]; it belongs in "
		"[guest NAME]");
	one_message(
		GUEST "escape = ^]\n",
		"lamina.conf:5: key 'escape' does not belong in section [guest one]; it belongs in "
		"[lamina]");
	one_message(
		"[geust two]\nfoo = 1\nbar\n" GUEST,
		"lamina.conf:1: unknown section '[geust two]'; expected [lamina] or [guest NAME]; did "
		"you mean 'guest'?");
	one_message(
		"[lamina x]\n" GUEST,
		"lamina.conf:1: unknown section '[lamina x]'; expected [lamina] or [guest NAME]; did "
		"you mean 'lamina'?");
	one_message(
		"memory = 1G\ncores = 1\n" GUEST,
		"lamina.conf:1: key 'memory' before any section; expected [lamina] or [guest NAME] "
		"above it");
}

static void test_sections(void **state)
{
	(void)state;
	one_message("[lamina]\n[lamina]\nlog = x\n" GUEST,
		    "lamina.conf:2: section [lamina] is given twice; the first is in line 1");
	one_message("[guest]\nkernel = x\n" GUEST,
		    "lamina.conf:1: section [guest] without a name; expected [guest NAME]");
	one_message("[guest a b]\n" GUEST,
		    "lamina.conf:1: guest name 'a b': expected 1 to 31 letters, digits, - or _");
	one_message(
		"[guest 01234567890123456789012345678901]\n" GUEST,
		"lamina.conf:1: guest name '01234567890123456789012345678901': expected 1 to 31 "
		"letters, digits, - or _");
	one_message(
		"[guest a\n" GUEST,
		"lamina.conf:1: section header '[guest a' does not end with ]; a comment needs a "
		"line of its own");
	one_message("[\n" GUEST, "lamina.conf:1: section header '[' does not end with ]; a comment "
				 "needs a line of its own");
	one_message("[]\n" GUEST,
		    "lamina.conf:1: unknown section '[]'; expected [lamina] or [guest NAME]");
	one_message(GUEST "[guest one]\nkernel = vmlinuz\nmemory = 64M\ncores = 1\n",
		    "lamina.conf:5: guest 'one' is defined twice; the first is in line 1");
	assert_true(config.guests[0].valid);
	assert_false(config.guests[1].valid);
}

static void test_guest_errors(void **state)
{
	(void)state;
	one_message("[guest a]\nmemory = 64M\ncores = 1\n" GUEST,
		    "lamina.conf:1: section [guest a] has no 'kernel'");
	assert_false(config.guests[0].valid);
	assert_true(config.guests[1].valid);
	one_message("[guest a]\nkernel = k\n" GUEST,
		    "lamina.conf:1: section [guest a] has no 'memory'");
	one_message(
		GUEST "memory = 32M\n",
		"lamina.conf:5: key 'memory' is given twice in this section; the first is in line "
		"3");
	one_message(GUEST "initrd =\n", "lamina.conf:5: initrd is empty; expected a path such as "
					"\\EFI\\lamina\\vmlinuz");
	one_message(GUEST "initrd = a?b\n",
		    "lamina.conf:5: initrd = 'a?b': a path cannot have any of : * ? \" < > |");
	one_message(GUEST "console = maybe\n",
		    "lamina.conf:5: console = 'maybe': expected yes or no");
	one_message(
		GUEST "restart = alway\n",
		"lamina.conf:5: restart = 'alway': expected reboot, never, crash or always; did you "
		"mean 'always'?");
	one_message(GUEST "restart = 7\n",
		    "lamina.conf:5: restart = '7': expected reboot, never, crash or always");
	one_message(GUEST "nonsense\n",
		    "lamina.conf:5: 'nonsense' is neither a section, a comment nor KEY = VALUE");
	one_message(GUEST "= 5\n",
		    "lamina.conf:5: '= 5' is neither a section, a comment nor KEY = VALUE");
}

static void test_mmu_values(void **state)
{
	(void)state;
	one_message(GUEST "tables = 5000K\nzap = slots\n",
		    "lamina.conf:6: zap = 'slots': expected slot or all; did you mean 'slot'?");
	one_message(GUEST "tables = 2K\n",
		    "lamina.conf:5: tables = '2K': expected a multiple of 4K");
	one_message(GUEST "tables = 1T\n",
		    "lamina.conf:5: tables = '1T': out of range; expected from 0M to 64G");
	one_message(GUEST "nx_hugepages = yes\n",
		    "lamina.conf:5: nx_hugepages = 'yes': expected auto, on or off");
	one_message("[lamina]\nspare = 3M\n" GUEST,
		    "lamina.conf:2: spare = '3M': expected a multiple of 2M");
	assert_int_equal(config.spare, 0);
	one_message("[lamina]\nzap = all\n" GUEST,
		    "lamina.conf:2: key 'zap' does not belong in section [lamina]; it belongs in "
		    "[guest NAME]");
}

static void bad_memory(const char *value, const char *why)
{
	char text[128], message[256];

	snprintf(text, sizeof(text), "[guest one]\nkernel=k\nmemory = %s\n", value);
	snprintf(message, sizeof(message), "lamina.conf:3: memory = '%s': %s", value, why);
	one_message(text, message);
	assert_false(config.guests[0].valid);
}

static void test_memory_values(void **state)
{
	const char *wrong = "not a size; expected a number and K, M, G or T, such as 512M";

	(void)state;
	bad_memory("512", "a size without a unit; expected K, M, G or T after the number");
	bad_memory("", wrong);
	bad_memory("M", wrong);
	bad_memory("-64M", wrong);
	bad_memory("64MB", wrong);
	bad_memory("0x40M", wrong);
	bad_memory("64M # half of it", wrong);
	bad_memory("63M", "expected a multiple of 2M");
	bad_memory("2M", "out of range; expected from 4M to 16384G");
	bad_memory("17T", "out of range; expected from 4M to 16384G");
	bad_memory("99999999999T", "a size beyond 64 bits");
	bad_memory("99999999999999999999G", wrong);
	parse("[guest one]\nkernel=k\nmemory = 65536K\n");
	assert_int_equal(config.guests[0].memory, 64 << 20);
}

static void bad_cores(const char *value, const char *why)
{
	char text[128], message[256];

	snprintf(text, sizeof(text), "[guest one]\nkernel=k\nmemory=64M\ncores = %s\n", value);
	snprintf(message, sizeof(message), "lamina.conf:4: cores = '%s': %s", value, why);
	one_message(text, message);
	assert_false(config.guests[0].valid);
}

static void test_core_values(void **state)
{
	const char *wrong = "not a list of cores; expected a form like 1 or 1,3 or 2-5";

	(void)state;
	bad_cores("", wrong);
	bad_cores("a", wrong);
	bad_cores("1,", wrong);
	bad_cores("1-", wrong);
	bad_cores("3-1", wrong);
	bad_cores("1 2", wrong);
	bad_cores("-1", wrong);
	bad_cores("1,1", "the same core twice");
	bad_cores("1-3,2", "the same core twice");
	bad_cores("64", "a core number beyond what Lamina supports");
	bad_cores("0-18446744073709551615", "a core number beyond what Lamina supports");
	bad_cores("99999999999999999999", wrong);
	parse("[guest one]\nkernel=k\nmemory=64M\ncores=0-63\n");
	assert_string_equal(output, "");
	assert_int_equal(config.guests[0].core_count, CONFIG_MAX_CPUS);
}

static void bad_devices(const char *value, const char *why)
{
	char text[512], message[512];

	snprintf(text, sizeof(text), GUEST "pci = %s\n", value);
	snprintf(message, sizeof(message), "lamina.conf:5: pci = '%s': %s", value, why);
	one_message(text, message);
	assert_false(config.guests[0].valid);
	assert_int_equal(config.guests[0].device_count, 0);
}

static void test_bad_devices(void **state)
{
	static const char *const wrong =
		"not a list of devices; expected a form like 00:03.0 or 8086:10d3 or class:0108, "
		"separated by commas";
	static const char *const forms[] = {
		"",
		"3",
		"nvme",
		"00:03",
		"00:03.",
		"0:3.0.0",
		"00:03.10",
		"00:003.0",
		"000:03.0",
		":03.0",
		"00:03.0,",
		",00:03.0",
		"808:10d3",
		"8086:10d",
		"8086:10d3.0",
		"8086:010d3",
		"00000:00:03.0",
		"00:00:03.0",
		"0000:00:",
		"00:03.0 04.0",
		"00:03.0;04.0",
		"0000:0000:0",
		"class",
		"x:1.0",
	};
	static const char *const class =
		"a class without its 4 or 6 digits; expected a form like class:0108 or class:010802";
	static const char *const number =
		"a device number behind @ that is none; expected 1 to 1f, in hexadecimal digits";
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(forms); i++)
		bad_devices(forms[i], wrong);
	bad_devices("00:20.0", "a device or function that no bus has; the last one is 1f.7");
	bad_devices("00:1f.8", "a device or function that no bus has; the last one is 1f.7");
	bad_devices("class:01", class);
	bad_devices("class:01080", class);
	bad_devices("class:0108020", class);
	bad_devices("00:03.0@", number);
	bad_devices("00:03.0@0", number);
	bad_devices("00:03.0@20", number);
	bad_devices("00:03.0@g", number);
	bad_devices("00:03.0, 00:3.0", "the same device twice");
	bad_devices("0000:00:03.0@4, 00:03.0", "the same device twice");
	bad_devices("00:03.0@1f, class:0108@1f", "the same number behind @ twice");
	parse(GUEST "pci = 8086:1, class:0108\n");
	assert_false(config.guests[0].valid);
	parse(GUEST "pci=0:1.0,0:1.1,0:1.2,0:1.3,0:1.4,0:1.5,0:1.6,0:1.7,0:2.0,0:2.1,0:2.2,0:2.3,"
		    "0:2.4,0:2.5,0:2.6,0:2.7,0:3.0\n");
	assert_non_null(strstr(output, "more devices than a guest can have, which are 16"));
}

static void test_devices(void **state)
{
	const struct config_device *d = config.guests[0].devices;

	(void)state;
	parse(GUEST
	      "pci = 00:03.0 ,a:1F.7@1f, 12fE:FF:04.2@a,8086:10d3 ,\tclass:0108@2,class:010802,"
	      "8086:10d3\n"
	      "iommu = unsafe\nreset = none\ndma_fault = stop\n");
	assert_string_equal(output, "");
	assert_int_equal(config.guests[0].device_count, 7);
	assert_int_equal(config_devices(&config), 7);
	assert_int_equal(d[0].by, DEVICE_BY_ADDRESS);
	assert_true(!d[0].segment && !d[0].bus && d[0].device == 3 && !d[0].function && !d[0].slot);
	assert_true(!d[1].segment && d[1].bus == 10 && d[1].device == 31 && d[1].function == 7);
	assert_int_equal(d[1].slot, 31);
	assert_true(d[2].segment == 0x12fe && d[2].bus == 255 && d[2].device == 4);
	assert_int_equal(d[2].slot, 10);
	assert_true(d[3].by == DEVICE_BY_ID && d[3].vendor_id == 0x8086 &&
		    d[3].device_id == 0x10d3);
	assert_true(d[4].by == DEVICE_BY_CLASS && d[4].class == 0x010800);
	assert_true(d[4].class_mask == 0xffff00 && d[4].slot == 2);
	assert_true(d[5].class == 0x010802 && d[5].class_mask == 0xffffff);
	assert_true(config.guests[0].iommu_unsafe && config.guests[0].reset_none);
	assert_int_equal(config.guests[0].dma_fault, DMA_FAULT_STOP);
	one_message(GUEST "iommu = off\n",
		    "lamina.conf:5: iommu = 'off': expected required or unsafe");
	one_message(GUEST "reset = non\n",
		    "lamina.conf:5: reset = 'non': expected required or none; "
		    "did you mean 'none'?");
	one_message(GUEST "dma_fault = kill\n",
		    "lamina.conf:5: dma_fault = 'kill': expected count, pause or stop");
}

static void test_shared_devices(void **state)
{
	static const char two[] = GUEST
		"pci = 00:03.0, 00:04.0, 8086:10d3\n"
		"[guest two]\nkernel=k\nmemory=64M\npci = 8086:10d3, 00:05.0, 0000:00:04.0@9\n"
		"[guest three]\nkernel=k\nmemory=64M\npci = 00:05.0\n";

	(void)state;
	one_message(two,
		    "lamina.conf:9: device 0000:00:04.0 of guest 'two' is given to guest 'one' "
		    "already (line 5)");
	assert_true(config.guests[0].valid);
	assert_false(config.guests[1].valid);
	assert_true(config.guests[2].valid); /* a guest that is left out has no devices */
	parse(GUEST "pci = 00:03.0\n[guest two]\nkernel=k\nmemory=64M\npci = 0001:00:03.0\n");
	assert_string_equal(output, "");
}

static void test_shared_core(void **state)
{
	(void)state;
	one_message(
		GUEST "[guest two]\nkernel=k\nmemory=64M\ncores=1,0\n"
		      "[guest three]\nkernel=k\nmemory=64M\ncores=1\n",
		"lamina.conf:8: core 0 of guest 'two' is given to guest 'one' already (line 4)");
	assert_true(config.guests[0].valid);
	assert_false(config.guests[1].valid);
	assert_true(config.guests[2].valid); /* a guest that is left out has no cores */
}

static void test_assigned_cores(void **state)
{
	(void)state;
	parse("[guest a]\nkernel=k\nmemory=64M\n[guest b]\nkernel=k\nmemory=64M\ncores=0,2\n"
	      "[guest c]\nkernel=k\nmemory=64M\n");
	assert_string_equal(output, "");
	assert_int_equal(config.guests[0].core_count, 1);
	assert_int_equal(config.guests[0].cores[0], 1);
	assert_int_equal(config.guests[2].core_count, 1);
	assert_int_equal(config.guests[2].cores[0], 3);
	one_message(
		"[guest a]\nkernel=k\nmemory=64M\ncores=0-63\n[guest b]\nkernel=k\nmemory=64M\n",
		"lamina.conf:5: no core is left for guest 'b'");
}

static void test_lamina_values(void **state)
{
	(void)state;
	one_message("[lamina]\nstrict = on\n" GUEST,
		    "lamina.conf:2: strict = 'on': expected yes or no");
	one_message(
		"[lamina]\nconsole = fokus\n" GUEST,
		"lamina.conf:2: console = 'fokus': expected focus or all; did you mean 'focus'?");
	one_message("[lamina]\nlog = verbose\n" GUEST,
		    "lamina.conf:2: log = 'verbose': expected error, warn, info or debug");
	one_message(
		"[lamina]\nserial = com1\n" GUEST,
		"lamina.conf:2: serial = 'com1': expected auto, none or an I/O port such as 0x3f8");
	one_message("[lamina]\nserial = 0x10000\n" GUEST,
		    "lamina.conf:2: serial = '0x10000': expected auto, none or an I/O port such as "
		    "0x3f8");
	one_message(
		"[lamina]\nbaud = 1000\n" GUEST,
		"lamina.conf:2: baud = '1000': expected a rate that divides 115200, such as 115200 "
		"or 9600");
	one_message(
		"[lamina]\nbaud = 0\n" GUEST,
		"lamina.conf:2: baud = '0': expected a rate that divides 115200, such as 115200 or "
		"9600");
	one_message("[lamina]\nmemory = 2M\n" GUEST,
		    "lamina.conf:2: memory = '2M': out of range; expected from 4M to 64G");
	parse("[lamina]\nserial = none\nmemory = auto\n" GUEST);
	assert_string_equal(output, "");
	assert_true(config.serial_set);
	assert_int_equal(config.serial_port, 0);
}

static void test_escape(void **state)
{
	uint8_t key;

	(void)state;
	assert_null(value_key("ctrl-a", &key));
	assert_int_equal(key, 1);
	assert_null(value_key("Ctrl-]", &key));
	assert_int_equal(key, 0x1d);
	assert_null(value_key("^_", &key));
	assert_int_equal(key, 0x1f);
	assert_null(value_key("29", &key));
	assert_int_equal(key, 29);
	assert_null(value_key("0x1e", &key));
	assert_int_equal(key, 0x1e);
	assert_non_null(value_key("ctrl-", &key));
	assert_non_null(value_key("ctrl-@", &key));
	assert_non_null(value_key("ctrl-ab", &key));
	assert_non_null(value_key("^1", &key));
	assert_non_null(value_key("0", &key));
	assert_non_null(value_key("128", &key));
	one_message(
		"[lamina]\nescape = ctrl-a\n" GUEST,
		"lamina.conf:2: warning: escape = 'ctrl-a' is screen's and QEMU's own escape key");
	assert_int_equal(config.escape, 1);
	assert_int_equal(report.errors, 0);
	one_message("[lamina]\nescape = 120\n" GUEST,
		    "lamina.conf:2: warning: escape = '120' is a printable character, which then "
		    "cannot be typed");
}

static void test_strange_bytes(void **state)
{
	static const char nul[] = GUEST "cmdline = a\0b\n";
	char text[128];

	(void)state;
	parse_bytes(nul, sizeof(nul) - 1);
	assert_string_equal(output,
			    "lamina.conf:5: byte 12 of the line is NUL; expected a text file\n");
	assert_false(config.guests[0].valid);
	one_message(GUEST "initrd = caf\xc3\xa9\n",
		    "lamina.conf:5: byte 0xc3 in column 13; only ASCII text is supported here");
	snprintf(text, sizeof(text), "%s", "\xff\xfe[");
	one_message(text, "lamina.conf: this file is UTF-16; save it as ASCII or UTF-8");
	assert_int_equal(config.guest_count, 0);
	assert_false(config_runnable(&config, &report));
}

static void test_lengths(void **state)
{
	static char text[CONFIG_FILE_MAX + 2];
	size_t n;

	(void)state;
	n = (size_t)sprintf(text, "%scmdline = ", GUEST);
	memset(text + n, 'x', CONFIG_CMDLINE_LEN - 1);
	text[n + CONFIG_CMDLINE_LEN - 1] = '\0';
	parse(text);
	assert_string_equal(output, "");
	assert_int_equal(strlen(config.guests[0].cmdline), CONFIG_CMDLINE_LEN - 1);
	memset(text + n, 'x', 10000);
	text[n + 10000] = '\0';
	one_message(text, "lamina.conf:5: cmdline has more than 2047 characters");
	n = (size_t)sprintf(text, "%sinitrd = ", GUEST);
	memset(text + n, 'x', CONFIG_PATH_LEN);
	text[n + CONFIG_PATH_LEN] = '\0';
	parse(text);
	assert_non_null(strstr(output, "a path of 128 characters; at most 127 are supported"));
	memset(text, 'k', 5000);
	strcpy(text + 5000, " = 1\n" GUEST);
	parse(text);
	assert_non_null(strstr(output, "...' before any section"));
	memset(text, '\n', CONFIG_FILE_MAX + 1);
	parse_bytes(text, CONFIG_FILE_MAX + 1);
	assert_string_equal(output,
			    "lamina.conf: 65537 bytes; a configuration has at most 65536\n");
	parse_bytes(text, CONFIG_FILE_MAX);
	assert_string_equal(output, "");
}

static void test_too_many_guests(void **state)
{
	char text[4096] = "";
	int i;

	(void)state;
	for (i = 0; i <= CONFIG_MAX_GUESTS; i++)
		sprintf(text + strlen(text), "[guest g%d]\nkernel=k\nmemory=64M\n", i);
	one_message(text,
		    "lamina.conf:49: guest 'g16' is one too many; at most 16 guests are supported");
	assert_int_equal(config.guest_count, CONFIG_MAX_GUESTS);
	assert_true(config.guests[CONFIG_MAX_GUESTS - 1].valid);
}

/* A thousand wrong lines: forty are shown, all are counted, and the end says how many are hidden. */
static void test_message_limit(void **state)
{
	static char text[20000];
	const char *p;
	int i, shown = 0;

	(void)state;
	text[0] = '\0';
	strcat(text, "[lamina]\n");
	for (i = 0; i < 1000; i++)
		strcat(text, "wrong\n");
	parse(text);
	for (p = output; (p = strstr(p, "neither")); p++)
		shown++;
	assert_int_equal(shown, REPORT_MAX);
	assert_int_equal(report.errors, 1000);
	report_finish(&report);
	assert_non_null(strstr(output, "lamina.conf: 960 more messages are not shown"));
}

static void test_runnable(void **state)
{
	(void)state;
	parse("");
	assert_false(config_runnable(&config, &report));
	assert_string_equal(output,
			    "lamina.conf: no guest; expected at least one section [guest NAME]\n");
	parse("[guest a]\n");
	assert_false(config_runnable(&config, &report));
	assert_non_null(strstr(output, "lamina.conf: no guest is left to start\n"));
	parse("[lamina]\nfoo = 1\n" GUEST);
	assert_true(config_runnable(&config, &report));
	parse("[lamina]\nstrict = yes\n" GUEST "[guest b]\nkernel = k\nmemory = 1K\n");
	assert_false(config_runnable(&config, &report));
	assert_non_null(strstr(output,
			       "lamina.conf: strict = yes: nothing is started because of the 1 "
			       "error above\n"));
	parse("[lamina]\nstrict = yes\nescape = ctrl-a\n" GUEST);
	assert_true(config_runnable(&config, &report)); /* a warning is no error */
}

static void check(const char *text, uint32_t cores, uint64_t memory)
{
	const struct config_machine m = { cores, memory };

	parse(text);
	config_check_machine(&config, &lines, &m, &report);
}

static void test_machine(void **state)
{
	(void)state;
	check(GUEST, 1, 64 << 20);
	assert_string_equal(output, "");
	check("[guest a]\nkernel=k\nmemory=64M\ncores=4\n" GUEST, 4, SIZE_1G);
	assert_string_equal(output,
			    "lamina.conf:4: guest 'a' wants core 4; this machine has 4 (0 to 3)\n");
	assert_false(config.guests[0].valid);
	assert_true(config.guests[1].valid);
	check(GUEST "[guest b]\nkernel=k\nmemory=512M\ncores=1\n[guest c]\nkernel=k\nmemory=64M\n",
	      3, 512 << 20);
	assert_string_equal(output, "lamina.conf:7: guest 'b' wants 512M of memory; 448M of this "
				    "machine's 512M are left\n");
	assert_true(config.guests[2].valid);
	check(GUEST "[guest b]\nkernel=k\nmemory=64M\n", 1, SIZE_1G);
	assert_string_equal(output,
			    "lamina.conf:5: no core is left for guest 'b'; this machine has 1\n");
}

static void test_nearest(void **state)
{
	static const char *const names[] = {
		"kernel", "initrd", "memory", "cores", "console", "log"
	};
	const size_t n = ARRAY_SIZE(names);

	(void)state;
	assert_string_equal(nearest_name("kernl", names, n), "kernel");
	assert_string_equal(nearest_name("memroy", names, n), "memory");
	assert_string_equal(nearest_name("core", names, n), "cores");
	assert_string_equal(nearest_name("consle", names, n), "console");
	assert_string_equal(nearest_name("lgo", names, n), "log"); /* one swap, two changes */
	assert_null(nearest_name("", names, n));
	assert_null(nearest_name("x", names, n));
	assert_null(nearest_name("ram", names, n));
	assert_null(nearest_name("a-very-long-word-that-is-no-key", names, n));
}

static void test_quote(void **state)
{
	char out[QUOTE_SIZE], all[256];
	int i;

	(void)state;
	assert_string_equal(quote_bytes(out, "a\x01\xff", 3), "'a\\x01\\xff'");
	for (i = 0; i < 256; i++) {
		memset(all, i, sizeof(all));
		quote_bytes(out, all, sizeof(all));
		assert_true(strlen(out) < QUOTE_SIZE);
		assert_string_equal(out + strlen(out) - 4, "...'");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_text_forms),     cmocka_unit_test(test_unknown_names),
		cmocka_unit_test(test_sections),       cmocka_unit_test(test_guest_errors),
		cmocka_unit_test(test_mmu_values),     cmocka_unit_test(test_memory_values),
		cmocka_unit_test(test_core_values),    cmocka_unit_test(test_shared_core),
		cmocka_unit_test(test_assigned_cores), cmocka_unit_test(test_lamina_values),
		cmocka_unit_test(test_escape),         cmocka_unit_test(test_strange_bytes),
		cmocka_unit_test(test_lengths),        cmocka_unit_test(test_too_many_guests),
		cmocka_unit_test(test_message_limit),  cmocka_unit_test(test_runnable),
		cmocka_unit_test(test_machine),        cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_quote),          cmocka_unit_test(test_devices),
		cmocka_unit_test(test_bad_devices),    cmocka_unit_test(test_shared_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
