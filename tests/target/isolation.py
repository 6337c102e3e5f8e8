# SPDX-License-Identifier: BSD-2-Clause
"""Guests at rest take no exits; guests that misbehave hurt nobody but themselves."""
import re
import subprocess
import time

from lib.machine import Guest
from lib.target import target

# What the monitor itself causes: one NMI for each key pressed.
OWN = {"nmi"}


def exits(m):
    text = m.monitor("stat")
    return {name: int(count) for name, count in re.findall(r"^\s+(\S+)\s+(\d+) exits", text, re.M)}


def new_exits(m, seconds):
    """Exits by class over that time, without the monitor's own."""
    time.sleep(1)  # for the rest of the line that said so
    before = exits(m)
    time.sleep(seconds)
    after = exits(m)
    return {k: n - before.get(k, 0) for k, n in after.items()
            if n != before.get(k, 0) and k not in OWN}


def qemu_has_x2apic(lab):
    """TCG has it from QEMU 10 on."""
    text = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True).stdout
    return lab.host == "qemu" and int(re.search(r"version (\d+)", text).group(1)) >= 10


@target(limit=120)
def idle_guest_with_its_tick_takes_no_exit(lab):
    options = {}
    if lab.host == "qemu":
        if not qemu_has_x2apic(lab):
            lab.skip("this QEMU has no x2APIC with TCG (10 and later have)")
        options["cpu"] = "EPYC,+svm,+npt,+x2apic"
    m = lab.boot([Guest("one", "tick")], **options)
    m.expect("ticking with 100 Hz in x2APIC mode", timeout=40)
    found = new_exits(m, 10)
    assert not found, found


@target(limit=120)
def tick_in_xapic_mode_costs_one_exit(lab):
    """The page is read-only for the guest, because ICR is in it: EOI traps, nothing else does."""
    m = lab.boot([Guest("one", "tick", cmdline="xapic hz=20")])
    m.expect("ticking with 20 Hz in xAPIC mode", timeout=40)
    found = new_exits(m, 5)
    assert set(found) == {"apic"}, found
    lab.note(f"{found['apic']} EOIs in about 5 s of 20 Hz")


def misbehave(lab, deeds, deadly=False):
    """One guest for each deed and one that must not notice. The monitor stops those that go on."""
    guests = [Guest("bystander", "terminal", cores=0)]
    for i, deed in enumerate(deeds):
        guests.append(Guest(deed, "hostile", cores=i + 1, cmdline=deed))
    m = lab.boot(guests, lamina={"console": "all"})
    # The order is the machine's business.
    pending = {f"{deed}| hostile: {deed}" for deed in deeds} | {"bystander| terminal ready"}
    if deadly:
        pending |= {f"guest {deed}: stopped" for deed in deeds}
    while pending:
        found = m.expect("|".join(map(re.escape, sorted(pending))), timeout=40).group(0)
        pending.remove(found)
    m.monitor("console bystander")
    m.command("are you there", "got 'are you there'")
    for deed in () if deadly else deeds:
        m.monitor(f"stop {deed}")
    deadline = time.monotonic() + 20
    text = ""
    while not all(re.search(rf"{deed}\s.*stopped", text) for deed in deeds):
        assert time.monotonic() < deadline, text
        text = m.monitor("guests")
    assert re.search(r"bystander\s.*running", text), text


@target(limit=120)
def guests_that_sleep_or_spin_without_interrupts(lab):
    misbehave(lab, ["sleep-deaf", "spin-deaf", "cache-storm"])


@target(limit=120)
def guests_that_exit_as_fast_as_they_can(lab):
    misbehave(lab, ["exit-storm", "nmi-storm", "ipi-storm"])


@target(hosts=("bochs",), limit=120)
def debug_exception_that_raises_itself(lab):
    """QEMU 7.2 with TCG fails an assertion of its own."""
    misbehave(lab, ["debug-loop"])


@target(limit=120)
def guests_that_break_their_own_tables(lab):
    misbehave(lab, ["idt-nowhere", "stack-nowhere", "tables-nowhere"], deadly=True)


@target(limit=120)
def guests_that_leave_their_memory_or_crash(lab):
    misbehave(lab, ["jump-nowhere", "triple-fault"], deadly=True)
