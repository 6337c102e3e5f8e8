/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets: PCI Express Base Specification 5.0, 6.6.2 (FLR), 7.5.3 (its registers); Advanced
 * Capabilities for Conventional PCI ECN (AF); PCI Power Management 1.2, 3.2.4; PCI-to-PCI Bridge
 * Architecture 1.2, 3.2.5.18 (bus reset).
 */
#include "drivers/pci_tree.h"
#include "x86/tsc.h"

#include <string.h>

#define CAN_FLR      BIT(28) /* device capabilities */
#define DO_FLR       0x8000  /* device control */
#define PENDING      0x0020  /* device status */
#define ERROR_REPORT 0x000f

#define AF_CAPABILITIES 3
#define AF_CAN          3 /* bits: pending transactions can be seen; FLR is there */
#define AF_CONTROL      4
#define AF_STATUS       5

#define PM_CONTROL 4
#define PM_STATE   0x0003
#define PM_D3HOT   3
#define PM_KEEPS   0x0008 /* No_Soft_Reset */

#define REBAR_CONTROL    8 /* of the first of them; the number is in it */
#define REBAR_STRIDE     8
#define REBAR_INDEX(v)   ((v)&7)
#define REBAR_COUNT(v)   ((v) >> 5 & 7)
#define REBAR_SIZE       0x3f00u /* 2^n MiB */
#define REBAR_SIZE_SHIFT 8

#define MSI_CONTROL  2
#define MSI_ENABLE   0x0001
#define MSIX_ENABLE  0x8000
#define BRIDGE_RESET 0x0040

#define RESET_MS   100  /* before a device may be asked anything */
#define ANSWER_MS  1000 /* after that: until it must have answered (PCIe 6.6.1) */
#define PENDING_MS 400

static void delay_ms(uint32_t ms)
{
	while (ms--)
		delay_us(1000);
}

/* Devices that say they could and then hang or come back broken. */
static bool flr_is_broken(const struct pci_function *f)
{
	static const uint32_t devices[] = {
		0x10221487, 0x1022148c, 0x1022149c, /* AMD Matisse: audio, USB */
		0x10227901,                         /* AMD SATA */
		0x14c30616,                         /* MediaTek MT7922 */
		0x80861502, 0x80861503,             /* Intel 82579 */
	};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		if (devices[i] == ((uint32_t)f->vendor << 16 | f->device))
			return true;
	}
	return false;
}

enum pci_reset pci_function_reset_kind(const struct pci_function *f, const struct pci_access *a)
{
	bool flr = !flr_is_broken(f);

	if (f->header || f->reserved)
		return PCI_RESET_NONE;
	if (flr && f->pcie && pci_read32(a, f->bdf, f->pcie + PCIE_CAPABILITIES) & CAN_FLR)
		return PCI_RESET_FLR;
	if (flr && f->af && (pci_read8(a, f->bdf, f->af + AF_CAPABILITIES) & AF_CAN) == AF_CAN)
		return PCI_RESET_AF_FLR;
	if (f->pm && !(pci_read16(a, f->bdf, f->pm + PM_CONTROL) & PM_KEEPS))
		return PCI_RESET_PM;
	return PCI_RESET_NONE;
}

static void clear16(const struct pci_access *a, struct pci_bdf d, uint32_t reg, uint16_t bits)
{
	uint16_t v = pci_read16(a, d, reg);

	if (v & bits)
		pci_write16(a, d, reg, v & (uint16_t)~bits);
}

void pci_function_quiet(const struct pci_function *f, const struct pci_access *a)
{
	uint16_t command = pci_read16(a, f->bdf, PCI_COMMAND);

	command |= PCI_COMMAND_NO_INTX;
	pci_write16(a, f->bdf, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_MASTER);
	if (f->msi)
		clear16(a, f->bdf, f->msi + MSI_CONTROL, MSI_ENABLE);
	if (f->msix)
		clear16(a, f->bdf, f->msix + MSI_CONTROL, MSIX_ENABLE);
}

static bool is_pending(const struct pci_function *f, const struct pci_access *a)
{
	uint16_t status = 0;

	if (f->pcie)
		status = pci_read16(a, f->bdf, f->pcie + PCIE_STATUS) & PENDING;
	else if (f->af)
		status = pci_read8(a, f->bdf, f->af + AF_STATUS) & 1;
	return status != 0;
}

/* A device that never finishes what it waits for is reset all the same: that is what resets are for. */
static void wait_pending(const struct pci_function *f, const struct pci_access *a)
{
	uint32_t ms;

	for (ms = 0; ms < PENDING_MS && is_pending(f, a); ms++)
		delay_ms(1);
}

/* All ones and the vendor 0001 mean that it is still busy with itself (PCIe 2.3.1). */
static bool wait_answer(const struct pci_function *f, const struct pci_access *a)
{
	uint32_t ms;

	for (ms = 0; ms <= ANSWER_MS; ms++) {
		if (pci_read32(a, f->bdf, PCI_ID) == ((uint32_t)f->device << 16 | f->vendor))
			return true;
		delay_ms(1);
	}
	return false;
}

static void set_power(const struct pci_function *f, const struct pci_access *a, uint16_t state)
{
	uint32_t at = f->pm + (uint32_t)PM_CONTROL;
	uint16_t v = pci_read16(a, f->bdf, at);

	if ((v & PM_STATE) == state)
		return;
	/* PME_Status, bit 15, is cleared by a one. */
	pci_write16(a, f->bdf, at, (v & (uint16_t) ~(PM_STATE | 0x8000)) | state);
	delay_ms(10); /* PM 1.2, 5.6.1: what D3hot takes, to and fro */
}

