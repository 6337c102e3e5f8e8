# SPDX-License-Identifier: BSD-2-Clause
"""The CPU that a guest sees: denied instructions, registers over exits, debug exceptions, NMIs."""
from lib.machine import Guest
from lib.target import target


def run_cpu_guest(lab, words="", **options):
    m = lab.boot([Guest("one", "cpu", cmdline=words)], **options)
    m.expect(r"done: \d+ ok, 0 failed", timeout=60)


@target(limit=120)
def guest_sees_an_ordinary_cpu(lab):
    # QEMU shows the host's PAT and takes any value.
    run_cpu_guest(lab, "pat" if lab.host == "bochs" else "")


@target(hosts=("bochs",), limit=120)
def guest_sees_an_ordinary_cpu_on_bochs_svm(lab):
    """NRIPS, flush-by-ASID and LBR virtualization, which QEMU lacks."""
    run_cpu_guest(lab, "pat nodr6", cpu="trinity_apu")
