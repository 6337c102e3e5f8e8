/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capabilities of a device that its guest sees: those that are known to be safe, at their own
 * offsets, in a list of their own. All other registers from 40h on read as zero and ignore writes,
 * the vendors' included: nobody knows what they do.
 */
#include "core/vpci_priv.h"

#define STATUS_CAPS BIT(20) /* of the dword of command and status */

#define CAP_POWER  0x01
#define CAP_MSI    0x05
#define CAP_VENDOR 0x09
#define CAP_PCIE   0x10
#define CAP_MSIX   0x11
#define CAP_AF     0x13
#define CAPS_MAX   48 /* as many as fit into 192 bytes */

/* PCI Bus Power Management Interface Specification 1.2, 3.2. */
#define POWER_SIZE          8
#define POWER_CONTROL       4
#define POWER_CAPS          (BITS(2, 0) | BIT(5)) /* version and DSI; no D1, no D2, no PME */
#define POWER_STATE         3u
#define POWER_D3HOT         3u
#define POWER_NO_SOFT_RESET BIT(3)

/* PCI Express Base Specification, 7.5.3. */
#define PCIE_SIZE_1        0x14
#define PCIE_SIZE_2        0x3c
#define PCIE_SIZE_1_RC     0x0c /* of devices that are in the root complex: they have no link */
#define PCIE_RC_END        9
#define PCIE_FLR_ABLE      BIT(28)
#define PCIE_PHANTOM       BITS(4, 3)
#define PCIE_STATUS_CLEARS 0xfu
#define PCIE_ERRORS        BITS(3, 0)
#define PCIE_RELAXED       BIT(4)
#define PCIE_NO_SNOOP      BIT(11)
#define PCIE_READ_SIZE     BITS(14, 12)
#define PCIE_READ_SHIFT    12
#define PCIE_READ_MAX      5 /* 4096 bytes */
#define PCIE_FLR           BIT(15)
#define PCIE_CAPABILITIES2 0x24
#define PCIE_TIMEOUTS      BITS(4, 0)

/* Advanced Features: PCI-SIG's engineering change notice of 2006. */
#define AF_SIZE    6
#define AF_CONTROL 4
#define AF_FLR     BIT(0)

/* Virtual I/O Device (VIRTIO) Version 1.1, 4.1.4. */
#define VIRTIO_VENDOR  0x1af4
#define VIRTIO_PCI_CFG 5
#define VIRTIO_SIZE    16 /* at least */

#define EXT_SERIAL 3
#define EXT_MAX    64

static uint32_t host_dword(const struct vpci_device *d, uint32_t reg)
{
	return pci_read32(d->access, d->host->bdf, reg & ~3u);
}

static bool has_flr(const struct vpci_device *d)
{
	return d->host->reset == PCI_RESET_FLR;
}

static bool in_root_complex(uint32_t header)
{
	return (header >> 20 & 15) == PCIE_RC_END;
}

/* How many bytes of a capability the guest sees; 0: none of it. */
static uint32_t cap_size(const struct vpci_device *d, uint8_t at, uint8_t id)
{
	uint32_t header = host_dword(d, at), size;

	switch (id) {
	case CAP_POWER:
		return POWER_SIZE;
	case CAP_MSI:
		return d->irqs.msi ? vpci_msi_size(&d->irqs) : 0;
	case CAP_MSIX:
		return d->irqs.table ? VPCI_MSIX_SIZE : 0;
	case CAP_PCIE:
		/* Some end before its last registers, which are reserved in devices. */
		if ((header >> 16 & 15) >= 2)
			return (uint32_t)min_u64(PCIE_SIZE_2, 256u - at);
		return in_root_complex(header) ? PCIE_SIZE_1_RC : PCIE_SIZE_1;
	case CAP_AF:
		return d->host->reset == PCI_RESET_AF_FLR ? AF_SIZE : 0;
	case CAP_VENDOR:
		/*
		 * Where virtio's structures lie: constants. Not the one that opens a window to the
		 * BARs, since the MSI-X table is in one of them.
		 */
		size = header >> 16 & 0xff;
		if (d->host->vendor != VIRTIO_VENDOR || size < VIRTIO_SIZE ||
		    header >> 24 == VIRTIO_PCI_CFG)
			return 0;
		return size;
	default:
		return 0;
	}
}

static bool is_free(const struct vpci_device *d, uint32_t at, uint32_t size)
{
	for (uint8_t i = 0; i < d->cap_count; i++) {
		const struct vpci_cap *c = &d->caps[i];

		/* They are emulated by dwords. */
		if (at < ALIGN_UP((uint32_t)c->at + c->size, 4) && c->at < at + size)
			return false;
	}
	return at + size <= 256;
}

