/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first process of the stock kernel that is measured, in a VM or elsewhere. It writes to the
 * port of marks (machine.h) when it has started (1), before and after a while of idleness (2, 3),
 * and after a while of work (4). usage: init [MILLISECONDS], on the kernel's command line behind `--`
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/kvm/machine.h"

#define DEFAULT_MS 4000

static void mark(unsigned char number)
{
	outb(number, MARK_PORT);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	long ms = argc > 1 ? atol(argv[1]) : DEFAULT_MS, end;
	struct timespec pause_time = { .tv_sec = 1 }, idle;

	if (iopl(3))
		return 1;
	mark(1);
	if (ms <= 0)
		ms = DEFAULT_MS;
	idle = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&pause_time, NULL); /* what the kernel still does after its start */
	mark(2);
	nanosleep(&idle, NULL);
	mark(3);
	for (end = now_ms() + ms; now_ms() < end;)
		;
	mark(4);
	mark(MARK_END);
	for (;;)
		pause();
}
