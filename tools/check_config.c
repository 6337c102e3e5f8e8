// SPDX-License-Identifier: BSD-2-Clause
/*
 * check-config: reads a lamina.conf on the development machine with the loader's own parser and
 * prints what the loader would print. Exit status: 0 all is well, 1 something is wrong with the
 * file, 2 this program was called wrongly.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/config_parser.h"
#include "boot/config_values.h"
#include "boot/linux_image.h"

struct options {
	const char *file;
	const char *root; /* of the system partition's files; NULL: images are not looked at */
	bool machine;     /* cores or memory was given */
	struct config_machine limits;
};

static void usage(FILE *to)
{
	fputs("usage: check-config [--cores N] [--memory SIZE] [--root DIR] FILE\n"
	      "  --cores N      the machine has N cores\n"
	      "  --memory SIZE  the machine has SIZE (such as 8G) for guests\n"
	      "  --root DIR     check kernels and initrds too; DIR holds the partition's files\n",
	      to);
}

static bool parse_cores(const char *s, uint32_t *out)
{
	uint64_t v;

	if (value_number(s, &v) || !v || v > CONFIG_MAX_CPUS) {
		fprintf(stderr, "check-config: --cores %s: expected 1 to %d\n", s, CONFIG_MAX_CPUS);
		return false;
	}
	*out = (uint32_t)v;
	return true;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
	static const struct option names[] = { { "cores", required_argument, NULL, 'c' },
					       { "memory", required_argument, NULL, 'm' },
					       { "root", required_argument, NULL, 'r' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	const char *why;
	int c;

	*o = (struct options){ .limits = { CONFIG_MAX_CPUS, ~0ull } };
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'c') {
			if (!parse_cores(optarg, &o->limits.cores))
				return false;
			o->machine = true;
		} else if (c == 'm') {
			why = value_size(optarg, &o->limits.memory);
			if (why) {
				fprintf(stderr, "check-config: --memory %s: %s\n", optarg, why);
				return false;
			}
			o->machine = true;
		} else if (c == 'r') {
			o->root = optarg;
		} else {
			usage(c == 'h' ? stdout : stderr);
			if (c == 'h')
				exit(0);
			return false;
		}
	}
	if (optind + 1 != argc) {
		usage(stderr);
		return false;
	}
	o->file = argv[optind];
	return true;
}

/* A whole file, or NULL with errno set. At most one byte more than `limit` is read. */
static char *read_file(const char *path, size_t limit, size_t *size)
{
	FILE *f = fopen(path, "rb");
	char *data = NULL;
	size_t room = 0;

	if (!f)
		return NULL;
	*size = 0;
	do {
		char *more;

		room = room ? room * 2 : 4096;
		more = realloc(data, room);
		if (!more)
			goto failed;
		data = more;
		*size += fread(data + *size, 1, room - *size, f);
	} while (*size == room && *size <= limit);
	if (ferror(f)) {
		errno = EIO;
		goto failed;
	}
	fclose(f);
	return data;
failed:
	free(data);
	fclose(f);
	return NULL;
}

static void emit(void *ctx, const char *text)
{
	(void)ctx;
	puts(text);
}

/* The partition is searched without regard to case, as FAT is; try the two usual forms. */
static char *read_image(const char *root, const char *name, size_t *size)
{
	char path[4096];
	char *data, *p;

	snprintf(path, sizeof(path), "%s%s%s", root, name[0] == '\\' ? "" : "/EFI/lamina/", name);
	for (p = path + strlen(root); *p; p++) {
		if (*p == '\\')
			*p = '/';
	}
	data = read_file(path, SIZE_MAX / 4, size);
	if (!data) {
		snprintf(path, sizeof(path), "%s/%s", root, name[0] == '\\' ? name + 1 : name);
		data = read_file(path, SIZE_MAX / 4, size);
	}
	return data;
}

