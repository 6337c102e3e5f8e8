/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vrtc.h"

#include <string.h>

/* Motorola MC146818A data sheet, "Memory" and "Registers". */
#define RTC_SECONDS 0x00
#define RTC_MINUTES 0x02
#define RTC_HOURS   0x04
#define RTC_WEEKDAY 0x06
#define RTC_DAY     0x07
#define RTC_MONTH   0x08
#define RTC_YEAR    0x09
#define RTC_A       0x0a
#define RTC_B       0x0b
#define RTC_C       0x0c
#define RTC_D       0x0d

#define A_UIP     0x80
#define A_DEFAULT 0x26 /* 32.768 kHz, 1024 Hz */
#define B_SET     0x80
#define B_BINARY  0x04
#define B_24H     0x02
#define D_VALID   0x80
#define HOUR_PM   0x80

struct calendar {
	int64_t year;
	uint32_t month, day; /* from 1 */
	uint32_t hour, minute, second;
	uint32_t weekday; /* 1 is Sunday */
};

static int64_t floor_div(int64_t a, int64_t b)
{
	int64_t q = a / b;

	return q * b > a ? q - 1 : q;
}

/*
 * Days since 1970-01-01 of the proleptic Gregorian calendar. Years are counted from March, so that
 * the leap day is the last of its year and the days before each month follow one line.
 */
static int64_t days_from_date(int64_t year, uint32_t month, uint32_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	uint32_t m = month <= 2 ? month + 9 : month - 3;

	return 365 * y + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) +
	       (153 * m + 2) / 5 + day - 1 - 719468;
}

static void date_from_days(int64_t days, struct calendar *c)
{
	/* At or before the year that is looked for, on both sides of 1970. */
	int64_t year = 1970 + floor_div(days, days < 0 ? 365 : 366);
	uint32_t month = 12;

	while (days_from_date(year + 1, 1, 1) <= days)
		year++;
	while (month > 1 && days_from_date(year, month, 1) > days)
		month--;
	c->year = year;
	c->month = month;
	c->day = (uint32_t)(days - days_from_date(year, month, 1)) + 1;
	c->weekday = (uint32_t)(days + 4 - 7 * floor_div(days + 4, 7)) + 1;
}

static void to_calendar(int64_t seconds, struct calendar *c)
{
	int64_t days = floor_div(seconds, 86400);
	uint32_t rest = (uint32_t)(seconds - days * 86400);

	date_from_days(days, c);
	c->hour = rest / 3600;
	c->minute = rest / 60 % 60;
	c->second = rest % 60;
}

