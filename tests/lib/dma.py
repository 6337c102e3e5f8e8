# SPDX-License-Identifier: BSD-2-Clause
"""For tests with devices that belong to guests: the small guest `edu` takes orders, and the
machine's memory is looked at from outside."""
import os
import re

from lib.machine import SPEED

ECAM = 0xb0000000  # where OVMF has the configuration space of QEMU's q35 machine
CANARY = 0x5AFE5AFE5AFE5AFE
EVIL = 0xBADC0DEBADC0DE


def boot_bare(lab, guest, cmdline="", cores=1, **options):
    """A small guest on the machine itself, without Lamina."""
    return lab.boot(conf=None, loader=f"{lab.build}/efi/bare.efi",
                    files={"/EFI/lamina/guest": f"{lab.build}/guests/{guest}.bin",
                           "/EFI/lamina/cmdline": lab.scratch("cmdline", cmdline)},
                    cores=cores, **options)


def order(m, command, *words, timeout=15):
    """A line to the small guest that has the focus; its answer, a number."""
    tag = f"{m.console.position():x}"
    line = " ".join([command, tag] + [f"{w:x}" for w in words])
    return int(m.command(line, fr"\n{tag}: (\w+)\r", timeout).group(1), 16)


def order_guest(m, guest, command, *words, timeout=15):
    """The same for a guest by its name, whatever has the focus."""
    focus(m, guest)
    return order(m, command, *words, timeout=timeout)


def focus(m, guest):
    m.monitor(f"console {guest}")
    m.expect(f"--- guest {guest}")


def memory(m, address, size):
    """The machine's physical memory, read by QEMU and not by any guest."""
    path = os.path.join(m.workdir, "memory")
    m.qmp("pmemsave", val=address, size=size, filename=path)
    with open(path, "rb") as f:
        data = f.read()
    os.unlink(path)
    return data


def quad(m, address):
    return int.from_bytes(memory(m, address, 8), "little")


def hmp(m, line):
    return m.qmp("human-monitor-command", **{"command-line": line})


def physical_register(m, address, size):
    """A register of the machine; unlike memory, only one access of the right size will do."""
    letter = {4: "w", 8: "g"}[size]
    return int(hmp(m, f"xp /1x{letter} {address:#x}").split(":")[1], 16)


def config_space(m, address, offset):
    """A register of a PCI function of the machine itself, 4 bytes; address as in 00:1f.2."""
    bus, device, function = (int(part, 16) for part in re.split("[:.]", address))
    return physical_register(m, ECAM + (bus << 20 | device << 15 | function << 12) + offset, 4)


def regions(m):
    """(first, last, what) of each region of the machine's memory, by the monitor's `mem`."""
    return [(int(a, 16), int(b, 16), what.strip()) for a, b, what in re.findall(
        r"hpa (\w+)-(\w+) +\d+ KiB +([^\r\n]*)", m.monitor("mem"))]


def region(m, what):
    """The first region with this description."""
    return next((a, b) for a, b, w in regions(m) if w == what)


def wait_for(m, *patterns, timeout=60):
    """All of them, in any order, wherever."""
    for p in patterns:
        m.console.expect(p, timeout * SPEED[m.host], anywhere=True)
