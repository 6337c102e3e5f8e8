/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/civil_time.h"

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from year 1 to the first day of this year. */
static int64_t days_before_year(int year)
{
	int64_t y = year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400;
}

int64_t civil_to_epoch(const struct civil_time *t)
{
	static const uint8_t length[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t days, seconds;
	int m;

	if (t->year < 1970 || t->year > 9999 || t->month < 1 || t->month > 12 || t->day < 1 ||
	    t->day > length[t->month - 1] + (t->month == 2 && is_leap(t->year)) || t->hour < 0 ||
	    t->hour > 23 || t->minute < 0 || t->minute > 59 || t->second < 0 || t->second > 59 ||
	    t->zone < -1440 || t->zone > 1440)
		return 0;
	days = days_before_year(t->year) - days_before_year(1970);
	for (m = 1; m < t->month; m++)
		days += length[m - 1] + (m == 2 && is_leap(t->year));
	days += t->day - 1;
	seconds = ((days * 24 + t->hour) * 60 + t->minute + t->zone) * 60 + t->second;
	return seconds > 0 ? seconds : 0;
}
