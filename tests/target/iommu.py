# SPDX-License-Identifier: BSD-2-Clause
"""Devices of hostile guests: what they reach, and what they do not."""
import re
import time

from lib import devices
from lib.dma import (CANARY, EVIL, boot_bare, config_space, focus, memory, order, order_guest,
                     physical_register, quad, region, regions, wait_for)
from lib.machine import Guest
from lib.target import target

IOMMUS = ("intel", "amd")
PAGE = 4096
GUEST_SIZE = 8 << 20  # of the attacker; its own addresses are below that
SLOT = 3  # of the attacker's device on the machine's root bus


@target(iommus=IOMMUS, limit=60)
def without_lamina_a_device_reaches_everything(lab):
    """The positive control: the same device, driven by the same program."""
    m = boot_bare(lab, "edu", "test", devices=[devices.edu(SLOT)])
    m.expect("edu ready")
    assert "FAIL" not in m.console.text(), m.console.tail()
    own = order(m, "buffer")
    for address in (own + 0x1800, 0x1000, 0x10000000, 0x2ff00000 - 8):
        order(m, "poke", address, CANARY)
        assert order(m, "from", address, 8) == CANARY
        order(m, "to", address, 16, EVIL)
        assert quad(m, address) == EVIL, memory(m, address, 16)
    # A write there is an interrupt.
    order(m, "to", 0xfee00000, 4, 0x66)
    assert order(m, "vector", 0x66) == 1


def boot_attacker(lab, others=(), lamina=None, **keys):
    """Guest `one` has the device; `by` and others do not."""
    keys = {"pci": f"00:{SLOT:02x}.0", "reset": "none", "memory": "8M"} | keys
    guests = [Guest("by", "edu", cores=0), Guest("one", "edu", cores=1, **keys), *others]
    m = lab.boot(guests, lamina={"spare": "32M"} | (lamina or {}), devices=[devices.edu(SLOT)])
    m.wait_started()
    wait_for(m, "guest by: started on core", "guest one: started on core")
    return m


def tables(m, lab):
    """The first of the IOMMU's own tables, which it names in a register."""
    if lab.iommu == "intel":
        return physical_register(m, 0xfed90020, 8) & ~0xfff
    return physical_register(m, 0xfed80000, 8) & 0xffffffffff000


def faults(m):
    """{(read or write, page)} of the attacker's device, as the monitor lists the last ones."""
    found = re.findall(rf"device 00:{SLOT:02x}\.0, (\w+)(?: to| from)? 0x([0-9a-f]+):",
                       m.monitor("iommu"))
    return {(kind, int(address, 16) & ~0xfff) for kind, address in found}


def targets(m, lab):
    """{what: address} of memory that the attacker must not reach; its own begins at 0."""
    mine, _ = region(m, "guest memory one")
    found = {"another guest": region(m, "guest memory by")[0] + 0x1000000,
             "the IOMMU's tables": tables(m, lab),
             "what lies below its memory": mine - PAGE,
             "its own memory by the machine's address": mine + 0x700000,
             "behind its memory": mine + GUEST_SIZE}
    for what in ("Lamina", "ACPI", "spare", "firmware runtime"):
        for n, (first, _, kind) in enumerate(regions(m)):
            if kind == what:
                found[f"{what} {n}"] = first
    return {what: at for what, at in found.items() if at >= GUEST_SIZE}


def attack(m, lab, address, what):
    """Both ways; memory must be as before, and the device must not have got any of it."""
    before = memory(m, address, PAGE)
    focus(m, "one")
    got = order(m, "from", address, 16)
    assert got.to_bytes(8, "little") not in before or got in (0, 2 ** 64 - 1), (what, hex(got))
    order(m, "to", address, 16, EVIL)
    after = memory(m, address, PAGE)
    assert EVIL.to_bytes(8, "little") not in after, what
    # QEMU's AMD IOMMU writes no log before that version.
    if lab.iommu == "intel" or m.emulator.version() >= (11,):
        seen = faults(m)
        assert {("read", address), ("write", address)} <= seen, (what, hex(address), seen)


@target(iommus=IOMMUS, limit=120)
def dma_reaches_its_own_guest_only(lab):
    m = boot_attacker(lab)
    by, _ = region(m, "guest memory by")
    order_guest(m, "by", "poke", 0x1000000, CANARY)
    assert quad(m, by + 0x1000000) == CANARY
    aims = targets(m, lab)
    # Its own memory first: the device works, and its addresses are the guest's.
    mine, _ = region(m, "guest memory one")
    order_guest(m, "one", "poke", 0x600000, CANARY)
    assert order(m, "from", 0x600000, 16) == CANARY
    order(m, "to", 0x600000, 16, EVIL)
    assert quad(m, mine + 0x600000) == EVIL
    assert order(m, "peek", 0x600000) == EVIL
    order(m, "poke", 0x600000, 0)
    assert not faults(m), faults(m)
    for what, address in aims.items():
        attack(m, lab, address, what)
    assert quad(m, by + 0x1000000) == CANARY
    lab.note(f"{len(aims)} targets")


