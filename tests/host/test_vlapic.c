// SPDX-License-Identifier: BSD-2-Clause
// sources: core/vlapic.c core/vioapic.c tests/host/mock_core.c
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/vlapic.h"
#include "mock_core.h"
#include "x86/lapic.h"
#include "x86/msr.h"

/* Three vCPUs with APIC ids 4, 5 and 6; vCPU 0 sends. */
static int setup(void **state)
{
	(void)state;
	mock_reset(CPU_VENDOR_INTEL, 3, 4);
	return 0;
}

static struct vcpu *v0(void)
{
	return &mock.vcpus[0];
}

static void icr(uint32_t dest, uint32_t low)
{
	vlapic_page_write(v0(), LAPIC_ICR2, dest << 24);
	vlapic_page_write(v0(), LAPIC_ICR, low);
}

static void icr64(uint32_t dest, uint32_t low)
{
	assert_int_equal(vlapic_msr_write(v0(), MSR_X2APIC_ICR, (uint64_t)dest << 32 | low), OK);
}

static void make_x2apic(void)
{
	unsigned i;

	for (i = 0; i < MOCK_VCPUS; i++)
		mock.vcpus[i].x2apic = true;
}

/* As for refused MSRs. */
static void test_refusals_are_logged_outside(void **state)
{
	(void)state;
	make_x2apic();
	v0()->cpu->in_guest = 1;
	icr64(99, 0x40fd);
	assert_int_equal(mock.guest.denied_ipi, 1);
	assert_int_equal(v0()->cpu->in_guest, 0);
	assert_int_equal(mock.drained, 1);
}

static void test_physical(void **state)
{
	(void)state;
	icr(5, 0x40fd);
	assert_true(mock_has_vector(1, 0xfd));
	icr(4, 0x40ef);
	assert_true(mock_has_vector(0, 0xef));
	assert_int_equal(mock_vector_count(), 2);
	assert_int_equal(mock.guest.denied_ipi, 0);
	assert_int_equal(mock.ipis, 1);
	/* An APIC that does not take it: the vector is posted. */
	mock.ipi_fails = true;
	icr(6, 0x4055);
	assert_true(mock_has_vector(2, 0x55));
	/* ICR itself never reaches the hardware. */
	assert_int_equal(mock.lapic[LAPIC_ICR / 4], 0);
}

static void test_foreign_core(void **state)
{
	static const uint32_t modes[] = { 0x40fd, 0x4100, 0x4200, 0x4400, 0x4500, 0x4610 };
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		icr(7, modes[i]);
	assert_int_equal(mock.guest.denied_ipi, ARRAY_SIZE(modes));
	assert_int_equal(mock_vector_count(), 0);
	for (i = 0; i < MOCK_VCPUS; i++)
		assert_int_equal(mock.requests[i], 0);
}

static void test_modes(void **state)
{
	(void)state;
	icr(5, 0x4400);
	assert_int_equal(mock.requests[1], VCPU_REQ_NMI);
	mock.vcpus[2].requests = VCPU_REQ_SIPI | VCPU_REQ_NMI; /* an older SIPI is void */
	icr(6, 0xc500);
	assert_int_equal(mock.requests[2], VCPU_REQ_INIT);
	assert_int_equal(mock.vcpus[2].requests, VCPU_REQ_NMI);
	icr(6, 0x8500); /* de-assert: nothing */
	icr(4, 0x8500);
	assert_int_equal(mock.requests[0], 0);
	icr(6, 0x4608);
	assert_int_equal(mock.requests[2], VCPU_REQ_INIT | VCPU_REQ_SIPI);
	assert_int_equal(mock.vcpus[2].sipi_vector, 8);
	assert_int_equal(mock.guest.denied_ipi, 0);
	icr(5, 0x4200); /* SMI */
	icr(5, 0x4700); /* ExtINT */
	icr(5, 0x4300);
	assert_int_equal(mock.guest.denied_ipi, 3);
	assert_int_equal(mock.requests[1], VCPU_REQ_NMI);
	icr(5, 0x4005); /* illegal vector: dropped like by hardware */
	assert_int_equal(mock_vector_count(), 0);
}

