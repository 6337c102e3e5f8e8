# SPDX-License-Identifier: BSD-2-Clause
"""Booting: one guest, several guests, the stock kernel."""
import time

from lib.machine import Guest
from lib.target import target


@target(limit=120)
def small_guest_runs_and_powers_off(lab):
    m = lab.boot([Guest("one", "hello", cmdline="word")])
    m.expect("hello from a guest: 'word', hypervisor 'VMwareVMware'", timeout=40)
    m.expect("done: 2 ok, 0 failed")


@target(limit=120)
def two_small_guests_run_side_by_side(lab):
    m = lab.boot([Guest("one", "hello", cores=0, cmdline="first hang"),
                  Guest("two", "hello", cores=1, cmdline="second hang")],
                 lamina={"console": "all"})
    text = ""
    for _ in range(2):
        text += m.expect(r"(one|two)\| hello from a guest: '(first|second) hang'", 40).group(0)
    assert "one| hello from a guest: 'first" in text and "two| hello" in text, text


@target(limit=240)
def stock_kernel_reaches_its_shell(lab):
    m = lab.boot([Guest("one", "linux")], memory=768)
    m.expect("guest one: Linux 6", timeout=60)
    m.expect(r"one:\S*# ")
    answer = m.shell("echo $((6*7))")
    assert answer == "42", repr(answer)


def uptime(m):
    return float(m.shell("cut -d' ' -f1 /proc/uptime"))


@target(limit=400)
def two_stock_kernels_reset_of_one_leaves_the_other(lab):
    m = lab.boot([Guest("one", "linux", cores=0), Guest("two", "linux", cores=1)], memory=1024)
    m.wait_shell(90)
    m.monitor("console two")
    m.wait_shell()
    before, start = uptime(m), time.monotonic()
    m.monitor("reset one", "console one")
    m.wait_shell()
    elapsed = time.monotonic() - start
    if lab.host == "qemu":  # Bochs has a clock of its own
        assert uptime(m) < elapsed, "guest one was not reset"
    m.monitor("console two")
    assert uptime(m) > before
    assert "2" in next(line for line in m.monitor("guests").splitlines() if " one " in line)


@target(hosts=("qemu",), limit=240)
def four_stock_kernels_on_four_cores(lab):
    names = ("one", "two", "three", "four")
    m = lab.boot([Guest(n, "linux", cores=i) for i, n in enumerate(names)], memory=1536)
    m.wait_started()
    for name in names:
        m.monitor(f"console {name}")
        m.wait_shell(120)
        answer = m.shell("hostname")
        assert answer == name, repr(answer)
