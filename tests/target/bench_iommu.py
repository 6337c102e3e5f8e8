# SPDX-License-Identifier: BSD-2-Clause
"""What a device of a guest costs, compared with the bare machine."""
import os
import re

from lib import devices
from lib.disk import make_disk
from lib.dma import boot_bare, focus, order, wait_for
from lib.machine import Guest
from lib.target import target

IOMMUS = ("intel", "amd")
SECONDS = 5
SHIFT = 3  # of icount, as in bench.py


def khz(text):
    return int(float(re.search(r"TSC ([0-9.]+) MHz", text).group(1)) * 1000)


def flood(m):
    """Transfers of a page in SECONDS, 32 at a time."""
    m.send(f"flood 1 1000000 40 {SECONDS:x}\r")
    return int(m.expect(r"\n1: (\w+)\r", 10 * SECONDS).group(1), 16)


@target(iommus=IOMMUS, bench=True, limit=200)
def small_guest_against_the_bare_machine(lab):
    """The same program, polling. The guests' turns are between the bare machine's."""
    disk = devices.marked_disk(lab)
    m = lab.boot([Guest("one", "disk", pci="class:0108")], devices=[devices.nvme(4, disk)])
    m.expect("disk ready", 60)
    speed = khz(m.console.text())
    guest = [flood(m) for _ in range(3)]
    m.close()
    m = boot_bare(lab, "disk", f"khz={speed}", devices=[devices.nvme(4, disk)])
    m.expect("disk ready", 60)
    bare = [flood(m) for _ in range(3)]
    a, b = sorted(guest)[1], sorted(bare)[1]
    lab.note(f"pages a second: guest {a // SECONDS}, bare machine {b // SECONDS}, ratio {a / b:.2f}")


def megabytes_per_second(m, block):
    """Direct reads of the whole disk, the median of three."""
    m.wait_shell(120)
    seconds = []
    for _ in range(3):
        text = m.shell(f"time dd if=/dev/nvme0n1 of=/dev/null bs={block} iflag=direct", timeout=120)
        minutes, rest = re.search(r"real\s+(\d+)m ([0-9.]+)s", text).groups()
        seconds.append(60 * int(minutes) + float(rest))
    return 64 / sorted(seconds)[1]


@target(iommus=IOMMUS, bench=True, limit=400)
def stock_kernel_against_the_bare_machine(lab):
    """The same kernel and the same disk, which it has its root on."""
    line = "console=ttyS0 quiet rootfstype=ext4 rw init=/sbin/init root=/dev/nvme0n1"
    disk = make_disk(lab)
    m = lab.boot([Guest("one", "linux", initrd="", pci="class:0108", cmdline=line)],
                 devices=[devices.nvme(4, disk)])
    guest = {block: megabytes_per_second(m, block) for block in ("4k", "64k")}
    m.close()
    m = lab.boot(conf=None, devices=[devices.nvme(4, disk)], cores=1, memory=512,
                 extra=["-kernel", os.path.abspath(f"{lab.build}/demo/vmlinuz"),
                        "-append", line + " intel_iommu=off iommu=off"])
    m.started = True  # there is no hypervisor to wait for
    bare = {block: megabytes_per_second(m, block) for block in ("4k", "64k")}
    lab.note("; ".join(f"{block}: guest {guest[block]:.1f}, bare machine {bare[block]:.1f} MB/s, "
                       f"ratio {guest[block] / bare[block]:.2f}" for block in guest))


def instructions(m, runs, commands):
    """Of one run of some monitor commands; QEMU counts them."""
    text = m.monitor(f"repeat {runs} {commands}", timeout=120)
    seconds = float(re.search(rf"{runs} of {runs} runs in ([0-9.]+) s", text).group(1))
    return int(seconds * 1e9 / runs) >> SHIFT


@target(iommus=IOMMUS, bench=True, limit=300)
def mapping_for_devices(lab):
    """A slot that comes and goes, for the guest's core alone and for its device as well. What the
    monitor itself takes is in both."""
    counts = {}
    for pci in ("", "class:0108"):
        m = lab.boot([Guest("one", "disk", cores=0, **({"pci": pci} if pci else {}))],
                     lamina={"spare": "32M"}, icount=SHIFT,
                     devices=[devices.nvme(4, devices.marked_disk(lab))])
        m.wait_started(120)
        wait_for(m, "disk ready" if pci else "FAIL there is a disk", timeout=60)
        for size in ("4K", "2M"):
            counts[pci, size] = instructions(
                m, 300, f"add one 40000000 {size}; remove one 40000000")
        m.close()
    lab.note("; ".join(
        f"{size} mapped and unmapped: {counts['', size]} instructions, with a device "
        f"{counts['class:0108', size]}" for size in ("4K", "2M")))
