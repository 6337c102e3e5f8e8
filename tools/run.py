#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boot Lamina in an emulator, its serial line on this terminal: what `make run` does."""
import argparse
import os
import signal
import subprocess
import sys
import tempfile

import console
import emulator

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
HYPERVISOR_MIB = 320  # for the firmware, the images and the hypervisor
CMDLINE = "console=ttyS0 quiet guest={name}"
DISK_MIB = 64  # of the first guest's NVMe disk, empty


def parse_args():
    parser = argparse.ArgumentParser(description="Boot Lamina in an emulator.")
    parser.add_argument("--build", default="build")
    parser.add_argument("--host", choices=("qemu", "bochs"), default="qemu")
    parser.add_argument("--accel", choices=("tcg", "kvm"), default="tcg")
    parser.add_argument("--iommu", choices=("amd", "intel", "none"),
                        help="QEMU: an IOMMU, and an NVMe disk for the first guest (default amd, "
                        "with tcg)")
    parser.add_argument("--cpu", help="the emulator's name of a CPU model")
    parser.add_argument("--cores", type=int, default=2, help="one guest on each (default 2)")
    parser.add_argument("--kernel", help="default: Debian's cloud kernel")
    parser.add_argument("--initrd", help="default: a busybox shell; - for none")
    parser.add_argument("--cmdline", help=f"default: {CMDLINE}")
    parser.add_argument("--memory", type=int, help="MiB for each guest")
    parser.add_argument("--conf", help="a configuration file of your own")
    parser.add_argument("--image-only", metavar="FILE", help="make the disk image, boot nothing")
    parser.add_argument("--gdb", action="store_true", help="QEMU: wait for gdb")
    parser.add_argument("--limit", type=int, default=24 * 3600, help="seconds until it is killed")
    args = parser.parse_args()
    if not 1 <= args.cores <= len(NAMES):
        parser.error(f"CORES={args.cores}: expected 1 to {len(NAMES)}")
    if args.host == "bochs" and (args.accel != "tcg" or args.gdb):
        parser.error("HOST=bochs: neither ACCEL=kvm nor debugging with gdb")
    if args.iommu is None:
        args.iommu = "amd" if args.host == "qemu" and args.accel == "tcg" else "none"
    if args.host == "bochs" and args.iommu != "none":
        parser.error(f"IOMMU={args.iommu}: bochs has none")
    if args.memory is not None and (args.memory < 32 or args.memory % 2):
        parser.error(f"MEMORY={args.memory}: expected an even number of MiB, at least 32")
    for path in filter(None, (args.kernel, args.initrd, args.conf)):
        if path != "-" and not os.path.isfile(path):
            parser.error(f"{path}: no such file")
    if args.memory is None:
        args.memory = 256 if args.host == "bochs" else 512
    return args


def guest_section(args, index):
    name = NAMES[index]
    lines = [f"[guest {name}]", "kernel  = \\EFI\\lamina\\vmlinuz"]
    if args.initrd != "-":
        lines.append("initrd  = \\EFI\\lamina\\initrd.img")
    lines += [f"cmdline = {(args.cmdline or CMDLINE).format(name=name)}",
              f"memory  = {args.memory}M", f"cores   = {index}"]
    if index == 0 and args.iommu != "none" and not args.image_only:
        lines.append("pci     = class:0108")
    return lines


def configuration(args):
    lines = ["# Made by `make run`; docs/configuration.md describes all keys.", "[lamina]",
             "console = focus", "escape  = ctrl-]"]
    for index in range(args.cores):
        lines += ["", *guest_section(args, index)]
    return "\n".join(lines) + "\n"


def make_image(args, conf, image):
    tools = os.path.dirname(os.path.abspath(__file__))
    files = [f"{args.build}/BOOTX64.EFI=/EFI/BOOT/BOOTX64.EFI",
             f"{conf}=/EFI/lamina/lamina.conf",
             f"{args.kernel or args.build + '/demo/vmlinuz'}=/EFI/lamina/vmlinuz"]
    if args.initrd != "-":
        files.append(f"{args.initrd or args.build + '/demo/initrd.img'}=/EFI/lamina/initrd.img")
    subprocess.run([f"{tools}/mkimage", image, *files], check=True)


def nvme(workdir):
    """An empty disk, gone afterwards, as the machine's device 00:03.0."""
    path = os.path.join(workdir, "nvme.img")
    with open(path, "wb") as f:
        f.truncate(DISK_MIB << 20)
    return ["-drive", f"id=nvme,if=none,format=raw,file={path}",
            "-device", "nvme,drive=nvme,serial=lamina,bus=pcie.0,addr=3"]


def boot(args, image, workdir):
    options = {}
    if args.iommu != "none":
        options = {"iommu": args.iommu, "devices": [nvme(workdir)]}
    machine = emulator.Emulator(
        args.host, image, workdir, cores=args.cores, accel=args.accel, cpu=args.cpu,
        memory=args.cores * args.memory + HYPERVISOR_MIB, limit=args.limit, gdb=args.gdb, vga=True,
        realtime=True, **options)
    print(f"Starting {args.host}; {console.HELP}; Ctrl-] is Lamina's monitor.", flush=True)
    if args.gdb:
        print(f"Stopped. In another terminal: gdb -x tools/lamina.gdb {args.build}/lamina.elf")
    with machine:
        reason = console.interact(machine.start(), machine.running)
        print(f"\r\n{args.host}: {reason}.", flush=True)
        if reason != "left" and machine.process.wait(timeout=60) not in (0, 1):
            print(machine.emulator_log(), file=sys.stderr)


def main():
    # A killed make or a closed terminal must not leave the emulator behind: unwind as for an error.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    args = parse_args()
    with tempfile.TemporaryDirectory(prefix="lamina-run.") as workdir:
        conf = args.conf
        if not conf:
            conf = os.path.join(workdir, "lamina.conf")
            with open(conf, "w") as f:
                f.write(configuration(args))
        image = args.image_only or os.path.join(workdir, "lamina.img")
        try:
            make_image(args, conf, image)
            if not args.image_only:
                boot(args, image, workdir)
        except emulator.EmulatorError as e:
            sys.exit(f"run: {e}")
        except subprocess.CalledProcessError as e:
            sys.exit(e.returncode)


if __name__ == "__main__":
    main()
