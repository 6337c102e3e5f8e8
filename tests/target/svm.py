# SPDX-License-Identifier: BSD-2-Clause
"""AMD SVM beyond what QEMU's model of it shows: features, several cores, NMIs under load."""
import re

from lib.machine import Guest
from lib.target import target


def exits(m, guest="one"):
    """The monitor's exit counts by class."""
    text = m.monitor(f"console {guest}") or m.monitor("stat")
    return {name: int(count) for name, count in re.findall(r"^\s+(\S+)\s+(\d+) exits", text, re.M)}


@target(hosts=("bochs",), limit=400)
def stock_kernel_reaches_its_shell_on_bochs_svm(lab):
    m = lab.boot([Guest("one", "linux")], memory=768, cpu="trinity_apu")
    m.expect("uses NPT NRIPS flush-by-ASID LBR virtualization", timeout=60)
    m.expect("guest one: Linux 6", timeout=100)
    m.expect(r"one:\S*# ")
    assert m.shell("echo $((6*7))") == "42"
