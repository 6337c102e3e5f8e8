# SPDX-License-Identifier: BSD-2-Clause
"""Exits of guests, as the monitor counts them, and what it takes to have none."""
import os
import re
import subprocess

from lib.machine import TOP

# What the monitor itself causes: one NMI for each key pressed.
OWN = {"nmi"}


def exits(m, guest=""):
    text = m.monitor(f"stat {guest}".strip())
    return {name: int(count) for name, count in re.findall(r"^\s+(\S+)\s+(\d+) exits", text, re.M)}


def difference(before, after):
    return {k: n - before.get(k, 0) for k, n in after.items()
            if n != before.get(k, 0) and k not in OWN}


def newer_qemu(lab):
    """The QEMU of Debian 12's backports; the test is skipped where it cannot be had."""
    script = os.path.join(TOP, "tools", "newer-qemu.sh")
    done = subprocess.run([script, os.path.join(lab.build, "cache", "qemu")],
                          capture_output=True, text=True)
    if done.returncode:
        lab.skip(f"no newer QEMU: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip()


def x2apic(lab):
    """What to boot with to have x2APIC: QEMU has it with TCG from 9.0 on."""
    if lab.host != "qemu":
        return {}
    return {"qemu": newer_qemu(lab), "cpu": "EPYC,+svm,+npt,+x2apic"}
