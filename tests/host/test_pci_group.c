// SPDX-License-Identifier: BSD-2-Clause
// sources: drivers/pci.c drivers/pci_tree.c drivers/pci_group.c drivers/pci_reset.c drivers/pci_quiesce.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/pci_tree.h"

/*
 * Which functions belong together, over trees that are made here, with nothing behind them but ACS
 * registers. An oracle follows what each function can send where; in the end it is compared with many
 * random machines.
 */
#define ACS     0x148u
#define ACS_ALL 0x1du /* source validation, redirection of requests and completions, forwarding */
#define CONV    0xff  /* no PCIe capability */
#define ROOT    PCI_NO_FUNCTION
#define SEEDS   3000u
#define MOST    60u

static struct pci_tree t;
static uint16_t capability[PCI_FUNCTIONS_MAX], control[PCI_FUNCTIONS_MAX];
static uint16_t sticks[PCI_FUNCTIONS_MAX]; /* the bits of `control` that can be written */

void delay_us(uint32_t us);

void delay_us(uint32_t us)
{
	(void)us;
}

static uint32_t index_of(struct pci_bdf d)
{
	const struct pci_function *f = pci_tree_find(&t, d);

	assert_non_null(f);
	return (uint32_t)(f - t.f);
}

static uint32_t read_acs(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width)
{
	(void)a;
	assert_true(width == 2 && (reg == ACS + 4 || reg == ACS + 6));
	assert_int_equal(t.f[index_of(d)].acs, ACS);
	return reg == ACS + 4 ? capability[index_of(d)] : control[index_of(d)];
}

static void write_acs(const struct pci_access *a, struct pci_bdf d, uint32_t reg, unsigned width,
		      uint32_t v)
{
	uint32_t i = index_of(d);

	(void)a;
	assert_true(width == 2 && reg == ACS + 6);
	control[i] = (uint16_t)((control[i] & ~sticks[i]) | (v & sticks[i]));
}

static const struct pci_access *access(uint16_t segment)
{
	static const struct pci_access a = { .read = read_acs,
					     .write = write_acs,
					     .last_bus = 255 };

	return segment ? NULL : &a;
}

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	memset(control, 0, sizeof(control));
	return 0;
}

/* ---- Trees ---- */

static uint8_t next_bus;

/* A function on the bus below `parent`; `acs`: has it, and it works. Returns its index. */
static uint32_t add(uint32_t parent, uint32_t device, uint32_t function, uint8_t type, bool acs)
{
	struct pci_function *f = &t.f[t.count];

	if (parent == ROOT && t.count == 0)
		next_bus = 0;
	f->bdf.bus = parent == ROOT ? 0 : t.f[parent].secondary;
	f->bdf.device = (uint8_t)device;
	f->bdf.function = (uint8_t)function;
	f->requester = f->bdf;
	f->parent = parent;
	f->owner = PCI_NO_OWNER;
	f->pcie = type == CONV ? 0 : 0x40;
	f->pcie_type = type == CONV ? 0 : type;
	f->acs = acs ? ACS : 0;
	capability[t.count] = sticks[t.count] = acs ? ACS_ALL : 0;
	return t.count++;
}

static uint32_t add_bridge(uint32_t parent, uint32_t device, uint32_t function, uint8_t type,
			   bool acs)
{
	uint32_t i = add(parent, device, function, type, acs);

	t.f[i].header = 1;
	t.f[i].secondary = t.f[i].subordinate = ++next_bus;
	t.f[i].reserved = "a bridge";
	t.f[i].chipset = true;
	return i;
}

/* The functions of a device say all that it has several. */
static void multifunction(uint32_t first)
{
	for (uint32_t i = first; i < t.count; i++) {
		if (t.f[i].bdf.bus == t.f[first].bdf.bus &&
		    t.f[i].bdf.device == t.f[first].bdf.device)
			t.f[i].multifunction = true;
	}
}

static bool together(uint32_t a, uint32_t b)
{
	return t.f[a].group == t.f[b].group;
}

/* Groups are numbered without gaps. */
static void group(uint32_t groups)
{
	uint32_t n = 0;

	pci_tree_group(&t, access);
	for (uint32_t i = 0; i < t.count; i++)
		n = t.f[i].group >= n ? t.f[i].group + 1 : n;
	assert_int_equal(n, groups);
}

/* ---- Single topologies ---- */

static void test_root_bus(void **state)
{
	uint32_t a, b, c;

	(void)state;
	a = add(ROOT, 1, 0, PCIE_ENDPOINT, false);
	b = add(ROOT, 2, 0, CONV, false);
	c = add(ROOT, 3, 0, PCIE_ENDPOINT, true);
	group(3);
	assert_true(!together(a, b) && !together(b, c));
	t.f[c].bdf.segment = 1;
	t.f[c].bdf.device = 1;
	group(3); /* the same numbers in another segment */
	assert_false(together(a, c));
}

