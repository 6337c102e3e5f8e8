# SPDX-License-Identifier: BSD-2-Clause
"""A guest executes from, reads and writes memory while its layout changes thousands of times.

tests/guests/storm.c checks everything that it sees. The monitor runs on another guest's core."""
import re
import time

from lib.machine import Guest
from lib.target import target

# As in tests/guests/storm.c: what is where, and what `fill` makes of it (pages and colour).
SETUP = ("share red 4M; share blue 4M; share left 2060K; share right 2060K",
         "map storm red 50000000; map storm blue 51000000",
         "map storm red 40000000 rwx; map storm blue 42000000 rwx",
         "map storm left 46000000 rwx; map storm right 52000000 rwx",
         "add storm 48000000 4108K rwx odd; add storm 4c001000 36K rwx guarded")
FILLS = ("50000000 400 1", "51000000 400 2", "46000000 203 3", "52000000 203 3", "48000000 403 4",
         "4c001000 9 5")

# One round: six transactions. The two windows of the pair change places at one point; the backing
# of a window changes for one of equal contents; memory shrinks into the middle of a large page and
# grows again; rights come and go.
ROUND = ("txn storm move 40000000 44000000, move 42000000 40000000, move 44000000 42000000",
         "replace storm 46000000 right",
         "txn storm resize 48000000 1028K, protect 4c001000 rx",
         "replace storm 46000000 left",
         "txn storm resize 48000000 4108K, protect 4c001000 rwx",
         "resize storm 48000000 3M")


def count(pattern, text):
    return int(re.search(pattern, text).group(1))


def storm(lab, rounds, repeats, **keys):
    """`rounds` times `repeats` rounds of transactions, with a look at every page between them."""
    m = lab.boot([Guest("by", "terminal", cores=0), Guest("storm", "storm", cores=1, **keys)],
                 lamina={"spare": "32M"})
    m.wait_started()
    for name in ("by", "storm"):
        m.console.expect(f"guest {name}: started on core", 60, anywhere=True)
    for line in SETUP:
        text = m.monitor(line)
        assert "refused" not in text, text
    m.monitor("console storm")
    m.expect("storm ready")
    for i, fill in enumerate(FILLS):
        m.command(f"fill {i:x} {fill}", f"{i:x}: filled")
    m.command("run", "storm begins")
    start = time.monotonic()
    done = 0
    for i in range(rounds):
        m.monitor("console by")
        m.expect("--- guest by")
        text = m.monitor(f"repeat {repeats} " + "; ".join(ROUND), timeout=60)
        done += len(ROUND) * count(r"(\d+) of \d+ runs", text)
        assert f"{repeats} of {repeats} runs" in text, text
        m.monitor("console storm")
        m.expect("--- guest storm")
        found = m.command(f"check {i:x}", fr"{i:x}: checked, loops (\d+)|FAIL .*", timeout=30)
        assert found.group(1), found.group(0)
    seconds = time.monotonic() - start
    m.send("stop\r")
    loops = int(m.expect(r"ok loops (\d+)\r").group(1))
    m.expect(r"done: \d+ ok, 0 failed")
    committed = count(r"committed (\d+)", m.monitor("mmustat storm"))
    assert committed >= done, (committed, done)
    lab.note(f"{done} transactions, {loops} loops in {seconds:.0f} s")
    return done


@target(hosts=("qemu",), limit=200)
def ten_thousand_transactions(lab):
    assert storm(lab, 5, 340) >= 10000


@target(hosts=("bochs",), limit=200)
def a_thousand_transactions(lab):
    assert storm(lab, 5, 34) >= 1000