static void find_serial(struct vpci_device *d)
{
	uint32_t at = VPCI_REG_EXTENDED;

	d->serial = 0;
	if (!d->access->extended || !d->host->pcie)
		return;
	for (unsigned i = 0; i < EXT_MAX && at >= VPCI_REG_EXTENDED; i++) {
		uint32_t header = host_dword(d, at);

		if (!header || header == ~0u)
			return;
		if ((header & 0xffff) == EXT_SERIAL && at <= 4096 - 12) {
			d->serial = host_dword(d, at + 4) | (uint64_t)host_dword(d, at + 8) << 32;
			return;
		}
		at = header >> 20 & ~3u;
	}
}

void vpci_caps_create(struct vpci_device *d)
{
	uint8_t at = 0;

	d->cap_count = 0;
	if (host_dword(d, PCI_COMMAND) & STATUS_CAPS)
		at = (uint8_t)(host_dword(d, PCI_CAPABILITIES) & 0xfc);
	for (unsigned i = 0; i < CAPS_MAX && at >= VPCI_REG_FIRST_CAP; i++) {
		uint32_t header = host_dword(d, at);
		uint32_t size = cap_size(d, at, (uint8_t)header);

		if (size && d->cap_count < VPCI_CAPS && is_free(d, at, size))
			d->caps[d->cap_count++] =
				(struct vpci_cap){ at, (uint8_t)header, (uint8_t)size };
		at = (uint8_t)(header >> 8 & 0xfc);
	}
	find_serial(d);
}

/*
 * After a reset a device may leave out the snooping of caches if it likes, and then would read from
 * memory what the caches have newer. Errors that it reports would be the machine's.
 */
void vpci_caps_reset(struct vpci_device *d)
{
	uint32_t at = d->host->pcie + PCIE_CONTROL;
	uint16_t control;

	if (!d->host->pcie)
		return;
	control = pci_read16(d->access, d->host->bdf, at);
	if (control & (PCIE_ERRORS | PCIE_NO_SNOOP))
		pci_write16(d->access, d->host->bdf, at,
			    (uint16_t)(control & ~(PCIE_ERRORS | PCIE_NO_SNOOP)));
}

uint8_t vpci_caps_first(const struct vpci_device *d)
{
	return d->cap_count ? d->caps[0].at : 0;
}

static struct vpci_cap *find_cap(struct vpci_device *d, uint32_t reg)
{
	for (uint8_t i = 0; i < d->cap_count; i++) {
		struct vpci_cap *c = &d->caps[i];

		if (reg >= c->at && reg < (uint32_t)c->at + c->size)
			return c;
	}
	return NULL;
}

/* ------------------------------------------------------------------ reading */

static uint32_t read_pcie(const struct vpci_device *d, uint32_t at, uint32_t offset)
{
	uint32_t v = host_dword(d, at + offset);

	switch (offset) {
	case 0:
		/* On a root bus, a plain endpoint would make guests look for the port above it. */
		if ((v >> 20 & 15) == PCIE_ENDPOINT)
			v |= (uint32_t)PCIE_RC_END << 20;
		return v & 0x3eff0000; /* no slot */
	case PCIE_CAPABILITIES:
		v &= ~(uint32_t)PCIE_PHANTOM;
		return has_flr(d) ? v : v & ~(uint32_t)PCIE_FLR_ABLE;
	case PCIE_CONTROL:
		return v & ~(uint32_t)PCIE_FLR;
	case PCIE_CAPABILITIES2:
	case PCIE_CONTROL2:
		return v & PCIE_TIMEOUTS;
	default:
		return 0; /* there is no link above it that the guest could see */
	}
}

/* The dword at `offset`; of the first one, the upper half. */
static uint32_t read_cap(struct vpci_device *d, const struct vpci_cap *c, uint32_t offset)
{
	uint32_t v = host_dword(d, c->at + offset);

	switch (c->id) {
	case CAP_POWER:
		if (offset)
			return d->power | (uint32_t)POWER_NO_SOFT_RESET;
		return v & (uint32_t)POWER_CAPS << 16;
	case CAP_MSI:
		return offset ? vpci_msi_read(&d->irqs, offset, 4)
			      : vpci_msi_read(&d->irqs, 2, 2) << 16;
	case CAP_MSIX:
		return offset ? vpci_msix_read(&d->irqs, offset, 4)
			      : vpci_msix_read(&d->irqs, 2, 2) << 16;
	case CAP_PCIE:
		return read_pcie(d, c->at, offset);
	case CAP_AF:
		return offset ? v & 0x100 : v; /* transactions pending */
	default:
		return v;
	}
}