static void test_several_functions(void **state)
{
	uint32_t a, b;

	for (uint32_t i = 0; i < 4; i++) {
		setup(state);
		a = add(ROOT, 1, 0, PCIE_ENDPOINT, i & 1);
		b = add(ROOT, 1, 1, PCIE_ENDPOINT, i & 2);
		add(ROOT, 2, 1, PCIE_ENDPOINT, false);
		multifunction(a);
		/* One that lets requests through reaches the other, whatever that has. */
		group(i == 3 ? 3 : 2);
		assert_int_equal(together(a, b), i != 3);
	}
	setup(state);
	a = add(ROOT, 1, 0, CONV, false);
	b = add(ROOT, 1, 5, CONV, false);
	multifunction(a);
	group(1);
}

/* Machines have host bridges without any function beside root ports, as functions of one device. */
static void test_dummy_beside_ports(void **state)
{
	uint32_t dummy, p1, p2, a, b;

	(void)state;
	dummy = add(ROOT, 1, 0, CONV, false);
	t.f[dummy].chipset = true;
	p1 = add_bridge(ROOT, 1, 1, PCIE_ROOT_PORT, true);
	p2 = add_bridge(ROOT, 1, 2, PCIE_ROOT_PORT, true);
	a = add(p1, 0, 0, PCIE_ENDPOINT, false);
	b = add(p2, 0, 0, PCIE_ENDPOINT, false);
	multifunction(dummy);
	group(5);
	assert_false(together(a, b));
	/* A device that a guest can have is another matter. */
	t.f[dummy].chipset = false;
	group(1);
}

static void test_ports(void **state)
{
	uint32_t p1, p2, a, b;

	(void)state;
	p1 = add_bridge(ROOT, 1, 0, PCIE_ROOT_PORT, true);
	p2 = add_bridge(ROOT, 2, 0, PCIE_ROOT_PORT, false);
	a = add(p1, 0, 0, PCIE_ENDPOINT, false);
	b = add(p2, 0, 0, PCIE_ENDPOINT, true);
	group(3);
	assert_true(!together(p1, a) && together(p2, b));
	t.f[p2].bdf.device = 1; /* functions of one device */
	t.f[p2].bdf.function = 1;
	multifunction(p1);
	group(1);
	assert_true(together(a, b));
}

static void test_switches(void **state)
{
	/* Which of the ports isolate: the root's, the first and the second of the switch. */
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t rp, up, d1, d2, a, b, other;

		setup(state);
		rp = add_bridge(ROOT, 1, 0, PCIE_ROOT_PORT, i & 1);
		up = add_bridge(rp, 0, 0, PCIE_UPSTREAM_PORT, false);
		d1 = add_bridge(up, 0, 0, PCIE_DOWNSTREAM_PORT, i & 2);
		d2 = add_bridge(up, 1, 0, PCIE_DOWNSTREAM_PORT, i & 4);
		a = add(d1, 0, 0, PCIE_ENDPOINT, false);
		b = add(d2, 0, 0, PCIE_ENDPOINT, false);
		other = add(ROOT, 2, 0, PCIE_ENDPOINT, false);
		pci_tree_group(&t, access);
		/* What one port lets through reaches what is behind the other. */
		assert_int_equal(together(a, b), i != 7);
		assert_int_equal(together(a, rp), !(i & 1));
		assert_int_equal(together(a, up), i != 7);
		assert_false(together(a, other));
	}
}

/* A switch in a switch: only the inner one is open. */
static void test_nested_switches(void **state)
{
	uint32_t rp, up, d1, d2, inner, i1, i2, a, b, c;

	(void)state;
	rp = add_bridge(ROOT, 1, 0, PCIE_ROOT_PORT, true);
	up = add_bridge(rp, 0, 0, PCIE_UPSTREAM_PORT, false);
	d1 = add_bridge(up, 0, 0, PCIE_DOWNSTREAM_PORT, true);
	d2 = add_bridge(up, 1, 0, PCIE_DOWNSTREAM_PORT, true);
	inner = add_bridge(d1, 0, 0, PCIE_UPSTREAM_PORT, false);
	i1 = add_bridge(inner, 0, 0, PCIE_DOWNSTREAM_PORT, true);
	i2 = add_bridge(inner, 1, 0, PCIE_DOWNSTREAM_PORT, false);
	a = add(i1, 0, 0, PCIE_ENDPOINT, false);
	b = add(i2, 0, 0, PCIE_ENDPOINT, false);
	c = add(d2, 0, 0, PCIE_ENDPOINT, false);
	pci_tree_group(&t, access);
	assert_true(together(a, b) && together(a, inner));
	assert_true(!together(a, c) && !together(a, d1) && !together(a, rp));
}

