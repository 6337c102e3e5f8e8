# SPDX-License-Identifier: BSD-2-Clause
"""The CPU that a guest sees: denied instructions, registers over exits, debug exceptions, NMIs."""
import time

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


def interrupt_after_sti(lab, **options):
    m = lab.boot([Guest("one", "shadow")], **options)
    m.expect("type now")
    for _ in range(200):
        m.send("x")
        time.sleep(0.005)
    m.send(".")
    assert m.expect(r"(?s)ok \d+ interrupts.*done: \d+ ok, (\d+) failed").group(1) == "0", \
        m.console.tail(4)


@target(limit=120)
def nmi_behind_sti_lets_no_interrupt_in(lab):
    interrupt_after_sti(lab)


@target(hosts=("bochs",), limit=120)
def nmi_behind_sti_lets_no_interrupt_in_on_bochs_svm(lab):
    interrupt_after_sti(lab, cpu="trinity_apu")