static uint32_t read_serial(const struct vpci_device *d, uint32_t reg)
{
	if (!d->serial)
		return 0;
	switch (reg - VPCI_REG_EXTENDED) {
	case 0:
		return EXT_SERIAL | 1u << 16; /* version 1, the last one */
	case 4:
		return (uint32_t)d->serial;
	case 8:
		return (uint32_t)(d->serial >> 32);
	default:
		return 0;
	}
}

uint32_t vpci_caps_read(struct vpci_device *d, uint32_t reg)
{
	const struct vpci_cap *c = find_cap(d, reg);
	uint32_t v, left;

	if (reg >= VPCI_REG_EXTENDED)
		return read_serial(d, reg);
	if (!c)
		return 0;
	v = read_cap(d, c, reg - c->at);
	if (reg == c->at) {
		v = (v & 0xffff0000) | c->id;
		if (c + 1 < d->caps + d->cap_count)
			v |= (uint32_t)c[1].at << 8;
	}
	left = c->at + c->size - reg;
	return left < 4 ? v & (~0u >> (32 - 8 * left)) : v;
}

/* ------------------------------------------------------------------ writing */

/*
 * To the device, it is as if it had lost power; to the guest, all its registers are as they then are.
 * The guest's lock is held, so the rest, which takes time, comes later.
 */
static void ask_reset(struct vpci_device *d)
{
	vpci_config_reset(d);
	/* Nobody asks it for its INTx either: in a reset it may keep whoever reads it waiting. */
	vpci_intx_command(&d->irqs, PCI_COMMAND_NO_INTX);
	for (unsigned i = 0; i <= PCI_BARS; i++)
		d->bars[i].address = 0;
	d->life = VPCI_RESET_ASKED;
	__atomic_fetch_add(&d->guest->vpci->resets, 1, __ATOMIC_RELAXED);
	vpci_config_apply(d);
}

static void write_devctl(struct vpci_device *d, uint8_t at, struct vpci_write w)
{
	uint32_t old = pci_read16(d->access, d->host->bdf, at + PCIE_CONTROL), v;

	if (w.mask & w.value & PCIE_FLR && has_flr(d)) {
		ask_reset(d);
		return;
	}
	/* The sizes of payloads are a matter of everything on the way; those of reads, of the device. */
	v = vpci_merge(old, w);
	if ((v & PCIE_READ_SIZE) >> PCIE_READ_SHIFT > PCIE_READ_MAX)
		v = (v & ~(uint32_t)PCIE_READ_SIZE) | (old & PCIE_READ_SIZE);
	v = (old & ~(PCIE_RELAXED | PCIE_READ_SIZE | PCIE_FLR)) |
	    (v & (PCIE_RELAXED | PCIE_READ_SIZE));
	if (v != old)
		pci_write16(d->access, d->host->bdf, at + PCIE_CONTROL, (uint16_t)v);
}

static void write_pcie(struct vpci_device *d, uint8_t at, uint32_t offset, struct vpci_write w)
{
	uint16_t clear = (uint16_t)((w.value & w.mask) >> 16 & PCIE_STATUS_CLEARS);

	if (offset != PCIE_CONTROL)
		return;
	if (clear)
		pci_write16(d->access, d->host->bdf, at + PCIE_STATUS, clear);
	if (w.mask & 0xffff)
		write_devctl(d, at, w);
}

static void write_messages(struct vpci_device *d, uint8_t id, uint32_t offset, uint8_t size,
			   uint32_t value)
{
	/* Id and pointer are not theirs. */
	if (offset == 0 && size == 4) {
		offset = 2;
		size = 2;
		value >>= 16;
	}
	if (offset < 2)
		return;
	if (id == CAP_MSI)
		vpci_msi_write(&d->irqs, offset, size, value);
	else
		vpci_msix_write(&d->irqs, offset, size, value);
}

void vpci_caps_write(struct vpci_device *d, uint32_t reg, uint8_t size, uint32_t value)
{
	const struct vpci_cap *c = reg < VPCI_REG_EXTENDED ? find_cap(d, reg & ~3u) : NULL;
	uint32_t shift = 8 * (reg & 3), offset;
	struct vpci_write w = { value << shift, (~0u >> (32 - 8 * size)) << shift };

	if (!c)
		return;
	offset = reg - c->at;
	switch (c->id) {
	case CAP_MSI:
	case CAP_MSIX:
		write_messages(d, c->id, offset, size, value);
		break;
	case CAP_POWER:
		w.value = vpci_merge(d->power, w) & POWER_STATE;
		if (offset == POWER_CONTROL && (w.value == 0 || w.value == POWER_D3HOT))
			d->power = (uint8_t)w.value;
		break;
	case CAP_PCIE:
		write_pcie(d, c->at, offset & ~3u, w);
		break;
	case CAP_AF:
		if (offset == AF_CONTROL && w.value & w.mask & AF_FLR)
			ask_reset(d);
		break;
	default:
		break;
	}
}