static void reset_bus(const struct pci_tree *t, const struct pci_function *f,
		      const struct pci_access *a)
{
	const struct pci_function *bridge = &t->f[f->parent];
	uint16_t control = pci_read16(a, bridge->bdf, PCI_BRIDGE) & (uint16_t)~BRIDGE_RESET;

	pci_write16(a, bridge->bdf, PCI_BRIDGE, control | BRIDGE_RESET);
	delay_ms(2);
	pci_write16(a, bridge->bdf, PCI_BRIDGE, control);
	/* Conventional devices have 2^25 clocks for themselves and cannot say that they are busy. */
	if (!bridge->pcie || bridge->pcie_type == PCIE_TO_PCI)
		delay_ms(ANSWER_MS);
}

static void start_reset(const struct pci_tree *t, const struct pci_function *f,
			const struct pci_access *a)
{
	uint32_t at = f->pcie + PCIE_CONTROL;

	if (f->pm)
		set_power(f, a, 0);
	switch (f->reset) {
	case PCI_RESET_NONE:
		return;
	case PCI_RESET_FLR:
		pci_write16(a, f->bdf, at, pci_read16(a, f->bdf, at) | DO_FLR);
		break;
	case PCI_RESET_AF_FLR:
		pci_write8(a, f->bdf, f->af + AF_CONTROL, 1);
		break;
	case PCI_RESET_PM:
		set_power(f, a, PM_D3HOT);
		set_power(f, a, 0);
		break;
	case PCI_RESET_BUS:
		reset_bus(t, f, a);
		break;
	}
	delay_ms(RESET_MS);
}

/*
 * Resizable BARs have their default sizes again, which may be more than what the bridge above and the
 * other devices leave room for.
 */
static void restore_sizes(const struct pci_function *f, const struct pci_access *a)
{
	uint32_t i, at = f->pcie ? pci_find_extended(a, f->bdf, PCI_EXT_REBAR) : 0;
	uint32_t count = at ? REBAR_COUNT(pci_read32(a, f->bdf, at + REBAR_CONTROL)) : 0;

	for (i = 0; i < count && i < PCI_BARS; i++) {
		uint32_t reg = at + REBAR_CONTROL + i * REBAR_STRIDE;
		uint32_t old = pci_read32(a, f->bdf, reg), v = old & ~REBAR_SIZE;
		uint32_t bar = REBAR_INDEX(old);
		uint64_t size = bar < PCI_BARS ? f->bars[bar].size : 0;

		if (size < 1u << 20)
			continue;
		v |= (uint32_t)__builtin_ctzll(size >> 20) << REBAR_SIZE_SHIFT;
		if (v != old)
			pci_write32(a, f->bdf, reg, v);
	}
}

static void restore_bars(const struct pci_function *f, const struct pci_access *a)
{
	uint32_t i, reg;

	for (i = 0; i <= PCI_ROM; i++) {
		const struct pci_bar *bar = &f->bars[i];

		if (!bar->size)
			continue;
		reg = i == PCI_ROM ? PCI_ROM_BAR : PCI_BAR0 + 4 * i;
		pci_write32(a, f->bdf, reg, (uint32_t)bar->base);
		if (bar->wide)
			pci_write32(a, f->bdf, reg + 4, (uint32_t)(bar->base >> 32));
	}
}

/*
 * As a driver expects to find it: a packet size that fits the way up, among others; and no nearer to
 * the device's other functions than before, which may be another guest's. False: it is.
 */
static bool restore(const struct pci_function *f, const struct pci_access *a)
{
	pci_write16(a, f->bdf, PCI_COMMAND, PCI_COMMAND_NO_INTX);
	restore_sizes(f, a);
	restore_bars(f, a);
	pci_write16(a, f->bdf, PCI_CACHE_LINE, f->cache_line);
	if (!f->pcie)
		return true;
	/* Errors are not reported: the chipset would tell the firmware, or stop the machine. */
	pci_write16(a, f->bdf, f->pcie + PCIE_CONTROL,
		    f->control & (uint16_t) ~(DO_FLR | ERROR_REPORT));
	if (f->control2)
		pci_write16(a, f->bdf, f->pcie + PCIE_CONTROL2, f->control2);
	if (f->link)
		pci_write16(a, f->bdf, f->pcie + PCIE_LINK_CONTROL, f->link);
	return !f->acs || pci_acs_enable(f, a) || !f->acs_on;
}

/* Whether a reset of `f` resets `o`. */
static bool meets(const struct pci_function *f, const struct pci_function *o)
{
	return o == f || (f->reset == PCI_RESET_BUS && o->parent == f->parent);
}

enum status pci_function_reset(const struct pci_tree *t, const struct pci_function *f,
			       const struct pci_access *a)
{
	enum status s = f->reset == PCI_RESET_NONE ? ERR_UNSUPPORTED : OK;
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		if (!meets(f, &t->f[i]))
			continue;
		pci_function_quiet(&t->f[i], a);
		wait_pending(&t->f[i], a);
	}
	start_reset(t, f, a);
	for (i = 0; i < t->count; i++) {
		if (!meets(f, &t->f[i]))
			continue;
		if (!wait_answer(&t->f[i], a) || !restore(&t->f[i], a))
			s = ERR_TIMEOUT;
	}
	return s;
}

const char *pci_reset_name(enum pci_reset r)
{
	static const char *const names[] = {
		[PCI_RESET_NONE] = "none", [PCI_RESET_FLR] = "FLR", [PCI_RESET_AF_FLR] = "AF FLR",
		[PCI_RESET_PM] = "power",  [PCI_RESET_BUS] = "bus",
	};

	return names[r];
}
