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

# One round: six transactions, and the page size changes in place. The two windows of the pair change
# places at one point; the backing of a window changes for one of equal contents; memory shrinks into
# the middle of a large page and grows again; rights come and go.
TRANSACTIONS = 6
ROUND = ("txn storm move 40000000 44000000, move 42000000 40000000, move 44000000 42000000",
         "split storm 40000000", "replace storm 46000000 right",
         "txn storm resize 48000000 1028K, protect 4c001000 rx", "zap storm 42000000",
         "replace storm 46000000 left", "split storm 42201000", "merge storm",
         "txn storm resize 48000000 4108K, protect 4c001000 rwx", "resize storm 48000000 3M")
PARTS = 4  # of a storm; between them a look at every page


def count(pattern, text):
    return int(re.search(pattern, text).group(1))


def prepare(lab):
    m = lab.boot([Guest("by", "terminal", cores=0), Guest("storm", "storm", cores=1)],
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
    return m


def storm(lab, m, transactions, *switches):
    """That many transactions with the guest running, then a look at every page."""
    repeats = -(-transactions // (PARTS * TRANSACTIONS))
    start = time.monotonic()
    for _ in range(PARTS):
        m.monitor("console by")
        m.expect("--- guest by")
        m.monitor(*switches)
        before = count(r"committed (\d+)", m.monitor("mmustat storm"))
        text = m.monitor(f"repeat {repeats} " + "; ".join(ROUND), timeout=240)
        assert f"{repeats} of {repeats} runs" in text, text
        after = count(r"committed (\d+)", m.monitor("mmustat storm"))
        assert after - before == repeats * TRANSACTIONS, (before, after)
        m.monitor("console storm")
        m.expect("--- guest storm")
        tag = f"{m.console.position():x}"
        found = m.command(f"check {tag}", fr"{tag}: checked, loops (\d+)\r|FAIL [^\r]*\r", timeout=30)
        assert found.group(1), found.group(0)
    return (f"{PARTS * repeats * TRANSACTIONS} transactions in {time.monotonic() - start:.0f} s",
            int(found.group(1)))


def storms(lab, transactions, *variants):
    m = prepare(lab)
    loops = 0
    for switches in variants:
        text, so_far = storm(lab, m, transactions, *switches)
        assert so_far - loops > 1000, "the guest did not get anywhere"
        lab.note(f"{', '.join(switches)}: {text}, {so_far - loops} loops")
        loops = so_far
    m.send("stop\r")
    m.expect(r"done: \d+ ok, 0 failed")


def amount(lab):
    return 10000 if lab.host == "qemu" else 1000


@target(limit=900)
def storm_of_transactions(lab):
    storms(lab, amount(lab), ["zap storm slot", "itlb storm off"])


@target(limit=900)
def storm_without_executable_large_pages(lab):
    storms(lab, amount(lab), ["zap storm slot", "itlb storm on"])


@target(limit=900)
def storm_that_zaps_all(lab):
    storms(lab, amount(lab), ["zap storm all", "itlb storm off"])


@target(limit=900)
def storm_that_zaps_all_without_executable_large_pages(lab):
    storms(lab, amount(lab), ["zap storm all", "itlb storm on"])