static void test_shorthands(void **state)
{
	(void)state;
	icr(99, 0x44030); /* self */
	assert_true(mock_has_vector(0, 0x30));
	assert_int_equal(mock_vector_count(), 1);
	icr(99, 0x84031); /* all */
	assert_int_equal(mock_vector_count(), 4);
	icr(99, 0xc4032); /* all but self */
	assert_int_equal(mock_vector_count(), 6);
	assert_false(mock_has_vector(0, 0x32));
	icr(0, 0xc4400); /* NMI to all others */
	assert_int_equal(mock.requests[0], 0);
	assert_int_equal(mock.requests[2], VCPU_REQ_NMI);
	icr(0, 0x44400); /* NMI to self has no shorthand */
	assert_int_equal(mock.requests[0], 0);
	icr(0xff, 0x4033); /* broadcast */
	assert_int_equal(mock_vector_count(), 9);
	assert_int_equal(mock.guest.denied_ipi, 0);
}

/* The only core of a guest may say "all but self" without being blamed. */
static void test_alone(void **state)
{
	(void)state;
	mock_reset(CPU_VENDOR_INTEL, 1, 4);
	icr(0, 0xc40fb);
	assert_int_equal(mock_vector_count(), 0);
	assert_int_equal(mock.guest.denied_ipi, 0);
}

static void test_logical_flat(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		vlapic_page_write(&mock.vcpus[i], LAPIC_LDR, BIT(i + 24));
	icr(5, 0x4840); /* vCPUs 0 and 2 */
	assert_true(mock_has_vector(0, 0x40) && mock_has_vector(2, 0x40));
	assert_int_equal(mock_vector_count(), 2);
	icr(6, 0x4941); /* lowest priority: one of 1 and 2 */
	assert_int_equal(mock_vector_count(), 3);
	icr(8, 0x4842);
	assert_int_equal(mock.guest.denied_ipi, 1);
}

static void test_logical_cluster(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		vlapic_page_write(&mock.vcpus[i], LAPIC_DFR, 0x0fffffff);
		vlapic_page_write(&mock.vcpus[i], LAPIC_LDR, (0x20u | (1u << i)) << 24);
	}
	icr(0x22, 0x4840);
	assert_true(mock_has_vector(1, 0x40));
	icr(0x12, 0x4840);
	assert_int_equal(mock_vector_count(), 1);
	icr(0xf5, 0x4841); /* all clusters */
	assert_int_equal(mock_vector_count(), 3);
}

static void test_x2apic_icr(void **state)
{
	(void)state;
	make_x2apic();
	icr64(6, 0x40fd);
	assert_true(mock_has_vector(2, 0xfd));
	icr64(0x106, 0x40fd); /* not truncated to 8 bits */
	assert_int_equal(mock.guest.denied_ipi, 1);
	icr64(0xffffffff, 0x40fc);
	assert_int_equal(mock_vector_count(), 4);
	icr64(0xff, 0x40fc);
	assert_int_equal(mock.guest.denied_ipi, 2);
	icr64(0x60, 0x4850); /* cluster 0: ids 5 and 6 */
	assert_true(mock_has_vector(1, 0x50) && mock_has_vector(2, 0x50));
	icr64(0x10060, 0x4851);
	assert_int_equal(mock.guest.denied_ipi, 3);
	assert_int_equal(vlapic_msr_write(v0(), MSR_X2APIC_ICR, BIT(20)), ERR_INVALID);
	assert_int_equal(vlapic_msr_write(v0(), MSR_X2APIC_ICR, BIT(13)), ERR_INVALID);
}

