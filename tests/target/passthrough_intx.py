# SPDX-License-Identifier: BSD-2-Clause
"""Devices that have nothing but INTx."""
import re

from lib import devices
from lib.disk import make_disk
from lib.dma import focus, order
from lib.machine import Guest
from lib.target import target

INTX_COUNT = r"IO-APIC +1[6-9]-fasteoi +nvme"


def show(m, name):
    m.monitor(f"console {name}")
    m.send("\r")
    m.wait_shell(120)


def verify(m):
    m.shell("echo 3 > /proc/sys/vm/drop_caches")
    text = m.shell("cd /; sha256sum -c data/sums; cd", timeout=60)
    assert text.count("OK") == 4 and "FAILED" not in text, text


@target(iommus=("intel", "amd"), limit=240)
def two_guests_whose_devices_share_lines(lab):
    """Debian reads its NVMe disk all the time; a small guest counts the interrupts of its device, and
    sends its EOIs to the local APIC only."""
    m = lab.boot([Guest("one", "linux", cores=0, initrd="", pci="00:04.0",
                        cmdline="console=ttyS0 quiet rootfstype=ext4 rw init=/sbin/init "
                                "guest=one root=/dev/nvme0n1 pci=nomsi"),
                  Guest("two", "edu", cores=1, pci="00:08.0", reset="none", cmdline="test intx")],
                 memory=1024, devices=[devices.nvme(4, make_disk(lab)), devices.edu(8)])
    m.wait_started()
    show(m, "one")
    text = m.shell("cat /proc/interrupts")
    assert re.search(INTX_COUNT, text), text
    verify(m)
    m.shell("while :; do cat /data/file* > /dev/null; echo 3 > /proc/sys/vm/drop_caches; done "
            "2> /dev/null & true")
    focus(m, "two")
    first = order(m, "vector", 0x55)
    for n in range(1, 31):
        order(m, "raise")
        assert order(m, "vector", 0x55) == first + n
    show(m, "one")
    m.shell("kill $!")
    verify(m)
    bad = m.shell("dmesg -r | grep -E '^<[0-3]>|nobody cared|timeout'")
    assert not bad, bad
