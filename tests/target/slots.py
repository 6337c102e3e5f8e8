# SPDX-License-Identifier: BSD-2-Clause
"""Changing a guest's memory while it runs, by the monitor."""
import re

from lib.machine import Guest
from lib.target import target


def two_guests(lab, lamina=None, **keys):
    """The monitor runs on the bystander's core, the other guest goes on meanwhile."""
    m = lab.boot([Guest("by", "terminal", cores=0), Guest("one", "storm", cores=1, **keys)],
                 lamina={"spare": "32M"} | (lamina or {}))
    # Both, in any order: a message would be taken for the end of a command.
    m.wait_started()
    for name in ("by", "one"):
        m.console.expect(f"guest {name}: started on core", 60, anywhere=True)
    return m


def ask(m, command, *words, guest="one"):
    """A line to the small guest `storm` and its answer; the monitor then runs on another core."""
    tag = f"{m.console.position():x}"
    m.monitor(f"console {guest}")
    m.expect(f"--- guest {guest}")
    answer = m.command(" ".join([command, tag, *words]), fr"{tag}: (\w+)\r").group(1)
    m.monitor("console by")
    m.expect("--- guest by")
    return answer


@target(limit=120)
def memory_is_added_moved_and_removed(lab):
    m = two_guests(lab)
    text = m.monitor("slots one")
    assert re.search(r"000000000000-000001ffffff +32M rwx +wb +ram", text), text
    assert "guest one: done, version 2" in m.monitor("add one 40000000 4M rwx extra")
    assert re.search(r"000040000000-0000403fffff +4M rwx +wb +ram .* extra", m.monitor("slots one"))
    assert ask(m, "peek", "40000000") == "0"
    assert ask(m, "poke", "40201000 1234") == "1234"
    assert "version 3" in m.monitor("move one 40000000 80000000")
    assert ask(m, "peek", "80201000") == "1234"
    assert ask(m, "peek", "40201000") == "ffffffffffffffff"
    text = m.monitor("pt 80201000 one")
    assert re.search(r"level 2: .* page at hpa [0-9a-f]+00000, rwx wb", text), text
    assert "version 4" in m.monitor("remove one 80000000")
    assert ask(m, "peek", "80201000") == "ffffffffffffffff"
    # The next one to get it finds nothing.
    m.monitor("add by 90000000 32M")
    assert "spare: 32M" in m.monitor("mem") and " 0K free" in m.monitor("mem")
