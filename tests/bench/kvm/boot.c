/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests start as they do under Lamina, with the same plan: at the 64-bit entry point, 4 GiB mapped
 * one to one. Their ACPI tables, too, are those of Lamina's guests.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/guest_acpi.h"
#include "core/guest_load.h"
#include "linux_boot.h"
#include "vmm.h"

#define SELECTOR_CS 0x10
#define SELECTOR_DS 0x18
#define EFER_LME    BIT(8)
#define EFER_LMA    BIT(10)
#define CR0_BOOT    (BIT(0) | BIT(4) | BIT(5) | BIT(31)) /* PE, ET, NE, PG */
#define CR4_PAE     BIT(5)

extern const uint8_t dsdt_start[], dsdt_end[];

static uint8_t *read_whole(const char *path, uint64_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;
	uint64_t done = 0;

	if (fd < 0 || fstat(fd, &st))
		fail("%s", path);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		fail("malloc");
	while (done < (uint64_t)st.st_size) {
		ssize_t n = read(fd, data + done, (size_t)st.st_size - done);

		if (n <= 0)
			fail("%s", path);
		done += (uint64_t)n;
	}
	close(fd);
	*size = done;
	return data;
}

static void load_tables(struct vm *vm)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffffull, 0x00cf93000000ffffull };
	uint64_t *table = vm_at(vm, GUEST_PAGE_TABLES, 6 * PAGE_SIZE);

	memcpy(vm_at(vm, GUEST_GDT, sizeof(gdt)), gdt, sizeof(gdt));
	memset(table, 0, 6 * PAGE_SIZE);
	table[0] = (GUEST_PAGE_TABLES + PAGE_SIZE) | 3;
	for (uint64_t i = 0; i < 4; i++)
		table[512 + i] = (GUEST_PAGE_TABLES + (2 + i) * PAGE_SIZE) | 3;
	for (uint64_t i = 0; i < 2048; i++)
		table[1024 + i] = i * SIZE_2M | 0x83;
}

static void load_acpi(struct vm *vm)
{
	static const uint32_t apic_ids[MAX_CPUS] = { 0, 1 };
	const struct guest_acpi_params p = { .apic_ids = apic_ids,
					     .cpu_count = vm->opt.cpus,
					     .dsdt = dsdt_start,
					     .dsdt_size = (uint32_t)(dsdt_end - dsdt_start) };
	uint32_t used;

	if (guest_acpi_build(vm_at(vm, GUEST_ACPI_BASE, GUEST_ACPI_SIZE), &p, &used) != OK)
		fail("the ACPI tables do not fit");
}

void boot_load(struct vm *vm)
{
	struct linux_plan plan = { .memory = vm->opt.memory };
	struct linux_setup_header h;
	uint8_t *kernel = read_whole(vm->opt.kernel, &plan.kernel_size), *initrd = NULL;
	uint8_t *params = vm_at(vm, GUEST_BOOT_PARAMS, PAGE_SIZE);

	if (vm->opt.initrd)
		initrd = read_whole(vm->opt.initrd, &plan.initrd_size);
	errno = 0;
	if (plan.kernel_size < LINUX_HDR_OFFSET + sizeof(h))
		fail("%s is no kernel", vm->opt.kernel);
	memcpy(&h, kernel + LINUX_HDR_OFFSET, sizeof(h));
	if (linux_plan(&h, &plan) != OK)
		fail("%s is no kernel for 64 bits, or too large", vm->opt.kernel);
	linux_boot_params(params, &h, 0x202u + (h.jump >> 8) - LINUX_HDR_OFFSET, &plan);
	memcpy(vm_at(vm, plan.load, plan.kernel_size), kernel + plan.setup_size,
	       plan.kernel_size - plan.setup_size);
	if (initrd)
		memcpy(vm_at(vm, plan.initrd, plan.initrd_size), initrd, plan.initrd_size);
	strcpy(vm_at(vm, GUEST_CMDLINE, strlen(vm->opt.cmdline) + 1), vm->opt.cmdline);
	load_acpi(vm);
	load_tables(vm);
	vm->entry = plan.load + LINUX_ENTRY_64;
	free(kernel);
	free(initrd);
}

void boot_set_registers(struct vm_cpu *c)
{
	const struct kvm_segment data = { .limit = 0xffffffff,
					  .selector = SELECTOR_DS,
					  .type = 3,
					  .present = 1,
					  .db = 1,
					  .s = 1,
					  .g = 1 };
	struct kvm_regs regs = { .rip = c->vm->entry, .rsi = GUEST_BOOT_PARAMS, .rflags = 2 };
	struct kvm_sregs s;

	if (ioctl(c->fd, KVM_GET_SREGS, &s))
		fail("KVM_GET_SREGS");
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cs = data;
	s.cs.selector = SELECTOR_CS;
	s.cs.type = 11;
	s.cs.db = 0;
	s.cs.l = 1;
	s.gdt = (struct kvm_dtable){ .base = GUEST_GDT, .limit = 4 * 8 - 1 };
	s.cr0 = CR0_BOOT;
	s.cr3 = GUEST_PAGE_TABLES;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	if (ioctl(c->fd, KVM_SET_SREGS, &s) || ioctl(c->fd, KVM_SET_REGS, &regs))
		fail("registers");
}
