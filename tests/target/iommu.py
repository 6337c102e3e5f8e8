# SPDX-License-Identifier: BSD-2-Clause
"""What devices can reach, and what they cannot."""
from lib import devices
from lib.dma import CANARY, EVIL, boot_bare, memory, order, quad
from lib.target import target

IOMMUS = ("intel", "amd")


@target(iommus=IOMMUS, limit=60)
def without_lamina_a_device_reaches_everything(lab):
    """The positive control: the same device and the same program."""
    m = boot_bare(lab, "edu", "test", devices=[devices.edu(3)])
    m.expect("edu ready")
    assert "FAIL" not in m.console.text(), m.console.tail()
    own = order(m, "buffer")
    for address in (own + 0x1800, 0x1000, 0x10000000):
        order(m, "poke", address, CANARY)
        assert order(m, "from", address, 8) == CANARY
        order(m, "to", address, 16, EVIL)
        assert quad(m, address) == EVIL, memory(m, address, 16)
    # A write there is an interrupt.
    order(m, "to", 0xfee00000, 4, 0x66)
    assert order(m, "vector", 0x66) == 1
