# SPDX-License-Identifier: BSD-2-Clause
"""What is measured: the keys of the results, in the order of the tables, and their names."""
HOSTS = {"qemu": "QEMU, SVM", "bochs": "Bochs, VMX"}
ENVS = ("bare", "lamina", "kvm")

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
# Held against a number of instructions besides KVM's.
SHORT = ("cpuid", "hypercall", "rdmsr", "wrmsr")
SHORT_LIMIT = 150

# Changes of a guest's memory and what they cost the guest afterwards.
MEMORY_EDITS = {
    "slot_cycle": "one page's slot deleted and created again",
    "slot_retouch": "all memory touched again after that",
    "zap_retouch": "all memory touched again after a zap of all",
    "nx_exec": "executed in 512 regions of 2 MiB",
    "nx_touch": "their data touched after recovery",
}
EDITS_PLOTTED = {}
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
    "memory_pool": "the hypervisor's pool, all guests' tables included",
    "memory_image": "the hypervisor's image in memory",
    "memory_guest": "a guest of 256 MiB, its tables apart",
    "memory_tables": "its tables with large pages",
    "memory_tables_4k": "its tables with 4 KiB pages, a GiB",
}


def value(results, host, env, key):
    """A number, or None where it was not measured."""
    return results.get("results", {}).get(host, {}).get(env, {}).get(key)
