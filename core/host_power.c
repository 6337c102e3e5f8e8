/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/host_power.h"

#include "core/init.h"
#include "drivers/acpi.h"
#include "log.h"
#include "x86/asm.h"
#include "x86/tsc.h"

/* ACPI 6.5, 4.8.3.2.1: PM1 control */
#define PM1_SCI_EN      BIT(0)
#define PM1_SLP_TYP(t)  ((uint32_t)(t) << 10)
#define PM1_SLP_TYP_ALL PM1_SLP_TYP(7)
#define PM1_SLP_EN      BIT(13)
/* ACPI 6.5, 4.8.3.7: sleep control of hardware-reduced machines */
#define SLEEP_TYP(t) ((uint8_t)((t) << 2))
#define SLEEP_EN     BIT(5)

noreturn void host_reboot(void)
{
	const struct acpi_fadt *f = &acpi_platform()->fadt;
	static const struct {
		uint16_t limit;
		uint64_t base;
	} packed no_idt = { 0, 0 };

	if (f->reset_supported && f->reset.space == ACPI_SPACE_IO && f->reset.address) {
		outb((uint16_t)f->reset.address, f->reset_value);
		delay_us(50000);
	}
	outb(0xcf9, 0x02); /* PCI chipsets: reset control, hard reset on the 0 -> 1 edge of bit 2 */
	outb(0xcf9, 0x06);
	delay_us(50000);
	outb(0x64, 0xfe); /* keyboard controller: pulse the reset line */
	delay_us(50000);
	/* A triple fault. */
	__asm__ volatile("lidt %0\n\tint3" : : "m"(no_idt));
	for (;;)
		cpu_pause();
}

static void enter_s5(const struct acpi_gas *reg, uint8_t type)
{
	uint16_t port = (uint16_t)reg->address;
	uint32_t v;

	if (!reg->address || reg->space != ACPI_SPACE_IO)
		return;
	v = (inw(port) & ~(PM1_SLP_TYP_ALL | PM1_SLP_EN)) | PM1_SLP_TYP(type);
	outw(port, (uint16_t)v);
	outw(port, (uint16_t)(v | PM1_SLP_EN));
}

/* Without SCI_EN the chipset's PM1 registers are still the firmware's (ACPI 6.5, 4.8.2.5). */
static void enable_acpi(const struct acpi_fadt *f)
{
	uint16_t port = (uint16_t)f->pm1a_control.address;

	if (!f->smi_command || !f->acpi_enable || f->pm1a_control.space != ACPI_SPACE_IO || !port ||
	    (inw(port) & PM1_SCI_EN))
		return;
	outb(f->smi_command, f->acpi_enable);
	for (int i = 0; i < 300 && !(inw(port) & PM1_SCI_EN); i++)
		delay_us(1000);
}

enum status host_power_off(void)
{
	const struct acpi_fadt *f = &acpi_platform()->fadt;

	if (!acpi_platform()->has_fadt || !f->s5_valid)
		return ERR_UNSUPPORTED;
	if (f->hw_reduced) {
		if (f->sleep_control.space != ACPI_SPACE_IO || !f->sleep_control.address)
			return ERR_UNSUPPORTED;
		outb((uint16_t)f->sleep_control.address, (uint8_t)(SLEEP_TYP(f->s5_a) | SLEEP_EN));
	} else {
		enable_acpi(f);
		enter_s5(&f->pm1a_control, f->s5_a);
		enter_s5(&f->pm1b_control, f->s5_b);
	}
	delay_us(500000);
	log_error("power-off was asked for, but the machine is still on");
	return ERR_UNSUPPORTED;
}
