// SPDX-License-Identifier: BSD-2-Clause
/* The virtual PCI bus: what a guest can see of its devices, and what it can do to them. */
// sources: core/vpci.c core/vpci_config.c core/vpci_caps.c core/vpci_bar.c core/vpci_map.c
// sources: core/io.c drivers/pci.c tests/host/vpci_fixture.c
// sources: tests/host/mm_host.c tests/host/mm_decode.c mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c
// sources: mm/tdp_fault.c mm/tdp_zap.c mm/tdp_commit.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_walk.c
// sources: mm/tdp_log.c
#include "core/init.h"
#include "vpci_fixture.h"

#define MEM64 (1ull << 39) /* where the upper window begins */

static int setup(void **state)
{
	(void)state;
	fixture_start();
	return 0;
}

static int setup_bare(void **state)
{
	(void)state;
	fixture_prepare();
	return 0;
}

static void decode(unsigned slot, uint16_t command)
{
	ecam_set(slot, 4, 2, command);
}

/* ------------------------------------------------------------------ finding things */

static void slots_are_where_they_were_wanted(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(DISK_SLOT, 0, 4), 0x00101b36);
	assert_int_equal(ecam_get(VIRTIO_SLOT, 0, 4), 0x10421af4);
	assert_int_equal(ecam_get(DISPLAY_SLOT, 0, 4), 0x123410de);
	for (unsigned slot = 0; slot < 32; slot++) {
		uint64_t id = ecam_get(slot, 0, 4);

		assert_int_equal(id, port_get(slot, 0, 4));
		assert_true(slot <= 3 || id == 0xffffffff);
		/* No other function, nor anything else on the next bus. */
		assert_int_equal(ecam_get(slot, 0x1000, 4), 0xffffffff);
	}
	assert_true(io_set(0xcf8, 4, 0x80010000));
	uint32_t v;
	assert_true(io_get(0xcfc, 4, &v));
	assert_int_equal(v, 0xffffffff);
}

static void a_host_bridge_is_first(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(0, 0, 4), 0x00081b36);
	assert_int_equal(ecam_get(0, 8, 4), 0x06000000);
	assert_int_equal(ecam_get(0, 0xa, 2), 0x0600);
	assert_int_equal(ecam_get(0, 0xb, 1), 0x06);
	ecam_set(0, 4, 4, ~0u);
	ecam_set(0, 0x10, 4, ~0u);
	for (uint32_t reg = 0xc; reg < 0x1000; reg += 4)
		assert_int_equal(ecam_get(0, reg, 4), 0);
	assert_int_equal(ecam_get(0, 4, 4), 0);
}

static void all_widths_read_the_same(void **state)
{
	(void)state;
	for (unsigned slot = 0; slot < 5; slot++) {
		for (uint32_t reg = 0; reg < 4096; reg += 8) {
			uint64_t v = ecam_get(slot, reg, 8);

			for (unsigned i = 0; i < 8; i++) {
				assert_int_equal(ecam_get(slot, reg + i, 1), v >> 8 * i & 0xff);
				if (reg < 256)
					assert_int_equal(port_get(slot, reg + i, 1),
							 v >> 8 * i & 0xff);
			}
			for (unsigned i = 0; i < 7; i++)
				assert_int_equal(ecam_get(slot, reg + i, 2), v >> 8 * i & 0xffff);
			for (unsigned i = 0; i < 5; i++)
				assert_int_equal(ecam_get(slot, reg + i, 4),
						 v >> 8 * i & 0xffffffff);
		}
	}
}

static void the_address_port_takes_dwords_only(void **state)
{
	uint32_t v;

	(void)state;
	assert_true(io_set(0xcf8, 4, 0x80001800));
	assert_true(io_set(0xcf8, 2, 0));
	assert_true(io_set(0xcfb, 1, 1));
	assert_true(io_get(0xcf8, 4, &v));
	assert_int_equal(v, 0x80001800);
	assert_true(io_get(0xcf8, 1, &v));
	assert_int_equal(v, 0xff);
	/* The reset register is one of its bytes. */
	assert_true(io_set(0xcf9, 1, 6));
	assert_int_equal(guest_resets, 1);
	assert_true(io_set(0xcf8, 2, 0x0600));
	assert_int_equal(guest_resets, 1);
	assert_true(io_set(0xcf8, 4, 0x1800));
	assert_true(io_get(0xcfc, 4, &v));
	assert_int_equal(v, 0xffffffff);
}

