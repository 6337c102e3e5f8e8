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

# The image lies in the top 2 GiB; sign-extended small numbers look alike, hence the upper bound.
ADDRESS = re.compile(r"(?:0x)?(ffffffff8[0-9a-f]{7})\b")
INTERESTING = re.compile(r"#\d+ |RIP ")


def names(elf, addresses):
    """What addr2line says, one string per address."""
    done = subprocess.run(["addr2line", "-e", elf, "-f", "-p", "-i", *addresses],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"symbolize: {done.stderr.strip()}")
    groups = []
    for line in done.stdout.splitlines():
        if line.startswith(" (inlined by) ") and groups:
            groups[-1] += ", inlined by " + line[14:]
        else:
            groups.append(line)
    return groups


def symbolize(text, elf):
    out = []
    for line in text.splitlines():
        out.append(line)
        if not INTERESTING.search(line):
            continue
        found = ADDRESS.findall(line)
        # A return address is behind its call: the line before is the one that matters.
        back = 1 if re.search(r"#\d+ ", line) else 0
        if found:
            wanted = [f"{int(a, 16) - back:x}" for a in found]
            out += [f"        {n}" for n in names(elf, wanted) if not n.startswith("??")]
    return "\n".join(out)


def main():
    elf = sys.argv[1] if len(sys.argv) > 1 else "build/lamina.elf"
    if not os.path.isfile(elf):
        sys.exit(f"symbolize: {elf}: no such file")
    print(symbolize(sys.stdin.read(), elf))


if __name__ == "__main__":
    main()
