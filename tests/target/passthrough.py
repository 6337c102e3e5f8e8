# SPDX-License-Identifier: BSD-2-Clause
"""Guests that drive devices of their own with their stock drivers."""
import re
import time

from lib import devices
from lib.disk import LOAD, check_disk, make_disk
from lib.dma import focus, memory, order, order_guest, region, wait_for
from lib.exits import difference, exits, x2apic
from lib.machine import Guest
from lib.target import target

IOMMUS = ("intel", "amd")
ROOT = "console=ttyS0 quiet rootfstype=ext4 rw init=/sbin/init"


def virtio_ports(lab):
    """Where virtio devices are: QEMU gives them FLR behind root ports only, where its AMD IOMMU of
    7.2 takes them for devices of bus 0."""
    if lab.iommu == "intel":
        return {"ports": [devices.root_port(5, "five"), devices.root_port(6, "six")],
                "buses": ("five", "six"), "slots": (0, 0), "disk": "01:00.0", "network": "02:00.0",
                "reset": "required"}
    return {"ports": [], "buses": ("pcie.0", "pcie.0"), "slots": (5, 6), "disk": "00:05.0",
            "network": "00:06.0", "reset": "none"}


def show(m, name):
    m.monitor(f"console {name}")
    m.send("\r")
    m.wait_shell(120)


def write_data(m, seed):
    """Files of random data and their checksums; synced."""
    m.shell(f"mkdir -p /data/{seed}; cd /data/{seed}; "
            "for i in 1 2 3; do head -c 1500000 /dev/urandom > f$i; done; "
            "sha256sum f* > sums; sync; cd", timeout=90)


def verify_data(m, seed):
    m.shell("echo 3 > /proc/sys/vm/drop_caches")
    text = m.shell(f"cd /data/{seed} && sha256sum -c sums; cd", timeout=60)
    assert text.count("OK") == 3 and "FAILED" not in text, text


@target(iommus=IOMMUS, limit=400)
def debian_with_its_root_on_nvme_and_another_on_virtio(lab):
    """And a network card for the first. Written, reset, read back."""
    root, other = make_disk(lab), make_disk(lab)
    ports = virtio_ports(lab)
    m = lab.boot([Guest("one", "linux", cores=0, initrd="", pci=f"00:04.0, {ports['network']}",
                        cmdline=f"{ROOT} guest=one root=/dev/nvme0n1", reset=ports["reset"]),
                  Guest("two", "linux", cores=1, initrd="virtio.img", pci=ports["disk"],
                        cmdline="console=ttyS0 quiet guest=two", reset=ports["reset"])],
                 memory=1024, devices=ports["ports"] + [
                     devices.nvme(4, root, snapshot=False),
                     devices.virtio_blk(ports["slots"][0], other, snapshot=False,
                                        bus=ports["buses"][0]),
                     devices.network("virtio-net-pci", ports["slots"][1], bus=ports["buses"][1])])
    m.wait_started()
    for name in ("one", "two"):
        show(m, name)
        text = m.shell("cd /; sha256sum -c data/sums; cd", timeout=60)
        assert text.count("OK") == 4 and "FAILED" not in text, text
        write_data(m, name)
    show(m, "one")
    network(m)
    m.send("reboot -f\r")
    m.console.expect("guest one: restarted on core 0", 30)
    for name in ("one", "two"):
        show(m, name)
        verify_data(m, name)
        bad = m.shell("dmesg -r | grep -E '^<[0-3]>' | grep -E 'nvme|virtio|EXT4|pci|I/O'")
        assert not bad, bad
        m.shell("umount -a -r; sync", timeout=30)
    m.monitor("stop one; stop two")
    time.sleep(1)
    m.close()
    for disk in (root, other):
        check_disk(disk)


def network(m):
    m.shell(LOAD)
    text = m.shell("network", timeout=60)
    assert "lease of 10.0.2.15 obtained" in text, text
    text = m.shell("ping -c 5 10.0.2.2", timeout=30)
    assert re.search(r"5 packets transmitted, [45] packets received", text), text
    # A megabyte there and back by TCP.
    m.shell("head -c 1000000 /dev/urandom > /tmp/sent; "
            "nc 10.0.2.100 7 < /tmp/sent > /tmp/back & sleep 1; "
            "n=0; while [ $(stat -c %s /tmp/back) != 1000000 ] && [ $n -lt 30 ]; "
            "do sleep 1; n=$((n+1)); done; kill $!", timeout=60)
    assert m.shell("cmp /tmp/sent /tmp/back && echo same").endswith("same")


