// SPDX-License-Identifier: BSD-2-Clause
/*
 * Check a lamina.conf without booting it: the loader's parser, compiled for this machine. Exit
 * status 0: Lamina would boot all of it; 1: it would complain; 2: usage or file error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/config_parser.h"

static void emit(void *ctx, const char *text)
{
	(void)ctx;
	puts(text);
}

static const char *console_name(enum config_console c)
{
	return c == CONSOLE_ALL ? "all" : "focus";
}

static void print_guest(const struct guest_config *g)
{
	uint32_t i;

	printf("guest %s: %s, %llu MiB, ", g->name, g->valid ? g->kernel : "NOT VALID",
	       (unsigned long long)(g->memory >> 20));
	if (!g->core_count)
		printf("no core");
	else
		printf("core%s", g->core_count > 1 ? "s" : "");
	for (i = 0; i < g->core_count; i++)
		printf("%s%u", i ? "," : " ", g->cores[i]);
	printf("%s%s\n", g->console ? "" : ", no console", g->autostart ? "" : ", not started");
}

/* The file's contents, at most one byte more than the parser takes; exits if it can't be read. */
static char *read_file(const char *path, size_t *size)
{
	char *text = malloc(CONFIG_FILE_MAX + 1);
	FILE *f = fopen(path, "rb");

	if (!text || !f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	*size = fread(text, 1, CONFIG_FILE_MAX + 1, f);
	if (ferror(f)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	fclose(f);
	return text;
}

int main(int argc, char **argv)
{
	static struct config config;
	static struct config_lines lines;
	struct report report = { .emit = emit };
	bool runnable;
	size_t size;
	char *text;
	uint32_t i;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FILE\n", argv[0]);
		return 2;
	}
	report.file = argv[1];
	text = read_file(argv[1], &size);
	config_parse(text, size, &config, &lines, &report);
	free(text);
	runnable = config_runnable(&config, &report);
	report_finish(&report);
	printf("console=%s strict=%s\n", console_name(config.console),
	       config.strict ? "yes" : "no");
	for (i = 0; i < config.guest_count; i++)
		print_guest(&config.guests[i]);
	printf("%u error%s, %u warning%s%s\n", report.errors, report.errors == 1 ? "" : "s",
	       report.warnings, report.warnings == 1 ? "" : "s",
	       runnable ? "" : "; Lamina would not start");
	return report.errors || !runnable ? 1 : 0;
}
