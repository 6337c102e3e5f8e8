/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HOST_POWER_H
#define LAMINA_CORE_HOST_POWER_H

#include "types.h"

/* Reset the machine: the FADT's register, then what PCs have had since ever. Any core. */
noreturn void host_reboot(void);

/* Enter S5. ERR_UNSUPPORTED: the firmware's tables don't say how. Does not return on success. */
enum status must_check host_power_off(void);

#endif