@target(iommus=("intel",), limit=90)
def behind_a_bridge_requests_carry_its_id(lab):
    m = lab.boot([Guest("one", "edu", cores=0, pci="02:01.0", reset="none", cmdline="test"),
                  Guest("two", "edu", cores=1, pci="03:00.0", reset="none", cmdline="test")],
                 devices=[devices.root_port(4, "four"), devices.pci_bridge("pci", "four"),
                          devices.root_port(5, "five"), devices.edu(1, bus="pci"),
                          devices.edu(0, bus="five")])
    m.wait_started()
    for name, source in (("one", "02:00.0"), ("two", "03:00.0")):
        focus(m, name)
        m.expect("edu ready", 30)
        order(m, "to", 0x700005000, 16, EVIL)
        assert f"device {source}, write to 0x700005" in m.monitor("iommu")
    assert "FAIL" not in m.console.text()
    for pattern in ("guest one, device 02:00.0: write", "guest two, device 03:00.0: write"):
        m.console.expect(pattern, 10, anywhere=True)


MASTER = 4  # bit of the Command register
DISK = "00:1f.2"  # the SATA controller, from which the firmware has booted


@target(iommus=IOMMUS, limit=60)
def what_the_firmware_left_on_is_off(lab):
    """Bus mastering, and what the IOMMU needs for blocking everything is on."""
    m = boot_bare(lab, "edu", "", devices=[devices.edu(SLOT)])
    m.expect("edu ready")
    assert config_space(m, DISK, 4) & MASTER, "the positive control"
    m.close()
    m = lab.boot([Guest("one", "edu")], devices=[devices.edu(SLOT)])
    m.wait_started()
    for address in (DISK, f"00:{SLOT:02x}.0"):
        assert not config_space(m, address, 4) & MASTER, address
    if lab.iommu == "intel":
        # Translation, queued invalidation, interrupt remapping; no compatibility format.
        status = physical_register(m, 0xfed9001c, 4)
        assert status & 0x86000000 == 0x86000000 and not status & 0x00800000, hex(status)
    else:
        # The IOMMU, its command buffer, its event log.
        status = physical_register(m, 0xfed80018, 8)
        assert status & 0x1005 == 0x1005, hex(status)


@target(hosts=("qemu",), limit=60)
def without_an_iommu_devices_are_refused_or_harmless(lab):
    m = lab.boot([Guest("by", "edu", cores=0),
                  Guest("refused", "edu", cores=1, pci="00:03.0", reset="none"),
                  Guest("unsafe", "edu", cores=2, pci="00:04.0", reset="none", iommu="unsafe",
                        cmdline="intx")],
                 devices=[devices.edu(3), devices.edu(4)], cores=3)
    m.wait_started()
    m.console.expect("guest refused: device 00:03.0: no IOMMU contains it", 10, anywhere=True)
    m.console.expect("guest unsafe: device 00:04.0 has no IOMMU: no DMA, no MSI", 10, anywhere=True)
    focus(m, "unsafe")
    m.console.expect("edu ready", 30, anywhere=True)
    # The device works, by its line; its DMA would go to the machine's addresses, so there is none.
    order(m, "raise")
    assert order(m, "vector", 0x55) == 1
    order_guest(m, "by", "poke", 0x1000000, CANARY)
    by, _ = region(m, "guest memory by")
    focus(m, "unsafe")
    order(m, "to", by + 0x1000000, 16, EVIL)
    order(m, "cfgw", 4, 2, 0x406)
    order(m, "to", by + 0x1000000, 16, EVIL)
    assert quad(m, by + 0x1000000) == CANARY
    assert not config_space(m, "00:04.0", 4) & MASTER


@target(iommus=IOMMUS, limit=120)
def dma_does_not_pass_the_end_of_a_slot(lab):
    """Nor comes where the guest has no memory at all."""
    m = boot_attacker(lab)
    m.monitor("add one 40000000 8K; add one 50000000 2M; protect one 50000000 ro")
    focus(m, "one")
    for end in (GUEST_SIZE, 0x40002000):
        order(m, "to", end - 32, 64, EVIL)
        assert order(m, "peek", end - 8) in (0, EVIL)
        assert order(m, "peek", end) == 2 ** 64 - 1
    for address in (0x40000000 - 8, 0xc0000000, 0xe8000000, 0xfec00000, 0x700000000,
                    0x100000000 + 0x1000000, 1 << 47, 2 ** 64 - PAGE):
        assert order(m, "from", address, 16) != CANARY
        order(m, "to", address, 16, EVIL)
    # Read-only for the guest, so for its device.
    order(m, "to", 0x50000000, 16, EVIL)
    assert order(m, "peek", 0x50000000) == 0
    assert order(m, "from", 0x50000000, 16) == 0
    # And where there is memory it has come all the time.
    order(m, "to", 0x40001ff0, 16, EVIL)
    assert order(m, "peek", 0x40001ff8) == EVIL
    assert re.search(r"by\s+running", m.monitor("guests"))


