// SPDX-License-Identifier: BSD-2-Clause
/*
 * A guest with a periodic timer that halts in between and says nothing: for counting exits. Words:
 * `xapic` keeps the local APIC in xAPIC mode; hz=N, default 100.
 */
#include "guest.h"

static volatile uint64_t ticks;

static void on_timer(struct frame *f)
{
	(void)f;
	ticks++;
	apic_eoi();
}

void guest_main(void)
{
	uint32_t hz = (uint32_t)option("hz", 100);

	apic_init((cpuid(1, 0).ecx & BIT(21)) && !has_word("xapic"));
	set_handler(VECTOR_TIMER, on_timer);
	apic_timer(hz);
	while (ticks < 3)
		wait_irq();
	say("ticking with %u Hz in %s mode", hz, apic_is_x2() ? "x2APIC" : "xAPIC");
	for (;;)
		wait_irq();
}
