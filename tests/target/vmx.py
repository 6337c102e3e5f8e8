# SPDX-License-Identifier: BSD-2-Clause
"""What VMX's exit code must get right. QEMU lacks some of the checks that real CPUs make."""
from lib.machine import Guest
from lib.target import target


@target(hosts=("bochs",), limit=120)
def control_registers_and_debug_exceptions(lab):
    m = lab.boot([Guest("one", "control")])
    m.expect(r"done: \d+ ok, 0 failed", timeout=40)
