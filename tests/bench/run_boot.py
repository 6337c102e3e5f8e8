# SPDX-License-Identifier: BSD-2-Clause
"""From the start of the program to a guest's first instruction, and of a kernel to its init."""
import os
import re

from lib.machine import Guest
from measure import KHZ, instructions, measurement, options


@measurement()
def to_the_first_guest(lab):
    """Without reading files, which is the firmware's work."""
    m = lab.boot([Guest("one", "hello", cmdline="hang")], **options(lab))
    m.expect("hanging", timeout=120)
    text = m.monitor("version", timeout=60)
    return {"lamina": {"boot_entry": instructions(lab, re.search(r"(\d+) ticks", text).group(1))}}


# No PCI, since a guest without devices has none; the TSC's frequency is told on the bare machine, too.
LINE = "console=ttyS0 quiet pci=off tsc=reliable tsc_early_khz={khz}"
# The kernel reads it where it cannot handle a fault yet, and Bochs has not got it; a guest has.
MISC_ENABLE = {0x1a0: 1}
MEMORY = "256M"  # as much as tests/efi/bare_linux.c gives

TOLD = r"init (\d+) entry (\d+) idle (\d+)"


def executed(lab, told, start=None):
    """Instructions from the kernel's entry to its first process, by what that says. What passes
    while a kernel is idle counts as ticks, but nothing is executed."""
    end, entry, idle_ms = (int(n) for n in told.groups())
    ticks = end - (start or entry) - idle_ms * KHZ[lab.host]
    lab.note(f"{instructions(lab, ticks):,} instructions, idle for {idle_ms} ms")
    return {"boot_init": instructions(lab, ticks)}


@measurement()
def a_stock_kernel_bare(lab):
    initrd = f"{lab.build}/bench/boot.img"
    m = lab.boot(conf=None, loader=f"{lab.build}/efi/bare_linux.efi", cores=1,
                 files={"/EFI/lamina/kernel": f"{lab.build}/demo/vmlinuz",
                        "/EFI/lamina/initrd": initrd,
                        "/EFI/lamina/cmdline": lab.scratch(
                            "cmdline", f"{LINE.format(khz=KHZ[lab.host])} entry={'0' * 16}\0")},
                 **({"msrs": MISC_ENABLE} if lab.host == "bochs" else {}), **options(lab))
    return {"bare": executed(lab, m.expect(TOLD, timeout=200))}


@measurement()
def a_stock_kernel_in_a_guest(lab):
    m = lab.boot([Guest("one", "linux", initrd=os.path.abspath(f"{lab.build}/bench/boot.img"),
                        memory=MEMORY, cmdline=LINE.format(khz=KHZ[lab.host]))], **options(lab))
    told = m.expect(TOLD, timeout=200)
    start = int(re.search(r"at TSC (\d+)", m.monitor("version", timeout=60)).group(1))
    return {"lamina": executed(lab, told, start)}
