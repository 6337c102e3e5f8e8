# SPDX-License-Identifier: BSD-2-Clause
"""The virtual devices, through the instructions that reach them, while a neighbour is watching."""
from lib.machine import Guest
from lib.target import target


def run_devices(lab, **options):
    m = lab.boot([Guest("one", "devices"), Guest("two", "hello", cmdline="hang")], **options)
    m.expect("written by one OUTS", timeout=60)
    m.expect(r"done: \d+ ok, 0 failed", timeout=60)
    return m


@target(limit=150)
def devices_answer_all_instructions(lab):
    m = run_devices(lab)
    # The neighbour's core got none of the interrupts that were sent to it.
    assert "running" in m.monitor("guests")
    refused = m.monitor("stat one")
    assert "0 IPIs to others" not in refused, refused


@target(hosts=("bochs",), limit=150)
def devices_answer_all_instructions_on_bochs_svm(lab):
    """With next-RIP but without decode assists."""
    run_devices(lab, cpu="trinity_apu")
