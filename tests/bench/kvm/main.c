/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usage: vmm [MODULE.PARAMETER=VALUE] ... vm WORD ... [vm WORD ...] ...
 *
 * Runs one VM after another. As the process with number 1 it prepares the machine first, and powers
 * it off afterwards; then the words are the lines of the file /words. Words of a
 * VM: kernel=FILE initrd=FILE cmdline=TEXT memory=MIB cpus=N huge prefault end=TEXT
 * set=MODULE.PARAMETER=VALUE (before it starts, and for good).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm.h"

#define WORDS     "/words"
#define MAX_WORDS 256
#define MAX_WORD  512

/*
 * As the first process by way of the kernel's log: it is out when write() returns, and no interrupt
 * of the UART comes later.
 */
static int out = STDOUT_FILENO;

void say(const char *fmt, ...)
{
	char line[900] = "<3>"; /* the severity, which `quiet` lets pass */
	size_t prefix = out == STDOUT_FILENO ? 0 : 3;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line + prefix, sizeof(line) - prefix - 1, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	n += (int)prefix;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(out, line, (size_t)n) != n)
		_exit(1);
}

void fail(const char *fmt, ...)
{
	const char *reason = errno ? strerror(errno) : "";
	char what[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	say("vmm: %s%s%s", what, *reason ? ": " : "", reason);
	_exit(1);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	errno = 0;
	if (!*text || *end || !value || value > most)
		fail("bad number '%s'", text);
	return value;
}

/* MODULE.NAME=VALUE of a module that is loaded. */
static void set_parameter(const char *text)
{
	char module[64], name[64], value[64];

	errno = 0;
	if (sscanf(text, "%63[^.].%63[^=]=%63s", module, name, value) != 3)
		fail("bad parameter '%s'", text);
	host_set_parameter(module, name, value);
	say("host: %s", text);
}

static void parse_word(struct options *o, const char *word)
{
	const char *value = strchr(word, '=');
	size_t n = value ? (size_t)(value - word) : strlen(word);

	value = value ? value + 1 : "";
	if (!strncmp(word, "kernel", n))
		o->kernel = value;
	else if (!strncmp(word, "initrd", n))
		o->initrd = value;
	else if (!strncmp(word, "cmdline", n))
		o->cmdline = value;
	else if (!strncmp(word, "end", n))
		o->end = value;
	else if (!strncmp(word, "set", n))
		set_parameter(value);
	else if (!strncmp(word, "memory", n))
		o->memory = number(value, 2048) * MIB;
	else if (!strncmp(word, "cpus", n))
		o->cpus = (unsigned int)number(value, MAX_CPUS);
	else if (!strcmp(word, "huge"))
		o->huge = true;
	else if (!strcmp(word, "prefault"))
		o->prefault = true;
	else
		fail("unknown word '%s'", word);
}

static void report(struct vm *vm)
{
	uint64_t exits = 0;

	for (unsigned int i = 0; i < vm->opt.cpus; i++)
		exits += stats_read(vm->cpus[i].stats, "exits");
	say("vmm: end, %llu exits, %llu ticks", (unsigned long long)exits,
	    (unsigned long long)(tsc_now() - vm->start_tsc));
}

/* One VM; the process ends with it. */
static void run_vm(char *const *words, int count)
{
	static struct vm vm;

	vm.opt = (struct options){ .cmdline = "", .memory = 64 * MIB, .cpus = 1 };
	pthread_mutex_init(&vm.lock, NULL);
	for (int i = 0; i < count; i++)
		parse_word(&vm.opt, words[i]);
	errno = 0;
	if (!vm.opt.kernel)
		fail("no kernel=");
	vm_create(&vm);
	boot_load(&vm);
	say("vmm: start %s, %llu MiB, %u CPUs, %s pages, guest TSC %llu", vm.opt.kernel,
	    (unsigned long long)(vm.opt.memory / MIB), vm.opt.cpus, vm.opt.huge ? "huge" : "small",
	    (unsigned long long)vm_guest_tsc(&vm));
	boot_set_registers(&vm.cpus[0]);
	for (unsigned int i = 1; i < vm.opt.cpus; i++) {
		errno = pthread_create(&vm.cpus[i].thread, NULL, run_vcpu, &vm.cpus[i]);
		if (errno)
			fail("pthread_create");
	}
	run_vcpu(&vm.cpus[0]);
	report(&vm);
	_exit(0);
}

static int next_vm(char *const *words, int from, int count)
{
	while (from < count && strcmp(words[from], "vm") != 0)
		from++;
	return from;
}

/* A child process for each VM, so that nothing is left of it. */
static void run_all(char *const *words, int count)
{
	int at = next_vm(words, 0, count), status;

	while (at < count) {
		int end = next_vm(words, at + 1, count);
		pid_t child = fork();

		if (!child)
			run_vm(words + at + 1, end - at - 1);
		if (child < 0 || waitpid(child, &status, 0) < 0)
			fail("fork");
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			say("vmm: failed, status %#x", (unsigned int)status);
		at = end;
	}
}

/* The lines of a file as a vector of words; its length goes to `count`. */
static char **read_words(const char *path, int *count)
{
	static char *words[MAX_WORDS + 1];
	char line[MAX_WORD];
	FILE *f = fopen(path, "r");

	if (!f)
		fail("%s", path);
	for (*count = 0; *count < MAX_WORDS && fgets(line, sizeof(line), f); (*count)++) {
		line[strcspn(line, "\n")] = 0;
		words[*count] = strdup(line);
		if (!words[*count])
			fail("strdup");
	}
	fclose(f);
	return words;
}

static void run_host(void)
{
	int count;
	char **words = read_words(WORDS, &count);

	host_mount();
	out = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (out < 0)
		_exit(1);
	say("host: %d words, loading KVM", count);
	host_load_kvm(words);
	host_describe();
	run_all(words, count);
	say("vmm: all done");
	host_power_off();
}

int main(int argc, char **argv)
{
	if (getpid() == 1)
		run_host();
	run_all(argv + 1, argc - 1);
	return 0;
}
