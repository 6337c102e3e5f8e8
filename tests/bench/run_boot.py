# SPDX-License-Identifier: BSD-2-Clause
"""From the start of the program to a guest's first instruction, and of a kernel to its init."""
import re

from lib.machine import Guest
from measure import instructions, measurement, options


@measurement()
def to_the_first_guest(lab):
    """Without reading files, which is the firmware's work."""
    m = lab.boot([Guest("one", "hello", cmdline="hang")], **options(lab))
    m.expect("hanging", timeout=120)
    text = m.monitor("version", timeout=60)
    return {"lamina": {"boot_entry": instructions(lab, re.search(r"(\d+) ticks", text).group(1))}}
