// SPDX-License-Identifier: BSD-2-Clause
/* What single instructions take that leave the guest. */
#include "bench.h"
#include "core/hypercall.h"
#include "core/vioapic.h"
#include "x86/msr.h"

#define WARM_UP 8
#define ROUNDS  200

#define UART_SCRATCH 0x3ff
#define IOAPIC_DATA  (VIOAPIC_GPA + 0x10) /* the register that is selected */

#define VMWARE_GETVERSION     10
#define KVM_HC_VAPIC_POLL_IRQ 1

#define CR4_OSXSAVE BIT(18)

TIMED(op_empty, "")
TIMED(op_cpuid, "cpuid")
TIMED(op_vmcall, "vmcall")
TIMED(op_vmmcall, "vmmcall")
TIMED(op_rdmsr, "rdmsr")
TIMED(op_wrmsr, "wrmsr")
TIMED(op_in, "inb %%dx, %%al")
TIMED(op_out, "outb %%al, %%dx")
TIMED(op_load, "movl (%%rbx), %%eax")
TIMED(op_store, "movl %%eax, (%%rbx)")
TIMED(op_xsetbv, "xsetbv")

static uint64_t least(timed_fn op, const struct regs *r)
{
	uint64_t best = UINT64_MAX, ticks;
	uint32_t i;

	for (i = 0; i < WARM_UP; i++)
		(void)op(r);
	for (i = 0; i < ROUNDS; i++) {
		ticks = op(r);
		if (ticks < best)
			best = ticks;
	}
	return best;
}

uint64_t empty_ticks(void)
{
	static const struct regs none;
	static uint64_t ticks;

	if (!ticks)
		ticks = least(op_empty, &none);
	return ticks;
}

uint64_t above_empty(uint64_t ticks)
{
	return ticks > empty_ticks() ? ticks - empty_ticks() : 0;
}

uint64_t measure(timed_fn op, const struct regs *r)
{
	return above_empty(least(op, r));
}

static void one(const char *key, timed_fn op, struct regs r)
{
	result(key, measure(op, &r));
}

/* Each hypervisor is asked for the least that it does. */
static void hypercall(void)
{
	struct regs r = { .a = KVM_HC_VAPIC_POLL_IRQ };

	if (bench.env == ENV_BARE)
		return;
	if (bench.env == ENV_LAMINA)
		r = (struct regs){ .a = HYPERCALL_MAGIC,
				   .c = VMWARE_GETVERSION,
				   .d = HYPERCALL_PORT };
	one("hypercall", bench.amd ? op_vmmcall : op_vmcall, r);
}

/* EFER: no hypervisor lets a guest at it, and its own value changes nothing. */
static void msrs(void)
{
	uint64_t efer = rdmsr(MSR_EFER);
	struct regs r = { .a = (uint32_t)efer, .c = MSR_EFER, .d = efer >> 32 };

	one("rdmsr", op_rdmsr, r);
	one("wrmsr", op_wrmsr, r);
}

static void ports(void)
{
	uint64_t port = option("port_eventfd", 0);

	one("port_read", op_in, (struct regs){ .d = UART_SCRATCH });
	one("port_write", op_out, (struct regs){ .a = 0x55, .d = UART_SCRATCH });
	if (port)
		one("port_eventfd", op_out, (struct regs){ .d = port });
}

/* The IOAPIC's id, which nobody needs. */
static void mmio(void)
{
	uint64_t user = option("mmio_user", 0);
	uint32_t id;

	*(volatile uint32_t *)VIOAPIC_GPA = 0;
	id = *(volatile uint32_t *)IOAPIC_DATA;
	one("mmio_read", op_load, (struct regs){ .b = IOAPIC_DATA });
	one("mmio_write", op_store, (struct regs){ .a = id, .b = IOAPIC_DATA });
	if (!user)
		return;
	one("mmio_user_read", op_load, (struct regs){ .b = user });
	one("mmio_user_write", op_store, (struct regs){ .b = user });
}

/* The same value as before, with OSXSAVE on. */
static void xcr0(void)
{
	uint64_t cr4 = read_cr4(), value;

	if (!(cpuid(1, 0).ecx & BIT(26)))
		return;
	write_cr4(cr4 | CR4_OSXSAVE);
	value = xgetbv(0);
	one("xsetbv", op_xsetbv, (struct regs){ .a = (uint32_t)value, .d = value >> 32 });
	write_cr4(cr4);
}

void measure_round_trips(void)
{
	one("cpuid", op_cpuid, (struct regs){ 0 });
	hypercall();
	msrs();
	ports();
	mmio();
	xcr0();
}