static void wishes_that_cannot_be_met_are_refused(void **state)
{
	const uint8_t twice[FAKES] = { 5, 0, 5 }, none[FAKES] = { 32, 0, 0 };

	(void)state;
	assert_int_equal(fixture_create(twice), ERR_OVERLAP);
	assert_int_equal(fixture_create(none), ERR_RANGE);
	assert_null(guest.vpci);
}

static void broken_bars_are_refused(void **state)
{
	const uint8_t any[FAKES] = { 0 };

	(void)state;
	fake[DISK].f.bars[0].base = 0;
	fixture_tree();
	assert_int_equal(fixture_create(any), ERR_UNSUPPORTED);
	assert_int_equal(logged, 1);
	/* Over the local APICs. */
	fake[DISK].f.bars[0].base = 0xfeefc000;
	fixture_tree();
	assert_int_equal(fixture_create(any), ERR_UNSUPPORTED);
	/* Over another device's. */
	fake[DISK].f.bars[0].base = fake[DISPLAY].f.bars[2].base + 0x8000;
	fixture_tree();
	assert_int_equal(fixture_create(any), ERR_UNSUPPORTED);
}

/* Configuration space of all devices, and the registers of the IOMMUs. */
static void bars_over_the_machine_are_refused(void **state)
{
	const uint8_t any[FAKES] = { 0 };
	uint64_t base = fake[DISPLAY].f.bars[2].base;

	(void)state;
	fixture_platform.mcfg.count = 1;
	fixture_platform.mcfg.windows[0] =
		(struct acpi_mcfg_window){ .base = HPA(base - 0x1000000), .last_bus = 0x10 };
	assert_int_equal(fixture_create(any), ERR_UNSUPPORTED);
	fixture_platform.mcfg.windows[0].last_bus = 0xf;
	iommu_info.units = 2;
	iommu_info.registers[1] = HPA(base + 0xfff000);
	assert_int_equal(fixture_create(any), ERR_UNSUPPORTED);
	iommu_info.registers[1] = HPA(base - 0x80000);
	assert_int_equal(fixture_create(any), OK);
}

static void bars_over_memory_are_refused(void **state)
{
	const uint8_t any[FAKES] = { 0 };
	struct boot_info *bi = (struct boot_info *)(uintptr_t)boot_info;

	(void)state;
	bi->region_count = 2;
	bi->regions[0] = (struct boot_region){ .base = HPA(0xd0000000),
					       .size = 0x1000000,
					       .type = REGION_RESERVED };
	bi->regions[1] = (struct boot_region){ .base = HPA(0xa0fffff000),
					       .size = 0x1000,
					       .type = REGION_GUEST };
	fake[DISPLAY].f.bars[2].base = 0xa0f0000000;
	fixture_tree();
	assert_int_equal(fixture_create(any), ERR_UNSUPPORTED);
	bi->regions[1].base.v += 0x1000;
	assert_int_equal(fixture_create(any), OK);
}

static void what_is_not_needed_is_not_shown(void **state)
{
	const uint8_t any[FAKES] = { 0 };

	(void)state;
	fake[DISK].f.bars[2].base = 0x3e0;
	fake[DISK].f.bars[PCI_ROM].base = 0;
	fixture_tree();
	assert_int_equal(fixture_create(any), OK);
	vpci_reset(&guest);
	assert_int_equal(ecam_get(1, 0x18, 4), 0);
	ecam_set(1, 0x18, 4, ~0u);
	ecam_set(1, 0x30, 4, ~0u);
	assert_int_equal(ecam_get(1, 0x18, 4), 0);
	assert_int_equal(ecam_get(1, 0x30, 4), 0);
	/* Nor is it decoded, wherever that would be. */
	decode(1, 3);
	assert_int_equal(ecam_get(1, 4, 2), 3);
	assert_int_equal(real(DISK, 4, 2) & 3, 2);
	assert_int_equal(real(DISK, 0x30, 4) & 1, 0);
}

