// SPDX-License-Identifier: BSD-2-Clause
#include "guest.h"
#include "nvme.h"
#include "pci.h"

#define REG_CC   0x14
#define REG_CSTS 0x1c
#define REG_AQA  0x24
#define REG_ASQ  0x28
#define REG_ACQ  0x30
#define DOORBELL 0x1000

#define CC_ENABLE  0x00460001u /* entries of 64 and 16 bytes, pages of 4 KiB */
#define CSTS_READY 1u

#define ADMIN_CREATE_SQ 0x01
#define ADMIN_CREATE_CQ 0x05
#define IO_WRITE        0x01
#define IO_READ         0x02
#define CONTIGUOUS      1u
#define INTERRUPTS      2u

#define READY_SPINS 100000000u

struct command {
	uint32_t opcode, nsid;
	uint64_t reserved, metadata;
	uint64_t prp1, prp2;
	uint32_t cdw[6]; /* 10 to 15 */
};

struct completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, id, status; /* bit 0 of the status: phase */
};

struct queue {
	unsigned id, tail, head, phase;
	struct command *sq;
	volatile struct completion *cq;
};

static struct command admin_sq[NVME_DEPTH] aligned(4096), io_sq[NVME_DEPTH] aligned(4096);
static struct completion admin_cq[NVME_DEPTH] aligned(4096), io_cq[NVME_DEPTH] aligned(4096);
static struct queue admin, io;
static volatile uint8_t *regs;

static uint32_t reg(unsigned offset)
{
	return *(volatile uint32_t *)(regs + offset);
}

static void set_reg(unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(regs + offset) = value;
}

static void set_reg64(unsigned offset, const void *value)
{
	set_reg(offset, (uint32_t)(uintptr_t)value);
	set_reg(offset + 4, (uint32_t)((uintptr_t)value >> 32));
}

static void queue_init(struct queue *q, unsigned id, struct command *sq, struct completion *cq)
{
	memset(sq, 0, NVME_DEPTH * sizeof(*sq));
	memset(cq, 0, NVME_DEPTH * sizeof(*cq));
	*q = (struct queue){ .id = id, .phase = 1, .sq = sq, .cq = cq };
}

static void submit(struct queue *q, const struct command *c)
{
	q->sq[q->tail] = *c;
	q->tail = (q->tail + 1) % NVME_DEPTH;
	__asm__ volatile("" : : : "memory");
	set_reg(DOORBELL + 8 * q->id, q->tail);
}

static int poll(struct queue *q)
{
	uint16_t status = q->cq[q->head].status;

	if ((status & 1) != q->phase)
		return -1;
	q->head = (q->head + 1) % NVME_DEPTH;
	if (!q->head)
		q->phase ^= 1;
	set_reg(DOORBELL + 8 * q->id + 4, q->head);
	return status >> 1;
}

static int run(struct queue *q, const struct command *c)
{
	int status;

	submit(q, c);
	while ((status = poll(q)) < 0)
		cpu_pause();
	return status;
}

static bool wait_ready(uint32_t ready)
{
	for (uint32_t n = 0; n < READY_SPINS; n++)
		if ((reg(REG_CSTS) & CSTS_READY) == ready)
			return true;
	return false;
}

static bool create_queues(uint32_t flags)
{
	struct command c = { .opcode = ADMIN_CREATE_CQ,
			     .prp1 = (uintptr_t)io_cq,
			     .cdw = { (NVME_DEPTH - 1) << 16 | 1, CONTIGUOUS | flags } };

	queue_init(&io, 1, io_sq, io_cq);
	if (run(&admin, &c))
		return false;
	c.opcode = ADMIN_CREATE_SQ;
	c.prp1 = (uintptr_t)io_sq;
	c.cdw[1] = CONTIGUOUS | 1u << 16; /* completions go to queue 1 */
	return !run(&admin, &c);
}

bool nvme_init(uint32_t bdf, uint8_t vector)
{
	pci_command(bdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	regs = (volatile uint8_t *)pci_bar(bdf, 0);
	set_reg(REG_CC, 0);
	if (!wait_ready(0))
		return false;
	queue_init(&admin, 0, admin_sq, admin_cq);
	set_reg(REG_AQA, (NVME_DEPTH - 1) << 16 | (NVME_DEPTH - 1));
	set_reg64(REG_ASQ, admin_sq);
	set_reg64(REG_ACQ, admin_cq);
	set_reg(REG_CC, CC_ENABLE);
	if (vector && !pci_msix(bdf, 0, vector, apic_id()))
		return false;
	return wait_ready(CSTS_READY) && create_queues(vector ? INTERRUPTS : 0);
}

void nvme_submit(bool write, uint64_t address, uint64_t page)
{
	uint64_t block = page * NVME_BLOCKS;
	struct command c = { .opcode = write ? IO_WRITE : IO_READ,
			     .nsid = 1,
			     .prp1 = address,
			     .cdw = { (uint32_t)block, (uint32_t)(block >> 32), NVME_BLOCKS - 1 } };

	submit(&io, &c);
}

int nvme_poll(void)
{
	return poll(&io);
}

int nvme_transfer(bool write, uint64_t address, uint64_t page)
{
	int status;

	nvme_submit(write, address, page);
	while ((status = nvme_poll()) < 0)
		cpu_pause();
	return status;
}
