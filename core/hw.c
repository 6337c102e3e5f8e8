/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/hw.h"

#include "x86/safe.h"

struct cpuid_regs hw_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return cpuid_checked(leaf, subleaf);
}

enum cpu_vendor hw_vendor(void)
{
	return cpu_vendor();
}

bool hw_rdmsr(uint32_t msr, uint64_t *value)
{
	return rdmsr_safe(msr, value);
}

bool hw_wrmsr(uint32_t msr, uint64_t value)
{
	return wrmsr_safe(msr, value);
}

uint64_t hw_xcr0(void)
{
	return xgetbv(0);
}

bool hw_xsetbv(uint64_t value)
{
	return xsetbv_safe(0, value);
}

uint64_t hw_mmio_read(const volatile void *at, uint8_t size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)at;
	case 2:
		return *(const volatile uint16_t *)at;
	case 4:
		return *(const volatile uint32_t *)at;
	default:
		return *(const volatile uint64_t *)at;
	}
}

void hw_mmio_write(volatile void *at, uint8_t size, uint64_t value)
{
	switch (size) {
	case 1:
		*(volatile uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)at = value;
	}
}

uint32_t hw_in(uint16_t port, uint8_t size)
{
	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

void hw_out(uint16_t port, uint8_t size, uint32_t value)
{
	if (size == 1)
		outb(port, (uint8_t)value);
	else if (size == 2)
		outw(port, (uint16_t)value);
	else
		outl(port, value);
}