@target(iommus=("intel",), limit=200)
def debian_without_msi(lab):
    """Its disk then uses its line, an input of the virtual IOAPIC, level-triggered."""
    m = lab.boot([Guest("one", "linux", initrd="", pci="00:04.0",
                        cmdline=f"{ROOT} guest=one root=/dev/nvme0n1 pci=nomsi")],
                 devices=[devices.nvme(4, make_disk(lab))])
    m.wait_shell(120)
    text = m.shell("cd /; sha256sum -c data/sums; cd", timeout=60)
    assert text.count("OK") == 4 and "FAILED" not in text, text
    text = m.shell("grep nvme /proc/interrupts")
    count, kind = re.search(r"\d+: +(\d+) +IO-APIC +(\S+)", text).groups()
    assert int(count) > 50 and "fasteoi" in kind, text
    assert not m.shell("dmesg | grep 'nobody cared'")
    lab.note(f"{count} interrupts")


@target(iommus=IOMMUS, limit=90)
def edu_by_message_and_by_line(lab):
    """Two guests, each with one; the second by INTx, on a device number of its choice."""
    m = lab.boot([Guest("one", "edu", cores=0, pci="00:03.0", reset="none", cmdline="test"),
                  Guest("two", "edu", cores=1, pci="1234:11e8@9", reset="none",
                        cmdline="test intx")],
                 lamina={"console": "all"}, devices=[devices.edu(3), devices.edu(7)])
    wait_for(m, r"one\| edu ready", r"two\| edu ready")
    text = m.console.text()
    assert "FAIL" not in text and text.count("ok interrupt came 1 times") == 2, text[-2000:]
    assert "two| edu: device at 00:09.0" in text, text[-2000:]


@target(iommus=IOMMUS, limit=180)
def random_values_in_configuration_space(lab):
    """And a bystander's device works before and after."""
    disk = devices.marked_disk(lab)
    m = lab.boot([Guest("by", "edu", cores=0, pci="00:03.0", reset="none", cmdline="test"),
                  Guest("one", "pciconf", cores=1, cmdline="fuzz seed=1 rounds=2", reset="none",
                        pci="00:04.0, 00:05.0, 00:06.0, 00:07.0", dma_fault="count")],
                 devices=[devices.edu(3), devices.edu(4), devices.nvme(5, disk),
                          devices.network("virtio-net-pci", 6), devices.network("e1000e", 7)])
    m.wait_started()
    wait_for(m, r"guest by: started", "guest one: started")
    m.monitor("console one")
    m.console.expect(r"done: \d+ ok, 0 failed", 90, anywhere=True)
    assert order_guest(m, "by", "raise") == 0
    assert order(m, "vector", 0x55) >= 2
    m.console.expect("guest one: stopped", 30, anywhere=True)
    m.monitor("start one")
    m.console.expect("guest one: restarted", 30)


@target(iommus=IOMMUS, limit=90)
def bars_are_moved_over_everything(lab):
    m = lab.boot([Guest("by", "terminal", cores=0),
                  Guest("one", "pciconf", cores=1, cmdline="bars", reset="none",
                        pci="00:04.0, 00:05.0")],
                 devices=[devices.edu(4), devices.edu(5)])
    m.wait_started()
    m.monitor("console one")
    m.console.expect(r"done: \d+ ok, 0 failed", 60, anywhere=True)
    m.monitor("console by")
    m.expect("--- guest by")
    m.command("are you there", "got 'are you there'")


