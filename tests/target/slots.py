# SPDX-License-Identifier: BSD-2-Clause
"""Changing a guest's memory while it runs, by the monitor."""
import re

from lib.live import ask, boot, message, two_guests
from lib.machine import PROMPT, Guest
from lib.target import target


@target(limit=120)
def memory_is_added_moved_and_removed(lab):
    m = two_guests(lab)
    text = m.monitor("slots one")
    assert re.search(r"000000000000-000001ffffff +32M rwx +wb +ram", text), text
    assert "guest one: done, version 2" in m.monitor("add one 40000000 4M rwx extra")
    assert re.search(r"000040000000-0000403fffff +4M rwx +wb +ram .* extra", m.monitor("slots one"))
    assert ask(m, "peek", "40000000") == "0"
    assert ask(m, "poke", "40201000 1234") == "1234"
    assert "version 3" in m.monitor("move one 40000000 80000000")
    assert ask(m, "peek", "80201000") == "1234"
    assert ask(m, "peek", "40201000") == "ffffffffffffffff"
    # Executable only where the CPU has no iTLB multihit.
    text = m.monitor("pt 80201000 one")
    assert re.search(r"level 2: .* page at hpa [0-9a-f]+00000, rw[x-] wb", text), text
    assert "version 4" in m.monitor("remove one 80000000")
    assert ask(m, "peek", "80201000") == "ffffffffffffffff"
    # The next one to get it finds nothing.
    m.monitor("add by 90000000 32M")
    assert "spare: 32M" in m.monitor("mem") and " 0K free" in m.monitor("mem")


@target(limit=120)
def what_cannot_be_done_is_refused_and_changes_nothing(lab):
    m = two_guests(lab)
    before = m.monitor("slots one"), m.monitor("mem")
    for command, answer in (
            ("move one 0 80000000", "relies on it"),
            ("protect one fee00000 rw", "relies on it"),
            ("add one 1000 4K", r"overlaps with a slot\n  slot added at gpa 1000, 4K"),
            ("add one febff000 8K", "emulated device"),
            ("add one 40000800 4K", "multiples of 4K"),
            ("add one 40000000 64M", "not that much spare memory"),
            ("add one fffffffff000 1G", "beyond the guest's physical addresses"),
            ("remove one 40000000", r"no slot begins there.*\n  at gpa 40000000"),
            ("map one nothing 40000000", "no region has that name"),
            ("txn one add 40000000 4K, add 41000000 2M, add 40000000 4K", "overlaps with a slot"),
            ("txn one add 40000000 4K, remove 41000000", "no slot begins there"),
            ("txn one add 40000000 4K, fly", "'fly' is no edit"),
            ("txn one add 40000000 4K,", "done|no edit"),
            ("add one 40000000 4", "'4' is no size"),
            ("add one 4000000g 4K", "no hexadecimal address"),
            ("add one 40000000 4K wx", "'wx' are no rights"),
            ("add nobody 40000000 4K", "no guest 'nobody'"),
            ("share big 64M", "not that much spare memory"),
            ("unshare big", "no region 'big'")):
        text = m.monitor(command)
        assert re.search(answer, text), (command, text)
        if "done" in text:
            m.monitor("remove one 40000000")
    after = m.monitor("slots one"), m.monitor("mem")
    assert before[0].split("\n")[1:] == after[0].split("\n")[1:], after[0]
    assert re.search("spare:.*", before[1]).group(0) in after[1], after[1]


