/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm.h"

#define SLEEP_ENABLE 0x20

static void mark(struct vm *vm, uint8_t number)
{
	uint64_t ticks = tsc_now() - vm->start_tsc, exits = 0;

	for (unsigned int i = 0; i < vm->opt.cpus; i++)
		exits += stats_read(vm->cpus[i].stats, "exits");
	say("mark %u %llu %llu", number, (unsigned long long)ticks, (unsigned long long)exits);
	vm->ended |= number == MARK_END;
}

static void port_write(struct vm *vm, uint16_t port, uint8_t value, uint8_t size)
{
	if (port >= COM1_PORT && port < COM1_PORT + 8)
		uart_write(vm, port - COM1_PORT, value);
	else if (port == RTC_PORT)
		vm->rtc_index = value & 0x7f;
	else if (port == MARK_PORT)
		mark(vm, value);
	else if (port == SLEEP_PORT)
		vm->ended |= value & SLEEP_ENABLE;
	else if (port == RESET_PORT && size == 1) /* wider ones are for PCI */
		vm->ended = true;
}

/* 2025-01-01 00:00:00 in the registers of an MC146818, in BCD. */
static uint8_t rtc_read(uint8_t reg)
{
	static const uint8_t regs[] = { [6] = 3,      [7] = 1,      [8] = 1,      [9] = 0x25,
					[0xa] = 0x26, [0xb] = 0x02, [0xd] = 0x80, [0x32] = 0x20 };

	return reg < sizeof(regs) ? regs[reg] : 0;
}

static uint8_t port_read(struct vm *vm, uint16_t port)
{
	if (port >= COM1_PORT && port < COM1_PORT + 8)
		return uart_read(vm, port - COM1_PORT);
	return port == RTC_PORT + 1 ? rtc_read(vm->rtc_index) : 0xff;
}

static void handle_io(struct vm *vm, struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count * run->io.size; i++) {
		uint16_t port = (uint16_t)(run->io.port + i % run->io.size);

		if (run->io.direction == KVM_EXIT_IO_OUT)
			port_write(vm, port, data[i], run->io.size);
		else
			data[i] = port_read(vm, port);
	}
}

static void handle_mmio(struct kvm_run *run)
{
	uint64_t offset = run->mmio.phys_addr - MMIO_USER_GPA;

	if (run->mmio.is_write)
		return;
	if (offset >= PAGE_SIZE)
		offset = UINT64_MAX;
	memcpy(run->mmio.data, &offset, sizeof(run->mmio.data));
}

static void handle_exit(struct vm_cpu *c)
{
	struct kvm_run *run = c->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(c->vm, run);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(run);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SHUTDOWN:
		say("vmm: shutdown of vCPU %u", c->index);
		c->vm->ended = true;
		break;
	default:
		errno = 0;
		fail("exit %u (%#llx) of vCPU %u", run->exit_reason,
		     (unsigned long long)(run->exit_reason == KVM_EXIT_INTERNAL_ERROR
						  ? run->internal.suberror
						  : run->hw.hardware_exit_reason),
		     c->index);
	}
}

/* Each vCPU on its own CPU, if there are as many. */
static void pin(unsigned int index)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(index % (unsigned int)(cpus > 0 ? cpus : 1), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
}

void *run_vcpu(void *vcpu)
{
	struct vm_cpu *c = vcpu;
	struct vm *vm = c->vm;
	int result;

	pin(c->index);
	pthread_mutex_lock(&vm->lock);
	if (!c->index)
		vm->start_tsc = tsc_now();
	while (!vm->ended) {
		pthread_mutex_unlock(&vm->lock);
		result = ioctl(c->fd, KVM_RUN, 0);
		/* EAGAIN: it waited for its INIT or SIPI, and got it. */
		if (result && errno != EINTR && errno != EAGAIN)
			fail("KVM_RUN");
		pthread_mutex_lock(&vm->lock);
		if (!result)
			handle_exit(c);
	}
	pthread_mutex_unlock(&vm->lock);
	return NULL;
}