/* ------------------------------------------------------------------ the header */

static void the_header_is_the_devices(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(DISK_SLOT, 8, 4), 0x01080207);
	assert_int_equal(ecam_get(DISK_SLOT, 0xc, 4), 0x4010); /* one function, no self test */
	assert_int_equal(ecam_get(DISK_SLOT, 0x28, 4), 0);
	assert_int_equal(ecam_get(DISK_SLOT, 0x2c, 4), 0x12345678);
	assert_int_equal(ecam_get(DISK_SLOT, 0x34, 4), CAP_PM);
	assert_int_equal(ecam_get(DISK_SLOT, 0x38, 4), 0);
	assert_int_equal(ecam_get(DISK_SLOT, 0x3c, 4), 0xff);
	assert_int_equal(ecam_get(DISPLAY_SLOT, 0x3c, 4), 0x2ff);
	ecam_set(DISPLAY_SLOT, 0x3c, 4, 0x12345678);
	assert_int_equal(ecam_get(DISPLAY_SLOT, 0x3c, 4), 0x278);
	ecam_set(DISK_SLOT, 0xc, 4, 0xffffff20);
	assert_int_equal(real(DISK, 0xc, 4), 0x80004020);
}

static void the_command_register_is_half_the_guests(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(DISK_SLOT, 4, 2), 0);
	assert_int_equal(real(DISK, 4, 2),
			 0x40); /* as the firmware left it, less what is dangerous */
	decode(DISK_SLOT, 0xffff);
	assert_int_equal(ecam_get(DISK_SLOT, 4, 2), 0x547);
	assert_int_equal(real(DISK, 4, 2), 0x47);
	assert_int_equal(fake[DISK].intx_commands, 1);
	ecam_set(DISK_SLOT, 4, 1, 0);
	assert_int_equal(ecam_get(DISK_SLOT, 4, 2), 0x500);
	assert_int_equal(real(DISK, 4, 2), 0x40);
	ecam_set(DISK_SLOT, 5, 1, 0);
	assert_int_equal(ecam_get(DISK_SLOT, 4, 2), 0);
	assert_int_equal(fake[DISK].status_clears, 0);
	assert_int_equal(fake[DISK].intx_commands, 3);
}

static void status_bits_are_cleared_one_by_one(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(DISK_SLOT, 6, 2), 0xf910);
	ecam_set(DISK_SLOT, 6, 2, 0x0100);
	assert_int_equal(real(DISK, 6, 2), 0xf810);
	ecam_set(DISK_SLOT, 4, 4, 0xffff0000);
	assert_int_equal(real(DISK, 6, 2), 0x0010);
	assert_int_equal(fake[DISK].status_clears, 2);
}

static void nothing_is_a_master_that_may_not(void **state)
{
	(void)state;
	vpci_stop(&guest);
	vpci_reset(&guest);
	decode(DISK_SLOT, 7);
	assert_int_equal(ecam_get(DISK_SLOT, 4, 2), 7);
	assert_int_equal(real(DISK, 4, 2) & 7, 3);
	decode(DISK_SLOT, 0);
	uncovered = DISK;
	vpci_allow_dma(&guest);
	decode(DISK_SLOT, 7);
	decode(DISPLAY_SLOT, 7);
	assert_int_equal(real(DISK, 4, 2) & 7, 3);
	assert_int_equal(real(DISPLAY, 4, 2) & 7, 7);
}

/* ------------------------------------------------------------------ BARs */

static uint64_t bar_size(unsigned slot, uint32_t reg, bool wide)
{
	uint32_t low = port_get(slot, reg, 4), high = port_get(slot, reg + 4, 4);
	uint64_t mask;

	port_set(slot, reg, 4, ~0u);
	mask = port_get(slot, reg, 4) & ~(low & 1 ? 3u : 15u);
	port_set(slot, reg, 4, low);
	if (wide) {
		port_set(slot, reg + 4, 4, ~0u);
		mask |= (uint64_t)port_get(slot, reg + 4, 4) << 32;
		port_set(slot, reg + 4, 4, high);
	} else {
		mask |= low & 1 ? ~0xffffull : ~0xffffffffull;
	}
	assert_int_equal(port_get(slot, reg, 4), low);
	return -mask;
}