/* One image of a guest; false after a message. */
static bool check_image(const struct options *o, const struct config *c,
			const struct config_lines *lines, uint32_t i, enum guest_key key,
			struct report *r, struct linux_image *kernel, size_t *size)
{
	const struct guest_config *g = &c->guests[i];
	bool is_kernel = key == GUEST_KERNEL;
	const char *name = is_kernel ? g->kernel : g->initrd;
	char *data = read_image(o->root, name, size);
	const char *problem;

	if (!data)
		problem = strerror(errno);
	else
		problem = is_kernel ? linux_image_check(data, *size, kernel)
				    : initrd_check(data, *size);
	if (problem && data && !is_kernel && *size) {
		report_warning(r, config_line(c, lines, i, key), "initrd %s is %s", name, problem);
		problem = NULL;
	}
	if (problem)
		report_error(r, config_line(c, lines, i, key), "%s %s of guest '%s': %s",
			     is_kernel ? "kernel" : "initrd", name, g->name, problem);
	free(data);
	return !problem;
}

static void check_images(const struct options *o, struct config *c,
			 const struct config_lines *lines, struct report *r)
{
	uint32_t i;

	for (i = 0; i < c->guest_count; i++) {
		struct guest_config *g = &c->guests[i];
		struct linux_image kernel;
		size_t size, initrd_size = 0;
		uint64_t needed;

		if (!g->valid)
			continue;
		g->valid = check_image(o, c, lines, i, GUEST_KERNEL, r, &kernel, &size);
		if (g->initrd[0] &&
		    !check_image(o, c, lines, i, GUEST_INITRD, r, NULL, &initrd_size))
			g->valid = false;
		if (!g->valid)
			continue;
		needed = linux_image_memory(&kernel, initrd_size);
		if (g->memory >= needed)
			continue;
		report_error(
			r, config_line(c, lines, i, GUEST_MEMORY),
			"guest '%s' has %lluM of memory; this kernel and initrd need %lluM to start",
			g->name, (unsigned long long)(g->memory >> 20),
			(unsigned long long)(ALIGN_UP(needed, SIZE_2M) >> 20));
		g->valid = false;
	}
}

static void print_guest(const struct guest_config *g)
{
	uint32_t i;

	printf("guest %s: ", g->name);
	if (!g->valid) {
		puts("left out because of the errors above");
		return;
	}
	printf("%s, %llu MiB, core%s", g->kernel, (unsigned long long)(g->memory >> 20),
	       g->core_count > 1 ? "s" : "");
	for (i = 0; i < g->core_count; i++)
		printf("%s%u", i ? "," : " ", g->cores[i]);
	if (g->device_count)
		printf(", %u device%s", (unsigned int)g->device_count,
		       g->device_count > 1 ? "s" : "");
	printf("%s%s\n", g->console ? "" : ", no console", g->autostart ? "" : ", not started");
}

int main(int argc, char **argv)
{
	static struct config config;
	static struct config_lines lines;
	struct report report = { .emit = emit };
	struct options o;
	bool runnable;
	size_t size;
	char *text;
	uint32_t i;

	if (!parse_options(argc, argv, &o))
		return 2;
	report.file = o.file;
	text = read_file(o.file, CONFIG_FILE_MAX, &size);
	if (!text) {
		printf("%s: %s\n", o.file, strerror(errno));
		return 1;
	}
	config_parse(text, size, &config, &lines, &report);
	free(text);
	if (o.machine)
		config_check_machine(&config, &lines, &o.limits, &report);
	if (o.root)
		check_images(&o, &config, &lines, &report);
	runnable = config_runnable(&config, &report);
	report_finish(&report);
	for (i = 0; i < config.guest_count; i++)
		print_guest(&config.guests[i]);
	printf("%u error%s, %u warning%s%s\n", (unsigned int)report.errors,
	       report.errors == 1 ? "" : "s", (unsigned int)report.warnings,
	       report.warnings == 1 ? "" : "s", runnable ? "" : "; Lamina would not start");
	return report.errors ? 1 : 0;
}
