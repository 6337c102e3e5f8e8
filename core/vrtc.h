/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VRTC_H
#define LAMINA_CORE_VRTC_H

#include "core/io.h"
#include "types.h"

/*
 * The guest's CMOS clock (MC146818A with a century byte) and 128 bytes of battery-backed memory.
 * Time is an epoch plus TSC ticks, so it runs without timers and does not drift against the TSC.
 * Periodic, alarm and update-ended interrupts are never raised; their flags in register C read 0.
 */
#define VRTC_PORT    0x70
#define VRTC_PORTS   2
#define VRTC_NVRAM   128
#define VRTC_CENTURY 0x32 /* index of the century byte; the guest's FADT says so */

/* Where time comes from: `epoch` seconds since 1970 (UTC) were reached at TSC value `tsc`. */
struct vrtc_clock {
	int64_t epoch;
	uint64_t tsc;
	uint64_t tsc_hz;
};

struct vrtc {
	struct vrtc_clock clock;
	uint64_t (*now)(void); /* the TSC */
	int64_t offset;        /* seconds that the guest has set its clock apart from `clock` */
	int64_t frozen;        /* while register B's SET is on: seconds at that moment */
	uint8_t index;
	uint8_t nvram[VRTC_NVRAM]; /* registers A, B and, while SET is on, the time included */
};

/* Called once when the guest is made; the guest's resets keep the time and the memory. */
void vrtc_init(struct vrtc *r, const struct vrtc_clock *clock, uint64_t (*now)(void));

uint8_t vrtc_read(struct vrtc *r, uint32_t reg);
void vrtc_write(struct vrtc *r, uint32_t reg, uint8_t value);

extern const struct io_ops vrtc_io_ops; /* `dev` is the struct vrtc */

#endif
