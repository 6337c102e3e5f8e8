# SPDX-License-Identifier: BSD-2-Clause
"""The benchmarks' payload (tests/bench/guest/) on a machine with Lamina: read what it reports and do
what it asks for, by the monitor."""
import re

from lib.machine import SPEED

LINE = r"\n(result \S+ \d+|info [^\r\n]*|wait \w+|FAIL [^\r\n]*|done[^\r\n]*)\r"
WINDOW = 0x40000000  # the slot of one page that comes and goes


def bases(m, guest):
    """Where the guest's RAM is, by the monitor's list of slots."""
    return re.findall(r"^ +([0-9a-f]{12})-[0-9a-f]+ .* ram ", m.monitor(f"slots {guest}"), re.M)


def zap(m, guest):
    for base in bases(m, guest):
        text = m.monitor(f"zap {guest} {base}")
        assert "done" in text, text


def edit_slot(m, guest):
    """The slot is there afterwards, at first it may be missing."""
    for command in (f"add {guest} {WINDOW:x} 4K rw window", f"remove {guest} {WINDOW:x}",
                    f"add {guest} {WINDOW:x} 4K rw window"):
        text = m.monitor(command)
    assert "done" in text, text


def recover(m, guest):
    """The first look clears the accessed flags, the second finds what was not executed since."""
    for _ in range(2):
        text = m.monitor(f"itlb {guest} recover")
        assert "merged" in text, text


ACTIONS = {"zap": zap, "slot": edit_slot, "recover": recover}


def read(m, guest="one", actions=ACTIONS, timeout=120):
    """Until the payload ends: its results {KEY: TICKS}, and the rest {KEY: text}. actions: {name:
    function(machine, guest's name)}."""
    results, facts = {}, {}
    while True:
        kind, _, rest = m.expect(LINE, timeout).group(1).partition(" ")
        assert kind != "FAIL", rest
        if kind == "result":
            key, ticks = rest.split()
            results[key] = int(ticks)
        elif kind == "info":
            key, _, facts[key] = rest.partition(" ")
        elif kind == "wait":
            actions[rest](m, guest)
            go_on(m, guest)
        else:
            return results, facts


def go_on(m, guest):
    if m.in_monitor():
        m.monitor(f"console {guest}")
        m.console.expect(f"--- guest {guest}", 30 * SPEED[m.host])
    m.send("go\r")
