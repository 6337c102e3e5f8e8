#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Count the instructions of the IOMMU drivers' operations, wherever their host tests call them.

usage: counts.py FOLDER

FOLDER has the tests test_vtd and test_amdvi, compiled without sanitizers. Counted are drivers/ and mm/
with what they inline, not the model of the IOMMU behind them, which completes everything at once: a
real one is waited for.
"""
import glob
import os
import subprocess
import sys
import tempfile

OPERATIONS = (("VT-d", "test_vtd", {"attach": "attach", "detach": "detach", "flush": "flush"}),
              ("AMD-Vi", "test_amdvi", {"attach": "amdvi_attach", "detach": "amdvi_detach",
                                        "flush": "amdvi_flush"}))
OURS = ("drivers", "mm", "include", "x86")


def measure(program, function):
    """Instructions of each call of a function, with all that it calls."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        argv = ["valgrind", "-q", "--tool=callgrind", f"--toggle-collect={function}",
                f"--zero-before={function}", f"--dump-after={function}", "--compress-strings=no",
                "--compress-pos=no", f"--callgrind-out-file={out}", program]
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"error: {' '.join(argv)}: {done.stderr[-500:]}")
        return [cost(path) for path in glob.glob(f"{out}.*")]


def cost(path):
    total, counted, skip = 0, False, False
    with open(path) as f:
        for line in f:
            key, _, value = line.rstrip().partition("=")
            if key in ("fl", "fi", "fe"):
                counted = os.path.relpath(value).split("/")[0] in OURS
            elif key == "calls":
                skip = True  # the next line is the callee's cost, counted there
            elif line[:1].isdigit():
                if not skip and counted:
                    total += int(line.split()[1])
                skip = False
    return total


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    for vendor, test, operations in OPERATIONS:
        for name, function in operations.items():
            costs = [n for n in measure(os.path.join(sys.argv[1], test), function) if n]
            if not costs:
                sys.exit(f"error: {test} does not call {function}()")
            costs.sort()
            print(f"{vendor}: {name:6} {costs[len(costs) // 2]:6} instructions (10 % to 90 % of "
                  f"{len(costs)} calls: {costs[len(costs) // 10]} to {costs[len(costs) * 9 // 10]})")


if __name__ == "__main__":
    main()
