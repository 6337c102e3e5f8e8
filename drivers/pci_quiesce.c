/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the firmware left running: every device loses the right to reach memory and to interrupt, and
 * USB controllers, which firmwares drive from system management mode for keyboards, change hands first.
 * EHCI 1.0, 2.1.7 and 5.1; xHCI 1.2, 4.22.1 and 7.1; OHCI 1.0a, 5.1.1.3; UHCI 1.1, 5.2.1.
 */
#include "drivers/pci_tree.h"
#include "x86/tsc.h"

#include <string.h>

#define CLASS_UHCI 0x0c0300
#define CLASS_OHCI 0x0c0310
#define CLASS_EHCI 0x0c0320
#define CLASS_XHCI 0x0c0330

#define UHCI_LEGACY     0xc0
#define UHCI_LEGACY_OFF 0x8f00 /* clears what is pending; nothing traps any more */

#define OHCI_CONTROL     0x04
#define OHCI_COMMAND     0x08
#define OHCI_IRQ_ENABLE  0x10
#define OHCI_IRQ_DISABLE 0x14
#define OHCI_IRQ_OWNER   (uint32_t) BIT(30)
#define OHCI_ROUTED      BIT(8) /* its interrupts go to system management mode */
#define OHCI_KEEP        0x200  /* remote wake-up; all else 0: reset state */
#define OHCI_CHANGE      BIT(3)

/* The first capability is the same thing for EHCI, in configuration space, and xHCI, in memory. */
#define LEGACY_ID     1
#define LEGACY_BIOS   BIT(16)
#define LEGACY_OS     BIT(24)
#define EHCI_HCC      0x08
#define XHCI_HCC      0x10
#define XHCI_SMI_KEEP 0x000e1feeu /* reserved bits that are to be preserved */
#define COMMAND_RUN   0x01
#define XHCI_ENABLES  0x0c /* interrupter, host system error */
#define CAPS_MAX      64

#define HANDOFF_MS 1000
#define MAP_MAX    (1u << 20)

struct usb {
	const struct pci_access *a;
	struct pci_bdf d;
	volatile uint8_t *regs;
	uint64_t size;
};

static uint32_t reg32(const struct usb *u, uint64_t at)
{
	return at + 4 <= u->size ? *(volatile uint32_t *)(u->regs + (at & ~3ull)) : 0;
}

static void set32(const struct usb *u, uint64_t at, uint32_t v)
{
	if (at + 4 <= u->size)
		*(volatile uint32_t *)(u->regs + (at & ~3ull)) = v;
}

static void ohci_take(const struct usb *u)
{
	uint32_t ms;

	if (reg32(u, OHCI_CONTROL) & OHCI_ROUTED) {
		set32(u, OHCI_IRQ_ENABLE, OHCI_IRQ_OWNER);
		set32(u, OHCI_COMMAND, OHCI_CHANGE);
		for (ms = 0; ms < HANDOFF_MS && reg32(u, OHCI_CONTROL) & OHCI_ROUTED; ms++)
			delay_us(1000);
	}
	set32(u, OHCI_IRQ_DISABLE, ~0u);
	set32(u, OHCI_CONTROL, reg32(u, OHCI_CONTROL) & OHCI_KEEP);
}

static void ehci_take(const struct usb *u)
{
	uint32_t ms, n, at = reg32(u, EHCI_HCC) >> 8 & 0xfc;
	uint32_t operational = reg32(u, 0) & 0xff;

	for (n = 0; n < CAPS_MAX && at >= 0x40 && at < 0xfc; n++) {
		uint32_t cap = pci_read32(u->a, u->d, at);

		if ((cap & 0xff) == LEGACY_ID) {
			pci_write8(u->a, u->d, at + 3, 1);
			for (ms = 0; ms < HANDOFF_MS && pci_read32(u->a, u->d, at) & LEGACY_BIOS;
			     ms++)
				delay_us(1000);
			pci_write8(u->a, u->d, at + 2, 0);
			pci_write32(u->a, u->d, at + 4, 0); /* no SMIs */
		}
		at = cap >> 8 & 0xfc;
	}
	set32(u, operational, reg32(u, operational) & ~(uint32_t)COMMAND_RUN);
}

