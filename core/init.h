/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_INIT_H
#define LAMINA_CORE_INIT_H

#include "boot_info.h"

#define LAMINA_VERSION "0.1"

/* The boot order. Called once by the entry code on the boot core's first stack. */
noreturn void hv_main(const struct boot_info *bi);

/* What the loader handed over; constant. */
extern const struct boot_info *boot_info;

/* What the firmware's tables say. */
struct acpi_platform;
const struct acpi_platform *acpi_platform(void);

/* TSC when the first guest's first instruction ran, for the monitor's `version`. 0: not yet. */
extern uint64_t first_entry_tsc;

#endif