@target(iommus=IOMMUS, limit=120)
def a_guest_resets_its_device(lab):
    """By FLR, as its stock kernel does it, and goes on with it."""
    m = lab.boot([Guest("one", "linux", cores=0, pci="class:0108@3")],
                 devices=[devices.nvme(4, devices.marked_disk(lab))])
    m.wait_shell(90)
    device = "/sys/bus/pci/devices/0000:00:03.0"
    read = "dd if=/dev/nvme0n1 bs=4096 skip=5 count=8 iflag=direct 2>/dev/null | sha256sum"
    assert m.shell(f"cat {device}/reset_method") == "flr"
    before = m.shell(read)
    for _ in range(3):
        assert m.shell(f"echo 1 > {device}/reset; echo $?", timeout=30) == "0"
        assert m.shell(read, timeout=30) == before
    # And found anew, with its BARs where it puts them.
    m.shell(f"echo 1 > {device}/remove; echo 1 > /sys/bus/pci/rescan; sleep 1", timeout=30)
    assert m.shell(read, timeout=30) == before


@target(iommus=IOMMUS, limit=120)
def bars_are_moved_by_two_cores(lab):
    m = lab.boot([Guest("one", "pciconf", cores="0-1", cmdline="moves", reset="none",
                        pci="00:04.0, 00:05.0")], cores=2,
                 devices=[devices.edu(4), devices.edu(5)])
    m.wait_started()
    m.console.expect(r"done: \d+ ok, 0 failed", 90, anywhere=True)


@target(iommus=IOMMUS, limit=90)
def small_bars_and_ports(lab):
    m = lab.boot([Guest("one", "pciconf", cores=0, cmdline="small", reset="none",
                        pci="00:04.0, 00:05.0")],
                 devices=[devices.place("rtl8139", slot, mac=f"52:54:00:12:34:{slot:02x}")
                          for slot in (4, 5)])
    m.wait_started()
    m.console.expect(r"done: \d+ ok, 0 failed", 60, anywhere=True)


@target(iommus=IOMMUS, limit=120)
def msix_entries_are_rewritten_in_a_race(lab):
    m = lab.boot([Guest("one", "pciconf", cores="0-1", cmdline="race", pci="class:0108"),
                  Guest("by", "edu", cores=2)], cores=3,
                 devices=[devices.nvme(4, devices.marked_disk(lab))])
    m.wait_started()
    m.console.expect(r"done: \d+ ok, 0 failed", 60, anywhere=True)
    assert order_guest(m, "by", "vector", 0) == 0


def boot_disk(lab, cmdline="", machine=None, **lamina):
    """`one` has a disk, `by` keeps the monitor's core."""
    m = lab.boot([Guest("by", "terminal", cores=0),
                  Guest("one", "disk", cores=1, pci="class:0108", cmdline=cmdline)],
                 lamina=lamina, devices=[devices.nvme(4, devices.marked_disk(lab))],
                 **(machine or {}))
    m.wait_started()
    wait_for(m, "terminal ready", "guest one: started on core")
    m.monitor("console one")
    m.console.expect("disk ready", 30, anywhere=True)
    return m


@target(iommus=IOMMUS, limit=240)
def reset_100_times_while_the_device_is_busy(lab):
    """The guest keeps 32 reads under way from its first moment on."""
    m = boot_disk(lab, cmdline="auto")
    first, last = region(m, "guest memory by")
    before = memory(m, first + 0x1000000, 0x800000)
    start = time.monotonic()
    m.open_monitor()
    for _ in range(100):
        time.sleep(0.03)
        m.send("reset one\r")
        m.expect("guest one: restarted on core 1")
    lab.note(f"{time.monotonic() - start:.0f} s")
    assert memory(m, first + 0x1000000, 0x800000) == before
    # It still works.
    focus(m, "one")
    m.send("halt\r")
    time.sleep(1)
    assert order(m, "errors") == 0
    assert order(m, "read", 0x1000000, 5, 2) == 0
    assert order(m, "peek", 0x1001000) == 0xd15c000000000006


SETUP = ("share red 4M; share blue 4M", "map one red 50000000; map one blue 51000000",
         "map one red 40000000; map one blue 42000000", "add one 60000000 4M")
ROUND = ("txn one move 40000000 44000000, move 42000000 40000000, move 44000000 42000000",
         "split one 40000000", "zap one 42000000", "resize one 60000000 1028K",
         "split one 42201000", "merge one", "resize one 60000000 4M")


