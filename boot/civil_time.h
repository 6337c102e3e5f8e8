/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_CIVIL_TIME_H
#define LAMINA_BOOT_CIVIL_TIME_H

#include "types.h"

/* A date and time of the Gregorian calendar, as the firmware's clock tells it. */
struct civil_time {
	int year, month, day; /* month and day from 1 */
	int hour, minute, second;
	int zone; /* minutes to add to get UTC; UEFI 2.10 section 8.3: UTC = local time + zone */
};

/* Seconds since 1970-01-01 UTC, or 0 if a field is out of its range or the year before 1970. */
int64_t civil_to_epoch(const struct civil_time *t);

#endif