@target(iommus=IOMMUS, limit=120)
def dma_does_not_forge_interrupts(lab):
    """Data 0xNN at 0xfee00000 is vector NN of core 0, where `by` runs; or an index into the IOMMU's
    table of interrupts, of which the device has its own only. QEMU (to 10.0) lets messages of the former
    kind pass with the Intel model whatever it is told."""
    m = boot_attacker(lab)
    focus(m, "one")
    indices = [0xfee00010 | n << 5 | half for n in (0, 1, 2, 3, 7, 40) for half in (0, 8)]
    plain = [] if lab.iommu == "intel" else [0xfee00000, 0xfee01000, 0xfeeff000, 0xfee0000c]
    for address in indices + plain:
        for data in (0, 0x66, 0x466):
            order(m, "to", address, 4, data)
    # Its own interrupt may have been among them.
    assert order(m, "vector", 0) == order(m, "vector", 0x55)
    assert order_guest(m, "by", "vector", 0) == 0
    assert order_guest(m, "one", "raise") == 0
    assert order(m, "vector", 0x55) >= 1


@target(iommus=IOMMUS, limit=120)
def messages_go_to_cores_of_their_guest_only(lab):
    """What the guest writes to the MSI capability: other cores, logical destinations, NMIs."""
    m = boot_attacker(lab)
    focus(m, "one")
    order(m, "raise")
    assert order(m, "vector", 0x55) == 1
    for address, data in ((0xfee00000, 0x66), (0xfeeff000, 0x66), (0xfee01004, 0x66),
                          (0xfee0000c, 0x66), (0xfee3f00c, 0x66), (0xfee01000, 0x466),
                          (0xfee01000, 0x266), (0xfee01000, 0x566), (0xfee01000, 0x766),
                          (0xfee01000, 0x005), (0xfee01000, 0x100), (0x600000, 0x66),
                          (0xfee00010, 0), (0, 0)):
        order(m, "msi", address, data)
        order(m, "raise")
    order(m, "msi", 0xfee01000, 0x77)
    order(m, "raise")
    assert order(m, "vector", 0x77) == 1
    assert order_guest(m, "by", "vector", 0) == 0
    assert re.search(r"by\s+running", m.monitor("guests"))


@target(iommus=IOMMUS, limit=120)
def a_guest_dies_while_its_device_writes(lab):
    """Its memory goes to another guest at once; edu's DMA takes 100 ms from order to end."""
    m = boot_attacker(lab, restart="never")
    m.monitor("add one 40000000 4M")
    for n in range(3):
        focus(m, "one")
        m.send("die 1 40001000 fff badc0de\r")
        m.expect("guest one: stopped", timeout=20)
        m.monitor("remove one 40000000; add by 40000000 32M")
        time.sleep(0.3)
        first, last = region(m, "spare")
        assert not any(memory(m, first, last + 1 - first)), "spare memory was written to"
        m.monitor("remove by 40000000; add one 40000000 4M; start one")
        m.console.expect("guest one: restarted on core 1", 20)
        time.sleep(0.5)
    focus(m, "one")
    order(m, "to", 0x40001000, 16, EVIL)
    assert order(m, "peek", 0x40001000) == EVIL


@target(iommus=("intel",), limit=120)
def faults_pause_or_stop_the_guest(lab):
    for policy, outcome in (("pause", "paused"), ("stop", "stopped")):
        m = boot_attacker(lab, dma_fault=policy)
        focus(m, "one")
        m.send("to 1 700000000 10 1\r")
        m.expect(f"guest one: {outcome}", timeout=20)
        assert re.search(rf"one\s+{outcome}", m.monitor("guests"))
        assert re.search(r"by\s+running", m.monitor("guests"))
        m.close()


@target(iommus=IOMMUS, limit=180)
def a_flood_of_faults_disturbs_nobody(lab):
    """A disk that is told to write to nowhere, thousands of times a second."""
    disk = devices.marked_disk(lab)
    m = lab.boot([Guest("by", "terminal", cores=0),
                  Guest("one", "disk", cores=1, pci="class:0108")],
                 devices=[devices.nvme(SLOT, disk)])
    m.wait_started()
    wait_for(m, "terminal ready", "guest one: started on core")
    focus(m, "one")
    m.send("flood 1 700000000 40\r")
    time.sleep(5)
    m.monitor("console by")
    m.expect("--- guest by")
    m.command("are you there", "got 'are you there'")
    focus(m, "one")
    m.send("halt\r")
    ended = int(m.expect(r"\n1: (\w+)\r", 30).group(1), 16)
    # QEMU's disk does not notice that its writes come to nothing.
    assert ended > 100, ended
    assert order(m, "read", 0x1000000, 5, 2) == 0
    assert order(m, "peek", 0x1001000) == 0xd15c000000000006
    messages = m.console.text().count("blocked")
    assert messages < 100, messages
    lab.note(f"{ended} transfers to nowhere, {messages} messages")
