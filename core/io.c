/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/io.h"

static enum status insert(struct io_region *list, uint32_t *count, const struct io_region *r)
{
	uint32_t i, at = 0;

	if (r->size == 0 || r->base + r->size < r->base)
		return ERR_RANGE;
	while (at < *count && list[at].base < r->base)
		at++;
	if (at > 0 && list[at - 1].base + list[at - 1].size > r->base)
		return ERR_OVERLAP;
	if (at < *count && r->base + r->size > list[at].base)
		return ERR_OVERLAP;
	if (*count == IO_MAP_REGIONS)
		return ERR_NOMEM;
	for (i = *count; i > at; i--)
		list[i] = list[i - 1];
	list[at] = *r;
	(*count)++;
	return OK;
}

/* The region that holds all of [address, address + size), by binary search. */
static const struct io_region *find(const struct io_region *list, uint32_t count, uint64_t address,
				    uint8_t size)
{
	uint32_t lo = 0, hi = count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct io_region *r = &list[mid];

		if (address < r->base)
			hi = mid;
		else if (address - r->base >= r->size)
			lo = mid + 1;
		else
			return r->size - (address - r->base) >= size ? r : NULL;
	}
	return NULL;
}

enum status io_add_ports(struct io_map *m, uint16_t base, uint16_t size, const char *name,
			 const struct io_ops *ops, void *dev)
{
	struct io_region r = { base, size, name, ops, dev };

	if ((uint32_t)base + size > 0x10000)
		return ERR_RANGE;
	return insert(m->ports, &m->port_count, &r);
}

enum status io_add_mmio(struct io_map *m, gpa_t base, uint32_t size, const char *name,
			const struct io_ops *ops, void *dev)
{
	struct io_region r = { base.v, size, name, ops, dev };

	return insert(m->mmio, &m->mmio_count, &r);
}

void io_remove_ports(struct io_map *m, uint16_t base)
{
	m->last_port = NULL;
	for (uint32_t i = 0; i < m->port_count; i++) {
		if (m->ports[i].base != base)
			continue;
		m->port_count--;
		for (; i < m->port_count; i++)
			m->ports[i] = m->ports[i + 1];
	}
}

bool io_ports_taken(const struct io_map *m, uint16_t base, uint32_t size)
{
	for (uint32_t i = 0; i < m->port_count; i++) {
		if (base < m->ports[i].base + m->ports[i].size && m->ports[i].base < base + size)
			return true;
	}
	return false;
}

const struct io_region *io_search_port(struct io_map *m, uint16_t port, uint8_t size)
{
	const struct io_region *r = find(m->ports, m->port_count, port, size);

	if (r)
		m->last_port = r;
	for (uint32_t i = 0; !r && i < m->dynamic_port_count; i++) {
		if (io_holds(&m->dynamic_ports[i], port, size))
			r = &m->dynamic_ports[i];
	}
	return r;
}

const struct io_region *io_find_mmio(const struct io_map *m, gpa_t gpa, uint8_t size)
{
	return find(m->mmio, m->mmio_count, gpa.v, size);
}

void io_count_unowned(struct io_map *m, uint64_t address, bool mmio)
{
	uint32_t i;

	for (i = 0; i < IO_UNOWNED; i++) {
		struct io_unowned *u = &m->unowned[i];

		if (u->count == 0) {
			u->address = address;
			u->mmio = mmio;
		}
		if (u->address == address && u->mmio == mmio) {
			u->count++;
			return;
		}
	}
	m->unowned_other++;
}
