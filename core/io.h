/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_IO_H
#define LAMINA_CORE_IO_H

#include "types.h"

struct vcpu;
struct guest;

/*
 * What sits at a port or at a guest-physical page that traps. A handler gets the offset from its
 * region's base and a size of 1, 2, 4 or 8 bytes; reads return the value in the low bytes. It runs
 * on the accessing vCPU's core with the guest's lock held (no handler blocks or takes another
 * guest's lock). Accesses that straddle the end of a region are unowned.
 */
struct io_ops {
	uint64_t (*read)(struct vcpu *v, void *dev, uint32_t offset, uint8_t size);
	void (*write)(struct vcpu *v, void *dev, uint32_t offset, uint8_t size, uint64_t value);
};

struct io_region {
	uint64_t base; /* port number or gpa, bytes */
	uint32_t size; /* bytes */
	const char *name;
	const struct io_ops *ops;
	void *dev;
};

#define IO_MAP_REGIONS 24
#define IO_UNOWNED     32
#define IO_DYNAMIC     IO_MAP_REGIONS /* handlers of `dynamic` are numbered from here on */

/* Ports or addresses that nobody owns: read as all ones, counted by address for the monitor. */
struct io_unowned {
	uint64_t address;
	uint64_t count;
	bool mmio;
};

struct io_map {
	uint32_t port_count, mmio_count;
	struct io_region ports[IO_MAP_REGIONS]; /* sorted by base, disjoint */
	const struct io_region *last_port;      /* of them, where the last access was; or NULL */
	struct io_region mmio[IO_MAP_REGIONS];
	/*
	 * What the guest itself puts somewhere (its BARs): in no order, size 0 where there is nothing
	 * now. They change only under the guest's lock; the arrays stay. Ports of the fixed regions
	 * have precedence; pages are found by the handler in their slot alone.
	 */
	uint32_t dynamic_port_count, dynamic_count;
	struct io_region *dynamic_ports, *dynamic;
	struct io_unowned unowned[IO_UNOWNED]; /* the first distinct ones */
	uint64_t unowned_other;                /* accesses to further addresses */
};

/* Add a region while the guest is being built. ERR_OVERLAP, ERR_NOMEM. */
enum status must_check io_add_ports(struct io_map *m, uint16_t base, uint16_t size,
				    const char *name, const struct io_ops *ops, void *dev);
enum status must_check io_add_mmio(struct io_map *m, gpa_t base, uint32_t size, const char *name,
				   const struct io_ops *ops, void *dev);

/* Take a region away again while the guest is being built. */
void io_remove_ports(struct io_map *m, uint16_t base);

/* Does any fixed region have one of these ports? */
bool io_ports_taken(const struct io_map *m, uint16_t base, uint32_t size);

static inline bool io_holds(const struct io_region *r, uint64_t address, uint64_t size)
{
	return address >= r->base && address - r->base < r->size &&
	       r->size - (address - r->base) >= size;
}

/* Find the owner of [address, address + size), or NULL. Ports: with the guest's lock held. */
const struct io_region *io_search_port(struct io_map *m, uint16_t port, uint8_t size);

static inline const struct io_region *io_find_port(struct io_map *m, uint16_t port, uint8_t size)
{
	const struct io_region *r = m->last_port;

	/* Drivers access one device several times in a row. */
	return likely(r && io_holds(r, port, size)) ? r : io_search_port(m, port, size);
}

const struct io_region *io_find_mmio(const struct io_map *m, gpa_t gpa, uint8_t size);

/*
 * The region that is the handler of a SLOT_EMULATED: its place in `mmio`, or IO_DYNAMIC and its place
 * in `dynamic`. NULL: none.
 */
static inline const struct io_region *io_handler(const struct io_map *m, unsigned handler)
{
	if (handler < m->mmio_count)
		return &m->mmio[handler];
	if (handler >= IO_DYNAMIC && handler - IO_DYNAMIC < m->dynamic_count)
		return &m->dynamic[handler - IO_DYNAMIC];
	return NULL;
}

void io_count_unowned(struct io_map *m, uint64_t address, bool mmio);

#endif
