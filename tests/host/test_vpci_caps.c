// SPDX-License-Identifier: BSD-2-Clause
/* The virtual PCI bus: capabilities that a guest sees of its devices, and resets that it asks for. */
// sources: core/vpci.c core/vpci_config.c core/vpci_caps.c core/vpci_bar.c core/vpci_map.c
// sources: core/io.c drivers/pci.c tests/host/vpci_fixture.c
// sources: tests/host/mm_host.c tests/host/mm_decode.c mm/page_alloc.c mm/slot.c mm/spte.c
// sources: mm/spte_ept.c mm/spte_npt.c mm/spte_vtd.c mm/spte_amdvi.c mm/tdp_table.c mm/tdp_mmu.c
// sources: mm/tdp_fault.c mm/tdp_zap.c mm/tdp_commit.c mm/tdp_resize.c mm/tdp_nx.c mm/tdp_walk.c
// sources: mm/tdp_log.c
#include <stdio.h>

#include "vpci_fixture.h"

static int setup(void **state)
{
	(void)state;
	fixture_start();
	return 0;
}

static void decode(unsigned slot, uint16_t command)
{
	ecam_set(slot, 4, 2, command);
}

/* ------------------------------------------------------------------ capabilities */

/* The list as a guest walks it, as a string of "offset:id ". */
static void walk(unsigned slot, char *text, size_t size)
{
	uint32_t at = (uint32_t)ecam_get(slot, 0x34, 1);
	size_t used = 0;

	text[0] = 0;
	for (unsigned i = 0; i < 20 && at; i++) {
		used += (size_t)snprintf(text + used, size - used, "%02x:%02x ", at,
					 (unsigned)ecam_get(slot, at, 1));
		at = (uint32_t)ecam_get(slot, at + 1, 1);
	}
}

static void only_safe_capabilities_are_listed(void **state)
{
	char text[200];

	(void)state;
	walk(DISK_SLOT, text, sizeof(text));
	assert_string_equal(text, "40:01 50:05 70:11 80:10 ");
	walk(VIRTIO_SLOT, text, sizeof(text));
	assert_string_equal(text, "98:11 70:09 40:09 ");
	walk(DISPLAY_SLOT, text, sizeof(text));
	assert_string_equal(text, "40:01 d8:13 ");
	assert_true(ecam_get(DISK_SLOT, 6, 2) & 0x10);
}

static bool in_cap(uint32_t reg)
{
	return (reg >= CAP_PM && reg < CAP_PM + 8) || (reg >= CAP_MSI && reg < CAP_MSI + 14) ||
	       (reg >= CAP_MSIX && reg < CAP_MSIX + 12) ||
	       (reg >= CAP_PCIE && reg < CAP_PCIE + 0x3c);
}

static void the_rest_is_hidden(void **state)
{
	(void)state;
	for (uint32_t reg = 0x40; reg < 4096; reg++) {
		if (in_cap(reg))
			continue;
		if (reg >= 0x100 && reg < 0x10c)
			continue;
		assert_int_equal(ecam_get(DISK_SLOT, reg, 1), 0);
		ecam_set(DISK_SLOT, reg, 1, 0xff);
		assert_int_equal(ecam_get(DISK_SLOT, reg, 1), 0);
	}
	/* Of what is beyond, the serial number. */
	assert_int_equal(ecam_get(DISK_SLOT, 0x100, 4), 0x00010003);
	assert_int_equal(ecam_get(DISK_SLOT, 0x104, 8), 0x5566778811223344);
	assert_int_equal(ecam_get(DISPLAY_SLOT, 0x100, 4), 0);
	/* The window that virtio has to its BARs is nobody's. */
	assert_int_equal(ecam_get(VIRTIO_SLOT, 0x84, 8), 0);
	assert_int_equal(ecam_get(VIRTIO_SLOT, 0x72, 2), 0x0214);
	assert_int_equal(ecam_get(VIRTIO_SLOT, 0x74, 4), 0xe5e5e5e5);
}

