# SPDX-License-Identifier: BSD-2-Clause
"""Guests at rest take no exits; guests that misbehave hurt nobody but themselves."""
import re
import time

from lib.exits import difference, exits, x2apic
from lib.machine import Guest
from lib.target import target

def new_exits(m, seconds):
    """Exits by class over that time, without the monitor's own."""
    time.sleep(1)  # for the rest of the line that said so
    before = exits(m)
    time.sleep(seconds)
    after = exits(m)
    return difference(before, after)


def timer_interrupts(m):
    return int(m.shell("awk '/^ *LOC:/ { print $2 }' /proc/interrupts"))


@target(limit=120)
def idle_guest_with_its_tick_takes_no_exit(lab):
    m = lab.boot([Guest("one", "tick")], **x2apic(lab))
    m.expect("ticking with 100 Hz in x2APIC mode", timeout=40)
    found = new_exits(m, 10)
    assert not found, found


@target(limit=300)
def idle_stock_kernels_with_their_tick_take_no_exit(lab):
    """With nohz=off, so that their ticks of 250 Hz go on while they are idle. Large pages are
    executable in one of the two; Bochs' CPU does not allow it. Where they are not, a page of code
    faults when it runs for the first time, so there it takes some time to come to rest."""
    names = ("one", "two") if lab.host == "qemu" else ("one",)
    split = "two" if lab.host == "qemu" else "one"
    m = lab.boot([Guest(n, "linux", cores=i, cmdline=f"console=ttyS0 guest={n} quiet nohz=off",
                        nx_hugepages="on" if n == "two" else "auto")
                  for i, n in enumerate(names)], memory=1024, **x2apic(lab))
    ticks = {}
    for name in names:
        m.monitor(f"console {name}")
        m.send("\r")
        m.expect(f"{name}:\\S*# ", timeout=90)
        ticks[name] = timer_interrupts(m)
    m.open_monitor()
    time.sleep(1)
    first_fetches = 0
    for _ in range(15):
        before = {name: exits(m, name) for name in names}
        time.sleep(10)
        found = {name: difference(before[name], exits(m, name)) for name in names}
        fetches = found[split].pop("tdp-fault", 0)
        assert not any(found.values()), found
        if not fetches:
            break
        first_fetches += fetches
    else:
        raise AssertionError(f"{split} does not come to rest: {first_fetches} faults")
    m.monitor("console one")
    passed = timer_interrupts(m) - ticks["one"]
    assert passed > 500, passed
    lab.note(f"{passed} timer interrupts meanwhile; {first_fetches} first fetches before that")


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


@target(limit=120)
def a_guest_that_only_makes_quick_exits_is_held_and_flushed(lab):
    """Its core never says that it is outside by itself: each of these waits for an NMI's effect."""
    m = lab.boot([Guest("one", "terminal", cores=0),
                  Guest("storm", "hostile", cores=1, cmdline="exit-storm")], lamina={"spare": "1M"})
    counts = []
    for _ in range(5):
        m.monitor("zap storm slot; add storm 50000000 4K; remove storm 50000000", timeout=30)
        m.monitor("zap storm 0; pause storm", timeout=30)
        assert "cpuid" in m.monitor("regs storm 0").split("last exits")[1]
        m.monitor("resume storm")
        counts.append(exits(m, "storm")["cpuid"])
    assert counts == sorted(set(counts)), counts
    lab.note(f"{counts[-1]} quick exits meanwhile")


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