static void bars_tell_their_sizes(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(bar_size(DISK_SLOT, 0x10, true), 0x8000);
		assert_int_equal(bar_size(DISK_SLOT, 0x18, false), 0x20);
		assert_int_equal(bar_size(VIRTIO_SLOT, 0x14, false), 0x1000);
		assert_int_equal(bar_size(VIRTIO_SLOT, 0x20, true), 0x4000);
		assert_int_equal(bar_size(DISPLAY_SLOT, 0x10, false), 0x100);
		assert_int_equal(bar_size(DISPLAY_SLOT, 0x14, false), 0x800);
		assert_int_equal(bar_size(DISPLAY_SLOT, 0x18, true), 256 << 20);
		/* And also while they are decoded. */
		for (unsigned slot = 1; slot < 4; slot++)
			decode(slot, 3);
	}
	check_layout();
	ecam_set(DISK_SLOT, 0x30, 4, 0xfffff800);
	assert_int_equal(ecam_get(DISK_SLOT, 0x30, 4), 0xffff0000);
	for (uint32_t reg = 0x1c; reg < 0x28; reg += 4) {
		ecam_set(DISK_SLOT, reg, 4, ~0u);
		assert_int_equal(ecam_get(DISK_SLOT, reg, 4), 0);
	}
}

static void bars_begin_in_their_windows(void **state)
{
	(void)state;
	assert_int_equal(bus->mem64, MEM64);
	assert_int_equal(bus->mem64_size, 1ull << 30);
	assert_int_equal(ecam_get(DISPLAY_SLOT, 0x18, 8), MEM64 | 0xc);
	assert_int_equal(ecam_get(VIRTIO_SLOT, 0x20, 8), (MEM64 + (256 << 20)) | 0xc);
	/* The ROM is the largest of the others. */
	assert_int_equal(ecam_get(DISK_SLOT, 0x30, 4), VPCI_MEM32_GPA);
	assert_int_equal(ecam_get(DISK_SLOT, 0x10, 8), (VPCI_MEM32_GPA + 0x10000) | 4);
	assert_int_equal(ecam_get(DISK_SLOT, 0x18, 4), VPCI_IO | 1);
	assert_int_equal(ecam_get(VIRTIO_SLOT, 0x14, 4), VPCI_MEM32_GPA + 0x18000);
	assert_int_equal(ecam_get(DISPLAY_SLOT, 0x14, 4), VPCI_MEM32_GPA + 0x19000);
	assert_int_equal(ecam_get(DISPLAY_SLOT, 0x10, 4), VPCI_MEM32_GPA + 0x1a000);
}

static void a_bar_appears_where_it_is_put(void **state)
{
	static const uint64_t places[] = { 0xd8000000, 0x1200008000, 0xd8008000, 0 };
	uint64_t at = ecam_get(DISK_SLOT, 0x10, 8) & ~15ull, v;
	const struct slot *s;

	(void)state;
	assert_null(slot_at(at));
	decode(DISK_SLOT, 2);
	for (unsigned round = 0; places[round]; round++) {
		check_layout();
		s = slot_at(at);
		assert_string_equal(s->name, "pci-03.0-b0");
		assert_int_equal(s->npages, 3);
		assert_int_equal(s->pfn.v, 0xd0000);
		s = slot_at(at + 0x4000);
		assert_int_equal(s->npages, 4);
		assert_int_equal(s->pfn.v, 0xd0004);
		/* The table's page is Lamina's. */
		assert_string_equal(slot_at(at + 0x3000)->name, "pci-03.0-b0-msix");
		assert_true(trap_get(at + 0x3018, 4, &v));
		assert_int_equal(v, 0x7ab1e);
		assert_int_equal(fake[DISK].table_offset, 0x3018);
		assert_true(trap_set(at + 0x3ffc, 4, 9));
		assert_int_equal(fake[DISK].table_offset, 0x3ffc);

		ecam_set(DISK_SLOT, 0x10, 8, places[round]);
		assert_null(slot_at(at));
		at = places[round];
	}
	decode(DISK_SLOT, 0);
	assert_null(slot_at(at));
	check_layout();
}