/* A core that does not run yet gets no fixed interrupts. */
static void test_waiting_core(void **state)
{
	(void)state;
	mock.vcpus[1].state = VCPU_WAIT_SIPI;
	icr(5, 0x40fd);
	assert_int_equal(mock_vector_count(), 0);
	icr(5, 0x4608);
	assert_int_equal(mock.requests[1], VCPU_REQ_SIPI);
}

static void test_lvt_filter(void **state)
{
	static const uint32_t regs[] = { LAPIC_LVT_CMCI,  LAPIC_LVT_THERMAL, LAPIC_LVT_PMC,
					 LAPIC_LVT_TIMER, LAPIC_LVT_ERROR,   LAPIC_LVT_LINT0,
					 LAPIC_LVT_LINT1 };
	unsigned i, mode;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		for (mode = 1; mode < 8; mode++) {
			vlapic_page_write(v0(), regs[i], mode << 8);
			assert_true(mock.lapic[regs[i] / 4] & LAPIC_LVT_MASKED);
		}
		vlapic_page_write(v0(), regs[i], 0xf0);
		assert_int_equal(!!(mock.lapic[regs[i] / 4] & LAPIC_LVT_MASKED), i >= 5);
	}
	/* The same by MSR. */
	mock_msr(MSR_X2APIC_LVT_PMC, 0, false);
	assert_int_equal(vlapic_msr_write(v0(), MSR_X2APIC_LVT_PMC, 0x400), OK);
	assert_true(mock_find_msr(MSR_X2APIC_LVT_PMC)->value == (0x400 | LAPIC_LVT_MASKED));
	assert_int_equal(vlapic_msr_write(v0(), MSR_X2APIC_LVT_PMC, BIT(32)), ERR_INVALID);
}

static void test_page_writes(void **state)
{
	static const uint32_t direct[] = { LAPIC_TPR, LAPIC_EOI,        LAPIC_SVR,
					   LAPIC_ESR, LAPIC_TIMER_INIT, LAPIC_TIMER_DIVIDE };
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(direct); i++) {
		vlapic_page_write(v0(), direct[i], 0x1234 + i);
		assert_int_equal(mock.lapic_last, direct[i]);
		assert_int_equal(mock.lapic[direct[i] / 4], 0x1234 + i);
	}
	i = mock.lapic_writes;
	vlapic_page_write(v0(), LAPIC_ID, 0);
	vlapic_page_write(v0(), LAPIC_VERSION, 0);
	vlapic_page_write(v0(), LAPIC_SELF_IPI, 0x40);
	vlapic_page_write(v0(), 0x400, 1);
	vlapic_page_write(v0(), 0xff0, 1);
	vlapic_page_write(v0(), LAPIC_IRR, 1);
	assert_int_equal(mock.lapic_writes, i);
	assert_int_equal(mock_vector_count(), 0);
}

#define XAPIC  (APIC_DEFAULT_GPA | APIC_BASE_EN | APIC_BASE_BSP)
#define X2APIC (XAPIC | APIC_BASE_EXTD)
#define OFF    (APIC_DEFAULT_GPA | APIC_BASE_BSP)