@target(iommus=IOMMUS, limit=300)
def storm_with_a_device_in_the_slots_that_move(lab):
    """A disk reads pages to two windows that change places at one point: each line must arrive in
    exactly one of the regions behind them."""
    m = boot_disk(lab, spare="32M")
    for line in SETUP:
        assert "refused" not in m.monitor(line)
    focus(m, "one")
    m.command("storm 1", "storm begins")
    m.monitor("console by")
    m.expect("--- guest by")
    text = m.monitor("repeat 500 " + "; ".join(ROUND), timeout=200)
    assert "500 of 500 runs" in text, text
    focus(m, "one")
    m.send("stop\r")
    found = m.expect(r"\n1: loops (\d+), (\d+) in blue|FAIL [^\r]*", 30)
    assert found.group(1), found.group(0)
    loops, blue = int(found.group(1)), int(found.group(2))
    assert loops > 500 and 0.2 < blue / loops < 0.8, (loops, blue)
    assert "blocked:" not in m.console.text()
    lab.note(f"{500 * len(ROUND)} changes, {loops} transfers")


@target(iommus=IOMMUS, limit=180)
def memory_that_is_taken_from_a_busy_device(lab):
    """It goes to another guest, and nothing more is written to it."""
    m = boot_disk(lab, spare="4M")
    first, last = region(m, "spare")
    m.monitor("add one 40000000 4M")
    focus(m, "one")
    m.send("flood 1 40000000 400\r")
    written = 0
    for n in range(10):
        m.monitor("remove one 40000000; add by 40000000 4M")
        assert not any(memory(m, first, last + 1 - first)), f"written to after removal {n}"
        time.sleep(0.2)
        assert not any(memory(m, first, last + 1 - first)), f"written to later on {n}"
        m.monitor("remove by 40000000; add one 40000000 4M")
        time.sleep(0.2)
        written += any(memory(m, first, last + 1 - first))
    assert written > 5, written
    focus(m, "one")
    m.send("halt\r")
    m.expect(r"\n1: (\w+)\r", 30)


def exits_while(m, guest, seconds):
    """By class. The monitor runs on another guest's core."""
    before = exits(m, guest)
    time.sleep(seconds)
    return difference(before, exits(m, guest))


@target(iommus=IOMMUS, limit=120)
def transfers_cause_no_exits(lab):
    """Neither by polling nor, in x2APIC mode, by interrupts for which the core waits."""
    for cmdline, machine in (("", {}), ("irq x2apic", x2apic(lab))):
        m = boot_disk(lab, cmdline=cmdline, machine=machine)
        m.send("flood 1 1000000 40 8\r")
        time.sleep(1)
        m.monitor("console by")
        m.expect("--- guest by")
        found = exits_while(m, "one", 3)
        assert not found, found
        focus(m, "one")
        ended = int(m.expect(r"\n1: (\w+)\r", 60).group(1), 16)
        assert ended > 500 and order(m, "errors") == 0, ended
        if cmdline:
            assert order(m, "interrupts") > 100
        lab.note(f"{cmdline or 'polling'}: {ended} transfers")
        m.close()


@target(iommus=IOMMUS, limit=200)
def stock_kernel_transfers_without_exits(lab):
    """In x2APIC mode; the root file system is on the disk."""
    m = lab.boot([Guest("by", "terminal", cores=0),
                  Guest("one", "linux", cores=1, initrd="", pci="class:0108", nx_hugepages="off",
                        cmdline=f"{ROOT} guest=one root=/dev/nvme0n1")],
                 devices=[devices.nvme(4, make_disk(lab))], **x2apic(lab))
    m.wait_started()
    show(m, "one")
    m.shell("(while :; do dd if=/dev/nvme0n1 of=/dev/null bs=16k iflag=direct; done) "
            ">/dev/null 2>&1 & true")
    before = transfers(m)
    m.monitor("console by")
    m.expect("--- guest by")
    time.sleep(2)
    found = exits_while(m, "one", 6)
    show(m, "one")
    done = transfers(m) - before
    assert not found, (found, done)
    assert done > 200, done
    lab.note(f"{done} transfers, no exit in 6 s of them")


def transfers(m):
    """Interrupts of the disk; each announces one transfer at least."""
    return int(m.shell("awk '/nvme0q1/ { print $2 }' /proc/interrupts"))
