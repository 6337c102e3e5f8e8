/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mm_decode.h"

#define FRAME 0xffffffffff000ull

/* What all formats ask of a frame: physical addresses that exist, large pages aligned. */
static void check_frame(const struct walk_rules *r, const struct decoded *d, unsigned level)
{
	assert_int_equal(d->hpa >> r->maxphyaddr, 0);
	if (!d->leaf)
		return;
	assert_in_range(level, 1, r->max_level);
	assert_int_equal(d->hpa & ((PAGE_SIZE << 9 * (level - 1)) - 1), 0);
}

/* SDM vol. 3, tables 29-1 to 29-6. An EPT misconfiguration (29.3.3.1) is MMIO or fails the test. */
static struct decoded decode_ept(const struct walk_rules *r, uint64_t e, unsigned level)
{
	struct decoded d = { .present = e & 7, .access = e & 7, .hpa = e & FRAME };

	if ((e & 7) == 6 && (e & ~(0x3ffull << 52)) == 0x52e)
		return (struct decoded){ .mmio = true, .handler = e >> 52 & 0x3ff };
	if (!d.present)
		return d;
	assert_true((e & 3) != 2);
	assert_true((e & 7) != 4 || r->exec_only);
	d.leaf = level == 1 || (level < 4 && e & 0x80);
	check_frame(r, &d, level);
	if (!d.leaf) {
		assert_int_equal(e & 0xf8, 0);
		return d;
	}
	switch (e >> 3 & 7) {
	case 0:
		d.type = MEM_UC;
		break;
	case 1:
		d.type = MEM_WC;
		break;
	case 6:
		d.type = MEM_WB;
		break;
	default:
		fail_msg("memory type of %#llx", (unsigned long long)e);
	}
	return d;
}

/* Present, writable, user, accessed, dirty, not NX, and each address bit that is reserved. */
static bool npt_mmio(const struct walk_rules *r, uint64_t e)
{
	uint64_t reserved = FRAME >> r->maxphyaddr << r->maxphyaddr;

	if (r->c_bit)
		reserved &= ~(1ull << r->c_bit);
	return (e & reserved) && (e & ~(0x3ffull << 52)) == (reserved | 0x67);
}

/*
 * APM vol. 2, 5.3.3, 5.4 and 15.25.5, with the PAT that mm_types.h prescribes. A reserved bit is
 * MMIO or fails the test.
 */
static struct decoded decode_npt(const struct walk_rules *r, uint64_t e, unsigned level)
{
	struct decoded d = { .present = e & 1, .hpa = e & FRAME };

	if (npt_mmio(r, e))
		return (struct decoded){ .mmio = true, .handler = e >> 52 & 0x3ff };
	if (!d.present)
		return d;
	assert_int_equal(e & 4, 4);
	d.access = ACCESS_R | (e & 2 ? ACCESS_W : 0) | (e >> 63 ? 0 : ACCESS_X);
	d.leaf = level == 1 || e & 0x80;
	assert_true(!d.leaf || level < 4);
	check_frame(r, &d, level);
	if (!d.leaf)
		return d;
	if (level == 1)
		assert_int_equal(e & 0x80, 0);
	switch (MM_HOST_PAT >> 8 * (e >> 3 & 3) & 7) {
	case 6:
		d.type = MEM_WB;
		break;
	case 1:
		d.type = MEM_WC;
		break;
	case 0:
		d.type = MEM_UC;
		break;
	default:
		fail_msg("memory type of %#llx", (unsigned long long)e);
	}
	return d;
}

/*
 * VT-d specification 9.8, legacy mode. Bits 6:2 and 9:8 mean something in other modes only, and bit
 * 7 of a 4 KiB leaf nothing at all; we want them clear. An address is wrong already if the unit
 * masks it: bits of a large page below its size are reserved.
 */
static struct decoded decode_vtd(const struct walk_rules *r, uint64_t e, unsigned level)
{
	struct decoded d = { .present = e & 3, .access = e & 3, .hpa = e & FRAME };

	if (!d.present)
		return d;
	assert_int_equal(e & (1ull << 62 | 0x37c), 0);
	d.leaf = level == 1 || (level < 4 && e & 0x80);
	check_frame(r, &d, level);
	if (level == 1 || level == 4)
		assert_int_equal(e & 0x80, 0);
	assert_int_equal(!!(e & 0x800), d.leaf && r->snoop);
	return d;
}

/*
 * AMD IOMMU specification, 2.2.3, tables for PTE and PDE. Next Level 7 (odd page sizes) and levels
 * that are skipped are legal, but never ours. An entry that is not present must not grant rights:
 * QEMU before 10 takes it for a mapping.
 */
static struct decoded decode_amdvi(const struct walk_rules *r, uint64_t e, unsigned level)
{
	struct decoded d = { .present = e & 1, .access = e >> 61 & 3, .hpa = e & FRAME };
	unsigned next = e >> 9 & 7;

	if (!d.present) {
		assert_int_equal(d.access, 0);
		return d;
	}
	d.leaf = next == 0;
	check_frame(r, &d, level);
	assert_int_equal(next, d.leaf ? 0 : level - 1);
	assert_int_equal(e >> 52 & 0xff, 0);
	/* Force coherent: of leaves only. */
	assert_int_equal(e >> 60 & 1, d.leaf);
	return d;
}

struct decoded decode_entry(const struct walk_rules *r, uint64_t e, unsigned level)
{
	switch (r->format) {
	case WALK_EPT:
		return decode_ept(r, e, level);
	case WALK_NPT:
		return decode_npt(r, e, level);
	case WALK_VTD:
		return decode_vtd(r, e, level);
	default:
		return decode_amdvi(r, e, level);
	}
}