static void power_states_are_the_guests_alone(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PM, 4), 0x00275001);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PM + 4, 4), 8);
	ecam_set(DISK_SLOT, CAP_PM + 4, 2, 3);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PM + 4, 4), 0xb);
	ecam_set(DISK_SLOT, CAP_PM + 4, 2, 1);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PM + 4, 4), 0xb);
	ecam_set(DISK_SLOT, CAP_PM + 4, 4, 0x8100);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PM + 4, 4), 8);
}

static void pcie_is_of_the_root_complex(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + 2, 2), 0x0092);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + 4, 4), 0x10008fe3);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + 8, 4), 0x000f2110);
	for (uint32_t reg = 0xc; reg < 0x24; reg++)
		assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + reg, 1), 0);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + 0x24, 4), 0x5);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + 0x28, 4), 0x5);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + 0x2c, 8), 0);
}

static void reads_grow_and_payloads_do_not(void **state)
{
	(void)state;
	ecam_set(DISK_SLOT, CAP_PCIE + 8, 2, 0x5fff & ~0x10);
	assert_int_equal(real(DISK, CAP_PCIE + 8, 2), 0x5100);
	ecam_set(DISK_SLOT, CAP_PCIE + 9, 1, 0x70); /* no such size */
	assert_int_equal(real(DISK, CAP_PCIE + 8, 2), 0x5100);
	ecam_set(DISK_SLOT, CAP_PCIE + 8, 1, 0xf0);
	assert_int_equal(real(DISK, CAP_PCIE + 8, 2), 0x5110);
	assert_int_equal(real(DISK, CAP_PCIE + 10, 2), 0xf);
	ecam_set(DISK_SLOT, CAP_PCIE + 10, 2, 0xfff5);
	assert_int_equal(real(DISK, CAP_PCIE + 10, 2), 0xa);
}

static void messages_are_told_what_concerns_them(void **state)
{
	(void)state;
	assert_int_equal(ecam_get(DISK_SLOT, CAP_MSI, 4), 0xc3027005);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_MSI + 12, 4), 0xc30c);
	ecam_set(DISK_SLOT, CAP_MSI, 4, 0x00814455);
	assert_int_equal(fake[DISK].irq_offset, 2);
	assert_int_equal(fake[DISK].irq_value, 0x81);
	ecam_set(DISK_SLOT, CAP_MSI, 2, 0x4455);
	ecam_set(DISK_SLOT, CAP_MSIX + 1, 1, 0x44);
	assert_int_equal(fake[DISK].irq_writes, 1);
	ecam_set(DISK_SLOT, CAP_MSIX + 3, 1, 0x80);
	assert_int_equal(fake[DISK].irq_offset, 3);
	ecam_set(DISK_SLOT, CAP_MSI + 4, 8, 0xfee0000012345678);
	assert_int_equal(fake[DISK].irq_offset, 8);
	assert_int_equal(fake[DISK].irq_value, 0xfee00000);
}

/* ------------------------------------------------------------------ resets */

static void check_reset(unsigned slot, unsigned which)
{
	assert_int_equal(bus->resets, 1);
	assert_int_equal(ecam_get(slot, 0, 4), 0xffffffff);
	assert_int_equal(real(which, 4, 2) & 7, 0);
	assert_int_equal(guest.tdp.slots->count, 4);
	vpci_finish(&guest);
	assert_int_equal(fake[which].resets, 1);
	assert_int_equal(fake[which].irq_resets, 1);
	assert_int_equal(bus->resets, 0);
	vpci_finish(&guest);
	assert_int_equal(fake[which].resets, 1);
}

