# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: the keys of the results, in the order of the tables, and their names."""
HOSTS = {"qemu": "QEMU, SVM", "bochs": "Bochs, VMX"}
ENVS = ("bare", "lamina", "kvm")
NOFLUSH = "kvm_noflush"  # Bochs only: see goals.kvm()

# One operation of the payload, in instructions (tests/bench/guest/).
ROUND_TRIPS = {
    "cpuid": "CPUID",
    "hypercall": "hypercall",
    "rdmsr": "RDMSR",
    "wrmsr": "WRMSR",
    "xsetbv": "XSETBV",
    "port_read": "port read, UART",
    "port_write": "port write, UART",
    "port_eventfd": "port write, ioeventfd",
    "mmio_read": "MMIO read, IOAPIC",
    "mmio_write": "MMIO write, IOAPIC",
    "mmio_user_read": "MMIO read, user space",
    "mmio_user_write": "MMIO write, user space",
    "apic_eoi": "EOI",
    "fault": "second-level fault, 4 KiB",
    "ipi_self": "IPI to itself",
    "ipi_other": "IPI to another core",
    "hlt_timer": "HLT, woken by the timer",
    "hlt_ipi": "HLT, woken by an IPI",
    "irq_timer": "timer interrupt",
}
TWO_CORES = ("ipi_other", "hlt_ipi")
# Held against a number of instructions besides KVM's.
SHORT = ("cpuid", "hypercall", "rdmsr", "wrmsr")
SHORT_LIMIT = 150

# Changes of a guest's memory and what they cost the guest afterwards; by the guest's size in MiB.
SIZES = (64, 128, 256, 512)
SLOTS = {
    "slot_warm": "touched, nothing done before",
    "slot_cycle": "one page's slot deleted and created",
    "slot_retouch": "touched again",
    "slot_cycle_all": "the same with zap=all",
    "slot_retouch_all": "touched again",
    "slot_cycle_huge": "the same, 2 MiB pages of the host",
    "slot_retouch_huge": "touched again",
}
NX = {
    "nx_exec": "a function called in each",
    "nx_exec_warm": "once more",
    "nx_touch_warm": "their data touched, before",
    "nx_touch": "touched, after recovery",
    "nx_exec_again": "called, after recovery",
}
STEADY = {
    "exits_idle": "exits of an idle kernel",
    "seconds_idle": "in seconds",
    "ticks_idle": "with timer interrupts",
    "exits_busy": "exits of a busy kernel",
    "seconds_busy": "in seconds",
    "ticks_busy": "with timer interrupts",
}
BOOT = {
    "boot_entry": "from efi_main to the first guest, without reading files",
    "boot_init": "a stock kernel from its entry to its init",
}
MEMORY = {
    "memory_guest": "a guest, its tables apart",
    "memory_tables": "tables for 1 GiB in 2 MiB pages",
    "memory_tables_4k": "tables for 1 GiB in 4 KiB pages",
    "memory_image": "the image in memory",
    "memory_others": "cores, devices, consoles, descriptors of pages",
    "memory_unused": "in the pool and unused",
}


def value(results, host, env, key):
    """A number, or None where it was not measured."""
    return results.get("results", {}).get(host, {}).get(env, {}).get(key)
