/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BENCH_KVM_MACHINE_H
#define LAMINA_BENCH_KVM_MACHINE_H

/*
 * The machine that the VMM makes, as its guests see it: COM1 at 3f8h on IRQ 4, KVM's local APICs,
 * IOAPIC and PIC, Lamina's ACPI tables, and what follows.
 */
#define COM1_PORT     0x3f8
#define COM1_IRQ      4
#define MARK_PORT     0x510 /* a byte is reported with TSC and number of exits; MARK_END ends the VM */
#define MARK_END      0xff
#define RTC_PORT      0x70          /* a clock that stands still */
#define EVENTFD_PORT  0x520         /* an ioeventfd: KVM answers a write by itself */
#define SLEEP_PORT    0x600         /* bit 5 written: power off (ACPI's sleep control register) */
#define RESET_PORT    0xcf9         /* written: ends the VM, too */
#define SLOT_GPA      0x40000000ull /* one page, a slot of its own, where RAM ends before it */
#define MMIO_USER_GPA 0xd0000000ull /* one page of registers in the VMM: reads return the offset */

#endif