static void nothing_is_moved_over_anything(void **state)
{
	const uint64_t places[] = {
		0,          RAM_SIZE - 0x4000, 0xfec00000,     0xfee00000,
		0xfedf8000, VPCI_ECAM_GPA,     1ull << 40,     (1ull << 40) - 0x4000,
		1ull << 50, ~0ull << 15,       MEM64 + 0x8000, MEM64 - 0x4000
	};
	uint64_t home = ecam_get(DISK_SLOT, 0x10, 8);

	(void)state;
	decode(DISK_SLOT, 2);
	decode(DISPLAY_SLOT, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		uint64_t at = places[i] & ~0x7fffull;

		ecam_set(DISK_SLOT, 0x10, 8, at);
		assert_int_equal(ecam_get(DISK_SLOT, 0x10, 8), at | 4);
		check_layout();
		/* Room for it: just below. */
		assert_int_equal(bus->devices[DISK].bars[0].mapped,
				 at == MEM64 - 0x8000 || at == (1ull << 40) - 0x8000 ||
					 at == 0xfedf8000);
		ecam_set(DISK_SLOT, 0x10, 8, home);
		assert_true(bus->devices[DISK].bars[0].mapped);
	}
	assert_int_equal(logged, 1);
}

static void a_bar_appears_when_the_way_is_free(void **state)
{
	const struct vpci_bar *first = &bus->devices[DISK].bars[0];
	const struct vpci_bar *second = &bus->devices[VIRTIO].bars[4];

	(void)state;
	ecam_set(DISK_SLOT, 0x10, 8, 0x1000000000);
	ecam_set(VIRTIO_SLOT, 0x20, 8, 0x1000004000);
	decode(DISK_SLOT, 2);
	decode(VIRTIO_SLOT, 2);
	assert_true(first->mapped && !second->mapped);
	check_layout();
	ecam_set(DISK_SLOT, 0x10, 8, 0x1000008000);
	assert_true(first->mapped && second->mapped);
	check_layout();
	/* Two that change places, one of them only after the other has gone. */
	ecam_set(DISK_SLOT, 0x10, 8, 0x1000000000);
	assert_true(!first->mapped && second->mapped);
	decode(VIRTIO_SLOT, 0);
	assert_true(first->mapped && !second->mapped);
	check_layout();
}

static void the_rom_is_read_only_and_off(void **state)
{
	const struct slot *s;

	(void)state;
	decode(DISK_SLOT, 2);
	assert_null(slot_at(VPCI_MEM32_GPA));
	assert_int_equal(real(DISK, 0x30, 4), 0xd0100000);
	ecam_set(DISK_SLOT, 0x30, 4, 0xd8000001);
	assert_int_equal(ecam_get(DISK_SLOT, 0x30, 4), 0xd8000001);
	s = slot_at(0xd8000000);
	assert_non_null(s);
	assert_int_equal(s->access, ACCESS_R);
	assert_int_equal(s->npages, 16);
	assert_int_equal(real(DISK, 0x30, 4), 0xd0100001);
	decode(DISK_SLOT, 0);
	assert_int_equal(real(DISK, 0x30, 4), 0xd0100000);
	assert_null(slot_at(0xd8000000));
}