/* SDM vol. 3, figure 11-27. */
static void test_mode_changes(void **state)
{
	struct mock_msr *hw = mock_find_msr(MSR_APIC_BASE);

	(void)state;
	assert_int_equal(vlapic_set_base(v0(), XAPIC | 0x1000), ERR_INVALID);
	assert_int_equal(vlapic_set_base(v0(), XAPIC & ~(uint64_t)APIC_BASE_BSP), ERR_INVALID);
	assert_int_equal(vlapic_set_base(v0(), XAPIC | BIT(9)), ERR_INVALID);
	assert_int_equal(vlapic_set_base(v0(), OFF | APIC_BASE_EXTD), ERR_INVALID);
	assert_int_equal(vlapic_set_base(v0(), XAPIC), OK);
	assert_int_equal(mock.msr_writes, 0);
	assert_int_equal(vlapic_set_base(v0(), X2APIC), OK);
	assert_true(v0()->x2apic && mock.x2apic_open);
	assert_true(hw->value == X2APIC);
	assert_int_equal(vlapic_set_base(v0(), XAPIC), ERR_INVALID);
	/* Off: the hardware stays on, since NMIs have to arrive, but disabled by software. */
	mock.lapic_x2apic = true;
	assert_int_equal(vlapic_set_base(v0(), OFF), OK);
	assert_true(!v0()->x2apic && !mock.x2apic_open);
	assert_true(hw->value == X2APIC);
	assert_true(v0()->apic_base == OFF);
	assert_int_equal(mock.lapic[LAPIC_SVR / 4], 0xff);
	assert_int_equal(vlapic_set_base(v0(), X2APIC), ERR_INVALID);
	assert_int_equal(vlapic_set_base(v0(), XAPIC), ERR_INVALID);
	mock.lapic_x2apic = false;
	assert_int_equal(vlapic_set_base(v0(), XAPIC), OK);
	assert_int_equal(vlapic_set_base(v0(), OFF), OK);
	assert_int_equal(vlapic_set_base(v0(), XAPIC), OK);
}

static void test_ioapic_messages(void **state)
{
	(void)state;
	vlapic_deliver(&mock.guest, 5, false, APIC_DM_FIXED, 0x31);
	assert_true(mock_has_vector(1, 0x31));
	vlapic_deliver(&mock.guest, 0xff, false, APIC_DM_LOWEST, 0x32);
	assert_true(mock_has_vector(0, 0x32));
	vlapic_deliver(&mock.guest, 6, false, APIC_DM_NMI, 0);
	assert_int_equal(mock.requests[2], VCPU_REQ_NMI);
	assert_int_equal(mock_vector_count(), 2);
	assert_int_equal(mock.guest.denied_ipi, 0);
	vlapic_deliver(&mock.guest, 9, false, APIC_DM_FIXED, 0x31);
	vlapic_deliver(&mock.guest, 5, false, APIC_DM_INIT, 0);
	vlapic_deliver(&mock.guest, 5, false, APIC_DM_SMI, 0);
	vlapic_deliver(&mock.guest, 5, false, APIC_DM_STARTUP, 0);
	assert_int_equal(mock.guest.denied_ipi, 4);
	assert_int_equal(mock.requests[1], 0);
}

static void test_reset(void **state)
{
	(void)state;
	vlapic_page_write(v0(), LAPIC_LDR, 0x01000000);
	mock.lapic_x2apic = true;
	vlapic_reset(v0());
	assert_true(v0()->x2apic && mock.x2apic_open);
	assert_true(v0()->apic_base == X2APIC);
	assert_int_equal(v0()->soft.apic_ldr, 0);
	vlapic_reset(&mock.vcpus[1]);
	assert_true(mock.vcpus[1].apic_base == (X2APIC & ~(uint64_t)APIC_BASE_BSP));
}

static unsigned resampled;

static void deliver(void *ctx, uint8_t dest, bool logical, enum apic_delivery mode, uint8_t vector)
{
	(void)ctx;
	(void)dest;
	(void)logical;
	(void)mode;
	(void)vector;
}

static void resample(void *ctx, unsigned pin)
{
	(void)ctx;
	assert_int_equal(pin, 17);
	resampled++;
}

/* A level interrupt with this vector, in service. */
static void serve_level(uint8_t vector)
{
	static const struct vioapic_ops ops = { deliver, resample };

	vioapic_init(&mock.guest.ioapic, &ops, NULL);
	vioapic_write(&mock.guest.ioapic, 0, 0x10 + 2 * 17);
	vioapic_write(&mock.guest.ioapic, 0x10, 0x8000u | vector);
	vioapic_set_line(&mock.guest.ioapic, 17, true);
	assert_true(vioapic_needs_eoi(&mock.guest.ioapic));
	vioapic_set_line(&mock.guest.ioapic, 17, false);
	memset(mock.lapic, 0, sizeof(mock.lapic));
	mock.lapic[(LAPIC_ISR + 0x10 * (vector / 32u)) / 4] = 1u << vector % 32;
	resampled = 0;
}

