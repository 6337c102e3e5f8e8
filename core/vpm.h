/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPM_H
#define LAMINA_CORE_VPM_H

#include "core/io.h"
#include "types.h"

/*
 * Power management of a hardware-reduced ACPI machine (ACPI 6.5, 4.8.3.7), and the ways by which
 * PC software resets its machine. The device is the struct guest.
 */
#define VPM_SLEEP_CONTROL 0x600 /* SLP_TYP in bits 4:2, SLP_EN bit 5 */
#define VPM_SLEEP_STATUS  0x601
#define VPM_S5_TYPE       5 /* \_S5's first element in the DSDT */
#define VPM_RESET_PORT    0xcf9
#define VPM_RESET_VALUE   0x06 /* FADT's RESET_VALUE: hard reset */
#define VPM_KBC_COMMAND   0x64 /* keyboard controller: pulse of the reset line */
#define VPM_PORT_61       0x61
#define VPM_POST          0x80

extern const struct io_ops vpm_sleep_ops; /* 600h-601h */
extern const struct io_ops vpm_reset_ops; /* CF9h, one byte */
extern const struct io_ops vpm_kbc_ops;   /* 64h, one byte */
extern const struct io_ops vpm_quiet_ops; /* 61h, 80h: reads 0, writes dropped */

#endif
