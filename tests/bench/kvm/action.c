/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm.h"

#define RECOVERY_THREAD  "kvm-nx-lpage"
#define RECOVERY_STEP_US 20000
#define RECOVERY_STEPS   500

static void timed(struct vm *vm, void (*action)(struct vm *vm), const char *key)
{
	uint64_t start = tsc_now();

	action(vm);
	say("result %s %llu", key, (unsigned long long)(tsc_now() - start));
}

/*
 * Let KVM put back together all huge pages that it split because the guest executed from them; by
 * default it takes a 60th of them each minute. Its thread's CPU time is what that costs.
 */
static void recover(struct vm *vm)
{
	uint64_t khz = vm_tsc_khz(vm), before = stats_read(vm->stats, "nx_lpage_splits");
	uint64_t ticks = host_thread_ticks(RECOVERY_THREAD, khz), left = before;

	host_set_parameter("kvm", "nx_huge_pages_recovery_ratio", "1");
	host_set_parameter("kvm", "nx_huge_pages_recovery_period_ms", "1");
	for (unsigned int i = 0; left && i < RECOVERY_STEPS; i++) {
		usleep(RECOVERY_STEP_US);
		left = stats_read(vm->stats, "nx_lpage_splits");
	}
	host_set_parameter("kvm", "nx_huge_pages_recovery_period_ms", "0");
	host_set_parameter("kvm", "nx_huge_pages_recovery_ratio", "60");
	say("note nx_splits %llu %llu", (unsigned long long)before, (unsigned long long)left);
	say("result nx_recover %llu",
	    (unsigned long long)(host_thread_ticks(RECOVERY_THREAD, khz) - ticks));
}

void action_line(struct vm *vm, const char *line)
{
	const char *what = line + strlen("wait ");

	if (vm->opt.end && !strncmp(line, vm->opt.end, strlen(vm->opt.end)))
		vm->ended = true;
	if (strncmp(line, "wait ", strlen("wait ")) != 0)
		return;
	errno = 0;
	if (!strcmp(what, "zap"))
		timed(vm, vm_cycle_ram, "zap_cycle");
	else if (!strcmp(what, "slot"))
		timed(vm, vm_cycle_page, "slot_cycle");
	else if (!strcmp(what, "recover"))
		recover(vm);
	else
		fail("unknown action '%s'", what);
	uart_input(vm, "go\n");
}