@target(limit=150)
def shared_memory_and_what_is_left_in_it(lab):
    m = boot(lab, Guest("by", "terminal", cores=0), Guest("one", "storm", cores=1),
             Guest("two", "storm", cores=2))
    m.monitor("share mail 2M; map one mail 40000000; map two mail 7fe00000 ro")
    ask(m, "poke", "40001238 beef")
    assert ask(m, "peek", "7fe01238", guest="two") == "beef"
    # Read-only for this one: the write is dropped.
    assert ask(m, "poke", "7fe01238 dead", guest="two") == "beef"
    assert "still see region 'mail'" in m.monitor("unshare mail")
    assert re.search(r"mail +2M  hpa [0-9a-f]+  in 2 slots", m.monitor("share"))
    m.monitor("unmap one 40000000; unmap two 7fe00000; unshare mail")
    # Private memory of one guest, then of the other: nothing is left in it.
    for gpa in ("40000000", "40001000"):
        m.monitor(f"add one {gpa} 31M")
        ask(m, "poke", f"{int(gpa, 16) + 0x123000:x} 5ec4e7")
        m.monitor(f"remove one {gpa}; add two 90000000 32M")
        for at in range(0x90122000, 0x90125000, 0x1000):
            assert ask(m, "peek", f"{at:x}", guest="two") == "0"
        m.monitor("remove two 90000000")
    # Other backing: zeroed, at once, and what was cut off comes back zeroed, too.
    m.monitor("add one 40000000 2M")
    ask(m, "poke", "40000000 1")
    ask(m, "poke", "401ff000 2")
    m.monitor("resize one 40000000 1M; resize one 40000000 2M")
    assert ask(m, "peek", "401ff000") == "0"
    assert ask(m, "peek", "40000000") == "1"
    m.monitor("replace one 40000000")
    assert ask(m, "peek", "40000000") == "0"
    m.monitor("protect one 40000000 ro")
    assert ask(m, "poke", "40000000 3") == "0"


@target(limit=120)
def added_memory_survives_reset_and_stop(lab):
    m = two_guests(lab)
    m.monitor("add one 40000000 2M rwx kept")
    ask(m, "poke", "40000008 abc")
    m.monitor("reset one")
    message(m, "guest one: restarted on core 1")
    assert ask(m, "peek", "40000008") == "abc"
    m.monitor("stop one")
    message(m, "guest one: stopped")
    assert "done" in m.monitor("txn one move 40000000 50000000, add 40000000 4K")
    m.monitor("start one")
    message(m, "guest one: restarted on core 1", 2)
    assert ask(m, "peek", "50000008") == "abc"
    assert ask(m, "peek", "40000008") == "0"


@target(hosts=("qemu",), limit=120)
def budget_for_tables_names_its_setting(lab):
    """Windows that no large page can map; each costs some fourteen tables."""
    m = two_guests(lab)
    m.monitor("share big 28M")
    text, n = "", 0
    while "refused" not in text and n < 40:
        n += 1
        text = m.monitor(f"map one big {0x40001000 + n * 0x2000000:x}")
    assert re.search(r"out of memory for page tables \(\d+ KiB\); raise `tables`", text), text
    assert 10 < n < 20, n
    text = m.monitor("mmustat one")
    assert re.search(r"committed \d+, refused 1\b", text), text
    # The guest goes on, and can be reset.
    assert ask(m, "poke", "42002000 77") == "77"
    m.monitor("reset one")
    message(m, "guest one: restarted on core 1")
    assert ask(m, "peek", "44002000") == "77"


@target(hosts=("qemu",), limit=120)
def faults_that_use_the_budget_up_stop_that_guest_only(lab):
    """What was zapped comes back by faults, but its tables have gone to others meanwhile."""
    m = two_guests(lab)
    m.monitor("share big 28M")
    for n in range(24):
        gpa = f"{0x40001000 + n * 0x2000000:x}"
        assert "done" in m.monitor(f"map one big {gpa}")
        if n < 12:
            m.monitor(f"zap one {gpa}")
    m.monitor("console one")
    m.expect("--- guest one")
    for n in range(12):
        m.send(f"fill {n:x} {0x40001000 + n * 0x2000000:x} 1c00 1\r")
    m.expect(r"out of memory for page tables \(\d+ KiB\); raise `tables` in its section")
    m.expect("guest one: stopped")
    m.monitor("console by")
    m.command("well", "got 'well'")
    m.monitor("start one")
    message(m, "guest one: restarted on core 1")
    assert ask(m, "peek", "40001000") != ""


@target(hosts=("qemu",), limit=120)
def more_budget_for_tables(lab):
    m = two_guests(lab, tables="4M")
    m.monitor("share big 28M")
    for n in range(1, 40):
        assert "done" in m.monitor(f"map one big {0x40001000 + n * 0x2000000:x}")
    assert ask(m, "poke", "8e002000 99") == "99"


@target(limit=120)
def commands_are_repeated(lab):
    m = two_guests(lab)
    text = m.monitor("repeat 50 add one 40000000 2M; remove one 40000000")
    assert text.count("done") == 2 and "50 of 50 runs in" in text, text
    text = m.monitor("repeat 5 add one 40000000 2M")
    assert "overlaps" in text and "1 of 5 runs" in text and "ended by the error" in text, text
    assert "from 1 to" in m.monitor("repeat 0 guests")
    assert "not nested" in m.monitor("repeat 5 repeat 5 guests")
    m.send("repeat 1000000 slots one\r")
    m.silent("runs", 1.0)
    m.send("x")
    m.expect(r"\d+ of 1000000 runs in .* ended by a key")
    m.expect(PROMPT)
    assert re.search("one +running", m.monitor("guests"))


