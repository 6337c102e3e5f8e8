/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/hypercall.h"

#include "core/vcpu.h"
#include "x86/tsc.h"

/* The command is in CX. Numbers and registers are those of VMware's interface as Linux uses it. */
#define CMD_GETVERSION   10
#define CMD_GETHZ        45
#define CMD_GETVCPU_INFO 68

#define VERSION      6
#define PRODUCT_TYPE 2 /* a server's hypervisor */

#define VCPU_LEGACY_X2APIC BIT(3) /* x2APIC works without interrupt remapping */

/* Answer in the 32-bit forms of RBX, RCX and RDX; returns EAX. All ones: no such command. */
static inline uint32_t command(struct vcpu *v)
{
	uint64_t hz;

	switch (v->gpr[GPR_RCX] & 0xffff) {
	case CMD_GETVERSION:
		v->gpr[GPR_RBX] = HYPERCALL_MAGIC;
		v->gpr[GPR_RCX] = PRODUCT_TYPE;
		return VERSION;
	case CMD_GETHZ:
		hz = (uint64_t)tsc_khz() * 1000;
		v->gpr[GPR_RBX] = hz >> 32;
		v->gpr[GPR_RCX] = lapic_timer_hz();
		return (uint32_t)hz;
	case CMD_GETVCPU_INFO:
		return VCPU_LEGACY_X2APIC;
	}
	return ~0u;
}

/* Only information is given, so any privilege level may ask; without the magic it is #UD. */
enum status vcpu_hypercall(struct vcpu *v)
{
	if ((uint32_t)v->gpr[GPR_RAX] != HYPERCALL_MAGIC)
		return ERR_INVALID;
	v->gpr[GPR_RAX] = command(v);
	return OK;
}

static uint64_t port_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)dev;
	if (offset != 0 || size != 4 || (uint32_t)v->gpr[GPR_RAX] != HYPERCALL_MAGIC)
		return ~0ull;
	return command(v);
}

static void port_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	(void)dev;
	(void)offset;
	(void)size;
	(void)value;
}

const struct io_ops hypercall_port_ops = { .read = port_read, .write = port_write };
