#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Name the addresses of a panic's dump.

usage: symbolize.py [ELF] < LOG      ELF: build/lamina.elf

Copies its input; after each line with addresses of the hypervisor's image come function, file and
line of each.
"""
import os
import re
import subprocess
import sys

# The image lies at the start of the top 2 GiB.
INTERESTING = re.compile(r"#(\d+) +(?:0x)?(ffffffff8[0-9a-f]{7})\b|RIP (ffffffff8[0-9a-f]{7})\b")


def names(elf, address):
    """What addr2line says: the function, and those that it was inlined into."""
    done = subprocess.run(["addr2line", "-e", elf, "-f", "-p", "-i", address],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"symbolize: {done.stderr.strip()}")
    return [line.replace(" (inlined by) ", "inlined by ") for line in done.stdout.splitlines()]


def symbolize(text, elf):
    out = []
    for line in text.splitlines():
        out.append(line)
        match = INTERESTING.search(line)
        if not match:
            continue
        number, frame, rip = match.groups()
        # A return address is behind its call: the instruction before is the one that matters.
        back = 1 if number and int(number) > 0 else 0
        out += [f"        {n}" for n in names(elf, f"{int(frame or rip, 16) - back:x}")
                if not n.startswith("??")]
    return "\n".join(out)


def main():
    elf = sys.argv[1] if len(sys.argv) > 1 else "build/lamina.elf"
    if not os.path.isfile(elf):
        sys.exit(f"symbolize: {elf}: no such file")
    print(symbolize(sys.stdin.read(), elf))


if __name__ == "__main__":
    main()
