/* SPDX-License-Identifier: BSD-2-Clause */
#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "vmm.h"

#define MODULES         "/lib/modules/"
#define VULNERABILITIES "/sys/devices/system/cpu/vulnerabilities"
#define PARAMETERS      "/sys/module/kvm/parameters"

/* Load a module with those of the words that begin with its name, as its parameters. */
static void load_module(const char *name, char *const *words)
{
	char path[64], values[256] = "";
	size_t n = strlen(name), used = 0;
	int fd;

	for (; *words && strcmp(*words, "vm") != 0; words++) {
		if (strncmp(*words, name, n) != 0 || (*words)[n] != '.')
			continue;
		used += (size_t)snprintf(values + used, sizeof(values) - used, "%s ",
					 *words + n + 1);
		if (used >= sizeof(values))
			fail("too many parameters of %s", name);
	}
	snprintf(path, sizeof(path), MODULES "%s.ko", name);
	for (char *c = path; *c; c++)
		*c = *c == '_' ? '-' : *c;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, values, 0))
		fail("%s", path);
	say("host: loaded %s at %llu", name, (unsigned long long)tsc_now());
	close(fd);
}

static bool is_amd(void)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == signature_AMD_ebx;
}

void host_mount(void)
{
	if (mount("proc", "/proc", "proc", 0, NULL) || mount("sys", "/sys", "sysfs", 0, NULL) ||
	    mount("dev", "/dev", "devtmpfs", 0, NULL))
		fail("mount");
}

void host_load_kvm(char *const *words)
{
	load_module("irqbypass", words);
	load_module("kvm", words);
	load_module(is_amd() ? "kvm_amd" : "kvm_intel", words);
}

static void read_file(const char *folder, const char *name, char *text, size_t size)
{
	char path[320];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
}

/* The values of all files of a folder in one line, or each in a line of its own. */
static void describe_folder(const char *what, const char *folder, bool one_line)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, alphasort);
	char text[200], line[800] = "";
	size_t used = 0;

	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] == '.') {
			free(names[i]);
			continue;
		}
		read_file(folder, names[i]->d_name, text, sizeof(text));
		if (!one_line)
			say("host: %s %s: %s", what, names[i]->d_name, text);
		else if (used < sizeof(line))
			used += (size_t)snprintf(line + used, sizeof(line) - used, " %s=%s",
						 names[i]->d_name, text);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (one_line)
		say("host: %s%s", what, line);
}

static void describe_file(const char *what, const char *folder, const char *name)
{
	char text[200];

	read_file(folder, name, text, sizeof(text));
	say("host: %s: %s", what, text);
}

void host_describe(void)
{
	const char *vendor = is_amd() ? "kvm_amd" : "kvm_intel";
	char folder[64];
	struct utsname u;

	if (!uname(&u))
		say("host: Linux %s, %ld CPUs", u.release, sysconf(_SC_NPROCESSORS_ONLN));
	describe_folder("vulnerability", VULNERABILITIES, false);
	describe_folder("kvm", PARAMETERS, true);
	snprintf(folder, sizeof(folder), "/sys/module/%s/parameters", vendor);
	describe_folder(vendor, folder, true);
	describe_file("transparent huge pages", "/sys/kernel/mm/transparent_hugepage", "enabled");
	describe_file("clocksource", "/sys/devices/system/clocksource/clocksource0",
		      "current_clocksource");
}

void host_power_off(void)
{
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

void host_set_parameter(const char *module, const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fail("%s", path);
	close(fd);
}

uint64_t host_thread_ticks(const char *name, uint64_t khz)
{
	struct dirent **names;
	int n = scandir("/proc", &names, NULL, alphasort);
	char folder[300], text[64];
	struct timespec t;
	clockid_t clock;

	for (int i = 0; i < n; i++) {
		snprintf(folder, sizeof(folder), "/proc/%s", names[i]->d_name);
		read_file(folder, "comm", text, sizeof(text));
		if (strncmp(text, name, strlen(name)) != 0)
			continue;
		if (clock_getcpuclockid((pid_t)atoi(names[i]->d_name), &clock) ||
		    clock_gettime(clock, &t))
			return 0;
		return ((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec) / 1000 * khz / 1000;
	}
	return 0;
}
