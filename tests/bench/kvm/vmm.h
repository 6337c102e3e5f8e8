/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BENCH_KVM_VMM_H
#define LAMINA_BENCH_KVM_VMM_H

/*
 * A virtual machine monitor that is as small as one can be for KVM: what the benchmark's payload
 * and a stock Linux kernel need, nothing that would make an exit longer than KVM's own path.
 *
 *  main.c    the process with number 1 of the host, or a program: its words, one VM after another
 *  host.c    what the process with number 1 does: file systems, KVM's modules, power
 *  vm.c      VM, memory slots, vCPUs
 *  boot.c    the Linux boot protocol
 *  run.c     exits
 *  uart.c    COM1
 *  action.c  what the payload asks for: `wait ACTION`, answered with `go`
 *  stats.c   KVM's counters
 *
 * Errors end the VM's process: fail() says what and why.
 */
#include <pthread.h>

#include <linux/kvm.h>

#include "tests/bench/kvm/machine.h"
#include "types.h"

#define MAX_CPUS 2
#define MIB      (1ull << 20)

/* The words that describe one VM. */
struct options {
	const char *kernel, *initrd, *cmdline;
	uint64_t memory; /* bytes */
	unsigned int cpus;
	bool huge;     /* the RAM may be huge pages of the host; else it must not */
	bool prefault; /* the host's pages are there before the start */
	const char
		*end; /* the VM ends with the first line that begins so; NULL: when it powers off */
};

struct uart {
	char line[256]; /* what was sent since the last end of a line */
	size_t length;
	char input[64];
	size_t input_head, input_tail;
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	bool thre_pending;
};

struct vm;

struct vm_cpu {
	struct vm *vm;
	unsigned int index;
	int fd, stats;
	struct kvm_run *run;
	pthread_t thread;
};

struct vm {
	struct options opt;
	int kvm, fd, stats;
	size_t run_size;
	uint8_t *ram;  /* of opt.memory bytes, from 0 on */
	uint8_t *page; /* behind SLOT_GPA */
	struct vm_cpu cpus[MAX_CPUS];
	pthread_mutex_t lock; /* held for all of an exit but KVM_RUN: devices, actions, printing */
	struct uart uart;
	uint8_t rtc_index;
	uint64_t entry;     /* RIP of the first vCPU */
	uint64_t start_tsc; /* just before the first vCPU's first entry */
	bool ended;
};

static inline uint64_t tsc_now(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/* ---- main.c ---- */

/* Print a line on the console and wait until it is out, so that it costs nothing later. */
void say(const char *fmt, ...) printf_like(1, 2);
/* The same with errno's text if it is set, then end this process. */
noreturn void fail(const char *fmt, ...) printf_like(1, 2);

/* ---- host.c ---- */

void host_mount(void);
/* Load KVM with those of the NULL-terminated words up to `vm` that are "MODULE.NAME=VALUE". */
void host_load_kvm(char *const *words);
/* Say what the host is: kernel, CPU mitigations, KVM's parameters. */
void host_describe(void);
noreturn void host_power_off(void);
/* Write a parameter of a module that is loaded. */
void host_set_parameter(const char *module, const char *name, const char *value);
/* CPU time in TSC ticks of the first kernel thread whose name begins so; 0 if there is none. */
uint64_t host_thread_ticks(const char *name, uint64_t khz);

/* ---- vm.c ---- */

void vm_create(struct vm *vm);
/* Delete and create again the slot of the RAM, or of the one page at SLOT_GPA. */
void vm_cycle_ram(struct vm *vm);
void vm_cycle_page(struct vm *vm);
/* The host's address of [gpa, gpa + size), which must be RAM. */
void *vm_at(struct vm *vm, uint64_t gpa, uint64_t size);
void vm_set_irq(struct vm *vm, uint32_t irq, bool level);
uint64_t vm_tsc_khz(struct vm *vm);
/* What the first vCPU would read now. */
uint64_t vm_guest_tsc(struct vm *vm);
/* CPUID of a vCPU: what KVM supports, its paravirtual leaves, and the frequencies. */
void vcpu_set_cpuid(struct vm_cpu *c);

/* ---- boot.c ---- */

/* Load the kernel and the initrd; set vm->entry. */
void boot_load(struct vm *vm);
/* The registers of the first vCPU, as the 64-bit boot protocol wants them. */
void boot_set_registers(struct vm_cpu *c);

/* ---- run.c ---- */

/* A vCPU's thread, until the VM ends. */
void *run_vcpu(void *vcpu);

/* ---- uart.c ---- */

uint8_t uart_read(struct vm *vm, uint16_t reg);
void uart_write(struct vm *vm, uint16_t reg, uint8_t value);
/* Let the guest receive `text`. */
void uart_input(struct vm *vm, const char *text);

/* ---- action.c ---- */

/* A whole line that the guest has sent, already printed. */
void action_line(struct vm *vm, const char *line);

/* ---- stats.c ---- */

/* Value of a counter of the file descriptor that KVM_GET_STATS_FD gave. */
uint64_t stats_read(int fd, const char *name);

#endif
