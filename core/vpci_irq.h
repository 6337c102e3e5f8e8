/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPCI_IRQ_H
#define LAMINA_CORE_VPCI_IRQ_H

#include "drivers/iommu.h"
#include "drivers/pci_tree.h"
#include "types.h"

struct guest;

/*
 * Interrupts of one function that a guest owns. What the guest programs into MSI and MSI-X is a
 * message to one of its cores; Lamina checks that, puts it into the IOMMU, and programs the device with
 * what selects the IOMMU's entry. From then on interrupts reach the guest's core without Lamina.
 * All functions: with the guest's lock held, unless they say otherwise.
 */
struct vpci_vector {
	uint64_t address; /* of MSI-X: as the guest has written them */
	uint32_t data;
	uint32_t apic_id; /* where the IOMMU's entry leads; valid if `live` */
	uint8_t vector;
	bool masked;           /* of MSI-X: as the guest has written it */
	bool open;             /* of MSI-X: the entry of the device is not masked */
	bool live;             /* the IOMMU has an entry for it */
	struct iommu_msi sent; /* the message in the device; address 0: none of ours */
};

struct vpci_irqs {
	struct guest *guest;
	const struct pci_function *host;
	const struct pci_access *access;
	bool msi;          /* the guest has that capability */
	bool started;      /* between vpci_irq_start() and vpci_irq_stop() */
	bool denied;       /* a message was refused, which was logged */
	unsigned first;    /* of iommu_irq_alloc(); valid while `started` */
	unsigned count;    /* messages that the guest can use; 0: no MSI at all */
	uint16_t msi_host; /* what the function's MSI can do: its Message Control */
	uint16_t msi_control, msix_control; /* as the guest has written them */
	uint16_t msi_data;
	uint64_t msi_address;
	uint32_t msi_mask;
	struct vpci_vector *vectors; /* `count` of them, from the guest's budget */
	volatile uint32_t *table;    /* the MSI-X table, mapped; NULL: the guest has none */
	uint16_t table_entries;      /* that the device has; the guest sees up to `count` */
	uint8_t table_bar;           /* which BAR it lies in ... */
	uint32_t table_offset;       /* ... and where, bytes */
	uint8_t intx_line;           /* input of the virtual IOAPIC; 0: the guest has no INTx */
	bool intx_off;               /* by the guest's Command register */
	bool intx_used;              /* the guest has unmasked the input */
	/* With the lock of core/vpci_intx.c: */
	bool intx_on;       /* the real INTx is enabled, or `intx_asserted` */
	bool intx_asserted; /* and then the real one is disabled until the guest has served it */
	struct vpci_irqs *intx_next;
};

/* The input of the virtual IOAPIC that `pin` (1 to 4) of a device of the virtual bus leads to. */
static inline uint8_t vpci_intx_line(uint8_t slot, uint8_t pin)
{
	return (uint8_t)(16 + (slot + pin - 1) % 4);
}

/*
 * Once, when the guest is made: what the function has, memory for the vectors, the MSI-X table's mapping.
 * `slot` is the device number that the guest sees. Afterwards msi, table and intx_line say
 * which kinds of interrupts the guest may see. ERR_NOMEM. No lock.
 */
must_check enum status vpci_irq_create(struct vpci_irqs *q, struct guest *g,
				       const struct pci_function *host,
				       const struct pci_access *access, uint8_t slot);

/* Each run, after the reset of the function and after it was attached: entries in the IOMMU. No lock. */
must_check enum status vpci_irq_start(struct vpci_irqs *q);

/*
 * All blocked and given back; the device sends nothing any more. No lock but run_lock. Before anybody
 * else writes the function's Command register.
 */
void vpci_irq_stop(struct vpci_irqs *q);

/*
 * The guest has reset the function, by FLR or on its way back from D3hot: its registers have their
 * power-on values, so has what the guest sees of interrupts. After the reset is complete.
 */
void vpci_irq_reset(struct vpci_irqs *q);

/*
 * Accesses to the MSI and MSI-X capabilities: `offset` from the capability's first byte, within one
 * dword. The first two bytes, id and next pointer, are the caller's.
 */
#define VPCI_MSIX_SIZE 12 /* bytes of the capability */
uint32_t vpci_msi_size(const struct vpci_irqs *q);
uint32_t vpci_msi_read(struct vpci_irqs *q, uint32_t offset, uint8_t size);
void vpci_msi_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value);
uint32_t vpci_msix_read(struct vpci_irqs *q, uint32_t offset, uint8_t size);
void vpci_msix_write(struct vpci_irqs *q, uint32_t offset, uint8_t size, uint32_t value);

/*
 * The pages of a BAR that hold the MSI-X table, as offsets into the BAR, page multiples: trapped. False:
 * none. Accesses to them, while the function decodes memory; offsets from the BAR's start. What shares
 * the pages with the table passes through.
 */
bool vpci_msix_pages(const struct vpci_irqs *q, uint8_t bar, uint64_t *start, uint64_t *end);
uint64_t vpci_msix_table_read(struct vpci_irqs *q, uint64_t offset, uint8_t size);
void vpci_msix_table_write(struct vpci_irqs *q, uint64_t offset, uint8_t size, uint64_t value);

/*
 * The guest has changed the function's Command register: INTx may be on or off now. Bit 10 of the
 * real register is nobody else's: whoever writes the register leaves the bit as it is, with the
 * guest's lock, and calls this afterwards.
 */
void vpci_intx_command(struct vpci_irqs *q, uint16_t command);

/*
 * For the guest's IOAPIC: an input's entry was unmasked, or its interrupt has ended. The input gets
 * the level that the devices have now.
 */
void vpci_intx_resample(struct guest *g, unsigned pin);

/*
 * Do devices ask for interrupts? An NMI may say so, whichever core it comes to. Takes the locks of
 * guests, so without any lock.
 */
void vpci_intx_poll(void);

/*
 * For the monitor: a line about the function's interrupts. The first one, 0, is about all of them, the
 * others about one message each that is in use. False: there is no such line.
 */
bool vpci_irq_describe(struct vpci_irqs *q, unsigned line, char *text, size_t size);

#endif