def change_often(m, guest, n=100):
    """Transactions that must find the guest's cores, whatever they do."""
    text = m.monitor(f"repeat {n} add {guest} 40000000 2M; move {guest} 40000000 50000000; "
                     f"remove {guest} 50000000", timeout=30)
    assert f"{n} of {n} runs" in text, text


@target(limit=150)
def cores_are_held_in_whatever_state(lab):
    """Halted with and without interrupts, waiting for SIPI, busy, paused, stopped; the monitor's."""
    m = boot(lab, Guest("by", "terminal", cores=0), Guest("halted", "tick", cores=1),
             Guest("deaf", "hostile", cores=2, cmdline="sleep-deaf"),
             Guest("waiting", "storm", cores="3,4"), cores=5)
    for guest in ("halted", "deaf", "waiting", "by"):
        change_often(m, guest)
    m.monitor("pause halted")
    change_often(m, "halted")
    m.monitor("add halted 60000000 4K; resume halted; stop deaf")
    message(m, "guest deaf: stopped")
    change_often(m, "deaf")
    m.monitor("start deaf")
    message(m, "guest deaf: restarted")
    change_often(m, "deaf")
    text = m.monitor("guests")
    assert text.count("running") == 4, text
    # It was halted all the time, or its timer woke it up: it is alive.
    before = m.monitor("stat halted")
    m.monitor("console by")
    m.expect("--- guest by")
    m.command("still", "got 'still'")
    assert before
    assert ask(m, "peek", "1000", guest="waiting")


@target(hosts=("qemu",), limit=240)
def both_cores_of_a_stock_kernel_are_held(lab):
    m = lab.boot([Guest("by", "terminal", cores=0), Guest("one", "linux", cores="1,2")],
                 lamina={"spare": "32M"}, memory=1024, cores=3)
    m.wait_started()
    m.monitor("console one")
    m.wait_shell(90)
    assert m.shell("nproc") == "2"
    m.shell("for i in 1 2; do (while :; do :; done) & done")
    m.monitor("console by")
    m.expect("--- guest by")
    change_often(m, "one", 500)
    m.monitor("console one")
    assert m.shell("echo $((6*7))") == "42"
    # The monitor on one of the guest's own cores, the other one goes on.
    m.open_monitor()
    change_often(m, "one", 200)
    m.monitor("console one")
    assert m.shell("echo $((6*8))") == "48"


@target(hosts=("qemu",), limit=120)
def spare_memory_that_does_not_fit_is_reported(lab):
    m = lab.boot([Guest("one", "storm")], lamina={"spare": "64G"})
    m.expect(r"lamina.conf:2: no place for the 65536M of spare memory in one piece", timeout=40)
    m.expect("storm ready", timeout=40)
    assert "spare: none" in m.monitor("mem")
    text = m.monitor("add one 40000000 4K")
    assert "not that much spare memory" in text, text


@target(limit=120)
def zap_is_set_for_each_guest(lab):
    """What is taken away comes back by faults; without, there are none."""
    m = boot(lab, Guest("by", "terminal", cores=0),
             Guest("one", "storm", cores=1, zap="all", nx_hugepages="off"),
             Guest("two", "storm", cores=2, nx_hugepages="off"))
    for name, zapped in (("one", True), ("two", False)):
        m.monitor(f"add {name} 40000000 2M; remove {name} 40000000")
        ask(m, "peek", "100000", guest=name)
        text = m.monitor(f"mmustat {name}")
        fixed = int(re.search(r"fixed (\d+)", text).group(1))
        assert (fixed > 0) == zapped, (name, text)
    m.monitor("zap one slot; zap one 0")
    ask(m, "peek", "100000")
    before = m.monitor("mmustat one").split("flushes")[0]
    m.monitor("split one 123000")
    assert "page at hpa" in m.monitor("pt 123000 one").split("level 1:")[1]
    assert "1 tables merged" in m.monitor("merge one")
    ask(m, "peek", "123000")
    assert re.search(r"fixed \d+", before).group(0) in m.monitor("mmustat one")