static void small_bars_share_a_page(void **state)
{
	uint64_t v;

	(void)state;
	decode(DISPLAY_SLOT, 2);
	small[0][0x10] = 0xaa;
	small[1][0x7ff] = 0xbb;
	assert_true(trap_get(VPCI_MEM32_GPA + 0x1a010, 1, &v));
	assert_int_equal(v, 0xaa);
	assert_true(trap_get(VPCI_MEM32_GPA + 0x197ff, 1, &v));
	assert_int_equal(v, 0xbb);
	/* Behind them there is nothing, whatever else is in the real page. */
	assert_true(trap_get(VPCI_MEM32_GPA + 0x197ff, 2, &v));
	assert_int_equal(v, 0xffff);
	assert_true(trap_get(VPCI_MEM32_GPA + 0x1a100, 4, &v));
	assert_int_equal(v, 0xffffffff);
	/* Into one page, and one of them on. */
	ecam_set(DISPLAY_SLOT, 0x10, 4, 0xd8000900);
	ecam_set(DISPLAY_SLOT, 0x14, 4, 0xd8000000);
	check_layout();
	assert_true(trap_set(0xd8000904, 4, 0x12345678));
	assert_int_equal(small[0][4], 0x78);
	assert_true(trap_set(0xd8000008, 8, 0x1122334455667788));
	assert_int_equal(small[1][15], 0x11);
	ecam_set(DISPLAY_SLOT, 0x10, 4, 0xd8000a00);
	assert_true(trap_get(0xd8000a04, 4, &v));
	assert_int_equal(v, 0x12345678);
	assert_true(trap_get(0xd8000904, 4, &v));
	assert_int_equal(v, 0xffffffff);
	/* Over each other, and over pages of others. */
	ecam_set(DISPLAY_SLOT, 0x10, 4, 0xd8000700);
	assert_false(bus->devices[DISPLAY].bars[0].mapped);
	ecam_set(DISPLAY_SLOT, 0x10, 4, 0xfec00500);
	assert_false(bus->devices[DISPLAY].bars[0].mapped);
	check_layout();
	decode(DISPLAY_SLOT, 0);
	assert_null(slot_at(0xd8000000));
	decode(DISPLAY_SLOT, 2);
	assert_true(trap_get(0xd8000008, 8, &v));
	assert_int_equal(v, 0x1122334455667788);
}

/* A BAR that is alone in its page, in the machine and in the guest, needs no exits. */
static void a_small_bar_can_have_its_page(void **state)
{
	struct vpci_bar *bars;
	const struct slot *s;
	uint64_t v;

	(void)state;
	fake[DISPLAY].f.bars[1].base = 0xd0400000;
	fixture_tree();
	fixture_run();
	bars = bus->devices[DISPLAY].bars;
	decode(DISPLAY_SLOT, 2);
	s = slot_at(VPCI_MEM32_GPA + 0x19000);
	assert_int_equal(s->kind, SLOT_DEVICE);
	assert_int_equal(s->npages, 1);
	assert_int_equal(s->pfn.v, 0xd0400);
	assert_string_equal(s->name, "pci-02.0-b1");
	/* The other one does not begin its page. */
	assert_int_equal(slot_at(VPCI_MEM32_GPA + 0x1a000)->kind, SLOT_EMULATED);
	/* Within a page, not at its start. */
	ecam_set(DISPLAY_SLOT, 0x14, 4, 0xd8000800);
	small[1][0] = 7;
	assert_true(trap_get(0xd8000800, 1, &v) && v == 7);
	ecam_set(DISPLAY_SLOT, 0x14, 4, 0xd8000000);
	assert_int_equal(slot_at(0xd8000000)->kind, SLOT_DEVICE);
	/* Another one comes into the page, and goes. */
	ecam_set(DISPLAY_SLOT, 0x10, 4, 0xd8000c00);
	assert_true(bars[0].mapped && bars[1].mapped && !bars[1].direct);
	assert_true(trap_get(0xd8000000, 1, &v) && v == 7);
	assert_true(trap_get(0xd8000c00, 1, &v) && v == 0);
	check_layout();
	ecam_set(DISPLAY_SLOT, 0x10, 4, 0xd8001c00);
	assert_true(bars[0].mapped && bars[1].mapped && bars[1].direct);
	check_layout();
	vpci_stop(&guest);
	assert_int_equal(guest.tdp.slots->count, 4);
}

static void a_small_bar_can_share_its_real_page(void **state)
{
	(void)state;
	fake[DISPLAY].f.bars[1].base = 0xd0400000;
	fake[DISPLAY].f.bars[0].base = 0xd0400900;
	fixture_tree();
	fixture_run();
	decode(DISPLAY_SLOT, 2);
	assert_int_equal(slot_at(VPCI_MEM32_GPA + 0x19000)->kind, SLOT_EMULATED);
	assert_int_equal(slot_at(VPCI_MEM32_GPA + 0x1a000)->kind, SLOT_EMULATED);
}

