/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VDEV_H
#define LAMINA_CORE_VDEV_H

#include "core/vrtc.h"
#include "types.h"

struct guest;

/*
 * Give a new guest its devices: fill g->io and wire UART, IOAPIC, RTC and power management. Once,
 * before the guest's first start. Errors: those of io_add_ports.
 */
enum status must_check vdev_create(struct guest *g, const struct vrtc_clock *clock);

/* Power-on state of all devices, before each start; the clock and its memory keep their contents. */
void vdev_reset(struct guest *g);

#endif
