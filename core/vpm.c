/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vpm.h"

#include "core/guest.h"

#define SLP_EN         0x20
#define SLP_TYP(value) (((value) >> 2) & 7)

#define RESET_CPU 0x04 /* bit 2 of CF9h: reset on its rising edge; we have no use for the level */

#define KBC_PULSE     0xf0 /* commands F0h-FFh pulse output lines whose bit is 0 */
#define KBC_KEEP_LINE 0x01 /* bit 0: the reset line */

static uint64_t sleep_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	(void)dev;
	(void)offset;
	(void)size;
	return 0; /* no wake status: the machine has not slept */
}

static void sleep_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	(void)size;
	if (offset == 0 && (value & SLP_EN) && SLP_TYP(value) == VPM_S5_TYPE)
		guest_end_run(dev, END_POWER_OFF, "powered off");
}

const struct io_ops vpm_sleep_ops = { .read = sleep_read, .write = sleep_write };

static uint64_t reset_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	(void)dev;
	(void)offset;
	(void)size;
	return 0;
}

static void reset_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	(void)offset;
	(void)size;
	if (value & RESET_CPU)
		guest_end_run(dev, END_REBOOT, "rebooted (reset register)");
}

const struct io_ops vpm_reset_ops = { .read = reset_read, .write = reset_write };

/* Status FFh is how a missing controller reads. */
static uint64_t kbc_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	(void)dev;
	(void)offset;
	(void)size;
	return ~0ull;
}

static void kbc_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	(void)offset;
	(void)size;
	if ((value & KBC_PULSE) == KBC_PULSE && !(value & KBC_KEEP_LINE))
		guest_end_run(dev, END_REBOOT, "rebooted (keyboard controller)");
}

const struct io_ops vpm_kbc_ops = { .read = kbc_read, .write = kbc_write };

static void quiet_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	(void)dev;
	(void)offset;
	(void)size;
	(void)value;
}

const struct io_ops vpm_quiet_ops = { .read = reset_read, .write = quiet_write };