/* The hardware does not tell the guest's IOAPIC of an EOI. */
static void test_eoi(void **state)
{
	(void)state;
	serve_level(0x51);
	/* Another vector in service, of higher priority. */
	mock.lapic[(LAPIC_ISR + 0x10 * 7) / 4] = 0x80000001;
	vlapic_page_write(v0(), LAPIC_EOI, 0);
	assert_int_equal(mock.lapic_last, LAPIC_EOI);
	assert_int_equal(resampled, 0);
	mock.lapic[(LAPIC_ISR + 0x10 * 7) / 4] = 0;
	/* And one of lower priority. */
	mock.lapic[(LAPIC_ISR + 0x20) / 4] |= 1;
	vlapic_page_write(v0(), LAPIC_EOI, 0);
	assert_int_equal(resampled, 1);
	assert_false(vioapic_needs_eoi(&mock.guest.ioapic));
	assert_int_equal(mock.guest.lock.next, mock.guest.lock.owner);
	vlapic_page_write(v0(), LAPIC_EOI, 0);
	assert_int_equal(resampled, 1);
	assert_int_equal(mock.lapic_writes, 3);
	/* In x2APIC mode. */
	serve_level(0xff);
	make_x2apic();
	assert_int_equal(vlapic_msr_write(v0(), MSR_X2APIC_EOI, 1), ERR_INVALID);
	assert_int_equal(resampled, 0);
	assert_int_equal(vlapic_msr_write(v0(), MSR_X2APIC_EOI, 0), OK);
	assert_int_equal(resampled, 1);
	assert_int_equal(mock.lapic_last, LAPIC_EOI);
	/* Nothing in service, and a guest that uses the IOAPIC's own register. */
	serve_level(0x51);
	mock.lapic[(LAPIC_ISR + 0x20) / 4] = 0;
	vlapic_page_write(v0(), LAPIC_EOI, 0);
	assert_int_equal(resampled, 0);
	vioapic_write(&mock.guest.ioapic, 0x40, 0x99);
	mock.lapic[(LAPIC_ISR + 0x20) / 4] = 1u << 0x11;
	vlapic_page_write(v0(), LAPIC_EOI, 0);
	assert_int_equal(resampled, 0);
}

static void test_trap_eoi(void **state)
{
	(void)state;
	vlapic_trap_eoi(&mock.guest, false);
	assert_int_equal(mock.requests[0], 0);
	vlapic_trap_eoi(&mock.guest, true);
	assert_true(mock.guest.trap_eoi);
	for (unsigned i = 0; i < MOCK_VCPUS; i++) {
		assert_int_equal(mock.requests[i], VCPU_REQ_MSRS);
		mock.requests[i] = 0;
	}
	vlapic_trap_eoi(&mock.guest, true);
	assert_int_equal(mock.requests[0], 0);
	vlapic_trap_eoi(&mock.guest, false);
	assert_int_equal(mock.requests[2], VCPU_REQ_MSRS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_physical),     TEST(test_refusals_are_logged_outside),
		TEST(test_foreign_core), TEST(test_modes),
		TEST(test_shorthands),   TEST(test_alone),
		TEST(test_logical_flat), TEST(test_logical_cluster),
		TEST(test_x2apic_icr),   TEST(test_waiting_core),
		TEST(test_lvt_filter),   TEST(test_page_writes),
		TEST(test_mode_changes), TEST(test_ioapic_messages),
		TEST(test_reset),        TEST(test_eoi),
		TEST(test_trap_eoi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
