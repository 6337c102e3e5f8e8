# SPDX-License-Identifier: BSD-2-Clause
"""Measurements in instructions, by the emulators' counts: the same in every run."""
import re

from lib.machine import Guest
from lib.target import target

# QEMU's TSC ticks once a nanosecond; an instruction takes 2^SHIFT. OVMF is too slow with 0.
SHIFT = 3


def options(lab):
    return {"icount": SHIFT} if lab.host == "qemu" else {}


def instructions(lab, ticks):
    return int(ticks) >> (SHIFT if lab.host == "qemu" else 0)


@target(bench=True, limit=400)
def exits(lab):
    m = lab.boot([Guest("one", "bench")], **options(lab))
    mode = m.expect(r"bench local APIC in (\S+) mode", timeout=120).group(1)
    results = [mode]
    while True:
        match = m.expect(r"bench ([^:\r\n]+): (\d+)\r|done:", timeout=60)
        if match.group(0).startswith("done"):
            break
        results.append(f"{match.group(1)} {instructions(lab, match.group(2))}")
    assert len(results) > 5, results
    lab.note(", ".join(results))


@target(bench=True, limit=400)
def boot(lab):
    m = lab.boot([Guest("one", "hello", cmdline="hang")], **options(lab))
    m.expect("hanging", timeout=120)
    text = m.monitor("version", timeout=60)
    match = re.search(r"(\d+) ticks", text)
    assert match, text
    lab.note(f"{instructions(lab, match.group(1))} instructions from efi_main to the first guest's "
             "first, without reading files")
