# SPDX-License-Identifier: BSD-2-Clause
"""Dirty logs: the monitor tells exactly which pages a guest has written to, by each way to notice."""
import re

from lib.live import ask, message, two_guests
from lib.target import target

MEMORY = "40000000"  # 8 MiB, in large pages, that nothing in the guest uses by itself


def dirty(m, gpa=MEMORY):
    """Pages of the slot that were written to since the last call."""
    text = m.monitor("dirty one")
    return int(re.search(rf"{int(gpa, 16):012x} +(\d+) of ", text).group(1))


def tell(m, *lines):
    """Lines to the small guest `storm`, each with its answer; the monitor then runs elsewhere."""
    m.monitor("console one")
    m.expect("--- guest one")
    for line in lines:
        tag = f"{m.console.position():x}"
        command, _, words = line.partition(" ")
        m.command(f"{command} {tag} {words}", fr"\n{tag}: \w+\r")
    m.monitor("console by")
    m.expect("--- guest by")


def poke(page):
    return f"poke {int(MEMORY, 16) + 0x1000 * page + 8 * (page % 512):x} {page:x}"


def log_is_exact(m, mode):
    m.monitor(f"dirty one mode {mode}; dirty one on {MEMORY}")
    assert dirty(m) == 0
    # Two in one large page, one of them again, and the last of another.
    tell(m, poke(3), poke(4), poke(1023), poke(4))
    assert dirty(m) == 3
    assert dirty(m) == 0
    # One that has been reported already; and what is read only.
    tell(m, poke(4), f"peek {int(MEMORY, 16) + 0x5000:x}")
    # Tables go and come; news of writes stay.
    m.monitor(f"zap one {MEMORY}; add one 50000000 4K; remove one 50000000")
    tell(m, f"fill {int(MEMORY, 16) + 0x200000:x} 300 7")
    assert dirty(m) == 0x301
    m.monitor(f"dirty one off {MEMORY}; merge one")
    assert re.search("level 2: .* rw. wb", m.monitor(f"pt {MEMORY} one"))


@target(limit=90)
def reports_are_exact(lab):
    m = two_guests(lab, zap="slot")
    m.monitor(f"add one {MEMORY} 8M rwx logged")
    assert "keeps no dirty log" in m.monitor("dirty one")
    modes = ["wp", "flags"] + (["pml"] if ", PML" in m.console.text(0) else [])
    for mode in modes:
        log_is_exact(m, mode)
    return ", ".join(modes)


@target(limit=90)
def whole_guests_are_logged(lab):
    """Its own memory as well, while it runs; its code goes on as if nothing were."""
    m = two_guests(lab)
    m.monitor(f"add one {MEMORY} 8M rwx logged")
    assert "for 2 slots" in m.monitor("dirty one on")
    assert "(dirty log)" in m.monitor("slots one")
    for n in (2, 1):
        tell(m, *map(poke, range(n)))
        text = m.monitor("dirty one")
        assert int(re.search(r"000000000000 +(\d+) of ", text).group(1)) > 0, text
        assert int(re.search(rf"{int(MEMORY, 16):012x} +(\d+) of ", text).group(1)) == n, text
    assert "not while a dirty log" in m.monitor("dirty one mode wp")
    m.monitor("reset one")
    message(m, "guest one: restarted on core 1")
    assert ask(m, "peek", "40000000") == "0"
    # The kernel was loaded again: by the hypervisor, and that counts.
    assert dirty(m, "0") > 0
    m.monitor("dirty one off")
    text = m.monitor("mmustat one")
    assert re.search("dirty logs: off", text), text
    assert "no slot begins there" in m.monitor("dirty one on 40001000")