static void test_bridges_to_pci(void **state)
{
	uint32_t rp, br, inner, a, b, old, c;

	(void)state;
	rp = add_bridge(ROOT, 1, 0, PCIE_ROOT_PORT, true);
	br = add_bridge(rp, 0, 0, PCIE_TO_PCI, false);
	a = add(br, 4, 0, CONV, false);
	inner = add_bridge(br, 5, 0, CONV, false);
	b = add(inner, 0, 0, CONV, false);
	old = add_bridge(ROOT, 2, 0, CONV, false);
	c = add(old, 3, 0, CONV, false);
	group(3);
	assert_true(together(a, b) && together(a, br) && !together(a, rp) && together(c, old));
	assert_true(pci_same(t.f[a].requester, (struct pci_bdf){ .bus = t.f[br].secondary }));
	assert_true(pci_same(t.f[b].requester, t.f[a].requester));
	assert_true(pci_same(t.f[br].requester, t.f[br].bdf));
	assert_true(pci_same(t.f[c].requester, t.f[old].bdf));
}

/* ACS that cannot be turned on is none; what is not in the capability needs no control. */
static void test_acs_registers(void **state)
{
	uint32_t rp, a;

	(void)state;
	rp = add_bridge(ROOT, 1, 0, PCIE_ROOT_PORT, true);
	a = add(rp, 0, 0, PCIE_ENDPOINT, false);
	for (uint32_t bit = 0; bit < 7; bit++) {
		bool needed = ACS_ALL & 1u << bit;

		capability[rp] = 0x7f;
		sticks[rp] = (uint16_t) ~(1u << bit);
		control[rp] = 0;
		group(needed ? 1 : 2);
		capability[rp] = (uint16_t)(0x7f & ~(1u << bit));
		group(2);
		assert_false(together(a, rp));
	}
	/* What the firmware had turned on stays on, but for direct translated requests. */
	capability[rp] = sticks[rp] = 0x7f;
	control[rp] = 0x62;
	group(2);
	assert_int_equal(control[rp], 0x3f);
}

/* ---- Random machines ---- */

static uint64_t random_state;

static uint32_t dice(uint32_t sides)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % sides;
}

/* Endpoints of one device; `type` CONV or PCIE_ENDPOINT. */
static void random_device(uint32_t parent, uint32_t device, uint8_t type)
{
	uint32_t functions = 1 + (dice(3) ? 0 : dice(3)), first = t.count;

	for (uint32_t i = 0; i < functions; i++) {
		uint32_t f = add(parent, device, i, type, type != CONV && dice(2));

		t.f[f].chipset = dice(6) == 0;
	}
	if (functions > 1)
		multifunction(first);
}

/* A conventional bus, or the virtual one of a switch's ports, is filled when its bridge comes up. */
static void random_bus(uint32_t bridge)
{
	uint8_t type = t.f[bridge].pcie ? t.f[bridge].pcie_type : CONV;
	uint32_t i, first = t.count, count = 1 + dice(3);
	bool one_device = dice(4) == 0 && count > 1;

	switch (type) {
	case PCIE_UPSTREAM_PORT:
		for (i = 0; i < count; i++)
			add_bridge(bridge, one_device ? 0 : i, one_device ? i : 0,
				   PCIE_DOWNSTREAM_PORT, dice(3));
		if (one_device)
			multifunction(first);
		break;
	case CONV:
	case PCIE_TO_PCI:
		for (i = 0; i < count; i++) {
			if (dice(4))
				random_device(bridge, i, CONV);
			else
				add_bridge(bridge, i, 0, dice(2) ? CONV : PCI_TO_PCIE, false);
		}
		break;
	default:
		if (dice(3) == 0)
			add_bridge(bridge, 0, 0, PCIE_UPSTREAM_PORT, dice(2));
		else if (dice(4) == 0)
			add_bridge(bridge, 0, 0, PCIE_TO_PCI, dice(2));
		else
			random_device(bridge, 0, PCIE_ENDPOINT);
		/* A device beside the switch or the bridge. */
		if (t.f[first].header && dice(3) == 0) {
			add(bridge, 0, 1, PCIE_ENDPOINT, dice(2));
			multifunction(first);
		}
	}
}

static void random_machine(uint64_t seed)
{
	uint32_t device;

	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
	setup(NULL);
	for (device = 0; device < 6; device++) {
		uint32_t first = t.count, ports = 1 + dice(3);

		if (dice(3) == 0) {
			random_device(ROOT, device, dice(2) ? CONV : PCIE_ENDPOINT);
		} else if (dice(5) == 0) {
			add_bridge(ROOT, device, 0, CONV, false);
		} else {
			for (uint32_t i = 0; i < ports; i++)
				add_bridge(ROOT, device, i, PCIE_ROOT_PORT, dice(3));
			if (ports > 1)
				multifunction(first);
		}
	}
	for (uint32_t i = 0; i < t.count && t.count < MOST; i++) {
		if (t.f[i].header)
			random_bus(i);
	}
	for (uint32_t i = 0; i < t.count; i++) {
		if (t.f[i].acs && dice(8) == 0)
			sticks[i] = 0x0c;
	}
}

