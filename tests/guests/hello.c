// SPDX-License-Identifier: BSD-2-Clause
/* The smallest guest: says what it sees of its machine and powers off. `hang` makes it stay. */
#include "guest.h"

void guest_main(void)
{
	struct cpuid_regs r = cpuid(0x40000000, 0);
	char vendor[13] = { 0 };

	memcpy(vendor, &r.ebx, 4);
	memcpy(vendor + 4, &r.ecx, 4);
	memcpy(vendor + 8, &r.edx, 4);
	say("hello from a guest: '%s', hypervisor '%s'", command_line(), vendor);
	check(cpuid(1, 0).ecx & BIT(31), "CPUID says that there is a hypervisor");
	check(tsc_khz() != 0, "TSC runs at %u kHz", tsc_khz());
	if (has_word("hang")) {
		say("hanging");
		for (;;)
			__asm__ volatile("hlt");
	}
	if (has_word("crash"))
		triple_fault();
	if (has_word("reset"))
		reset();
}
