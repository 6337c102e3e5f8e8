# SPDX-License-Identifier: BSD-2-Clause
"""The payload's operations, in each environment."""
import re

from lib.dma import boot_bare
from lib.machine import Guest
from measure import instructions, measurement, options

NAMES = {"CPUID": "cpuid", "RDMSR": "rdmsr", "IN of nobody's port": "port_read", "OUT to UART": "port_write",
         "IOAPIC read": "mmio_read", "EOI": "apic_eoi", "self-IPI to its end": "ipi_self", "hypercall": "hypercall"}

def collect(lab, m, end=r"done:"):
    """{key: instructions} of what the payload prints until its end."""
    found = {}
    while True:
        match = m.expect(rf"bench ([^:\r\n]+): (\d+)\r|{end}", timeout=120)
        if match.group(1) is None:
            return found
        if match.group(1) in NAMES:
            found[NAMES[match.group(1)]] = instructions(lab, match.group(2))


@measurement()
def under_lamina(lab):
    m = lab.boot([Guest("one", "bench")], **options(lab))
    return {"lamina": collect(lab, m)}