static int64_t from_calendar(const struct calendar *c)
{
	return days_from_date(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 +
	       c->second;
}

static uint8_t encode(const struct vrtc *r, uint32_t value)
{
	if (r->nvram[RTC_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static uint32_t decode(const struct vrtc *r, uint8_t value)
{
	if (r->nvram[RTC_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hour(const struct vrtc *r, uint32_t hour)
{
	if (r->nvram[RTC_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static uint32_t decode_hour(const struct vrtc *r, uint8_t value)
{
	if (r->nvram[RTC_B] & B_24H)
		return decode(r, value);
	return decode(r, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Ticks since the clock's epoch; a core's TSC that lags by a few ticks must not wrap. */
static uint64_t elapsed(const struct vrtc *r)
{
	uint64_t now = r->now();

	return now > r->clock.tsc ? now - r->clock.tsc : 0;
}

static int64_t current(const struct vrtc *r)
{
	if (r->nvram[RTC_B] & B_SET)
		return r->frozen;
	return r->clock.epoch + r->offset + (int64_t)(elapsed(r) / r->clock.tsc_hz);
}

/* The clock announces an update 244 µs ahead (MC146818A, "Update Cycle"). */
static bool update_soon(const struct vrtc *r)
{
	uint64_t hz = r->clock.tsc_hz;

	return !(r->nvram[RTC_B] & B_SET) && elapsed(r) % hz >= hz - hz / 4096;
}

static bool is_time(uint8_t index)
{
	return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
	       (index >= RTC_WEEKDAY && index <= RTC_YEAR) || index == VRTC_CENTURY;
}

/* The ten time registers as they read at `seconds`, in the format that register B asks for. */
static void fields_from_time(struct vrtc *r, int64_t seconds)
{
	struct calendar c;

	to_calendar(seconds, &c);
	r->nvram[RTC_SECONDS] = encode(r, c.second);
	r->nvram[RTC_MINUTES] = encode(r, c.minute);
	r->nvram[RTC_HOURS] = encode_hour(r, c.hour);
	r->nvram[RTC_WEEKDAY] = encode(r, c.weekday);
	r->nvram[RTC_DAY] = encode(r, c.day);
	r->nvram[RTC_MONTH] = encode(r, c.month);
	r->nvram[RTC_YEAR] = encode(r, (uint32_t)(c.year - floor_div(c.year, 100) * 100));
	r->nvram[VRTC_CENTURY] = encode(r, (uint32_t)floor_div(c.year, 100));
}

/* Nonsense in a field gives some time, never a fault: months are folded into 1 to 12. */
static int64_t time_from_fields(const struct vrtc *r)
{
	struct calendar c = {
		.year = decode(r, r->nvram[VRTC_CENTURY]) * 100 + decode(r, r->nvram[RTC_YEAR]),
		.month = (decode(r, r->nvram[RTC_MONTH]) + 11) % 12 + 1,
		.day = decode(r, r->nvram[RTC_DAY]),
		.hour = decode_hour(r, r->nvram[RTC_HOURS]),
		.minute = decode(r, r->nvram[RTC_MINUTES]),
		.second = decode(r, r->nvram[RTC_SECONDS]),
	};

	return from_calendar(&c);
}

static void set_time(struct vrtc *r, int64_t seconds)
{
	r->offset += seconds - current(r);
}

static void write_b(struct vrtc *r, uint8_t value)
{
	uint8_t old = r->nvram[RTC_B];

	if (!(old & B_SET) && (value & B_SET)) {
		r->frozen = current(r);
		r->nvram[RTC_B] = value;
		fields_from_time(r, r->frozen);
	} else if ((old & B_SET) && !(value & B_SET)) {
		int64_t wanted = time_from_fields(r);

		r->nvram[RTC_B] = value;
		set_time(r, wanted);
	} else {
		r->nvram[RTC_B] = value;
	}
}

static void write_time(struct vrtc *r, uint8_t value)
{
	if (r->nvram[RTC_B] & B_SET) {
		r->nvram[r->index] = value;
		return;
	}
	fields_from_time(r, current(r));
	r->nvram[r->index] = value;
	set_time(r, time_from_fields(r));
}

uint8_t vrtc_read(struct vrtc *r, uint32_t reg)
{
	if (reg == 0)
		return r->index;
	switch (r->index) {
	case RTC_A:
		return (r->nvram[RTC_A] & ~A_UIP) | (update_soon(r) ? A_UIP : 0);
	case RTC_C:
		return 0;
	case RTC_D:
		return D_VALID;
	}
	if (is_time(r->index) && !(r->nvram[RTC_B] & B_SET))
		fields_from_time(r, current(r));
	return r->nvram[r->index];
}

void vrtc_write(struct vrtc *r, uint32_t reg, uint8_t value)
{
	if (reg == 0) {
		/* Bit 7 masks NMI on a PC; the guest's NMIs do not come from a board. */
		r->index = value & (VRTC_NVRAM - 1);
		return;
	}
	if (r->index == RTC_B)
		write_b(r, value);
	else if (is_time(r->index))
		write_time(r, value);
	else if (r->index != RTC_C && r->index != RTC_D)
		r->nvram[r->index] = value;
}

void vrtc_init(struct vrtc *r, const struct vrtc_clock *clock, uint64_t (*now)(void))
{
	memset(r, 0, sizeof(*r));
	r->clock = *clock;
	if (r->clock.tsc_hz == 0)
		r->clock.tsc_hz = 1;
	r->now = now;
	r->nvram[RTC_A] = A_DEFAULT;
	r->nvram[RTC_B] = B_24H;
}

static uint64_t io_read(struct vcpu *v, void *dev, uint32_t offset, uint8_t size)
{
	(void)v;
	if (size != 1)
		return ~0ull;
	return vrtc_read(dev, offset);
}

/* A word to port 70h sets the index and writes the register, as on hardware. */
static void io_write(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value)
{
	(void)v;
	vrtc_write(dev, offset, (uint8_t)value);
	if (size == 2)
		vrtc_write(dev, 1, (uint8_t)(value >> 8));
}

const struct io_ops vrtc_io_ops = { .read = io_read, .write = io_write };
