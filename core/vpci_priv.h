/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPCI_PRIV_H
#define LAMINA_CORE_VPCI_PRIV_H

#include "core/vpci.h"

/* Between the files of the virtual PCI bus. With the guest's lock, or before its cores run. */
#define VPCI_REG_SUBSYSTEM 0x2c
#define VPCI_REG_FIRST_CAP 0x40
#define VPCI_REG_EXTENDED  0x100

/* Part of a dword that is written: the value and a mask, both shifted to their place. */
struct vpci_write {
	uint32_t value, mask;
};

static inline uint32_t vpci_merge(uint32_t old, struct vpci_write w)
{
	return (old & ~w.mask) | (w.value & w.mask);
}

/* vpci_config.c: any register; `reg` is a multiple of `size`, which is 1, 2 or 4. */
uint32_t vpci_config_read(struct vpci_device *d, uint32_t reg, uint8_t size);
void vpci_config_write(struct vpci_device *d, uint32_t reg, uint8_t size, uint32_t value);
/* Make the real Command register what it is to be, and show or hide BARs. */
void vpci_config_apply(struct vpci_device *d);
/* The header and capabilities as after power-on, but for the BARs' addresses; not applied. */
void vpci_config_reset(struct vpci_device *d);

/* vpci_bar.c. ERR_UNSUPPORTED was logged. */
must_check enum status vpci_bars_create(struct vpci_device *d);
void vpci_bars_assign(struct vpci *p);
uint32_t vpci_bar_read(const struct vpci_device *d, uint32_t reg);
void vpci_bar_write(struct vpci_device *d, uint32_t reg, struct vpci_write w);

/* vpci_map.c: let the guest reach what its devices decode now, and nothing else. */
void vpci_map(struct vpci *p);
bool vpci_decodes(const struct vpci_device *d, unsigned bar);

/* vpci_caps.c: dwords from VPCI_REG_FIRST_CAP on. */
void vpci_caps_create(struct vpci_device *d);
void vpci_caps_reset(struct vpci_device *d);
uint8_t vpci_caps_first(const struct vpci_device *d);
uint32_t vpci_caps_read(struct vpci_device *d, uint32_t reg);
void vpci_caps_write(struct vpci_device *d, uint32_t reg, uint8_t size, uint32_t value);

#endif