static void xhci_take(const struct usb *u)
{
	uint64_t at = (uint64_t)(reg32(u, XHCI_HCC) >> 16) << 2;
	uint32_t operational = reg32(u, 0) & 0xff;
	uint32_t ms, n, next;

	for (n = 0; n < CAPS_MAX && at && at + 8 <= u->size; n++) {
		uint32_t cap = reg32(u, at);

		if ((cap & 0xff) == LEGACY_ID) {
			set32(u, at, cap | (uint32_t)LEGACY_OS);
			for (ms = 0; ms < HANDOFF_MS && reg32(u, at) & LEGACY_BIOS; ms++)
				delay_us(1000);
			set32(u, at, (reg32(u, at) | (uint32_t)LEGACY_OS) & ~(uint32_t)LEGACY_BIOS);
			/* No SMIs; bits 29 to 31 are cleared by ones. */
			set32(u, at + 4, (reg32(u, at + 4) & XHCI_SMI_KEEP) | 0xe0000000u);
		}
		next = cap >> 6 & 0x3fc;
		at = next ? at + next : 0;
	}
	set32(u, operational, reg32(u, operational) & ~(uint32_t)(COMMAND_RUN | XHCI_ENABLES));
}

static void usb_take(const struct pci_function *f, const struct pci_access *a,
		     const struct pci_mapper *mapper)
{
	static void (*const take[])(const struct usb *u) = { ohci_take, ehci_take, xhci_take };
	const struct pci_bar *bar = &f->bars[0];
	struct usb u = { .a = a, .d = f->bdf, .size = min_u64(bar->size, MAP_MAX) };
	uint32_t kind = ((f->class & 0xff) >> 4) - 1;

	if (f->class == CLASS_UHCI)
		pci_write16(a, f->bdf, UHCI_LEGACY, UHCI_LEGACY_OFF);
	if (f->class < CLASS_OHCI || f->class > CLASS_XHCI || f->class & 0xf)
		return;
	/* Not decoded: the firmware does not use it. */
	if (bar->io || !bar->base || !bar->size ||
	    !(pci_read16(a, f->bdf, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return;
	u.regs = mapper->map(HPA(bar->base), u.size);
	if (!u.regs)
		return;
	take[kind](&u);
	if (mapper->unmap)
		mapper->unmap((const void *)u.regs, u.size);
}

/*
 * Each has an enable bit in its control register; ATS first, since the others build upon it. SR-IOV makes
 * functions that nobody has looked at.
 */
static void extended_off(const struct pci_function *f, const struct pci_access *a)
{
	static const struct {
		uint16_t id;
		uint8_t control;
	} caps[] = {
		{ PCI_EXT_ATS, 6 }, { PCI_EXT_PRI, 4 }, { PCI_EXT_PASID, 6 }, { PCI_EXT_SRIOV, 8 }
	};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(caps) && f->pcie; i++) {
		uint16_t at = pci_find_extended(a, f->bdf, caps[i].id);

		if (at)
			pci_write16(a, f->bdf, at + caps[i].control, 0);
	}
}

void pci_tree_quiesce(const struct pci_tree *t,
		      const struct pci_access *(*access)(uint16_t segment),
		      const struct pci_mapper *mapper)
{
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		const struct pci_function *f = &t->f[i];
		const struct pci_access *a = access(f->bdf.segment);
		uint16_t command;

		if (!a)
			continue;
		extended_off(f, a);
		if (f->header == 1) {
			/* What is behind it masters through it. */
			command = pci_read16(a, f->bdf, PCI_COMMAND);
			pci_write16(a, f->bdf, PCI_COMMAND, command | PCI_COMMAND_MASTER);
		} else if (!f->chipset && !f->in_use) {
			usb_take(f, a, mapper);
			pci_function_quiet(f, a);
		}
	}
}
