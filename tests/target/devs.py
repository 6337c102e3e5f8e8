# SPDX-License-Identifier: BSD-2-Clause
"""Which PCI devices Lamina finds, which of them belong together, and who may have them."""
import re

from lib import devices
from lib.machine import Guest
from lib.target import target

IOMMUS = ("intel", "amd")


def machine(lab):
    """Two of each kind of group: devices for themselves and devices that share."""
    return [devices.edu(3),
            ["-device", "e1000e,bus=pcie.0,addr=4,romfile=,multifunction=on"],
            ["-device", "e1000e,bus=pcie.0,addr=4.1,romfile="],
            devices.root_port(5, "isolating"), devices.edu(0, bus="isolating"),
            devices.root_port(6, "open", disable_acs="on"), devices.edu(0, bus="open"),
            devices.root_port(7, "above"), devices.pci_bridge("pci", "above"),
            devices.edu(1, bus="pci"), devices.network("e1000e", 2, bus="pci"),
            devices.nvme(8, lab.scratch("disk.img", bytes(65536))),
            ["-device", "qemu-xhci,bus=pcie.0,addr=9"],
            ["-device", "usb-ehci,bus=pcie.0,addr=a"]]


def table(text):
    """{address: (id, class, group, owner, reset)} of what `devs` printed."""
    row = re.compile(r"^  ([0-9a-f:.]{7}) +(\w{4}:\w{4})  (.{12}) +(\d+)  (\S+) *(AF FLR|\w*)", re.M)
    return {m[1]: (m[2], m[3].strip(), int(m[4]), m[5], m[6]) for m in row.finditer(text)}


@target(iommus=IOMMUS, limit=100)
def devices_are_found_and_grouped(lab):
    guests = [Guest("one", "again", pci="00:08.0, 01:00.0@1f", reset="none"),
              Guest("two", "again", pci="00:04.0"),
              Guest("three", "again", pci="00:04.1, 8086:10d3"),
              Guest("four", "again", pci="00:1f.0"),
              Guest("five", "again", pci="00:03.0"),
              Guest("six", "again", pci="class:0c0330")]
    m = lab.boot(guests, devices=machine(lab), cores=6)
    m.wait_started()
    found = table(m.monitor("devs"))
    group = {address: entry[2] for address, entry in found.items()}
    assert found["00:08.0"][1:] == ("NVMe", group["00:08.0"], "one", "FLR"), found
    assert found["01:00.0"][3:] == ("one", "bus"), found
    assert found["00:1f.0"][1] == "ISA bridge" and found["00:1f.0"][3] == "reserved", found
    assert group["00:04.0"] == group["00:04.1"]
    assert group["01:00.0"] != group["00:05.0"], "a root port with ACS"
    assert group["02:00.0"] == group["00:06.0"], "a root port without ACS"
    bridge = {group[address] for address in ("03:00.0", "04:01.0", "04:02.0")}
    assert len(bridge) == 1 and group["00:07.0"] not in bridge, found
    alone = [group[address] for address in ("00:03.0", "00:05.0", "00:08.0", "00:09.0", "00:0a.0")]
    assert len(set(alone)) == len(alone) and not bridge & set(alone)
    text = m.monitor("devs 04:01.0")
    assert "its requests carry the id of 04:00.0" in text, text
    text = m.monitor("devs 01:00.0")
    assert "given to guest one" in text and "sees it as 00:1f.0" in text, text
    assert re.search(r"BAR 0  memory 0x[0-9a-f]+, 1M", text), text
    assert "cannot be given away: a bridge" in m.monitor("devs 00:1f.0")
    for wrong in ("00:1e.0", "00:20.0", "x", "00:1f", "00:1f.0.0", "0:0:0:0.0"):
        assert re.search("there is no device|is no address", m.monitor(f"devs {wrong}")), wrong
    log = m.monitor("log")
    for answer in (r"guest three: device 00:04.1 cannot be told apart from 00:04.0, which guest two has",
                   r"guest four: device 00:1f.0 cannot be given away: a bridge",
                   r"guest five: device 00:03.0 cannot be reset",
                   r"guest six: device 00:09.0 cannot be reset"):
        assert re.search(answer, log), (answer, log)