static void a_guest_resets_its_device(void **state)
{
	(void)state;
	decode(DISK_SLOT, 7);
	ecam_set(DISK_SLOT, CAP_PM + 4, 2, 3);
	ecam_set(DISK_SLOT, CAP_PCIE + 9, 1, 0x80);
	check_reset(DISK_SLOT, DISK);
	/* As after power-on, but for what its guest never sees. */
	assert_int_equal(ecam_get(DISK_SLOT, 4, 2), 0);
	assert_int_equal(ecam_get(DISK_SLOT, 0x10, 8), 4);
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PM + 4, 4), 8);
	assert_int_equal(real(DISK, CAP_PCIE + 8, 2), 0x2010);
	ecam_set(DISK_SLOT, 0x10, 8, 0xd8000000);
	decode(DISK_SLOT, 7);
	assert_non_null(slot_at(0xd8000000));
	assert_int_equal(real(DISK, 4, 2) & 7, 7);
}

static void pcie_may_end_with_the_configuration_space(void **state)
{
	(void)state;
	fixture_prepare();
	memcpy(fake[DISK].config + 0xd8, fake[DISK].config + CAP_PCIE, 0x28);
	fake[DISK].config[CAP_MSIX + 1] = 0xd8;
	fake[DISK].f.pcie = 0xd8;
	fixture_tree();
	fixture_run();
	assert_int_equal(ecam_get(DISK_SLOT, 0xd8, 4), 0x00920010);
	assert_int_equal(ecam_get(DISK_SLOT, 0xfc, 4), 5);
}

static void what_cannot_be_reset_says_so(void **state)
{
	(void)state;
	fixture_prepare();
	fake[DISK].f.reset = PCI_RESET_BUS;
	fixture_tree();
	fixture_run();
	assert_int_equal(ecam_get(DISK_SLOT, CAP_PCIE + 4, 4), 0x00008fe3);
	ecam_set(DISK_SLOT, CAP_PCIE + 8, 2, 0x8000);
	assert_int_equal(bus->resets, 0);
	assert_int_equal(ecam_get(DISK_SLOT, 0, 4), 0x00101b36);
}

static void older_devices_have_another_way(void **state)
{
	(void)state;
	decode(DISPLAY_SLOT, 7);
	assert_int_equal(ecam_get(DISPLAY_SLOT, CAP_AF, 8), 0x0000010003060013);
	ecam_set(DISPLAY_SLOT, CAP_AF + 4, 1, 0xfe);
	assert_int_equal(bus->resets, 0);
	ecam_set(DISPLAY_SLOT, CAP_AF + 4, 1, 1);
	check_reset(DISPLAY_SLOT, DISPLAY);
}

static void a_device_that_does_not_come_back_is_gone(void **state)
{
	(void)state;
	reset_fails = true;
	decode(DISK_SLOT, 7);
	ecam_set(DISK_SLOT, CAP_PCIE + 8, 2, 0x8000);
	vpci_finish(&guest);
	assert_int_equal(logged, 1);
	assert_int_equal(ecam_get(DISK_SLOT, 0, 4), 0xffffffff);
	decode(DISK_SLOT, 7);
	assert_int_equal(real(DISK, 4, 2) & 7, 0);
	check_layout();
	/* The next run is another matter. */
	vpci_stop(&guest);
	vpci_reset(&guest);
	assert_int_equal(ecam_get(DISK_SLOT, 0, 4), 0x00101b36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(only_safe_capabilities_are_listed, setup),
		cmocka_unit_test_setup(the_rest_is_hidden, setup),
		cmocka_unit_test_setup(power_states_are_the_guests_alone, setup),
		cmocka_unit_test_setup(pcie_is_of_the_root_complex, setup),
		cmocka_unit_test_setup(reads_grow_and_payloads_do_not, setup),
		cmocka_unit_test_setup(messages_are_told_what_concerns_them, setup),
		cmocka_unit_test_setup(a_guest_resets_its_device, setup),
		cmocka_unit_test_setup(pcie_may_end_with_the_configuration_space, setup),
		cmocka_unit_test_setup(what_cannot_be_reset_says_so, setup),
		cmocka_unit_test_setup(older_devices_have_another_way, setup),
		cmocka_unit_test_setup(a_device_that_does_not_come_back_is_gone, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
