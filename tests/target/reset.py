# SPDX-License-Identifier: BSD-2-Clause
"""Each run of a guest begins on a machine as after power-on."""
from lib.machine import Guest
from lib.target import target


@target(limit=120)
def nothing_of_a_run_is_left_in_the_next(lab):
    m = lab.boot([Guest("one", "again", cmdline="nopat" if lab.host == "qemu" else "")])
    m.expect_in_order("run 1", "run 2", timeout=40)
    text = m.expect(r"done: (\d+) ok, (\d+) failed", timeout=20)
    assert int(text.group(1)) >= 15 and text.group(2) == "0", m.console.tail(60)
    assert "guest one: restarted on core 0" in m.console.text()