static void ports_are_forwarded(void **state)
{
	uint32_t v;

	(void)state;
	assert_false(io_get(VPCI_IO, 1, &v));
	decode(DISK_SLOT, 1);
	port_value = 0x55;
	assert_true(io_get(VPCI_IO + 7, 1, &v));
	assert_int_equal(v, 0x55);
	assert_int_equal(port_number, PORTS_BASE + 7);
	assert_true(io_set(VPCI_IO + 0x1c, 4, 0xdeadbeef));
	assert_int_equal(port_value, 0xdeadbeef);
	assert_false(io_get(VPCI_IO + 0x1d, 4, &v));
	ecam_set(DISK_SLOT, 0x18, 4, 0x1fe1);
	assert_int_equal(ecam_get(DISK_SLOT, 0x18, 4), 0x1fe1);
	assert_false(io_get(VPCI_IO, 1, &v));
	assert_true(io_get(0x1fff, 1, &v));
	/* Not over the serial port, and the reset register stays. */
	ecam_set(DISK_SLOT, 0x18, 4, 0x3e1);
	assert_false(io_get(0x3e0, 1, &v));
	ecam_set(DISK_SLOT, 0x18, 4, 0xce1);
	assert_false(io_get(0xce0, 1, &v));
	ecam_set(DISK_SLOT, 0x18, 4, 0xffffffff);
	assert_int_equal(ecam_get(DISK_SLOT, 0x18, 4), 0xffe1);
	assert_true(io_get(0xffff, 1, &v));
	decode(DISK_SLOT, 2);
	assert_false(io_get(0xffff, 1, &v));
}

static void nothing_is_left_of_a_run(void **state)
{
	uint32_t v;

	(void)state;
	for (unsigned slot = 1; slot < 4; slot++)
		decode(slot, 7);
	ecam_set(DISK_SLOT, 0x10, 4, 0xd8000000);
	assert_int_equal(guest.tdp.slots->count, 4 + 3 + 2 + 3);
	vpci_stop(&guest);
	assert_int_equal(guest.tdp.slots->count, 4);
	assert_false(io_get(VPCI_IO, 1, &v));
	for (unsigned i = 0; i < FAKES; i++)
		assert_int_equal(real(i, 4, 2) & 7, 0);
	vpci_reset(&guest);
	assert_int_equal(ecam_get(DISK_SLOT, 0x10, 4), (VPCI_MEM32_GPA + 0x10000) | 4);
	assert_int_equal(ecam_get(DISK_SLOT, 4, 2), 0);
	assert_int_equal(guest.tdp.slots->count, 4);
}

static unsigned others;

/* The monitor is faster, a few times in a row. */
static void other_commit(void)
{
	struct slot s = { .base = GFN(0x2000000 + others),
			  .npages = 1,
			  .pfn = PFN(0x1000),
			  .access = ACCESS_RW,
			  .name = "fixed" };
	struct slot_txn txn;

	others++;
	assert_int_equal(tdp_begin(&guest.tdp, &txn, 1), OK);
	assert_int_equal(slot_create(&txn, &s), OK);
	assert_int_equal(tdp_commit(&guest.tdp, &txn), OK);
	if (others < 5)
		meanwhile = other_commit;
}

static void other_transactions_come_first(void **state)
{
	uint64_t at = ecam_get(DISK_SLOT, 0x10, 8) & ~15ull;

	(void)state;
	others = 0;
	meanwhile = other_commit;
	decode(DISK_SLOT, 2);
	assert_int_equal(others, 5);
	assert_non_null(slot_at(at));
	assert_int_equal(guest.tdp.slots->count, 4 + 5 + 3);
	decode(DISK_SLOT, 0);
	assert_int_equal(guest.tdp.slots->count, 4 + 5);
	assert_int_equal(logged, 0);
}

/* Without memory for tables, nothing that is the guest's is lost, and nothing of it stays decoded. */
static void out_of_memory_leaves_it_as_it_was(void **state)
{
	uint64_t at = ecam_get(DISK_SLOT, 0x10, 8) & ~15ull;

	(void)state;
	for (long n = 0; n < 6; n++) {
		fail_after = n;
		decode(DISK_SLOT, 2);
		fail_after = -1;
		assert_true(slot_at(at) == NULL || bus->devices[DISK].bars[0].mapped);
		decode(DISK_SLOT, 0);
		check_layout();
	}
	fail_after = 0;
	decode(DISK_SLOT, 2);
	assert_null(slot_at(at));
	fail_after = -1;
	/* The next change looks again. */
	decode(VIRTIO_SLOT, 2);
	assert_non_null(slot_at(at));
	check_layout();
}

