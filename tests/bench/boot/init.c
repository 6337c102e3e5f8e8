// SPDX-License-Identifier: BSD-2-Clause
/*
 * The first process of a kernel whose boot is measured. It tells, on COM1 and without a driver, its
 * first reading of the TSC, the kernel's (`entry=`, from its command line) and how long the kernel
 * has been idle until then.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define COM1     0x3f8
#define LSR      5
#define LSR_THRE 0x20

static uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static void print(const char *text)
{
	for (; *text; text++) {
		while (!(inb(COM1 + LSR) & LSR_THRE))
			;
		outb(*text, COM1);
	}
}

/* The second number of /proc/uptime, in milliseconds. */
static unsigned long long idle_ms(void)
{
	double idle = 0;
	FILE *f;

	mkdir("/proc", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL))
		return 0;
	f = fopen("/proc/uptime", "r");
	if (f && fscanf(f, "%*f %lf", &idle) != 1)
		idle = 0;
	return (unsigned long long)(idle * 1000 + 0.5);
}

int main(void)
{
	uint64_t now = rdtsc();
	const char *entry = getenv("entry");
	char line[160];

	if (iopl(3))
		return 1;
	snprintf(line, sizeof(line), "\r\ninit %llu entry %llu idle %llu\r\n",
		 (unsigned long long)now, entry ? strtoull(entry, NULL, 16) : 0ull, idle_ms());
	print(line);
	for (;;)
		pause();
}
