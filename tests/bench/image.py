#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A disk image that measures on a real machine: the payload as the first guest, beside guests that load
memory and ports. What `make bench-image` makes; docs/performance.md says what it shows."""
import argparse
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAYLOAD = "/EFI/lamina/payload.bin"
LOADS_MAX = 15
# Seconds from the end of the first measurement of jitter to the loads, and to the second one.
PAUSE, SETTLE = 10, 10


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--cores", type=int, default=4, help="of the machine (default 4)")
    parser.add_argument("--seconds", type=int, default=60, help="of jitter (default 60)")
    parser.add_argument("--memory", type=int, default=256, help="MiB of each load (default 256)")
    parser.add_argument("--bare", action="store_true", help="without Lamina, to compare with")
    parser.add_argument("--khz", type=int, help="of the TSC, if CPUID does not say; for --bare")
    parser.add_argument("output")
    args = parser.parse_args()
    if not 1 <= args.cores <= LOADS_MAX + 2:
        parser.error(f"CORES={args.cores}: expected 1 to {LOADS_MAX + 2}")
    if args.seconds < 1 or not 32 <= args.memory <= 2048:
        parser.error("expected at least 1 second, and 32 to 2048 MiB")
    return args


def words(args):
    """The payload's command line, without where it runs."""
    return f"jitter={args.seconds}" + (f" khz={args.khz}" if args.khz else "")


def configuration(args):
    """Two cores for the payload if that leaves one for a load, one core for each load."""
    two = args.cores > 2
    own = "0, 1" if two else "0"
    lines = ["# Made by `make bench-image`.", "[lamina]", "", "[guest bench]",
             "kernel  = \\EFI\\lamina\\payload.bin", "memory  = 64M", f"cores   = {own}",
             f"cmdline = env=lamina {words(args)} loaded={PAUSE + SETTLE}"
             + (" other=any" if two else "")]
    for n in range(args.cores - (2 if two else 1)):
        size = (args.memory - 16) << 20
        lines += ["", f"[guest load{n + 1}]", "kernel  = \\EFI\\lamina\\payload.bin",
                  f"memory  = {args.memory}M", "console = no",
                  f"cmdline = env=lamina load=0x800000,{size:#x} after={args.seconds + PAUSE}"]
    return "\n".join(lines) + "\n"


def files(args, folder):
    def written(name, text):
        path = os.path.join(folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    payload = f"{args.build}/guests/payload.bin"
    if args.bare:
        return {"/EFI/BOOT/BOOTX64.EFI": f"{args.build}/efi/bare.efi", "/EFI/lamina/guest": payload,
                "/EFI/lamina/cmdline": written("cmdline", f"env=bare {words(args)}")}
    return {"/EFI/BOOT/BOOTX64.EFI": f"{args.build}/BOOTX64.EFI", PAYLOAD: payload,
            "/EFI/lamina/lamina.conf": written("lamina.conf", configuration(args))}


def main():
    args = parse_args()
    with tempfile.TemporaryDirectory(prefix="lamina-bench.") as folder:
        content = files(args, folder)
        done = subprocess.run([f"{TOP}/tools/mkimage", args.output]
                              + [f"{src}={dst}" for dst, src in content.items()], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
