# SPDX-License-Identifier: BSD-2-Clause
"""Exits of a stock kernel that has nothing to do, and of one that computes, both with their tick."""
import re
import time

from lib.exits import difference, exits, x2apic
from lib.machine import Guest
from measure import measurement

HZ = 250  # of Debian's kernel; nohz=off: it ticks though it is idle
SECONDS = {"qemu": 10, "bochs": 10}  # by the wall's clock
BUSY = "(while :; do i=$((i + 1)); done) & dd if=/dev/zero of=/dev/null bs=64k & true"


def ticks(m):
    return int(m.shell("awk '/^ *LOC:/ { print $2 }' /proc/interrupts"))


def at_rest(lab, m):
    """(exits by class, timer interrupts) of some seconds without any first fetch: where large pages
    are not executable, each page of code faults once, when it runs for the first time."""
    for _ in range(15):
        m.monitor("console one")
        before_ticks = ticks(m)
        m.open_monitor()
        time.sleep(1)  # for the rest of the line that said so
        before = exits(m)
        time.sleep(SECONDS[lab.host])
        found = difference(before, exits(m))
        if not found.pop("tdp-fault", 0):
            break
    m.monitor("console one")
    return found, ticks(m) - before_ticks


@measurement(limit=500)
def a_stock_kernel(lab):
    """QEMU 7.2 has no x2APIC with TCG, without which each EOI would exit; so a newer one."""
    m = lab.boot([Guest("one", "linux", cmdline="console=ttyS0 guest=one quiet nohz=off")],
                 **x2apic(lab))
    m.wait_shell(90)
    taken = {}
    for state in ("idle", "busy"):
        found, passed = at_rest(lab, m)
        taken |= {f"exits_{state}": sum(found.values()), f"ticks_{state}": passed,
                  f"seconds_{state}": round(passed / HZ)}
        if found:
            lab.note(f"{state}: {found}")
        if state == "idle":
            m.shell(BUSY)
    return {"lamina": taken}