/* What the function itself keeps from turning around in it. */
static bool keeps(uint32_t i)
{
	const struct pci_function *f = &t.f[i];
	bool acs = f->acs && (sticks[i] & ACS_ALL) == ACS_ALL;

	if (!f->pcie || f->pcie_type == PCIE_TO_PCI || f->pcie_type == PCI_TO_PCIE)
		return false;
	if (f->pcie_type == PCIE_ROOT_PORT || f->pcie_type == PCIE_DOWNSTREAM_PORT)
		return acs;
	return acs || !f->multifunction;
}

static bool below(uint32_t i, uint32_t top)
{
	while (i != top && i != ROOT)
		i = t.f[i].parent;
	return i == top;
}

static uint32_t oracle[PCI_FUNCTIONS_MAX];

static void unite(uint32_t a, uint32_t b)
{
	uint32_t from = oracle[a], to = oracle[b];

	for (uint32_t i = 0; i < t.count; i++) {
		if (oracle[i] == from)
			oracle[i] = to;
	}
}

/* `a` reaches what is behind function `top`, and that function. */
static void reaches(uint32_t a, uint32_t top)
{
	for (uint32_t i = 0; i < t.count; i++) {
		if (below(i, top))
			unite(a, i);
	}
}

/* Requests of `a` pass through `at`, on their way up: where can they turn around? */
static void passes(uint32_t a, uint32_t at)
{
	const struct pci_function *f = &t.f[at];

	if (keeps(at))
		return;
	if (at != a)
		reaches(a, at);
	if (f->pcie && f->pcie_type == PCIE_DOWNSTREAM_PORT)
		reaches(a, f->parent);
	for (uint32_t i = 0; f->multifunction && i < t.count; i++) {
		if (t.f[i].bdf.bus == f->bdf.bus && t.f[i].bdf.device == f->bdf.device)
			reaches(a, i);
	}
}

static void ask_oracle(void)
{
	for (uint32_t i = 0; i < t.count; i++)
		oracle[i] = i;
	for (uint32_t a = 0; a < t.count; a++) {
		/* What no guest can have sends nothing, but for bridges. */
		if (t.f[a].chipset && !t.f[a].header)
			continue;
		for (uint32_t at = a; at != ROOT; at = t.f[at].parent)
			passes(a, at);
		for (uint32_t b = 0; b < t.count; b++) {
			if (pci_same(t.f[a].requester, t.f[b].requester))
				unite(a, b);
		}
	}
}

static void print_machine(void)
{
	for (uint32_t i = 0; i < t.count; i++) {
		const struct pci_function *f = &t.f[i];

		print_message("%2u %02x:%02x.%u below %2d type %2d%s%s%s group %u oracle %u\n", i,
			      f->bdf.bus, f->bdf.device, f->bdf.function, (int)f->parent,
			      f->pcie ? f->pcie_type : -1, f->multifunction ? " multi" : "",
			      keeps(i) ? " keeps" : "", f->chipset ? " chipset" : "", f->group,
			      oracle[i]);
	}
}

/* Neither does a group lack what one of it can reach, nor has it what none of it can. */
static void test_random_machines(void **state)
{
	uint32_t shared = 0, apart = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= SEEDS; seed++) {
		random_machine(seed);
		pci_tree_group(&t, access);
		ask_oracle();
		for (uint32_t a = 0; a < t.count; a++) {
			for (uint32_t b = 0; b < a; b++) {
				if (t.f[a].chipset || t.f[b].chipset)
					continue;
				*(together(a, b) ? &shared : &apart) += 1;
				if (together(a, b) == (oracle[a] == oracle[b]))
					continue;
				print_machine();
				fail_msg("seed %u: %u and %u", seed, a, b);
			}
		}
	}
	assert_true(shared > SEEDS && apart > SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_root_bus, setup),
		cmocka_unit_test_setup(test_several_functions, setup),
		cmocka_unit_test_setup(test_dummy_beside_ports, setup),
		cmocka_unit_test_setup(test_ports, setup),
		cmocka_unit_test_setup(test_switches, setup),
		cmocka_unit_test_setup(test_nested_switches, setup),
		cmocka_unit_test_setup(test_bridges_to_pci, setup),
		cmocka_unit_test_setup(test_acs_registers, setup),
		cmocka_unit_test_setup(test_random_machines, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