/* ------------------------------------------------------------------ random accesses */

static uint64_t seed;

static uint32_t random32(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

static uint64_t random_value(void)
{
	static const uint64_t special[] = { 0,          ~0ull,      7,          3,
					    0xfee00000, 0xfec00000, 0xe8000000, 0x8000,
					    RAM_SIZE,   MEM64,      0xd8000000, 0xd8000901,
					    0xd0000000, 0xd8000800 };

	return random32() & 1 ? random32() | (uint64_t)random32() << 32
			      : special[random32() % ARRAY_SIZE(special)];
}

static void random_access_anywhere(void)
{
	uint8_t size = (uint8_t)(1u << random32() % 4);
	unsigned slot = random32() % 5;
	/* Mostly where something is. */
	uint32_t reg = random32() % (random32() % 8 ? 0x100 : 0x1000);

	if (random32() % 4 == 0)
		reg = 0x10 + random32() % 0x24;
	if (random32() % 4 == 0) {
		ecam_set(slot, 4, 2, random32() | (random32() & 2));
		return;
	}
	switch (random32() % 4) {
	case 0:
		if (size < 8 && reg < 256 && (reg & 3) + size <= 4)
			port_set(slot, reg, size, (uint32_t)random_value());
		break;
	case 1:
		if (reg + size <= 0x1000)
			(void)ecam_get(slot, reg, size);
		break;
	default:
		if (reg + size <= 0x1000)
			ecam_set(slot, reg, size, random_value());
		break;
	}
}

/* Whatever is written, the devices do what they may, and the guest reaches what it may. */
static void random_accesses_do_no_harm(void **state)
{
	(void)state;
	for (seed = 1; seed < 9; seed++) {
		uint64_t first = seed;

		fixture_prepare();
		fake[DISPLAY].f.bars[1].base += seed % 2 * 0x100000 - seed % 2 * 0x800;
		fixture_tree();
		fixture_run();
		for (unsigned i = 0; i < 10000; i++) {
			random_access_anywhere();
			check_layout();
			if (random32() % 4 == 0)
				vpci_finish(&guest);
		}
		vpci_finish(&guest);
		vpci_stop(&guest);
		check_layout();
		assert_int_equal(guest.tdp.slots->count, 4);
		assert_int_equal(real(DISK, 0x10, 4), 0xd0000004);
		assert_int_equal(real(DISK, 0x30, 4), 0xd0100000);
		seed = first;
	}
}

#define TEST(f) cmocka_unit_test_setup(f, setup)
#define BARE(f) cmocka_unit_test_setup(f, setup_bare)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(slots_are_where_they_were_wanted),
		TEST(a_host_bridge_is_first),
		TEST(all_widths_read_the_same),
		TEST(the_address_port_takes_dwords_only),
		BARE(wishes_that_cannot_be_met_are_refused),
		BARE(broken_bars_are_refused),
		BARE(bars_over_the_machine_are_refused),
		BARE(bars_over_memory_are_refused),
		BARE(what_is_not_needed_is_not_shown),
		TEST(the_header_is_the_devices),
		TEST(the_command_register_is_half_the_guests),
		TEST(status_bits_are_cleared_one_by_one),
		TEST(nothing_is_a_master_that_may_not),
		TEST(bars_tell_their_sizes),
		TEST(bars_begin_in_their_windows),
		TEST(a_bar_appears_where_it_is_put),
		TEST(nothing_is_moved_over_anything),
		TEST(a_bar_appears_when_the_way_is_free),
		TEST(the_rom_is_read_only_and_off),
		TEST(small_bars_share_a_page),
		BARE(a_small_bar_can_have_its_page),
		BARE(a_small_bar_can_share_its_real_page),
		TEST(ports_are_forwarded),
		TEST(nothing_is_left_of_a_run),
		TEST(other_transactions_come_first),
		TEST(out_of_memory_leaves_it_as_it_was),
		TEST(random_accesses_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
