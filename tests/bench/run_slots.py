# SPDX-License-Identifier: BSD-2-Clause
"""One page's slot is deleted and created again, while all of the guest's memory has been touched and
is mapped with 4 KiB pages; then the guest touches it all again."""
import re

from lib.footprint import footprint
from lib.machine import Guest
from lib.payload import WINDOW, read
from measure import KHZ, instructions, measurement, options
import keys

MIB = 1 << 20
FIRST = 8 * MIB  # below it is the payload
CYCLES = 1000
CYCLE = f"remove one {WINDOW:x}; add one {WINDOW:x} 4K rw window"


def ticks(m, runs, commands):
    """Of monitor commands, what the monitor itself takes included; it shows the last run only."""
    text = m.monitor(f"repeat {runs} {commands}", timeout=120)
    return int(re.search(rf"{runs} of {runs} runs in .*\((\d+) ticks\)", text).group(1))


def split_all(m, size):
    """All of the RAM as 4 KiB pages; as many regions in one line as the monitor takes."""
    commands = [f"split one {gpa:x}" for gpa in range(0, size, 2 * MIB)]
    for i in range(0, len(commands), 16):
        m.monitor("repeat 1 " + "; ".join(commands[i:i + 16]))
    pages = int(re.search(r"4K: (\d+)", m.monitor("mmustat one")).group(1))
    assert pages >= size // 4096, (pages, size)


def one_run(lab, m, size, zap_all):
    """(instructions of deleting and creating, {key: instructions} of the payload)."""
    cycle = []

    def edit(m, _):
        split_all(m, size)
        cycle.append(ticks(m, 2, CYCLE) - ticks(m, 2, CYCLE) if zap_all else 0)

    results, _ = read(m, actions={"slot": edit})
    once = ticks(m, CYCLES, CYCLE) // CYCLES
    return instructions(lab, once + cycle[0]), {k: instructions(lab, n) for k, n in results.items()}


def memory(m, mib):
    """Bytes of what Lamina takes, by what for; tables for a GiB."""
    kib = footprint(m)
    others = sum(kib[k, ""] for k in ("common", "cores", "devices", "start"))
    taken = {"guest": kib["guest", "one"], "image": kib["image", ""], "others": others,
             "unused": kib["unused", ""], "tables": kib["tables", "one"] * 1024 / mib}
    return {f"memory_{key}": int(n * 1024) for key, n in taken.items()}


def of_size(lab, mib):
    size = mib * MIB
    m = lab.boot([Guest("one", "payload", memory=f"{mib}M", autostart="no", cmdline=(
        f"env=lamina khz={KHZ[lab.host]} touch={FIRST:#x},{size - FIRST:#x}"))],
        lamina={"spare": "2M"}, memory=1024, **options(lab))
    m.wait_started(120)
    m.monitor(f"add one {WINDOW:x} 4K rw window")
    taken = memory(m, mib)
    for zap_all, suffix in ((False, ""), (True, "_all")):
        m.monitor(f"zap one {'all' if zap_all else 'slot'}", "start one", "console one")
        cycle, results = one_run(lab, m, size, zap_all)
        taken |= {f"slot_cycle{suffix}_{mib}": cycle,
                  f"slot_warm{suffix}_{mib}": results["slot_touch_warm"],
                  f"slot_retouch{suffix}_{mib}": results["slot_retouch"]}
        if not zap_all:
            taken["memory_tables_4k"] = memory(m, mib)["memory_tables"]
    return taken


@measurement()
def small_slot(lab):
    taken = {}
    for mib in keys.SIZES:
        taken |= of_size(lab, mib)
        lab.machines[-1].close()
    return {"lamina": taken}
