/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/amdvi.h"
#include "panic.h"

/* Commands (2.4): the operation in bits 63:60 of the first quadword. */
#define COMMAND(n)           ((uint64_t)(n) << 60)
#define COMPLETION_WAIT      COMMAND(1)
#define INVALIDATE_DEVTAB    COMMAND(2)
#define INVALIDATE_PAGES     COMMAND(3)
#define INVALIDATE_IRQ_TABLE COMMAND(5)
#define INVALIDATE_ALL       COMMAND(8)
#define WAIT_STORE           BIT(0)
#define PAGES_DOMAIN(id)     ((uint64_t)(id) << 32)
#define PAGES_SIZE           BIT(0) /* the address says how many */
#define PAGES_PDE            BIT(1) /* entries that point to tables as well */
#define PAGES_ALL            0x7ffffffffffff000ull
#define PAGES_SIZE_BITS_MAX  51
#define COMMAND_SIZE         16

/*
 * No more commands than the ring has room for are ever under way: the head register, which some
 * implementations let run past the end, is not needed.
 */
static void queue(struct amdvi_unit *u, uint64_t low, uint64_t high)
{
	volatile uint64_t *c = &u->commands[u->tail * 2];

	c[0] = low;
	c[1] = high;
	u->tail = (u->tail + 1) % AMDVI_RING_ENTRIES;
	u->pending++;
}

/* The store is ordered after the commands before it: it can be waited for, unlike the head (2.4.1). */
static void ask(struct amdvi_unit *u)
{
	u->sequence++;
	queue(u, COMPLETION_WAIT | virt_to_hpa((const void *)(uintptr_t)u->done).v | WAIT_STORE,
	      u->sequence);
	amdvi_write(u, AMDVI_COMMAND_TAIL, u->tail * COMMAND_SIZE);
}

/* The clock is read before the store is looked at: being held up in between does not count. */
static bool answered(struct amdvi_unit *u)
{
	uint64_t start = amdvi_now_us(), now = start;

	while (*u->done != u->sequence && !u->dead) {
		u->dead = now - start > IOMMU_TIMEOUT_US;
		__builtin_ia32_pause();
		now = amdvi_now_us();
	}
	u->pending = 0;
	return !u->dead;
}

bool amdvi_wait(struct amdvi_unit *u)
{
	ask(u);
	return answered(u);
}

static noreturn void time_out(const struct amdvi_unit *u)
{
	panic("AMD-Vi unit %u does not complete commands: status %#llx, head %#llx of %#x",
	      u->index, (unsigned long long)amdvi_read(u, AMDVI_STATUS),
	      (unsigned long long)amdvi_read(u, AMDVI_COMMAND_HEAD), u->tail * COMMAND_SIZE);
}

void amdvi_wait_all(void)
{
	uint32_t i;

	for (i = 0; i < amdvi.unit_count; i++) {
		if (amdvi.units[i].pending)
			ask(&amdvi.units[i]);
	}
	for (i = 0; i < amdvi.unit_count; i++) {
		if (!answered(&amdvi.units[i]))
			time_out(&amdvi.units[i]);
	}
}

/* One entry stays free, or a full ring would look empty; another one is for waiting. */
static void command(struct amdvi_unit *u, uint64_t low, uint64_t high)
{
	if (u->pending >= AMDVI_RING_ENTRIES - 2 && !u->dead)
		u->dead = !amdvi_wait(u);
	if (!u->dead)
		queue(u, low, high);
}

void amdvi_invalidate_all(struct amdvi_unit *u)
{
	command(u, INVALIDATE_ALL, 0);
}

void amdvi_invalidate_device(struct amdvi_unit *u, uint16_t id)
{
	command(u, INVALIDATE_DEVTAB | id, 0);
}

void amdvi_invalidate_irqs(struct amdvi_unit *u, uint16_t id)
{
	command(u, INVALIDATE_IRQ_TABLE | id, 0);
}

void amdvi_invalidate_domain(struct amdvi_unit *u, uint16_t domain)
{
	command(u, INVALIDATE_PAGES | PAGES_DOMAIN(domain), PAGES_ALL | PAGES_SIZE | PAGES_PDE);
}

/*
 * The smallest naturally aligned power of two that has the range. Of more than one page the size is
 * told by the lowest zero among the address bits from 12 on: bit n for 2^(n + 1) bytes (2.4.3).
 */
void amdvi_invalidate_range(struct amdvi_unit *u, uint16_t domain, const struct gfn_range *r)
{
	uint64_t first = r->start << PAGE_SHIFT, last = (r->end << PAGE_SHIFT) - 1;
	unsigned bit = 63 - (unsigned)__builtin_clzll((first ^ last) | 1);

	if (bit < PAGE_SHIFT)
		command(u, INVALIDATE_PAGES | PAGES_DOMAIN(domain), first | PAGES_PDE);
	else if (bit >= PAGES_SIZE_BITS_MAX)
		amdvi_invalidate_domain(u, domain);
	else
		command(u, INVALIDATE_PAGES | PAGES_DOMAIN(domain),
			((first | (BIT(bit) - 1)) & PAGE_MASK) | PAGES_SIZE | PAGES_PDE);
}
