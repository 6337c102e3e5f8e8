# SPDX-License-Identifier: BSD-2-Clause
"""What the vendor's exit code must get right: control registers, modes, debug exceptions."""
from lib.machine import Guest
from lib.target import target


@target(limit=120)
def control_registers_and_debug_exceptions(lab):
    m = lab.boot([Guest("one", "control")])
    m.expect(r"done: \d+ ok, 0 failed", timeout=40)
