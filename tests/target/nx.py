# SPDX-License-Identifier: BSD-2-Clause
"""Large pages that are not executable: split for a fetch, merged again, at no cost for data."""
import re
import time

from lib.live import run, two_guests
from lib.target import target

BASE = 0x40000000
REGION = 0x200000  # one large page
REGIONS = 6


def boot(lab, **keys):
    """The monitor runs on the bystander's core; `one` has memory that nothing has touched yet."""
    m = two_guests(lab, **keys)
    m.monitor(f"add one {BASE:x} {REGIONS * REGION >> 20}M rwx code")
    return m


def stats(m):
    text = m.monitor("itlb one") + m.monitor("mmustat one")
    found = {}
    for key, pattern in {"now": r"split now (\d+)", "ever": r"ever (\d+)",
                         "merged": r"merged again (\d+)", "fixed": r"fixed (\d+)"}.items():
        found[key] = int(re.search(pattern, text).group(1))
    return found


def page_of(m, gpa):
    """The size and the rights that a byte is mapped with."""
    text = m.monitor(f"pt {gpa:x} one")
    return re.search(r"-> hpa \w+, (\S+) page, (\S+)", text).groups()


def regions(command, rest=""):
    return [f"{command} {BASE + i * REGION:x}{rest}" for i in range(REGIONS)]


def fetches_split_and_merge_again(lab, **keys):
    m = boot(lab, **keys)
    run(m, *regions("fill", " 1 1"))
    assert page_of(m, BASE) == ("2M", "rw-"), page_of(m, BASE)
    before = stats(m)

    run(m, *regions("call"))
    after = stats(m)
    assert after["ever"] - before["ever"] == REGIONS, (before, after)
    assert after["now"] - before["now"] == REGIONS, (before, after)
    assert page_of(m, BASE) == ("4K", "rwx")
    assert page_of(m, BASE + 0x1000) == ("4K", "rw-")
    run(m, *regions("call"))
    assert stats(m)["ever"] == after["ever"]

    # The first look clears the flags, the second finds that nothing was executed in between. The
    # guest's own code was, while it waited for the next command.
    m.monitor("itlb one recover")
    run(m, f"peek {BASE - 0x10000000:x}")
    assert f"guest one: {REGIONS} merged" in m.monitor("itlb one recover")
    merged = stats(m)
    assert merged["now"] == before["now"], (before, merged)
    for i in range(REGIONS):
        assert page_of(m, BASE + i * REGION) == ("2M", "rw-")
    run(m, *regions("peek"), *regions("poke", " 7"))
    assert stats(m)["fixed"] == merged["fixed"], "data accesses faulted"

    run(m, *regions("fill", " 1 1"), *regions("call"))
    again = stats(m)
    assert again["ever"] - merged["ever"] == REGIONS, (merged, again)
    lab.note(f"{REGIONS} regions split for {REGIONS} fetches, merged, split again")
    return m


@target(hosts=("qemu",), limit=120)
def regions_split_for_a_fetch_and_merge_again(lab):
    m = fetches_split_and_merge_again(lab, nx_hugepages="on")
    # Passes take place by themselves, but at exits only; here the guest has one each second.
    m.monitor("itlb one every 1")
    before = stats(m)
    m.monitor("stat one")
    for _ in range(12):
        time.sleep(1.1)
        run(m, "peek 30000000")
    after = stats(m)
    assert after["merged"] > before["merged"], (before, after)
    lab.note(f"{after['merged'] - before['merged']} merged by passes at exits")


@target(hosts=("bochs",), limit=120)
def regions_split_where_the_cpu_needs_it(lab):
    """Intel's CPU without IA32_ARCH_CAPABILITIES."""
    m = fetches_split_and_merge_again(lab)
    assert re.search(r"guest one: iTLB multihit: affected, large pages are not executable "
                     r"\(nx_hugepages=auto\)", m.monitor("log"))


@target(limit=120)
def off_is_off_and_says_so(lab):
    m = boot(lab, nx_hugepages="off")
    run(m, *regions("fill", " 1 1"), *regions("call"))
    assert stats(m)["ever"] == 0
    assert page_of(m, BASE) == ("2M", "rwx")
    warned = "can stop the whole machine (nx_hugepages=off)" in m.monitor("log")
    assert warned == (lab.host == "bochs")
    # Switched while the guest runs, to and fro.
    assert "are not executable" in m.monitor("itlb one on")
    run(m, *regions("call"))
    assert stats(m)["now"] >= REGIONS
    assert page_of(m, BASE) == ("4K", "rwx")
    assert "are executable" in m.monitor("itlb one off")
    run(m, *regions("call"))
    assert page_of(m, BASE) == ("2M", "rwx")
    assert stats(m)["now"] == 0
