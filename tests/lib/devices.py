# SPDX-License-Identifier: BSD-2-Clause
"""PCI devices of a machine under QEMU, for Emulator's `devices`: each function gives the arguments
of one device. `slot` is the device number on the root bus, or with `bus` on that bridge's."""
import itertools

numbers = itertools.count(1)


def place(kind, slot, bus="pcie.0", **options):
    words = [kind, f"bus={bus}", f"addr={slot:#x}"]
    return ["-device", ",".join(words + [f"{k.replace('_', '-')}={v}" for k, v in options.items()])]


def edu(slot, **more):
    """A device whose DMA goes wherever it is told to."""
    return ["-device", f"edu,bus={more.pop('bus', 'pcie.0')},addr={slot:#x},"
            "dma_mask=0xffffffffffffffff" + "".join(f",{k}={v}" for k, v in more.items())]


def drive(image, snapshot):
    name = f"drive{next(numbers)}"
    return name, ["-drive", f"id={name},if=none,format=raw,file={image},"
                  f"snapshot={'on' if snapshot else 'off'}"]


def nvme(slot, image, snapshot=True, **more):
    name, words = drive(image, snapshot)
    return words + place("nvme", slot, drive=name, serial=f"lamina-{slot:x}", **more)


def virtio_blk(slot, image, snapshot=True, **more):
    """iommu_platform: without it QEMU's virtio devices do not go through the IOMMU."""
    name, words = drive(image, snapshot)
    return words + ["-device", f"virtio-blk-pci,bus={more.pop('bus', 'pcie.0')},addr={slot:#x},"
                    f"drive={name},disable-legacy=on,disable-modern=off,iommu_platform=on"]


def network(kind, slot, **more):
    """A network card on QEMU's user network: the machine's address is 10.0.2.15 by DHCP, 10.0.2.2
    is this machine, and what is sent to 10.0.2.100 port 7 comes back."""
    name = f"net{next(numbers)}"
    virtio = ",disable-legacy=on,iommu_platform=on" if kind.startswith("virtio") else ""
    return ["-netdev", f"user,id={name},restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:cat",
            "-device", f"{kind},bus={more.pop('bus', 'pcie.0')},addr={slot:#x},netdev={name}"
            f",romfile=,mac=52:54:00:12:34:{slot:02x}{virtio}"]


def root_port(slot, name, **more):
    return ["-device", f"pcie-root-port,bus=pcie.0,addr={slot:#x},id={name},chassis={slot}"
            + "".join(f",{k.replace('_', '-')}={v}" for k, v in more.items())]


def pci_bridge(name, bus):
    """For conventional PCI devices; on a root port `bus`."""
    return ["-device", f"pcie-pci-bridge,bus={bus},id={name}"]


def marked_disk(lab, pages=1024):
    """An image for the small guest `disk`: every 8 bytes of a page say which page it is."""
    return lab.scratch("marked.img", b"".join(
        (0xd15c000000000000 | n).to_bytes(8, "little") * 512 for n in range(pages)))
