/* SPDX-License-Identifier: BSD-2-Clause */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm.h"

#define TSS_GPA      0xfffbd000ul /* three pages that real mode needs without unrestricted guest */
#define MSR_TSC      0x10
#define MAX_LEAVES   128
#define LEAF_KVM     0x40000000u
#define LEAF_TIMING  0x40000010u /* EAX: TSC kHz, EBX: APIC bus kHz */
#define KVM_BUS_KHZ  1000000u    /* its local APIC timers count nanoseconds */
#define SLOT_RAM     0           /* numbers of slots */
#define SLOT_PAGE    1
#define BIT_X2APIC   (1u << 21)
#define BIT_DEADLINE (1u << 24)
#define BIT_HV       (1u << 31)

static int checked(int result, const char *what)
{
	if (result < 0)
		fail("%s", what);
	return result;
}

/* Memory of the host, aligned like the guest's, so that huge pages can serve both. */
static uint8_t *allocate(const struct vm *vm, uint64_t size)
{
	uint8_t *at = mmap(NULL, size + SIZE_2M, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		fail("mmap");
	at += -(uintptr_t)at & (SIZE_2M - 1);
	checked(madvise(at, size, vm->opt.huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE), "madvise");
	if (vm->opt.prefault)
		checked(madvise(at, size, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE");
	return at;
}

static void set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, const void *at)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)at,
	};

	checked(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

void vm_cycle_ram(struct vm *vm)
{
	set_slot(vm, SLOT_RAM, 0, 0, NULL);
	set_slot(vm, SLOT_RAM, 0, vm->opt.memory, vm->ram);
}

void vm_cycle_page(struct vm *vm)
{
	if (!vm->page)
		fail("no slot of one page");
	set_slot(vm, SLOT_PAGE, SLOT_GPA, 0, NULL);
	set_slot(vm, SLOT_PAGE, SLOT_GPA, PAGE_SIZE, vm->page);
}

void *vm_at(struct vm *vm, uint64_t gpa, uint64_t size)
{
	if (gpa >= vm->opt.memory || size > vm->opt.memory - gpa) {
		errno = 0;
		fail("no RAM of %llu bytes at %#llx", (unsigned long long)size,
		     (unsigned long long)gpa);
	}
	return vm->ram + gpa;
}

static void add_memory(struct vm *vm)
{
	vm->ram = allocate(vm, vm->opt.memory);
	set_slot(vm, SLOT_RAM, 0, vm->opt.memory, vm->ram);
	if (vm->opt.memory > SLOT_GPA)
		return;
	vm->page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (vm->page == MAP_FAILED)
		fail("mmap");
	set_slot(vm, SLOT_PAGE, SLOT_GPA, PAGE_SIZE, vm->page);
}

static void add_eventfd(struct vm *vm)
{
	struct kvm_ioeventfd e = {
		.addr = EVENTFD_PORT,
		.len = 1,
		.fd = checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"),
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	checked(ioctl(vm->fd, KVM_IOEVENTFD, &e), "KVM_IOEVENTFD");
}

static void add_vcpu(struct vm *vm, unsigned int index)
{
	struct vm_cpu *c = &vm->cpus[index];

	c->vm = vm;
	c->index = index;
	c->fd = checked(ioctl(vm->fd, KVM_CREATE_VCPU, index), "KVM_CREATE_VCPU");
	c->stats = checked(ioctl(c->fd, KVM_GET_STATS_FD, 0), "KVM_GET_STATS_FD");
	c->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->run == MAP_FAILED)
		fail("mmap of a vCPU");
	vcpu_set_cpuid(c);
}

void vm_create(struct vm *vm)
{
	vm->kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	vm->run_size = (size_t)checked(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap size");
	vm->fd = checked(ioctl(vm->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	vm->stats = checked(ioctl(vm->fd, KVM_GET_STATS_FD, 0), "KVM_GET_STATS_FD");
	checked(ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_GPA), "KVM_SET_TSS_ADDR");
	checked(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	add_memory(vm);
	add_eventfd(vm);
	for (unsigned int i = 0; i < vm->opt.cpus; i++)
		add_vcpu(vm, i);
}

void vm_set_irq(struct vm *vm, uint32_t irq, bool level)
{
	struct kvm_irq_level line = { .irq = irq, .level = level };

	checked(ioctl(vm->fd, KVM_IRQ_LINE, &line), "KVM_IRQ_LINE");
}

uint64_t vm_tsc_khz(struct vm *vm)
{
	return (uint64_t)checked(ioctl(vm->cpus[0].fd, KVM_GET_TSC_KHZ, 0), "KVM_GET_TSC_KHZ");
}

uint64_t vm_guest_tsc(struct vm *vm)
{
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));
	uint64_t value;

	if (!msrs)
		fail("calloc");
	msrs->nmsrs = 1;
	msrs->entries[0].index = MSR_TSC;
	if (ioctl(vm->cpus[0].fd, KVM_GET_MSRS, msrs) != 1)
		fail("KVM_GET_MSRS");
	value = msrs->entries[0].data;
	free(msrs);
	return value;
}

static void fit_leaf(const struct vm_cpu *c, struct kvm_cpuid_entry2 *e)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | c->index << 24 | c->vm->opt.cpus << 16;
		e->ecx |= BIT_HV | BIT_X2APIC;
		if (ioctl(c->vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			e->ecx |= BIT_DEADLINE;
		break;
	case 0xb:
	case 0x1f:
		e->edx = c->index;
		break;
	case LEAF_KVM:
		e->eax = LEAF_TIMING;
		break;
	default:
		break;
	}
}

void vcpu_set_cpuid(struct vm_cpu *c)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + MAX_LEAVES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		fail("calloc");
	cpuid->nent = MAX_LEAVES - 1;
	checked(ioctl(c->vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	for (uint32_t i = 0; i < cpuid->nent; i++)
		fit_leaf(c, &cpuid->entries[i]);
	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
		.function = LEAF_TIMING,
		.eax = (uint32_t)checked(ioctl(c->fd, KVM_GET_TSC_KHZ, 0), "KVM_GET_TSC_KHZ"),
		.ebx = KVM_BUS_KHZ,
	};
	checked(ioctl(c->fd, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	free(cpuid);
}
